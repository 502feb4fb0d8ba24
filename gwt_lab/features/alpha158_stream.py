"""Alpha158 one bar at a time: the next row, bit for bit as the whole history gives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError, ShapeError
from gwt_lab.features.alpha158_columns import N_COLUMNS, next_rows
from gwt_lab.features.panel import traded_rows
from gwt_lab.features.windows import new_state
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import FIELDS
from gwt_lab.market.instruments import unified_symbol
from gwt_lab.market.time import on_grid, timeframe_ns, timestamp

__all__ = ["Alpha158Stream"]

# More counted rows than any column looks back: older ones change nothing.
_ENOUGH = 128
# arrays, since NumPy takes longer over a Python number than over the arithmetic of one bar
_QUARTER, _ZERO = np.array(0.25), np.array(0.0)
_FLOAT64 = np.dtype(np.float64)


class Alpha158Stream:
    """Alpha158 of the default kind (`alpha158(bars)`) for bars that arrive one after another.

    Parameters
    ----------
    symbols : str or sequence of str
        Rows of what `update` returns, in this order.
    timeframe : str, default "1h"
        Size of the bars.

    Raises
    ------
    DataError
        If there is no symbol, or one comes twice.

    Notes
    -----
    The state is about 0.12 MiB a symbol and never grows. A row is the same, bit for bit, as the last row of
    ``alpha158`` over all bars that were given. After a restart, `from_bars` with at least the last 128 rows in which
    something traded goes on as if nothing had happened.
    """

    def __init__(self, symbols: str | Sequence[str], timeframe: str = "1h") -> None:
        self.symbols = [unified_symbol(name) for name in ([symbols] if isinstance(symbols, str) else symbols)]
        if not self.symbols or len(set(self.symbols)) < len(self.symbols):
            raise DataError(f"a stream needs at least one symbol, each once, got {list(symbols)[:8]}")
        self.timeframe = timeframe
        self._step_ns = timeframe_ns(timeframe)
        self._state = new_state(len(self.symbols))
        self._bars = np.empty((6, len(self.symbols)))
        self._shape = (len(self.symbols),)
        self._counted = 0
        self._last_ns: int | None = None

    @classmethod
    def from_bars(cls, bars: Any) -> Alpha158Stream:
        """Return a stream that has seen `bars`; the next update is the bar after them.

        Parameters
        ----------
        bars : Bars or what `as_bars` takes
            Only the end counts: the rows that the longest window can reach.
        """
        bars = as_bars(bars)
        stream = cls(bars.symbols, bars.timeframe)
        traded = traded_rows(bars)
        recent = np.flatnonzero(traded)[-_ENOUGH:]
        first = int(recent[0]) if len(recent) else bars.n_times
        panels = {name: getattr(bars, name).to_numpy() for name in FIELDS}
        quote = None if bars.quote_volume is None else bars.quote_volume.to_numpy()
        times = bars.index.asi8
        for t in range(first, bars.n_times):
            row = [panels[name][t] for name in FIELDS]
            stream._move(int(times[t]), row, None if quote is None else quote[t])
        stream._last_ns = int(times[-1]) if len(times) else None
        return stream

    @property
    def last_time(self) -> pd.Timestamp | None:
        """Open time of the latest bar, None before the first."""
        return None if self._last_ns is None else pd.Timestamp(self._last_ns, tz="UTC")

    def update(
        self, timestamp: Any, open: Any, high: Any, low: Any, close: Any, volume: Any, quote_volume: Any = None
    ) -> np.ndarray:
        """Take the next bar of every symbol and return its features.

        Parameters
        ----------
        timestamp : Timestamp or what pandas reads as one
            Open time of the bar, later than the last. Bars left out in between count as rows in which nothing traded.
        open, high, low, close, volume : array-like of shape (n_symbols,)
            NaN for a symbol without a bar; a number where there is one symbol. A Series that names symbols is read by
            them, all else in the stream's order.
        quote_volume : array-like of shape (n_symbols,), optional
            Traded value in quote currency.

        Returns
        -------
        ndarray of shape (n_symbols, 158)
            float32; a row is NaN where the symbol has no bar.

        Raises
        ------
        DataError
            If the time is not later than the last, or opens no bar of the timeframe; the state stays as it was.
        ShapeError
            If an array has another length than there are symbols.
        """
        time_ns = self._checked_time(timestamp)
        row = [
            self._checked(values, name) for name, values in zip(FIELDS, (open, high, low, close, volume), strict=True)
        ]
        quote = None if quote_volume is None else self._checked(quote_volume, "quote_volume")
        return self._move(time_ns, row, quote)

    def _move(self, time_ns: int, row: list[np.ndarray], quote: np.ndarray | None) -> np.ndarray:
        self._last_ns = time_ns
        out = np.empty((len(self.symbols), N_COLUMNS), dtype=np.float32)
        greatest = np.fmax.reduce(row[3])
        if greatest != greatest:
            # no close but NaN: nothing traded, and no window counts the row
            out[:] = np.nan
            return out
        for place, values in enumerate(row):
            self._bars[place] = values
        self._fill_vwap(row, quote)
        next_rows(self._state, self._counted, time_ns // self._step_ns, self._bars, out)
        self._counted += 1
        return out

    def _fill_vwap(self, row: list[np.ndarray], quote: np.ndarray | None) -> None:
        """Fill the last row of the bars as `bar_vwap` does, in their own memory: most of an update was spent on it."""
        open_, high, low, close, volume = row
        vwap = self._bars[5]
        np.add(open_, high, out=vwap)
        np.add(vwap, low, out=vwap)
        np.add(vwap, close, out=vwap)
        np.multiply(vwap, _QUARTER, out=vwap)
        if quote is not None:
            np.divide(quote, volume, out=vwap, where=np.minimum(quote, volume) > _ZERO)

    def _checked_time(self, time: Any) -> int:
        if type(time) is pd.Timestamp and time.tzinfo is not None and time.unit == "ns":
            time_ns = int(time.value)
        else:
            time_ns = int(timestamp(time).value)
        if not self._opens_a_bar(time_ns):
            raise DataError(
                f"{timestamp(time)} opens no bar of {self.timeframe}: give the bar's open time, and its timeframe"
            )
        if self._last_ns is not None and time_ns <= self._last_ns:
            raise DataError(
                f"the stream has seen the bar of {self.last_time}, got one of {timestamp(time)}: give each bar once, "
                "in order; begin a new stream (Alpha158Stream.from_bars) to replace bars"
            )
        return time_ns

    def _opens_a_bar(self, time_ns: int) -> bool:
        if self._last_ns is not None:
            return (time_ns - self._last_ns) % self._step_ns == 0
        return bool(on_grid(np.array([time_ns]), self.timeframe).all())

    def _checked(self, values: Any, name: str) -> np.ndarray:
        if type(values) is np.ndarray and values.dtype is _FLOAT64 and values.shape == self._shape:
            return values
        if isinstance(values, pd.Series) and pd.api.types.is_string_dtype(values.index.dtype):
            values = self._by_name(values, name)
        try:
            numbers = np.atleast_1d(np.asarray(values, dtype=np.float64))
        except (TypeError, ValueError):
            raise DataError(f"{name} must hold numbers, one a symbol, got {values!r:.80}") from None
        if numbers.shape != (len(self.symbols),):
            raise ShapeError(
                f"{name} must have shape ({len(self.symbols)},), one number a symbol of the stream, got {numbers.shape}"
            )
        return numbers

    def _by_name(self, values: pd.Series, name: str) -> pd.Series:
        if len(values) != len(self.symbols) or set(values.index) != set(self.symbols):
            raise ShapeError(
                f"{name} must name each symbol of the stream once, {', '.join(self.symbols[:8])}; got "
                f"{', '.join(map(str, values.index[:8]))}"
            )
        return values[self.symbols]

    def __repr__(self) -> str:
        return f"Alpha158Stream({len(self.symbols)} symbols, bars of {self.timeframe}, last {self.last_time})"
