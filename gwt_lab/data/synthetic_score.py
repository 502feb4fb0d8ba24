"""How good a forecast of the next bar's relative return is, and how good the best one can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gwt_lab.errors import ShapeError

__all__ = ["Score", "expected_score", "relative_returns", "score_forecast"]


@dataclass(frozen=True)
class Score:
    """Quality of a forecast of relative returns.

    Parameters
    ----------
    accuracy : float
        Share of forecasts with the right sign; a forecast of exactly zero counts one half.
    ic : float
        Mean over bars of the cross-section's Pearson correlation between forecast and outcome.
    rank_ic : float
        The same with ranks (Spearman).
    accuracy_error, ic_error, rank_ic_error : float
        Standard errors over bars. The cross-section of one bar counts once: its assets are not independent.
    n_bars : int
        Bars with at least two forecasts and outcomes.
    """

    accuracy: float
    ic: float
    rank_ic: float
    accuracy_error: float
    ic_error: float
    rank_ic_error: float
    n_bars: int


def relative_returns(close: pd.DataFrame) -> pd.DataFrame:
    """Return the next bar's log return minus its mean over the symbols that have one.

    Parameters
    ----------
    close : DataFrame of shape (n_times, n_symbols)

    Returns
    -------
    DataFrame of shape (n_times, n_symbols)
        Row t is the return from the close of bar t to the close of bar t+1, **known only after t+1 has closed**; the
        last row is NaN, and so is a symbol without one of the two closes.
    """
    log = np.log(close.to_numpy())
    outcome = np.full(log.shape, np.nan)
    outcome[:-1] = demean(log[1:] - log[:-1])
    return pd.DataFrame(outcome, index=close.index, columns=close.columns, copy=False)


def demean(values: np.ndarray) -> np.ndarray:
    """Return each row minus its mean over the numbers in it; a row with fewer than two numbers becomes NaN."""
    there = np.isfinite(values)
    count = there.sum(axis=1, keepdims=True)
    total = np.where(there, values, 0.0).sum(axis=1, keepdims=True)
    centred = values - np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 1)
    return np.asarray(np.where(there, centred, np.nan))


def score_forecast(forecast: pd.DataFrame, outcome: pd.DataFrame) -> Score:
    """Score forecasts of the next bar's relative return.

    Parameters
    ----------
    forecast : DataFrame of shape (n_times, n_symbols)
        Row t holds what was expected at t. NaN where there is no forecast.
    outcome : DataFrame of shape (n_times, n_symbols)
        What came, as from :func:`relative_returns`.

    Raises
    ------
    ShapeError
        If index or columns differ.
    """
    given, came = _arrays(forecast, outcome)
    return _summary(_agreement(given, came), _correlation(given, came), _correlation(_ranks(given), _ranks(came)))


def expected_score(forecast: pd.DataFrame, outcome: pd.DataFrame) -> Score:
    """Return the score that the true conditional expectation must have on average.

    Notes
    -----
    Given the past, the next bar's noise `z = outcome - forecast` is symmetric about zero: `-z` was as likely as `z`.
    The mean over both signs is therefore the score's expectation given the sizes of the noise. It holds for any tails
    and any volatility, where `1/2 + arcsin(ic)/pi` needs Gaussian returns, and it is exactly 1/2 and 0 for a forecast
    of zero. What is realised differs from it by the signs alone.
    """
    given, came = _arrays(forecast, outcome)
    centre = demean(np.where(np.isfinite(came), given, np.nan))
    other = 2.0 * centre - came
    parts = [
        (_agreement(given, value), _correlation(given, value), _correlation(_ranks(given), _ranks(value)))
        for value in (came, other)
    ]
    mean = [(first + second) / 2 for first, second in zip(*parts, strict=True)]
    return _summary(*mean)


def _arrays(forecast: pd.DataFrame, outcome: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return both as arrays with NaN wherever either is missing; bars with fewer than two symbols are left out."""
    if not forecast.index.equals(outcome.index) or not forecast.columns.equals(outcome.columns):
        raise ShapeError(
            f"forecast must have the index and columns of outcome, shape {outcome.shape}, got {forecast.shape}: "
            f"reindex it like the bars"
        )
    given, came = forecast.to_numpy(dtype=np.float64), outcome.to_numpy(dtype=np.float64)
    both = np.isfinite(given) & np.isfinite(came)
    rows = both.sum(axis=1) > 1
    return np.where(both, given, np.nan)[rows], np.where(both, came, np.nan)[rows]


def _agreement(given: np.ndarray, came: np.ndarray) -> np.ndarray:
    """Return the share of equal signs in each bar, a zero counting one half; shape (n_bars,)."""
    return np.asarray(np.nanmean(0.5 + 0.5 * np.sign(given) * np.sign(came), axis=1))


def _correlation(given: np.ndarray, came: np.ndarray) -> np.ndarray:
    """Return each bar's Pearson correlation, 0 where one side does not vary; shape (n_bars,)."""
    left, right = np.nan_to_num(demean(given)), np.nan_to_num(demean(came))
    scale = np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    return np.asarray(np.divide((left * right).sum(axis=1), scale, out=np.zeros(len(scale)), where=scale > 0))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return each row's ranks from 0, NaN where missing; all alike where the row does not vary."""
    ranks = np.argsort(np.argsort(values, axis=1, kind="stable"), axis=1, kind="stable").astype(np.float64)
    flat = np.nanmax(values, axis=1, keepdims=True) == np.nanmin(values, axis=1, keepdims=True)
    return np.asarray(np.where(np.isnan(values), np.nan, np.where(flat, 0.0, ranks)))


def _summary(agreement: np.ndarray, pearson: np.ndarray, spearman: np.ndarray) -> Score:
    values = []
    for part in (agreement, pearson, spearman):
        error = part.std(ddof=1) / np.sqrt(len(part)) if len(part) > 1 else np.nan
        values.append((float(part.mean()) if len(part) else np.nan, float(error)))
    (accuracy, accuracy_error), (ic, ic_error), (rank_ic, rank_ic_error) = values
    return Score(accuracy, ic, rank_ic, accuracy_error, ic_error, rank_ic_error, len(agreement))
