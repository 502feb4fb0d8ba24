"""Pages of bars made into one clean series: ordered, whole, without a duplicate, and refused where they contradict.

Each page asks again for the last bar already held, so that every seam shows whether both sides come from one series. A
hole counts as one once a second answer shows the bar behind it and none inside.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from gwt_lab.data.rate_limit import Clock, Patience
from gwt_lab.errors import VenueError
from gwt_lab.market.time import on_grid, timeframe_ns

__all__ = ["NO_ROWS", "Page", "PageReader", "Venue", "check_rows", "merge_rows", "to_frame"]

_FIELDS = ("open", "high", "low", "close", "volume", "quote_volume")
# rows kept to compare an overlap with; a venue that repeats more than this repeats it unseen
_TAIL_ROWS = 3000
# how often an empty answer is doubted: patiently at first, less so in a run of empty windows (before a listing)
_EMPTY_TRIES, _EMPTY_TRIES_AGAIN = 3, 2
# how many answers that show nothing are asked for before a hole is believed
_HOLE_DOUBTS = 3
NO_ROWS = np.empty((0, 1 + len(_FIELDS)))


class Venue(Protocol):
    """What a reader needs of an exchange; see `CcxtVenue`."""

    id: str
    clock: Clock
    patience: Patience

    def page_rows(self, symbol: str) -> int:
        """Return how many bars one request brings at most."""

    async def bars(self, symbol: str, timeframe: str, since_ms: int | None, rows: int) -> np.ndarray:
        """Return one page as it came, ordered by time."""


@dataclass(frozen=True)
class Page:
    """Some bars, and up to where the series is now known.

    Parameters
    ----------
    rows : ndarray of shape (n, 7)
        Open time in ms since 1970, open, high, low, close, volume, quote volume; ascending, possibly none.
    through_ms : int
        Every open time up to this one has been asked for.
    """

    rows: np.ndarray
    through_ms: int


def _at(time_ms: float) -> str:
    return f"{pd.Timestamp(int(time_ms), unit='ms'):%Y-%m-%d %H:%M:%S} UTC"


def check_rows(rows: np.ndarray, label: str, timeframe: str) -> np.ndarray:
    """Return `rows` if each is a possible bar.

    Parameters
    ----------
    rows : ndarray of shape (n, 7)
        As in `Page`.
    label : str
        Exchange and symbol, for the message.
    timeframe : str
        Decides which times open a bar.

    Raises
    ------
    VenueError
        If a time is off the grid, a number is missing or infinite, a price is not positive, a volume is negative, or
        high and low do not enclose open and close; the message names the first such bar.
    """
    times, prices, volume = rows[:, 0], rows[:, 1:5], rows[:, 5]
    high, low = rows[:, 2], rows[:, 3]
    off_grid = ~on_grid((times * 1e6).astype(np.int64), timeframe)
    with np.errstate(invalid="ignore"):
        faults = (
            (off_grid, f"its time does not open a bar of {timeframe}"),
            (~np.isfinite(rows[:, 1:6]).all(axis=1), "a price or the volume is missing or no number"),
            (~(prices > 0).all(axis=1), "a price is not positive"),
            ((volume < 0) | (rows[:, 6] < 0), "a volume is negative"),
            (high < prices.max(axis=1), "the high is below another price"),
            (low > prices.min(axis=1), "the low is above another price"),
        )
    for fault, words in faults:
        if fault.any():
            row = rows[int(np.argmax(fault))]
            shown = ", ".join(f"{name} {value:g}" for name, value in zip(_FIELDS, row[1:6], strict=False))
            raise VenueError(
                f"{label} at {_at(row[0])}: {words} ({shown}; {int(fault.sum())} such bars in this answer). The bars "
                "before it are kept; ask the exchange, or download with another `until`"
            )
    return rows


def merge_rows(known: np.ndarray, fresh: np.ndarray, label: str) -> np.ndarray:
    """Return the union of two sets of rows, each time once, ascending.

    Raises
    ------
    VenueError
        If one time comes with different values; the message names it.
    """
    rows = np.concatenate([known, fresh])
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    again = np.diff(rows[:, 0], prepend=np.nan) == 0
    if again.any():
        first = rows[np.flatnonzero(~again)[np.cumsum(~again) - 1]]
        # a quote volume that only one answer states is no contradiction
        same = (rows[:, 1:] == first[:, 1:]) | np.isnan(rows[:, 1:]) | np.isnan(first[:, 1:])
        if not same.all():
            place = int(np.argmin(same.all(axis=1)))
            column = int(np.argmin(same[place]))
            raise VenueError(
                f"{label} at {_at(rows[place, 0])} came twice with different values: {_FIELDS[column]} "
                f"{first[place, 1 + column]:.12g} and {rows[place, 1 + column]:.12g}. What was stored before is kept; "
                "if the exchange has revised its history, download under a new name"
            )
    kept: np.ndarray = rows[~again]
    return kept


def to_frame(rows: np.ndarray, symbol: str) -> pd.DataFrame:
    """Return rows as the long frame; quote volume only where the exchange states it."""
    times = (rows[:, 0] * 1e6).astype(np.int64)
    frame = pd.DataFrame({"timestamp": pd.DatetimeIndex(times, tz="UTC", name="datetime"), "symbol": symbol})
    for column, name in enumerate(_FIELDS, start=1):
        if name != "quote_volume" or not np.isnan(rows[:, column]).all():
            frame[name] = rows[:, column]
    return frame


class PageReader:
    """Read one symbol's bars from a venue, page by page.

    Parameters
    ----------
    venue : Venue
        Answers single pages.
    symbol, timeframe : str
        What is read.
    known : ndarray of shape (n, 7), optional
        Bars that are held already and that what comes must agree with, such as the last one stored.
    """

    def __init__(self, venue: Venue, symbol: str, timeframe: str, known: np.ndarray = NO_ROWS) -> None:
        self.venue = venue
        self.symbol = symbol
        self.timeframe = timeframe
        self.label = f"{venue.id} {symbol}"
        self.step = timeframe_ns(timeframe) // 1_000_000
        self._tail = known
        self._newest: int | None = None
        self._skipped_from: int | None = None

    async def pages(self, start_ms: int, end_ms: int) -> AsyncIterator[Page]:
        """Yield the bars that open between two times, both included; the last page ends at `end_ms`.

        Raises
        ------
        VenueError
            If a bar is impossible, comes twice with different values, or is there but never sent.
        """
        cursor, last = start_ms, start_ms - self.step
        while cursor <= end_ms:
            rows, through = await self._next(cursor, end_ms)
            through = min(max(through, cursor), end_ms)
            last = int(rows[-1, 0]) if len(rows) else last
            self._tail = np.concatenate([self._tail, rows])[-_TAIL_ROWS:]
            yield Page(rows, through)
            cursor = through + self.step
        if self._newest is not None and last < self._newest <= end_ms and self._newest >= start_ms:
            raise VenueError(
                f"{self.label}: it says that its newest bar is of {_at(self._newest)}, but sends none after "
                f"{_at(last)}; what came is kept, run it again to go on from there"
            )

    async def first_after(self, start_ms: int) -> int | None:
        """Return the open time of the first bar at or after a time, if the venue says it; asked twice."""
        found = []
        for _ in range(2):
            rows = await self.venue.bars(self.symbol, self.timeframe, start_ms, 1)
            times = rows[rows[:, 0] >= start_ms, 0]
            found.append(int(times.min()) if len(times) else None)
        return min((time for time in found if time is not None), default=None)

    async def _next(self, cursor: int, end: int) -> tuple[np.ndarray, int]:
        """Return the next rows from `cursor` on, and through which time the series is known then."""
        newest: int | None = None
        for failures in range(1, (_EMPTY_TRIES_AGAIN if self._skipping else _EMPTY_TRIES) + 1):
            since, n_rows = self._request(cursor, end, whole_page=failures > 1)
            raw = await self.venue.bars(self.symbol, self.timeframe, since, n_rows)
            rows = self._cut(raw, cursor, end)
            if len(rows):
                return await self._fill(rows, cursor)
            if len(raw) and raw[0, 0] > end and failures > 1:
                # the next bar lies beyond what is wanted
                return NO_ROWS, end
            newest = await self.newest_bar()
            if newest is not None and newest < cursor:
                return NO_ROWS, end
            if not self._skipping:
                await self.venue.clock.sleep(self.venue.patience.first_delay_seconds)
        if newest is None and not len(self._tail):
            # it has never had a bar
            return NO_ROWS, end
        # there are later bars: this venue answers for a window, and the window is empty
        self._skipped_from = cursor if self._skipped_from is None else self._skipped_from
        return NO_ROWS, since + (n_rows - 1) * self.step

    @property
    def _skipping(self) -> bool:
        return self._skipped_from is not None

    def _request(self, cursor: int, end: int, *, whole_page: bool) -> tuple[int, int]:
        """Return from where to ask and for how many rows: the last bar held comes along if there is one.

        A second try asks for a whole page, in case the venue fills a short one with rows older than asked.
        """
        most = self.venue.page_rows(self.symbol)
        held = most > 1 and bool((self._tail[:, 0] == cursor - self.step).any())
        since = cursor - self.step if held else cursor
        return since, most if whole_page else min(most, (end - since) // self.step + 1)

    def _cut(self, raw: np.ndarray, cursor: int, end: int) -> np.ndarray:
        """Return the rows asked for, checked, each once; compare older ones with those held."""
        rows = check_rows(raw[raw[:, 0] <= end], self.label, self.timeframe)
        old = rows[rows[:, 0] < cursor]
        merge_rows(self._tail, old, self.label)
        return merge_rows(NO_ROWS, rows[rows[:, 0] >= cursor], self.label)

    async def _fill(self, rows: np.ndarray, cursor: int) -> tuple[np.ndarray, int]:
        """Ask again for what is missing before the last row, until an answer shows that it does not exist."""
        if self._skipped_from is not None:
            # windows were skipped as empty; the bars behind them are the first chance to see that they were not
            cursor, self._skipped_from = self._skipped_from, None
        last = int(rows[-1, 0])
        expected = np.arange(cursor, last + 1, self.step, dtype=np.float64)
        most, doubts = self.venue.page_rows(self.symbol), 0
        while doubts < _HOLE_DOUBTS:
            missing = np.setdiff1d(expected, rows[:, 0], assume_unique=True)
            if not len(missing):
                break
            # the bar behind the hole is asked for too: an answer without it says nothing about the hole
            span = int((missing[-1] - missing[0]) // self.step) + 2
            raw = await self.venue.bars(self.symbol, self.timeframe, int(missing[0]), min(span, most))
            joined = merge_rows(rows, self._cut(raw, cursor, last), self.label)
            if len(joined) == len(rows):
                if len(raw) and raw[-1, 0] > missing[0]:
                    break
                doubts += 1
            rows = joined
        return rows, last

    async def newest_bar(self) -> int | None:
        """Return the open time of the newest bar the venue has; None if it shows none."""
        if self._newest is None:
            rows = await self.venue.bars(self.symbol, self.timeframe, None, 2)
            self._newest = int(rows[-1, 0]) if len(rows) else None
        return self._newest
