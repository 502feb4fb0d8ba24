"""Rows of indicators: one row per symbol and window, causal, with a memory that ends.

Every kernel takes one symbol's bars, NaN where there is no bar, and writes a row of the same length; a window that
holds a missing bar is NaN. Running sums are kept in twice the precision and deviations are summed window by window, so
that a row does not depend on where the data begins.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gwt_lab.backtest.sweep.rows import RowKind
from gwt_lab.kernels import kernel

if TYPE_CHECKING:
    from gwt_lab.backtest.sweep.families_base import SweepMarket

__all__ = [
    "CLOSE",
    "DEVIATION",
    "EXPONENTIAL",
    "GROWTH",
    "HIGHEST_BEFORE",
    "LOWEST_BEFORE",
    "MACD_SIGNAL",
    "MEAN",
    "ONE",
    "STRENGTH",
    "VOLATILITY",
]


# ------------------------------------------------------------------------------------------------ kernels
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
    rows : ndarray of shape (n_windows, n_times or more)
        Written up to `n_times`; C-contiguous, for rows of a slice would be slow.
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


@kernel
def deviation_row(values: np.ndarray, means: np.ndarray, window: int, lost: int, row: np.ndarray) -> None:
    """Write the standard deviation of the last `window` values around `means`; `lost` degrees of freedom are off."""
    n = len(values) - window + 1
    row[: window - 1] = math.nan
    if n <= 0:
        return
    out, middle = row[window - 1 :], means[window - 1 :]
    out[:n] = 0.0
    for lag in range(window):
        part = values[lag : lag + n]
        for i in range(n):
            gap = part[i] - middle[i]
            out[i] += gap * gap
    for i in range(n):
        out[i] = math.sqrt(out[i] / (window - lost))


@kernel
def exponential_row(values: np.ndarray, window: int, share: float, row: np.ndarray) -> None:
    """Write an average that begins as the mean of the first `window` values and moves by `share` to each one after.

    A missing value begins it anew.
    """
    count, average = 0, 0.0
    for i in range(len(values)):
        value = values[i]
        if value != value:
            count, average = 0, 0.0
        elif count < window:
            count += 1
            average += value / window
        else:
            average += share * (value - average)
        row[i] = average if count == window else math.nan


@kernel
def strength_row(close: np.ndarray, window: int, row: np.ndarray) -> None:
    """Write Wilder's relative strength index; NaN where its averages are not yet full."""
    count, gains, losses = 0, 0.0, 0.0
    for i in range(len(close)):
        change = close[i] - close[i - 1] if i > 0 else math.nan
        if change != change:
            count, gains, losses = 0, 0.0, 0.0
        else:
            gain, loss = max(change, 0.0), max(-change, 0.0)
            if count < window:
                count += 1
                gains += gain / window
                losses += loss / window
            else:
                gains += (gain - gains) / window
                losses += (loss - losses) / window
        both = gains + losses
        row[i] = math.nan if count < window else (100.0 * gains / both if both > 0.0 else 50.0)


@kernel
def extreme_before_row(values: np.ndarray, window: int, sign: float, missing: np.ndarray, row: np.ndarray) -> None:
    """Write the highest (`sign` 1) or lowest (-1) of the `window` values before each bar."""
    n = len(values) - window
    row[: min(window, len(values))] = math.nan
    if n <= 0:
        return
    out = row[window : window + n]
    out[:] = values[:n]
    for lag in range(1, window):
        part = values[lag : lag + n]
        for i in range(n):
            out[i] = part[i] if sign * part[i] > sign * out[i] else out[i]
    for i in missing:
        row[i + 1 : i + 1 + window] = math.nan


# ------------------------------------------------------------------------------------------------ rows
def _whole(keys: np.ndarray, column: int = 0) -> np.ndarray:
    return keys[:, column].astype(np.int64)


def _missing(values: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isnan(values))


def _write_close(market: SweepMarket, symbol: int, keys: np.ndarray, rows: np.ndarray) -> None:
    rows[0, : market.close.shape[1]] = market.close[symbol]


def _write_one(market: SweepMarket, symbol: int, keys: np.ndarray, rows: np.ndarray) -> None:
    rows[0] = 1.0


