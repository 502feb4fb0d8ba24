"""The second clock: one bar at a time, and the last bars a strategy may look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError, ShapeError
from gwt_lab.market.bars import PANELS, Bars
from gwt_lab.market.time import timeframe_ns, timestamp

__all__ = ["Bar", "BarState", "iterate_bars"]


@dataclass(frozen=True, eq=False)
class Bar:
    """One closed bar of every symbol.

    Parameters
    ----------
    time_ns : int
        Open time, nanoseconds since 1970.
    values : ndarray of shape (6, n_symbols)
        Open, high, low, close, volume, quote volume; NaN where a symbol has no bar or a field is not known.
    """

    time_ns: int
    values: np.ndarray

    @property
    def time(self) -> pd.Timestamp:
        """Open time, UTC."""
        return timestamp(pd.Timestamp(self.time_ns, unit="ns", tz="UTC"))

    @property
    def open(self) -> np.ndarray:
        """Opening prices, shape (n_symbols,)."""
        prices: np.ndarray = self.values[0]
        return prices

    @property
    def close(self) -> np.ndarray:
        """Closing prices, shape (n_symbols,)."""
        prices: np.ndarray = self.values[3]
        return prices


def _panel(bars: Bars) -> np.ndarray:
    """Return bars as one array of shape (n_times, 6, n_symbols)."""
    missing = np.full(bars.shape, np.nan)
    fields = [getattr(bars, name) for name in PANELS]
    return np.stack([missing if frame is None else frame.to_numpy(dtype=np.float64) for frame in fields], axis=1)


def iterate_bars(bars: Bars) -> Iterator[Bar]:
    """Yield every bar in the order of time, gaps included."""
    panel = _panel(bars)
    for row, moment in enumerate(bars.index.asi8):
        yield Bar(int(moment), panel[row])


@dataclass(frozen=True, eq=False)
class BarState:
    """The last `lookback` bars: all that a strategy knows when it decides on one bar.

    Parameters
    ----------
    timeframe : str
        Length of a bar.
    symbols : tuple of str
        Columns.
    lookback : int
        Bars kept at most.
    has_quote_volume : bool
        Whether the bars carry a quote volume.
    times_ns : ndarray of shape (n_kept,), int64
        Open times.
    values : ndarray of shape (n_kept, 6, n_symbols)
        As in `Bar`.
    """

    timeframe: str
    symbols: tuple[str, ...]
    lookback: int
    has_quote_volume: bool = False
    times_ns: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    values: np.ndarray = field(default_factory=lambda: np.empty((0, len(PANELS), 0)))

    def push(self, bar: Bar) -> BarState:
        """Return the state after one more bar; bars that were skipped become rows of NaN.

        Raises
        ------
        DataError
            If the bar is not later than the last one or not on its grid.
        ShapeError
            If it has another number of symbols.
        """
        n_symbols = len(self.symbols)
        if bar.values.shape != (len(PANELS), n_symbols):
            raise ShapeError(
                f"a bar of {n_symbols} symbols must have shape {(len(PANELS), n_symbols)}, got {bar.values.shape}"
            )
        times, values = self.times_ns, self.values.reshape(len(self.times_ns), len(PANELS), n_symbols)
        new_times, new_values = np.array([bar.time_ns], dtype=np.int64), bar.values[None]
        if len(times):
            skipped = self._skipped(bar)
            # more skipped bars than are kept at all need not be written down; what lies before them is cut off below
            kept = min(skipped, self.lookback - 1)
            gap = bar.time_ns - timeframe_ns(self.timeframe) * np.arange(kept, 0, -1, dtype=np.int64)
            times = np.concatenate([times, gap, new_times])
            values = np.concatenate([values, np.full((kept, *values.shape[1:]), np.nan), new_values])
        else:
            times, values = new_times, new_values
        return replace(self, times_ns=times[-self.lookback :], values=values[-self.lookback :])

    def _skipped(self, bar: Bar) -> int:
        step = timeframe_ns(self.timeframe)
        ahead = bar.time_ns - int(self.times_ns[-1])
        if ahead <= 0 or ahead % step:
            last = pd.Timestamp(int(self.times_ns[-1]), unit="ns", tz="UTC")
            raise DataError(
                f"the next bar of {self.timeframe} must open one or more bars after {last}, got {bar.time}; "
                "a repeated or late bar is not taken"
            )
        return ahead // step - 1

    def bars(self) -> Bars:
        """Return what is kept as `Bars`."""
        if not len(self.times_ns):
            raise DataError("no bar has arrived yet: push one before asking for bars")
        index = pd.DatetimeIndex(self.times_ns, tz="UTC", name="datetime")
        columns = pd.Index(list(self.symbols), name="symbol")
        frames: dict[str, Any] = {
            name: pd.DataFrame(np.ascontiguousarray(self.values[:, place]), index=index, columns=columns)
            for place, name in enumerate(PANELS)
        }
        if not self.has_quote_volume:
            frames["quote_volume"] = None
        return Bars(**frames, timeframe=self.timeframe)
