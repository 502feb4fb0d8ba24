"""Replay: the paper account equals the backtest to the last bit, and a bundle that decides otherwise is not started."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import BundleError, ConfigError, DataError, ShapeError, UnknownNameError
from gwt_lab.live.journal import Journal, read_journal
from gwt_lab.live.paper import PaperBroker
from gwt_lab.live.replay import check_fixture, live_folder, replay
from gwt_lab.market.costs import CostModel
from gwt_lab.market.instruments import Instrument
from gwt_lab.promotion import folder as signed
from gwt_lab.promotion.bundle import Bundle
from gwt_lab.promotion.gates import validate
from gwt_lab.promotion.promote import promote
from gwt_lab.strategies.ma_cross import MovingAverageCross
from tests.oracles.paths import bars_of, random_paths, random_weights
from tests.promotion.made import STRATEGY, bundle_copy, waves


@pytest.fixture
def bundle(tmp_path) -> Bundle:
    return Bundle.load(bundle_copy(tmp_path))


def run_broker(bars, weights, **settings) -> tuple[PaperBroker, np.ndarray]:
    broker = PaperBroker(bars, **settings)
    values = []
    for row, _ in enumerate(broker):
        values.append(broker.value())
        broker.submit(weights.to_numpy()[row])
    return broker, np.array(values)


# ------------------------------------------------------------------------------------------------ the broker
@pytest.mark.parametrize(
    ("seed", "holes", "long_only", "holds"),
    [(1, 0.0, False, 0.0), (2, 0.0, True, 0.0), (3, 0.3, False, 0.3), (4, 0.6, True, 0.6)],
)
def test_the_paper_account_equals_the_backtest_to_the_last_bit(seed, holes, long_only, holds):
    bars = random_paths(seed, 150, 5, holes=holes)
    weights = random_weights(seed, bars, long_only=long_only, holds=holds)
    pf = Portfolio.from_weights(bars, weights, fees=0.002, slippage=0.001)
    broker, values = run_broker(bars, weights, costs=CostModel(0.002, 0.001))
    assert len(pf.orders) > 30
    assert (values == pf.equity).all()
    assert broker.cash == pf.cash[-1]
    assert (broker.positions == pf.amounts[-1]).all()
    orders = pf.orders.frame.drop(columns="kind")
    pd.testing.assert_frame_equal(broker.fills.drop(columns="id"), orders, check_exact=True)


def test_lots_too(tmp_path):
    made = random_paths(6, 80, 2)
    rules = {s: Instrument(s, amount_lot=0.25, min_notional=50.0) for s in made.symbols}
    bars = bars_of(made.open.to_numpy(), made.close.to_numpy(), instruments=rules)
    weights, costs = random_weights(6, bars, long_only=True), CostModel(use_lots=True)
    _, values = run_broker(bars, weights, costs=costs)
    assert (values == Portfolio.from_weights(bars, weights, costs=costs).equity).all()


def test_the_broker_refuses_what_it_cannot_trade():
    bars = random_paths(1, 5, 2)
    with pytest.raises(ConfigError, match="init_cash"):
        PaperBroker(bars, init_cash=-1)
    for weights in ([0.5], [np.inf, 0.0], [[0.5, 0.5]]):
        with pytest.raises(ShapeError, match="2 numbers"):
            PaperBroker(bars).submit(np.array(weights))


def test_order_ids_are_deterministic_and_never_repeat():
    bars = random_paths(1, 60, 3)
    weights = random_weights(1, bars)
    one, two, other = (run_broker(bars, weights, run=run)[0].fills["id"] for run in ("a", "a", "b"))
    assert one.is_unique
    assert list(one) == list(two)
    assert not set(one) & set(other)
    assert {len(name) for name in one} == {32}


def test_every_intent_is_on_the_disk_before_its_fill(tmp_path, monkeypatch):
    """The kernel that fills looks at the journal file: its order must already be there."""
    import gwt_lab.live.paper as paper

    path = tmp_path / "journal.jsonl"
    seen = []

    def looking(*arguments):
        last = read_journal(path)[-1]
        seen.append((last["kind"], [order["amount"] for order in last["orders"]], float(arguments[1])))
        return real(*arguments)

    real = paper.fill_order
    monkeypatch.setattr(paper, "fill_order", looking)
    bars = random_paths(1, 30, 2)
    with Journal(path) as journal:
        run_broker(bars, random_weights(1, bars), journal=journal)
    assert len(seen) > 20
    for kind, amounts, amount in seen:
        assert kind == "intent"
        assert amount in amounts


# ------------------------------------------------------------------------------------------------ the replay
def test_a_replay_repeats_every_decision_and_the_backtests_equity(bundle):
    report = replay(bundle, waves())
    pf = Portfolio.from_weights(waves(), bundle.strategy().weights(waves()), costs=bundle.costs)
    assert (report.equity == pf.value()).all()
    assert report.n_bars == 500
    assert report.n_decisions > 10
    assert report.n_fixture == len(bundle.fixture.decisions) >= 48
    assert bundle.fixture.decisions.notna().any(axis=1).sum() >= 12
    np.testing.assert_array_equal(report.decisions, bundle.strategy().weights(waves()))
    assert report.total_return() == pf.total_return()


def test_without_bars_it_replays_its_own(bundle):
    assert replay(bundle).n_bars == len(bundle.fixture.bars)


def test_bars_with_gaps_and_in_another_order_replay_as_well(bundle):
    bars = waves()
    gone = np.random.default_rng(0).random(bars.shape) < 0.02
    gapped = bars_of(np.where(gone, np.nan, bars.open), np.where(gone, np.nan, bars.close))
    report = replay(bundle, gapped.select(gapped.symbols[::-1]))
    pf = Portfolio.from_weights(gapped, bundle.strategy().weights(gapped), costs=bundle.costs)
    assert (report.equity == pf.value()).all()


def test_the_venues_rules_travel_with_the_bundle(tmp_path):
    made = waves()
    rules = {s: Instrument(s, amount_lot=0.5, min_notional=100.0) for s in made.symbols}
    bars = bars_of(made.open.to_numpy(), made.close.to_numpy(), instruments=rules)
    costs = CostModel(0.0001, 0.0001, use_lots=True)
    bundle = promote(validate(STRATEGY, bars, costs=costs), tmp_path / "bundle")
    assert bundle.instruments == rules
    report = replay(bundle, made)  # these bars know no rules, the bundle does
    pf = Portfolio.from_weights(bars, STRATEGY.weights(bars), costs=costs)
    assert (report.equity == pf.value()).all()
    assert len(report.fills) > 10
    assert (report.fills["amount"] % 0.5 == 0).all()


def test_the_journal_tells_the_whole_story(bundle):
    report = replay(bundle, waves())
    entries = read_journal(report.journal)
    assert report.journal.parent.parent == live_folder()
    assert [entries[0]["kind"], entries[-1]["kind"]] == ["start", "stop"]
    assert entries[0]["data"] == waves().content_hash
    fills = [fill for entry in entries if entry["kind"] == "fills" for fill in entry["fills"]]
    assert [fill["id"] for fill in fills] == list(report.fills["id"])
    cash = 10_000.0 - sum(fill["amount"] * fill["price"] + fill["fee"] for fill in fills)
    assert entries[-1]["cash"] == pytest.approx(cash)
    decided = [entry for entry in entries if entry["kind"] == "decision"]
    assert len(decided) == report.n_decisions


def resigned(bundle: Bundle, change) -> Bundle:
    """Return the bundle with a changed fixture, signed again with the trusted key."""
    files = {p.name: p.read_text() for p in bundle.path.iterdir() if not p.name.startswith("manifest")}
    fixture = json.loads(files["fixture.json"])
    change(fixture)
    files["fixture.json"] = signed.canonical(fixture).decode()
    shutil.rmtree(bundle.path)
    signed.write_signed(files, bundle.path)
    return Bundle.load(bundle.path)


def nudge_a_weight(fixture):
    row, column = next((r, c) for r, row in enumerate(fixture["decisions"]) for c, w in enumerate(row) if w)
    fixture["decisions"][row][column] = float(np.nextafter(fixture["decisions"][row][column], 1))


def decide_where_it_held(fixture):
    row, column = next((r, c) for r, row in enumerate(fixture["decisions"]) for c, w in enumerate(row) if w is None)
    fixture["decisions"][row][column] = 0.0


def hold_where_it_decided(fixture):
    row, column = next((r, c) for r, row in enumerate(fixture["decisions"]) for c, w in enumerate(row) if w is not None)
    fixture["decisions"][row][column] = None


def move_a_price(fixture):
    fixture["fields"]["close"] = [
        [p if r % 2 else p * 1.05 for p in row] for r, row in enumerate(fixture["fields"]["close"])
    ]


@pytest.mark.parametrize("change", [nudge_a_weight, decide_where_it_held, hold_where_it_decided, move_a_price])
def test_one_different_bit_in_the_fixture_and_it_is_not_started(bundle, change):
    wrong = resigned(bundle, change)
    with pytest.raises(BundleError, match=r"does not replay: .* the bundle's fixture, the first is C0"):
        replay(wrong, waves())
    assert not live_folder().exists()  # nothing was journalled, nothing traded


def test_a_strategy_whose_clocks_differ_is_not_started(bundle, monkeypatch):
    whole = MovingAverageCross.weights

    def looks_ahead(self, bars):
        return whole(self, bars).shift(-1)

    assert check_fixture(bundle) == len(bundle.fixture.decisions)
    monkeypatch.setattr(MovingAverageCross, "weights", looks_ahead)
    with pytest.raises(BundleError, match="the batch form"):
        replay(bundle, waves())


def test_bars_that_do_not_fit_are_refused(bundle):
    other = bars_of(waves().open.to_numpy(), waves().close.to_numpy(), timeframe="4h")
    with pytest.raises(DataError, match="promoted on bars of 1h"):
        replay(bundle, other)
    with pytest.raises(UnknownNameError, match="C02/USDT"):
        replay(bundle, waves().select(["C00/USDT", "C01/USDT"]))


# ------------------------------------------------------------------------------------------------ the journal
def test_the_journal_is_append_only_and_chained(tmp_path):
    path = tmp_path / "deep" / "journal.jsonl"
    with Journal(path) as journal:
        for number in range(5):
            journal.write("note", {"number": number}, durable=number % 2 == 0)
    assert [entry["number"] for entry in read_journal(path)] == list(range(5))
    with pytest.raises(DataError, match="never overwritten"):
        Journal(path)
    lines = path.read_text().splitlines(keepends=True)
    damaged = {
        "altered": [*lines[:2], lines[2].replace("2", "7"), *lines[3:]],
        "removed": [*lines[:2], *lines[3:]],
        "swapped": [lines[1], lines[0], *lines[2:]],
        "cut": [*lines[:4], lines[4][:-9]],
    }
    for name, content in damaged.items():
        path.write_text("".join(content))
        with pytest.raises(BundleError, match="at line"):
            read_journal(path)
        assert name


def test_a_full_disk_is_an_error_not_a_silent_loss(tmp_path, monkeypatch):
    import os

    journal = Journal(tmp_path / "journal.jsonl")
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:10]))
    with pytest.raises(OSError, match="took 10 of"):
        journal.write("note", {"a": 1})
