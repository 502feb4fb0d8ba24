"""How much a Sharpe ratio says, given how long it was earned, how returns are shaped and how much was tried.

Every Sharpe ratio here is *per period* (mean over standard deviation of the returns as they come, not annualised)
unless a name says `annual`; kurtosis is *raw*: 3 for normal returns.
"""

from __future__ import annotations

import math
from numbers import Real

from gwt_lab.errors import ConfigError, DataError

__all__ = [
    "deflated_sharpe_ratio",
    "expected_max_sharpe",
    "min_backtest_length",
    "min_track_record_length",
    "probabilistic_sharpe_ratio",
]

_EULER = 0.5772156649015329


def is_number(value: object) -> bool:
    """Return whether a value is one finite number, which text, an array, None and a truth value are not."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _finite(**values: float) -> None:
    for name, value in values.items():
        if not is_number(value):
            raise DataError(f"{name} must be a finite number, got {value}: leave out trials without a Sharpe ratio")


def _sharpe_variance(sharpe: float, skew: float, kurtosis: float) -> float:
    """Return the variance of an estimated Sharpe ratio, times observations less one."""
    _finite(sharpe=sharpe, skew=skew, kurtosis=kurtosis)
    # no distribution lies below this bound; excess kurtosis given for raw usually does
    if kurtosis < 1 + skew * skew - 1e-9:
        raise DataError(
            f"kurtosis must be at least 1 + skew² = {1 + skew * skew:.4g}, got {kurtosis:.4g}: give the raw kurtosis "
            f"(3 for normal returns), not the excess over 3"
        )
    return max(1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe * sharpe, 0.0)


def _observations(n_observations: float) -> float:
    if not (is_number(n_observations) and n_observations >= 2):
        raise DataError(f"n_observations must be at least 2, got {n_observations}: test on more bars")
    return float(n_observations)


def probabilistic_sharpe_ratio(
    sharpe: float, n_observations: float, skew: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0
) -> float:
    """Return the probability that the true Sharpe ratio exceeds a benchmark.

    Parameters
    ----------
    sharpe : float
        Measured, per period.
    n_observations : float
        Periods it was measured on.
    skew, kurtosis : float
        Of the returns; raw kurtosis.
    benchmark : float, default 0
        Per period.

    Raises
    ------
    DataError
        If a value is not finite, there are fewer than 2 observations, or no returns have such a skew and kurtosis.

    References
    ----------
    .. [1] Bailey, López de Prado, "The Sharpe ratio efficient frontier", Journal of Risk 15(2), 2012.
    """
    from scipy.special import ndtr

    variance = _sharpe_variance(sharpe, skew, kurtosis)
    _finite(benchmark=benchmark)
    above = (sharpe - benchmark) * math.sqrt(_observations(n_observations) - 1)
    if variance == 0:  # returns of two values: the estimate has no error
        return 0.5 if above == 0 else float(above > 0)
    return float(ndtr(above / math.sqrt(variance)))


def expected_max_sharpe(n_trials: float, trial_variance: float) -> float:
    """Return the best Sharpe ratio to expect from independent trials without skill.

    Parameters
    ----------
    n_trials : float
        Independent trials, at least 1; a fraction is allowed.
    trial_variance : float
        Variance of the Sharpe ratios across trials; the result is in the unit of its root.

    Returns
    -------
    float
        0 for one trial; never negative.

    Raises
    ------
    ConfigError
        If `n_trials` is below 1 or `trial_variance` negative.

    References
    ----------
    .. [1] Bailey, López de Prado, "The deflated Sharpe ratio", Journal of Portfolio Management 40(5), 2014.
    """
    from scipy.special import ndtri

    if not (is_number(n_trials) and n_trials >= 1):
        raise ConfigError(f"n_trials must be at least 1, got {n_trials}: what is judged has been tried itself")
    if not (is_number(trial_variance) and trial_variance >= 0):
        raise ConfigError(f"trial_variance must be a number of at least 0, got {trial_variance}")
    if n_trials == 1:
        return 0.0
    # the upper quantile from the lower tail, where no digits are lost
    best = -(1 - _EULER) * ndtri(1 / n_trials) - _EULER * ndtri(1 / (n_trials * math.e))
    return math.sqrt(trial_variance) * max(float(best), 0.0)


def deflated_sharpe_ratio(
    sharpe: float,
    n_observations: float,
    n_trials: float,
    trial_variance: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
) -> float:
    """Return the probability that the true Sharpe ratio is positive, given that the best of many trials was taken.

    Parameters
    ----------
    sharpe : float
        Measured, per period.
    n_observations : float
        Periods it was measured on.
    n_trials : float
        Independent trials it was the best of.
    trial_variance : float
        Variance of the trials' Sharpe ratios, per period.
    skew, kurtosis : float
        Of the returns; raw kurtosis.

    Raises
    ------
    DataError, ConfigError
        As `probabilistic_sharpe_ratio` and `expected_max_sharpe` do.

    References
    ----------
    .. [1] Bailey, López de Prado, "The deflated Sharpe ratio", Journal of Portfolio Management 40(5), 2014.
    """
    benchmark = expected_max_sharpe(n_trials, trial_variance)
    return probabilistic_sharpe_ratio(sharpe, n_observations, skew, kurtosis, benchmark)


def min_track_record_length(
    sharpe: float, benchmark: float = 0.0, skew: float = 0.0, kurtosis: float = 3.0, confidence: float = 0.95
) -> float:
    """Return how many observations are needed before a Sharpe ratio exceeds a benchmark with confidence.

    Parameters
    ----------
    sharpe, benchmark : float
        Per period.
    skew, kurtosis : float
        Of the returns; raw kurtosis.
    confidence : float, default 0.95

    Returns
    -------
    float
        Observations; infinite if `sharpe` does not exceed `benchmark`.

    Raises
    ------
    ConfigError
        If `confidence` is not between 0.5 and 1.
    DataError
        As `probabilistic_sharpe_ratio` does.

    References
    ----------
    .. [1] Bailey, López de Prado, "The Sharpe ratio efficient frontier", Journal of Risk 15(2), 2012.
    """
    from scipy.special import ndtri

    if not (is_number(confidence) and 0.5 <= confidence < 1):
        raise ConfigError(f"confidence must lie between 0.5 and 1, got {confidence}")
    variance = _sharpe_variance(sharpe, skew, kurtosis)
    _finite(benchmark=benchmark)
    if sharpe <= benchmark:
        return math.inf
    return 1 + variance * float(ndtri(confidence) / (sharpe - benchmark)) ** 2


def min_backtest_length(sharpe_annual: float, n_trials: float) -> float:
    """Return the years below which the best of trials without skill is expected to reach a Sharpe ratio.

    Parameters
    ----------
    sharpe_annual : float
        Annualised.
    n_trials : float
        Independent trials.

    Raises
    ------
    ConfigError
        If `sharpe_annual` is not positive or `n_trials` is below 1.

    References
    ----------
    .. [1] Bailey, Borwein, López de Prado, Zhu, "Pseudo-mathematics and financial charlatanism", Notices of the AMS
       61(5), 2014.
    """
    if not (is_number(sharpe_annual) and sharpe_annual > 0):
        raise ConfigError(f"sharpe_annual must be positive, got {sharpe_annual}")
    return (expected_max_sharpe(n_trials, 1.0) / sharpe_annual) ** 2
