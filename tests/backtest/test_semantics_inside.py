"""What happens inside a bar: stops, targets, trails, time stops and limits, in all three readings of a bar."""

import pytest

from gwt_lab.backtest.portfolio import Portfolio
from tests.backtest.made import FREE, at, bars, orders, told

MODES = ("pessimistic", "neutral", "optimistic")


def long_trade(rows, *, price="next_open", entry=0, **settings) -> list:
    """Return what happens to one unit bought by a signal at row `entry`, without the purchase itself."""
    market = bars(rows)
    return told(Portfolio.from_signals(market, at(market, entry), size=1, price=price, **FREE, **settings))[1:]


def short_trade(rows, **settings) -> list:
    return long_trade(rows, direction="shortonly", **settings)


# ------------------------------------------------------------------------------------------------ stops and targets
def test_a_stop_inside_the_bar_fills_at_its_price():
    rows = [100, 100, (100, 102, 94, 101), 101]
    assert long_trade(rows, sl_stop=0.05) == [(2, "stop loss", -1, 95)]
    assert long_trade(rows, sl_stop=0.07) == []
    assert short_trade([100, 100, (100, 106, 99, 99), 99], sl_stop=0.05) == [(2, "stop loss", 1, 105)]


def test_a_stop_that_is_just_touched_is_hit():
    assert long_trade([100, 100, (100, 100, 95, 100), 100], sl_stop=0.05) == [(2, "stop loss", -1, 95)]


def test_a_gap_through_the_stop_fills_at_the_open():
    assert long_trade([100, 100, (90, 99, 85, 99), 99], sl_stop=0.05) == [(2, "stop loss", -1, 90)]
    assert short_trade([100, 100, (112, 115, 99, 99), 99], sl_stop=0.05) == [(2, "stop loss", 1, 112)]


def test_a_stop_that_cannot_be_filled_at_the_open_waits_for_the_next():
    # 40 is below the fixed fee of 50, so nothing is sold; the stop's own price of 90 was never there
    rows = [100, 100, 40, 40, (60, 65, 58, 60), 60]
    market = bars(rows)
    pf = Portfolio.from_signals(market, at(market, 0), size=1, sl_stop=0.1, fixed_fees=50, fees=0, slippage=0)
    assert told(pf)[1:] == [(4, "stop loss", -1, 60)]


def test_a_market_stop_pays_slippage():
    market = bars([100, 100, (100, 100, 90, 95), 95])
    words = {"size": 1, "sl_stop": 0.05, "fees": 0.0, "slippage": 0.01}
    limit = Portfolio.from_signals(market, at(market, 0), **words)
    assert limit.fills[1, 3] == pytest.approx(101 * 0 + 95)
    sold = Portfolio.from_signals(market, at(market, 0), stop_exit_price="stopmarket", **words)
    assert sold.fills[1, 3] == pytest.approx(95 * 0.99)


def test_a_target_inside_and_at_the_open():
    assert long_trade([100, 100, (100, 106, 99, 100)], tp_stop=0.05) == [(2, "take profit", -1, 105)]
    assert long_trade([100, 100, (108, 109, 99, 100)], tp_stop=0.05) == [(2, "take profit", -1, 108)]
    assert short_trade([100, 100, (91, 92, 90, 92)], tp_stop=0.05) == [(2, "take profit", 1, 91)]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("pessimistic", (2, "stop loss", -1, 95)), ("neutral", (2, "take profit", -1, 103)),
     ("optimistic", (2, "take profit", -1, 103))],
)  # fmt: skip
def test_a_bar_that_holds_both(mode, expected):
    """The target, 3 away from the open, is nearer than the stop, 5 away."""
    rows = [100, 100, (100, 104, 94, 100)]
    assert long_trade(rows, sl_stop=0.05, tp_stop=0.03, ambiguity=mode) == [expected]


def test_neutral_takes_the_stop_where_it_is_nearer_to_the_open():
    rows = [100, 100, (98, 104, 94, 100)]
    assert long_trade(rows, sl_stop=0.05, tp_stop=0.03, ambiguity="neutral") == [(2, "stop loss", -1, 95)]


@pytest.mark.parametrize("mode", MODES)
def test_what_the_open_decides_is_certain(mode):
    beyond_target = [100, 100, (110, 111, 90, 100)]
    assert long_trade(beyond_target, sl_stop=0.05, tp_stop=0.05, ambiguity=mode) == [(2, "take profit", -1, 110)]
    beyond_stop = [100, 100, (94, 120, 94, 100)]
    assert long_trade(beyond_stop, sl_stop=0.05, tp_stop=0.05, ambiguity=mode) == [(2, "stop loss", -1, 94)]


