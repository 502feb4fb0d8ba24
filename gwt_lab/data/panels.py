"""Panels of bars in a folder of Parquet files that nobody prepared: found, judged, chosen, read.

A panel is the bars of one exchange and one timeframe in one file, or in files of one folder that belong together. Files
are known by their columns, never by their names.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError, UnknownNameError
from gwt_lab.market.bars import FIELDS, Bars
from gwt_lab.market.instruments import unified_symbol
from gwt_lab.market.time import timeframe_ns

__all__ = ["Panel", "Panels", "choose_panel", "find_panels"]

LEAST_SYMBOLS, ENOUGH_SYMBOLS, MOST_SYMBOLS = 2, 8, 12
LEAST_BARS, ENOUGH_BARS = 200, 1_000
# up to this many symbols beyond ENOUGH_SYMBOLS are worth 30 % of the common history
_WORTH = 0.7
# a symbol with fewer of its bars is taken only if there are too few others
_WHOLE = 0.9
_HOUR_NS = 3600 * 10**9


@dataclass(frozen=True)
class Panel:
    """Bars of one exchange and one timeframe.

    Parameters
    ----------
    path : str
        Relative to the folder, with forward slashes; of several files the folder and their number.
    files : tuple of str
        The files, relative to the folder.
    exchange : str
        As the files say; empty if they do not.
    timeframe : str
        Length of a bar.
    table : DataFrame
        One row a symbol, in alphabetical order: start, end (first and last open time), bars, value (mean traded value
        of a bar, quote currency).
    folder : Path
        The folder that was searched.
    """

    path: str
    files: tuple[str, ...]
    exchange: str
    timeframe: str
    table: pd.DataFrame = field(repr=False)
    folder: Path = field(repr=False)

    @property
    def name(self) -> str:
        """Path, exchange and timeframe in words."""
        return f"{self.path} ({f'{self.exchange}, ' if self.exchange else ''}{self.timeframe})"

    @property
    def symbols(self) -> list[str]:
        """Unified symbols, in alphabetical order."""
        return list(self.table.index)

    @property
    def start(self) -> pd.Timestamp:
        """First open time of any symbol."""
        return self.table["start"].min()

    @property
    def end(self) -> pd.Timestamp:
        """Last open time of any symbol."""
        return self.table["end"].max()

    @property
    def n_bars(self) -> int:
        """Rows of the complete grid from start to end."""
        return self._length(self.start, self.end)

    @property
    def missing(self) -> float:
        """Share of the grid (n_bars x symbols) that holds no bar."""
        return 1.0 - float(self.table["bars"].sum()) / (self.n_bars * len(self.table))

    def _length(self, start: pd.Timestamp, end: pd.Timestamp) -> int:
        return max(int((end.value - start.value) // timeframe_ns(self.timeframe)) + 1, 0)

    def common(self, symbols: list[str]) -> tuple[pd.Timestamp, pd.Timestamp, int]:
        """Return the span in which all of some symbols are listed, and its length in bars (0 if there is none)."""
        rows = self.table.loc[symbols]
        start, end = rows["start"].max(), rows["end"].min()
        return start, end, self._length(start, end)

    # ------------------------------------------------------------------------------------------ which symbols
    @cached_property
    def _candidates(self) -> pd.DataFrame:
        """Return the symbols that have most of their bars, if there are enough of them; else all."""
        lengths = [self._length(row.start, row.end) for row in self.table.itertuples()]
        whole = self.table[self.table["bars"] >= _WHOLE * np.array(lengths)]
        return whole if len(whole) >= min(ENOUGH_SYMBOLS, len(self.table)) else self.table

    def _best_span(self, count: int) -> tuple[pd.Timestamp, pd.Timestamp]:
        """Return the longest span in which `count` symbols are listed throughout; it ends before it starts if none."""
        starts, ends = (
            pd.DatetimeIndex(self._candidates[name]).as_unit("ns").asi8.tolist() for name in ("start", "end")
        )
        best = (0, -1)
        latest: list[int] = []
        for start, end in sorted(zip(starts, ends, strict=True)):
            # the `count` latest ends of all that are listed by now, the earliest of them on top
            heapq.heappush(latest, end)
            if len(latest) > count:
                heapq.heappop(latest)
            if len(latest) == count and latest[0] - start > best[1] - best[0]:
                best = (start, latest[0])
        return pd.Timestamp(best[0], tz="UTC"), pd.Timestamp(best[1], tz="UTC")

    def pick(self, max_symbols: int = MOST_SYMBOLS) -> list[str]:
        """Return the symbols that trade longest together; where more do than wanted, those with most traded value.

        Eight symbols are wanted (fewer if that doubles a history that is too short), more as long as they keep 70 % of
        the eight's common history. Ties go to the alphabet.
        """
        most = min(max_symbols, len(self._candidates))
        count = min(ENOUGH_SYMBOLS, most)
        spans = {number: self._best_span(number) for number in range(1, most + 1)}
        length = {number: self._length(*span) for number, span in spans.items()}
        while count > 1 and (
            length[count] == 0
            or (count > LEAST_SYMBOLS and length[count] < ENOUGH_BARS and length[count - 1] >= 2 * length[count])
        ):
            count -= 1
        wanted = max(number for number in range(count, most + 1) if length[number] >= _WORTH * length[count] > 0)
        start, end = spans[wanted]
        listed = self._candidates[(self._candidates["start"] <= start) & (self._candidates["end"] >= end)]
        ranked = listed.sort_index().sort_values("value", ascending=False, kind="stable")
        return sorted(ranked.index[:max_symbols])

    @cached_property
    def _picked(self) -> tuple[int, int]:
        """Number of symbols that `pick` takes, and how many bars they have in common at most."""
        picked = self.pick()
        return len(picked), min(self.common(picked)[2], int(self.table.loc[picked, "bars"].min()))

    # ------------------------------------------------------------------------------------------ reading
    def bars(
        self, symbols: str | Iterable[str] | None = None, max_symbols: int = MOST_SYMBOLS, max_bars: int | None = None
    ) -> Bars:
        """Return bars over the span that the symbols have in common.

        Parameters
        ----------
        symbols : str or list of str, optional
            Named ones; else what `pick` chooses.
        max_symbols : int
            How many to choose at most.
        max_bars : int, optional
            Keep the last rows of the common span.

        Raises
        ------
        UnknownNameError
            If a symbol is not in the panel.
        DataError
            If the symbols have no time in common, or a file was changed since it was looked at.
        """
        if max_symbols < 1 or (max_bars is not None and max_bars < 1):
            raise DataError(f"at least one symbol and one bar must be asked for, got {max_symbols} and {max_bars}")
        if symbols is None:
            wanted = self.pick(max_symbols)
        else:
            wanted = [unified_symbol(name) for name in ([symbols] if isinstance(symbols, str) else symbols)]
        unknown = [name for name in wanted if name not in self.table.index]
        if unknown or not wanted:
            raise UnknownNameError(
                f"{self.name} has no symbol {', '.join(unknown) or 'asked'}; it has {', '.join(self.symbols)}"
            )
        start, end, length = self.common(wanted)
        if not length:
            raise DataError(f"{', '.join(wanted)} of {self.name} have no time in common; name other symbols")
        if max_bars is not None and length > max_bars:
            start = end - pd.Timedelta((max_bars - 1) * timeframe_ns(self.timeframe))
        return self._read(wanted, start, end)

    def _read(self, symbols: list[str], start: pd.Timestamp, end: pd.Timestamp) -> Bars:
        from gwt_lab.data.panel_files import read_rows

        parts = [read_rows(self.folder / file)[0] for file in self.files]
        rows = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
        rows = rows[(rows["exchange"] == self.exchange) & (rows["timeframe"] == self.timeframe)]
        rows = rows[rows["symbol"].isin(symbols) & rows["timestamp"].between(start, end)]
        names = ["timestamp", *FIELDS, *(["quote_volume"] if "quote_volume" in rows.columns else []), "symbol"]
        if rows.empty:
            raise DataError(f"{self.name} has changed since it was looked at: its bars are gone; look again")
        return Bars.from_frame(rows[names], self.timeframe).select(symbols)


class Panels(list[Panel]):
    """The panels of a folder.

    Parameters
    ----------
    panels : list of Panel
        In order of path.
    skipped : dict
        File, or file and symbol, to why it was left out.
    """

    def __init__(self, panels: Iterable[Panel], skipped: dict[str, str]) -> None:
        super().__init__(panels)
        self.skipped = skipped


# ------------------------------------------------------------------------------------------------ choosing
def choose_panel(
    panels: Sequence[Panel], min_symbols: int = LEAST_SYMBOLS, min_bars: int = LEAST_BARS
) -> tuple[Panel, str]:
    """Return the panel to study, and why, in one sentence.

    Panels with eight symbols and a thousand common bars come first, then those with bars of about an hour (15 minutes
    to 4 hours), then the longest common history; ties go to the timeframe nearest to an hour, more symbols, the
    alphabet.

    Parameters
    ----------
    panels : list of Panel
        From `find_panels`.
    min_symbols, min_bars : int
        What a panel must have: symbols, and bars in which all of them are listed.

    Raises
    ------
    DataError
        If no panel has that.
    """
    ranked = sorted((panel for panel in panels), key=_rank)
    usable = [panel for panel in ranked if panel._picked[0] >= min_symbols and panel._picked[1] >= min_bars]
    if not usable:
        best = f"the best is {ranked[0].name}: {_what(ranked[0])}" if ranked else "there is no panel at all"
        raise DataError(
            f"no panel has {min_symbols} symbols with {min_bars} bars in common; {best}. Give a folder with more bars"
        )
    chosen = usable[0]
    others = f"the best of {len(usable)} usable panels" if len(usable) > 1 else "the only usable panel"
    like = (
        "" if _near_hour(chosen) else f" (no bars of about an hour with as many symbols; these are {chosen.timeframe})"
    )
    return chosen, f"{chosen.name}: {_what(chosen)}, {others}{like}"


def _near_hour(panel: Panel) -> bool:
    return _HOUR_NS // 4 <= timeframe_ns(panel.timeframe) <= 4 * _HOUR_NS


def _rank(panel: Panel) -> tuple[bool, bool, bool, int, float, int, str, str]:
    count, length = panel._picked
    step = timeframe_ns(panel.timeframe)
    return (
        not (count >= ENOUGH_SYMBOLS and length >= ENOUGH_BARS),
        not (count >= LEAST_SYMBOLS and length >= LEAST_BARS),
        not _near_hour(panel),
        -length * step,
        abs(math.log(step / _HOUR_NS)),
        -count,
        panel.path,
        panel.exchange,
    )


def _what(panel: Panel) -> str:
    count, length = panel._picked
    start, end, _ = panel.common(panel.pick())
    return (
        f"{count} of {len(panel.table)} symbols have {length:,} bars of {panel.timeframe} in common, {start:%Y-%m-%d} "
        f"to {end:%Y-%m-%d}"
    )


def find_panels(folder: Path | str) -> Panels:
    """Return every panel below a folder, in order of path.

    Parameters
    ----------
    folder : Path or str
        Searched with its subfolders for Parquet files with columns timestamp (any unit, with or without time zone),
        open, high, low, close, volume, symbol (`BTCUSDT` or `BTC/USDT`) and optionally exchange and timeframe. Only
        schemas of others are read; they are skipped, and `panels.skipped` says why.

    Raises
    ------
    DataError
        If the folder does not exist or holds no panel; the message names the first files and why they were skipped.
    """
    from gwt_lab.data.panel_files import search

    return search(Path(folder))
