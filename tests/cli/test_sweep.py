"""`gwt sweep`: grids from the command line, a stored run, files for people."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from gwt_lab.backtest.sweep import sweep
from gwt_lab.cli.app import app
from gwt_lab.cli.sweep import grid_of
from gwt_lab.data.catalog import Catalog
from gwt_lab.errors import ConfigError, UnknownNameError
from gwt_lab.runs import load_run
from tests.oracles.paths import random_paths

GRID = ["--grid", "fast=5,10,20", "--grid", "slow=40:100:20"]


@pytest.fixture
def bars():
    made = random_paths(2, 400, 2)
    Catalog().append("spot", made, source={"kind": "test"})
    return made


def run(*options: str):
    return CliRunner().invoke(app, ["sweep", "--data", "spot", *options])


def test_a_sweep_answers_in_json_and_is_stored(bars, tmp_path) -> None:
    done = run(*GRID, "--metric", "sharpe_ratio", "--metric", "total_return", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    expected = sweep(
        "ma_cross",
        bars,
        {"fast": [5, 10, 20], "slow": [40, 60, 80, 100]},
        metrics=("sharpe_ratio", "total_return"),
    )
    assert said["n_rows"] == said["n_trials"] == 24
    assert expected.info.n_new_trials == 0
    best = said["best"][0]
    assert (best["fast"], best["slow"], best["symbol"]) == expected.best().name
    assert best["sharpe_ratio"] == pytest.approx(expected["sharpe_ratio"].max())
    assert said["plateau"]["score"] == pytest.approx(expected.plateau()["score"].max())
    assert "next bar's open" in said["assumptions"]
    stored = load_run(said["run"])
    table = stored.array("sweep").set_index(["fast", "slow", "symbol"])
    np.testing.assert_array_equal(table.to_numpy(), expected.to_numpy())
    assert stored.record["spec"]["grid"]["slow"] == [40, 60, 80, 100]
    assert stored.record["data_hashes"] == {"bars": bars.content_hash}


def test_people_get_a_table_and_files(bars, tmp_path) -> None:
    for name in ("table.parquet", "table.csv"):
        done = run(
            *GRID, "--symbol", "C01/USDT", "--out", str(tmp_path / name), "--heatmap", str(tmp_path / "map.html")
        )
        assert done.exit_code == 0, done.output
    assert "the best 10 of 12 by total_return" in done.stdout
    assert "plateau: fast " in done.stdout
    assert "trials: 12 in study" in done.stdout
    parquet, csv = pd.read_parquet(tmp_path / "table.parquet"), pd.read_csv(tmp_path / "table.csv")
    assert list(parquet.columns) == ["fast", "slow", "symbol", "total_return", "sharpe_ratio", "max_drawdown"]
    pd.testing.assert_frame_equal(parquet, csv, check_dtype=False)
    assert (
        "sharpe" not in (tmp_path / "map.html").read_text(encoding="utf-8").split("total return of ma_cross")[0][-200:]
    )


def test_settings_reach_the_sweep(bars, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("GWT_SWEEPS", str(tmp_path))
    options = ["--fees", "0", "--price", "close", "--direction", "both", "--init-cash", "50", "--max-memory", "50MB"]
    done = run(*GRID, *options, "--n-samples", "4", "--seed", "3", "--resume", "mine", "--study", "ours", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["n_rows"] == 8
    assert said["study"] == "ours"
    for told in ("same bar's close", "fees 0 bp", "long and short", "cash 50"):
        assert told in said["assumptions"]
    assert (tmp_path / "mine" / "manifest.json").is_file()


def test_a_registered_strategy_and_its_defaults(bars) -> None:
    done = run("--json")
    assert json.loads(done.stdout)["n_rows"] == 2


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("a=5", [5]),
        ("a=5, 10,20", [5, 10, 20]),
        ("a=50:80:10", [50, 60, 70, 80]),
        ("a=50:79:10", [50, 60, 70]),
        ("a=1:4", [1, 2, 3, 4]),
        ("a=0.1:0.3:0.1", [0.1, 0.2, 0.3]),
        ("a=none,0.05", [None, 0.05]),
        ("a=true,false", [True, False]),
        ("a=x,y", ["x", "y"]),
    ],
)
def test_grids_are_read(pair, expected) -> None:
    assert grid_of([pair]) == {"a": expected}


@pytest.mark.parametrize(
    "pairs", [["a"], ["a="], ["=5"], ["a=1", "a=2"], ["a=5:1:1"], ["a=1:5:0"], ["a=x:y"], ["a=1:1e9"]]
)
def test_grids_that_make_no_sense_are_refused(pairs) -> None:
    with pytest.raises(ConfigError, match="--grid"):
        grid_of(pairs)


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        (["--grid", "fats=5"], UnknownNameError, "no parameter fats"),
        (["--strategy", "luck"], UnknownNameError, "no strategy 'luck'"),
        (["--metric", "luck"], UnknownNameError, "no metric luck"),
        (["--out", "table.xlsx"], ConfigError, "must end in .parquet or .csv"),
        (["--heatmap", "nowhere/map.html"], ConfigError, "folder that exists"),
    ],
)
def test_mistakes_are_named_before_anything_runs(bars, options, error, told) -> None:
    done = run(*options)
    assert done.exit_code == 1
    assert isinstance(done.exception, error)
    assert told in str(done.exception)
    assert not Path("table.xlsx").exists()
