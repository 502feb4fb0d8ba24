"""Small markets written bar by bar, for tests whose answers are computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.market.bars import Bars
from gwt_lab.market.orders import KIND_NAMES

NAN = float("nan")
FREE = {"fees": 0.0, "slippage": 0.0}


def bars(
    *columns: list[Any], volume: float = 1_000.0, timeframe: str = "1h", start: str = "2024-01-01", **rest
) -> Bars:
    """Return bars of one symbol a list; an entry is (open, high, low, close), one number for a still bar, or None."""
    panels = []
    for rows in columns:
        filled = [(NAN,) * 4 if row is None else (row,) * 4 if isinstance(row, (int, float)) else row for row in rows]
        panels.append(np.array(filled, dtype=float))
    freq = timeframe.upper() if timeframe.endswith("d") else timeframe
    index = pd.date_range(start, periods=len(panels[0]), freq=freq, unit="ns", tz="UTC", name="datetime")
    names = pd.Index([f"{letter}{letter}/USDT" for letter in "ABCDE"[: len(panels)]], name="symbol")
    frames = {
        name: pd.DataFrame(np.column_stack([panel[:, k] for panel in panels]), index, names)
        for k, name in enumerate(("open", "high", "low", "close"))
    }
    return Bars(**frames, volume=frames["close"] * 0 + volume, timeframe=timeframe, **rest)


def at(market: Bars, *rows: int, column: int | None = None) -> np.ndarray:
    """Return signals at these rows, in one column or in all."""
    signals = np.zeros(market.shape, dtype=bool)
    for row in rows:
        signals[row, slice(None) if column is None else column] = True
    return signals


def orders(market: Bars, placed: dict[int | tuple[int, int], float]) -> np.ndarray:
    """Return sizes: a row, or (row, column), and how much."""
    sizes = np.full(market.shape, np.nan)
    for place, size in placed.items():
        row, column = place if isinstance(place, tuple) else (place, 0)
        sizes[row, column] = size
    return sizes


def told(pf: Portfolio) -> list[tuple[int, str, float, float]]:
    """Return row, kind, signed amount and price of every fill, rounded to what a hand computes."""
    return [(int(r), KIND_NAMES[int(k)], round(a, 9), round(p, 9)) for r, _, a, p, _, k in pf.fills]
