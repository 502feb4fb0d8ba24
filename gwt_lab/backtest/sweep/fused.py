"""The fused account: signals as words in, a row of sums out, nothing of the length of the bars in between.

The account walks from order to order. A stretch of bars without a position costs nothing. A stretch in which all cash
is in the position has the market's own returns, whose sums over any stretch are differences of running sums (kept in
twice the precision, so that no digit is lost whatever happened before), and only its deepest fall needs a look at the
bars, eight at a time. Shorts are walked bar by bar.

The rule at an order is `market.fills.fill_order`; what a sale may open short is `largest_short`, when a stop is hit
`stop_hit`.
"""

from __future__ import annotations

import math

import numpy as np

from gwt_lab.backtest.sweep import streaming as s
from gwt_lab.backtest.sweep.fused_words import LANES, lowest_and_highest, trailing_zeros
from gwt_lab.kernels import kernel
from gwt_lab.market.fills import fill_order

__all__ = ["N_SUMS", "book_value", "largest_short", "running_sums", "simulate", "simulate_many", "stop_hit"]

# Running sums of a symbol: returns, their squares, squares of losses, marks; each with its lost digits beside it.
N_SUMS = 8
# Bars that are looked at together for the deepest fall.
_PIECE = 64
LONG_ONLY, SHORT_ONLY, BOTH = 0, 1, 2
PESSIMISTIC, NEUTRAL, OPTIMISTIC = 0, 1, 2
# Places in `setup`.
INIT_CASH, DELAY, DIRECTION, HAS_STOPS, LOSS, GAIN, TRAIL, TIME_STOP, AMBIGUITY, N_SETUP = range(10)
# Places in what the loop knows of the stops of an open position.
LOSS_BASE, GAIN_BASE, CHECKED, TIME_BAR = range(4)
# A step of the loop. Counting references to arrays, and passing them on the stack, would cost more than the steps do. A
# step makes no array, so nothing needs counting.
_step = kernel(_nrt=False, forceinline=True)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@kernel
def running_sums(marks: np.ndarray) -> np.ndarray:
    """Return the running sums of a row of marks, shape (n_times + 1, N_SUMS); before the first price all are zero."""
    n = len(marks)
    sums = np.zeros((n + 1, N_SUMS))
    terms = np.zeros(4)
    for i in range(n):
        gain = marks[i] / marks[i - 1] - 1.0 if i > 0 and marks[i - 1] == marks[i - 1] else 0.0
        loss = min(gain, 0.0)
        terms[0], terms[1], terms[2] = gain, gain * gain, loss * loss
        terms[3] = marks[i] if marks[i] == marks[i] else 0.0
        for k in range(4):
            high, term = sums[i, 2 * k], terms[k]
            total = high + term
            part = total - high
            sums[i + 1, 2 * k] = total
            sums[i + 1, 2 * k + 1] = sums[i, 2 * k + 1] + ((high - (total - part)) + (term - part))
    return sums


@_step
def _extremes(marks: np.ndarray, start: int, stop: int) -> tuple[float, float]:
    """Return the smallest and largest mark of a stretch without NaN."""
    low = high = marks[start]
    if stop - start >= LANES:
        low, high = lowest_and_highest(marks, start, stop)
    else:
        for i in range(start + 1, stop):
            low = min(low, marks[i])
            high = max(high, marks[i])
    return low, high


@_step
def _fall(acc: np.ndarray, marks: np.ndarray, amount: float, start: int, stop: int) -> None:
    """Carry peak and deepest fall of `amount` held through a stretch."""
    peak, deepest = acc[s.PEAK], acc[s.DEEPEST]
    for first in range(start, stop, _PIECE):
        last = min(first + _PIECE, stop)
        low, high = _extremes(marks, first, last)
        low, high = amount * low, amount * high
        if high <= peak:
            deepest = min(deepest, low / peak - 1.0)
        elif low / high - 1.0 < deepest:
            for i in range(first, last):
                value = amount * marks[i]
                if value > peak:
                    peak = value
                elif value / peak - 1.0 < deepest:
                    deepest = value / peak - 1.0
        else:
            # the whole range of the piece is no new depth, and the old peak was lower than this one
            peak = high
    acc[s.PEAK], acc[s.DEEPEST] = peak, deepest


