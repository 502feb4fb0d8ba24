"""Small random markets and signals that these tests trade."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gwt_lab.market.bars import Bars


def market(
    n_times: int, *, seed: int, holes: float = 0.0, symbols: Sequence[str] = ("A/USDT", "B/USDT"), freq: str = "1h"
) -> Bars:
    """Return hourly bars whose open jumps from the last close; `holes` of them are missing."""
    rng = np.random.default_rng(seed)
    index = pd.date_range("2021-01-01", periods=n_times, freq=freq.replace("d", "D"), tz="UTC")
    parts = []
    for symbol in symbols:
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n_times)))
        opened = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0, 0.002, n_times))
        high = np.maximum(opened, close) * (1 + rng.uniform(0, 0.01, n_times))
        low = np.minimum(opened, close) * (1 - rng.uniform(0, 0.01, n_times))
        frame = pd.DataFrame({"open": opened, "high": high, "low": low, "close": close, "volume": 1.0})
        frame.insert(0, "timestamp", index)
        frame.insert(1, "symbol", symbol)
        kept = rng.uniform(size=n_times) >= holes
        kept[0] = kept[-1] = True
        parts.append(frame[kept])
    return Bars.from_frame(pd.concat(parts), timeframe=freq)


def by_hand(*rows: tuple[float, float, float, float], symbol: str = "A/USDT") -> Bars:
    """Return hourly bars of one symbol from (open, high, low, close); a row of NaN is no bar."""
    index = pd.date_range("2021-01-01", periods=len(rows), freq="h", tz="UTC")
    frame = pd.DataFrame(rows, columns=["open", "high", "low", "close"]).assign(volume=1.0)
    frame.insert(0, "timestamp", index)
    frame.insert(1, "symbol", symbol)
    return Bars.from_frame(frame.dropna(), timeframe="1h")


def random_signals(bars: Bars, *, seed: int, rate: float = 0.15) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return random entries and exits for every symbol."""
    rng = np.random.default_rng(seed)
    return tuple(
        pd.DataFrame(rng.uniform(size=bars.shape) < rate, index=bars.index, columns=bars.close.columns)
        for _ in range(2)
    )


def flags(bars: Bars, *rows: int) -> pd.Series:
    """Return a signal that is True in the given rows."""
    return pd.Series(np.isin(np.arange(bars.n_times), rows), index=bars.index)
