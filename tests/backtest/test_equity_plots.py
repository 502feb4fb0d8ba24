"""The equity figure shows the account's own numbers and an honest benchmark."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.plots import plot_equity
from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import ConfigError, UnknownNameError
from gwt_lab.market.bars import Bars
from tests.backtest.markets import market, random_signals


def portfolio() -> Portfolio:
    index = pd.date_range("2021-01-01", periods=6, freq="h", tz="UTC")
    parts = []
    for symbol, close in (("A/USDT", [10, 11, 12, 9, 8, 10]), ("B/USDT", [np.nan, np.nan, 20, 20, 40, 40])):
        prices = dict.fromkeys(("open", "high", "low", "close"), np.array(close, dtype=float)) | {"volume": 1.0}
        parts.append(pd.DataFrame({"timestamp": index, "symbol": symbol} | prices).dropna())
    bars = Bars.from_frame(pd.concat(parts))
    weights = pd.DataFrame({"A/USDT": 1.0, "B/USDT": 0.0}, index=bars.index)
    return Portfolio.from_weights(bars, weights, fees=0.0, slippage=0.0, init_cash=1000.0)


def test_the_figure_holds_the_accounts_numbers() -> None:
    account = portfolio()
    traces = {trace.name: trace for trace in account.plot().data}
    np.testing.assert_array_equal(traces["account"].y, account.value())
    assert min(traces["drawdown"].y) == 100 * account.max_drawdown() < 0
    account_line = traces["account"]
    times = pd.Timestamp(account_line.x0, tz="UTC") + pd.to_timedelta(np.arange(6) * account_line.dx, unit="ms")
    assert (times == account.value().index).all()


def test_the_benchmark_waits_in_cash_until_a_symbol_is_listed() -> None:
    traces = {trace.name: trace for trace in plot_equity(portfolio()).data}
    # half in A from the first bar; half in cash, in B from the third bar
    expected = [
        500 * a / 10 + 500 * b / 20 for a, b in zip([10, 11, 12, 9, 8, 10], [20, 20, 20, 20, 40, 40], strict=True)
    ]
    np.testing.assert_allclose(traces["equal parts, held"].y, expected)


def test_the_terms_stand_in_the_figure() -> None:
    figure = plot_equity(portfolio(), benchmark=False)
    assert "equal parts, held" not in {trace.name for trace in figure.data}
    assert "filled at the next bar's open; fees 0 bp" in figure.layout.title.subtitle.text


def traded(n_times: int = 400, **settings) -> Portfolio:
    bars = market(n_times, seed=41)
    entries, exits = random_signals(bars, seed=42)
    return Portfolio.from_signals(bars, entries, exits, cash_sharing=True, size=20.0, **settings)


def test_trades_stand_on_the_price_coloured_by_what_they_gained() -> None:
    account = traded()
    traces = {trace.name: trace for trace in account.plot(symbol="B/USDT").data}
    trades = account.trades.frame[account.trades["symbol"] == "B/USDT"]
    assert len(traces["won"].y) == (trades["pnl"] > 0).sum() > 5
    assert len(traces["lost"].y) == (trades["pnl"] <= 0).sum() > 5
    np.testing.assert_allclose(traces["entry"].y, trades["entry_price"])
    entered = pd.to_datetime(traces["entry"].x, unit="ms", utc=True)
    assert (entered == trades["entry_timestamp"]).all()
    np.testing.assert_allclose(traces["exposure"].y, 100 * account.gross_exposure_values()[:, 0])
    with pytest.raises(UnknownNameError, match="trades no 'DOGE'; it trades A/USDT, B/USDT"):
        account.plot(symbol="DOGE")


def test_long_paths_are_thinned_to_their_extremes() -> None:
    account = traded(60_000)
    figure = account.plot()
    traces = {trace.name: trace for trace in figure.data}
    assert max(len(trace.y) for trace in figure.data) < 10_000
    assert min(traces["drawdown"].y) == 100 * account.max_drawdown()
    assert max(traces["account"].y) == account.value().max()
    shown = pd.to_datetime(traces["account"].x, unit="ms", utc=True)
    assert (shown[0], shown[-1]) == (account.bars.index[0], account.bars.index[-1])
    np.testing.assert_array_equal(traces["account"].y, account.value().loc[shown])
    assert "2,000 largest of" in next(name for name in traces if name.startswith("entry"))


def test_a_band_is_drawn_from_the_account_up_to_the_optimistic_view() -> None:
    account = traded(sl_stop=0.006, tp_stop=0.006, ambiguity="band")
    names = [trace.name for trace in account.plot().data if trace.yaxis == "y"]
    assert names == ["equal parts, held", "account", "optimistic"]
    best = next(trace for trace in account.plot().data if trace.name == "optimistic")
    assert best.fill == "tonexty"
    np.testing.assert_array_equal(best.y, account.band().value()["optimistic"])


def test_several_accounts_are_drawn_side_by_side() -> None:
    bars = market(100, seed=1)
    names = [trace.name for trace in Portfolio.from_signals(bars, *random_signals(bars, seed=2)).plot().data]
    assert names == ["equal parts, held", "A/USDT", "drawdown", "B/USDT", "drawdown", "exposure"]


def test_the_monthly_map_holds_the_table() -> None:
    account = traded()
    heat = account.plot_monthly().data[0]
    np.testing.assert_allclose(heat.z, 100 * account.monthly_returns())
    bars = market(100, seed=1)
    several = Portfolio.from_signals(bars, *random_signals(bars, seed=2))
    with pytest.raises(ConfigError, match="pick one"):
        several.plot_monthly()