@_step
def book_value(acc: np.ndarray, value: float, held: bool) -> None:
    """Book one bar at whose close the account is worth `value`, and whether it holds anything."""
    before = acc[s.VALUE]
    gain = (value - before) / abs(before) if before != 0.0 else 0.0
    loss = min(gain, 0.0)
    acc[s.SUM] += gain
    acc[s.SUM_SQUARES] += gain * gain
    acc[s.SUM_LOSS_SQUARES] += loss * loss
    acc[s.SUM_VALUES] += value
    acc[s.VALUE] = value
    if value > acc[s.PEAK]:
        acc[s.PEAK] = value
    else:
        acc[s.DEEPEST] = min(acc[s.DEEPEST], value / acc[s.PEAK] - 1.0)
    if held:
        acc[s.BARS_HELD] += 1.0


@_step
def _walk(acc: np.ndarray, marks: np.ndarray, sums: np.ndarray, stop: int) -> None:
    """Book all bars before `stop`; in none of them but the first, if it is marked so, was anything traded."""
    start = int(acc[s.BOOKED])
    if start >= stop:
        return
    cash, amount = acc[s.CASH], acc[s.AMOUNT]
    whole = cash == 0.0 and amount > 0.0
    singly = start + int(acc[s.TRADED_NOW]) if whole or amount == 0.0 else stop
    for i in range(start, singly):
        book_value(acc, cash + amount * marks[i] if amount != 0.0 else cash, amount != 0.0)
    acc[s.TRADED_NOW] = 0.0
    acc[s.BOOKED] = stop
    if singly == stop:
        return
    if amount == 0.0:
        acc[s.SUM_VALUES] += cash * (stop - singly)
        acc[s.PEAK] = max(acc[s.PEAK], cash)
        return
    first, last = sums[singly], sums[stop]
    acc[s.SUM] += (last[0] - first[0]) + (last[1] - first[1])
    acc[s.SUM_SQUARES] += (last[2] - first[2]) + (last[3] - first[3])
    acc[s.SUM_LOSS_SQUARES] += (last[4] - first[4]) + (last[5] - first[5])
    acc[s.SUM_VALUES] += amount * ((last[6] - first[6]) + (last[7] - first[7]))
    acc[s.BARS_HELD] += stop - singly
    acc[s.VALUE] = amount * marks[stop - 1]
    _fall(acc, marks, amount, singly, stop)


@_step
def _mark_edges(acc: np.ndarray, marks: np.ndarray, stop: int, edge_bars: np.ndarray, edges: np.ndarray) -> None:
    """Write the account's worth at the edges before bar `stop`, up to which the account is as it is now."""
    k = int(acc[s.NEXT_EDGE])
    while k < len(edges) and edge_bars[k] < stop:
        amount = acc[s.AMOUNT]
        edges[k] = acc[s.CASH] + amount * marks[edge_bars[k]] if amount != 0.0 else acc[s.CASH]
        k += 1
    acc[s.NEXT_EDGE] = k


@_step
def _close(acc: np.ndarray, closing: float, paid: float, fee: float) -> None:
    """Book that `closing` of the position was closed; a trade ends where nothing is left of it."""
    held = acc[s.AMOUNT]
    entry_value, entry_fee = acc[s.ENTRY_VALUE], acc[s.ENTRY_FEE]
    if closing != abs(held):
        entry_value *= closing / abs(held)
        entry_fee *= closing / abs(held)
    change = closing * paid - entry_value
    gain = acc[s.REALISED] + (change if held > 0.0 else -change) - entry_fee - fee
    acc[s.ENTRY_VALUE] -= entry_value
    acc[s.ENTRY_FEE] -= entry_fee
    acc[s.REALISED] = gain
    if closing == abs(held):
        acc[s.TRADES] += 1.0
        if gain > 0.0:
            acc[s.WINS] += 1.0
            acc[s.GROSS_PROFIT] += gain
        else:
            acc[s.GROSS_LOSS] -= gain
        acc[s.REALISED] = 0.0


