"""Intervals for means of dated differences, honest about what neighbouring dates share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.validation.sharpe import is_number

__all__ = ["Interval", "block_bootstrap_interval"]

_FEWEST = 20


@dataclass(frozen=True)
class Interval:
    """A mean and where it may lie.

    Parameters
    ----------
    mean, low, high : float
        In the units of the data.
    level : float
        Share of such intervals that cover the true mean.
    n : int
        Dates.
    block : float
        Mean length of the bootstrap's blocks, in dates.
    """

    mean: float
    low: float
    high: float
    level: float
    n: int
    block: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0

    def scaled(self, factor: float) -> Interval:
        """Return the interval in other units."""
        low, high = sorted((self.low * factor, self.high * factor))
        return Interval(self.mean * factor, low, high, self.level, self.n, self.block)


def _one_a_date(differences: Any) -> npt.NDArray[np.float64]:
    try:
        values = np.asarray(differences, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"an interval needs numbers, one a date: {error}") from error
    if values.ndim != 1 and values.shape[1:] != (1,):
        raise ShapeError(
            f"an interval needs one value a date, got shape {values.shape}: average the rows of a date, or take one "
            f"column at a time"
        )
    values = values.ravel()
    if np.isinf(values).any():
        raise DataError(f"{int(np.isinf(values).sum())} values are infinite: leave them out, or make them NaN")
    return values[~np.isnan(values)]


def block_bootstrap_interval(
    differences: Any, *, level: float = 0.95, n_resamples: int = 1000, seed: int = 0, block: float | None = None
) -> Interval:
    """Return the mean of dated values with a stationary block bootstrap interval.

    Parameters
    ----------
    differences : array_like of shape (n_dates,)
        One value a date, in order of time; NaN dates are left out. Rows of one date are not independent: average them
        first.
    level : float, default 0.95
    n_resamples : int, default 1000
    seed : int, default 0
    block : float, optional
        Mean block length; by default the optimal one of Politis and White.

    Returns
    -------
    Interval
        Basic percentile interval of the mean.

    Raises
    ------
    DataError
        If fewer than 20 dates have a value, or one is infinite or no number.
    ShapeError
        If there are several values a date.
    ConfigError
        If a setting is out of range.

    References
    ----------
    .. [1] Politis, Romano, "The stationary bootstrap", JASA 89, 1994.
    .. [2] Patton, Politis, White, "Correction to 'Automatic block-length selection for the dependent bootstrap'",
       Econometric Reviews 28, 2009.
    """
    values = _one_a_date(differences)
    if not (is_number(level) and 0 < level < 1):
        raise ConfigError(f"level must lie between 0 and 1, got {level}")
    for name, value, least in (("n_resamples", n_resamples, 1), ("seed", seed, 0)):
        if not is_number(value) or value != int(value) or value < least:
            raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if block is not None and not (is_number(block) and block >= 1):
        raise ConfigError(f"block must be a mean length of 1 or more, got {block}")
    if len(values) < _FEWEST:
        raise DataError(f"an interval needs at least {_FEWEST} dates with a value, got {len(values)}: test longer")
    mean = float(values.mean())
    if values.min() == values.max():
        return Interval(mean, mean, mean, level, len(values), 1.0)
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    length = float(optimal_block_length(values)["stationary"].iloc[0]) if block is None else float(block)
    length = min(max(length, 1.0), len(values) / 4)
    bootstrap = StationaryBootstrap(length, values, seed=np.random.default_rng(seed))
    means = bootstrap.apply(np.mean, n_resamples)[:, 0]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high), level, len(values), length)
