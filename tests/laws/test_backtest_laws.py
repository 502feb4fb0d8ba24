"""Laws of the weights backtest, on paths and weights that Hypothesis makes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gwt_lab.backtest.portfolio import Portfolio
from tests.oracles.paths import bars_of

FAST = settings(max_examples=30, deadline=None)
COST = st.floats(0, 0.05)


@st.composite
def markets(draw, holes: bool = True, largest: float = 1.5):
    """Return bars and weights: prices move up to 20 % a bar, weights may be NaN, prices may be missing."""
    n_times, n_symbols = draw(st.integers(2, 12)), draw(st.integers(1, 4))
    shape = (n_times, n_symbols)
    moves = draw(hnp.arrays(np.float64, (2, *shape), elements=st.floats(-0.2, 0.2)))
    close = 100 * np.exp(np.cumsum(moves[0], axis=0))
    open_ = np.vstack([np.full((1, n_symbols), 100.0), close[:-1]]) * np.exp(moves[1] / 4)
    if holes:
        gone = draw(hnp.arrays(bool, shape, elements=st.sampled_from([False, False, False, True])))
        open_, close = np.where(gone, np.nan, open_), np.where(gone, np.nan, close)
    bars = bars_of(open_, close)
    weight = st.one_of(st.just(np.nan), st.floats(-largest, largest))
    weights = pd.DataFrame(
        draw(hnp.arrays(np.float64, shape, elements=weight)), index=bars.index, columns=bars.close.columns
    )
    return bars, weights


@FAST
@given(markets(), COST, COST)
def test_cash_is_conserved(market, fees, slippage):
    """What the account holds in cash is what it began with, less what every order cost."""
    bars, weights = market
    pf = Portfolio.from_weights(bars, weights, fees=fees, slippage=slippage)
    paid = pf.fills[:, 2] * pf.fills[:, 3] + pf.fills[:, 4]
    spent = np.array([paid[pf.fills[:, 0] <= row].sum() for row in range(bars.n_times)])
    np.testing.assert_allclose(pf.cash, 10_000 - spent, rtol=1e-9, atol=1e-6)
    bought = np.zeros(bars.shape)
    for row, column, amount, *_ in pf.fills:
        bought[int(row), int(column)] += amount
    np.testing.assert_allclose(pf.assets(), bought.cumsum(axis=0), rtol=1e-9, atol=1e-9)


@FAST
@given(markets())
def test_the_gain_is_the_sum_over_symbols(market):
    """Without costs, the account's gain is each symbol's position times its price change, added up."""
    bars, weights = market
    pf = Portfolio.from_weights(bars, weights, fees=0, slippage=0)
    last = bars.close.ffill()
    worth = pf.cash + np.nansum(pf.amounts * last.to_numpy(), axis=1)
    np.testing.assert_allclose(pf.value(), worth, rtol=1e-9, atol=1e-6)


@FAST
@given(markets(), COST, COST)
def test_zero_weights_earn_zero(market, fees, slippage):
    bars, weights = market
    pf = Portfolio.from_weights(bars, weights * 0.0, fees=fees, slippage=slippage)
    assert (pf.value() == 10_000).all()
    assert len(pf.orders) == 0


@FAST
@given(markets(), COST, COST)
def test_cash_never_goes_below_zero(market, fees, slippage):
    bars, weights = market
    assert (Portfolio.from_weights(bars, weights, fees=fees, slippage=slippage).cash >= 0).all()


@FAST
@given(markets(largest=0.9), COST, st.floats(0.0005, 0.05))
def test_a_higher_fee_never_earns_more_on_a_fixed_path(market, fees, more):
    """One symbol that does not move and may only be long: every round trip costs, more fees cost more."""
    bars, weights = market
    still = bars_of(np.full(bars.shape, 100.0)[:, :1], np.full(bars.shape, 100.0)[:, :1])
    target = pd.DataFrame(weights.abs().to_numpy()[:, :1], index=still.index, columns=still.close.columns)
    cheap = Portfolio.from_weights(still, target, fees=fees, slippage=0)
    dear = Portfolio.from_weights(still, target, fees=fees + more, slippage=0)
    assert dear.equity[-1] <= cheap.equity[-1]
    if len(cheap.orders):
        assert dear.equity[-1] < cheap.equity[-1]


@FAST
@given(markets(largest=0.2), COST, st.randoms(use_true_random=False))
def test_relabelling_symbols_relabels_results(market, fees, random):
    """Weights are small, so that no buy is cut to the cash, where the order of equal orders would matter."""
    bars, weights = market
    order = list(bars.symbols)
    random.shuffle(order)
    one = Portfolio.from_weights(bars, weights, fees=fees)
    two = Portfolio.from_weights(bars.select(order), weights[order], fees=fees)
    np.testing.assert_allclose(one.value(), two.value(), rtol=1e-9)
    np.testing.assert_allclose(one.assets()[order], two.assets(), rtol=1e-7, atol=1e-9)


@FAST
@given(markets(), st.integers(1, 11))
def test_the_future_does_not_change_the_past(market, cut):
    bars, weights = market
    cut = min(cut, bars.n_times)
    whole = Portfolio.from_weights(bars, weights)
    part = Portfolio.from_weights(bars.head(cut), weights.iloc[:cut])
    assert whole.value().iloc[:cut].equals(part.value())


@FAST
@given(markets(holes=False), st.floats(0.01, 100))
def test_the_unit_of_money_does_not_matter(market, scale):
    """Not even where the cash runs out: of equal buys the later column waits, whatever rounding says."""
    bars, weights = market
    one = Portfolio.from_weights(bars, weights, init_cash=10_000)
    two = Portfolio.from_weights(bars, weights, init_cash=10_000 * scale)
    assert two.total_return() == pytest.approx(one.total_return(), rel=1e-6, abs=1e-9)
