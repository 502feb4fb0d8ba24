"""Values that became known at times of their own, joined to bars: never before they were known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.data.durations import duration
from gwt_lab.errors import ConfigError, DataError
from gwt_lab.features.panel import empty_frame
from gwt_lab.features.settings import names_of
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.market.instruments import split_symbol, unified_symbol
from gwt_lab.market.time import timeframe_ns, utc_index

__all__ = ["AsOfTable"]


class AsOfTable:
    """A table with the time at which each row became known.

    Parameters
    ----------
    frame : DataFrame
        Columns known_at (UTC), optionally symbol, and numbers. Without a symbol a row holds for every symbol; one of
        ``BTC`` holds for every pair of BTC that has no rows of its own.
    columns : str or sequence of str, optional
        Which numbers; all by default, but for a column `time`.
    max_age : timedelta-like, optional
        A value older than this at the bar's close is NaN, such as ``"2D"``; no limit by default.

    Raises
    ------
    DataError
        If columns are missing or come twice, or two rows of a symbol became known at the same time.
    ConfigError
        If `max_age` is no length of time above 0.

    Examples
    --------
    >>> fear = pd.DataFrame({"known_at": ["2024-01-02", "2024-01-03"], "fear": [65, 70]})
    >>> AsOfTable(fear, max_age="2D").join(bars)  # or AlphaFeatureExtractor(tables=[AsOfTable(fear)])
    """

    def __init__(self, frame: pd.DataFrame, columns: str | Sequence[str] | None = None, *, max_age: Any = None) -> None:
        _refuse_columns(frame)
        stated = [name for name in frame.columns if name not in ("known_at", "symbol", "time")]
        self.columns = [name for name in stated if pd.api.types.is_numeric_dtype(frame[name])]
        if columns is not None:
            columns = names_of(columns)
            missing = [str(name) for name in columns if name not in self.columns]
            if missing:
                raise DataError(f"the table has no numbers {', '.join(missing)}; it has {_words(self.columns)}")
            self.columns = columns
        if not self.columns or not len(frame):
            raise DataError("the table holds no numbers: give it rows and columns of numbers beside known_at")
        self.max_age = None if max_age is None else duration(max_age, "max_age")
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
        """Return the newest row known when each bar had closed.

        Parameters
        ----------
        data : Bars or what `as_bars` takes
            Their grid and symbols.

        Returns
        -------
        DataFrame of shape (n_times * n_symbols, n_columns)
            float32, index (datetime, instrument). NaN before the first row, where the newest is too old, and where it
            holds no finite number.
        """
        bars: Bars = as_bars(data)
        frame, out = empty_frame(bars.index, bars.symbols, self.columns)
        closes = bars.index.asi8 + timeframe_ns(bars.timeframe)
        for place, symbol in enumerate(sorted(bars.symbols)):
            known, values = self._rows_of(symbol)
            newest = np.searchsorted(known, closes, side="right") - 1
            there = newest >= 0
            if self.max_age is not None and len(known):
                there &= closes - known[np.maximum(newest, 0)] <= self.max_age.value
            out[:, place] = np.nan
            if there.any():
                with np.errstate(over="ignore"):
                    out[there, place] = values[newest[there]]
        out[~np.isfinite(out)] = np.nan
        return frame

    def _rows_of(self, symbol: str) -> tuple[np.ndarray, np.ndarray]:
        """Return times and values of a symbol: its own, its coin's, or none."""
        nothing = np.empty(0, np.int64), np.empty((0, 0))
        return next((self._rows[key] for key in (None, symbol, split_symbol(symbol)[0]) if key in self._rows), nothing)

    def __repr__(self) -> str:
        n_rows = sum(len(known) for known, _ in self._rows.values())
        about = "" if None in self._rows else f" of {_words(list(self._rows)[:4])}"
        return f"AsOfTable({n_rows} rows{about}: {_words(self.columns)})"


def _words(names: Sequence[Any]) -> str:
    return ", ".join(map(str, names))


def _refuse_columns(frame: Any) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"an AsOfTable is made of a DataFrame with a column known_at, got {type(frame).__name__}")
    if "known_at" not in frame.columns:
        raise DataError(f"the table needs a column known_at, when each row became known; got {list(frame.columns)}")
    if not frame.columns.is_unique:
        twice = sorted(set(map(str, frame.columns[frame.columns.duplicated()])))
        raise DataError(f"the table has column {', '.join(twice)} more than once; rename or drop one of each")
