"""Leverage, liquidation, funding and delisting: answers in closed form and by hand."""

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.portfolio import Portfolio
from tests.backtest.made import FREE, at, bars, orders, told

MARGIN = 0.01


def levered(rows, size=np.inf, *, short=False, leverage=3, **settings) -> Portfolio:
    market = bars(rows)
    words = {"leverage": leverage, "maintenance_margin": MARGIN, "init_cash": 1_000, **FREE} | settings
    return Portfolio.from_signals(
        market, at(market, 0), size=size, direction="shortonly" if short else "longonly", **words
    )


# ------------------------------------------------------------------------------------------------ how much
def test_leverage_3_buys_three_times_the_account():
    assert levered([100] * 3).fills[0, 2] == pytest.approx(30)
    assert levered([100] * 3, short=True).fills[0, 2] == pytest.approx(-30)


@pytest.mark.parametrize("short", [False, True])
def test_after_fees_and_slippage_positions_are_worth_leverage_times_the_account(short):
    pf = levered([100] * 3, short=short, fees=0.01, slippage=0.02, fixed_fees=5)
    assert abs(pf.amounts[-1, 0]) * 100 == pytest.approx(3 * pf.equity[-1])


def test_margin_is_shared_by_the_account():
    market = bars([100] * 4, [10] * 4)
    size = orders(market, {(0, 0): 20, (1, 1): 500})
    pf = Portfolio.from_orders(market, size, leverage=3, cash_sharing=True, init_cash=1_000, **FREE)
    assert pf.fills[:, 2].tolist() == pytest.approx([20, 100])  # 2000 of 3000 are used


def test_closing_is_always_allowed():
    # the position is worth far more than the leverage allows after the fall
    market = bars([100, 100, 70, 70])
    pf = Portfolio.from_signals(market, at(market, 0), at(market, 1), leverage=3, init_cash=1_000, **FREE)
    assert told(pf)[-1] == (2, "order", -30, 70)


# ------------------------------------------------------------------------------------------------ liquidation
def test_a_long_is_liquidated_at_the_price_that_leaves_the_margin():
    # cash 1000 - 3000; 30 L - 2000 = 0.01 * 30 L
    price = 2_000 / (30 * (1 - MARGIN))
    pf = levered([100, 100, (100, 100, 60, 60), 60])
    assert told(pf)[1:] == [(2, "liquidation", -30, round(price, 9))]
    assert pf.equity[-1] == pytest.approx(30 * price - 2_000)


def test_a_short_is_liquidated_at_the_price_that_leaves_the_margin():
    # cash 1000 + 3000; 4000 - 30 L = 0.01 * 30 L
    price = 4_000 / (30 * (1 + MARGIN))
    pf = levered([100, 100, (100, 150, 100, 150), 150], short=True)
    assert told(pf)[1:] == [(2, "liquidation", 30, round(price, 9))]


def test_just_above_the_price_nothing_happens():
    price = 2_000 / (30 * (1 - MARGIN))
    assert len(levered([100, 100, (100, 100, price + 1e-6, 80), 80]).fills) == 1
    assert len(levered([100, 100, (100, 100, price - 1e-6, 80), 80]).fills) == 2


def test_a_gap_beyond_it_is_liquidated_at_the_open_and_may_leave_a_debt():
    pf = levered([100, 100, (50, 90, 50, 90), 90])
    assert told(pf)[1:] == [(2, "liquidation", -30, 50)]
    assert pf.equity[-1] == pytest.approx(-500)


def test_an_account_in_debt_trades_no_more():
    market = bars([100, 100, (50, 90, 50, 90), 90, 90, 90])
    pf = Portfolio.from_signals(market, at(market, 0, 3), leverage=3, init_cash=1_000, **FREE)
    assert len(pf.fills) == 2


def test_a_stop_before_the_liquidation_saves_the_account():
    rows = [100, 100, (100, 100, 60, 60), 60]
    assert told(levered(rows, sl_stop=0.2))[1:] == [(2, "stop loss", -30, 80)]
    assert told(levered(rows, sl_stop=0.35))[1:] == told(levered(rows))[1:]


@pytest.mark.parametrize("mode", ["pessimistic", "neutral", "optimistic"])
def test_a_bar_with_target_and_liquidation_is_ambiguous(mode):
    """The target, 5 away from the open, is nearer than the liquidation."""
    kind = told(levered([100, 100, (100, 110, 60, 60), 60], tp_stop=0.05, ambiguity=mode))[1][1]
    assert kind == ("liquidation" if mode == "pessimistic" else "take profit")


def test_a_stop_beyond_the_liquidation_does_not_come_first_in_the_bar_of_a_limit():
    pf = levered([100, (100, 100, 50, 60), 60], limit=0.01, sl_stop=0.4)
    assert [kind for _, kind, *_ in told(pf)] == ["limit", "liquidation"]


def test_a_bar_without_a_close_hides_no_liquidation():
    nan = float("nan")
    market = bars([100, 100, (100, 100, 60, nan), 60], [10, 10, (10, 10, 5, nan), 5])
    pf = Portfolio.from_signals(
        market, at(market, 0), size=np.array([15, 150]), leverage=3, cash_sharing=True, init_cash=1_000,
        ambiguity="neutral", sl_stop=0.2, **FREE,
    )  # fmt: skip
    assert [(row, kind) for row, kind, *_ in told(pf)[2:]] == [(2, "stop loss")] * 2


