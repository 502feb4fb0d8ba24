"""The market graph is estimated right, kept right, and finds what was planted and nothing else."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.synthetic import synthetic_market
from gwt_lab.errors import ConfigError, DataError, ShapeError, UnknownNameError
from gwt_lab.features.alpha158 import alpha158
from gwt_lab.graph.build import build_graphs, graph_lookback
from gwt_lab.graph.features import GRAPH_COLUMNS, graph_features, node_features
from gwt_lab.graph.kernels import leaders_return, residual_returns, window_estimates
from gwt_lab.graph.store import NetworkXGraphStore
from tests.oracles.graph_estimates import estimates_oracle, leaders_return_oracle, residuals_oracle
from tests.oracles.markets import bars_from_returns, random_bars

ROUNDING = 1e-10


def _hostile() -> np.ndarray:
    """A coin that never moves, one that is listed late, a jump, zeros, a price of infinity."""
    close = random_bars(5, 200, seed=5, holes=0.1).close.to_numpy().copy()
    close[:, 0] = 4.0
    close[:150, 1] = np.nan
    close[60:, 2] *= 1e6
    close[100, 3] = 0.0
    close[120, 4] = np.inf
    return close


@pytest.mark.parametrize(
    "close",
    [
        random_bars(4, 200, seed=1).close.to_numpy(),
        random_bars(4, 200, seed=2, holes=0.3).close.to_numpy(),
        random_bars(2, 200, seed=3).close.to_numpy(),
        np.full((200, 3), np.nan),
        _hostile(),
    ],
    ids=["ordinary", "holes", "two symbols", "nothing", "hostile"],
)
def test_kernels_equal_the_plain_twins(close: np.ndarray) -> None:
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = residuals_oracle(close)
    np.testing.assert_allclose(residual_returns(close), residual, rtol=ROUNDING, atol=1e-15)
    ends = np.array([59, 60, 131, 199])
    estimates = window_estimates(residual, ends, 60, 30)
    for got, wanted in zip(estimates, estimates_oracle(residual, ends, 60, 30), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=ROUNDING, atol=ROUNDING)
    _, lagged, deviation = estimates
    newest = np.searchsorted(ends, np.arange(len(close)), side="right") - 1
    sparse = np.where(np.abs(lagged) > 0.1, lagged, 0.0)
    np.testing.assert_allclose(
        leaders_return(residual, newest, sparse, deviation),
        leaders_return_oracle(residual, newest, sparse, deviation),
        rtol=ROUNDING,
        atol=ROUNDING,
    )


def _chain(n_bars: int = 1500) -> np.ndarray:
    """Residuals in which A leads B leads C leads A, and D stands alone."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, (n_bars, 4))
    returns = noise.copy()
    for t in range(1, n_bars):
        for leader, follower in ((0, 1), (1, 2), (2, 0)):
            returns[t, follower] += 0.5 * returns[t - 1, leader]
    return returns


def test_leaders_point_at_their_followers() -> None:
    bars = bars_from_returns(_chain(), np.random.default_rng(0))
    graph = build_graphs(bars, window=1000, step=24, n_leaders=1)[-1]
    a, b, c, d = bars.symbols
    found = nx.DiGraph(graph.lead_graph)
    found.remove_node(d)
    assert set(found.edges) == {(a, b), (b, c), (c, a)}
    # demeaning over four symbols moves an eighth or so of it into the others
    assert 0.3 < found.edges[a, b]["weight"] < 0.6


def test_planted_leaders_are_recalled_and_chance_is_chance() -> None:
    """At a spillover of 0.1 far more planted edges are found than by chance; at 0, the same ones as by chance."""
    seeds, hits = (1, 2, 3, 4), {0.0: 0, 0.1: 0}
    for seed in seeds:
        markets = {spillover: synthetic_market(12, 4_000, seed=seed, spillover=spillover) for spillover in hits}
        planted = set(markets[0.1].truth.graph.edges)
        assert len(planted) == 36
        for spillover, market in markets.items():
            graph = build_graphs(market.bars, window=3_900, step=24, n_leaders=3)[-1]
            hits[spillover] += len(planted & set(graph.lead_graph.edges))
    n, chance = 36 * len(seeds), 3 / 11
    deviation = np.sqrt(chance * (1 - chance) / n)
    assert hits[0.1] / n > chance + 6 * deviation
    assert abs(hits[0.0] / n - chance) < 3 * deviation


def test_leaders_return_forecasts_only_where_something_was_planted() -> None:
    correlation = {}
    for spillover in (0.0, 0.1):
        market = synthetic_market(n_assets=10, n_bars=6_000, seed=3, spillover=spillover)
        forecast = graph_features(market.bars, window=2_000, step=24)["LEADRET1"].unstack()[market.bars.symbols]
        correlation[spillover] = market.score(forecast).ic
    assert correlation[0.1] > 0.05
    assert abs(correlation[0.0]) < 0.015


def test_snapshots_use_closed_bars_only_and_sit_on_the_epochs_grid() -> None:
    bars = random_bars(4, 300, seed=4, start="2024-01-03 05:00")
    graphs = build_graphs(bars, window=50, step=24)
    assert [graph.time.hour for graph in graphs] == [0] * len(graphs)
    assert graphs[0].time == pd.Timestamp("2024-01-06", tz="UTC")
    later = build_graphs(bars.tail(200), window=50, step=24)
    by_time = {graph.time: graph for graph in graphs}
    assert later
    assert all(graph.equals(by_time[graph.time]) for graph in later)


