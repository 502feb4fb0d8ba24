"""Where orders are filled, how large they are and what they cost: answers computed by hand."""

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.market.costs import CostModel
from gwt_lab.market.instruments import Instrument
from tests.backtest.made import FREE, NAN, at, bars, orders, told

STEADY = [(100, 100, 100, 100)] * 4
# opens and closes differ in every bar
RISING = [(10, 11, 10, 11), (12, 13, 12, 13), (14, 15, 14, 15), (16, 17, 16, 17)]


# ------------------------------------------------------------------------------------------------ where
@pytest.mark.parametrize(("price", "row", "paid"), [("next_open", 2, 14), ("close", 1, 13), ("next_close", 2, 15)])
def test_a_decision_of_row_1_is_filled_there(price, row, paid):
    market = bars(RISING)
    pf = Portfolio.from_signals(market, at(market, 1), size=1, price=price, **FREE)
    assert told(pf) == [(row, "order", 1, paid)]


def test_given_prices_are_paid_in_the_deciding_bar():
    market = bars(RISING)
    price = market.close - 0.5
    pf = Portfolio.from_signals(market, at(market, 1), size=1, price=price, **FREE)
    assert told(pf) == [(1, "order", 1, 12.5)]


def test_another_price_for_the_same_decisions_changes_the_prices_too():
    market = bars(RISING)
    pf = Portfolio.from_signals(market, at(market, 1), size=1, **FREE)
    assert told(pf.under(price="close")) == [(1, "order", 1, 13)]
    assert told(pf.under(price="next_close")) == [(2, "order", 1, 15)]


@pytest.mark.parametrize("price", ["next_open", "next_close"])
def test_the_last_decision_is_not_filled(price):
    market = bars(RISING)
    assert told(Portfolio.from_signals(market, at(market, 3), price=price)) == []


def test_a_signal_without_a_price_to_fill_at_does_nothing():
    market = bars([10, 10, None, 10, 10])
    assert told(Portfolio.from_signals(market, at(market, 1), **FREE)) == []
    assert told(Portfolio.from_signals(market, at(market, 2), price="close", **FREE)) == []
    assert told(Portfolio.from_signals(market, at(market, 2), size=1, **FREE)) == [(3, "order", 1, 10)]


# ------------------------------------------------------------------------------------------------ how large
@pytest.mark.parametrize(
    ("size_type", "size", "amount"),
    [("amount", 2, 2), ("value", 300, 3), ("percent", 0.5, 5), ("targetamount", 4, 4), ("targetvalue", 600, 6),
     ("targetpercent", 0.7, 7), ("percent", 2.0, 10), ("amount", np.inf, 10), ("value", np.inf, 10)],
)  # fmt: skip
def test_what_a_size_buys_of_1000_at_100(size_type, size, amount):
    market = bars(STEADY)
    pf = Portfolio.from_orders(market, orders(market, {0: size}), size_type=size_type, init_cash=1_000, **FREE)
    assert told(pf) == [(1, "order", amount, 100)]


@pytest.mark.parametrize(
    ("size_type", "size", "amount"),
    [("amount", 2, -2), ("value", 300, -3), ("percent", 0.5, -5), ("targetamount", 4, -4), ("targetvalue", 600, -6),
     ("targetpercent", 0.7, -7), ("percent", np.inf, -10), ("amount", np.inf, -10)],
)  # fmt: skip
def test_what_a_size_shorts(size_type, size, amount):
    market = bars(STEADY)
    sizes = orders(market, {0: size})
    pf = Portfolio.from_orders(market, sizes, size_type=size_type, direction="shortonly", init_cash=1_000, **FREE)
    assert told(pf) == [(1, "order", amount, 100)]
    assert pf.equity[-1] == 1_000


def test_targets_trade_the_difference():
    market = bars(STEADY)
    pf = Portfolio.from_orders(market, orders(market, {0: 4, 1: 1, 2: 1}), size_type="targetamount", **FREE)
    assert told(pf) == [(1, "order", 4, 100), (2, "order", -3, 100)]


@pytest.mark.parametrize("size_type", ["amount", "value", "percent"])
def test_long_only_never_sells_more_than_is_held(size_type):
    market = bars(STEADY)
    pf = Portfolio.from_orders(
        market, orders(market, {0: 1, 1: -np.inf, 2: -5}), size_type=size_type, direction="longonly", **FREE
    )
    assert pf.amounts[:, 0].min() == 0
    assert len(pf.fills) == 2


