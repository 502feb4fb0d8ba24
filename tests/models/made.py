"""Small markets in which something can, or cannot, be forecast."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gwt_lab.market.bars import Bars
from tests.oracles.markets import bars_from_returns

COLUMNS = ["KMID", "KSFT2", "ROC5", "MA10", "STD10", "RSV5"]
SMALL = {"n_trees": 15, "num_leaves": 7, "min_data_in_leaf": 20}


def persistent_bars(
    n_assets: int = 3, n_bars: int = 500, *, seed: int = 0, strength: float = 0.6, **options: float
) -> Bars:
    """Return bars in which a rise is followed by a rise: the next return is `strength` of the last, plus noise.

    The open is the close before it, so the return from the next open on follows the bar that has just closed by two.
    """
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n_bars, n_assets)) * 0.004
    returns = np.zeros_like(noise)
    for t in range(1, n_bars):
        returns[t] = strength * returns[t - 1] + noise[t]
    return bars_from_returns(returns, rng, **options)  # type: ignore[arg-type]


def one_symbol(bars: Bars, symbol: str = "C00/USDT") -> pd.DataFrame:
    """Return one symbol as people have it: columns open ... volume, indexed by time."""
    return bars.select(symbol).to_frame().drop(columns="symbol").set_index("timestamp")
