"""Parquet files of unknown make: which hold bars, whose, of what timeframe; the rest skipped with the reason."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gwt_lab.data.importers.columns import plain_name
from gwt_lab.data.importers.names import parse_symbol, parse_timeframe
from gwt_lab.data.importers.times import open_labels
from gwt_lab.data.panels import Panel, Panels
from gwt_lab.errors import DataError, GwtLabError
from gwt_lab.market.bars import FIELDS, PANELS
from gwt_lab.market.time import on_grid, timeframe_of, utc_index

__all__ = ["read_rows", "search"]

_NEEDED = ("timestamp", *FIELDS, "symbol")
_EXCHANGES, _TIMEFRAMES = ("exchange", "venue"), ("timeframe", "freq", "interval")
_KEY = ["exchange", "timeframe", "symbol"]


def search(folder: Path) -> Panels:
    """Return the panels below a folder; see `find_panels`."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; a folder with Parquet files of bars was wanted")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".parquet", ".pq") and path.is_file())
    skipped: dict[str, str] = {}
    found: list[Panel] = []
    for path in files:
        name = path.relative_to(folder).as_posix()
        try:
            found += _panels(folder, name, skipped)
        except GwtLabError as error:
            skipped[name] = str(error)
    found = _joined(_without_copies(found, skipped), skipped)
    if not found:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:5])
        raise DataError(
            f"no bars below {folder}: {len(files)} Parquet files, none with columns {', '.join(_NEEDED)} that can be "
            f"used{f' ({why})' if why else ''}"
        )
    return Panels(sorted(found, key=lambda panel: (panel.path, panel.exchange, panel.timeframe)), skipped)


# ------------------------------------------------------------------------------------------------ one file
def _columns(path: Path) -> dict[str, str]:
    """Return the columns that matter, from the schema alone: part to name in the file."""
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, ValueError) as error:
        raise DataError(f"damaged or no Parquet ({str(error).splitlines()[0][:100]})") from None
    named = {plain_name(name): name for name in reversed(schema.names)}
    missing = [name for name in _NEEDED if name not in named]
    if missing:
        raise DataError(f"no bars: column {', '.join(missing)} missing")
    found = {name: named[name] for name in (*_NEEDED, "quote_volume") if name in named}
    for part, names in (("exchange", _EXCHANGES), ("timeframe", _TIMEFRAMES)):
        first = next((name for name in names if name in named), None)
        if first is not None:
            found[part] = named[first]
    return found


