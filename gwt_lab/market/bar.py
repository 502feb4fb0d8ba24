"""What one bar does to accounts: the rule that every clock runs.

`step_account` is one kernel. The fused backtest calls it wherever a bar can change an account, `market.step` for every
bar, one at a time; both get the same bits.

Where orders are filled at a bar's open: funding due at the open; the orders decided earlier; funding due inside; then
stops, resting limits and liquidation inside the bar. Where they are filled at the close, they come after what happens
inside the bar, and a column that was stopped out in the bar takes none of that bar's own orders. At last the close
values what is held.
"""

from __future__ import annotations

import math

import numpy as np

from gwt_lab.kernels import inner_kernel, kernel
from gwt_lab.market import account as state
from gwt_lab.market import orders as words
from gwt_lab.market.account import Book, Feed, Log, Plan, Terms, account_worth, fill, mark_bar, pick, roll_tier
from gwt_lab.market.fills import EQUAL
from gwt_lab.market.inside import after_fill, close_column, watch_account
from gwt_lab.market.intents import signal_order, sized_order

__all__ = ["step_account", "step_bar", "trade_account"]


@inner_kernel
def _fund(i: int, account: int, rates: np.ndarray, feed: Feed, book: Book) -> None:
    """Take funding from longs and give it to shorts where the rate is positive, on the price at the bar's open."""
    if rates.size <= 1:
        return
    for j in range(book.first[account], book.first[account + 1]):
        held, s = book.held[j, state.POSITION], book.symbol_of[j]
        if held == 0.0 or rates[i, s] == 0.0:
            continue
        price = book.held[j, state.LAST] if math.isnan(feed.open[i, s]) else feed.open[i, s]
        due = held * price * rates[i, s]
        book.money[account, state.CASH] -= due
        book.money[account, state.FUNDING] += due


@inner_kernel
def _ask(
    i: int, k: int, account: int, j: int, worth: float, feed: Feed, plan: Plan, terms: Terms, book: Book
) -> tuple[float, float, int, bool]:
    """Return the order of column `j`: signed amount, share of all, direction, and whether it opens or adds."""
    price, held = feed.fill[i, book.symbol_of[j]], book.held[j, state.POSITION]
    size, kind = pick(plan.size, k, j), terms.size_type
    if len(plan.signal) == 0:
        return sized_order(size, kind, terms.direction, held, price, worth, True)
    bits = plan.signal[k, j]
    if bits == 0 or math.isnan(price):
        return 0.0, math.nan, words.BOTH, False
    return signal_order(bits, size, kind, held, price, worth, terms)


@inner_kernel
def _wants(i: int, k: int, account: int, plan: Plan, terms: Terms, book: Book) -> bool:
    """Return whether any column of the account has something to do at row `k`."""
    for j in range(book.first[account], book.first[account + 1]):
        if len(plan.signal):
            if plan.signal[k, j] != 0:
                return True
        elif not math.isnan(pick(plan.size, k, j)):
            return True
    return False


@inner_kernel
def _drifted(i: int, k: int, account: int, worth: float, feed: Feed, plan: Plan, book: Book) -> bool:
    """Return whether a column that can be traded now misses its target share by the drift or more."""
    for j in range(book.first[account], book.first[account + 1]):
        target, held = pick(plan.size, k, j), book.held[j, state.POSITION]
        share = held * book.held[j, state.LAST] / worth if held != 0.0 else 0.0
        tradable = not math.isnan(feed.fill[i, book.symbol_of[j]])
        if tradable and not math.isnan(target) and abs(target - share) >= plan.drift:
            return True
    return False


@inner_kernel
def _limit_of(k: int, j: int, amount: float, plan: Plan, book: Book) -> float:
    """Return the limit of an entry; NaN where it has none."""
    offset, reference = pick(plan.limit, k, j), plan.reference[k, book.symbol_of[j]]
    return reference * (1.0 - offset) if amount > 0.0 else reference * (1.0 + offset)


