"""Compiled windows of 5, 10, 20, 30 and 60 rows over the bars of one symbol, moved on row by row.

A window of 10 rows is two of 5, one of 20 two of 10, one of 30 is 20 and 10, one of 60 two of 30: one combination a
window and row, whatever its length. Nothing is ever taken out of a running sum, so a value is a function of its own
window alone: no digits are lost after a spike, and the bits are the same wherever the data starts.

The plain twin of all of it is `tests/oracles/features_alpha158.py`.
"""

from __future__ import annotations

import numpy as np

from gwt_lab.kernels import kernel

__all__ = [
    "HISTORY",
    "N_WINDOWS",
    "WINDOWS",
    "advance",
    "five",
    "five_top",
    "inlined_kernel",
    "join",
    "join_top",
    "join_windows",
    "log1p",
    "move_order",
    "new_state",
    "node",
    "put",
    "record",
    "rounded",
]

WINDOWS = (5, 10, 20, 30, 60)
N_WINDOWS = len(WINDOWS)
HISTORY = 64  # rows that a state remembers; a power of two above 60

# what a state remembers of each row
N_SERIES = 17
(
    CLOSE, VOLUME, MOVED, CLOSE_1, LOG_VOLUME, RATE, LOG_RATE, HIGH, LOW,
    UP, DOWN, KNOWN, RISE, FALL, MORE, LESS, KNOWN_VOLUME,
) = range(N_SERIES)  # fmt: skip

# what it remembers of each window: count, mean(s), sums of squares and products about the means, sums, extremes
SLOTS = 36
TREND, MEAN_VOLUME, MEAN_MOVED, JOINT, CHANGES, SUMS, TOP, BOTTOM = 0, 6, 9, 12, 18, 24, 32, 34
N_SUMS = 8  # of the series from UP on

_FAR_PAST = -(2**60)
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_ROOT2 = 1.4142135623730951


