"""The synthetic market's bars: sound prices, honest gaps, the planted volatility, regimes and seasons."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwt_lab.data.synthetic import Dynamics, synthetic_market
from gwt_lab.data.synthetic_structure import (
    draw_structure,
    regime_transition,
    seasonal_deviation,
    symbol_names,
)
from gwt_lab.market.bars import Bars
from gwt_lab.market.instruments import unified_symbol
from gwt_lab.market.time import grid, timestamp

STEADY = Dynamics(alpha=0, leverage=0, beta=0, tail=1e12, slow_vol=0, jumps_per_day=0, gap_size=0, weekend=1)
PRICES = ("open", "high", "low", "close")


# ------------------------------------------------------------------------------------------------ prices
@settings(max_examples=25, deadline=None)
@given(
    n_assets=st.integers(2, 9),
    n_bars=st.integers(2, 120),
    timeframe=st.sampled_from(["1s", "1m", "15m", "1h", "4h", "1d", "1w"]),
    seed=st.integers(0, 2**40),
    spillover=st.sampled_from([0.0, 0.05, -0.3, 0.33]),
    listings=st.booleans(),
    outages=st.booleans(),
)
def test_every_market_is_sound(**asked):
    market = synthetic_market(**asked)
    bars, truth = market.bars, market.truth
    assert bars.shape == (asked["n_bars"], asked["n_assets"])
    there = bars.close.notna().to_numpy()
    values = {name: getattr(bars, name).to_numpy() for name in (*PRICES, "volume", "quote_volume")}
    for name, panel in values.items():
        np.testing.assert_array_equal(np.isfinite(panel), there, err_msg=name)
        assert (panel[there] > 0).all()
    assert (values["low"] <= np.minimum(values["open"], values["close"]))[there].all()
    assert (values["high"] >= np.maximum(values["open"], values["close"]))[there].all()
    average = values["quote_volume"] / values["volume"]
    assert ((average >= values["low"]) & (average <= values["high"]))[there].all()
    missing = sum((bars.index.get_loc(gap.end) - bars.index.get_loc(gap.start) + 1) for gap in bars.gaps.itertuples())
    assert missing == (~there).sum()
    assert truth.forecast.index.equals(bars.index)
    assert list(truth.forecast.columns) == bars.symbols == list(truth.communities.index)
    assert np.isnan(truth.forecast.to_numpy()[~there]).all()
    sums = truth.forecast.sum(axis=1, min_count=2).dropna()
    np.testing.assert_allclose(sums, 0, atol=1e-12)


def test_the_next_open_is_close_to_the_close():
    bars = synthetic_market(6, 5_000, seed=1).bars
    step = np.log(bars.open.to_numpy()[1:] / bars.close.to_numpy()[:-1])
    bar = np.log(bars.close.to_numpy()[1:] / bars.close.to_numpy()[:-1])
    assert 0.01 < step.std() / bar.std() < 0.04


@pytest.mark.parametrize("n_steps", [12, 40])
def test_prices_inside_a_bar_are_a_brownian_motion(n_steps):
    rules = Dynamics(**{name: getattr(STEADY, name) for name in STEADY.__dataclass_fields__} | {"n_steps": n_steps})
    bars = synthetic_market(
        8, 8_000, "1d", seed=3, spillover=0.0, regimes=False, dynamics=rules, start="1990-01-01"
    ).bars
    up = np.log(bars.high / bars.open).to_numpy()
    down = np.log(bars.open / bars.low).to_numpy()
    move = np.log(bars.close / bars.open).to_numpy()
    deviation = np.sqrt((move**2).mean(axis=0))
    # reflection: the maximum of Brownian motion is distributed like |B|, with mean sqrt(2/pi) and mean square 1
    for distance in (up, down):
        np.testing.assert_allclose(distance.mean(axis=0) / deviation, np.sqrt(2 / np.pi), rtol=0.03)
        np.testing.assert_allclose((distance**2).mean(axis=0) / deviation**2, 1, rtol=0.06)
    # Parkinson 1980: the expected squared range is 4 ln 2 times the variance; highs and lows of one sub-step are drawn
    # apart, which costs less than two percent
    np.testing.assert_allclose(((up + down) ** 2).mean(axis=0) / deviation**2, 4 * np.log(2), rtol=0.05)
    # Rogers, Satchell 1991: up (up - move) + down (down + move) has the variance as its mean
    satchell = (up * (up - move) + down * (down + move)).mean(axis=0)
    np.testing.assert_allclose(satchell / deviation**2, 1, rtol=0.05)


def test_the_planted_volatility_is_the_realised_one():
    market = synthetic_market(6, 20_000, seed=5, spillover=0.0, dynamics=Dynamics(jumps_per_day=0, gap_size=0))
    loadings, volatility = market.truth.loadings.to_numpy(), market.truth.volatility.to_numpy()
    n_factors = loadings.shape[1]
    planted = np.sqrt(volatility[:, :n_factors] ** 2 @ loadings.T**2 + volatility[:, n_factors:] ** 2)
    shock = np.diff(np.log(market.bars.close.to_numpy()), axis=0) / planted[1:]
    # unit variance everywhere; the fourth moment of the tails is large, hence the margin
    np.testing.assert_allclose((shock**2).mean(axis=0), 1, atol=0.1)
    busy = planted[1:] > np.median(planted, axis=0)
    assert (shock[busy] ** 2).mean() == pytest.approx((shock[~busy] ** 2).mean(), rel=0.15)
    assert abs((shock**3).mean() / (shock**2).mean() ** 1.5) < 1.5  # symmetric up to what the tails allow


def test_volatility_averages_to_what_the_dynamics_say():
    # a slow part that is quickly forgotten, so that 40,000 days show its mean
    rules = Dynamics(slow_vol=0.9, slow_half_lives=(0.5, 1.0), weekend=1, market_vol=0.03, sector_vol=0.01)
    truth = synthetic_market(4, 40_000, "1d", 1, regimes=False, dynamics=rules, start="1900-01-01").truth
    mean = np.sqrt((truth.volatility**2).mean())
    assert mean["market"] == pytest.approx(0.03, rel=0.05)
    assert mean["sector 1"] == pytest.approx(0.01, rel=0.05)
    assert (truth.volatility["market"].std() / mean["market"]) > 0.3


def test_jumps_add_the_variance_that_their_rate_and_size_say():
    quiet = {name: getattr(STEADY, name) for name in STEADY.__dataclass_fields__}
    still = synthetic_market(4, 20_000, "1d", 1, 0.0, False, dynamics=STEADY, start="1970-01-01")
    jumpy = synthetic_market(
        4, 20_000, "1d", 1, 0.0, False, dynamics=Dynamics(**quiet | {"jumps_per_day": 2.0, "jump_size": 0.5}),
        start="1970-01-01",
    )  # fmt: skip
    loadings, volatility = still.truth.loadings.to_numpy(), still.truth.volatility.to_numpy()[0]
    n_factors = loadings.shape[1]
    jumping = loadings[:, 0] ** 2 * volatility[0] ** 2 + volatility[n_factors:] ** 2  # sectors do not jump
    extra = np.diff(np.log(jumpy.bars.close) - np.log(still.bars.close), axis=0)
    np.testing.assert_allclose(extra.var(axis=0) / jumping, 2.0 * 0.5**2, rtol=0.06)
    whole = np.log(jumpy.bars.close / jumpy.bars.open).to_numpy()
    reach = np.log(jumpy.bars.high / jumpy.bars.low).to_numpy()
    assert (reach >= np.abs(whole) - 1e-12).all()


def test_price_levels_differ_and_round_trip():
    bars = synthetic_market(12, 50).bars
    levels = bars.close.iloc[0]
    assert levels["BTC/USDT"] > 20_000
    assert levels.max() / levels.min() > 1e5
    again = Bars.from_frame(bars.to_frame(), "1h")
    assert again.equals(bars)
    assert again.symbols == bars.symbols


def test_turnover_rises_with_the_move_and_falls_with_rank():
    bars = synthetic_market(12, 20_000, seed=2).bars
    move = np.abs(np.diff(np.log(bars.close.to_numpy()), axis=0))
    turnover = bars.quote_volume.to_numpy()[1:]
    correlation = [np.corrcoef(move[:, n], turnover[:, n])[0, 1] for n in range(12)]
    assert min(correlation) > 0.3
    assert bars.quote_volume.median().is_monotonic_decreasing


# ------------------------------------------------------------------------------------------------ times and gaps
@pytest.mark.parametrize(
    ("timeframe", "start", "first"),
    [
        ("1h", "2021-01-01", "2021-01-01"),
        ("1h", "2021-01-01T00:30", "2021-01-01T01:00"),
        ("1w", "2021-01-01", "2021-01-04"),
        ("1d", "1969-12-30T12:00", "1969-12-31"),
    ],
)
def test_bars_start_at_the_first_open_time_from_the_start_on(timeframe, start, first):
    bars = synthetic_market(2, 5, timeframe, start=start).bars
    assert bars.index[0] == pd.Timestamp(first, tz="UTC")
    assert str(bars.index.dtype) == "datetime64[ns, UTC]"


def test_listings_come_late_leave_early_and_are_named():
    market = synthetic_market(12, 4_000, seed=1, listings=True)
    bars = market.bars
    assert set(bars.gaps["reason"]) == {"not listed"}
    missing = bars.close.isna()
    assert not missing[["BTC/USDT", "ETH/USDT"]].to_numpy().any()
    late, early = missing.iloc[0], missing.iloc[-1]
    assert late.sum() == 3
    assert early.sum() == 1
    # one spell of life each: listed once, delisted at most once
    assert (missing.astype(int).diff().abs().sum() == late.astype(int) + early.astype(int)).all()


def test_a_symbol_that_is_not_listed_leads_nobody():
    market = synthetic_market(8, 2_000, seed=1, listings=True, spillover=0.2)
    full = synthetic_market(8, 2_000, seed=1, spillover=0.2)
    missing = market.bars.close.isna()
    newcomer = missing.iloc[0].idxmax()
    followers = list(market.truth.graph.successors(newcomer))
    others = [name for name in market.bars.symbols if name not in followers and not missing[name].any()]
    change = np.log(market.bars.close).diff() - np.log(full.bars.close).diff()
    before = missing[newcomer] & (missing.index > missing.index[0])
    assert change.loc[before, [name for name in followers if not missing[name].any()]].abs().to_numpy().max() > 1e-6
    untouched = [
        name for name in others if not nx.ancestors(full.truth.graph, name) & set(missing.columns[missing.any()])
    ]
    assert change.loc[before, untouched].abs().sum().sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("n_assets", [2, 10])
def test_outages_take_all_symbols_and_halts_one(n_assets):
    bars = synthetic_market(n_assets, 6_000, seed=4, outages=True).bars
    gaps = bars.gaps
    assert set(gaps["reason"]) == {"outage", "no trade"}
    missing = bars.close.isna()
    for gap in gaps[gaps["reason"] == "outage"].itertuples():
        assert missing.loc[gap.start : gap.end].to_numpy().all()
    assert not missing.iloc[[0, -1]].to_numpy().any()
    lengths = (gaps["end"] - gaps["start"]) // pd.Timedelta("1h") + 1
    assert lengths.between(1, 32).all()


def test_reasons_are_the_planted_ones_where_they_would_be_guessed_wrong():
    # of two symbols one is not listed yet while the venue is down: an outage of one looks like "no trade"
    gaps = synthetic_market(2, 400, seed=3, listings=True, outages=True).bars.gaps
    bitcoin, ether = (gaps[gaps["symbol"] == name].iloc[0] for name in ("BTC/USDT", "ETH/USDT"))
    assert (bitcoin["reason"], ether["reason"]) == ("outage", "not listed")
    assert ether["start"] < bitcoin["start"] < bitcoin["end"] < ether["end"]


# ------------------------------------------------------------------------------------------------ what stays fixed
def test_symbols_are_distinct_and_unified():
    names = symbol_names(20_000)
    assert len(set(names)) == 20_000
    assert names[:2] == ["BTC/USDT", "ETH/USDT"]
    assert all(unified_symbol(name) == name for name in names)
    assert synthetic_market(500, 3, seed=1).bars.symbols == names[:500]


@pytest.mark.parametrize(("n_assets", "n_leaders", "count"), [(2, 3, 1), (12, 3, 3), (30, 5, 5)])
def test_every_symbol_has_its_leaders_and_the_radius_is_the_row_sum(n_assets, n_leaders, count):
    truth = synthetic_market(n_assets, 4, spillover=0.1, n_leaders=n_leaders).truth
    assert {degree for _, degree in truth.graph.in_degree()} == {count}
    weights = nx.to_numpy_array(truth.graph)
    slopes = nx.to_numpy_array(truth.graph, weight="slope")
    assert weights[weights > 0].mean() == pytest.approx(0.1)
    for matrix in (weights, slopes):  # the same graph in other units
        assert np.abs(np.linalg.eigvals(matrix)).max() == pytest.approx(0.1 * count)
    assert not np.diag(weights).any()


def test_an_edge_moves_its_follower_in_units_of_the_followers_own_volatility():
    truth = synthetic_market(8, 4, spillover=0.1, dynamics=STEADY).truth
    volatility = truth.volatility.iloc[0]
    for leader, follower, edge in truth.graph.edges(data=True):
        assert edge["slope"] == pytest.approx(edge["weight"] * volatility[follower] / volatility[leader])


def test_leaders_are_more_often_large_and_of_the_same_sector():
    rng, same, first, edges = np.random.default_rng(1), 0, 0, 0
    for _ in range(60):
        drawn = draw_structure(24, 4, 3, 0.1, Dynamics(), rng)
        same += (drawn.sector[drawn.leaders] == drawn.sector[:, None]).sum()
        first += (drawn.leaders < 6).sum()
        edges += drawn.leaders.size
    assert same / edges > 0.35  # 5 of 23 by chance
    assert first / edges > 0.35  # a quarter by chance


@pytest.mark.parametrize(("n_assets", "n_sectors"), [(12, 3), (13, 4), (2, 5)])
def test_communities_are_balanced(n_assets, n_sectors):
    sizes = synthetic_market(n_assets, 3, n_sectors=n_sectors).truth.communities.value_counts()
    assert len(sizes) == min(n_assets, n_sectors)
    assert sizes.max() - sizes.min() <= 1


def test_communities_move_together():
    market = synthetic_market(12, 20_000, seed=1)
    correlation = np.log(market.bars.close).diff().corr().to_numpy()
    sector = market.truth.communities.to_numpy()
    same = (sector[:, None] == sector) & ~np.eye(12, dtype=bool)
    assert correlation[same].mean() > correlation[sector[:, None] != sector].mean() + 0.04


# ------------------------------------------------------------------------------------------------ regimes and seasons
def test_regimes_of_a_day_are_those_of_24_hours():
    hourly, shares = regime_transition("1h")
    np.testing.assert_allclose(np.linalg.matrix_power(hourly, 24), regime_transition("1d")[0], atol=1e-12)
    np.testing.assert_allclose(shares @ hourly, shares, atol=1e-12)
    np.testing.assert_allclose(np.diag(hourly), [0.997, 0.995, 0.985], atol=1e-4)
    minute = regime_transition("1m")[0]
    assert (minute >= 0).all()
    np.testing.assert_allclose(minute.sum(axis=1), 1)


def test_regimes_are_visited_as_the_chain_says_and_move_the_market():
    market = synthetic_market(8, 60_000, seed=1)
    regimes = market.truth.regimes
    shares = regimes.value_counts(normalize=True)
    expected = dict(zip(("calm", "bull", "crash"), regime_transition("1h")[1], strict=True))
    for name, share in expected.items():
        assert shares[name] == pytest.approx(share, abs=0.12)  # some two hundred spells in all
    stays = (regimes == regimes.shift(-1))[:-1].groupby(regimes[:-1]).mean()
    assert stays["calm"] == pytest.approx(0.997, abs=0.001)
    assert stays["crash"] == pytest.approx(0.985, abs=0.005)
    returns = np.log(market.bars.close).diff()
    spread = returns.std(axis=1).groupby(regimes).median()
    average = returns.mean(axis=1).abs().groupby(regimes).median()
    assert average["crash"] > 1.5 * average["bull"] > 1.5 * average["calm"] * 0.9
    assert spread["bull"] > spread["calm"]
    pairs = {name: returns[regimes == name].corr().to_numpy().mean() for name in expected}
    assert pairs["crash"] > pairs["calm"] + 0.05


def test_without_regimes_all_is_calm():
    assert set(synthetic_market(2, 500, regimes=False).truth.regimes) == {"calm"}


def test_seasons_average_to_what_the_weekend_says():
    week = grid(timestamp("2021-01-04"), timestamp("2021-01-10T23:00"), "1h")
    hourly = seasonal_deviation(week, "1h", 0.8) ** 2
    assert hourly.mean() == pytest.approx((5 + 2 * 0.64) / 7)
    by_hour = hourly[:24]
    assert by_hour.argmax() in (14, 15)
    assert by_hour.max() / by_hour.min() > 1.5
    days = grid(timestamp("2021-01-04"), timestamp("2021-01-10"), "1d")
    np.testing.assert_allclose(seasonal_deviation(days, "1d", 0.8), [1, 1, 1, 1, 1, 0.8, 0.8])
    np.testing.assert_allclose(seasonal_deviation(days[:1], "1w", 0.8) ** 2, (5 + 2 * 0.64) / 7)
    # a bar of half a day holds the mean of its twelve hours
    half = seasonal_deviation(grid(timestamp("2021-01-04"), timestamp("2021-01-04T12:00"), "12h"), "12h", 0.8) ** 2
    np.testing.assert_allclose(half, [hourly[:12].mean(), hourly[12:24].mean()])


def test_the_season_is_in_the_bars():
    market = synthetic_market(6, 20_000, seed=2)
    size = np.log(market.bars.close).diff().abs().mean(axis=1)
    by_hour = size.groupby(size.index.hour).mean()
    assert 12 <= by_hour.idxmax() <= 17
    assert by_hour.max() / by_hour.min() > 1.2
    weekend = size.groupby(size.index.day_of_week >= 5).mean()
    assert weekend[True] / weekend[False] == pytest.approx(0.8, abs=0.1)