@inner_kernel
def _withdraw(k: int, j: int, plan: Plan, book: Book) -> None:
    """Take back a resting entry whose exit is signalled before it was filled."""
    if len(plan.signal) == 0 or math.isnan(book.held[j, state.LIMIT]):
        return
    enter, leave = (1, 2) if book.held[j, state.LIMIT_SIZE] > 0.0 else (4, 8)
    if plan.signal[k, j] & leave != 0 and plan.signal[k, j] & enter == 0:
        book.held[j, state.LIMIT] = math.nan


@inner_kernel
def _trade_column(
    i: int, k: int, account: int, j: int, worth: float, feed: Feed, plan: Plan, terms: Terms, book: Book, log: Log
) -> None:
    held, price = book.held[j], feed.fill[i, book.symbol_of[j]]
    if math.isnan(price) or (k == i and held[state.STOPPED] != 0.0):
        return
    size, percent, direction, adds = _ask(i, k, account, j, worth, feed, plan, terms, book)
    if size == 0.0 or math.isnan(size):
        _withdraw(k, j, plan, book)
        return
    held[state.LIMIT] = math.nan
    limit = _limit_of(k, j, size, plan, book) if adds else math.nan
    # what could be filled at once does not rest
    if price > limit if size > 0.0 else price < limit:
        held[state.LIMIT], held[state.LIMIT_SIZE], held[state.LIMIT_SHARE] = limit, size, percent
        held[state.LIMIT_SIDE], held[state.LIMIT_LEFT] = direction, terms.limit_bars
        held[state.LIMIT_SL], held[state.LIMIT_TP] = pick(plan.sl_stop, k, j), pick(plan.tp_stop, k, j)
        return
    before = held[state.POSITION]
    order = (size, percent, direction, limit)
    if fill(i, account, j, order, price, words.ORDER, True, feed, terms, book, log) != 0.0:
        after_fill(j, before, price, pick(plan.sl_stop, k, j), pick(plan.tp_stop, k, j), terms, book)


@inner_kernel
def _sort_orders(
    i: int, k: int, account: int, worth: float, feed: Feed, plan: Plan, terms: Terms, book: Book
) -> None:  # fmt: skip
    """Write the columns of an account in the order of what their orders are worth; equal ones keep their order.

    Equal is what differs by less than one part in 10^9, so that rounding decides nothing.
    """
    first = book.first[account]
    for j in range(first, book.first[account + 1]):
        value = _order_value(i, k, account, j, worth, feed, plan, terms, book)
        place = j
        while place > first and book.worth[place - 1] - value > EQUAL * abs(value):
            book.worth[place], book.sequence[place] = book.worth[place - 1], book.sequence[place - 1]
            place -= 1
        book.worth[place], book.sequence[place] = value, j


@inner_kernel
def trade_account(i: int, k: int, account: int, feed: Feed, plan: Plan, terms: Terms, book: Book, log: Log) -> None:
    """Fill what was decided at row `k` for every column of an account, in the order that `call_seq` says."""
    if not _wants(i, k, account, plan, terms, book):
        return
    first, last = book.first[account], book.first[account + 1]
    for j in range(first, last):
        price = feed.fill[i, book.symbol_of[j]]
        if not math.isnan(price):
            book.held[j, state.LAST] = price
    worth = account_worth(book, account)
    if plan.drift > 0.0 and not _drifted(i, k, account, worth, feed, plan, book):
        return
    if last - first == 1 or terms.call_seq == words.IN_ORDER:
        for j in range(first, last):
            _trade_column(i, k, account, j, worth, feed, plan, terms, book, log)
    elif terms.call_seq == words.REVERSED:
        for j in range(last - 1, first - 1, -1):
            _trade_column(i, k, account, j, worth, feed, plan, terms, book, log)
    else:
        _sort_orders(i, k, account, worth, feed, plan, terms, book)
        for place in range(first, last):
            _trade_column(i, k, account, book.sequence[place], worth, feed, plan, terms, book, log)


