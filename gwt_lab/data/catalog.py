"""The local catalog: append-only Parquet partitions of bars and tables, hashed, safe against kills and second writers.

::

    <catalog>/<name>/bars/BTC-USDT/<start>_<end>_<hash>.parquet    timestamp, open ... volume[, quote_volume], symbol
    <catalog>/<name>/<kind>/<n>_<hash>.parquet                     tables: gaps, instruments, funding, ...
    <catalog>/<name>/superseded/, damaged/                         what a revision replaced, what was found damaged
    <catalog>/<name>/history.jsonl                                 appends, imports and repairs, in order

`read_parquet('<catalog>/<name>/bars/*/*.parquet')` works in DuckDB, polars and pandas, and holds each bar once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from gwt_lab.data import catalog_files as files
from gwt_lab.data.catalog_bars import SymbolBars, bars_from_symbols, long_table, read_symbols, split_fresh
from gwt_lab.data.catalog_tables import RULE_KEY, newest_rules, read_tables, stage_rows
from gwt_lab.errors import CatalogError, DataError, UnknownNameError
from gwt_lab.market.bars import Bars
from gwt_lab.market.gaps import find_gaps
from gwt_lab.market.instruments import Instrument, unified_symbol
from gwt_lab.market.time import timeframe_ns, timestamp
from gwt_lab.places import place, whole_file

__all__ = ["Catalog"]

_OWN = {"bars", files.DAMAGED, files.SUPERSEDED}
_GAP_KEY = ["symbol", "start", "end"]
_Answer = TypeVar("_Answer")


class Catalog:
    """Bars and tables on disk, by name.

    Parameters
    ----------
    path : Path or str, optional
        The catalog's folder; else `GWT_CATALOG`, else `data/catalog`. It is created by the first write.

    Notes
    -----
    A name holds bars of one timeframe. Each symbol's append becomes one file, written beside its place, synced and
    moved there in one step: after a kill it is whole or absent, and repeating the same append completes it. Writers of
    one name wait for each other; readers never wait.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path or place("catalog"))

    def __repr__(self) -> str:
        return f"Catalog({str(self.path)!r}: {', '.join(self.names()) or 'empty'})"

    # ------------------------------------------------------------------------------------------ bars
    def append(
        self, name: str, bars: Bars, *, source: dict[str, Any] | None = None, revise: bool = False
    ) -> list[Path]:
        """Store the bars that are not there yet and return the files written.

        Parameters
        ----------
        name : str
            Catalog name; created if new.
        bars : Bars
            Missing bars (rows of NaN) are not stored; reasons of gaps and instruments are. Bars already there with
            equal values are skipped (`quote_volume` is compared where both have it).
        source : dict, optional
            Where they come from; plain values, kept in the files' metadata and in the history.
        revise : bool
            Let different values replace stored ones; the older files stay below ``superseded/``.

        Raises
        ------
        DataError
            If a stored bar has different values, or the timeframe is another; nothing is written then.
        CatalogError
            If the disk is full or read-only, or a partition is damaged.
        """
        home = self._home(files.check_name(name))
        incoming = SymbolBars.of(bars)
        if not incoming:
            raise DataError(f"nothing to append to {name!r}: the bars hold no price at all")
        staged: list[files.Staged] = []
        with files.locked(home):
            try:
                self._check_timeframe(name, bars.timeframe)
                plans = [self._plan(name, new, revise) for new in incoming]
                meta = {"timeframe": bars.timeframe, "source": source or {}}
                for new, replaced in plans:
                    if len(new.times):
                        staged.append(self._stage_bars(home, new, meta, replaced))
                paths = files.commit(staged, home)
            finally:
                files.discard(staged)
            self._store_knowledge(name, bars)
            if paths:
                n_bars = sum(len(new.times) for new, _ in plans)
                detail = {"files": [path.name for path in paths], "bars": n_bars, "source": source or {}}
                self._write_history(home, "revise" if any(old for _, old in plans) else "append", detail)
        return paths

    def read(self, name: str, symbols: str | Iterable[str] | None = None, start: Any = None, end: Any = None) -> Bars:
        """Return stored bars, every file checked against its hash.

        Parameters
        ----------
        name : str
            Catalog name.
        symbols : str or list of str, optional
            All of them, in alphabetical order, if not given.
        start, end : time-like, optional
            First and last open time, both included.

        Raises
        ------
        UnknownNameError
            If the name or a symbol does not exist; the message lists those that do.
        DataError
            If nothing lies between `start` and `end`.
        CatalogError
            If a partition is damaged: it is set aside and named, and the next read gives what remains.
        """
        home = self._existing(name)
        wanted = self._wanted(name, symbols)
        low = None if start is None else timestamp(start).value
        high = None if end is None else timestamp(end).value

        def attempt() -> Bars:
            timeframe = self.timeframe(name)
            found = read_symbols(home, wanted, low, high)
            return bars_from_symbols(
                name, found, timeframe, (low, high), gaps=self._known_gaps(name), instruments=self._rules(name, wanted)
            )

        return self._steady(attempt)

    def last_time(self, name: str, symbol: str) -> pd.Timestamp | None:
        """Return the open time of a symbol's last stored bar, or None; the file that says so is checked first."""
        folder = self.path / name / "bars" / files.symbol_folder(unified_symbol(symbol))

        def attempt() -> pd.Timestamp | None:
            parts = [part for part in files.list_partitions(folder) if part.digest]
            if not parts:
                return None
            last = max(parts, key=lambda part: part.span[1])
            files.partition_bytes(last, self.path / name)
            return pd.Timestamp(last.span[1], tz="UTC")

        return self._steady(attempt)

    def timeframe(self, name: str) -> str | None:
        """Return the timeframe of a name's bars, or None if it has none."""
        home = self.path / name
        for folder in sorted((home / "bars").glob("*")):
            for part in files.list_partitions(folder):
                _, meta = files.open_partition(files.partition_bytes(part, home))
                return str(meta["timeframe"])
        return None

    # ------------------------------------------------------------------------------------------ what there is
    def names(self) -> list[str]:
        """Return the names that hold bars or tables."""
        if not self.path.is_dir():
            return []
        return sorted(home.name for home in self.path.iterdir() if next(home.glob("*/**/*.parquet"), None))

    def symbols(self, name: str) -> list[str]:
        """Return the symbols whose bars are stored under a name."""
        folders = (self._existing(name) / "bars").glob("*")
        return sorted(files.folder_symbol(folder.name) for folder in folders if files.list_partitions(folder))

    def describe(self, name: str | None = None) -> pd.DataFrame:
        """Return one row a symbol of one name, or of all.

        Returns
        -------
        DataFrame
            Columns name, symbol, timeframe, start, end (first and last open time), bars, missing (bars absent between
            them), gaps (how many intervals), hash (SHA-256 of the symbol's bars, `Bars.content_hash`), damaged (files
            set aside).
        """
        rows = []
        for each in self.names() if name is None else [name]:
            for symbol in self.symbols(each):
                bars = self.read(each, symbol)
                present = int(bars.close.notna().to_numpy().sum())
                rows.append(
                    {
                        "name": each,
                        "symbol": symbol,
                        "timeframe": bars.timeframe,
                        "start": bars.index[0],
                        "end": bars.index[-1],
                        "bars": present,
                        "missing": len(bars) - present,
                        "gaps": len(bars.gaps),
                        "hash": bars.content_hash,
                        "damaged": len(self.damaged(each, symbol)),
                    }
                )
        columns = ["name", "symbol", "timeframe", "start", "end", "bars", "missing", "gaps", "hash", "damaged"]
        return pd.DataFrame(rows, columns=columns)

    def damaged(self, name: str, symbol: str | None = None) -> list[Path]:
        """Return the files that were found damaged and set aside."""
        folder = self.path / name / files.DAMAGED
        return sorted((folder if symbol is None else folder / files.symbol_folder(symbol)).rglob("*.parquet"))

    # ------------------------------------------------------------------------------------------ tables beside the bars
    def write_table(
        self, name: str, kind: str, frame: pd.DataFrame, key: list[str], *, revise: bool = False
    ) -> list[Path]:
        """Store the rows of a table that are not there yet (funding, instruments, ...); return the files written.

        Parameters
        ----------
        name, kind : str
            Catalog name and what the table is.
        frame : DataFrame
            Plain columns; the index is not stored.
        key : list of str
            Columns that identify a row.
        revise : bool
            Let newer rows win over stored ones with other values.

        Raises
        ------
        DataError
            If the key is missing or not unique in `frame`, or a stored row has other values; nothing is written then.
        """
        home = self._home(files.check_name(name))
        if files.check_name(kind, "a table's kind") in _OWN:
            raise DataError(f"a table cannot be called {kind!r}: the catalog keeps its own files there")
        with files.locked(home):
            paths = self._write_rows(home, kind, frame, key, revise)
            if paths:
                self._write_history(home, "table", {"kind": kind, "files": [path.name for path in paths]})
        return paths

    def read_table(self, name: str, kind: str) -> pd.DataFrame:
        """Return a table's rows, in the order of writing; where a row was revised, the newest.

        Raises
        ------
        UnknownNameError
            If there is no such table; the message lists those that exist.
        """
        home = self._existing(name)
        kinds = sorted({path.parent.name for path in home.glob("*/*.parquet")} - _OWN)
        if kind not in kinds:
            raise UnknownNameError(f"{name!r} has no table {kind!r}; it has {', '.join(kinds) or 'none'}")
        return self._steady(lambda: read_tables(home, kind))

    # ------------------------------------------------------------------------------------------ history
    def record(self, name: str, action: str, detail: dict[str, Any]) -> None:
        """Add a line to a name's history, for instance a repair made while importing; `detail` is plain values."""
        home = self._home(files.check_name(name))
        with files.locked(home):
            self._write_history(home, action, detail)

    def history(self, name: str) -> list[dict[str, Any]]:
        """Return what was appended, imported and repaired, oldest first: time, action, detail."""
        file = self._existing(name) / "history.jsonl"
        if not file.is_file():
            return []
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    # ------------------------------------------------------------------------------------------ inside
    def _home(self, name: str) -> Path:
        return self.path / name

    def _existing(self, name: str) -> Path:
        home = self.path / name
        if not name or not home.is_dir():
            known = ", ".join(self.names()) or "nothing yet: `gwt data import` or `gwt data download` fill it"
            raise UnknownNameError(f"no catalog name {name!r} in {self.path}; it holds {known}")
        return home

    def _wanted(self, name: str, symbols: str | Iterable[str] | None) -> list[str]:
        have = self.symbols(name)
        if not have:
            lost = len(self.damaged(name))
            raise DataError(
                f"{name!r} in {self.path} holds no bars"
                + (f": {lost} damaged files were set aside; import or download them again" if lost else "")
            )
        if symbols is None:
            return have
        wanted = [unified_symbol(each) for each in ([symbols] if isinstance(symbols, str) else symbols)]
        unknown = [each for each in wanted if each not in have]
        if unknown or not wanted:
            raise UnknownNameError(f"{name!r} has no symbol {', '.join(unknown) or 'asked'}; it has {', '.join(have)}")
        return list(dict.fromkeys(wanted))

    def _check_timeframe(self, name: str, timeframe: str) -> None:
        have = self.timeframe(name)
        if have is not None and timeframe_ns(have) != timeframe_ns(timeframe):
            raise DataError(
                f"{name!r} holds bars of {have}, got {timeframe}; a name holds one timeframe: choose another name"
            )

    def _plan(self, name: str, new: SymbolBars, revise: bool) -> tuple[SymbolBars, tuple[Path, ...]]:
        """Return what to write for one symbol and the partitions it replaces."""
        home = self._home(name)
        span = (int(new.times[0]), int(new.times[-1]))
        stored = read_symbols(home, [new.symbol], *span, whole_files=True)[0]
        return split_fresh(name, stored, new, revise)

    def _stage_bars(
        self, home: Path, new: SymbolBars, meta: dict[str, Any], replaced: tuple[Path, ...]
    ) -> files.Staged:
        stem = files.span_stem(int(new.times[0]), int(new.times[-1]))
        folder = home / "bars" / files.symbol_folder(new.symbol)
        return files.stage(folder, stem, long_table(new), meta | {"symbol": new.symbol}, replaced)

    def _store_knowledge(self, name: str, bars: Bars) -> None:
        """Store gap reasons that reading could not infer, and instruments."""
        home = self._home(name)
        inferred = set(find_gaps(bars.close).itertuples(index=False, name=None)) if len(bars.gaps) else set()
        known = bars.gaps[[row not in inferred for row in bars.gaps.itertuples(index=False, name=None)]]
        if len(known):
            self._write_rows(home, "gaps", known, _GAP_KEY, revise=True)
        rules = pd.DataFrame([rule.to_dict() for rule in bars.instruments.values()])
        if len(rules):
            self._write_rows(home, "instruments", rules, RULE_KEY, revise=True)

    def _write_rows(self, home: Path, kind: str, frame: pd.DataFrame, key: list[str], revise: bool) -> list[Path]:
        staged = stage_rows(home, kind, frame, key, revise)
        try:
            return files.commit(staged, home)
        finally:
            files.discard(staged)

    def _known_gaps(self, name: str) -> pd.DataFrame:
        return read_tables(self.path / name, "gaps")

    def _rules(self, name: str, symbols: list[str]) -> dict[str, Instrument]:
        rules = newest_rules(read_tables(self.path / name, "instruments"))
        return {symbol: rule for symbol, rule in rules.items() if symbol in symbols}

    def _write_history(self, home: Path, action: str, detail: dict[str, Any]) -> None:
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "action": action, "detail": detail}
        file = home / "history.jsonl"
        with whole_file(file) as scratch:
            before = file.read_bytes() if file.is_file() else b""
            files.write_synced(scratch, before + json.dumps(line, allow_nan=False, default=str).encode() + b"\n")

    def _steady(self, attempt: Callable[[], _Answer]) -> _Answer:
        """Try again when a writer replaced a partition between listing and reading it."""
        for _ in range(5):
            with suppress(FileNotFoundError):
                return attempt()
        raise CatalogError(f"{self.path} keeps changing while it is read: try again when its writers are done")
