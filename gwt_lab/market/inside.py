"""What happens inside a bar: resting limits, stops, liquidation, and what a bar cannot tell.

A bar gives open, high, low and close, not the path between them. What the open already decides is certain; where a
stop and a target both lie inside the bar, `ambiguity` decides: pessimistic takes the stop, optimistic the target,
neutral the one nearer to the open.
"""

from __future__ import annotations

import math

from gwt_lab.kernels import inner_kernel
from gwt_lab.market import account as state
from gwt_lab.market import orders as words
from gwt_lab.market.account import Book, Feed, Log, Terms, fill

__all__ = ["after_fill", "close_column", "watch_account"]

# a value of STOPPED: met its stop at the open and could not leave
_STUCK = 2.0


@inner_kernel
def after_fill(j: int, before: float, price: float, stop: float, target: float, terms: Terms, book: Book) -> None:
    """Set, move or clear a column's stops after an order of its own was filled.

    Stops count from the order's price before slippage. Where a position grows, new stops replace the old ones.
    """
    held = book.held[j]
    after = held[state.POSITION]
    if after == 0.0:
        held[state.SL], held[state.TP], held[state.LEFT] = math.nan, math.nan, 0.0
        return
    opened = before == 0.0 or (before > 0.0) != (after > 0.0)
    grown = abs(after) > abs(before)
    if opened or (grown and not math.isnan(stop)):
        held[state.PEAK], held[state.SL] = price, stop
    if opened or (grown and not math.isnan(target)):
        held[state.BASE], held[state.TP] = price, target
    if opened:
        held[state.LEFT] = terms.time_stop


@inner_kernel
def close_column(
    i: int, account: int, j: int, price: float, kind: int, slips: bool, feed: Feed, terms: Terms, book: Book, log: Log
) -> None:
    """Close a position at a price and forget its stops."""
    held = book.held[j]
    direction = words.LONG_ONLY if held[state.POSITION] > 0.0 else words.SHORT_ONLY
    order = (-held[state.POSITION], math.nan, direction, math.nan)
    fill(i, account, j, order, price, kind, slips, feed, terms, book, log)
    if held[state.POSITION] == 0.0:
        held[state.SL], held[state.TP], held[state.LEFT] = math.nan, math.nan, 0.0


@inner_kernel
def _range(i: int, s: int, feed: Feed) -> tuple[float, float, float]:
    """Return open, low and high of a bar; what is missing is read from what is there, NaN without a bar."""
    close = feed.close[i, s]
    opened = close if math.isnan(feed.open[i, s]) else feed.open[i, s]
    if math.isnan(close):
        close = opened
    low = min(opened, close) if math.isnan(feed.low[i, s]) else feed.low[i, s]
    high = max(opened, close) if math.isnan(feed.high[i, s]) else feed.high[i, s]
    return opened, low, high


@inner_kernel
def _limit(i: int, account: int, j: int, feed: Feed, terms: Terms, book: Book, log: Log) -> bool:
    """Fill a resting order if the bar reached it; return whether it was filled inside the bar."""
    held = book.held[j]
    limit, size = held[state.LIMIT], held[state.LIMIT_SIZE]
    opened, low, high = _range(i, book.symbol_of[j], feed)
    if math.isnan(opened):
        return False
    # mirrored for sales, so that "below" is what a buy waits for
    side = 1.0 if size > 0.0 else -1.0
    worst = low if side > 0.0 else high
    through = side * (limit - worst)
    at_open = side * (limit - opened) >= 0.0
    touched = through > 0.0 or (through == 0.0 and terms.ambiguity != words.PESSIMISTIC)
    held[state.LIMIT_LEFT] -= 1.0
    if not at_open and not touched:
        if held[state.LIMIT_LEFT] <= 0.0:
            held[state.LIMIT] = math.nan
        return False
    price, before = (opened if at_open else limit), held[state.POSITION]
    held[state.LIMIT] = math.nan
    order = (size, held[state.LIMIT_SHARE], int(held[state.LIMIT_SIDE]), math.nan)
    if fill(i, account, j, order, price, words.LIMIT, False, feed, terms, book, log) == 0.0:
        return False
    after_fill(j, before, price, held[state.LIMIT_SL], held[state.LIMIT_TP], terms, book)
    return not at_open