@_step
def _settle(acc: np.ndarray, filled: float, paid: float, fee: float) -> None:
    """Book what an order closes as a trade and what it opens as a new one."""
    held, size = acc[s.AMOUNT], abs(filled)
    acc[s.ORDERS] += 1.0
    acc[s.TRADED] += size * paid
    acc[s.FEES] += fee
    if held * filled < 0.0:
        closing = min(size, abs(held))
        exit_fee = fee if closing == size else fee * (closing / size)
        _close(acc, closing, paid, exit_fee)
        size -= closing
        fee -= exit_fee
    if size > 0.0:
        acc[s.ENTRY_VALUE] += size * paid
        acc[s.ENTRY_FEE] += fee
    acc[s.AMOUNT] = held + filled


@_step
def _order(acc: np.ndarray, side: int, price: float, rates: np.ndarray, rule: np.ndarray) -> bool:
    """Go all long (1), all short (-1) or out (0) at `price`; return whether anything was filled."""
    held = acc[s.AMOUNT]
    if side > 0:
        amount = math.inf
    elif side < 0:
        amount = -largest_short(acc[s.CASH], held, price, rates)
    else:
        amount = -held
    cash, filled, paid, fee = fill_order(acc[s.CASH], amount, price, rates, rule)
    if filled == 0.0:
        return False
    _settle(acc, filled, paid, fee)
    acc[s.CASH] = cash
    acc[s.TRADED_NOW] = 1.0
    return True


@_step
def _next_bit(words: np.ndarray, others: np.ndarray, also: bool, start: int, stop: int) -> int:
    """Return the first bar from `start` on with a bit in `words` (or, `also`, in `others`), but not in both."""
    if start >= stop:
        return stop
    mask = _ALL << np.uint64(start & 63)
    for j in range(start >> 6, (stop + 63) >> 6):
        word = words[j] & ~others[j]
        if also:
            word |= others[j] & ~words[j]
        word &= mask
        if word != _ZERO:
            return min(64 * j + int(trailing_zeros(word)), stop)
        mask = _ALL
    return stop


@_step
def largest_short(cash: float, held: float, price: float, rates: np.ndarray) -> float:
    """Return the amount that a sale of everything and then short may have, without more debt than there is cash.

    Parameters
    ----------
    cash : float
        Quote currency that is not owed to anybody.
    held : float
        Amount held long, zero or more.
    price : float
        Before slippage.
    rates : ndarray of shape (3,)
        Fees, slippage, fixed fee.
    """
    paid = price * (1.0 - rates[1])
    free = cash + held * paid * (1.0 - rates[0])
    if free <= 0.0:
        return held
    amount: float = held + (free - rates[2]) / (paid * (1.0 + rates[0]))
    return max(amount, 0.0)


@_step
def _stop_hit_long(open_: float, high: float, low: float, loss_at: float, gain_at: float, ambiguity: int) -> float:
    """Return `stop_hit` of a long position."""
    # what lies beyond at the open is known first
    if open_ <= loss_at or open_ >= gain_at:
        return open_
    loss, gain = low <= loss_at, high >= gain_at
    if loss and gain:
        nearer_loss = open_ - loss_at <= gain_at - open_
        if ambiguity == OPTIMISTIC or (ambiguity == NEUTRAL and not nearer_loss):
            return gain_at
        return loss_at
    if loss:
        return loss_at
    return gain_at if gain else math.nan


@_step
def stop_hit(
    side: float, open_: float, high: float, low: float, loss_at: float, gain_at: float, ambiguity: int
) -> float:
    """Return the price at which a stop closes a position inside a bar, NaN where none is hit.

    Parameters
    ----------
    side : float
        Positive for a long position.
    open_, high, low : float
        The bar; NaN hits nothing.
    loss_at, gain_at : float
        Where the loss stop and the target lie; NaN where there is none.
    ambiguity : int
        Which of the two comes first where the bar holds both.
    """
    if side < 0.0:
        open_, high, low, loss_at, gain_at = -open_, -low, -high, -loss_at, -gain_at
    price: float = _stop_hit_long(open_, high, low, loss_at, gain_at, ambiguity)
    return price if side > 0.0 else -price


