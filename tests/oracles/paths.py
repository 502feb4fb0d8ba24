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
