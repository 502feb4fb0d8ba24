"""Scores equal plain loops, and their interval covers as often as it says."""

import numpy as np
import pandas as pd
import pytest

from gwt_lab.models.scores import score_forecasts
from tests.oracles import scores as plain


def _index(n_times: int, n_symbols: int) -> pd.MultiIndex:
    times = pd.date_range("2024-01-01", periods=n_times, freq="h", tz="UTC", unit="ns")
    symbols = [f"C{number}/USDT" for number in range(n_symbols)]
    return pd.MultiIndex.from_product([times, symbols], names=["datetime", "instrument"])


@pytest.mark.parametrize("n_symbols", [1, 2, 5])
def test_every_score_equals_a_plain_loop(n_symbols: int) -> None:
    rng = np.random.default_rng(n_symbols)
    index = _index(60, n_symbols)
    forecast = rng.uniform(0.1, 0.9, len(index)).round(2)
    earned = rng.normal(size=len(index)) + forecast
    found = score_forecasts(forecast, earned, index, probabilities=True)
    happened = earned > 0
    assert (found["n_rows"], found["n_times"]) == (60 * n_symbols, 60)
    assert found["auc"] == pytest.approx(plain.auc(forecast, happened))
    assert found["log_loss"] == pytest.approx(plain.log_loss(forecast, happened))
    assert found["brier"] == pytest.approx(np.mean((forecast - happened) ** 2))
    assert found["base_rate"] == pytest.approx(max(happened.mean(), 1 - happened.mean()))
    right = np.where(forecast == 0.5, 0.5, (forecast > 0.5) == happened)
    assert found["accuracy"] == pytest.approx(right.mean())
    group = index.codes[0] if n_symbols >= 3 else index.codes[1]
    for name, ranks in (("ic", False), ("rank_ic", True)):
        assert found[name] == pytest.approx(plain.information(forecast, earned, group, ranks=ranks))
    assert sum(part["n"] for part in found["calibration"]) == len(index)


def test_rows_without_an_outcome_do_not_count_and_a_zero_has_no_direction() -> None:
    index = _index(8, 1)
    forecast = np.array([0.9, 0.9, 0.1, 0.1, 0.9, 0.1, np.nan, 0.9])
    earned = np.array([1.0, -1.0, -1.0, 1.0, 0.0, np.nan, 1.0, 2.0])
    found = score_forecasts(forecast, earned, index, probabilities=True)
    assert found["n_rows"] == 6
    assert found["accuracy"] == pytest.approx(3 / 5)


def test_perfect_and_constant_forecasts() -> None:
    index = _index(50, 4)
    earned = np.random.default_rng(0).normal(size=200)
    best = score_forecasts(earned, earned, index, probabilities=False)
    assert (best["accuracy"], best["auc"], best["ic"], best["rank_ic"]) == pytest.approx((1, 1, 1, 1))
    assert "log_loss" not in best
    flat = score_forecasts(np.full(200, 0.5), earned, index, probabilities=True)
    assert (flat["accuracy"], flat["auc"], flat["ic"]) == (0.5, 0.5, None)
    assert flat["log_loss"] == pytest.approx(np.log(2))
    nothing = score_forecasts(np.full(200, np.nan), earned, index, probabilities=True)
    assert nothing["accuracy"] is None
    assert nothing["n_rows"] == 0


def test_times_of_equal_forecasts_have_no_correlation() -> None:
    """Three times 0.1 lie 1.4e-17 off their own mean: that is rounding, and no correlation of zero."""
    index = _index(40, 3)
    rng = np.random.default_rng(1)
    earned = rng.normal(size=120)
    forecast = np.where(np.arange(120) < 90, 0.1, rng.uniform(size=120))
    found = score_forecasts(forecast, earned, index, probabilities=True)
    wanted = plain.information(forecast[90:], earned[90:], index.codes[0][90:], ranks=False)
    assert found["ic"] == pytest.approx(wanted)
    assert found["ic"] == score_forecasts(forecast[90:], earned[90:], index[90:], probabilities=True)["ic"]


def test_the_interval_of_accuracy_knows_that_symbols_move_together() -> None:
    """Four copies of one symbol are one observation a time: the interval is as wide as that of one."""
    rng = np.random.default_rng(3)
    forecast, earned = rng.uniform(size=400), rng.normal(size=400)
    alone = score_forecasts(forecast, earned, _index(400, 1), probabilities=True)
    four = score_forecasts(np.repeat(forecast, 4), np.repeat(earned, 4), _index(400, 4), probabilities=True)
    for name in ("accuracy_low", "accuracy", "accuracy_high"):
        assert four[name] == pytest.approx(alone[name])
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = score_forecasts(rng.uniform(size=300), rng.normal(size=300), _index(300, 1), probabilities=True)
        covered += found["accuracy_low"] <= 0.5 <= found["accuracy_high"]
    assert 0.9 <= covered / 200 <= 0.99


def test_the_interval_knows_that_labels_of_many_bars_overlap() -> None:
    """Returns over ten bars, one a bar, of forecasts that last: a tenth of the rows is what there is to know."""
    covered, index = 0, _index(1000, 1)
    for seed in range(400):
        rng = np.random.default_rng(seed)
        path = rng.normal(size=1010).cumsum()
        forecast = np.repeat(rng.uniform(size=40), 25)
        found = score_forecasts(forecast, path[10:] - path[:-10], index, probabilities=True, horizon=10)
        covered += found["accuracy_low"] <= 0.5 <= found["accuracy_high"]
    assert 0.925 <= covered / 400 <= 0.975
