"""Signals, orders and weights equal vectorbt's to 1e-9 wherever the semantics coincide, on random and hostile bars."""

import warnings

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.portfolio import Portfolio
from tests.oracles.paths import bars_of

TOLERANCE = 1e-9
SYMBOLS = 4
# what vectorbt has by default and we have not: an order of less than 1e-8 is dropped
THEIRS = {"freq": "1h", "min_size": 1e-300, "init_cash": 1_000.0}

pytestmark = [
    pytest.mark.slow,  # vectorbt compiles for 20 to 60 s where it finds no cache
    pytest.mark.filterwarnings("ignore"),  # vectorbt's own
]


@pytest.fixture(scope="module")
def vbt():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("vectorbt")


# ------------------------------------------------------------------------------------------------ bars and signals
def hostile_bars(seed: int, n_times: int = 150, *, holes: float = 0.1, wild: float = 0.02, gaps: float = 0.01):
    """Return bars with jumps at the open, missing rows (never the first), a still symbol, a tiny and a huge price."""
    rng = np.random.default_rng(seed)
    shape = (n_times, SYMBOLS)
    scale = np.array([100.0, 1e-4, 1e5, 3.0])
    close = scale * np.exp(np.cumsum(rng.normal(0, wild, shape), axis=0))
    close[:, 3] = np.where(np.arange(n_times) < n_times // 3, 3.0, close[:, 3])
    open_ = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, gaps, shape))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, wild / 2, shape)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, wild / 2, shape)))
    gone = rng.random(shape) < holes
    gone[0] = False
    panels = [np.where(gone, np.nan, values) for values in (open_, high, low, close)]
    bars = bars_of(panels[0], panels[3])
    frames = {name: pd.DataFrame(values, bars.index, bars.close.columns) for name, values in
              zip(("open", "high", "low", "close"), panels, strict=True)}  # fmt: skip
    return type(bars)(**frames, volume=bars.volume, timeframe="1h")


def random_signals(seed: int, bars, *names: str, chance: float = 0.15) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(seed + 1_000)
    return {name: pd.DataFrame(rng.random(bars.shape) < chance, bars.index, bars.close.columns) for name in names}


