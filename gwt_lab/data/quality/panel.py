"""`Panel`: what the checks of bars look at, as arrays, with the returns, scales and cross-section they share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.data.quality.rows import Rows
from gwt_lab.errors import DataError
from gwt_lab.market.bars import FIELDS, Bars
from gwt_lab.market.gaps import find_gaps
from gwt_lab.market.time import grid, timeframe_ns

__all__ = ["Panel", "block_median", "panel_of_bars", "panel_of_rows", "row_median"]

# bars a block for local medians: long enough for a median, short enough to follow volatility
_BLOCK = 64
_NORMAL = 1.4826  # median |x| of a standard normal, inverted


@dataclass(frozen=True, eq=False)
class Panel:
    """Bars as arrays, impossible values and all.

    Parameters
    ----------
    index : DatetimeIndex
        Labels of the rows, UTC.
    symbols : list of str
    timeframe : str
    open, high, low, close, volume : ndarray of shape (n_times, n_symbols)
    gaps : DataFrame
        As in `Bars`.
    repeated : ndarray of shape (n_times, n_symbols)
        Bars that were told more than once.
    other_close : ndarray of shape (n_times, n_others)
        Closes of symbols that are compared with but not checked.
    """

    index: pd.DatetimeIndex
    symbols: list[str]
    timeframe: str
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    gaps: pd.DataFrame
    repeated: np.ndarray
    other_close: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def step(self) -> int:
        """Length of a bar in ns."""
        return timeframe_ns(self.timeframe)

    @property
    def n_symbols(self) -> int:
        """Number of symbols that are checked."""
        return len(self.symbols)

    @cached_property
    def prices(self) -> np.ndarray:
        """Open, high, low, close, shape (4, n_times, n_symbols)."""
        return np.stack([self.open, self.high, self.low, self.close])

    @cached_property
    def present(self) -> np.ndarray:
        """Whether a bar has any price, shape (n_times, n_symbols)."""
        present: np.ndarray = ~np.isnan(self.prices).all(axis=0)
        return present

    @cached_property
    def log_close(self) -> np.ndarray:
        """Log of the closes of all symbols, others last; NaN where there is no positive, finite close."""
        close = np.hstack([self.close, self.other_close]) if self.other_close.size else self.close
        good = np.isfinite(close) & (close > 0)
        logs: np.ndarray = np.log(close, out=np.full(close.shape, np.nan), where=good)
        return logs

    @cached_property
    def returns(self) -> np.ndarray:
        """Log return since the last bar that exists, shape (n_times, n_symbols + n_others); NaN where there is none."""
        good = ~np.isnan(self.log_close)
        row = np.where(good, np.arange(len(good))[:, None], 0)
        last = np.maximum.accumulate(row, axis=0)
        before = np.vstack([np.zeros((1, good.shape[1]), dtype=last.dtype), last[:-1]])
        returns: np.ndarray = self.log_close - np.take_along_axis(self.log_close, before, axis=0)
        return returns

    @cached_property
    def market(self) -> np.ndarray:
        """Median return over the symbols, shape (n_times,); 0 where fewer than three have one."""
        median, count = row_median(self.returns)
        return np.where(count >= 3, median, 0.0)

    @cached_property
    def scale(self) -> np.ndarray:
        """Robust local standard deviation of returns, shape (n_times, n_symbols + n_others), never zero."""
        return _widened(np.abs(self.returns)) * _NORMAL

    @cached_property
    def relative_volume(self) -> np.ndarray:
        """Volume over its local median, shape (n_times, n_symbols); NaN where volume is not known."""
        usual = block_median(np.where(self.volume > 0, self.volume, np.nan))
        with np.errstate(divide="ignore", invalid="ignore"):
            relative: np.ndarray = self.volume / usual
            return relative

    def times_ns(self, rows: np.ndarray) -> np.ndarray:
        """Return the open times of some rows in ns."""
        stamps: np.ndarray = self.index.asi8[rows]
        return stamps


def row_median(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the median of each row without its NaN, and how many numbers it is of."""
    ordered = np.sort(values, axis=1)  # NaN go last
    count = (~np.isnan(values)).sum(axis=1)
    row = np.arange(len(values))
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[1] - 1)
    return ordered[row, low] / 2 + ordered[row, high] / 2, count


