"""`why_no_trades` names the reason for every decision that was not filled, on bars made for each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest import why
from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.market.costs import CostModel
from gwt_lab.market.instruments import Instrument
from tests.backtest.markets import by_hand, flags, market, random_signals
from tests.oracles import paths

STILL = (10.0, 10.0, 10.0, 10.0)
GAP = (np.nan,) * 4


def still(n: int = 5):
    return by_hand(*[STILL] * n)


def counts(pf: Portfolio) -> dict[str, int]:
    table = pf.why_no_trades().table
    return dict(zip(table["reason"], table["count"], strict=True))


def signals(bars, *rows, exits=(), **settings) -> Portfolio:
    return Portfolio.from_signals(bars, flags(bars, *rows), flags(bars, *exits), **settings)


def orders(bars, sizes, **settings) -> Portfolio:
    return Portfolio.from_orders(bars, pd.Series(sizes, index=bars.index, dtype=float), **settings)


NAN = np.nan
CASES = {
    why.NOTHING: lambda: (signals(still()), 0),
    why.LAST_BAR: lambda: (signals(still(), 4), 1),
    why.NO_PRICE: lambda: (signals(by_hand(STILL, STILL, GAP, STILL, STILL), 1), 1),
    why.BOTH_SIDES: lambda: (
        Portfolio.from_signals(still(), flags(still(), 1, 2), None, short_entries=flags(still(), 1, 2)),
        2,
    ),
    why.ENTRY_AND_EXIT: lambda: (signals(still(), 1, exits=(1,)), 1),
    why.SAME_SIDE: lambda: (signals(still(), 0, 2, 3), 2),
    why.OTHER_SIDE: lambda: (
        Portfolio.from_signals(
            still(), flags(still(), 0), None, short_entries=flags(still(), 2), upon_opposite_entry="ignore",
        ),
        1,
    ),
    why.STOPPED: lambda: (
        signals(by_hand(STILL, (10, 10, 8, 9), STILL), 0, 1, sl_stop=0.1, price="close"),
        1,
    ),
    why.ZERO_SIZE: lambda: (signals(still(), 1, size=0.0), 1),
    why.AT_TARGET: lambda: (orders(still(), [0.0, NAN, NAN, NAN, NAN], size_type="targetamount"), 1),
    why.NOTHING_TO_SELL: lambda: (orders(still(), [NAN, -1, NAN, NAN, NAN], direction="longonly"), 1),
    why.RUINED: lambda: (
        orders(by_hand(STILL, STILL, *[(40, 40, 40, 40)] * 3), [-1, NAN, 0.5, NAN, NAN],
               size_type="targetpercent"),
        1,
    ),
    why.NEVER_REACHED: lambda: (signals(still(), 1, limit=0.05), 1),
    why.TOO_SMALL: lambda: (
        signals(
            market_with_lots(), 1, costs=CostModel(0, 0, use_lots=True), init_cash=5.0, price="close"
        ),
        1,
    ),
    why.NO_CASH: lambda: (
        orders(still(), [2000.0, NAN, 1.0, NAN, NAN], direction="longonly"),
        1,
    ),
}  # fmt: skip


def market_with_lots():
    from dataclasses import replace

    bars = still()
    return replace(bars, instruments={"A/USDT": Instrument("A/USDT", amount_lot=1.0, min_amount=1.0)})


@pytest.mark.parametrize("reason", CASES, ids=lambda code: why.REASONS[code])
def test_each_reason_is_named(reason):
    pf, count = CASES[reason]()
    assert counts(pf) == {why.REASONS[reason]: count}


def test_a_ruined_account_is_worth_less_than_nothing():
    pf, _ = CASES[why.RUINED]()
    assert pf.value().iloc[2] < 0


def test_the_first_time_and_the_column_stand_beside_the_reason():
    pf = signals(still(), 0, 2, 3)
    row = pf.why_no_trades().table.iloc[0]
    assert (row["column"], row["first"]) == ("A/USDT", pf.bars.index[2])


def test_a_sentence_says_the_main_reason():
    assert "no entry signal" in signals(still()).why_no_trades().sentence
    told = repr(signals(by_hand(STILL, GAP, GAP, STILL, STILL), 0, 1, 4).why_no_trades())
    assert told.startswith("0 of 3 entries and orders were filled; most of the others (2)")
    assert "All 1 entries" in signals(still(), 1).why_no_trades().sentence


def test_a_limit_that_is_reached_later_is_filled():
    bars = by_hand(STILL, STILL, STILL, (10, 10, 9, 9.5), STILL)
    pf = signals(bars, 0, limit=0.05, limit_bars=3)
    assert len(pf.orders) == 1
    assert counts(pf) == {}
    assert counts(signals(bars, 0, limit=0.05, limit_bars=2)) == {why.REASONS[why.NEVER_REACHED]: 1}


SETTINGS = [
    {},
    {"price": "close"},
    {"sl_stop": 0.01},
    {"direction": "both"},
    {"cash_sharing": True},
    {"time_stop": 4},
    {"limit": 0.004, "limit_bars": 2},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_every_entry_is_filled_or_explained(settings):
    bars = market(400, seed=3, holes=0.1)
    entries, exits = random_signals(bars, seed=4)
    told = Portfolio.from_signals(bars, entries, exits, **settings).why_no_trades()
    assert told.n_filled + told.table["count"].sum() - told.n_lost_exits == told.n_decisions > 50
    assert why.REASONS[why.OTHER] not in set(told.table["reason"])


@pytest.mark.parametrize("size_type", ["amount", "value", "percent", "targetamount", "targetvalue", "targetpercent"])
@pytest.mark.parametrize("direction", ["longonly", "shortonly", "both"])
def test_every_order_is_filled_or_explained(size_type, direction):
    bars = market(300, seed=8, holes=0.1)
    rng = np.random.default_rng(9)
    unit = {"value": 6000.0, "percent": 0.6, "targetvalue": 6000.0, "targetpercent": 0.9}.get(size_type, 60.0)
    sizes = np.where(rng.uniform(size=bars.shape) < 0.2, rng.normal(0, unit, bars.shape), NAN)
    sizes = pd.DataFrame(sizes, bars.index, bars.close.columns)
    told = Portfolio.from_orders(bars, sizes, size_type=size_type, direction=direction).why_no_trades()
    assert told.n_filled + told.table["count"].sum() - told.n_lost_exits == told.n_decisions > 80
    assert why.REASONS[why.OTHER] not in set(told.table["reason"])


def test_an_exit_in_the_bar_is_not_taken_for_its_entry():
    pf = signals(still(), 0, 2, exits=(2,), upon_long_conflict="exit")
    assert len(pf.orders) == 2
    assert counts(pf) == {why.REASONS[why.ENTRY_AND_EXIT]: 1}


def test_weights_are_explained_too():
    bars = market(50, seed=3)
    pf = Portfolio.from_weights(bars, pd.DataFrame(0.0, bars.index, bars.close.columns))
    assert set(pf.why_no_trades().table["reason"]) == {why.REASONS[why.AT_TARGET], why.REASONS[why.LAST_BAR]}


def test_the_card_is_escaped_and_short():
    card = signals(still(), 0, 2).why_no_trades()._repr_html_()
    assert "already in the position" in card
    assert "<table" in card


def test_an_exit_that_found_no_price_is_told() -> None:
    close = np.array([100.0, 100, 100, np.nan, 100, 90])[:, None]
    bars = paths.bars_of(close, close)
    entries, exits = (np.arange(6)[:, None] == row for row in (0, 2))
    pf = Portfolio.from_signals(bars, entries, exits, fees=0, slippage=0)
    why = pf.why_no_trades()
    assert pf.amounts[-1, 0] > 0
    assert (
        why.sentence
        == "All 1 entries and orders were filled. 1 exit could not be filled, and the position stayed open."
    )
    (row,) = why.table.itertuples(index=False)
    assert (row.count, row.first) == (1, bars.index[2])
    assert "the position stayed" in row.reason
