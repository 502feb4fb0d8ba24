"""Intervals over paths: means, paired differences and relative reductions, from one set of resamples."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["bootstrap_means", "interval", "reduction"]

FloatArray = npt.NDArray[np.float64]


def bootstrap_means(values: FloatArray, n_resamples: int, seed: int) -> FloatArray:
    """Return means over resampled paths, shape (n_resamples, n_columns).

    Parameters
    ----------
    values : ndarray of shape (n_paths, n_columns)
        One row a path: resampling rows keeps the pairing of the columns.
    n_resamples, seed : int
        How many, and from which seed.
    """
    generator = np.random.default_rng(seed)
    means = np.empty((n_resamples, values.shape[1]))
    columns = np.ascontiguousarray(values.T)
    for resample in range(n_resamples):
        rows = generator.integers(0, len(values), size=len(values))
        means[resample] = columns[:, rows].mean(axis=1)
    return means


def interval(draws: FloatArray, level: float) -> tuple[float, float]:
    """Return the percentile interval of resampled values."""
    tail = 50 * (1 - level)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def reduction(policy: int, baseline: int, means: FloatArray, draws: FloatArray, level: float) -> dict[str, Any]:
    """Return how much less one column costs than another.

    Parameters
    ----------
    policy, baseline : int
        Columns.
    means : ndarray of shape (n_columns,)
        Mean cost by column, basis points.
    draws : ndarray of shape (n_resamples, n_columns)
        The same, resampled.
    level : float
        Of the intervals.

    Returns
    -------
    dict
        difference_bps (positive: the policy is cheaper) and relative, each with its interval. A relative reduction
        against a baseline whose interval holds zero means nothing and is None.
    """
    low, high = interval(draws[:, baseline] - draws[:, policy], level)
    found: dict[str, Any] = {
        "difference_bps": float(means[baseline] - means[policy]),
        "difference_interval": [low, high],
        "relative": None,
        "relative_interval": None,
    }
    if interval(draws[:, baseline], level)[0] > 0:
        found["relative"] = float(1 - means[policy] / means[baseline])
        found["relative_interval"] = list(interval(1 - draws[:, policy] / draws[:, baseline], level))
    return found