@inner_kernel
def _levels(j: int, book: Book) -> tuple[float, float, float]:
    """Return the prices of stop and target and the side of the position; NaN where there is none."""
    held = book.held[j]
    side = 1.0 if held[state.POSITION] > 0.0 else -1.0
    stop, target = held[state.PEAK] * (1.0 - side * held[state.SL]), held[state.BASE] * (1.0 + side * held[state.TP])
    return stop, target, side


@inner_kernel
def _leave_at_open(i: int, account: int, j: int, feed: Feed, terms: Terms, book: Book, log: Log) -> None:
    """Close a position whose stop or target lies at the bar's open or before it: that much is certain."""
    opened = _range(i, book.symbol_of[j], feed)[0]
    stop, target, side = _levels(j, book)
    stopped = side * (stop - opened) >= 0.0
    if stopped or side * (opened - target) >= 0.0:
        stop_kind = words.TRAILING if terms.sl_trail else words.STOP_LOSS
        kind = stop_kind if stopped else words.TAKE_PROFIT
        close_column(i, account, j, opened, kind, terms.stop_market, feed, terms, book, log)
        # what could not be sold at the open waits for the next one: the stop's own price is gone
        book.held[j, state.STOPPED] = 1.0 if book.held[j, state.POSITION] == 0.0 else _STUCK


@inner_kernel
def _stop_event(i: int, j: int, feed: Feed, terms: Terms, book: Book) -> tuple[float, int]:
    """Return the price at which a position leaves inside the bar, after its open, and why; NaN if it stays.

    Where it was opened inside this bar, by a limit, a stop beyond the limit was certainly reached after it; a target
    need not have been.
    """
    opened, low, high = _range(i, book.symbol_of[j], feed)
    stop, target, side = _levels(j, book)
    worst, best = (low, high) if side > 0.0 else (high, low)
    stop_kind = words.TRAILING if terms.sl_trail else words.STOP_LOSS
    stopped, reached = side * (stop - worst) >= 0.0, side * (best - target) >= 0.0
    if book.held[j, state.LATE] != 0.0 and terms.ambiguity != words.OPTIMISTIC:
        reached = False
    if stopped and reached:
        nearer = terms.ambiguity == words.NEUTRAL and abs(target - opened) < abs(stop - opened)
        stopped = not (terms.ambiguity == words.OPTIMISTIC or nearer)
    if stopped:
        return stop, stop_kind
    return (target, words.TAKE_PROFIT) if reached else (math.nan, words.ORDER)


@inner_kernel
def _share_of_way(i: int, j: int, price: float, feed: Feed, book: Book) -> float:
    """Return how far from the open to the worst price of its bar a position's exit lies."""
    opened, low, high = _range(i, book.symbol_of[j], feed)
    way = abs((low if book.held[j, state.POSITION] > 0.0 else high) - opened)
    return abs(price - opened) / way if way > 0.0 else 0.0


@inner_kernel
def _worst(i: int, j: int, alone: bool, feed: Feed, terms: Terms, book: Book) -> tuple[float, float]:
    """Return open and worst price of a column's bar, by which liquidation is judged.

    One position alone certainly met its worst price. Several need not have met theirs together: pessimistic takes them
    so, the others look at the closes.
    """
    opened, low, high = _range(i, book.symbol_of[j], feed)
    if math.isnan(opened):
        return book.held[j, state.LAST], book.held[j, state.LAST]
    if alone or terms.ambiguity == words.PESSIMISTIC:
        return opened, low if book.held[j, state.POSITION] > 0.0 else high
    close = feed.close[i, book.symbol_of[j]]
    return opened, opened if math.isnan(close) else close


