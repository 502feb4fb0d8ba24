"""The fused loops of the backtest: one pass over the bars."""

from __future__ import annotations

import math

import numpy as np

from gwt_lab.kernels import inner_kernel, kernel
from gwt_lab.market.account import BASE, CASH, LAST, LIMIT, PEAK, POSITION, SL, TP, Book, Feed, Log, Plan, Terms
from gwt_lab.market.bar import step_account
from gwt_lab.market.fills import account_value, held_after, mark_prices, trade_row

__all__ = ["amounts_held", "simulate", "simulate_weights"]

# fills that one column can have in one bar: time stop, order, limit, stop, liquidation, delisting
_MOST_FILLS = 6


@inner_kernel
def _sleeps(
    i: int, k: int, j: int, s: int, open_: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray,
    signal: np.ndarray, size: np.ndarray, held: np.ndarray, eventful: bool, trails: bool,
) -> bool:  # fmt: skip
    """Return whether nothing can happen to column `j` in bar `i`, so that only its price moves.

    A bar that lacks a price, a resting limit, or a price at a stop's level is left to `step_account`. So is every bar
    of a position that more than its stops can end or charge (`eventful`: time stop, funding, liquidation).
    """
    if k >= 0:
        if len(signal):
            if signal[k, j] != 0:
                return False
        elif not math.isnan(size[k if size.shape[0] > 1 else 0, j if size.shape[1] > 1 else 0]):
            return False
    if not math.isnan(held[j, LIMIT]):
        return False
    position = held[j, POSITION]
    if position == 0.0:
        return True
    if eventful:
        return False
    if math.isnan(held[j, SL]) and math.isnan(held[j, TP]):
        return True
    if math.isnan(open_[i, s] + close[i, s] + high[i, s] + low[i, s]):
        return False
    side = 1.0 if position > 0.0 else -1.0
    worst = min(low[i, s], open_[i, s]) if position > 0.0 else max(high[i, s], open_[i, s])
    best = max(high[i, s], open_[i, s]) if position > 0.0 else min(low[i, s], open_[i, s])
    if trails and side * (best - held[j, PEAK]) > 0.0:
        return False
    stopped = side * (held[j, PEAK] * (1.0 - side * held[j, SL]) - worst) >= 0.0
    return not (stopped or side * (best - held[j, BASE] * (1.0 + side * held[j, TP])) >= 0.0)


@kernel
def simulate(
    start: int, delay: int, feed: Feed, plan: Plan, terms: Terms, book: Book, log: Log, cash: np.ndarray,
    value: np.ndarray,
) -> int:  # fmt: skip
    """Let the bars from `start` on happen; return the row that comes next.

    It ends early where the log may not hold another bar's fills; an empty log keeps none and never ends early.

    Parameters
    ----------
    start, delay : int
        First row; rows between decision and fill.
    feed, plan, terms, book, log
        See `market.account`; `book` and `log` are written.
    cash, value : ndarray of shape (n_times, n_accounts)
        Written: cash and worth at each close.
    """
    n_times, n_accounts = value.shape
    open_, high, low, close, fill = feed.open, feed.high, feed.low, feed.close, feed.fill
    signal, size, held, money = plan.signal, plan.size, book.held, book.money
    first, symbol_of, count = book.first, book.symbol_of, log.written
    most = len(log.fills) - _MOST_FILLS * len(held)
    eventful = (
        terms.time_stop > 0 or terms.maintenance > 0.0 or terms.delist
        or feed.funding_open.size > 1 or feed.funding_inside.size > 1
    )  # fmt: skip
    for i in range(start, n_times):
        if most >= 0 and count[0] > most:
            return i
        for account in range(n_accounts):
            asleep = True
            for j in range(first[account], first[account + 1]):
                asleep = asleep and _sleeps(
                    i, i - delay, j, symbol_of[j], open_, high, low, close, signal, size, held, eventful,
                    terms.sl_trail,
                )  # fmt: skip
            if not asleep:
                step_account(i, i - delay, account, feed, plan, terms, book, log)
            worth = money[account, CASH]
            for j in range(first[account], first[account + 1]):
                price = close[i, symbol_of[j]]
                if math.isnan(price):
                    price = fill[i, symbol_of[j]]
                if not math.isnan(price):
                    held[j, LAST] = price
                if held[j, POSITION] != 0.0:
                    worth += held[j, POSITION] * held[j, LAST]
            cash[i, account] = money[account, CASH]
            value[i, account] = worth
    return n_times


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
    value: np.ndarray,
    orders: np.ndarray,
) -> int:
    """Trade one account to target weights on every bar and write its path; return the number of fills.

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
    rates, rules : ndarray of shape (3,) or longer, and (n_symbols, 3 or 4)
        See `market.fills.fill_order`.
    cash, value : ndarray of shape (n_times,)
        Written: after the fills of a row, and at its close.
    orders : ndarray of shape (n_orders_at_most, 6)
        Written: row, column, signed amount, price, fee, kind 0. Of no rows, the fills are counted only.
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
            if len(orders):
                for k in range(filled):
                    orders[count + k, 0] = i
                    orders[count + k, 1:5] = fills[k]
                    orders[count + k, 5] = 0.0
            count += filled
        mark_prices(last, fill_prices[i], close[i])
        cash[i] = money
        value[i] = account_value(money, held, last)
    return count


@kernel
def amounts_held(fills: np.ndarray, amounts: np.ndarray) -> None:
    """Write what is held after each row's fills, shape (n_times, n_columns), added up as the account added it."""
    n_times, n_columns = amounts.shape
    now = np.zeros(n_columns)
    count = 0
    for i in range(n_times):
        while count < len(fills) and fills[count, 0] == i:
            j = int(fills[count, 1])
            now[j] = held_after(now[j], fills[count, 2])
            count += 1
        amounts[i] = now
