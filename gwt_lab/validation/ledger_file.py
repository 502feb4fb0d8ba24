"""The trial ledger's file: SQLite, appended to in batches, safe against kills and second writers.

A batch holds what is new in one call, as arrays: 8 bytes of hash and 8 of Sharpe ratio a trial, and the return
signatures of a few. Batches are written under the file's write lock after what others wrote was looked up, so that no
trial is in the file twice. The write-ahead log is not flushed to the disk at every call: a killed process loses nothing
that was returned, a power cut may lose the last calls, and neither damages the file.
"""

from __future__ import annotations

import atexit
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gwt_lab.errors import LedgerError
from gwt_lab.validation.trials import MOST_SIGNATURES, Trials

__all__ = ["Evaluated", "LedgerFile", "open_ledger"]

UIntArray = npt.NDArray[np.uint64]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
_Value = TypeVar("_Value")

_APPLICATION = 0x67777431  # "gwt1", in the file's header
_VERSION = 1
_PATIENCE_S = 30.0
_SCHEMA = """
CREATE TABLE settings (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, study TEXT NOT NULL, data TEXT NOT NULL, universe TEXT NOT NULL,
    label TEXT NOT NULL, strategy TEXT NOT NULL
);
CREATE TABLE codes (
    setting INTEGER NOT NULL, code_hash TEXT NOT NULL, first_used TEXT NOT NULL, PRIMARY KEY (setting, code_hash)
) WITHOUT ROWID;
CREATE TABLE batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT, setting INTEGER NOT NULL, created TEXT NOT NULL, code_hash TEXT NOT NULL,
    parameters TEXT NOT NULL, n INTEGER NOT NULL, n_observations INTEGER NOT NULL, n_buckets INTEGER NOT NULL,
    hashes BLOB NOT NULL CHECK (length(hashes) = 8 * n), sharpes BLOB NOT NULL CHECK (length(sharpes) = 8 * n),
    signed BLOB NOT NULL, signatures BLOB NOT NULL CHECK (length(signatures) = length(signed) * n_buckets)
);
"""


@dataclass(frozen=True)
class Evaluated:
    """What came out of trials.

    Parameters
    ----------
    sharpes : ndarray of shape (n_trials,)
    n_observations : int
    rows : ndarray of int64
        Trials that have a signature, in order.
    signatures : ndarray of float32, shape (len(rows), n_buckets)
        No buckets if none were given.
    """

    sharpes: FloatArray
    n_observations: int
    rows: IntArray
    signatures: npt.NDArray[np.float32]


