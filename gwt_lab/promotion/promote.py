"""From a run that passed every gate to a signed bundle; there is no way around the gates."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gwt_lab.errors import BundleError, GateError
from gwt_lab.places import place
from gwt_lab.promotion.bundle import SCHEMA, Bundle, Fixture, write_bundle
from gwt_lab.promotion.gates import REQUIRED_GATES, Verdict
from gwt_lab.runs import Run, list_runs, load_run
from gwt_lab.strategies.stored import stored_texts

__all__ = ["bundles_folder", "promote", "validated_run"]


def bundles_folder() -> Path:
    """Return where bundles are written: `GWT_BUNDLES`, else `data/bundles`."""
    return place("bundles")


def validated_run(run: Run | Verdict | str) -> Run:
    """Return the stored run that holds the gates' verdict on `run`.

    Parameters
    ----------
    run : Run, Verdict or str
        A verdict, its run, or the run that was judged (its newest verdict counts); a str is an id or folder.

    Raises
    ------
    GateError
        If it was never validated.
    """
    if isinstance(run, Verdict):
        return run.run
    found = load_run(run) if isinstance(run, str) else run
    if found.record["study"] == "validate":
        return found
    verdicts = [judged for judged in list_runs("validate") if judged.record["spec"].get("source") == found.id]
    if not verdicts:
        raise GateError(f"run {found.id} was never validated: run `gwt validate {found.id}` first")
    return verdicts[-1]


def promote(run: Run | Verdict | str, out: str | Path | None = None, *, days: int = 30) -> Bundle:
    """Write a signed bundle from a run that passed every gate.

    Parameters
    ----------
    run : Run, Verdict or str
        As in `validated_run`.
    out : str or Path, optional
        The bundle's folder, which must not exist; `<run id>` in `bundles_folder()` if not given.
    days : int
        How long the bundle may be used.

    Returns
    -------
    Bundle

    Raises
    ------
    GateError
        If a gate did not pass or was not evaluated; the message says which and why.
    BundleError
        If the folder exists or the stored texts differ from those that were judged.
    """
    judged = validated_run(run)
    _require_gates(judged)
    text = str(judged.array("fixture")["text"].iloc[0])
    if hashlib.sha256(text.encode()).hexdigest() != judged.record["data_hashes"]["fixture"]:
        raise BundleError(f"run {judged.id}: its fixture is not the one that was judged: validate again")
    folder = Path(out) if out is not None else bundles_folder() / judged.id
    return write_bundle(_document(judged, days), stored_texts(judged), Fixture.from_text(text), folder)


def _require_gates(run: Run) -> None:
    gates = {gate["name"]: gate for gate in run.metrics.get("gates", [])}
    absent = [name for name in REQUIRED_GATES if name not in gates]
    failed = [f"{name}: {gate['detail']}" for name, gate in gates.items() if gate["passed"] is not True]
    if absent or failed:
        missing = f"; not evaluated: {', '.join(absent)}" if absent else ""
        raise GateError(f"run {run.id} may not be promoted; {'; '.join(failed) or 'no gate failed'}{missing}")


def _document(run: Run, days: int) -> dict[str, Any]:
    now = datetime.now(UTC).replace(microsecond=0)
    spec = run.record["spec"]
    kept = {key: spec[key] for key in ("strategy", "lookback", "symbols", "timeframe", "costs", "instruments")}
    return kept | {
        "schema": SCHEMA,
        "created": now.isoformat(),
        "expires": (now + timedelta(days=days)).isoformat(),
        "commit": run.record["commit"],
        "run_id": run.id,
        "gates": run.metrics["gates"],
        "data_hashes": run.record["data_hashes"],
        "versions": run.record["versions"],
    }
