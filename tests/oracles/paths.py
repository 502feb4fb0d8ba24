"""Random paths for backtests: opens that differ from the closes before them, holes, and weights of every kind."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gwt_lab.market.bars import Bars


def bars_of(open_: np.ndarray, close: np.ndarray, *, timeframe: str = "1h", **options) -> Bars:
    """Return bars of given opens and closes, (n_times, n_symbols)."""
    index = pd.date_range("2024-01-01", periods=len(close), freq=timeframe, unit="ns", tz="UTC", name="datetime")
    columns = pd.Index([f"C{number:02d}/USDT" for number in range(close.shape[1])], name="symbol")
    values = {
        "open": open_,
        "high": np.maximum(open_, close),
        "low": np.minimum(open_, close),
        "close": close,
        "volume": np.where(np.isnan(close), np.nan, 1.0),
    }
    frames = {name: pd.DataFrame(panel, index=index, columns=columns) for name, panel in values.items()}
    return Bars(**frames, timeframe=timeframe, **options)


def random_paths(seed: int, n_times: int, n_symbols: int, *, holes: float = 0.0) -> Bars:
    """Return bars whose opens jump away from the close before; `holes` is the share of missing bars."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (n_times, n_symbols)), axis=0))
    open_ = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.002, close.shape))
    gone = rng.random(close.shape) < holes
    return bars_of(np.where(gone, np.nan, open_), np.where(gone, np.nan, close))


def random_weights(seed: int, bars: Bars, *, long_only: bool = False, holds: float = 0.0) -> pd.DataFrame:
    """Return weights: long only they sum to 1, else each is normal; `holds` is the share of NaN."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.4, bars.shape)
    if long_only:
        weights = np.abs(weights) / np.abs(weights).sum(axis=1, keepdims=True)
    weights[rng.random(bars.shape) < holds] = np.nan
    return pd.DataFrame(weights, index=bars.index, columns=bars.close.columns)


def hostile_bars(rng: np.random.Generator, n_times: int, n_symbols: int) -> Bars:
    """Return bars with jumps between bars, wide ranges, still stretches, missing bars and single missing fields."""
    moves = rng.normal(0, 0.02, (n_times, n_symbols)) * (rng.random((n_times, n_symbols)) < 0.8)
    close = rng.choice([1e-6, 1.0, 3e4], n_symbols) * np.exp(np.cumsum(moves, axis=0))
    open_ = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.01, close.shape))
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.02, close.shape)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.02, close.shape)))
    panels = {"open": open_, "high": high, "low": low, "close": close, "volume": rng.gamma(2, 50, close.shape)}
    gone = rng.random(close.shape) < 0.1
    for name, panel in panels.items():
        panel[gone | (rng.random(close.shape) < (0.05 if name != "close" else 0.0))] = np.nan
    bars = bars_of(open_, close)
    frames = {name: pd.DataFrame(panel, index=bars.index, columns=bars.close.columns) for name, panel in panels.items()}
    return Bars(**frames, timeframe="1h")
