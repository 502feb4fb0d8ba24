"""`gwt tune`: a search for settings of the trees on stored bars, every trial counted; the best is trained and saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gwt_lab.cli.backtest import absolute, parameters
from gwt_lab.cli.output import JsonFlag, emit, print_table
from gwt_lab.cli.sweep import grid_of
from gwt_lab.cli.train import generator_of, refuse_folder, train_and_store

if TYPE_CHECKING:
    from gwt_lab.models.tuning import TuningResult

__all__ = ["ranges_of", "register"]

_SHOWN = 10


def tune(
    data: Annotated[str, typer.Option("--data", help="A catalog name or a file of bars.")],
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", help="name=7,15,31 or name=50:200:50 (last one included). Repeatable; their product."),
    ] = None,
    between: Annotated[
        list[str] | None, typer.Option("--range", help="name=low:high or name=low:high:log. Repeatable.")
    ] = None,
    metric: Annotated[str, typer.Option(help="log_loss, brier, accuracy, auc, ic or rank_ic.")] = "log_loss",
    n_trials: Annotated[
        int | None, typer.Option("--n-trials", help="Trials in all; 30, or a grid's every combination.")
    ] = None,
    symbol: Annotated[list[str] | None, typer.Option("--symbol", help="Symbols; all if not given. Repeatable.")] = None,
    label: Annotated[str, typer.Option(help="direction, or relative: beats the mean of all symbols.")] = "direction",
    horizon: Annotated[int, typer.Option(help="Bars from the next open to the open at which the label ends.")] = 1,
    feature: Annotated[
        list[str] | None, typer.Option("--feature", help="Columns of Alpha158; all 158 if not given. Repeatable.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="name=value of the trees that is not searched; repeatable.")
    ] = None,
    splits: Annotated[int, typer.Option(help="Walk-forward test blocks, purged and embargoed by the label.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the search.")] = 0,
    prune: Annotated[bool, typer.Option(help="Stop trials whose folds so far are worse than the median.")] = True,
    storage: Annotated[
        Path | None, typer.Option("--storage", help="An sqlite file: a search that was interrupted goes on.")
    ] = None,
    study: Annotated[str | None, typer.Option(help="Name under which trials are counted.")] = None,
    start: Annotated[str | None, typer.Option(help="First open time.")] = None,
    end: Annotated[str | None, typer.Option(help="Last open time.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", help="Fits at once, one thread each; one a core.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Train with the best settings and write the model there.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Search for settings of a signal generator's trees, by Optuna or over a grid."""
    from gwt_lab import load_bars
    from gwt_lab.models.tuning import TuningOptions, optimize_parameters

    space = _space(grid, between)
    generator = generator_of(parameters(param), label=label, horizon=horizon, features=feature, splits=splits)
    refuse_folder(out)
    bars = load_bars(data, symbols=symbol or None, start=start, end=end)
    options = TuningOptions(seed=seed, prune=prune, n_jobs=jobs, study=study)
    result = optimize_parameters(
        bars,
        space or None,
        generator=generator,
        n_trials=n_trials,
        metric=metric,
        storage=storage,
        options=options,
    )
    saved = None
    if out is not None:
        named = {"name": absolute(data), "start": start, "end": end}
        saved = train_and_store(result.best, bars, named, out, jobs)[1]
    _answer(result, saved, as_json)


def _space(grid: list[str] | None, between: list[str] | None) -> dict[str, Any]:
    from gwt_lab.errors import ConfigError

    listed, ranges = grid_of(grid) or {}, ranges_of(between)
    both = listed.keys() & ranges.keys()
    if both:
        raise ConfigError(f"{', '.join(sorted(both))} stands in --grid and in --range: leave one of the two away")
    return listed | ranges


def ranges_of(pairs: list[str] | None) -> dict[str, tuple[Any, ...]]:
    """Return `--range` options as ranges: ``learning_rate=0.01:0.2:log``.

    Raises
    ------
    ConfigError
        If one has no equals sign or is no pair of numbers, or a name comes twice.
    """
    from gwt_lab.errors import ConfigError

    found: dict[str, tuple[Any, ...]] = {}
    for pair in pairs or []:
        name, _, text = (part.strip() for part in pair.partition("="))
        parts = text.split(":")
        try:
            limits = tuple(float(part) if set(part) & set(".eE") else int(part) for part in parts[:2])
        except ValueError:
            limits = ()
        if not name or name in found or len(limits) != 2 or parts[2:] not in ([], ["log"]):
            raise ConfigError(f"--range wants each name once, such as learning_rate=0.01:0.2:log, got {pair!r}")
        found[name] = (*limits, *parts[2:])
    return found


def _answer(result: TuningResult, saved: Path | None, as_json: bool) -> None:
    from gwt_lab.models.tuning import METRICS
    from gwt_lab.validation.ledger import TrialLedger

    counted = TrialLedger().study(result.study).n_trials
    complete = result.trials[result.trials["state"] == "complete"]
    best = complete.sort_values("value", ascending=METRICS[result.metric] < 0, kind="stable").head(_SHOWN)
    document = {
        "study": result.study,
        "n_trials": counted,
        "metric": result.metric,
        "best_params": result.best_params,
        "best_value": result.best_value,
        "model": None if saved is None else str(saved),
        "trials": result.trials.reset_index(),
    }
    emit(document, as_json)
    if as_json:
        return
    rows = [
        [f"{cell:.4f}" if isinstance(cell, float) else cell for cell in row]
        for row in best.reset_index().to_numpy(dtype=object)
    ]
    title = f"the best {len(best)} of {len(result.trials)} trials by {result.metric}"
    print_table(title, ["trial", *best.columns], rows)
    settings = " ".join(f"--param {name}={value:.6g}" for name, value in result.best_params.items())
    then = f"model: {saved}" if saved else f"next: gwt train on the same data with {settings}"
    emit({}, False, f"trials: {counted:,} in study {result.study!r}; the best of many looks good by chance\n{then}")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("tune")(tune)