# ------------------------------------------------------------------------------------------------ stops
@_step
def _arm(armed: np.ndarray, setup: np.ndarray, fills: np.ndarray, bar: int) -> None:
    """Set the stops of a position that was opened at `bar`; they count from the price before slippage."""
    armed[LOSS_BASE] = armed[GAIN_BASE] = fills[bar]
    # a fill at the close is checked from the next bar on, a fill at the open within its own bar
    armed[CHECKED] = bar + 1 - setup[DELAY]
    armed[TIME_BAR] = _priced_from(fills, bar + int(setup[TIME_STOP])) if setup[TIME_STOP] > 0.0 else len(fills)


@_step
def _priced_from(fills: np.ndarray, bar: int) -> int:
    """Return the first bar from `bar` on that has a fill price."""
    while bar < len(fills) and fills[bar] != fills[bar]:
        bar += 1
    return min(bar, len(fills))


@_step
def _find_stop(
    acc: np.ndarray, armed: np.ndarray, setup: np.ndarray, ranges: np.ndarray, stop: int
) -> tuple[int, float]:
    """Return the first bar before `stop` that hits a stop, and at which price; (`stop`, NaN) if none does."""
    side = 1.0 if acc[s.AMOUNT] > 0.0 else -1.0
    loss, gain = setup[LOSS], setup[GAIN]
    if loss != loss and gain != gain:
        return stop, math.nan
    gain_at = armed[GAIN_BASE] * (1.0 + side * gain)
    trail, ambiguity = setup[TRAIL] > 0.0, int(setup[AMBIGUITY])
    base = armed[LOSS_BASE]
    for bar in range(int(armed[CHECKED]), stop):
        high, low = ranges[1, bar], ranges[2, bar]
        price = stop_hit(side, ranges[0, bar], high, low, base * (1.0 - side * loss), gain_at, ambiguity)
        if price == price:
            armed[CHECKED] = bar + 1
            return bar, price
        if trail and side * (high if side > 0.0 else low) > side * base:
            base = high if side > 0.0 else low
    armed[LOSS_BASE] = base
    armed[CHECKED] = max(float(stop), armed[CHECKED])
    return stop, math.nan


# ------------------------------------------------------------------------------------------------ the loop
@_step
def _next_decision(acc: np.ndarray, entries: np.ndarray, exits: np.ndarray, direction: int, t: int, last: int) -> int:
    """Return the next bar from `t` on whose signal asks the account to do something."""
    held = acc[s.AMOUNT]
    flat_both = held == 0.0 and direction == BOTH
    if held == 0.0 or (held < 0.0 and direction == BOTH):
        bar: int = _next_bit(entries, exits, flat_both, t, last)
    else:
        bar = _next_bit(exits, entries, flat_both, t, last)
    return bar


@_step
def _side(entries: np.ndarray, direction: int, t: int) -> int:
    """Return what the signal at bar `t` asks for: 1 long, -1 short, 0 out."""
    entry = (entries[t >> 6] >> np.uint64(t & 63)) & _ONE != _ZERO
    if entry:
        return -1 if direction == SHORT_ONLY else 1
    return -1 if direction == BOTH else 0


@_step
def _open_account(acc: np.ndarray, n_times: int, init_cash: float) -> None:
    acc[:] = 0.0
    acc[s.N_BARS], acc[s.PEAK] = n_times, -math.inf
    acc[s.INIT_CASH] = acc[s.CASH] = acc[s.VALUE] = init_cash


@_step
def _pass_to(
    acc: np.ndarray, marks: np.ndarray, sums: np.ndarray, bar: int, edge_bars: np.ndarray, edges: np.ndarray
) -> None:
    """Book everything before `bar`."""
    _walk(acc, marks, sums, bar)
    if len(edges):
        _mark_edges(acc, marks, bar, edge_bars, edges)


