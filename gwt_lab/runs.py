"""The one writer and reader of stored runs: `data/runs/<id>` (or `GWT_RUNS`).

A run is a folder with `run.json` (study, spec, commit, data hashes, versions, seeds, metrics) and arrays as Parquet. It
is written beside its place and moved there in one step, so that a run is whole or absent.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gwt_lab.errors import DataError, UnknownNameError
from gwt_lab.places import place, whole_folder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Run", "list_runs", "load_run", "runs_folder", "store_run"]

_RECORDED = ("numpy", "pandas", "numba", "scipy", "scikit-learn", "lightgbm", "networkx", "torch", "stable-baselines3")


def runs_folder() -> Path:
    """Return where runs are stored: `GWT_RUNS`, else `data/runs`."""
    return place("runs")


@dataclass(frozen=True)
class Run:
    """One stored run.

    Parameters
    ----------
    id : str
        Time of writing, study and the first digits of the spec's hash.
    path : Path
        The run's folder.
    record : dict
        What `run.json` holds.
    """

    id: str
    path: Path
    record: dict[str, Any] = field(repr=False)

    @property
    def metrics(self) -> dict[str, Any]:
        """The run's numbers."""
        metrics: dict[str, Any] = self.record["metrics"]
        return metrics

    def array(self, name: str) -> pd.DataFrame:
        """Return one of the run's tables."""
        import pandas as pd

        file = self.path / f"{name}.parquet"
        if not file.is_file():
            have = sorted(found.stem for found in self.path.glob("*.parquet"))
            raise UnknownNameError(f"run {self.id} has no array {name!r}; it has {', '.join(have) or 'none'}")
        return pd.read_parquet(file)


def _commit() -> str:
    """Return the checkout's commit, with '+' if files differ from it; empty outside a checkout."""
    try:
        where = Path(__file__).parent
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=where, capture_output=True, text=True, check=True, timeout=10
        )
        dirty = subprocess.run(
            ["git", "status", "--porcelain"], cwd=where, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("gwt_lab", *_RECORDED):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def store_run(
    study: str,
    spec: dict[str, Any],
    metrics: dict[str, Any],
    *,
    arrays: dict[str, pd.DataFrame] | None = None,
    data_hashes: dict[str, str] | None = None,
    seeds: list[int] | None = None,
) -> Run:
    """Write a run once and return it.

    Parameters
    ----------
    study : str
        Short name, for instance ``paper1``.
    spec : dict
        Everything that was decided before the run; plain values.
    metrics : dict
        Numbers that came out; plain values.
    arrays : dict of DataFrame, optional
        Tables, stored as Parquet.
    data_hashes : dict, optional
        Content hash of each input.
    seeds : list of int, optional
        Every seed used.

    Raises
    ------
    DataError
        If spec or metrics hold something JSON cannot (NaN included: say None).
    """
    now = datetime.now(UTC)
    try:
        digest = hashlib.sha256(json.dumps(spec, sort_keys=True, allow_nan=False).encode()).hexdigest()
        record = {
            "study": study,
            "created": now.isoformat(timespec="seconds"),
            "spec": spec,
            "spec_hash": digest,
            "commit": _commit(),
            "data_hashes": data_hashes or {},
            "versions": _versions(),
            "seeds": seeds or [],
            "metrics": metrics,
        }
        text = json.dumps(record, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"run of {study}: spec and metrics must be plain JSON values without NaN ({error})") from None
    name = f"{now:%Y%m%dT%H%M%S%f}-{study}-{digest[:8]}"
    target = runs_folder() / name
    with whole_folder(target) as folder:
        (folder / "run.json").write_text(text + "\n", encoding="utf-8")
        for label, frame in (arrays or {}).items():
            frame.to_parquet(folder / f"{label}.parquet")
    return Run(name, target, record)


def _read(folder: Path) -> Run:
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return Run(folder.name, folder, record)


def list_runs(study: str | None = None) -> list[Run]:
    """Return the stored runs, oldest first, of one study if named."""
    runs = [_read(file.parent) for file in sorted(runs_folder().glob("*/run.json"))]
    return [run for run in runs if study in (None, run.record["study"])]


def load_run(name: str) -> Run:
    """Return a run by its id, its folder, or the name of its study (the newest one).

    Raises
    ------
    UnknownNameError
        If there is none; the message lists the newest runs.
    """
    for folder in (Path(name), runs_folder() / name):
        if (folder / "run.json").is_file():
            return _read(folder.resolve())
    runs = list_runs()
    named = [run for run in runs if run.record["study"] == name]
    if named:
        return named[-1]
    known = ", ".join(run.id for run in runs[-5:]) or "none"
    raise UnknownNameError(f"no run {name!r} below {runs_folder()}; the newest are {known}")
