"""The matching engine: one limit order book per row, driven by Poisson clocks (Cont, Stoikov and Talreja 2010).

A book is four small arrays, so that a batch of books is four larger ones and a kernel works in place on one row:

- ``depth`` (GRID,) int32: units of others' orders on each price of a window of the price grid. Prices up to the best
  bid hold bids, prices from the best ask on hold asks.
- ``quotes`` (3,) int64: price of ``depth[0]`` in ticks, index of the others' best bid and of their best ask.
- ``own`` (4,) int64: our one resting order: price in ticks, units left, units ahead of it in the queue, side (+1 buy,
  -1 sell). No units left means no order.
- ``random`` (2,) uint64: SplitMix64 states of the two streams.

The engine sees our resting order, the others' behaviour does not: they place their orders relative to each other's best
quotes, and whoever reaches the price of ours trades with it, by price and then time.

Two clocks drive a book (Anderson 2007, the modified next reaction method). The *exogenous* clock has a constant rate:
market orders, limit orders at a distance from the opposite best, jumps of the efficient price; its stream draws the
same marks at the same times whatever we do. The *cancel* clock is a unit-rate Poisson process in integrated cancel
intensity. Two policies run on equal seeds therefore meet the same order flow: common random numbers.

References
----------
.. [1] Cont, R., Stoikov, S., Talreja, R., "A stochastic model for order book dynamics", Operations Research 58 (2010).
.. [2] Anderson, D. F., "A modified next reaction method for simulating chemical systems with time dependent
   propensities and delays", Journal of Chemical Physics 127 (2007).
.. [3] Steele, G. L., Lea, D., Flood, C. H., "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from gwt_lab.kernels import inner_kernel, kernel

__all__ = [
    "AHEAD",
    "ASK",
    "BASE",
    "BID",
    "CANCEL_ASK",
    "CANCEL_BID",
    "FILLED",
    "FILLED_TICKS",
    "GRID",
    "JUMPED",
    "JUMP_DOWN",
    "JUMP_UP",
    "LIMIT_BUY",
    "LIMIT_SELL",
    "MARKET_BUY",
    "MARKET_SELL",
    "NET_FLOW",
    "NOTHING",
    "N_FLOW",
    "PRICE",
    "QUANTITY",
    "SIDE",
    "Rates",
    "fill_book",
    "inner_kernel",
    "next_event",
    "recentre",
    "record_events",
    "run_book",
    "settle",
    "take",
]

GRID = 128
BASE, BID, ASK = 0, 1, 2
PRICE, QUANTITY, AHEAD, SIDE = 0, 1, 2, 3
# what events leave behind: our passive fills and their ticks times units, signed volume of others' market orders, net
# jumps of the efficient price in ticks, price and size of the last event
FILLED, FILLED_TICKS, NET_FLOW, JUMPED, EVENT_PRICE, EVENT_SIZE = 0, 1, 2, 3, 4, 5
N_FLOW = 6
NOW, NEXT_EXOGENOUS, CANCEL_BUDGET = 0, 1, 2
LIMIT_BUY, LIMIT_SELL, MARKET_BUY, MARKET_SELL, CANCEL_BID, CANCEL_ASK, JUMP_UP, JUMP_DOWN = range(8)
NOTHING = -1
_EXOGENOUS, _CANCEL = 0, 1
# q times 1 / order_size may exceed a whole number by a few units in the last place
_ROUNDING = 1e-9

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


class Rates(NamedTuple):
    """Intensities per unit of time, as the kernels want them.

    Parameters
    ----------
    limit : ndarray of shape (n_levels,)
        Cumulated arrival rate of limit orders at distance 1..n_levels from the opposite best, one side.
    cancel : ndarray of shape (n_levels,)
        Cancel rate of one order at that distance.
    market : float
        Rate of market orders, one side.
    jump : float
        Rate of one-tick jumps of the efficient price, one direction.
    far_mean : float
        Mean number of orders on a price that enters the window.
    order_size : int
        Units of an order.
    """

    limit: Any
    cancel: Any
    market: float
    jump: float
    far_mean: float
    order_size: int


@inner_kernel
def uniform(random, stream):  # type: ignore[no-untyped-def]
    """Return the stream's next number in [0, 1), 53 random bits."""
    random[stream] += _GAMMA
    z = random[stream]
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    z = z ^ (z >> _S31)
    return np.float64(z >> _S11) * 1.1102230246251565e-16


@inner_kernel
def exponential(random, stream):  # type: ignore[no-untyped-def]
    """Return a waiting time of unit rate."""
    return -math.log(1.0 - uniform(random, stream))


