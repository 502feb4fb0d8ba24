"""The catalog's files: hashed Parquet partitions that are whole or absent, and the lock that writers take.

A partition's name ends with the first 16 digits of the SHA-256 of its bytes, so that a flipped byte, a truncated or an
empty file is noticed on every read. Such a file is moved to `damaged/` and named; it is never used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gwt_lab.errors import CatalogError, DataError

__all__ = [
    "DAMAGED", "SUPERSEDED", "Partition", "Staged", "check_name", "commit", "discard", "folder_symbol",
    "list_partitions", "locked", "open_partition", "partition_bytes", "retire", "span_stem", "stage", "symbol_folder",
    "write_synced",
]  # fmt: skip

DAMAGED, SUPERSEDED = "damaged", "superseded"
_SCRATCH = ".writing-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# a span of bars or the number of a table's part, then the hash
_PARTITION = re.compile(r"(?P<stem>\d{8}T\d{6}_\d{8}T\d{6}|\d{6,})_(?P<hash>[0-9a-f]{16})\.parquet")
_TIME = "%Y%m%dT%H%M%S"
_META = b"gwt_lab"
_LOCK_SECONDS = 60.0


def check_name(name: str, what: str = "a catalog name") -> str:
    """Return `name` if it can be a folder on every system."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith("."):
        raise DataError(f"{what} must be letters, digits, dots, dashes and underscores such as 'spot-1h', got {name!r}")
    return name


def symbol_folder(symbol: str) -> str:
    """Return the folder of a symbol: `BTC/USDT` is `BTC-USDT`, `BTC/USDT:USDT` is `BTC-USDT_USDT`."""
    escaped = quote(symbol, safe="/:").replace("-", "%2D").replace("_", "%5F").replace(".", "%2E").replace("~", "%7E")
    return escaped.replace("/", "-").replace(":", "_")


def folder_symbol(folder: str) -> str:
    """Return the symbol of a folder; the inverse of `symbol_folder`."""
    return unquote(folder.replace("-", "/").replace("_", ":"))


# ------------------------------------------------------------------------------------------------ reading
@dataclass(frozen=True)
class Partition:
    """One Parquet file, known by its name alone.

    Parameters
    ----------
    path : Path
        Where it lies.
    stem : str
        Its name before the hash.
    digest : str
        First 16 digits of the SHA-256 of its bytes; empty if the name carries none.
    """

    path: Path
    stem: str
    digest: str

    @property
    def span(self) -> tuple[int, int]:
        """Open times of the first and last bar, nanoseconds since 1970."""
        start, _, end = self.stem.partition("_")
        return _stem_ns(start), _stem_ns(end)


def _stem_ns(text: str) -> int:
    return int(pd.Timestamp(text, tz="UTC").as_unit("ns").value)


def span_stem(start_ns: int, end_ns: int) -> str:
    """Return the part of a partition's name that says its span."""
    return f"{pd.Timestamp(start_ns):{_TIME}}_{pd.Timestamp(end_ns):{_TIME}}"


def list_partitions(folder: Path) -> list[Partition]:
    """Return the partitions of one folder, ordered by name."""
    found = []
    for path in sorted(folder.glob("*.parquet")):
        if path.name.startswith("."):
            continue
        match = _PARTITION.fullmatch(path.name)
        found.append(Partition(path, match["stem"], match["hash"]) if match else Partition(path, "", ""))
    return found


def partition_bytes(partition: Partition, home: Path) -> bytes:
    """Return a partition's bytes after checking them against the hash in its name.

    Raises
    ------
    CatalogError
        If they do not match: the file is set aside below `home` and named.
    FileNotFoundError
        If a writer replaced the partition in the meantime.
    """
    try:
        data = partition.path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CatalogError(
            f"{partition.path} cannot be read: {error.strerror or error}; check its permissions"
        ) from None
    if partition.digest and hashlib.sha256(data).hexdigest()[:16] == partition.digest:
        return data
    raise CatalogError(_set_aside(partition, home, len(data)))