def test_short_only_never_buys_more_than_is_owed():
    market = bars(STEADY)
    pf = Portfolio.from_orders(market, orders(market, {0: 2, 1: -9, 2: -1}), direction="shortonly", **FREE)
    assert told(pf) == [(1, "order", -2, 100), (2, "order", 2, 100)]


def test_a_buy_is_cut_to_the_cash_with_fees_and_slippage():
    market = bars(STEADY)
    pf = Portfolio.from_signals(market, at(market, 0), fees=0.01, slippage=0.05, fixed_fees=2, init_cash=1_000)
    assert pf.fills[0, 2] == pytest.approx((1_000 - 2) / 1.01 / 105)
    assert pf.cash[-1] == 0.0


def test_a_reversal_is_one_order():
    market = bars(STEADY)
    pf = Portfolio.from_signals(market, at(market, 0), at(market, 1), direction="both", size=2, **FREE)
    assert told(pf) == [(1, "order", 2, 100), (2, "order", -4, 100)]


def test_accumulation_adds_and_removes_the_size():
    market = bars(STEADY)
    entries, exits = at(market, 0, 1), at(market, 2)
    both = Portfolio.from_signals(market, entries, exits, size=2, accumulate=True, **FREE)
    assert told(both) == [(1, "order", 2, 100), (2, "order", 2, 100), (3, "order", -2, 100)]
    adds = Portfolio.from_signals(market, entries, exits, size=2, accumulate="addonly", **FREE)
    assert told(adds) == [(1, "order", 2, 100), (2, "order", 2, 100), (3, "order", -4, 100)]
    removes = Portfolio.from_signals(market, entries, exits, size=2, accumulate="removeonly", **FREE)
    assert told(removes) == [(1, "order", 2, 100), (3, "order", -2, 100)]


@pytest.mark.parametrize(
    ("mode", "amount"), [("ignore", 2), ("close", 0), ("closereduce", 0), ("reverse", -2), ("reversereduce", -2)]
)
def test_an_entry_against_the_position(mode, amount):
    market = bars(STEADY)
    pf = Portfolio.from_signals(
        market, at(market, 0), short_entries=at(market, 1), size=2, upon_opposite_entry=mode, **FREE
    )
    assert pf.amounts[-1, 0] == amount


# ------------------------------------------------------------------------------------------------ at what cost
def test_fees_slippage_and_fixed_fees():
    market = bars(STEADY)
    pf = Portfolio.from_signals(
        market, at(market, 0), at(market, 1), size=2, fees=0.01, slippage=0.1, fixed_fees=3, init_cash=1_000
    )
    assert pf.fills[:, 3].tolist() == pytest.approx([110, 90])
    assert pf.fills[:, 4].tolist() == pytest.approx([2.2 + 3, 1.8 + 3])
    assert pf.cash[-1] == pytest.approx(1_000 - 220 - 5.2 + 180 - 4.8)


def test_fee_tiers_switch_with_the_value_traded_in_30_days():
    market = bars([100] * 40, timeframe="1d")
    size = orders(market, {0: 3, 1: 3, 2: 3, 35: 1})
    tiers = ((0.0, 0.01, 0.0), (500.0, 0.001, 0.0))
    pf = Portfolio.from_orders(market, size, slippage=0, fee_tiers=tiers)
    # 0 and 300 have been traded before the first two, 600 before the third; after 30 days all of it is forgotten
    assert pf.fills[:, 4].tolist() == pytest.approx([3.0, 3.0, 0.3, 1.0])


def test_the_thirtieth_day_still_counts_and_the_next_does_not():
    market = bars([100] * 40, timeframe="1d")
    tiers = ((0.0, 0.01, 0.0), (500.0, 0.001, 0.0))
    for gap, fee in ((29, 0.1), (30, 1.0)):
        pf = Portfolio.from_orders(market, orders(market, {0: 6, gap: 1}), slippage=0, fee_tiers=tiers)
        assert pf.fills[1, 4] == pytest.approx(fee)


def test_a_limit_pays_the_makers_fee_and_no_slippage():
    market = bars([100, (100, 100, 94, 95), 95])
    pf = Portfolio.from_signals(
        market, at(market, 0), size=2, limit=0.05, fees=0.01, maker_fees=-0.002, slippage=0.1, init_cash=1_000
    )
    assert told(pf) == [(1, "limit", 2, 95)]
    assert pf.fills[0, 4] == pytest.approx(-0.38)
    assert pf.cash[-1] == pytest.approx(1_000 - 190 + 0.38)


