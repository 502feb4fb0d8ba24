"""Ensembles: weights that match, stacks that never saw what they are judged on, one file for all."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import ConfigError, DataError, NotFittedError
from gwt_lab.market.bars import Bars
from gwt_lab.models.ensemble import EnsembleSignalGenerator
from gwt_lab.models.signal_generator import QlibSignalGenerator
from gwt_lab.models.stacking import fit_stack
from tests.models.made import COLUMNS, SMALL, persistent_bars


def _members(n: int = 3, **options: object) -> list[QlibSignalGenerator]:
    return [QlibSignalGenerator(features=COLUMNS[: 3 + n], seed=n, **SMALL, **options) for n in range(n)]


@pytest.fixture(scope="module")
def bars() -> Bars:
    return persistent_bars(n_bars=700, strength=0.8)


def test_the_weighted_mean_of_three(bars: Bars, tmp_path: Path) -> None:
    members = _members()
    ensemble = EnsembleSignalGenerator(generators=members, weights=[0.3, 0.3, 0.4])
    report = ensemble.train(bars)
    assert report["val_accuracy_low"] > 0.55
    assert len(report["members"]) == 3
    assert [fold["fold"] for fold in report["folds"]] == [0, 1, 2, 3, 4]
    frame = ensemble.predict(bars)
    parts = [member.predict(bars)["probability"] for member in members]
    np.testing.assert_allclose(frame["probability"], 0.3 * parts[0] + 0.3 * parts[1] + 0.4 * parts[2])
    again = EnsembleSignalGenerator.load_model(ensemble.save_model(tmp_path / "e.pkl"))
    pd.testing.assert_frame_equal(again.predict(bars), frame)
    assert again.report_ == report
    latest = again.predict_latest(bars, "C01/USDT")
    assert latest["probability"] == frame.loc[(bars.index[-1], "C01/USDT"), "probability"]
    verdict = again.needs_retraining(bars, max_age="0h")
    assert [reason.split(":")[0] for reason in verdict.reasons] == ["member 0", "member 1", "member 2"]
    assert not again.needs_retraining(bars)
    with pytest.raises(DataError, match="holds a EnsembleSignalGenerator"):
        QlibSignalGenerator.load_model(tmp_path / "e.pkl")
    with pytest.raises(DataError, match="holds a QlibSignalGenerator"):
        EnsembleSignalGenerator.load_model(members[0].save_model(tmp_path / "m.json"))


def test_equal_weights_of_one_member_are_the_member(bars: Bars) -> None:
    (member,) = _members(1)
    ensemble = EnsembleSignalGenerator([member])
    report = ensemble.train(bars)
    for name in ("val_accuracy", "ic", "auc", "log_loss", "n_rows"):
        assert report[name] == member.report_[name]


@pytest.mark.parametrize("objective", ["binary", "regression"])
def test_a_stack_finds_out_who_knows(bars: Bars, objective: str, tmp_path: Path) -> None:
    knows = QlibSignalGenerator(features=["KMID", "KSFT2"], objective=objective, **SMALL)
    blind = QlibSignalGenerator(features=["STD60"], objective=objective, **SMALL)
    ensemble = EnsembleSignalGenerator([blind, knows], stacking=True)
    report = ensemble.train(bars)
    assert abs(ensemble.stack_.weights[1]) > 2 * abs(ensemble.stack_.weights[0])
    assert report["auc"] > 0.7
    assert [fold["fold"] for fold in report["folds"]] == [1, 2, 3, 4]
    again = EnsembleSignalGenerator.load_model(ensemble.save_model(tmp_path / "s.json"))
    pd.testing.assert_frame_equal(again.predict(bars), ensemble.predict(bars))


def test_a_stack_is_judged_on_folds_it_was_not_fitted_on(bars: Bars) -> None:
    """Turning round what came in a fold changes no stacked forecast of that fold or before it."""
    from gwt_lab.models.ensemble import _stacked_walk

    ensemble = EnsembleSignalGenerator(_members(2), stacking=True)
    ensemble.train(bars)
    table = ensemble._out_of_fold()
    members = ["member 0", "member 1"]
    found = _stacked_walk(table, members, True)
    turned = table.assign(earned=table["earned"].where(table["fold"] < 3, -table["earned"]))
    again = _stacked_walk(turned, members, True)
    upto = table["fold"] <= 3
    pd.testing.assert_series_equal(found[upto], again[upto])
    assert not found[~upto].equals(again[~upto])
    assert found[table["fold"] == 0].isna().all()


@pytest.mark.parametrize("horizon", [1, 5])
def test_a_stack_learns_no_label_that_reaches_into_the_fold_it_is_judged_on(bars: Bars, horizon: int) -> None:
    """What comes after the first bar of a fold changes no forecast of that bar."""

    def trained(data: Bars) -> pd.DataFrame:
        ensemble = EnsembleSignalGenerator(_members(2, horizon=horizon), stacking=True)
        ensemble.train(data)
        return ensemble.forecasts_

    found = trained(bars)
    begins = found.index.get_level_values(0)[found["fold"] == 2].min()
    later = bars.index > begins
    factor = np.where(later, np.exp(np.random.default_rng(0).normal(0, 0.1, bars.n_times)), 1.0)
    long = bars.to_frame()
    scale = long["timestamp"].map(dict(zip(bars.index, factor, strict=True)))
    for name in ("open", "high", "low", "close"):
        long[name] *= scale
    again = trained(Bars.from_frame(long, timeframe=bars.timeframe))
    upto = found.index.get_level_values(0) <= begins
    pd.testing.assert_series_equal(found["forecast"][upto], again["forecast"][upto], check_exact=True)
    assert not found["forecast"][~upto].equals(again["forecast"][~upto])


def test_weights_that_do_not_match_or_sum_are_named() -> None:
    members = _members()
    with pytest.raises(ConfigError, match=r"3 generators needs 3 weights, got 2: \[0\.5, 0\.5\]"):
        EnsembleSignalGenerator(members, [0.5, 0.5])
    with pytest.raises(ConfigError, match=r"must sum to 1, got \[0\.3, 0\.3, 0\.3\], which sum to 0\.9"):
        EnsembleSignalGenerator(members, [0.3, 0.3, 0.3])
    with pytest.raises(ConfigError, match="at least 0"):
        EnsembleSignalGenerator(members, [1.5, -0.5, 0.0])
    with pytest.raises(ConfigError, match="at least 0"):
        EnsembleSignalGenerator(members, [float("nan"), 0.5, 0.5])
    with pytest.raises(ConfigError, match="at least one generator"):
        EnsembleSignalGenerator([])
    with pytest.raises(ConfigError, match="must ask one question"):
        EnsembleSignalGenerator([*_members(1), *_members(1, label="relative")])
    with pytest.raises(ConfigError, match="a stack learns its weights"):
        EnsembleSignalGenerator(members, [0.3, 0.3, 0.4], stacking=True)


def test_untrained_ensembles_say_so(bars: Bars, tmp_path: Path) -> None:
    ensemble = EnsembleSignalGenerator(_members(2))
    for ask in (
        lambda: ensemble.predict(bars),
        lambda: ensemble.predict_latest(bars, "C00/USDT"),
        lambda: ensemble.save_model(tmp_path / "e.json"),
    ):
        with pytest.raises(NotFittedError, match=r"call train\(data\)"):
            ask()
    trained = _members(2)
    for member in trained:
        member.train(bars)
    assert EnsembleSignalGenerator(trained).predict(bars)["probability"].notna().any()
    with pytest.raises(NotFittedError, match="the stack was asked"):
        EnsembleSignalGenerator(trained, stacking=True).predict(bars)
    with pytest.raises(DataError, match="ten rows"):
        fit_stack(np.full((5, 2), 0.5), np.ones(5), True)
