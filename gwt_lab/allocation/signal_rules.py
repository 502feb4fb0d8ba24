"""From forecasts to target weights: ranks, and when to rebalance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError
from gwt_lab.market.time import timeframe_ns

__all__ = ["hold_between", "rank_weights", "rebalance_rows"]


def rebalance_rows(index: pd.DatetimeIndex, timeframe: str, every: int) -> np.ndarray:
    """Return a mask of the bars at which to rebalance: those whose number since 1970 is divisible by `every`.

    Counting from the epoch and not from the first row makes the rows the same wherever the data begins, which a
    strategy that must decide live as it did in the backtest needs.

    Parameters
    ----------
    index : DatetimeIndex of shape (n_times,)
        Open times.
    timeframe : str
        Length of a bar.
    every : int
        Bars between two rebalances, at least 1.

    Raises
    ------
    ConfigError
        If `every` is not a whole number of bars.
    """
    if isinstance(every, bool) or not isinstance(every, (int, np.integer)) or every < 1:
        raise ConfigError(f"rebalance must be a whole number of bars, 1 or more, or None; got {every!r}")
    mask: np.ndarray = (index.asi8 // timeframe_ns(timeframe)) % every == 0
    return mask


def hold_between(weights: pd.DataFrame, timeframe: str, every: int) -> pd.DataFrame:
    """Return the weights with every row off the rebalance grid set to NaN, which means hold."""
    rows = rebalance_rows(weights.index, timeframe, every)[:, None]
    return weights.where(np.broadcast_to(rows, weights.shape))


def rank_weights(forecast: Any, *, long_only: bool = False, share: float = 0.5) -> np.ndarray:
    """Return equal weights for the best forecasts, and their negatives for the worst; absolute weights sum to 1.

    Parameters
    ----------
    forecast : array_like of shape (n_times, n_symbols)
        Higher is better; NaN is not ranked and gets weight 0 in a row where others are ranked.
    long_only : bool
        Leave out the short side.
    share : float
        Part of the ranked symbols on each side, at most one half with shorts; at least one symbol.

    Returns
    -------
    ndarray of shape (n_times, n_symbols)
        NaN (hold) in rows with fewer than two forecasts. Equal forecasts keep the order of the columns.

    Raises
    ------
    ConfigError
        If `share` is out of range.
    """
    if not 0 < share <= (1.0 if long_only else 0.5):
        raise ConfigError(f"share must be above 0 and at most {1.0 if long_only else 0.5}, got {share}")
    scores = np.asarray(forecast, dtype=np.float64)
    weights = np.full(scores.shape, np.nan)
    for row, values in enumerate(scores):
        ranked = np.flatnonzero(np.isfinite(values))
        if len(ranked) < 2:
            continue
        order = ranked[np.argsort(-values[ranked], kind="stable")]
        count = max(int(share * len(order)), 1)
        weights[row] = 0.0
        weights[row, order[:count]] = 1.0 / count if long_only else 0.5 / count
        if not long_only:
            weights[row, order[len(order) - count :]] = -0.5 / count
    return weights
