"""Sweeps of two moving averages (W1: one asset, W2: twenty) beside vectorbt and a bare loop; equality first.

The bare loop is what a user would write by hand for this one strategy: averages made before, then one pass with the
crossing, the account and three sums; no stops, shorts, trades, fees' total or edges, which the fused kernel keeps.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pandas as pd

from benchmarks.timing import Figure
from gwt_lab.backtest.sweep import streaming, sweep
from gwt_lab.backtest.sweep.families import FAMILIES, SweepMarket, SweepRules, evaluate, prepare
from gwt_lab.market.bars import Bars

FAMILY, RULES = FAMILIES["ma_cross"], SweepRules(price="close")
METRICS = ("total_return", "sharpe_ratio", "max_drawdown")
YEAR = 8760.0
TOLERANCE = 1e-9
# combinations that vectorbt takes at a time, its fastest here
CHUNK_W1, CHUNK_W2 = 50, 2


# ------------------------------------------------------------------------------------------------ workloads
def market(n_assets: int, n_bars: int) -> SweepMarket:
    """Return random walks; opens are the closes before."""
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (n_assets, n_bars)), axis=1))
    times = pd.date_range("2020-01-01", periods=n_bars, freq="h", tz="UTC").as_unit("ns").asi8
    symbols = tuple(f"A{k:02d}/USDT" for k in range(n_assets))
    return SweepMarket(symbols, times, close, close, close, close, np.ones_like(close), YEAR)


def bars_of(made: SweepMarket) -> Bars:
    """Return the same as `Bars`."""
    index = pd.DatetimeIndex(pd.to_datetime(made.times_ns, utc=True), name="datetime").as_unit("ns")
    columns = pd.Index(made.symbols, name="symbol")
    names = ("open", "high", "low", "close", "volume")
    frames = {name: pd.DataFrame(getattr(made, name).T, index=index, columns=columns) for name in names}
    return Bars(**frames, timeframe="1h")


W1_PAIRS = np.array([(fast, slow) for fast in range(5, 25) for slow in range(30, 130, 2)], dtype=np.float64)
W2_PAIRS = np.array([(fast, slow) for fast in range(5, 45) for slow in range(50, 250, 4)], dtype=np.float64)


# ------------------------------------------------------------------------------------------------ three ways
def fused(made: SweepMarket, pairs: np.ndarray, threads: int) -> np.ndarray:
    """Return the three metrics of every combination and symbol, (n_combos, n_symbols, 3)."""
    fresh = SweepMarket(made.symbols, made.times_ns, *_prices(made), made.bars_per_year)
    shared = prepare(FAMILY, fresh, pairs, RULES)
    parts = np.array_split(pairs, max(4 * threads, len(pairs) // 500))

    def one(part: np.ndarray) -> np.ndarray:
        acc, _ = evaluate(FAMILY, fresh, part, RULES, shared=shared)
        return np.stack([streaming.METRICS[name](acc, YEAR) for name in METRICS], axis=-1)

    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(one, parts)))


def _prices(made: SweepMarket) -> tuple[np.ndarray, ...]:
    return made.open, made.high, made.low, made.close, made.volume


@numba.njit(nogil=True, error_model="numpy", cache=True)
def _bare_loop(close, rows, fast, slow, costs, year, out):
    fees, slippage = costs
    n = len(close)
    for c in range(len(fast)):
        a, b = rows[fast[c]], rows[slow[c]]
        cash, amount, before, peak, deepest = 10_000.0, 0.0, 10_000.0, 0.0, 0.0
        total, squares, side = 0.0, 0.0, 0
        for i in range(n):
            now = 1 if a[i] > b[i] else (-1 if a[i] < b[i] else 0)
            if now == 1 and side == -1 and amount == 0.0:
                amount = cash / (1.0 + fees) / (close[i] * (1.0 + slippage))
                cash = 0.0
            elif now == -1 and side == 1 and amount > 0.0:
                cash = amount * close[i] * (1.0 - slippage) * (1.0 - fees)
                amount = 0.0
            if now != 0:
                side = now
            value = cash + amount * close[i]
            gain = value / before - 1.0
            total += gain
            squares += gain * gain
            peak = max(peak, value)
            deepest = min(deepest, value / peak - 1.0)
            before = value
        mean = total / n
        out[c, 0] = before / 10_000.0 - 1.0
        out[c, 1] = mean / math.sqrt((squares - n * mean * mean) / (n - 1)) * math.sqrt(year)
        out[c, 2] = deepest


def bare(made: SweepMarket, pairs: np.ndarray, threads: int) -> np.ndarray:
    """Return the same by the bare loop."""
    windows, which = np.unique(pairs, return_inverse=True)
    which = which.reshape(pairs.shape).astype(np.int64)
    out = np.empty((len(made.symbols), len(pairs), 3))
    with ThreadPoolExecutor(threads) as pool:
        for j, close in enumerate(made.close):
            sums = np.concatenate([[0.0], np.cumsum(close)])
            rows = np.full((len(windows), len(close)), np.nan)
            for row, window in zip(rows, windows.astype(int), strict=True):
                row[window - 1 :] = (sums[window:] - sums[:-window]) / window
            parts = np.array_split(np.arange(len(pairs)), 4 * threads)
            costs = (RULES.fees, RULES.slippage)
            args = [(close, rows, which[p, 0], which[p, 1], costs, YEAR, out[j, p[0] : p[-1] + 1]) for p in parts]
            list(pool.map(lambda a: _bare_loop(*a), args))
    return out.transpose(1, 0, 2)


def peer(made: SweepMarket, pairs: np.ndarray, chunk: int) -> np.ndarray:
    """Return the same by vectorbt, `chunk` combinations at a time."""
    import vectorbt

    close = bars_of(made).close
    close.index = close.index.tz_localize(None)
    found = []
    for start in range(0, len(pairs), chunk):
        fast, slow = pairs[start : start + chunk].astype(int).T.tolist()
        quick = vectorbt.MA.run(close, fast, short_name="fast")
        slower = vectorbt.MA.run(close, slow, short_name="slow")
        pf = vectorbt.Portfolio.from_signals(
            close, quick.ma_crossed_above(slower), quick.ma_crossed_below(slower), fees=RULES.fees,
            slippage=RULES.slippage, init_cash=10_000, freq="1h",
        )  # fmt: skip
        numbers = [np.asarray(getattr(pf, name)()) for name in METRICS]
        found.append(np.stack(numbers, axis=-1).reshape(len(fast), len(made.symbols), 3))
    return np.concatenate(found)


def by_sweep(bars: Bars, pairs: np.ndarray, threads: int) -> pd.DataFrame:
    """Return the same by the function that users call."""
    grid = pd.DataFrame(pairs.astype(int), columns=["fast", "slow"])
    return sweep("ma_cross", bars, grid, price="close", metrics=METRICS, n_threads=threads, progress=False)


# ------------------------------------------------------------------------------------------------ measuring
def assert_equal(got: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Fail unless all numbers agree."""
    np.testing.assert_allclose(got, expected, rtol=TOLERANCE, atol=1e-12, err_msg=what)