def read_rows(path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return a file's usable bars, and which symbols were left out and why.

    Returns
    -------
    rows : DataFrame
        timestamp (`datetime64[ns, UTC]`, open times), open, high, low, close, volume[, quote_volume], exchange,
        timeframe, symbol; each bar once.
    left_out : dict
        Exchange, timeframe and symbol to the reason.
    """
    parts, left_out = [], {}
    for (exchange, said, symbol), own in _raw_rows(path).groupby(_KEY, observed=True, sort=True):
        try:
            parts.append(_one_symbol(own, str(said)).assign(exchange=str(exchange), symbol=str(symbol)))
        except DataError as error:
            left_out[" ".join(filter(None, (str(exchange), str(said), str(symbol))))] = str(error)
    if not parts:
        raise DataError("; ".join(f"{who}: {why}" for who, why in list(left_out.items())[:3]) or "no row has a price")
    return pd.concat(parts, ignore_index=True), left_out


def _raw_rows(path: Path) -> pd.DataFrame:
    columns = _columns(path)
    try:
        table = pq.read_table(path, columns=list(dict.fromkeys(columns.values())))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, ValueError) as error:
        raise DataError(f"damaged Parquet ({str(error).splitlines()[0][:100]})") from None
    if not table.num_rows:
        raise DataError("no rows")
    frame = table.to_pandas(ignore_metadata=True)
    rows = {"timestamp": utc_index(frame[columns["timestamp"]])}
    for name in PANELS:
        if name in columns:
            rows[name] = _numbers(frame[columns[name]])
    rows["symbol"] = _texts(frame[columns["symbol"]], "symbol").map(parse_symbol)
    for name in ("exchange", "timeframe"):
        rows[name] = _texts(frame[columns[name]], name) if name in columns else pd.Categorical([""] * len(frame))
    result = pd.DataFrame(rows)
    return result[result[list(FIELDS[:4])].notna().any(axis=1)]


def _numbers(column: pd.Series) -> np.ndarray:
    try:
        values: np.ndarray = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError):
        raise DataError(f"column {column.name!r} holds {column.dtype}, not numbers") from None
    return values


def _texts(column: pd.Series, what: str) -> pd.Series:
    """Return a column of few different texts as categories."""
    column = column.astype("category")
    if column.isna().any():
        raise DataError(f"{what} is missing in row {int(np.argmax(column.isna())) + 1}")
    return column.cat.rename_categories([str(value) for value in column.cat.categories])


def _one_symbol(own: pd.DataFrame, said: str) -> pd.DataFrame:
    """Return one symbol's rows in order of time, each bar once."""
    if not own["timestamp"].is_monotonic_increasing:
        own = own.sort_values("timestamp", kind="stable")
    if own["timestamp"].duplicated().any():
        own = own.drop_duplicates()
    twice = own["timestamp"].duplicated()
    if twice.any():
        first = own["timestamp"][twice].iloc[0]
        raise DataError(f"{int(twice.sum())} bars appear twice with different values, the first at {first}")
    times = pd.DatetimeIndex(own["timestamp"])
    timeframe = parse_timeframe(said) or timeframe_of(times)
    times, _ = open_labels(times, timeframe, None, "times", from_close=False)
    off = ~on_grid(times.asi8, timeframe)
    if off.any():
        raise DataError(f"{int(off.sum())} of {len(times)} times do not open a bar of {timeframe}")
    return own.assign(timestamp=times, timeframe=timeframe)


def _panels(folder: Path, name: str, skipped: dict[str, str]) -> list[Panel]:
    rows, left_out = read_rows(folder / name)
    skipped |= {f"{name}, {who}": why for who, why in left_out.items()}
    panels = []
    value = rows["quote_volume"] if "quote_volume" in rows.columns else rows["close"] * rows["volume"]
    for (exchange, timeframe), own in rows.assign(value=value).groupby(["exchange", "timeframe"], observed=True):
        grouped = own.groupby(own["symbol"].astype("str"), sort=True)
        table = grouped["timestamp"].agg(start="min", end="max", bars="count").assign(value=grouped["value"].mean())
        panels.append(Panel(name, (name,), str(exchange), str(timeframe), table, folder))
    return panels


# ------------------------------------------------------------------------------------------------ several files
def _without_copies(panels: list[Panel], skipped: dict[str, str]) -> list[Panel]:
    """Leave out panels that hold the same bars as an earlier one."""
    kept: list[Panel] = []
    for panel in panels:
        same = next((one for one in kept if one.timeframe == panel.timeframe and one.table.equals(panel.table)), None)
        if same is None:
            kept.append(panel)
        else:
            skipped[panel.name] = f"the same bars as {same.name}"
    return kept


def _joined(panels: list[Panel], skipped: dict[str, str]) -> list[Panel]:
    """Join files of one folder that belong together: one symbol a file, or one stretch of time a file."""
    groups: dict[tuple[str, ...], list[Panel]] = {}
    for panel in panels:
        kind = "one symbol" if len(panel.table) == 1 else ", ".join(panel.symbols)
        home = PurePosixPath(panel.path).parent.as_posix()
        groups.setdefault((home, panel.exchange, panel.timeframe, kind), []).append(panel)
    result = []
    for (home, *_), group in groups.items():
        result += _join(home, group, skipped) if len(group) > 1 else group
    return result


def _join(home: str, group: list[Panel], skipped: dict[str, str]) -> list[Panel]:
    """Return one panel of several files; of files that overlap in time the longest is kept."""
    tables: list[pd.DataFrame] = []
    files: list[str] = []
    for panel in sorted(group, key=lambda each: (-int(each.table["bars"].sum()), each.path)):
        if any(_overlap(panel.table, table) for table in tables):
            skipped[panel.name] = "a longer file of the folder holds the same symbols at the same time"
            continue
        tables.append(panel.table)
        files.append(panel.path)
    if len(files) == 1:
        return [panel for panel in group if panel.path == files[0]]
    every = pd.concat(tables)
    weighted = every.assign(value=every["value"] * every["bars"]).groupby(level=0, sort=True)
    table = weighted.agg(start=("start", "min"), end=("end", "max"), bars=("bars", "sum"), value=("value", "sum"))
    table["value"] /= table["bars"]
    first = group[0]
    path = f"{home}/ ({len(files)} files)"
    return [Panel(path, tuple(sorted(files)), first.exchange, first.timeframe, table, first.folder)]


def _overlap(left: pd.DataFrame, right: pd.DataFrame) -> bool:
    shared = left.index.intersection(right.index)
    one, two = left.loc[shared], right.loc[shared]
    return bool(((one["start"] <= two["end"]) & (two["start"] <= one["end"])).any())