def test_impact_is_the_root_of_the_share_of_the_volume():
    market = bars(STEADY, volume=400)
    pf = Portfolio.from_orders(market, orders(market, {0: 4, 1: -4}), fees=0, slippage=0.01, impact=0.5)
    # 4 of 400 is a hundredth, its root a tenth, half of it 5 %
    assert pf.fills[:, 3].tolist() == pytest.approx([106, 94])


def test_a_bar_without_volume_has_no_impact():
    market = bars(STEADY, volume=0.0)
    pf = Portfolio.from_orders(market, orders(market, {0: 4}), fees=0, slippage=0.01, impact=0.5)
    assert pf.fills[0, 3] == pytest.approx(101)


def venue(**rules: float) -> dict[str, Instrument]:
    return {"AA/USDT": Instrument("AA/USDT", **rules)}


def test_prices_are_rounded_to_the_tick_against_us():
    market = bars(STEADY, instruments=venue(price_tick=0.5))
    costs = CostModel(0.0, 0.001, use_lots=True)
    pf = Portfolio.from_orders(market, orders(market, {0: 1, 1: -1}), costs=costs)
    assert pf.fills[:, 3].tolist() == [100.5, 99.5]  # 100.1 up, 99.9 down


def test_a_price_on_the_tick_stays_there():
    market = bars([0.3] * 3, instruments=venue(price_tick=0.1))  # 3 * 0.1 is above 0.3 in floating point
    pf = Portfolio.from_orders(market, orders(market, {0: 1}), costs=CostModel(0.0, 0.0, use_lots=True))
    assert pf.fills[0, 3] == pytest.approx(0.3)


def test_amounts_are_cut_to_lots_and_small_orders_dropped():
    market = bars(STEADY, instruments=venue(amount_lot=0.5, min_amount=1.0, min_notional=150.0))
    costs = CostModel(0.0, 0.0, use_lots=True)
    pf = Portfolio.from_orders(market, orders(market, {0: 2.7, 1: 1.2, 2: -0.9}), costs=costs)
    assert told(pf) == [(1, "order", 2.5, 100)]  # 1.0 is worth 100, below 150; 0.5 is below 1.0


def test_a_lot_that_is_missed_by_rounding_is_met_but_never_on_credit():
    market = bars(STEADY, instruments=venue(amount_lot=0.1))
    costs = CostModel(0.0, 0.0, use_lots=True)
    met = Portfolio.from_orders(market, orders(market, {0: 0.3 - 1e-16}), costs=costs)
    assert met.fills[0, 2] == pytest.approx(0.3)
    short = Portfolio.from_signals(market, at(market, 0), costs=costs, init_cash=1_000 * (1 - 1e-12))
    assert short.fills[0, 2] == pytest.approx(9.9)
    assert short.cash.min() >= 0


# ------------------------------------------------------------------------------------------------ accounts
def two(rows: int = 4):
    return bars([100] * rows, [10] * rows)


def test_without_sharing_every_column_has_its_own_cash():
    market = two()
    pf = Portfolio.from_signals(market, at(market, 0), init_cash=1_000, **FREE)
    assert pf.fills[:, 2].tolist() == [10, 100]
    assert list(pf.accounts) == list(market.symbols)


def test_with_sharing_the_first_column_takes_it_all():
    market = two()
    pf = Portfolio.from_signals(market, at(market, 0), init_cash=1_000, cash_sharing=True, **FREE)
    assert pf.fills[:, 1:3].tolist() == [[0, 10]]
    last = Portfolio.from_signals(
        market, at(market, 0), init_cash=1_000, cash_sharing=True, call_seq="reversed", **FREE
    )
    assert last.fills[:, 1:3].tolist() == [[1, 100]]


def test_auto_sells_first():
    market = two()
    size = orders(market, {(0, 1): 100, (1, 0): 10, (1, 1): -100})
    shared = {"init_cash": 1_000, "cash_sharing": True, **FREE}
    in_order = Portfolio.from_orders(market, size, **shared)
    assert in_order.fills[:, 1:3].tolist() == [[1, 100], [1, -100]]
    auto = Portfolio.from_orders(market, size, call_seq="auto", **shared)
    assert auto.fills[:, 1:3].tolist() == [[1, 100], [1, -100], [0, 10]]