def _write_means(market: SweepMarket, symbol: int, keys: np.ndarray, rows: np.ndarray) -> None:
    close = market.close[symbol]
    mean_rows(exact_sums(close), _missing(close), _whole(keys), rows)


def _write_deviations(market: SweepMarket, symbol: int, keys: np.ndarray, rows: np.ndarray) -> None:
    close = market.close[symbol]
    means = np.empty(rows.shape)
    _write_means(market, symbol, keys, means)
    for window, mean, row in zip(_whole(keys), means, rows, strict=True):
        deviation_row(close, mean, window, 0, row[: len(close)])


def _write_volatilities(market: SweepMarket, symbol: int, keys: np.ndarray, rows: np.ndarray) -> None:
    close = market.close[symbol]
    returns = np.full(len(close), np.nan)
    returns[1:] = close[1:] / close[:-1] - 1.0
    windows, means = _whole(keys), np.empty(rows.shape)
    mean_rows(exact_sums(returns), _missing(returns), windows, means)
    for window, mean, row in zip(windows, means, rows, strict=True):
        deviation_row(returns, mean, window, 1, row[: len(close)])
    rows *= np.sqrt(market.bars_per_year)


def _write_exponentials(market: SweepMarket, symbol: int, keys: np.ndarray, rows: np.ndarray) -> None:
    close = market.close[symbol]
    for window, row in zip(_whole(keys), rows, strict=True):
        exponential_row(close, window, 2.0 / (window + 1), row[: len(close)])


def _write_macd_signals(market: SweepMarket, symbol: int, keys: np.ndarray, rows: np.ndarray) -> None:
    close = market.close[symbol]
    ends = np.unique(keys[:, :2])
    averages = np.empty((len(ends), len(close)))
    _write_exponentials(market, symbol, ends[:, None], averages)
    of = dict(zip(ends.tolist(), averages, strict=True))
    for (fast, slow, signal), row in zip(keys.tolist(), rows, strict=True):
        exponential_row(of[fast] - of[slow], int(signal), 2.0 / (signal + 1), row[: len(close)])
        row[: len(close)] += of[slow]


def _write_strengths(market: SweepMarket, symbol: int, keys: np.ndarray, rows: np.ndarray) -> None:
    close = market.close[symbol]
    for window, row in zip(_whole(keys), rows, strict=True):
        strength_row(close, window, row[: len(close)])


def _write_highest(market: SweepMarket, symbol: int, keys: np.ndarray, rows: np.ndarray) -> None:
    values = market.high[symbol]
    for window, row in zip(_whole(keys), rows, strict=True):
        extreme_before_row(values, window, 1.0, _missing(values), row[: len(values)])


def _write_lowest(market: SweepMarket, symbol: int, keys: np.ndarray, rows: np.ndarray) -> None:
    values = market.low[symbol]
    for window, row in zip(_whole(keys), rows, strict=True):
        extreme_before_row(values, window, -1.0, _missing(values), row[: len(values)])


def _write_growth(market: SweepMarket, symbol: int, keys: np.ndarray, rows: np.ndarray) -> None:
    close = market.close[symbol]
    for window, row in zip(_whole(keys), rows, strict=True):
        row[:window] = np.nan
        row[window : len(close)] = close[window:] / close[: max(len(close) - window, 0)]


CLOSE = RowKind("close", _write_close)
ONE = RowKind("one", _write_one)
MEAN = RowKind("mean", _write_means)  # of closes
DEVIATION = RowKind("deviation", _write_deviations)  # of closes, ddof=0
VOLATILITY = RowKind("volatility", _write_volatilities)  # of returns, ddof=1, a year
EXPONENTIAL = RowKind("exponential", _write_exponentials)  # average of closes
MACD_SIGNAL = RowKind("macd signal", _write_macd_signals)  # of (fast, slow, signal): slow average plus signal line
STRENGTH = RowKind("strength", _write_strengths)
HIGHEST_BEFORE = RowKind("highest before", _write_highest)
LOWEST_BEFORE = RowKind("lowest before", _write_lowest)
GROWTH = RowKind("growth", _write_growth)  # close over the close `window` bars before
