"""The simulated book against closed forms, published numbers and its own laws."""

from __future__ import annotations

import numpy as np
import pytest

from gwt_lab.errors import ConfigError
from gwt_lab.execution.order_book import (
    EVENT_KINDS,
    OrderBookHistory,
    OrderBookParameters,
    simulate_order_book,
    streams,
)
from gwt_lab.execution.order_book_kernels import (
    AHEAD,
    ASK,
    BASE,
    BID,
    FILLED,
    GRID,
    N_FLOW,
    PRICE,
    QUANTITY,
    SIDE,
    recentre,
    take,
)

# Cont, Stoikov and Talreja (2010): probability that the next move of the mid is up, spread of one tick; rows: orders at
# the best bid 1..5, columns: at the best ask 1..5.
PUBLISHED = np.array(
    [
        [0.500, 0.335, 0.259, 0.216, 0.188],
        [0.665, 0.500, 0.407, 0.348, 0.307],
        [0.741, 0.593, 0.500, 0.437, 0.391],
        [0.784, 0.652, 0.563, 0.500, 0.452],
        [0.812, 0.693, 0.609, 0.548, 0.500],
    ]
)


@pytest.fixture(scope="module")
def history() -> OrderBookHistory:
    return simulate_order_book(1_500_000, 11, snapshot_every=12)


def race(limit: float, market: float, cancel: float, most: int = 40) -> np.ndarray:
    """Return P(ask queue empties before bid queue) of two independent birth-death queues, by solving the chain."""
    index = np.arange(most * most).reshape(most, most)
    system, right = np.eye(most * most), np.zeros(most * most)
    for bid in range(1, most + 1):
        for ask in range(1, most + 1):
            row = index[bid - 1, ask - 1]
            moves = [(bid + 1, ask, limit), (bid, ask + 1, limit)]
            moves += [(bid - 1, ask, market + cancel * bid), (bid, ask - 1, market + cancel * ask)]
            total = sum(rate for _, _, rate in moves)
            for b, a, rate in moves:
                if a == 0:
                    right[row] += rate / total
                elif b > 0:
                    system[row, index[min(b, most) - 1, min(a, most) - 1]] -= rate / total
    return np.linalg.solve(system, right).reshape(most, most)


def test_closed_form_is_the_published_table() -> None:
    np.testing.assert_allclose(race(1.85, 0.94, 0.71)[:5, :5], PUBLISHED, atol=6e-4)


def test_queues_predict_the_next_move_as_published(history: OrderBookHistory) -> None:
    bids, asks = history.depth(1)
    start = history.snapshot_event
    mid = history.events[:, 3] + history.events[:, 4]
    before = np.r_[mid[0], mid][start]
    spread = (history.snapshot_quotes[:, ASK] - history.snapshot_quotes[:, BID]) == 1
    moves = np.flatnonzero(np.diff(mid)) + 1
    following = moves[np.minimum(np.searchsorted(moves, start), len(moves) - 1)]
    # one snapshot for each move, so that the outcomes are independent given the queues
    fresh = np.r_[True, np.diff(following) > 0] & spread & (start > 0)
    up = mid[following] > before
    distance = []
    for bid in range(1, 6):
        for ask in range(1, 6):
            cell = fresh & (bids[:, 0] == bid) & (asks[:, 0] == ask)
            expected = PUBLISHED[bid - 1, ask - 1]
            if cell.sum() >= 25:
                distance.append((up[cell].mean() - expected) / np.sqrt(expected * (1 - expected) / cell.sum()))
    assert len(distance) >= 17
    assert np.abs(distance).max() < 4.0
    # chi-squared: the distances are standard normal, not merely small
    assert np.square(distance).sum() < 2 * len(distance)


def test_events_come_at_their_rates(history: OrderBookHistory) -> None:
    minutes = history.time[-1] / 60
    counts = np.bincount(history.events[:, 0], minlength=len(EVENT_KINDS))
    rates = OrderBookParameters()
    expected = {"market buy": 0.94, "market sell": 0.94}
    expected |= dict.fromkeys(("limit buy", "limit sell"), float(rates.limit_by_level.sum()))
    for kind, rate in expected.items():
        assert abs(counts[EVENT_KINDS.index(kind)] - rate * minutes) < 4 * np.sqrt(rate * minutes)
    assert counts[EVENT_KINDS.index("jump up")] == 0


def test_spread_and_best_queue_lie_in_the_known_band(history: OrderBookHistory) -> None:
    held = np.diff(history.time, append=history.time[-1])
    spread = np.rint(history.spread / 0.01)
    assert 1.31 < np.average(spread, weights=held) < 1.38
    assert 0.73 < np.average(spread == 1, weights=held) < 0.78
    bids, asks = history.depth(1)
    assert 1.95 < bids.mean() < 2.25
    assert 1.95 < asks.mean() < 2.25


