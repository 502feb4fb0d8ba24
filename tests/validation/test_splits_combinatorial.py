"""Combinatorial splits: every choice of folds, no label that reaches across, paths that cover every row once."""

from itertools import pairwise
from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.validation.splits_combinatorial import CombinatorialPurgedCV


def _panel(n_dates: int, n_symbols: int) -> pd.DataFrame:
    dates = pd.date_range("2024-01-01", periods=n_dates, freq="h", tz="UTC", unit="ns")
    index = pd.MultiIndex.from_product([dates, [f"S{i}" for i in range(n_symbols)]], names=["datetime", "instrument"])
    return pd.DataFrame({"x": np.arange(len(index))}, index=index)


def _days(n: int) -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(n)}, index=pd.date_range("2024-01-01", periods=n, freq="D", tz="UTC"))


def _trains(splitter: CombinatorialPurgedCV, n: int) -> list[list[int]]:
    return [train.tolist() for train, _ in splitter.split(_days(n))]


# ------------------------------------------------------------------------------------------------ known answers
def test_known_answers_of_small_splits() -> None:
    # the worked example of skfolio's documentation: 12 observations, 3 folds, 2 of them tested
    assert _trains(CombinatorialPurgedCV(3, 2, purged_size=1), 12) == [[9, 10, 11], [5, 6], [0, 1, 2]]
    assert _trains(CombinatorialPurgedCV(3, 2, embargo_size=1), 12) == [[9, 10, 11], [5, 6, 7], [0, 1, 2, 3]]


def test_six_folds_two_tested_make_15_splits_and_5_paths() -> None:
    splitter = CombinatorialPurgedCV()
    assert (splitter.get_n_splits(), splitter.n_paths) == (15, 5)
    assert splitter.paths.shape == (5, 6)
    # López de Prado, Advances in Financial Machine Learning, figure 12.1: splits counted from 1
    assert (splitter.paths[0] + 1).tolist() == [1, 1, 2, 3, 4, 5]
    assert (splitter.paths[4] + 1).tolist() == [5, 9, 12, 14, 15, 15]


@pytest.mark.parametrize(("n_folds", "n_test"), [(3, 2), (4, 2), (6, 2), (8, 3)])
@pytest.mark.parametrize(("purged", "embargo"), [(0, 0), (1, 0), (0, 2), (2, 3)])
def test_it_agrees_with_skfolio_where_purging_is_by_count(n_folds: int, n_test: int, purged: int, embargo: int) -> None:
    skfolio = pytest.importorskip("skfolio.model_selection")
    theirs = skfolio.CombinatorialPurgedCV(n_folds, n_test, purged_size=purged, embargo_size=embargo)
    ours = CombinatorialPurgedCV(n_folds, n_test, purged_size=purged, embargo_size=embargo)
    frame = _days(n_folds * 12)
    for (train, test), (their_train, their_tests) in zip(ours.split(frame), theirs.split(frame), strict=True):
        np.testing.assert_array_equal(train, their_train)
        np.testing.assert_array_equal(test, np.concatenate(their_tests))
    np.testing.assert_array_equal(ours.paths.T, theirs.recombined_paths)


# ------------------------------------------------------------------------------------------------ laws
@settings(max_examples=60, deadline=None)
@given(
    n_dates=st.integers(60, 120),
    n_symbols=st.integers(1, 3),
    folds=st.sampled_from([(3, 1), (4, 2), (6, 2), (5, 3)]),
    longest=st.integers(0, 4),
    embargo=st.integers(0, 2),
    seed=st.integers(0, 99),
)
def test_no_training_label_meets_a_tested_one(n_dates, n_symbols, folds, longest, embargo, seed) -> None:
    rng = np.random.default_rng(seed)
    frame = _panel(n_dates, n_symbols)
    frame = frame.iloc[rng.permutation(len(frame))[: round(0.9 * len(frame))]]  # any order, some missing
    begins = frame.index.get_level_values("datetime")
    ends = begins + pd.to_timedelta(rng.integers(0, longest + 1, len(frame)), unit="h")
    splitter = CombinatorialPurgedCV(*folds, embargo_size=embargo)
    times = begins.unique().sort_values()
    tested_times = np.zeros(len(frame), dtype=int)
    for (train, test), tested in zip(splitter.split(frame, groups=ends), splitter.test_folds, strict=True):
        assert set(begins[train]).isdisjoint(begins[test])
        tested_times[test] += 1
        edges = np.linspace(0, len(times), folds[0] + 1).round().astype(int)
        for fold in tested:
            block = times[edges[fold] : edges[fold + 1]]
            inside = begins.isin(block)
            first, last = block[0], ends[inside].max()
            meets = (begins[train] <= last) & (ends[train] >= first)
            assert not meets.any()
            # the embargo counts dates from the end of the tested labels
            after = times[times > last][:embargo]
            assert not begins[train].isin(after).any()
        # nothing is left out without a reason
        left_out = np.setdiff1d(np.arange(len(frame)), np.concatenate([train, test]))
        assert len(left_out) <= len(tested) * n_symbols * (2 * longest + embargo)
    assert (tested_times == splitter.n_paths).all()


