"""Model files: one JSON document, whatever the file is called. Nothing is ever unpickled.

::

    {"format": "gwt_lab.signal_generator", "schema": 1, "digest": "<sha256>", "content": {...}}

The digest is that of the whole file with 64 zeros in its own place, so that any changed byte shows.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from gwt_lab.errors import DataError
from gwt_lab.places import whole_file

__all__ = ["FORMAT", "SCHEMA", "read_model_file", "write_model_file"]

FORMAT, SCHEMA = "gwt_lab.signal_generator", 1
_MOST_BYTES = 512 * 1024 * 1024
_NO_DIGEST = "0" * 64
_HEAD = re.compile(rb'\{"format": "([\w.]{1,60})", "schema": (\d{1,9}), "digest": "([0-9a-f]{64})", "content": ')
_OTHERS = (
    (b"PK", "a zip archive (torch, numpy or joblib)"),
    (b"\x80", "a pickle"),
    (b"\x1f\x8b", "a gzip file (a compressed pickle?)"),
    (b"BZh", "a bzip2 file (a compressed pickle?)"),
    (b"\xfd7zXZ", "an xz file (a compressed pickle?)"),
    (b"\x04\x22\x4d\x18", "an lz4 file (a compressed pickle?)"),
    (b"\x78", "a zlib file (a compressed pickle?)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"tree\n", "LightGBM's own text, which says nothing of features, label or data"),
)


def write_model_file(content: dict[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write a model document beside its place and move it there in one step; folders are made.

    Raises
    ------
    DataError
        If the content holds what JSON cannot say, or the file cannot be written.
    """
    target = Path(path).expanduser().absolute()
    try:
        body = json.dumps(content, ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"the model holds something that JSON cannot say ({error}): it cannot be saved") from None
    head = f'{{"format": "{FORMAT}", "schema": {SCHEMA}, "digest": "{_NO_DIGEST}", "content": '
    text = f"{head}{body}}}\n".encode("ascii")
    digest = hashlib.sha256(text).hexdigest().encode()
    text = text.replace(_NO_DIGEST.encode(), digest, 1)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as scratch, scratch.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DataError(
            f"'{target}' cannot be written: {error.strerror or error}; name a file in a folder with room"
        ) from None
    return target


def read_model_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the content of a model document, after its first bytes, schema and digest were checked.

    Raises
    ------
    DataError
        If the file is something else (a pickle, joblib, torch or zip file is refused by its first bytes and never
        opened as such) or larger than 512 MB, of another schema version, or differs from what was written in any byte.
    """
    place = Path(path).expanduser()
    try:
        with place.open("rb") as file:
            first = file.read(256)
            _refuse_others(first, place)
            if os.fstat(file.fileno()).st_size > _MOST_BYTES:
                raise DataError(f"'{place}' is larger than {_MOST_BYTES >> 20} MB, which no model is: it is not read")
            head = _HEAD.match(first)
            if head is None or head[1].decode() != FORMAT:
                raise DataError(f"'{place}' is no model document of {FORMAT}: write one with save_model(path)")
            if int(head[2]) != SCHEMA:
                raise DataError(
                    f"'{place}' has schema {int(head[2])}, this version of gwt_lab reads schema {SCHEMA}: train it "
                    "again, or load it with the version that wrote it"
                )
            text = first + file.read(_MOST_BYTES)
    except OSError as error:
        raise DataError(
            f"the model file '{place}' cannot be read: {error.strerror or error}; check the path, or train and save"
        ) from None
    blank = text[: head.start(3)] + _NO_DIGEST.encode() + text[head.end(3) :]
    if hashlib.sha256(blank).hexdigest().encode() != head[3]:
        raise DataError(f"'{place}' was changed after it was written (its digest differs): restore or retrain it")
    try:
        content = json.loads(text, parse_constant=_refuse_constant)["content"]
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{place}' holds no valid JSON ({error}): write it with save_model(path)") from None
    if not isinstance(content, dict):
        raise DataError(f"'{place}' holds no model: write one with save_model(path)")
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _refuse_others(first: bytes, place: Path) -> None:
    if not first:
        raise DataError(f"the model file '{place}' is empty: train and save the model again")
    for magic, what in _OTHERS:
        if first.startswith(magic):
            raise DataError(
                f"'{place}' is {what}; a model here is one JSON document and nothing else is opened: train the model "
                "and write it with save_model(path)"
            )
    if not first.startswith(b"{"):
        raise DataError(
            f"'{place}' is no JSON document (it begins with {first[:8]!r}; an old pickle?) and is not opened: write "
            "a model with save_model(path)"
        )
