"""Families give the signals of their plain twins, and the fused account of them is the account of those signals."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.sweep.families import (
    FAMILIES,
    SweepRules,
    evaluate,
    evaluate_signals,
    prepare,
)
from gwt_lab.errors import ConfigError, ShapeError
from gwt_lab.strategies.ma_cross import crossings, window_mean
from tests.oracles import sweep as plain
from tests.oracles.sweep import ma_cross_signals
from tests.oracles.sweep_markets import bars_of_symbol, market_of, random_signals, sweep_market

PAIRS = [(2, 5), (5, 20), (1, 3), (20, 5), (30, 64), (63, 64), (100, 400), (3, 2)]
MARKETS = {
    "plain": sweep_market(1, 300, 2),
    "holes": sweep_market(2, 300, 2, holes=0.05),
    "tiny": sweep_market(3, 150, scale=1e-8),
    "large": sweep_market(4, 150, scale=1e6),
    "ticks": sweep_market(5, 400, scale=1.0, tick=0.01),
    "coarse ticks": sweep_market(6, 400, scale=1.0, tick=0.25, vol=0.05),
    "two bars": sweep_market(7, 2),
    "one bar": sweep_market(8, 1),
    "64 bars": sweep_market(9, 64),
    "constant": market_of({name: np.full((1, 200), 0.1) for name in ("open", "high", "low", "close")}),
}


@pytest.mark.parametrize("label", MARKETS)
def test_moving_averages_cross_as_exact_fractions_do(label):
    market = MARKETS[label]
    for fast, slow in PAIRS:
        entries, exits = FAMILIES["ma_cross"].signals(market, fast=fast, slow=slow)
        for j, close in enumerate(market.close):
            up, down = ma_cross_signals(close, fast, slow)
            np.testing.assert_array_equal(entries[j], up, err_msg=f"{fast}, {slow}")
            np.testing.assert_array_equal(exits[j], down, err_msg=f"{fast}, {slow}")


@pytest.mark.parametrize("label", ["plain", "holes", "tiny", "large"])
def test_moving_averages_cross_where_the_registered_strategy_does(label):
    # away from ties, which these markets do not have
    market = MARKETS[label]
    close = np.ascontiguousarray(market.close.T)
    for fast, slow in [pair for pair in PAIRS if pair[0] < pair[1]]:
        entries, exits = FAMILIES["ma_cross"].signals(market, fast=fast, slow=slow)
        crossed = crossings(window_mean(close, fast), window_mean(close, slow), slow - 1).T
        np.testing.assert_array_equal(entries, crossed == 1)
        np.testing.assert_array_equal(exits, crossed == -1)


def test_a_side_is_forgotten_after_as_many_ties_as_the_longer_window_has():
    for ties, expected in ((1, True), (3, True), (4, False), (30, False)):
        # below, then equal closes, of which the first three still see the fall, then up
        close = np.array([[5.0, 4.0, 3.0, 2.0, *[1.0] * (ties + 3), 2.0, 3.0]])
        market = market_of({name: close.copy() for name in ("open", "high", "low", "close")})
        entries, _ = FAMILIES["ma_cross"].signals(market, fast=2, slow=4)
        up, _ = ma_cross_signals(close[0], 2, 4)
        assert entries[0].tolist() == up
        assert entries.any() == expected


# family -> its plain twin and combinations
OTHERS = {
    "ema_cross": (plain.ema_cross_signals, [(3, 9), (12, 26), (20, 5), (1, 2)]),
    "macd": (plain.macd_signals, [(12, 26, 9), (3, 10, 4), (1, 2, 1)]),
    "rsi": (plain.rsi_signals, [(14, 30, 70), (2, 10, 90), (1, 0, 100), (14, 45, 55)]),
    "bollinger": (plain.bollinger_signals, [(20, 2.0), (5, 0.5), (2, 1.0)]),
    "zscore": (plain.zscore_signals, [(50, 2.0, 0.0), (10, 1.0, -0.5), (4, 1.0, 0.9)]),
    "donchian": (plain.donchian_signals, [(20, 10), (1, 1), (5, 50)]),
    "momentum": (plain.momentum_signals, [(100, 0.0), (5, 0.02), (1, 0.0)]),
    "volatility_filter": (plain.volatility_filter_signals, [(5, 20, 30, 0.9), (2, 5, 10, 0.95), (9, 3, 2, 0.5)]),
}


def table_of(family, combinations):
    return pd.DataFrame(combinations, columns=list(FAMILIES[family].defaults))


@pytest.mark.parametrize("family", OTHERS)
def test_signals_equal_the_plain_twin(family):
    twin, combinations = OTHERS[family]
    FAMILIES[family].check(table_of(family, [*combinations, tuple(FAMILIES[family].defaults.values())]))
    seen = 0
    for (label, market), values in itertools.product(MARKETS.items(), combinations):
        entries, exits = FAMILIES[family].signals(market, **dict(zip(FAMILIES[family].defaults, values, strict=True)))
        for j in range(len(market.symbols)):
            up, down = twin(bars_of_symbol(market, j), *values)
            np.testing.assert_array_equal(entries[j], up, err_msg=f"{label}, {values}")
            np.testing.assert_array_equal(exits[j], down, err_msg=f"{label}, {values}")
        seen += entries.sum() + exits.sum()
    assert seen > 100


@pytest.mark.parametrize("family", ["ma_cross", *OTHERS])
def test_no_decision_looks_ahead_or_beyond_its_lookback(family):
    combinations = PAIRS if family == "ma_cross" else OTHERS[family][1]
    market = sweep_market(12, 1300, holes=0.002)
    for values in combinations:
        params = dict(zip(FAMILIES[family].defaults, values, strict=True))
        whole = np.array(FAMILIES[family].signals(market, **params))
        back = FAMILIES[family].lookback(params)
        for t in (700, 1100, 1299):
            cut = np.array(FAMILIES[family].signals(part_of(market, 0, t), **params))
            np.testing.assert_array_equal(cut, whole[:, :, :t])
        for t in range(back, 1300, 23):
            late = np.array(FAMILIES[family].signals(part_of(market, t - back, t), **params))
            np.testing.assert_array_equal(late[:, :, -1], whole[:, :, t - 1], err_msg=f"{values} at {t}")


def part_of(market, start, stop):
    names = ("open", "high", "low", "close")
    return market_of({name: getattr(market, name)[:, start:stop] for name in names})


def assert_family_equals_its_signals(family, market, table, rules):
    params = table.to_numpy(dtype=np.float64)
    family.check(table)
    shared = prepare(family, market, params, rules)
    acc, edges = evaluate(family, market, params, rules, shared=shared, n_edges=5)
    own, own_edges = evaluate(family, market, params, rules, n_edges=5)
    np.testing.assert_array_equal(acc, own)
    np.testing.assert_array_equal(edges, own_edges)
    half = slice(len(params) // 2, None)
    np.testing.assert_array_equal(acc[half], evaluate(family, market, params[half], rules, shared=shared, n_edges=5)[0])
    for row in range(len(params)):
        signals = family.signals(market, **table.iloc[row].to_dict())
        alone, alone_edges = evaluate_signals(market, *signals, rules, n_edges=5)
        np.testing.assert_array_equal(acc[row], alone[0])
        np.testing.assert_array_equal(edges[row], alone_edges[0])


@pytest.mark.parametrize("rules", [SweepRules(), SweepRules(price="close", direction="both", sl_stop=0.02)])
def test_fused_equals_its_signals(rules):
    table = pd.DataFrame(PAIRS, columns=["fast", "slow"])
    for market in MARKETS.values():
        assert_family_equals_its_signals(FAMILIES["ma_cross"], market, table, rules)


@pytest.mark.parametrize("family", OTHERS)
def test_every_family_fused_equals_its_signals(family):
    table = table_of(family, OTHERS[family][1])
    for label in ("plain", "holes", "ticks", "two bars"):
        assert_family_equals_its_signals(FAMILIES[family], MARKETS[label], table, SweepRules())


def test_blocks_of_combinations_change_nothing(monkeypatch):
    table = pd.DataFrame(PAIRS, columns=["fast", "slow"])
    market, family, rules = MARKETS["holes"], FAMILIES["ma_cross"], SweepRules()
    whole, _ = evaluate(family, market, table.to_numpy(), rules)
    monkeypatch.setattr("gwt_lab.backtest.sweep.families._BLOCK_BYTES", 1)
    np.testing.assert_array_equal(whole, evaluate(family, market, table.to_numpy(), rules)[0])


def test_threads_and_rows_that_are_not_kept_change_nothing():
    market, family, rules = sweep_market(15, 500, 5, holes=0.01), FAMILIES["ma_cross"], SweepRules()
    params = np.array([(fast, slow) for fast in range(2, 12) for slow in range(15, 25)], dtype=float)
    alone, _ = evaluate(family, market, params, rules)
    for symbols_kept in (0, 2, 5):
        shared = prepare(family, market, params, rules, max_bytes=symbols_kept * 20 * 512 * 8)
        assert shared.n_kept == symbols_kept
        with ThreadPoolExecutor(4) as pool:
            parts = list(
                pool.map(lambda part: evaluate(family, market, part, rules, shared=shared)[0],  # noqa: B023
                         np.array_split(params, 12))
            )  # fmt: skip
        np.testing.assert_array_equal(np.concatenate(parts), alone)


@pytest.mark.real
def test_on_real_bars_only_ties_tell_averages_from_plain_sums(real_data):
    frame = pd.read_parquet(real_data / "binance_spot_1h" / "ohlcv_1h_to2022.parquet")
    for symbol in ("BTCUSDT", "DOGEUSDT", "TRXUSDT"):
        closes = frame[frame["symbol"] == symbol].set_index("timestamp")["close"].asfreq("h").iloc[-15_000:]
        close = closes.to_numpy()[:, None].copy()
        market = market_of({name: close.T for name in ("open", "high", "low", "close")})
        for fast, slow in ((3, 10), (10, 50)):
            entries, exits = FAMILIES["ma_cross"].signals(market, fast=fast, slow=slow)
            quick, slower = window_mean(close, fast), window_mean(close, slow)
            crossed = crossings(quick, slower, slow - 1).T
            differ = np.flatnonzero((entries != (crossed == 1)) | (exits != (crossed == -1)))
            ties = np.flatnonzero(np.abs(quick - slower) <= 1e-12 * slower)
            assert len(differ) < 0.02 * (entries.sum() + exits.sum())
            for bar in differ:
                assert (np.abs(ties - bar) < slow).any(), (symbol, fast, slow, bar)


def test_wrong_parameters_are_named():
    check = FAMILIES["ma_cross"].check
    check(pd.DataFrame({"fast": [5, 5], "slow": [10, 5]}))  # equal averages never cross: a grid's diagonal is no error
    with pytest.raises(
        ConfigError, match=r"fast must be a whole number of bars, 1 or more; combination 0 has fast=2\.5"
    ):
        check(pd.DataFrame({"fast": [2.5, 5], "slow": [10, 5]}))
    with pytest.raises(ConfigError, match="combination 2 has fast=1, slow=0"):
        check(pd.DataFrame({"fast": [2, 1, 1], "slow": [10, 5, 0]}))
    with pytest.raises(ConfigError, match="slow must be a whole number"):
        check(pd.DataFrame({"fast": [2.0], "slow": [np.nan]}))


def test_signals_of_the_wrong_shape_are_refused():
    market = MARKETS["plain"]
    entries, exits = random_signals(0, market)
    with pytest.raises(ShapeError, match=r"entries must be bool of shape \(2, 300\), got bool of shape \(2, 299\)"):
        evaluate_signals(market, entries[:, 1:], exits, SweepRules())
    with pytest.raises(ShapeError, match="exits must be bool"):
        evaluate_signals(market, entries, exits.astype(float), SweepRules())
