"""Laws of every account, whatever it is told to do: cash is conserved, value adds up, the future changes no past."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwt_lab.backtest.portfolio import Portfolio
from tests.market.test_account_twin import simulated
from tests.oracles.account_runs import Case, levered_case, random_case
from tests.oracles.paths import bars_of

FAST = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 10**6)


@st.composite
def cases(draw) -> Case:
    seed = draw(SEEDS)
    kind = draw(st.sampled_from(["signals", "orders", "levered"]))
    return levered_case(seed) if kind == "levered" else random_case(seed, orders=kind == "orders")


def close_to(got, expected, scale: float) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-9 * scale)


def account_of(pf: Portfolio) -> np.ndarray:
    return pf.simulation.layout.account_of[pf.fills[:, 1].astype(int)]


# ------------------------------------------------------------------------------------------------ money
@FAST
@given(cases())
def test_cash_is_what_it_was_less_what_was_paid(case):
    pf = simulated(replace(case, funding=None))
    paid = pf.fills[:, 2] * pf.fills[:, 3] + pf.fills[:, 4]
    for account in range(len(pf.accounts)):
        mine = account_of(pf) == account
        spent = np.array([paid[mine & (pf.fills[:, 0] <= row)].sum() for row in range(case.bars.n_times)])
        close_to(pf.paths.cash[:, account], case.init_cash - spent, case.init_cash + np.abs(paid).sum())


@FAST
@given(cases())
def test_what_is_not_paid_for_trades_is_funding(case):
    pf = simulated(case)
    paid = pf.fills[:, 2] * pf.fills[:, 3] + pf.fills[:, 4]
    spent = np.bincount(account_of(pf), paid, minlength=len(pf.accounts)) + pf.paths.funding
    close_to(pf.paths.cash[-1], case.init_cash - spent, case.init_cash + np.abs(paid).sum())


@FAST
@given(cases())
def test_value_is_cash_and_positions_at_the_last_close(case):
    """A symbol without a close is worth its last close, or what it was traded at since."""
    case = replace(case, price="close", given=None, rules=replace(case.rules, at_open=False))
    pf = simulated(case)
    close = case.bars.close.ffill().fillna(0.0).to_numpy()[:, pf.simulation.layout.symbol_of]
    worth = pf.amounts * close
    for account in range(len(pf.accounts)):
        mine = pf.simulation.layout.account_of == account
        close_to(
            pf.paths.value[:, account],
            pf.paths.cash[:, account] + worth[:, mine].sum(axis=1),
            np.abs(worth).max() + 1e3,
        )


@FAST
@given(cases())
def test_no_signals_earn_nothing(case):
    if case.signals is None:
        case = replace(case, size=case.size * np.nan)
    else:
        case = replace(case, signals={name: values & False for name, values in case.signals.items()})
    pf = simulated(case)
    assert len(pf.fills) == 0
    assert (pf.paths.value == case.init_cash).all()


@FAST
@given(cases())
def test_a_spot_account_that_is_only_long_has_no_debt(case):
    rules = replace(case.rules, direction="longonly", leverage=1.0, maintenance=0.0, maker=max(case.rules.maker, 0.0))
    signals = None if case.signals is None else {name: case.signals[name] for name in ("entries", "exits")}
    pf = simulated(replace(case, rules=rules, signals=signals, funding=None))
    assert (pf.paths.cash >= 0).all()
    assert (pf.amounts >= 0).all()


@FAST
@given(SEEDS, st.floats(0.0, 0.02), st.floats(0.0005, 0.02))
def test_higher_costs_never_earn_more_on_the_same_fills(seed, fees, more):
    """Sizes are small amounts, so that no order is cut and both trade the same."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (30, 1)), axis=0))
    bars = bars_of(close, close)
    entries, exits = rng.random((2, 30, 1)) < 0.3
    words = {"size": 1.0, "direction": "both", "slippage": 0.0}
    cheap = Portfolio.from_signals(bars, entries, exits, fees=fees, **words)
    dear = Portfolio.from_signals(bars, entries, exits, fees=fees + more, **words)
    assert np.array_equal(cheap.fills[:, :4], dear.fills[:, :4])
    traded = np.abs(cheap.fills[:, 2] * cheap.fills[:, 3]).sum()
    assert cheap.equity[-1] - dear.equity[-1] == pytest.approx(more * traded, abs=1e-8)


