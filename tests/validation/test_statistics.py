"""Intervals cover what they promise, also where neighbours are alike."""

import numpy as np
import pytest

from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.validation.statistics import block_bootstrap_interval


def _autoregression(rng: np.random.Generator, n: int, phi: float) -> np.ndarray:
    noise = rng.normal(size=n + 100)
    for t in range(1, len(noise)):
        noise[t] += phi * noise[t - 1]
    return noise[100:]


def _coverage(block: float | None, phi: float, n_series: int = 80) -> float:
    rng = np.random.default_rng(5)
    hits = 0
    for number in range(n_series):
        found = block_bootstrap_interval(_autoregression(rng, 400, phi), n_resamples=150, seed=number, block=block)
        hits += found.low <= 0 <= found.high
    return hits / n_series


def test_coverage_on_autoregressive_noise() -> None:
    """Three standard errors of 80 trials at 95 % are 7 points; blocks of one date cover about 74 %."""
    assert _coverage(None, 0.5) >= 0.88
    assert _coverage(1.0, 0.5) < 0.85


def test_independent_dates_give_the_closed_form() -> None:
    values = np.random.default_rng(1).normal(0.1, 1.0, 2000)
    found = block_bootstrap_interval(values, n_resamples=4000, seed=0)
    assert found.mean == pytest.approx(values.mean())
    assert found.block < 5
    half = 1.959964 * values.std() / np.sqrt(len(values))
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    narrow = block_bootstrap_interval(values, level=0.5, n_resamples=4000, seed=0)
    assert (narrow.high - narrow.low) / (found.high - found.low) == pytest.approx(0.67449 / 1.959964, rel=0.1)


def test_equal_seeds_equal_intervals_and_units_scale() -> None:
    values = np.random.default_rng(2).normal(1.0, 0.1, 200)
    found = block_bootstrap_interval(values, n_resamples=100, seed=3)
    assert found == block_bootstrap_interval(values, n_resamples=100, seed=3)
    assert found != block_bootstrap_interval(values, n_resamples=100, seed=4)
    assert found.excludes_zero
    turned = found.scaled(-100)
    assert turned.low == -100 * found.high
    assert turned.low < turned.mean < turned.high < 0


def test_missing_dates_are_left_out_and_a_constant_has_no_width() -> None:
    values = np.random.default_rng(2).normal(size=100)
    padded = np.insert(values, [10, 50, 99], np.nan)
    assert block_bootstrap_interval(padded, n_resamples=50) == block_bootstrap_interval(values, n_resamples=50)
    flat = block_bootstrap_interval(np.full(30, 0.5))
    assert (flat.low, flat.mean, flat.high) == (0.5, 0.5, 0.5)


def test_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="at least 20 dates with a value, got 3"):
        block_bootstrap_interval([1.0, 2.0, np.nan, 3.0])
    with pytest.raises(ConfigError, match="level must lie between 0 and 1, got 95"):
        block_bootstrap_interval(np.arange(30.0), level=95)
    values = np.arange(30.0)
    with pytest.raises(DataError, match="1 values are infinite"):
        block_bootstrap_interval([*values, np.inf])
    with pytest.raises(DataError, match="an interval needs numbers"):
        block_bootstrap_interval(["x"] * 30)
    # rows of one date are not independent: as one long series they would make the interval too narrow
    with pytest.raises(ShapeError, match=r"one value a date, got shape \(30, 2\)"):
        block_bootstrap_interval(np.column_stack([values, values]))
    assert block_bootstrap_interval(values[:, None]) == block_bootstrap_interval(values)
    for wrong in ({"n_resamples": 0}, {"seed": -1}, {"block": 0}, {"block": float("nan")}, {"level": "0.9"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            block_bootstrap_interval(values, **wrong)
