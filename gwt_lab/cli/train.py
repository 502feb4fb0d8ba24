"""`gwt train`: a signal generator on stored bars, judged fold by fold, stored as a run and saved as one document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gwt_lab.cli.backtest import absolute, parameters
from gwt_lab.cli.output import JsonFlag, emit, print_table

if TYPE_CHECKING:
    from gwt_lab.market.bars import Bars
    from gwt_lab.models.signal_generator import QlibSignalGenerator
    from gwt_lab.runs import Run

__all__ = ["generator_of", "register", "train_and_store"]

_SHOWN = ("val_accuracy", "base_rate", "ic", "rank_ic", "auc", "log_loss")


def train(
    data: Annotated[str, typer.Option("--data", help="A catalog name or a file of bars.")],
    symbol: Annotated[list[str] | None, typer.Option("--symbol", help="Symbols; all if not given. Repeatable.")] = None,
    label: Annotated[str, typer.Option(help="direction, or relative: beats the mean of all symbols.")] = "direction",
    horizon: Annotated[int, typer.Option(help="Bars from the next open to the open at which the label ends.")] = 1,
    feature: Annotated[
        list[str] | None, typer.Option("--feature", help="Columns of Alpha158; all 158 if not given. Repeatable.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="name=value of the trees, such as num_leaves=31; repeatable.")
    ] = None,
    splits: Annotated[int, typer.Option(help="Walk-forward test blocks, purged and embargoed by the label.")] = 5,
    threshold: Annotated[float, typer.Option(help="Probability from which a forecast is a signal.")] = 0.6,
    start: Annotated[str | None, typer.Option(help="First open time.")] = None,
    end: Annotated[str | None, typer.Option(help="Last open time.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", help="Fits at once, one thread each; one a core.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the model is written; model.json in the run's folder.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Train a signal generator, judge it fold by fold and save it."""
    from gwt_lab import load_bars

    generator = generator_of(
        parameters(param), label=label, horizon=horizon, features=feature, splits=splits, threshold=threshold
    )
    refuse_folder(out)
    bars = load_bars(data, symbols=symbol or None, start=start, end=end)
    run, saved = train_and_store(generator, bars, {"name": absolute(data), "start": start, "end": end}, out, jobs)
    report = generator.report_
    emit({"run": run.id, "model": str(saved), "report": report}, as_json)
    if not as_json:
        _print_folds(generator)
        emit({}, False, f"{_in_words(report)}\nmodel: {saved}\nrun: {run.id}")


def generator_of(
    params: dict[str, Any],
    *,
    label: str,
    horizon: int,
    features: list[str] | None,
    splits: int,
    threshold: float = 0.6,
) -> QlibSignalGenerator:
    """Return an untrained generator with walk-forward blocks that its label's purge and embargo keep apart."""
    from gwt_lab.models.signal_generator import QlibSignalGenerator, default_splits

    settings: dict[str, Any] = {"label": label, "horizon": horizon, "threshold": threshold}
    return QlibSignalGenerator(features=features or None, splits=default_splits(horizon, splits), **settings, **params)


def refuse_folder(out: Path | None) -> None:
    """Refuse a folder as the place of a model, before anything is trained."""
    from gwt_lab.errors import ConfigError

    if out is not None and out.is_dir():
        raise ConfigError(f"--out must name a file, '{out}' is a folder: try {out / 'model.json'}")


def train_and_store(
    generator: QlibSignalGenerator, bars: Bars, data: dict[str, Any], out: Path | None, jobs: int | None
) -> tuple[Run, Path]:
    """Train on bars, store the run with its forecasts, and return it and where the model was written."""
    import pandas as pd

    from gwt_lab.runs import store_run

    report = generator.train(bars, n_jobs=jobs)
    spec = {
        "data": data,
        "symbols": report["symbols"],
        "timeframe": report["timeframe"],
        "label": report["label"],
        "horizon": report["horizon"],
        "features": {"source": generator.features.source, "names": generator.feature_names_},
        "splits": repr(generator.splits),
        "threshold": generator.threshold,
        "params": dict(vars(generator.params)),
    }
    numbers = {name: value for name, value in report.items() if isinstance(value, (int, float, type(None)))}
    arrays = {"forecasts": generator.forecasts_.reset_index(), "folds": pd.DataFrame(report["folds"])}
    arrays["folds"] = arrays["folds"].drop(columns="calibration", errors="ignore")
    seeds, hashes = [generator.params.seed], {"bars": report["data_hash"]}
    run = store_run("train", spec, numbers, arrays=arrays, data_hashes=hashes, seeds=seeds)
    return run, generator.save_model(out or run.path / "model.json")


def _print_folds(generator: QlibSignalGenerator) -> None:
    report = generator.report_
    rows = [[fold["fold"], fold["test_start"][:16], *_cells(fold)] for fold in report["folds"]]
    rows.append(["all", "", *_cells(report)])
    names = ["fold", "tested from", "train rows", "test rows", "val_accuracy", "95 %", *_SHOWN[1:]]
    print_table(repr(generator), names, rows)


def _cells(scores: dict[str, Any]) -> list[str]:
    low, high = (_words(scores[f"val_accuracy_{end}"], 3) for end in ("low", "high"))
    shown = [_words(scores.get(name)) for name in _SHOWN]
    return [f"{scores['n_train']:,}", f"{scores['n_rows']:,}", shown[0], f"{low} to {high}", *shown[1:]]


def _words(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _in_words(report: dict[str, Any]) -> str:
    """Return in one sentence whether the forecasts were better than a constant answer."""
    low, high, base = report["val_accuracy_low"], report["val_accuracy_high"], report["base_rate"]
    if low is None or base is None:
        return "no test row had an outcome: nothing is known of these forecasts"
    better = "better than" if low > base else "worse than" if high < base else "not surely better than"
    return f"right in {report['val_accuracy']:.1%} of cases, {better} a constant answer, which is right in {base:.1%}"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("train")(train)