def test_mid_has_no_drift_and_no_memory_over_minutes(history: OrderBookHistory) -> None:
    times = np.arange(60.0, history.time[-1], 1800.0)
    moves = np.diff(history.mid[np.searchsorted(history.time, times) - 1])
    assert abs(moves.mean()) < 4 * moves.std() / np.sqrt(len(moves))
    assert abs(np.corrcoef(moves[1:], moves[:-1])[0, 1]) < 4 / np.sqrt(len(moves))


def test_queues_that_only_cancel_are_poisson() -> None:
    """Behind a best queue that never empties, each level is an M/M/infinity queue: Poisson(arrival / cancel rate)."""
    arrivals, cancels = (1.0, 2.0, 1.5, 0.4), (0.005, 0.8, 0.5, 0.4)
    parameters = OrderBookParameters(limit_rates=arrivals, cancel_rates=cancels, market_rate=0.0, n_levels=4)
    # a relaxation time is 1 / 0.4 units; 200 events are 20 units
    history = simulate_order_book(800_000, 5, parameters=parameters, snapshot_every=200)
    bids, asks = history.depth(4)
    assert (history.events[:, 4] - history.events[:, 3] == 1).all()
    # a state is seen once an event; over time it counts for as long as it lasts, one over its total rate
    weight = 1.0 / (2 * sum(arrivals) + (bids + asks) @ np.array(cancels))
    for level in (1, 2, 3):
        mean = arrivals[level] / cancels[level]
        n = 2 * len(bids)
        first, second, empty = (
            np.average((part(bids[:, level]) + part(asks[:, level])) / 2, weights=weight)
            for part in (lambda q: q, lambda q: q.astype(float) ** 2, lambda q: (q == 0).astype(float))
        )
        assert abs(first - mean) < 4 * np.sqrt(mean / n)
        assert abs((second - first**2) / mean - 1) < 4 * np.sqrt((2 + 1 / mean) / n)
        assert abs(empty - np.exp(-mean)) < 4 * np.sqrt(np.exp(-mean) / n)


