"""Alpha158 as pyqlib works it out, its guards, warm-up and rounding included.

qlib stores float32 and computes with it wherever an expression has no window; windows are pandas' (``min_periods=1``)
and, for slope, residual and R squared, running sums from the symbol's first bar on. What follows from that is kept to
the letter here and named in `docs/features.md`. The plain twin is `tests/oracles/features_alpha158_qlib.py`, the judge
qlib itself.
"""

from __future__ import annotations

import numpy as np

from gwt_lab.features.alpha158_columns import (
    BETA,
    CNTD,
    CNTN,
    CNTP,
    CORD,
    CORR,
    IMAX,
    IMIN,
    IMXD,
    MA,
    MAX,
    MIN,
    N_COLUMNS,
    QTLD,
    QTLU,
    RANK,
    RESI,
    ROC,
    RSQR,
    RSV,
    STD,
    SUMP,
    VMA,
    VSTD,
    VSUMP,
    WVMA,
    quantile,
    twice_rank,
)
from gwt_lab.features.windows import (
    BOTTOM,
    CHANGES,
    CLOSE,
    HISTORY,
    JOINT,
    MEAN_MOVED,
    MEAN_VOLUME,
    MOVED,
    N_WINDOWS,
    SUMS,
    TOP,
    TREND,
    VOLUME,
    WINDOWS,
    five,
    five_top,
    inlined_kernel,
    join,
    join_top,
    join_windows,
    move_order,
    new_state,
    node,
    put,
    record,
    rounded,
)
from gwt_lab.kernels import kernel

__all__ = ["qlib_symbol_rows"]

_EPSILON = 1e-12
_LEAST = 2e-5  # qlib takes a smaller standard deviation for none
_LOST_DIGITS = 1e3 * 2.0**-52
# series and, by window, slots beside those of `windows`
_LOG_VOLUME, _RATE, _LOG_RATE, _HIGH, _LOW = 0, 1, 2, 3, 4
_OF_LOG_VOLUME, _OF_RATE, _OF_LOG_RATE, _OF_HIGH, _OF_LOW = 0, 3, 6, 9, 11
_SLOTS = 13


@kernel
def qlib_symbol_rows(panels, symbol, rows, logs, picked, out, column):  # type: ignore[no-untyped-def]
    """Fill the rows of one symbol; as `symbol_rows`, with `logs` (2, n) as `record` takes them for each counted row."""
    states = new_state(1)
    state = (states[0][0], states[1][0], states[2][0], states[3][0])
    recent, tree = np.full((5, 2 * HISTORY), np.nan), np.zeros(HISTORY * N_WINDOWS * _SLOTS)
    tree[_OF_HIGH::_SLOTS] = -np.inf
    tree[_OF_LOW::_SLOTS] = -np.inf
    recent[_HIGH : _LOW + 1] = -np.inf
    lines, spreads = np.zeros((N_WINDOWS, 6)), np.zeros((3, N_WINDOWS, 5))
    values = np.full(N_COLUMNS, np.nan, dtype=np.float32)
    first = -1
    for i in range(len(rows)):
        t = rows[i]
        bar = (
            rounded(panels[0][t, symbol], True),
            rounded(panels[1][t, symbol], True),
            rounded(panels[2][t, symbol], True),
            rounded(panels[3][t, symbol], True),
            rounded(panels[4][t, symbol], True),
            rounded(panels[5][t, symbol], True),
        )
        if first < 0 and bar[3] == bar[3]:
            first = i
        if first >= 0:
            _advance(state, (recent, tree, lines, spreads), i, bar, (logs[0, i], logs[1, i]))
            _bar_columns(bar, values)
            _row_columns(state, (tree, lines, spreads), i, first, bar, values)
        for place in range(len(picked)):
            out[i, column, place] = values[picked[place]]


@inlined_kernel
def _own(at, k):  # type: ignore[no-untyped-def]
    return ((at & (HISTORY - 1)) * N_WINDOWS + k) * _SLOTS


@inlined_kernel
def _advance(state, more, row, bar, logs):  # type: ignore[no-untyped-def]
    at = row & (HISTORY - 1)
    newest = at + HISTORY
    recent, tree, lines, spreads = more
    _, high, low, close, _, _ = bar
    last = state[0][CLOSE, newest - 1]
    record(state, row, row, bar, logs, True)
    join_windows(state[0], state[1], at)
    move_order(state[0], state[2], at)
    put(recent, _LOG_VOLUME, at, logs[0])
    put(recent, _RATE, at, rounded(close / last if last != 0 else np.nan, True))
    put(recent, _LOG_RATE, at, logs[1])
    # argmax takes the first NaN for the largest
    put(recent, _HIGH, at, high if high == high else np.inf)
    put(recent, _LOW, at, -low if low == low else np.inf)
    own = _own(at, 0)
    for i in range(3):
        five(recent, _LOG_VOLUME + i, newest, tree, own + _OF_LOG_VOLUME + 3 * i)
    five_top(recent, _HIGH, newest, tree, own + _OF_HIGH)
    five_top(recent, _LOW, newest, tree, own + _OF_LOW)
    _join_all(tree, own, _own(newest - 5, 0), _own(at, 1), 5.0)
    _join_all(tree, _own(at, 1), _own(newest - 10, 1), _own(at, 2), 10.0)
    _join_all(tree, _own(at, 2), _own(newest - 20, 1), _own(at, 3), 20.0)
    _join_all(tree, _own(at, 3), _own(newest - 30, 3), _own(at, 4), 30.0)
    for k in range(N_WINDOWS):
        _move_line(lines, k, float(WINDOWS[k]), state[0][CLOSE, newest - WINDOWS[k]], close)
        for series in (CLOSE, VOLUME, MOVED):
            _move_spread(spreads, state[0], series, k, newest)


