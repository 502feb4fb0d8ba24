"""The execution problem as pure, batched functions: initial, transition, observe, reward, done.

A parent order of `target_quantity` units must be executed within `time_horizon` decisions. At each decision a market
order and a resting limit order may be sent; the book then runs on by itself to the next decision. What is left after
the last decision goes to market, and its cost counts. Nothing here knows Gymnasium; every function takes and returns
arrays with one row an execution, and equal inputs give equal outputs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gwt_lab.errors import ConfigError, ShapeError
from gwt_lab.execution.core_kernels import (
    AFTER,
    HELD,
    KEEP,
    MADE,
    MOVED,
    N_FEATURES,
    TAKEN,
    ExecutionState,
    Settings,
    advance,
    observe_batch,
    open_books,
)
from gwt_lab.execution.order_book import WARM_UP, OrderBookHistory, OrderBookParameters, streams
from gwt_lab.execution.order_book_kernels import ASK, BASE, BID, GRID

__all__ = [
    "ACTIONS",
    "FEATURES",
    "KEEP",
    "ExecutionState",
    "ExecutionTask",
    "Orders",
    "done",
    "initial",
    "luck_bps",
    "observe",
    "orders_of",
    "reward",
    "shortfall_bps",
    "transition",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# what an agent may do at a decision; a slice is the remaining quantity over the remaining decisions, rounded up
ACTIONS = ("wait", "rest a part", "rest all", "market 1 slice", "market 2 slices")
_WAIT, _REST_PART, _REST_ALL = 0, 1, 2
_SLICES = np.array([0, 0, 0, 1, 2], dtype=np.int64)

FEATURES = (
    "share of time left",
    "share of quantity left",
    "quantity left minus time left",
    "resting share",
    "log orders ahead of ours",
    "ticks from our order to the touch / 2",
    "log spread in ticks",
    "imbalance at the touch",
    "log orders at our touch",
    "log orders at the other touch",
    "imbalance over 5 levels",
    "ticks the mid moved against us / 2",
    "net market orders against us / 2",
)


@dataclass(frozen=True)
class ExecutionTask:
    """A parent order and the market it meets.

    Parameters
    ----------
    target_quantity : int
        Units to execute.
    time_horizon : int
        Decisions.
    side : str
        "buy" or "sell".
    step_seconds : float
        Seconds between two decisions.
    taker_fee_bps, maker_fee_bps : float
        Fees of market and limit orders in basis points of notional; 0 by default, so that slippage is the book's
        alone. A negative maker fee is a rebate.
    limit_fraction : float
        Size of the resting order of the action "rest a part", as a share of the parent (at least one slice).
    risk_aversion : float
        Basis points charged per decision at full inventory, falling with its square; 0 makes the rewards sum to the
        negative implementation shortfall.
    book : OrderBookParameters
        The simulated market.
    """

    target_quantity: int = 100
    time_horizon: int = 100
    side: str = "buy"
    step_seconds: float = 60.0
    taker_fee_bps: float = 0.0
    maker_fee_bps: float = 0.0
    limit_fraction: float = 0.2
    risk_aversion: float = 0.0
    book: OrderBookParameters = field(default_factory=OrderBookParameters)

    def __post_init__(self) -> None:
        for name in ("target_quantity", "time_horizon"):
            value = getattr(self, name)
            if value != int(value) or value < 1:
                raise ConfigError(f"{name} must be a whole number, at least 1, got {value}")
        if self.side not in ("buy", "sell"):
            raise ConfigError(f"side must be 'buy' or 'sell', got {self.side!r}")
        if not 0 < self.step_seconds < np.inf:
            raise ConfigError(f"step_seconds must be positive, got {self.step_seconds}")
        if not 0 < self.limit_fraction <= 1:
            raise ConfigError(f"limit_fraction must lie in (0, 1], got {self.limit_fraction}")
        if not (np.isfinite([self.taker_fee_bps, self.maker_fee_bps]).all() and 0 <= self.risk_aversion < np.inf):
            raise ConfigError("fees must be finite and risk_aversion finite and not negative")

    @property
    def direction(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self.side == "buy" else -1

    @cached_property
    def settings(self) -> Settings:
        """What the kernels need of the task."""
        return Settings(
            target=int(self.target_quantity),
            horizon=int(self.time_horizon),
            side=self.direction,
            step_units=float(self.step_seconds / self.book.seconds_per_unit),
        )

    @cached_property
    def limit_size(self) -> int:
        """Units of the resting order of the action "rest a part"."""
        slice_size = -(-self.target_quantity // self.time_horizon)
        return int(max(slice_size, np.ceil(self.limit_fraction * self.target_quantity)))

    def to_dict(self) -> dict[str, Any]:
        """Return the task as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Orders:
    """What is sent at a decision: units to market now, units to rest at the touch (`KEEP`: leave what rests).

    Parameters
    ----------
    market, limit : ndarray of shape (n,)
        int64; clipped to the quantity left.
    """

    market: IntArray
    limit: IntArray