@inner_kernel
def _order_value(
    i: int, k: int, account: int, j: int, worth: float, feed: Feed, plan: Plan, terms: Terms, book: Book
) -> float:
    """Return what an order is worth, by which sales come before buys and small buys before large ones."""
    price = feed.fill[i, book.symbol_of[j]]
    if math.isnan(price):
        return 0.0
    size, percent, direction, _ = _ask(i, k, account, j, worth, feed, plan, terms, book)
    held = book.held[j, state.POSITION]
    if math.isinf(size):
        share = 1.0 if math.isnan(percent) else percent
        if size > 0.0:
            return share * book.money[account, state.CASH]
        if direction == words.LONG_ONLY:
            return -share * held * price
        free = book.money[account, state.CASH] - 2.0 * book.money[account, state.SHORT_DEBT]
        return -share * (2.0 * max(held * price, 0.0) + max(free, 0.0))
    return 0.0 if math.isnan(size) else size * price


@inner_kernel
def _time_stops(i: int, account: int, feed: Feed, terms: Terms, book: Book, log: Log) -> None:
    """Close what has been held for `time_stop` bars, at the price at which orders are filled."""
    for j in range(book.first[account], book.first[account + 1]):
        held, price = book.held[j], feed.fill[i, book.symbol_of[j]]
        if held[state.POSITION] == 0.0 or held[state.LEFT] == 0.0:
            continue
        if held[state.LEFT] > 1.0 or math.isnan(price):
            held[state.LEFT] = max(held[state.LEFT] - 1.0, 1.0)
            continue
        close_column(i, account, j, price, words.TIME_STOP, True, feed, terms, book, log)


@inner_kernel
def _delist(i: int, account: int, feed: Feed, terms: Terms, book: Book, log: Log) -> None:
    """Close what is held of a symbol at the last price it ever has."""
    for j in range(book.first[account], book.first[account + 1]):
        held, s = book.held[j, state.POSITION], book.symbol_of[j]
        if held != 0.0 and feed.last_row[s] == i:
            close_column(i, account, j, feed.close[i, s], words.DELISTING, True, feed, terms, book, log)


@inner_kernel
def step_account(i: int, k: int, account: int, feed: Feed, plan: Plan, terms: Terms, book: Book, log: Log) -> None:
    """Let one bar happen to one account; see `step_bar`."""
    roll_tier(book.money[account], feed.day[i], terms)
    _fund(i, account, feed.funding_open, feed, book)
    if terms.at_open:
        if terms.time_stop:
            _time_stops(i, account, feed, terms, book, log)
        if k >= 0:
            trade_account(i, k, account, feed, plan, terms, book, log)
        _fund(i, account, feed.funding_inside, feed, book)
        watch_account(i, account, feed, terms, book, log)
    else:
        _fund(i, account, feed.funding_inside, feed, book)
        watch_account(i, account, feed, terms, book, log)
        if terms.time_stop:
            _time_stops(i, account, feed, terms, book, log)
        if k >= 0:
            trade_account(i, k, account, feed, plan, terms, book, log)
    if terms.delist:
        _delist(i, account, feed, terms, book, log)


@kernel
def step_bar(i: int, k: int, feed: Feed, plan: Plan, terms: Terms, book: Book, log: Log) -> None:
    """Let one bar happen to every account.

    Parameters
    ----------
    i : int
        Row of the feed that happens.
    k : int
        Row of the plan that is filled in it; negative for none.
    feed, plan, terms, book, log
        See `market.account`; `book` and `log` are written.
    """
    for account in range(len(book.first) - 1):
        step_account(i, k, account, feed, plan, terms, book, log)
    mark_bar(i, feed, book)
