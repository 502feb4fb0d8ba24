"""Stored runs: whole or absent, found again by id, folder or study."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import DataError, UnknownNameError
from gwt_lab.runs import list_runs, load_run, runs_folder, store_run


def test_a_run_comes_back_as_it_was_stored() -> None:
    frame = pd.DataFrame({"x": [1.0, np.nan]}, index=pd.DatetimeIndex(["2021-01-01", "2021-01-02"], tz="UTC"))
    run = store_run(
        "paper1", {"n": 3}, {"gain": 0.5}, arrays={"folds": frame}, data_hashes={"bars": "ab"}, seeds=[1, 2]
    )
    again = load_run(run.id)
    assert again.metrics == {"gain": 0.5}
    assert again.record["seeds"] == [1, 2]
    assert again.record["data_hashes"] == {"bars": "ab"}
    assert again.record["versions"]["numpy"] == np.__version__
    assert again.array("folds")["x"].isna().tolist() == [False, True]
    assert load_run(str(run.path)).id == run.id


def test_the_name_of_a_study_means_its_newest_run() -> None:
    store_run("paper1", {"n": 1}, {"v": 1})
    newest = store_run("paper1", {"n": 1}, {"v": 2})
    store_run("paper2", {"n": 1}, {"v": 3})
    assert load_run("paper1").id == newest.id
    assert [run.metrics["v"] for run in list_runs("paper1")] == [1, 2]


def test_nan_is_refused_and_nothing_is_left_behind() -> None:
    with pytest.raises(DataError, match="without NaN"):
        store_run("paper1", {}, {"gain": float("nan")})
    assert not runs_folder().exists() or not list(runs_folder().iterdir())


def test_a_failing_array_leaves_no_half_written_run() -> None:
    class Broken:
        def to_parquet(self, path: Path) -> None:
            Path(path).write_bytes(b"half")
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        store_run("paper1", {}, {}, arrays={"a": Broken()})  # type: ignore[dict-item]
    assert list(runs_folder().iterdir()) == []


def test_an_unknown_run_names_those_that_exist() -> None:
    run = store_run("paper2", {}, {"v": 1})
    with pytest.raises(UnknownNameError, match=run.id):
        load_run("nonsense")
    with pytest.raises(UnknownNameError, match="has no array 'curve'"):
        run.array("curve")


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GWT_RUNS", str(tmp_path / "elsewhere"))
    run = store_run("paper1", {}, {"v": 1})
    record = json.loads((tmp_path / "elsewhere" / run.id / "run.json").read_text())
    assert record["study"] == "paper1"
    assert os.stat(run.path).st_mode & 0o055 == 0o055
