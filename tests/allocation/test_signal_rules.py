"""Ranks to weights, and the rebalance grid."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gwt_lab.allocation.signal_rules import hold_between, rank_weights, rebalance_rows
from gwt_lab.errors import ConfigError

NAN = np.nan


def index(n: int, freq: str, start: str = "2024-01-01") -> pd.DatetimeIndex:
    return pd.date_range(start, periods=n, freq=freq, tz="UTC", unit="ns")


def test_best_and_worst_by_hand():
    weights = rank_weights([[0.3, 0.1, 0.9, 0.2]], share=0.25)
    assert weights.tolist() == [[0.0, -0.5, 0.5, 0.0]]
    assert rank_weights([[0.3, 0.1, 0.9, 0.2]], share=0.5).tolist() == [[0.25, -0.25, 0.25, -0.25]]
    assert rank_weights([[0.3, 0.1, 0.9, 0.2]], share=0.5, long_only=True).tolist() == [[0.5, 0.0, 0.5, 0.0]]


def test_a_missing_forecast_is_not_ranked():
    assert rank_weights([[NAN, 2.0, 1.0, NAN]], share=0.5).tolist() == [[0.0, 0.5, -0.5, 0.0]]


def test_too_few_forecasts_hold():
    assert np.isnan(rank_weights([[NAN, 1.0], [NAN, NAN]])).all()


def test_equal_forecasts_keep_the_order_of_columns():
    assert rank_weights([[1.0, 1.0, 1.0]], share=0.5).tolist() == [[0.5, 0.0, -0.5]]


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.float64, (5, 6), elements=st.floats(-1, 1) | st.just(NAN)), st.booleans(), st.floats(0.01, 0.5))
def test_gross_is_one_and_long_short_is_neutral(forecast, long_only, share):
    weights = rank_weights(forecast, long_only=long_only, share=share)
    ranked = np.isfinite(forecast).sum(axis=1) >= 2
    assert np.isnan(weights[~ranked]).all()
    np.testing.assert_allclose(np.abs(weights[ranked]).sum(axis=1), 1.0)
    np.testing.assert_allclose(weights[ranked].sum(axis=1), 1.0 if long_only else 0.0, atol=1e-12)
    for row in np.flatnonzero(ranked):
        long, rest = weights[row] > 0, np.isfinite(forecast[row]) & ~(weights[row] > 0)
        if rest.any():
            assert forecast[row][long].min() >= forecast[row][rest].max()


@pytest.mark.parametrize(("share", "long_only"), [(0, False), (0.6, False), (1.1, True), (NAN, True)])
def test_shares_out_of_range_are_refused(share, long_only):
    with pytest.raises(ConfigError, match="share"):
        rank_weights([[1.0, 2.0]], share=share, long_only=long_only)


def test_the_grid_counts_from_the_epoch():
    assert index(48, "1h")[rebalance_rows(index(48, "1h"), "1h", 24)].hour.tolist() == [0, 0]
    shifted = index(48, "1h", "2024-01-01 05:00")
    assert shifted[rebalance_rows(shifted, "1h", 24)].hour.tolist() == [0, 0]
    assert rebalance_rows(index(5, "1D"), "1d", 1).all()


def test_off_the_grid_is_hold():
    weights = pd.DataFrame(1.0, index=index(10, "1h"), columns=["A", "B"])
    held = hold_between(weights, "1h", 4)
    assert held.notna().all(axis=1).tolist() == [h % 4 == 0 for h in range(10)]


@pytest.mark.parametrize("every", [0, -1, 2.0, True, None])
def test_the_pace_must_be_whole(every):
    with pytest.raises(ConfigError, match="whole number"):
        rebalance_rows(index(3, "1h"), "1h", every)
