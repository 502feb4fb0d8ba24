"""Panels to the long frame and back: index (datetime, instrument), ordered by time, then name."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gwt_lab.market.bars import Bars

__all__ = ["empty_frame", "long_frame", "long_index", "traded_rows"]


def long_index(index: pd.DatetimeIndex, symbols: list[str]) -> pd.MultiIndex:
    """Return the index of the long frame: every time with every symbol, names sorted within a time."""
    return pd.MultiIndex.from_product([index, sorted(symbols)], names=["datetime", "instrument"])


def long_frame(values: np.ndarray, names: list[str], bars: Bars) -> pd.DataFrame:
    """Return panels as one long frame of float32.

    Parameters
    ----------
    values : ndarray of shape (n_times, n_symbols, n_features)
        In the bars' own order of symbols.
    names : list of str
        Feature names.
    bars : Bars
        Where the times and symbols come from.
    """
    symbols = bars.symbols
    order = np.array([symbols.index(name) for name in sorted(symbols)])
    table = values if (order == np.arange(len(order))).all() else values[:, order, :]
    table = np.ascontiguousarray(table, dtype=np.float32).reshape(-1, len(names))
    return pd.DataFrame(table, index=long_index(bars.index, symbols), columns=pd.Index(names), copy=False)


def empty_frame(index: pd.DatetimeIndex, symbols: list[str], names: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a long frame of float32 with nothing in it yet, and the array it stands on.

    Returns
    -------
    frame : DataFrame
        Index as `long_index`.
    values : ndarray of shape (n_times, n_symbols, n_features)
        The frame's own memory, symbols sorted by name: what is written here is in the frame.
    """
    values = np.empty((len(index), len(symbols), len(names)), dtype=np.float32)
    table = values.reshape(len(index) * len(symbols), len(names))
    frame = pd.DataFrame(table, index=long_index(index, symbols), columns=pd.Index(names), copy=False)
    return frame, values


def traded_rows(bars: Bars) -> np.ndarray:
    """Return a mask of the rows in which at least one symbol has a bar."""
    return np.asarray(bars.close.notna().any(axis=1).to_numpy())
