"""The synthetic market: what is promised about its signal, its seeds and its errors."""

from __future__ import annotations

import pickle
import time

import networkx as nx
import numpy as np
import pandas as pd
import pytest

import gwt_lab as gwt
from gwt_lab.data.synthetic import Dynamics, SyntheticMarket, synthetic_market
from gwt_lab.data.synthetic_score import relative_returns, score_forecast
from gwt_lab.errors import ConfigError, DataError, GwtLabError, UnknownNameError
from tests.oracles.synthetic_ceiling import gaussian_accuracy

# Errors of estimates are asymptotic and many comparisons are made: four of them.
SIGMAS = 4
# Normal shocks of constant variance: a day holds every hour, so that daily bars have no season.
GAUSSIAN = Dynamics(alpha=0, leverage=0, beta=0, tail=1e12, slow_vol=0, jumps_per_day=0, gap_size=0, weekend=1)


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return synthetic_market(n_assets=12, n_bars=20_000, seed=3)


# ------------------------------------------------------------------------------------------------ the signal
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"spillover": 0.02},
        {"spillover": -0.1},
        {"timeframe": "1d"},
        {"timeframe": "5m", "n_sectors": 1, "n_assets": 20},
        {"listings": True, "outages": True},
        {"regimes": False, "n_assets": 2, "n_leaders": 1, "spillover": 0.3},
        {"trends": True},
        {"dynamics": Dynamics(tail=2.5, jumps_per_day=5.0), "n_assets": 5},
    ],
)
def test_the_realised_score_of_the_true_forecast_is_the_theoretical_one(settings):
    market = synthetic_market(**({"n_bars": 8_000, "seed": 11} | settings))
    realised, truth = market.score(market.truth.forecast), market.truth
    assert realised.accuracy == pytest.approx(truth.accuracy, abs=SIGMAS * realised.accuracy_error)
    assert realised.ic == pytest.approx(truth.ic, abs=SIGMAS * realised.ic_error)
    assert realised.rank_ic == pytest.approx(truth.rank_ic, abs=SIGMAS * realised.rank_ic_error)
    assert truth.accuracy > 0.5
    assert truth.ic > 0


def test_over_many_seeds_the_realised_score_is_unbiased():
    gaps = []
    for seed in range(25):
        market = synthetic_market(n_assets=8, n_bars=2_000, seed=seed)
        realised = market.score(market.truth.forecast)
        gaps.append(
            [
                (realised.accuracy - market.truth.accuracy) / realised.accuracy_error,
                (realised.ic - market.truth.ic) / realised.ic_error,
            ]
        )
    mean, spread = np.mean(gaps, axis=0), np.std(gaps, axis=0, ddof=1)
    assert (np.abs(mean) < SIGMAS / np.sqrt(len(gaps))).all()
    assert (spread < 1.5).all()  # the stated errors are the real ones
    assert (spread > 0.6).all()


@pytest.mark.parametrize("spillover", [0.05, 0.15, -0.2])
@pytest.mark.parametrize("n_assets", [3, 12])
def test_gaussian_shocks_have_the_accuracy_of_the_closed_form(spillover, n_assets):
    market = synthetic_market(
        n_assets, 12_000, "1d", seed=2, spillover=spillover, regimes=False, dynamics=GAUSSIAN, start="1990-01-01"
    )
    closed = gaussian_accuracy(market.truth)
    assert market.truth.accuracy == pytest.approx(closed, abs=SIGMAS * market.truth.score.accuracy_error)
    realised = market.score(market.truth.forecast)
    assert realised.accuracy == pytest.approx(closed, abs=SIGMAS * realised.accuracy_error)


def test_without_spillover_the_best_accuracy_is_one_half_exactly():
    truth = synthetic_market(n_assets=6, n_bars=500, spillover=0.0).truth
    assert (truth.accuracy, truth.ic, truth.rank_ic) == (0.5, 0.0, 0.0)
    assert (truth.forecast.to_numpy() == 0).all()


