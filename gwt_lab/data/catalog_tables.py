"""Tables beside the bars (gaps, instruments, funding, ...): keyed rows in hashed partitions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from gwt_lab.data import catalog_files as files
from gwt_lab.errors import DataError
from gwt_lab.market.instruments import Instrument

__all__ = ["RULE_KEY", "arrow_table", "newest_rules", "read_tables", "stage_rows"]

RULE_KEY = ["symbol", "venue", "valid_from"]


def read_tables(home: Path, kind: str) -> pd.DataFrame:
    """Return a table's rows in the order of writing; of rows with one key the newest. No table is an empty frame."""
    parts, key = [], []
    for part in files.list_partitions(home / kind):
        file, meta = files.open_partition(files.partition_bytes(part, home))
        parts.append(file.read().to_pandas())
        key = meta["key"]
    if not parts:
        return pd.DataFrame()
    rows = pd.concat(parts, ignore_index=True)
    return rows.drop_duplicates(key, keep="last").reset_index(drop=True)


def stage_rows(home: Path, kind: str, frame: pd.DataFrame, key: list[str], revise: bool) -> list[files.Staged]:
    """Stage the rows that are not stored yet.

    Raises
    ------
    DataError
        If the key is missing or repeated, or a stored row has other values and `revise` is false.
    """
    missing = [name for name in key if name not in frame.columns]
    if missing or not key:
        raise DataError(f"table {kind!r} needs its key columns {', '.join(missing) or 'named'}, got {list(frame)}")
    repeated = frame.duplicated(key)
    if repeated.any():
        row = frame.loc[repeated, key].iloc[0].to_dict()
        raise DataError(f"table {kind!r} has {int(repeated.sum())} rows twice by {key}, the first is {row}; drop them")
    stored = read_tables(home, kind)
    fresh = frame.reset_index(drop=True)
    if len(stored):
        fresh = _fresh(kind, stored, fresh, key, revise)
    if not len(fresh):
        return []
    number = len(files.list_partitions(home / kind)) + len(list((home / files.DAMAGED / kind).glob("*.parquet")))
    table = arrow_table(fresh)
    return [files.stage(home / kind, f"{number:06d}", table, {"key": key, "kind": kind})]


def newest_rules(table: pd.DataFrame) -> dict[str, Instrument]:
    """Return each symbol's trading rules that are valid from the latest time; a table may have no rows."""
    if table.empty:
        return {}
    newest_last = table.sort_values("valid_from", kind="stable").to_dict("records")
    return {row["symbol"]: Instrument.from_dict(row) for row in newest_last}


def arrow_table(frame: pd.DataFrame) -> pa.Table:
    """Return a frame as an Arrow table; pyarrow itself takes times in a zone by an attribute that pandas deprecates."""
    columns = {}
    for name in frame.columns:
        column = frame[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            kind = pa.timestamp(column.dt.unit, tz="UTC")
            columns[name] = pa.array(column.dt.tz_convert(None).to_numpy(), kind, from_pandas=True)
        else:
            columns[name] = pa.array(column, from_pandas=True)
    return pa.table(columns)


def _fresh(kind: str, stored: pd.DataFrame, frame: pd.DataFrame, key: list[str], revise: bool) -> pd.DataFrame:
    if set(stored.columns) != set(frame.columns):
        raise DataError(f"table {kind!r} has columns {sorted(stored.columns)}, got {sorted(frame.columns)}")
    both = frame.merge(stored, on=key, how="left", suffixes=("", "|stored"), indicator="|from")
    known = (both["|from"] == "both").to_numpy()
    differs = pd.Series(False, index=both.index)
    for name in (column for column in frame.columns if column not in key):
        new, old = both[name], both[f"{name}|stored"]
        differs |= known & ~((new == old) | (new.isna() & old.isna()))
    if differs.any() and not revise:
        row = both[differs].iloc[0]
        name = next(n for n in frame.columns if n not in key and not (row[n] == row[f"{n}|stored"]))
        where = ", ".join(f"{part} {row[part]}" for part in key)
        raise DataError(
            f"table {kind!r} holds {where} with {name} {row[f'{name}|stored']}, the new row says "
            f"{row[name]} ({int(differs.sum()) - 1} more rows differ); nothing was written. If the new rows are "
            "right, write them with revise=True"
        )
    return frame[(~known) | differs.to_numpy()].reset_index(drop=True)
