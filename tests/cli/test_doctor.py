"""`gwt doctor`: names what is wrong and what mends it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gwt_lab.cli import doctor
from gwt_lab.cli.app import app


def states(document: str) -> dict[str, dict[str, str]]:
    return {finding["what"]: finding for finding in json.loads(document)["findings"]}


def test_a_sound_installation_is_healthy() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    found = states(result.stdout)
    assert found["OpenMP for LightGBM"]["state"] == "ok"
    assert "libgomp" in found["OpenMP for LightGBM"]["found"] or "omp" in found["OpenMP for LightGBM"]["found"]
    assert found["compiled kernels"]["state"] == "ok"


def test_each_fault_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real_find = doctor.importlib.util.find_spec
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name == "torch" else real_find(name))
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    monkeypatch.setenv("GWT_REAL_DATA", str(tmp_path / "nowhere"))
    blocked = tmp_path / "file"
    blocked.write_text("a file, where a folder is wanted")
    real_access = doctor.os.access
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: Path(path) != blocked and real_access(path, mode))
    monkeypatch.setenv("GWT_CATALOG", str(blocked / "catalog"))
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1
    found = states(result.stdout)
    assert found["extra rl"]["mend"] == "make reproduce"
    assert found["threads"]["state"] == "bad"
    assert "unset OMP_NUM_THREADS" in found["threads"]["mend"]
    assert found["real bars"]["state"] == "bad"
    assert found["catalog"]["state"] == "bad"
    assert "GWT_CATALOG" in found["catalog"]["mend"]
