"""From a fresh process to a printed table: import, load bars, sweep 1,000 pairs of averages over 10,000 bars."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.timing import Figure

__all__ = ["figures", "store_bars"]

OURS = """
import gwt_lab as gwt
bars = gwt.load_bars("bars.parquet")
grid = {"fast": list(range(5, 25)), "slow": list(range(30, 130, 2))}
print(gwt.sweep("ma_cross", bars, grid, price="close").head())
"""
PEER = """
import pandas as pd, vectorbt as vbt
close = pd.read_parquet("bars.parquet").set_index("timestamp")["close"]
pairs = [(fast, slow) for fast in range(5, 25) for slow in range(30, 130, 2)]
rows = []
for start in range(0, 1000, 50):
    fast, slow = map(list, zip(*pairs[start : start + 50]))
    one, two = vbt.MA.run(close, fast, short_name="fast"), vbt.MA.run(close, slow, short_name="slow")
    pf = vbt.Portfolio.from_signals(
        close, one.ma_crossed_above(two), one.ma_crossed_below(two), fees=0.001, slippage=0.0005, freq="1h"
    )
    rows.append(pd.DataFrame({"r": pf.total_return(), "s": pf.sharpe_ratio(), "d": pf.max_drawdown()}))
print(pd.concat(rows).head())
"""


def store_bars(folder: Path) -> None:
    """Write 10,000 bars as Parquet."""
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 10_000)))
    times = pd.date_range("2020-01-01", periods=10_000, freq="h", tz="UTC")
    frame = pd.DataFrame({"timestamp": times} | dict.fromkeys(("open", "high", "low", "close"), close))
    frame.assign(volume=1.0, symbol="BTC/USDT").to_parquet(folder / "bars.parquet")


def _seconds(code: str, folder: Path, cache: Path | None, runs: int) -> float:
    taken = []
    environment = os.environ | {"GWT_LEDGER": str(folder / "ledger"), "PYTHONWARNINGS": "ignore"}
    for _ in range(runs):
        if cache is not None:
            shutil.rmtree(cache, ignore_errors=True)
            environment["NUMBA_CACHE_DIR"] = str(cache)
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=environment, check=True, capture_output=True, text=True
        )
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def figures(folder: Path) -> list[Figure]:
    """Return the time of both programs with kernels on disk, and of ours without."""
    for code in (OURS, PEER):
        _seconds(code, folder, None, 1)
    load = f"load {os.getloadavg()[0]:.1f}"
    warm, peer = _seconds(OURS, folder, None, 5), _seconds(PEER, folder, None, 3)
    cold = _seconds(OURS, folder, folder / "cache", 2)
    return [
        Figure("first result, kernels on disk", warm, "s", "< 2", 5, load),
        Figure("first result, nothing compiled yet", cold, "s", "< 25", 2, load),
        Figure("first result, vectorbt with kernels on disk", peer, "s", "", 3, load),
    ]