@inner_kernel
def _liquidation(i: int, account: int, feed: Feed, terms: Terms, book: Book) -> float:
    """Return how far from the opens to the worst prices the account falls short of its margin; infinite if never."""
    spare, spare_worst, n_open = book.money[account, state.CASH], book.money[account, state.CASH], 0
    for j in range(book.first[account], book.first[account + 1]):
        n_open += book.held[j, state.POSITION] != 0.0
    if n_open == 0:
        return math.inf
    for j in range(book.first[account], book.first[account + 1]):
        held = book.held[j, state.POSITION]
        if held != 0.0:
            opened, worst = _worst(i, j, n_open == 1, feed, terms, book)
            spare += held * opened - terms.maintenance * abs(held) * opened
            spare_worst += held * worst - terms.maintenance * abs(held) * worst
    if spare <= 0.0:
        return 0.0
    return math.inf if spare_worst > 0.0 else spare / (spare - spare_worst)


@inner_kernel
def _liquidate(i: int, account: int, share: float, feed: Feed, terms: Terms, book: Book, log: Log) -> None:
    first, last = book.first[account], book.first[account + 1]
    n_open = 0
    for j in range(first, last):
        n_open += book.held[j, state.POSITION] != 0.0
    for j in range(first, last):
        if book.held[j, state.POSITION] != 0.0:
            opened, worst = _worst(i, j, n_open == 1, feed, terms, book)
            price = opened + share * (worst - opened)
            close_column(i, account, j, price, words.LIQUIDATION, True, feed, terms, book, log)
            book.held[j, state.STOPPED] = 1.0


@inner_kernel
def _watch_column(
    i: int, account: int, j: int, liquidated: float, feed: Feed, terms: Terms, book: Book, log: Log
) -> None:
    """Let a position leave at its stop or target inside the bar, unless the account is liquidated before."""
    held = book.held[j]
    opened, low, high = _range(i, book.symbol_of[j], feed)
    if math.isnan(opened) or (math.isnan(held[state.SL]) and math.isnan(held[state.TP])):
        return
    if held[state.STOPPED] == _STUCK:
        return
    price, kind = _stop_event(i, j, feed, terms, book)
    if not math.isnan(price):
        later = _share_of_way(i, j, price, feed, book) > liquidated
        if kind == words.TAKE_PROFIT:
            # a bar that holds a target and the liquidation is as ambiguous as one that holds a target and a stop
            later = liquidated <= 1.0 and (
                terms.ambiguity == words.PESSIMISTIC or (later and terms.ambiguity == words.NEUTRAL)
            )
        if not later:
            close_column(i, account, j, price, kind, terms.stop_market, feed, terms, book, log)
            held[state.STOPPED] = 1.0
            return
    if terms.sl_trail:
        # the trail follows completed bars; of the bar of a fill inside it, only the close is known to come later
        long, close = held[state.POSITION] > 0.0, feed.close[i, book.symbol_of[j]]
        better = high if long else low
        if held[state.LATE] != 0.0:
            better = opened if math.isnan(close) else close
        held[state.PEAK] = max(held[state.PEAK], better) if long else min(held[state.PEAK], better)


@inner_kernel
def watch_account(i: int, account: int, feed: Feed, terms: Terms, book: Book, log: Log) -> None:
    """Let limits, stops and liquidation of an account happen inside bar `i`.

    First what the opens decide, then resting limits, then stops and liquidation, whichever is met first.
    """
    first, last = book.first[account], book.first[account + 1]
    for j in range(first, last):
        held = book.held[j]
        held[state.STOPPED] = held[state.LATE] = 0.0
        if held[state.POSITION] != 0.0:
            _leave_at_open(i, account, j, feed, terms, book, log)
        if not math.isnan(held[state.LIMIT]):
            held[state.LATE] = 1.0 if _limit(i, account, j, feed, terms, book, log) else 0.0
    liquidated = _liquidation(i, account, feed, terms, book) if terms.maintenance > 0.0 else math.inf
    for j in range(first, last):
        if book.held[j, state.POSITION] != 0.0:
            _watch_column(i, account, j, liquidated, feed, terms, book, log)
    if terms.maintenance > 0.0:
        liquidated = _liquidation(i, account, feed, terms, book)
        if liquidated <= 1.0:
            _liquidate(i, account, liquidated, feed, terms, book, log)
