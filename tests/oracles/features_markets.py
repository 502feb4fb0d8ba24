"""Ordinary and hostile bars for tests of features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from gwt_lab.data.load import load_bars
from gwt_lab.market.bars import PANELS, Bars
from tests.oracles.markets import random_bars

PRICES = ("open", "high", "low", "close")


def panels(bars: Bars) -> dict[str, pd.DataFrame]:
    """Return copies of the panels that may be written to."""
    return {name: getattr(bars, name).copy() for name in PANELS if getattr(bars, name) is not None}


def narrow(bars: Bars) -> Bars:
    """Return the bars rounded to float32."""
    return replace(bars, **{name: panel.astype(np.float32).astype(float) for name, panel in panels(bars).items()})


def with_outages() -> Bars:
    """Return bars where nothing trades in rows 40-49 and 120-199, and the second symbol is listed in row 90."""
    bars = random_bars(3, 400, seed=5)
    frames = panels(bars)
    for frame in frames.values():
        frame.iloc[40:50] = np.nan
        frame.iloc[120:200] = np.nan
        frame.iloc[:90, 1] = np.nan
    return replace(bars, **frames)


def hostile() -> Bars:
    """Return a constant coin, one of 1e-8, one of 1e6, one that rests and wakes; volumes of zero, no quote volume."""
    bars = random_bars(5, 400, seed=9)
    frames = panels(bars)
    rng = np.random.default_rng(1)
    for name in PRICES:
        frames[name].iloc[:, 0] = 3.0e-6
        frames[name].iloc[:, 1] *= 1e-10
        frames[name].iloc[:, 2] *= 1e4
        frames[name].iloc[100:180, 3] = frames["close"].iloc[100, 3]
        frames[name].iloc[250:255, 3] = frames["close"].iloc[250, 3]
    frames["volume"].iloc[50:60] = 0.0
    frames["volume"].iloc[200:290, 0] = 0.0
    frames["volume"].iloc[:, 1] *= 1e9
    frames["volume"].iloc[:, 4] *= np.where(rng.random(400) < 0.3, 0.0, np.exp(rng.normal(0, 4, 400)))
    frames["volume"].iloc[300:380, 2] = 7.0
    frames["quote_volume"] = frames["volume"] * frames["close"] * np.exp(rng.normal(0, 1e-3, (400, 5)))
    frames["quote_volume"].iloc[80:85] = np.nan
    return replace(bars, **frames)


def levels() -> Bars:
    """Return prices on few levels, so that ties abound, and volumes in round lots."""
    bars = random_bars(3, 300, seed=14)
    frames = panels(bars)
    close = (frames["close"] / frames["close"].iloc[0] * 50).round()
    frames |= {"close": close, "open": close.shift(1).fillna(50.0)}
    frames["high"] = np.maximum(frames["open"], close) + (frames["volume"] > 25)
    frames["low"] = np.minimum(frames["open"], close) - (frames["volume"] > 15)
    frames["volume"] = (frames["volume"] / 10).round()
    return replace(bars, **frames)


def markets() -> dict[str, Bars]:
    """Return every kind of bars by name."""
    return {
        "ordinary": random_bars(3, 260, seed=2),
        "holes": random_bars(3, 300, seed=3, holes=0.2),
        "mostly holes": random_bars(2, 400, seed=4, holes=0.9),
        "outages": with_outages(),
        "hostile": hostile(),
        "levels": levels(),
        "short": random_bars(2, 7, seed=6),
        "one row": random_bars(1, 1, seed=7),
        "no quote volume": replace(random_bars(2, 100, seed=8), quote_volume=None),
    }


def real_bars(folder: Path) -> Bars:
    """Return a year of real hourly bars of six symbols, with the venue's outages and the listing of one of them."""
    bars = load_bars(folder / "binance_spot_1h" / "ohlcv_1h_to2022.parquet")
    symbols = ["BTC/USDT", "DOGE/USDT", "TRX/USDT", "XLM/USDT", "ETH/USDT", "UNI/USDT"]
    return bars.select(symbols, start="2020-06-01", end="2021-05-31")
