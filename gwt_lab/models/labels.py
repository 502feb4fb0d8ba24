"""What a model is asked: which symbols will beat the others over the next bar that can be traded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError
from gwt_lab.features.panel import long_index
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars

__all__ = ["LABEL_DELAY", "relative_direction", "relative_return"]

# Decided at the close of t, bought at the open of t+1: the one-bar delay. The label is known `horizon` bars later.
LABEL_DELAY = 1


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
        If `horizon` is below 1.
    """
    if horizon < 1:
        raise ConfigError(f"horizon must be at least 1 bar, got {horizon}")
    bars = as_bars(bars)
    entry, leave = bars.open.shift(-LABEL_DELAY), bars.open.shift(-LABEL_DELAY - horizon)
    earned = (leave / entry - 1).where(bars.close.notna())
    earned = earned.where(earned.notna().sum(axis=1) > 1)
    return _long(earned.sub(earned.mean(axis=1), axis=0), bars)


def relative_direction(bars: Any, horizon: int = 1) -> pd.Series:
    """Return 1 where :func:`relative_return` is above zero, 0 where below, NaN where it is NaN or exactly zero."""
    earned = relative_return(bars, horizon)
    direction = np.where(earned > 0, 1.0, np.where(earned < 0, 0.0, np.nan))
    return pd.Series(direction, index=earned.index, name="label")


def _long(panel: pd.DataFrame, bars: Bars) -> pd.Series:
    values = panel[sorted(bars.symbols)].to_numpy().reshape(-1)
    return pd.Series(values, index=long_index(bars.index, bars.symbols), name="label")
