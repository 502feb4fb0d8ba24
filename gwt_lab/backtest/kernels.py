"""The fused loops of the backtest: one pass over the bars."""

from __future__ import annotations

import math

import numpy as np

from gwt_lab.kernels import inner_kernel, kernel
from gwt_lab.market.account import (
    BASE,
    CASH,
    LAST,
    LIMIT,
    PEAK,
    POSITION,
    SL,
    TP,
    Book,
    Feed,
    Log,
    Plan,
    Terms,
    mark_bar,
)
from gwt_lab.market.bar import step_account, trade_account
from gwt_lab.market.fills import held_after, mark_row, space_for, trade_targets, worth_of
from gwt_lab.market.orders import ACCUMULATE_BOTH, ADD_ONLY

__all__ = ["advance", "all_finite_or_nan", "amounts_held", "simulate", "simulate_weights", "trade_at_close"]

# fills that one column can have in one bar: time stop, order, limit, stop, liquidation, delisting
_MOST_FILLS = 6


@inner_kernel
def _decides(k: int, j: int, awaited: int, signal: np.ndarray, size: np.ndarray) -> bool:
    """Return whether row `k` of a plan holds anything for column `j`; of signals, whether one of those awaited."""
    if k < 0:
        return False
    if len(signal) > 0:
        return signal[k, j] & awaited != 0
    return not math.isnan(size[k if size.shape[0] > 1 else 0, j if size.shape[1] > 1 else 0])


@inner_kernel
def _awaited(position: float, terms: Terms) -> int:
    """Return the signals that may do something to a position without a resting entry, as bits.

    Nothing comes of leaving what is not held, nor of entering what is held and not added to.
    """
    adds = terms.accumulate == ACCUMULATE_BOTH or terms.accumulate == ADD_ONLY
    if position == 0.0:
        return 1 | 4
    if position > 0.0:
        return 2 | 4 | int(adds)
    return 8 | 1 | 4 * int(adds)


@inner_kernel
def _levels(j: int, held: np.ndarray, trails: bool) -> tuple[float, float]:
    """Return prices below and above which something happens to an open position; NaN where nothing can.

    A trailing stop moves as soon as a bar is better than its best before.
    """
    side = 1.0 if held[j, POSITION] > 0.0 else -1.0
    stop = held[j, PEAK] * (1.0 - side * held[j, SL])
    target = held[j, BASE] * (1.0 + side * held[j, TP])
    if trails and not math.isnan(held[j, SL]):
        # the lower of two upper levels, the higher of two lower ones; NaN gives way
        target = held[j, PEAK] if not side * (target - held[j, PEAK]) < 0.0 else target
    return (stop, target) if side > 0.0 else (target, stop)


@inner_kernel
def _touches(
    i: int, s: int, below: float, above: float, open_: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray
) -> bool:
    """Return whether a bar reaches a level, or lacks a price by which one could tell."""
    known = open_[i, s] + high[i, s] + low[i, s] + close[i, s]
    lowest, highest = min(open_[i, s], low[i, s]), max(open_[i, s], high[i, s])
    return math.isnan(known) or lowest <= below or highest >= above


@inner_kernel
def _is_eventful(feed: Feed, terms: Terms) -> bool:
    """Return whether more than its stops can end or charge a position at any bar."""
    return (
        terms.time_stop > 0
        or terms.maintenance > 0.0
        or terms.delist
        or feed.funding_open.size > 1
        or feed.funding_inside.size > 1
    )


@inner_kernel
def _coast(
    i: int, delay: int, account: int, j: int, feed: Feed, plan: Plan, terms: Terms, book: Book, cash: np.ndarray,
    value: np.ndarray,
) -> int:  # fmt: skip
    """Run one column's own account until a bar can change it, and return that row.

    Bars that lack a price, and prices at the very level of a stop, are left to `step_account`.
    """
    n_times, s, held, active = len(value), book.symbol_of[j], book.held, plan.active
    signal, size = plan.signal, plan.size
    open_, high, low, close, fill = feed.open, feed.high, feed.low, feed.close, feed.fill
    money, position, last = book.money[account, CASH], held[j, POSITION], held[j, LAST]
    below, above = _levels(j, held, terms.sl_trail)
    awaited = _awaited(position, terms)
    watched = position != 0.0 and not (math.isnan(below) and math.isnan(above))
    if not math.isnan(held[j, LIMIT]):
        return i
    while i < n_times:
        if _decides(i - delay, j, awaited, signal, size) and (len(active) == 0 or active[i - delay]):
            break
        price = close[i, s]
        if watched and _touches(i, s, below, above, open_, high, low, close):
            break
        if math.isnan(price):
            price = fill[i, s]
        if not math.isnan(price):
            last = price
        cash[i, account] = money
        value[i, account] = money + position * last if position != 0.0 else money
        i += 1
    held[j, LAST] = last
    return i


@inner_kernel
def _mark_account(i: int, account: int, feed: Feed, book: Book, cash: np.ndarray, value: np.ndarray) -> None:
    """Value an account at a bar's close and write its path."""
    worth = book.money[account, CASH]
    for j in range(book.first[account], book.first[account + 1]):
        s = book.symbol_of[j]
        price = feed.fill[i, s] if math.isnan(feed.close[i, s]) else feed.close[i, s]
        if not math.isnan(price):
            book.held[j, LAST] = price
        if book.held[j, POSITION] != 0.0:
            worth += book.held[j, POSITION] * book.held[j, LAST]
    cash[i, account] = book.money[account, CASH]
    value[i, account] = worth