def initial(task: ExecutionTask, seeds: npt.ArrayLike, history: OrderBookHistory | None = None) -> ExecutionState:
    """Return the state in which the parent order arrives.

    Parameters
    ----------
    task : ExecutionTask
        The problem.
    seeds : array_like of shape (n,)
        One path each: equal seeds meet the same order flow whatever is done (common random numbers).
    history : OrderBookHistory, optional
        Its snapshots are the start states, one drawn by each seed; without it a book is drawn and warmed up. What
        happens after the start is simulated either way: the book answers our orders, it is not a replay.

    Returns
    -------
    ExecutionState
        n rows.
    """
    random = streams(seeds)
    n = len(random)
    state = ExecutionState(
        depth=np.zeros((n, GRID), np.int32),
        quotes=np.zeros((n, 3), np.int64),
        own=np.zeros((n, 4), np.int64),
        random=random,
        inventory=np.full(n, task.target_quantity, np.int64),
        step=np.zeros(n, np.int64),
        filled=np.zeros((n, 2), np.int64),
        paid=np.zeros((n, 2)),
        arrival=np.zeros(n),
        mid=np.zeros((n, 2)),
        flow=np.zeros((n, 3), np.int64),
    )
    if history is None:
        open_books(state, task.book.calm_rates, task.book.initial_ticks, WARM_UP)
    else:
        chosen = random[:, 0] % np.uint64(len(history.snapshot_event))
        state.depth[:] = history.snapshot_depth[chosen]
        state.quotes[:] = history.snapshot_quotes[chosen]
    mid = state.quotes[:, BASE] + 0.5 * (state.quotes[:, BID] + state.quotes[:, ASK])
    state.arrival[:] = mid
    state.mid[:] = mid[:, None]
    return state


def transition(task: ExecutionTask, state: ExecutionState, orders: Orders) -> ExecutionState:
    """Return the state at the next decision; finished rows do not change.

    Raises
    ------
    ShapeError
        If the orders are not one a row.
    """
    for name in ("market", "limit"):
        if getattr(orders, name).shape != state.step.shape:
            raise ShapeError(f"{name} must have shape {state.step.shape}, got {getattr(orders, name).shape}")
    after = ExecutionState(*(part.copy() for part in state))
    market, limit = (np.ascontiguousarray(part, dtype=np.int64) for part in (orders.market, orders.limit))
    advance(after, market, limit, task.book.rates, task.settings)
    return after


def orders_of(task: ExecutionTask, state: ExecutionState, actions: npt.ArrayLike) -> Orders:
    """Translate actions (indices into `ACTIONS`) to orders.

    "wait" withdraws the resting order; "rest a part" has `task.limit_size` units rest at the best price of our side,
    "rest all" whatever is left; an order that is there already keeps its place and its size; a market action leaves
    the resting order alone.
    """
    chosen = np.asarray(actions, dtype=np.int64)
    left = np.maximum(task.time_horizon - state.step, 1)
    slice_size = -(-state.inventory // left)
    cases = [chosen == _WAIT, chosen == _REST_PART, chosen == _REST_ALL]
    limit = np.select(cases, [np.zeros_like(left), np.full_like(left, task.limit_size), state.inventory], KEEP)
    return Orders(market=_SLICES[chosen] * slice_size, limit=limit)


def observe(task: ExecutionTask, state: ExecutionState) -> npt.NDArray[np.float32]:
    """Return what the trader sees, from the side of the order; `FEATURES` names the columns.

    Returns
    -------
    ndarray of shape (n, 13)
        float32 within [-10, 10].
    """
    out = np.empty((len(state.step), N_FEATURES), np.float32)
    observe_batch(state, float(task.book.order_size), task.settings, out)
    return out


def _fees(task: ExecutionTask, state: ExecutionState) -> FloatArray:
    fees: FloatArray = (state.paid[:, TAKEN] * task.taker_fee_bps + state.paid[:, MADE] * task.maker_fee_bps) / 1e4
    return fees


def reward(task: ExecutionTask, before: ExecutionState, after: ExecutionState) -> FloatArray:
    """Return the reward of a step in basis points of the parent's arrival value.

    What was filled is charged against the mid before the step, what is left against the mid's move; both add up to the
    implementation shortfall over the episode, and each charge falls on the decision that caused it.

    Returns
    -------
    ndarray of shape (n,)
    """
    paid = after.paid.sum(axis=1) - before.paid.sum(axis=1)
    value = after.inventory * after.mid[:, AFTER] - before.inventory * before.mid[:, AFTER]
    cost = task.direction * (paid + value) + _fees(task, after) - _fees(task, before)
    active = before.inventory / task.target_quantity
    penalty = np.where(done(task, before), 0.0, task.risk_aversion * active**2)
    gain: FloatArray = -1e4 * cost / (task.target_quantity * before.arrival) - penalty
    return gain


def luck_bps(task: ExecutionTask, after: ExecutionState) -> FloatArray:
    """Return the part of a step's cost that is pure luck: the efficient price's move times what was held.

    The efficient price is a martingale and the quantity was decided before it moved, so this has mean zero under every
    policy: taking it out of a cost or a reward removes noise and no expectation (a control variate).

    Returns
    -------
    ndarray of shape (n,)
        Basis points of the parent's arrival value; zero with `efficient_volatility` 0.
    """
    moved = after.flow[:, HELD] * after.flow[:, MOVED]
    luck: FloatArray = 1e4 * task.direction * moved / (task.target_quantity * after.arrival)
    return luck


def done(task: ExecutionTask, state: ExecutionState) -> npt.NDArray[np.bool_]:
    """Return which executions are over."""
    return np.asarray((state.inventory == 0) | (state.step >= task.time_horizon))


def shortfall_bps(task: ExecutionTask, state: ExecutionState) -> FloatArray:
    """Return the slippage of finished executions: side * (average fill - arrival mid) / arrival mid * 1e4 + fees.

    Returns
    -------
    ndarray of shape (n,)
        Basis points; positive costs. NaN where the order is not finished.
    """
    value = task.target_quantity * state.arrival
    cost = task.direction * (state.paid.sum(axis=1) - value) + _fees(task, state)
    return np.where(state.inventory == 0, 1e4 * cost / value, np.nan)
