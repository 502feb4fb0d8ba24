"""`repair_bars`: repairs that are asked for by name, each with a record of what it changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.data.quality.findings import ALL
from gwt_lab.data.quality.move_checks import check_moves, find_moves
from gwt_lab.data.quality.panel import Panel, panel_of_bars
from gwt_lab.data.quality.row_checks import late_rows
from gwt_lab.data.quality.rows import NAT, Rows, read_rows
from gwt_lab.data.quality.value_checks import check_stuck, invalid
from gwt_lab.errors import ConfigError, UnknownNameError
from gwt_lab.market.as_bars import as_bars, long_frame
from gwt_lab.market.bars import FIELDS, PANELS, Bars, find_gaps
from gwt_lab.market.time import on_grid, timestamp

__all__ = ["REPAIRS", "Repair", "RepairLog", "repair_bars"]

# repair -> what it does; in the order in which they are applied
REPAIRS = {
    "drop-unreadable": "drop rows whose time, symbol or numbers cannot be read, or whose time is years away",
    "convert-times": "convert times in s, ms, µs, ns and text to one unit",
    "drop-off-grid": "drop rows whose time opens no bar of the timeframe",
    "sort": "order rows by symbol and time",
    "drop-duplicates": "of rows that tell the same bar keep the last",
    "drop-unfinished": "drop bars that had not closed at `now`",
    "blank-invalid": "set impossible bars to NaN, and impossible volumes alone",
    "rescale": "bring bars before a redenomination to the new unit",
    "blank-spikes": "set bars that a check calls a spike (error or warning) to NaN",
    "blank-stuck": "set bars that a check calls stuck to NaN",
}


@dataclass(frozen=True)
class Repair:
    """What one repair changed in one symbol.

    Parameters
    ----------
    repair : str
        A key of `REPAIRS`.
    symbol : str
    count : int
        Bars (or rows) that were changed or dropped.
    times : DatetimeIndex
        Their open times, as far as they can be read.
    what : str
    """

    repair: str
    symbol: str
    count: int
    times: pd.DatetimeIndex = field(compare=False, repr=False)
    what: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class RepairLog:
    """Every change that was made, and nothing else was.

    Parameters
    ----------
    asked : tuple of str
        The repairs asked for, in the order in which they were applied.
    entries : tuple of Repair
        One a repair and symbol that was changed.
    """

    asked: tuple[str, ...]
    entries: tuple[Repair, ...]

    @property
    def count(self) -> int:
        """Number of bars changed or dropped, over all repairs."""
        return sum(entry.count for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def to_frame(self) -> pd.DataFrame:
        """Return one row an entry: repair, symbol, count, first, last, what."""
        rows = [
            (entry.repair, entry.symbol, entry.count, *_ends(entry.times), entry.what) for entry in self.entries
        ]  # fmt: skip
        frame = pd.DataFrame(rows, columns=["repair", "symbol", "count", "first", "last", "what"])
        for name in ("first", "last"):
            frame[name] = pd.to_datetime(frame[name], utc=True).dt.as_unit("ns")
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, every changed time included."""
        return {
            "asked": list(self.asked),
            "changed": [
                {
                    "repair": entry.repair,
                    "symbol": entry.symbol,
                    "count": entry.count,
                    "times": [time.isoformat() for time in entry.times],
                    "what": entry.what,
                }
                for entry in self.entries
            ],
        }

    def __repr__(self) -> str:
        if not self.entries:
            return f"RepairLog({', '.join(self.asked) or 'no repairs'}: nothing to change)"
        lines = [f"RepairLog({self.count:,} bars changed or dropped)"]
        width = max(len(entry.repair) for entry in self.entries)
        for entry in self.entries:
            first, last = _ends(entry.times)
            span = "" if first is None else f", {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"
            lines.append(f"  {entry.repair:<{width}}  {entry.symbol}: {entry.count:,}{span}; {entry.what}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, table_html

        rows = [(e.repair, e.symbol, f"{e.count:,}", *_ends(e.times), e.what) for e in self.entries]
        body = table_html(("repair", "symbol", "bars", "first", "last", "what"), rows) if rows else "nothing to change"
        return card(f"Repairs: {', '.join(self.asked)}", body)


def _ends(times: pd.DatetimeIndex) -> tuple[pd.Timestamp | None, pd.Timestamp | None]:
    return (times[0], times[-1]) if len(times) else (None, None)


def repair_bars(
    data: Any,
    repairs: str | Iterable[str] = (),
    *,
    timeframe: str | None = None,
    now: Any = None,
    others: Any = None,
    symbol: str | None = None,
    price: str | None = None,
) -> tuple[Bars, RepairLog]:
    """Return bars after the repairs asked for, and what each changed; without repairs nothing is.

    Parameters
    ----------
    data : Bars, DataFrame, mapping or polars DataFrame
        As in `check_bars`; never changed itself.
    repairs : str or list of str
        Keys of `REPAIRS`; applied in that order, whatever order they are given in.
    timeframe, others, symbol, price
        As in `check_bars`.
    now : time-like, optional
        Wanted by ``drop-unfinished``: when the data were taken.

    Raises
    ------
    UnknownNameError
        If a repair is unknown; the message lists those that exist.
    ConfigError
        If ``drop-unfinished`` is asked for without `now`.
    DataError
        If what is left cannot become bars: a defect whose repair was not asked for.
    """
    asked = _asked(repairs)
    if "drop-unfinished" in asked and now is None:
        raise ConfigError("repair drop-unfinished needs now=, the time at which the data were taken")
    log: list[Repair] = []
    if isinstance(data, Bars):
        bars = as_bars(data, timeframe=timeframe)
    else:
        rows = read_rows(long_frame(data, symbol=symbol, price=price), timeframe)
        bars = Bars.from_frame(_repaired_rows(rows, asked, log), rows.timeframe)
    market = None if others is None else as_bars(others)
    if "drop-unfinished" in asked:
        bars = _drop_unfinished(bars, timestamp(now), log)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # impossible prices are what is repaired
        for name in asked:
            if name in _BAR_REPAIRS:
                bars = _BAR_REPAIRS[name](bars, panel_of_bars(bars, market), log)
    return bars, RepairLog(asked, tuple(log))


def _asked(repairs: str | Iterable[str]) -> tuple[str, ...]:
    names = [repairs] if isinstance(repairs, str) else list(repairs)
    unknown = [name for name in names if name not in REPAIRS]
    if unknown:
        raise UnknownNameError(f"no repair {', '.join(map(repr, unknown))}; there are {', '.join(REPAIRS)}")
    return tuple(name for name in REPAIRS if name in names)


# ------------------------------------------------------------------------------------------------ rows
def _repaired_rows(rows: Rows, asked: tuple[str, ...], log: list[Repair]) -> pd.DataFrame:
    """Return the long frame after the repairs of rows."""
    kept = np.ones(len(rows.time), dtype=bool)
    frame = rows.frame
    if "drop-unreadable" in asked:
        bad = ~rows.usable | rows.text
        _log_rows(log, "drop-unreadable", rows, bad, "rows dropped")
        kept &= ~bad
    if "convert-times" in asked:
        usual = np.bincount(rows.unit[rows.unit >= 0], minlength=1)
        bad = kept & rows.usable & (rows.unit >= 0) & (rows.unit != np.argmax(usual))
        _log_rows(log, "convert-times", rows, bad, "times converted")
        # a time that cannot be read stays as it is, so that the bars refuse it
        times = pd.Series(pd.DatetimeIndex(np.where(rows.usable, rows.time, 0), tz="UTC"), index=frame.index)
        frame = frame.assign(timestamp=times if rows.usable[kept].all() else frame["timestamp"])
    if "drop-off-grid" in asked:
        bad = kept & rows.usable & ~on_grid(rows.time, rows.timeframe)
        _log_rows(log, "drop-off-grid", rows, bad, "rows dropped")
        kept &= ~bad
    order = np.flatnonzero(kept)
    if "sort" in asked:
        _log_rows(log, "sort", rows, late_rows(rows) & kept, "rows moved before later ones")
        order = order[np.lexsort((rows.time[order], rows.column[order]))]
    if "drop-duplicates" in asked:
        order = _without_repeats(rows, kept, order, log)
    return frame.iloc[order]


def _without_repeats(rows: Rows, kept: np.ndarray, order: np.ndarray, log: list[Repair]) -> np.ndarray:
    """Return the rows without those that a later row of the file tells again."""
    backwards = replace(
        rows, time=np.where(kept, rows.time, NAT)[::-1], column=rows.column[::-1]
    )  # of rows read backwards, the repeats are those that come before the last
    bad = backwards.repeated[::-1]
    _log_rows(log, "drop-duplicates", rows, bad, "rows dropped, the last of each bar kept")
    left: np.ndarray = order[~bad[order]]
    return left


def _log_rows(log: list[Repair], name: str, rows: Rows, bad: np.ndarray, what: str) -> None:
    for column in np.unique(rows.column[bad]):
        time = np.where(rows.time == NAT, rows.far, rows.time)[bad & (rows.column == column)]
        symbol = rows.symbols[column] if column >= 0 else ALL
        index = pd.DatetimeIndex(np.sort(time[time != NAT]), tz="UTC")
        log.append(Repair(name, symbol, len(time), index, what))


# ------------------------------------------------------------------------------------------------ bars
def _drop_unfinished(bars: Bars, now: pd.Timestamp, log: list[Repair]) -> Bars:
    closed = bars.index.asi8 + panel_of_bars(bars).step <= now.value
    if closed.all():
        return bars
    present = panel_of_bars(bars).present & ~closed[:, None]
    _log_bars(log, "drop-unfinished", bars, present, "bars dropped")
    return bars.head(int(closed.sum()))


def _log_bars(log: list[Repair], name: str, bars: Bars, changed: np.ndarray, what: str) -> None:
    for column in np.flatnonzero(changed.any(axis=0)):
        times = bars.index[changed[:, column]].rename(None)
        log.append(Repair(name, bars.symbols[column], len(times), times, what))


def _blanked(bars: Bars, mask: np.ndarray) -> Bars:
    """Return bars with every value of some bars set to NaN, their gaps told anew."""
    names = [name for name in PANELS if getattr(bars, name) is not None]
    frames = {name: getattr(bars, name).mask(mask) for name in names}
    return replace(bars, **frames, gaps=find_gaps(frames["close"], bars.gaps))


def _blank_invalid(bars: Bars, panel: Panel, log: list[Repair]) -> Bars:
    mask = np.logical_or.reduce(list(invalid(panel).values()))
    with np.errstate(invalid="ignore"):
        volume = ((panel.volume < 0) | np.isinf(panel.volume)) & ~mask
    _log_bars(log, "blank-invalid", bars, mask, "bars set to NaN")
    _log_bars(log, "blank-invalid", bars, volume, "volumes set to NaN")
    bars = replace(bars, volume=bars.volume.mask(volume)) if volume.any() else bars
    return _blanked(bars, mask) if mask.any() else bars


def _rescale(bars: Bars, panel: Panel, log: list[Repair]) -> Bars:
    unit = np.zeros(bars.shape)
    for column, moves in enumerate(find_moves(panel)):
        for row, size in zip(*moves.redenominations, strict=True):
            unit[:row, column] += size
            before = np.zeros(bars.shape, dtype=bool)
            before[:row, column] = panel.present[:row, column]
            _log_bars(log, "rescale", bars, before, f"prices times {np.exp(size):,.6g}, volume over it")
    if not unit.any():
        return bars
    frames = {name: getattr(bars, name) * np.exp(unit) for name in FIELDS[:4]}
    return replace(bars, **frames, volume=bars.volume / np.exp(unit))


def _blank_found(name: str, wanted: Callable[[Panel], Iterable[Any]]) -> Callable[..., Bars]:
    def blank(bars: Bars, panel: Panel, log: list[Repair]) -> Bars:
        mask = np.zeros(bars.shape, dtype=bool)
        for found in wanted(panel):
            mask[bars.index.get_indexer(found.times), bars.symbols.index(found.symbol)] = True
        _log_bars(log, name, bars, mask, "bars set to NaN")
        return _blanked(bars, mask) if mask.any() else bars

    return blank


_BAR_REPAIRS: dict[str, Callable[..., Bars]] = {
    "blank-invalid": _blank_invalid,
    "rescale": _rescale,
    "blank-spikes": _blank_found(
        "blank-spikes", lambda panel: (f for f in check_moves(panel) if f.check == "spike" and f.severity != "info")
    ),
    "blank-stuck": _blank_found("blank-stuck", check_stuck),
}