@inner_kernel
def poisson(random, stream, mean):  # type: ignore[no-untyped-def]
    """Return a Poisson number by Knuth's product of uniforms; means of a book's level are small."""
    limit = math.exp(-mean)
    count = 0
    product = uniform(random, stream)
    while product > limit:
        count += 1
        product *= uniform(random, stream)
    return count


@inner_kernel
def _own_index(quotes, own, side):  # type: ignore[no-untyped-def]
    """Return where our order of that side rests in the window; NOTHING if there is none."""
    if own[QUANTITY] <= 0 or own[SIDE] != side:
        return NOTHING
    index = own[PRICE] - quotes[BASE]
    return index if 0 <= index < GRID else NOTHING


@inner_kernel
def settle(depth, quotes, order_size):  # type: ignore[no-untyped-def]
    """Move both bests away from emptied prices.

    A side that the window holds nothing of gets one order at the window's edge, so that a book is never one-sided.
    """
    index = quotes[BID]
    while index >= 0 and depth[index] == 0:
        index -= 1
    if index < 0:
        index = 0
        depth[0] = order_size
    quotes[BID] = index
    index = quotes[ASK]
    while index < GRID and depth[index] == 0:
        index += 1
    if index == GRID:
        index = GRID - 1
        depth[GRID - 1] = order_size
    quotes[ASK] = index


@inner_kernel
def _fill_own(own, most, flow):  # type: ignore[no-untyped-def]
    """Fill our resting order with at most `most` units at its price and return how many."""
    mine = min(most, own[QUANTITY])
    own[QUANTITY] -= mine
    flow[FILLED] += mine
    flow[FILLED_TICKS] += mine * own[PRICE]
    return mine


@inner_kernel
def recentre(depth, quotes, own, random, rates):  # type: ignore[no-untyped-def]
    """Slide the window so that arrivals and cancels stay inside it; prices that enter are drawn anew."""
    levels = len(rates.limit)
    if quotes[ASK] - levels >= 1 and quotes[BID] + levels <= GRID - 2:
        return
    shift = (quotes[BID] + quotes[ASK]) // 2 - GRID // 2
    if shift > 0:
        for index in range(GRID):
            inside = index + shift < GRID
            depth[index] = (
                depth[index + shift] if inside else rates.order_size * poisson(random, _CANCEL, rates.far_mean)
            )
    else:
        for index in range(GRID - 1, -1, -1):
            inside = index + shift >= 0
            depth[index] = (
                depth[index + shift] if inside else rates.order_size * poisson(random, _CANCEL, rates.far_mean)
            )
    quotes[BASE] += shift
    quotes[BID] -= shift
    quotes[ASK] -= shift
    index = own[PRICE] - quotes[BASE]
    if own[QUANTITY] > 0 and 0 <= index < GRID:
        own[AHEAD] = min(own[AHEAD], depth[index])


@inner_kernel
def fill_book(depth, quotes, own, random, rates, centre):  # type: ignore[no-untyped-def]
    """Draw a book around the price `centre` from the law of queues that only grow and cancel; spread one tick."""
    levels = len(rates.limit)
    half = GRID // 2
    quotes[BASE], quotes[BID], quotes[ASK] = centre - half, half - 1, half
    own[:] = 0
    for distance in range(1, half + 1):
        mean = rates.far_mean
        if distance <= levels:
            before = rates.limit[distance - 2] if distance > 1 else 0.0
            mean = (rates.limit[distance - 1] - before) / rates.cancel[distance - 1]
        bids = poisson(random, _CANCEL, mean)
        asks = poisson(random, _CANCEL, mean)
        if distance == 1:
            bids, asks = max(bids, 1), max(asks, 1)
        depth[half - distance] = bids * rates.order_size
        depth[half + distance - 1] = asks * rates.order_size


@inner_kernel
def take(depth, quotes, own, side, quantity, order_size, flow):  # type: ignore[no-untyped-def]
    """Execute a market order by price, then time, and return ticks times units paid.

    What the whole window cannot serve is filled one tick beyond its edge.
    """
    best = ASK if side > 0 else BID
    left = quantity
    paid = 0
    while left > 0:
        index = quotes[best]
        mine = _own_index(quotes, own, -side)
        if mine != NOTHING and (index - mine) * side >= 0:
            # ours is better, or at the same price behind `ahead` units
            front = min(left, own[AHEAD]) if mine == index else 0
            depth[mine] -= front
            own[AHEAD] -= front
            filled = _fill_own(own, left - front, flow)
            left -= front + filled
            paid += (front + filled) * own[PRICE]
            flow[EVENT_PRICE] = own[PRICE]
            if own[QUANTITY] > 0:
                break
        part = min(left, depth[index])
        depth[index] -= part
        left -= part
        paid += part * (quotes[BASE] + index)
        if part > 0:
            flow[EVENT_PRICE] = quotes[BASE] + index
        if left > 0 and (index == 0 or index == GRID - 1):
            paid += left * (quotes[BASE] + index + side)
            left = 0
        settle(depth, quotes, order_size)
    settle(depth, quotes, order_size)
    return paid


