"""One portfolio beside vectorbt: target weights of 500 assets (W3), a million bars with stops (W4); equality first.

W4 is measured twice: the compiled account under given signals, and a Python function called at every bar. A user's own
function inside a sweep (its framework's share) and the growth with bars and combinations stand here as well.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import gwt_lab as gwt
from benchmarks.sweep_w1_w2 import side_by_side
from benchmarks.timing import Figure
from gwt_lab.market.bars import Bars

COSTS = {"fees": 0.001, "slippage": 0.0005}
LOSS, GAIN = 0.02, 0.05


def _bars(open_: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, timeframe: str) -> Bars:
    step = {"1m": "min", "1h": "h"}[timeframe]
    index = pd.date_range("2020-01-01", periods=len(close), freq=step, tz="UTC", name="datetime").as_unit("ns")
    columns = [f"A{k:03d}/USDT" for k in range(close.shape[1])]
    panels = [pd.DataFrame(v, index=index, columns=columns) for v in (open_, high, low, close, np.ones_like(close))]
    return Bars(*panels, timeframe=timeframe)


def _note(taken: tuple[float, float]) -> str:
    return f"least {1e3 * taken[1]:.2f} ms, load {os.getloadavg()[0]:.1f}"


def _headlines(portfolio: Any) -> list[float]:
    found = (portfolio.total_return(), portfolio.sharpe_ratio(), portfolio.max_drawdown())
    return [float(np.asarray(number).ravel()[0]) for number in found]


# ------------------------------------------------------------------------------------------------ W3
def _weights(n_times: int, n_assets: int) -> tuple[Bars, pd.DataFrame]:
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 5e-3, (n_times, n_assets)), axis=0))
    bars = _bars(close, close, close, close, "1h")
    weights = rng.dirichlet(np.ones(n_assets), n_times)
    return bars, pd.DataFrame(weights, index=bars.index, columns=bars.close.columns)


def w3(rounds: int = 9) -> list[Figure]:
    """Target weights of 500 assets over 5,000 bars, cash shared, with costs, at every bar and at every 24th."""
    import vectorbt

    bars, weights = _weights(5_000, 500)
    close, figures = bars.close, []
    for every, goal in ((None, ">= 60"), (24, ">= 150")):
        rows = np.ones(len(weights), dtype=bool) if every is None else (np.arange(len(weights)) % every == 0)
        decided = weights.where(np.broadcast_to(rows[:, None], weights.shape))

        def ours(every: int | None = every) -> list[float]:
            return _headlines(gwt.Portfolio.from_weights(bars, weights, price="close", rebalance=every, **COSTS))

        def theirs(decided: pd.DataFrame = decided) -> list[float]:
            return _headlines(
                vectorbt.Portfolio.from_orders(
                    close, size=decided, size_type="targetpercent", init_cash=10_000, cash_sharing=True, group_by=True,
                    call_seq="auto", freq="1h", **COSTS,
                )
            )  # fmt: skip

        np.testing.assert_allclose(ours(), theirs(), rtol=5e-9)
        taken = side_by_side({"ours": ours}, rounds) | side_by_side({"theirs": theirs}, 3)
        name = "every bar" if every is None else f"every {every} bars"
        figures += [
            Figure(f"W3 {name}, from_weights", 1e3 * taken["ours"][0], "ms", "", rounds, _note(taken["ours"])),
            Figure(f"W3 {name}, vectorbt", 1e3 * taken["theirs"][0], "ms", "", 3, _note(taken["theirs"])),
            Figure(f"W3 {name}, vectorbt over ours", taken["theirs"][0] / taken["ours"][0], "x", goal, rounds),
        ]
    return figures


# ------------------------------------------------------------------------------------------------ W4
def _minutes(n_times: int) -> tuple[Bars, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 5e-4, n_times)))
    open_ = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 2e-4, n_times)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 2e-4, n_times)))
    fast, slow = (pd.Series(close).rolling(window).mean().to_numpy() for window in (50, 400))
    side = np.sign(fast - slow)
    entries = np.concatenate([[False], (side[1:] > 0) & (side[:-1] < 0)])
    exits = np.concatenate([[False], (side[1:] < 0) & (side[:-1] > 0)])
    bars = _bars(*(values[:, None] for values in (open_, high, low, close)), timeframe="1m")
    return bars, entries[:, None], exits[:, None]


def w4(rounds: int = 9) -> list[Figure]:
    """Trade a million bars of one minute: a crossing of averages with a stop and a target."""
    import vectorbt

    from benchmarks.order_func import order_func

    bars, entries, exits = _minutes(1_000_000)
    close = bars.close
    close.index = close.index.tz_localize(None)
    stops = {"sl_stop": LOSS, "tp_stop": GAIN, "price": "close"}

    def compiled() -> list[float]:
        return _headlines(gwt.Portfolio.from_signals(bars, entries, exits, **stops, **COSTS))

    def peer() -> list[float]:
        pf = vectorbt.Portfolio.from_order_func(
            close.iloc[:, 0], order_func, entries, exits, init_cash=10_000.0, freq="1min"
        )
        return _headlines(pf)

    enter, leave = entries[:, 0].tolist(), exits[:, 0].tolist()

    def at_every_bar(c: Any) -> None:
        if enter[c.i]:
            c.buy(sl_stop=LOSS, tp_stop=GAIN)
        elif leave[c.i]:
            c.exit()

    def called() -> list[float]:
        return _headlines(gwt.Portfolio.from_order_func(bars, at_every_bar, price="close", **COSTS))

    without_stops = gwt.Portfolio.from_signals(bars, entries, exits, price="close", **COSTS)
    np.testing.assert_allclose(_headlines(without_stops), peer(), rtol=1e-9)
    np.testing.assert_allclose(called(), compiled(), rtol=1e-12)
    ways: dict[str, Callable[[], Any]] = {"compiled": compiled, "called": called}
    taken = side_by_side(ways, rounds) | side_by_side({"peer": peer}, 3)
    return [
        Figure(
            "W4 compiled, from_signals with stops",
            1e3 * taken["compiled"][0],
            "ms",
            "",
            rounds,
            _note(taken["compiled"]),
        ),
        Figure("W4 vectorbt, from_order_func without", 1e3 * taken["peer"][0], "ms", "", 3, _note(taken["peer"])),
        Figure("W4 vectorbt over compiled", taken["peer"][0] / taken["compiled"][0], "x", ">= 50", rounds),
        Figure("W4 a Python function at every bar", 1 / taken["called"][0], "Mbar/s", ">= 0.8", rounds),
    ]


# ------------------------------------------------------------------------------------------------ user functions
def user_function(rounds: int = 9) -> list[Figure]:
    """Sweep a plain NumPy function of closes over 200 combinations of 10,000 bars; the framework's part of the time."""
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (10_000, 1)), axis=0))
    bars, grid = _bars(close, close, close, close, "1h"), {"fast": list(range(5, 25)), "slow": list(range(30, 130, 10))}

    def strategy(close: np.ndarray, fast: int, slow: int) -> tuple[np.ndarray, np.ndarray]:
        sums = np.concatenate([[0.0], np.cumsum(close)])
        quick, steady = np.full(len(close), np.nan), np.full(len(close), np.nan)
        quick[fast - 1 :] = (sums[fast:] - sums[:-fast]) / fast
        steady[slow - 1 :] = (sums[slow:] - sums[:-slow]) / slow
        deviation = np.sqrt(np.convolve(np.diff(close, prepend=close[0]) ** 2, np.ones(50) / 50)[: len(close)])
        return quick > steady + 0.1 * deviation, quick < steady - 0.1 * deviation

    values = np.ascontiguousarray(close[:, 0])
    pairs = [(fast, slow) for fast in grid["fast"] for slow in grid["slow"]]

    def alone() -> None:
        for fast, slow in pairs:
            strategy(values, fast, slow)

    def swept() -> pd.DataFrame:
        return gwt.sweep(strategy, bars, grid, price="close", progress=False, n_threads=1)

    table = swept()
    for fast, slow in pairs[:3]:
        one = gwt.Portfolio.from_signals(bars, *(s[:, None] for s in strategy(values, fast, slow)), price="close")
        found = float(table["total_return"].loc[(fast, slow)].iloc[0])
        np.testing.assert_allclose(found, one.total_return(), rtol=1e-9)
    taken = side_by_side({"alone": alone, "swept": swept}, rounds)
    share = 100 * (taken["swept"][0] / taken["alone"][0] - 1)
    each = 1e6 * taken["alone"][0] / len(pairs)
    return [Figure("user function, framework on top", share, "%", "< 20", rounds, f"the function takes {each:.0f} us")]


