"""Beside peers that want an environment of their own: KunQuant's Alpha158, backtesting.py and NautilusTrader.

``GWT_PEERS_PYTHON`` names the Python of an environment with ``pip install kunquant backtesting nautilus_trader``;
KunQuant wants a C++ compiler too. Equality first, then times in turns. Bars of the event-driven backtests have no wicks
and open where the last one closed, so that all three engines must trade at the same prices.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import gwt_lab as gwt
from benchmarks.alpha158 import _load, _market
from benchmarks.timing import Figure
from gwt_lab.features.alpha158 import alpha158
from gwt_lab.market.bars import Bars

_PEERS = Path(__file__).parent / "peers"
_SYMBOLS, _ROWS, _ROUNDS = 48, 20_000, 5
_EVENT_BARS, _LOSS, _GAIN, _FEES = 100_000, 0.005, 0.02, 0.001


# ------------------------------------------------------------------------------------------------ KunQuant
def _panels(bars: Bars, path: Path) -> Path:
    names = {
        "open": "open",
        "high": "high",
        "low": "low",
        "close": "close",
        "volume": "volume",
        "amount": "quote_volume",
    }
    np.savez(path, **{theirs: getattr(bars, ours).to_numpy() for theirs, ours in names.items()})
    return path


def _assert_near(bars: Bars, found: Path) -> None:
    """Fail unless all values are near from row 100 on, but for ranks among closes that are equal in float32."""
    mine = alpha158(bars, True)
    with np.load(found) as theirs:
        for name in mine.columns:
            wide = mine[name].unstack("instrument")[list(bars.symbols)].to_numpy()[100:]
            near = np.isclose(theirs[name][100:], wide, rtol=2e-3, atol=1e-3, equal_nan=True)
            assert near.mean() > (0.999 if name.startswith("RANK") else 1 - 1e-9), f"{name}: {(~near).sum()} differ"


def kunquant(python: str, folder: Path) -> list[Figure]:
    """Take Alpha158 beside KunQuant's, one thread each.

    Its float64 has our values. Its float32, the faster, has not: its running sums lose the digits of the regressions.
    """
    small, large = _market(8, 4_000, seed=2), _market(_SYMBOLS, _ROWS)
    files = [_panels(small, folder / "small.npz"), _panels(large, folder / "large.npz"), folder / "found.npz"]
    alpha158(large, n_threads=1)
    figures = []
    for kind in ("double", "float"):
        command = [python, str(_PEERS / "kunquant_alpha158.py"), kind, *map(str, files)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder) as peer:
            compiled, theirs, ours = _in_turns(peer, large)
        if kind == "double":
            _assert_near(small, files[-1])
        name, size = f"KunQuant, {kind}", f"{_SYMBOLS} x {_ROWS:,}, one thread"
        figures += [
            Figure(f"{name}, {size}", theirs, "s", "", _ROUNDS, f"after {compiled:.0f} s of compilation"),
            Figure(f"alpha158, {size}", ours, "s", "", _ROUNDS, f"float32 frame included, {_load()}"),
            Figure(f"{name} over alpha158", theirs / ours, "x", ">= 1.5", _ROUNDS, "compilation left out"),
        ]
    return figures


def _in_turns(peer: subprocess.Popen[str], bars: Bars) -> tuple[float, float, float]:
    """Return the peer's seconds of compilation, its least seconds, and ours."""
    assert peer.stdin
    assert peer.stdout
    compiled = float(peer.stdout.readline())
    theirs, ours = [], []
    for _ in range(_ROUNDS):
        peer.stdin.write("\n")
        peer.stdin.flush()
        theirs.append(float(peer.stdout.readline()))
        begun = time.process_time()
        frame = alpha158(bars, n_threads=1)
        ours.append(time.process_time() - begun)
        del frame
    peer.stdin.close()
    return compiled, min(theirs), min(ours)


# ------------------------------------------------------------------------------------------------ event-driven
def _minutes(n_bars: int) -> dict[str, Any]:
    """Return bars without wicks, each open the last close, prices of six digits, and crossings of two averages."""
    rng = np.random.default_rng(0)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.0005, n_bars))), 6)
    open_ = np.concatenate([close[:1], close[:-1]])
    quick, steady = (pd.Series(close).rolling(window).mean() for window in (20, 100))
    above, before = quick > steady, quick.shift() > steady.shift()
    known = steady.shift().notna()
    return {
        "open": open_, "high": np.maximum(open_, close), "low": np.minimum(open_, close), "close": close,
        "volume": np.full(n_bars, 1000.0), "entries": (above & ~before & known).to_numpy(),
        "exits": (~above & before & known).to_numpy(), "loss": _LOSS, "gain": _GAIN,
    }  # fmt: skip


def _called(data: dict[str, Any], bars: Bars) -> gwt.Portfolio:
    enter, leave = data["entries"].tolist(), data["exits"].tolist()

    def at_every_bar(c: Any) -> None:
        if enter[c.i]:
            if c.position == 0:
                c.buy(1.0, sl_stop=_LOSS, tp_stop=_GAIN)
        elif leave[c.i]:
            c.exit()

    return gwt.Portfolio.from_order_func(bars, at_every_bar, fees=_FEES, slippage=0.0, init_cash=10_000_000)


def event_driven(python: str, folder: Path) -> list[Figure]:
    """Call a Python function at every bar, beside backtesting.py and NautilusTrader; stops, orders and log included."""
    data = _minutes(_EVENT_BARS)
    np.savez(folder / "minutes.npz", **data)
    index = pd.date_range("2020-01-01", periods=_EVENT_BARS, freq="min", tz="UTC")
    bars = gwt.as_bars(pd.DataFrame({name: data[name] for name in ("open", "high", "low", "close", "volume")}, index))
    gains = np.sort(_called(data, bars).trades.closed["pnl"])
    taken: dict[str, list[float]] = {"ours": [], "backtesting_py": [], "nautilus": []}
    for _ in range(3):
        for name, seconds in taken.items():
            if name == "ours":
                begun = time.perf_counter()
                _called(data, bars).stats()
                seconds.append(time.perf_counter() - begun)
                continue
            command = [python, str(_PEERS / f"{name}.py"), str(folder / "minutes.npz")]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.strip().splitlines()[-1])
            np.testing.assert_allclose(np.sort(found["gains"]), gains, atol=2e-5, err_msg=name)
            seconds.append(found["seconds"])
    rate = {name: _EVENT_BARS / statistics.median(seconds) / 1e6 for name, seconds in taken.items()}
    told = f"{len(gains):,} closed trades, the same gains"
    return [
        Figure("a function at every bar", rate["ours"], "Mbar/s", ">= 0.8", 3, f"100,000 bars, statistics, {_load()}"),
        Figure("backtesting.py", rate["backtesting_py"], "Mbar/s", "", 3, f"its statistics included; {told}"),
        Figure("NautilusTrader", rate["nautilus"], "Mbar/s", "", 3, told),
        Figure("over backtesting.py", rate["ours"] / rate["backtesting_py"], "x", ">= 5", 3),
        Figure("over NautilusTrader", rate["ours"] / rate["nautilus"], "x", ">= 20", 3),
    ]


def run() -> list[Figure]:
    """Return the figures beside the peers."""
    python = os.environ.get("GWT_PEERS_PYTHON")
    if python is None:
        print("GWT_PEERS_PYTHON names no Python that has kunquant, backtesting and nautilus_trader: no comparison")
        return []
    with tempfile.TemporaryDirectory() as name:
        return [*kunquant(python, Path(name)), *event_driven(python, Path(name))]