@inner_kernel
def _jump(depth, quotes, own, direction, order_size, flow):  # type: ignore[no-untyped-def]
    """Shift everybody's quotes by a tick but ours, which may be traded through or left behind.

    Where it meets others' orders it queues behind them.
    """
    quotes[BASE] += direction
    flow[JUMPED] += direction
    flow[EVENT_PRICE] = quotes[BASE]
    flow[EVENT_SIZE] = 0
    side = own[SIDE]
    index = _own_index(quotes, own, side)
    if index == NOTHING:
        return
    other = quotes[ASK] if side > 0 else quotes[BID]
    if index == other:
        depth[index] -= _fill_own(own, depth[index], flow)
        own[AHEAD] = 0
        settle(depth, quotes, order_size)
    else:
        own[AHEAD] = depth[index]


@inner_kernel
def cancel_rates(depth, quotes, rates):  # type: ignore[no-untyped-def]
    """Return the rates at which any bid and any ask within reach is cancelled, ours apart.

    Only the order in front of a queue can be part-filled, so that q units are ceil(q / order_size) orders; in floating
    point, because whole divisions at twenty prices would take longer than all else. Unsigned indices spare numba the
    test for negative ones.
    """
    bids, asks = 0.0, 0.0
    per_unit = 1.0 / rates.order_size
    below, above = np.uint64(quotes[ASK] - 1), np.uint64(quotes[BID] + 1)
    for level in range(len(rates.cancel)):
        rate = rates.cancel[level]
        bids += rate * np.ceil(depth[below - np.uint64(level)] * per_unit - _ROUNDING)
        asks += rate * np.ceil(depth[above + np.uint64(level)] * per_unit - _ROUNDING)
    return bids, asks