def test_without_spillover_nothing_else_forecasts_either(market):
    silent = synthetic_market(n_assets=12, n_bars=20_000, seed=3, spillover=0.0)
    past = silent.truth.outcome.shift(1)
    for guess in (market.truth.forecast, past, past.shift(1)):
        score = silent.score(guess)
        assert abs(score.accuracy - 0.5) < SIGMAS * score.accuracy_error
        assert abs(score.ic) < SIGMAS * score.ic_error


def test_a_wrong_forecast_does_not_reach_the_ceiling(market):
    truth = market.truth
    symbols = market.bars.symbols
    for wrong in (truth.forecast.shift(1), truth.forecast.shift(-1), truth.forecast[symbols[1:] + symbols[:1]]):
        score = market.score(wrong.set_axis(symbols, axis=1))
        assert score.accuracy < truth.accuracy - SIGMAS * score.accuracy_error


def test_a_stronger_spillover_has_a_higher_ceiling():
    ceilings = [synthetic_market(6, 2_000, seed=1, spillover=s).truth for s in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3)]
    assert np.all(np.diff([truth.accuracy for truth in ceilings]) > 0)
    assert np.all(np.diff([truth.ic for truth in ceilings]) > 0)


def test_outcome_is_the_next_bars_relative_return(market):
    pd.testing.assert_frame_equal(market.truth.outcome, relative_returns(market.bars.close))


def leaders_found(close, graph):
    """Share of a symbol's true leaders among its strongest lag-1 correlations, and the same with time reversed."""
    returns = np.diff(np.log(close.to_numpy()), axis=0)
    relative = returns - returns.mean(axis=1, keepdims=True)
    scaled = np.clip(relative / relative.std(axis=0), -4, 4)
    lagged = scaled[:-1].T @ scaled[1:]  # [leader, follower]
    shares = []
    for matrix in (lagged, lagged.T.copy()):
        np.fill_diagonal(matrix, -np.inf)
        names = [set(close.columns[np.argsort(column)[-3:]]) for column in matrix.T]
        shares.append(
            np.mean([len(names[n] & set(graph.predecessors(name))) / 3 for n, name in enumerate(close.columns)])
        )
    return shares


def test_the_graph_can_be_found_in_the_returns_and_points_forward():
    found, backward = np.mean(
        [
            leaders_found(market.bars.close, market.truth.graph)
            for market in (synthetic_market(20, 20_000, seed=seed, spillover=0.1) for seed in (1, 2))
        ],
        axis=0,
    )
    assert found > 0.9
    assert backward < 0.5  # three of nineteen by chance, more because sectors and large leaders attract each other


def test_without_spillover_there_is_no_edge():
    truth = synthetic_market(4, 20, spillover=0.0).truth
    assert truth.graph.number_of_edges() == 0
    assert truth.graph.number_of_nodes() == 4


# ------------------------------------------------------------------------------------------------ what prices show
def test_prices_show_part_of_the_signal_and_never_the_future():
    market = synthetic_market(n_assets=12, n_bars=6_000, seed=4, spillover=0.1)
    visible = market.price_forecast
    score = market.score(visible)
    assert 0 < score.ic < market.truth.ic
    assert score.ic > 0.7 * market.truth.ic
    shorter = synthetic_market(n_assets=12, n_bars=400, seed=4, spillover=0.1).price_forecast
    np.testing.assert_allclose(shorter, visible.iloc[:400], rtol=0, atol=1e-9 * visible.std().max())


def test_many_symbols_show_the_factors_and_so_the_residuals():
    shares = []
    for n_assets in (6, 40):
        market = synthetic_market(n_assets=n_assets, n_bars=4_000, seed=4, spillover=0.1)
        shares.append(np.corrcoef(market.price_forecast.stack(), market.truth.forecast.stack())[0, 1])
    assert shares[0] < shares[1]
    assert shares[1] > 0.9


def test_the_price_forecast_lives_with_missing_bars():
    market = synthetic_market(n_assets=8, n_bars=4_000, seed=4, spillover=0.2, listings=True, outages=True)
    visible = market.price_forecast
    np.testing.assert_array_equal(visible.isna(), market.bars.close.isna())
    assert market.score(visible).ic > 0.5 * market.truth.ic


