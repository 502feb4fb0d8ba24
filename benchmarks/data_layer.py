"""The data layer: import, synthetic market, catalog, CSV."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import gwt_lab as gwt
from benchmarks.timing import Figure, fresh_process, timed


def _import() -> Figure:
    over = fresh_process("import gwt_lab") - fresh_process("pass")
    return Figure("import gwt_lab, over a bare interpreter", over, "s", "< 0.3", 7)


def _synthetic() -> Figure:
    def make() -> gwt.Bars:
        return gwt.synthetic_market(n_assets=12, n_bars=20_000, timeframe="1h", seed=7, spillover=0.05).bars

    assert make().content_hash == make().content_hash, "equal seeds must give equal markets"
    seconds, _ = timed(make, runs=3)
    return Figure("synthetic_market, 12 x 20,000 bars", seconds, "s", "< 2", 3, "kernel cached on disk")


def _catalog(folder: Path) -> Figure:
    os.environ["GWT_CATALOG"] = str(folder / "catalog")
    from gwt_lab.data.catalog import Catalog

    market = gwt.synthetic_market(n_assets=20, n_bars=3 * 365 * 24, timeframe="1h", seed=1)
    Catalog().append("bench", market.bars, source={"kind": "synthetic"})
    assert gwt.load_bars("bench").select(market.bars.symbols).equals(market.bars), (
        "the catalog must give back what it got"
    )
    seconds, _ = timed(lambda: gwt.load_bars("bench"))
    return Figure("load_bars, 20 symbols x 3 years of 1h bars", seconds, "s", "< 0.3", 5, "hashes verified on read")


def _csv(folder: Path) -> Figure:
    rng = np.random.default_rng(0)
    n = 1_000_000
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 1e-4, n))), 4)
    frame = pd.DataFrame(
        {
            "timestamp": 1_600_000_020_000 // 60_000 * 60_000 + 60_000 * np.arange(n),
            "open": close,
            "high": np.round(close * 1.001, 4),
            "low": np.round(close * 0.999, 4),
            "close": close,
            "volume": np.round(rng.gamma(2, 10, n), 3),
            "symbol": "BTC/USDT",
        }
    )
    file = folder / "million.csv"
    frame.to_csv(file, index=False)
    got = gwt.load_bars(file)
    assert len(got) == n, "every row must arrive"
    assert np.array_equal(got.close.to_numpy()[:, 0], close), "prices must arrive exactly"
    seconds, _ = timed(lambda: gwt.load_bars(file), runs=3)
    return Figure("importing 1,000,000 CSV rows", seconds, "s", "< 3", 3)


def run() -> list[Figure]:
    """Return the figures of the data layer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [_import(), _synthetic(), _catalog(folder), _csv(folder)]
