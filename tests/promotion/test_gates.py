"""Gates: what passes, what fails, and that nothing gets around them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from gwt_lab.allocation.signal_rules import hold_between
from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import BundleError, ConfigError, GateError, UnknownNameError
from gwt_lab.market.bars import Bars
from gwt_lab.market.costs import CostModel
from gwt_lab.promotion.gates import validate
from gwt_lab.promotion.promote import promote
from gwt_lab.runs import load_run, store_run
from gwt_lab.strategies.base import Strategy
from gwt_lab.strategies.ma_cross import MovingAverageCross
from tests.promotion.made import COSTS, STRATEGY, noise, passed, waves


@dataclass(frozen=True)
class Tomorrow(Strategy):
    """Knows the next close."""

    name: ClassVar[str] = "tomorrow"

    @property
    def lookback(self) -> int:
        return 5

    def weights(self, bars: Bars) -> pd.DataFrame:
        return (bars.close.shift(-1) > bars.close).astype(float) / bars.n_symbols


@dataclass(frozen=True)
class Elephant(Tomorrow):
    """Causal, but remembers everything it ever saw."""

    def weights(self, bars: Bars) -> pd.DataFrame:
        return (bars.close > bars.close.expanding().mean()).astype(float) / bars.n_symbols


@dataclass(frozen=True)
class Daily(Elephant):
    """The same, but decides once a day, where few cuts fall."""

    every: int = 24

    def weights(self, bars: Bars) -> pd.DataFrame:
        return hold_between(super().weights(bars), bars.timeframe, self.every)

    def every_bar(self) -> "Daily":
        return Daily(every=1)


@dataclass(frozen=True)
class Silent(Tomorrow):
    """Never decides."""

    def weights(self, bars: Bars) -> pd.DataFrame:
        return bars.close * np.nan


@dataclass(frozen=True)
class Broken(Tomorrow):
    """Fails when it is asked."""

    def weights(self, bars: Bars) -> pd.DataFrame:
        raise ZeroDivisionError("no luck")


@dataclass(frozen=True)
class Trained(MovingAverageCross):
    """Says that it was trained on what it is judged by."""

    @property
    def trained_until(self) -> pd.Timestamp:
        return waves().index[-10]


def gate(verdict, name):
    return next(found for found in verdict.gates if found.name == name)


def test_a_good_strategy_passes_and_its_numbers_are_the_backtests():
    bars, verdict = waves(), passed(out_of_sample=0.4)
    assert verdict.passed
    start = bars.index[300]
    part, weights = bars.select(start=start), STRATEGY.weights(bars).loc[start:]
    numbers = gate(verdict, "doubled_costs").numbers
    assert numbers["bars"] == 200
    once = Portfolio.from_weights(part, weights, fees=0.0001, slippage=0.0001)
    twice = Portfolio.from_weights(part, weights, fees=0.0002, slippage=0.0002)
    assert numbers["total_return"] == pytest.approx(once.total_return())
    assert numbers["total_return_doubled_costs"] == pytest.approx(twice.total_return())
    assert 0 < twice.total_return() < once.total_return()


def test_a_strategy_that_doubled_costs_ruin_fails_though_costs_alone_do_not():
    bars = waves()
    start = bars.index[350]
    part, weights = bars.select(start=start), STRATEGY.weights(bars).loc[start:]

    def earned(fees):
        return Portfolio.from_weights(part, weights, fees=fees, slippage=0.0).total_return()

    fees = next(fees for fees in np.linspace(0.001, 0.2, 400) if earned(fees) > 0 >= earned(2 * fees))
    found = gate(validate(STRATEGY, bars, costs=CostModel(fees, 0.0)), "doubled_costs")
    assert found.numbers["total_return"] > 0
    assert not found.passed


@pytest.mark.parametrize(
    ("strategy", "words"),
    [(Tomorrow(), "sees later rows"), (Elephant(), "remembers more than lookback"),
     (Daily(), "remembers more than lookback"), (Silent(), "decided nothing"),
     (Broken(), "could not be evaluated: ZeroDivisionError: no luck")],
)  # fmt: skip
def test_the_causal_gate_fails_closed(strategy, words):
    verdict = validate(strategy, waves(), costs=COSTS)
    assert not verdict.passed
    assert not gate(verdict, "causal").passed
    assert words in gate(verdict, "causal").detail
    with pytest.raises(GateError, match="causal"):
        promote(verdict)


def test_too_few_bars_fail_the_causal_gate():
    verdict = passed(waves(200))
    assert not gate(verdict, "causal").passed
    assert "needs 280 bars" in gate(verdict, "causal").detail


def test_noise_fails_on_costs_and_is_not_promoted(tmp_path):
    verdict = validate(STRATEGY, noise(), costs=CostModel(0.002, 0.001))
    assert gate(verdict, "causal").passed
    assert not gate(verdict, "doubled_costs").passed
    with pytest.raises(GateError, match="doubled_costs: -"):
        promote(verdict, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_strategy_is_not_judged_on_its_own_training():
    verdict = validate(Trained(3, 12), waves(), costs=COSTS)
    assert not gate(verdict, "doubled_costs").passed
    assert "inside the training" in gate(verdict, "doubled_costs").detail


@pytest.mark.parametrize("share", [0.0, 1.5, -0.1, "1999-01-01", "2030-01-01"])
def test_the_judged_part_must_lie_in_the_bars(share):
    with pytest.raises(ConfigError, match="out_of_sample"):
        passed(out_of_sample=share)


def test_only_a_validated_run_is_promoted(tmp_path):
    other = store_run("backtest", {"a": 1}, {})
    with pytest.raises(GateError, match="never validated"):
        promote(other, tmp_path / "b")
    with pytest.raises(UnknownNameError, match="no run"):
        promote("nothing", tmp_path / "b")


def test_the_judged_run_finds_its_newest_verdict(tmp_path):
    source = store_run("backtest", {"a": 1}, {})
    good = passed(source=source.id)
    assert promote(source, tmp_path / "b").document["run_id"] == good.run.id
    validate(STRATEGY, noise(), costs=CostModel(0.002, 0.001), source=source.id)
    with pytest.raises(GateError):
        promote(source.id, tmp_path / "c")


def test_a_missing_gate_is_not_a_passed_one(tmp_path):
    verdict = passed()
    record = verdict.run.record | {"metrics": {"passed": True, "gates": verdict.run.metrics["gates"][:1]}}
    with pytest.raises(GateError, match="not evaluated: doubled_costs"):
        promote(type(verdict.run)(verdict.run.id, verdict.run.path, record), tmp_path / "b")


def test_texts_that_were_exchanged_are_refused(tmp_path):
    verdict = passed()
    pd.DataFrame({"name": ["model.txt"], "text": ["other"]}, dtype=str).to_parquet(verdict.run.path / "texts.parquet")
    with pytest.raises(BundleError, match="not the one that was stored"):
        promote(verdict, tmp_path / "b")


def test_a_fixture_that_was_exchanged_is_refused(tmp_path):
    verdict = passed()
    pd.DataFrame({"text": ["{}"]}, dtype=str).to_parquet(verdict.run.path / "fixture.parquet")
    with pytest.raises(BundleError, match="fixture is not the one"):
        promote(verdict, tmp_path / "b")


def test_the_verdict_is_stored_and_reads_well():
    verdict = passed()
    stored = load_run(verdict.run.id)
    assert stored.metrics["passed"] is True
    assert stored.record["data_hashes"]["bars"] == waves().content_hash
    assert "may be promoted" in str(verdict)
    assert "passed  doubled_costs" in str(verdict)
    assert "fees 2 bp, slippage 2 bp" in str(verdict)
