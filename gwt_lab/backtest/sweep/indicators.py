"""Rows of indicators: one row per symbol and window, causal, with a memory that ends.

Every function takes one symbol's bars, NaN where there is no bar, and writes a row of the same length; a window that
holds a missing bar is NaN. Where sums run, they run in twice the precision, so that a window's sum does not depend on
where the data begins.
"""

from __future__ import annotations

import math

from typing import TYPE_CHECKING

import numpy as np

from gwt_lab.backtest.sweep.rows import RowKind
from gwt_lab.kernels import kernel

if TYPE_CHECKING:
    from gwt_lab.backtest.sweep.families import SweepMarket

__all__ = ["MEAN", "exact_sums", "mean_rows"]


@kernel
def exact_sums(values: np.ndarray) -> np.ndarray:
    """Return running sums of a row, missing values as zero, shape (2, n_times + 1): the sums and their lost digits."""
    n = len(values)
    sums = np.zeros((2, n + 1))
    for i in range(n):
        term = values[i] if values[i] == values[i] else 0.0
        high = sums[0, i]
        total = high + term
        part = total - high
        sums[0, i + 1] = total
        sums[1, i + 1] = sums[1, i] + ((high - (total - part)) + (term - part))
    return sums


@kernel
def forget(row: np.ndarray, window: int, missing: np.ndarray) -> None:
    """Set a row to NaN before the first full window and wherever a window holds one of the `missing` bars."""
    row[: window - 1] = math.nan
    for i in missing:
        row[i : i + window] = math.nan


@kernel
def mean_rows(sums: np.ndarray, missing: np.ndarray, windows: np.ndarray, rows: np.ndarray) -> None:
    """Write simple moving averages.

    Parameters
    ----------
    sums : ndarray of shape (2, n_times + 1)
        `exact_sums` of the values.
    missing : ndarray of int64
        Bars without a value.
    windows : ndarray of shape (n_windows,), int64
        Bars of each average.
    rows : ndarray of shape (n_windows, n_times)
        Written.
    """
    high, low = sums[0], sums[1]
    for k in range(len(windows)):
        window = windows[k]
        n, share = len(high) - window, 1.0 / window
        if n > 0:
            first_high, last_high, first_low, last_low = high[:n], high[window:], low[:n], low[window:]
            out = rows[k, window - 1 :]
            for i in range(n):
                out[i] = ((last_high[i] - first_high[i]) + (last_low[i] - first_low[i])) * share
        forget(rows[k], window, missing)


def _write_means(market: SweepMarket, symbol: int, keys: np.ndarray, rows: np.ndarray) -> None:
    close = market.close[symbol]
    missing = np.flatnonzero(np.isnan(close))
    mean_rows(exact_sums(close), missing, keys[:, 0].astype(np.int64), rows[:, : len(close)])


MEAN = RowKind("mean", _write_means)
