"""Laws of the execution core: accounts, rewards, common random numbers, schedules."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from gwt_lab.errors import ConfigError, ShapeError
from gwt_lab.execution.core import (
    ACTIONS,
    FEATURES,
    KEEP,
    ExecutionState,
    ExecutionTask,
    Orders,
    done,
    initial,
    luck_bps,
    observe,
    orders_of,
    reward,
    shortfall_bps,
    transition,
)
from gwt_lab.execution.order_book import OrderBookParameters, simulate_order_book
from gwt_lab.execution.order_book_kernels import ASK, BASE, BID
from gwt_lab.execution.schedules import MarketNow, Peg, Twap, TwapLimit, evaluate

JUMPY = OrderBookParameters(efficient_volatility=4.0)


def play(task: ExecutionTask, seeds: Any, actions: Any) -> tuple[list[ExecutionState], np.ndarray]:
    """Take `actions`, shape (steps, n), and return every state and the rewards by step."""
    states, rewards = [initial(task, seeds)], []
    for row in actions:
        states.append(transition(task, states[-1], orders_of(task, states[-1], row)))
        rewards.append(reward(task, states[-2], states[-1]))
    return states, np.array(rewards)


def random_play(task: ExecutionTask, n: int = 200, seed: int = 0) -> tuple[list[ExecutionState], np.ndarray]:
    actions = np.random.default_rng(seed).integers(0, len(ACTIONS), size=(task.time_horizon, n))
    # mostly passive, else all is over in a few decisions
    actions = np.where(actions > 2, np.where(np.arange(n) % 3 == 0, actions, 1), actions)
    return play(task, np.arange(n), actions)


# ------------------------------------------------------------------------------------------ accounts and rewards
@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("book", [OrderBookParameters(), JUMPY], ids=["published", "jumpy"])
def test_rewards_add_up_to_minus_the_shortfall(side: str, book: OrderBookParameters) -> None:
    task = ExecutionTask(30, 20, side=side, taker_fee_bps=5.0, maker_fee_bps=-0.5, book=book)
    states, rewards = random_play(task)
    last = states[-1]
    assert done(task, last).all()
    assert (last.filled > 0).any(axis=0).all()
    average = last.paid.sum(axis=1) / task.target_quantity
    by_hand = task.direction * (average - last.arrival) / last.arrival * 1e4
    by_hand += (5.0 * last.paid[:, 0] - 0.5 * last.paid[:, 1]) / (task.target_quantity * last.arrival)
    np.testing.assert_allclose(shortfall_bps(task, last), by_hand, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(rewards.sum(axis=0), -by_hand, rtol=1e-9, atol=1e-9)


def test_risk_aversion_charges_what_is_held() -> None:
    task = ExecutionTask(20, 10, risk_aversion=0.7)
    states, rewards = random_play(task, 50)
    held = np.array([state.inventory for state in states[:-1]]) / 20
    extra = rewards.sum(axis=0) + shortfall_bps(task, states[-1])
    np.testing.assert_allclose(extra, -0.7 * (held**2).sum(axis=0), rtol=1e-9, atol=1e-9)


def test_units_and_touch_prices_add_up() -> None:
    task = ExecutionTask(30, 25, book=JUMPY)
    states, _ = random_play(task)
    for before, after in pairwise(states):
        np.testing.assert_array_equal(after.filled.sum(axis=1) + after.inventory, 30)
        made = after.filled[:, 1] - before.filled[:, 1]
        assert (after.inventory <= before.inventory).all()
        assert (after.own[:, 1] <= after.inventory).all()
        # an order resting since this decision was placed at the touch, and is never filled above its limit
        touch = before.quotes[:, BASE] + before.quotes[:, BID]
        fresh = (made > 0) & (before.own[:, 1] == 0)
        assert (after.paid[fresh, 1] - before.paid[fresh, 1] == made[fresh] * touch[fresh]).all()


def test_market_order_pays_the_book_from_the_touch_on() -> None:
    task = ExecutionTask(9, 5)
    state = initial(task, np.arange(40))
    costs = shortfall_bps(task, transition(task, state, MarketNow()(task, state)))
    for row in range(40):
        paid, left, price = 0, 9, int(state.quotes[row, ASK])
        while left:
            part = min(left, int(state.depth[row, price]))
            paid, left, price = paid + part * (int(state.quotes[row, BASE]) + price), left - part, price + 1
        assert costs[row] == pytest.approx(1e4 * (paid / 9 / state.arrival[row] - 1), abs=1e-9)


def test_larger_market_orders_never_cost_less() -> None:
    costs = [evaluate(MarketNow(), ExecutionTask(size, 5), np.arange(60)).slippage_bps for size in (1, 3, 10, 40)]
    assert (np.diff(costs, axis=0) >= 0).all()
    assert (costs[-1] > costs[0]).all()


# ------------------------------------------------------------------------------------------ purity and randomness
def test_transition_leaves_its_input_alone_and_repeats() -> None:
    task = ExecutionTask(10, 10)
    state = initial(task, np.arange(20))
    kept = [part.copy() for part in state]
    orders = orders_of(task, state, np.full(20, 2))
    one, two = transition(task, state, orders), transition(task, state, orders)
    for part, copy in zip(state, kept, strict=True):
        np.testing.assert_array_equal(part, copy)
    for left, right in zip(one, two, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_path_does_not_depend_on_its_batch() -> None:
    task = ExecutionTask(10, 8, book=JUMPY)
    many = evaluate(TwapLimit(2), task, np.arange(30))
    alone = evaluate(TwapLimit(2), task, [17])
    assert alone.slippage_bps[0] == many.slippage_bps[17]
    np.testing.assert_array_equal(alone.mid[:, 0], many.mid[:, 17])


def test_policies_meet_the_same_order_flow() -> None:
    """Whatever we do, others' market orders and the efficient price come alike: common random numbers."""
    task = ExecutionTask(400, 12, book=JUMPY)
    seeds = np.arange(100)
    idle, busy = initial(task, seeds), initial(task, seeds)
    for step in range(11):
        idle = transition(task, idle, Orders(np.zeros(100, np.int64), np.zeros(100, np.int64)))
        busy = transition(task, busy, Orders(np.full(100, step % 3), np.full(100, 5)))
        np.testing.assert_array_equal(idle.flow[:, :2], busy.flow[:, :2])
    assert (idle.mid[:, 1] != busy.mid[:, 1]).mean() > 0.5


