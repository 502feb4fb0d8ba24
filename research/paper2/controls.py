"""Negative controls: what must come out as nothing, and how much of PPO's gain comes from reading the book."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gwt_lab.execution.core import (
    FEATURES,
    ExecutionState,
    ExecutionTask,
    Orders,
    initial,
    observe,
    orders_of,
    transition,
)
from gwt_lab.execution.policies import NetworkPolicy
from gwt_lab.execution.schedules import Evaluation
from research.paper2.evaluation import both_sides, cost_by_path
from research.paper2.intervals import bootstrap_means, interval

if TYPE_CHECKING:
    from research.paper2.study import Spec

__all__ = ["Blind", "controls"]

# our own position comes first, the market's features from here on
_MARKET = FEATURES.index("log spread in ticks")


@dataclass(frozen=True)
class Blind:
    """An agent that sees its own position and another path's market.

    Parameters
    ----------
    agent : NetworkPolicy
        The agent as it was trained.
    name : str
        Label in tables.
    """

    agent: NetworkPolicy
    name: str = "PPO, blind to the book"

    def __call__(self, task: ExecutionTask, state: ExecutionState) -> Orders:
        """Return the orders that the agent would send in the neighbouring path's market."""
        seen = observe(task, state)
        seen[:, _MARKET:] = np.roll(seen[:, _MARKET:], 1, axis=0)
        return orders_of(task, state, self.agent.predict(seen))


def _drift(spec: Spec, task: ExecutionTask) -> dict[str, Any]:
    """Return the mid's move while nobody of us trades, in basis points: a drift would pay or punish waiting."""
    state = initial(task, spec.paths)
    nothing = Orders(np.zeros(spec.n_paths, np.int64), np.zeros(spec.n_paths, np.int64))
    luck = np.zeros(spec.n_paths)
    for _ in range(task.time_horizon - 1):
        state = transition(task, state, nothing)
        luck += state.flow[:, 1]
    moves = 1e4 * (state.mid[:, 1] - state.arrival - luck) / state.arrival
    draws = bootstrap_means(moves[:, None], spec.n_resamples, seed=0)
    return {"bps": float(moves.mean()), "interval": list(interval(draws[:, 0], spec.level))}


def controls(spec: Spec, task: ExecutionTask, agent: NetworkPolicy, seeing: Evaluation) -> dict[str, Any]:
    """Return the controls of a run.

    Returns
    -------
    dict
        mid_drift: the idle market's drift, which must be nothing. reading_the_book: what the agent loses when it sees
        another path's market, basis points; the rest of its gain is a way of trading that needs no signal.
    """
    blind = both_sides(Blind(agent), task, spec.paths)
    loss = cost_by_path(blind) - cost_by_path(seeing)
    draws = bootstrap_means(loss[:, None], spec.n_resamples, seed=0)
    return {
        "mid_drift": _drift(spec, task),
        "reading_the_book": {"bps": float(loss.mean()), "interval": list(interval(draws[:, 0], spec.level))},
    }
