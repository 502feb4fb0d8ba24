"""The equity figure shows the account's own numbers and an honest benchmark."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gwt_lab.backtest.plots import plot_equity
from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.market.bars import Bars


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
    assert {trace.name for trace in figure.data} == {"account", "drawdown"}
    assert "filled at the next bar's open; fees 0 bp" in figure.layout.title.subtitle.text
