"""A small clean market in which defects are planted: one common factor, tails, wicks, volume that moves with size."""

from __future__ import annotations

import numpy as np
import pandas as pd

START = pd.Timestamp("2021-03-01", tz="UTC")
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "ADA/USDT", "XRP/USDT", "DOT/USDT")


def clean_frame(n=1200, symbols=SYMBOLS, seed=11, step="1h", start=START):
    """Return the long frame of bars without a defect, ordered by symbol, then time."""
    rng = np.random.default_rng(seed)
    times = pd.date_range(start, periods=n, freq=step)
    season = 1 + 0.4 * np.sin(2 * np.pi * times.hour.to_numpy() / 24)
    factor = rng.standard_t(6, n) * 0.004 * season
    parts = []
    for number, symbol in enumerate(symbols):
        change = 0.9 * factor + rng.standard_t(6, n) * 0.003 * season
        close = 50 * (number + 1) * np.exp(np.cumsum(change))
        opened = np.r_[50.0 * (number + 1), close[:-1]]
        wick = np.abs(rng.normal(0, 0.002, (2, n)))
        volume = rng.lognormal(5, 0.4, n) * (1 + 60 * np.abs(change))
        parts.append(
            pd.DataFrame(
                {
                    "timestamp": times,
                    "open": opened,
                    "high": np.maximum(opened, close) * (1 + wick[0]),
                    "low": np.minimum(opened, close) * (1 - wick[1]),
                    "close": close,
                    "volume": volume,
                    "symbol": symbol,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def rows_of(frame, symbol, first=None, stop=None):
    """Return the index labels of the rows of one symbol, from bar `first` to `stop` - 1."""
    return frame.index[frame["symbol"] == symbol][first:stop]


def hour(n):
    """Return the open time of hourly bar `n`."""
    return START + pd.Timedelta(n, unit="h")
