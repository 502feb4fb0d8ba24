"""Between panels and partitions: one symbol's bars as arrays, what of them is new, and panels read back."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gwt_lab.data import catalog_files as files
from gwt_lab.errors import DataError
from gwt_lab.market.bars import FIELDS, PANELS, Bars
from gwt_lab.market.gaps import find_gaps
from gwt_lab.market.instruments import Instrument
from gwt_lab.market.time import grid, on_grid, timeframe_ns
from gwt_lab.processors import available_threads

__all__ = ["SymbolBars", "bars_from_symbols", "long_table", "read_symbols", "split_fresh"]

_QUOTE = len(FIELDS)
_Span = tuple[int | None, int | None]


@dataclass(frozen=True)
class SymbolBars:
    """The existing bars of one symbol.

    Parameters
    ----------
    symbol : str
        Unified symbol.
    times : ndarray of shape (n,), int64
        Open times, nanoseconds since 1970, ascending.
    values : ndarray of shape (n, 6)
        open, high, low, close, volume, quote volume.
    has_quote : bool
        Whether quote volume was given at all.
    paths : tuple of Path
        Files they were read from.
    listed : tuple of int
        First and last open time stored of this symbol, beyond what was asked for.
    """

    symbol: str
    times: np.ndarray
    values: np.ndarray
    has_quote: bool
    paths: tuple[Path, ...] = ()
    listed: tuple[int, int] | None = None

    @classmethod
    def of(cls, bars: Bars) -> list[SymbolBars]:
        """Return the symbols that have a bar at all."""
        times = bars.index.as_unit("ns").asi8
        if not on_grid(times, bars.timeframe).all():
            raise DataError(f"the bars' times do not open bars of {bars.timeframe}: {bars.index[0]} is off the grid")
        frames = [getattr(bars, name).to_numpy() for name in FIELDS]
        has_quote = bars.quote_volume is not None
        frames.append(bars.quote_volume.to_numpy() if bars.quote_volume is not None else np.full(bars.shape, np.nan))
        found = []
        for column, symbol in enumerate(bars.symbols):
            values = np.column_stack([frame[:, column] for frame in frames])
            present = ~np.isnan(values).all(axis=1)
            if present.any():
                found.append(cls(symbol, times[present], values[present], has_quote))
        return found

    def rows(self, mask: np.ndarray) -> SymbolBars:
        """Return some of the bars."""
        return replace(self, times=self.times[mask], values=self.values[mask])

    def joined(self, other: SymbolBars) -> SymbolBars:
        """Return both, in order of time; their times must differ."""
        times = np.concatenate([self.times, other.times])
        order = np.argsort(times, kind="stable")
        values = np.concatenate([self.values, other.values])[order]
        return replace(self, times=times[order], values=values, has_quote=self.has_quote or other.has_quote)


# ------------------------------------------------------------------------------------------------ writing
def split_fresh(name: str, stored: SymbolBars, new: SymbolBars, revise: bool) -> tuple[SymbolBars, tuple[Path, ...]]:
    """Return the bars to write and the partitions they replace.

    Raises
    ------
    DataError
        If a stored bar has other values and `revise` is false.
    """
    if not len(stored.times):
        return new, ()
    place = np.minimum(np.searchsorted(stored.times, new.times), len(stored.times) - 1)
    known = stored.times[place] == new.times
    old = stored.values[place]
    same = (old == new.values) | (np.isnan(old) & np.isnan(new.values))
    # a quote volume that only one side has is no contradiction
    same[:, _QUOTE] |= np.isnan(old[:, _QUOTE]) | np.isnan(new.values[:, _QUOTE])
    changed = known & ~same.all(axis=1)
    if not changed.any():
        return new.rows(~known), ()
    if not revise:
        raise DataError(_conflict(name, new, old, same, changed))
    kept = stored.rows(~np.isin(stored.times, new.times[changed]))
    return kept.joined(new.rows(~known | changed)), stored.paths


def _conflict(name: str, new: SymbolBars, old: np.ndarray, same: np.ndarray, changed: np.ndarray) -> str:
    row = int(np.argmax(changed))
    field = int(np.argmin(same[row]))
    label = PANELS[field]
    others = int(changed.sum()) - 1
    return (
        f"{name!r} holds {new.symbol} at {pd.Timestamp(new.times[row]):%Y-%m-%d %H:%M:%S} UTC with {label} "
        f"{float(old[row, field])!r}, the new bars say {float(new.values[row, field])!r}"
        + (f" ({others:,} more bars differ)" if others else "")
        + "; nothing was written. If the new bars are right, append them with revise=True (`gwt data import --revise`)"
    )


def long_table(bars: SymbolBars) -> pa.Table:
    """Return one symbol's bars as the long table that lies on disk."""
    columns = {"timestamp": pa.array(bars.times // 1000, pa.timestamp("us", tz="UTC"))}
    for position, name in enumerate(FIELDS):
        columns[name] = pa.array(np.ascontiguousarray(bars.values[:, position]))
    if bars.has_quote:
        columns["quote_volume"] = pa.array(np.ascontiguousarray(bars.values[:, _QUOTE]))
    columns["symbol"] = pa.array([bars.symbol] * len(bars.times), pa.string())
    return pa.table(columns)


# ------------------------------------------------------------------------------------------------ reading
def read_symbols(
    home: Path, symbols: list[str], low: int | None, high: int | None, *, whole_files: bool = False
) -> list[SymbolBars]:
    """Return each symbol's stored bars between two open times, or of all files that reach into them."""

    def read(symbol: str) -> SymbolBars:
        return _read_symbol(home, symbol, (low, high), whole_files)

    if len(symbols) == 1:
        return [read(symbols[0])]
    # hashing and decoding release the GIL
    with ThreadPoolExecutor(min(4, available_threads())) as pool:
        return list(pool.map(read, symbols))


def _read_symbol(home: Path, symbol: str, span: _Span, whole_files: bool) -> SymbolBars:
    parts = files.list_partitions(home / "bars" / files.symbol_folder(symbol))
    for part in parts:
        if not part.digest:
            files.partition_bytes(part, home)
    low, high = span
    listed = (min(part.span[0] for part in parts), max(part.span[1] for part in parts)) if parts else None
    inside = [part for part in parts if (low is None or part.span[1] >= low) and (high is None or part.span[0] <= high)]
    opened = [(part, *files.open_partition(files.partition_bytes(part, home))) for part in inside]
    replaced = {name for _, _, meta in opened for name in meta.get("supersedes", ())}
    times, values, has_quote, paths = [], [], False, []
    for part, file, _ in opened:
        if part.path.name in replaced:
            if whole_files:
                # a revision was killed before it could move this one away; only writers come here
                files.retire(part.path, home)
            continue
        table = file.read(columns=["timestamp", *FIELDS, *_quote_of(file)], use_threads=False)
        has_quote |= "quote_volume" in table.column_names
        times.append(table["timestamp"].to_numpy().astype("datetime64[ns]").view(np.int64))
        values.append(_values(table))
        paths.append(part.path)
    joined = SymbolBars(
        symbol,
        np.concatenate(times) if times else np.empty(0, np.int64),
        np.concatenate(values) if values else np.empty((0, _QUOTE + 1)),
        has_quote,
        tuple(paths),
        listed,
    )
    return _in_order(joined, span, whole_files)


def _quote_of(file: pq.ParquetFile) -> list[str]:
    return ["quote_volume"] if "quote_volume" in file.schema_arrow.names else []


def _values(table: pa.Table) -> np.ndarray:
    values = np.full((table.num_rows, _QUOTE + 1), np.nan)
    for position, name in enumerate(PANELS):
        if name in table.column_names:
            values[:, position] = table[name].to_numpy()
    return values


def _in_order(bars: SymbolBars, span: _Span, whole_files: bool) -> SymbolBars:
    low, high = span
    if len(bars.times) and (np.diff(bars.times) < 0).any():
        bars = bars.rows(np.argsort(bars.times, kind="stable"))
    if whole_files or not len(bars.times):
        return bars
    first = 0 if low is None else int(np.searchsorted(bars.times, low, side="left"))
    last = len(bars.times) if high is None else int(np.searchsorted(bars.times, high, side="right"))
    return replace(bars, times=bars.times[first:last], values=bars.values[first:last])


def bars_from_symbols(
    name: str,
    found: list[SymbolBars],
    timeframe: str | None,
    span: _Span,
    *,
    gaps: pd.DataFrame,
    instruments: Mapping[str, Instrument],
) -> Bars:
    """Return the panels of what was read, with the gaps that reading everything and cutting would give."""
    stored = [bars.listed for bars in found if bars.listed]
    first, last = min(each[0] for each in stored), max(each[1] for each in stored)
    assert timeframe is not None
    if not any(len(bars.times) for bars in found):
        raise DataError(
            f"{name!r} has no bars of {', '.join(bars.symbol for bars in found)} in the time asked for; it holds "
            f"{pd.Timestamp(first):%Y-%m-%d %H:%M} to {pd.Timestamp(last):%Y-%m-%d %H:%M} UTC"
        )
    index = _index(first, last, timeframe, span)
    step = timeframe_ns(timeframe)
    panels = np.full((_QUOTE + 1, len(index), len(found)), np.nan)
    for column, bars in enumerate(found):
        rows = (bars.times - index.asi8[0]) // step
        panels[:, rows, column] = bars.values.T
    symbols = pd.Index([bars.symbol for bars in found], name="symbol")
    frames = {
        label: pd.DataFrame(panels[position], index=index, columns=symbols, copy=False)
        for position, label in enumerate(PANELS)
    }
    if not any(bars.has_quote for bars in found):
        del frames["quote_volume"]
    return Bars(
        **frames,
        timeframe=timeframe,
        gaps=_gaps(frames["close"], found, gaps, step),
        instruments=dict(instruments),
    )


def _index(first: int, last: int, timeframe: str, span: _Span) -> pd.DatetimeIndex:
    """Return the grid from the first to the last stored bar, cut to what was asked for."""
    step = timeframe_ns(timeframe)
    low, high = span
    if low is not None and low > first:
        first += -(-(low - first) // step) * step
    if high is not None and high < last:
        last -= -(-(last - high) // step) * step
    return grid(pd.Timestamp(first, tz="UTC"), pd.Timestamp(last, tz="UTC"), timeframe)


def _gaps(close: pd.DataFrame, found: list[SymbolBars], known: pd.DataFrame, step: int) -> pd.DataFrame:
    """Return the gaps of a cut panel; a row before and after it says which symbols were listed there."""
    index = close.index
    if all(bars.listed and bars.listed[0] >= index.asi8[0] and bars.listed[1] <= index.asi8[-1] for bars in found):
        return find_gaps(close, known)
    before = [1.0 if bars.listed and bars.listed[0] < index.asi8[0] else np.nan for bars in found]
    after = [1.0 if bars.listed and bars.listed[1] > index.asi8[-1] else np.nan for bars in found]
    times = pd.DatetimeIndex(
        np.concatenate([[index.asi8[0] - step], index.asi8, [index.asi8[-1] + step]]), tz="UTC", name="datetime"
    )
    padded = pd.DataFrame(np.vstack([before, close.to_numpy(), after]), index=times, columns=close.columns)
    gaps = find_gaps(padded, known)
    gaps = gaps[(gaps["end"] >= index[0]) & (gaps["start"] <= index[-1])].copy()
    gaps["start"] = gaps["start"].clip(lower=index[0])
    gaps["end"] = gaps["end"].clip(upper=index[-1])
    return gaps.reset_index(drop=True)
