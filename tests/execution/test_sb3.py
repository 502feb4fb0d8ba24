"""The vector environment and the trainer: they agree with the core and with Stable-Baselines3, and PPO learns."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gwt_lab as gwt
from gwt_lab.errors import ConfigError, DataError, MissingExtraError, ShapeError
from gwt_lab.execution.core import FEATURES, ExecutionTask, done, initial, observe, orders_of, reward, transition
from gwt_lab.execution.env import new_seeds
from gwt_lab.execution.order_book import OrderBookParameters
from gwt_lab.execution.policies import NetworkPolicy
from gwt_lab.execution.schedules import MarketNow, Peg, evaluate

pytest.importorskip("stable_baselines3")

from gwt_lab.execution.sb3 import ExecutionVecEnv, TrainingSettings, _as_arrays, train_execution_agent

TINY = TrainingSettings(n_envs=64, n_steps=16, batch_size=512, n_epochs=4, learning_rate=5e-3, hidden=(16,))


def test_it_is_a_vec_env_of_the_published_form() -> None:
    from stable_baselines3.common.vec_env import VecEnv

    venv = gwt.ExecutionVecEnv(n_envs=512, seed=1)
    assert isinstance(venv, VecEnv)
    assert venv.num_envs == 512
    seen = venv.reset()
    assert venv.observation_space.contains(seen[0])
    assert seen.shape == (512, len(FEATURES))
    assert venv.get_attr("task") == [venv.task] * 512
    assert venv.env_is_wrapped(object, [0, 1]) == [False, False]
    with pytest.raises(ConfigError, match="share 'task'"):
        venv.set_attr("task", None)


@pytest.mark.parametrize("without_luck", [False, True])
def test_steps_are_those_of_the_core(without_luck: bool) -> None:
    """Rows that end begin anew with the generator's next seeds; their last observation is kept."""
    task = ExecutionTask(6, 7, step_seconds=30.0, book=OrderBookParameters(efficient_volatility=2.0))
    venv = ExecutionVecEnv(20, 9, task=task, without_luck=without_luck)
    seeds = np.random.default_rng(9)
    new_seeds(seeds, 20)
    venv.seed(9)
    seeds = np.random.default_rng(9)
    seen = venv.reset()
    state = initial(task, new_seeds(seeds, 20))
    generator = np.random.default_rng(0)
    ended = 0
    for _ in range(25):
        np.testing.assert_array_equal(seen, observe(task, state))
        actions = generator.integers(0, 5, size=20)
        seen, rewards, over, infos = venv.step(actions)
        after = transition(task, state, orders_of(task, state, actions))
        if not without_luck:
            np.testing.assert_allclose(rewards, reward(task, state, after), rtol=1e-6)
        np.testing.assert_array_equal(over, done(task, after))
        for row in np.flatnonzero(over):
            np.testing.assert_array_equal(infos[row]["terminal_observation"], observe(task, after)[row])
            assert infos[row]["TimeLimit.truncated"] is False
        fresh = initial(task, new_seeds(seeds, int(over.sum()))) if over.any() else None
        for column, part in enumerate(after):
            if fresh is not None:
                part[over] = fresh[column]
        state = after
        ended += int(over.sum())
    assert ended > 20


def test_rewards_of_an_episode_are_minus_its_slippage() -> None:
    venv = ExecutionVecEnv(16, 3, target_quantity=8, time_horizon=6)
    venv.reset()
    total, checked = np.zeros(16), 0
    for _ in range(20):
        _, rewards, over, infos = venv.step(np.full(16, 1))
        total += rewards
        for row in np.flatnonzero(over):
            assert total[row] == pytest.approx(-infos[row]["slippage_bps"], abs=1e-3)
            checked += 1
        total[over] = 0.0
    assert checked >= 32


