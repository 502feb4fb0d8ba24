"""Checks of clocks: stretches shifted by whole hours against the other symbols, and labels on a local clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gwt_lab.data.quality.findings import Finding, finding
from gwt_lab.data.quality.panel import Panel

__all__ = ["Slip", "check_daylight_saving", "check_timezone_slips", "find_slips"]

_HOUR = 3600 * 10**9
_MOST_HOURS = 14  # zones reach from UTC-12 to UTC+14
_CLIP = 3.0  # local standard deviations; one crash must not decide a correlation
_LEAST_BARS = 24
# Bars within which a gap or repeated bars mark the border of a slip; one missing hour alone is no rare sight.
_SNAP, _SNAP_TO_ONE_HOUR = 48, 12
# A stretch is a candidate where the shifted correlation beats the plain one by this much, and a slip if its labels are
# exp(25) times likelier shifted than not: among 10 million stretches and shifts, chance reaches exp(16).
_CANDIDATE, _CORRELATION, _SURE = 0.25, 0.3, 25.0


@dataclass(frozen=True)
class Slip:
    """A stretch of one symbol whose labels are `hours` too late (negative: too early); rows `begin` to `stop` - 1."""

    begin: int
    stop: int
    hours: int
    plain: float
    shifted: float


def check_timezone_slips(panel: Panel) -> Iterator[Finding]:
    """Look for stretches in which a symbol moves with the others only after its labels are shifted by whole hours."""
    for column, slips in find_slips(panel).items():
        for slip in slips:
            rows = np.arange(slip.begin, slip.stop)
            rows = rows[panel.present[rows, column]]
            which = "late" if slip.hours > 0 else "early"
            yield finding(
                "timezone-slip", panel.symbols[column], "error", panel.times_ns(rows),
                what=f"labels are {abs(slip.hours)} h too {which}: correlation with the other symbols is "
                f"{slip.plain:.2f} as it stands and {slip.shifted:.2f} after the shift",
                do="fetch this stretch again, or shift its labels to UTC",
            )  # fmt: skip


def find_slips(panel: Panel) -> dict[int, list[Slip]]:
    """Return the slips by column; none for bars longer than an hour's multiple, or with fewer than two symbols."""
    if _HOUR % panel.step or panel.returns.shape[1] < 2 or len(panel.index) < 2 * _LEAST_BARS:
        return {}
    per_hour = _HOUR // panel.step
    signal = np.nan_to_num(np.clip(panel.returns / panel.scale, -_CLIP, _CLIP))
    known = (~np.isnan(panel.returns)).sum(axis=1)
    n = panel.n_symbols
    # the mean of the others, each clipped: one slipped symbol among them moves it little
    others = (signal.sum(axis=1)[:, None] - signal[:, :n]) / np.maximum(known - 1, 1)[:, None]
    signal = np.ascontiguousarray(signal[:, :n])
    block = max(_LEAST_BARS * 4, 4 * per_hour)
    candidates = _candidates(signal, others, per_hour, block)
    slips = {}
    for column in np.flatnonzero(candidates.any(axis=(0, 1))):
        hours = [int(h) - _MOST_HOURS for h in np.flatnonzero(candidates[:, :, column].any(axis=1))]
        found = _confirm(signal[:, column], others[:, column], hours, per_hour)
        if found:
            slips[int(column)] = [_snapped(slip, panel, int(column), per_hour) for slip in found]
    return slips


