"""Execution policies without learning, and the one function that evaluates every policy on the same paths."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gwt_lab.execution.core import (
    ExecutionState,
    ExecutionTask,
    Orders,
    done,
    initial,
    luck_bps,
    shortfall_bps,
    transition,
)
from gwt_lab.execution.order_book import OrderBookHistory

__all__ = ["Evaluation", "MarketNow", "Peg", "Policy", "Twap", "TwapLimit", "evaluate"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Policy(Protocol):
    """Maps what is known to orders."""

    @property
    def name(self) -> str:
        """Label in tables."""

    def __call__(self, task: ExecutionTask, state: ExecutionState) -> Orders:
        """Return the orders of every row at this decision."""


def _due(task: ExecutionTask, step: IntArray) -> IntArray:
    """Return the units that an even schedule, rounded to whole units, has left after `step` decisions."""
    return task.target_quantity - (2 * task.target_quantity * step + task.time_horizon) // (2 * task.time_horizon)


@dataclass(frozen=True)
class MarketNow:
    """Everything at once, by market order."""

    name: str = "market"

    def __call__(self, task: ExecutionTask, state: ExecutionState) -> Orders:
        """Return one market order for all that is left."""
        return Orders(state.inventory.copy(), np.zeros_like(state.inventory))


@dataclass(frozen=True)
class Twap:
    """Even slices by market order."""

    name: str = "TWAP"

    def __call__(self, task: ExecutionTask, state: ExecutionState) -> Orders:
        """Return the slice that brings the quantity left to the schedule after this decision."""
        return Orders(np.maximum(state.inventory - _due(task, state.step + 1), 0), np.zeros_like(state.step))


@dataclass(frozen=True)
class TwapLimit:
    """Even slices by limit orders at the touch; what lags behind the schedule by `patience` decisions crosses.

    Parameters
    ----------
    patience : int
        Decisions for which a slice may rest.
    """

    patience: int = 5
    name: str = "TWAP-limit"

    def __call__(self, task: ExecutionTask, state: ExecutionState) -> Orders:
        """Return the late units to market and the units due within `patience` decisions to rest."""
        late = np.maximum(state.inventory - _due(task, np.maximum(state.step - self.patience + 1, 0)), 0)
        soon = _due(task, np.minimum(state.step + self.patience, task.time_horizon))
        ahead = np.maximum(state.inventory - late - soon, 0)
        return Orders(late, ahead)


@dataclass(frozen=True)
class Peg:
    """Everything that is left rests at the touch and follows it; at the horizon the remainder crosses.

    The others of the simulated book do not react to what rests, so that showing the whole order costs nothing here.
    """

    name: str = "peg"

    def __call__(self, task: ExecutionTask, state: ExecutionState) -> Orders:
        """Return one resting order for all that is left."""
        return Orders(np.zeros_like(state.inventory), state.inventory.copy())


@dataclass(frozen=True)
class Evaluation:
    """One policy on many paths.

    Parameters
    ----------
    name : str
        The policy.
    slippage_bps : ndarray of shape (n,)
        Implementation shortfall with fees, by path.
    luck_bps : ndarray of shape (n,)
        The part of it that the efficient price's moves made; its mean is zero under every policy.
    maker_share : ndarray of shape (n,)
        Share of the quantity filled by limit orders.
    inventory : ndarray of shape (time_horizon + 1, n)
        Units left at each decision.
    mid : ndarray of shape (time_horizon + 1, n)
        Mid in ticks.
    """

    name: str
    slippage_bps: FloatArray
    luck_bps: FloatArray
    maker_share: FloatArray
    inventory: IntArray = field(repr=False)
    mid: FloatArray = field(repr=False)


def evaluate(
    policy: Policy, task: ExecutionTask, seeds: npt.ArrayLike, history: OrderBookHistory | None = None
) -> Evaluation:
    """Run a policy on every path.

    Parameters
    ----------
    policy : Policy
        What to run.
    task : ExecutionTask
        The problem.
    seeds : array_like of shape (n,)
        Paths; the same seeds give every policy the same order flow, so differences are paired.
    history : OrderBookHistory, optional
        Start states.
    """
    state = initial(task, seeds, history)
    inventory, mid = [state.inventory], [state.mid[:, 1]]
    luck = np.zeros(len(state.step))
    for _ in range(task.time_horizon):
        if done(task, state).all():
            inventory.append(inventory[-1])
            mid.append(mid[-1])
            continue
        active = ~done(task, state)
        state = transition(task, state, policy(task, state))
        luck += np.where(active, luck_bps(task, state), 0.0)
        inventory.append(state.inventory)
        mid.append(state.mid[:, 1])
    return Evaluation(
        name=policy.name,
        slippage_bps=shortfall_bps(task, state),
        luck_bps=luck,
        maker_share=state.filled[:, 1] / task.target_quantity,
        inventory=np.array(inventory),
        mid=np.array(mid),
    )
