"""The Gymnasium shell: both libraries' checkers, its episodes, its refusals."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import gwt_lab as gwt
from gwt_lab.errors import ConfigError
from gwt_lab.execution.order_book import OrderBookParameters


@pytest.fixture(scope="module")
def history() -> Any:
    return gwt.simulate_order_book(5_000, seed=1)


def episode(env: gwt.ExecutionEnvironment, seed: int, action: int) -> tuple[list[float], dict[str, Any], list[Any]]:
    observation, info = env.reset(seed=seed)
    rewards, seen, over = [], [observation], False
    while not over:
        observation, reward, over, truncated, info = env.step(action)
        assert not truncated
        rewards.append(reward)
        seen.append(observation)
    return rewards, info, seen


def test_gymnasium_checker_has_nothing_to_say(history: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gwt.ExecutionEnvironment(order_book_history=history, target_quantity=100, time_horizon=100))
        check_env(gymnasium.make("gwt_lab/Execution-v0", target_quantity=7, time_horizon=9, side="sell").unwrapped)


def test_stable_baselines_checker_has_nothing_to_say() -> None:
    pytest.importorskip("gwt_lab.execution.sb3")
    from stable_baselines3.common.env_checker import check_env as check

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(gwt.ExecutionEnvironment(target_quantity=10, time_horizon=10))


@pytest.mark.parametrize("action", range(5))
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_rewards_add_up_to_minus_the_slippage(history: Any, side: str, action: int) -> None:
    env = gwt.ExecutionEnvironment(history, 20, 12, side=side, taker_fee_bps=5.0, maker_fee_bps=2.0)
    rewards, info, _ = episode(env, 5, action)
    assert info["inventory"] == 0
    assert len(rewards) <= 12
    assert sum(rewards) == pytest.approx(-info["slippage_bps"], abs=1e-9)


def test_waiting_ends_in_a_market_order_for_everything(history: Any) -> None:
    env = gwt.ExecutionEnvironment(history, 20, 12)
    rewards, info, seen = episode(env, 3, 0)
    assert len(rewards) == 12
    assert seen[-2][1] == 1.0
    assert info["inventory"] == 0
    assert rewards[-1] < 0


def test_equal_seeds_equal_episodes(history: Any) -> None:
    env = gwt.ExecutionEnvironment(history, 20, 12)
    one, two, other = episode(env, 3, 1), episode(env, 3, 1), episode(env, 4, 1)
    assert one[0] == two[0]
    np.testing.assert_array_equal(one[2], two[2])
    assert one[0] != other[0]
    # without a seed an episode goes on from the generator's state
    env.reset(seed=3)
    first = env.reset()[0]
    env.reset(seed=3)
    np.testing.assert_array_equal(env.reset()[0], first)


def test_history_brings_its_market() -> None:
    parameters = OrderBookParameters(order_size=5, market_rate=2.0)
    env = gwt.ExecutionEnvironment(gwt.simulate_order_book(2_000, seed=1, parameters=parameters), 20, 12)
    assert env.task.book == parameters
    with pytest.raises(ConfigError, match="book differs from the parameters of order_book_history"):
        gwt.ExecutionEnvironment(gwt.simulate_order_book(100, seed=1), 20, 12, book=parameters)


def test_a_step_after_the_end_is_refused() -> None:
    env = gwt.ExecutionEnvironment(target_quantity=1, time_horizon=1)
    env.reset(seed=1)
    assert env.step(0)[2]
    with pytest.raises(ConfigError, match=r"the execution is over: call reset\(\)"):
        env.step(0)


def test_importing_the_package_loads_neither_gymnasium_nor_torch() -> None:
    import subprocess
    import sys

    code = "import gwt_lab, sys; sys.exit(any(name in sys.modules for name in ('gymnasium', 'torch', 'numba')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
