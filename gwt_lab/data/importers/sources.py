"""Files, archives and folders as a flat list of named byte strings; the kind of each is seen in its content."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gwt_lab.errors import DataError, ImportRefused, UnknownNameError

__all__ = ["Source", "find_sources"]

_ENDINGS = {
    ".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".pq", ".feather", ".arrow", ".gz", ".zip", ".bz2", ".xz",
}  # fmt: skip
_PACKED: dict[bytes, tuple[str, Callable[[bytes], bytes]]] = {
    b"\x1f\x8b": (".gz", gzip.decompress),
    b"BZh": (".bz2", bz2.decompress),
    b"\xfd7zXZ": (".xz", lzma.decompress),
}


@dataclass(frozen=True)
class Source:
    """One table's bytes.

    Parameters
    ----------
    label : str
        How to call it in a message: the path, and the member of an archive.
    stem : str
        File name without endings, for instance ``BTCUSDT-1h-2023-01``.
    folder : str
        Name of the folder it lies in.
    data : bytes
        Unpacked content.
    """

    label: str
    stem: str
    folder: str
    data: bytes

    @property
    def kind(self) -> str:
        """`parquet`, `feather`, `json` or `text`, by content."""
        if self.data[:4] == b"PAR1":
            return "parquet"
        if self.data[:6] == b"ARROW1" or self.data[:4] == b"FEA1":
            return "feather"
        head = self.data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
        return "json" if head[:1] in (b"[", b"{") else "text"


def find_sources(path: Path) -> Iterator[Source]:
    """Yield the tables in a file, an archive, or below a folder, in order of their paths.

    Raises
    ------
    UnknownNameError
        If the path does not exist.
    DataError
        If a folder holds no such file, a file is empty, or an archive is damaged.
    """
    if not path.exists():
        raise UnknownNameError(f"no file or folder {str(path)!r}: check the path")
    if not path.is_dir():
        yield from _unpack(str(path), path.name, path.resolve().parent.name, _read(path))
        return
    inside = sorted(file for file in path.rglob("*") if _is_table(file, path))
    if not inside:
        raise DataError(f"no table below {path}: it needs files that end with {', '.join(sorted(_ENDINGS))}")
    for file in inside:
        yield from _unpack(str(file), file.name, file.resolve().parent.name, _read(file))


def _is_table(file: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return file.suffix.lower() in _ENDINGS and not hidden and file.is_file()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; check its permissions") from None


def _unpack(label: str, name: str, folder: str, data: bytes) -> Iterator[Source]:
    if not data.strip(b" \t\r\n\x00"):
        raise DataError(f"{label} is empty ({len(data)} bytes); a table with a row a bar was wanted")
    if data[:4] == b"PK\x03\x04":
        yield from _members(label, folder, data)
        return
    for magic, (ending, unpack) in _PACKED.items():
        if data.startswith(magic):
            try:
                inner = unpack(data)
            except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
                raise DataError(f"{label} is a damaged {ending[1:]} file ({error}); fetch it again") from None
            yield from _unpack(label, name.removesuffix(ending), folder, inner)
            return
    yield Source(label, _stem(name), folder, data)


def _members(label: str, folder: str, data: bytes) -> Iterator[Source]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = sorted(
                info.filename
                for info in archive.infolist()
                if not info.is_dir()
                and PurePosixPath(info.filename).suffix.lower() in _ENDINGS
                and not PurePosixPath(info.filename).name.startswith((".", "__"))
                and not info.filename.startswith("__MACOSX")
            )
            if not names:
                raise DataError(f"{label} holds no table: {', '.join(archive.namelist()[:5]) or 'it is empty'}")
            contents = [(name, archive.read(name)) for name in names]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(f"{label} is a damaged zip file ({error}); fetch it again") from None
    except RuntimeError as error:
        raise ImportRefused(f"{label} cannot be opened ({error}); unpack it yourself first") from None
    for name, content in contents:
        member = PurePosixPath(name)
        yield from _unpack(f"{label}:{name}", member.name, member.parent.name or folder, content)


def _stem(name: str) -> str:
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix.lower() in _ENDINGS else name