def test_groups_keep_sizes_and_stops_with_their_columns():
    """Columns of a group stand side by side, whatever order they came in; what was given as an array goes with them."""
    market = bars([100] * 4, [10] * 4, [(1, 1, 0.8, 1)] * 4)
    size, stop = np.array([1.0, 20.0, 300.0]), np.array([NAN, NAN, 0.1])
    pf = Portfolio.from_signals(
        market, at(market, 0), size=size, sl_stop=stop, group_by=["a", "b", "a"], init_cash=1_000, **FREE
    )
    assert list(pf.columns) == ["AA/USDT", "CC/USDT", "BB/USDT"]
    got = {(pf.columns[int(c)], a) for _, c, a, *_ in pf.fills}
    assert got == {("AA/USDT", 1.0), ("BB/USDT", 20.0), ("CC/USDT", 300.0), ("CC/USDT", -300.0)}
    sizes = Portfolio.from_orders(
        market, np.broadcast_to(size, market.shape), size_type="targetamount", group_by=["a", "b", "a"], **FREE
    )
    assert sizes.assets().iloc[-1].to_dict() == {"AA/USDT": 1.0, "CC/USDT": 300.0, "BB/USDT": 20.0}


def test_columns_of_equal_parameters_share_cash():
    market = two()
    labels = pd.MultiIndex.from_tuples(
        [(1, "AA/USDT"), (2, "AA/USDT"), (1, "BB/USDT"), (2, "BB/USDT")], names=["fast", "symbol"]
    )
    entries = pd.DataFrame(np.tile(np.arange(4)[:, None] == 0, 4), market.index, labels)
    pf = Portfolio.from_signals(market, entries, size=3, cash_sharing=True, **FREE)
    assert list(pf.accounts) == [1, 2]
    assert pf[2].assets().iloc[-1].tolist() == [3, 3]


def test_one_symbol_takes_many_parameters_of_orders():
    market = bars(STEADY)
    labels = pd.MultiIndex.from_tuples([(1, "AA/USDT"), (2, "AA/USDT")], names=["size", "symbol"])
    size = pd.DataFrame([[1.0, 2.0], [NAN] * 2, [NAN] * 2, [NAN] * 2], market.index, labels)
    assert Portfolio.from_orders(market, size, **FREE).fills[:, 2].tolist() == [1, 2]


def test_drift_trades_all_targets_when_one_is_missed():
    market = bars([100, 100, 104, 130, 130], [100] * 5)
    weights = pd.DataFrame(0.5, market.index[:1], market.close.columns)
    pf = Portfolio.from_weights(market, weights, rebalance=0.05, init_cash=1_000, **FREE)
    # 520 of 1020 is 51 %: not yet; 650 of 1150 is 56.5 %: both are traded back to 575
    assert [(r, c) for r, c, *_ in pf.fills[:, :2].astype(int).tolist()] == [(1, 0), (1, 1), (3, 0), (3, 1)]
    assert pf.fills[2:, 2].tolist() == pytest.approx([575 / 130 - 5, 0.75])


@pytest.mark.parametrize("seed", range(20))
def test_of_equal_orders_the_last_column_waits_whatever_rounding_says(seed):
    prices = np.random.default_rng(seed).uniform(1, 1_000, 3).tolist()
    market = bars(*([price] * 3 for price in prices))
    sizes = pd.DataFrame(0.5, market.index[:1], market.close.columns).reindex(market.index)
    settings = {"size_type": "targetpercent", "cash_sharing": True, "call_seq": "auto", **FREE}
    assert Portfolio.from_orders(market, sizes, **settings).fills[:, 1].tolist() == [0, 1]
    assert Portfolio.from_orders(market, sizes, leverage=1.2, **settings).fills[:, 1].tolist() == [0, 1, 2]


def test_what_cannot_be_traded_does_not_count_as_drift():
    market = bars([NAN] * 3 + [10, 10], [100, 100, 101, 101, 101], [100] * 5)
    weights = pd.DataFrame(1 / 3, market.index[:1], market.close.columns)
    pf = Portfolio.from_weights(market, weights, rebalance=0.1, init_cash=900, **FREE)
    # the first is listed at row 3, where it misses its target: only then all are traded again
    assert pf.fills[:, 0].tolist() == [1, 1, 3, 3, 3]
    held = Portfolio.from_holding(market, price=market.close, cash_sharing=True, size=100, size_type="value", **FREE)
    assert held.fills[:, 0].tolist() == [0, 0, 3]


def test_schedule_trades_every_so_many_bars():
    market = bars([100, 110, 120, 130, 140, 150], [100] * 6)
    weights = pd.DataFrame(0.5, market.index, market.close.columns)
    pf = Portfolio.from_weights(market, weights, rebalance=2, init_cash=1_000, **FREE)
    assert set(pf.fills[:, 0]) == {1, 3, 5}