def shifted(signals: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {name: frame.shift(1, fill_value=False) for name, frame in signals.items()}


def assert_same(ours: Portfolio, theirs, what: str) -> None:
    """Compare value paths and every order: column, row, side, size, price, fee."""
    value = theirs.value()
    np.testing.assert_allclose(
        ours.value().to_numpy(), value.to_numpy(), rtol=TOLERANCE, atol=1e-9 * value.to_numpy().max(), err_msg=what
    )
    records = theirs.orders.records.sort_values(["col", "idx"], kind="stable")
    # what rounding leaves of a size is an order to them and none to us
    records = records[records["size"] * records["price"] > 1e-9]
    fills = pd.DataFrame(ours.fills, columns=["idx", "col", "amount", "price", "fees", "kind"])
    fills = fills.sort_values(["col", "idx"], kind="stable")
    assert len(fills) == len(records), what
    assert len(fills) > 5, what
    assert (fills["col"].to_numpy() == records["col"].to_numpy()).all(), what
    assert (fills["idx"].to_numpy() == records["idx"].to_numpy()).all(), what
    signed = np.where(records["side"] == 0, records["size"], -records["size"])
    for name, found, expected in (
        ("amount", fills["amount"], signed), ("price", fills["price"], records["price"]),
        ("fees", fills["fees"], records["fees"]),
    ):  # fmt: skip
        np.testing.assert_allclose(found, expected, rtol=1e-7 if name == "fees" else TOLERANCE, atol=1e-9, err_msg=what)


def full(bars, values) -> pd.DataFrame:
    """Return a whole frame of one memory layout: vectorbt compiles anew for every other kind of argument."""
    found = np.broadcast_to(np.asarray(values), bars.shape)
    return pd.DataFrame(np.array(found, order="C"), bars.index, bars.close.columns)


def their_words(bars, words: dict, price: str) -> dict:
    """Return the same settings in one form."""
    modes = {False: "disabled", True: "both"}
    words = {"accumulate": False, "size": np.inf, "fixed_fees": 0.0, "sl_stop": np.nan, "tp_stop": np.nan} | words
    words["accumulate"] = modes.get(words["accumulate"], words["accumulate"])
    for name in ("size", "sl_stop", "tp_stop", "fixed_fees"):
        words[name] = full(bars, np.asarray(words[name], dtype=np.float64))
    words["price"] = full(bars, bars.open if price == "next_open" else bars.close)
    return words | {name: full(bars, getattr(bars, name)) for name in ("open", "high", "low")}


def both(vbt, bars, signals, price="close", ours=(), theirs=(), **shared):
    """Return our portfolio and theirs on the same bars, signals and rules."""
    costs = {"fees": 0.002, "slippage": 0.001}
    pf = Portfolio.from_signals(bars, **signals, price=price, init_cash=1_000, **costs, **(dict(shared) | dict(ours)))
    delayed = shifted(signals) if price == "next_open" else signals
    delayed = {name: full(bars, frame) for name, frame in delayed.items()}
    words = their_words(bars, dict(shared) | dict(theirs), price)
    return pf, vbt.Portfolio.from_signals(full(bars, bars.close), **delayed, **costs, **THEIRS, **words)


# ------------------------------------------------------------------------------------------------ signals
@pytest.mark.parametrize(("direction", "price"), [("longonly", "next_open"), ("shortonly", "close")])
@pytest.mark.parametrize("accumulate", [False, True, "addonly", "removeonly"])
def test_one_direction(vbt, direction, price, accumulate):
    bars = hostile_bars(1, wild=0.01)
    level = bars.close.iloc[0]
    size = np.inf if not accumulate and direction == "longonly" else 100 / level.to_numpy()
    signals = random_signals(1, bars, "entries", "exits")
    pf, other = both(vbt, bars, signals, price, direction=direction, accumulate=accumulate, size=size)
    assert_same(pf, other, f"{direction} {price} {accumulate}")


@pytest.mark.parametrize("opposite", ["ignore", "close", "closereduce", "reverse", "reversereduce"])
@pytest.mark.parametrize("accumulate", [False, True, "addonly", "removeonly"])
def test_long_and_short_signals(vbt, opposite, accumulate):
    bars = hostile_bars(2, wild=0.01)
    signals = random_signals(2, bars, "entries", "exits", "short_entries", "short_exits")
    size = 60 / bars.close.iloc[0].to_numpy()
    pf, other = both(vbt, bars, signals, size=size, accumulate=accumulate, upon_opposite_entry=opposite)
    assert_same(pf, other, f"{opposite} {accumulate}")


@pytest.mark.parametrize("conflict", ["ignore", "entry", "exit", "adjacent", "opposite"])
@pytest.mark.parametrize("direction_conflict", ["ignore", "long", "short", "adjacent", "opposite"])
def test_conflicts(vbt, conflict, direction_conflict):
    bars = hostile_bars(3, 100, wild=0.01)
    signals = random_signals(3, bars, "entries", "exits", "short_entries", "short_exits", chance=0.5)
    pf, other = both(
        vbt, bars, signals, size=50 / bars.close.iloc[0].to_numpy(),
        upon_long_conflict=conflict, upon_short_conflict=conflict, upon_dir_conflict=direction_conflict,
    )  # fmt: skip
    assert_same(pf, other, f"{conflict} {direction_conflict}")


@pytest.mark.parametrize("price", ["close", "next_open"])
def test_exits_are_short_entries_with_both_directions(vbt, price):
    bars = hostile_bars(4, wild=0.005)
    signals = random_signals(4, bars, "entries", "exits")
    pf, other = both(vbt, bars, signals, price, direction="both", size=100 / bars.close.iloc[0].to_numpy())
    assert_same(pf, other, price)


@pytest.mark.parametrize("price", ["close", "next_open"])
@pytest.mark.parametrize(("size_type", "size"), [("value", 200.0), ("percent", 0.4), ("amount", np.inf)])
def test_size_types(vbt, size_type, size, price):
    bars = hostile_bars(5, wild=0.01)
    signals = random_signals(5, bars, "entries", "exits")
    accumulate = size_type != "amount"
    pf, other = both(vbt, bars, signals, price, size=size, size_type=size_type, accumulate=accumulate)
    assert_same(pf, other, size_type)


def test_all_in_both_ways(vbt):
    """An infinite size shorts nothing in vectorbt, but all that is held and can be shorted with a percent of 1."""
    bars = hostile_bars(6, wild=0.005)
    signals = random_signals(6, bars, "entries", "exits", "short_entries", "short_exits")
    shared = {"size": 1.0, "size_type": "percent", "upon_opposite_entry": "close"}
    assert_same(*both(vbt, bars, signals, **shared), "percent 1")
    shared = {"size": 0.7, "size_type": "percent", "upon_opposite_entry": "closereduce", "accumulate": True}
    assert_same(*both(vbt, bars, signals, **shared), "percent 0.7")


@pytest.mark.parametrize("price", ["close", "next_open"])
def test_fixed_fees(vbt, price):
    bars = hostile_bars(7, wild=0.01)
    signals = random_signals(7, bars, "entries", "exits")
    pf, other = both(vbt, bars, signals, price, fixed_fees=0.7, size=0.5, size_type="percent", accumulate="addonly")
    assert_same(pf, other, price)


@pytest.mark.parametrize("call_seq", ["default", "reversed", "auto"])
@pytest.mark.parametrize(("group_by", "direction"), [(True, "longonly"), ([0, 0, 1, 1], "both")])
def test_shared_cash(vbt, call_seq, group_by, direction):
    bars = hostile_bars(8, wild=0.01)
    signals = random_signals(8, bars, "entries", "exits")
    size = 300 / bars.close.iloc[0].to_numpy()
    pf, other = both(
        vbt, bars, signals, size=size, direction=direction, call_seq=call_seq,
        ours={"group_by": group_by}, theirs={"group_by": group_by, "cash_sharing": True},
    )  # fmt: skip
    assert_same(pf, other, f"{call_seq} {group_by}")


# ------------------------------------------------------------------------------------------------ stops
@pytest.mark.parametrize("direction", ["longonly", "both"])
@pytest.mark.parametrize(
    "stops",
    [{"sl_stop": 0.03}, {"tp_stop": 0.04}, {"sl_stop": 0.03, "sl_trail": True}, {"sl_stop": 0.02, "tp_stop": 0.05},
     {"sl_stop": 0.04, "tp_stop": 0.03, "sl_trail": True}, {"sl_stop": 0.03, "stop_exit_price": "stopmarket"}],
    ids=str,
)  # fmt: skip
def test_stops(vbt, direction, stops):
    """No open jumps beyond a target in a bar that reaches the stop, where vectorbt takes the stop."""
    bars = hostile_bars(9, 300, gaps=0.004)
    signals = random_signals(9, bars, "entries", "exits", chance=0.06)
    size = 300 / bars.close.iloc[0].to_numpy()
    pf, other = both(
        vbt, bars, signals, **stops, direction=direction, size=size,
    )  # fmt: skip
    assert_same(pf, other, str(stops))
    assert (pf.fills[:, 5] > 0).sum() > 10


def test_stops_of_positions_that_grow(vbt):
    bars = hostile_bars(10, 300, gaps=0.004)
    signals = random_signals(10, bars, "entries", "exits", chance=0.2)
    shared = {"accumulate": True, "size": 100 / bars.close.iloc[0].to_numpy(), "sl_stop": 0.03, "tp_stop": 0.03}
    assert_same(*both(vbt, bars, signals, **shared), "growing")


def test_stops_by_bar_and_column(vbt):
    bars = hostile_bars(11, 300, gaps=0.004)
    rng = np.random.default_rng(11)
    stop = pd.DataFrame(rng.choice([0.02, 0.05, np.nan], bars.shape), bars.index, bars.close.columns)
    signals = random_signals(11, bars, "entries", "exits", chance=0.1)
    assert_same(*both(vbt, bars, signals, sl_stop=stop), "frames")


# ------------------------------------------------------------------------------------------------ orders, weights
def orders_both(vbt, bars, size, *, price="close", ours=(), theirs=(), **shared):
    costs = {"fees": 0.002, "slippage": 0.001}
    pf = Portfolio.from_orders(bars, size, price=price, init_cash=1_000, **costs, **(dict(shared) | dict(ours)))
    delayed = full(bars, size.shift(1) if price == "next_open" else size)
    paid = full(bars, bars.open if price == "next_open" else bars.close)
    words = {"price": paid, **costs, **THEIRS, **shared, **dict(theirs)}
    return pf, vbt.Portfolio.from_orders(full(bars, bars.close), delayed, **words)


UNITS = {"amount": None, "value": 100.0, "percent": 0.3, "targetamount": None, "targetvalue": 200.0,
         "targetpercent": 0.3}  # fmt: skip


@pytest.mark.parametrize("size_type", list(UNITS))
@pytest.mark.parametrize(
    ("direction", "price"),
    [("longonly", "next_open"), ("shortonly", "close"), ("both", "close"), ("both", "next_open")],
)
def test_orders(vbt, size_type, direction, price):
    bars = hostile_bars(12, wild=0.002, gaps=0.001)
    rng = np.random.default_rng(12)
    unit = UNITS[size_type] or 100 / bars.close.iloc[0].to_numpy()
    size = unit * rng.choice([1.0, -1.0, 0.5, -0.5, 0.0, np.nan], bars.shape, p=[0.1, 0.1, 0.1, 0.1, 0.05, 0.55])
    if size_type == "percent":
        size[size == 0] = np.nan  # no part of everything is no order to us and an error to them
    frame = pd.DataFrame(size, bars.index, bars.close.columns)
    assert_same(
        *orders_both(vbt, bars, frame, price=price, size_type=size_type, direction=direction),
        f"{size_type} {direction}",
    )


@pytest.mark.parametrize("size_type", ["amount", "targetvalue", "targetpercent"])
@pytest.mark.parametrize("call_seq", ["default", "reversed", "auto"])
def test_orders_that_share_cash(vbt, size_type, call_seq):
    bars = hostile_bars(13, wild=0.005)
    rng = np.random.default_rng(13)
    unit = UNITS[size_type] or 100 / bars.close.iloc[0].to_numpy()
    size = unit * rng.choice([1.0, 1.5, 0.5, 0.0, np.nan], bars.shape)
    frame = pd.DataFrame(size, bars.index, bars.close.columns)
    pf, other = orders_both(
        vbt, bars, frame, size_type=size_type, direction="longonly", call_seq=call_seq,
        ours={"group_by": True}, theirs={"group_by": True, "cash_sharing": True},
    )  # fmt: skip
    assert_same(pf, other, f"{size_type} {call_seq}")


@pytest.mark.parametrize("gross", [0.8, 2.0])
def test_weights(vbt, gross):
    bars = hostile_bars(14, wild=0.01)
    rng = np.random.default_rng(14)
    weights = rng.dirichlet(np.ones(SYMBOLS), bars.n_times) * gross
    weights[rng.random(weights.shape) < 0.3] = np.nan
    frame = pd.DataFrame(weights, bars.index, bars.close.columns)
    costs = {"fees": 0.002, "slippage": 0.001}
    pf = Portfolio.from_weights(bars, frame, price="close", init_cash=1_000, **costs)
    prices = full(bars, bars.close)
    words = {"size_type": "targetpercent", "call_seq": "auto", "cash_sharing": True, "group_by": True}
    other = vbt.Portfolio.from_orders(prices, full(bars, frame), price=prices, **words, **costs, **THEIRS)
    assert_same(pf, other, f"gross {gross}")


def test_holding(vbt):
    bars = hostile_bars(15, holes=0.0)
    pf = Portfolio.from_holding(bars, price="close", fees=0.002, slippage=0.001, init_cash=1_000)
    other = vbt.Portfolio.from_holding(bars.close, fees=0.002, slippage=0.001, **THEIRS)
    np.testing.assert_allclose(pf.value(), other.value(), rtol=TOLERANCE)
    np.testing.assert_allclose(pf.fills[:, 2], other.orders.records["size"], rtol=TOLERANCE)
