"""The estimates behind the market graph, one pair of symbols at a time."""

from __future__ import annotations

import numpy as np


def residuals_oracle(close: np.ndarray) -> np.ndarray:
    out = np.full(close.shape, np.nan)
    for t in range(1, len(close)):
        returns = close[t] / close[t - 1] - 1
        returns[~np.isfinite(returns)] = np.nan
        if np.isfinite(returns).sum() > 1:
            out[t] = returns - np.nanmean(returns)
    return out


def estimates_oracle(
    residual: np.ndarray, ends: np.ndarray, window: int, least: int, clip: float = 3.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = residual.shape[1]
    correlation, lagged = np.zeros((len(ends), n, n)), np.zeros((len(ends), n, n))
    deviation = np.full((len(ends), n), np.nan)
    for number, end in enumerate(ends):
        part = residual[end - window + 1 : end + 1]
        scores = np.full(part.shape, np.nan)
        for i in range(n):
            there = part[:, i][~np.isnan(part[:, i])]
            if len(there) < least or there.std() <= 1e-12:
                continue
            deviation[number, i] = there.std()
            clipped = np.clip((part[:, i] - there.mean()) / there.std(), -clip, clip)
            scores[:, i] = (clipped - np.nanmean(clipped)) / np.nanstd(clipped)
        for i in range(n):
            for j in range(n):
                both = scores[:, i] * scores[:, j]
                late = scores[1:, i] * scores[:-1, j]
                correlation[number, i, j] = np.nansum(both) / max(np.isfinite(both).sum(), 1)
                lagged[number, i, j] = np.nansum(late) / max(np.isfinite(late).sum(), 1)
    return correlation, lagged, deviation


def leaders_return_oracle(
    residual: np.ndarray, newest: np.ndarray, leads: np.ndarray, deviation: np.ndarray
) -> np.ndarray:
    out = np.full(residual.shape, np.nan)
    for t, snapshot in enumerate(newest):
        if snapshot < 0:
            continue
        parts = leads[snapshot] * (residual[t] / deviation[snapshot])
        parts[leads[snapshot] == 0] = np.nan
        there = np.isfinite(parts) | np.isinf(parts)
        out[t] = np.where(there.any(axis=1), np.where(there, parts, 0.0).sum(axis=1), np.nan)
    return out
