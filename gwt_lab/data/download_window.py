"""From times to open times: the first bar at or after a time, the last bar that has closed. All in ms since 1970."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gwt_lab.market.time import on_grid, timeframe_ns

__all__ = ["first_open", "last_closed", "moment", "open_of"]

_FIRST_MONDAY_MS = 4 * 86_400_000


def open_of(time_ms: int, timeframe: str) -> int:
    """Return the open time of the bar that a time lies in."""
    step = timeframe_ns(timeframe) // 1_000_000
    # all bars count from 1970, weeks from its first Monday
    origin = 0 if on_grid(np.array([0]), timeframe).all() else _FIRST_MONDAY_MS
    return (time_ms - origin) // step * step + origin


def first_open(when: pd.Timestamp, timeframe: str) -> int:
    """Return the first open time at or after a time."""
    step_ns = timeframe_ns(timeframe)
    return open_of((when.value + step_ns - 1) // 1_000_000, timeframe)


def last_closed(now_ms: int, timeframe: str) -> int:
    """Return the open time of the last bar that has closed."""
    return open_of(now_ms, timeframe) - timeframe_ns(timeframe) // 1_000_000


def moment(time_ms: int) -> pd.Timestamp:
    """Return ms since 1970 as a time in UTC."""
    return pd.Timestamp(time_ms, unit="ms", tz="UTC").as_unit("ns")
