"""The stationary bootstrap of returns: intervals of mean and Sharpe ratio, and how deep an account may fall."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gwt_lab.errors import ConfigError, DataError
from gwt_lab.validation.statistics import Interval

__all__ = ["DrawdownOdds", "block_length", "drawdown_odds", "moment_intervals"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_FEWEST = 20
_CELLS = 4_000_000  # of one chunk, resamples × rows: 32 MB
_ROUNDING = 1e-12  # what is left of a spread where all values are the same, as a share of their squares


@dataclass(frozen=True, eq=False)
class DrawdownOdds:
    """How deep an account may fall in another stretch of time as long as this one.

    Parameters
    ----------
    depths : ndarray of shape (n_resamples,)
        Deepest fall from a peak, the start included, of each resampled path: fractions, 0 or negative.
    block : float
        Mean length of the bootstrap's blocks.
    """

    depths: FloatArray = field(repr=False)
    block: float

    def probability(self, depth: float) -> float:
        """Return how often the fall is deeper than `depth`, a positive fraction."""
        return float((self.depths < -abs(depth)).mean())

    def quantile(self, share: float) -> float:
        """Return the fall that `share` of the paths do not exceed, as a negative fraction."""
        return float(np.quantile(self.depths, 1 - share))


def _checked(returns: Any) -> FloatArray:
    values = np.asarray(returns, dtype=np.float64)
    if len(values) < _FEWEST:
        raise DataError(f"a bootstrap needs at least {_FEWEST} returns, got {len(values)}: test longer")
    if not np.isfinite(values).all():
        raise DataError("returns must be finite to be resampled: leave out or fill what is missing")
    return values


def block_length(returns: Any) -> float:
    """Return the mean length of blocks that keeps what returns, and their sizes, remember.

    Parameters
    ----------
    returns : array_like of shape (n_times,)

    Returns
    -------
    float
        The longer of the two lengths of Politis and White for the returns and for their absolute values, at least 1
        and at most a quarter of the data.

    References
    ----------
    .. [1] Patton, Politis, White, "Correction to 'Automatic block-length selection for the dependent bootstrap'",
       Econometric Reviews 28, 2009.
    """
    from arch.bootstrap import optimal_block_length

    values = _checked(returns)
    lengths = [
        float(optimal_block_length(part)["stationary"].iloc[0]) for part in (values, np.abs(values)) if np.ptp(part) > 0
    ]
    found = [length for length in lengths if math.isfinite(length)]
    return min(max([1.0, *found]), len(values) / 4)


def _blocks(n: int, length: float, n_resamples: int, seed: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield where blocks start, and how long they are, of each resample of n rows; rows go round."""
    rng = np.random.default_rng(seed)
    for _ in range(n_resamples):
        opens = rng.random(n) < 1 / length
        opens[0] = True
        places = np.flatnonzero(opens)
        yield rng.integers(0, n, len(places)), np.diff(places, append=n)


def _counts(n: int, length: float, n_resamples: int, seed: int) -> Iterator[FloatArray]:
    """Yield how often each row is in each resample, shape (some resamples, n)."""
    step = max(_CELLS // n, 1)
    chunk = np.empty((min(step, n_resamples), n))
    filled = 0
    for start, size in _blocks(n, length, n_resamples, seed):
        ends = np.bincount(start, minlength=2 * n) - np.bincount(start + size, minlength=2 * n)
        inside = np.cumsum(ends)
        chunk[filled] = inside[:n] + inside[n:]
        filled += 1
        if filled == len(chunk):
            yield chunk
            filled = 0
    if filled:
        yield chunk[:filled]


def moment_intervals(
    returns: Any, *, level: float = 0.95, n_resamples: int = 1000, seed: int = 0, block: float | None = None
) -> list[tuple[Interval, Interval]]:
    """Return bootstrap intervals of each column's mean and Sharpe ratio, per period.

    Parameters
    ----------
    returns : array_like of shape (n_times, n_strategies)
    level : float, default 0.95
    n_resamples : int, default 1000
    seed : int, default 0
    block : float, optional
        Mean block length; by default that of the first column (`block_length`).

    Returns
    -------
    list of (Interval, Interval)
        Mean and Sharpe ratio (ddof 1) of each column, with percentile intervals. A resample in which nothing moves has
        the ratio 0.

    Raises
    ------
    DataError
        If there are fewer than 20 rows, or a value is not finite.
    ConfigError
        If `level` is not between 0 and 1.

    References
    ----------
    .. [1] Politis, Romano, "The stationary bootstrap", JASA 89, 1994.
    """
    values = _checked(returns)
    if not 0 < level < 1:
        raise ConfigError(f"level must lie between 0 and 1, got {level}")
    n = len(values)
    length = block_length(values[:, 0]) if block is None else block
    mean = values.mean(axis=0)
    around = values - mean  # so that squares keep their digits
    squared = around * around
    means, ratios = np.empty((n_resamples, values.shape[1])), np.empty((n_resamples, values.shape[1]))
    row = 0
    for counts in _counts(n, length, n_resamples, seed):
        part = slice(row, row := row + len(counts))
        total, square = counts @ around, counts @ squared
        spread = square - total * total / n
        moves = spread > _ROUNDING * square
        means[part] = mean + total / n
        # a path in which nothing moves earns nothing
        ratios[part] = np.where(moves, means[part] / np.sqrt(np.where(moves, spread, 1.0) / (n - 1)), 0.0)
    sharpe = mean / values.std(axis=0, ddof=1)

    def interval(found: float, span: FloatArray) -> Interval:
        return Interval(float(found), float(span[0]), float(span[1]), level, n, length)

    tails = [(1 - level) / 2, (1 + level) / 2]
    spans = np.quantile(means, tails, axis=0), np.quantile(ratios, tails, axis=0)
    return [
        (interval(mean[column], spans[0][:, column]), interval(sharpe[column], spans[1][:, column]))
        for column in range(values.shape[1])
    ]


def drawdown_odds(returns: Any, *, n_resamples: int = 1000, seed: int = 0, block: float | None = None) -> DrawdownOdds:
    """Return the deepest falls of accounts that earn resampled returns, compounded.

    Parameters
    ----------
    returns : array_like of shape (n_times,)
        Fractions, none below -1.
    n_resamples : int, default 1000
    seed : int, default 0
    block : float, optional
        Mean block length; by default `block_length`.

    Raises
    ------
    DataError
        If there are fewer than 20 returns, or one is not finite or below -1.
    """
    values = _checked(returns)
    if values.min() < -1:
        raise DataError(f"an account cannot lose more than everything, got a return of {values.min():.4g}")
    length = block_length(values) if block is None else block
    with np.errstate(divide="ignore"):
        growth = np.log1p(values)  # -inf where everything is lost
    growth = np.maximum(growth, -1e3)
    n, depths = len(values), np.empty(n_resamples)
    for row, (start, size) in enumerate(_blocks(n, length, n_resamples, seed)):
        begins = np.cumsum(size) - size
        rows = (np.arange(n) + np.repeat(start - begins, size)) % n
        path = np.cumsum(growth[rows])
        peak = np.maximum(np.maximum.accumulate(path), 0.0)
        depths[row] = np.expm1((path - peak).min())
    return DrawdownOdds(np.minimum(depths, 0.0), length)
