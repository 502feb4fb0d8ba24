"""The fused loops of the backtest: one pass over the bars, cash shared by all symbols."""

from __future__ import annotations

import math

import numpy as np

from gwt_lab.kernels import kernel
from gwt_lab.market.fills import account_value, mark_prices, trade_row

__all__ = ["simulate_weights"]


@kernel
def simulate_weights(
    fill_prices: np.ndarray,
    close: np.ndarray,
    weights: np.ndarray,
    delay: int,
    init_cash: float,
    rates: np.ndarray,
    rules: np.ndarray,
    cash: np.ndarray,
    positions: np.ndarray,
    value: np.ndarray,
    orders: np.ndarray,
) -> int:
    """Trade to target weights on every bar and write the account's path; return the number of fills.

    Parameters
    ----------
    fill_prices, close : ndarray of shape (n_times, n_symbols)
        Prices at which orders are filled and at which the account is valued; NaN where there is no bar.
    weights : ndarray of shape (n_times, n_symbols)
        Target shares decided at each row; NaN holds.
    delay : int
        Rows between decision and fill.
    init_cash : float
        Quote currency.
    rates, rules : ndarray of shape (3,) and (n_symbols, 3)
        See `market.fills.fill_order`.
    cash, value : ndarray of shape (n_times,)
        Written: after the fills of a row, and at its close.
    positions : ndarray of shape (n_times, n_symbols)
        Written: after the fills of a row.
    orders : ndarray of shape (n_orders_at_most, 5)
        Written: row, column, signed amount, price, fee.
    """
    n_times, n_symbols = close.shape
    held = np.zeros(n_symbols)
    last = np.full(n_symbols, math.nan)
    fills = np.empty((n_symbols, 4))
    money = init_cash
    count = 0
    for i in range(n_times):
        if i >= delay:
            money, filled = trade_row(money, held, weights[i - delay], fill_prices[i], last, rates, rules, fills)
            for k in range(filled):
                orders[count, 0] = i
                orders[count, 1:] = fills[k]
                count += 1
        mark_prices(last, fill_prices[i], close[i])
        positions[i] = held
        cash[i] = money
        value[i] = account_value(money, held, last)
    return count
