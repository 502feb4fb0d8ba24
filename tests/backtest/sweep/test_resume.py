"""A sweep that was killed, interrupted or has failed goes on where it stopped, with the same numbers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from gwt_lab.backtest.sweep import sweep
from gwt_lab.backtest.sweep.resume import sweep_folder
from gwt_lab.errors import ConfigError, DataError
from gwt_lab.validation.ledger import TrialLedger
from tests.oracles.paths import random_paths

ROOT = Path(__file__).resolve().parents[3]
GRID = {"window": list(range(2, 42))}
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="ends processes by signals")


@pytest.fixture(scope="module")
def bars():
    return random_paths(5, 400, 2)


@pytest.fixture(autouse=True)
def _sweeps(monkeypatch, tmp_path):
    monkeypatch.setenv("GWT_SWEEPS", str(tmp_path / "sweeps"))


def momentum(close, window):
    before = np.full_like(close, np.nan)
    before[window:] = close[:-window]
    return close > before, close < before


def flaky(close, window):
    """Return the same signals, but for a failure that a file asks for."""
    if window == 30 and os.environ.get("GWT_TEST_FAILS"):
        raise OSError("the disk is gone")
    return momentum(close, window)


def test_a_failed_sweep_goes_on_with_the_same_numbers(bars, monkeypatch) -> None:
    expected = sweep(flaky, bars, GRID, ledger=False)
    monkeypatch.setenv("GWT_TEST_FAILS", "1")
    with pytest.raises(OSError, match="the disk is gone") as error:
        sweep(flaky, bars, GRID, resume="mine")
    assert "combinations are done and kept in" in error.value.__notes__[-1]
    n_counted = TrialLedger().n_trials
    assert 0 < n_counted < 80
    monkeypatch.delenv("GWT_TEST_FAILS")
    resumed = sweep(flaky, bars, GRID, resume="mine")
    np.testing.assert_array_equal(resumed.to_numpy(), expected.to_numpy())
    assert resumed.index.equals(expected.index)
    assert TrialLedger().n_trials == 80
    assert resumed.info.n_new_trials == 80 - n_counted


def test_a_finished_sweep_is_read_back_without_an_evaluation(bars, monkeypatch) -> None:
    grid = {"fast": [5, 10], "slow": [20, 40], "sl_stop": [None, 0.02]}
    first = sweep("ma_cross", bars, grid, resume="done", paths=True)
    monkeypatch.setattr("gwt_lab.backtest.sweep.work.evaluate", None)
    again = sweep("ma_cross", bars, grid, resume="done", paths=True)
    np.testing.assert_array_equal(again.to_numpy(), first.to_numpy())
    np.testing.assert_array_equal(again.paths().to_numpy(), first.paths().to_numpy())
    assert again.n_trials == first.n_trials == 16


def test_rows_read_back_count_alike(bars, tmp_path) -> None:
    sweep(momentum, bars, GRID, resume="x", ledger=TrialLedger(tmp_path / "a"), study="s")
    sweep(momentum, bars, GRID, resume="x", ledger=TrialLedger(tmp_path / "b"), study="s")
    one, two = (TrialLedger(tmp_path / name).study("s") for name in "ab")
    assert one.n_trials == two.n_trials == 80
    assert one.effective == two.effective


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"grid": {"window": [2, 3]}}, "grid"),
        ({"fees": 0.0}, "rules"),
        ({"metrics": ("total_return",)}, "metrics"),
        ({"bars": random_paths(6, 400, 2)}, "data"),
        ({"strategy": flaky}, "code"),
        ({"paths": True}, "paths"),
    ],
)
def test_another_sweep_of_the_same_name_is_refused(bars, change, named) -> None:
    call = {"strategy": momentum, "bars": bars, "grid": GRID}
    sweep(**call, resume="mine")
    with pytest.raises(ConfigError, match=f"is another one .*{named}: .* there, .* now.*another name"):
        sweep(**(call | change), resume="mine")


def test_a_plain_name_lies_below_the_sweeps_and_a_path_where_it_says(bars, tmp_path) -> None:
    assert sweep_folder("mine") == tmp_path / "sweeps" / "mine"
    sweep(momentum, bars, GRID, resume=tmp_path / "elsewhere" / "mine")
    assert (tmp_path / "elsewhere" / "mine" / "manifest.json").is_file()
    assert not list((tmp_path / "elsewhere").rglob(".writing*"))


def test_a_folder_of_something_else_is_left_alone(bars, tmp_path) -> None:
    (tmp_path / "sweeps" / "notes").mkdir(parents=True)
    (tmp_path / "sweeps" / "notes" / "diary.txt").write_text("dear diary")
    with pytest.raises(DataError, match="something other than a sweep"):
        sweep(momentum, bars, GRID, resume="notes")
    sweep(momentum, bars, GRID, resume="mine")
    (tmp_path / "sweeps" / "mine" / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="no manifest of a sweep"):
        sweep(momentum, bars, GRID, resume="mine")


def test_a_damaged_part_is_evaluated_again(bars, tmp_path) -> None:
    expected = sweep(momentum, bars, GRID, resume="mine")
    parts = list((tmp_path / "sweeps" / "mine").glob("part-*"))
    parts[0].write_bytes(parts[0].read_bytes()[:100])
    again = sweep(momentum, bars, GRID, resume="mine")
    np.testing.assert_array_equal(again.to_numpy(), expected.to_numpy())


# ------------------------------------------------------------------------------------------------ Ctrl-C and kill
@pytest.mark.parametrize("resume", [None, "mine"])
def test_ctrl_c_hands_over_what_is_done(bars, resume) -> None:
    def stopped(close, window):
        if window == 21:
            raise KeyboardInterrupt
        return momentum(close, window)

    whole = sweep(momentum, bars, GRID, ledger=False)
    with pytest.raises(KeyboardInterrupt, match=r"the sweep was stopped: [0-9]+ of 40 combinations are done") as stop:
        sweep(stopped, bars, GRID, check=False, resume=resume)
    partial = stop.value.partial
    assert 0 < len(partial) < 80
    np.testing.assert_array_equal(partial.to_numpy(), whole.loc[partial.index].to_numpy())
    assert partial.n_trials == len(partial) == TrialLedger().n_trials
    told = "the same call with resume='mine' goes on" if resume else "with resume='a name'"
    assert told in str(stop.value)


SLOW = """
    import os, sys, time
    import numpy as np
    from gwt_lab.backtest.sweep import sweep
    from tests.oracles.paths import random_paths

    def slow(close, window):
        time.sleep(0.05)
        with open(os.environ["GWT_TEST_CALLS"], "a") as file:
            file.write(f"{window}\\n")
        before = np.full_like(close, np.nan)
        before[window:] = close[:-window]
        return close > before, close < before

    try:
        result = sweep(slow, random_paths(5, 400, 2), {"window": list(range(2, 82))}, resume="slow", check=False,
                       n_threads=THREADS)
        np.save(os.environ["GWT_TEST_CALLS"] + ".npy", result.to_numpy())
    except KeyboardInterrupt as stop:
        sys.stderr.write(str(stop))
        sys.exit(7)
