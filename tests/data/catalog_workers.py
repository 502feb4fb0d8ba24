"""What other processes do to a catalog in the tests: append in pieces, forever or once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import gwt_lab as gwt
from gwt_lab.data.catalog import Catalog
from gwt_lab.data.catalog_files import locked

SYMBOLS = ["BTC/USDT", "ETH/USDT"]


def hourly(n_bars: int, n_symbols: int = 2) -> gwt.Bars:
    """Return bars whose every value follows from its place, so that a reader can tell whether they are whole."""
    times = pd.date_range("2021-01-01", periods=n_bars, freq="1h", tz="UTC")
    values = np.arange(1.0, n_bars + 1)
    parts = [
        pd.DataFrame(
            {"timestamp": times, "symbol": symbol, "volume": values * 7}
            | dict.fromkeys(("open", "high", "low", "close"), values + 10_000 * column)
        )
        for column, symbol in enumerate(SYMBOLS[:n_symbols])
    ]
    return gwt.Bars.from_frame(pd.concat(parts, ignore_index=True), "1h")


def append_pieces(path: str, n_bars: int, width: int, first: int, step: int) -> None:
    """Append every `step`-th piece of `width` bars, from the `first` on."""
    bars = hourly(n_bars)
    for piece in range(first, n_bars // width, step):
        Catalog(path).append(
            "x", bars.select(start=bars.index[piece * width], end=bars.index[piece * width + width - 1])
        )


def revise_forever(path: str, n_bars: int) -> None:
    """Change the volume of all bars again and again."""
    bars = hourly(n_bars)
    frame = bars.to_frame()
    for factor in range(1, 1_000_000):
        Catalog(path).append("x", gwt.Bars.from_frame(frame.assign(volume=float(factor)), "1h"), revise=True)


def hold_lock(path: str, ready: str, seconds: float) -> None:
    """Keep the write lock for a while."""
    import time

    with locked(Path(path) / "x"):
        Path(ready).touch()
        time.sleep(seconds)
