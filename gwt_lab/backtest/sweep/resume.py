"""What a sweep has finished, on disk: a killed sweep goes on where it stopped.

A folder below `data/sweeps` (`GWT_SWEEPS`) holds `manifest.json`, which says what the sweep is, and parts with the rows
that are done. A part is whole or absent; which rows lie in which part does not matter.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from gwt_lab.errors import ConfigError, DataError
from gwt_lab.places import place, whole_file

__all__ = ["ChunkStore", "grid_hash", "sweep_folder", "versions"]

_FORMAT = 1
# Parts are written this often, or after 2 % of the time so far: few files, and little is lost by a kill.
_EVERY_SECONDS = 1.0
_EVERY_SHARE = 0.02


def sweep_folder(name: str | os.PathLike[str]) -> Path:
    """Return the folder of a resumable sweep: a path as it is, a plain name below `data/sweeps`.

    Raises
    ------
    ConfigError
        If the name is empty.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise ConfigError(f"resume must name the sweep, or be a path; got {name!r}")
    text = os.fspath(name)
    if not text.strip():
        raise ConfigError("resume must name the sweep, or be a path; got an empty name")
    path = Path(text)
    return path if path.is_absolute() or len(path.parts) > 1 else place("sweeps") / text


def grid_hash(names: tuple[str, ...], levels: tuple[np.ndarray, ...], codes: np.ndarray) -> str:
    """Return a hash of the combinations and their order."""
    digest = hashlib.sha256(json.dumps([names, [[repr(v) for v in level.tolist()] for level in levels]]).encode())
    digest.update(np.ascontiguousarray(codes, dtype="<i4").tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions that a sweep's numbers rest on."""
    return {name: version(name) for name in ("gwt_lab", "numpy", "numba")}


class ChunkStore:
    """The rows of one sweep that are done, on disk.

    Parameters
    ----------
    name : str or path
        See `sweep_folder`.
    identity : dict
        Everything that the rows' numbers depend on, plain JSON values.
    n_rows : int
        Combinations of the whole sweep.

    Raises
    ------
    ConfigError
        If another sweep lies there; the message says what differs.
    DataError
        If something else lies there, or the manifest cannot be read.
    """

    def __init__(self, name: str | os.PathLike[str], identity: dict[str, Any], n_rows: int) -> None:
        self.folder = sweep_folder(name)
        self.name = os.fspath(name)
        self.n_rows = n_rows
        self._waiting: list[tuple[np.ndarray, ...]] = []
        self._started = self._written = time.monotonic()
        self._parts = 0
        manifest = self.folder / "manifest.json"
        if manifest.is_file():
            self._refuse_another(_read_manifest(manifest), identity)
            return
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise DataError(f"{self.folder} holds something other than a sweep: name another place to resume from")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"resume: {self.folder} cannot be made: {error}") from None
        with whole_file(manifest) as scratch:
            document = {"format": _FORMAT, "identity": identity, "n_combinations": n_rows}
            scratch.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    def _refuse_another(self, found: dict[str, Any], identity: dict[str, Any]) -> None:
        there = found["identity"]
        names = [key for key in identity | there if there.get(key) != identity.get(key)]
        if names:
            told = "; ".join(f"{key}: {_short(there.get(key))} there, {_short(identity.get(key))} now" for key in names)
            raise ConfigError(
                f"the sweep {self.name!r} in {self.folder} is another one ({told}): use another name, or delete the "
                "folder"
            )

    def load(self, row: tuple[int, ...], kept: np.ndarray) -> tuple[np.ndarray, ...] | None:
        """Return the rows that are done and their arrays, or None.

        A part that cannot be read, or is of another shape, is evaluated again.

        Parameters
        ----------
        row : tuple of int
            Shape of what is stored of each row.
        kept : ndarray of int
            Accounts whose worth may be stored.
        """
        parts = []
        for file in sorted(self.folder.glob("part-*.npz")):
            try:
                with file.open("rb") as opened, np.load(opened, allow_pickle=False) as held:
                    part = (held["rows"], held["values"], held["edge_rows"], held["edges"])
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                continue
            if self._fits(part, row, kept):
                parts.append(part)
        if not parts:
            return None
        rows, values, edge_rows, edges = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return rows, values, edge_rows, edges

    def _fits(self, part: tuple[np.ndarray, ...], row: tuple[int, ...], kept: np.ndarray) -> bool:
        rows, values, edge_rows, edges = part
        mine = (
            rows.dtype.kind == "i" and not ((rows < 0) | (rows >= self.n_rows)).any() and np.isin(edge_rows, kept).all()
        )
        return bool(mine and values.shape == (*rows.shape, *row) and edges.shape[:1] == edge_rows.shape)

    def add(self, rows: np.ndarray, values: np.ndarray, edge_rows: np.ndarray, edges: np.ndarray) -> None:
        """Take rows that are done; they reach the disk within a second, or 2 % of the time so far."""
        self._waiting.append((rows, values, edge_rows, edges))
        now = time.monotonic()
        if now - self._written >= max(_EVERY_SECONDS, _EVERY_SHARE * (now - self._started)):
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            columns = [np.concatenate(parts) for parts in zip(*self._waiting, strict=True)]
            named: dict[str, Any] = dict(zip(("rows", "values", "edge_rows", "edges"), columns, strict=True))
            self._parts += 1
            name = f"part-{time.time_ns():020d}-{os.getpid()}-{self._parts:06d}.npz"
            with whole_file(self.folder / name) as scratch, scratch.open("wb") as file:
                np.savez(file, **named)
            self._waiting.clear()
        self._written = time.monotonic()


def _read_manifest(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["format"] != _FORMAT or not isinstance(document["identity"], dict):
            raise ValueError(f"format {document['format']}")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is no manifest of a sweep ({error}): delete the folder or name another") from None
    found: dict[str, Any] = document
    return found


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
