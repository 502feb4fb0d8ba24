"""An Optuna study chooses the combinations: what it may suggest, what it is told, what counts."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from gwt_lab.backtest.sweep import sweep
from gwt_lab.errors import ConfigError, MissingExtraError
from gwt_lab.validation.ledger import TrialLedger
from tests.oracles.paths import random_paths

GRID = {"fast": list(range(2, 12)), "slow": [20, 30, 50, 90], "sl_stop": [None, 0.02]}


@pytest.fixture(scope="module")
def bars():
    return random_paths(3, 500, 2)


class Asked:
    def __init__(self, params):
        self.params = params


class Study:
    """What of a study the sweep uses, drawing at random."""

    def __init__(self, directions=("MAXIMIZE",)):
        self.directions = list(directions)
        self.rng = np.random.default_rng(0)
        self.choices = None
        self.told = []

    def ask(self, choices):
        self.choices = choices
        values = {
            name: list(range(one.low, one.high + 1, one.step)) if one.kind == "int" else one.choices
            for name, one in choices.items()
        }
        return Asked({name: found[self.rng.integers(len(found))] for name, found in values.items()})

    def tell(self, trial, values=None, state=None):
        self.told.append((trial.params, values, state))


@pytest.fixture
def fake(monkeypatch):
    """Put a module of the same names in optuna's place."""
    module = types.ModuleType("optuna")
    module.Study = Study
    module.trial = types.SimpleNamespace(TrialState=types.SimpleNamespace(FAIL="fail"))
    module.distributions = types.SimpleNamespace(
        IntDistribution=lambda low, high, step: types.SimpleNamespace(kind="int", low=low, high=high, step=step),
        CategoricalDistribution=lambda choices: types.SimpleNamespace(kind="choice", choices=choices),
    )
    monkeypatch.setitem(sys.modules, "optuna", module)


@pytest.mark.usefixtures("fake")
def test_every_suggestion_is_answered_and_evaluated_once(bars) -> None:
    study = Study()
    result = sweep("ma_cross", bars, GRID, metrics=("sharpe_ratio", "total_return"), search=study, n_samples=60)
    assert (study.choices["fast"].low, study.choices["fast"].high, study.choices["fast"].step) == (2, 11, 1)
    assert study.choices["slow"].choices == [20, 30, 50, 90]
    assert study.choices["sl_stop"].choices == [None, 0.02]
    assert len(study.told) == 60
    asked = {tuple(params.values()) for params, _, _ in study.told}
    assert len(asked) < 60
    assert len(result) == 2 * len(asked) == result.n_trials == TrialLedger().n_trials
    fast, slow = result.index.get_level_values("fast"), result.index.get_level_values("slow")
    off = result.index.get_level_values("sl_stop").isna()
    for params, value, _ in study.told[::7]:
        here = (fast == params["fast"]) & (slow == params["slow"]) & (off == (params["sl_stop"] is None))
        assert value == pytest.approx(np.median(result["sharpe_ratio"][here]), nan_ok=False)
    rows = result[~off].index
    whole = sweep("ma_cross", bars, GRID, metrics=("sharpe_ratio", "total_return"))
    np.testing.assert_array_equal(result.loc[rows].to_numpy(), whole.loc[rows].to_numpy())
    assert whole.n_trials == 160  # those that the study asked for are known


@pytest.mark.usefixtures("fake")
def test_two_directions_take_two_metrics_and_a_combination_without_a_value_fails(bars) -> None:
    study = Study(("MAXIMIZE", "MINIMIZE"))
    metrics = ("total_return", "win_rate")
    sweep("ma_cross", bars, {"fast": [5, 450], "slow": [20, 460]}, metrics=metrics, search=study, n_samples=30)
    assert all(state == "fail" or len(values) == 2 for _, values, state in study.told)
    assert {state for params, _, state in study.told if params == {"fast": 450, "slow": 460}} == {"fail"}
    assert {state for params, _, state in study.told if params == {"fast": 5, "slow": 20}} == {None}
    with pytest.raises(ConfigError, match="2 directions, the sweep 1 metrics"):
        sweep("ma_cross", bars, GRID, metrics=("total_return",), search=study, n_samples=30)


@pytest.mark.usefixtures("fake")
def test_ctrl_c_keeps_what_was_evaluated(bars) -> None:
    class Stopped(Study):
        def ask(self, choices):
            if len(self.told) >= 24:
                raise KeyboardInterrupt
            return super().ask(choices)

    def momentum(close, window):
        before = np.full_like(close, np.nan)
        before[window:] = close[:-window]
        return close > before, close < before

    with pytest.raises(KeyboardInterrupt) as stop:
        sweep(momentum, bars, {"window": range(2, 200)}, search=Stopped(), n_samples=100)
    assert 20 < len(stop.value.partial) / 2 <= 24
    assert TrialLedger().n_trials == len(stop.value.partial)


@pytest.mark.usefixtures("fake")
def test_a_search_that_makes_no_sense_is_refused(bars) -> None:
    for settings, told in (
        ({"search": "tpe"}, "must be an optuna.Study"),
        ({"n_samples": None}, "search needs n_samples"),
        ({"resume": "x"}, "leave resume away"),
        ({"grid": [{"fast": 1, "slow": 2}]}, "dict of values by parameter"),
    ):
        with pytest.raises(ConfigError, match=told):
            sweep("ma_cross", bars, **({"grid": GRID, "search": Study(), "n_samples": 5} | settings))


def test_without_optuna_the_extra_is_named(bars, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match="extra 'tune'"):
        sweep("ma_cross", bars, GRID, search=Study(), n_samples=5)


def test_a_real_study_finds_the_better_half(bars) -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=1))
    grid = {"fast": list(range(2, 40)), "slow": list(range(41, 121))}
    result = sweep("ma_cross", bars, grid, metrics=("sharpe_ratio",), search=study, n_samples=80)
    assert len(study.trials) == 80
    assert set(study.best_params) == {"fast", "slow"}
    best = result.loc[(study.best_params["fast"], study.best_params["slow"])]["sharpe_ratio"].median()
    assert study.best_value == pytest.approx(best)
    whole = sweep("ma_cross", bars, grid, metrics=("sharpe_ratio",))["sharpe_ratio"]
    assert study.best_value > whole.groupby(level=["fast", "slow"]).median().quantile(0.9)
