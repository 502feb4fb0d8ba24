"""What the forecasts are worth: a long-short account by rank, without costs and with them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.market.bars import Bars

__all__ = ["FEES", "SLIPPAGE", "backtest", "rank_weights"]

FEES, SLIPPAGE = 0.001, 0.0005  # of the traded value, and of the price: a taker on a large spot venue


def rank_weights(forecast: pd.Series) -> pd.DataFrame:
    """Return long-short weights by rank of the forecast within each date: sum 0, absolute sum 1, (n_dates, n_symbols).

    Known at the close of their bar; to be filled at the next open.
    """
    table = forecast.unstack("instrument")
    ranks = table.rank(axis=1)
    centred = ranks.sub(ranks.mean(axis=1), axis=0)
    gross = centred.abs().sum(axis=1)
    return centred.div(gross.where(gross > 0, 1.0), axis=0).fillna(0.0)


def backtest(bars: Bars, weights: dict[str, pd.DataFrame]) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return what each arm's account earned, and the accounts before costs over time.

    Returns
    -------
    metrics : dict
        By arm: total return before costs and after `FEES` and `SLIPPAGE`, mean turnover a bar (share of the account
        traded), and the cost of a trade, in basis points of its value, at which the account would stand still.
    equity : DataFrame of shape (n_times, n_arms)
        Worth of the account before costs, 1 at the beginning.
    """
    metrics, equity = {}, {}
    for arm, table in weights.items():
        traded = bars.select(start=table.index[0])
        before = Portfolio.from_weights(traded, table, fees=0.0, slippage=0.0)
        after = Portfolio.from_weights(traded, table, fees=FEES, slippage=SLIPPAGE)
        turnover = float(table.diff().abs().sum(axis=1).mean())
        earned = float(before.returns().mean())
        metrics[arm] = {
            "total_return_before_costs": float(before.total_return()),
            "total_return_after_costs": float(after.total_return()),
            "turnover_per_bar": turnover,
            "break_even_bps": 1e4 * earned / turnover if turnover > 0 else 0.0,
        }
        equity[arm] = before.value() / before.value().iloc[0]
    return metrics, pd.DataFrame(equity)
