"""The one door through which every public function takes its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError
from gwt_lab.market.bars import FIELDS, Bars
from gwt_lab.market.time import utc_index

__all__ = ["as_bars"]

_LONG = {"timestamp", "symbol", *FIELDS}


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
        - with ``price="close"``, closes alone: a Series or a frame with one column a symbol. The open, high and low of
          such bars equal the close and their volume is NaN.
    timeframe : str, optional
        Recognised from the most frequent step if not given.
    symbol : str, optional
        Name of the symbol of an OHLCV frame; else its `attrs["symbol"]`, else "ASSET".
    price : {"close"}, optional
        Says that `data` holds closes alone.

    Raises
    ------
    DataError
        If the shape is none of these; the message says what came.
    """
    if isinstance(data, Bars):
        return data
    if hasattr(data, "to_pandas") and not isinstance(data, (pd.DataFrame, pd.Series)):
        data = data.to_pandas()
    if isinstance(data, Mapping):
        return _from_mapping(data, timeframe)
    if price == "close":
        return _from_close(data, timeframe)
    if isinstance(data, pd.Series):
        raise DataError("a Series holds one price a bar: pass price='close' to use it as closes, or an OHLCV frame")
    if not isinstance(data, pd.DataFrame):
        raise DataError(f"bars must be Bars, an OHLCV DataFrame or the long frame, got {type(data).__name__}")
    if isinstance(data.columns, pd.MultiIndex):
        return _from_wide(data, timeframe)
    frame = data.rename(columns=lambda name: str(name).strip().lower().replace(" ", "_"))
    if {"symbol", *FIELDS} <= set(frame.columns):
        return Bars.from_frame(_with_timestamp(frame), timeframe or data.attrs.get("timeframe"))
    if set(FIELDS) <= set(frame.columns):
        name = symbol or data.attrs.get("symbol") or "ASSET"
        return Bars.from_frame(_with_timestamp(frame).assign(symbol=name), timeframe or data.attrs.get("timeframe"))
    hint = "; closes alone are taken with price='close'" if "close" in frame.columns or _numeric(data) else ""
    raise DataError(
        "bars need columns open, high, low, close, volume (any case), got "
        f"{', '.join(map(str, data.columns[:8]))}{hint}"
    )


def _numeric(frame: pd.DataFrame) -> bool:
    return bool(len(frame.columns)) and all(pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes)


def _with_timestamp(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with a `timestamp` column, taken from the index or from a column of another usual name."""
    if "timestamp" in frame.columns:
        return frame
    for name in ("datetime", "date", "time", "open_time", "opentime"):
        if name in frame.columns:
            return frame.rename(columns={name: "timestamp"})
    if not isinstance(frame.index, pd.DatetimeIndex):
        raise DataError(
            "an OHLCV frame needs an index of UTC open times or a column 'timestamp', got an index of "
            f"{frame.index.dtype}"
        )
    return frame.assign(timestamp=frame.index)


def _from_mapping(data: Mapping[str, Any], timeframe: str | None) -> Bars:
    parts = []
    for symbol, frame in data.items():
        if not isinstance(frame, pd.DataFrame):
            raise DataError(f"{symbol} must be an OHLCV DataFrame, got {type(frame).__name__}")
        parts.append(as_bars(frame, timeframe=timeframe, symbol=str(symbol)).to_frame())
    if not parts:
        raise DataError("an empty mapping holds no bars")
    return Bars.from_frame(pd.concat(parts, ignore_index=True), timeframe)


def _from_close(data: Any, timeframe: str | None) -> Bars:
    if isinstance(data, pd.Series):
        data = data.to_frame(str(data.name) if data.name is not None else "ASSET")
    if not isinstance(data, pd.DataFrame) or not isinstance(data.index, pd.DatetimeIndex):
        raise DataError("closes must be a Series or DataFrame with an index of UTC open times")
    times = utc_index(data.index)
    parts = [
        pd.DataFrame({"timestamp": times, "symbol": str(name)} | dict.fromkeys(FIELDS[:4], data[name].to_numpy()))
        for name in data.columns
    ]
    long = pd.concat(parts, ignore_index=True).assign(volume=np.nan)
    return Bars.from_frame(long, timeframe)


def _from_wide(data: pd.DataFrame, timeframe: str | None) -> Bars:
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
        frames.setdefault(symbol, {})[name] = data.iloc[:, position]
    return _from_mapping({symbol: pd.DataFrame(columns) for symbol, columns in frames.items()}, timeframe)
