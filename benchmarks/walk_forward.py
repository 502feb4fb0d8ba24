"""Walk-forward training: what it costs beyond LightGBM's own training, on the same matrix and folds.

``python -m benchmarks walk_forward`` measures a small size; ``python -m benchmarks.walk_forward --full`` measures 12
symbols x 20,000 bars in 20 folds (minutes). Times are process CPU seconds with one fit at a time, since others may
share the machine; equality of the forecasts is checked first.
"""

from __future__ import annotations

import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np

from benchmarks.alpha158 import _market
from benchmarks.timing import Figure, keep
from gwt_lab.features.alpha158 import alpha158
from gwt_lab.models.folds import fit_folds, plan_folds
from gwt_lab.models.signal_generator import QlibSignalGenerator
from gwt_lab.models.training import fit_lightgbm, make_table
from gwt_lab.validation.splits import PurgedWalkForward

_SMALL, _FULL = (6, 4_000, 5), (12, 20_000, 20)
_TREES = {"n_trees": 100, "num_leaves": 64}


def _bare(generator: QlibSignalGenerator, table: Any, folds: list[Any]) -> list[np.ndarray]:
    """Return the forecasts of a plain loop over the folds."""
    settings, rows = generator.params.to_lightgbm(), table.rows
    found = []
    for fold in folds:
        data = lightgbm.Dataset(rows.values[fold.train], rows.target[fold.train], params=settings)
        booster = lightgbm.train(settings, data, num_boost_round=generator.params.n_trees)
        found.append(booster.predict(rows.values[fold.test], num_threads=1))
    return found


def _inside(work: Callable[[], Any]) -> tuple[float, float]:
    """Return the CPU seconds of `work`, and how many of them went by inside `lightgbm.train`."""
    seconds, original = [0.0], lightgbm.train

    def timed(*args: Any, **options: Any) -> Any:
        begun = time.process_time()
        booster = original(*args, **options)
        seconds[0] += time.process_time() - begun
        return booster

    lightgbm.train = timed
    try:
        begun = time.process_time()
        work()
        return time.process_time() - begun, seconds[0]
    finally:
        lightgbm.train = original


def _copies(generator: QlibSignalGenerator, table: Any, folds: list[Any]) -> float:
    """Return the memory that fitting the largest fold takes in NumPy, over that of the float32 matrix."""
    fit, index = fit_lightgbm(table, generator.params), table.rows.index

    def fit_fold(train: np.ndarray) -> Any:
        model = fit(train)
        return lambda values, rows: model.predict(values, index[rows])

    tracemalloc.start()
    fit_folds(table.rows, [type(folds[-1])(0, folds[-1].train, folds[-1].test)], fit_fold, n_jobs=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / table.rows.values.nbytes


def measure(n_symbols: int, n_bars: int, n_folds: int) -> list[Figure]:
    """Return the figures of one size."""
    bars = _market(n_symbols, n_bars)
    alpha158(bars.tail(200))  # compile first
    generator = QlibSignalGenerator(splits=PurgedWalkForward(n_folds, purged_size=2), **_TREES)
    table = make_table(bars, generator.features, generator.question)
    folds = plan_folds(table.rows, generator.splits, table.known_ns)
    wanted = _bare(generator, table, folds)
    # both in one run: on a shared machine two runs of the same fit differ by a tenth and more
    ours, bare = _inside(lambda: generator.train(bars, n_jobs=1))
    np.testing.assert_array_equal(generator.forecasts_["forecast"], np.concatenate(wanted))
    begun = time.perf_counter()
    generator.train(bars)
    wall = time.perf_counter() - begun
    size = f"{n_symbols} x {n_bars:,}, {n_folds} folds"
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    share = (ours / bare - 1) * 100
    return [
        Figure(f"inside lightgbm.train, {size}", bare, "s", "", 1, f"{n_folds + 1} fits, CPU, {load}"),
        Figure(f"train: features, folds, scores, {size}", ours, "s", "", 1, "one fit at a time, CPU"),
        Figure(f"beside lightgbm.train, {size}", share, "%", "<= 5", 1, "equal forecasts"),
        Figure(f"train, one fit a core, wall, {size}", wall, "s", "", 1, load),
        Figure("NumPy memory of a fit, / float32 matrix", _copies(generator, table, folds), "x", "< 1", 1, size),
    ]


def run() -> list[Figure]:
    """Return the figures of the everyday size."""
    return measure(*_SMALL)


if __name__ == "__main__":
    figures = run() + (measure(*_FULL) if "--full" in sys.argv[1:] else [])
    for figure in figures:
        print(f"{figure.name:<58} {figure.value:>10.3f} {figure.unit:<3} target {figure.target:<8} {figure.note}")
    print(keep("walk_forward", figures))
