"""Sweeps equal vectorbt's own numbers wherever both mean the same."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.sweep import streaming
from gwt_lab.backtest.sweep.families import FAMILIES, SweepRules, evaluate, evaluate_signals
from tests.oracles.sweep_markets import market_of, random_signals, sweep_market

TOLERANCE = 1e-9

pytestmark = [
    pytest.mark.slow,  # vectorbt compiles for 20 to 60 s where it finds no cache
    pytest.mark.filterwarnings("ignore"),  # vectorbt's own
]


@pytest.fixture(scope="module")
def vectorbt():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("vectorbt")


def frame(values):
    index = pd.date_range("2023-11-14", periods=values.shape[1], freq="h")
    return pd.DataFrame(values.T, index=index, columns=[f"C{k}" for k in range(len(values))])


def assert_equals(acc, theirs, label):
    """Compare (n_columns, N_ACC) with a vectorbt portfolio of as many columns."""
    trades = theirs.trades.closed
    expected = {
        "total_return": theirs.total_return(),
        "annualized_return": theirs.annualized_return(),
        "sharpe_ratio": theirs.sharpe_ratio(),
        "sortino_ratio": theirs.sortino_ratio(),
        "calmar_ratio": theirs.calmar_ratio(),
        "max_drawdown": theirs.max_drawdown(),
        "volatility": theirs.annualized_volatility(),
        "final_value": theirs.final_value(),
        "n_trades": theirs.trades.count(),
        "win_rate": trades.win_rate(),
        "expectancy": trades.expectancy(),
        "profit_factor": trades.profit_factor(),
        "total_fees": theirs.orders.fees.sum(),
        "time_in_market": theirs.position_coverage(),
    }
    ruined = acc[:, streaming.VALUE] <= 0  # where vectorbt's ratios of a worthless account are its own
    for name, numbers in expected.items():
        got = streaming.METRICS[name](acc, 8760.0)
        wanted = np.asarray(numbers, dtype=np.float64).reshape(-1)
        wanted = np.where(np.isinf(wanted) & np.isnan(got), np.nan, wanted)
        if name == "total_fees":
            wanted = np.nan_to_num(wanted)
        # a buy of all cash pays what is left of it as the fee, which is rounding of the cash where there is no fee
        least = 1e-9 if name == "total_fees" else 1e-11
        got, wanted = got[~ruined], wanted[~ruined]
        np.testing.assert_allclose(got, wanted, rtol=TOLERANCE, atol=least, err_msg=f"{label}: {name}")


MARKETS = {
    "plain": sweep_market(21, 700, 1),
    "holes": sweep_market(22, 700, 1, holes=0.06),
    "tiny": sweep_market(23, 400, 1, scale=1e-8),
    "large": sweep_market(24, 400, 1, scale=1e6, vol=0.03),
}
PAIRS = [pair for pair in itertools.product((2, 3, 5, 10, 20, 50), (1, 4, 10, 20, 30, 100)) if pair[0] != pair[1]]


@pytest.mark.parametrize("label", MARKETS)
def test_moving_averages(vectorbt, label):
    market = MARKETS[label]
    close = frame(market.close).iloc[:, 0]
    fast, slow = (list(column) for column in zip(*PAIRS, strict=True))
    quick = vectorbt.MA.run(close, fast, short_name="fast")
    slower = vectorbt.MA.run(close, slow, short_name="slow")
    theirs = vectorbt.Portfolio.from_signals(
        close.ffill().bfill(),
        quick.ma_crossed_above(slower),
        quick.ma_crossed_below(slower),
        price=close,
        fees=0.001,
        slippage=0.0005,
        init_cash=10_000,
        freq="1h",
    )
    acc, _ = evaluate(FAMILIES["ma_cross"], market, np.array(PAIRS), SweepRules(price="close"))
    assert_equals(acc[:, 0], theirs, label)


@pytest.mark.parametrize("direction", ["longonly", "shortonly", "both"])
@pytest.mark.parametrize("price", ["close", "next_open"])
def test_random_signals(vectorbt, direction, price):
    costs = ({}, {"fees": 0.0, "slippage": 0.0}, {"fixed_fees": 5.0})
    for (label, market), settings, rate in itertools.product(MARKETS.items(), costs, (0.03, 0.3)):
        rules = SweepRules(price=price, direction=direction, **settings)
        entries, exits = random_signals(7, market, rate)
        acc, _ = evaluate_signals(market, entries, exits, rules)
        theirs_entries, theirs_exits = frame(entries), frame(exits)
        close = frame(market.close)
        fills, marks = close, close.ffill().bfill()
        if price == "next_open":
            fills = frame(market.open)
            marks = close.fillna(fills).ffill().bfill()
            theirs_entries, theirs_exits = (x.shift(1, fill_value=False) for x in (theirs_entries, theirs_exits))
        theirs = vectorbt.Portfolio.from_signals(
            marks,
            theirs_entries,
            theirs_exits,
            price=fills,
            fees=rules.fees,
            slippage=rules.slippage,
            fixed_fees=rules.fixed_fees,
            init_cash=10_000,
            direction=direction,
            freq="1h",
        )
        assert_equals(acc[0], theirs, f"{label}, {settings}, {rate}")


STOPS = [
    {"sl_stop": 0.02},
    {"sl_stop": 0.015, "sl_trail": True},
    {"tp_stop": 0.02},
    {"tp_stop": 0.05, "sl_stop": 0.05},
    {"tp_stop": 0.06, "sl_stop": 0.04, "sl_trail": True},
]


@pytest.mark.parametrize("direction", ["longonly", "shortonly", "both"])
def test_stops_at_closes(vectorbt, direction):
    for seed, stops in itertools.product(range(3), STOPS):
        market = sweep_market(30 + seed, 600, 2)
        rules = SweepRules(price="close", direction=direction, **stops)
        entries, exits = random_signals(seed, market, 0.04)
        acc, _ = evaluate_signals(market, entries, exits, rules)
        theirs = vectorbt.Portfolio.from_signals(
            frame(market.close),
            frame(entries),
            frame(exits),
            open=frame(market.open),
            high=frame(market.high),
            low=frame(market.low),
            fees=0.001,
            slippage=0.0005,
            init_cash=10_000,
            direction=direction,
            freq="1h",
            **stops,
        )
        assert_equals(acc[0], theirs, f"{seed}, {stops}")


def test_constant_prices_never_trade(vectorbt):
    market = market_of({name: np.full((1, 120), 3.0) for name in ("open", "high", "low", "close")})
    acc, _ = evaluate(FAMILIES["ma_cross"], market, np.array([(3, 10), (10, 3)]), SweepRules(price="close"))
    assert (acc[..., streaming.ORDERS] == 0).all()
    assert (acc[..., streaming.VALUE] == 10_000.0).all()