def test_equal_seeds_equal_episodes() -> None:
    runs = []
    for seed in (4, 4, 5):
        venv = ExecutionVecEnv(8, seed, target_quantity=8, time_horizon=6)
        venv.reset()
        runs.append(np.array([venv.step(np.full(8, 3))[1] for _ in range(10)]))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_arrays_score_as_the_torch_policy_does() -> None:
    import stable_baselines3
    import torch

    venv = ExecutionVecEnv(32, 1)
    model = stable_baselines3.PPO("MlpPolicy", venv, n_steps=8, seed=0, device="cpu")
    with torch.no_grad():
        # untrained scores nearly tie; spread them
        model.policy.action_net.weight.mul_(100.0)
    seen = np.concatenate([venv.reset(), venv.step(np.full(32, 2))[0]])
    theirs = model.predict(seen, deterministic=True)[0]
    np.testing.assert_array_equal(_as_arrays(model.policy).predict(seen), theirs)
    assert len(set(theirs.tolist())) > 1


def test_ppo_learns_to_rest_where_crossing_is_dear() -> None:
    """A taker fee of 60 bps and a maker rebate of 10: whoever learns anything rests."""
    task = ExecutionTask(5, 20, step_seconds=30.0, taker_fee_bps=60.0, maker_fee_bps=-10.0)
    settings = replace(TINY, initial_scores=(0.0, 0.0, 0.0, 0.0, 0.0))
    policy = train_execution_agent(16_000, 1, task=task, settings=settings)
    paths = np.arange(500)
    learned = evaluate(policy, task, paths)
    assert learned.maker_share.mean() > 0.75
    assert learned.slippage_bps.mean() < 0.5 * evaluate(MarketNow(), task, paths).slippage_bps.mean()


def test_ppo_finds_no_gain_where_there_is_none() -> None:
    """Negative control: one order, and resting costs 50 bps. The mid has no drift, so that waiting saves nothing."""
    task = ExecutionTask(1, 5, step_seconds=15.0, maker_fee_bps=50.0)
    policy = train_execution_agent(8_000, 2, task=task, settings=TINY)
    paths = np.arange(800)
    learned, rested = evaluate(policy, task, paths), evaluate(Peg(), task, paths)
    crossed = evaluate(MarketNow(), task, paths).slippage_bps
    assert learned.maker_share.mean() < 0.2 < rested.maker_share.mean()
    gain = crossed - learned.slippage_bps
    assert gain.mean() < 0.1


def test_training_repeats() -> None:
    one, two = (train_execution_agent(2_048, 7, settings=TINY) for _ in range(2))
    for left, right in zip(one.weights, two.weights, strict=True):
        np.testing.assert_array_equal(left, right)


def test_policy_file_is_one_document(tmp_path: Path) -> None:
    policy = train_execution_agent(1_024, 1, settings=TINY)
    seen = observe(ExecutionTask(), initial(ExecutionTask(), np.arange(50)))
    again = NetworkPolicy.load(policy.save(tmp_path / "policy.json"))
    np.testing.assert_array_equal(again.scores(seen), policy.scores(seen))
    (tmp_path / "other.json").write_text((tmp_path / "policy.json").read_text().replace("log spread", "spread"))
    with pytest.raises(DataError, match="other features or actions"):
        NetworkPolicy.load(tmp_path / "other.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(DataError, match="is no execution policy"):
        NetworkPolicy.load(tmp_path / "broken.json")
    with pytest.raises(ShapeError, match=r"layer 0 of the policy must have shape \(16, 13\), got \(16, 12\)"):
        NetworkPolicy((policy.weights[0][:, 1:], *policy.weights[1:]), policy.biases)


def test_missing_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gwt_lab.execution.sb3")
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(MissingExtraError, match="'rl'"):
        __import__("gwt_lab.execution.sb3")


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="n_envs must be at least 1, got 0"):
        ExecutionVecEnv(0)
    with pytest.raises(ConfigError, match=r"give a task or its settings \(side\), not both"):
        ExecutionVecEnv(2, task=ExecutionTask(), side="sell")
