"""What the ledger is for: the best of many trials on noise is seldom taken for skill."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.sweep import sweep
from gwt_lab.validation.ledger import TrialLedger

GRIDS = {
    "few and far apart": {"fast": range(5, 40, 5), "slow": range(50, 200, 10)},
    "many and alike": {"fast": range(5, 85, 4), "slow": range(90, 215, 10)},
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_the_best_pair_on_random_walks_is_seldom_deflated_to_skill(grid: dict[str, range]) -> None:
    """A test of size 5 % on 60 walks passes at most 8 of them, but for a chance below one in a hundred."""
    rng = np.random.default_rng(11)
    index = pd.date_range("2021-01-01", periods=6_000, freq="1h", tz="UTC")
    passed, naive = 0, 0
    for walk in range(60):
        closes = pd.DataFrame({"BTC/USDT": 100 * np.cumprod(1 + rng.normal(size=6_000) * 0.008)}, index=index)
        table = sweep(
            "ma_cross", closes, grid, metrics=("sharpe_ratio",), price="close", fees=0, slippage=0, study=f"walk {walk}"
        )
        study = TrialLedger().study(f"walk {walk}")
        best = table["sharpe_ratio"].max() / np.sqrt(24 * 365)
        passed += study.deflated_sharpe_ratio(best, 6_000).value >= 0.95
        naive += study.deflated_sharpe_ratio(best, 6_000).expected_max < best
    assert passed <= 8
    assert naive > 0  # the count deflates, it does not forbid
