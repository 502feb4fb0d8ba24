"""Whatever a market brings, an allocation comes back, and says why it is not the one that was asked for."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gwt_lab.allocation.history import NoSolution
from gwt_lab.allocation.optimize import optimize_portfolio
from gwt_lab.allocation.settings import METHODS, AllocationSettings, chain_of
from tests.allocation.markets import market

NAN = np.nan
SOLVED = ["max_sharpe", "min_variance", "risk_parity", "hrp"]


def changed(column: int, rows: slice, value: float) -> pd.DataFrame:
    returns = market()
    returns.iloc[rows, column] = value
    return returns


def made_by(returns: pd.DataFrame, method: str, used: str, reason: str, **settings: object) -> pd.Series:
    made = optimize_portfolio(returns, method, **settings)
    assert made.method_used == used, made
    assert made.fallbacks[0].method == method
    assert reason in made.fallbacks[0].reason
    assert made.weights.sum() == pytest.approx(1.0)
    return made.weights


# ------------------------------------------------------------------------------------------------ the chain
def test_the_chain_goes_on_from_a_methods_own_place():
    plain = AllocationSettings()
    assert chain_of("hrp", plain) == ("hrp", "min_variance", "inverse_volatility", "equal_weight", "cash")
    assert chain_of("inverse_volatility", plain) == ("inverse_volatility", "equal_weight", "cash")
    assert chain_of("cash", plain) == ("cash",)
    assert chain_of("hrp", AllocationSettings(fallbacks=("cash",))) == ("hrp", "cash")
    assert chain_of("hrp", AllocationSettings(fallbacks=())) == ("hrp", "cash")
    assert chain_of("hrp", AllocationSettings(fallbacks=("risk_parity", "cash"))) == ("hrp", "risk_parity", "cash")
    assert chain_of("hrp", AllocationSettings(fallbacks=("risk_parity", "hrp", "cash"))) == ("hrp", "cash")


# ------------------------------------------------------------------------------------------------ degenerate input
@pytest.mark.parametrize("method", SOLVED)
def test_one_asset(method):
    weights = made_by(market(1), method, "inverse_volatility", "one asset is left")
    assert weights.to_dict() == {"S00": 1.0, "cash": 0.0}
    assert optimize_portfolio(market(1), method, max_position_weight=0.4).cash == pytest.approx(0.6)


@pytest.mark.parametrize("method", SOLVED)
def test_identical_assets(method):
    returns = pd.DataFrame({name: market(1)["S00"] for name in "ABC"})
    weights = made_by(returns, method, "inverse_volatility", "all 3 assets have the same returns")
    np.testing.assert_allclose(weights[:-1], 1 / 3)


@pytest.mark.parametrize("method", SOLVED[:3])
def test_two_identical_assets_among_others_share_alike(method):
    # a drift that makes max_sharpe want the pair
    returns = market().assign(TWIN=market()["S05"])
    made = optimize_portfolio(returns, method)
    assert not made.fell_back
    assert made.assets["TWIN"] == pytest.approx(made.assets["S05"], abs=1e-4)
    assert made.assets["TWIN"] > 0.01


@pytest.mark.parametrize("method", SOLVED[:3])
def test_a_singular_covariance(method):
    returns = market().assign(TWIN=market()["S05"])
    made_by(returns, method, "inverse_volatility", "singular: rank 6 for 7 assets in 300 rows", shrinkage=None)


def test_nothing_is_expected_to_earn():
    made_by(
        market() - 0.01, "max_sharpe", "min_variance", "no asset is expected to earn more than 0 a bar; the best -0"
    )
    weights = made_by(market() - 0.01, "max_sharpe", "cash", "no asset", fallbacks=("cash",))
    assert weights["cash"] == 1.0
    capped = "with max_position_weight 0.2 no portfolio is expected to earn"
    made_by(market() - 0.0008, "max_sharpe", "min_variance", capped, max_position_weight=0.2)
    made_by(market(), "max_sharpe", "min_variance", "no asset has an expected return", expected_returns={})


def test_costs_and_shorts_that_eat_every_gain_are_named():
    limits = {"previous": {"S00": 1.0}, "costs": 0.05, "max_position_weight": 0.4}
    reason = "no portfolio within the limits, after costs, is expected to earn more than 0 a bar"
    made_by(market(), "max_sharpe", "min_variance", reason, **limits)
    reason = "no portfolio within the limits is expected to earn more than 0 a bar"
    made_by(market() - 0.01, "max_sharpe", "min_variance", reason, long_only=False, max_gross=1.2)
    nothing = dict.fromkeys(market().columns, 0.0)
    reason = "no asset is expected to earn or to lose anything"
    made_by(market(), "max_sharpe", "min_variance", reason, long_only=False, expected_returns=nothing)


def test_an_asset_without_enough_history_is_left_out():
    made = optimize_portfolio(changed(2, slice(0, 200), NAN), "min_variance")
    assert made.assets["S02"] == 0
    assert not made.fell_back
    assert made.diagnostics["excluded"] == {"S02": "has returns in 100 of 300 rows"}
    rest = optimize_portfolio(market().drop(columns="S02"), "min_variance")
    np.testing.assert_allclose(made.weights.drop("S02"), rest.weights, atol=1e-6)


def test_an_asset_without_a_price_now_is_left_out_by_all():
    for method in METHODS:
        made = optimize_portfolio(changed(3, slice(299, None), NAN), method)
        assert made.assets["S03"] == 0
        assert made.diagnostics["excluded"] == {"S03": "has no price now"}


def test_constant_prices_and_constant_returns_are_left_out():
    made = optimize_portfolio(changed(1, slice(None), 0.0), "risk_parity")
    assert made.diagnostics["excluded"] == {"S01": "its price does not move"}
    assert made.assets["S01"] == 0
    made = optimize_portfolio(changed(1, slice(None), 0.001), "risk_parity")
    assert made.diagnostics["excluded"] == {"S01": "its return never changes"}
    weights = made_by(
        market() * 0, "hrp", "equal_weight", "no asset has a price now, enough history and prices that move"
    )
    np.testing.assert_allclose(weights[:-1], 1 / 6)


def test_holes_take_their_rows_and_no_more():
    returns = changed(0, slice(0, 20), NAN)
    returns.iloc[40:60, 4] = np.inf
    made = optimize_portfolio(returns, "min_variance")
    assert made.diagnostics["n_rows"] == 260
    assert not made.fell_back


def test_too_few_rows():
    made_by(market(n_rows=20), "hrp", "inverse_volatility", "20 rows have returns of all 6 assets, 30 are needed")
    made_by(market(n_rows=1), "hrp", "equal_weight", "no asset has a price now, enough history")
    made_by(market(n_rows=0), "hrp", "cash", "no asset has a price now")
    made_by(market() * NAN, "equal_weight", "cash", "no asset has a price now")


@pytest.mark.parametrize("method", SOLVED)
def test_more_assets_than_bars(method):
    returns = market(200, 50)
    made = optimize_portfolio(returns, method, max_position_weight=0.1)
    assert not made.fell_back
    assert made.assets.max() <= 0.1 + 1e-12
    if method != "hrp":
        reason = "rank 49 for 200 assets in 50 rows; shrink it"
        made_by(returns, method, "inverse_volatility", reason, shrinkage=None)


@pytest.mark.parametrize(("scale", "reason"), [(1e-200, "variance is too large or too small"), (1e200, "too large")])
def test_numbers_beyond_floating_point(scale, reason):
    weights = made_by(market() * scale, "min_variance", "equal_weight", reason)
    np.testing.assert_allclose(weights[:-1], 1 / 6)


# ------------------------------------------------------------------------------------------------ solvers that fail
def test_a_solver_out_of_time():
    made_by(market(), "min_variance", "inverse_volatility", "stopped before it was sure", time_limit=1e-9)


def test_a_solver_that_is_not_there():
    made_by(market(), "risk_parity", "inverse_volatility", "solver NOPE is not installed", solver="NOPE")
    assert not optimize_portfolio(market(), "hrp", solver="NOPE").fell_back


@pytest.mark.parametrize("solver", ["SCS"])
def test_another_solver_finds_the_same(solver):
    first = optimize_portfolio(market(), "min_variance")
    second = optimize_portfolio(market(), "min_variance", solver=solver)
    assert second.method_used == "min_variance"
    np.testing.assert_allclose(second.weights, first.weights, atol=1e-3)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (np.array([0.5, 0.5, 0.5, 0, 0, 0]), "breaks its bounds"),
        (np.array([1.5, -0.5, 0, 0, 0, 0]), "breaks its bounds"),
        (np.array([NAN, 1, 0, 0, 0, 0]), "not finite"),
    ],
)
def test_a_solution_out_of_bounds_is_distrusted(wrong, reason, monkeypatch):
    monkeypatch.setattr("gwt_lab.allocation.convex.minimise", lambda *arguments: (wrong, True))
    made_by(market(), "min_variance", "inverse_volatility", reason)


def test_an_error_inside_the_library_is_a_reason(monkeypatch):
    from skfolio.optimization import HierarchicalRiskParity

    def broken(self, X, y=None):
        raise ZeroDivisionError("a bug. With details")

    monkeypatch.setattr(HierarchicalRiskParity, "fit", broken)
    made_by(market(), "hrp", "min_variance", "ZeroDivisionError: a bug")


def test_an_interrupt_is_no_reason(monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("gwt_lab.allocation.optimize.solve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        optimize_portfolio(market(), "hrp")
    assert not issubclass(NoSolution, ValueError)


# ------------------------------------------------------------------------------------------------ anything at all
ODD = st.sampled_from([0.0, NAN, np.inf, -np.inf, -1.0, 1e-12, 1e9, -1e300, 1e-300]) | st.floats(-0.2, 0.2)


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=ODD),
    st.sampled_from(METHODS),
    st.floats(0.05, 1.0),
    st.floats(0.0, 1.0),
    st.booleans(),
)
def test_no_table_of_numbers_raises(returns, method, cap, cash, holds):
    names = [f"S{at}" for at in range(returns.shape[1])]
    limits = (
        {"turnover_penalty": 0.01, "max_turnover": 0.5, "previous": {names[0]: 0.3}, "costs": 0.001} if holds else {}
    )
    made = optimize_portfolio(
        pd.DataFrame(returns, columns=names), method, max_position_weight=cap, cash=cash, min_rows=2, **limits
    )
    assert np.isfinite(made.weights).all()
    assert made.weights.sum() == pytest.approx(1.0, abs=1e-9)
    assert made.assets.min() >= 0
    assert made.assets.max() <= cap + 1e-9
    assert made.cash >= cash - 1e-9
    assert made.fell_back == bool(made.fallbacks)
    assert repr(made)
