"""The search is counted, resumed, pruned and reproducible."""

from pathlib import Path

import numpy as np
import pytest

from gwt_lab.errors import ConfigError, DataError
from gwt_lab.market.bars import Bars
from gwt_lab.models.labels import forward_return, relative_return
from gwt_lab.models.signal_generator import QlibSignalGenerator
from gwt_lab.models.tuning import TuningOptions, optimize_parameters
from gwt_lab.validation.ledger import TrialLedger
from gwt_lab.validation.splits import PurgedWalkForward
from tests.models.made import COLUMNS, SMALL, persistent_bars
from tests.oracles import scores as plain

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


@pytest.mark.parametrize(("horizon", "label"), [(1, "direction"), (4, "direction"), (4, "relative")])
def test_the_sharpe_ratio_of_a_trial_is_that_of_signals_held_for_the_horizon(horizon: int, label: str) -> None:
    """Returns over four bars, counted at every bar, would look twice as sure as they are."""
    holes = persistent_bars(n_bars=400, strength=0.8, holes=0.05)
    splits = PurgedWalkForward(3, purged_size=1 + horizon)
    generator = QlibSignalGenerator(features=COLUMNS, label=label, horizon=horizon, splits=splits, **SMALL)
    result = optimize_parameters(holes, {"num_leaves": [7]}, generator=generator)
    generator.train(holes)
    earned = (forward_return if label == "direction" else relative_return)(holes)
    returns = []
    for _, fold in generator.forecasts_.groupby("fold"):
        returns += plain.held_returns(np.sign(fold["forecast"] - 0.5), earned, horizon)
    wanted = np.mean(returns) / np.std(returns, ddof=1)
    assert result.trials["sharpe"].tolist() == pytest.approx([wanted])
    assert TrialLedger().study(result.study).sharpes().tolist() == pytest.approx([wanted])
    assert TrialLedger().study(result.study).table()["n_observations"].tolist() == [len(returns)]


def test_options_are_checked() -> None:
    for option, match in (
        ({"seed": None}, "seed must be a whole number"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"n_jobs": 0}, "n_jobs must be at least 1"),
        ({"prune": "yes"}, "prune is of another kind"),
        ({"ledger": "trials.db"}, "ledger is of another kind: got 'trials.db'"),
        ({"study": 5}, "study is of another kind"),
    ):
        with pytest.raises(ConfigError, match=match):
            TuningOptions(**option)  # type: ignore[arg-type]


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


def test_a_trial_that_was_interrupted_is_tried_again(
    bars: Bars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from gwt_lab.models.tuning import _Search

    whole, calls = _Search._fit, []

    def stopped(self: _Search, *args: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(self, *args)  # type: ignore[arg-type]

    options = TuningOptions(prune=False, n_jobs=3)
    asked = {"generator": _generator(), "storage": tmp_path / "a?b#c d%20.db", "options": options}
    monkeypatch.setattr(_Search, "_fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        optimize_parameters(bars, GRID, **asked)  # type: ignore[arg-type]
    assert "Traceback" not in capfd.readouterr().err
    monkeypatch.setattr(_Search, "_fit", whole)
    result = optimize_parameters(bars, GRID, **asked)  # type: ignore[arg-type]
    assert len(result.trials[["num_leaves", "learning_rate", "n_trees"]].drop_duplicates()) == len(result.trials) == 8
    unbroken = optimize_parameters(bars, GRID, generator=_generator(), options=options)
    assert result.best_params == unbroken.best_params
    assert [item.name for item in tmp_path.iterdir()] == ["a?b#c d%20.db"]


def test_lists_may_be_arrays_and_ranges(bars: Bars) -> None:
    for values in (np.array([3, 5]), list(np.array([3, 5])), range(3, 6, 2), [3, 3, 5]):
        result = optimize_parameters(bars, {"num_leaves": values}, generator=_generator())
        assert sorted(result.trials["num_leaves"]) == [3, 5]


def test_a_place_that_cannot_hold_a_search_is_named(bars: Bars, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("these are notes, not a database " * 20)
    for storage in (tmp_path / "notes.txt", tmp_path):
        with pytest.raises(DataError, match="cannot hold a search"):
            optimize_parameters(bars, GRID, generator=_generator(), storage=storage)
    with pytest.raises(ConfigError, match="storage must be the path of an sqlite file"):
        optimize_parameters(bars, GRID, generator=_generator(), storage="sqlite:///tune.db")


def test_mistakes_are_named(bars: Bars) -> None:
    for space, match in (
        ({"num_leaves": (3, 5.5)}, r"num_leaves must be a whole number of at least 2, got 5\.5"),
        ({"num_leaves": (None, 5)}, "num_leaves must be a whole number"),
        ({"learning_rate": (0.1, float("inf"))}, "learning_rate must be a number above 0, got inf"),
        ({"lambda_l1": (0.0, 1.0, "log")}, "a range on a log scale must begin above 0"),
        ({"objective": ["binary", "regression"]}, "no parameter objective"),
        ({"n_trees": [5], "n_estimators": [5]}, "given twice, under two names: n_trees, n_estimators"),
        ([3, 5], "the space must be a mapping"),
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
    with pytest.raises(ConfigError, match="n_trials must be a whole number"):
        optimize_parameters(bars, GRID, n_trials=1.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="options must be TuningOptions"):
        optimize_parameters(bars, GRID, options={"seed": 1})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="generator must be a QlibSignalGenerator, got int"):
        optimize_parameters(bars, GRID, generator=5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="n_trials must be at least 1"):
        optimize_parameters(bars, GRID, n_trials=0)
    regression = QlibSignalGenerator(features=COLUMNS, objective="regression", **SMALL)
    with pytest.raises(ConfigError, match="judges probabilities"):
        optimize_parameters(bars, GRID, generator=regression)
