"""Stable-Baselines3 over the batched core: a vector environment and a PPO trainer. Wants the extra `rl`."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gwt_lab.errors import ConfigError, MissingExtraError
from gwt_lab.execution.core import (
    ExecutionState,
    ExecutionTask,
    done,
    initial,
    luck_bps,
    observe,
    orders_of,
    reward,
    shortfall_bps,
    transition,
)
from gwt_lab.execution.env import make_task, new_seeds, task_spaces
from gwt_lab.execution.order_book import OrderBookHistory
from gwt_lab.execution.policies import NetworkPolicy

try:
    # SB3 tries the abandoned `gym` too, which prints a farewell to stderr
    with contextlib.redirect_stderr(io.StringIO()):
        import stable_baselines3
        import torch
        from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise MissingExtraError(error.name or "stable_baselines3", "rl") from error

__all__ = ["ExecutionVecEnv", "TrainingSettings", "train_execution_agent"]


class ExecutionVecEnv(VecEnv):
    """Many executions stepped as one batch, as a Stable-Baselines3 `VecEnv`.

    Parameters
    ----------
    n_envs : int
        Rows of the batch.
    seed : int
        Seed of all episodes that follow.
    order_book_history : OrderBookHistory, optional
        Start states.
    task : ExecutionTask, optional
        The problem; else built from `**settings`, which `ExecutionTask` names.
    without_luck : bool
        Leave `core.luck_bps`, which has mean zero under every policy, out of the rewards. False by default: rewards
        add up to minus the implementation shortfall.
    """

    def __init__(
        self,
        n_envs: int = 64,
        seed: int | None = None,
        *,
        order_book_history: OrderBookHistory | None = None,
        task: ExecutionTask | None = None,
        without_luck: bool = False,
        **settings: Any,
    ) -> None:
        if n_envs < 1:
            raise ConfigError(f"n_envs must be at least 1, got {n_envs}")
        if task is not None and settings:
            raise ConfigError(f"give a task or its settings ({', '.join(settings)}), not both")
        self.task = task or make_task(order_book_history, **settings)
        self.order_book_history = order_book_history
        self.without_luck = without_luck
        self.render_mode = None
        super().__init__(n_envs, *task_spaces())
        self._generator = np.random.default_rng(seed)
        self._actions = np.zeros(n_envs, np.int64)
        self._state = self._fresh(n_envs)

    def _fresh(self, n: int) -> ExecutionState:
        return initial(self.task, new_seeds(self._generator, n), self.order_book_history)

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seed all episodes that follow; the next `reset` begins them."""
        self._generator = np.random.default_rng(seed)
        return [seed] * self.num_envs

    def reset(self) -> npt.NDArray[np.float32]:
        """Begin an episode in every row and return the observations, shape (n_envs, 13)."""
        self._state = self._fresh(self.num_envs)
        self.reset_infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        return observe(self.task, self._state)

    def step_async(self, actions: npt.NDArray[np.int64]) -> None:
        """Note the actions of the next step."""
        self._actions = np.asarray(actions)

    def step_wait(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.bool_], list[Any]]:
        """Take the step; finished rows begin anew, with their last observation in `infos`."""
        before = self._state
        after = transition(self.task, before, orders_of(self.task, before, self._actions))
        rewards = reward(self.task, before, after)
        if self.without_luck:
            rewards = rewards + luck_bps(self.task, after)
        over = done(self.task, after)
        observation = observe(self.task, after)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        rows = np.flatnonzero(over)
        if len(rows):
            slippage = shortfall_bps(self.task, after)
            for row in rows:
                infos[row] = {
                    "terminal_observation": observation[row].copy(),
                    "slippage_bps": float(slippage[row]),
                    "TimeLimit.truncated": False,
                }
            for part, fresh in zip(after, self._fresh(len(rows)), strict=True):
                part[rows] = fresh
            observation[rows] = observe(self.task, ExecutionState(*(part[rows] for part in after)))
        self._state = after
        return observation, rewards.astype(np.float32), over, infos

    def close(self) -> None:
        """Nothing is held."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute once for each row asked for."""
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: the rows share everything."""
        raise ConfigError(f"the rows of ExecutionVecEnv share {attr_name!r}: build another ExecutionVecEnv")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Refuse: the rows are no objects."""
        raise ConfigError(f"the rows of ExecutionVecEnv have no method {method_name!r}: they are one batch")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return False for every row: nothing wraps it."""
        return [False] * len(list(self._get_indices(indices)))


@dataclass(frozen=True)
class TrainingSettings:
    """PPO's numbers. Large minibatches keep one core busy with arithmetic instead of with Python.

    Parameters
    ----------
    n_envs, n_steps : int
        Rows of the batch, decisions of each between two updates.
    batch_size, n_epochs : int
        Minibatch and passes over the data in an update.
    learning_rate : float
        Falls linearly to zero over the training.
    gamma, gae_lambda, ent_coef, clip_range : float
        As in Stable-Baselines3; `gamma` is 1 because an execution ends.
    hidden : tuple of int
        Units of the hidden layers, of policy and value network each.
    initial_scores : tuple of float
        Where the scores of the actions start. A policy that draws all actions alike crosses the spread so often that
        it is done in a few decisions and never learns what the later ones are worth; this one rests first.
    """

    n_envs: int = 256
    n_steps: int = 32
    batch_size: int = 2048
    n_epochs: int = 4
    learning_rate: float = 4e-3
    gamma: float = 1.0
    gae_lambda: float = 0.95
    ent_coef: float = 0.01
    clip_range: float = 0.2
    hidden: tuple[int, ...] = (32, 32)
    initial_scores: tuple[float, ...] = (0.0, 1.0, 0.0, 0.0, -1.0)


def _as_arrays(policy: Any) -> NetworkPolicy:
    layers = [module for module in policy.mlp_extractor.policy_net if hasattr(module, "weight")] + [policy.action_net]
    return NetworkPolicy(
        weights=tuple(layer.weight.detach().numpy().astype(np.float64) for layer in layers),
        biases=tuple(layer.bias.detach().numpy().astype(np.float64) for layer in layers),
    )


def train_execution_agent(
    total_timesteps: int = 200_000,
    seed: int = 0,
    *,
    task: ExecutionTask | None = None,
    order_book_history: OrderBookHistory | None = None,
    settings: TrainingSettings | None = None,
    callback: Any = None,
) -> NetworkPolicy:
    """Train PPO on simulated executions and return the policy as plain arrays.

    Parameters
    ----------
    total_timesteps : int
        Decisions to learn from, over all rows.
    seed : int
        Equal seeds on one machine give equal policies.
    task : ExecutionTask, optional
        The problem.
    order_book_history : OrderBookHistory, optional
        Start states.
    settings : TrainingSettings, optional
        PPO's numbers.
    callback : callable or BaseCallback, optional
        Handed to Stable-Baselines3.

    Returns
    -------
    NetworkPolicy
        Deterministic; needs neither torch nor Stable-Baselines3.

    Raises
    ------
    MissingExtraError
        Without the extra `rl`.
    """
    chosen = settings or TrainingSettings()
    environment = ExecutionVecEnv(
        chosen.n_envs, seed, order_book_history=order_book_history, task=task, without_luck=True
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = stable_baselines3.PPO(
            "MlpPolicy",
            environment,
            n_steps=chosen.n_steps,
            batch_size=chosen.batch_size,
            n_epochs=chosen.n_epochs,
            learning_rate=lambda left: chosen.learning_rate * left,
            gamma=chosen.gamma,
            gae_lambda=chosen.gae_lambda,
            ent_coef=chosen.ent_coef,
            clip_range=chosen.clip_range,
            policy_kwargs={"net_arch": list(chosen.hidden)},
            seed=seed,
            device="cpu",
        )
        with torch.no_grad():
            model.policy.action_net.bias.copy_(torch.tensor(chosen.initial_scores))
        model.learn(total_timesteps, callback=callback)
    finally:
        torch.set_num_threads(threads)
    return _as_arrays(model.policy)
