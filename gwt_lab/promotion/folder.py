"""A signed folder of text files: what is in it is read once, checked, and only then understood.

`manifest.json` names every other file with its size and SHA-256, in canonical JSON; `manifest.sig` is one line:
``ed25519 KEY_ID SIGNATURE``. Nothing is parsed before the signature over the manifest's bytes holds, and no file before
its digest does. Links, folders, devices, names with a path in them and binary formats are refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from gwt_lab.errors import BundleError
from gwt_lab.places import whole_folder
from gwt_lab.promotion.keys import key_id, sign, verify

__all__ = ["canonical", "read_signed", "write_signed"]

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,63}\.(json|txt|csv)")
_SIGNATURE = re.compile(rb"ed25519 ([0-9a-f]{16}) ([0-9a-f]{128})\n")
_MAX_FILES, _MAX_BYTES = 32, 64 * 1024 * 1024
# first bytes of formats that run code or hide files when they are opened
_BINARY = {
    b"\x80\x02": "a pickle", b"\x80\x03": "a pickle", b"\x80\x04": "a pickle", b"\x80\x05": "a pickle",
    b"PK\x03\x04": "a zip archive (torch, joblib, npz)", b"\x1f\x8b": "gzip", b"\x78\x01": "zlib (joblib)",
    b"\x78\x5e": "zlib (joblib)", b"\x78\x9c": "zlib (joblib)", b"\x78\xda": "zlib (joblib)", b"\x93NUMPY": "NumPy",
    b"\x89HDF": "HDF5", b"\x7fELF": "a program", b"PAR1": "Parquet",
}  # fmt: skip
_SUFFIXES = {
    ".pkl": "a pickle", ".pickle": "a pickle", ".joblib": "joblib", ".pt": "torch", ".pth": "torch", ".npy": "NumPy",
    ".npz": "NumPy",
}  # fmt: skip


def canonical(document: object) -> bytes:
    """Return a document as the one JSON text that stands for it: sorted keys, no spaces, ASCII, no NaN."""
    return (json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n").encode("ascii")


def write_signed(files: Mapping[str, str], folder: Path) -> None:
    """Write text files, their manifest and its signature, whole or not at all.

    Raises
    ------
    BundleError
        If the folder exists, or a name is not plain.
    """
    if folder.exists():
        raise BundleError(f"{folder} exists: bundles are never overwritten, choose another --out")
    contents = {name: text.encode("utf-8") for name, text in files.items()}
    for name, content in contents.items():
        _refuse_name(name)
        _refuse_binary(name, content)
    entries = [
        {"path": name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in sorted(contents.items())
    ]
    contents[MANIFEST] = canonical({"files": entries, "schema": 1})
    public, signature = sign(contents[MANIFEST])
    contents[SIGNATURE] = f"ed25519 {key_id(public)} {signature}\n".encode("ascii")
    with whole_folder(folder) as scratch:
        for name, content in contents.items():
            (scratch / name).write_bytes(content)


def read_signed(folder: Path, trusted: list[str]) -> tuple[dict[str, str], str]:
    """Return the texts of a signed folder by file name, and the id of the key that signed it.

    Parameters
    ----------
    folder : Path
        What `write_signed` wrote.
    trusted : list of str
        Public keys, hexadecimal.

    Raises
    ------
    BundleError
        If anything differs from what a trusted key signed; the message names the file.
    """
    present = _list(folder)
    for name in (MANIFEST, SIGNATURE):
        if name not in present:
            raise BundleError(f"{folder} is no bundle: {name} is missing")
    manifest = _read(folder, MANIFEST)
    signer = _signer(manifest, _read(folder, SIGNATURE), trusted, folder)
    # the bytes are those that a trusted key signed; only now is anything understood
    entries = _entries(manifest)
    missing = sorted(set(entries) - present)
    if missing:
        raise BundleError(f"bundle {folder.name}: {missing[0]} is missing")
    extra = sorted(present - set(entries) - {MANIFEST, SIGNATURE})
    if extra:
        kind = _kind(extra[0], _read(folder, extra[0]))
        raise BundleError(f"bundle {folder.name}: {extra[0]}{kind} is not in the signed manifest; remove it")
    texts = {}
    for name, (size, digest) in entries.items():
        content = _read(folder, name)
        if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
            raise BundleError(f"bundle {folder.name}: {name} was changed after signing; get the bundle again")
        _refuse_binary(name, content)
        texts[name] = content.decode("utf-8")
    return texts, signer


def _list(folder: Path) -> set[str]:
    """Return the names in the folder; anything but a plain file is refused."""
    if folder.is_symlink() or not folder.is_dir():
        raise BundleError(f"a bundle is a folder, got {folder}{' (a link)' if folder.is_symlink() else ''}")
    names: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise BundleError(f"bundle {folder.name}: {entry.name} is a symbolic link; links are refused")
            if not entry.is_file(follow_symlinks=False):
                raise BundleError(f"bundle {folder.name}: {entry.name} is not a plain file")
            names.add(entry.name)
            if len(names) > _MAX_FILES:
                raise BundleError(f"bundle {folder.name} has more than {_MAX_FILES} files")
    return names


def _read(folder: Path, name: str) -> bytes:
    """Return one file's bytes, through no link and not past the size limit."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(folder / name, flags)
    except OSError as error:
        raise BundleError(f"bundle {folder.name}: {name} cannot be read ({error.strerror})") from None
    with os.fdopen(handle, "rb") as source:
        if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            raise BundleError(f"bundle {folder.name}: {name} is not a plain file")
        content = source.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise BundleError(f"bundle {folder.name}: {name} is larger than {_MAX_BYTES >> 20} MiB")
    return content


