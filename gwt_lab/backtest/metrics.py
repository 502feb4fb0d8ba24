"""What is said about a path of values: returns, Sharpe ratio, drawdown and their kin.

Conventions are vectorbt's: every bar's return counts, the first one measured from the initial cash; the standard
deviation uses ddof=1; a year has 365 days.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gwt_lab.errors import ConfigError
from gwt_lab.kernels import kernel

__all__ = [
    "alpha",
    "annualized_return",
    "annualized_volatility",
    "bar_returns",
    "beta",
    "calmar_ratio",
    "capture",
    "conditional_value_at_risk",
    "drawdowns",
    "information_ratio",
    "max_drawdown",
    "omega_ratio",
    "path_sums",
    "sharpe_of_sums",
    "sharpe_ratio",
    "sortino_ratio",
    "tail_ratio",
    "total_return",
    "tracking_error",
    "value_at_risk",
]

FloatArray = NDArray[np.float64]


def bar_returns(value: FloatArray, init_cash: float) -> FloatArray:
    """Return each bar's fractional gain, shape (n_times,); the first is measured from `init_cash`.

    Of an account that is worth less than nothing a gain is positive all the same: it is measured against the size of
    what is owed.
    """
    before = np.concatenate(([init_cash], value[:-1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before != 0, (value - before) / np.abs(before), 0.0)


def total_return(value: FloatArray, init_cash: float) -> float:
    """Return the gain over the whole path as a fraction of `init_cash`."""
    return float(value[-1] / init_cash - 1.0)


def drawdowns(value: FloatArray) -> FloatArray:
    """Return the distance from the highest close of the account so far, same shape, zero or negative."""
    return value / np.maximum.accumulate(value, axis=0) - 1.0


def max_drawdown(value: FloatArray) -> float:
    """Return the deepest fall from a peak as a negative fraction; zero if the value never fell.

    As in vectorbt, peaks are the account's worth at closes; what the first bar itself loses is a return, no drawdown.
    """
    return float(drawdowns(value).min())


@kernel
def path_sums(value: FloatArray, init_cash: float) -> tuple[float, float, float, float, float]:
    """Return what a path's headline numbers are made of, in one pass.

    Parameters
    ----------
    value : ndarray of shape (n_times,)
        Worth at each close.
    init_cash : float
        Worth before the first bar.

    Returns
    -------
    first, deviations, squares, losses, deepest : float
        The first bar's return; the sums of the returns' deviations from it, of the deviations' squares, and of the
        squares of losses; the deepest drawdown. Deviations from a return keep equal returns free of rounding.
    """
    before, peak, deepest = init_cash, value[0], 0.0
    first = value[0] / init_cash - 1.0
    deviations, squares, losses = 0.0, 0.0, 0.0
    for worth in value:
        # a bar in which nothing moved spares the division
        gain = 0.0
        if worth != before and before != 0.0:
            gain = (worth - before) / abs(before)
            peak = max(peak, worth)
            if worth < peak * (1.0 + deepest):
                deepest = worth / peak - 1.0
        deviation = gain - first
        deviations += deviation
        squares += deviation * deviation
        losses += min(gain, 0.0) ** 2
        before = worth
    return first, deviations, squares, losses, deepest


def sharpe_of_sums(sums: tuple[float, ...], n_times: int, bars_per_year: float) -> float:
    """Return the Sharpe ratio (ddof=1), annualised, from `path_sums`; NaN where returns do not vary."""
    first, deviations, squares = sums[:3]
    if n_times < 2:
        return float("nan")
    variance = (squares - deviations * deviations / n_times) / (n_times - 1)
    if not variance > 0:
        return float("nan")
    return float((first + deviations / n_times) / np.sqrt(variance) * np.sqrt(bars_per_year))


def sharpe_ratio(returns: FloatArray, bars_per_year: float) -> float:
    """Return mean over standard deviation (ddof=1), annualised; NaN where returns do not vary."""
    spread = float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0
    return float(np.mean(returns) / spread * np.sqrt(bars_per_year)) if spread > 0 else float("nan")


def sortino_ratio(returns: FloatArray, bars_per_year: float) -> float:
    """Return mean over the root mean square of losses, annualised; NaN without a loss."""
    downside = float(np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2)))
    return float(np.mean(returns) / downside * np.sqrt(bars_per_year)) if downside > 0 else float("nan")


def annualized_return(value: FloatArray, init_cash: float, bars_per_year: float) -> float:
    """Return the compound growth of a year as a fraction."""
    growth = value[-1] / init_cash
    # a few bars' gain compounded over a year can be beyond every number
    with np.errstate(over="ignore"):
        return float(growth ** (bars_per_year / len(value)) - 1.0) if growth > 0 else -1.0


def calmar_ratio(value: FloatArray, init_cash: float, bars_per_year: float) -> float:
    """Return annualised growth over the deepest drawdown; NaN without a drawdown."""
    depth = max_drawdown(value)
    return annualized_return(value, init_cash, bars_per_year) / abs(depth) if depth < 0 else float("nan")


def omega_ratio(returns: FloatArray) -> float:
    """Return the sum of gains over the sum of losses; NaN without a loss."""
    losses = float(-np.minimum(returns, 0.0).sum())
    return float(np.maximum(returns, 0.0).sum()) / losses if losses > 0 else float("nan")


def annualized_volatility(returns: FloatArray, bars_per_year: float) -> float:
    """Return the standard deviation (ddof=1) of a year as a fraction."""
    return float(np.std(returns, ddof=1) * np.sqrt(bars_per_year)) if len(returns) > 1 else float("nan")


def _share(cutoff: float) -> float:
    if not isinstance(cutoff, (int, float, np.number)) or not 0 <= cutoff <= 1:
        raise ConfigError(f"cutoff must be a fraction from 0 to 1 (5 % is 0.05), got {cutoff!r}")
    return float(cutoff)


def value_at_risk(returns: FloatArray, cutoff: float = 0.05) -> float:
    """Return the bar's return that a share `cutoff` of all bars falls below."""
    return float(np.percentile(returns, 100 * _share(cutoff)))


