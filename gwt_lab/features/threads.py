"""Symbols side by side: kernels let go of the GIL, so threads are enough and nothing is copied."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gwt_lab.features.settings import whole
from gwt_lab.processors import available_threads

__all__ = ["for_each_symbol"]


def for_each_symbol(fill: Callable[[int, int], None], symbols: list[str], n_threads: int | None) -> None:
    """Call ``fill(symbol, column)`` for each symbol: its place in `symbols`, and among their sorted names.

    Raises
    ------
    ConfigError
        If `n_threads` is no whole number from 1 on; None is one for each core.
    """
    threads = available_threads() if n_threads is None else whole(n_threads, "n_threads", 1, "threads")
    order = np.argsort(np.array(symbols, dtype=object), kind="stable")
    with ThreadPoolExecutor(max(1, min(threads, len(symbols)))) as pool:
        list(pool.map(fill, order.tolist(), range(len(symbols))))
