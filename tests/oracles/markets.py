"""Small random markets for tests: no structure, but every kind of hole."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gwt_lab.market.bars import Bars

START = pd.Timestamp("2024-01-01", tz="UTC")


def random_bars(n_assets: int = 3, n_bars: int = 300, *, seed: int = 0, holes: float = 0.0, **options: str) -> Bars:
    """Return bars of independent random walks; `holes` is the share of missing bars."""
    rng = np.random.default_rng(seed)
    returns = rng.standard_t(4, (n_bars, n_assets)) * 0.004
    return bars_from_returns(returns, rng, holes=holes, **options)


def bars_from_returns(
    returns: np.ndarray, rng: np.random.Generator, *, holes: float = 0.0, timeframe: str = "1h", start: str = ""
) -> Bars:
    """Return bars whose closes follow `returns` (n_times, n_assets); each open is the close before it."""
    n_bars, n_assets = returns.shape
    close = 100 * np.exp(np.cumsum(returns, axis=0))
    open_ = np.vstack([np.full(n_assets, 100.0), close[:-1]])
    wick = np.abs(rng.normal(0, 0.002, (2, n_bars, n_assets)))
    high, low = np.maximum(open_, close) * (1 + wick[0]), np.minimum(open_, close) * (1 - wick[1])
    volume = np.exp(rng.normal(3, 0.5, returns.shape))
    first = pd.Timestamp(start, tz="UTC") if start else START
    index = pd.date_range(first, periods=n_bars, freq=timeframe, unit="ns", name="datetime")
    columns = pd.Index([f"C{number:02d}/USDT" for number in range(n_assets)], name="symbol")
    missing = rng.random(returns.shape) < holes
    values = {"open": open_, "high": high, "low": low, "close": close, "volume": volume}
    panels = {
        name: pd.DataFrame(np.where(missing, np.nan, panel), index=index, columns=columns)
        for name, panel in values.items()
    }
    return Bars(**panels, timeframe=timeframe, quote_volume=(panels["volume"] * (panels["high"] + panels["low"]) / 2))
