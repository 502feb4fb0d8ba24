"""JSON, Feather and Parquet as one kind of table."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from gwt_lab.data.importers.columns import HEADERLESS
from gwt_lab.errors import DataError, ImportRefused

__all__ = ["read_feather", "read_json", "read_parquet"]

# keys under which venues' answers carry their rows
_WRAPPERS = ("data", "result", "list", "candles", "klines", "ohlcv")


def read_parquet(data: bytes, label: str) -> pd.DataFrame:
    """Return a Parquet table; a named or time index becomes columns."""
    try:
        return _flat(pq.read_table(pa.BufferReader(data)).to_pandas())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DataError(f"{label} is a damaged Parquet file ({_first_line(error)}); fetch it again") from None


def read_feather(data: bytes, label: str) -> pd.DataFrame:
    """Return a Feather table."""
    try:
        return _flat(pyarrow.feather.read_table(pa.BufferReader(data)).to_pandas())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DataError(f"{label} is a damaged Feather file ({_first_line(error)}); fetch it again") from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:120]


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    wide = isinstance(frame.columns, pd.MultiIndex)
    if wide or isinstance(frame.index, pd.RangeIndex):
        return frame
    if isinstance(frame.index, pd.DatetimeIndex) and frame.index.name is None:
        frame = frame.rename_axis("timestamp")
    names = [name for name in frame.index.names if name is not None and name not in frame.columns]
    return frame.reset_index(names) if names else frame.reset_index(drop=True)


def read_json(data: bytes, label: str) -> pd.DataFrame:
    """Return the rows of ccxt's lists, freqtrade's JSON, venues' answers, records, or a frame written by pandas.

    Raises
    ------
    DataError
        If the text is no JSON (cut off, for instance) or holds no rows.
    ImportRefused
        If its lists have a width whose columns are unknown.
    """
    text = data.removeprefix(b"\xef\xbb\xbf")
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        content = _json_lines(text)
        if content is None:
            raise DataError(f"{label} is damaged JSON ({error}); it may be cut off: fetch it again") from None
    return _numbers(_rows(content, label))


def _json_lines(text: bytes) -> list[Any] | None:
    """Return one record a line, or None if the text is not that."""
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None


def _rows(content: Any, label: str) -> pd.DataFrame:
    if isinstance(content, dict):
        return _from_object(content, label)
    if not isinstance(content, list) or not content:
        raise DataError(f"{label} holds no rows; a list with an entry a bar was wanted")
    if all(isinstance(row, dict) for row in content):
        return pd.DataFrame.from_records(content)
    widths = {len(row) if isinstance(row, list) else 0 for row in content}
    if len(widths) != 1 or not widths <= set(HEADERLESS):
        raise ImportRefused(
            f"{label} holds lists of {', '.join(map(str, sorted(widths)))} values; without names they must have 6 "
            "(time, open, high, low, close, volume), 7 or 12 (Binance klines), all alike"
        )
    return pd.DataFrame(content, columns=list(HEADERLESS[widths.pop()]))


def _from_object(content: dict[str, Any], label: str) -> pd.DataFrame:
    for key in _WRAPPERS:
        if isinstance(content.get(key), (list, dict)) and "columns" not in content:
            return _rows(content[key], label)
    if "columns" in content and "data" in content:
        return pd.DataFrame(content["data"], columns=content["columns"])
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    if lists and all(value and isinstance(value[0], (list, dict)) for value in lists.values()):
        return pd.concat([_rows(rows, label).assign(symbol=key) for key, rows in lists.items()], ignore_index=True)
    if lists or any(isinstance(value, dict) for value in content.values()):
        try:
            return pd.DataFrame(content)
        except ValueError as error:
            raise DataError(f"{label} holds columns that do not match ({error})") from None
    raise DataError(f"{label} holds no rows, only {', '.join(list(content)[:5]) or 'nothing'}")


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Return columns of numbers written as texts as numbers, as venues' answers have them."""
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name].dtype):
            try:
                frame[name] = pd.to_numeric(frame[name])
            except (ValueError, TypeError):
                continue
    return frame
