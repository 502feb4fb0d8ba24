"""`gwt train` and `gwt tune`: what Python does, from the command line; a stored run and a model file."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from gwt_lab.cli.app import app
from gwt_lab.cli.tune import ranges_of
from gwt_lab.data.catalog import Catalog
from gwt_lab.errors import ConfigError, GwtLabError
from gwt_lab.market.bars import Bars
from gwt_lab.models.signal_generator import QlibSignalGenerator, default_splits
from gwt_lab.runs import list_runs, load_run
from gwt_lab.validation.ledger import TrialLedger
from tests.models.made import persistent_bars

# Optuna's storage warns of what is experimental in it
pytestmark = pytest.mark.filterwarnings("ignore:.*is experimental")
SMALL = ["--feature", "KMID", "--feature", "ROC5", "--param", "n_estimators=10", "--param", "min_data_in_leaf=20"]


@pytest.fixture
def bars() -> Bars:
    made = persistent_bars(n_bars=500, strength=0.8)
    Catalog().append("spot", made, source={"kind": "test"})
    return made


def run(verb: str, *options: str) -> Result:
    return CliRunner().invoke(app, [verb, "--data", "spot", *options])


def test_training_answers_in_json_stores_the_run_and_saves_the_model(bars: Bars, tmp_path: Path) -> None:
    place = tmp_path / "models" / "m.json"
    options = ["--label", "relative", "--horizon", "2", "--splits", "3", "--threshold", "0.55", "--out", str(place)]
    done = run("train", *SMALL, *options, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    settings = {"n_estimators": 10, "min_data_in_leaf": 20, "threshold": 0.55, "splits": default_splits(2, 3)}
    same = QlibSignalGenerator(label="relative", horizon=2, features=["KMID", "ROC5"], **settings)  # type: ignore[arg-type]
    wanted = same.train(bars)
    for report in (said["report"], wanted):
        assert report.pop("seconds") > 0
    assert said["report"] == json.loads(json.dumps(wanted))
    loaded = QlibSignalGenerator.load_model(said["model"])
    assert Path(said["model"]) == place
    pd.testing.assert_frame_equal(loaded.predict(bars), same.predict(bars))
    stored = load_run(said["run"])
    assert stored.record["study"] == "train"
    assert stored.record["data_hashes"] == {"bars": bars.content_hash}
    assert stored.record["spec"]["params"]["n_trees"] == 10
    assert stored.metrics["val_accuracy"] == wanted["val_accuracy"]
    forecasts = stored.array("forecasts").set_index(["datetime", "instrument"])
    assert forecasts["forecast"].tolist() == same.forecasts_["forecast"].tolist()
    assert stored.array("folds")["val_accuracy"].tolist() == [fold["val_accuracy"] for fold in wanted["folds"]]


def test_people_get_a_table_of_folds(bars: Bars) -> None:
    done = run("train", *SMALL, "--symbol", "C01/USDT", "--end", "2024-01-20")
    assert done.exit_code == 0, done.output
    (stored,) = list_runs("train")
    assert f"model: {stored.path / 'model.json'}" in done.stdout
    assert f"run: {stored.id}" in done.stdout
    assert "better than a constant answer, which is right in" in done.stdout
    loaded = QlibSignalGenerator.load_model(stored.path / "model.json")
    assert loaded.symbols_ == ["C01/USDT"]
    assert loaded.report_["train_end"].startswith("2024-01-20")
    for fold in loaded.report_["folds"]:
        row = next(line for line in done.stdout.splitlines() if fold["test_start"][:16] in line)
        assert f"{fold['val_accuracy']:.4f}" in row
        assert f"{fold['n_train']:,}" in row


def test_forecasts_of_returns_have_no_log_loss(bars: Bars) -> None:
    done = run("train", *SMALL, "--param", "objective=regression")
    assert done.exit_code == 0, done.output
    assert {line.split("│")[-2].strip() for line in done.stdout.splitlines() if "│" in line} == {"-"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label", "up"], "label must be one of"),
        (["--param", "leaves=3"], "no setting leaves"),
        (["--param", "num_leaves=x"], "num_leaves must be a whole number"),
        (["--feature", "MA7"], "no column MA7"),
        (["--splits", "0"], "n_splits must be a whole number"),
        (["--symbol", "C00/USDT", "--label", "relative"], "pass bars of several"),
        (["--end", "2024-01-02"], "training needs more than"),
        (["--jobs", "0"], "n_jobs must be at least 1"),
        (["--out", "."], "--out must name a file, '.' is a folder"),
    ],
)
def test_mistakes_are_one_line_and_store_nothing(bars: Bars, options: list[str], message: str) -> None:
    done = run("train", *options)
    assert done.exit_code != 0
    assert isinstance(done.exception, GwtLabError)
    assert message in str(done.exception)
    assert list_runs() == []


# ------------------------------------------------------------------------------------------------ tune
def test_a_grid_is_searched_counted_and_the_best_is_saved(bars: Bars, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    grid = ["--grid", "num_leaves=3,7", "--grid", "learning_rate=0.05:0.25:0.1", "--no-prune", "--metric", "auc"]
    place = str(tmp_path / "best.json")
    done = run("tune", *SMALL, *grid, "--splits", "3", "--study", "ours", "--out", place, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["n_trials"] == len(said["trials"]) == TrialLedger().study("ours").n_trials == 6
    assert said["best_value"] == max(trial["value"] for trial in said["trials"])
    best = QlibSignalGenerator.load_model(said["model"])
    assert {name: getattr(best.params, name) for name in said["best_params"]} == said["best_params"]
    assert best.params.n_trees == 10
    assert best.report_["auc"] == pytest.approx(said["best_value"])


def test_a_range_is_searched_and_goes_on(bars: Bars, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    options = [*SMALL, "--splits", "3", "--range", "num_leaves=3:15", "--storage", str(tmp_path / "t.db")]
    first = json.loads(run("tune", *options, "--n-trials", "2", "--json").stdout)
    again = run("tune", *options, "--n-trials", "4")
    assert again.exit_code == 0, again.output
    assert "of 4 trials by log_loss" in again.stdout
    assert len(first["trials"]) == 2
    assert "next: gwt train on the same data with --param num_leaves=" in again.stdout


def test_ranges_are_read_or_refused(bars: Bars) -> None:
    assert ranges_of(None) == {}
    found = ranges_of(["num_leaves=7:31", "learning_rate=1e-2:0.2:log"])
    assert found == {"num_leaves": (7, 31), "learning_rate": (0.01, 0.2, "log")}
    assert [type(value) for value in found["num_leaves"]] == [int, int]
    for bad in ("x", "a=1", "a=1:b", "a=1:2:linear", "=1:2", "a=1:2:log:log"):
        with pytest.raises(ConfigError, match="--range wants each name once"):
            ranges_of([bad])
    with pytest.raises(ConfigError, match="--range wants each name once"):
        ranges_of(["a=1:2", "a=1:3"])
    both = run("tune", "--grid", "num_leaves=3", "--range", "num_leaves=3:5")
    assert "num_leaves stands in --grid and in --range" in str(both.exception)
