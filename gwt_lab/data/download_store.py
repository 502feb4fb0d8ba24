"""What a download finds in the catalog, what is still wanted, and how what comes is laid there.

The catalog is the only state. Bars of one symbol are stored so that what lies between the first and the last one has
been asked for whole: later bars are added upwards, earlier ones downwards, block by block. So a kill at any point
leaves nothing to repair; the next run reads the first and the last stored time and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gwt_lab.data.catalog import Catalog
from gwt_lab.data.catalog_files import list_partitions, symbol_folder
from gwt_lab.data.catalog_tables import RULE_KEY, newest_rules
from gwt_lab.data.download_pages import NO_ROWS, to_frame
from gwt_lab.errors import DataError, UnknownNameError
from gwt_lab.market.bars import FIELDS, Bars
from gwt_lab.market.instruments import Instrument
from gwt_lab.market.time import timeframe_ns

__all__ = ["Held", "Stretch", "VenueStore", "wanted_stretches"]

FUNDING_KEY = ["symbol", "timestamp"]
_ASKED_KEY = ["symbol", "what"]
# the grid of one file does not run across a longer hole than this
_LONG_HOLE_BARS = 20_000
_Span = tuple[int, int]


@dataclass(frozen=True)
class Held:
    """What is stored of one symbol, times in ms since 1970.

    Parameters
    ----------
    first, last : int or None
        First and last stored open time.
    asked_from : int or None
        The venue had nothing between this open time and `first`.
    lost : tuple of (int, int)
        Spans of files that were found damaged and set aside, and that no stored file covers.
    """

    first: int | None = None
    last: int | None = None
    asked_from: int | None = None
    lost: tuple[_Span, ...] = ()


@dataclass(frozen=True)
class Stretch:
    """Open times still wanted, both included, and from which end to fetch them."""

    start: int
    end: int
    downwards: bool = False


def wanted_stretches(held: Held, start: int, end: int, step: int) -> list[Stretch]:
    """Return what is missing of the open times `start` to `end`.

    Parameters
    ----------
    held : Held
        What is stored.
    start, end : int
        First and last open time wanted, ms since 1970, on the grid.
    step : int
        Length of a bar, ms.
    """
    if start > end:
        return []
    if held.first is None or held.last is None:
        return [Stretch(start, end)]
    found = []
    if start < held.first and (held.asked_from is None or start < held.asked_from):
        # what lies between must be whole, so it grows down from what is there, even past `end`
        found.append(Stretch(start, held.first - step, downwards=True))
    for first, last in held.lost:
        if max(first, start) <= min(last, end):
            found.append(Stretch(max(first, start), min(last, end)))
    if end > held.last:
        found.append(Stretch(held.last + step, end))
    return found


class VenueStore:
    """One catalog name that is filled from one venue.

    Parameters
    ----------
    catalog : Catalog
        Where it lies.
    name : str
        Catalog name.
    venue_id : str
        ccxt's exchange id.
    timeframe : str
        Of the bars.
    """

    def __init__(self, catalog: Catalog, name: str, venue_id: str, timeframe: str) -> None:
        self.catalog = catalog
        self.name = name
        self.venue_id = venue_id
        self.timeframe = timeframe
        self.step = timeframe_ns(timeframe) // 1_000_000

    def check_owner(self) -> None:
        """Refuse a name that holds bars of another timeframe or another exchange.

        Raises
        ------
        DataError
            If it does.
        """
        have = self.catalog.timeframe(self.name)
        if have not in (None, self.timeframe):
            raise DataError(f"catalog name {self.name!r} holds bars of {have}, got {self.timeframe}; use another name")
        venues = set(self._table("instruments").get("venue", pd.Series(dtype=str))) - {"", self.venue_id}
        if venues:
            raise DataError(
                f"catalog name {self.name!r} holds bars of {', '.join(sorted(venues))}, got {self.venue_id}; a name "
                "holds one venue's bars: use another name"
            )

    # ------------------------------------------------------------------------------------------ bars
    def held(self, symbol: str) -> Held:
        """Return what is stored of a symbol."""
        last = self.catalog.last_time(self.name, symbol)
        if last is None:
            return Held()
        spans = self._spans(symbol)
        asked = self._asked(symbol, "bars")
        first = spans[0][0]
        return Held(
            first=first,
            last=last.value // 1_000_000,
            asked_from=asked[0] if asked is not None and asked[1] == first else None,
            lost=tuple(self._lost(symbol, spans)),
        )

    def _spans(self, symbol: str) -> list[_Span]:
        folder = self.catalog.path / self.name / "bars" / symbol_folder(symbol)
        return sorted(_ms(part.span) for part in list_partitions(folder) if part.digest)

    def _lost(self, symbol: str, spans: list[_Span]) -> list[_Span]:
        """Return what was lost with damaged files between the stored ones."""
        folders = {path.parent for path in self.catalog.damaged(self.name, symbol)}
        damaged = [_ms(part.span) for folder in folders for part in list_partitions(folder) if part.digest]
        first, last = spans[0][0], max(stop for _, stop in spans)
        inside = ((max(begin, first), min(stop, last)) for begin, stop in sorted(damaged))
        return [piece for span in inside for piece in _minus(span, spans, self.step)]

    def rows_at(self, symbol: str, time_ms: int) -> np.ndarray:
        """Return the stored bar that opened at a time, as rows of shape (0 or 1, 7)."""
        moment = pd.Timestamp(time_ms, unit="ms", tz="UTC")
        try:
            bars = self.catalog.read(self.name, symbol, moment, moment)
        except (DataError, UnknownNameError):
            return NO_ROWS
        quote = np.nan if bars.quote_volume is None else bars.quote_volume.iat[0, 0]
        return np.array([[time_ms, *(getattr(bars, field).iat[0, 0] for field in FIELDS), quote]], dtype=np.float64)

    def append(self, symbol: str, rows: np.ndarray, *, downwards: bool = False) -> None:
        """Store bars, all of them or none; across a very long hole in two steps, from the side that is stored."""
        if not len(rows):
            return
        far = np.flatnonzero(np.diff(rows[:, 0]) > _LONG_HOLE_BARS * self.step) + 1
        pieces = np.split(rows, far)
        for piece in reversed(pieces) if downwards else pieces:
            bars = Bars.from_frame(to_frame(piece, symbol), self.timeframe)
            self.catalog.append(self.name, bars, source={"venue": self.venue_id})

    def note_asked(self, symbol: str, what: str, start_ms: int, first_ms: int) -> None:
        """Remember that the venue has nothing between `start_ms` and what is stored first."""
        known = self._asked(symbol, what)
        if known is not None and known[0] <= start_ms and known[1] == first_ms:
            return
        row = {"symbol": symbol, "what": what, "start_ms": start_ms, "first_ms": first_ms}
        self.catalog.write_table(self.name, "asked", pd.DataFrame([row]), _ASKED_KEY, revise=True)

    def _asked(self, symbol: str, what: str) -> tuple[int, int] | None:
        table = self._table("asked")
        if not len(table):
            return None
        rows = table[(table["symbol"] == symbol) & (table["what"] == what)]
        return (int(rows["start_ms"].iloc[-1]), int(rows["first_ms"].iloc[-1])) if len(rows) else None

    # ------------------------------------------------------------------------------------------ beside the bars
    def store_rules(self, rules: list[Instrument]) -> int:
        """Store the trading rules that differ from the newest ones stored; return how many."""
        newest = newest_rules(self._table("instruments"))
        fresh = [rule for rule in rules if not _same_rules(newest.get(rule.symbol), rule)]
        if fresh:
            frame = pd.DataFrame([rule.to_dict() for rule in fresh])
            self.catalog.write_table(self.name, "instruments", frame, RULE_KEY, revise=True)
        return len(fresh)

    def funding_held(self, symbol: str) -> Held:
        """Return the span of the stored funding of a symbol; `asked_from` as for bars."""
        table = self._table("funding")
        times = table.loc[table["symbol"] == symbol, "timestamp"] if len(table) else pd.Series(dtype="datetime64[ns]")
        if not len(times):
            return Held()
        first, last = (pd.Timestamp(moment).value // 1_000_000 for moment in (times.min(), times.max()))
        asked = self._asked(symbol, "funding")
        return Held(first, last, asked[0] if asked is not None and asked[1] == first else None)

    def store_funding(self, symbol: str, rates: np.ndarray) -> None:
        """Store funding, all rows or none: (n, 3) time in ms, rate, mark price."""
        if len(rates):
            times = pd.DatetimeIndex((rates[:, 0] * 1e6).astype(np.int64), tz="UTC")
            frame = pd.DataFrame({"symbol": symbol, "timestamp": times, "rate": rates[:, 1], "mark_price": rates[:, 2]})
            self.catalog.write_table(self.name, "funding", frame, FUNDING_KEY)

    def _table(self, kind: str) -> pd.DataFrame:
        try:
            return self.catalog.read_table(self.name, kind)
        except UnknownNameError:
            return pd.DataFrame()


def _ms(span_ns: _Span) -> _Span:
    return span_ns[0] // 1_000_000, span_ns[1] // 1_000_000


def _minus(span: _Span, spans: list[_Span], step: int) -> list[_Span]:
    """Return what of `span` no other span covers; all ends are on one grid and included."""
    pieces, cursor = [], span[0]
    for begin, stop in spans:
        if begin > span[1] or cursor > span[1]:
            break
        if stop >= cursor:
            if begin > cursor:
                pieces.append((cursor, begin - step))
            cursor = stop + step
    return [*pieces, (cursor, span[1])] if cursor <= span[1] else pieces


def _same_rules(one: Instrument | None, other: Instrument) -> bool:
    return one is not None and one.to_dict() | {"valid_from": ""} == other.to_dict() | {"valid_from": ""}
