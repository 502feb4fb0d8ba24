"""Compiled form of the Alpha158 features: one pass over the bars of one symbol.

Every value is computed from its own window and nothing else, so that it does not depend on where the data starts. The
slow plain twin is `tests/oracles/features_alpha158.py`.
"""

from __future__ import annotations

import numpy as np

from gwt_lab.kernels import kernel

__all__ = ["WINDOWS", "bar_features", "close_features", "extreme_features"]

WINDOWS = np.array([5, 10, 20, 30, 60])
N_WINDOWS = len(WINDOWS)
_EPSILON = 1e-12  # qlib's guard against bars without a range


@kernel
def bar_features(open_, high, low, close, vwap, out):  # type: ignore[no-untyped-def]
    """Fill the 13 features of single bars; inputs (n_times,), `out` (n_times, >= 13)."""
    for t in range(len(close)):
        o, h, l, c = open_[t], high[t], low[t], close[t]  # noqa: E741
        span = h - l + _EPSILON
        upper = h - max(o, c)
        lower = min(o, c) - l
        shift = 2 * c - h - l
        out[t, 0] = (c - o) / o
        out[t, 1] = (h - l) / o
        out[t, 2] = (c - o) / span
        out[t, 3] = upper / o
        out[t, 4] = upper / span
        out[t, 5] = lower / o
        out[t, 6] = lower / span
        out[t, 7] = shift / o
        out[t, 8] = shift / span
        out[t, 9] = o / c
        out[t, 10] = h / c
        out[t, 11] = l / c
        out[t, 12] = vwap[t] / c


@kernel
def close_features(rows, close, reach, warm_up, out):  # type: ignore[no-untyped-def]
    """Fill ROC, MA and STD of the five windows in columns 13 to 27 of `out`.

    Parameters
    ----------
    rows : int64 (n,)
        Positions of the counted rows on the time grid, increasing.
    close : float64 (n,)
        One symbol's closes in those rows; NaN where it has no bar.
    reach : int
        A window whose oldest row lies `reach` or more grid rows back is NaN.
    warm_up : bool
        Whether a window that begins before the data is NaN; else it holds what there is, as in qlib.
    out : float32 (n_grid, >= 28)
        Written at `rows`.
    """
    for i in range(len(rows)):
        pivot = close[i]
        if np.isnan(pivot):
            continue
        count, total, squares, age = 0, 0.0, 0.0, 0
        for w in range(N_WINDOWS):
            while age < WINDOWS[w] and age <= i and rows[i] - rows[i - age] < reach:
                # deviations from the newest close keep digits that sums of squared prices would lose
                deviation = close[i - age] - pivot
                if not np.isnan(deviation):
                    count += 1
                    total += deviation
                    squares += deviation * deviation
                age += 1
            past = i - WINDOWS[w]
            if past >= 0 and rows[i] - rows[past] < reach:
                out[rows[i], 13 + w] = close[past] / pivot
            if warm_up and age < WINDOWS[w]:
                continue
            mean = total / count
            out[rows[i], 18 + w] = (pivot + mean) / pivot
            if count > 1:
                variance = (squares - total * mean) / (count - 1)
                out[rows[i], 23 + w] = np.sqrt(max(variance, 0.0)) / pivot


@kernel
def extreme_features(rows, window, reach, warm_up, out):  # type: ignore[no-untyped-def]
    """Fill MAX and MIN of the five windows in columns 28 to 37 of `out`; `window` is (high, low, close)."""
    high, low, close = window
    for i in range(len(rows)):
        if np.isnan(close[i]):
            continue
        top, bottom, age = -np.inf, np.inf, 0
        for w in range(N_WINDOWS):
            while age < WINDOWS[w] and age <= i and rows[i] - rows[i - age] < reach:
                j = i - age
                # comparisons with NaN are false: missing bars change nothing
                if high[j] > top:
                    top = high[j]
                if low[j] < bottom:
                    bottom = low[j]
                age += 1
            if warm_up and age < WINDOWS[w]:
                continue
            if top > -np.inf:
                out[rows[i], 28 + w] = top / close[i]
            if bottom < np.inf:
                out[rows[i], 33 + w] = bottom / close[i]
