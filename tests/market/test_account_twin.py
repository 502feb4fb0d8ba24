"""The compiled account and its plain twin do the same to every bar, however hostile."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.market.costs import CostModel
from gwt_lab.market.orders import KIND_NAMES
from tests.oracles.account_orders import Rules
from tests.oracles.account_runs import Case, levered_case, market, plain_run, random_case, weights_case

RELATIVE = 1e-9


def simulated(case: Case) -> Portfolio:
    words = case.keywords()
    costs = CostModel(**case.costs())
    frame = {"index": case.bars.index, "columns": case.bars.close.columns}
    size = pd.DataFrame(np.broadcast_to(case.size, case.bars.shape), **frame)
    if case.rules.drift:
        for name in ("sl_stop", "tp_stop", "limit", "group_by"):
            words.pop(name)
        return Portfolio.from_weights(case.bars, size, costs=costs, rebalance=case.rules.drift, **words)
    if case.signals is None:
        return Portfolio.from_orders(case.bars, size, costs=costs, **words)
    signals = {name: pd.DataFrame(values, **frame) for name, values in case.signals.items()}
    return Portfolio.from_signals(case.bars, **signals, size=size, costs=costs, **words)


def assert_equal(case: Case) -> np.ndarray:
    """Compare fills, cash and value; return the kinds of the fills."""
    pf = simulated(case)
    cash, value, fills = plain_run(case)
    got = [(int(r), int(c), KIND_NAMES[int(k)], p, a, f) for r, c, a, p, f, k in pf.fills]
    told = [(r, c, k, p, a, f) for r, c, a, p, f, k in fills]
    for ours, theirs in zip(got, told, strict=False):
        assert ours[:3] == theirs[:3], (ours, theirs)
        noise = case.init_cash * 1e-11
        assert ours[3] == pytest.approx(theirs[3], rel=RELATIVE), (ours, theirs)
        assert ours[4] == pytest.approx(theirs[4], rel=RELATIVE, abs=noise / theirs[3]), (ours, theirs)
        assert ours[5] == pytest.approx(theirs[5], rel=RELATIVE, abs=noise), (ours, theirs)
    assert len(got) == len(told)
    largest = np.abs(value).max()
    np.testing.assert_allclose(pf.paths.cash, cash, rtol=RELATIVE, atol=RELATIVE * largest)
    np.testing.assert_allclose(pf.paths.value, value, rtol=RELATIVE, atol=RELATIVE * largest)
    return pf.fills[:, 5]


def seen(kinds: list[np.ndarray]) -> dict[str, int]:
    counts = np.bincount(np.concatenate(kinds).astype(int), minlength=len(KIND_NAMES))
    return dict(zip(KIND_NAMES, counts.tolist(), strict=True))


# ------------------------------------------------------------------------------------------------ random and hostile
@pytest.mark.parametrize("block", range(6))
def test_signals_equal_the_plain_twin(block):
    counts = seen([assert_equal(random_case(seed, orders=False)) for seed in range(40 * block, 40 * block + 40)])
    assert (
        min(counts[kind] for kind in ("order", "stop loss", "take profit", "trailing stop", "time stop", "limit")) > 0
    )


@pytest.mark.parametrize("block", range(6))
def test_orders_equal_the_plain_twin(block):
    counts = seen([assert_equal(random_case(seed, orders=True)) for seed in range(40 * block, 40 * block + 40)])
    assert (
        min(counts[kind] for kind in ("order", "stop loss", "take profit", "trailing stop", "time stop", "limit")) > 0
    )


@pytest.mark.parametrize("block", range(4))
def test_margin_accounts_equal_the_plain_twin(block):
    counts = seen([assert_equal(levered_case(seed)) for seed in range(40 * block, 40 * block + 40)])
    assert counts["liquidation"] > 10
    assert counts["delisting"] > 0


@pytest.mark.parametrize("block", range(2))
def test_drifting_weights_equal_the_plain_twin(block):
    counts = seen([assert_equal(weights_case(seed)) for seed in range(40 * block, 40 * block + 40)])
    assert counts["order"] > 100


# ------------------------------------------------------------------------------------------------ small and exact
STEPS = st.integers(-3, 3)
CONFLICTS = st.sampled_from(["ignore", "entry", "exit", "adjacent", "opposite"])
FRACTION = st.sampled_from([float("nan"), 0.0, 0.01, 0.02, 0.03])


@st.composite
def exact_rules(draw, price: str) -> Rules:
    leverage = draw(st.sampled_from([1.0, 1.0, 10.0, 40.0]))
    return Rules(
        at_open=price == "next_open",
        direction=draw(st.sampled_from(["longonly", "shortonly", "both"])),
        accumulate=draw(st.sampled_from(["disabled", "both", "addonly", "removeonly"])),
        long_conflict=draw(CONFLICTS),
        short_conflict=draw(CONFLICTS),
        dir_conflict=draw(st.sampled_from(["ignore", "long", "short", "adjacent", "opposite"])),
        opposite_entry=draw(st.sampled_from(["ignore", "close", "closereduce", "reverse", "reversereduce"])),
        ambiguity=draw(st.sampled_from(["pessimistic", "neutral", "optimistic"])),
        call_seq=draw(st.sampled_from(["default", "reversed", "auto"])),
        sl_trail=draw(st.booleans()),
        time_stop=draw(st.integers(0, 3)),
        limit_bars=draw(st.integers(1, 3)),
        leverage=leverage,
        maintenance=0.005 if leverage > 1 else 0.0,
        delist=draw(st.booleans()),
        fees=draw(st.sampled_from([0.0, 0.01])),
        slippage=draw(st.sampled_from([0.0, 0.01])),
    )


@st.composite
def exact_cases(draw) -> Case:
    """Return bars on a grid of whole prices near 100, where levels are touched exactly and opens lie on them."""
    shape = (draw(st.integers(2, 7)), draw(st.integers(1, 2)))
    steps = draw(hnp.arrays(np.int64, (4, *shape), elements=STEPS))
    close = 100.0 + np.clip(np.cumsum(steps[0], axis=0), -6, 6)
    open_ = np.vstack([np.full((1, shape[1]), 100.0), close[:-1]]) + np.where(steps[1] > 1, steps[1], 0)
    high = np.maximum(open_, close) + np.abs(steps[2])
    low = np.minimum(open_, close) - np.abs(steps[3])
    gone = draw(hnp.arrays(bool, (5, *shape), elements=st.sampled_from([False] * 9 + [True])))
    panels = (open_, high, low, close, np.full(shape, 100.0))
    fields = {
        name: np.where(lost | gone[4], np.nan, values)
        for name, values, lost in zip(("open", "high", "low", "close", "volume"), panels, gone, strict=True)
    }
    price = draw(st.sampled_from(["next_open", "close", "next_close"]))
    rules = draw(exact_rules(price))
    signals = draw(hnp.arrays(bool, (4, *shape), elements=st.sampled_from([False, False, True])))
    names = ("entries", "exits", "short_entries", "short_exits")
    return Case(
        market(fields, "1h", None), price, rules,
        signals=dict(zip(names, signals, strict=True)),
        size=np.full(shape, draw(st.sampled_from([1.0, 3.5, 50.0]))),
        sl=draw(FRACTION), tp=draw(FRACTION), limit=draw(FRACTION),
        groups=draw(st.sampled_from([None, ["g"] * shape[1]])),
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(exact_cases())
def test_exact_touches_equal_the_plain_twin(case):
    assert_equal(case)