# A call passes every field of every array: inlined, that costs nothing. Only kernels may call these: from Python they
# would crash.
inlined_kernel = kernel(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


@kernel
def new_state(n_symbols):  # type: ignore[no-untyped-def]
    """Return the state of symbols before their first bar.

    Returns
    -------
    tuple of arrays, symbols first
        recent : float64 (n_symbols, N_SERIES, 2 * HISTORY)
            Series by row, written twice, so that the latest 64 rows lie side by side.
        tree : float64 (n_symbols, HISTORY * N_WINDOWS * SLOTS)
            Flat, since each view of an array costs more than the arithmetic on it; `node` says where a window begins.
        ordered : float64 (n_symbols, N_WINDOWS, 62)
            The closes of each window in order, between -inf and inf.
        seen : int64 (n_symbols, HISTORY + 1)
            Place on the time grid of the symbol's latest bar, at each row and (last) now.
    """
    recent = np.full((n_symbols, N_SERIES, 2 * HISTORY), np.nan)
    tree = np.zeros((n_symbols, HISTORY * N_WINDOWS * SLOTS))
    ordered = np.full((n_symbols, N_WINDOWS, WINDOWS[-1] + 2), np.inf)
    seen = np.full((n_symbols, HISTORY + 1), _FAR_PAST)
    for symbol in range(n_symbols):
        recent[symbol, UP : KNOWN_VOLUME + 1] = 0.0
        recent[symbol, HIGH : LOW + 1] = -np.inf
        tree[symbol, TOP::SLOTS] = -np.inf
        tree[symbol, BOTTOM::SLOTS] = -np.inf
        ordered[symbol, :, 0] = -np.inf
    return recent, tree, ordered, seen


@kernel(forceinline=True)
def log1p(x):  # type: ignore[no-untyped-def]
    """Return ln(1 + x); NaN where x is not a finite number above -1.

    Written out, so that the same bits come on every machine: libraries differ in the last one.
    """
    u = 1.0 + x
    bits = np.float64(u).view(np.int64)
    exponent = (bits >> 52) - 1023
    mantissa = np.int64((bits & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000).view(np.float64)
    high = mantissa > _ROOT2
    f = (0.5 * mantissa if high else mantissa) - 1.0
    e = np.float64(exponent + 1 if high else exponent)
    s = f / (2.0 + f)
    z = s * s
    # 2 artanh(s) as its series; |s| < 0.172
    p = 1 / 13.0 + z * (1 / 15.0 + z * (1 / 17.0 + z * (1 / 19.0 + z * (1 / 21.0))))
    p = 1 / 3.0 + z * (1 / 5.0 + z * (1 / 7.0 + z * (1 / 9.0 + z * (1 / 11.0 + z * p))))
    lost = (x - (u - 1.0)) / u
    value = e * _LN2_HIGH + (2.0 * s + (2.0 * s * z * p + (e * _LN2_LOW + lost)))
    # x - x is NaN for infinity
    return value + (x - x) if u > 0 else np.nan


@inlined_kernel
def rounded(x, narrow):  # type: ignore[no-untyped-def]
    """Return `x`, or the float32 nearest to it."""
    return np.float64(np.float32(x)) if narrow else x


@inlined_kernel
def put(recent, series, at, value):  # type: ignore[no-untyped-def]
    """Write a row of a series in both its places."""
    recent[series, at] = value
    recent[series, at + HISTORY] = value


@inlined_kernel
def record(state, row, place, bar, logs, narrow):  # type: ignore[no-untyped-def]
    """Write what a bar adds to the series of its symbol.

    Parameters
    ----------
    state : tuple of arrays
        One symbol's part of `new_state`.
    row, place : int
        Number of the row among the counted ones; its place on the time grid.
    bar : tuple of six float64
        Open, high, low, close, volume, vwap; NaN without a bar.
    logs : tuple of two float64
        ln(volume + 1) and ln(volume / volume before + 1).
    narrow : bool
        Whether every step is rounded to float32, as arithmetic on float32 is.
    """
    recent, _, _, seen = state
    _, high, low, close, volume, _ = bar
    at = row & (HISTORY - 1)
    last, last_volume = recent[CLOSE, at + HISTORY - 1], recent[VOLUME, at + HISTORY - 1]
    rate = rounded(close / last if last != 0 else np.nan, narrow)
    change, more = rounded(close - last, narrow), rounded(volume - last_volume, narrow)
    put(recent, CLOSE, at, close)
    put(recent, VOLUME, at, volume)
    put(recent, MOVED, at, rounded(abs(rounded(rate - 1.0, narrow)) * volume, narrow))
    put(recent, CLOSE_1, at, close if logs[0] == logs[0] else np.nan)
    put(recent, LOG_VOLUME, at, logs[0] if close == close else np.nan)
    put(recent, RATE, at, rate if logs[1] == logs[1] else np.nan)
    put(recent, LOG_RATE, at, logs[1] if rate == rate else np.nan)
    put(recent, HIGH, at, high if high == high else -np.inf)
    put(recent, LOW, at, -low if low == low else -np.inf)
    put(recent, UP, at, 1.0 if change > 0 else 0.0)
    put(recent, DOWN, at, 1.0 if change < 0 else 0.0)
    put(recent, KNOWN, at, 1.0 if change == change else 0.0)
    put(recent, RISE, at, change if change > 0 else 0.0)
    put(recent, FALL, at, -change if change < 0 else 0.0)
    put(recent, MORE, at, more if more > 0 else 0.0)
    put(recent, LESS, at, -more if more < 0 else 0.0)
    put(recent, KNOWN_VOLUME, at, 1.0 if more == more else 0.0)
    if close == close:
        seen[HISTORY] = place
    seen[at] = seen[HISTORY]


@kernel
def advance(state, row, place, bar):  # type: ignore[no-untyped-def]
    """Move all windows of one symbol on to the next counted row; parameters as those of `record`."""
    recent, tree, ordered, _ = state
    at = row & (HISTORY - 1)
    last_volume = recent[VOLUME, at + HISTORY - 1]
    volume = bar[4]
    logs = (log1p(volume), log1p(volume / last_volume if last_volume != 0 else np.nan))
    record(state, row, place, bar, logs, False)
    join_windows(recent, tree, at)
    move_order(recent, ordered, at)


@inlined_kernel
def node(at, k):  # type: ignore[no-untyped-def]
    """Return where window k of the row in place `at` begins in the tree."""
    return ((at & (HISTORY - 1)) * N_WINDOWS + k) * SLOTS


@inlined_kernel
def join_windows(recent, tree, at):  # type: ignore[no-untyped-def]
    """Fill the five windows that end at the row in place `at`."""
    newest = at + HISTORY
    first = node(at, 0)
    five(recent, VOLUME, newest, tree, first + MEAN_VOLUME)
    five(recent, MOVED, newest, tree, first + MEAN_MOVED)
    _five_trend(recent, CLOSE, newest, tree, first + TREND)
    _five_pair(recent, CLOSE_1, LOG_VOLUME, newest, tree, first + JOINT)
    _five_pair(recent, RATE, LOG_RATE, newest, tree, first + CHANGES)
    for i in range(N_SUMS):
        tree[first + SUMS + i] = _total(_latest(recent, UP + i, newest))
    five_top(recent, HIGH, newest, tree, first + TOP)
    five_top(recent, LOW, newest, tree, first + BOTTOM)
    _join_all(tree, first, node(newest - 5, 0), node(at, 1), 5.0)
    _join_all(tree, node(at, 1), node(newest - 10, 1), node(at, 2), 10.0)
    _join_all(tree, node(at, 2), node(newest - 20, 1), node(at, 3), 20.0)
    _join_all(tree, node(at, 3), node(newest - 30, 3), node(at, 4), 30.0)


@kernel
def _join_all(tree, newer, older, both, lag):  # type: ignore[no-untyped-def]
    """Put the window at `older`, `lag` rows back, and the one at `newer` together at `both`."""
    _join_pair(tree, newer + TREND, older + TREND, both + TREND, lag)
    join(tree, newer + MEAN_VOLUME, older + MEAN_VOLUME, both + MEAN_VOLUME)
    join(tree, newer + MEAN_MOVED, older + MEAN_MOVED, both + MEAN_MOVED)
    _join_pair(tree, newer + JOINT, older + JOINT, both + JOINT, 0.0)
    _join_pair(tree, newer + CHANGES, older + CHANGES, both + CHANGES, 0.0)
    for i in range(SUMS, SUMS + N_SUMS):
        tree[both + i] = tree[newer + i] + tree[older + i]
    join_top(tree, newer + TOP, older + TOP, both + TOP, lag)
    join_top(tree, newer + BOTTOM, older + BOTTOM, both + BOTTOM, lag)


@inlined_kernel
def _latest(recent, series, newest):  # type: ignore[no-untyped-def]
    """Return five rows, the newest first."""
    return (
        recent[series, newest], recent[series, newest - 1], recent[series, newest - 2],
        recent[series, newest - 3], recent[series, newest - 4],
    )  # fmt: skip


@inlined_kernel
def _total(a):  # type: ignore[no-untyped-def]
    return ((a[0] + a[1]) + (a[2] + a[3])) + a[4]


@inlined_kernel
def _product(a, b):  # type: ignore[no-untyped-def]
    return ((a[0] * b[0] + a[1] * b[1]) + (a[2] * b[2] + a[3] * b[3])) + a[4] * b[4]


@inlined_kernel
def _or(x, other):  # type: ignore[no-untyped-def]
    return x if x == x else other


@inlined_kernel
def _steps(x):  # type: ignore[no-untyped-def]
    """Return the newest number among five (0 if there is none) and the deviations from it, 0 where there is no number.

    Deviations from one of the prices keep the digits that squares of prices would lose.
    """
    pivot = _or(x[0], _or(x[1], _or(x[2], _or(x[3], _or(x[4], 0.0)))))
    steps = (
        _or(x[0] - pivot, 0.0), _or(x[1] - pivot, 0.0), _or(x[2] - pivot, 0.0),
        _or(x[3] - pivot, 0.0), _or(x[4] - pivot, 0.0),
    )  # fmt: skip
    return pivot, steps


@inlined_kernel
def _there(x):  # type: ignore[no-untyped-def]
    """Return 1 for each of five rows with a number, else 0."""
    return (
        1.0 if x[0] == x[0] else 0.0, 1.0 if x[1] == x[1] else 0.0, 1.0 if x[2] == x[2] else 0.0,
        1.0 if x[3] == x[3] else 0.0, 1.0 if x[4] == x[4] else 0.0,
    )  # fmt: skip


@inlined_kernel
def five(recent, x, newest, tree, slot):  # type: ignore[no-untyped-def]
    """Fill count, mean and sum of squares of five rows of a series, from `slot` on."""
    rows = _latest(recent, x, newest)
    pivot, steps = _steps(rows)
    count, total = _total(_there(rows)), _total(steps)
    mean = total / max(count, 1.0)
    square = max(_product(steps, steps) - total * mean, 0.0)
    tree[slot], tree[slot + 1], tree[slot + 2] = count, pivot + mean, square


@inlined_kernel
def _put_pair(tree, slot, count, pivots, steps):  # type: ignore[no-untyped-def]
    x_steps, y_steps = steps
    x_total, y_total = _total(x_steps), _total(y_steps)
    size = max(count, 1.0)
    x_mean, y_mean = x_total / size, y_total / size
    xx = max(_product(x_steps, x_steps) - x_total * x_mean, 0.0)
    yy = max(_product(y_steps, y_steps) - y_total * y_mean, 0.0)
    xy = _product(x_steps, y_steps) - x_total * y_mean
    tree[slot], tree[slot + 1], tree[slot + 2] = count, pivots[0] + x_mean, pivots[1] + y_mean
    tree[slot + 3], tree[slot + 4], tree[slot + 5] = xx, yy, xy


@inlined_kernel
def _five_pair(recent, x, y, newest, tree, slot):  # type: ignore[no-untyped-def]
    x_rows, y_rows = _latest(recent, x, newest), _latest(recent, y, newest)
    x_pivot, x_steps = _steps(x_rows)
    y_pivot, y_steps = _steps(y_rows)
    _put_pair(tree, slot, _total(_there(y_rows)), (x_pivot, y_pivot), (x_steps, y_steps))


@inlined_kernel
def _five_trend(recent, y, newest, tree, slot):  # type: ignore[no-untyped-def]
    """As `_five_pair`, with x the age of each row."""
    rows = _latest(recent, y, newest)
    pivot, steps = _steps(rows)
    there = _there(rows)
    ages = (0.0, there[1], 2.0 * there[2], 3.0 * there[3], 4.0 * there[4])
    _put_pair(tree, slot, _total(there), (0.0, pivot), (ages, steps))


@inlined_kernel
def five_top(recent, x, newest, tree, slot):  # type: ignore[no-untyped-def]
    """Fill the largest of five rows and its age, from `slot` on."""
    rows = _latest(recent, x, newest)
    top, age = rows[0], 0.0
    for k in range(1, 5):
        # of equal ones the oldest
        age = float(k) if rows[k] >= top else age
        top = rows[k] if rows[k] >= top else top
    tree[slot], tree[slot + 1] = top, age


@inlined_kernel
def join(tree, newer, older, both):  # type: ignore[no-untyped-def]
    """Put two windows together: count, mean and sum of squares about it. An empty one has mean 0 and takes no part."""
    n_count, n_mean, n_square = tree[newer], tree[newer + 1], tree[newer + 2]
    o_count, o_mean, o_square = tree[older], tree[older + 1], tree[older + 2]
    count = n_count + o_count
    share = o_count / max(count, 1.0)
    step = o_mean - n_mean
    square = (n_square + o_square) + step * step * (n_count * share)
    tree[both], tree[both + 1], tree[both + 2] = count, n_mean + step * share, square


@inlined_kernel
def _join_pair(tree, newer, older, both, lag):  # type: ignore[no-untyped-def]
    """Put two windows of pairs together, the older one's x being `lag` larger there than here."""
    n_count, n_x, n_y = tree[newer], tree[newer + 1], tree[newer + 2]
    o_count, o_x, o_y = tree[older], tree[older + 1], tree[older + 2]
    xx, yy, xy = tree[newer + 3] + tree[older + 3], tree[newer + 4] + tree[older + 4], tree[newer + 5] + tree[older + 5]
    count = n_count + o_count
    share = o_count / max(count, 1.0)
    weight = n_count * share
    x_step, y_step = (o_x + lag) - n_x, o_y - n_y
    tree[both], tree[both + 1], tree[both + 2] = count, n_x + x_step * share, n_y + y_step * share
    tree[both + 3] = xx + x_step * x_step * weight
    tree[both + 4] = yy + y_step * y_step * weight
    tree[both + 5] = xy + x_step * y_step * weight


@inlined_kernel
def join_top(tree, newer, older, both, lag):  # type: ignore[no-untyped-def]
    """Put two windows together: the largest and its age, `lag` rows older in the older one."""
    n_top, n_age, o_top, o_age = tree[newer], tree[newer + 1], tree[older], tree[older + 1]
    tree[both] = o_top if o_top >= n_top else n_top
    tree[both + 1] = o_age + lag if o_top >= n_top else n_age


@inlined_kernel
def _exchange(ordered, k, size, old, new):  # type: ignore[no-untyped-def]
    """Take `old` out of an ordered window and put `new` in, infinity standing for no number.

    No place is searched: an element after the exchange depends on itself and its two neighbours before, so the loop has
    no branch to be guessed wrong.
    """
    lower, here = -np.inf, ordered[k, 1]
    for i in range(1, size + 1):
        upper = ordered[k, i + 1]
        # without the old one, what stands at this place and at the one below
        kept, below = here if here < old else upper, lower if lower < old else here
        raised = new if new > below else below
        ordered[k, i] = raised if raised < kept else kept
        lower, here = here, upper


@inlined_kernel
def move_order(recent, ordered, at):  # type: ignore[no-untyped-def]
    """Put the close in place `at` into the ordered windows and take the oldest out."""
    newest = at + HISTORY
    new = _or(recent[CLOSE, newest], np.inf)
    _exchange(ordered, 0, 5, _or(recent[CLOSE, newest - 5], np.inf), new)
    _exchange(ordered, 1, 10, _or(recent[CLOSE, newest - 10], np.inf), new)
    _exchange(ordered, 2, 20, _or(recent[CLOSE, newest - 20], np.inf), new)
    _exchange(ordered, 3, 30, _or(recent[CLOSE, newest - 30], np.inf), new)
    _exchange(ordered, 4, 60, _or(recent[CLOSE, newest - 60], np.inf), new)
