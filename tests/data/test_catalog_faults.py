"""Damage is named and set aside; kills, second writers, full and read-only disks leave a catalog that reads."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gwt_lab as gwt
from gwt_lab.data import catalog_files
from gwt_lab.data.catalog import Catalog
from gwt_lab.errors import CatalogError, DataError
from tests.data.catalog_workers import append_pieces, hold_lock, hourly, revise_forever


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "one bit": flip,
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"\x00",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_partition_is_named_set_aside_and_never_used(kind: str) -> None:
    bars = hourly(40)
    Catalog().append("spot", bars.head(20))
    victim = Catalog().append("spot", bars)[1]
    assert victim.parent.name == "ETH-USDT"
    victim.write_bytes(DAMAGE[kind](victim.read_bytes()))
    with pytest.raises(CatalogError, match="is damaged") as error:
        gwt.load_bars("spot")
    assert str(victim) in str(error.value)
    assert "Bars of ETH/USDT between 2021-01-01 20:00 and 2021-01-02 15:00 UTC are missing now" in str(error.value)
    assert "\n" not in str(error.value)
    assert Catalog().damaged("spot") == [Catalog().path / "spot" / "damaged" / "ETH-USDT" / victim.name]
    assert not victim.exists()
    rest = gwt.load_bars("spot")
    assert rest.select("BTC/USDT").equals(bars.select("BTC/USDT"))
    assert rest.close["ETH/USDT"].iloc[20:].isna().all()
    assert Catalog().describe("spot").set_index("symbol")["damaged"].to_dict() == {"BTC/USDT": 0, "ETH/USDT": 1}
    # importing the span again mends it
    Catalog().append("spot", bars)
    assert gwt.load_bars("spot").equals(bars)


def test_a_download_never_resumes_after_a_damaged_partition() -> None:
    bars = hourly(40)
    Catalog().append("spot", bars.head(20))
    Catalog().append("spot", bars)[0].write_bytes(b"")
    with pytest.raises(CatalogError, match="it is empty"):
        Catalog().last_time("spot", "BTC/USDT")
    assert Catalog().last_time("spot", "BTC/USDT") == bars.index[19]


def test_an_append_meets_damage_before_it_writes() -> None:
    bars = hourly(40)
    Catalog().append("spot", bars.head(20))[0].write_bytes(b"PAR1")
    with pytest.raises(CatalogError, match="is damaged"):
        Catalog().append("spot", bars)
    assert Catalog().read("spot", "ETH/USDT").n_times == 20, "ETH/USDT must not have been written"


def test_a_file_that_the_catalog_did_not_write_is_set_aside() -> None:
    bars = hourly(10)
    path = Catalog().append("spot", bars)[0]
    stranger = path.with_name("mine.parquet")
    stranger.write_bytes(path.read_bytes())
    with pytest.raises(CatalogError, match="its name carries no hash"):
        gwt.load_bars("spot")
    assert gwt.load_bars("spot").equals(bars)


def test_a_name_whose_files_are_all_damaged_says_so() -> None:
    for path in Catalog().append("spot", hourly(10)):
        path.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(CatalogError, match="is damaged"):
            gwt.load_bars("spot")
    with pytest.raises(DataError, match="holds no bars: 2 damaged files were set aside"):
        gwt.load_bars("spot")


def test_a_damaged_table_is_set_aside_too() -> None:
    bars = hourly(10)
    Catalog().append("spot", bars)
    rows = bars.to_frame()[["timestamp", "symbol", "close"]]
    (path,) = Catalog().write_table("spot", "funding", rows, ["timestamp", "symbol"])
    path.write_bytes(flip(path.read_bytes()))
    with pytest.raises(CatalogError, match="is damaged"):
        Catalog().read_table("spot", "funding")
    assert Catalog().damaged("spot")[0].parent.name == "funding"
    assert gwt.load_bars("spot").equals(bars)


# ------------------------------------------------------------------------------------------------ disks
def leftovers(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file() and file.name != ".lock"]


def test_a_full_disk_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = catalog_files.write_synced, []

    def full(path: Path, data: bytes) -> None:
        calls.append(path)
        if len(calls) == 2:
            path.write_bytes(data[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(path, data)

    monkeypatch.setattr(catalog_files, "write_synced", full)
    with pytest.raises(CatalogError, match="No space left on device; nothing was written"):
        Catalog().append("spot", hourly(10))
    assert leftovers(Catalog().path) == []
    monkeypatch.undo()
    Catalog().append("spot", hourly(10))
    assert gwt.load_bars("spot").equals(hourly(10))


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CatalogError, match="cannot be written: Not a directory; nothing was written") as error:
        Catalog(tmp_path / "file" / "catalog").append("spot", hourly(10))
    assert "set GWT_CATALOG" in str(error.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_catalog_reads_and_refuses_to_write() -> None:
    Catalog().append("spot", hourly(10))
    (Catalog().path / "spot").chmod(0o500)
    try:
        assert gwt.load_bars("spot").equals(hourly(10))
        with pytest.raises(CatalogError, match="cannot be written"):
            Catalog().append("spot", hourly(20))
    finally:
        (Catalog().path / "spot").chmod(0o700)


# ------------------------------------------------------------------------------------------------ processes
@pytest.fixture(scope="module")
def processes() -> BaseContext:
    context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
    if os.name == "posix":
        context.set_forkserver_preload(["tests.data.catalog_workers"])
    return context


def begin(processes: Any, target: Callable[..., None], *args: Any) -> Any:
    process = processes.Process(target=target, args=args)
    process.start()
    return process


def test_two_processes_that_append_at_once_lose_nothing(processes: BaseContext, tmp_path: Path) -> None:
    n_bars, width = 320, 16
    writers = [begin(processes, append_pieces, str(tmp_path), n_bars, width, first, 2) for first in range(2)]
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert Catalog(tmp_path).read("x").equals(hourly(n_bars))
    assert len(Catalog(tmp_path).history("x")) == n_bars // width
    files = sorted(Path(tmp_path, "x", "bars", "BTC-USDT").iterdir())
    assert len(files) == n_bars // width


def test_readers_see_whole_bars_while_another_process_revises(processes: BaseContext, tmp_path: Path) -> None:
    Catalog(tmp_path).append("x", hourly(100))
    writer = begin(processes, revise_forever, str(tmp_path), 100)
    seen = set()
    deadline = time.monotonic() + 20
    while len(seen) < 5 and time.monotonic() < deadline:
        bars = Catalog(tmp_path).read("x")
        assert bars.close.equals(hourly(100).close)
        volumes = [np.unique(bars.volume[symbol]) for symbol in bars.symbols]
        assert all(len(each) in (1, 100) for each in volumes), "a symbol's bars come from one revision"
        seen.add(float(volumes[0][0]))
    writer.kill()
    writer.join(10)
    assert len(seen) >= 5, "the writer must have been at work"


def test_a_writer_killed_at_any_moment_leaves_whole_partitions(processes: BaseContext, tmp_path: Path) -> None:
    n_bars, width = 640, 8
    expected = hourly(n_bars)
    rng = random.Random(5)
    for _ in range(6):
        writer = begin(processes, append_pieces, str(tmp_path), n_bars, width, 0, 1)
        deadline = time.monotonic() + 20
        while not Path(tmp_path, "x", "bars").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.1 + 0.25 * rng.random())
        writer.kill()
        writer.join(10)
        got = Catalog(tmp_path).read("x")
        for symbol in got.symbols:
            there = got.close[symbol].dropna()
            assert len(there) % width == 0, "a partition is whole or absent"
            assert there.equals(expected.close[symbol].loc[there.index])
        assert Catalog(tmp_path).damaged("x") == []
        assert all(line["action"] == "append" for line in Catalog(tmp_path).history("x"))
    Catalog(tmp_path).append("x", expected)
    assert Catalog(tmp_path).read("x").equals(expected)
    assert not list(tmp_path.rglob(".writing-*")), "what killed writers left is cleared"


def test_a_lock_that_is_held_is_waited_for_and_then_named(
    processes: BaseContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "ready"
    holder = begin(processes, hold_lock, str(tmp_path), str(ready), 30.0)
    while not ready.exists():
        time.sleep(0.01)
    monkeypatch.setattr(catalog_files, "_LOCK_SECONDS", 0.1)
    with pytest.raises(CatalogError, match="another process has been writing"):
        Catalog(tmp_path).append("x", hourly(10))
    holder.kill()
    holder.join(10)
    Catalog(tmp_path).append("x", hourly(10))
    assert Catalog(tmp_path).read("x").equals(hourly(10)), "a killed process leaves no lock behind"
