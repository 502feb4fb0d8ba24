"""`gwt doctor`: what is installed, missing, slow or misconfigured, each with the command that mends it."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import typer

from gwt_lab.cli.output import JsonFlag, emit, print_table

__all__ = ["register"]

OK, NOTE, BAD = "ok", "note", "bad"
# extra -> (distribution, module)
_EXTRAS = {
    "rl": (("stable-baselines3", "stable_baselines3"), ("torch", "torch")),
    "qlib": (("pyqlib", "qlib"),),
    "vectorbt": (("vectorbt", "vectorbt"),),
    "neo4j": (("neo4j", "neo4j"),),
    "live": (("ccxt", "ccxt"), ("aiohttp", "aiohttp")),
    "apps": (("fastapi", "fastapi"), ("streamlit", "streamlit")),
    "lab": (("jupyterlab", "jupyterlab"), ("jupytext", "jupytext")),
    "scale": (("dask", "dask"), ("distributed", "distributed")),
}
_CORE = ("numpy", "pandas", "numba", "scipy", "scikit-learn", "pyarrow", "networkx", "gymnasium", "plotly", "arch")

Finding = dict[str, str]


def _finding(state: str, what: str, found: str, mend: str = "") -> Finding:
    return {"state": state, "what": what, "found": found, "mend": mend}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _python() -> Finding:
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs it past the installer should read why
        return _finding(BAD, "Python", found, "install Python 3.11 or newer, then `make install PYTHON=python3.11`")
    return _finding(OK, "Python", found)


def _packages() -> list[Finding]:
    missing = [name for name in _CORE if not _version(name)]
    if missing:
        return [_finding(BAD, "core packages", "missing: " + ", ".join(missing), "make install")]
    return [_finding(OK, "core packages", ", ".join(f"{name} {_version(name)}" for name in _CORE))]


def _extras() -> list[Finding]:
    findings = []
    for extra, parts in _EXTRAS.items():
        missing = [name for name, module in parts if importlib.util.find_spec(module) is None]
        if missing:
            mend = "make reproduce" if extra == "rl" else "make install-all"
            findings.append(_finding(NOTE, f"extra {extra}", "not installed: " + ", ".join(missing), mend))
        else:
            findings.append(_finding(OK, f"extra {extra}", ", ".join(f"{name} {_version(name)}" for name, _ in parts)))
    return findings


def _openmp() -> Finding:
    """Import LightGBM, which wants the system's OpenMP library, and count the OpenMP runtimes in the process."""
    mend = {"linux": "apt-get install libgomp1", "darwin": "brew install libomp"}.get(
        sys.platform, "pip install lightgbm"
    )
    try:
        import lightgbm
    except OSError as error:
        return _finding(BAD, "OpenMP for LightGBM", str(error).splitlines()[0], mend)
    except ImportError:
        return _finding(BAD, "OpenMP for LightGBM", "lightgbm is not installed", "make install")
    import sklearn.utils  # noqa: F401 - brings its own OpenMP runtime
    from threadpoolctl import threadpool_info

    runtimes = sorted({Path(pool["filepath"]).name for pool in threadpool_info() if pool["user_api"] == "openmp"})
    return _finding(
        OK, "OpenMP for LightGBM", f"lightgbm {lightgbm.__version__}; runtimes: {', '.join(runtimes) or 'none'}"
    )


def _threads() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS") if os.environ.get(name)}
    too_many = [name for name, value in asked.items() if value.isdigit() and int(value) > cores]
    found = f"{cores} cores" + "".join(f", {name}={value}" for name, value in asked.items())
    if too_many:
        return _finding(BAD, "threads", found, f"unset {' '.join(too_many)}: more threads than cores is slower")
    return _finding(OK, "threads", found)


def _bytecode() -> Finding:
    """Look for compiled bytecode, without which every import is two to four times slower."""
    import pandas

    folder = Path(pandas.__file__).parent / "core"
    sources = sum(1 for _ in folder.glob("*.py"))
    compiled = sum(1 for _ in (folder / "__pycache__").glob("*.pyc"))
    if compiled < sources // 2:
        site = Path(pandas.__file__).parent.parent
        return _finding(
            NOTE, "bytecode", f"{compiled} of {sources} files compiled", f"{sys.executable} -m compileall -q {site}"
        )
    return _finding(OK, "bytecode", "compiled")


def _kernel_cache() -> Finding:
    from gwt_lab.kernels import kernel

    @kernel(cache=False)
    def add(left: float, right: float) -> float:
        return left + right

    place = os.environ.get("NUMBA_CACHE_DIR") or "beside the source, or the user's cache folder"
    if add(1.0, 2.0) != 3.0:
        return _finding(BAD, "compiled kernels", "numba computes wrong results", "make clean install")
    return _finding(OK, "compiled kernels", f"numba {_version('numba')}, cache: {place}")


def _places() -> list[Finding]:
    from gwt_lab.places import place

    findings = []
    for name in ("catalog", "runs", "ledger", "sweeps"):
        folder = place(name)
        above = next((found for found in (folder, *folder.parents) if found.exists()), folder)
        if os.access(above, os.W_OK):
            findings.append(_finding(OK, name, str(folder)))
        else:
            mend = f"export GWT_{name.upper()}=<a {'file' if name == 'ledger' else 'folder'} you may write>"
            findings.append(_finding(BAD, name, f"{folder} cannot be written", mend))
    real = os.environ.get("GWT_REAL_DATA")
    if real and not Path(real).is_dir():
        findings.append(
            _finding(BAD, "real bars", f"GWT_REAL_DATA={real} is no folder", "unset GWT_REAL_DATA, or correct it")
        )
    elif real:
        findings.append(_finding(OK, "real bars", real))
    else:
        findings.append(
            _finding(NOTE, "real bars", "GWT_REAL_DATA is not set", "export GWT_REAL_DATA=<folder with Parquet>")
        )
    return findings


def examine() -> list[Finding]:
    """Return every finding, in reading order."""
    return [
        _python(), *_packages(), _openmp(), _threads(), _bytecode(), _kernel_cache(), *_places(), *_extras(),
    ]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def doctor(as_json: JsonFlag = False) -> None:
        """Tell what is installed, missing, slow or misconfigured, each with the command that mends it."""
        findings = examine()
        bad = [finding for finding in findings if finding["state"] == BAD]
        document: dict[str, Any] = {"healthy": not bad, "findings": findings}
        if as_json:
            emit(document, as_json)
        else:
            rows = [[f["state"], f["what"], f["found"], f["mend"]] for f in findings]
            print_table("gwt doctor", ["", "what", "found", "mend"], rows)
        raise typer.Exit(1 if bad else 0)
