"""How much a sweep may hold at once, and how its combinations are cut so that it holds no more."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gwt_lab.errors import ConfigError

__all__ = ["Plan", "Sizes", "memory_bytes", "peak_memory_mb", "plan_memory", "words"]

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
# a chunk is the unit of progress, of a clean stop and of a lost worker's loss: a few tenths of a second
_CHUNK_BAR_COMBINATIONS = 150_000_000
# chunks a thread gets at least, so that none waits for another at the end
_CHUNKS_PER_THREAD = 4
# building the frame at the end, and what an allocator keeps back
_SLACK = 1.25


@dataclass(frozen=True)
class Sizes:
    """What one sweep is made of.

    Parameters
    ----------
    n_combinations, n_symbols, n_times, n_parameters, n_metrics : int
        `n_symbols` counts the result's rows of one combination.
    row_bytes : int
        Bytes that the kernel hands back for one combination of one symbol.
    kept_bytes : int
        Bytes of them that stay until the end (the ledger's signatures, paths).
    shared_bytes : int
        Bytes that all chunks share: the market, indicators.
    thread_bytes : int
        Bytes that each thread needs beside them, however few combinations it has.
    chunk_at_least : int
        Combinations below which a chunk spends its time on what it makes anew.
    combination_seconds : float
        Seconds of one combination where they are known (users' functions); 0 otherwise.
    """

    n_combinations: int
    n_symbols: int
    n_times: int
    n_parameters: int
    n_metrics: int
    row_bytes: int = 0
    kept_bytes: int = 0
    shared_bytes: int = 0
    thread_bytes: int = 0
    chunk_at_least: int = 0
    combination_seconds: float = 0.0

    @property
    def result_bytes(self) -> int:
        """Bytes of the result: metrics, the index's codes, the combinations as numbers, the ledger's Sharpe ratio."""
        row = 8 * self.n_metrics + 8 + 4 * (self.n_parameters + 1) + self.kept_bytes
        return self.n_combinations * (self.n_symbols * row + 12 * self.n_parameters)


@dataclass(frozen=True)
class Plan:
    """How a sweep is cut.

    Parameters
    ----------
    chunk : int
        Combinations evaluated in one call.
    n_threads : int
        Calls at the same time.
    peak_bytes : int
        What the sweep then holds at most, beside what the process had.
    """

    chunk: int
    n_threads: int
    peak_bytes: int


def plan_memory(sizes: Sizes, budget: int, n_threads: int) -> Plan:
    """Return how many combinations to evaluate at once, on how many threads.

    Raises
    ------
    ConfigError
        If the result alone, or what all chunks share, does not fit the budget; the message says how to go on.
    """
    fixed = int(_SLACK * sizes.result_bytes) + sizes.shared_bytes
    one = sizes.n_symbols * (sizes.row_bytes + 8 * sizes.n_metrics) + 8 * sizes.n_parameters
    if fixed + sizes.thread_bytes + one > budget:
        raise ConfigError(_refusal(sizes, fixed + sizes.thread_bytes + one, one, budget))
    free = budget - fixed
    threads = max(1, min(n_threads, sizes.n_combinations, free // (sizes.thread_bytes + one)))
    by_memory = (free - threads * sizes.thread_bytes) // (threads * one)
    by_share = -(-sizes.n_combinations // (threads * _CHUNKS_PER_THREAD))
    by_time = _CHUNK_BAR_COMBINATIONS // max(sizes.n_times * sizes.n_symbols, 1)
    if sizes.combination_seconds > 0:
        by_time = min(by_time, int(0.1 / sizes.combination_seconds))
    wanted = max(min(by_share, by_time), min(sizes.chunk_at_least, -(-sizes.n_combinations // threads)))
    chunk = int(max(1, min(by_memory, wanted)))
    return Plan(chunk, int(threads), fixed + int(threads) * (sizes.thread_bytes + chunk * one))


def _refusal(sizes: Sizes, needed: int, one: int, budget: int) -> str:
    base = sizes.shared_bytes + sizes.thread_bytes + one
    of_bars = f"{sizes.n_symbols} symbols x {sizes.n_times:,} bars"
    if base + _SLACK * sizes.result_bytes / sizes.n_combinations > budget:
        return (
            f"a sweep of {of_bars} needs {words(base)} for prices and indicators alone, max_memory is {words(budget)}: "
            "raise it, or select fewer symbols or bars"
        )
    most = int((budget - base) / (_SLACK * sizes.result_bytes) * sizes.n_combinations)
    return (
        f"{sizes.n_combinations:,} combinations of {of_bars} need {words(needed)}, {words(needed - base)} of it for "
        f"the result; max_memory is {words(budget)}: draw some with n_samples={most:,} or fewer, coarsen the grid, ask "
        "for fewer metrics, or raise max_memory"
    )


def memory_bytes(amount: Any) -> int:
    """Return an amount of memory in bytes: a number of bytes, or text such as "1GB", "500 MB", "2GiB".

    Raises
    ------
    ConfigError
        If it is neither, or not above 0.
    """
    found: float | None = None
    if isinstance(amount, (int, float)) and not isinstance(amount, bool):
        found = float(amount)
    elif isinstance(amount, str):
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", amount)
        if match and match[2].upper() in _UNITS:
            found = float(match[1]) * _UNITS[match[2].upper()]
    if found is None or not 0 < found < float("inf"):
        raise ConfigError(f"max_memory must be a number of bytes or text such as '500MB' or '1GB', got {amount!r}")
    return int(found)


def words(n_bytes: float) -> str:
    """Return an amount of memory for people."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:,.1f} {unit}"
    return f"{n_bytes:.0f} B"


def peak_memory_mb() -> float:
    """Return the most memory the process ever held, MB; NaN where the system does not say (Windows)."""
    status = Path("/proc/self/status")
    if status.exists():
        # not getrusage, whose peak a process inherits from the one that started it
        lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        if lines:
            return float(lines[0].split()[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (1e6 if sys.platform == "darwin" else 1e3)
