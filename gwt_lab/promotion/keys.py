"""The key pair that signs bundles: made on first use, kept in `GWT_KEYS` or `data/keys`."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gwt_lab.errors import BundleError
from gwt_lab.places import place

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["key_id", "keys_folder", "own_public_key", "resolve_keys", "sign", "verify"]

_PRIVATE, _PUBLIC = "bundle_ed25519", "bundle_ed25519.pub"
_HEX_KEY = re.compile(r"[0-9a-f]{64}")


def keys_folder() -> Path:
    """Return where the key pair lies: `GWT_KEYS`, else `data/keys`."""
    return place("keys")


def key_id(public_key: str) -> str:
    """Return the short name of a public key: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:16]


def _write_once(file: Path, text: str) -> None:
    """Write a file that only its owner may read, whole; keep the one that another process wrote first."""
    handle, scratch = tempfile.mkstemp(prefix=".writing-", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as out:
            out.write(text)
        with suppress(FileExistsError):
            os.link(scratch, file)
    finally:
        os.unlink(scratch)


def _private_key() -> Ed25519PrivateKey:
    """Return the private key; make it on first use, readable by its owner alone."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    folder = keys_folder()
    file = folder / _PRIVATE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_once(file, Ed25519PrivateKey.generate().private_bytes_raw().hex() + "\n")
    if os.name == "posix" and file.stat().st_mode & 0o077:
        raise BundleError(f"the private key {file} can be read by others: run chmod 600 on it, or make a new one")
    text = file.read_text(encoding="ascii", errors="replace").strip()
    if not _HEX_KEY.fullmatch(text):
        raise BundleError(f"the private key {file} must hold 64 hexadecimal digits: move it away to make a new one")
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))


def own_public_key() -> str:
    """Return the public key of this machine, 64 hexadecimal digits, and write it beside the private one."""
    public = _private_key().public_key().public_bytes_raw().hex()
    file = keys_folder() / _PUBLIC
    if not file.is_file() or file.read_text(encoding="ascii").strip() != public:
        file.write_text(public + "\n", encoding="ascii")
    return public


def resolve_keys(trusted_keys: Iterable[str | Path] | None) -> list[str]:
    """Return public keys as hexadecimal digits.

    Parameters
    ----------
    trusted_keys : iterable of str or Path, optional
        Each the 64 digits themselves or a file that holds them. None means this machine's own key, if there is one.

    Raises
    ------
    BundleError
        If one is neither, or none are left.
    """
    if trusted_keys is None:
        trusted_keys = [own_public_key()] if (keys_folder() / _PRIVATE).is_file() else []
    if isinstance(trusted_keys, (str, Path)):
        trusted_keys = [trusted_keys]
    found = []
    for key in trusted_keys:
        text = str(key).strip()
        if not _HEX_KEY.fullmatch(text):
            file = Path(key)
            if not file.is_file():
                raise BundleError(
                    f"a trusted key must be 64 hexadecimal digits or a file that holds them, got {text!r}"
                )
            text = file.read_text(encoding="ascii", errors="replace").strip()
            if not _HEX_KEY.fullmatch(text):
                raise BundleError(f"the key file {file} must hold 64 hexadecimal digits")
        found.append(text)
    if not found:
        raise BundleError(
            f"no trusted key: {keys_folder()} holds none; give the signer's public key with trusted_keys=[...] or --key"
        )
    return found


def sign(message: bytes) -> tuple[str, str]:
    """Return this machine's public key and its Ed25519 signature of `message`, both hexadecimal."""
    public = own_public_key()
    return public, _private_key().sign(message).hex()


def verify(message: bytes, signature: str, public_key: str) -> bool:
    """Return whether `signature` is the key's signature of `message`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True
