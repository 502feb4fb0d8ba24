"""Alpha158: equality with qlib's handler first, then batch, memory, growth, stream and causality check.

Others may share the machine, so times are process CPU seconds on one thread, the least of several runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import gwt_lab as gwt
from benchmarks.growth import draw
from benchmarks.timing import Figure
from gwt_lab.features.alpha158 import ALPHA158_LOOKBACK, alpha158
from gwt_lab.features.alpha158_stream import Alpha158Stream
from gwt_lab.market.bars import PANELS, Bars

_SYMBOLS, _ROWS = 50, 20_000

_QLIB = """
import json, logging, sys, time
import qlib
from qlib.contrib.data.handler import Alpha158
provider, freq, out, uri = sys.argv[1:]
manager = {"class": "MLflowExpManager", "module_path": "qlib.workflow.expm",
           "kwargs": {"uri": uri, "default_exp_name": "benchmark"}}
qlib.init(provider_uri=provider, region="us", kernels=1, logging_level=logging.ERROR, exp_manager=manager)
seconds = []
for _ in range(2):
    qlib.data.data.H.clear()
    begun = time.process_time()
    handler = Alpha158(instruments="all", freq=freq, infer_processors=[], learn_processors=[])
    seconds.append(time.process_time() - begun)
handler.fetch(col_set="feature").to_parquet(out)
print(json.dumps(min(seconds)))
"""


def _market(n_symbols: int, n_rows: int, seed: int = 1) -> Bars:
    """Return random walks: what the bars say does not matter to the time."""
    rng = np.random.default_rng(seed)
    shape = (n_rows, n_symbols)
    close = 100 * np.exp(np.cumsum(rng.standard_t(4, shape) * 0.004, axis=0)).astype(np.float32).astype(float)
    open_ = np.vstack([close[:1], close[:-1]])
    wick = np.abs(rng.normal(0, 0.002, (2, *shape)))
    volume = np.exp(rng.normal(3, 0.5, shape)).astype(np.float32).astype(float)
    values = [open_, np.maximum(open_, close) * (1 + wick[0]), np.minimum(open_, close) * (1 - wick[1]), close, volume]
    values.append(volume * close)
    index = pd.date_range("2020-01-01", periods=n_rows, freq="h", tz="UTC", unit="ns", name="datetime")
    columns = [f"C{number:02d}/USDT" for number in range(n_symbols)]
    panels = [pd.DataFrame(np.float32(panel).astype(float), index=index, columns=columns) for panel in values]
    return Bars(**dict(zip(PANELS, panels, strict=True)), timeframe="1h")


def _least(function: Callable[[], Any], runs: int) -> float:
    function()
    seconds = []
    for _ in range(runs):
        begun = time.process_time()
        function()
        seconds.append(time.process_time() - begun)
    return min(seconds)


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""


def _qlib(folder: Path) -> list[Figure]:
    bars = _market(_SYMBOLS, _ROWS)
    export = gwt.export_qlib(bars, folder / "provider", empty_rows=False)
    out = folder / "qlib.parquet"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _QLIB, str(export.folder), export.freq, str(out),
         f"sqlite:///{folder / 'mlflow.db'}"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs, ours = pd.read_parquet(out).to_numpy(np.float64), alpha158(bars, True).to_numpy(np.float64)
    near = np.abs(ours - theirs) <= 1e-5 * np.abs(theirs) + 1e-6
    assert (near | (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))).all(), "every value must be qlib's"
    seconds = float(done.stdout.strip().splitlines()[-1])
    rows = _SYMBOLS * _ROWS
    size = f"{_SYMBOLS} x {_ROWS:,} bars"
    figures = [Figure(f"pyqlib's handler, {size}", seconds, "s", "", 2, f"kernels=1, {_load()}")]
    for name, as_qlib in (("alpha158", False), ("alpha158 as qlib", True)):
        mine = _least(lambda as_qlib=as_qlib: alpha158(bars, as_qlib, n_threads=1), 5)
        figures.append(Figure(f"{name}, {size}", mine, "s", "", 5, f"{rows / mine / 1e6:.2f} M rows/s, {_load()}"))
        figures.append(Figure(f"pyqlib's time over {name}'s", seconds / mine, "x", ">= 15", 1, "same bars, same run"))
    return figures


def _batch() -> list[Figure]:
    bars = _market(_SYMBOLS, _ROWS)
    figures = []
    for name, as_qlib, target in (("alpha158", False, "<= 1.2"), ("alpha158 as qlib", True, "")):
        seconds = _least(lambda as_qlib=as_qlib: alpha158(bars, as_qlib, n_threads=1), 3)
        figures.append(Figure(f"{name}, 50 x 20,000, one thread", seconds, "s", target, 3, _load()))
    return figures


_MEMORY = """
import resource
from benchmarks.alpha158 import _market
from gwt_lab.features.alpha158 import alpha158
alpha158(_market(2, 300))
bars = _market(50, 20_000)
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
status = lambda key: int(next(line for line in open("/proc/self/status") if line.startswith(key)).split()[1])
before = status("VmRSS")
frame = alpha158(bars)
print((status("VmHWM") - before) * 1024 / frame.to_numpy().nbytes)
"""


def _memory() -> list[Figure]:
    if not Path("/proc/self/clear_refs").exists():
        return []
    done = subprocess.run([sys.executable, "-c", _MEMORY], capture_output=True, text=True, check=True)
    return [Figure("peak memory above the process, / output", float(done.stdout), "x", "<= 1.3", 1, "50 x 20,000")]


def _growth() -> list[Figure]:
    figures, rows = [], []
    for n_symbols, n_rows in ((1, 20_000), (5, 20_000), (20, 20_000), (20, 200), (20, 2_000), (20, 20_000)):
        bars = _market(n_symbols, n_rows)
        seconds = _least(lambda bars=bars: alpha158(bars, n_threads=1), 4)
        name = f"alpha158, {n_symbols} x {n_rows:,}, a row"
        figures.append(Figure(name, seconds / (n_symbols * n_rows) * 1e9, "ns", "linear", 4, _load()))
        label = "20,000 bars, more symbols" if len(rows) < 3 else "20 symbols, more bars"
        rows.append((n_symbols * n_rows, seconds, label))
    table = pd.DataFrame(rows, columns=["work", "seconds", "label"])
    draw(table, "growth_alpha158", "Alpha158, 158 columns: time grows with the rows", "symbols x bars")
    return figures


def _stream() -> list[Figure]:
    figures = []
    for n_symbols in (1, 10, 50, 500):
        bars = _market(n_symbols, 200)
        arrays = [getattr(bars, name).to_numpy() for name in PANELS]
        stream, seconds, rows = Alpha158Stream(bars.symbols), [], []
        for t, stamp in enumerate(bars.index):
            begun = time.process_time()
            rows.append(stream.update(stamp, *(array[t] for array in arrays)))
            seconds.append(time.process_time() - begun)
        wanted = alpha158(bars).to_numpy().reshape(200, n_symbols, 158)[:, np.argsort(np.argsort(bars.symbols))]
        assert np.array_equal(np.stack(rows), wanted, equal_nan=True), "the stream must give the batch's rows"
        each = float(np.median(seconds[100:])) / n_symbols * 1e6
        figures.append(Figure(f"stream, {n_symbols} symbols: a symbol and bar", each, "us", "<= 30", 100, _load()))
    return figures


def _causality() -> list[Figure]:
    bars = _market(12, 2_000)
    begun = time.process_time()
    report = gwt.check_causal(alpha158, bars, lookback=ALPHA158_LOOKBACK)
    assert report.passed, str(report)
    seconds = time.process_time() - begun
    return [Figure("check_causal of 158 columns, 12 x 2,000", seconds, "s", "< 20", 1, _load())]


def run() -> list[Figure]:
    """Return the figures of Alpha158; qlib's where pyqlib is installed."""
    figures: list[Figure] = []
    try:
        import qlib  # noqa: F401
    except ImportError:
        print("pyqlib is not installed: no comparison")
    else:
        with tempfile.TemporaryDirectory() as name:
            figures += _qlib(Path(name))
    return [*figures, *_batch(), *_memory(), *_growth(), *_stream(), *_causality()]
