"""Where things lie on disk, and how they come to be there: whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["data_folder", "place", "whole_file", "whole_folder"]


def data_folder() -> Path:
    """Return `data/` of the checkout above the working folder, else of `GWT_HOME`, else `data/` here."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "gwt_lab" / "__init__.py").is_file() and (folder / "pyproject.toml").is_file():
            return folder / "data"
    home = os.environ.get("GWT_HOME")
    return Path(home).expanduser() / "data" if home else here / "data"


def place(name: str) -> Path:
    """Return where `name` lies, such as "runs": the folder that `GWT_RUNS` names, else `data/runs`."""
    named = os.environ.get(f"GWT_{name.upper()}")
    return Path(named).expanduser() if named else data_folder() / name


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give a path to write beside `target`, and move what was written there at the end; it replaces what is there."""
    scratch = target.with_name(f".writing-{os.getpid()}-{target.name}")
    try:
        yield scratch
        os.replace(scratch, target)
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a folder to fill beside `target`, and move it there at the end; nothing is left of one that failed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=target.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        scratch.rename(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
