"""The kernel decorator: compiled, cached in a place that can be written, announced once and only when it compiles."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

KERNEL = """
from gwt_lab.kernels import kernel

@kernel
def total(values):
    result = 0.0
    for value in values:
        result += value
    return result
"""
USE = """
import sys; sys.path.insert(0, {folder!r})
import numpy as np
from gwt_lab_probe import total
print(total(np.ones(5)))
"""


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"} | environment
    command = [sys.executable, "-c", USE.format(folder=str(folder))]
    return subprocess.run(command, capture_output=True, text=True, env=settings, check=False, timeout=120)


def test_compilation_is_announced_once_and_the_cache_is_silent(tmp_path: Path) -> None:
    (tmp_path / "gwt_lab_probe.py").write_text(KERNEL)
    cold = run(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert cold.stdout == "5.0\n", cold.stderr
    assert cold.stderr.count("compiling kernels") == 1
    warm = run(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert warm.stdout == "5.0\n"
    assert warm.stderr == ""


def test_the_cache_moves_where_neither_source_nor_home_can_be_written(tmp_path: Path) -> None:
    code = (
        "import os; real = os.access; os.access = lambda path, mode: False; "
        "import gwt_lab.kernels, tempfile; print(os.environ['NUMBA_CACHE_DIR'].startswith(tempfile.gettempdir()))"
    )
    settings = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=settings, check=False, timeout=120
    )
    assert done.stdout == "True\n", done.stderr


def test_a_cache_folder_that_the_user_names_is_kept(tmp_path: Path) -> None:
    code = "import gwt_lab.kernels, os; print(os.environ['NUMBA_CACHE_DIR'])"
    settings = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=settings, check=False, timeout=120
    )
    assert done.stdout.strip() == str(tmp_path)


def test_a_kernel_is_compiled_again_when_one_it_calls_in_another_file_changes(tmp_path: Path) -> None:
    package = tmp_path / "gwt_lab"
    package.mkdir()
    (package / "__init__.py").write_text("")
    shutil.copy(ROOT / "gwt_lab" / "kernels.py", package)
    head = "from gwt_lab.kernels import kernel\n"
    outer = "from gwt_lab.inner import step\n@kernel\ndef twice(x):\n    return 2 * step(x)\n"
    (package / "outer.py").write_text(head + outer)
    settings = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}
    settings["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [sys.executable, "-c", "from gwt_lab.outer import twice; print(twice(1.0))"]
    answers = []
    for added in ("1.0", "10.0"):
        (package / "inner.py").write_text(head + f"@kernel\ndef step(x):\n    return x + {added}\n")
        done = subprocess.run(
            command, capture_output=True, text=True, env=settings, check=False, timeout=120, cwd=tmp_path
        )
        answers.append(done.stdout)
    assert answers == ["4.0\n", "22.0\n"], done.stderr


def test_constants_that_kernels_read_count_among_the_sources() -> None:
    """Their values are compiled in, so a kernel is stale when one of them changed."""
    import inspect

    from gwt_lab import kernels
    from gwt_lab.backtest.sweep import streaming
    from gwt_lab.market import orders

    for module in (orders, streaming):
        assert "kernels read as constants" in inspect.getsource(module)
    assert "kernels read as constants" in inspect.getsource(kernels._sources)
