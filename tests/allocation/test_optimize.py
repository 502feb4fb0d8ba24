"""Allocations against closed forms, against skfolio called directly, and within their limits."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from gwt_lab.allocation import convex
from gwt_lab.allocation.history import read_history
from gwt_lab.allocation.optimize import optimize_portfolio
from gwt_lab.allocation.settings import METHODS, AllocationSettings
from gwt_lab.errors import ConfigError, DataError, MissingExtraError, ShapeError, UnknownNameError
from gwt_lab.market.bars import Bars
from tests.allocation.markets import market, returns_with
from tests.oracles import allocation as oracle

NEAR = 2e-5  # what a solver's tolerance of 1e-9 leaves in the weights
INVESTED = [name for name in METHODS if name != "cash"]
SAMPLE = {"shrinkage": None}


def weights_of(*arguments, **settings):
    made = optimize_portfolio(*arguments, **settings)
    assert not made.fell_back, made.fallbacks
    return made.assets.to_numpy()


# ------------------------------------------------------------------------------------------------ closed forms
def test_two_assets_of_smallest_variance():
    # w1 = (s2² - s12) / (s1² + s2² - 2 s12) = (0.09 - 0.01) / (0.04 + 0.09 - 0.02) = 8 / 11
    returns = returns_with([[0.04, 0.01], [0.01, 0.09]], [0.0, 0.0]) * 0.01
    np.testing.assert_allclose(weights_of(returns, "min_variance", **SAMPLE), [8 / 11, 3 / 11], atol=NEAR)


def test_the_hedged_pair_sells_short_only_when_it_may():
    # (0.09 - 0.1) / (0.25 + 0.09 - 0.2) = -1 / 14
    returns = returns_with([[0.25, 0.1], [0.1, 0.09]], [0.0, 0.0]) * 0.01
    np.testing.assert_allclose(weights_of(returns, "min_variance", **SAMPLE), [0, 1], atol=NEAR)
    free = weights_of(returns, "min_variance", long_only=False, max_gross=3.0, **SAMPLE)
    # the second weight would be 15 / 14: more than one position may have
    np.testing.assert_allclose(free, [0, 1], atol=NEAR)
    third = returns_with([[0.25, 0.1, 0], [0.1, 0.09, 0], [0, 0, 0.05]], [0.0] * 3) * 0.01
    free = weights_of(third, "min_variance", long_only=False, max_gross=3.0, **SAMPLE)
    assert free[0] < -0.01
    np.testing.assert_allclose(free, oracle.min_variance(third.cov().to_numpy()), atol=NEAR)


def test_largest_sharpe_ratio_without_limits():
    covariance = [[0.04, 0.01, 0.0], [0.01, 0.09, 0.02], [0.0, 0.02, 0.16]]
    mean = np.array([0.02, 0.05, 0.04])
    returns = returns_with(covariance, mean)
    expected = oracle.max_sharpe(mean, np.array(covariance))
    assert (expected > 0).all()
    np.testing.assert_allclose(weights_of(returns, "max_sharpe", **SAMPLE), expected, atol=NEAR)
    made = optimize_portfolio(returns, "max_sharpe", **SAMPLE)
    best = np.sqrt(mean @ np.linalg.solve(covariance, mean))
    assert made.expected["sharpe"] == pytest.approx(best, rel=1e-6)


def test_largest_sharpe_ratio_with_shorts():
    covariance, mean = np.diag([0.04, 0.04, 0.04]), np.array([0.03, 0.02, -0.01])
    made = weights_of(returns_with(covariance, mean), long_only=False, max_gross=2.5, **SAMPLE)
    np.testing.assert_allclose(made, [0.75, 0.5, -0.25], atol=NEAR)


def test_forecasts_replace_the_means():
    covariance, forecast = np.diag([0.04, 0.04, 0.04]), {"AAA": 0.01, "BBB": 0.03}
    made = optimize_portfolio(returns_with(covariance, [0.5, 0, 0.9]), expected_returns=forecast, **SAMPLE)
    np.testing.assert_allclose(made.assets, [0.25, 0.75, 0], atol=NEAR)
    assert made.expected["return"] == pytest.approx(0.25 * 0.01 + 0.75 * 0.03, rel=1e-4)


def test_equal_risk_of_uncorrelated_assets_is_inverse_volatility():
    returns = returns_with(np.diag([0.01, 0.04, 0.16]), [0.0] * 3)
    expected = np.array([1 / 0.1, 1 / 0.2, 1 / 0.4]) / 17.5
    np.testing.assert_allclose(weights_of(returns, "risk_parity", **SAMPLE), expected, atol=NEAR)
    np.testing.assert_allclose(weights_of(returns, "inverse_volatility"), expected, rtol=1e-9)


def test_equal_risk_of_correlated_assets():
    returns = market()
    weights = weights_of(returns, "risk_parity", **SAMPLE)
    np.testing.assert_allclose(oracle.risk_shares(weights, returns.cov().to_numpy()), 1 / 6, atol=1e-4)


def test_a_tree_of_two_pairs_by_hand():
    # two pairs that move together; halves of the order are the pairs, whichever comes first
    covariance = np.array([[4, 3.6, 0, 0], [3.6, 4, 0, 0], [0, 0, 1, 0.9], [0, 0, 0.9, 1]]) * 1e-4
    weights = weights_of(returns_with(covariance, [0.0] * 4), "hrp", **SAMPLE)
    # equal variances inside a pair; the pairs have 3.8e-4 and 0.95e-4: one fifth and four fifths
    np.testing.assert_allclose(weights, [0.1, 0.1, 0.4, 0.4], rtol=1e-9)
    np.testing.assert_allclose(oracle.bisected([0, 1, 2, 3], covariance), weights, rtol=1e-9)


@pytest.mark.parametrize("method", ["max_sharpe", "min_variance", "risk_parity"])
def test_a_solution_knows_nothing_of_the_one_before(method):
    limits = {"previous": {"S05": 0.5}, "costs": 0.0001, "max_position_weight": 0.5}
    first = weights_of(market(), method, **limits)
    for other in (market(seed=7), market() * 3):  # the compiled problem is the same
        optimize_portfolio(other, method, **(limits | {"max_position_weight": 0.3}))
    np.testing.assert_array_equal(weights_of(market(), method, **limits), first)
    convex._compiled.cache_clear()
    np.testing.assert_array_equal(weights_of(market(), method, **limits), first)


@pytest.mark.parametrize("size", [1e-10, 1.0])
def test_costs_that_no_trade_pays_leave_what_is_held(size):
    held = {"S01": 0.3, "S04": 0.7}
    made = weights_of(market() * size, "min_variance", previous=held, costs=1.0)
    np.testing.assert_allclose(made, [0, 0.3, 0, 0, 0.7, 0], atol=1e-6)
    made = weights_of(market().abs() * size, "max_sharpe", previous=held, costs=1.0)
    np.testing.assert_allclose(made, [0, 0.3, 0, 0, 0.7, 0], atol=1e-6)


def test_threads_share_compiled_problems():
    tables = [market(seed=seed) for seed in range(12)]
    alone = [weights_of(table, "min_variance") for table in tables]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda table: weights_of(table, "min_variance"), tables))
    np.testing.assert_array_equal(together, alone)


# ------------------------------------------------------------------------------------------------ against skfolio
@pytest.mark.parametrize("cap", [1.0, 0.3])
@pytest.mark.parametrize("method", ["max_sharpe", "min_variance", "risk_parity", "hrp"])
def test_equals_skfolio_called_directly(method, cap):
    from skfolio.moments import LedoitWolf
    from skfolio.optimization import HierarchicalRiskParity, MeanRisk, ObjectiveFunction, RiskBudgeting
    from skfolio.prior import EmpiricalPrior

    returns = market(8, 500)
    prior = EmpiricalPrior(covariance_estimator=LedoitWolf())
    direct = {
        "max_sharpe": MeanRisk(ObjectiveFunction.MAXIMIZE_RATIO, prior_estimator=prior, max_weights=cap),
        "min_variance": MeanRisk(prior_estimator=prior, max_weights=cap),
        "risk_parity": RiskBudgeting(prior_estimator=prior, max_weights=cap),
        "hrp": HierarchicalRiskParity(prior_estimator=prior, max_weights=cap),
    }[method].fit(returns)
    ours = weights_of(returns, method, max_position_weight=cap)
    np.testing.assert_allclose(ours, direct.weights_, atol=3e-4)


# ------------------------------------------------------------------------------------------------ limits
@pytest.mark.parametrize("long_only", [True, False])
@pytest.mark.parametrize("method", INVESTED)
def test_caps_sums_and_bounds(method, long_only):
    settings = {"max_position_weight": 0.25, "cash": 0.2, "long_only": long_only, "max_gross": 1.3}
    weights = optimize_portfolio(market(), method, **settings).weights
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert weights["cash"] == pytest.approx(0.2, abs=1e-9)
    held = weights.drop("cash")
    assert held.abs().max() <= 0.25 + 1e-12
    assert held.min() >= (0 if long_only else -0.25 - 1e-12)
    assert held.abs().sum() <= (0.8 if long_only else 1.3) + 1e-5


def test_shorts_are_used_where_they_pay():
    long = optimize_portfolio(market(), "max_sharpe")
    both = optimize_portfolio(market(), "max_sharpe", long_only=False, max_gross=1.6)
    assert both.assets.min() < -0.05
    assert both.assets.abs().sum() == pytest.approx(1.6, abs=1e-4)
    assert both.expected["sharpe"] > long.expected["sharpe"]


@pytest.mark.parametrize("method", INVESTED)
def test_caps_that_cannot_hold_everything_leave_cash(method):
    made = optimize_portfolio(market() + 0.001, method, max_position_weight=0.1)
    np.testing.assert_allclose(made.assets, 0.1)
    assert made.cash == pytest.approx(0.4)
    assert not made.fell_back
    assert made.notes == ("6 assets at max_position_weight 0.1 hold 0.6; the rest is cash",)


def test_capped_inverse_volatility_by_hand():
    # 4/7, 2/7, 1/7 with a cap of 1/2: what is left is shared 2 to 1
    returns = returns_with(np.diag([0.01, 0.04, 0.16]), [0.0] * 3)
    made = weights_of(returns, "inverse_volatility", max_position_weight=0.5)
    np.testing.assert_allclose(made, [1 / 2, 1 / 3, 1 / 6], rtol=1e-9)


@pytest.mark.parametrize("method", INVESTED)
def test_new_names_and_another_order_change_nothing_else(method):
    returns = market()
    order = [3, 0, 5, 1, 4, 2]
    shuffled = returns.iloc[:, order].set_axis([f"X{at}" for at in order], axis=1)
    first = optimize_portfolio(returns, method, max_position_weight=0.4)
    second = optimize_portfolio(shuffled, method, max_position_weight=0.4)
    assert first.method_used == second.method_used == method
    np.testing.assert_allclose(second.assets, first.assets.iloc[order], atol=NEAR)


def test_shrinkage_is_ledoit_and_wolfs():
    from sklearn.covariance import ledoit_wolf

    returns = market(6, 60)
    covariance, shrunk = ledoit_wolf(returns.to_numpy())
    made = optimize_portfolio(returns, "min_variance", long_only=False, max_gross=9.0)
    np.testing.assert_allclose(made.assets, oracle.min_variance(covariance), atol=NEAR)
    assert made.diagnostics["shrunk"] == pytest.approx(shrunk)
    assert 0 < shrunk < 1
    assert made.diagnostics["condition"] == pytest.approx(np.linalg.cond(covariance))


def test_bars_are_their_closes():
    returns = market(3)
    closes = 100 * (1 + returns).cumprod()
    stamps = pd.date_range("2024-01-01", periods=len(closes), freq="h", tz="UTC")
    from gwt_lab.market.as_bars import as_bars

    bars = as_bars(closes.set_index(stamps), price="close")
    assert isinstance(bars, Bars)
    first, second = optimize_portfolio(bars, "hrp"), optimize_portfolio(returns.iloc[1:], "hrp")
    np.testing.assert_allclose(first.weights, second.weights, rtol=1e-9)
    assert read_history(bars).returns.shape == (299, 3)


# ------------------------------------------------------------------------------------------------ turnover and costs
HELD = {"S00": 0.6, "S05": 0.4}


@pytest.mark.parametrize("method", INVESTED)
def test_a_penalty_moves_less(method):
    moved = [
        optimize_portfolio(market(), method, previous=HELD, turnover_penalty=penalty).expected["turnover"]
        for penalty in (0.0, 0.02, 0.1, 5.0)
    ]
    assert moved[0] > moved[1] > moved[2] > moved[3]
    assert moved[3] == pytest.approx(0.0, abs=1e-9)


def test_the_penalised_step_is_the_nearest_one():
    import cvxpy as cp

    returns, penalty = market(), 0.04
    target = optimize_portfolio(returns, "risk_parity", max_position_weight=0.3).assets.to_numpy()
    made = optimize_portfolio(
        returns, "risk_parity", max_position_weight=0.3, previous=HELD, turnover_penalty=penalty
    ).assets.to_numpy()
    held = np.array([0.6, 0, 0, 0, 0, 0.4])
    w = cp.Variable(6)
    objective = 0.5 * cp.sum_squares(w - target) + penalty * cp.norm1(w - held)
    cp.Problem(cp.Minimize(objective), [cp.sum(w) == 1, w >= 0, w <= 0.3]).solve(solver="CLARABEL")
    np.testing.assert_allclose(made, w.value, atol=1e-6)


@pytest.mark.parametrize("method", INVESTED)
def test_a_turnover_limit_is_kept_and_said(method):
    made = optimize_portfolio(market(), method, previous=HELD, max_turnover=0.25)
    assert made.expected["turnover"] == pytest.approx(0.25, abs=1e-9)
    assert made.weights.sum() == pytest.approx(1.0)
    assert "0.25 is made (max_turnover)" in made.notes[-1]
    free = optimize_portfolio(market(), method, previous=HELD, max_turnover=2.0)
    assert free.notes == ()


def test_caps_come_before_the_turnover_limit():
    made = optimize_portfolio(market(), "hrp", previous={"S00": 1.0}, max_turnover=0.0, max_position_weight=0.4)
    assert made.assets["S00"] == pytest.approx(0.4)
    assert made.expected["turnover"] == pytest.approx(0.6)
    assert made.cash == pytest.approx(0.6)


def test_a_limit_builds_a_position_from_cash():
    made = optimize_portfolio(market(), "hrp", previous={}, max_turnover=0.3)
    assert made.cash == pytest.approx(0.7)


@pytest.mark.parametrize("method", ["max_sharpe", "min_variance"])
def test_costs_move_less(method):
    moved = [
        optimize_portfolio(market(), method, previous=HELD, costs=costs, horizon=24, risk_aversion=50).expected
        for costs in (0.0, 0.002, 0.2)
    ]
    assert moved[0]["turnover"] > moved[1]["turnover"] + 0.01
    assert moved[1]["turnover"] >= moved[2]["turnover"]
    assert moved[2]["turnover"] == pytest.approx(0.0, abs=1e-4)
    assert moved[1]["cost"] == pytest.approx(0.002 * moved[1]["turnover"])


def test_min_variance_weighs_costs_as_it_says():
    import cvxpy as cp

    returns, held = market(), np.array([0.6, 0, 0, 0, 0, 0.4]) * 0.9
    settings = {"costs": 0.001, "horizon": 12, "risk_aversion": 40.0, "cash": 0.1}
    previous = dict(zip(returns.columns, held, strict=True))
    made = weights_of(returns, "min_variance", previous=previous, **settings, **SAMPLE)
    w = cp.Variable(6)
    risk = cp.quad_form(w, cp.psd_wrap(returns.cov().to_numpy() * 1e4)) / 1e4
    objective = 20 * risk + 0.001 / 12 * cp.norm1(w - held)
    cp.Problem(cp.Minimize(objective * 1e4), [cp.sum(w) == 0.9, w >= 0]).solve(solver="CLARABEL")
    np.testing.assert_allclose(made, w.value, atol=1e-4)
    assert np.abs(made - held).sum() > 0.01


# ------------------------------------------------------------------------------------------------ callers' mistakes
@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (UnknownNameError, "did you mean max_sharpe", {"method": "max_sharp"}),
        (UnknownNameError, "no allocation method 'mean'", {"fallbacks": ("mean",)}),
        (ConfigError, "tuple of methods", {"fallbacks": "cash"}),
        (ConfigError, "max_position_weight must be above 0 and at most 1, got -0.1", {"max_position_weight": -0.1}),
        (ConfigError, "max_position_weight", {"max_position_weight": float("nan")}),
        (ConfigError, "did you mean max_position_weight", {"max_positon_weight": 0.3}),
        (ConfigError, "cash must be", {"cash": 1.5}),
        (
            ConfigError,
            "max_gross must be at least the invested share 1, got 0.5",
            {"long_only": False, "max_gross": 0.5},
        ),
        (ConfigError, "horizon must be a whole number", {"horizon": 0}),
        (ConfigError, "min_rows must be a whole number, 2", {"min_rows": 1}),
        (ConfigError, "shrinkage must be one of", {"shrinkage": "strong"}),
        (ConfigError, "max_turnover", {"max_turnover": -1}),
        (ConfigError, "long_only must be True or False, got 'no'", {"long_only": "no"}),
        (ConfigError, "fallbacks must be a tuple of methods, got None", {"fallbacks": None}),
        (ConfigError, "settings must be AllocationSettings, got dict", {"settings": {"cash": 0.1}}),
        (DataError, "previous weights must be a mapping or Series from assets", {"previous": [0.1, 0.2]}),
        (DataError, "expected_returns must be a mapping", {"expected_returns": {"S00": "much"}}),
        (ConfigError, "previous weights must be numbers", {"previous": {"S00": float("nan")}}),
        (ShapeError, "previous weights name ZZZ", {"previous": {"ZZZ": 1.0}}),
        (ShapeError, "expected_returns name ZZZ", {"expected_returns": {"ZZZ": 1.0}}),
        (DataError, "must be finite", {"expected_returns": {"S00": float("inf")}}),
        (DataError, "Bars or a DataFrame of returns", {"history": [1.0, 2.0]}),
        (DataError, "called 'cash'", {"history": pd.DataFrame({"cash": [0.1]})}),
        (DataError, "at least one asset", {"history": pd.DataFrame(index=[0, 1])}),
        (DataError, "A came more than once", {"history": pd.DataFrame([[1.0, 2.0]], columns=["A", "A"])}),
        (DataError, "text or times in A", {"history": pd.DataFrame({"A": ["x"]})}),
    ],
)
def test_callers_mistakes_are_refused(error, match, arguments):
    with pytest.raises(error, match=match):
        optimize_portfolio(**({"history": market()} | arguments))


def test_prices_are_not_taken_for_returns():
    prices = 100 * (1 + market()).cumprod()
    with pytest.raises(DataError, match=r"looks like prices: all of it is above 0, the middle \d+.*pct_change"):
        optimize_portfolio(prices, "hrp")
    with pytest.raises(DataError, match="looks like prices"):
        optimize_portfolio(1 + market().assign(S00=np.nan), "hrp")
    assert not optimize_portfolio(market().abs(), "hrp").fell_back  # a history that only rose


def test_an_allocation_travels():
    made = optimize_portfolio(market(), "hrp", previous={"S00": 1.0}, max_turnover=0.5)
    for other in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        pd.testing.assert_series_equal(other.weights, made.weights)
        assert dict(other.expected) == dict(made.expected)
        assert other.notes == made.notes
        with pytest.raises(TypeError):
            other.expected["return"] = 0.0


def test_with_shorts_the_cash_comes_before_the_turnover_limit():
    # held: 1.1 net of the account, of which 0.2 is to be cash
    made = optimize_portfolio(
        market(), "hrp", previous={"S00": 0.6, "S01": 0.6, "S02": -0.1}, long_only=False, cash=0.2, max_turnover=0.05
    )
    assert made.assets.sum() == pytest.approx(0.8)
    assert made.cash == pytest.approx(0.2)
    np.testing.assert_allclose(made.assets[:3], np.array([0.6, 0.6, -0.1]) * 0.8 / 1.1)
    # what is held leaves enough cash: the limit is kept to the letter
    previous = pd.Series({"S00": 0.5, "S01": 0.4, "S02": -0.1})
    made = optimize_portfolio(market(), "hrp", previous=previous, long_only=False, cash=0.2, max_turnover=0.05)
    assert made.expected["turnover"] == pytest.approx(0.05)


def test_the_missing_extra_is_named(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr("gwt_lab.allocation.solver.import_module", absent)
    with pytest.raises(MissingExtraError, match="'skfolio' is not installed; it comes with the extra 'allocation'"):
        optimize_portfolio(market(), "hrp")
    with pytest.raises(MissingExtraError, match="'cvxpy' is not installed; it comes with the extra 'allocation'"):
        optimize_portfolio(market(), "min_variance")
    assert optimize_portfolio(market(), "inverse_volatility").method_used == "inverse_volatility"


# ------------------------------------------------------------------------------------------------ the result
def test_what_it_says():
    made = optimize_portfolio(market(), "hrp", cash=0.1, max_position_weight=0.3)
    text = repr(made)
    assert text.startswith("Allocation: hrp, 6 of 6 assets, cash 10.0 %\n  S0")
    assert "expected volatility a bar" in made._repr_html_()
    assert list(made.weights.index) == [*market().columns, "cash"]
    with pytest.raises(AttributeError):
        made.method = "x"
    with pytest.raises(TypeError):
        made.expected["return"] = 1.0
    fell = optimize_portfolio(-market().abs())
    assert "max_sharpe → min_variance" in repr(fell)
    assert "max_sharpe could not answer: no asset is expected to earn" in fell._repr_html_()


def test_expected_figures_are_those_of_the_weights():
    returns = market()
    made = optimize_portfolio(returns, "equal_weight", **SAMPLE)
    account = returns.mean(axis=1)
    assert made.expected["return"] == pytest.approx(account.mean())
    assert made.expected["volatility"] == pytest.approx(account.std())
    assert made.expected["sharpe"] == pytest.approx(account.mean() / account.std())
    assert made.diagnostics["effective_assets"] == pytest.approx(6.0)
    assert np.isnan(made.expected["turnover"])


def test_settings_can_be_kept():
    settings = AllocationSettings(max_position_weight=0.3)
    made = optimize_portfolio(market(), "min_variance", settings=settings, cash=0.5)
    assert made.assets.max() <= 0.3 + 1e-12
    assert made.cash == pytest.approx(0.5)
