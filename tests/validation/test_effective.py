"""Like trials count as one: the effective number finds planted clusters and what luck they bring."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gwt_lab.errors import DataError, ShapeError
from gwt_lab.validation.effective import (
    EffectiveTrials,
    SignedGroup,
    cluster_returns,
    count_effective,
    return_signature,
    signature_edges,
)
from gwt_lab.validation.sharpe import expected_max_sharpe

T = 1280


def planted(seed: int, sizes: list[int], alike: float, independent: int = 0) -> np.ndarray:
    """Return (T, n) returns: groups that share a correlation, and independent ones."""
    rng = np.random.default_rng(seed)
    groups = [
        np.sqrt(alike) * rng.standard_normal((T, 1)) + np.sqrt(1 - alike) * rng.standard_normal((T, size))
        for size in sizes
    ]
    return np.hstack([*groups, rng.standard_normal((T, independent))])


def chain(seed: int, n: int, length: float) -> np.ndarray:
    """Return (T, n) returns whose correlation falls with the distance along a grid."""
    rng = np.random.default_rng(seed)
    returns = rng.standard_normal((T, n))
    near = math.exp(-1 / length)
    for number in range(1, n):
        returns[:, number] = near * returns[:, number - 1] + math.sqrt(1 - near**2) * returns[:, number]
    return returns


def averages(seed: int) -> np.ndarray:
    """Return (T, n) returns of moving average crossings on one random walk."""
    moves = np.random.default_rng(seed).standard_normal(T + 200)
    sums = np.concatenate([[0.0], np.cumsum(np.cumsum(moves))])
    means = {window: (sums[200:-1] - sums[200 - window : -1 - window]) / window for window in range(5, 200, 5)}
    pairs = [(fast, slow) for fast in range(5, 50, 5) for slow in range(fast + 10, 200, 10)]
    return np.column_stack([(means[fast] > means[slow]) * moves[200:] for fast, slow in pairs])


def sharpes(returns: np.ndarray) -> np.ndarray:
    return returns.mean(axis=0) / returns.std(axis=0, ddof=1)


def effective(returns: np.ndarray) -> EffectiveTrials:
    group = SignedGroup(returns.shape[1], return_signature(returns), sharpes(returns))
    return count_effective([group], np.empty(0))


# ------------------------------------------------------------------------------------------------ planted clusters
@pytest.mark.parametrize(
    ("sizes", "alike", "independent", "low", "high"),
    [
        ([], 0.0, 300, 300, 300),
        ([], 0.0, 20, 20, 20),
        ([], 0.0, 1, 1, 1),
        ([40] * 5, 0.95, 0, 5, 5),
        ([40] * 5, 0.95, 20, 25, 25),
        ([190], 0.97, 10, 11, 11),
        ([180, 20], 0.97, 0, 2, 2),
        ([200], 0.99, 0, 1, 1),
        ([200], 0.3, 0, 190, 200),
    ],
)
def test_planted_clusters_are_counted(sizes: list[int], alike: float, independent: int, low: int, high: int) -> None:
    for seed in range(5):
        assert low <= effective(planted(seed, sizes, alike, independent)).number <= high


@pytest.mark.parametrize("sign", [-1.0, 0.5])
def test_opposites_are_two_and_scale_says_nothing(sign: float) -> None:
    one = planted(0, [], 0.0, 1)
    assert effective(np.hstack([one, sign * one, one + 1.0])).number == (2 if sign < 0 else 1)


def test_the_members_of_a_cluster_are_found() -> None:
    returns = planted(3, [30, 10], 0.95, 2)
    order = np.random.default_rng(0).permutation(42)
    found = cluster_returns(return_signature(returns[:, order]))
    truth = np.repeat([0, 1, 2, 3], [30, 10, 1, 1])[order]
    assert ((found[:, None] == found) == (truth[:, None] == truth)).all()


def test_signatures_that_never_change_are_one_cluster() -> None:
    returns = planted(0, [], 0.0, 3)
    still = np.column_stack([np.zeros(T), np.zeros(T), np.full(T, 0.1)])
    found = cluster_returns(return_signature(np.hstack([still, returns])))
    assert len(set(found[:3])) == 1
    assert len(set(found)) == 4
    assert set(cluster_returns(return_signature(still))) == {0}
    assert set(cluster_returns(np.zeros((1, 64)))) == {0}


# ------------------------------------------------------------------------------------------------ what it is for
@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: planted(seed, [], 0.0, 200),
        lambda seed: planted(seed, [190], 0.97, 10),
        lambda seed: planted(seed, [40] * 5, 0.95, 20),
        lambda seed: chain(seed, 200, 5),
        lambda seed: chain(seed, 200, 20),
        averages,
    ],
    ids=["independent", "one large", "five and singles", "chain of 5", "chain of 20", "moving averages"],
)
def test_the_best_of_the_trials_is_no_better_than_expected(draw) -> None:
    """Without skill the best Sharpe ratio must be about what number and variance promise, or less."""
    best, promised = [], []
    for seed in range(30):
        returns = draw(seed)
        found = effective(returns)
        best.append(sharpes(returns).max())
        promised.append(expected_max_sharpe(found.number, max(found.variance, 1 / T)))
    error = np.std(best) / np.sqrt(len(best))
    assert 0.85 * np.mean(best) - 2 * error < np.mean(promised) < 1.5 * np.mean(best) + 2 * error


def test_the_variance_counts_each_cluster_once() -> None:
    """With 190 copies and 10 others the variance over trials is far below what chance alone shows."""
    returns = planted(1, [190], 0.999, 10)
    found = effective(returns)
    each = sharpes(returns)
    assert found.variance == pytest.approx(np.var([each[:190].mean(), *each[190:]], ddof=1))
    assert each.var(ddof=1) < 0.35 * found.variance
    each[:190] = np.nan
    group = SignedGroup(200, return_signature(returns), each)
    assert count_effective([group], np.empty(0)).variance == pytest.approx(each[190:].var(ddof=1))


# ------------------------------------------------------------------------------------------------ samples
def test_a_sample_is_scaled_by_what_it_saw_once_and_twice() -> None:
    """1,000 of 20,000 independent trials are 1,000 clusters, so all are; of five clusters there are five."""
    signatures = np.random.default_rng(0).standard_normal((1000, 64)).astype("f4")
    none = np.full(1000, np.nan)
    assert count_effective([SignedGroup(20_000, signatures, none)], np.empty(0)).number == 20_000
    assert count_effective([SignedGroup(10**7, signatures, none)], np.empty(0)).number == 1000 + 1000 * 999 / 2
    copies = np.repeat(signatures[:5], 200, axis=0)
    found = count_effective([SignedGroup(20_000, copies, none)], np.empty(0))
    assert (found.number, found.n_clusters, found.n_sampled, found.n_trials) == (5, 5, 1000, 20_000)
    assert "scaled to 20,000 trials" in found.note
    copies[:4] = signatures[10:14]  # four clusters seen once
    assert count_effective([SignedGroup(20_000, copies, none)], np.empty(0)).number == 9 + 4 * 3 / 2
    assert count_effective([SignedGroup(1200, copies, none)], np.empty(0)).number == 9 + 200 * 4 / 1000
    copies[4:6] = signatures[14]  # and one twice
    assert count_effective([SignedGroup(20_000, copies, none)], np.empty(0)).number == 10 + 4 * 3 / 4


def test_what_was_not_seen_counts_in_full() -> None:
    few = np.repeat(np.random.default_rng(0).standard_normal((1, 64)), 50, axis=0).astype("f4")
    found = count_effective([SignedGroup(1000, few, np.zeros(50))], np.arange(7.0))
    assert found.number == 1 + 950 + 7
    assert found.n_trials == 1007
    assert found.note.endswith("7 trials without signatures counted in full")
    empty = SignedGroup(30, few[:0], np.empty(0))
    assert count_effective([empty], np.empty(0)).number == 30
    nothing = count_effective([], np.empty(0))
    assert (nothing.number, nothing.n_trials) == (0, 0)
    assert math.isnan(nothing.variance)


def test_groups_are_never_alike() -> None:
    group = SignedGroup(40, return_signature(planted(0, [40], 0.99)), np.zeros(40))
    assert count_effective([group, group, group], np.empty(0)).number == 3


# ------------------------------------------------------------------------------------------------ signatures
def test_a_signature_sums_returns_over_equal_stretches() -> None:
    returns = np.random.default_rng(0).standard_normal((1000, 3))
    edges = signature_edges(1000)
    found = return_signature(returns)
    assert found.shape == (3, 64)
    assert found.dtype == np.float32
    assert set(np.diff(edges, append=1000)) == {15, 16}
    np.testing.assert_allclose(found[:, 5], returns[edges[5] : edges[6]].sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), returns.sum(axis=0), rtol=1e-4)
    np.testing.assert_array_equal(return_signature(returns[:10]), returns[:10].T.astype("f4"))


def test_mistakes_are_named() -> None:
    with pytest.raises(ShapeError, match=r"shape \(n_times, n_trials\), got \(5,\)"):
        return_signature(np.zeros(5))
    with pytest.raises(DataError, match="returns must be finite to tell which trials are alike"):
        return_signature([[0.1, np.nan]] * 40)
    with pytest.raises(DataError, match="returns must be numbers, one column a trial"):
        return_signature([["x"]] * 40)
    with pytest.raises(DataError, match="a return signature must be finite"):
        cluster_returns(np.full((2, 64), np.nan))
