"""The stationary bootstrap of returns against a plain loop, closed forms and coverage."""

import numpy as np
import pytest

from gwt_lab.errors import ConfigError, DataError
from gwt_lab.validation import bootstrap
from gwt_lab.validation.bootstrap import block_length, drawdown_odds, moment_intervals


def _rows(n: int, length: float, n_resamples: int, seed: int) -> list[np.ndarray]:
    """Return the rows of each resample, block by block, going round at the end."""
    found = []
    for starts, sizes in bootstrap._blocks(n, length, n_resamples, seed):
        found.append(np.concatenate([np.arange(s, s + k) % n for s, k in zip(starts, sizes, strict=True)]))
    return found


def test_moments_and_falls_agree_with_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0.001, 0.02, (150, 3))
    rows = _rows(150, 5.0, 60, 7)
    assert all(len(found) == 150 for found in rows)
    for column, (mean, sharpe) in enumerate(moment_intervals(values, n_resamples=60, seed=7, block=5.0)):
        samples = [values[found, column] for found in rows]
        means = [sample.mean() for sample in samples]
        ratios = [sample.mean() / sample.std(ddof=1) for sample in samples]
        np.testing.assert_allclose([mean.low, mean.high], np.quantile(means, [0.025, 0.975]), rtol=1e-9)
        np.testing.assert_allclose([sharpe.low, sharpe.high], np.quantile(ratios, [0.025, 0.975]), rtol=1e-9)
        assert mean.mean == pytest.approx(values[:, column].mean())
        assert sharpe.mean == pytest.approx(values[:, column].mean() / values[:, column].std(ddof=1))
    depths = []
    for found in rows:
        worth = peak = 1.0
        deepest = 0.0
        for value in values[found, 0]:
            worth *= 1 + value
            peak = max(peak, worth)
            deepest = min(deepest, worth / peak - 1)
        depths.append(deepest)
    np.testing.assert_allclose(drawdown_odds(values[:, 0], n_resamples=60, seed=7, block=5.0).depths, depths, rtol=1e-9)


def test_blocks_have_the_length_asked_for() -> None:
    sizes = np.concatenate([size for _, size in bootstrap._blocks(2000, 20.0, 50, 0)])
    assert sizes.mean() == pytest.approx(20, rel=0.1)
    assert all((size == 1).all() for _, size in bootstrap._blocks(50, 1.0, 5, 0))


def test_the_interval_of_independent_returns_has_the_width_of_the_closed_form() -> None:
    values = np.random.default_rng(3).normal(0.05, 1.0, 4000)
    mean, sharpe = moment_intervals(values[:, None], n_resamples=2000, block=1.0)[0]
    assert (mean.high - mean.low) / 2 == pytest.approx(1.96 / np.sqrt(4000), rel=0.08)
    # Lo, "The statistics of Sharpe ratios", 2002: variance (1 + SR² / 2) / n
    assert (sharpe.high - sharpe.low) / 2 == pytest.approx(1.96 * np.sqrt((1 + 0.05**2 / 2) / 4000), rel=0.08)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    truth, covered = 0.1, 0
    for seed in range(120):
        values = rng.standard_t(6, 300) / np.sqrt(1.5) + truth
        sharpe = moment_intervals(values[:, None], level=0.9, n_resamples=300, seed=seed, block=2.0)[0][1]
        covered += sharpe.low <= truth <= sharpe.high
    assert 0.82 <= covered / 120 <= 0.97


def test_memory_makes_blocks_longer() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=2000)
    swing = np.exp(np.convolve(rng.normal(size=2049), np.ones(50) / 7, "valid"))
    assert block_length(noise) < 10
    assert block_length(noise * swing) > 20  # returns do not remember, their sizes do
    assert block_length(np.arange(40.0)) <= 10


def test_falls_are_bounded_and_ordered() -> None:
    odds = drawdown_odds(np.random.default_rng(0).normal(0, 0.03, 500))
    assert odds.depths.min() >= -1
    assert odds.depths.max() <= 0
    assert odds.probability(0.2) >= odds.probability(0.3) >= odds.probability(0.5)
    assert odds.quantile(0.95) < odds.quantile(0.5) < 0
    assert drawdown_odds(np.full(30, 0.01)).probability(0.0) == 0
    assert drawdown_odds(np.r_[np.full(30, 0.01), -1.0]).quantile(0.9) == pytest.approx(-1)


def test_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="at least 20 returns, got 5"):
        drawdown_odds(np.zeros(5))
    with pytest.raises(DataError, match="finite"):
        moment_intervals(np.full((30, 1), np.nan))
    with pytest.raises(DataError, match="cannot lose more than everything, got a return of -2"):
        drawdown_odds(np.r_[np.zeros(30), -2.0])
    with pytest.raises(ConfigError, match="level"):
        moment_intervals(np.zeros((30, 1)), level=2)
