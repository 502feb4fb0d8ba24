"""The journal: what the runner did, appended as JSON lines, each tied to the one before by its hash.

An intent is on the disk before the order leaves. Entries are never changed; a line that was altered, cut or taken away
breaks the chain of hashes, which `read_journal` checks.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from gwt_lab.errors import BundleError, DataError

__all__ = ["Journal", "read_journal"]

_FIRST = "0" * 64


def _digest(before: str, body: str) -> str:
    return hashlib.sha256((before + body).encode("utf-8")).hexdigest()


def _body(entry: dict[str, Any]) -> str:
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), allow_nan=False)


class Journal:
    """An append-only file of entries.

    Parameters
    ----------
    path : Path
        A file that does not exist yet.

    Raises
    ------
    DataError
        If the file exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise DataError(f"the journal {path} exists: a journal is never overwritten, choose another file") from None
        self._last = _FIRST
        self._count = 0

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, kind: str, content: dict[str, Any], *, durable: bool = False) -> None:
        """Append one entry; with `durable` it is on the disk when this returns.

        Raises
        ------
        OSError
            If the disk took less than the whole entry.
        """
        body = _body({"seq": self._count, "kind": kind, **content})
        self._last = _digest(self._last, body)
        line = (json.dumps({"hash": self._last, "entry": body}, separators=(",", ":")) + "\n").encode("utf-8")
        written = os.write(self._handle, line)
        if written != len(line):
            raise OSError(f"the journal {self.path} took {written} of {len(line)} bytes: the disk is full")
        if durable:
            os.fsync(self._handle)
        self._count += 1

    def close(self) -> None:
        """Put everything on the disk and close the file."""
        if self._handle >= 0:
            os.fsync(self._handle)
            os.close(self._handle)
            self._handle = -1


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return a journal's entries in the order they were written.

    Raises
    ------
    BundleError
        If an entry was altered, cut or removed; the message names its line.
    """
    entries: list[dict[str, Any]] = []
    last = _FIRST
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            body, claimed = record["entry"], record["hash"]
            entry = json.loads(body)
        except (ValueError, KeyError, TypeError):
            raise BundleError(f"the journal {path} cannot be read at line {number}: it was cut or altered") from None
        last = _digest(last, body)
        if last != claimed or entry["seq"] != number - 1:
            raise BundleError(f"the journal {path} was altered at line {number}: its hash does not follow")
        entries.append(entry)
    return entries