@inlined_kernel
def _join_all(tree, newer, older, both, lag):  # type: ignore[no-untyped-def]
    for i in range(3):
        join(tree, newer + 3 * i, older + 3 * i, both + 3 * i)
    join_top(tree, newer + _OF_HIGH, older + _OF_HIGH, both + _OF_HIGH, lag)
    join_top(tree, newer + _OF_LOW, older + _OF_LOW, both + _OF_LOW, lag)


@inlined_kernel
def _move_line(lines, k, size, old, new):  # type: ignore[no-untyped-def]
    """Move the running sums n, x, x², y, y², xy of a window's line, x = 1 ... size, one row on.

    They run from the first bar on and keep every rounding error, as qlib's do.
    """
    lines[k, 5] -= lines[k, 3]
    lines[k, 2] = lines[k, 2] + lines[k, 0] - 2.0 * lines[k, 1]
    lines[k, 1] -= lines[k, 0]
    if old == old:
        lines[k, 0] -= 1.0
        lines[k, 3] -= old
        lines[k, 4] -= old * old
    if new == new:
        lines[k, 0] += 1.0
        lines[k, 1] += size
        lines[k, 2] += size * size
        lines[k, 3] += new
        lines[k, 4] += new * new
        lines[k, 5] += size * new


@kernel
def _move_spread(spreads, recent, series, k, newest):  # type: ignore[no-untyped-def]
    """Move a running variance one row on as pandas 3 does: Welford's update out and in, with Kahan's compensation.

    Per window: count, mean, sum of squares, compensations of what comes and of what goes. What a large number leaves
    behind when it goes is pandas' error, and so qlib's; where nearly all digits are lost, pandas begins the window
    anew.
    """
    old, new = recent[series, newest - WINDOWS[k]], recent[series, newest]
    lost = False
    if old == old:
        spreads[series, k, 0] -= 1.0
        if spreads[series, k, 0] > 0:
            lost = _step_spread(spreads, series, k, 4, old, -1.0)
        else:
            spreads[series, k, 1], spreads[series, k, 2] = 0.0, 0.0
    if new == new:
        spreads[series, k, 0] += 1.0
        lost = _step_spread(spreads, series, k, 3, new, 1.0) or lost
    if lost:
        spreads[series, k] = 0.0
        for at in range(newest - WINDOWS[k] + 1, newest + 1):
            if recent[series, at] == recent[series, at]:
                spreads[series, k, 0] += 1.0
                _step_spread(spreads, series, k, 3, recent[series, at], 1.0)


@inlined_kernel
def _step_spread(spreads, series, k, lost, x, sign):  # type: ignore[no-untyped-def]
    """Let a number come or go, return whether that took nearly all digits of the sum of squares."""
    count, mean, square = spreads[series, k, 0], spreads[series, k, 1], spreads[series, k, 2]
    compensation = spreads[series, k, lost]
    before = mean - compensation
    y = x - compensation
    step = y - mean
    spreads[series, k, lost] = step + mean - y
    mean = mean + sign * (step / count)
    after = square + sign * ((x - before) * (x - mean))
    spreads[series, k, 1], spreads[series, k, 2] = mean, after
    return square * _LOST_DIGITS > after


@inlined_kernel
def _spread(spreads, i, k):  # type: ignore[no-untyped-def]
    """Return a running standard deviation."""
    count = spreads[i, k, 0]
    return np.sqrt(max(spreads[i, k, 2] / (count - 1.0), 0.0)) if count > 1 else np.nan


@inlined_kernel
def _larger(a, b):  # type: ignore[no-untyped-def]
    larger = a if a > b else b
    return larger if a == a else a


@inlined_kernel
def _bar_columns(bar, out):  # type: ignore[no-untyped-def]
    open_, high, low, close, _, vwap = bar
    span = rounded(high - low, True)
    wide = rounded(span + np.float64(np.float32(_EPSILON)), True)
    parts = (
        rounded(close - open_, True),
        rounded(high - _larger(open_, close), True),
        rounded(-_larger(-open_, -close) - low, True),
        rounded(rounded(2.0 * close - high, True) - low, True),
    )
    out[1] = span / open_
    for i in range(4):
        out[2 * i + (1 if i else 0)] = parts[i] / open_
        out[2 * i + 2] = parts[i] / wide
    out[9], out[10], out[11], out[12] = open_ / close, high / close, low / close, vwap / close


