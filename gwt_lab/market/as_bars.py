"""The one door through which every public function takes its data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError
from gwt_lab.market.bars import FIELDS, Bars
from gwt_lab.market.time import timeframe_ns

__all__ = ["as_bars", "long_frame"]

_TIME_NAMES = ("timestamp", "datetime", "date", "time", "open_time", "opentime")
_SYMBOL_NAMES = ("symbol", "instrument")
# names of a Series that say what it holds, not whose prices they are
_PRICE_NAMES = ("close", "price", "adj close", "adj_close", "0")


def as_bars(data: Any, *, timeframe: str | None = None, symbol: str | None = None, price: str | None = None) -> Bars:
    """Return `data` as :class:`Bars`.

    Parameters
    ----------
    data : Bars, DataFrame, Series, mapping or polars DataFrame
        - `Bars`: returned as they are;
        - the long frame: columns timestamp, open, high, low, close, volume, symbol;
        - an OHLCV frame of one symbol: index of UTC open times (or a `timestamp` column), lower- or upper-case columns;
        - a wide frame: columns (field, symbol) or (symbol, field);
        - a mapping from symbol to OHLCV frame;
        - with ``price="close"``, closes alone: a Series, a frame with one column a symbol, or a mapping to Series. The
          open, high and low of such bars equal the close and their volume is NaN.
    timeframe : str, optional
        Recognised from the most frequent step if not given.
    symbol : str, optional
        Name of the symbol of an OHLCV frame or Series; else its `attrs["symbol"]`, else "ASSET".
    price : {"close"}, optional
        Says that `data` holds closes alone.

    Raises
    ------
    DataError
        If the shape is none of these; the message says what came.
    """
    if isinstance(data, Bars):
        if timeframe is not None and timeframe_ns(timeframe) != timeframe_ns(data.timeframe):
            raise DataError(f"bars of {timeframe} were wanted, got bars of {data.timeframe}; resample them first")
        return data
    return Bars.from_frame(long_frame(data, symbol=symbol, price=price), timeframe)


def long_frame(data: Any, *, symbol: str | None = None, price: str | None = None) -> pd.DataFrame:
    """Return what :func:`as_bars` takes as the long frame, with its values and times as they came.

    Nothing is parsed, ordered or refused but the shape: what a quality check reads.

    Raises
    ------
    DataError
        If the shape is none that `as_bars` takes.
    """
    if price not in (None, "close"):
        raise DataError(f"price must be 'close' (data holds closes alone) or left away, got {price!r}")
    if isinstance(data, Bars):
        return data.to_frame()
    data = _pandas(data)
    if isinstance(data, Mapping):
        return _from_mapping(data, price)
    if price == "close":
        return _from_close(data, symbol)
    if isinstance(data, pd.Series):
        raise DataError("a Series holds one price a bar: pass price='close' to use it as closes, or an OHLCV frame")
    if not isinstance(data, pd.DataFrame):
        told = "; load_bars(...) reads a catalog name or a path" if isinstance(data, (str, os.PathLike)) else ""
        raise DataError(f"bars must be Bars, an OHLCV DataFrame or the long frame, got {type(data).__name__}{told}")
    if isinstance(data.columns, pd.MultiIndex):
        return _from_wide(data)
    return _from_ohlcv(data, symbol)


def _pandas(data: Any) -> Any:
    return data.to_pandas() if hasattr(data, "to_pandas") and not isinstance(data, pd.DataFrame | pd.Series) else data


def _from_ohlcv(data: pd.DataFrame, symbol: str | None) -> pd.DataFrame:
    frame = data.rename(columns=lambda name: str(name).strip().lower().replace(" ", "_"))
    if isinstance(frame.index, pd.MultiIndex):
        frame = _levels_to_columns(frame)
    if not frame.columns.is_unique:
        twice = sorted(set(frame.columns[frame.columns.duplicated()]))
        raise DataError(f"column {', '.join(twice)} comes more than once (case apart); drop or rename one of each")
    if not set(FIELDS) <= set(frame.columns):
        hint = "; closes alone are taken with price='close'" if "close" in frame.columns or _numeric(data) else ""
        raise DataError(
            "bars need columns open, high, low, close, volume (any case), got "
            f"{', '.join(map(str, data.columns[:8])) or 'none'}{hint}"
        )
    frame = _with_timestamp(frame)
    if "symbol" not in frame.columns:
        frame["symbol"] = symbol or data.attrs.get("symbol") or "ASSET"
    return frame


def _levels_to_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame indexed by (time, symbol), qlib's form, with both as columns."""
    names = [str(name).lower() for name in frame.index.names]
    if not (set(names) & set(_TIME_NAMES) and set(names) & set(_SYMBOL_NAMES)):
        raise DataError(f"an index of two levels must be named timestamp and symbol, got {names}; reset_index it")
    renamed = ["symbol" if name in _SYMBOL_NAMES else "timestamp" for name in names]
    return frame.set_axis(frame.index.set_names(renamed)).reset_index()