# ------------------------------------------------------------------------------------------------ symmetries
@FAST
@given(cases(), st.randoms(use_true_random=False))
def test_relabelling_columns_relabels_results(case, random):
    """Columns with cash of their own do not know of each other."""
    order = list(range(case.bars.n_symbols))
    random.shuffle(order)
    one = replace(case, groups=None)
    two = one.part(slice(None), order)
    assert np.array_equal(simulated(one).paths.value[:, order], simulated(two).paths.value)


@FAST
@given(cases(), st.integers(1, 39))
def test_the_future_does_not_change_the_past(case, cut):
    """Apart from a delisting: that a symbol never comes back is told by the bars that are missing later."""
    cut = min(cut, case.bars.n_times)
    case = replace(case, rules=replace(case.rules, delist=False))
    part = case.part(slice(cut), list(range(case.bars.n_symbols)))
    whole, early = simulated(case), simulated(part)
    assert np.array_equal(whole.paths.value[:cut], early.paths.value)
    assert np.array_equal(whole.fills[whole.fills[:, 0] < cut], early.fills)


@FAST
@given(cases(), st.sampled_from([2.0**-10, 0.5, 4.0, 2.0**20]))
def test_the_unit_of_money_does_not_matter(case, unit):
    """Scaled by a power of two, every number of the account is scaled exactly: nothing rounds otherwise."""
    rules = replace(
        case.rules, fixed=case.rules.fixed * unit, tiers=tuple((v * unit, f, m) for v, f, m in case.rules.tiers)
    )
    bars = replace(
        case.bars,
        **{name: getattr(case.bars, name) * unit for name in ("open", "high", "low", "close")},
        instruments={},
    )
    case = replace(case, venues=None)
    size = case.size * unit if rules.size_type in ("value", "targetvalue") else case.size
    scaled = replace(
        case, rules=rules, bars=bars, size=size, init_cash=case.init_cash * unit,
        given=None if case.given is None else case.given * unit,
    )  # fmt: skip
    one, two = simulated(case), simulated(scaled)
    assert np.array_equal(one.paths.value * unit, two.paths.value)
    assert np.array_equal(one.fills[:, :3], two.fills[:, :3])


@FAST
@given(SEEDS, st.floats(0.1, 5.0))
def test_a_short_mirrors_a_long(seed, size):
    """Where one price mirrors the other around 100, a short of the one earns what a long of the other earns."""
    rng = np.random.default_rng(seed)
    steps = rng.uniform(-1, 1, (2, 30, 1))
    close = 100 + np.cumsum(steps[0], axis=0)
    open_ = np.vstack([[[100.0]], close[:-1]]) + steps[1]
    entries, exits = rng.random((2, 30, 1)) < 0.3
    words = {"size": size, "fees": 0.0, "slippage": 0.0}
    long = Portfolio.from_signals(bars_of(open_, close), entries, exits, **words)
    short = Portfolio.from_signals(bars_of(200 - open_, 200 - close), entries, exits, direction="shortonly", **words)
    np.testing.assert_allclose(long.equity, short.equity, rtol=1e-12)
    np.testing.assert_allclose(long.fills[:, 2], -short.fills[:, 2])


# ----------------------------------------------------------------------------------------------- what no bar can tell
@FAST
@given(SEEDS, st.sampled_from([0.01, 0.03]), st.sampled_from([0.01, 0.04]), st.booleans())
def test_a_trade_is_never_better_where_one_is_pessimistic(seed, stop, target, short):
    """One entry, then only stop, target and liquidation; between the two lies what is neutral.

    Not so after a limit: where it is unknown whether a target was reached after the fill, the pessimistic trade goes
    on, and may end better than at the target.
    """
    rng = np.random.default_rng(seed)
    n = 25
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (n, 1)), axis=0))
    open_ = np.vstack([[[100.0]], close[:-1]]) * np.exp(rng.normal(0, 0.004, (n, 1)))
    market = bars_of(open_, close)
    spread = np.exp(np.abs(rng.normal(0, 0.02, (2, n, 1))))
    market = replace(market, high=market.high * spread[0], low=market.low / spread[1])
    entries = pd.DataFrame(np.arange(n)[:, None] == 0, market.index, market.close.columns)
    ends = [
        Portfolio.from_signals(
            market, entries, sl_stop=stop, tp_stop=target, direction="shortonly" if short else "longonly", size=100,
            ambiguity=mode, leverage=5, fees=0.001, slippage=0.0, init_cash=3_000,
        ).equity[-1]
        for mode in ("pessimistic", "neutral", "optimistic")
    ]  # fmt: skip
    assert ends == sorted(ends)