def test_the_bar_of_the_entry_counts_where_it_is_bought_at_the_open_and_not_at_the_close():
    rows = [100, (100, 100, 94, 100), 100]
    assert long_trade(rows, sl_stop=0.05) == [(1, "stop loss", -1, 95)]
    assert long_trade(rows, sl_stop=0.05, price="close", entry=1) == []
    assert long_trade(rows, sl_stop=0.05, price="next_close") == []


def test_the_first_bar_after_an_entry_at_the_close_counts():
    rows = [100, 100, (100, 100, 94, 100)]
    assert long_trade(rows, sl_stop=0.05, price="close", entry=1) == [(2, "stop loss", -1, 95)]


def test_stops_count_from_the_price_before_slippage():
    market = bars([100, 100, (100, 100, 94.5, 95), 95])
    pf = Portfolio.from_signals(market, at(market, 0), size=1, sl_stop=0.05, fees=0, slippage=0.02)
    assert told(pf) == [(1, "order", 1, 102), (2, "stop loss", -1, 95)]


def test_a_stopped_column_takes_no_order_decided_in_the_same_bar():
    market = bars([100, (100, 100, 90, 100), 100])
    pf = Portfolio.from_signals(market, at(market, 0, 1), size=1, sl_stop=0.05, price="close", **FREE)
    assert told(pf) == [(0, "order", 1, 100), (1, "stop loss", -1, 95)]


def test_a_bar_that_lacks_a_field_reads_it_from_the_others():
    nan = float("nan")
    assert long_trade([100, 100, (100, nan, nan, 94)], sl_stop=0.05) == [(2, "stop loss", -1, 95)]
    assert long_trade([100, 100, (nan, 101, 94, 100)], sl_stop=0.05) == [(2, "stop loss", -1, 95)]
    assert long_trade([100, 100, (100, 101, 94, nan)], sl_stop=0.05) == [(2, "stop loss", -1, 95)]
    assert long_trade([100, 100, None, (90, 91, 89, 90)], sl_stop=0.05) == [(3, "stop loss", -1, 90)]


# ------------------------------------------------------------------------------------------------ trails
def test_a_trail_moves_with_completed_bars_only():
    # the high of row 2 lifts the stop to 114 for row 3; row 2 itself falls to 97 unharmed
    rows = [100, 100, (100, 120, 97, 118), (118, 119, 113, 115)]
    assert long_trade(rows, sl_stop=0.05, sl_trail=True) == [(3, "trailing stop", -1, 114)]


def test_a_trail_does_not_fall_back():
    rows = [100, (100, 110, 100, 109), (109, 109, 105, 106), (106, 106, 104, 104)]
    assert long_trade(rows, sl_stop=0.05, sl_trail=True) == [(3, "trailing stop", -1, 104.5)]


def test_a_short_trails_the_lows():
    rows = [100, (100, 100, 80, 82), (82, 85, 82, 84)]
    assert short_trade(rows, sl_stop=0.05, sl_trail=True) == [(2, "trailing stop", 1, 84)]


def test_the_bar_of_an_entry_at_the_close_does_not_lift_the_trail():
    rows = [100, (100, 150, 100, 100), (100, 100, 96, 100)]
    assert long_trade(rows, sl_stop=0.05, sl_trail=True, price="close", entry=1) == []


def test_a_fill_inside_the_bar_trails_its_close_not_its_high():
    """The high may have come before the limit was reached; a stop at 95 % of 120 would have been above the fill."""
    rows = [100, (100, 120, 89, 98), (98, 98, 92, 93)]
    got = long_trade(rows, limit=0.1, sl_stop=0.05, sl_trail=True)
    assert got == [(2, "trailing stop", -1, 93.1)]


# ------------------------------------------------------------------------------------------------ time
@pytest.mark.parametrize("price", ["next_open", "close", "next_close"])
def test_a_time_stop_counts_bars_from_the_fill(price):
    entry = 1 if price == "close" else 0
    assert long_trade([100] * 6, time_stop=2, price=price, entry=entry) == [(3, "time stop", -1, 100)]


def test_a_time_stop_waits_for_a_price():
    assert long_trade([100, 100, 100, None, 90], time_stop=2) == [(4, "time stop", -1, 90)]


def test_a_reversal_starts_the_clock_again():
    market = bars([100] * 8)
    pf = Portfolio.from_signals(market, at(market, 0), at(market, 1), direction="both", size=1, time_stop=3, **FREE)
    assert told(pf)[-1] == (5, "time stop", 1, 100)


