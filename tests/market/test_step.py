"""One bar at a time: the step form and the vectorised form keep the same ledger."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.market.bars import Bars
from gwt_lab.market.costs import CostModel
from gwt_lab.market.rules import FillRules
from gwt_lab.market.step import Decision, new_account, step
from tests.oracles.paths import hostile_bars

HOUR = 3_600 * 10**9


def bar(time: int, *rows: list[float]) -> SimpleNamespace:
    return SimpleNamespace(time_ns=time, values=np.array(rows, dtype=float))


@st.composite
def rules(draw: st.DrawFn) -> FillRules:
    leverage = draw(st.sampled_from([1.0, 1.0, 3.0]))
    return FillRules(
        price=draw(st.sampled_from(["next_open", "close", "next_close"])),
        costs=CostModel(
            draw(st.sampled_from([0.0, 0.001])),
            draw(st.sampled_from([0.0, 0.0005])),
            fixed_fees=draw(st.sampled_from([0.0, 1.0])),
            maker_fees=draw(st.sampled_from([None, -0.0001])),
            impact=draw(st.sampled_from([0.0, 0.05])),
            fee_tiers=draw(st.sampled_from([(), ((5_000.0, 0.0005, 0.0),)])),
        ),
        size_type=draw(st.sampled_from(["amount", "value", "targetpercent"])),
        direction="both",
        accumulate=draw(st.sampled_from([False, True, "addonly", "removeonly"])),
        upon_opposite_entry=draw(st.sampled_from(["ignore", "close", "reverse", "reversereduce"])),
        call_seq=draw(st.sampled_from(["default", "reversed", "auto"])),
        ambiguity=draw(st.sampled_from(["pessimistic", "neutral", "optimistic"])),
        sl_trail=draw(st.booleans()),
        time_stop=draw(st.sampled_from([0, 0, 3])),
        limit_bars=draw(st.integers(1, 3)),
        stop_exit_price=draw(st.sampled_from(["stoplimit", "stopmarket"])),
        leverage=leverage,
    )


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(rules(), st.integers(0, 10_000), st.booleans(), st.booleans())
def test_both_forms_keep_the_same_ledger(chosen: FillRules, seed: int, by_signals: bool, funded: bool) -> None:
    rng = np.random.default_rng(seed)
    bars = hostile_bars(rng, 40, 3)
    n_times, n = bars.shape
    numbers = {
        "size": np.where(rng.random((n_times, n)) < 0.3, rng.choice([0.2, 1.0, 3.0], (n_times, n)), np.nan),
        "sl_stop": rng.choice([np.nan, 0.01, 0.05], (n_times, n)),
        "tp_stop": rng.choice([np.nan, 0.02, 0.05], (n_times, n)),
        "limit": rng.choice([np.nan, np.nan, 0.0, 0.005], (n_times, n)),
    }
    signal = rng.choice(np.arange(16, dtype=np.uint8), (n_times, n)) * (rng.random((n_times, n)) < 0.25)
    keywords = {name: getattr(chosen, name) for name in FillRules.__dataclass_fields__ if name != "price"}
    keywords |= {name: values for name, values in numbers.items() if name != "size"}
    funding = pd.DataFrame(rng.normal(0, 0.001, bars.shape), index=bars.index, columns=bars.close.columns)
    shared = {"price": chosen.price, "cash_sharing": True, "funding": funding if funded else None}
    if by_signals:
        bits = [pd.DataFrame(signal & b != 0, index=bars.index, columns=bars.close.columns) for b in (1, 2, 4, 8)]
        sizes = np.nan_to_num(numbers["size"], nan=1.0)
        whole = Portfolio.from_signals(
            bars, bits[0], bits[1], short_entries=bits[2], short_exits=bits[3], size=sizes, **shared, **keywords
        )
    else:
        sizes = numbers["size"] * rng.choice([-1.0, 1.0], bars.shape)
        whole = Portfolio.from_orders(bars, sizes, **shared, **keywords)
    state, fills, values = new_account(bars.symbols, 10_000.0, chosen), [], []
    panel = np.stack([getattr(bars, f).to_numpy() for f in ("open", "high", "low", "close", "volume")], axis=1)
    for row, time in enumerate(bars.index.asi8):
        decision = Decision(
            sizes[row],
            signal[row] if by_signals else None,
            **{name: numbers[name][row] for name in ("sl_stop", "tp_stop", "limit")},
        )
        due = np.stack([funding.to_numpy()[row], np.zeros(n)]) if funded else None
        state, done = step(state, SimpleNamespace(time_ns=time, values=panel[row]), decision, due)
        fills += [(row, *fill) for fill in done]
        values.append(state.value)
    np.testing.assert_array_equal(np.array(fills).reshape(-1, 6), whole.fills)
    np.testing.assert_array_equal(values, whole.equity)
    np.testing.assert_array_equal(state.positions, whole.amounts[-1])
    assert state.cash == whole.cash[-1]


def test_a_decision_waits_for_the_next_open() -> None:
    state = new_account(["A/USDT"], 100.0, FillRules(costs=CostModel(0.0, 0.0)))
    buy = Decision(np.array([np.inf]), np.array([1], dtype=np.uint8))
    state, fills = step(state, bar(0, [10], [10], [10], [10], [1]), buy)
    assert (len(fills), state.cash, state.value) == (0, 100.0, 100.0)
    state, fills = step(state, bar(HOUR, [20], [30], [20], [30], [1]))
    assert fills.tolist() == [[0, 5, 20, 0, 0]]
    assert (state.cash, state.positions.tolist(), state.value) == (0.0, [5.0], 150.0)
    state, fills = step(state, bar(2 * HOUR, [40], [40], [40], [40], [1]))
    assert (len(fills), state.value) == (0, 200.0)


def test_the_state_before_is_not_changed() -> None:
    before = new_account(["A/USDT"], 100.0, FillRules(price="close"))
    after, _ = step(before, bar(0, [10], [10], [10], [10], [1]), Decision(np.array([1.0]), np.array([1], np.uint8)))
    assert before.cash == 100.0
    assert before.positions.tolist() == [0.0]
    assert after.positions.tolist() == [1.0]


def test_what_cannot_be_is_refused() -> None:
    state = new_account(["A/USDT", "B/USDT"])
    first = bar(HOUR, *[[1.0, 1.0]] * 5)
    state, _ = step(state, first)
    with pytest.raises(DataError, match="late or repeated"):
        step(state, first)
    with pytest.raises(ShapeError, match="5 rows or more of 2"):
        step(state, bar(2 * HOUR, *[[1.0]] * 5))
    with pytest.raises(ShapeError, match="size of a decision for 2 symbols"):
        step(state, bar(2 * HOUR, *[[1.0, 1.0]] * 5), Decision(np.array([1.0])))
    with pytest.raises(ConfigError, match="above 0"):
        new_account(["A/USDT"], 0.0)


def test_bars_are_taken_from_anything_with_time_and_values() -> None:
    from gwt_lab.strategies.clock import iterate_bars

    bars: Bars = hostile_bars(np.random.default_rng(1), 12, 2)
    state = new_account(bars.symbols)
    for one in iterate_bars(bars):
        state, _ = step(state, one)
    assert state.time_ns == bars.index.asi8[-1]


@pytest.mark.parametrize(
    ("prices", "decision", "funding", "error", "told"),
    [([-1.0, 1, 1, 1, 1], None, None, DataError, "prices of a bar must be above 0"),
     ([1.0, np.inf, 1, 1, 1], None, None, DataError, "prices of a bar must be above 0"),
     ([1.0] * 5, np.array([1.0]), None, ConfigError, r"must be a Decision\(size, signal, ...\), got ndarray"),
     ([1.0] * 5, Decision(np.array([1.0]), np.array([99])), None, DataError, "sums of 1, 2, 4, 8, got"),
     ([1.0] * 5, Decision(np.array([-1.0]), np.array([1])), None, ConfigError, "size must not be negative"),
     ([1.0] * 5, Decision(np.array([1.0]), sl_stop=np.array([5.0])), None, ConfigError, "sl_stop must be a fraction"),
     ([1.0] * 5, None, np.array([1.0]), ShapeError, r"funding must have shape \(2, 1\)"),
     ([1.0] * 5, None, np.array([[np.inf], [0.0]]), DataError, "funding rates must be finite")],
)  # fmt: skip
def test_what_cannot_happen_is_refused(prices, decision, funding, error, told):
    state = new_account(["A/USDT"])
    with pytest.raises(error, match=told):
        step(state, bar(0, *[[price] for price in prices]), decision, funding)


def test_a_missing_funding_rate_is_none():
    state = new_account(["A/USDT"], rules=FillRules(price="close"))
    state, _ = step(state, bar(0, *[[10.0]] * 5), Decision(np.array([1.0]), np.array([1], np.uint8)))
    after, _ = step(state, bar(HOUR, *[[10.0]] * 5), None, np.array([[np.nan], [np.nan]]))
    assert after.cash == state.cash