@inlined_kernel
def _deviation(tree, slot):  # type: ignore[no-untyped-def]
    return np.sqrt(tree[slot + 2] / (tree[slot] - 1.0)) if tree[slot] > 1 else np.nan


@kernel
def _row_columns(state, more, row, first, bar, out):  # type: ignore[no-untyped-def]
    recent, tree, ordered, _ = state
    own, lines, spreads = more
    close, volume = bar[3], bar[4]
    volume_above_0 = rounded(volume + np.float64(np.float32(_EPSILON)), True)
    at = row & (HISTORY - 1)
    for k in range(N_WINDOWS):
        d = WINDOWS[k]
        here, there = node(at, k), _own(at, k)
        length = min(d, row - first + 1)
        count = int(tree[here + TREND])
        out[ROC + k] = recent[CLOSE, at + HISTORY - d] / close
        out[MA + k] = tree[here + TREND + 2] / close
        deviation = _spread(spreads, CLOSE, k)
        out[STD + k] = deviation / close
        _line_columns(lines, k, float(d), close, deviation, out)
        out[QTLU + k] = quantile(ordered, k, count, 0.8) / close
        out[QTLD + k] = quantile(ordered, k, count, 0.2) / close
        out[RANK + k] = 0.5 * twice_rank(recent, at, d) / count if close == close else np.nan
        _extreme_columns(tree, here, own, there, (close, float(d), float(length)), k, out)
        flat = deviation <= _LEAST or _deviation(own, there + _OF_LOG_VOLUME) <= _LEAST
        out[CORR + k] = np.nan if flat else _correlation(tree, here + JOINT)
        flat = _deviation(own, there + _OF_RATE) <= _LEAST or _deviation(own, there + _OF_LOG_RATE) <= _LEAST
        out[CORD + k] = np.nan if flat else _correlation(tree, here + CHANGES)
        up, down = tree[here + SUMS] / length, tree[here + SUMS + 1] / length
        out[CNTP + k], out[CNTN + k], out[CNTD + k] = up, down, up - down
        _sum_columns(tree, here + SUMS + 3, tree[here + SUMS + 2] > 0, SUMP + k, out)
        out[VMA + k] = tree[here + MEAN_VOLUME + 1] / volume_above_0
        out[VSTD + k] = _spread(spreads, VOLUME, k) / volume_above_0
        out[WVMA + k] = _spread(spreads, MOVED, k) / (tree[here + MEAN_MOVED + 1] + _EPSILON)
        _sum_columns(tree, here + SUMS + 5, tree[here + SUMS + 7] > 0, VSUMP + k, out)


@inlined_kernel
def _line_columns(lines, k, size, close, deviation, out):  # type: ignore[no-untyped-def]
    n, x, xx, y, yy, xy = lines[k, 0], lines[k, 1], lines[k, 2], lines[k, 3], lines[k, 4], lines[k, 5]
    joint, spread = n * xy - x * y, n * xx - x * x
    slope = joint / spread
    out[BETA + k] = slope / close
    r = joint / np.sqrt(spread * (n * yy - y * y))
    out[RSQR + k] = np.nan if deviation <= _LEAST else r * r
    out[RESI + k] = (close - (slope * size + (y / n - slope * (x / n)))) / close


@inlined_kernel
def _extreme_columns(tree, here, own, there, numbers, k, out):  # type: ignore[no-untyped-def]
    close, d, length = numbers
    top, bottom = tree[here + TOP], -tree[here + BOTTOM]
    out[MAX + k], out[MIN + k] = top / close, bottom / close
    out[RSV + k] = (close - bottom) / (top - bottom + _EPSILON)
    highest = length - own[there + _OF_HIGH + 1] if top > -np.inf else np.nan
    lowest = length - own[there + _OF_LOW + 1] if bottom < np.inf else np.nan
    out[IMAX + k], out[IMIN + k], out[IMXD + k] = highest / d, lowest / d, (highest - lowest) / d


@inlined_kernel
def _correlation(tree, slot):  # type: ignore[no-untyped-def]
    return tree[slot + 5] / (np.sqrt(tree[slot + 3]) * np.sqrt(tree[slot + 4]))


@inlined_kernel
def _sum_columns(tree, slot, known, column, out):  # type: ignore[no-untyped-def]
    rise, fall = tree[slot], tree[slot + 1]
    whole = rise + fall + _EPSILON if known else np.nan
    out[column], out[column + N_WINDOWS], out[column + 2 * N_WINDOWS] = (
        rise / whole,
        fall / whole,
        (rise - fall) / whole,
    )
