"""The command line itself: one clear line for a mistake, the right exit code, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def gwt(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from gwt_lab.cli import main; main()", *arguments]
    settings = os.environ | environment
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=settings, check=False, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("reproduce", "paper9"), "nothing called 'paper9'"),
        (("reproduce", "--full"), "run `gwt reproduce --quick`"),
    ],
)
def test_a_mistake_is_one_line_on_stderr(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = gwt(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_real_bars_that_do_not_exist_are_named(tmp_path: Path) -> None:
    done = gwt("reproduce", "paper1", cwd=tmp_path, GWT_REAL_DATA=str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_verb_is_refused(tmp_path: Path) -> None:
    done = gwt("frobnicate", cwd=tmp_path)
    assert done.returncode == 2
    assert "frobnicate" in done.stderr
