"""The walk forward keeps dates whole, the future out, and a purge between."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.validation.splits import PurgedWalkForward


def _panel(n_dates: int, n_symbols: int) -> pd.DataFrame:
    dates = pd.date_range("2024-01-01", periods=n_dates, freq="h", tz="UTC", unit="ns")
    index = pd.MultiIndex.from_product([dates, [f"S{i}" for i in range(n_symbols)]], names=["datetime", "instrument"])
    return pd.DataFrame({"x": np.arange(len(index))}, index=index)


def _dates(frame: pd.DataFrame, rows: np.ndarray) -> pd.DatetimeIndex:
    return frame.index[rows].get_level_values("datetime")


@settings(max_examples=60, deadline=None)
@given(
    n_dates=st.integers(40, 120),
    n_symbols=st.integers(1, 4),
    n_splits=st.integers(1, 6),
    purged=st.integers(0, 3),
    embargo=st.integers(0, 3),
    rolling=st.booleans(),
    seed=st.integers(0, 99),
)
def test_laws_of_the_walk_forward(n_dates, n_symbols, n_splits, purged, embargo, rolling, seed) -> None:
    frame = _panel(n_dates, n_symbols)
    # rows in any order, some missing: dates decide, not positions
    rng = np.random.default_rng(seed)
    frame = frame.iloc[rng.permutation(len(frame))]
    splitter = PurgedWalkForward(
        n_splits, train_size=10 if rolling else None, min_train=25, purged_size=purged, embargo_size=embargo
    )
    hour, tested = pd.Timedelta("1h"), []
    splits = list(splitter.split(frame))
    assert len(splits) == splitter.get_n_splits() == n_splits
    for train, test in splits:
        first, last = _dates(frame, test).min(), _dates(frame, train).max()
        assert first - last == (1 + purged + embargo) * hour
        assert set(_dates(frame, train)).isdisjoint(_dates(frame, test))
        assert len(test) == n_symbols * _dates(frame, test).nunique()
        assert _dates(frame, train).nunique() == 10 if rolling else _dates(frame, train).min() == frame.index.min()[0]
        tested.append(_dates(frame, test).unique().sort_values())
    everything = tested[0].append(tested[1:]) if n_splits > 1 else tested[0]
    assert everything.is_monotonic_increasing
    assert everything.is_unique
    assert len(everything) == n_dates - 25


def test_labels_that_end_in_the_test_block_are_purged_by_time() -> None:
    frame = _panel(40, 2)
    horizon = pd.Timedelta("5h")
    ends = frame.index.get_level_values("datetime") + horizon
    for train, test in PurgedWalkForward(3).split(frame, groups=ends):
        first = _dates(frame, test).min()
        assert (_dates(frame, train) + horizon < first).all()
        assert first - _dates(frame, train).max() == horizon + pd.Timedelta("1h")
    for train, test in PurgedWalkForward(3).split(frame):
        assert _dates(frame, test).min() - _dates(frame, train).max() == pd.Timedelta("1h")


def test_it_is_a_scikit_learn_splitter() -> None:
    from sklearn.dummy import DummyRegressor
    from sklearn.model_selection import cross_val_score

    frame = _panel(60, 2)
    scores = cross_val_score(
        DummyRegressor(), frame, np.ones(len(frame)), cv=PurgedWalkForward(4), scoring="neg_mean_squared_error"
    )
    assert scores.tolist() == [0.0] * 4


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="n_splits must be a whole number of at least 1, got 0"):
        PurgedWalkForward(0)
    with pytest.raises(ConfigError, match="purged_size"):
        PurgedWalkForward(purged_size=-1)
    with pytest.raises(DataError, match="8 dates are too few for 5 test blocks"):
        list(PurgedWalkForward(5, purged_size=3).split(_panel(8, 1)))
    with pytest.raises(DataError, match="rows with dates"):
        list(PurgedWalkForward().split(pd.DataFrame({"x": range(10)})))
    for wrong in (None, "5", float("nan"), True, 2.5):
        with pytest.raises(ConfigError, match="n_splits must be a whole number"):
            PurgedWalkForward(wrong)
    frame = _panel(40, 1)
    dates = frame.index.get_level_values("datetime")
    splits = PurgedWalkForward(3).split
    with pytest.raises(ShapeError, match="groups must hold one time a row, 40, got 3"):
        list(splits(frame, groups=dates[:3]))
    # numbers, as scikit-learn's groups often are, would be times of 1970 and purge nothing
    with pytest.raises(DataError, match="a label is known before its row"):
        list(splits(frame, groups=np.arange(40)))
    with pytest.raises(DataError, match="groups must be times"):
        list(splits(frame, groups=["BTC/USDT"] * 40))
    with pytest.raises(DataError, match="nothing is left to train on before the test block of 2024-01-01 10:00"):
        list(splits(frame, groups=dates + pd.Timedelta("2D")))
    with pytest.raises(DataError, match="1 rows have no date"):
        list(splits(pd.DataFrame(index=dates.where(dates != dates[4]))))
    assert repr(PurgedWalkForward(2, purged_size=1)).startswith("PurgedWalkForward(n_splits=2")