# ------------------------------------------------------------------------------------------------ seeds
def test_equal_seeds_give_equal_markets():
    first, second = (synthetic_market(5, 300, seed=9, listings=True, outages=True) for _ in range(2))
    assert first.bars.content_hash == second.bars.content_hash
    pd.testing.assert_frame_equal(first.bars.gaps, second.bars.gaps)
    pd.testing.assert_frame_equal(first.truth.forecast, second.truth.forecast)
    pd.testing.assert_series_equal(first.truth.regimes, second.truth.regimes)
    assert nx.utils.graphs_equal(first.truth.graph, second.truth.graph)
    assert synthetic_market(5, 300, seed=10).bars.content_hash != synthetic_market(5, 300, seed=9).bars.content_hash


def test_a_generator_is_a_seed_and_moves_on():
    rng = np.random.default_rng(1)
    first, second = synthetic_market(3, 50, seed=rng), synthetic_market(3, 50, seed=rng)
    again = synthetic_market(3, 50, seed=np.random.default_rng(1))
    assert first.bars.content_hash == again.bars.content_hash != second.bars.content_hash


@pytest.mark.parametrize("n_bars", [2, 97, 2_500])
def test_a_longer_market_begins_with_the_shorter_one(n_bars):
    # 3,000 bars of 30 symbols are more than are drawn at once
    longer = synthetic_market(30, 3_000, seed=6)
    shorter = synthetic_market(30, n_bars, seed=6)
    assert shorter.bars.equals(longer.bars.head(n_bars))
    pd.testing.assert_frame_equal(shorter.truth.forecast, longer.truth.forecast.head(n_bars))
    pd.testing.assert_series_equal(shorter.truth.regimes, longer.truth.regimes.head(n_bars))


def test_markets_that_differ_in_spillover_share_every_shock():
    weak, strong = (synthetic_market(5, 400, seed=2, spillover=s) for s in (0.0, 0.2))
    pd.testing.assert_frame_equal(weak.truth.volatility, strong.truth.volatility)
    slopes = nx.to_numpy_array(strong.truth.graph, nodelist=strong.bars.symbols, weight="slope").T
    change = np.diff(np.log(strong.bars.close) - np.log(weak.bars.close), axis=0)
    # the difference of returns is what spilled over: zero at first, and announced by the strong market's forecast
    announced = strong.truth.forecast.to_numpy()[:-1]
    np.testing.assert_allclose(change - change.mean(axis=1, keepdims=True), announced, atol=1e-12)
    assert np.abs(slopes).sum() > 0


def test_outages_only_take_bars_away():
    whole, holes = synthetic_market(6, 5_000, seed=8), synthetic_market(6, 5_000, seed=8, outages=True)
    there = holes.bars.close.notna()
    assert 0 < (~there.to_numpy()).sum() < 0.02 * there.size
    for name in ("open", "high", "low", "close", "volume", "quote_volume"):
        expected = getattr(whole.bars, name).where(there)
        pd.testing.assert_frame_equal(getattr(holes.bars, name), expected)


def test_trends_change_no_relative_return():
    flat, moving = synthetic_market(5, 3_000, seed=2), synthetic_market(5, 3_000, seed=2, trends=True)
    pd.testing.assert_frame_equal(flat.truth.forecast, moving.truth.forecast)
    np.testing.assert_allclose(moving.truth.outcome, flat.truth.outcome, atol=1e-12)
    drift = np.diff(np.log(moving.bars.close) - np.log(flat.bars.close), axis=0).mean(axis=1)
    by_regime = pd.Series(drift, index=moving.bars.index[1:]).groupby(moving.truth.regimes.iloc[1:]).mean()
    assert by_regime["crash"] < by_regime["calm"] + 1e-12 < by_regime["bull"]
    assert by_regime["calm"] == pytest.approx(0, abs=1e-12)


