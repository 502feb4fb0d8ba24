"""One decision step of many executions at once, and what the trader sees of them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from gwt_lab.execution.order_book_kernels import (
    AHEAD,
    ASK,
    BASE,
    BID,
    FILLED,
    FILLED_TICKS,
    GRID,
    JUMPED,
    N_FLOW,
    NET_FLOW,
    PRICE,
    QUANTITY,
    SIDE,
    fill_book,
    inner_kernel,
    recentre,
    run_book,
    take,
)
from gwt_lab.kernels import kernel

__all__ = ["KEEP", "N_FEATURES", "ExecutionState", "Settings", "advance", "observe_batch", "open_books"]

KEEP = -1
TAKEN, MADE = 0, 1
LEFT, UNITS, TICKS = 0, 1, 2
BEFORE, AFTER = 0, 1
NET, MOVED, HELD = 0, 1, 2
N_FEATURES = 13
_BOUND = 10.0


class Settings(NamedTuple):
    """What a step needs to know of the task."""

    target: int
    horizon: int
    side: int
    step_units: float


class ExecutionState(NamedTuple):
    """All that is known of n executions at a decision time; a value, never changed in place by the public functions.

    Parameters
    ----------
    depth : ndarray of shape (n, 128)
        int32 units of others on each price of the window.
    quotes : ndarray of shape (n, 3)
        int64: first price of the window in ticks, columns of the others' best bid and best ask.
    own : ndarray of shape (n, 4)
        int64: our resting order: price in ticks, units left, units ahead, side. No units, no order.
    random : ndarray of shape (n, 2)
        uint64: random states of order flow and of cancels. Both waiting times are drawn when a step begins, so a
        state does not hold the next event.
    inventory : ndarray of shape (n,)
        int64 units still to execute.
    step : ndarray of shape (n,)
        int64 decisions taken.
    filled : ndarray of shape (n, 2)
        int64 units executed by market and by limit orders.
    paid : ndarray of shape (n, 2)
        float64 ticks times units of those fills.
    arrival : ndarray of shape (n,)
        float64 mid when the order arrived, ticks.
    mid : ndarray of shape (n, 2)
        float64 mid at the previous and at this decision, ticks.
    flow : ndarray of shape (n, 3)
        int64 of the last step: signed units of others' market orders, ticks the efficient price moved, units held
        while it did (after our market order, before passive fills).
    """

    depth: Any
    quotes: Any
    own: Any
    random: Any
    inventory: Any
    step: Any
    filled: Any
    paid: Any
    arrival: Any
    mid: Any
    flow: Any


@inner_kernel
def _mid(quotes):  # type: ignore[no-untyped-def]
    return quotes[BASE] + 0.5 * (quotes[BID] + quotes[ASK])


@kernel
def open_books(state, rates, centre, warm_up):  # type: ignore[no-untyped-def]
    """Draw every book of `state` in place and let it run for `warm_up` units of time."""
    clock, flow = np.zeros(3), np.zeros(N_FLOW, np.int64)
    for row in range(len(state.step)):
        depth, quotes, own, random = state.depth[row], state.quotes[row], state.own[row], state.random[row]
        fill_book(depth, quotes, own, random, rates, centre)
        run_book(depth, quotes, own, random, rates, warm_up, clock, flow)
        # every parent order arrives at the same price level, so that basis points mean the same on every path
        quotes[BASE] += centre - (2 * quotes[BASE] + quotes[BID] + quotes[ASK]) // 2


@inner_kernel
def rest(depth, quotes, own, side, quantity):  # type: ignore[no-untyped-def]
    """Have `quantity` units rest at the best price of our side.

    An order that is there already keeps its place and what is left of it.
    """
    if quantity == KEEP:
        return
    price, mine, ahead = own[PRICE], own[QUANTITY], own[AHEAD]
    own[QUANTITY] = own[AHEAD] = 0
    if quantity <= 0:
        return
    best = quotes[BID] if side > 0 else quotes[ASK]
    own[PRICE], own[SIDE] = quotes[BASE] + best, side
    own[QUANTITY], own[AHEAD] = quantity, depth[best]
    if mine > 0 and price == own[PRICE]:
        own[QUANTITY], own[AHEAD] = min(mine, quantity), ahead


@inner_kernel
def _decide(depth, quotes, own, random, orders, rates, settings, last, clock, flow, account):  # type: ignore[no-untyped-def]
    """Take one decision on one book; `account` starts as (inventory, 0, 0) and ends as (left, units, ticks taken)."""
    size, side = rates.order_size, settings.side
    now = min(max(orders[0], 0), account[LEFT])
    account[TICKS] += take(depth, quotes, own, side, now, size, flow)
    held = account[LEFT] - now
    rest(depth, quotes, own, side, min(orders[1], held) if orders[1] != KEEP else KEEP)
    own[QUANTITY] = min(own[QUANTITY], held)
    recentre(depth, quotes, own, random, rates)
    if held > 0:
        run_book(depth, quotes, own, random, rates, settings.step_units, clock, flow)
    left = held - flow[FILLED]
    if last and left > 0:
        own[QUANTITY] = 0
        account[TICKS] += take(depth, quotes, own, side, left, size, flow)
        recentre(depth, quotes, own, random, rates)
        now, left = now + left, 0
    account[LEFT], account[UNITS] = left, now
    return held


@kernel
def advance(state, market, limit, rates, settings):  # type: ignore[no-untyped-def]
    """Take one decision in every unfinished row of `state`, in place.

    A market order of ``market`` units goes first, then ``limit`` units rest at the touch (KEEP leaves the resting
    order alone), then the book runs to the next decision. After the last one whatever is left is sent to market.
    """
    clock, flow = np.zeros(3), np.zeros(N_FLOW, np.int64)
    account, orders = np.zeros(3, np.int64), np.zeros(2, np.int64)
    for row in range(len(state.step)):
        if state.inventory[row] == 0 or state.step[row] >= settings.horizon:
            continue
        depth, quotes, own, random = state.depth[row], state.quotes[row], state.own[row], state.random[row]
        flow[:] = 0
        account[LEFT], account[UNITS], account[TICKS] = state.inventory[row], 0, 0
        orders[0], orders[1] = market[row], limit[row]
        last = state.step[row] + 1 == settings.horizon
        held = _decide(depth, quotes, own, random, orders, rates, settings, last, clock, flow, account)
        state.step[row] += 1
        state.inventory[row] = account[LEFT]
        state.filled[row, TAKEN] += account[UNITS]
        state.filled[row, MADE] += flow[FILLED]
        state.paid[row, TAKEN] += account[TICKS]
        state.paid[row, MADE] += flow[FILLED_TICKS]
        state.flow[row, NET] = flow[NET_FLOW]
        state.flow[row, MOVED] = flow[JUMPED]
        state.flow[row, HELD] = held
        state.mid[row, BEFORE] = state.mid[row, AFTER]
        state.mid[row, AFTER] = _mid(quotes)


@inner_kernel
def _imbalance(near, far):  # type: ignore[no-untyped-def]
    return (near - far) / (near + far) if near + far > 0 else 0.0


@inner_kernel
def _near_depth(depth, index, direction, levels):  # type: ignore[no-untyped-def]
    total = 0
    for level in range(levels):
        at = index + direction * level
        if 0 <= at < GRID:
            total += depth[at]
    return total


@kernel
def observe_batch(state, order_size, settings, out):  # type: ignore[no-untyped-def]
    """Write the features of every row to `out` (n, N_FEATURES) float32; `core.FEATURES` names them."""
    side = settings.side
    for row in range(len(state.step)):
        depth, quotes, own = state.depth[row], state.quotes[row], state.own[row]
        near, far = (BID, ASK) if side > 0 else (ASK, BID)
        mine = own[QUANTITY] if own[QUANTITY] > 0 else 0
        touch = quotes[BASE] + quotes[near]
        at_touch = depth[quotes[near]] + (mine if own[PRICE] == touch else 0)
        opposite = depth[quotes[far]]
        out[row, 0] = (settings.horizon - state.step[row]) / settings.horizon
        out[row, 1] = state.inventory[row] / settings.target
        out[row, 2] = out[row, 1] - out[row, 0]
        out[row, 3] = mine / settings.target
        out[row, 4] = math.log1p(own[AHEAD] / order_size) if mine > 0 else 0.0
        out[row, 5] = side * (touch - own[PRICE]) / 2.0 if mine > 0 else 0.0
        out[row, 6] = math.log(quotes[ASK] - quotes[BID])
        out[row, 7] = _imbalance(at_touch, opposite)
        out[row, 8] = math.log1p(at_touch / order_size)
        out[row, 9] = math.log1p(opposite / order_size)
        out[row, 10] = _imbalance(
            _near_depth(depth, quotes[near], -side, 5) * 1.0, _near_depth(depth, quotes[far], side, 5) * 1.0
        )
        out[row, 11] = side * (state.mid[row, AFTER] - state.mid[row, BEFORE]) / 2.0
        out[row, 12] = side * state.flow[row, NET] / order_size / 2.0
        for feature in range(N_FEATURES):
            out[row, feature] = min(max(out[row, feature], -_BOUND), _BOUND)
