"""How many processors this process may use."""

from __future__ import annotations

import os

__all__ = ["available_threads"]


def available_threads() -> int:
    """Return how many threads are used unless told: the processors it may run on, or `NUMBA_NUM_THREADS`."""
    named = os.environ.get("NUMBA_NUM_THREADS", "")
    if named.isdigit() and int(named) > 0:
        return int(named)
    if hasattr(os, "sched_getaffinity"):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1
