"""The kernels against plain Python: equal random numbers, equal events, on ordinary and on hostile books."""

from __future__ import annotations

import numpy as np
import pytest

from gwt_lab.execution.core import KEEP, ExecutionTask, Orders, initial, observe, shortfall_bps, transition
from gwt_lab.execution.order_book import OrderBookParameters, simulate_order_book
from tests.oracles.execution import PlainExecution, plain_book

BOOKS = {
    "published": {},
    "orders of seven": {"order_size": 7},
    "efficient price": {"efficient_volatility": 4.0, "order_size": 3},
    "wild efficient price": {"efficient_volatility": 25.0},
    "one level": {"n_levels": 1},
    "thirty levels": {"n_levels": 30},
    "few orders": {"limit_rates": (0.2, 0.1), "cancel_rates": (2.0,), "tail_scale": 0.05},
    "storm of market orders": {"market_rate": 30.0, "order_size": 2},
    "no market orders": {"market_rate": 0.0},
    "limit orders far away only": {"limit_rates": (0.0, 0.0, 0.0, 0.0, 3.0), "n_levels": 5},
}


@pytest.mark.parametrize("name", BOOKS)
def test_book_without_us_equals_plain_book(name: str) -> None:
    parameters = OrderBookParameters(**BOOKS[name])
    history = simulate_order_book(600, 3, parameters=parameters, snapshot_every=599)
    plain = plain_book(parameters, 3)
    plain.warm_up(parameters.initial_ticks)
    np.testing.assert_array_equal(history.snapshot_depth[0], plain.depth())
    times = plain.run(np.inf, most=599)
    np.testing.assert_allclose(history.time[:599], np.array(times) * 60.0, rtol=1e-12)
    np.testing.assert_array_equal(history.snapshot_depth[1], plain.depth())
    assert history.snapshot_quotes[1, 0] == plain.base
    assert tuple(history.events[598, 3:]) == (plain.best(1), plain.best(-1))


def _random_orders(generator: np.random.Generator, n: int, quantity: int) -> Orders:
    market = generator.choice([*[0] * 12, 1, 2, quantity // 3, -4], size=n)
    limit = generator.choice([KEEP, KEEP, 0, 1, 3, quantity, 5 * quantity], size=n)
    return Orders(market.astype(np.int64), limit.astype(np.int64))


@pytest.mark.parametrize("name", BOOKS)
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_decisions_equal_plain_decisions(name: str, side: str) -> None:
    task = ExecutionTask(
        target_quantity=40,
        time_horizon=10,
        side=side,
        step_seconds=20.0,
        taker_fee_bps=5.0,
        maker_fee_bps=-1.0,
        book=OrderBookParameters(**BOOKS[name]),
    )
    seeds = np.arange(3)
    state = initial(task, seeds)
    plain = [PlainExecution(task, int(seed)) for seed in seeds]
    generator = np.random.default_rng(0)
    for _ in range(task.time_horizon + 1):
        orders = _random_orders(generator, len(seeds), task.target_quantity)
        state = transition(task, state, orders)
        for row, one in enumerate(plain):
            one.decide(int(orders.market[row]), int(orders.limit[row]))
        np.testing.assert_array_equal(state.depth, [one.book.depth() for one in plain])
        np.testing.assert_array_equal(state.inventory, [one.left for one in plain])
        np.testing.assert_allclose(observe(task, state), [one.features() for one in plain], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(state.filled[:, 0], [sum(units for _, units in one.taker) for one in plain])
    np.testing.assert_array_equal(state.filled[:, 1], [sum(units for _, units in one.maker) for one in plain])
    np.testing.assert_allclose(shortfall_bps(task, state), [one.shortfall_bps() for one in plain], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["published", "orders of seven", "thirty levels", "wild efficient price"])
def test_place_in_the_queue_equals_the_plain_list(name: str) -> None:
    """One large order, placed once: it is passed, reached, left behind and met again."""
    task = ExecutionTask(1_000, 40, step_seconds=12.0, book=OrderBookParameters(**BOOKS[name]))
    wild = "wild" in name
    seeds = np.arange(2 if wild else 6)
    state = initial(task, seeds)
    plain = [PlainExecution(task, int(seed)) for seed in seeds]
    behind = 0
    for step in range(task.time_horizon - 1):
        limit = np.full(len(seeds), 500 if step == 0 else KEEP)
        state = transition(task, state, Orders(np.zeros_like(limit), limit))
        for row, one in enumerate(plain):
            one.decide(0, int(limit[row]))
            book = one.book
            assert state.own[row, 1] == (book.own.size if book.own else 0)
            if book.own and book.inside(book.own_price):
                assert state.own[row, 2] == book.units_ahead()
                behind += book.others(1).get(book.own_price, 0) > book.units_ahead()
    # in a wild market it is left alone too soon for anybody to queue behind it
    assert wild or behind > 5
    np.testing.assert_array_equal(state.inventory, [one.left for one in plain])


@pytest.mark.parametrize("name", ["orders of seven", "efficient price", "wild efficient price"])
def test_random_orders_are_filled_both_ways(name: str) -> None:
    """The comparison above would be empty if our orders never rested long enough to be filled."""
    task = ExecutionTask(40, 10, step_seconds=20.0, book=OrderBookParameters(**BOOKS[name]))
    state = initial(task, np.arange(3))
    generator = np.random.default_rng(0)
    for _ in range(task.time_horizon):
        state = transition(task, state, _random_orders(generator, 3, 40))
    assert (state.filled.sum(axis=0) > 10).all()
