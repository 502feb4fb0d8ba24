"""The search is counted, resumed, pruned and reproducible."""

from pathlib import Path

import pytest

from gwt_lab.errors import ConfigError
from gwt_lab.market.bars import Bars
from gwt_lab.models.signal_generator import QlibSignalGenerator
from gwt_lab.models.tuning import TuningOptions, optimize_parameters
from gwt_lab.validation.ledger import TrialLedger
from gwt_lab.validation.splits import PurgedWalkForward
from tests.models.made import COLUMNS, SMALL, persistent_bars

pytest.importorskip("optuna")
# Optuna's storage warns of what is experimental in it
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

GRID = {"num_leaves": [3, 7], "learning_rate": [0.05, 0.2], "n_estimators": [5, 15]}


@pytest.fixture(scope="module")
def bars() -> Bars:
    return persistent_bars(n_bars=400, strength=0.8)


def _generator() -> QlibSignalGenerator:
    return QlibSignalGenerator(features=COLUMNS, splits=PurgedWalkForward(3, purged_size=2), **SMALL)


def test_the_grid_tries_every_combination_once_and_counts_each(bars: Bars) -> None:
    result = optimize_parameters(bars, GRID, generator=_generator(), options=TuningOptions(prune=False))
    assert len(result.trials) == 8
    assert set(result.trials["state"]) == {"complete"}
    assert len(result.trials[["num_leaves", "learning_rate", "n_trees"]].drop_duplicates()) == 8
    assert result.best_value == result.trials["value"].min()
    study = TrialLedger().study(result.study)
    assert study.n_trials == 8
    assert sorted(study.sharpes()) == pytest.approx(sorted(result.trials["sharpe"]))
    # what the search says of the best is what training with it says
    report = result.best.train(bars)
    assert report["log_loss"] == pytest.approx(result.best_value)
    assert result.best.params.n_trees == result.best_params["n_trees"]
    # asked again, the ledger knows the trials
    optimize_parameters(bars, GRID, generator=_generator(), options=TuningOptions(prune=False))
    assert TrialLedger().study(result.study).n_trials == 8


def test_an_interrupted_search_goes_on(bars: Bars, tmp_path: Path) -> None:
    storage = tmp_path / "tune" / "study.db"
    space = {"num_leaves": (3, 15), "learning_rate": (0.02, 0.3, "log")}
    first = optimize_parameters(bars, space, generator=_generator(), n_trials=3, metric="auc", storage=storage)
    again = optimize_parameters(bars, space, generator=_generator(), n_trials=6, metric="auc", storage=storage)
    assert len(again.trials) == 6
    assert first.trials["value"].tolist() == again.trials["value"].tolist()[:3]
    assert len(again.trials[["num_leaves", "learning_rate"]].drop_duplicates()) == 6
    done = optimize_parameters(bars, space, generator=_generator(), n_trials=6, metric="auc", storage=storage)
    assert done.trials.equals(again.trials)
    other = optimize_parameters(
        bars.head(350), space, generator=_generator(), n_trials=1, metric="auc", storage=storage
    )
    assert len(other.trials) == 1  # other data are another search


def test_bad_trials_are_pruned_and_count_all_the_same(bars: Bars) -> None:
    space = {"learning_rate": [0.2, 0.2001, 0.2002, 0.2003, 0.2004, 0.2005, 1e-6, 1e-7, 1e-8, 1e-9]}
    result = optimize_parameters(bars, space, generator=_generator())
    states = result.trials.set_index("learning_rate")["state"]
    assert (states[states.index < 1e-3] == "pruned").any()
    assert states[result.best_params["learning_rate"]] == "complete"
    assert result.trials.loc[result.trials["state"] == "pruned", "folds"].lt(3).all()
    assert TrialLedger().study(result.study).n_trials == 10


def test_equal_seeds_equal_searches_however_many_jobs(bars: Bars) -> None:
    space = {"num_leaves": (3, 31)}
    found = [
        optimize_parameters(
            bars, space, generator=_generator(), n_trials=4, options=TuningOptions(seed=5, n_jobs=jobs)
        ).trials
        for jobs in (1, 2)
    ]
    assert found[0].equals(found[1])


def test_mistakes_are_named(bars: Bars) -> None:
    for space, match in (
        ({"leaves": [3]}, "no parameter leaves"),
        ({}, "feature_fraction"),
        ({"num_leaves": (9, 3)}, "needs a list of values"),
        ({"num_leaves": []}, "needs a list of values"),
        ({"num_leaves": [1]}, "num_leaves must be at least 2, got 1"),
        ({"num_leaves": (3, 9, "linear")}, "can only be 'log'"),
    ):
        if space:
            with pytest.raises(ConfigError, match=match):
                optimize_parameters(bars, space, generator=_generator())
    with pytest.raises(ConfigError, match="metric must be one of"):
        optimize_parameters(bars, GRID, metric="profit")
    with pytest.raises(ConfigError, match="n_trials must be at least 1"):
        optimize_parameters(bars, GRID, n_trials=0)
    regression = QlibSignalGenerator(features=COLUMNS, objective="regression", **SMALL)
    with pytest.raises(ConfigError, match="judges probabilities"):
        optimize_parameters(bars, GRID, generator=regression)
