"""How good forecasts are, and how sure that is: one function for every model, fold and ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["CALIBRATION_BINS", "score_forecasts"]

CALIBRATION_BINS = 10
_FEWEST_IN_CROSS_SECTION = 3
_LEAST = 1e-15


def score_forecasts(
    forecast: np.ndarray,
    earned: np.ndarray,
    index: pd.MultiIndex,
    *,
    probabilities: bool,
    horizon: int = 1,
) -> dict[str, Any]:
    """Return the scores of forecasts; plain numbers, ready for JSON.

    Parameters
    ----------
    forecast : ndarray of shape (n,)
        Probabilities that `earned` is above zero, or expected values of it.
    earned : ndarray of shape (n,)
        What came: returns, own or beyond the others'. Rows with NaN or exactly zero have no direction; those with NaN
        are left out altogether.
    index : MultiIndex
        (datetime, instrument), ordered by time.
    probabilities : bool
    horizon : int
        Bars of the label: the errors of that many neighbouring times are not independent.

    Returns
    -------
    dict
        n_rows, n_times; accuracy with its 95 % interval (errors clustered by time, Bartlett weights over twice
        `horizon` times, a quantile that knows how few such stretches there are) and base_rate, the share of the more
        frequent direction: what a constant answer would get; ic and rank_ic, the mean over times of the correlation
        across symbols where at least 3 have one, else the correlation over time, averaged over symbols; auc; for
        probabilities log_loss, brier, calibration_error (mean absolute distance of forecast and frequency over ten
        bins of equal number) and the bins. A score that is not defined is None.
    """
    kept = np.isfinite(earned) & np.isfinite(forecast)
    forecast, earned, index = forecast[kept], earned[kept], index[kept]
    times = index.get_level_values(0).asi8
    signed = earned != 0
    happened = earned[signed] > 0
    chosen = forecast[signed]
    middle = 0.5 if probabilities else 0.0
    right = np.where(chosen == middle, 0.5, (chosen > middle) == happened)
    scores: dict[str, Any] = {"n_rows": len(forecast), "n_times": len(np.unique(times))}
    scores |= _accuracy(right, times[signed], horizon)
    share = happened.mean() if len(happened) else np.nan
    scores["base_rate"] = _plain(max(share, 1 - share))
    scores["ic"], scores["rank_ic"] = _information(forecast, earned, index)
    scores["auc"] = _auc(chosen, happened)
    if probabilities:
        scores |= _probability_scores(chosen, happened)
    return scores


def _plain(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _accuracy(right: np.ndarray, times: np.ndarray, horizon: int) -> dict[str, float | None]:
    if not len(right):
        return dict.fromkeys(("accuracy", "accuracy_low", "accuracy_high"))
    _, date = np.unique(times, return_inverse=True)
    rate = right.mean()
    # what each time adds to the sum of errors: rows of a time are one observation
    excess = np.bincount(date, weights=right - rate)
    variance, width = float(excess @ excess), 2 * horizon
    for lag in range(1, min(width, len(excess))):
        variance += 2 * (1 - lag / width) * float(excess[lag:] @ excess[:-lag])
    half = _quantile(min(width / len(excess), 1.0)) * np.sqrt(max(variance, 0.0)) / len(right)
    return {
        "accuracy": _plain(rate),
        "accuracy_low": _plain(max(rate - half, 0.0)),
        "accuracy_high": _plain(min(rate + half, 1.0)),
    }


def _quantile(share: float) -> float:
    """Return the 97.5 % quantile of a mean over its error, for Bartlett weights over that share of the times.

    Few blocks of times say little about their own scatter: the normal quantile would be too small. Kiefer and
    Vogelsang, "A new asymptotic theory for heteroskedasticity-autocorrelation robust tests", 2005, table 1.
    """
    return 1.9600 + 2.9694 * share + 0.4160 * share**2 - 0.5324 * share**3


def _information(forecast: np.ndarray, earned: np.ndarray, index: pd.MultiIndex) -> tuple[float | None, float | None]:
    if len(forecast) < _FEWEST_IN_CROSS_SECTION:
        return None, None
    times, symbols = index.codes[0], index.codes[1]
    sizes = np.bincount(times)
    wide = sizes[times] >= _FEWEST_IN_CROSS_SECTION
    if wide.any():
        forecast, earned, group = forecast[wide], earned[wide], times[wide]
    else:
        group = symbols
    ranks = pd.DataFrame({"f": forecast, "e": earned}).groupby(group).rank()
    return _mean_correlation(forecast, earned, group), _mean_correlation(ranks["f"], ranks["e"], group)


def _mean_correlation(first: Any, second: Any, group: np.ndarray) -> float | None:
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    size = np.bincount(group)
    with np.errstate(divide="ignore", invalid="ignore"):
        a = first - (np.bincount(group, first) / size)[group]
        b = second - (np.bincount(group, second) / size)[group]
        correlation = np.bincount(group, a * b) / np.sqrt(np.bincount(group, a * a) * np.bincount(group, b * b))
    # a mean is rounded: values that are all equal may lie off it, and yet have no correlation
    known = correlation[np.isfinite(correlation) & _varied(first, group) & _varied(second, group)]
    return float(known.mean()) if len(known) else None


def _varied(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return which groups hold two values that differ."""
    one = np.empty(group.max() + 1)
    one[group] = values
    varied: np.ndarray = np.bincount(group, values != one[group]) > 0
    return varied


def _auc(forecast: np.ndarray, happened: np.ndarray) -> float | None:
    n_rises = int(happened.sum())
    n_falls = len(happened) - n_rises
    if not n_rises or not n_falls:
        return None
    ranks = pd.Series(forecast).rank().to_numpy()
    return float((ranks[happened].sum() - n_rises * (n_rises + 1) / 2) / (n_rises * n_falls))


def _probability_scores(probability: np.ndarray, happened: np.ndarray) -> dict[str, Any]:
    if not len(probability):
        return {"log_loss": None, "brier": None, "calibration_error": None, "calibration": []}
    sure = np.clip(np.where(happened, probability, 1 - probability), _LEAST, 1)
    order = np.argsort(probability, kind="stable")
    bins = [
        {"forecast": float(probability[part].mean()), "share": float(happened[part].mean()), "n": len(part)}
        for part in np.array_split(order, min(CALIBRATION_BINS, len(order)))
    ]
    error = sum(bin_["n"] * abs(bin_["forecast"] - bin_["share"]) for bin_ in bins) / len(probability)
    return {
        "log_loss": float(-np.log(sure).mean()),
        "brier": float(((probability - happened) ** 2).mean()),
        "calibration_error": float(error),
        "calibration": bins,
    }
