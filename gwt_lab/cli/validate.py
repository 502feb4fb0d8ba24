"""`gwt validate RUN`: the gates, on a stored run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gwt_lab.cli.output import JsonFlag, emit

if TYPE_CHECKING:
    from gwt_lab.market.bars import Bars
    from gwt_lab.runs import Run

__all__ = ["register"]


def validate(
    run: Annotated[str, typer.Argument(help="A run's id or folder, or a study's name (its newest run).")],
    data: Annotated[str | None, typer.Option("--data", help="Where the run's bars lie, if they moved.")] = None,
    out_of_sample: Annotated[
        str, typer.Option("--out-of-sample", help="Share of the last bars that is judged, or its first open time.")
    ] = "0.3",
    as_json: JsonFlag = False,
) -> None:
    """Run every gate on a stored run; the exit code is 0 only if all passed."""
    from gwt_lab.market.costs import CostModel
    from gwt_lab.promotion import gates
    from gwt_lab.runs import load_run
    from gwt_lab.strategies.stored import stored_strategy

    found = load_run(run)
    spec = found.record["spec"]
    strategy = stored_strategy(found)
    verdict = gates.validate(
        strategy,
        run_bars(found, data),
        costs=CostModel.from_dict(spec["costs"]),
        out_of_sample=_share(out_of_sample),
        source=found.id,
    )
    document = {
        "run": verdict.run.id,
        "source": found.id,
        "passed": verdict.passed,
        "gates": verdict.run.metrics["gates"],
    }
    emit(document, as_json, str(verdict) + (f"\nnext: gwt promote {verdict.run.id}" if verdict.passed else ""))
    if not verdict.passed:
        raise typer.Exit(1)


def run_bars(run: Run, data: str | None) -> Bars:
    """Return the bars a run was made on.

    Raises
    ------
    DataError
        If the run does not say where they lie, or they are not the same any more.
    """
    from gwt_lab import load_bars
    from gwt_lab.errors import DataError

    spec: dict[str, Any] = run.record["spec"]
    place = spec.get("data") or {}
    name = data or place.get("name")
    if not name:
        raise DataError(f"run {run.id} does not say where its bars lie: give them with --data")
    bars: Bars = load_bars(name, symbols=spec["symbols"], start=place.get("start"), end=place.get("end"))
    wanted = run.record["data_hashes"].get("bars")
    if bars.content_hash != wanted:
        raise DataError(
            f"the bars in {name} are not those of run {run.id} (hash differs): run the backtest again on them"
        )
    return bars


def _share(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("validate")(validate)