class _Known:
    """The hashes of one study and data that are in the file, kept sorted in few arrays."""

    def __init__(self) -> None:
        self.last_batch = 0
        self._sorted: list[UIntArray] = []
        self._lowest_signed: dict[tuple[int, int], UIntArray] = {}

    def new_rows(self, hashes: UIntArray) -> IntArray:
        """Return the rows that are not in the file, each hash once, in order."""
        distinct, rows = np.unique(hashes, return_index=True)
        known = np.zeros(len(distinct), dtype=bool)
        for run in self._sorted:
            at = np.searchsorted(run, distinct)
            known |= run[np.minimum(at, len(run) - 1)] == distinct
        fresh: IntArray = np.sort(rows[~known])
        return fresh

    def wanted(self, hashes: UIntArray, kind: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return which of the hashes are among the smallest that have a signature; only those are kept."""
        lowest = np.unique(np.concatenate([self._lowest_signed.get(kind, hashes[:0]), hashes]))
        if len(lowest) <= MOST_SIGNATURES:
            return np.ones(len(hashes), dtype=bool)
        few: npt.NDArray[np.bool_] = hashes <= lowest[MOST_SIGNATURES - 1]
        return few

    def add(self, hashes: UIntArray, signed: UIntArray, kind: tuple[int, int]) -> None:
        """Take in a batch of the file; taking it in twice does no harm."""
        self._sorted.append(np.sort(hashes))
        # merging only neighbours of like size keeps the work of many small batches small
        while len(self._sorted) > 1 and len(self._sorted[-2]) < 2 * len(self._sorted[-1]):
            self._sorted[-2:] = [np.sort(np.concatenate(self._sorted[-2:]), kind="stable")]
        lowest = np.concatenate([self._lowest_signed.get(kind, signed[:0]), signed])
        self._lowest_signed[kind] = np.unique(lowest)[:MOST_SIGNATURES]


class LedgerFile:
    """One ledger file, open in this process; threads share it.

    Parameters
    ----------
    path : Path
        Created, with its folder, on the first write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept: dict[str | None, tuple[int, Any]] = {}
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._forget()

    def _forget(self) -> None:
        self._settings: dict[int, int] = {}
        self._codes: set[tuple[int, str]] = set()
        self._known: dict[tuple[str, str], _Known] = {}
        self.kept.clear()

    # ------------------------------------------------------------------------------------------ open, close, fail
    def _error(self, problem: object) -> LedgerError:
        return LedgerError(
            f"the trial ledger {self.path} {problem}. GWT_LEDGER names the file: let it name one that can be written, "
            f"or mend or move this one away (what it counted is then lost)"
        )

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            busy = "locked" in str(error) or "busy" in str(error)
            what = f"was held by another process for {_PATIENCE_S:.0f} s" if busy else f"cannot be used: {error}"
            raise self._error(what) from error
        except sqlite3.DatabaseError as error:
            raise self._error(f"is damaged or no ledger: {error}") from error
        except OSError as error:
            if isinstance(error, LedgerError):
                raise
            raise self._error(f"cannot be used: {error}") from error

    def _connection(self, *, create: bool) -> sqlite3.Connection | None:
        """Return the open file, opened again if another lies in its place; None if there is none to read."""
        try:
            found = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            found = None
        inode = (found.st_dev, found.st_ino) if found else None
        if self._db is not None and inode == self._inode:
            return self._db
        self.close()
        if found is None and not create:
            return None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.is_dir():
            raise self._error("is a folder")
        db = sqlite3.connect(self.path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
        try:
            _patiently(lambda: self._prepare(db))
        except BaseException:
            db.close()
            raise
        found = os.stat(self.path)
        self._db, self._inode = db, (found.st_dev, found.st_ino)
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Make a new file a ledger, and refuse what is none."""
        if not db.execute("PRAGMA schema_version").fetchone()[0]:
            db.execute("PRAGMA journal_mode = WAL")
            with _transaction(db):
                if not db.execute("PRAGMA user_version").fetchone()[0]:
                    for statement in _SCHEMA.strip().split(";\n"):
                        db.execute(statement)
                    db.execute(f"PRAGMA application_id = {_APPLICATION}")
                    db.execute(f"PRAGMA user_version = {_VERSION}")
        if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            raise self._error("is a database of another program")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != _VERSION:
            raise self._error(f"has version {version}, and this gwt_lab reads version {_VERSION}")
        db.execute("PRAGMA synchronous = NORMAL")

    def close(self) -> None:
        """Close the file; it opens again when it is used."""
        with self._lock:
            if self._db is not None:
                with suppress(sqlite3.Error):
                    self._db.close()
            self._db = None
            self._forget()

    # ------------------------------------------------------------------------------------------ read
    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Return the rows of a query; none if there is no file."""
        with self._lock, self._clear_errors():
            db = self._connection(create=False)
            return [] if db is None else db.execute(query, values).fetchall()

    def array(self, blob: bytes, kind: str, length: int) -> npt.NDArray[Any]:
        """Return a stored array after checking its length."""
        if len(blob) != length * np.dtype(kind).itemsize:
            raise self._error(f"is damaged: an array of {length} values holds {len(blob)} bytes")
        return np.frombuffer(blob, dtype=kind)

    # ------------------------------------------------------------------------------------------ write
    def refuse_unwritable(self) -> None:
        """Take the file's write lock and let it go again."""
        with self._lock, self._clear_errors():
            db = self._connection(create=True)
            assert db is not None
            with _transaction(db):
                pass

    def write(self, trials: Trials, evaluated: Evaluated) -> int:
        """Append the trials that are not in the file yet and return how many there were."""
        with self._lock, self._clear_errors():
            db = self._connection(create=True)
            assert db is not None
            try:
                with _transaction(db):
                    now = datetime.now(UTC).isoformat(timespec="seconds")
                    setting = self._setting(db, trials)
                    if (setting, trials.code_hash) not in self._codes:
                        db.execute("INSERT OR IGNORE INTO codes VALUES (?, ?, ?)", (setting, trials.code_hash, now))
                    known = self._look_up(db, trials)
                    rows = known.new_rows(trials.hashes)
                    if len(rows):
                        batch, hashes, signed, kind = self._append(db, (setting, now), trials, evaluated, rows)
            except BaseException:
                self._forget()  # what was remembered may have been rolled back
                raise
            self._codes.add((setting, trials.code_hash))
            if len(rows):
                known.add(hashes, signed, kind)
                known.last_batch = batch
            return len(rows)

    def _setting(self, db: sqlite3.Connection, trials: Trials) -> int:
        if trials.setting not in self._settings:
            key = f"{trials.setting:016x}"
            about = (trials.study, trials.data, json.dumps(trials.universe), trials.label, trials.strategy)
            db.execute(
                "INSERT OR IGNORE INTO settings (key, study, data, universe, label, strategy) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (key, *about),
            )
            found = db.execute("SELECT id FROM settings WHERE key = ?", (key,)).fetchone()
            self._settings[trials.setting] = int(found[0])
        return self._settings[trials.setting]

    def _look_up(self, db: sqlite3.Connection, trials: Trials) -> _Known:
        """Return what is in the file of one study and data, with what was written since by any process."""
        group = (trials.study, trials.data)
        known = self._known.setdefault(group, _Known())
        newest = int(db.execute("SELECT coalesce(max(id), 0) FROM batches").fetchone()[0])
        if newest == known.last_batch:
            return known
        # a cross join reads the new batches first, then their settings
        query = (
            "SELECT n, n_observations, n_buckets, hashes, signed FROM batches CROSS JOIN settings "
            "ON settings.id = batches.setting WHERE batches.id > ? AND study = ? AND data = ?"
        )
        for n, n_observations, n_buckets, stored, signed in db.execute(query, (known.last_batch, *group)):
            hashes = self.array(stored, "<u8", n)
            rows = self.array(signed, "<u4", len(signed) // 4)
            if (rows >= n).any():
                raise self._error(f"is damaged: a batch of {n} trials names its trial {rows.max()}")
            known.add(hashes, hashes[rows], (n_observations, n_buckets))
        known.last_batch = newest
        return known

    def _append(
        self, db: sqlite3.Connection, where: tuple[int, str], trials: Trials, evaluated: Evaluated, rows: IntArray
    ) -> tuple[int, UIntArray, UIntArray, tuple[int, int]]:
        """Write new rows as one batch; return what is to be remembered of it."""
        setting, now = where
        hashes = trials.hashes[rows]
        kind = (evaluated.n_observations, evaluated.signatures.shape[1])
        # positions among the new rows of those that have a signature
        have, among_signed, among_new = np.intersect1d(evaluated.rows, rows, assume_unique=True, return_indices=True)
        wanted = self._known[trials.study, trials.data].wanted(trials.hashes[have], kind)
        signed = among_new[wanted]
        cursor = db.execute(
            "INSERT INTO batches (setting, created, code_hash, parameters, n, n_observations, n_buckets, "
            "hashes, sharpes, signed, signatures) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(setting, now, trials.code_hash, json.dumps(trials.parameters), len(rows), *kind),
                hashes.astype("<u8", copy=False).tobytes(),
                evaluated.sharpes[rows].astype("<f8", copy=False).tobytes(),
                signed.astype("<u4").tobytes(),
                evaluated.signatures[among_signed[wanted]].astype("<f4", copy=False).tobytes(),
            ),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid, hashes, hashes[signed], kind


# ------------------------------------------------------------------------------------------------ transactions
@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Hold the file's write lock; commit, or undo on any error and on Ctrl-C."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise


def _patiently(action: Callable[[], _Value]) -> _Value:
    """Try again while another process makes the file: entering the write-ahead log does not wait by itself."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)


# ------------------------------------------------------------------------------------------------ one a process
_OPEN: dict[tuple[int, str], LedgerFile] = {}
_OPENING = threading.Lock()


def open_ledger(path: Path) -> LedgerFile:
    """Return this process's one connection to a file; a forked process gets its own."""
    key = (os.getpid(), os.path.abspath(path))
    with _OPENING:
        if key not in _OPEN:
            _OPEN[key] = LedgerFile(Path(key[1]))
        return _OPEN[key]


@atexit.register
def _close_all() -> None:
    for (process, _), file in _OPEN.items():
        if process == os.getpid():
            file.close()