"""


def start(calls: Path, threads: int) -> subprocess.Popen[str]:
    code = textwrap.dedent(SLOW).replace("THREADS", str(threads))
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"GWT_TEST_CALLS": str(calls)},
        stderr=subprocess.PIPE,
        text=True,
    )


def n_lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


def wait_for(calls: Path, n: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while n_lines(calls) < n:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("how", ["narrower", "rows that are not there"])
def test_a_part_of_another_shape_is_evaluated_again(bars, tmp_path, how) -> None:
    grid = {"fast": [5, 10], "slow": [20, 40]}
    expected = sweep("ma_cross", bars, grid, resume="shaped")
    (part,) = (tmp_path / "sweeps" / "shaped").glob("part-*.npz")
    held = dict(np.load(part))
    if how == "narrower":
        held["values"] = held["values"][..., :1]
    else:
        held["rows"] = held["rows"] + 100
    np.savez(part, **held)
    again = sweep("ma_cross", bars, grid, resume="shaped")
    np.testing.assert_array_equal(again.to_numpy(), expected.to_numpy())


@POSIX
@pytest.mark.parametrize(("how", "threads"), [(signal.SIGKILL, 1), (signal.SIGINT, 1), (signal.SIGINT, 2)])
def test_a_process_that_ends_loses_little_and_goes_on(tmp_path, how, threads) -> None:
    calls = tmp_path / "calls"
    process = start(calls, threads)
    wait_for(calls, 60, process)
    process.send_signal(how)
    told = process.communicate(timeout=60)[1]
    before = n_lines(calls)
    assert 60 <= before < 80
    if how == signal.SIGINT:
        assert process.returncode == 7
        assert "kept in" in told
    else:
        assert process.returncode == -signal.SIGKILL
    assert json.loads((tmp_path / "sweeps" / "slow" / "manifest.json").read_text())["n_combinations"] == 80
    process = start(calls, threads)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 0, told
    # the first combination is called once more to see what the function returns; a kill loses a second or so
    again = n_lines(calls) - 80 - 1
    assert again <= (40 if how == signal.SIGKILL else threads * 2)
    expected = sweep(momentum, random_paths(5, 400, 2), {"window": list(range(2, 82))}, ledger=False)
    np.testing.assert_array_equal(np.load(f"{calls}.npy"), expected.to_numpy())
    assert TrialLedger().n_trials == 160
