"""`Portfolio.from_order_func`: what the function saw and did is what the account did."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import ConfigError
from tests.oracles.paths import bars_of, hostile_bars


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


SETTINGS = [
    {},
    {"sl_stop": 0.02},
    {"sl_stop": 0.03, "tp_stop": 0.03},
    {"sl_stop": 0.03, "sl_trail": True},
    {"tp_stop": 0.05, "time_stop": 5},
    {"leverage": 4.0, "sl_stop": 0.2},
]


@pytest.mark.parametrize("price", ["next_open", "close", "next_close"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_decisions_one_by_one_equal_signals_as_a_whole(price: str, settings: dict[str, float]) -> None:
    rng = np.random.default_rng(4)
    bars = hostile_bars(rng, 400, 1)
    entries, exits = rng.random(400) < 0.06, rng.random(400) < 0.06
    stops = {name: value for name, value in settings.items() if name in ("sl_stop", "tp_stop")}
    rules = {name: value for name, value in settings.items() if name not in stops} | {"price": price}
    seen: list[tuple[float, float, float]] = []

    def decide(c) -> None:
        seen.append((c.cash, c.position, c.value))
        if entries[c.i] and not exits[c.i]:
            c.buy(**stops)
        elif exits[c.i] and not entries[c.i]:
            c.exit()

    pf = Portfolio.from_order_func(bars, decide, accumulate=False, **rules)
    whole = Portfolio.from_signals(bars, entries[:, None], exits[:, None], **stops, **rules)
    np.testing.assert_array_equal(pf.fills, whole.fills)
    np.testing.assert_array_equal(pf.equity, whole.equity)
    assert len(pf.fills) > 15
    # what it saw was the account as it stood: before this bar's own order where that is filled at the close
    traded = np.isin(np.arange(400), whole.fills[whole.fills[:, 5] == 0][:, 0].astype(int))
    alike = ~traded if price != "next_open" else np.ones(400, dtype=bool)
    np.testing.assert_array_equal(np.array(seen)[alike, 0], whole.cash[alike])
    np.testing.assert_array_equal(np.array(seen)[alike, 1], whole.amounts[alike, 0])
    np.testing.assert_allclose(np.array(seen)[alike, 2], whole.equity[alike], rtol=1e-12)


def test_several_symbols_share_one_account() -> None:
    bars = hostile_bars(np.random.default_rng(6), 200, 3)
    targets = np.random.default_rng(7).dirichlet(np.ones(3), 200)

    def decide(c) -> None:
        if c.i % 10 == 0:
            for j, symbol in enumerate(bars.symbols):
                c.order(float(targets[c.i, j]), symbol)

    pf = Portfolio.from_order_func(bars, decide, size_type="targetpercent", direction="both", call_seq="auto")
    weights = pd.DataFrame(np.nan, index=bars.index, columns=bars.close.columns)
    weights.iloc[::10] = targets[::10]
    np.testing.assert_allclose(pf.equity, Portfolio.from_weights(bars, weights).equity, rtol=1e-12)
    assert pf.n_accounts == 1


def test_the_function_sees_closed_bars_and_its_fill_one_bar_later() -> None:
    bars = bars_of(column(10, 20, 40, 40), column(11, 30, 40, 80))
    seen = []

    def decide(c) -> None:
        seen.append((c.time, c.open, c.close, c.position, c.last(2).tolist()))
        if c.i == 0:
            c.buy(2)

    Portfolio.from_order_func(bars, decide, fees=0, slippage=0, init_cash=100)
    assert [row[1:] for row in seen] == [
        (10, 11, 0, [11]), (20, 30, 2, [11, 30]), (40, 40, 2, [30, 40]), (40, 80, 2, [40, 80]),
    ]  # fmt: skip
    assert [row[0] for row in seen] == list(bars.index)


def test_buys_add_up_and_sells_take_away() -> None:
    bars = bars_of(column(*[10.0] * 6), column(*[10.0] * 6))

    def decide(c) -> None:
        {0: lambda: c.buy(3), 1: lambda: c.buy(2), 2: lambda: c.sell(1), 3: c.exit}.get(c.i, lambda: None)()

    pf = Portfolio.from_order_func(bars, decide, fees=0, slippage=0)
    assert pf.amounts[:, 0].tolist() == [0, 3, 5, 4, 0, 0]


def test_memory_of_its_own_and_arguments() -> None:
    bars = bars_of(column(*[10.0] * 5), column(*[10.0] * 5))

    def decide(c, step: int) -> None:
        c.data["n"] = c.data.get("n", 0) + step
        if c.data["n"] == 3 * step:
            c.buy(c.data["n"])

    assert Portfolio.from_order_func(bars, decide, 2, fees=0, slippage=0).amounts[-1, 0] == 6


def test_errors_say_where() -> None:
    bars = bars_of(column(*[10.0] * 3), column(*[10.0] * 3))

    def broken(c) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        Portfolio.from_order_func(bars, broken)
    assert caught.value.__notes__ == [f"raised at bar 0, {bars.index[0]}, of the order function"]
    with pytest.raises(ConfigError, match=r"order\(size\)"):
        Portfolio.from_order_func(bars, lambda c: c.buy(), size_type="targetpercent")
    with pytest.raises(ConfigError, match="else call buy, sell, exit"):
        Portfolio.from_order_func(bars, lambda c: c.order(0.5))
    with pytest.raises(ConfigError, match="one of C00/USDT; got 'X'"):
        Portfolio.from_order_func(bars, lambda c: c.buy(1, "X"))


@pytest.mark.parametrize(
    ("direction", "held"), [("longonly", [0, 2, 0, 0]), ("shortonly", [0, 0, -3, -3]), ("both", [0, 2, -1, -1])]
)
def test_the_direction_bounds_what_is_bought_and_sold(direction: str, held: list[float]) -> None:
    bars = bars_of(column(*[10.0] * 4), column(*[10.0] * 4))

    def decide(c) -> None:
        {0: lambda: c.buy(2), 1: lambda: c.sell(3)}.get(c.i, lambda: None)()

    pf = Portfolio.from_order_func(bars, decide, direction=direction, fees=0, slippage=0)
    assert pf.amounts[:, 0].tolist() == held


@pytest.mark.parametrize(
    ("order", "told"),
    [
        (lambda c: c.buy(-1), "size of an order must be a number from 0 on, got -1"),
        (lambda c: c.buy("all"), "got 'all'"),
        (lambda c: c.sell(float("nan")), "got nan"),
        (lambda c: c.buy(1, sl_stop=-0.1), "sl_stop of an order must be a number from 0 on"),
    ],
)
def test_orders_that_make_no_sense_are_refused(order, told: str) -> None:
    bars = bars_of(column(*[10.0] * 3), column(*[10.0] * 3))
    with pytest.raises(ConfigError, match=told):
        Portfolio.from_order_func(bars, order)