def test_two_symbols_meet_their_worst_prices_together_only_where_one_is_pessimistic():
    # each falls by 20 % on the way and recovers; together that is 600 of 1000, margin 0.45 of 2400
    rows = [100, 100, (100, 100, 60, 100), 100]
    market = bars(rows, rows)
    words = {"size": 15, "leverage": 3, "maintenance_margin": MARGIN, "cash_sharing": True, "init_cash": 1_000} | FREE
    pessimistic = Portfolio.from_signals(market, at(market, 0), **words)
    assert [kind for _, kind, *_ in told(pessimistic)] == ["order", "order", "liquidation", "liquidation"]
    # 15 + 15 at L each: 1000 - 3000 + 30 L = 0.01 * 30 L
    assert pessimistic.fills[2:, 3].tolist() == pytest.approx([2_000 / 29.7] * 2)
    neutral = Portfolio.from_signals(market, at(market, 0), ambiguity="neutral", **words)
    assert len(neutral.fills) == 2


def test_a_hedged_account_is_not_liquidated():
    rows = [100, 100, (100, 100, 50, 50), 50]
    market = bars(rows, rows)
    size = orders(market, {(0, 0): 10, (0, 1): -10})
    pf = Portfolio.from_orders(
        market, size, leverage=3, cash_sharing=True, init_cash=1_000, ambiguity="neutral", **FREE
    )
    assert len(pf.fills) == 2
    assert pf.equity[-1] == 1_000


# ------------------------------------------------------------------------------------------------ funding
def rates(market, **by_time: float) -> pd.DataFrame:
    moments = pd.DatetimeIndex([pd.Timestamp(f"2024-01-{name[1:3]} {name[3:5]}:00", tz="UTC") for name in by_time])
    return pd.DataFrame({name: list(by_time.values()) for name in market.symbols}, index=moments)


def test_longs_pay_a_positive_rate_on_the_price_at_the_open_and_shorts_get_it():
    market = bars([100, 100, (110, 120, 105, 115), 115])
    due = rates(market, t0102=0.01)
    long = Portfolio.from_signals(market, at(market, 0), size=2, funding=due, init_cash=1_000, **FREE)
    assert long.cash.tolist() == pytest.approx([1_000, 800, 800 - 2.2, 800 - 2.2])
    short = Portfolio.from_signals(
        market, at(market, 0), size=2, direction="shortonly", funding=due, init_cash=1_000, **FREE
    )
    assert short.cash[-1] == pytest.approx(1_200 + 2.2)
    assert (long.paths.funding + short.paths.funding).tolist() == pytest.approx([0])


def test_a_position_opened_at_the_open_does_not_pay_what_is_due_at_that_open():
    market = bars([100] * 4)
    pf = Portfolio.from_signals(market, at(market, 0), size=2, funding=rates(market, t0101=0.01), **FREE)
    assert pf.paths.funding[0] == 0


def test_a_position_closed_at_the_open_still_pays_what_is_due_at_that_open():
    market = bars([100] * 4)
    pf = Portfolio.from_signals(market, at(market, 0), at(market, 1), size=2, funding=rates(market, t0102=0.01), **FREE)
    assert pf.paths.funding[0] == pytest.approx(2)


def test_three_payments_a_day_on_daily_bars():
    """At 0 h the position of the day before pays, at 8 h and 16 h that of the day itself; all on the day's open."""
    market = bars([100, 100, 200, 200], timeframe="1d")
    due = rates(market, t0200=0.5, t0208=0.01, t0216=0.02, t0300=0.03)
    pf = Portfolio.from_signals(market, at(market, 0), size=1, funding=due, **FREE)
    assert pf.paths.funding[0] == pytest.approx(100 * 0.03 + 200 * 0.03)


def test_both_sides_of_one_account_net_to_zero():
    market = bars([100] * 4, [100] * 4)
    size = orders(market, {(0, 0): 2, (0, 1): -2})
    pf = Portfolio.from_orders(
        market, size, cash_sharing=True, funding=rates(market, t0102=0.01, t0103=-0.02), init_cash=1_000, **FREE
    )
    assert pf.equity.tolist() == pytest.approx([1_000] * 4)


def test_a_missing_bar_pays_on_the_last_price():
    market = bars([100, 100, None, 100])
    pf = Portfolio.from_signals(market, at(market, 0), size=1, funding=rates(market, t0102=0.01), **FREE)
    assert pf.paths.funding[0] == pytest.approx(1)


# ------------------------------------------------------------------------------------------------ delisting
def test_what_is_held_of_a_symbol_that_ends_is_kept_or_closed_at_its_last_price():
    market = bars([100, 100, 80, None, None], [10] * 5)
    words = {"size": np.array([1, 0]), "init_cash": 1_000, "slippage": 0.0, "fees": 0.01}
    kept = Portfolio.from_signals(market, at(market, 0), **words)
    assert kept.assets().iloc[-1, 0] == 1
    assert kept.value().iloc[-1, 0] == pytest.approx(1_000 - 101 + 80)
    closed = Portfolio.from_signals(market, at(market, 0), delisting="close", **words)
    assert told(closed)[1:] == [(2, "delisting", -1, 80)]
    assert closed.value().iloc[-1, 0] == pytest.approx(1_000 - 101 + 79.2)
    assert "closed at the last price" in str(closed.assumptions)


def test_a_hole_is_no_delisting():
    market = bars([100, 100, None, 100])
    assert len(Portfolio.from_signals(market, at(market, 0), delisting="close", **FREE).fills) == 1