@inner_kernel
def _run_account(
    i: int, delay: int, account: int, feed: Feed, plan: Plan, terms: Terms, book: Book, log: Log, cash: np.ndarray,
    value: np.ndarray,
) -> int:  # fmt: skip
    """Run an account from row `i`; return the row that comes next, before the end where the log is full."""
    n_times, first, active = len(value), book.first[account], plan.active
    n_columns = book.first[account + 1] - first
    eventful = _is_eventful(feed, terms)
    while i < n_times:
        if n_columns == 1 and (not eventful or book.held[first, POSITION] == 0.0):
            i = _coast(i, delay, account, first, feed, plan, terms, book, cash, value)
            if i == n_times:
                break
        if len(log.fills) - log.written[0] < _MOST_FILLS * n_columns:
            break
        k = i - delay
        if k >= 0 and len(active) > 0 and not active[k]:
            k = -1
        step_account(i, k, account, feed, plan, terms, book, log)
        _mark_account(i, account, feed, book, cash, value)
        i += 1
    return i


@kernel
def simulate(
    account: int, row: int, start: int, delay: int, feed: Feed, plan: Plan, terms: Terms, book: Book, log: Log,
    cash: np.ndarray, value: np.ndarray,
) -> tuple[int, int]:  # fmt: skip
    """Run one account after the other, from a row of one of them; return where to go on; account n_accounts is the end.

    It stops early where the log may not hold another bar's fills.

    Parameters
    ----------
    account, row : int
        Where to begin.
    start, delay : int
        First row of the other accounts; rows between decision and fill.
    feed, plan, terms, book, log
        See `market.account`; `book` and `log` are written.
    cash, value : ndarray of shape (n_times, n_accounts)
        Written: cash and worth at each close.
    """
    n_times, n_accounts = value.shape
    while account < n_accounts:
        row = _run_account(row, delay, account, feed, plan, terms, book, log, cash, value)
        if row < n_times:
            return account, row
        account, row = account + 1, start
    return account, start


@kernel
def simulate_weights(
    fill_prices: np.ndarray,
    close: np.ndarray,
    weights: np.ndarray,
    rows: np.ndarray,
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
    weights : ndarray of shape (n_decisions, n_symbols)
        Target shares; NaN holds.
    rows : ndarray of shape (n_times,), int64
        Which decision each row holds, -1 for none.
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
    space = space_for(n_symbols)
    money = init_cash
    count = 0
    for i in range(n_times):
        if i >= delay and rows[i - delay] >= 0:
            before = count
            money, filled = trade_targets(
                money, held, weights[rows[i - delay]], fill_prices[i], last, rates, rules, space, orders[:, 1:5], before
            )
            count += filled
            if len(orders) > 0:
                orders[before:count, 0] = i
                orders[before:count, 5] = 0.0
        mark_row(last, fill_prices[i], close[i])
        cash[i] = money
        value[i] = worth_of(money, held, last)
    return count


@kernel
def all_finite_or_nan(values: np.ndarray) -> bool:
    """Return whether no value is infinite."""
    for row in values:
        found = False
        for value in row:
            found |= abs(value) == np.inf
        if found:
            return False
    return True


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


@inner_kernel
def _wakes(row: int, feed: Feed, terms: Terms, book: Book, horizon: int) -> int:
    """Return the next row from `row` on that may change an account by itself, at most `horizon` rows ahead."""
    wakes = min(row + horizon, len(feed.close))
    for j in range(len(book.held)):
        position = book.held[j, POSITION]
        if not math.isnan(book.held[j, LIMIT]) or (position != 0.0 and _is_eventful(feed, terms)):
            return row
        below, above = _levels(j, book.held, terms.sl_trail)
        if position == 0.0 or (math.isnan(below) and math.isnan(above)):
            continue
        i, s = row, book.symbol_of[j]
        while i < wakes and not _touches(i, s, below, above, feed.open, feed.high, feed.low, feed.close):
            i += 1
        wakes = i
    return wakes


@kernel
def advance(
    row: int, stop: int, delay: int, feed: Feed, plan: Plan, terms: Terms, book: Book, log: Log, horizon: int
) -> int:
    """Let the rows from `row` to `stop - 1` happen to one account; return the next row that may change it by itself.

    The rows before the last are known to change nothing but prices. The row returned is at most `horizon` rows ahead.
    """
    for i in range(row, stop):
        if i == stop - 1:
            step_account(i, i - delay, 0, feed, plan, terms, book, log)
        mark_bar(i, feed, book)
    return _wakes(stop, feed, terms, book, horizon)


@kernel
def trade_at_close(i: int, feed: Feed, plan: Plan, terms: Terms, book: Book, log: Log, horizon: int) -> int:
    """Fill what was decided at the close of row `i`, which has happened otherwise; return what `advance` returns."""
    trade_account(i, i, 0, feed, plan, terms, book, log)
    mark_bar(i, feed, book)
    return _wakes(i + 1, feed, terms, book, horizon)