def test_state_holds_no_future_event() -> None:
    """Two states that differ in their random numbers alone look alike to the trader."""
    task = ExecutionTask(10, 10)
    state = initial(task, np.arange(20))
    other = state._replace(random=state.random[::-1].copy())
    np.testing.assert_array_equal(observe(task, state), observe(task, other))
    assert not np.array_equal(
        transition(task, state, orders_of(task, state, np.zeros(20))).mid,
        transition(task, other, orders_of(task, other, np.zeros(20))).mid,
    )


def test_finished_rows_stay_as_they_are() -> None:
    task = ExecutionTask(5, 6)
    state = initial(task, np.arange(10))
    over = transition(task, state, Orders(np.where(np.arange(10) < 5, 5, 0), np.zeros(10, np.int64)))
    assert done(task, over).tolist() == [True] * 5 + [False] * 5
    later = transition(task, over, Orders(np.full(10, 3), np.full(10, 3)))
    for left, right in zip(over, later, strict=True):
        np.testing.assert_array_equal(left[:5], right[:5])
    assert (reward(task, over, later)[:5] == 0).all()
    assert np.isnan(shortfall_bps(task, over)[5:]).all()


def test_history_gives_the_start_and_not_the_future() -> None:
    history = simulate_order_book(4_000, 3, snapshot_every=100)
    task = ExecutionTask(10, 10, book=history.parameters)
    state = initial(task, np.arange(200), history)
    starts = set(map(bytes, np.c_[history.snapshot_depth, history.snapshot_quotes]))
    drawn = set(map(bytes, np.c_[state.depth, state.quotes]))
    assert drawn <= starts
    assert len(drawn) > 30
    # paths from one and the same snapshot go different ways
    first = state.depth.tobytes()
    after = transition(task, state, orders_of(task, state, np.zeros(200)))
    same = [row for row in range(200) if (state.depth[row] == state.depth[0]).all()]
    assert len(same) > 1
    assert len({after.depth[row].tobytes() for row in same}) == len(same)
    assert state.depth.tobytes() == first


# ------------------------------------------------------------------------------------------ observations, actions
def test_observation_is_named_and_bounded() -> None:
    task = ExecutionTask(10, 10, book=OrderBookParameters(efficient_volatility=60.0))
    states, _ = random_play(task, 40)
    seen = np.array([observe(task, state) for state in states])
    assert seen.shape == (11, 40, len(FEATURES))
    assert seen.dtype == np.float32
    assert np.abs(seen).max() == 10.0
    column = FEATURES.index("quantity left minus time left")
    np.testing.assert_allclose(seen[0, :, column], 0.0)


def test_actions_are_orders() -> None:
    task = ExecutionTask(100, 40, limit_fraction=0.1)
    state = initial(task, np.arange(5))
    orders = orders_of(task, state, np.arange(5))
    assert orders.market.tolist() == [0, 0, 0, 3, 6]
    assert orders.limit.tolist() == [0, 10, 100, KEEP, KEEP]


