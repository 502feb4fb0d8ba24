"""Values that became known at times of their own, joined to bars: never before they were known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, DataError
from gwt_lab.features.panel import empty_frame
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.market.instruments import unified_symbol
from gwt_lab.market.time import timeframe_ns, utc_index

__all__ = ["AsOfTable"]


class AsOfTable:
    """A table with the time at which each row became known.

    Parameters
    ----------
    frame : DataFrame
        Columns known_at (UTC), optionally symbol, and numbers. Without a symbol a row holds for every symbol.
    columns : sequence of str, optional
        Which numbers; all by default.
    max_age : timedelta-like, optional
        A value older than this at the bar's close is NaN; no limit by default.

    Raises
    ------
    DataError
        If columns are missing, or two rows of a symbol became known at the same time.
    """

    def __init__(self, frame: pd.DataFrame, columns: Sequence[str] | None = None, *, max_age: Any = None) -> None:
        if "known_at" not in frame.columns:
            raise DataError(f"the table needs a column known_at, when each row became known; got {list(frame.columns)}")
        stated = [name for name in frame.columns if name not in ("known_at", "symbol", "time")]
        self.columns = [name for name in stated if pd.api.types.is_numeric_dtype(frame[name])]
        if columns is not None:
            missing = [name for name in columns if name not in self.columns]
            if missing:
                raise DataError(f"the table has no numbers {', '.join(missing)}; it has {', '.join(self.columns)}")
            self.columns = list(columns)
        if not self.columns or not len(frame):
            raise DataError("the table holds no numbers: give it rows and columns of numbers beside known_at")
        self.max_age = None if max_age is None else pd.Timedelta(max_age)
        if self.max_age is not None and self.max_age <= pd.Timedelta(0):
            raise ConfigError(f"max_age must be positive, got {self.max_age}")
        known = utc_index(frame["known_at"], name="known_at").asi8
        symbols = frame["symbol"].map(unified_symbol).to_numpy() if "symbol" in frame.columns else None
        values = frame[self.columns].to_numpy(dtype=np.float64)
        self._rows: dict[str | None, tuple[np.ndarray, np.ndarray]] = {}
        for symbol in [None] if symbols is None else sorted(set(symbols)):
            chosen = np.arange(len(frame)) if symbol is None else np.flatnonzero(symbols == symbol)
            order = chosen[np.argsort(known[chosen], kind="stable")]
            if (np.diff(known[order]) == 0).any():
                raise DataError(
                    f"two rows of {symbol or 'the table'} became known at the same time "
                    f"({pd.Timestamp(known[order][np.diff(known[order], prepend=-1) == 0][0], tz='UTC')}): keep one"
                )
            self._rows[symbol] = (known[order], values[order])

    def join(self, data: Any) -> pd.DataFrame:
        """Return the newest values known when each bar had closed.

        Returns
        -------
        DataFrame of shape (n_times * n_symbols, n_columns)
            float32, index (datetime, instrument). NaN before the first row, and where the newest is too old.
        """
        bars: Bars = as_bars(data)
        frame, out = empty_frame(bars.index, bars.symbols, self.columns)
        closes = bars.index.asi8 + timeframe_ns(bars.timeframe)
        for place, symbol in enumerate(sorted(bars.symbols)):
            known, values = self._rows.get(None) or self._rows.get(symbol) or (np.empty(0, np.int64), np.empty((0, 0)))
            newest = np.searchsorted(known, closes, side="right") - 1
            there = newest >= 0
            if self.max_age is not None and len(known):
                there &= closes - known[np.maximum(newest, 0)] <= self.max_age.value
            out[:, place] = np.nan
            if there.any():
                out[there, place] = values[newest[there]]
        return frame

    def __repr__(self) -> str:
        n_rows = sum(len(known) for known, _ in self._rows.values())
        return f"AsOfTable({n_rows} rows, {', '.join(self.columns)})"