# ------------------------------------------------------------------------------------------------ growth, first result
def growth() -> list[Figure]:
    """Return seconds per bar and combination over two decades of both, and draw them."""
    from benchmarks.growth import draw

    sizes = [(n_bars, n_combos) for n_bars in (1_000, 10_000, 100_000) for n_combos in (100, 1_000, 10_000)]
    rows = []
    for n_bars, n_combos in sizes:
        rng = np.random.default_rng(0)
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (n_bars, 1)), axis=0))
        bars = _bars(close, close, close, close, "1h")
        slows = np.arange(120, 120 + n_combos // 100)
        grid = {"fast": list(range(5, 105)), "slow": slows.tolist()}

        def work(bars: Bars = bars, grid: dict[str, list[int]] = grid) -> None:
            gwt.sweep("ma_cross", bars, grid, price="close", progress=False, ledger=False, n_threads=1)

        work()
        seconds = []
        for _ in range(5 if n_bars * n_combos <= 10**8 else 2):
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
        rows.append((n_bars, n_combos, statistics.median(seconds)))
    table = pd.DataFrame(rows, columns=["bars", "combinations", "seconds"])
    table["work"] = table["bars"] * table["combinations"]
    table["label"] = [f"{n_bars:,} bars" for n_bars in table["bars"]]
    draw(table, "growth", "Sweep of two moving averages: time grows with the work", "bars x combinations")
    large = table[table["work"] >= 10**7]
    slope = np.polyfit(np.log(large["work"]), np.log(large["seconds"]), 1)[0]
    return [Figure("growth, exponent of time in bars x combinations", slope, "", "about 1", len(rows), "from 10^7 on")]


def first_result() -> list[Figure]:
    """Return the time of a fresh process from start to a printed table, kernels on disk and not, beside vectorbt's."""
    from benchmarks import first_result as programs

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs.store_bars(folder)
        return programs.figures(folder)


def run() -> list[Figure]:
    """Return the figures of portfolios, user functions, growth and the first result."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # vectorbt's own
        os.environ["GWT_LEDGER"] = str(Path(folder) / "ledger")
        return [*w3(), *w4(), *user_function(), *growth(), *first_result()]
