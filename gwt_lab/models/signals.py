"""Forecasts as signals: 1, 0, -1, and how sure they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["confidence", "latest", "signals_of"]


def signals_of(forecast: np.ndarray, threshold: float, *, probabilities: bool) -> np.ndarray:
    """Return 1 from `threshold` on, -1 up to ``1 - threshold``, else 0; forecasts of returns give their sign.

    Returns
    -------
    ndarray of shape (n,)
        int8; 0 where the forecast is NaN.
    """
    high, low = (threshold, 1 - threshold) if probabilities else (0.0, 0.0)
    rises = (forecast >= high) & (forecast > (0.5 if probabilities else 0.0))
    falls = (forecast <= low) & (forecast < (0.5 if probabilities else 0.0))
    return rises.astype(np.int8) - falls.astype(np.int8)


def confidence(forecast: float, sizes: np.ndarray, *, probabilities: bool) -> float:
    """Return 0 to 1: twice the distance from one half, or the share of past forecasts that were smaller in size."""
    if not np.isfinite(forecast):
        return 0.0
    if probabilities:
        return float(abs(2 * forecast - 1))
    return float((np.asarray(sizes) < abs(forecast)).mean()) if len(sizes) else 0.0


def latest(frame: pd.DataFrame, symbol: str, column: str, sizes: np.ndarray) -> dict[str, Any]:
    """Return the last row of one symbol's forecasts as plain values."""
    row = frame.xs(symbol, level="instrument").iloc[-1]
    forecast = float(row[column])
    return {
        "symbol": symbol,
        "timestamp": frame.index[-1][0],
        "signal": int(row["signal"]),
        column: forecast,
        "confidence": confidence(forecast, sizes, probabilities=column == "probability"),
    }
