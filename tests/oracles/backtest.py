"""The weights backtest of `gwt_lab.backtest`, slow and plain."""

from __future__ import annotations

import statistics
from itertools import pairwise

import numpy as np

from tests.oracles.fills import Account, Costs, Rule, missing, trade


def plain_backtest(
    open_, close, weights, *, init_cash, costs: Costs, rules: list[Rule] | None = None, price="next_open"
):
    """Return (cash, amounts held, value, fills) of each bar; fills are (row, column, amount, price, fee)."""
    n_times, n_symbols = close.shape
    rules = rules or [Rule()] * n_symbols
    account = Account(init_cash, [0.0] * n_symbols)
    last = [float("nan")] * n_symbols
    cash, held, value, fills = [], [], [], []
    for row in range(n_times):
        fill_prices = [float(p) for p in (open_ if price == "next_open" else close)[row]]
        decided = weights[row - 1] if price == "next_open" and row > 0 else weights[row]
        if price == "close" or row > 0:
            done = trade(account, [float(w) for w in decided], fill_prices, last, costs, rules)
            fills += [(row, *filled) for filled in done]
        for column in range(n_symbols):
            for candidate in (close[row, column], fill_prices[column]):
                if not missing(candidate):
                    last[column] = float(candidate)
                    break
        worth = account.cash
        for amount, mark in zip(account.held, last, strict=True):
            if amount != 0.0:
                worth = worth + amount * mark
        cash.append(account.cash)
        held.append(list(account.held))
        value.append(worth)
    return np.array(cash), np.array(held), np.array(value), np.array(fills).reshape(-1, 5)


def plain_metrics(value, init_cash: float, bars_per_year: float) -> dict[str, float]:
    """Return total return, Sharpe ratio and deepest drawdown by their definitions, one bar at a time."""
    path = [init_cash, *map(float, value)]
    returns = [(after - before) / abs(before) for before, after in pairwise(path)]
    peak, deepest = path[1], 0.0
    for worth in path[1:]:
        peak = max(peak, worth)
        deepest = min(deepest, worth / peak - 1)
    spread = statistics.stdev(returns)
    return {
        "total_return": path[-1] / path[0] - 1,
        "sharpe_ratio": statistics.mean(returns) / spread * bars_per_year**0.5 if spread else float("nan"),
        "max_drawdown": deepest,
    }