def conditional_value_at_risk(returns: FloatArray, cutoff: float = 0.05) -> float:
    """Return the mean of the worst share `cutoff` of the bars' returns."""
    last = int((len(returns) - 1) * _share(cutoff))
    return float(np.mean(np.partition(returns, last)[: last + 1]))


def tail_ratio(returns: FloatArray) -> float:
    """Return the size of the 95th percentile over that of the 5th; NaN where the latter is zero."""
    low, high = np.abs(np.percentile(returns, [5, 95]))
    return float(high / low) if low > 0 else float("nan")


# ------------------------------------------------------------------------------------------------ beside a benchmark
def beta(returns: FloatArray, benchmark: FloatArray) -> float:
    """Return the covariance with the benchmark over its variance; NaN where it does not vary."""
    apart = benchmark - benchmark.mean()
    variance = float(np.mean(apart**2))
    return float(np.mean(apart * returns)) / variance if variance > _STILL else float("nan")


def alpha(returns: FloatArray, benchmark: FloatArray, bars_per_year: float) -> float:
    """Return what the mean return exceeds `beta` times the benchmark's by, compounded over a year."""
    growth = np.mean(returns - beta(returns, benchmark) * benchmark) + 1.0
    with np.errstate(over="ignore"):
        return float(growth**bars_per_year - 1.0) if not growth <= 0 else -1.0


def tracking_error(returns: FloatArray, benchmark: FloatArray, bars_per_year: float) -> float:
    """Return the standard deviation (ddof=1) of the returns' distance from the benchmark's, of a year."""
    return annualized_volatility(returns - benchmark, bars_per_year)


def information_ratio(returns: FloatArray, benchmark: FloatArray) -> float:
    """Return mean over standard deviation (ddof=1) of the distance from the benchmark, per bar as in vectorbt."""
    active = returns - benchmark
    spread = float(np.std(active, ddof=1)) if len(active) > 1 else 0.0
    return float(np.mean(active)) / spread if spread > 0 else float("nan")


def capture(returns: FloatArray, benchmark: FloatArray, *, up: bool) -> float:
    """Return the geometric mean return over the benchmark's, in bars in which that rose (`up`) or fell.

    NaN without such a bar. vectorbt compounds both to a year before it divides, which on short bars is astronomic.
    """
    chosen = benchmark > 0 if up else benchmark < 0
    if not chosen.any():
        return float("nan")
    growth = np.expm1([np.mean(np.log1p(np.maximum(kind[chosen], -1.0 + 1e-12))) for kind in (returns, benchmark)])
    return float(growth[0] / growth[1])


# a variance below this is rounding
_STILL = 1e-30
