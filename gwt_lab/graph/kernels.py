"""Compiled estimates behind the market graph. The slow plain twin is `tests/oracles/graph_estimates.py`."""

from __future__ import annotations

import numpy as np

from gwt_lab.kernels import kernel

__all__ = ["CLIP", "leaders_return", "residual_returns", "window_estimates"]

CLIP = 3.0  # residuals beyond three deviations count as three: one jump must not make an edge


@kernel
def residual_returns(close):  # type: ignore[no-untyped-def]
    """Return each symbol's return less the mean return of all symbols that traded, (n_times, n_symbols).

    NaN where a symbol has no bar or had none before, and where fewer than two symbols have a return.
    """
    n_times, n_symbols = close.shape
    out = np.full((n_times, n_symbols), np.nan)
    for t in range(1, n_times):
        count, total = 0, 0.0
        for i in range(n_symbols):
            out[t, i] = close[t, i] / close[t - 1, i] - 1.0
            if np.isfinite(out[t, i]):
                count += 1
                total += out[t, i]
            else:
                out[t, i] = np.nan
        for i in range(n_symbols):
            out[t, i] = out[t, i] - total / count if count > 1 else np.nan
    return out


@kernel
def _standardise(window, least, scores, present, deviation):  # type: ignore[no-untyped-def]
    """Write winsorised scores with mean 0 and deviation 1; 0 where missing or where too few values exist."""
    n_rows, n_symbols = window.shape
    for i in range(n_symbols):
        count, total, squares = 0, 0.0, 0.0
        for t in range(n_rows):
            if not np.isnan(window[t, i]):
                count += 1
                total += window[t, i]
        mean = total / max(count, 1)
        for t in range(n_rows):
            if not np.isnan(window[t, i]):
                squares += (window[t, i] - mean) ** 2
        deviation[i] = np.sqrt(squares / count) if count >= least else np.nan
        usable = deviation[i] > 1e-12
        if not usable:
            deviation[i] = np.nan
        total, squares = 0.0, 0.0
        for t in range(n_rows):
            present[t, i] = 1.0 if usable and not np.isnan(window[t, i]) else 0.0
            score = min(max((window[t, i] - mean) / deviation[i], -CLIP), CLIP) if present[t, i] > 0 else 0.0
            scores[t, i] = score
            total += score
            squares += score * score
        mean = total / max(count, 1)
        scale = np.sqrt(max(squares / max(count, 1) - mean * mean, 1e-12))
        for t in range(n_rows):
            scores[t, i] = (scores[t, i] - mean) / scale * present[t, i]


@kernel
def window_estimates(residual, ends, window, least):  # type: ignore[no-untyped-def]
    """Estimate the graph's raw material in windows that end at chosen rows.

    Parameters
    ----------
    residual : float64 (n_times, n_symbols)
        Market-residual returns.
    ends : int64 (n_snapshots,)
        Last row of each window, at least `window - 1`.
    window : int
        Rows in a window.
    least : int
        A symbol with fewer residuals in a window stands outside its graph.

    Returns
    -------
    correlation : float64 (n_snapshots, n_symbols, n_symbols)
        Winsorised correlation of residual returns of the same row.
    lagged : float64, same shape
        ``lagged[s, i, j]``: correlation of i's residual with j's residual one row before.
    deviation : float64 (n_snapshots, n_symbols)
        Standard deviation of the residual returns; NaN for symbols outside the graph, whose rows above are 0.
    """
    n_symbols = residual.shape[1]
    shape = (len(ends), n_symbols, n_symbols)
    correlation, lagged = np.zeros(shape), np.zeros(shape)
    deviation = np.empty((len(ends), n_symbols))
    scores = np.empty((window, n_symbols))
    present = np.empty((window, n_symbols))
    for s in range(len(ends)):
        _standardise(residual[ends[s] - window + 1 : ends[s] + 1], least, scores, present, deviation[s])
        pairs, lagged_pairs = np.zeros((n_symbols, n_symbols)), np.zeros((n_symbols, n_symbols))
        for t in range(window):
            for i in range(n_symbols):
                a, here = scores[t, i], present[t, i]
                # sums run over j side by side, so the order of additions never depends on the machine
                for j in range(n_symbols):
                    correlation[s, i, j] += a * scores[t, j]
                    pairs[i, j] += here * present[t, j]
                if t > 0:
                    for j in range(n_symbols):
                        lagged[s, i, j] += a * scores[t - 1, j]
                        lagged_pairs[i, j] += here * present[t - 1, j]
        for i in range(n_symbols):
            for j in range(n_symbols):
                correlation[s, i, j] /= max(pairs[i, j], 1.0)
                lagged[s, i, j] /= max(lagged_pairs[i, j], 1.0)
    return correlation, lagged, deviation


@kernel
def leaders_return(residual, newest, leads, deviation):  # type: ignore[no-untyped-def]
    """Return the weighted residual returns of each symbol's leaders, in the leaders' own deviations.

    Parameters
    ----------
    residual : float64 (n_times, n_symbols)
    newest : int64 (n_times,)
        Number of the snapshot that holds at each row, negative for none.
    leads : float64 (n_snapshots, n_symbols, n_symbols)
        Row: follower; column: leader.
    deviation : float64 (n_snapshots, n_symbols)

    Returns
    -------
    float64 (n_times, n_symbols)
        NaN where there is no snapshot or no leader has a return.
    """
    n_times, n_symbols = residual.shape
    out = np.full((n_times, n_symbols), np.nan)
    for t in range(n_times):
        s = newest[t]
        if s < 0:
            continue
        for i in range(n_symbols):
            found, total = False, 0.0
            for j in range(n_symbols):
                score = residual[t, j] / deviation[s, j]
                if leads[s, i, j] != 0.0 and not np.isnan(score):
                    total += leads[s, i, j] * score
                    found = True
            if found:
                out[t, i] = total
    return out
