"""Compiled form of Alpha158: the columns of one symbol, row by row, written into the frame's own memory.

The plain twin is `tests/oracles/features_alpha158.py`.
"""

from __future__ import annotations

import numpy as np

from gwt_lab.features.windows import (
    BOTTOM,
    CHANGES,
    CLOSE,
    HISTORY,
    JOINT,
    MEAN_MOVED,
    MEAN_VOLUME,
    N_WINDOWS,
    SUMS,
    TOP,
    TREND,
    WINDOWS,
    advance,
    inlined_kernel,
    new_state,
    node,
)
from gwt_lab.kernels import kernel

__all__ = ["N_COLUMNS", "OUTAGE", "ROLLING", "next_rows", "quantile", "symbol_rows", "twice_rank"]

ROLLING = (
    "ROC", "MA", "STD", "BETA", "RSQR", "RESI", "MAX", "MIN", "QTLU", "QTLD", "RANK", "RSV", "IMAX", "IMIN", "IMXD",
    "CORR", "CORD", "CNTP", "CNTN", "CNTD", "SUMP", "SUMN", "SUMD", "VMA", "VSTD", "WVMA", "VSUMP", "VSUMN", "VSUMD",
)  # fmt: skip
N_COLUMNS = 13 + len(ROLLING) * N_WINDOWS
# places of the first column (window 5) of each kind
(
    ROC, MA, STD, BETA, RSQR, RESI, MAX, MIN, QTLU, QTLD, RANK, RSV, IMAX, IMIN, IMXD,
    CORR, CORD, CNTP, CNTN, CNTD, SUMP, SUMN, SUMD, VMA, VSTD, WVMA, VSUMP, VSUMN, VSUMD,
) = range(13, N_COLUMNS, N_WINDOWS)  # fmt: skip

# Rows in which nothing traded, or this symbol did not, that a column may look back beside its window.
OUTAGE = 67
# Relative to the mean: below it a window counts as constant. Rounding alone makes about 1e-16.
_CONSTANT = 1e-12


@kernel
def symbol_rows(panels, symbol, rows, picked, out, column):  # type: ignore[no-untyped-def]
    """Fill the rows of one symbol.

    Parameters
    ----------
    panels : tuple of six float64 (n_grid, n_symbols)
        Open, high, low, close, volume, vwap.
    symbol : int
        Column of the panels.
    rows : int64 (n,)
        Places of the counted rows on the time grid, and in `out`.
    picked : int64 (n_picked,)
        Places of the wanted columns among all 158.
    out : float32 (n_grid, n_symbols, n_picked)
    column : int
        Second place in `out` of this symbol.
    """
    states = new_state(1)
    state = (states[0][0], states[1][0], states[2][0], states[3][0])
    values = np.empty(N_COLUMNS, dtype=np.float32)
    straight = len(picked) == N_COLUMNS
    for place in range(len(picked)):
        straight = straight and picked[place] == place
    for i in range(len(rows)):
        t = rows[i]
        bar = (
            panels[0][t, symbol], panels[1][t, symbol], panels[2][t, symbol],
            panels[3][t, symbol], panels[4][t, symbol], panels[5][t, symbol],
        )  # fmt: skip
        advance(state, i, t, bar)
        if straight:
            row_columns(state, i, t, bar, out[t, column])
        else:
            row_columns(state, i, t, bar, values)
            for place in range(len(picked)):
                out[t, column, place] = values[picked[place]]


@kernel
def next_rows(states, row, place, bars, out):  # type: ignore[no-untyped-def]
    """Move every symbol on by one counted row and fill `out` (n_symbols, 158).

    Parameters
    ----------
    states : tuple of arrays
        As `new_state` returns them.
    row, place : int
        Number of the row among the counted ones; its place on the time grid.
    bars : float64 (6, n_symbols)
        Open, high, low, close, volume, vwap.
    """
    for s in range(bars.shape[1]):
        state = (states[0][s], states[1][s], states[2][s], states[3][s])
        bar = (bars[0, s], bars[1, s], bars[2, s], bars[3, s], bars[4, s], bars[5, s])
        advance(state, row, place, bar)
        row_columns(state, row, place, bar, out[s])


