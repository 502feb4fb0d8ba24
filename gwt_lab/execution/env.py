"""The Gymnasium shell over the execution core: it converts spaces and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from gwt_lab.errors import ConfigError
from gwt_lab.execution.core import (
    ACTIONS,
    FEATURES,
    ExecutionTask,
    initial,
    observe,
    orders_of,
    reward,
    shortfall_bps,
    transition,
)
from gwt_lab.execution.core import done as is_done
from gwt_lab.execution.order_book import OrderBookHistory

ENV_ID = "gwt_lab/Execution-v0"

__all__ = ["ENV_ID", "ExecutionEnvironment", "new_seeds", "task_spaces"]


def task_spaces() -> tuple[spaces.Box, spaces.Discrete]:
    """Return the observation and the action space of every execution task."""
    return spaces.Box(-10.0, 10.0, (len(FEATURES),), np.float32), spaces.Discrete(len(ACTIONS))


def new_seeds(generator: np.random.Generator, n: int) -> npt.NDArray[np.int64]:
    """Return the seeds of `n` fresh paths."""
    return generator.integers(0, 2**63 - 1, size=n, dtype=np.int64)


class ExecutionEnvironment(gymnasium.Env[npt.NDArray[np.float32], np.int64]):
    """Execute a parent order in a limit order book that answers to it.

    Description
    -----------
    `target_quantity` units are to be bought (or sold) within `time_horizon` decisions. Market orders consume the
    simulated book, the limit order queues in it; after the last decision whatever is left goes to market and its cost
    counts.

    Action space
    ------------
    Discrete(5): 0 wait, with nothing resting; 1 have `limit_fraction` of the parent rest at the best price of our
    side, 2 have all that is left rest there (an order that is there already keeps its place and size); 3 and 4 send
    one or two slices to market and leave the resting order alone. A slice is the remaining quantity over the
    remaining decisions, rounded up.

    Observation space
    -----------------
    Box(-10, 10, (13,), float32), named in `gwt_lab.execution.core.FEATURES`, all from the side of the order.

    Rewards
    -------
    Basis points of the parent's arrival value. They add up to minus the implementation shortfall: side * (average
    fill - arrival mid) / arrival mid * 1e4 + fees (with `risk_aversion` 0).

    Starting state
    --------------
    A snapshot of `order_book_history` drawn by the episode's seed, else a book drawn and warmed up.

    Episode end
    -----------
    Terminated when nothing is left, at the latest after `time_horizon` decisions. Never truncated. The last `info`
    holds `slippage_bps`.

    Parameters
    ----------
    order_book_history : OrderBookHistory, optional
        Start states and the intensities they were simulated with. What follows a start is simulated, not replayed.
    target_quantity, time_horizon, **task
        See `gwt_lab.execution.core.ExecutionTask`: side, step_seconds, taker_fee_bps, maker_fee_bps, limit_fraction,
        risk_aversion, book.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        order_book_history: OrderBookHistory | None = None,
        target_quantity: int = 100,
        time_horizon: int = 100,
        **task: Any,
    ) -> None:
        self.task = make_task(order_book_history, target_quantity=target_quantity, time_horizon=time_horizon, **task)
        self.order_book_history = order_book_history
        self.observation_space, self.action_space = task_spaces()
        self._state = initial(self.task, [0], order_book_history)
        # what gymnasium.make would write, so that checkers can build another one like this
        given = {"order_book_history": order_book_history, "target_quantity": target_quantity}
        self.spec = replace(gymnasium.spec(ENV_ID), kwargs={**given, "time_horizon": time_horizon, **task})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Begin an episode; the same seed begins the same one."""
        super().reset(seed=seed)
        self._state = initial(self.task, new_seeds(self.np_random, 1), self.order_book_history)
        return observe(self.task, self._state)[0], {}

    def step(self, action: Any) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one decision."""
        if is_done(self.task, self._state)[0]:
            raise ConfigError("the execution is over: call reset() before the next step")
        before = self._state
        self._state = transition(self.task, before, orders_of(self.task, before, np.array([int(action)])))
        over = bool(is_done(self.task, self._state)[0])
        info: dict[str, Any] = {"inventory": int(self._state.inventory[0])}
        if over:
            info["slippage_bps"] = float(shortfall_bps(self.task, self._state)[0])
        earned = float(reward(self.task, before, self._state)[0])
        return observe(self.task, self._state)[0], earned, over, False, info


def make_task(history: OrderBookHistory | None, **settings: Any) -> ExecutionTask:
    """Return the task; a history brings the market it was simulated with."""
    task = ExecutionTask(**settings)
    if history is None:
        return task
    if "book" in settings and settings["book"] != history.parameters:
        raise ConfigError("book differs from the parameters of order_book_history: give one of them")
    return replace(task, book=history.parameters)


gymnasium.register(id=ENV_ID, entry_point="gwt_lab.execution.env:ExecutionEnvironment")
