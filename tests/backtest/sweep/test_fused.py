"""The fused account equals a plain one that walks bar by bar, whatever the rules and the bars."""

import itertools

import numpy as np
import pytest

from gwt_lab.backtest.sweep import streaming
from gwt_lab.backtest.sweep.families import SweepRules, edge_bars, evaluate_signals
from tests.oracles.sweep import plain_account, plain_sweep_metrics
from tests.oracles.sweep_markets import bars_of_symbol, market_of, random_signals, sweep_market

TOLERANCE = 1e-9


def assert_equals_plain(market, entries, exits, rules, label=""):
    n_times = market.close.shape[1]
    acc, edges = evaluate_signals(market, entries, exits, rules, n_edges=7)
    assert acc.shape == (1, len(market.symbols), streaming.N_ACC)
    for j in range(len(market.symbols)):
        plain = plain_account(bars_of_symbol(market, j), entries[j], exits[j], rules)
        expected = plain_sweep_metrics(plain, market.bars_per_year)
        for name, function in streaming.METRICS.items():
            got = float(function(acc, market.bars_per_year)[0, j])
            assert got == pytest.approx(expected[name], rel=TOLERANCE, abs=1e-11, nan_ok=True), (label, rules, name)
        assert acc[0, j, streaming.ORDERS] == len(plain.orders), (label, rules)
        worth = [plain.values[bar] for bar in edge_bars(n_times, 7)]
        np.testing.assert_allclose(edges[0, j], worth, rtol=1e-6, err_msg=label)


COSTS = {
    "usual": {},
    "free": {"fees": 0.0, "slippage": 0.0},
    "fixed": {"fixed_fees": 7.0, "fees": 0.002},
    "ruinous": {"fixed_fees": 900.0, "fees": 0.05, "slippage": 0.02},
}
STOPS = {
    "none": {},
    "loss": {"sl_stop": 0.01},
    "trailing": {"sl_stop": 0.012, "sl_trail": True},
    "gain": {"tp_stop": 0.01},
    "both": {"sl_stop": 0.008, "tp_stop": 0.008},
    "both, trailing, neutral": {"sl_stop": 0.01, "tp_stop": 0.02, "sl_trail": True, "ambiguity": "neutral"},
    "both, optimistic": {"sl_stop": 0.006, "tp_stop": 0.006, "ambiguity": "optimistic"},
    "time": {"time_stop": 5},
    "time and both": {"time_stop": 9, "sl_stop": 0.02, "tp_stop": 0.03},
    "tighter than the slippage": {"sl_stop": 0.0001, "tp_stop": 0.0001},
}


@pytest.mark.parametrize("price", ["close", "next_open"])
@pytest.mark.parametrize("direction", ["longonly", "shortonly", "both"])
def test_equals_the_plain_account(price, direction):
    markets = {
        "plain": sweep_market(1, 300, 2),
        "with holes": sweep_market(2, 300, 2, holes=0.25),
        "tiny prices": sweep_market(3, 200, scale=1e-8),
        "large prices": sweep_market(4, 200, scale=1e6, vol=0.05),
        "ticks": sweep_market(5, 300, scale=1.0, tick=0.05),
    }
    for (label, market), costs, stops in itertools.product(markets.items(), COSTS, STOPS):
        rules = SweepRules(price=price, direction=direction, **COSTS[costs], **STOPS[stops])
        for seed, rate in ((0, 0.05), (1, 0.5)):
            signals = random_signals(seed, market, rate)
            assert_equals_plain(market, *signals, rules, f"{label}, {costs}, {stops}, {rate}")


@pytest.mark.parametrize("price", ["close", "next_open"])
def test_degenerate_markets(price):
    constant = np.full((1, 40), 5.0)
    jump = np.concatenate([np.full((1, 20), 1e-3), np.full((1, 20), 1e6)], axis=1)
    late = np.concatenate([np.full((1, 30), np.nan), np.full((1, 10), 2.0)], axis=1)
    for label, close in {"constant": constant, "jump": jump, "late": late, "two bars": constant[:, :2],
                         "one bar": constant[:, :1], "nothing": late[:, :30], "65 bars": np.full((1, 65), 3.0),
                         "64 bars": np.full((1, 64), 3.0)}.items():  # fmt: skip
        market = market_of({name: close.copy() for name in ("open", "high", "low", "close")})
        for seed, direction in itertools.product(range(4), ("longonly", "shortonly", "both")):
            rules = SweepRules(price=price, direction=direction)
            assert_equals_plain(market, *random_signals(seed, market, 0.3), rules, label)
        none = np.zeros(close.shape, dtype=bool)
        acc, _ = evaluate_signals(market, none, none, SweepRules(price=price))
        assert acc[0, 0, streaming.VALUE] == 10_000.0
        assert np.isnan(streaming.METRICS["sharpe_ratio"](acc, 8760.0)[0, 0])
        assert np.isnan(streaming.METRICS["win_rate"](acc, 8760.0)[0, 0])
        assert streaming.METRICS["max_drawdown"](acc, 8760.0)[0, 0] == 0.0


def test_a_stretch_after_a_huge_gain_keeps_its_digits():
    # in the market only after the price rose a billionfold: plain running sums would have lost these returns
    rng = np.random.default_rng(0)
    close = np.concatenate([np.full(50, 1e-3), 1e6 * np.exp(np.cumsum(rng.normal(0, 1e-4, 200)))])[None]
    market = market_of({name: close.copy() for name in ("open", "high", "low", "close")})
    entries, exits = np.zeros((2, 1, 250), dtype=bool)
    entries[0, 60] = True
    exits[0, 240] = True
    assert_equals_plain(market, entries, exits, SweepRules(price="close", fees=0.0, slippage=0.0))


def test_long_stretches_find_the_deepest_fall():
    market = sweep_market(11, 5000, 2, vol=0.02)
    for seed in range(20):
        entries, exits = random_signals(seed, market, 0.004)
        assert_equals_plain(market, entries, exits, SweepRules(price="close"), str(seed))