def block_median(values: np.ndarray) -> np.ndarray:
    """Return the median of each column within blocks of 64 rows, NaN left out, spread over the rows of its block.

    A block with fewer than eight numbers takes the median of its whole column.
    """
    n_rows, n_columns = values.shape
    n_blocks = -(-n_rows // _BLOCK)
    padded = np.full((n_blocks * _BLOCK, n_columns), np.nan)
    padded[:n_rows] = values
    blocks = padded.reshape(n_blocks, _BLOCK, n_columns).transpose(0, 2, 1).reshape(-1, _BLOCK)
    median, count = row_median(blocks)
    whole, _ = row_median(values.T)
    filled = np.where(count.reshape(n_blocks, n_columns) >= 8, median.reshape(n_blocks, n_columns), whole)
    return np.repeat(filled, _BLOCK, axis=0)[:n_rows]


def _widened(sizes: np.ndarray) -> np.ndarray:
    """Return the larger of a block's median and its neighbours', at least a quarter of the whole column's median."""
    local = block_median(sizes)[::_BLOCK]
    wide = np.fmax(local, np.fmax(np.vstack([local[1:], local[-1:]]), np.vstack([local[:1], local[:-1]])))
    whole, _ = row_median(sizes.T)
    floor = np.maximum(np.nan_to_num(whole) / 4, 1e-6)
    return np.repeat(np.fmax(wide, floor), _BLOCK, axis=0)[: len(sizes)]


def panel_of_bars(bars: Bars, others: Bars | None = None) -> Panel:
    """Return the panel of bars."""
    values = {name: getattr(bars, name).to_numpy() for name in FIELDS}
    return Panel(
        index=bars.index,
        symbols=bars.symbols,
        timeframe=bars.timeframe,
        gaps=bars.gaps,
        repeated=np.zeros(bars.shape, dtype=bool),
        other_close=_other_close(bars.index, bars.symbols, bars.timeframe, others),
        **values,
    )


def panel_of_rows(rows: Rows, kept: np.ndarray, repeated: np.ndarray, offset: int, others: Bars | None = None) -> Panel:
    """Return the panel of the rows that have a place on the grid, shifted by `offset` ns; of repeats the last wins."""
    at = np.flatnonzero(kept)
    if not len(at):
        raise DataError(
            f"no row opens a bar of {rows.timeframe}; check the timeframe, or name it: check_bars(..., timeframe=)"
        )
    time, column = rows.time[at] - offset, rows.column[at]
    index = grid(pd.Timestamp(time.min(), tz="UTC"), pd.Timestamp(time.max(), tz="UTC"), rows.timeframe)
    row = (time - index.asi8[0]) // rows.step
    shape = (len(index), len(rows.symbols))
    values: dict[str, Any] = {}
    for position, name in enumerate(FIELDS):
        panel = np.full(shape, np.nan)
        panel[row, column] = rows.values[at, position]
        values[name] = panel
    again = np.zeros(shape, dtype=bool)
    again[row, column] |= repeated[at]
    labels = (index + pd.Timedelta(offset, unit="ns")).rename("datetime") if offset else index
    close = pd.DataFrame(values["close"], index=labels, columns=rows.symbols)
    return Panel(
        index=labels,
        symbols=rows.symbols,
        timeframe=rows.timeframe,
        gaps=find_gaps(close),
        repeated=again,
        other_close=_other_close(labels, rows.symbols, rows.timeframe, others),
        **values,
    )


def _other_close(index: pd.DatetimeIndex, symbols: list[str], timeframe: str, others: Bars | None) -> np.ndarray:
    if others is None:
        return np.empty((0, 0))
    if timeframe_ns(others.timeframe) != timeframe_ns(timeframe):
        raise DataError(f"others must be bars of {timeframe} like the data, got bars of {others.timeframe}")
    names = [name for name in others.symbols if name not in symbols]
    return others.close[names].reindex(index).to_numpy() if names else np.empty((0, 0))
