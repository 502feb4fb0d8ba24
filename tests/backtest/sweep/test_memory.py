"""The memory plan keeps its budget, for every size."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gwt_lab.backtest.sweep.memory import Sizes, memory_bytes, peak_memory_mb, plan_memory
from gwt_lab.errors import ConfigError
from gwt_lab.processors import available_threads


def sizes(n: int = 1000, **options) -> Sizes:
    settings = {"n_symbols": 1, "n_times": 10_000, "n_parameters": 2, "n_metrics": 3, "row_bytes": 500}
    return Sizes(n, **(settings | options))


@pytest.mark.parametrize("seed", range(200))
def test_a_plan_keeps_the_budget_and_the_threads_busy(seed) -> None:
    rng = np.random.default_rng(seed)
    made = sizes(
        int(10 ** rng.uniform(0, 7)),
        n_symbols=int(10 ** rng.uniform(0, 3)),
        n_times=int(10 ** rng.uniform(1, 6)),
        row_bytes=int(10 ** rng.uniform(1, 5)),
        shared_bytes=int(10 ** rng.uniform(0, 8)),
    )
    budget, threads = int(10 ** rng.uniform(7, 10)), int(rng.integers(1, 65))
    try:
        plan = plan_memory(made, budget, threads)
    except ConfigError:
        row = made.n_symbols * (made.row_bytes + 8 * made.n_metrics) + 8 * made.n_parameters
        assert 1.25 * made.result_bytes + made.shared_bytes + row > budget
        return
    assert plan.peak_bytes <= budget
    assert 1 <= plan.n_threads <= threads
    assert 1 <= plan.chunk <= made.n_combinations
    assert plan.chunk * plan.n_threads <= made.n_combinations + plan.n_threads


def test_a_smaller_budget_makes_smaller_chunks() -> None:
    row = 500 + 24 + 16
    fixed = int(1.25 * sizes().result_bytes)
    assert plan_memory(sizes(), 10**9, 2).chunk == 125
    assert plan_memory(sizes(), fixed + 2 * 20 * row, 2).chunk == 20
    assert plan_memory(sizes(), fixed + row, 2).n_threads == 1


def test_slow_functions_get_small_chunks() -> None:
    assert plan_memory(sizes(combination_seconds=3.0), 10**9, 2).chunk == 1
    assert plan_memory(sizes(combination_seconds=0.01), 10**9, 2).chunk == 10


def test_what_does_not_fit_is_refused_with_a_number_that_does() -> None:
    with pytest.raises(ConfigError, match=r"1,000,000,000 combinations .* max_memory is 1.0 GB") as refused:
        plan_memory(sizes(10**9), 10**9, 2)
    most = int(re.search(r"n_samples=([0-9,]+)", str(refused.value))[1].replace(",", ""))
    assert most > 10**6
    plan_memory(sizes(int(most * 0.99)), 10**9, 2)


@pytest.mark.parametrize(
    ("given", "expected"), [(5e6, 5_000_000), (10, 10), ("1GB", 10**9), (" 1.5 mb ", 1_500_000), ("2GiB", 2**31)]
)
def test_amounts_of_memory(given, expected) -> None:
    assert memory_bytes(given) == expected


@pytest.mark.parametrize("given", [0, -1, "lots", "1 PB", None, True, float("nan"), float("inf"), "-1GB", ""])
def test_amounts_that_are_none(given) -> None:
    with pytest.raises(ConfigError, match="max_memory must be"):
        memory_bytes(given)


def test_threads_follow_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", "7")
    assert available_threads() == 7
    monkeypatch.delenv("NUMBA_NUM_THREADS")
    assert available_threads() >= 1


def test_the_peak_is_a_plausible_number_of_megabytes() -> None:
    assert 20 < peak_memory_mb() < 1e6
