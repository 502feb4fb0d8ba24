"""The one decorator for compiled kernels: cached on disk, free of the GIL, announced when they compile.

Numba keeps its cache beside the source or in the user's cache folder; where neither can be written (containers,
read-only installs) it would refuse to import, so the cache moves to a temporary folder. The first compilation of a
process says so on stderr instead of looking like a hang; loading from the cache is silent.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["KERNELS_HASH", "inner_kernel", "kernel", "prange"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _writable(folder: Path) -> bool:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)


def _place_cache() -> None:
    """Send numba's cache to a temporary folder if neither of its own places can be written."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return
    beside_source = Path(__file__).parent / "__pycache__"
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    if not _writable(beside_source) and not _writable(user_cache):
        os.environ["NUMBA_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / "gwt_lab_numba")


_place_cache()

import numba  # noqa: E402 - the cache's place is read at import
from numba import prange  # noqa: E402
from numba.core import event  # noqa: E402


class _Announcer(event.Listener):
    """Say once per process that compilation began; numba emits this event only when the disk cache missed."""

    def __init__(self) -> None:
        self.said = False

    def on_start(self, event: Any) -> None:
        name = getattr(getattr(event.data.get("dispatcher"), "py_func", None), "__module__", "")
        if not self.said and name.startswith("gwt_lab"):
            self.said = True
            sys.stderr.write("gwt_lab: compiling kernels for this machine (once; kept on disk) ...\n")
            sys.stderr.flush()

    def on_end(self, event: Any) -> None:
        """Nothing to say when a kernel is ready."""


_ANNOUNCER = _Announcer()
event.register("numba:compile", _ANNOUNCER)


def _sources() -> str:
    """Return a hash of every file of the package that holds kernels, or constants that say kernels read them."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        text = file.read_bytes()
        if re.search(rb"^@\w*kernel|kernels read as constants", text, re.MULTILINE):
            digest.update(text)
    return digest.hexdigest()


KERNELS_HASH = _sources()


def _watch_sources(compiled: Any) -> Any:
    """Let a cached kernel count as stale when any kernel of the package changed.

    Numba looks at the file a kernel stands in, and not at the kernels of other files that it calls: after an update it
    would go on with the old ones. The stamp beside each entry of the cache takes the hash of all of them in.
    """
    entry = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if entry is not None:
        entry._source_stamp = (entry._source_stamp, KERNELS_HASH)
    return compiled


def kernel(function: _Function | None = None, **options: Any) -> Any:
    """Compile `function` with numba: `nopython`, `cache=True`, `nogil=True`, IEEE division.

    Parameters
    ----------
    function : callable
        The plain Python kernel; its slow twin lies in `tests/oracles/`.
    **options
        Passed to `numba.njit`, for instance ``parallel=True``.
    """
    settings: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"} | options
    decorate = numba.njit(**settings)
    if function is None:
        return lambda plain: _watch_sources(decorate(plain))
    return _watch_sources(decorate(function))


# For kernels that other kernels call and that allocate nothing: without numba's reference counts, which cost more than
# the work itself where tuples of arrays are handed down. `_nrt` is numba's own name for it.
inner_kernel = kernel(_nrt=False)