@kernel
def row_columns(state, row, place, bar, out):  # type: ignore[no-untyped-def]
    """Fill `out` (158,) with the columns of the row that the state has just been moved to."""
    recent, tree, ordered, seen = state
    close, volume = bar[3], bar[4]
    if not close == close:
        out[:] = np.nan
        return
    _bar_columns(bar, out)
    # what is divided by a close of 0 is NaN
    unit = close if close != 0 else np.nan
    at = row & (HISTORY - 1)
    for k in range(N_WINDOWS):
        d = WINDOWS[k]
        here = node(at, k)
        # whole: a bar at the window's oldest row or before, within what the column may know
        whole = seen[(at + HISTORY + 1 - d) % HISTORY] > place - (d + OUTAGE)
        one_more = seen[(at + HISTORY - d) % HISTORY] > place - (d + 1 + OUTAGE)
        if not whole:
            for column in range(ROC + k, N_COLUMNS, N_WINDOWS):
                out[column] = np.nan
            continue
        _trend_columns(tree, here + TREND, unit, k, out)
        _order_columns(recent, ordered, int(tree[here + TREND]), unit, at, k, d, out)
        _extreme_columns(tree, here, (close, unit), k, float(d), out)
        out[CORR + k] = _correlation(tree, here + JOINT)
        known = volume > 0
        out[VMA + k] = tree[here + MEAN_VOLUME + 1] / volume if known else np.nan
        out[VSTD + k] = _deviation(tree, here + MEAN_VOLUME) / volume if known else np.nan
        _change_columns(tree, here, recent[CLOSE, at + HISTORY - d] / unit, one_more, k, out)


@inlined_kernel
def _fraction(part, whole):  # type: ignore[no-untyped-def]
    """Return part / whole; nothing of nothing is 0, something of nothing is NaN."""
    value = part / whole if whole > 0 else np.nan
    return 0.0 if whole == 0 and part == 0 else value


@inlined_kernel
def _quotient(over, under):  # type: ignore[no-untyped-def]
    return over / under if under != 0 else np.nan


@inlined_kernel
def _bar_columns(bar, out):  # type: ignore[no-untyped-def]
    open_, high, low, close, _, vwap = bar
    span = high - low
    parts = (close - open_, high - max(open_, close), min(open_, close) - low, 2.0 * close - high - low)
    out[1] = _quotient(span, open_)
    for i in range(4):
        out[2 * i + (1 if i else 0)] = _quotient(parts[i], open_)
        out[2 * i + 2] = _fraction(parts[i], span)
    out[9], out[10], out[11] = _quotient(open_, close), _quotient(high, close), _quotient(low, close)
    out[12] = _quotient(vwap, close)


@inlined_kernel
def _deviation_of(count, square):  # type: ignore[no-untyped-def]
    return np.sqrt(square / (count - 1.0)) if count > 1 else np.nan


@inlined_kernel
def _deviation(tree, slot):  # type: ignore[no-untyped-def]
    return _deviation_of(tree[slot], tree[slot + 2])


@inlined_kernel
def _trend_columns(tree, slot, close, k, out):  # type: ignore[no-untyped-def]
    count, age, mean = tree[slot], tree[slot + 1], tree[slot + 2]
    spread, square, cross = tree[slot + 3], tree[slot + 4], tree[slot + 5]
    slope = -cross / spread
    least = _CONSTANT * mean
    moves = square > count * (least * least) and spread > 0
    out[MA + k] = mean / close
    out[STD + k] = _deviation_of(count, square) / close
    out[BETA + k] = slope / close
    out[RSQR + k] = min(cross * cross / (spread * square), 1.0) if moves else np.nan
    out[RESI + k] = (close - (mean + slope * age)) / close