def _signer(manifest: bytes, signature: bytes, trusted: list[str], folder: Path) -> str:
    found = _SIGNATURE.fullmatch(signature)
    if not found:
        raise BundleError(f"bundle {folder.name}: {SIGNATURE} must be one line 'ed25519 KEY_ID SIGNATURE'")
    named, digits = found[1].decode(), found[2].decode()
    keys = {key_id(key): key for key in trusted}
    if named not in keys:
        raise BundleError(
            f"bundle {folder.name} is signed with key {named}, which is not trusted; trusted: "
            f"{', '.join(sorted(keys))}. Give the signer's public key if you trust it"
        )
    if not verify(manifest, digits, keys[named]):
        raise BundleError(
            f"bundle {folder.name}: {MANIFEST} does not match its signature; it was changed after signing"
        )
    return named


def _entries(manifest: bytes) -> dict[str, tuple[int, str]]:
    """Return size and digest by file name from the manifest's bytes."""
    try:
        document = json.loads(manifest)
        entries = {entry["path"]: (entry["size"], entry["sha256"]) for entry in document["files"]}
        whole = canonical(document) == manifest and document["schema"] == 1 and len(entries) == len(document["files"])
    except (ValueError, KeyError, TypeError):
        raise BundleError(f"{MANIFEST} is not a manifest of schema 1") from None
    if not whole:
        raise BundleError(f"{MANIFEST} must be canonical JSON of schema 1, each file once")
    for name in entries:
        _refuse_name(name)
    return entries


def _refuse_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in (MANIFEST, SIGNATURE):
        raise BundleError(
            f"a bundle's file must be named like model.txt (lower case, .json, .txt or .csv, no folder), got {name!r}"
        )


def _kind(name: str, content: bytes) -> str:
    for magic, kind in _BINARY.items():
        if content.startswith(magic):
            return f" ({kind})"
    return f" ({_SUFFIXES[Path(name).suffix]})" if Path(name).suffix in _SUFFIXES else ""


def _refuse_binary(name: str, content: bytes) -> None:
    kind = _kind(name, content)
    try:
        plain = b"\x00" not in content and content.decode("utf-8") is not None
    except UnicodeDecodeError:
        plain = False
    if kind or not plain:
        raise BundleError(f"{name} holds {kind.strip(' ()') or 'binary data'}: a bundle is text and JSON only")