HOSTILE = {
    "published": OrderBookParameters(),
    "jumps": OrderBookParameters(efficient_volatility=6.0, order_size=3),
    "storm": OrderBookParameters(market_rate=25.0),
    "thin": OrderBookParameters(limit_rates=(0.1,), tail_scale=0.02, cancel_rates=(3.0,)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_book_is_never_crossed_and_time_never_turns(name: str) -> None:
    history = simulate_order_book(50_000, 2, parameters=HOSTILE[name], snapshot_every=50)
    assert (history.events[:, 4] > history.events[:, 3]).all()
    assert (np.diff(history.time) >= 0).all()
    assert (history.snapshot_depth >= 0).all()
    # bids lie up to the best bid, asks from the best ask on, and the bests hold something
    column = np.arange(GRID)
    bid, ask = history.snapshot_quotes[:, [BID]], history.snapshot_quotes[:, [ASK]]
    between = (column > bid) & (column < ask)
    assert (history.snapshot_depth[between] == 0).all()
    rows = np.arange(len(bid))
    assert (history.snapshot_depth[rows, bid[:, 0]] > 0).all()
    assert (history.snapshot_depth[rows, ask[:, 0]] > 0).all()


def test_units_are_conserved() -> None:
    history = simulate_order_book(60_000, 4, parameters=OrderBookParameters(order_size=7), snapshot_every=40)
    kind, size = history.events[:, 0], history.events[:, 2]
    signed = np.where(kind < EVENT_KINDS.index("market buy"), size, -size)
    change = np.add.reduceat(signed, history.snapshot_event)[:-1]
    kept = np.diff(history.snapshot_quotes[:, BASE]) == 0
    total = np.diff(history.snapshot_depth.sum(axis=1))
    assert kept.sum() > 1000
    np.testing.assert_array_equal(total[kept], change[kept])


def test_efficient_price_adds_its_variance() -> None:
    moves = {}
    for volatility in (0.0, 5.0):
        parameters = OrderBookParameters(efficient_volatility=volatility)
        history = simulate_order_book(1_000_000, 8, parameters=parameters)
        minutes = 10
        times = np.arange(60.0, history.time[-1], 60.0 * minutes)
        mid = history.mid[np.searchsorted(history.time, times) - 1] / 0.01
        moves[volatility] = np.mean(np.diff(mid) ** 2) / minutes
    assert moves[5.0] - moves[0.0] == pytest.approx(25.0, rel=0.15)


def test_equal_seeds_equal_histories() -> None:
    one, two, other = (simulate_order_book(3_000, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.events, two.events)
    np.testing.assert_array_equal(one.time, two.time)
    assert not np.array_equal(one.events, other.events)


def test_history_is_frozen_and_reads_back() -> None:
    history = simulate_order_book(5_000, 1, snapshot_every=10)
    with pytest.raises(ValueError, match="read-only"):
        history.events[0, 0] = 1
    frame = history.to_frame()
    assert list(frame.columns) == ["time", "kind", "price", "size", "best_bid", "best_ask"]
    trades = history.trades
    assert len(trades) == frame["kind"].isin(["market buy", "market sell"]).sum() > 0
    # a market order trades at the best price of the other side before it
    buys = np.flatnonzero(history.events[:, 0] == EVENT_KINDS.index("market buy"))
    buys = buys[buys > 0]
    np.testing.assert_array_equal(history.events[buys, 1], history.events[buys - 1, 4])
    assert "5,000 events" in history._repr_html_()


# ------------------------------------------------------------------------------------------ price, then time
def _book(bids: dict[int, int], asks: dict[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    depth, own = np.zeros(GRID, np.int32), np.zeros(4, np.int64)
    for price, units in (bids | asks).items():
        depth[price] = units
    return depth, np.array([1000, max(bids), min(asks)]), own, np.zeros(N_FLOW, np.int64)


@pytest.mark.parametrize(("sold", "filled", "others"), [(2, 0, 4), (3, 0, 3), (4, 1, 3), (6, 3, 3), (8, 3, 1)])
def test_own_order_waits_for_those_ahead(sold: int, filled: int, others: int) -> None:
    """Three units ahead of our three, three more behind."""
    depth, quotes, own, flow = _book({60: 6, 59: 10}, {61: 5})
    own[PRICE], own[QUANTITY], own[AHEAD], own[SIDE] = 1060, 3, 3, 1
    paid = take(depth, quotes, own, -1, sold, 1, flow)
    assert (flow[FILLED], depth[60], own[QUANTITY]) == (filled, others, 3 - filled)
    assert paid == sold * 1060


def test_own_order_inside_the_spread_goes_first() -> None:
    depth, quotes, own, flow = _book({58: 5}, {61: 5})
    own[PRICE], own[QUANTITY], own[AHEAD], own[SIDE] = 1060, 2, 0, 1
    assert take(depth, quotes, own, -1, 3, 1, flow) == 2 * 1060 + 1058
    assert flow[FILLED] == 2
    assert depth[58] == 4


def test_own_order_far_away_is_met_again_behind_what_is_there() -> None:
    depth, quotes, own, _ = _book({8: 5}, {9: 5})
    own[PRICE], own[QUANTITY], own[AHEAD], own[SIDE] = 990, 2, 50, 1
    recentre(depth, quotes, own, streams([1])[0], OrderBookParameters().rates)
    index = 990 - quotes[BASE]
    assert 0 <= index < quotes[BID]
    assert own[AHEAD] == depth[index] < 50
    # the window moved, the prices did not
    assert (quotes[BASE] + quotes[BID], quotes[BASE] + quotes[ASK]) == (1008, 1009)
    assert depth[quotes[BID]] == depth[quotes[ASK]] == 5


def test_market_order_walks_the_book_and_beyond() -> None:
    depth, quotes, own, flow = _book({60: 1}, {61: 2, 64: 1, GRID - 1: 4})
    assert take(depth, quotes, own, 1, 3, 1, flow) == 2 * 1061 + 1064
    assert quotes[ASK] == GRID - 1
    assert take(depth, quotes, own, 1, 6, 1, flow) == 4 * (1000 + GRID - 1) + 2 * (1000 + GRID)
    # a side is never empty
    assert depth[quotes[ASK]] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_levels": 31}, "n_levels must lie between 1 and 30, got 31"),
        ({"order_size": 0}, "order_size must be a whole number"),
        ({"cancel_rates": (0.0,)}, "cancel_rates finite and positive"),
        ({"limit_rates": (-1.0,)}, "limit_rates must be finite"),
        ({"limit_rates": (), "cancel_rates": ()}, "need at least the rate at distance 1"),
        ({"cancel_rates": (1e-6,)}, "raise the cancel rate"),
        ({"market_rate": float("nan")}, "market_rate must be finite"),
        ({"tick_size": 0.0}, "tick_size must be finite and positive"),
    ],
)
def test_parameters_out_of_range(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OrderBookParameters(**settings)


def test_simulation_refuses_nonsense() -> None:
    with pytest.raises(ConfigError, match="n_events and snapshot_every must be at least 1, got 0"):
        simulate_order_book(0)
    with pytest.raises(ConfigError, match="seeds must be whole numbers, not negative"):
        simulate_order_book(10, -1)