@inlined_kernel
def quantile(ordered, k, count, q):  # type: ignore[no-untyped-def]
    """Return the quantile of the `count` numbers from place 1 on, interpolated between the two nearest."""
    place = q * (count - 1)
    lower = int(place)
    upper = min(lower + 1, count - 1)
    return ordered[k, lower + 1] + (ordered[k, upper + 1] - ordered[k, lower + 1]) * (place - lower)


@inlined_kernel
def twice_rank(recent, at, d):  # type: ignore[no-untyped-def]
    """Return twice the rank of the newest close among d, equal ones sharing the mean of their ranks."""
    newest = at + HISTORY
    new = recent[CLOSE, newest]
    twice = 2
    for i in range(newest - d + 1, newest):
        twice += (1 if recent[CLOSE, i] < new else 0) + (1 if recent[CLOSE, i] <= new else 0)
    return twice


@inlined_kernel
def _order_columns(recent, ordered, count, unit, at, k, d, out):  # type: ignore[no-untyped-def]
    out[QTLU + k] = quantile(ordered, k, count, 0.8) / unit
    out[QTLD + k] = quantile(ordered, k, count, 0.2) / unit
    out[RANK + k] = 0.5 * twice_rank(recent, at, d) / count


@inlined_kernel
def _extreme_columns(tree, here, closes, k, d, out):  # type: ignore[no-untyped-def]
    close, unit = closes
    top, top_age = tree[here + TOP], tree[here + TOP + 1]
    bottom, bottom_age = -tree[here + BOTTOM], tree[here + BOTTOM + 1]
    if not (top > -np.inf and bottom < np.inf):
        top, bottom, top_age, bottom_age = np.nan, np.nan, np.nan, np.nan
    out[MAX + k] = top / unit
    out[MIN + k] = bottom / unit
    out[RSV + k] = _fraction(close - bottom, top - bottom)
    out[IMAX + k] = (d - top_age) / d
    out[IMIN + k] = (d - bottom_age) / d
    out[IMXD + k] = (bottom_age - top_age) / d


@inlined_kernel
def _correlation(tree, slot):  # type: ignore[no-untyped-def]
    least_x, least_y = _CONSTANT * tree[slot + 1], _CONSTANT * tree[slot + 2]
    xx, yy = tree[slot + 3], tree[slot + 4]
    if not (xx > tree[slot] * (least_x * least_x) and yy > tree[slot] * (least_y * least_y)):
        return np.nan
    return max(min(tree[slot + 5] / (np.sqrt(xx) * np.sqrt(yy)), 1.0), -1.0)


@inlined_kernel
def _change_columns(tree, here, rate, one_more, k, out):  # type: ignore[no-untyped-def]
    """Columns that need the row before the window, too."""
    nothing = 0.0 if one_more else np.nan
    out[ROC + k] = rate + nothing
    out[CORD + k] = _correlation(tree, here + CHANGES) + nothing
    out[WVMA + k] = _fraction(_deviation(tree, here + MEAN_MOVED), tree[here + MEAN_MOVED + 1]) + nothing
    up, down, known = tree[here + SUMS], tree[here + SUMS + 1], tree[here + SUMS + 2]
    nothing = nothing if known > 0 else np.nan
    out[CNTP + k] = up / known + nothing
    out[CNTN + k] = down / known + nothing
    out[CNTD + k] = (up - down) / known + nothing
    for i in range(2):
        column, slot = VSUMP if i else SUMP, here + SUMS + (5 if i else 3)
        rise, fall = tree[slot], tree[slot + 1]
        whole = rise + fall
        if i:
            nothing = nothing + 0.0 if tree[here + SUMS + 7] > 0 else np.nan
        out[column + k] = _fraction(rise, whole) + nothing
        out[column + N_WINDOWS + k] = _fraction(fall, whole) + nothing
        out[column + 2 * N_WINDOWS + k] = _fraction(rise - fall, whole) + nothing
