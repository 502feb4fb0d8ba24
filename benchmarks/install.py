"""Install time and size with an empty cache: core, and core with PyTorch. Downloads gigabytes; run by name."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import Figure


def _size_mb(folder: Path) -> float:
    seen: set[tuple[int, int]] = set()
    total = 0
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        status = path.stat()
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            total += status.st_size
    return total / 1e6


def _cold(level: str) -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = {"GWT_VENV": str(folder / "venv"), "UV_CACHE_DIR": str(folder / "cache"), "PIP_NO_CACHE_DIR": "1"}
        started = time.perf_counter()
        subprocess.run(
            [getattr(sys, "_base_executable", sys.executable), "locks/install.py", level],
            cwd=Path(__file__).parent.parent,
            env=os.environ | places,
            check=True,
        )
        seconds = time.perf_counter() - started
        code = "import gwt_lab, lightgbm, numba" + ("; import torch, stable_baselines3" if level == "reproduce" else "")
        subprocess.run([str(folder / "venv" / "bin" / "python"), "-c", code], check=True, cwd=folder)
        size = _size_mb(folder / "venv")
    return [
        Figure(f"install {level}, empty cache", seconds, "s", "report", 1),
        Figure(f"installed size {level}", size, "MB", "report", 1),
    ]


def run() -> list[Figure]:
    """Return install time and size of the two levels a new user meets."""
    return [figure for level in ("core", "reproduce") for figure in _cold(level)]
