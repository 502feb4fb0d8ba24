"""Sharpe ratios are judged as the published examples say."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from gwt_lab.errors import ConfigError, DataError
from gwt_lab.validation.sharpe import (
    deflated_sharpe_ratio,
    expected_max_sharpe,
    min_backtest_length,
    min_track_record_length,
    probabilistic_sharpe_ratio,
)

# Bailey and López de Prado's numerical example: Sharpe ratio 2.5 a year, 5 years of 250 days, variance 1/2 a year
DAILY = 2.5 / math.sqrt(250)
VARIANCE = 0.5 / 250


# ------------------------------------------------------------------------------------------------ known answers
def test_the_best_of_a_hundred() -> None:
    assert expected_max_sharpe(100, 1.0) == pytest.approx(2.5306028932016846, abs=1e-12)
    assert expected_max_sharpe(100, VARIANCE) == pytest.approx(0.11317200186513214, abs=1e-14)


@pytest.mark.parametrize(
    ("n_trials", "skew", "kurtosis", "expected", "digits"),
    [
        (100, -3, 10, 0.90039683444939, 12),
        (46, -3, 10, 0.9505017, 7),
        (88, 0, 3, 0.9504908, 7),
        (100, 0, 3, 0.9427706, 7),
    ],
)
def test_the_published_deflated_sharpe_ratio(
    n_trials: int, skew: float, kurtosis: float, expected: float, digits: int
) -> None:
    found = deflated_sharpe_ratio(DAILY, 1250, n_trials, VARIANCE, skew, kurtosis)
    assert found == pytest.approx(expected, abs=0.6 * 10**-digits)


def test_the_published_probabilistic_sharpe_ratio() -> None:
    monthly = 1.585 / math.sqrt(12)
    assert probabilistic_sharpe_ratio(monthly, 24, -2.448, 10.164) == pytest.approx(0.91323430688486, abs=1e-12)
    assert probabilistic_sharpe_ratio(monthly, 24) == pytest.approx(0.98159123608, abs=1e-11)


@pytest.mark.parametrize(
    ("per_year", "sharpe", "benchmark", "skew", "kurtosis", "years"),
    [
        (250, 2, 1, 0, 3, 2.7311878017282),
        (52, 2, 1, 0, 3, 2.8288335869452),
        (12, 3, 2.5, -0.72, 5.78, 27.352920196040),
    ],
)
def test_the_published_track_record_lengths(
    per_year: int, sharpe: float, benchmark: float, skew: float, kurtosis: float, years: float
) -> None:
    root = math.sqrt(per_year)
    found = min_track_record_length(sharpe / root, benchmark / root, skew, kurtosis)
    assert found / per_year == pytest.approx(years, abs=1e-11)


@pytest.mark.parametrize(
    ("n_trials", "years"), [(7, 1.92314), (10, 2.47936), (45, 4.9980870044434), (100, 6.40395), (1000, 10.59582)]
)
def test_the_published_backtest_lengths(n_trials: int, years: float) -> None:
    assert min_backtest_length(1.0, n_trials) == pytest.approx(years, abs=6e-6)
    assert min_backtest_length(2.0, n_trials) == pytest.approx(years / 4, abs=6e-6)


# ------------------------------------------------------------------------------------------------ what must hold
def test_normal_returns_follow_the_normal_law() -> None:
    """With normal returns the denominator is 1 + SR²/2."""
    z = (0.1 - 0.02) * math.sqrt(499) / math.sqrt(1 + 0.1**2 / 2)
    assert probabilistic_sharpe_ratio(0.1, 500, benchmark=0.02) == pytest.approx(norm.cdf(z), abs=1e-15)
    assert probabilistic_sharpe_ratio(0.02, 500, benchmark=0.02) == 0.5
    assert probabilistic_sharpe_ratio(-0.5, 5000) == pytest.approx(norm.sf(0.5 * math.sqrt(4999 / 1.125)), rel=1e-6)


def test_the_expected_maximum_is_near_what_is_drawn() -> None:
    for n_trials, apart in ((10, 0.04), (100, 0.03), (1000, 0.03)):
        best = np.random.default_rng(n_trials).standard_normal((4000, n_trials)).max(axis=1).mean()
        assert expected_max_sharpe(n_trials, 1.0) == pytest.approx(best, abs=apart)


def test_more_trials_deflate_more_and_one_trial_not_at_all() -> None:
    assert expected_max_sharpe(1, 1.0) == 0.0
    assert deflated_sharpe_ratio(0.1, 500, 1, 4.0) == probabilistic_sharpe_ratio(0.1, 500)
    found = [expected_max_sharpe(n, 1.0) for n in (1, 1.1, 1.5, 2, 3, 10, 1e3, 1e6, 1e18, 1e200)]
    assert found == sorted(found)
    assert found[1] == 0.0  # the formula dips below zero here, a maximum cannot
    assert len(set(found[3:])) == 7
    assert math.isfinite(found[-1])


def test_the_track_record_length_is_where_the_probability_reaches_the_confidence() -> None:
    length = min_track_record_length(0.08, 0.01, -1.0, 6.0, confidence=0.9)
    assert probabilistic_sharpe_ratio(0.08, length, -1.0, 6.0, 0.01) == pytest.approx(0.9, abs=1e-12)
    assert min_track_record_length(0.01, 0.01) == math.inf
    assert min_track_record_length(0.01, 0.02) == math.inf
    assert min_backtest_length(1.0, 1) == 0.0


def test_returns_of_two_values_know_their_sharpe_ratio_exactly() -> None:
    """Kurtosis 1 + skew² means two values (here with p = 0.8); where SR = 2 / skew the estimate has no error."""
    skew, kurtosis = -1.5, 3.25
    sharpe = 2 * skew / (kurtosis - 1)
    assert probabilistic_sharpe_ratio(sharpe, 10, skew, kurtosis) == 0.0
    assert probabilistic_sharpe_ratio(-sharpe, 10, -skew, kurtosis) == 1.0
    assert probabilistic_sharpe_ratio(sharpe, 10, skew, kurtosis, benchmark=sharpe) == 0.5


# ------------------------------------------------------------------------------------------------ mistakes
def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match=r"n_trials must be at least 1, got 0\.5"):
        expected_max_sharpe(0.5, 1.0)
    with pytest.raises(ConfigError, match="n_trials must be at least 1, got nan"):
        deflated_sharpe_ratio(0.1, 100, math.nan, 1.0)
    with pytest.raises(ConfigError, match=r"trial_variance must be a number of at least 0, got -0\.1"):
        deflated_sharpe_ratio(0.1, 100, 10, -0.1)
    with pytest.raises(DataError, match="n_observations must be at least 2, got 1"):
        probabilistic_sharpe_ratio(0.1, 1)
    with pytest.raises(DataError, match="give the raw kurtosis"):
        probabilistic_sharpe_ratio(0.1, 100, 0.0, 0.0)
    with pytest.raises(DataError, match=r"at least 1 \+ skew² = 10, got 9"):
        probabilistic_sharpe_ratio(0.1, 100, -3.0, 9.0)
    with pytest.raises(DataError, match="sharpe must be a finite number, got nan"):
        probabilistic_sharpe_ratio(math.nan, 100)
    with pytest.raises(DataError, match="benchmark must be a finite number"):
        min_track_record_length(0.1, math.nan)
    with pytest.raises(ConfigError, match=r"confidence must lie between 0\.5 and 1, got 95"):
        min_track_record_length(0.1, confidence=95)
    for wrong in ("0.1", None, True, np.array([0.1, 0.2])):
        with pytest.raises(DataError, match="sharpe must be a finite number"):
            probabilistic_sharpe_ratio(wrong, 100)
        with pytest.raises(DataError, match="n_observations must be at least 2"):
            probabilistic_sharpe_ratio(0.1, wrong)
        with pytest.raises(ConfigError, match="n_trials must be at least 1"):
            expected_max_sharpe(wrong, 1.0)
        with pytest.raises(ConfigError, match="trial_variance must be a number"):
            expected_max_sharpe(2, wrong)
        with pytest.raises(ConfigError, match="confidence must lie between"):
            min_track_record_length(0.1, confidence=wrong)
    assert probabilistic_sharpe_ratio(np.float64(0.5), np.int64(10)) == probabilistic_sharpe_ratio(0.5, 10)
    with pytest.raises(ConfigError, match="sharpe_annual must be positive, got 0"):
        min_backtest_length(0.0, 10)