@inner_kernel
def _cancel(depth, quotes, own, random, rates, bids, asks, flow):  # type: ignore[no-untyped-def]
    """Cancel one order, chosen by its rate; its place in the queue says whether it stood ahead of ours."""
    mark = uniform(random, _CANCEL) * (bids + asks)
    lot = rates.order_size
    kind, first, step = CANCEL_BID, quotes[ASK] - 1, -1
    if mark >= bids and asks > 0.0:
        mark -= bids
        kind, first, step = CANCEL_ASK, quotes[BID] + 1, 1
    chosen, place = NOTHING, 0
    for level in range(len(rates.cancel)):
        index = first + step * level
        if depth[index] > 0:
            orders = np.ceil(depth[index] * (1.0 / lot) - _ROUNDING)
            chosen = index
            place = int(min(mark / rates.cancel[level], orders - 1.0))
            mark -= rates.cancel[level] * orders
            if mark < 0.0:
                break
    # the order in front may be what others left of it
    size = depth[chosen] - lot * ((depth[chosen] - 1) // lot) if place == 0 else lot
    depth[chosen] -= size
    if chosen == _own_index(quotes, own, 1) or chosen == _own_index(quotes, own, -1):
        if place * lot < own[AHEAD]:
            own[AHEAD] -= size
    flow[EVENT_PRICE] = quotes[BASE] + chosen
    flow[EVENT_SIZE] = size
    settle(depth, quotes, lot)
    return kind


@inner_kernel
def _limit(depth, quotes, own, mark, side, rates, flow):  # type: ignore[no-untyped-def]
    """Add an order of `side` at the distance that `mark`, a cumulated rate, falls on; it may trade with ours."""
    distance = 1
    while distance < len(rates.limit) and mark >= rates.limit[distance - 1]:
        distance += 1
    index = quotes[ASK] - distance if side > 0 else quotes[BID] + distance
    size = rates.order_size
    mine = _own_index(quotes, own, -side)
    if mine != NOTHING and (index - mine) * side >= 0:
        size -= _fill_own(own, size, flow)
    if size > 0:
        depth[index] += size
        if side > 0:
            quotes[BID] = max(quotes[BID], index)
        else:
            quotes[ASK] = min(quotes[ASK], index)
    flow[EVENT_PRICE] = quotes[BASE] + index
    flow[EVENT_SIZE] = rates.order_size


@inner_kernel
def _exogenous(depth, quotes, own, random, rates, total, flow):  # type: ignore[no-untyped-def]
    """Let the next order of others arrive, or the efficient price jump."""
    mark = uniform(random, _EXOGENOUS) * total
    limits = rates.limit[-1]
    if mark < limits:
        _limit(depth, quotes, own, mark, 1, rates, flow)
        return LIMIT_BUY
    mark -= limits
    if mark < limits:
        _limit(depth, quotes, own, mark, -1, rates, flow)
        return LIMIT_SELL
    mark -= limits
    if mark < 2.0 * rates.market:
        side = 1 if mark < rates.market else -1
        take(depth, quotes, own, side, rates.order_size, rates.order_size, flow)
        flow[EVENT_SIZE] = rates.order_size
        flow[NET_FLOW] += side * rates.order_size
        return MARKET_BUY if side > 0 else MARKET_SELL
    direction = 1 if mark - 2.0 * rates.market < rates.jump else -1
    _jump(depth, quotes, own, direction, rates.order_size, flow)
    return JUMP_UP if direction > 0 else JUMP_DOWN


@inner_kernel
def next_event(depth, quotes, own, random, rates, clock, until, flow):  # type: ignore[no-untyped-def]
    """Run the book to its next event and return its kind, or NOTHING if `until` comes first."""
    exogenous = 2.0 * (rates.limit[-1] + rates.market + rates.jump)
    bids, asks = cancel_rates(depth, quotes, rates)
    cancels = bids + asks
    wait = clock[NEXT_EXOGENOUS] - clock[NOW]
    if clock[CANCEL_BUDGET] < cancels * wait:
        when = clock[NOW] + clock[CANCEL_BUDGET] / cancels
        if when >= until:
            return NOTHING
        clock[NOW] = when
        clock[CANCEL_BUDGET] = exponential(random, _CANCEL)
        kind = _cancel(depth, quotes, own, random, rates, bids, asks, flow)
    else:
        when = clock[NEXT_EXOGENOUS]
        if when >= until:
            return NOTHING
        clock[CANCEL_BUDGET] -= cancels * wait
        clock[NOW] = when
        kind = _exogenous(depth, quotes, own, random, rates, exogenous, flow)
        clock[NEXT_EXOGENOUS] = when + exponential(random, _EXOGENOUS) / exogenous
    recentre(depth, quotes, own, random, rates)
    return kind


@inner_kernel
def start_clock(random, rates, clock):  # type: ignore[no-untyped-def]
    """Draw both waiting times afresh; they have no memory, so a state need not hold (and reveal) the next event."""
    exogenous = 2.0 * (rates.limit[-1] + rates.market + rates.jump)
    clock[NOW] = 0.0
    clock[NEXT_EXOGENOUS] = exponential(random, _EXOGENOUS) / exogenous
    clock[CANCEL_BUDGET] = exponential(random, _CANCEL)


@inner_kernel
def run_book(depth, quotes, own, random, rates, duration, clock, flow):  # type: ignore[no-untyped-def]
    """Run the book for `duration` and return the number of events; `flow` adds up what they left behind."""
    start_clock(random, rates, clock)
    count = 0
    while next_event(depth, quotes, own, random, rates, clock, duration, flow) != NOTHING:
        count += 1
    return count


@kernel
def record_events(depth, quotes, own, random, rates, times, events, every, snapshots, bases):  # type: ignore[no-untyped-def]
    """Run the book for ``len(times)`` events and write each down.

    `times` (n_events,) float64; `events` (n_events, 5) int64: kind, price, size, best bid, best ask in ticks;
    before events 0, `every`, 2 `every`, ... the book goes to `snapshots` (n, GRID) and `bases` (n, 3), its quotes.
    """
    clock = np.zeros(3)
    flow = np.zeros(N_FLOW, np.int64)
    start_clock(random, rates, clock)
    for event in range(len(times)):
        if event % every == 0:
            snapshots[event // every] = depth
            bases[event // every] = quotes
        kind = next_event(depth, quotes, own, random, rates, clock, math.inf, flow)
        times[event] = clock[NOW]
        events[event, 0] = kind
        events[event, 1] = flow[EVENT_PRICE]
        events[event, 2] = flow[EVENT_SIZE]
        events[event, 3] = quotes[BASE] + quotes[BID]
        events[event, 4] = quotes[BASE] + quotes[ASK]