def _candidates(signal: np.ndarray, others: np.ndarray, per_hour: int, block: int) -> np.ndarray:
    """Return a mask of shape (2 * 14 + 1, n_blocks, n_symbols): the shifts whose correlation wins a block."""
    n = len(signal)
    n_blocks = -(-n // block)
    own = _block_sums(signal**2, block)
    squares = others**2
    correlation = np.zeros((2 * _MOST_HOURS + 1, n_blocks, signal.shape[1]))
    for position, hours in enumerate(range(-_MOST_HOURS, _MOST_HOURS + 1)):
        lag = hours * per_hour
        if abs(lag) >= n:
            continue
        product, energy = np.zeros_like(signal), np.zeros_like(signal)
        here, there = _overlap(n, lag)
        np.multiply(signal[here], others[there], out=product[here])
        energy[here] = squares[there]
        size = np.sqrt(own * _block_sums(energy, block))
        np.divide(_block_sums(product, block), size, out=correlation[position], where=size > 0)
    plain = correlation[_MOST_HOURS]
    best = correlation.max(axis=0)
    wins: np.ndarray = (correlation == best) & (best - plain > _CANDIDATE) & (best > _CORRELATION)
    return wins


def _overlap(n: int, lag: int) -> tuple[slice, slice]:
    """Return the rows t, and the rows t - lag, where both exist."""
    return (slice(lag, n), slice(0, n - lag)) if lag >= 0 else (slice(0, n + lag), slice(-lag, n))


def _block_sums(values: np.ndarray, block: int) -> np.ndarray:
    sums: np.ndarray = np.add.reduceat(values, np.arange(0, len(values), block), axis=0)
    return sums


def _confirm(signal: np.ndarray, others: np.ndarray, hours: list[int], per_hour: int) -> list[Slip]:
    """Return the stretches in which a shift wins clearly, the clearest first, without overlap."""
    free = np.ones(len(signal), dtype=bool)
    found: list[Slip] = []
    for _ in range(20):
        best: tuple[float, Slip] | None = None
        for shift in hours:
            slip, sure = _best_stretch(signal, others, shift, per_hour, free)
            if slip is not None and (best is None or sure > best[0]):
                best = (sure, slip)
        if best is None:
            break
        found.append(best[1])
        free[best[1].begin : best[1].stop] = False
    return sorted(found, key=lambda slip: slip.begin)


def _best_stretch(
    signal: np.ndarray, others: np.ndarray, hours: int, per_hour: int, free: np.ndarray
) -> tuple[Slip | None, float]:
    """Return the stretch in which the shift is likeliest against no shift, if it is beyond chance."""
    shifted = np.zeros(len(signal))
    here, there = _overlap(len(signal), hours * per_hour)
    shifted[here] = others[there]
    begin, stop = _largest_sum(signal * (shifted - others), free)
    if stop - begin >= _LEAST_BARS:
        # now that the slope is known, each bar's log likelihood draws the borders sharper
        slope = _slope(signal[begin:stop], shifted[begin:stop])
        begin, stop = _largest_sum((signal - slope * others) ** 2 - (signal - slope * shifted) ** 2, free)
    if stop - begin < _LEAST_BARS:
        return None, 0.0
    part = slice(begin, stop)
    plain = _correlation(signal[part], others[part])
    after = _correlation(signal[part], shifted[part])
    sizes = _correlation(np.abs(signal[part]), np.abs(shifted[part]))
    plain_sizes = _correlation(np.abs(signal[part]), np.abs(others[part]))
    if after < _CORRELATION or after - plain < _CANDIDATE or sizes < plain_sizes:
        return None, 0.0
    # of two regressions on the same bars
    sure = 0.5 * (stop - begin) * float(np.log((1 - plain**2) / max(1 - after**2, 1e-12)))
    return (Slip(begin, stop, hours, plain, after), sure) if sure >= _SURE else (None, 0.0)


def _slope(left: np.ndarray, right: np.ndarray) -> float:
    size = float((right**2).sum())
    return float((left * right).sum()) / size if size else 0.0


def _largest_sum(gain: np.ndarray, free: np.ndarray) -> tuple[int, int]:
    """Return begin and stop of the stretch of free bars with the largest sum."""
    best, found = -np.inf, (0, 0)
    for begin, stop in _runs(free):
        total = np.cumsum(gain[begin:stop])
        before = np.r_[0.0, total[:-1]]
        last = int(np.argmax(total - np.minimum.accumulate(before)))
        first = int(np.argmin(before[: last + 1]))
        if total[last] - before[first] > best:
            best, found = total[last] - before[first], (begin + first, begin + last + 1)
    return found


def _correlation(left: np.ndarray, right: np.ndarray) -> float:
    size = float(np.sqrt((left**2).sum() * (right**2).sum()))
    return float((left * right).sum()) / size if size else 0.0


def _snapped(slip: Slip, panel: Panel, column: int, per_hour: int) -> Slip:
    """Move the borders to the gap and the repeated bars that a shift of labels leaves, if they are near."""
    length = abs(slip.hours) * per_hour
    gaps = _runs(~panel.present[:, column], length)
    repeats = _runs(panel.repeated[:, column], length)
    # late labels leave a gap before them and repeats at their end; early labels the other way round
    starts = [stop for _, stop in gaps] if slip.hours > 0 else [begin for begin, _ in repeats]
    stops = [stop for _, stop in repeats] if slip.hours > 0 else [begin for begin, _ in gaps]
    first = int(np.flatnonzero(panel.present[:, column])[0])
    last = int(np.flatnonzero(panel.present[:, column])[-1]) + 1
    begin = min([*starts, first], key=lambda row: abs(row - slip.begin))
    stop = min([*stops, last], key=lambda row: abs(row - slip.stop))
    reach = length + (_SNAP if abs(slip.hours) > 1 else _SNAP_TO_ONE_HOUR)
    return Slip(
        begin if abs(begin - slip.begin) <= reach else slip.begin,
        stop if abs(stop - slip.stop) <= reach else slip.stop,
        slip.hours, slip.plain, slip.shifted,
    )  # fmt: skip


def _runs(mask: np.ndarray, length: int | None = None) -> list[tuple[int, int]]:
    """Return begin and stop of the runs of true values, of exactly `length` if given."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False].astype(np.int8)))
    runs = zip(edges[::2], edges[1::2], strict=True)
    return [(int(a), int(b)) for a, b in runs if length is None or b - a == length]


# ------------------------------------------------------------------------------------------------ local clocks
def check_daylight_saving(panel: Panel) -> Iterator[Finding]:
    """Look for labels on a local clock: one hour missing on a spring Sunday, one told twice on an autumn Sunday."""
    if _HOUR % panel.step:
        return
    per_hour = _HOUR // panel.step
    for column, symbol in enumerate(panel.symbols):
        missing = _sundays(panel, _runs(~panel.present[:, column], per_hour))
        twice = _sundays(panel, _runs(panel.repeated[:, column], per_hour))
        pairs = [(gap, again) for gap in missing for again in twice if 120 <= abs((gap[1] - again[1]).days) <= 245]
        # without repeats (already dropped) the same hour must be missing in two springs
        springs = [gap for gap in missing if _rule(gap[1])]
        same_hour = len({gap[1].year for gap in springs}) >= 2 and len({gap[1].hour for gap in springs}) == 1
        if not pairs and not same_hour:
            continue
        marks = {gap for gap, _ in pairs} | {again for _, again in pairs} if pairs else set(springs)
        rows = np.array(sorted(row for begin, _ in marks for row in range(begin, begin + per_hour)))
        rule = next((_rule(time) for _, time in sorted(marks) if _rule(time)), "")
        yield finding(
            "daylight-saving", symbol, "error" if pairs else "warning", panel.times_ns(rows),
            what="an hour is missing" + (" and an hour told twice" if pairs else " every spring")
            + " where local clocks change" + (f" ({rule})" if rule else ""),
            do="fetch the data again with UTC labels, or localise them with their zone before import",
        )  # fmt: skip


def _sundays(panel: Panel, runs: list[tuple[int, int]]) -> list[tuple[int, pd.Timestamp]]:
    times = [(begin, panel.index[begin]) for begin, stop in runs if begin > 0 and stop < len(panel.index)]
    return [(begin, time) for begin, time in times if time.day_of_week == 6 and time.hour <= 4]


def _rule(time: pd.Timestamp) -> str:
    """Return whose clocks change on this Sunday."""
    last = (time + pd.Timedelta(days=7)).month != time.month
    if last and time.month in (3, 10):
        return "Europe"
    second = 8 <= time.day <= 14
    if (time.month == 3 and second) or (time.month == 11 and time.day <= 7):
        return "North America"
    if time.month in (4, 10) and time.day <= 7:
        return "Australia"
    return ""
