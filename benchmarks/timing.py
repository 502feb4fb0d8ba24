"""How a benchmark is timed and kept."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["Figure", "fresh_process", "keep", "timed"]

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured number beside its target."""

    name: str
    value: float
    unit: str
    target: str
    runs: int
    note: str = ""


def timed(function: Callable[[], Any], runs: int = 5) -> tuple[float, Any]:
    """Return the median wall time of `runs` calls after one warm-up, and the last result."""
    result = function()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), result


def fresh_process(code: str, runs: int = 7) -> float:
    """Return the median wall time of a fresh interpreter that runs `code`, after one warm-up."""
    seconds = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def keep(name: str, figures: list[Figure]) -> Path:
    """Write the figures of a run with the machine they were taken on."""
    RESULTS.mkdir(exist_ok=True)
    document = {
        "benchmark": name,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
        },
        "figures": [asdict(figure) for figure in figures],
    }
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return file