def test_a_purge_of_whole_bars_equals_labels_of_that_length() -> None:
    frame = _panel(60, 2)
    ends = frame.index.get_level_values("datetime") + pd.Timedelta("3h")
    by_time = CombinatorialPurgedCV(embargo_size=1).split(frame, groups=ends)
    by_count = CombinatorialPurgedCV(purged_size=3, embargo_size=1).split(frame)
    for (train, test), (counted, same) in zip(by_time, by_count, strict=True):
        np.testing.assert_array_equal(train, counted)
        np.testing.assert_array_equal(test, same)


def test_a_row_without_a_label_spans_its_own_date() -> None:
    frame = _days(12)
    ends = frame.index + pd.Timedelta("1D")
    ends = ends.where(np.arange(12) != 3, pd.NaT)
    trains = [train.tolist() for train, _ in CombinatorialPurgedCV(3, 1).split(frame, groups=ends)]
    assert trains[1] == [0, 1, 2, 3, 9, 10, 11]  # row 3 would reach into the test at 4


# ------------------------------------------------------------------------------------------------ paths
def test_paths_cover_every_row_once() -> None:
    frame = _panel(60, 2).sample(frac=1, random_state=1)
    splitter = CombinatorialPurgedCV(6, 2, purged_size=1)
    arrays = [np.full(len(test), split) for split, (_, test) in enumerate(splitter.split(frame))]
    found = splitter.recombine(arrays, frame)
    assert found.shape == (120, 5)
    assert found.index.equals(frame.index)
    dates = frame.index.get_level_values("datetime")
    for fold, (begin, end) in enumerate(pairwise(range(0, 61, 10))):
        inside = dates.isin(dates.unique().sort_values()[begin:end])
        np.testing.assert_array_equal(found[inside].drop_duplicates().to_numpy(), splitter.paths[:, fold][None, :])


def test_true_values_come_back_in_every_path() -> None:
    frame = _panel(50, 3).sample(frac=1, random_state=2)
    splitter = CombinatorialPurgedCV(5, 2)
    series = [frame["x"].iloc[test].sample(frac=1, random_state=3) for _, test in splitter.split(frame)]
    for found in (splitter.recombine(series, frame), splitter.recombine(series).reindex(frame.index)):
        for path in range(comb(4, 1)):
            np.testing.assert_array_equal(found[path], frame["x"])


def test_it_is_a_scikit_learn_splitter() -> None:
    from sklearn.dummy import DummyRegressor
    from sklearn.model_selection import cross_val_score

    frame = _panel(60, 2)
    scores = cross_val_score(
        DummyRegressor(), frame, np.ones(len(frame)), cv=CombinatorialPurgedCV(), scoring="neg_mean_squared_error"
    )
    assert scores.tolist() == [0.0] * 15


# ------------------------------------------------------------------------------------------------ mistakes
def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="n_folds must be a whole number of at least 2, got 1"):
        CombinatorialPurgedCV(1)
    with pytest.raises(ConfigError, match="n_test_folds must be below the 3 folds, got 3"):
        CombinatorialPurgedCV(3, 3)
    with pytest.raises(ConfigError, match="embargo_size"):
        CombinatorialPurgedCV(embargo_size=-1)
    with pytest.raises(DataError, match="5 dates cannot be cut into 6 folds"):
        list(CombinatorialPurgedCV().split(_days(5)))
    with pytest.raises(DataError, match="rows with dates"):
        list(CombinatorialPurgedCV().split(pd.DataFrame({"x": range(10)})))
    with pytest.raises(DataError, match="nothing is left to train on beside the test folds"):
        list(CombinatorialPurgedCV(3, 2, purged_size=9).split(_days(12)))
    with pytest.raises(ShapeError, match="groups must hold one time a row, 12, got 3"):
        list(CombinatorialPurgedCV(3).split(_days(12), groups=_days(3).index))
    with pytest.raises(DataError, match="a label is known before its row: row 0"):
        list(CombinatorialPurgedCV(3).split(_days(12), groups=_days(12).index - pd.Timedelta("1D")))
    assert repr(CombinatorialPurgedCV(5)) == (
        "CombinatorialPurgedCV(n_folds=5, n_test_folds=2, purged_size=0, embargo_size=0)"
    )


def test_predictions_that_do_not_fit_are_refused() -> None:
    splitter, frame = CombinatorialPurgedCV(3, 1), _days(12)
    good = [np.zeros(4)] * 3
    with pytest.raises(ShapeError, match="one array a split, 3, got 2"):
        splitter.recombine(good[:2], frame)
    with pytest.raises(ShapeError, match=r"split 2 must have shape \(4,\)"):
        splitter.recombine([*good[:2], np.zeros(5)], frame)
    with pytest.raises(ShapeError, match=r"recombine\(predictions, X\)"):
        splitter.recombine(good)
    wrong = [frame["x"].iloc[:4], frame["x"].iloc[4:8], frame["x"].iloc[:4]]
    with pytest.raises(ShapeError, match="split 2 are not those of its 4 test rows"):
        splitter.recombine(wrong, frame)
