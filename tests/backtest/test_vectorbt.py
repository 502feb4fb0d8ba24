"""Weights backtests equal vectorbt's own, on the same prices."""

import warnings

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.portfolio import Portfolio
from tests.oracles.paths import random_paths, random_weights

TOLERANCE = 1e-9
CASES = {
    "long and short": {"seed": 1},
    "long only, all in": {"seed": 2, "long_only": True},
    "holding": {"seed": 3, "holds": 0.7},
    "with gaps": {"seed": 4, "holes": 0.2},
    "long only with gaps": {"seed": 5, "long_only": True, "holes": 0.3, "holds": 0.3},
}


@pytest.fixture(scope="module")
def vectorbt():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("vectorbt")


@pytest.mark.slow  # vectorbt compiles for 20 to 60 s where it finds no cache
@pytest.mark.filterwarnings("ignore")  # vectorbt's own
@pytest.mark.parametrize("price", ["next_open", "close"])
def test_equals_vectorbt(vectorbt, price):
    for name, case in CASES.items():
        bars = random_paths(case["seed"], 400, 5, holes=case.get("holes", 0.0))
        weights = random_weights(
            case["seed"], bars, long_only=case.get("long_only", False), holds=case.get("holds", 0.0)
        )
        pf = Portfolio.from_weights(bars, weights, fees=0.001, slippage=0.0005, price=price)
        fill_price = bars.open if price == "next_open" else bars.close
        theirs = vectorbt.Portfolio.from_orders(
            bars.close.ffill().bfill(),
            size=weights.shift(1) if price == "next_open" else weights,
            size_type="targetpercent",
            price=fill_price,
            # a position without a fill price is valued at its last close
            val_price=fill_price.fillna(bars.close.ffill().shift(1)).bfill(),
            fees=0.001,
            slippage=0.0005,
            init_cash=10_000,
            cash_sharing=True,
            group_by=True,
            call_seq="auto",
            freq="1h",
        )
        np.testing.assert_allclose(pf.value(), theirs.value(), rtol=TOLERANCE, err_msg=name)
        assert len(pf.orders) == len(theirs.orders.records), name
        assert pf.total_return() == pytest.approx(theirs.total_return(), rel=TOLERANCE)
        assert pf.sharpe_ratio() == pytest.approx(theirs.sharpe_ratio(), rel=TOLERANCE)
        assert pf.max_drawdown() == pytest.approx(theirs.max_drawdown(), rel=TOLERANCE)
        ours, their_stats = pf.stats(), theirs.stats()
        same = ["Start", "End", "Period", "Start Value", "End Value", "Total Return [%]", "Total Fees Paid",
                "Max Drawdown [%]", "Max Drawdown Duration", "Sharpe Ratio", "Calmar Ratio", "Omega Ratio",
                "Sortino Ratio"]  # fmt: skip
        for label in same:
            expected = their_stats[label]
            if not isinstance(expected, (pd.Timestamp, pd.Timedelta)):
                expected = pytest.approx(expected, rel=1e-7)
            assert ours[label] == expected, (name, label)