def side_by_side(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, float]]:
    """Return the median and least seconds of each way, taken in turns so that all meet the same machine."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    return {name: (statistics.median(taken), min(taken)) for name, taken in seconds.items()}


def _note(taken: tuple[float, float], work: int) -> str:
    load = os.getloadavg()[0]
    return f"least {1e3 * taken[1]:.2f} ms, {work / taken[0] / 1e6:,.0f} M bar-combos/s, load {load:.1f}"


def _peak_mb(body: str) -> float:
    """Return the peak memory of a fresh process that runs `body`."""
    code = (
        f"import numpy as np\nfrom benchmarks import sweep_w1_w2 as b\n{body}\n"
        # not getrusage, whose peak a process inherits from the one that started it
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1]) / 1024


def _growth_mb(tiny: str, body: str) -> float:
    """Return what `body` adds to the peak memory of a process that has imported and compiled all for `tiny`."""
    code = (
        f"from benchmarks import sweep_w1_w2 as b\nmade = b.market(1, 10_000)\n{tiny}\n"
        "status = lambda key: int(next(x for x in open('/proc/self/status') if x.startswith(key)).split()[1])\n"
        "before = status('VmRSS')\nopen('/proc/self/clear_refs', 'w').write('5')\n"
        f"{body}\nprint((status('VmHWM') - before) / 1024)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def _w1_memory() -> list[Figure]:
    small, pairs = "b.market(1, 300), b.W1_PAIRS[:2]", "made, b.W1_PAIRS"
    theirs = _growth_mb(f"b.peer({small}, 2)", f"b.peer({pairs}, b.CHUNK_W1)")
    ours = _growth_mb(
        "bars = b.bars_of(made)\nb.by_sweep(b.bars_of(b.market(1, 300)), b.W1_PAIRS[:2], 2)",
        "b.by_sweep(bars, b.W1_PAIRS, 2)",
    )
    return [
        Figure("W1 vectorbt, peak memory above the process", theirs, "MB", "", 1, f"{CHUNK_W1} combinations at a time"),
        Figure("W1 sweep, peak memory above the process", ours, "MB", "", 1, "2 threads, ledger on"),
        Figure("W1 sweep over vectorbt, memory", ours / theirs, "x", "<= 0.2", 1),
    ]


def w1(rounds: int = 15) -> list[Figure]:
    """One asset, 10,000 bars, 1,000 combinations."""
    made, work = market(1, 10_000), 10_000 * 1000
    bars = bars_of(made)
    expected = peer(made, W1_PAIRS, CHUNK_W1)
    for threads in (1, 2):
        assert_equal(fused(made, W1_PAIRS, threads), expected, "fused against vectorbt")
        assert_equal(bare(made, W1_PAIRS, threads), expected, "bare loop against vectorbt")
    assert_equal(by_sweep(bars, W1_PAIRS, 2)[list(METRICS)].to_numpy(), expected[:, 0], "sweep against vectorbt")
    ways: dict[str, Callable[[], Any]] = {
        "fused, 1 thread": lambda: fused(made, W1_PAIRS, 1),
        "fused, 2 threads": lambda: fused(made, W1_PAIRS, 2),
        "bare loop, 1 thread": lambda: bare(made, W1_PAIRS, 1),
        "bare loop, 2 threads": lambda: bare(made, W1_PAIRS, 2),
        "sweep, 2 threads": lambda: by_sweep(bars, W1_PAIRS, 2),
    }
    taken = side_by_side(ways, rounds) | side_by_side({"vectorbt": lambda: peer(made, W1_PAIRS, CHUNK_W1)}, 2)
    figures = [Figure(f"W1 {name}", 1e3 * taken[name][0], "ms", "", rounds, _note(taken[name], work)) for name in taken]
    ratios = (
        ("fused over bare loop, 2 threads", "fused, 2 threads", "bare loop, 2 threads", "<= 1.4"),
        ("vectorbt over fused, 2 threads", "vectorbt", "fused, 2 threads", ""),
        ("vectorbt over sweep, 2 threads", "vectorbt", "sweep, 2 threads", ">= 60"),
    )
    figures += [Figure(f"W1 {name}", taken[a][0] / taken[b][0], "x", goal, rounds) for name, a, b, goal in ratios]
    beside = 1e3 * (taken["sweep, 2 threads"][0] - taken["fused, 2 threads"][0])
    return [*figures, Figure("W1 sweep beside the kernel", beside, "ms", "<= 8", rounds), *_w1_memory()]


def w2(rounds: int = 3) -> list[Figure]:
    """Twenty assets, 20,000 bars, 2,000 combinations."""
    made, work = market(20, 20_000), 20 * 20_000 * 2000
    few = W2_PAIRS[:: len(W2_PAIRS) // (5 * CHUNK_W2)][: 5 * CHUNK_W2]
    expected = peer(made, few, CHUNK_W2)
    assert_equal(fused(made, few, 2), expected, "fused against vectorbt")
    assert_equal(bare(made, W2_PAIRS[:50], 2), fused(made, W2_PAIRS[:50], 2), "bare loop against fused")
    ways: dict[str, Callable[[], Any]] = {
        "fused, 1 thread": lambda: fused(made, W2_PAIRS, 1),
        "fused, 2 threads": lambda: fused(made, W2_PAIRS, 2),
        "bare loop, 2 threads": lambda: bare(made, W2_PAIRS, 2),
    }
    taken = side_by_side(ways, rounds)
    part = side_by_side({"vectorbt": lambda: peer(made, few[:CHUNK_W2], CHUNK_W2)}, 5)["vectorbt"]
    scale = len(W2_PAIRS) / CHUNK_W2
    taken["vectorbt, extrapolated"] = (scale * part[0], scale * part[1])
    figures = [Figure(f"W2 {name}", taken[name][0], "s", "", rounds, _note(taken[name], work)) for name in taken]
    speedup = taken["fused, 1 thread"][0] / taken["fused, 2 threads"][0]
    peak = _peak_mb("b.fused(b.market(20, 20_000), b.W2_PAIRS, 2)")
    ratio = taken["vectorbt, extrapolated"][0] / taken["fused, 2 threads"][0]
    return [
        *figures,
        Figure("W2 vectorbt over fused, 2 threads", ratio, "x", ">= 100", rounds, "one chunk times their number"),
        Figure("W2 scaling on 2 threads", 50 * speedup, "%", ">= 80", rounds),
        Figure("W2 peak memory", peak, "MB", "< 600", 1, "a process of its own"),
    ]


def run() -> list[Figure]:
    """Return the figures of both sweeps."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # vectorbt's own
        os.environ["GWT_LEDGER"] = str(Path(folder) / "ledger")
        return [*w1(), *w2()]
