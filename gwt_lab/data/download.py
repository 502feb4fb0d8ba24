"""`download_bars`: bars, trading rules and funding from an exchange into the catalog; goes on where it was stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from gwt_lab.data.catalog import Catalog
from gwt_lab.data.catalog_files import check_name
from gwt_lab.data.ccxt_venue import CcxtVenue
from gwt_lab.data.download_pages import NO_ROWS, PageReader, merge_rows
from gwt_lab.data.download_store import Stretch, VenueStore, wanted_stretches
from gwt_lab.data.download_window import first_open, last_closed, moment, open_of
from gwt_lab.errors import ConfigError, DataError, VenueError
from gwt_lab.market.bars import Bars
from gwt_lab.market.instruments import unified_symbol
from gwt_lab.market.time import check_timeframe, timestamp
from gwt_lab.progress import Progress, progress

__all__ = ["Downloader", "Report", "SymbolReport", "download", "download_bars", "run_apart"]

_Value = TypeVar("_Value")


@dataclass
class SymbolReport:
    """What a download brought for one symbol: new bars and new funding rates."""

    symbol: str
    new_bars: int = 0
    new_funding: int = 0
    new_rules: int = 0


@dataclass
class Report:
    """What a download brought.

    Parameters
    ----------
    name, venue, timeframe : str
        Catalog name, exchange, timeframe.
    start, end : Timestamp
        First and last open time wanted; the last one had closed by the exchange's clock.
    symbols : list of SymbolReport
        One a symbol.
    requests : int
        How many requests were made.
    """

    name: str
    venue: str
    timeframe: str
    start: pd.Timestamp
    end: pd.Timestamp
    symbols: list[SymbolReport] = field(default_factory=list)
    requests: int = 0


def download_bars(
    exchange: str | CcxtVenue,
    symbols: str | Iterable[str],
    timeframe: str,
    since: Any,
    until: Any = None,
    *,
    catalog: Catalog | None = None,
    name: str | None = None,
) -> Bars:
    """Download bars into the catalog and return them.

    Parameters
    ----------
    exchange : str or CcxtVenue
        ccxt's id, such as ``"binance"``, or a venue (not open) that says more.
    symbols : str or list of str
        ``"BTC/USDT"`` for spot, ``"BTC/USDT:USDT"`` for the perpetual, whose funding comes along.
    timeframe : str
        ``"1h"``.
    since : time-like
        First open time wanted; UTC.
    until : time-like, optional
        Last open time wanted, included; else the last bar that has closed by the exchange's clock.
    catalog : Catalog, optional
        Else the one of `GWT_CATALOG`.
    name : str, optional
        Catalog name; else exchange and timeframe, ``"binance-1h"``.

    Returns
    -------
    Bars
        What the catalog holds of these symbols from `since` to `until`: missing bars are gaps, trading rules are in
        `instruments`. Funding lies in the catalog's table ``funding``.

    Raises
    ------
    UnknownNameError
        If exchange, symbol or timeframe do not exist; the message names the nearest.
    VenueError
        If the exchange cannot be reached, refuses, or sends impossible or contradictory bars.
    DataError
        If the catalog name holds other bars, or there is nothing in the time asked for.

    Notes
    -----
    Works inside a running event loop. A download that was stopped, by whatever means, goes on where it was.
    """
    return download(exchange, symbols, timeframe, since, until, catalog=catalog, name=name)[0]


def download(
    exchange: str | CcxtVenue,
    symbols: str | Iterable[str],
    timeframe: str,
    since: Any,
    until: Any = None,
    *,
    catalog: Catalog | None = None,
    name: str | None = None,
) -> tuple[Bars, Report]:
    """Do what `download_bars` does and also return what was new."""
    venue = exchange if isinstance(exchange, CcxtVenue) else CcxtVenue(exchange)
    wanted = [unified_symbol(symbol) for symbol in ([symbols] if isinstance(symbols, str) else symbols)]
    if not wanted:
        raise ConfigError("download: at least one symbol is wanted, got none; name some, such as BTC/USDT")
    if venue.is_open:
        raise ConfigError(f"download: {venue!r} is open already; pass one that is not, it is opened where it is used")
    if name is not None:
        check_name(name)
    window = (timestamp(since), None if until is None else timestamp(until))
    catalog = catalog or Catalog()
    downloader = Downloader(venue, catalog, name or f"{venue.id}-{timeframe}", timeframe)
    report = run_apart(lambda: downloader.run(wanted, *window))
    bars = catalog.read(report.name, [each.symbol for each in report.symbols], report.start, report.end)
    return bars, report


class Downloader:
    """Fill one catalog name from one venue.

    Parameters
    ----------
    venue : CcxtVenue
        Opened and closed by `run`.
    catalog : Catalog
        Where the bars go; it is the only state.
    name, timeframe : str
        Catalog name and the timeframe of its bars.
    pages_per_write : int
        How many pages are stored together: as one file, whole or not at all.
    side_by_side : int
        How many symbols are fetched at once.
    """

    def __init__(
        self,
        venue: CcxtVenue,
        catalog: Catalog,
        name: str,
        timeframe: str,
        *,
        pages_per_write: int = 20,
        side_by_side: int = 4,
    ) -> None:
        self.venue = venue
        self.timeframe = timeframe
        self.pages_per_write = pages_per_write
        self.side_by_side = side_by_side
        self._store: VenueStore | None = None
        self._catalog, self._name = catalog, name

    @property
    def store(self) -> VenueStore:
        """The catalog name being filled."""
        if self._store is None:
            self._store = VenueStore(self._catalog, self._name, self.venue.id, check_timeframe(self.timeframe))
        return self._store

    async def run(self, symbols: list[str], since: pd.Timestamp, until: pd.Timestamp | None) -> Report:
        """Bring the catalog up to date for these symbols; see `download_bars`."""
        async with self.venue as venue:
            requests_before = venue.n_requests
            venue.timeframe(self.timeframe)
            self.store.check_owner()
            symbols = await venue.load(symbols)
            start, end = await self._window(since, until)
            report = Report(self.store.name, venue.id, self.timeframe, moment(start), moment(end))
            report.symbols = [SymbolReport(symbol) for symbol in symbols]
            with progress(f"download {self.store.name}", self._total(symbols, start, end)) as line:
                venue.limiter.on_wait = lambda seconds, why: line.update(line.done, f"({why}: {seconds:.0f} s)")
                await self._all(report.symbols, (start, end), line)
            report.requests = venue.n_requests - requests_before
        empty = [each.symbol for each in report.symbols if self.store.held(each.symbol).first is None]
        if empty:
            raise DataError(
                f"{venue.id} has no {self.timeframe} bars of {', '.join(empty)} from {report.start:%Y-%m-%d %H:%M} to "
                f"{report.end:%Y-%m-%d %H:%M} UTC; choose another time, or leave it out"
            )
        return report

    async def _window(self, since: pd.Timestamp, until: pd.Timestamp | None) -> tuple[int, int]:
        """Return first and last open time wanted, in ms since 1970."""
        now = await self.venue.server_time()
        last = last_closed(now, self.timeframe)
        end = last if until is None else min(last, open_of(until.value // 1_000_000, self.timeframe))
        start = first_open(since, self.timeframe)
        if start > end:
            raise ConfigError(
                f"download: no {self.timeframe} bar opens at or after {since:%Y-%m-%d %H:%M} and has closed by "
                f"{moment(end + self.store.step):%Y-%m-%d %H:%M} UTC; {self.venue.id} says it is "
                f"{moment(now):%Y-%m-%d %H:%M}: choose an earlier start or a later end"
            )
        return start, end

    def _stretches(self, symbol: str, start: int, end: int) -> list[Stretch]:
        return wanted_stretches(self.store.held(symbol), self._lifted(symbol, start), end, self.store.step)

    def _lifted(self, symbol: str, start: int) -> int:
        """Return where trading began if that is later than `start`."""
        listed = self.venue.listed_ms(symbol)
        return max(start, open_of(listed, self.timeframe)) if listed else start

    def _total(self, symbols: list[str], start: int, end: int) -> int:
        found = [stretch for symbol in symbols for stretch in self._stretches(symbol, start, end)]
        return sum((stretch.end - stretch.start) // self.store.step + 1 for stretch in found)

    async def _all(self, reports: list[SymbolReport], window: tuple[int, int], line: Progress) -> None:
        """Fetch every symbol, some side by side; the first failure stops all, what came whole is kept."""
        free = asyncio.Semaphore(self.side_by_side)

        async def one(report: SymbolReport) -> None:
            async with free:
                await self._symbol(report, window, line)

        try:
            async with asyncio.TaskGroup() as group:
                for report in reports:
                    group.create_task(one(report))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _symbol(self, report: SymbolReport, window: tuple[int, int], line: Progress) -> None:
        symbol, (start, end) = report.symbol, window
        for stretch in self._stretches(symbol, start, end):
            fetch = self._downwards if stretch.downwards else self._upwards
            await fetch(report, stretch, line)
        held = self.store.held(symbol)
        if held.first is None:
            return
        self._note_rules(report)
        if held.first > start:
            self.store.note_asked(symbol, "bars", start, held.first)
        if self.venue.is_perpetual(symbol) and self.venue.has_funding:
            await self._funding(report, self._lifted(symbol, start), end + self.store.step - 1)

    def _note_rules(self, report: SymbolReport) -> None:
        rule = self.venue.instrument(report.symbol, moment(self.venue.asked_ms or 0))
        report.new_rules += self.store.store_rules([rule])

    async def _upwards(self, report: SymbolReport, stretch: Stretch, line: Progress) -> None:
        """Fetch from the first to the last bar wanted; what came whole is stored even if we are stopped."""
        symbol, step = report.symbol, self.store.step
        reader = PageReader(self.venue, symbol, self.timeframe, self.store.rows_at(symbol, stretch.start - step))
        pages: list[np.ndarray] = []

        def write() -> None:
            if pages:
                rows = np.concatenate(pages)
                pages.clear()
                self.store.append(symbol, rows)
                self._note_rules(report)
                report.new_bars += len(rows)

        through = stretch.start - step
        try:
            async for page in reader.pages(stretch.start, stretch.end):
                if len(page.rows):
                    pages.append(page.rows)
                line.advance((page.through_ms - through) // step, symbol)
                through = page.through_ms
                if len(pages) >= self.pages_per_write:
                    write()
        finally:
            write()

    async def _downwards(self, report: SymbolReport, stretch: Stretch, line: Progress) -> None:
        """Fetch in blocks from the newest to the oldest, so that what is stored stays without holes of ours."""
        symbol, step = report.symbol, self.store.step
        reader = PageReader(self.venue, symbol, self.timeframe)
        lowest = await reader.first_after(stretch.start)
        lowest = stretch.start if lowest is None else max(lowest, stretch.start)
        line.advance(max(min(lowest, stretch.end + step) - stretch.start, 0) // step, symbol)
        block = self.pages_per_write * self.venue.page_rows(symbol) * step
        top = stretch.end
        while top >= lowest:
            bottom = max(lowest, top - block + step)
            stored = self.store.rows_at(symbol, top + step)
            # one bar more than wanted: the one that is stored, which must agree
            rows = await self._block(symbol, bottom, top + step if len(stored) else top)
            merge_rows(stored, rows[rows[:, 0] > top], reader.label)
            rows = rows[rows[:, 0] <= top]
            self.store.append(symbol, rows, downwards=True)
            report.new_bars += len(rows)
            line.advance((top - bottom) // step + 1, symbol)
            top = bottom - step

    async def _block(self, symbol: str, start: int, end: int) -> np.ndarray:
        reader = PageReader(self.venue, symbol, self.timeframe)
        return np.concatenate([NO_ROWS, *[page.rows async for page in reader.pages(start, end)]])

    # ------------------------------------------------------------------------------------------ funding
    async def _funding(self, report: SymbolReport, start: int, end: int) -> None:
        """Fetch past funding; each stretch is stored whole."""
        symbol = report.symbol
        for stretch in wanted_stretches(self.store.funding_held(symbol), start, end, 1):
            rates = await self._rates(symbol, stretch.start, stretch.end)
            self.store.store_funding(symbol, rates)
            report.new_funding += len(rates)
        held = self.store.funding_held(symbol)
        if held.first is not None and held.first > start:
            self.store.note_asked(symbol, "funding", start, held.first)

    async def _rates(self, symbol: str, start: int, end: int) -> np.ndarray:
        """Return every funding rate between two times, ascending."""
        found = np.empty((0, 3))
        cursor, empties = start, 0
        # an empty answer is doubted once
        while cursor <= end and empties < 2:
            page = await self.venue.funding(symbol, cursor)
            rows = page[(page[:, 0] >= cursor) & (page[:, 0] <= end)]
            rows = self._checked_rates(symbol, rows)
            empties = 0 if len(rows) else empties + 1
            if len(rows):
                found = np.concatenate([found, rows])
                cursor = int(rows[-1, 0]) + 1
        return found

    def _checked_rates(self, symbol: str, rows: np.ndarray) -> np.ndarray:
        """Return each rate once; refuse what is no rate, and one time with two of them."""
        plain = np.nan_to_num(rows, nan=-1.0)
        rows = rows[~(np.diff(plain, axis=0, prepend=np.nan) == 0).all(axis=1)]
        bad = ~(np.abs(rows[:, 1]) < 1) | (np.diff(rows[:, 0], prepend=np.nan) == 0) | (rows[:, 2] < 0)
        if bad.any():
            time, rate, mark = rows[int(np.argmax(bad))]
            raise VenueError(
                f"{self.venue.id} {symbol}: the funding of {moment(int(time)):%Y-%m-%d %H:%M} UTC came twice with "
                f"different values or is impossible (rate {rate:g}, mark price {mark:g}); nothing of it was stored: "
                "ask the exchange"
            )
        return rows


def run_apart(start: Callable[[], Coroutine[Any, Any, _Value]]) -> _Value:
    """Run a coroutine to its end in a thread with an event loop of its own, also where a loop is running already.

    An interrupt (Ctrl-C) cancels the coroutine, waits until it has put away what it holds, and is raised then.
    """
    outcome: list[Callable[[], _Value]] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[_Value]]] = []
    # an interrupt while joining a thread makes CPython take it for finished, so the end is told by an event
    stop, ended = threading.Event(), threading.Event()

    async def body() -> _Value:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        if stop.is_set():
            raise asyncio.CancelledError
        return await start()

    def work() -> None:
        try:
            value = asyncio.run(body())
        except BaseException as error:
            failure = error

            def fail() -> _Value:
                raise failure

            outcome.append(fail)
        else:
            outcome.append(lambda: value)
        finally:
            ended.set()

    threading.Thread(target=work, name="gwt_lab download", daemon=True).start()
    try:
        # short waits: on Windows an interrupt does not end a long one
        while not ended.wait(0.2):
            pass
    except KeyboardInterrupt:
        stop.set()
        for loop, task in running:
            # it may have ended in this moment
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)
        ended.wait()
        raise
    return outcome[0]()