# ------------------------------------------------------------------------------------------------ the object
def test_it_is_public_and_says_what_it_holds(market):
    assert gwt.synthetic_market is synthetic_market
    assert "12 symbols x 20,000 bars of 1h" in repr(market)
    assert "36 edges, 3 communities" in repr(market.truth)
    assert f"{market.truth.accuracy:.4f}" in market._repr_html_()


def test_it_cannot_be_changed_and_can_be_pickled(market):
    with pytest.raises(AttributeError):
        market.bars = None
    with pytest.raises(AttributeError):
        market.truth.forecast = None
    small = synthetic_market(3, 50)
    again = pickle.loads(pickle.dumps(small))
    assert again.bars.equals(small.bars)
    assert again.truth.accuracy == small.truth.accuracy


def test_score_takes_any_forecast_of_the_same_shape(market):
    assert market.score(market.truth.outcome).accuracy == 1
    assert market.score(market.truth.forecast) == score_forecast(market.truth.forecast, market.truth.outcome)
    with pytest.raises(GwtLabError, match="reindex"):
        market.score(market.truth.forecast.iloc[1:])


def test_it_is_fast_enough_to_be_the_default_input(market):
    # processor time, so that other work on the machine does not count; `market` has loaded the kernels
    started = time.process_time()
    synthetic_market(n_assets=12, n_bars=20_000)
    assert time.process_time() - started < 2


# ------------------------------------------------------------------------------------------------ errors
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"n_assets": 1}, ConfigError, "n_assets must be a whole number of at least 2, got 1"),
        ({"n_assets": 2.5}, ConfigError, "n_assets must be a whole number"),
        ({"n_bars": 1}, ConfigError, "n_bars must be a whole number of at least 2, got 1"),
        ({"n_bars": True}, ConfigError, "n_bars must be a whole number"),
        ({"n_sectors": 0}, ConfigError, "n_sectors"),
        ({"n_leaders": 0}, ConfigError, "n_leaders"),
        ({"timeframe": "1M"}, UnknownNameError, "timeframe must be"),
        ({"timeframe": "hourly"}, UnknownNameError, "timeframe must be"),
        ({"spillover": 1 / 3}, ConfigError, "spectral radius of the lead-lag graph would be 1"),
        ({"spillover": -0.4}, ConfigError, "between -0.3333 and 0.3333 with 3 leaders"),
        ({"spillover": float("nan")}, ConfigError, "spillover must be a finite number, got nan"),
        ({"spillover": "strong"}, ConfigError, "spillover must be a finite number, got 'strong'"),
        ({"seed": -1}, ConfigError, "seed must be"),
        ({"seed": None}, ConfigError, "seed must be"),
        ({"seed": 1.5}, ConfigError, "seed must be"),
        ({"start": "yesterday evening"}, DataError, "is not a time"),
        ({"start": "1500-01-01"}, GwtLabError, "1500"),
        ({"start": "2262-04-11", "n_bars": 100}, ConfigError, "ask for fewer bars"),
        ({"n_bars": 20_000, "timeframe": "1w"}, ConfigError, "ask for fewer bars"),
        ({"dynamics": "wild"}, ConfigError, "dynamics must be Dynamics"),
        ({"dynamics": Dynamics(market_vol=1e5), "n_bars": 2_000}, ConfigError, "milder dynamics"),
    ],
)
def test_what_cannot_be_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        synthetic_market(**({"n_assets": 4, "n_bars": 20} | settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 0.5, "leverage": 0.2, "beta": 0.4}, "below 1, got 1"),
        ({"tail": 2.0}, "tail must exceed 2"),
        ({"n_steps": 11}, "at least 12"),
        ({"n_steps": 12.5}, "whole number"),
        ({"weekend": 0.0}, "stand still"),
        ({"jump_size": -1.0}, "jump_size"),
        ({"market_vol": float("inf")}, "market_vol"),
        ({"market_vol": "high"}, "market_vol"),
        ({"slow_half_lives": ()}, "slow_half_lives"),
        ({"slow_half_lives": (1.0, -1.0)}, "slow_half_lives"),
        ({"slow_half_lives": "long"}, "slow_half_lives"),
    ],
)
def test_dynamics_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Dynamics(**settings)
