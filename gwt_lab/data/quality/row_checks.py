"""Checks of rows: unreadable cells, units, grid, order, duplicates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from gwt_lab.data.quality.findings import ALL, Finding, finding
from gwt_lab.data.quality.rows import NAT, UNITS, Rows
from gwt_lab.market.time import on_grid

__all__ = ["Placement", "check_rows", "grid_offset", "late_rows", "place_rows"]

# (rows kept for the panel, ns that the whole grid is shifted by, rows that repeat an earlier one)
Placement = tuple[np.ndarray, int, np.ndarray]


def check_rows(rows: Rows) -> list[Finding]:
    """Return what is wrong with the rows, before they become a panel."""
    found = [*_unreadable(rows), *_mixed_units(rows), *_off_grid(rows), *_unordered(rows), *_duplicates(rows)]
    return found


def place_rows(rows: Rows) -> Placement:
    """Return the rows that have a place in the panel (of repeated bars the last), its offset and the repeated rows."""
    offset = grid_offset(rows)
    kept = rows.usable & on_grid(rows.time - offset, rows.timeframe)
    return kept, offset, rows.repeated


def grid_offset(rows: Rows) -> int:
    """Return by how many ns most times lie behind the grid; 0 if fewer than half share one offset."""
    time = rows.time[rows.usable]
    if on_grid(time, rows.timeframe).mean() >= 0.5:
        return 0
    remainder = (time - _origin(rows)) % rows.step
    offsets, counts = np.unique(remainder, return_counts=True)
    most = int(np.argmax(counts))
    return int(offsets[most]) if counts[most] > len(time) / 2 else 0


def _origin(rows: Rows) -> int:
    """Return a time on the grid, in ns."""
    return 4 * 86_400 * 10**9 if rows.timeframe.endswith("w") else 0


def _by_symbol(rows: Rows, bad: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each symbol that has bad rows, with their positions."""
    positions = np.flatnonzero(bad)
    for column in np.unique(rows.column[positions]):
        name = rows.symbols[column] if column >= 0 else ALL
        yield name, positions[rows.column[positions] == column]


def _unreadable(rows: Rows) -> Iterator[Finding]:
    for symbol, at in _by_symbol(rows, (rows.time == NAT) & (rows.far == NAT)):
        sample = rows.frame["timestamp"].iloc[at[0]]
        yield finding(
            "unreadable-time", symbol, "error", rows.time[at],
            what=f"the time of row {at[0]} is {sample!r}",
            do="correct these times, or drop the rows (repair drop-unreadable)",
        )  # fmt: skip
    lost = np.flatnonzero(rows.column < 0)
    if len(lost):
        yield finding(
            "unreadable-symbol", ALL, "error", rows.time[lost],
            what=f"the symbol of row {lost[0]} is {rows.frame['symbol'].iloc[lost[0]]!r}",
            do="name the symbol, or drop the rows (repair drop-unreadable)",
        )  # fmt: skip
    for symbol, at in _by_symbol(rows, rows.text):
        yield finding(
            "not-a-number", symbol, "error", rows.time[at],
            what=f"row {at[0]} holds text in a price or volume",
            do="correct the cells, or drop the rows (repair drop-unreadable)",
        )  # fmt: skip
    for symbol, at in _by_symbol(rows, rows.far != NAT):
        yield finding(
            "far-time", symbol, "error", rows.far[at],
            what="these times lie years away from all others",
            do="correct the times, or drop the rows (repair drop-unreadable)",
        )  # fmt: skip


def _mixed_units(rows: Rows) -> Iterator[Finding]:
    counts = np.bincount(rows.unit[rows.unit >= 0], minlength=len(UNITS))
    if np.count_nonzero(counts) < 2:
        return
    most = int(np.argmax(counts))
    for symbol, at in _by_symbol(rows, (rows.unit >= 0) & (rows.unit != most) & rows.usable):
        kinds = " and ".join(UNITS[unit] for unit in np.unique(rows.unit[at]))
        yield finding(
            "mixed-units", symbol, "error", rows.time[at],
            what=f"these times are in {kinds}, most are in {UNITS[most]}; the first is row {at[0]}",
            do="convert all times to one unit (repair convert-times)",
        )  # fmt: skip


def _off_grid(rows: Rows) -> Iterator[Finding]:
    offset = grid_offset(rows)
    off = rows.usable & ~on_grid(rows.time, rows.timeframe)
    shared = rows.usable & on_grid(rows.time - offset, rows.timeframe)
    for symbol, at in _by_symbol(rows, off):
        lag = pd.Timedelta(offset) if offset and shared[at].mean() > 0.5 else None
        what = f"no bar of {rows.timeframe} opens at these times"
        do = "check timeframe and time zone, or drop them (repair drop-off-grid)"
        if lag is not None:
            what = f"times lie {lag} after a bar's open: labels of the close, or another time zone?"
            do = "convert the labels to open times in UTC, then check again"
        yield finding("off-grid", symbol, "error", rows.time[at], what=what, do=do)


def _unordered(rows: Rows) -> Iterator[Finding]:
    for symbol, at in _by_symbol(rows, late_rows(rows)):
        own = rows.time[rows.usable & (rows.column == rows.symbols.index(symbol))]
        if (np.diff(own) <= 0).all():
            what, severity = "the rows run from the newest to the oldest", "info"
        else:
            what, severity = f"the first is row {at[0]}, after a row of a later time", "warning"
        yield finding(
            "unordered", symbol, severity, rows.time[at], what=what,
            do="nothing: bars are ordered by time when they are built (repair sort logs it)",
        )  # fmt: skip


def late_rows(rows: Rows) -> np.ndarray:
    """Return a mask of the rows that stand after a row of the same symbol with a later time."""
    late = np.zeros(len(rows.time), dtype=bool)
    for column in range(len(rows.symbols)):
        own = np.flatnonzero(rows.usable & (rows.column == column))
        late[own] = rows.time[own] < np.maximum.accumulate(rows.time[own])
    return late


def _duplicates(rows: Rows) -> Iterator[Finding]:
    bad = rows.repeated
    if not bad.any():
        return
    usable = np.flatnonzero(rows.usable)
    order = usable[np.lexsort((rows.time[usable], rows.column[usable]))]
    before = np.full(len(rows.time), -1)
    before[order[1:]] = order[:-1]
    at = np.flatnonzero(bad)
    left, right = rows.values[before[at]], rows.values[at]
    equal = ((left == right) | (np.isnan(left) & np.isnan(right))).all(axis=1)
    for check, mask in (("duplicate", equal), ("conflicting-duplicate", ~equal)):
        rows_of_kind = np.zeros(len(rows.time), dtype=bool)
        rows_of_kind[at[mask]] = True
        for symbol, positions in _by_symbol(rows, rows_of_kind):
            same = check == "duplicate"
            yield finding(
                check, symbol, "error", rows.time[positions],
                what=f"row {positions[0]} repeats a bar " + ("with equal values" if same else "with other values"),
                do="drop one of each (repair drop-duplicates keeps the last)"
                if same
                else "find out which is right, or keep the last (repair drop-duplicates)",
            )  # fmt: skip