# ------------------------------------------------------------------------------------------------ limits
def limit_entry(rows, **settings) -> list:
    market = bars(rows)
    return told(Portfolio.from_signals(market, at(market, 0), size=1, limit=0.05, **FREE, **settings))


def test_a_limit_that_is_crossed_fills_at_its_price():
    assert limit_entry([100, (100, 101, 94, 99)]) == [(1, "limit", 1, 95)]
    assert limit_entry([100, (100, 106, 99, 99)], direction="shortonly") == [(1, "limit", -1, 105)]


@pytest.mark.parametrize(("mode", "fills"), [("pessimistic", 0), ("neutral", 1), ("optimistic", 1)])
def test_a_limit_that_is_only_touched(mode, fills):
    assert len(limit_entry([100, (100, 101, 95, 99)], ambiguity=mode)) == fills


def test_a_gap_through_the_limit_fills_at_the_open():
    assert limit_entry([100, (100, 100, 98, 98), (90, 92, 90, 92)], limit_bars=2) == [(2, "limit", 1, 90)]
    assert limit_entry([100, (90, 92, 90, 92)]) == [(1, "order", 1, 90)]


def test_an_order_never_pays_more_than_its_limit():
    market = bars([100, (94.9, 96, 94, 96)])
    pf = Portfolio.from_signals(market, at(market, 0), size=1, limit=0.05, fees=0, slippage=0.01)
    assert told(pf) == [(1, "order", 1, 95)]  # 94.9 and 1 % are 95.849


def test_a_limit_expires():
    rows = [100, 100, 100, (100, 100, 90, 95)]
    assert limit_entry(rows, limit_bars=2) == []
    assert limit_entry(rows, limit_bars=3) == [(3, "limit", 1, 95)]


def test_an_entry_at_the_close_rests_in_the_bars_after_it():
    market = bars([100, (100, 100, 94, 96), 96])
    words = {"size": 1, "limit": 0.05, "price": "close", **FREE}
    assert told(Portfolio.from_signals(market, at(market, 0), **words)) == [(1, "limit", 1, 95)]
    assert told(Portfolio.from_signals(market, at(market, 1), **words)) == []


def test_a_stop_beyond_the_limit_in_the_same_bar_is_certain_and_a_target_is_not():
    rows = [100, (100, 110, 89, 92), 92]
    for mode in MODES:
        assert limit_entry(rows, sl_stop=0.05, ambiguity=mode)[1:] == [(1, "stop loss", -1, 90.25)]
    rows = [100, (100, 110, 94, 96), 96]
    for mode in MODES[:2]:
        assert limit_entry(rows, tp_stop=0.1, ambiguity=mode)[1:] == []
    assert limit_entry(rows, tp_stop=0.1, ambiguity="optimistic")[1:] == [(1, "take profit", -1, 104.5)]


def test_the_exit_takes_back_a_resting_entry():
    market = bars([100, 100, 100, (100, 100, 90, 95)])
    pf = Portfolio.from_signals(market, at(market, 0), at(market, 1), size=1, limit=0.05, limit_bars=5, **FREE)
    assert told(pf) == []


def test_a_resting_order_keeps_its_share_and_its_side():
    market = bars([100, (100, 100, 94, 95), 95])
    share = Portfolio.from_orders(
        market, orders(market, {0: 0.5}), size_type="percent", limit=0.05, init_cash=950, **FREE
    )
    assert told(share) == [(1, "limit", 5, 95)]
    market = bars([100, (100, 106, 99, 100), 100])
    sale = Portfolio.from_orders(market, orders(market, {0: -2}), direction="longonly", limit=0.05, **FREE)
    assert told(sale) == []  # nothing is held


def test_a_gap_through_the_stop_comes_before_a_limit_inside_the_bar():
    market = bars([100, 100, (94, 97, 90, 96), 96])
    size = orders(market, {0: 1, 1: 1})
    limit = orders(market, {1: 0.08})
    pf = Portfolio.from_orders(market, size, sl_stop=orders(market, {0: 0.05}), limit=limit, **FREE)
    assert told(pf)[1:] == [(2, "stop loss", -1, 94), (2, "limit", 1, 92)]


# ------------------------------------------------------------------------------------------------ one bar, three ways
def test_pessimistic_is_never_better_than_optimistic_by_hand():
    rows = [100, 100, (100, 104, 94, 100), 100]
    market = bars(rows)
    ends = [
        Portfolio.from_signals(market, at(market, 0), sl_stop=0.05, tp_stop=0.03, ambiguity=mode, **FREE).equity[-1]
        for mode in MODES
    ]
    assert ends == pytest.approx([9_500, 10_300, 10_300])
