"""The ledger counts each trial once, whoever evaluates it again, and judges a Sharpe ratio by the count."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import DataError, ShapeError, UnknownNameError
from gwt_lab.validation.effective import return_signature
from gwt_lab.validation.ledger import TrialLedger
from gwt_lab.validation.sharpe import deflated_sharpe_ratio, probabilistic_sharpe_ratio
from gwt_lab.validation.trials import Trials
from tests.validation.test_effective import planted, sharpes

DATA = "3f" * 32
NAME = "ma_cross on 3f3f3f3f3f3f"
GRID = {"fast": np.arange(100), "slow": np.arange(100) + 100}


def trials(parameters: Any = GRID, **changes: Any) -> Trials:
    setting = {"data": DATA, "universe": ["BTC/USDT"], "label": "next_open", "strategy": "ma_cross"}
    return Trials(parameters, **(setting | changes))


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n) * 0.02


@pytest.fixture
def ledger() -> TrialLedger:
    """Return the ledger that `GWT_LEDGER` names."""
    return TrialLedger()


# ------------------------------------------------------------------------------------------------ once
def test_the_environment_names_the_file(ledger: TrialLedger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert ledger.n_trials == 0
    assert not ledger.path.exists()  # reading makes none
    ledger.record(trials(), noise(100), 5000)
    assert ledger.path.is_file()
    monkeypatch.setenv("GWT_LEDGER", str(tmp_path / "deep" / "other"))
    other = TrialLedger()
    assert other.n_trials == 0
    other.record(trials({"fast": 1}), 0.1, 5000)
    assert (tmp_path / "deep" / "other").is_file()
    assert (TrialLedger(ledger.path).n_trials, other.n_trials) == (100, 1)
    monkeypatch.delenv("GWT_LEDGER")
    monkeypatch.chdir(tmp_path)
    assert TrialLedger().path == tmp_path / "data" / "ledger"


def test_a_trial_counts_once(ledger: TrialLedger) -> None:
    assert ledger.record(trials(), noise(100), 5000) == 100
    assert ledger.record(trials(), noise(100, seed=1), 5000) == 0
    assert ledger.record(trials(code_hash="refactored"), noise(100), 5000) == 0
    other = pd.DataFrame(GRID)[["slow", "fast"]].astype(float).sample(frac=1, random_state=0)
    assert ledger.record(trials(other), noise(100), 5000) == 0
    assert ledger.record(trials({"fast": np.arange(150), "slow": np.arange(150) + 100}), noise(150), 5000) == 50
    assert ledger.record(trials({"fast": [7, 7, 7], "slow": [1, 1, 2]}), noise(3), 5000) == 2  # twice in one call
    assert ledger.n_trials == ledger.study(NAME).n_trials == 152
    first = np.concatenate([noise(100), noise(150)[100:]])
    np.testing.assert_array_equal(ledger.sharpes()[:150], first)  # a trial keeps its first Sharpe ratio


def test_the_file_does_not_grow_with_what_is_known(ledger: TrialLedger) -> None:
    ledger.record(trials(), noise(100), 5000)
    size = sum(file.stat().st_size for file in ledger.path.parent.iterdir())
    for _ in range(50):
        ledger.record(trials(), noise(100), 5000)
    assert sum(file.stat().st_size for file in ledger.path.parent.iterdir()) == size


@pytest.mark.parametrize(
    "change",
    [{"data": "3e" * 32}, {"label": "close"}, {"universe": ["ETH/USDT"]}, {"strategy": "rsi"}, {"study": "mine"}],
    ids=str,
)
def test_another_setting_counts_again(ledger: TrialLedger, change: dict[str, Any]) -> None:
    ledger.record(trials(), noise(100), 5000)
    assert ledger.record(trials(**change), noise(100), 5000) == 100
    assert ledger.n_trials == 200


def test_a_study_holds_its_own_trials(ledger: TrialLedger) -> None:
    ledger.record(trials(study="mine"), noise(100), 5000)
    ledger.record(trials(study="mine", data="3e" * 32), noise(100, 1), 5000)
    ledger.record(trials(study="yours"), 3 * noise(100, 2), 5000)
    mine, yours = ledger.study("mine"), ledger.study("yours")
    assert (mine.n_trials, yours.n_trials, ledger.n_trials) == (200, 100, 300)
    assert mine.trial_variance == pytest.approx(np.var(np.concatenate([noise(100), noise(100, 1)]), ddof=1))
    assert yours.trial_variance == pytest.approx(9 * np.var(noise(100, 2), ddof=1))
    assert ledger.trial_variance == pytest.approx(np.var(ledger.sharpes(), ddof=1))
    with pytest.raises(UnknownNameError, match="no study 'ours'; it has 'mine', 'yours'"):
        ledger.study("ours")


def test_many_small_records_are_as_one_large(ledger: TrialLedger, tmp_path: Path) -> None:
    whole = trials({"fast": np.arange(3000)})
    signatures = return_signature(planted(0, [1500], 0.97, 1500))
    parts = TrialLedger(tmp_path / "parts")
    for start in range(0, 3000, 90):
        part = whole.part(start, min(start + 90, 3000))
        rows = part.signature_rows + start
        assert parts.record(part, noise(3000)[start : start + 90], 5000, signatures[rows]) == len(part)
    ledger.record(whole, noise(3000), 5000, signatures[whole.signature_rows])
    for one in (TrialLedger(tmp_path / "all"), ledger):
        one.record(whole, noise(3000), 5000, signatures)
        np.testing.assert_array_equal(np.sort(one.sharpes()), np.sort(parts.sharpes()))
        assert one.effective == parts.effective
    assert ledger.effective.n_sampled == 1000
    assert ledger.effective_trials == pytest.approx(1501, rel=0.1)  # a sample of a third knows the share of singles


# ------------------------------------------------------------------------------------------------ how different
def test_effective_trials_are_the_planted_clusters(ledger: TrialLedger) -> None:
    returns = planted(0, [40] * 5, 0.97, 20)
    ledger.record(trials({"x": range(220)}), sharpes(returns), len(returns), return_signature(returns))
    study = ledger.study(NAME)
    assert (study.n_trials, study.effective_trials) == (220, 25)
    # the same strategies under another label are alike, those on other data are not comparable
    ledger.record(
        trials({"x": range(220)}, label="close", study=NAME), sharpes(returns), len(returns), return_signature(returns)
    )
    assert (study.n_trials, study.effective_trials) == (440, 25)
    ledger.record(
        trials({"x": range(220)}, data="0a", study=NAME), sharpes(returns), len(returns), return_signature(returns)
    )
    assert (study.n_trials, study.effective_trials) == (660, 50)
    ledger.record(trials({"y": range(5)}, study=NAME), noise(5), 5000)
    assert (study.n_trials, study.effective_trials) == (665, 55)
    assert "5 trials without signatures counted in full" in study.effective.note


def test_signatures_too_short_to_tell_are_left_out(ledger: TrialLedger) -> None:
    copies = np.repeat(noise(31)[:, None], 10, axis=1)
    ledger.record(trials({"x": range(10)}), noise(10), 31, return_signature(copies))
    assert ledger.effective_trials == 10
    copies = np.repeat(noise(32)[:, None], 10, axis=1)
    ledger.record(trials({"x": range(10)}, label="close"), noise(10), 32, return_signature(copies))
    assert ledger.effective_trials == 11


def test_trials_without_a_sharpe_ratio_count_and_have_no_variance(ledger: TrialLedger) -> None:
    ledger.record(trials({"x": range(3)}), [0.1, np.nan, 0.3], 5000)
    assert ledger.n_trials == 3
    assert ledger.trial_variance == pytest.approx(0.02)
    table = ledger.study(NAME).table()
    assert table.loc[0, "best_sharpe"] == 0.3
    ledger.record(trials({"x": 7}, study="still"), np.nan, 5000)
    assert math.isnan(ledger.study("still").trial_variance)
    assert math.isnan(ledger.study("still").table().loc[0, "best_sharpe"])


# ------------------------------------------------------------------------------------------------ judged
def test_a_sharpe_ratio_is_deflated_by_both_numbers(ledger: TrialLedger) -> None:
    returns = planted(0, [90, 90], 0.97, 20)
    each = 3 * sharpes(returns)
    ledger.record(trials({"x": range(200)}), each, len(returns), return_signature(returns))
    found = ledger.study(NAME).deflated_sharpe_ratio(0.15, 1280, -0.5, 5.0)
    assert (found.n_trials, found.effective_trials) == (200, 22)
    clusters = [each[:90].mean(), each[90:180].mean(), *each[180:]]
    assert found.effective_variance == pytest.approx(np.var(clusters, ddof=1))
    assert found.trial_variance == pytest.approx(each.var(ddof=1))
    assert found.value == deflated_sharpe_ratio(0.15, 1280, 22, found.effective_variance, -0.5, 5.0)
    assert found.raw_value == deflated_sharpe_ratio(0.15, 1280, 200, found.trial_variance, -0.5, 5.0)
    assert found.value < probabilistic_sharpe_ratio(0.15, 1280, -0.5, 5.0)
    assert "by 22 effective trials" in str(found)
    assert "all 200" in str(found)
    assert "as counted" in found._repr_html_()


def test_the_variance_is_no_less_than_chance(ledger: TrialLedger) -> None:
    ledger.record(trials({"x": range(100)}), np.linspace(0.05, 0.0501, 100), 1000)
    found = ledger.deflated_sharpe_ratio(0.05, 1000)
    assert found.effective_variance == 1 / 1000
    assert found.value < 0.5 < found.raw_value


def test_one_trial_is_not_deflated_and_none_cannot_be_judged(ledger: TrialLedger) -> None:
    with pytest.raises(DataError, match="the ledger has no trials: record what was tried"):
        ledger.deflated_sharpe_ratio(0.1, 500)
    ledger.record(trials({"x": 1}), 0.1, 500)
    found = ledger.deflated_sharpe_ratio(0.1, 500)
    assert found.value == found.raw_value == probabilistic_sharpe_ratio(0.1, 500)
    ledger.record(trials({"x": [2, 3]}), [np.nan, np.nan], 500)
    with pytest.raises(DataError, match="3 trials fewer than two have a Sharpe ratio"):
        ledger.deflated_sharpe_ratio(0.1, 500)


# ------------------------------------------------------------------------------------------------ shown
def test_tables_and_cards(ledger: TrialLedger) -> None:
    assert len(ledger.studies()) == 0
    ledger.record(trials(code_hash="a", universe=["B", "A"]), noise(100), 5000)
    ledger.record(trials({"fast": 1, "ema": True}, code_hash="b", universe=["A", "B"]), 0.5, 5000)
    ledger.record(trials(study="<mine>", strategy="rsi"), noise(100), 4000)
    studies = ledger.studies()
    assert studies["trials"].to_dict() == {"<mine>": 100, NAME: 101}
    assert str(studies["last"].dtype) == "datetime64[ns, UTC]"
    table = ledger.study(NAME).table()
    row = table.iloc[0]
    assert len(table) == 1
    assert (row["strategy"], row["universe"], row["parameters"]) == ("ma_cross", ("B", "A"), ("fast", "slow", "ema"))
    assert (row["trials"], row["best_sharpe"], row["n_observations"], row["codes"]) == (101, 0.5, 5000, 2)
    assert repr(ledger).endswith("ledger': 201 trials in 2 studies)")
    assert "&lt;mine&gt;" in ledger._repr_html_()
    assert "trials 101; effective trials 101" in repr(ledger.study(NAME))
    assert "variance of Sharpe ratios" in ledger.study(NAME)._repr_html_()


def test_a_ledger_travels_to_another_process_as_its_path(ledger: TrialLedger) -> None:
    ledger.record(trials(), noise(100), 5000)
    assert pickle.loads(pickle.dumps(ledger)).n_trials == 100


# ------------------------------------------------------------------------------------------------ mistakes
def test_mistakes_are_named_and_nothing_is_counted(ledger: TrialLedger) -> None:
    with pytest.raises(ShapeError, match=r"100 trials need one Sharpe ratio each, got shape \(99,\)"):
        ledger.record(trials(), noise(99), 5000)
    with pytest.raises(DataError, match="Sharpe ratio of trial 3 is infinite"):
        ledger.record(trials(), np.where(np.arange(100) == 3, np.inf, 0.0), 5000)
    with pytest.raises(DataError, match="Sharpe ratios must be numbers"):
        ledger.record(trials(), ["x"] * 100, 5000)
    with pytest.raises(DataError, match="a ledger records Trials, got a dict"):
        ledger.record({"window": 5}, 0.1, 5000)
    for wrong in (1, 2.5, math.nan, math.inf, "5000"):
        with pytest.raises(DataError, match="n_observations must be a whole number of at least 2"):
            ledger.record(trials(), noise(100), wrong)
    for shape in ((99, 64), (100,), (100, 65)):
        with pytest.raises(ShapeError, match=r"signatures must have shape \(100, at most 64\)"):
            ledger.record(trials(), noise(100), 5000, np.zeros(shape))
    with pytest.raises(DataError, match="a return signature must be finite"):
        ledger.record(trials(), noise(100), 5000, np.full((100, 64), np.nan))
    assert ledger.n_trials == 0
    assert ledger.record(trials({"x": []}), [], 5000) == 0
    assert not ledger.path.exists()


def test_judge_takes_the_moments_from_the_path(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "ledger")
    rng = np.random.default_rng(5)
    ledger.record(
        Trials({"n": np.arange(20)}, data="d", universe=("A",), label="l", strategy="s", study="mine"),
        rng.normal(0, 0.02, 20),
        1_000,
    )
    returns = 0.001 + 0.01 * rng.standard_t(5, 1_000)
    deviations = (returns - returns.mean()) / returns.std()
    by_hand = ledger.study("mine").deflated_sharpe_ratio(
        returns.mean() / returns.std(ddof=1), 1_000, (deviations**3).mean(), (deviations**4).mean()
    )
    assert ledger.study("mine").judge(returns) == by_hand
    assert by_hand.value < by_hand.n_trials
    with pytest.raises(DataError, match="one path, finite and not all equal"):
        ledger.study("mine").judge(np.zeros(10))