def _set_aside(partition: Partition, home: Path, n_bytes: int) -> str:
    """Move a damaged partition below `damaged/` and return what to tell the user."""
    path = partition.path
    inside = path.relative_to(home)
    place = home / DAMAGED / path.parent.name / path.name
    fault = "it is empty" if not n_bytes else "its bytes do not match the hash in its name"
    if not partition.digest:
        fault = "its name carries no hash, so the catalog did not write it"
    what = _what_is_lost(partition, inside)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, place)
    except OSError as error:
        return f"{path} is damaged ({fault}) and cannot be set aside ({error.strerror}): remove it yourself; {what}"
    return f"{path} is damaged ({fault}); it was set aside as {place}. {what}"


def _what_is_lost(partition: Partition, inside: Path) -> str:
    if inside.parts[0] != "bars" or not partition.digest:
        return "Read again for what remains, and import or download the lost part again"
    start, end = (pd.Timestamp(value) for value in partition.span)
    return (
        f"Bars of {folder_symbol(inside.parts[1])} between {start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M} UTC are "
        "missing now: read again for what remains, and import or download that span again"
    )


def open_partition(data: bytes) -> tuple[pq.ParquetFile, dict[str, Any]]:
    """Return the Parquet file in checked bytes and what its metadata says."""
    file = pq.ParquetFile(pa.BufferReader(data))
    meta: dict[str, Any] = json.loads((file.schema_arrow.metadata or {}).get(_META, b"{}"))
    return file, meta


# ------------------------------------------------------------------------------------------------ writing
@dataclass(frozen=True)
class Staged:
    """A partition written beside its place, and the partitions it replaces."""

    scratch: Path
    target: Path
    replaces: tuple[Path, ...] = ()


def stage(folder: Path, stem: str, table: pa.Table, meta: dict[str, Any], replaces: tuple[Path, ...] = ()) -> Staged:
    """Write a partition beside its place and bring it to the disk; `commit` moves it there."""
    meta = meta | ({"supersedes": sorted(path.name for path in replaces)} if replaces else {})
    table = table.replace_schema_metadata({_META: json.dumps(meta, sort_keys=True, allow_nan=False).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="lz4", use_dictionary=["symbol"])
    data = sink.getvalue().to_pybytes()
    target = folder / f"{stem}_{hashlib.sha256(data).hexdigest()[:16]}.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    # another ending, so that no reader's glob finds it; what a killed writer leaves, the next one removes
    scratch = folder / f"{_SCRATCH}{os.getpid()}-{target.stem}.part"
    try:
        write_synced(scratch, data)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    return Staged(scratch, target, replaces)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def commit(staged: list[Staged], home: Path) -> list[Path]:
    """Move staged partitions to their places, then those they replace below `superseded/`.

    A kill in between leaves both; the newer one names the older ones, so readers know which counts.
    """
    for part in staged:
        os.replace(part.scratch, part.target)
    for part in staged:
        for old in part.replaces:
            retire(old, home)
    for folder in {part.target.parent for part in staged}:
        sync_folder(folder)
    return [part.target for part in staged]


def retire(old: Path, home: Path) -> None:
    """Move a partition that a newer one replaces below `superseded/`."""
    inside = old.relative_to(home)
    place = home / SUPERSEDED / inside.relative_to(inside.parts[0])
    place.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.replace(old, place)


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk where the system can."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def discard(staged: list[Staged]) -> None:
    """Remove what was staged and not committed."""
    for part in staged:
        part.scratch.unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------ one writer at a time
@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold the write lock of one catalog name; it falls with the process, so a kill leaves none behind.

    Raises
    ------
    CatalogError
        If the folder cannot be written, or another process keeps the lock for a minute.
    """
    with _writable(home):
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(home / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _wait_for_lock(handle, home)
            try:
                # a writer that was killed left these; nobody else is writing now
                for scratch in home.rglob(f"{_SCRATCH}*"):
                    scratch.unlink(missing_ok=True)
                yield
            finally:
                _unlock(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _writable(home: Path) -> Iterator[None]:
    try:
        yield
    except CatalogError:
        raise
    except OSError as error:
        raise CatalogError(
            f"the catalog at {home} cannot be written: {error.strerror or error}; nothing was written. Free the disk, "
            "or set GWT_CATALOG to a folder you may write"
        ) from None


def _wait_for_lock(handle: int, home: Path) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while not _try_lock(handle):
        if time.monotonic() > deadline:
            raise CatalogError(
                f"another process has been writing to {home} for {_LOCK_SECONDS:.0f} s; wait for it, or end it"
            )
        time.sleep(0.02)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