def test_an_order_at_the_touch_keeps_its_place() -> None:
    task = ExecutionTask(10, 50, step_seconds=0.5)
    state = initial(task, np.arange(300))
    first = transition(task, state, orders_of(task, state, np.full(300, 2)))
    touch = first.quotes[:, BASE] + first.quotes[:, BID]
    calm = (first.own[:, 0] == touch) & (first.own[:, 1] == 10)
    assert calm.mean() > 0.5
    again = transition(task, first, orders_of(task, first, np.full(300, 2)))
    assert (again.own[calm, 2] <= first.own[calm, 2]).all()
    # withdrawn and sent again, it queues behind everybody
    away = transition(task, first, orders_of(task, first, np.zeros(300)))
    back = transition(task, away, orders_of(task, away, np.full(300, 2)))
    assert back.own[calm, 2].mean() > again.own[calm, 2].mean()


# ------------------------------------------------------------------------------------------ policies
def test_twap_follows_its_schedule_exactly() -> None:
    task = ExecutionTask(37, 15)
    found = evaluate(Twap(), task, np.arange(5))
    even = 37 * (1 - np.arange(16) / 15)
    assert (np.abs(found.inventory - even[:, None]) <= 0.5).all()
    assert (found.maker_share == 0).all()


def test_twap_limit_is_never_later_than_its_patience() -> None:
    task = ExecutionTask(30, 30)
    found = evaluate(TwapLimit(4), task, np.arange(200))
    even = 30 - np.arange(31)
    late = found.inventory[4:] - even[:-4, None]
    assert late.max() <= 0
    assert 0.2 < found.maker_share.mean() < 1


def test_schedules_cost_less_than_one_market_order() -> None:
    """Ten average orders are five times the touch: whoever waits lets the book fill up again."""
    task = ExecutionTask(10, 50, step_seconds=30.0)
    seeds = np.arange(600)
    at_once = evaluate(MarketNow(), task, seeds).slippage_bps
    for policy in (Twap(), TwapLimit(10), Peg()):
        gain = at_once - evaluate(policy, task, seeds).slippage_bps
        assert gain.mean() > 4 * gain.std() / np.sqrt(len(gain))


def test_without_us_the_mid_has_no_drift() -> None:
    found = evaluate(MarketNow(), ExecutionTask(1, 40), np.arange(1500))
    idle = replace(ExecutionTask(1, 40), book=JUMPY)
    state = initial(idle, np.arange(1500))
    for _ in range(39):
        state = transition(idle, state, Orders(np.zeros(1500, np.int64), np.zeros(1500, np.int64)))
    drift = state.mid[:, 1] - state.arrival
    assert abs(drift.mean()) < 4 * drift.std() / np.sqrt(1500)
    assert drift.std() == pytest.approx(np.sqrt(39 * (16 + 1)), rel=0.15)
    assert (found.slippage_bps > 0).all()


def test_luck_has_no_mean_and_is_most_of_the_noise() -> None:
    task = ExecutionTask(10, 30, book=JUMPY)
    found = evaluate(TwapLimit(5), task, np.arange(3000))
    assert abs(found.luck_bps.mean()) < 4 * found.luck_bps.std() / np.sqrt(3000)
    without = found.slippage_bps - found.luck_bps
    assert without.std() < 0.5 * found.slippage_bps.std()
    calm = evaluate(TwapLimit(5), replace(task, book=OrderBookParameters()), np.arange(50))
    assert (calm.luck_bps == 0).all()


def test_luck_is_move_times_what_was_held() -> None:
    task = ExecutionTask(10, 30, side="sell", book=JUMPY)
    state = initial(task, np.arange(50))
    after = transition(task, state, Orders(np.full(50, 4), np.zeros(50, np.int64)))
    np.testing.assert_allclose(luck_bps(task, after), -1e4 * 0.6 * after.flow[:, 1] / after.arrival)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_quantity": 0}, "target_quantity must be a whole number, at least 1, got 0"),
        ({"time_horizon": 2.5}, "time_horizon must be a whole number"),
        ({"side": "long"}, "side must be 'buy' or 'sell', got 'long'"),
        ({"step_seconds": 0}, "step_seconds must be positive"),
        ({"limit_fraction": 0}, r"limit_fraction must lie in \(0, 1\]"),
        ({"taker_fee_bps": float("inf")}, "fees must be finite"),
    ],
)
def test_task_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExecutionTask(**settings)


def test_orders_of_another_shape_are_refused() -> None:
    task = ExecutionTask()
    with pytest.raises(ShapeError, match=r"market must have shape \(2,\), got \(3,\)"):
        transition(task, initial(task, [1, 2]), Orders(np.zeros(3, np.int64), np.zeros(3, np.int64)))
