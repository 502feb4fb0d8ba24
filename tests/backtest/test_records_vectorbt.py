"""Records and statistics equal vectorbt's, from the same fills and from the same signals."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest import metrics
from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import ConfigError
from tests.backtest.markets import by_hand, flags, market, random_signals

pytestmark = [
    pytest.mark.slow,  # vectorbt compiles for 20 to 60 s where it finds no cache
    pytest.mark.filterwarnings("ignore"),  # vectorbt's own
]
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


@pytest.fixture(scope="module")
def vectorbt():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("vectorbt")


CASES = {
    "long": {},
    "short": {"direction": "shortonly"},
    "both, reversing": {"direction": "both"},
    "accumulating": {"accumulate": True, "size": 7.0},
    "accumulating shorts": {"accumulate": True, "size": 7.0, "direction": "shortonly"},
    "accumulating both": {"accumulate": True, "size": 7.0, "direction": "both"},
    "stops, several fills a bar": {"sl_stop": 0.01, "tp_stop": 0.015},
    "stops both ways": {"sl_stop": 0.02, "tp_stop": 0.02, "direction": "both", "sl_trail": True},
    "time stops": {"time_stop": 3},
    "shared cash": {"cash_sharing": True, "size": 20.0},
    "shared cash, both": {"cash_sharing": True, "size": 20.0, "direction": "both"},
    "at the close": {"price": "close", "direction": "both", "fees": 0.0},
}


def portfolio(case: str, holes: float, seed: int = 1) -> Portfolio:
    bars = market(300, seed=seed, holes=holes)
    entries, exits = random_signals(bars, seed=seed + 1)
    return Portfolio.from_signals(bars, entries, exits, **CASES[case])


def same_table(ours: pd.DataFrame, theirs: pd.DataFrame, where: str) -> None:
    assert list(ours.columns) == list(theirs.columns), where
    assert len(ours) == len(theirs), where
    for name in ours.columns:
        if pd.api.types.is_float_dtype(theirs[name]):
            np.testing.assert_allclose(ours[name], theirs[name], **TOLERANCE, err_msg=f"{where}: {name}")
        else:
            assert list(ours[name]) == list(theirs[name]), f"{where}: {name}"


@pytest.mark.parametrize("holes", [0.0, 0.15])
@pytest.mark.parametrize("case", CASES)
def test_the_same_fills_give_the_same_records(vectorbt, case, holes):
    pf = portfolio(case, holes)
    theirs = pf.to_vectorbt()
    assert isinstance(theirs, vectorbt.Portfolio)
    assert len(pf.trades) > 20
    np.testing.assert_allclose(pf.value(), theirs.value(), rtol=1e-9)
    same_table(pf.orders.records_readable, theirs.orders.records_readable, "orders")
    same_table(pf.trades.records_readable, theirs.trades.records_readable, "trades")
    same_table(pf.positions.records_readable, theirs.positions.records_readable, "positions")
    same_table(pf.drawdowns.records_readable, theirs.drawdowns.records_readable, "drawdowns")
    np.testing.assert_allclose(pf.trades.win_rate(), theirs.trades.win_rate(), rtol=1e-9)
    np.testing.assert_allclose(pf.trades.profit_factor(), theirs.trades.profit_factor(), rtol=1e-9)
    np.testing.assert_allclose(pf.trades.expectancy(), theirs.trades.expectancy(), rtol=1e-9)
    np.testing.assert_array_equal(pf.trades.count(), theirs.trades.count())


def one_number(value):
    return value / pd.Timedelta("1ns") if isinstance(value, pd.Timedelta) else value


@pytest.mark.parametrize("case", ["long", "accumulating", "stops, several fills a bar", "shared cash"])
def test_stats_equal_where_labels_coincide(vectorbt, case):
    pf = portfolio(case, 0.1)
    theirs = pf.to_vectorbt()
    for ours, expected in [
        (pf.stats(), theirs.stats()),
        (pf.stats(agg_func="max"), theirs.stats(agg_func=lambda column: column.max())),
    ]:
        for label in expected.index:
            wanted, got = one_number(expected[label]), one_number(ours[label])
            if isinstance(wanted, (int, float)):
                assert got == pytest.approx(wanted, rel=1e-9, abs=1e-9, nan_ok=True), label
            else:
                assert got == wanted, label


def test_labels_come_in_vectorbts_order(vectorbt):
    pf = portfolio("long", 0.0)
    expected = list(pf.to_vectorbt().stats().index)
    assert [label for label in pf.stats().index if label in expected] == expected


def test_a_frame_of_accounts(vectorbt):
    pf = portfolio("long", 0.1)
    frame, theirs = pf.stats(agg_func=None), pf.to_vectorbt().stats(agg_func=None)
    for label in ("Total Return [%]", "Win Rate [%]", "Sharpe Ratio", "Total Fees Paid", "Benchmark Return [%]"):
        np.testing.assert_allclose(frame.loc[label].astype(float), theirs[label].astype(float), rtol=1e-9)


@pytest.mark.parametrize("direction", ["longonly", "shortonly", "both"])
def test_the_same_signals_give_the_same_trades(vectorbt, direction):
    bars = market(300, seed=5)
    entries, exits = random_signals(bars, seed=6)
    pf = Portfolio.from_signals(bars, entries, exits, direction=direction, price="close", fees=0.001, slippage=0.0005)
    theirs = vectorbt.Portfolio.from_signals(
        bars.close, entries, exits, direction=direction, fees=0.001, slippage=0.0005, init_cash=10_000, freq="1h"
    )
    np.testing.assert_allclose(pf.value(), theirs.value(), rtol=1e-9)
    same_table(pf.trades.records_readable, theirs.trades.records_readable, direction)


def test_measures_beside_holding_equal_vectorbts(vectorbt):
    pf = portfolio("long", 0.0)
    theirs, relative = pf.to_vectorbt(), pf.relative()
    np.testing.assert_allclose(relative.loc["Beta"], theirs.beta(), rtol=1e-9)
    np.testing.assert_allclose(relative.loc["Alpha [%]"], 100 * theirs.alpha(), rtol=1e-9)
    np.testing.assert_allclose(relative.loc["Information Ratio"], theirs.information_ratio(), rtol=1e-9)
    np.testing.assert_allclose(pf.value_at_risk(), theirs.value_at_risk(), rtol=1e-9)
    np.testing.assert_allclose(pf.conditional_value_at_risk(), theirs.cond_value_at_risk(), rtol=1e-9)
    np.testing.assert_allclose(pf.tail_ratio(), theirs.tail_ratio(), rtol=1e-9)
    np.testing.assert_allclose(pf.annualized_volatility(), theirs.annualized_volatility(), rtol=1e-9)
    own, held = pf.returns().iloc[:, 0].to_numpy(), theirs.benchmark_returns().iloc[:, 0].to_numpy()
    for up, nb in ((True, "up_capture_1d_nb"), (False, "down_capture_1d_nb")):
        unscaled = getattr(vectorbt.returns.nb, nb)(own, held, 1.0)
        assert metrics.capture(own, held, up=up) == pytest.approx(unscaled, rel=1e-9)


def test_one_account_becomes_a_portfolio_of_one_column(vectorbt):
    one = portfolio("stops, several fills a bar", 0.0)["A/USDT"]
    theirs = one.to_vectorbt()
    assert isinstance(theirs.total_return(), float)
    assert theirs.total_return() == pytest.approx(one.total_return(), rel=1e-9)
    assert theirs.sharpe_ratio() == pytest.approx(one.sharpe_ratio(), rel=1e-9)


def test_weights_too(vectorbt):
    bars = market(200, seed=8, holes=0.1)
    weights = pd.DataFrame(np.random.default_rng(1).dirichlet([1, 1, 1], 200)[:, :2], bars.index, bars.close.columns)
    pf = Portfolio.from_weights(bars, weights)
    np.testing.assert_allclose(pf.value(), pf.to_vectorbt().value(), rtol=1e-9)


def test_funding_cannot_be_handed_over(vectorbt):
    bars = market(100, seed=1)
    entries, exits = random_signals(bars, seed=2)
    rates = pd.DataFrame(1e-4, index=bars.index[::8], columns=bars.symbols)
    with pytest.raises(ConfigError, match="funding"):
        Portfolio.from_signals(bars, entries, exits, funding=rates).to_vectorbt()


# ------------------------------------------------------------------------------------------------ where they differ
STILL = (10.0, 10.0, 10.0, 10.0)


def exits_of(vectorbt, third, **theirs):
    """Return our and their exit price of a position entered at 10 with a stop at 9 and a target at 11."""
    bars = by_hand(STILL, STILL, third, STILL)
    entries = flags(bars, 1)
    ours = Portfolio.from_signals(bars, entries, price="close", sl_stop=0.1, tp_stop=0.1, fees=0, slippage=0)
    frames = {name: getattr(bars, name).iloc[:, 0] for name in ("open", "high", "low")}
    other = vectorbt.Portfolio.from_signals(
        bars.close.iloc[:, 0], entries, **frames, sl_stop=0.1, tp_stop=0.1, init_cash=10_000, freq="1h", **theirs
    )
    return ours.trades["exit_price"][0], other.trades.records_readable["Avg Exit Price"][0]


def test_a_bar_that_opens_beyond_the_target_and_falls_to_the_stop(vectorbt):
    assert exits_of(vectorbt, (11.5, 12, 8, 10)) == (11.5, 9.0)


def test_a_bar_that_holds_both_is_the_stop_in_both_by_default(vectorbt):
    assert exits_of(vectorbt, (10, 12, 8, 10)) == (9.0, 9.0)


def test_stops_count_from_the_orders_price_here_and_from_the_close_there(vectorbt):
    bars = by_hand(STILL, (10, 11, 10, 11), (11, 11, 9.5, 10), (10, 10, 9, 9))
    pf = Portfolio.from_signals(bars, flags(bars, 0), sl_stop=0.1, fees=0, slippage=0)
    frames = {name: getattr(bars, name).iloc[:, 0] for name in ("open", "high", "low")}
    theirs = vectorbt.Portfolio.from_signals(
        bars.close.iloc[:, 0], flags(bars, 1), price=frames["open"], **frames, sl_stop=0.1, freq="1h"
    )
    assert pf.trades["exit_price"].tolist() == [9.0]
    assert theirs.trades.records_readable["Avg Exit Price"].tolist() == pytest.approx([9.9])


def test_a_stop_can_be_hit_in_the_bar_of_its_entry_here_alone(vectorbt):
    bars = by_hand(STILL, (10, 10, 8, 10), STILL, STILL)
    pf = Portfolio.from_signals(bars, flags(bars, 0), sl_stop=0.1, fees=0, slippage=0)
    frames = {name: getattr(bars, name).iloc[:, 0] for name in ("open", "high", "low")}
    theirs = vectorbt.Portfolio.from_signals(
        bars.close.iloc[:, 0], flags(bars, 1), price=frames["open"], **frames, sl_stop=0.1, freq="1h"
    )
    assert (pf.trades.closed.count(), theirs.trades.closed.count()) == (1, 0)


def test_an_account_that_never_falls_or_varies(vectorbt):
    bars = by_hand(STILL, STILL, STILL)
    pf = Portfolio.from_signals(bars, flags(bars))
    theirs = pf.to_vectorbt()
    assert (pf.max_drawdown(), np.isnan(theirs.stats()["Max Drawdown [%]"])) == (0.0, True)
    assert (np.isnan(pf.sharpe_ratio()), theirs.sharpe_ratio()) == (True, np.inf)
