"""What a model is asked: what a symbol earns over the next bars that can be traded, alone or beside the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.features.panel import long_index
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.market.time import timeframe_ns
from gwt_lab.models.settings import whole_number

__all__ = [
    "LABEL_DELAY",
    "direction",
    "forward_return",
    "label_known_ns",
    "relative_direction",
    "relative_return",
]

# Decided at the close of t, bought at the open of t+1: the one-bar delay. The label is known `horizon` bars later.
LABEL_DELAY = 1


def forward_return(bars: Any, horizon: int = 1) -> pd.Series:
    """Return what each symbol earns from the next open on: ``open[t+1+horizon] / open[t+1] - 1``.

    Parameters
    ----------
    bars : Bars or what `as_bars` takes
    horizon : int, default 1
        Bars between the two opens.

    Returns
    -------
    Series of shape (n_times * n_symbols,)
        float64, index (datetime, instrument). NaN where the symbol has no bar at t or lacks an open.

    Raises
    ------
    ConfigError
        If `horizon` is no whole number of at least 1.
    """
    bars = as_bars(bars)
    return _long(_earned(bars, horizon), bars)


def direction(bars: Any, horizon: int = 1) -> pd.Series:
    """Return 1 where :func:`forward_return` is above zero, 0 where below, NaN where it is NaN or exactly zero."""
    return _sign(forward_return(bars, horizon))


def label_known_ns(times_ns: np.ndarray, timeframe: str, horizon: int) -> np.ndarray:
    """Return when the labels of rows are known: the open time of bar ``t + 1 + horizon``, in ns since 1970."""
    return np.asarray(times_ns + (LABEL_DELAY + horizon) * timeframe_ns(timeframe))


def relative_return(bars: Any, horizon: int = 1) -> pd.Series:
    """Return what each symbol earns beyond the mean of all, from the next open on; known only afterwards.

    Row t holds ``open[t+1+horizon] / open[t+1] - 1`` less its mean over the symbols that have both opens: a decision
    at the close of bar t is filled at the open of t+1.

    Parameters
    ----------
    bars : Bars or what `as_bars` takes
    horizon : int, default 1
        Bars between the two opens. The label of row t is known at the open of bar ``t + 1 + horizon``, so a splitter
        needs ``purged_size >= 1 + horizon``.

    Returns
    -------
    Series of shape (n_times * n_symbols,)
        float64, index (datetime, instrument). NaN where the symbol has no bar at t or lacks an open, and in rows where
        fewer than two symbols have both.

    Raises
    ------
    ConfigError
        If `horizon` is no whole number of at least 1.
    """
    bars = as_bars(bars)
    earned = _earned(bars, horizon)
    earned = earned.where(earned.notna().sum(axis=1) > 1)
    return _long(earned.sub(earned.mean(axis=1), axis=0), bars)


def relative_direction(bars: Any, horizon: int = 1) -> pd.Series:
    """Return 1 where :func:`relative_return` is above zero, 0 where below, NaN where it is NaN or exactly zero."""
    return _sign(relative_return(bars, horizon))


def _earned(bars: Bars, horizon: int) -> pd.DataFrame:
    horizon = whole_number("horizon", horizon, 1)
    entry, leave = bars.open.shift(-LABEL_DELAY), bars.open.shift(-LABEL_DELAY - horizon)
    return (leave / entry - 1).where(bars.close.notna())


def _sign(earned: pd.Series) -> pd.Series:
    rises = np.where(earned > 0, 1.0, np.where(earned < 0, 0.0, np.nan))
    return pd.Series(rises, index=earned.index, name="label")


def _long(panel: pd.DataFrame, bars: Bars) -> pd.Series:
    values = panel[sorted(bars.symbols)].to_numpy().reshape(-1)
    return pd.Series(values, index=long_index(bars.index, bars.symbols), name="label")
