"""Dask: the same numbers bit for bit over tcp, data sent once, a killed worker's chunks evaluated again."""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np
import pytest

from gwt_lab.backtest.sweep import sweep
from gwt_lab.backtest.sweep.schedulers import scheduler_of
from gwt_lab.errors import ConfigError, MissingExtraError, ShapeError
from gwt_lab.validation.ledger import TrialLedger
from tests.oracles.paths import random_paths

distributed = pytest.importorskip("distributed")
GRID = {"fast": [5, 10, 20], "slow": [40, 60, 80, 100], "sl_stop": [None, 0.03]}
# what a cluster that is closing leaves behind is not ours
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def bars():
    return random_paths(3, 800, 2)


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
        host="127.0.0.1",
        protocol="tcp",
    ) as made:
        yield made


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as made:
        made.wait_for_workers(2, timeout=60)
        yield made


def momentum(close, window):
    before = np.full_like(close, np.nan)
    before[window:] = close[:-window]
    return close > before, close < before


def slow(close, window, folder):
    time.sleep(0.05)
    with open(f"{folder}/{os.getpid()}", "a") as file:
        file.write(f"{window}\n")
    return momentum(close, window)


def test_a_cluster_gives_the_numbers_of_this_machine(bars, client) -> None:
    assert client.scheduler.address.startswith("tcp://127.0.0.1:")
    local = sweep("ma_cross", bars, GRID, ledger=False)
    far = sweep("ma_cross", bars, GRID, scheduler=client)
    np.testing.assert_array_equal(far.to_numpy(), local.to_numpy())
    assert far.index.equals(local.index)
    assert TrialLedger().n_trials == far.n_trials == 48
    by_address = sweep("ma_cross", bars, GRID, scheduler=client.scheduler.address)
    np.testing.assert_array_equal(by_address.to_numpy(), local.to_numpy())
    by_name = sweep("ma_cross", bars, GRID, scheduler="dask", ledger=False)  # the client that is open
    np.testing.assert_array_equal(by_name.to_numpy(), local.to_numpy())


def test_functions_travel_and_their_errors_come_back(bars, client) -> None:
    def here(close, window):
        return momentum(close, window)

    local = sweep(momentum, bars, {"window": range(2, 30)}, ledger=False)
    far = sweep(here, bars, {"window": range(2, 30)}, scheduler=client)
    np.testing.assert_array_equal(far.to_numpy(), local.to_numpy())

    def wrong(close, window):
        return momentum(close, window) if window < 25 else None

    with pytest.raises(ShapeError, match=r"wrong\(window=2[5-9]\) must return"):
        sweep(wrong, bars, {"window": range(2, 30)}, scheduler=client)


@pytest.mark.skipif(sys.platform == "win32", reason="ends a worker by a signal")
@pytest.mark.parametrize("n_killed", [1, 2])
def test_a_killed_workers_chunks_are_evaluated_again(bars, client, tmp_path, monkeypatch, n_killed) -> None:
    """Kill one worker, then all of them, so that the data that was sent is lost as well; nannies bring new ones."""
    client.wait_for_workers(2, timeout=60)
    grid = {"window": list(range(2, 62)), "folder": [str(tmp_path)]}
    killed: list[int] = []
    done: list[int] = []

    def watched(work, chunks, n_threads, take):
        def and_kill(chunk, evaluated):
            take(chunk, evaluated)
            done.append(len(chunk.rows))
            if len(done) == 5:
                killed.extend(list(client.run(os.getpid).values())[:n_killed])
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)

        scheduler_of(client)(work, chunks, n_threads, and_kill)

    monkeypatch.setattr("gwt_lab.backtest.sweep.engine.scheduler_of", lambda _: watched)
    result = sweep(slow, bars, grid, check=False, n_threads=2)
    monkeypatch.undo()
    assert len(killed) == n_killed
    assert sum(done) == 59  # the first was evaluated here
    expected = sweep(momentum, bars, {"window": list(range(2, 62))}, ledger=False)
    np.testing.assert_array_equal(result.to_numpy(), expected.to_numpy())
    assert result.n_trials == 120


def test_without_a_client_a_cluster_is_made_and_closed(bars) -> None:
    local = sweep("ma_cross", bars, GRID, ledger=False)
    far = sweep("ma_cross", bars, GRID, scheduler="dask", n_threads=1, ledger=False)
    np.testing.assert_array_equal(far.to_numpy(), local.to_numpy())
    with pytest.raises(ValueError, match=r"[Nn]o (global )?client"):
        distributed.get_client()


def test_a_cluster_and_resume_go_together(bars, client, tmp_path) -> None:
    first = sweep("ma_cross", bars, GRID, scheduler=client, resume=tmp_path / "far")
    again = sweep("ma_cross", bars, GRID, resume=tmp_path / "far")
    np.testing.assert_array_equal(again.to_numpy(), first.to_numpy())


def test_the_data_is_sent_once_to_each_worker(bars, client) -> None:
    sent = []
    scatter = client.scatter
    client.scatter = lambda *args, **options: sent.append(options) or scatter(*args, **options)
    sweep(momentum, bars, {"window": range(2, 30)}, scheduler=client)
    assert sent == [{"broadcast": True, "hash": False}]


def test_what_is_missing_or_wrong_is_said(bars, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match="extra 'scale'"):
        sweep("ma_cross", bars, GRID, scheduler="dask")
    with pytest.raises(ConfigError, match="scheduler must be"):
        sweep("ma_cross", bars, GRID, scheduler=5)
