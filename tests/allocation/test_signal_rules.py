"""Ranks to weights, and the rebalance grid."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gwt_lab.allocation.signal_rules import (
    hold_between,
    no_trade_band,
    rank_weights,
    rebalance_rows,
    threshold_weights,
    volatility_target,
)
from gwt_lab.errors import ConfigError, DataError, ShapeError
from tests.oracles import signal_rules as plain

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


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_grid_is_the_same_in_every_unit_of_time(unit):
    index = pd.date_range("2024-01-01", periods=8, freq="h", tz="UTC").as_unit(unit)
    assert rebalance_rows(index, "1h", 4).tolist() == [True, False, False, False] * 2
    frame = pd.DataFrame(1.0, index=index, columns=["A", "B"])
    assert hold_between(frame, "1h", 4).notna().all(axis=1).tolist() == [True, False, False, False] * 2
    with pytest.raises(ShapeError, match="open times as index, got a RangeIndex"):
        hold_between(frame.reset_index(drop=True), "1h", 4)
    with pytest.raises(ShapeError, match="must be a DataFrame with open times as index, got ndarray"):
        hold_between(frame.to_numpy(), "1h", 4)


def test_ranks_of_a_frame_are_a_frame():
    index = pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC")
    scores = pd.DataFrame([[3.0, 1.0, 2.0], [np.nan, 1.0, np.inf], [0.0, 0.0, 1.0]], index, ["A", "B", "C"])
    made = rank_weights(scores, share=0.34)
    pd.testing.assert_frame_equal(
        made, pd.DataFrame(rank_weights(scores.to_numpy(), share=0.34), index, scores.columns)
    )
    assert hold_between(made, "1h", 3).iloc[0].tolist() == [0.5, -0.5, 0.0]
    with pytest.raises(ShapeError, match=r"forecast must have shape \(n_times, n_symbols\), got \(3,\)"):
        rank_weights(scores["A"])
    with pytest.raises(DataError, match="forecast must be numbers"):
        rank_weights(scores.astype(object).assign(A="x"))


def test_settings_that_are_no_numbers_are_refused():
    table = np.full((3, 2), 0.5)
    for wrong in ("0.1", None, np.nan):
        with pytest.raises(ConfigError, match="share must be"):
            rank_weights(table, share=wrong)
        with pytest.raises(ConfigError, match="threshold must be"):
            threshold_weights(table, threshold=wrong)
        with pytest.raises(ConfigError, match="max_position_weight must be"):
            threshold_weights(table, max_position_weight=wrong)
        with pytest.raises(ConfigError, match="target and max_gross must be"):
            volatility_target(table, table, target=wrong, window=2)
        with pytest.raises(ConfigError, match="target and max_gross must be"):
            volatility_target(table, table, target=0.1, window=2, max_gross=wrong)
        with pytest.raises(ConfigError, match="band must be"):
            no_trade_band(table, band=wrong)


def test_off_the_grid_is_hold():
    weights = pd.DataFrame(1.0, index=index(10, "1h"), columns=["A", "B"])
    held = hold_between(weights, "1h", 4)
    assert held.notna().all(axis=1).tolist() == [h % 4 == 0 for h in range(10)]


@pytest.mark.parametrize("every", [0, -1, 2.0, True, None])
def test_the_pace_must_be_whole(every):
    with pytest.raises(ConfigError, match="whole number"):
        rebalance_rows(index(3, "1h"), "1h", every)


# ------------------------------------------------------------------------------------------------ thresholds
def test_thresholds_by_hand():
    forecast = [[0.7, 0.6, 0.3, NAN], [0.5, 0.5, 0.5, 0.5], [NAN] * 4, [0.9, 0.8, 0.61, 0.39]]
    long = threshold_weights(forecast)
    np.testing.assert_array_equal(long[:2], [[1, 0, 0, 0], [0, 0, 0, 0]])
    assert np.isnan(long[2]).all()
    np.testing.assert_allclose(long[3], [1 / 3, 1 / 3, 1 / 3, 0])
    np.testing.assert_array_equal(threshold_weights(forecast, long_only=False)[0], [0.5, 0, -0.5, 0])
    np.testing.assert_array_equal(threshold_weights(forecast, max_position_weight=0.25)[3], [0.25, 0.25, 0.25, 0])


def test_a_stricter_threshold_holds_fewer():
    forecast = np.random.default_rng(1).random((50, 8))
    held = [(threshold_weights(forecast, threshold=x, long_only=False) != 0).sum() for x in (0.5, 0.6, 0.7, 0.9)]
    assert held == sorted(held, reverse=True)
    assert held[0] > held[-1] > 0


def test_thresholds_refuse_what_is_no_probability():
    with pytest.raises(DataError, match=r"probabilities.*got -0.2"):
        threshold_weights([[0.5, -0.2]])
    with pytest.raises(ConfigError, match="threshold"):
        threshold_weights([[0.5]], threshold=0.4)
    with pytest.raises(ConfigError, match="max_position_weight"):
        threshold_weights([[0.5]], max_position_weight=0)
    with pytest.raises(ShapeError, match="n_times"):
        threshold_weights([0.5, 0.6])


PROBABILITIES = hnp.arrays(np.float64, (4, 5), elements=st.floats(0, 1) | st.just(NAN))


@settings(max_examples=60, deadline=None)
@given(PROBABILITIES, st.floats(0.5, 0.95), st.booleans(), st.floats(0.05, 1))
def test_thresholds_equal_their_plain_twin(forecast, threshold, long_only, cap):
    fast = threshold_weights(forecast, threshold=threshold, long_only=long_only, max_position_weight=cap)
    slow = plain.threshold_weights(forecast.tolist(), threshold, long_only, cap)
    np.testing.assert_allclose(fast, slow, rtol=1e-15)


# ------------------------------------------------------------------------------------------------ volatility targets
def test_a_volatility_target_by_hand():
    # returns of the held symbol: 1, -1, 1, -1 per cent: standard deviation of the last two is 1.414 per cent
    returns = np.array([[0.01, NAN], [-0.01, NAN], [0.01, NAN], [-0.01, NAN]])
    weights = np.tile([0.5, 0.0], (4, 1))
    scaled = volatility_target(weights, returns, target=0.00707106781, window=2, max_gross=3.0)
    assert np.isnan(scaled[0]).all()
    np.testing.assert_allclose(scaled[1:, 0], 0.5, rtol=1e-8)
    np.testing.assert_array_equal(scaled[1:, 1], 0.0)


def test_the_target_is_met_on_the_window_unless_gross_is_at_its_limit():
    rng = np.random.default_rng(0)
    returns, weights = rng.normal(0, 0.01, (300, 4)), np.tile([0.4, 0.3, -0.2, 0.1], (300, 1))
    scaled = volatility_target(weights, returns, target=0.002, window=100, max_gross=5.0)
    assert np.std(returns[200:300] @ scaled[299], ddof=1) == pytest.approx(0.002, rel=1e-12)
    limited = volatility_target(weights, returns, target=0.2, window=100, max_gross=0.8)
    np.testing.assert_allclose(np.abs(limited[299]).sum(), 0.8)


def test_no_volatility_and_no_weights():
    still = np.zeros((5, 2))
    assert np.isnan(volatility_target(np.full((5, 2), 0.5), still, target=0.01, window=3)).all()
    assert (volatility_target(still, still, target=0.01, window=3) == 0).all()
    assert np.isnan(volatility_target([[0.5, NAN]] * 3, np.ones((3, 2)), target=0.01, window=3)).all()


MAYBE = st.floats(-0.5, 0.5) | st.just(NAN) | st.just(0.0)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float64, (9, 3), elements=st.sampled_from([-0.5, 0.0, 0.25, 0.5, NAN])),
    hnp.arrays(np.float64, (9, 3), elements=st.sampled_from([-0.03, -0.01, 0.0, 0.02, 0.05, NAN])),
    st.integers(2, 10),
)
def test_volatility_targets_equal_their_plain_twin(weights, returns, window):
    fast = volatility_target(weights, returns, target=0.01, window=window)
    slow = plain.volatility_target(weights.tolist(), returns.tolist(), 0.01, window, 1.0)
    np.testing.assert_allclose(fast, slow, rtol=1e-9)


def test_volatility_targets_refuse_what_does_not_match():
    with pytest.raises(ShapeError, match="one shape"):
        volatility_target(np.ones((3, 2)), np.ones((4, 2)), target=0.1, window=2)
    frame = pd.DataFrame(1.0, index=index(3, "1h"), columns=["A", "B"])
    with pytest.raises(ShapeError, match="same index"):
        volatility_target(frame, frame[["B", "A"]], target=0.1, window=2)
    for bad in ({"target": 0}, {"target": NAN}, {"window": 1}, {"max_gross": 0}):
        with pytest.raises(ConfigError):
            volatility_target(frame, frame, **({"target": 0.1, "window": 2} | bad))


# ------------------------------------------------------------------------------------------------ bands
def test_a_band_by_hand():
    weights = [[0.5, 0.02], [0.53, 0.1], [NAN, 0.04], [0.0, 0.0]]
    banded = no_trade_band(weights, band=0.05)
    np.testing.assert_array_equal(banded, [[0.5, NAN], [NAN, 0.1], [NAN, 0.04], [0.0, 0.0]])
    edge = no_trade_band(weights, band=0.05, to_edge=True)
    np.testing.assert_allclose(edge, [[0.45, NAN], [0.48, 0.05], [NAN, NAN], [0.0, 0.0]])


def test_what_is_held_drifts():
    # half the account doubles: 0.5 becomes 1 of 1.5, so that the target of 0.6 is within the band
    weights, returns = [[0.5], [0.6]], [[0.0], [1.0]]
    np.testing.assert_array_equal(no_trade_band(weights, band=0.08, returns=returns), [[0.5], [NAN]])
    np.testing.assert_array_equal(no_trade_band(weights, band=0.08), [[0.5], [0.6]])


def test_a_wider_band_trades_less_and_none_trades_every_change():
    rng = np.random.default_rng(2)
    weights = rng.uniform(-0.5, 0.5, (200, 3))
    trades = [np.isfinite(no_trade_band(weights, band=band)).sum() for band in (0.0, 0.1, 0.3)]
    assert trades[0] == weights.size > trades[1] > trades[2]
    np.testing.assert_array_equal(no_trade_band(weights, band=0.0), weights)
    with pytest.raises(ConfigError, match="band"):
        no_trade_band(weights, band=-0.1)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float64, (9, 3), elements=MAYBE),
    hnp.arrays(np.float64, (9, 3), elements=MAYBE),
    st.floats(0, 0.4),
    st.booleans(),
    st.booleans(),
)
def test_bands_equal_their_plain_twin(weights, returns, band, drifts, to_edge):
    fast = no_trade_band(weights, band=band, returns=returns if drifts else None, to_edge=to_edge)
    slow = plain.no_trade_band(weights.tolist(), band, returns.tolist() if drifts else None, to_edge)
    np.testing.assert_allclose(fast, slow, rtol=1e-9, atol=1e-12)


def test_a_frame_stays_a_frame_and_the_steps_chain():
    rng = np.random.default_rng(3)
    columns = ["A", "B", "C"]
    forecast = pd.DataFrame(rng.random((60, 3)), index=index(60, "1h"), columns=columns)
    returns = pd.DataFrame(rng.normal(0, 0.01, (60, 3)), index=forecast.index, columns=columns)
    weights = threshold_weights(forecast)
    scaled = volatility_target(weights, returns, target=0.003, window=20)
    banded = no_trade_band(scaled, band=0.05, returns=returns)
    for frame in (weights, scaled, banded):
        assert frame.index.equals(forecast.index)
        assert list(frame.columns) == columns
    assert banded.notna().any().all()
    # a rule of rows is causal: what comes later changes nothing
    np.testing.assert_array_equal(no_trade_band(scaled[:40], band=0.05, returns=returns[:40]), banded[:40])
