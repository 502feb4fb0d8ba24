"""The whole way to the runner: promoted where an edge was planted, refused where there is none."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from gwt_lab.data.synthetic import synthetic_market
from gwt_lab.errors import DataError
from gwt_lab.models.lightgbm_model import LightGBMParams
from gwt_lab.promotion.bundle import Bundle
from gwt_lab.runs import load_run
from research.promotion_demo import Spec, run
from research.promotion_demo.study import claims

SMALL = replace(Spec.cheap(), graph_window=300, replay_bars=24, trees=LightGBMParams(n_trees=20))


@cache
def market(spillover: float):
    return synthetic_market(n_assets=8, n_bars=2_400, seed=3, spillover=spillover).bars


def test_a_planted_edge_is_promoted_and_replayed_to_the_last_bit(tmp_path: Path) -> None:
    outcome = run(SMALL, market(0.3), figures=tmp_path)
    assert outcome.bundle is not None
    assert outcome.replay is not None
    metrics = load_run(outcome.run.id).metrics
    assert metrics["passed"] is True
    assert metrics["total_return"]["0x"] > metrics["total_return"]["1x"] > metrics["total_return"]["2x"] > 0
    assert metrics["replay"]["equal_account_values"] == metrics["replay"]["account_values"] == 25
    assert Bundle.load(outcome.bundle.path).id == outcome.bundle.id
    promoted, parity = claims(outcome, "here")
    assert "promoted" in promoted.measured
    assert "25 of 25 account values" in parity.measured
    assert Path(promoted.figure).is_file()
    assert Path(promoted.figure).with_suffix(".pdf").is_file()
    assert promoted.run_id == outcome.run.id


def test_without_an_edge_the_refusal_is_the_outcome(tmp_path: Path) -> None:
    outcome = run(SMALL, market(0.0), figures=tmp_path)
    assert (outcome.bundle, outcome.replay) == (None, None)
    assert outcome.run.metrics["passed"] is False
    assert outcome.run.metrics["bundle"] is None
    (row,) = claims(outcome, "here")
    assert "refused (doubled_costs failed): -" in row.measured
    assert Path(row.figure).is_file()


def test_bars_too_short_are_refused_before_training() -> None:
    with pytest.raises(DataError, match="needs 4 symbols and 2,925 bars"):
        run(Spec.cheap(), market(0.0), figures=Path("never"))
    assert Spec.cheap().sized(market(0.0)).graph_window == 300
