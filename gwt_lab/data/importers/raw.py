"""`read_raw`: a file as the long frame with its defects, for the quality checks; `import_bars` would refuse them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gwt_lab.data.importers.columns import Roles, find_roles
from gwt_lab.data.importers.names import parse_name
from gwt_lab.data.importers.sources import Source, find_sources
from gwt_lab.data.importers.table import (
    Ask,
    _has_prices,
    _one_timeframe,
    _one_venue,
    _symbols,
    _table,
    _timeframe,
    read_part,
)
from gwt_lab.data.importers.times import open_labels, read_times
from gwt_lab.errors import DataError, ImportRefused

__all__ = ["read_raw"]


def read_raw(path: Path | str, ask: Ask | None = None) -> pd.DataFrame:
    """Return the rows of a file, an archive or a folder as the long frame: nothing ordered, repaired or left out.

    Files, symbols and columns are recognised as `import_bars` does. Times are converted where that is possible without
    doubt; where it is not (mixed units, unreadable cells, a local clock) they stay as the file has them.

    Parameters
    ----------
    path : Path or str
        As in `import_bars`.
    ask : Ask, optional
        What the user says about the files.

    Returns
    -------
    DataFrame
        Columns timestamp, open, high, low, close, volume[, quote_volume], symbol; `attrs["timeframe"]` if the files
        agree on one.

    Raises
    ------
    DataError, ImportRefused, UnknownNameError
        If the files cannot be read as a table of bars at all.
    """
    ask = ask or Ask()
    place = Path(path).expanduser()
    frames, timeframes = [], set()
    for source in find_sources(place):
        if place.is_dir() and parse_name(source.stem).not_bars:
            continue
        frame, timeframe = _raw_rows(source, ask)
        frames.append(frame)
        timeframes.add(timeframe)
    if not frames:
        raise DataError(f"{place} holds no bars of trades; name a file with columns timestamp, open, high, low, close")
    kinds = {frame["timestamp"].dtype for frame in frames}
    if len(kinds) > 1:  # a column of times and numbers together keeps both only as objects
        frames = [frame.assign(timestamp=frame["timestamp"].astype(object)) for frame in frames]
    joined = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    if len(timeframes - {None}) == 1:
        joined.attrs["timeframe"] = next(iter(timeframes - {None}))
    return joined


def _raw_rows(source: Source, ask: Ask) -> tuple[pd.DataFrame, str | None]:
    said = parse_name(source.stem)
    hint = ask.symbol or said.symbol or parse_name(source.folder).symbol
    table = _table(source, hint)
    if isinstance(table.columns, pd.MultiIndex) or not _has_prices(table):
        part = read_part(source, ask)
        return part.frame, part.timeframe
    roles = find_roles(table.columns, source.label, hint)
    table = _one_venue(table, roles, ask, source.label)
    table, column_timeframe = _one_timeframe(table, roles, ask, source.label)
    if roles.symbol is not None:
        symbols = table[roles.symbol]
    else:
        symbols = pd.Series(_symbols(table, roles, ask, said, hint, source.label), index=table.index)
    declared = ask.timeframe or column_timeframe or said.timeframe
    times, timeframe = _raw_times(table, roles, ask, source.label, declared)
    columns = {"timestamp": times.reset_index(drop=True)}
    columns |= {name: table[column].to_numpy() for name, column in roles.fields.items()}
    return pd.DataFrame(columns | {"symbol": symbols.astype(object).to_numpy()}), timeframe


def _raw_times(
    table: pd.DataFrame, roles: Roles, ask: Ask, label: str, declared: str | None
) -> tuple[pd.Series, str | None]:
    """Return the open times if they can be read without doubt, else the column as it came."""
    column = roles.times[0] if roles.times else roles.close_time
    assert column is not None
    try:
        times = read_times(table[column], label, ask.reading)
        one = pd.Categorical.from_codes([0] * len(times), ["one"])
        timeframe = _timeframe(times, one, declared, label)
        if timeframe:
            times, _ = open_labels(times, timeframe, ask.reading.label, label, from_close=not roles.times)
        return pd.Series(times), timeframe
    except DataError as refused:
        raw = table[column]
        if isinstance(raw.dtype, pd.CategoricalDtype):
            raw = raw.astype(raw.cat.categories.dtype)
        if not pd.api.types.is_numeric_dtype(raw) and not pd.api.types.is_datetime64_any_dtype(raw):
            numbers = pd.to_numeric(raw, errors="coerce").notna()
            dates = pd.to_datetime(raw, errors="coerce", utc=True, format="ISO8601").notna()
            if (numbers | dates).mean() < 0.5:
                raise ImportRefused(str(refused)) from None
        return raw.reset_index(drop=True), declared
