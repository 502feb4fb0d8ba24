"""Rows as they came: times, symbols and numbers are read as far as they can be, nothing is refused."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError
from gwt_lab.market.bars import FIELDS
from gwt_lab.market.instruments import unified_symbol
from gwt_lab.market.time import epoch_units, recognised_timeframe, timeframe_ns

__all__ = ["NAT", "UNITS", "Rows", "read_rows"]

NAT = np.iinfo(np.int64).min
UNITS = ("s", "ms", "µs", "ns", "text")
_TEXT = 4
_NS_PER = np.array([10**9, 10**6, 10**3, 1], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a long frame.

    Parameters
    ----------
    frame : DataFrame
        The long frame as it came.
    symbols : list of str
        Unified, in order of appearance.
    column : ndarray of shape (n_rows,)
        Position in `symbols`; -1 where there is none.
    time : ndarray of shape (n_rows,)
        ns since 1970; `NAT` where it cannot be read or lies years away from all others.
    unit : ndarray of shape (n_rows,)
        Position in `UNITS`; -1 for datetimes and unreadable times.
    values : ndarray of shape (n_rows, 5)
        open, high, low, close, volume; NaN where there is no number.
    text : ndarray of shape (n_rows,)
        Whether a cell holds something that is no number.
    far : ndarray of shape (n_rows,)
        Times that were taken away because they lie years away from all others, else `NAT`.
    timeframe : str
    """

    frame: pd.DataFrame
    symbols: list[str]
    column: np.ndarray
    time: np.ndarray
    unit: np.ndarray
    values: np.ndarray
    text: np.ndarray
    far: np.ndarray
    timeframe: str

    @property
    def step(self) -> int:
        """Length of a bar in ns."""
        return timeframe_ns(self.timeframe)

    @cached_property
    def usable(self) -> np.ndarray:
        """Mask of the rows with a time and a symbol."""
        usable: np.ndarray = (self.time != NAT) & (self.column >= 0)
        return usable

    @cached_property
    def repeated(self) -> np.ndarray:
        """Mask of the rows that tell a bar which an earlier row has told."""
        repeated = np.zeros(len(self.time), dtype=bool)
        at = np.flatnonzero(self.usable)
        same = np.diff(self.column[at]) == 0
        rising = (np.diff(self.time[at]) > 0) | ~same
        if rising.all() and len(same) - same.sum() == len(np.unique(self.column[at])) - 1:
            return repeated  # one block a symbol, its times rising
        order = at[np.lexsort((self.time[at], self.column[at]))]  # stable: equal bars keep their order
        again = (np.diff(self.time[order]) == 0) & (np.diff(self.column[order]) == 0)
        repeated[order[1:][again]] = True
        return repeated


def read_rows(frame: pd.DataFrame, timeframe: str | None = None) -> Rows:
    """Read a long frame as far as it can be read.

    Raises
    ------
    DataError
        If columns are missing or repeated, no row has a readable time and symbol, or no timeframe can be recognised.
    """
    missing = [name for name in ("timestamp", *FIELDS, "symbol") if name not in frame.columns]
    if missing or not frame.columns.is_unique:
        raise DataError(
            "a check needs the columns timestamp, open, high, low, close, volume, symbol, each once; "
            f"got {', '.join(map(str, frame.columns))}"
        )
    if frame.empty:
        raise DataError("the frame has no rows; a check needs at least one")
    time, unit = _read_times(frame["timestamp"])
    symbols, column = _read_symbols(frame["symbol"])
    usable = (time != NAT) & (column >= 0)
    if not usable.any():
        raise DataError(f"none of {len(frame)} rows has a readable time and symbol; check the columns")
    distinct = np.unique(time[usable])
    step = timeframe or recognised_timeframe(pd.DatetimeIndex(distinct, tz="UTC"), frame.attrs.get("timeframe"))
    far = _far_times(time, distinct, timeframe_ns(step))
    numbers = [_read_numbers(frame[name]) for name in FIELDS]
    return Rows(
        frame=frame,
        symbols=symbols,
        column=column,
        time=np.where(far, NAT, time),
        unit=unit,
        values=np.column_stack([values for values, _ in numbers]),
        text=np.logical_or.reduce([text for _, text in numbers]),
        far=np.where(far, time, NAT),
        timeframe=step,
    )


def _read_times(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    unit = np.full(len(column), -1, dtype=np.int8)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return _from_numbers(column)
    if not pd.api.types.is_datetime64_any_dtype(column):
        # text and objects: what is written as a number counts from 1970, all else is a date
        digits = pd.to_numeric(column.where(~column.map(lambda value: isinstance(value, bool))), errors="coerce")
        # fewer than nine digits are a date such as 20210101
        digits = digits.where(digits.abs() >= 1e8)
        time, unit = _from_numbers(digits)
        dates = _from_dates(pd.to_datetime(column.where(digits.isna()), errors="coerce", utc=True, format="ISO8601"))
        unit = np.where((dates != NAT) & (unit < 0), _TEXT, unit).astype(np.int8)
        return np.where(dates != NAT, dates, time), unit
    return _from_dates(column), unit


def _from_dates(column: pd.Series) -> np.ndarray:
    index = pd.DatetimeIndex(column)
    index = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    reach = [pd.Timestamp(year, tz="UTC") for year in ("1678-01-01", "2262-01-01")]
    inside = (index >= reach[0]) & (index <= reach[1])
    return np.where(inside, index.where(inside).as_unit("ns").asi8, NAT)


def _from_numbers(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    absent = column.isna().to_numpy()
    numbers = column.fillna(0).to_numpy()
    unit = np.where(absent, -1, epoch_units(numbers)).astype(np.int8)
    time = np.full(len(column), NAT)
    for position, ns_per in enumerate(_NS_PER):
        rows = unit == position
        if np.issubdtype(numbers.dtype, np.integer):
            time[rows] = numbers[rows].astype(np.int64) * ns_per
        else:  # milliseconds are as fine as a clock of bars gets
            per_ms = max(10**6 // int(ns_per), 1)
            milliseconds = np.round(numbers[rows] / per_ms) if ns_per <= 10**6 else np.round(numbers[rows] * 1e3)
            time[rows] = milliseconds.astype(np.int64) * 10**6
    return time, unit


def _read_symbols(column: pd.Series) -> tuple[list[str], np.ndarray]:
    codes, raw = pd.factorize(column, sort=False)
    names: list[str] = []
    for value in raw:
        try:
            names.append(unified_symbol(value))
        except DataError:
            names.append("")
    symbols = list(dict.fromkeys(name for name in names if name))
    position = {name: at for at, name in enumerate(symbols)}
    lookup = np.array([position.get(name, -1) for name in names] + [-1], dtype=np.int64)
    return symbols, lookup[codes]


def _read_numbers(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan), np.zeros(len(column), dtype=bool)
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers, np.isnan(numbers) & column.notna().to_numpy()


def _far_times(time: np.ndarray, readable: np.ndarray, step: int) -> np.ndarray:
    """Return the rows outside of the largest cluster of times, where one grid could not hold them all."""
    length = (int(readable[-1]) - int(readable[0])) // step + 1
    if length <= 50 * max(len(time), 1000):
        return np.zeros(len(time), dtype=bool)
    # as many bars as there are rows may be missing in one piece before it is another cluster
    cluster = np.r_[0, np.cumsum(np.diff(readable) > step * max(len(time), 1000))]
    largest = readable[cluster == np.argmax(np.bincount(cluster))]
    outside: np.ndarray = (time != NAT) & ((time < largest[0]) | (time > largest[-1]))
    return outside
