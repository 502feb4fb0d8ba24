"""Every strategy of the registry: two clocks, the two laws, and plain JSON."""

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.synthetic import synthetic_market
from gwt_lab.errors import ConfigError, DataError, ShapeError, UnknownNameError
from gwt_lab.market.bars import Bars
from gwt_lab.models.lightgbm_model import LightGBMParams
from gwt_lab.strategies.base import Strategy
from gwt_lab.strategies.clock import Bar, BarState, iterate_bars
from gwt_lab.strategies.forecast_rank import train_forecast_rank
from gwt_lab.strategies.ma_cross import MovingAverageCross
from gwt_lab.strategies.registry import create_strategy, strategy_from_dict, strategy_names
from gwt_lab.validation.causality import check_causal
from tests.oracles.markets import random_bars

NAMES = ["ma_cross", "forecast_rank", "forecast_rank, alpha alone"]


@cache
def market(holes: float = 0.0) -> Bars:
    """Return 700 bars of six symbols whose names are not in alphabetical order."""
    bars = random_bars(6, 700, seed=5, holes=holes, start="2024-01-03 11:00")
    return bars.select([bars.symbols[k] for k in (3, 0, 5, 1, 4, 2)])


@cache
def strategy(name: str) -> Strategy:
    if name == "ma_cross":
        return MovingAverageCross(5, 20)
    trees = LightGBMParams(n_trees=10, min_data_in_leaf=20)
    columns = ("KMID", "ROC5", "STD20")
    if name == "forecast_rank":
        return train_forecast_rank(
            market().head(400), params=trees, every=2, graph_window=60, graph_step=6, alpha_columns=columns, share=0.34
        )
    return train_forecast_rank(market().head(400), params=trees, every=3, graph_window=0, alpha_columns=columns)


def stepped(chosen: Strategy, bars: Bars) -> np.ndarray:
    state = chosen.start(bars)
    out = []
    for bar in iterate_bars(bars):
        state, weights = chosen.decide(state, bar)
        out.append(weights)
    return np.array(out)


def test_every_registered_name_is_tried_here():
    assert {name.partition(",")[0] for name in NAMES} == set(strategy_names())


@pytest.mark.parametrize("holes", [0.0, 0.03])
@pytest.mark.parametrize("name", NAMES)
def test_both_clocks_decide_alike_bit_for_bit(name, holes):
    bars, chosen = market(holes).tail(200), strategy(name)
    batch = chosen.weights(bars).to_numpy()
    assert np.count_nonzero(~np.isnan(batch)) > 20
    np.testing.assert_array_equal(stepped(chosen, bars), batch)


@pytest.mark.parametrize("name", NAMES)
def test_a_later_start_decides_alike_after_the_lookback(name):
    chosen = strategy(name)
    whole = chosen.weights(market()).to_numpy()
    later = stepped(chosen, market().tail(chosen.lookback + 40))
    np.testing.assert_array_equal(later[-40:], whole[-40:])


@pytest.mark.parametrize("name", NAMES)
def test_the_two_laws(name):
    chosen = strategy(name)
    report = check_causal(
        chosen.every_bar().weights, market().tail(chosen.lookback + 100), lookback=chosen.lookback, n_cuts=2
    )
    assert report.passed, str(report)


@pytest.mark.parametrize("name", NAMES)
def test_plain_json_and_back(name):
    chosen = strategy(name)
    again = strategy_from_dict(json.loads(json.dumps(chosen.to_dict())))
    assert again == chosen
    pd.testing.assert_frame_equal(again.weights(market().tail(300)), chosen.weights(market().tail(300)))


def test_a_strategy_cannot_be_changed():
    with pytest.raises(AttributeError):
        strategy("ma_cross").fast = 7


