"""Checks of single bars: impossible prices and volumes, bars that repeat, bars that are missing or not finished."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from gwt_lab.data.quality.findings import ALL, Finding, finding
from gwt_lab.data.quality.panel import Panel, row_median

__all__ = ["check_ends", "check_gaps", "check_prices", "check_stuck", "check_unfinished", "check_volume", "invalid"]

# prices written with few digits may break high >= close by their last digit
_ROUNDING = 1e-9
_BLANK = "set them to NaN (repair blank-invalid), or fetch them again"


def _columns(panel: Panel, bad: np.ndarray) -> Iterator[tuple[int, str, np.ndarray]]:
    """Yield each symbol that has bad bars, with their rows."""
    for column in np.flatnonzero(bad.any(axis=0)):
        yield int(column), panel.symbols[column], np.flatnonzero(bad[:, column])


def invalid(panel: Panel) -> dict[str, np.ndarray]:
    """Return masks of shape (n_times, n_symbols) of bars that no market makes, by check."""
    prices = panel.prices
    infinite = np.isinf(prices).any(axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        low_or_zero = (prices <= 0).any(axis=0) & ~infinite
        body_high = np.maximum(panel.open, panel.close)
        body_low = np.minimum(panel.open, panel.close)
        slack = _ROUNDING * np.abs(panel.close)
        inconsistent = (
            (panel.high < panel.low - slack) | (panel.high < body_high - slack) | (panel.low > body_low + slack)
        )
    partial = np.isnan(prices).any(axis=0) & panel.present
    return {
        "infinite-price": infinite,
        "price-not-positive": low_or_zero,
        "partial-bar": partial,
        "inconsistent-bar": inconsistent & ~infinite & ~low_or_zero,
    }


def check_prices(panel: Panel) -> Iterator[Finding]:
    """Look for prices that no market makes."""
    masks = invalid(panel)
    for check, mask in masks.items():
        for column, symbol, rows in _columns(panel, mask):
            bar = ", ".join(
                f"{name} {getattr(panel, name)[rows[0], column]:g}" for name in ("open", "high", "low", "close")
            )
            yield finding(check, symbol, "error", panel.times_ns(rows), what=f"the first bar has {bar}", do=_BLANK)
    if panel.n_symbols > 1:
        yield from _same_prices(panel)


def _same_prices(panel: Panel) -> Iterator[Finding]:
    seen: dict[bytes, str] = {}
    for column, symbol in enumerate(panel.symbols):
        close = panel.close[:, column]
        rows = np.flatnonzero(~np.isnan(close))
        if len(rows) < 20 or (close[rows] == close[rows[0]]).all():
            continue
        key = close.tobytes()
        if key in seen:
            yield finding(
                "same-prices", symbol, "error", panel.times_ns(rows),
                what=f"every close equals that of {seen[key]}", do="fetch one of the two again: a symbol was mistaken",
            )  # fmt: skip
        seen.setdefault(key, symbol)


def check_volume(panel: Panel) -> Iterator[Finding]:
    """Look for volumes below zero, missing, or zero."""
    with np.errstate(invalid="ignore"):
        negative = (panel.volume < 0) | np.isinf(panel.volume)
        zero = (panel.volume == 0) & panel.present
        moved = zero & (panel.high > panel.low)
    for column, symbol, rows in _columns(panel, negative):
        yield finding(
            "negative-volume", symbol, "error", panel.times_ns(rows),
            what=f"the first is {panel.volume[rows[0], column]:g}", do=_BLANK,
        )  # fmt: skip
    missing = panel.present & np.isnan(panel.volume)
    for column, symbol, rows in _columns(panel, missing):
        alone = len(rows) == panel.present[:, column].sum()
        yield finding(
            "missing-volume", symbol, "info" if alone else "warning", panel.times_ns(rows),
            what="no bar has a volume: closes alone?" if alone else "these bars have prices but no volume",
            do="leave out features and costs that need volume" if alone else "fetch these bars again",
        )  # fmt: skip
    for column, symbol, rows in _columns(panel, zero):
        share = len(rows) / max(int(panel.present[:, column].sum()), 1)
        odd = int(moved[:, column].sum())
        yield finding(
            "zero-volume", symbol, "warning" if odd or share > 0.2 else "info", panel.times_ns(rows),
            what=f"{share:.2%} of its bars" + (f"; the price moved inside {odd} of them" if odd else ""),
            do="do not fill orders in these bars" if not odd else "fetch these bars again: a price cannot move alone",
        )  # fmt: skip


def check_gaps(panel: Panel) -> Iterator[Finding]:
    """Report missing bars with their reason, where it can be known."""
    gaps = panel.gaps
    outages = gaps[gaps["reason"] == "outage"]
    if len(outages):
        rows = np.zeros(len(panel.index) + 1, dtype=np.int64)
        np.add.at(rows, panel.index.get_indexer(outages["start"]), 1)
        np.add.at(rows, panel.index.get_indexer(outages["end"]) + 1, -1)
        out = np.flatnonzero(np.cumsum(rows)[:-1] > 0)
        longest = max(map(len, np.split(out, np.flatnonzero(np.diff(out) > 1) + 1)))
        often = len(out) > 0.01 * len(panel.index)
        yield finding(
            "outage", ALL, "warning" if often else "info", panel.times_ns(out),
            what=f"no listed symbol has a bar; the longest lasts {longest} bars",
            do="nothing: these bars stay missing and no order is filled in them",
        )  # fmt: skip
    for symbol, part in gaps[gaps["reason"] == "no trade"].groupby("symbol", sort=False):
        starts, ends = panel.index.get_indexer(part["start"]), panel.index.get_indexer(part["end"])
        rows = np.concatenate([np.arange(a, b + 1) for a, b in zip(starts, ends, strict=True)])
        # a bar whose close alone is missing is a partial bar, reported as such
        rows = rows[~panel.present[rows, panel.symbols.index(str(symbol))]]
        if not len(rows):
            continue
        runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
        reason = "others traded" if panel.n_symbols > 1 else "with one symbol an outage cannot be told from no trade"
        yield finding(
            "gap", str(symbol), "warning", panel.times_ns(rows),
            what=f"{len(runs)} gap{'s' if len(runs) > 1 else ''}, {max(map(len, runs))} bars at most; {reason}",
            do="fetch these bars again; where nothing was traded, leave them missing",
        )  # fmt: skip


def check_ends(panel: Panel) -> Iterator[Finding]:
    """Report symbols that start later or end earlier than the panel."""
    n = len(panel.index)
    for column, symbol in enumerate(panel.symbols) if panel.n_symbols > 1 else ():
        rows = np.flatnonzero(panel.present[:, column])
        first, last = (int(rows[0]), int(rows[-1])) if len(rows) else (n, -1)
        if 0 < first < n:
            yield finding(
                "listing", symbol, "info", panel.times_ns(np.arange(first)),
                what=f"its first bar opens {panel.index[first]:%Y-%m-%d %H:%M}, {first:,} bars after the start",
                do="nothing: it is not traded before",
            )  # fmt: skip
        if last < n - 1:
            what = f"its last bar opens {panel.index[last]:%Y-%m-%d %H:%M}, {n - 1 - last:,} bars before the end"
            yield finding(
                "delisting", symbol, "warning", panel.times_ns(np.arange(last + 1, n)),
                what=what if last >= 0 else "it has no bar at all",
                do="fetch the rest; if it was delisted, keep it: leaving it out is survivorship bias",
            )  # fmt: skip


def check_stuck(panel: Panel) -> Iterator[Finding]:
    """Look for runs of one and the same bar, longer than chance makes them."""
    for column, symbol in enumerate(panel.symbols):
        rows = np.flatnonzero(panel.present[:, column])
        if len(rows) < 10:
            continue
        bars = panel.prices[:, rows, column]
        same = np.r_[False, (bars[:, 1:] == bars[:, :-1]).all(axis=0)]
        volume = panel.volume[rows, column]
        copied = np.r_[False, (volume[1:] == volume[:-1]) & (volume[1:] > 0)] & (bars[1] > bars[2])
        share = same.mean()
        if not share:
            continue
        # the longest run that independent repeats make among n bars is about log n / log (1/share)
        chance = 2 * np.log(len(rows)) / -np.log(min(share, 0.999))
        bad = np.zeros(len(rows), dtype=bool)
        edges = np.flatnonzero(np.diff(np.r_[False, same, False].astype(np.int8)))
        for begin, stop in zip(edges[::2], edges[1::2], strict=True):
            # coarse ticks make equal prices again and again, but never with equal volume too
            wanted = 2 if copied[begin:stop].all() else max(6, chance)
            if stop - begin >= wanted:
                bad[begin:stop] = True
        if bad.any():
            yield finding(
                "stuck", symbol, "warning", panel.times_ns(rows[bad]),
                what=f"these bars repeat the bar before them, {_longest(bad)} in a row at most",
                do="fetch them again; if nothing was traded, treat them as missing (repair blank-stuck)",
            )  # fmt: skip


def _longest(bad: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.r_[False, bad, False].astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max())


def check_unfinished(panel: Panel, now: pd.Timestamp | None) -> Iterator[Finding]:
    """Look for bars that had not closed at `now`; without it, for a last bar with far too little volume."""
    if now is not None:
        open_yet = panel.present & (panel.index.asi8 + panel.step > now.value)[:, None]
        for _, symbol, rows in _columns(panel, open_yet):
            closes = panel.index[rows[0]] + pd.Timedelta(panel.step)
            yield finding(
                "unfinished", symbol, "error", panel.times_ns(rows),
                what=f"the first closes {closes:%Y-%m-%d %H:%M}, the data were taken {now:%Y-%m-%d %H:%M}",
                do="drop them (repair drop-unfinished)",
            )  # fmt: skip
        return
    last = len(panel.index) - 1
    window = panel.volume[max(last - 100, 0) : last]
    if len(window) < 20:
        return
    usual, count = row_median(np.where(window > 0, window, np.nan).T)
    with np.errstate(invalid="ignore"):
        little = panel.present[last] & (count >= 20) & (panel.volume[last] < 0.05 * usual)
    for column in np.flatnonzero(little):
        yield finding(
            "unfinished", panel.symbols[column], "info", panel.times_ns(np.array([last])),
            what=f"the last bar has {panel.volume[last, column] / usual[column]:.1%} of the usual volume",
            do="say when the data were taken (now=), and drop it if it had not closed (repair drop-unfinished)",
        )  # fmt: skip
