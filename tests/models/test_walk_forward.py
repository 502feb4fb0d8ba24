"""Labels say what can be traded, and forecasts of a fold know nothing of it."""

import threading
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.features.alpha158 import alpha158
from gwt_lab.market.bars import Bars
from gwt_lab.models.folds import Rows, any_known, fit_folds, plan_folds
from gwt_lab.models.labels import relative_direction, relative_return
from gwt_lab.models.lightgbm_model import LightGBMModel, LightGBMParams
from gwt_lab.models.walk_forward import walk_forward
from gwt_lab.validation.causality import check_causal
from gwt_lab.validation.splits import PurgedWalkForward
from tests.oracles.markets import random_bars

PARAMS = LightGBMParams(n_trees=20, min_data_in_leaf=20)
SPLITTER = PurgedWalkForward(3, purged_size=2)


def _bars_from_open(opens: np.ndarray) -> Bars:
    index = pd.date_range("2024-01-01", periods=len(opens), freq="h", tz="UTC", unit="ns", name="datetime")
    frame = pd.DataFrame(opens, index=index, columns=["B/USDT", "A/USDT"])
    return Bars(open=frame, high=frame, low=frame, close=frame, volume=frame, timeframe="1h")


def test_the_label_by_hand() -> None:
    """Decided at row 0, bought at row 1's open, sold at row 2's: 10 % against -10 %, 0 on average."""
    bars = _bars_from_open(np.array([[1.0, 7.0], [10.0, 100.0], [11.0, 90.0], [11.0, np.nan], [12.0, 90.0]]))
    earned = relative_return(bars).unstack()
    assert earned["B/USDT"].iloc[0] == pytest.approx(0.1)
    assert earned["A/USDT"].iloc[0] == pytest.approx(-0.1)
    assert earned.iloc[1:].isna().all().all()  # a symbol alone has no relative return
    longer = relative_return(bars, horizon=3).unstack()
    assert longer["B/USDT"].iloc[0] == pytest.approx((0.2 + 0.1) / 2)
    assert longer.iloc[1:].isna().all().all()
    assert relative_direction(bars).unstack().iloc[0].to_dict() == {"A/USDT": 0.0, "B/USDT": 1.0}


def test_labels_are_relative_and_share_the_features_index() -> None:
    bars = random_bars(5, 300, seed=1, holes=0.05)
    earned = relative_return(bars)
    pd.testing.assert_index_equal(earned.index, alpha158(bars).index)
    assert earned.groupby(level="datetime").mean().abs().max() < 1e-15
    assert set(relative_direction(bars).dropna()) == {0.0, 1.0}
    assert abs(relative_direction(bars).mean() - 0.5) < 0.05


def test_the_label_as_a_feature_is_caught() -> None:
    report = check_causal(lambda bars: relative_return(bars).to_frame("label"), random_bars(3, 200, seed=2))
    assert {leak.column for leak in report.leaks} >= {"label"}


def _material() -> tuple[pd.DataFrame, pd.Series]:
    bars = random_bars(4, 400, seed=3, holes=0.02)
    features = alpha158(bars, columns=["KMID", "KSFT2", "ROC5", "STD10"])
    return features, relative_direction(bars)


def test_every_row_of_the_test_blocks_is_forecast_whatever_its_label() -> None:
    features, label = _material()
    found = walk_forward(features, label, SPLITTER, PARAMS)
    assert list(found.columns) == ["forecast", "fold"]
    usable = features[features.notna().any(axis=1)]
    tested = usable[usable.index.get_level_values(0) >= found.index[0][0]]
    pd.testing.assert_index_equal(found.index, tested.index)
    assert label.reindex(found.index).isna().any()
    assert found["forecast"].notna().all()
    assert found.groupby("fold").size().index.tolist() == [0, 1, 2]


def test_what_comes_later_changes_no_earlier_forecast() -> None:
    features, label = _material()
    found = walk_forward(features, label, SPLITTER, PARAMS)
    begins = found[found["fold"] == 1].index[0][0]
    late = features.index.get_level_values(0) >= begins
    rng = np.random.default_rng(0)
    other_features, other_label = features.copy(), label.copy()
    other_features[late] = rng.normal(size=(late.sum(), features.shape[1])).astype(np.float32)
    other_label[late] = rng.integers(0, 2, late.sum())
    again = walk_forward(other_features, other_label, SPLITTER, PARAMS)
    first = found["fold"] == 0
    pd.testing.assert_frame_equal(found[first], again.loc[found[first].index])
    assert not found[~first].equals(again[again["fold"] > 0])


def test_test_labels_do_not_reach_their_own_fold() -> None:
    features, label = _material()
    found = walk_forward(features, label, PurgedWalkForward(1, purged_size=2), PARAMS)
    flipped = label.copy()
    flipped.loc[found.index] = 1 - flipped.loc[found.index]
    again = walk_forward(features, flipped, PurgedWalkForward(1, purged_size=2), PARAMS)
    pd.testing.assert_frame_equal(found, again)


def test_a_known_answer_is_found_and_noise_is_not() -> None:
    features, label = _material()
    told = walk_forward(features.assign(told=label), label, SPLITTER, PARAMS)
    scored = label.reindex(told.index)
    hit = ((told["forecast"] > 0.5) == (scored > 0.5))[scored.notna()].mean()
    assert hit == 1.0
    blind = walk_forward(features, label, SPLITTER, PARAMS)
    assert abs(((blind["forecast"] > 0.5) == (scored > 0.5))[scored.notna()].mean() - 0.5) < 0.06


def test_mistakes_are_named() -> None:
    features, label = _material()
    with pytest.raises(ShapeError, match="same index"):
        walk_forward(features, label.iloc[1:], SPLITTER, PARAMS)
    with pytest.raises(DataError, match="shorter than the features' warm-up"):
        walk_forward(features * np.nan, label, SPLITTER, PARAMS)
    with pytest.raises(ConfigError, match=r"horizon must be a whole number of at least 1, got 1\.5"):
        relative_return(random_bars(2, 10), horizon=1.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="horizon must be at least 1, got 0"):
        relative_return(random_bars(2, 10), horizon=0)


def test_an_error_or_an_interrupt_does_not_wait_for_fits_that_run() -> None:
    """A fit of a million trees beside one that fails: it stops between two trees."""
    bars = random_bars(2, 300)
    features, label = alpha158(bars, columns=["KMID", "ROC5"]), relative_direction(bars)
    values, target = features.to_numpy(dtype=np.float32), label.to_numpy(dtype=np.float64)
    rows = Rows(values, features.index, target, any_known(values), list(features.columns))
    endless = LightGBMParams(n_trees=10**6, min_data_in_leaf=20, learning_rate=1e-6)
    running = threading.Event()

    def fit(train: np.ndarray) -> Any:
        if len(train) != len(rows.labelled):
            assert running.wait(30)
            raise KeyboardInterrupt
        running.set()
        return LightGBMModel(endless).fit_rows(rows.values, rows.target, train, rows.names)

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fit_folds(rows, plan_folds(rows, SPLITTER), fit, whole=fit, n_jobs=2)
    assert time.monotonic() - begun < 20