def test_features_hold_between_snapshots_and_follow_the_newest() -> None:
    bars = random_bars(4, 300, seed=4)
    store = NetworkXGraphStore()
    frame = graph_features(bars, window=50, step=24, store=store)
    assert list(frame.columns) == list(GRAPH_COLUMNS)
    residual = residuals_oracle(bars.close.to_numpy())
    for row in (80, 100, 119, 120, 299):
        graph = store.asof(bars.index[row])
        assert bars.index[row] - graph.time < pd.Timedelta("24h")
        strength = dict(graph.correlation_graph.degree(weight="weight"))
        for position, symbol in enumerate(bars.symbols):
            expected = sum(
                edge["weight"]
                * residual[row, bars.symbols.index(leader)]
                / graph.volatility[bars.symbols.index(leader)]
                for leader, _, edge in graph.lead_graph.in_edges(symbol, data=True)
            )
            got = frame.loc[(bars.index[row], symbol)]
            assert got["LEADRET1"] == pytest.approx(expected, rel=1e-5, abs=1e-7), position
            assert got["STRENGTH"] == pytest.approx(strength[symbol], rel=1e-6)


def test_index_is_that_of_alpha158_and_missing_bars_are_nan() -> None:
    bars = random_bars(4, 200, seed=5, holes=0.1)
    frame = graph_features(bars, window=40, step=4)
    pd.testing.assert_index_equal(frame.index, alpha158(bars).index)
    missing = bars.close.isna().stack().rename_axis(["datetime", "instrument"]).reindex(frame.index)
    assert frame[missing.to_numpy()].isna().all().all()
    assert frame[~missing.to_numpy()].iloc[200:].notna().to_numpy().mean() > 0.95
    assert frame.iloc[: 40 * 4].isna().all().all()
    assert graph_lookback(40, 4) == 44


def test_a_symbol_listed_late_stands_outside_until_half_a_window_is_there() -> None:
    bars = random_bars(3, 200, seed=6)
    close = bars.close.copy()
    close.iloc[:100, 2] = np.nan
    graphs = build_graphs(replace(bars, close=close), window=40, step=1)
    outside = {graph.time: bool(np.isnan(graph.volatility[2])) for graph in graphs}
    assert [outside[bars.index[row]] for row in (99, 119, 120, 199)] == [True, True, False, False]
    assert not graphs[0].leads[2].any()


def test_relabelling_symbols_relabels_the_features() -> None:
    bars = random_bars(5, 200, seed=7)
    turned = bars.select(symbols=bars.symbols[::-1])
    frame, other = graph_features(bars, window=60, step=5), graph_features(turned, window=60, step=5)
    pd.testing.assert_frame_equal(frame, other, rtol=1e-5)


def test_the_store_keeps_snapshots_by_time() -> None:
    bars = random_bars(4, 200, seed=8)
    graphs = build_graphs(bars, window=50, step=10)
    store = NetworkXGraphStore()
    store.write(graphs[::-1])
    store.write(graphs[:2])
    assert store.times() == [graph.time for graph in graphs]
    assert all(store.asof(graph.time).equals(graph) for graph in graphs)
    assert store.asof(graphs[3].time - pd.Timedelta("1ns")).equals(graphs[2])
    copy = store.networkx(graphs[0].time)
    copy.clear()
    assert store.asof(graphs[0].time).equals(graphs[0])
    with pytest.raises(UnknownNameError, match="no market graph at 2024-01-01"):
        store.asof("2024-01-01")
    with pytest.raises(UnknownNameError, match="the store is empty"):
        NetworkXGraphStore().asof("2024-01-01")


def test_a_permuted_graph_keeps_everything_but_who() -> None:
    bars = random_bars(6, 300, seed=9)
    graph = build_graphs(bars, window=200, step=50)[-1]
    order = np.array([3, 4, 5, 0, 1, 2])
    other = graph.permuted(order)
    assert other.leads[0, 1] == graph.leads[3, 4]
    assert np.array_equal(other.volatility, graph.volatility)
    assert sorted(other.leads.ravel()) == sorted(graph.leads.ravel())
    assert nx.is_isomorphic(graph.lead_graph, other.lead_graph)
    assert not other.equals(graph)
    assert not node_features(bars, [other]).equals(node_features(bars, [graph]))


def test_snapshots_are_frozen() -> None:
    graph = build_graphs(random_bars(3, 100, seed=1), window=50, step=10)[0]
    with pytest.raises(ValueError, match="read-only"):
        graph.leads[0, 0] = 1.0
    with pytest.raises(nx.NetworkXError, match="Frozen"):
        graph.lead_graph.add_edge("x", "y")
    with pytest.raises(ShapeError, match=r"leads of 3 symbols must have shape \(3, 3\)"):
        replace(graph, leads=np.zeros((2, 3)))
    assert "3 symbols" in repr(graph)


def test_communities_are_the_planted_sectors() -> None:
    rng = np.random.default_rng(1)
    sector = np.repeat(rng.normal(0, 0.01, (1000, 2)), 4, axis=1)
    bars = bars_from_returns(sector + rng.normal(0, 0.005, (1000, 8)), rng)
    graph = build_graphs(bars, window=900, step=24)[-1]
    assert graph.communities() == [set(bars.symbols[:4]), set(bars.symbols[4:])]


def test_callers_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="needs at least 2 symbols, got 1: C00/USDT"):
        build_graphs(random_bars(1, 100))
    with pytest.raises(ConfigError, match="window must be at least 8, got 4"):
        build_graphs(random_bars(2, 100), window=4)
    assert build_graphs(random_bars(2, 100), window=168) == []
    assert graph_features(random_bars(2, 100), window=168).isna().all().all()
