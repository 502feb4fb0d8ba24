"""The ledger's file outlives kills, second writers, Ctrl-C and full disks, and says what is wrong with it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gwt_lab.errors import LedgerError
from gwt_lab.validation import ledger_file
from gwt_lab.validation.ledger import TrialLedger
from gwt_lab.validation.ledger_file import LedgerFile, open_ledger
from gwt_lab.validation.trials import Trials
from tests.docs.pages import ROOT

# what the writing processes run: batches of new trials, the count so far on stdout after each
WRITER = """
import sys
from tests.validation.test_ledger_file import record
path, first, size, n_batches = sys.argv[1], *map(int, sys.argv[2:5])
for batch in range(n_batches):
    record(path, first + batch * size, size)
    print((batch + 1) * size, flush=True)
"""


def record(path: Any, first: int, n: int, **changes: Any) -> int:
    setting = {"data": "3f" * 32, "universe": ["BTC/USDT"], "label": "next_open", "strategy": "ma_cross"}
    trials = Trials({"x": np.arange(first, first + n)}, **(setting | changes))
    signatures = np.random.default_rng(first).standard_normal((len(trials.signature_rows), 64))
    return TrialLedger(path).record(trials, np.arange(first, first + n) / n, 5000, signatures)


def writer(path: Path, first: int, size: int, n_batches: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WRITER, str(path), *map(str, (first, size, n_batches))]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def is_whole(path: Path) -> bool:
    with sqlite3.connect(path) as db:
        found = db.execute("PRAGMA integrity_check").fetchall()
    db.close()
    return found == [("ok",)]


# ------------------------------------------------------------------------------------------------ kills, second writers
@pytest.mark.parametrize(("size", "after"), [(50, 40), (200_000, 2), (200_000, 3)])
def test_a_kill_in_the_middle_of_writing_loses_nothing_that_was_returned(size: int, after: int, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    process = writer(path, 0, size, 10_000)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    returned = int(next(line for line in reversed(lines) if line.endswith("\n")))
    kept = TrialLedger(path).n_trials
    assert kept in (returned, returned + size)
    np.testing.assert_array_equal(TrialLedger(path).sharpes(), np.concatenate([np.arange(kept) / size]))
    assert record(path, 0, kept) == 0
    assert record(path, kept, 10) == 10
    assert TrialLedger(path).n_trials == kept + 10
    assert is_whole(path)


def test_two_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """They make the file at the same time, and half of their trials are the same."""
    path = tmp_path / "new" / "ledger"
    processes = [writer(path, first, 20, 60) for first in (0, 600)]
    for process in processes:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert out.split()[-1] == "1200"
    assert TrialLedger(path).n_trials == 1800
    assert record(path, 0, 1800) == 0
    assert is_whole(path)


def test_threads_share_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    counts: list[int] = []

    def write(first: int) -> None:
        counts.extend(record(path, first + 25 * batch, 50) for batch in range(20))

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 100, 250, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = len(set().union(*(range(first, first + 525) for first in (0, 100, 250, 1000))))
    assert sum(counts) == TrialLedger(path).n_trials == expected


def test_a_reader_in_another_process_sees_what_was_written_and_writes_after_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    record(path, 0, 100)
    process = writer(path, 50, 100, 1)
    process.communicate(timeout=120)
    assert TrialLedger(path).n_trials == 150
    assert record(path, 100, 100) == 50  # without reading again by itself


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_opens_the_file_for_itself(tmp_path: Path) -> None:
    program = (
        "import os, sys\nfrom tests.validation.test_ledger_file import record, TrialLedger\n"
        "path = sys.argv[1]\nrecord(path, 0, 10)\nchild = os.fork()\nrecord(path, 10 if child else 20, 10)\n"
        "if not child: os._exit(0)\nos.waitpid(child, 0)\nrecord(path, 30, 10)\nprint(TrialLedger(path).n_trials)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "ledger")],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout == "40\n"
    assert is_whole(tmp_path / "ledger")


def test_a_million_trials(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    assert record(path, 0, 1_000_000) == 1_000_000
    assert record(path, 500_000, 1_000_000) == 500_000
    open_ledger(path).close()
    ledger = TrialLedger(path)
    assert ledger.n_trials == 1_500_000
    assert record(path, 0, 1_000_000) == 0
    assert ledger.effective.n_sampled == 1000
    assert ledger.effective_trials == 1000 + 1000 * 999 / 2  # the most that a thousand single clusters show
    open_ledger(path).close()  # 16 bytes a trial, and signatures of a few thousand
    assert path.stat().st_size < 16 * 1_500_000 + 4 * 64 * 4000
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ledger"]


def test_signatures_are_few_however_often_is_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    for batch in range(40):
        record(path, 1000 * batch, 1000)
    stored = open_ledger(path).rows("SELECT sum(length(signed)) / 4 FROM batches")[0][0]
    # the smallest thousand of each prefix: 1000 (1 + 1/2 + ... + 1/40), about 4,300
    assert 3800 < stored < 4800
    hashes = np.concatenate(
        [np.frombuffer(blob, "<u8") for (blob,) in open_ledger(path).rows("SELECT hashes FROM batches")]
    )
    signed = np.concatenate(
        [
            np.frombuffer(blob, "<u8")[np.frombuffer(rows, "<u4")]
            for blob, rows in open_ledger(path).rows("SELECT hashes, signed FROM batches")
        ]
    )
    assert set(np.sort(hashes)[:1000]) <= set(signed)


# ------------------------------------------------------------------------------------------------ interrupted, full
def test_ctrl_c_in_the_middle_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger"
    record(path, 0, 10)
    append = LedgerFile._append

    def interrupted(*arguments: Any) -> Any:
        append(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(LedgerFile, "_append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record(path, 0, 20, study="new")
    monkeypatch.setattr(LedgerFile, "_append", append)
    assert TrialLedger(path).n_trials == 10
    assert record(path, 0, 20, study="new") == 20
    assert is_whole(path)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes")
def test_a_full_disk_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    program = (
        "import resource, sys\nfrom tests.validation.test_ledger_file import *\n"
        "path = sys.argv[1]\nrecord(path, 0, 1000)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))\n"
        "try:\n    record(path, 1000, 10**6)\nexcept LedgerError as error:\n    print(error)\n"
        "assert record(path, 500, 600) == 100\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "cannot be used" in done.stdout
    assert "GWT_LEDGER names the file" in done.stdout
    assert TrialLedger(path).n_trials == 1100
    assert is_whole(path)


def test_a_writer_that_never_ends_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger"
    record(path, 0, 10)
    open_ledger(path).close()
    monkeypatch.setattr(ledger_file, "_PATIENCE_S", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="was held by another process for"):
        record(path, 10, 10)
    assert TrialLedger(path).n_trials == 10  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    assert record(path, 10, 10) == 10


# ------------------------------------------------------------------------------------------------ not a ledger
def test_what_is_no_ledger_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("a long enough text to be taken for something else, but not for a ledger\n" * 100)
    other = tmp_path / "other"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE mine (x)")
    db.commit()
    db.close()
    for path, why in (
        (text, "is damaged or no ledger: file is not a database"),
        (other, "is a database of another program"),
        (tmp_path, "is a folder"),
    ):
        before = path.read_bytes() if path.is_file() else None
        for action in (lambda path=path: record(path, 0, 10), lambda path=path: TrialLedger(path).n_trials):
            with pytest.raises(LedgerError, match=f"{why}.*GWT_LEDGER names the file"):
                action()
        assert before is None or path.read_bytes() == before
    with pytest.raises(LedgerError, match=r"cannot be used: .*GWT_LEDGER names the file"):
        record(text / "below", 0, 10)


def test_a_damaged_or_newer_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    record(path, 0, 20_000)
    open_ledger(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LedgerError, match="is damaged or no ledger"):
        TrialLedger(path).sharpes()
    path.unlink()
    path.write_bytes(whole[:60] + (9).to_bytes(4, "big") + whole[64:])  # the header's user_version
    with pytest.raises(LedgerError, match="has version 9, and this gwt_lab reads version 1"):
        record(path, 0, 10)
    path.unlink()
    path.write_bytes(whole)
    db = sqlite3.connect(path)
    db.execute("PRAGMA ignore_check_constraints = ON")
    db.execute("UPDATE batches SET sharpes = x'00'")
    db.commit()
    db.close()
    with pytest.raises(LedgerError, match="is damaged: an array of 20000 values holds 1 bytes"):
        TrialLedger(path).sharpes()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_file_can_be_read_and_says_that_it_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    record(path, 0, 10)
    open_ledger(path).close()
    path.chmod(0o444)
    assert TrialLedger(path).n_trials == 10
    with pytest.raises(LedgerError, match=r"readonly.*GWT_LEDGER names the file"):
        record(path, 10, 10)


def test_a_file_that_was_taken_away_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    assert record(path, 0, 10) == 10
    for file in tmp_path.iterdir():
        file.unlink()
    assert TrialLedger(path).n_trials == 0
    assert record(path, 0, 10) == 10
    assert record(path, 0, 10) == 0
    assert TrialLedger(path).n_trials == 10
    assert is_whole(path)
