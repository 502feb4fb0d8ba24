"""`gwt audit FILE`: how much of other people's results is skill, how much luck, and how deep they may fall."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gwt_lab.cli.output import JsonFlag, emit, print_table

if TYPE_CHECKING:
    from gwt_lab.validation.audit import Audit

__all__ = ["register"]

_SHOWN = 10


def audit(
    file: Annotated[
        Path,
        typer.Argument(
            help="Returns (.parquet, .csv: one column a strategy) or a freqtrade export of trades (.json, .zip)."
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Write the audit as one HTML page.")] = None,
    benchmark_column: Annotated[
        str | None, typer.Option("--benchmark-column", help="Column of what could have been held instead.")
    ] = None,
    n_trials: Annotated[
        int | None, typer.Option("--n-trials", help="How many configurations were tried, if more than the columns.")
    ] = None,
    study: Annotated[str | None, typer.Option("--study", help="Study of the trial ledger that counted them.")] = None,
    trial_variance: Annotated[
        float | None, typer.Option("--trial-variance", help="Variance of the trials' Sharpe ratios, per period.")
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of intervals and of the record needed.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Audit returns or trades: deflated Sharpe, overfitting, intervals, drawdown odds, a summary in plain words."""
    from gwt_lab.errors import ConfigError
    from gwt_lab.validation.audit import audit as run_audit
    from gwt_lab.validation.ledger import TrialLedger

    if study is not None and n_trials is not None:
        raise ConfigError("--study and --n-trials both say how much was tried: give one of them")
    if out is not None and not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.absolute().parent}; create it first")
    tried: Any = n_trials if study is None else TrialLedger().study(study)
    found = run_audit(
        file,
        benchmark=benchmark_column,
        n_trials=tried,
        trial_variance=trial_variance,
        confidence=confidence,
        seed=seed,
    )
    if out is not None:
        found.to_html(out, title=f"Audit of {file.name}")
    if as_json:
        emit({"file": str(file)} | found.to_dict() | {"page": None if out is None else str(out)}, as_json)
    else:
        _print(found, file, out)


def _print(found: Audit, file: Path, out: Path | None) -> None:
    from gwt_lab.display import number, percent
    from gwt_lab.validation.audit_words import span_of

    rows = [
        [name, percent(row["total_return"]), percent(row["max_drawdown"]), number(row["annual_sharpe"], 3)
         if found.frequency.words else number(row["sharpe"], 3), f"{row['psr']:.3f}", f"{row['dsr']:.3f}",
         span_of(found, row["min_track_record"])]
        for name, row in found.table.head(_SHOWN).iterrows()
    ]  # fmt: skip
    columns = ["strategy", "return", "drawdown", "Sharpe", "probabilistic", "deflated", "record needed"]
    print_table(f"{file.name}: {found.verdict}", columns, rows)
    notes = [f"note: {note}" for note in found.notes]
    emit({}, False, "\n".join([*found.summary, *notes, *([f"page: {out}"] if out else [])]))


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("audit")(audit)
