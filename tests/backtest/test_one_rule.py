"""The fused sweep and the account of `Portfolio` follow one rule: equal signals, equal numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gwt_lab.backtest.run import backtest_strategy
from gwt_lab.backtest.sweep import sweep
from gwt_lab.backtest.sweep.families import FAMILIES
from tests.oracles.paths import hostile_bars

METRICS = ("total_return", "sharpe_ratio", "max_drawdown", "sortino_ratio", "turnover")
STOPS = [
    {},
    {"sl_stop": 0.03},
    {"sl_stop": 0.03, "tp_stop": 0.04},
    {"sl_stop": 0.04, "sl_trail": True},
    {"tp_stop": 0.03, "time_stop": 7},
]


@pytest.mark.parametrize("price", ["next_open", "close"])
@pytest.mark.parametrize("direction", ["longonly", "shortonly", "both"])
@pytest.mark.parametrize("stops", STOPS, ids=str)
def test_the_fused_sweep_equals_the_portfolio(price: str, direction: str, stops: dict[str, float]) -> None:
    bars = hostile_bars(np.random.default_rng(3), 300, 1)
    settings = {"price": price, "direction": direction, "fees": 0.002, "slippage": 0.001, "fixed_fees": 0.5, **stops}
    for ambiguity in ("pessimistic", "neutral", "optimistic") if "tp_stop" in stops else ("pessimistic",):
        chosen = settings | {"ambiguity": ambiguity}
        table = sweep("ma_cross", bars, {"fast": [2, 5], "slow": [4, 9]}, metrics=METRICS, ledger=False, **chosen)
        for fast, slow in itertools.product((2, 5), (4, 9)):
            pf = backtest_strategy(bars, "ma_cross", {"fast": fast, "slow": slow}, **chosen)
            row = table.loc[(fast, slow, bars.symbols[0])]
            found = [getattr(pf, name)() for name in METRICS]
            np.testing.assert_allclose(row.to_numpy(), found, rtol=1e-9, atol=1e-12, err_msg=f"{fast}/{slow} {chosen}")
            assert len(pf.fills) > 3


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if not family.portfolio])
def test_every_family_equals_its_portfolio(name: str) -> None:
    bars = hostile_bars(np.random.default_rng(5), 400, 2)
    table = sweep(name, bars, metrics=("total_return", "max_drawdown"), ledger=False)
    for symbol in bars.symbols:
        pf = backtest_strategy(bars.select(symbol), name)
        np.testing.assert_allclose(
            table.loc[symbol].to_numpy(), [pf.total_return(), pf.max_drawdown()], rtol=1e-9, atol=1e-12
        )


def test_a_portfolio_family_equals_its_portfolio() -> None:
    bars = hostile_bars(np.random.default_rng(7), 400, 6)
    table = sweep("xs_rank", bars, metrics=("total_return", "sharpe_ratio"), ledger=False)
    pf = backtest_strategy(bars, "xs_rank")
    np.testing.assert_allclose(table.iloc[0].to_numpy(), [pf.total_return(), pf.sharpe_ratio()], rtol=1e-9)