# ------------------------------------------------------------------------------------------------ the state
def test_skipped_bars_become_missing_rows():
    bars, chosen = market().head(200), strategy("ma_cross")
    gone = {50, 51, 52, 120}
    frames = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume", "quote_volume")}
    for frame in frames.values():
        frame.iloc[sorted(gone)] = np.nan
    state = chosen.start(bars)
    got = {}
    for row, bar in enumerate(iterate_bars(bars)):
        if row not in gone:
            state, got[row] = chosen.decide(state, bar)
    expected = chosen.weights(Bars(**frames, timeframe=bars.timeframe)).to_numpy()
    for row, weights in got.items():
        np.testing.assert_array_equal(weights, expected[row])


def test_a_break_longer_than_the_memory_forgets_everything():
    bars, chosen = market(), strategy("ma_cross")
    state = chosen.start(bars)
    arriving = list(iterate_bars(bars))
    for bar in arriving[:60]:
        state, _ = chosen.decide(state, bar)
    state, weights = chosen.decide(state, arriving[500])
    assert len(state.times_ns) == chosen.lookback
    assert np.isnan(state.values[:-1]).all()
    assert np.isnan(weights).all()


def test_late_repeated_and_misfit_bars_are_refused():
    bars, chosen = market(), strategy("ma_cross")
    first, second = list(iterate_bars(bars.head(2)))
    state = chosen.start(bars).push(second)
    for bar in (first, second, Bar(second.time_ns + 1, second.values)):
        with pytest.raises(DataError, match="must open one or more bars after"):
            state.push(bar)
    with pytest.raises(ShapeError, match="6 symbols"):
        state.push(Bar(second.time_ns + 3600 * 10**9, second.values[:, :3]))
    with pytest.raises(DataError, match="no bar has arrived"):
        chosen.start(bars).bars()
    with pytest.raises(DataError, match="use start"):
        MovingAverageCross(2, 9).decide(state, first)


def test_the_state_keeps_no_more_than_it_says():
    state = BarState("1h", ("A",), 3)
    for hour in range(10):
        state = state.push(Bar(hour * 3600 * 10**9, np.full((6, 1), float(hour))))
    assert state.times_ns.tolist() == [h * 3600 * 10**9 for h in (7, 8, 9)]
    assert state.bars().close.iloc[:, 0].tolist() == [7, 8, 9]


# ------------------------------------------------------------------------------------------------ the registry
def test_unknown_names_and_parameters_are_refused():
    with pytest.raises(UnknownNameError, match="forecast_rank, ma_cross"):
        create_strategy("os.system")
    with pytest.raises(ConfigError, match="unknown"):
        create_strategy("ma_cross", {"fats": 3})
    with pytest.raises(ConfigError, match=r"model\.txt"):
        create_strategy("forecast_rank")
    with pytest.raises(ConfigError, match="name, parameters and texts"):
        strategy_from_dict({"name": "ma_cross"})
    with pytest.raises(ConfigError, match="texts"):
        strategy_from_dict({"name": "ma_cross", "parameters": {}, "texts": {"evil.txt": ""}})


def test_training_settings_are_checked():
    with pytest.raises(ConfigError, match="no setting sharee"):
        train_forecast_rank(market().head(300), sharee=1)
    with pytest.raises(ConfigError, match="features"):
        train_forecast_rank(market().head(300), graph_window=0)


# ------------------------------------------------------------------------------------------------ does it learn
def test_the_forecast_finds_what_was_planted_and_nothing_else():
    """Out of sample: a clear edge where leaders were planted, none where they were not."""
    found = {}
    for spillover in (0.3, 0.0):
        planted = synthetic_market(n_assets=8, n_bars=4000, seed=3, spillover=spillover)
        chosen = train_forecast_rank(planted.bars.head(3000), every=1, graph_window=500, graph_step=50)
        forecast = chosen.forecast(planted.bars)
        relative = forecast.sub(forecast.mean(axis=1), axis=0)
        relative.iloc[:3000] = np.nan
        found[spillover] = planted.score(relative)
    assert found[0.3].ic > 5 * found[0.3].ic_error
    assert abs(found[0.0].ic) < 3 * found[0.0].ic_error