def _numeric(frame: pd.DataFrame) -> bool:
    return bool(len(frame.columns)) and all(pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes)


def _with_timestamp(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a new frame with a `timestamp` column, taken from a column of a usual name or from the index."""
    for name in _TIME_NAMES:
        if name in frame.columns:
            return frame.rename(columns={name: "timestamp"}).reset_index(drop=True)
    if not isinstance(frame.index, pd.DatetimeIndex):
        raise DataError(
            "an OHLCV frame needs an index of UTC open times or a column 'timestamp', got an index of "
            f"{frame.index.dtype}; convert it with pd.to_datetime(frame.index, utc=True)"
        )
    return frame.assign(timestamp=frame.index).reset_index(drop=True)


def _from_mapping(data: Mapping[str, Any], price: str | None) -> pd.DataFrame:
    parts = []
    for symbol, value in data.items():
        frame = _pandas(value)
        if not isinstance(frame, pd.DataFrame | pd.Series):
            raise DataError(f"{symbol} must be an OHLCV DataFrame, got {type(value).__name__}")
        try:
            parts.append(long_frame(frame, symbol=str(symbol), price=price))
        except DataError as error:
            raise DataError(f"{symbol}: {error}") from None
    if not parts:
        raise DataError("an empty mapping holds no bars; give it one OHLCV frame a symbol")
    return pd.concat(parts, ignore_index=True)


def _from_close(data: Any, symbol: str | None) -> pd.DataFrame:
    if isinstance(data, pd.Series):
        name = None if str(data.name).lower() in (*_PRICE_NAMES, "none") else str(data.name)
        data = data.to_frame(symbol or data.attrs.get("symbol") or name or "ASSET")
    if not isinstance(data, pd.DataFrame) or isinstance(data.columns, pd.MultiIndex):
        raise DataError("closes must be a Series, or a DataFrame with one column a symbol")
    if not isinstance(data.index, pd.DatetimeIndex):
        named = [name for name in data.columns if str(name).lower() in _TIME_NAMES]
        if not named:
            raise DataError(f"closes need an index of UTC open times, got an index of {data.index.dtype}")
        data = data.set_index(named[0])
    if not _numeric(data):
        raise DataError(f"closes must be numbers, one column a symbol, got columns {list(data.columns[:8])}")
    names = [str(name) for name in data.columns]
    if len(names) == 1 and names[0].lower() in _PRICE_NAMES:
        names = [symbol or data.attrs.get("symbol") or "ASSET"]
    parts = [
        pd.DataFrame({"timestamp": data.index, "symbol": name} | dict.fromkeys(FIELDS[:4], data.iloc[:, at].to_numpy()))
        for at, name in enumerate(names)
    ]
    return pd.concat(parts, ignore_index=True).assign(volume=np.nan)


def _from_wide(data: pd.DataFrame) -> pd.DataFrame:
    level = next(
        (n for n in range(2) if set(FIELDS) <= {str(v).lower() for v in data.columns.get_level_values(n)}), None
    )
    if level is None or data.columns.nlevels != 2:
        raise DataError(
            "a wide frame needs two column levels, one of them open, high, low, close, volume; got "
            f"{list(data.columns[:4])}"
        )
    fields = [str(value).lower() for value in data.columns.get_level_values(level)]
    symbols = [str(value) for value in data.columns.get_level_values(1 - level)]
    frames: dict[str, dict[str, Any]] = {}
    for position, (name, symbol) in enumerate(zip(fields, symbols, strict=True)):
        if name in frames.setdefault(symbol, {}):
            raise DataError(f"column ({name}, {symbol}) comes more than once (case apart); drop one")
        frames[symbol][name] = data.iloc[:, position]
    return _from_mapping({symbol: pd.DataFrame(columns) for symbol, columns in frames.items()}, None)