@kernel(_nrt=False)
def simulate(
    entries: np.ndarray,
    exits: np.ndarray,
    fills: np.ndarray,
    marks: np.ndarray,
    sums: np.ndarray,
    ranges: np.ndarray,
    setup: np.ndarray,
    rates: np.ndarray,
    edge_bars: np.ndarray,
    acc: np.ndarray,
    edges: np.ndarray,
    scratch: np.ndarray,
) -> None:
    """Run one account over one symbol.

    Parameters
    ----------
    entries, exits : ndarray of shape (n_words,), uint64
        Signals; a bar that has both has none.
    fills, marks : ndarray of shape (n_times,)
        Prices of orders, NaN where none can be filled; prices at which the account is valued.
    sums : ndarray of shape (n_times + 1, N_SUMS)
        `running_sums` of the marks.
    ranges : ndarray of shape (3, n_times)
        Open, high and low without holes inside a bar; of shape (3, 0) where there are no price stops.
    setup : ndarray of shape (N_SETUP,)
        Initial cash, delay, direction, stops.
    rates : ndarray of shape (3,)
        Fees, slippage, fixed fee.
    edge_bars, edges : ndarray of shape (n_edges,), int64 and float32
        Bars at whose close the account's worth is written.
    acc : ndarray of shape (N_ACC,)
        Written, see `streaming`.
    """
    delay, direction, n_times = int(setup[DELAY]), int(setup[DIRECTION]), len(marks)
    has_stops = setup[HAS_STOPS] > 0.0
    rule, exact, armed = scratch[0:3], scratch[3:6], scratch[6:10]
    _open_account(acc, n_times, setup[INIT_CASH])
    last, t = n_times - delay, np.int64(0)
    while True:
        t = _next_decision(acc, entries, exits, direction, t, last)
        bar, held, stopped, resume = t + delay, acc[s.AMOUNT], False, t + 1
        price, at = fills[min(bar, n_times - 1)], rates
        if has_stops and held != 0.0:
            due = int(armed[TIME_BAR])
            hit, stop_price = _find_stop(acc, armed, setup, ranges, min(min(bar, due) + 1 - delay, n_times))
            if stop_price == stop_price:
                # inside its bar: what that bar's close decides for the same close is overridden
                stopped, bar, price, at, resume = True, hit, stop_price, exact, hit + 1 - delay
            elif due <= bar and due < n_times:
                # where orders are filled: what is due to be filled there comes after it
                stopped, bar, price, resume = True, due, fills[due], due - delay
                armed[TIME_BAR] = _priced_from(fills, due + 1)
        _pass_to(acc, marks, sums, bar, edge_bars, edges)
        if t >= last and not stopped:
            break
        if price == price:
            side = 0 if stopped else _side(entries, direction, t)
            filled = _order(acc, side, price, at, rule)
            if has_stops and filled and acc[s.AMOUNT] != 0.0 and acc[s.AMOUNT] * held <= 0.0:
                _arm(armed, setup, fills, bar)
        t = np.int64(resume)
    acc[s.OPEN] = 1.0 if acc[s.AMOUNT] != 0.0 else 0.0


@kernel
def simulate_many(
    entries: np.ndarray,
    exits: np.ndarray,
    fills: np.ndarray,
    marks: np.ndarray,
    sums: np.ndarray,
    ranges: np.ndarray,
    setup: np.ndarray,
    rates: np.ndarray,
    edge_bars: np.ndarray,
    acc: np.ndarray,
    edges: np.ndarray,
) -> None:
    """Run `simulate` for every combination: `entries` and `exits` (n_combos, n_words), `acc`, `edges` likewise."""
    scratch = np.zeros(10)
    scratch[3], scratch[5] = rates[0], rates[2]
    for c in range(len(entries)):
        simulate(entries[c], exits[c], fills, marks, sums, ranges, setup, rates, edge_bars, acc[c], edges[c], scratch)
