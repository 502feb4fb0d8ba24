"""`gwt sweep`: every combination of a strategy's parameters on stored bars, as a stored run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gwt_lab.cli.backtest import absolute
from gwt_lab.cli.output import JsonFlag, emit, print_table

if TYPE_CHECKING:
    from gwt_lab.backtest.sweep.result import SweepResult

__all__ = ["grid_of", "register"]

_SHOWN = 10


def sweep(
    data: Annotated[str, typer.Option("--data", help="A catalog name or a file of bars.")],
    strategy: Annotated[str, typer.Option("--strategy", help="A family or a registered name.")] = "ma_cross",
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", help="name=5,10,20 or name=50:200:10 (last one included). Repeatable; their product."),
    ] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Metrics, the first ranks. Repeatable.")] = None,
    symbol: Annotated[list[str] | None, typer.Option("--symbol", help="Symbols; all if not given. Repeatable.")] = None,
    n_samples: Annotated[int | None, typer.Option("--n-samples", help="Draw so many combinations.")] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    fees: Annotated[float, typer.Option(help="Fraction of the traded value.")] = 0.001,
    slippage: Annotated[float, typer.Option(help="Fraction of the price.")] = 0.0005,
    init_cash: Annotated[float, typer.Option(help="Quote currency, for each symbol.")] = 10_000.0,
    price: Annotated[str, typer.Option(help="next_open, or close (optimistic).")] = "next_open",
    direction: Annotated[str, typer.Option(help="longonly, shortonly or both.")] = "longonly",
    start: Annotated[str | None, typer.Option(help="First open time.")] = None,
    end: Annotated[str | None, typer.Option(help="Last open time.")] = None,
    resume: Annotated[str | None, typer.Option(help="Name under which finished parts are kept.")] = None,
    max_memory: Annotated[str, typer.Option("--max-memory", help="Such as 500MB.")] = "1GB",
    study: Annotated[str | None, typer.Option(help="Name under which trials are counted.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the table: .parquet or .csv.")] = None,
    heatmap: Annotated[Path | None, typer.Option("--heatmap", help="Write a heatmap of the first two: .html.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Backtest every combination of parameters and store the run."""
    from gwt_lab import load_bars
    from gwt_lab.backtest.sweep import sweep as run_sweep

    combinations = grid_of(grid)
    _refuse_files(out, heatmap, combinations or {})
    settings: dict[str, Any] = {
        "fees": fees,
        "slippage": slippage,
        "init_cash": init_cash,
        "price": price,
        "direction": direction,
    }
    if metric:
        settings["metrics"] = tuple(metric)
    bars = load_bars(data, symbols=symbol or None, start=start, end=end)
    more: dict[str, Any] = {
        "n_samples": n_samples,
        "seed": seed,
        "resume": resume,
        "max_memory": max_memory,
        "study": study,
    }
    try:
        result = run_sweep(strategy, bars, combinations, **settings, **more)
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"gwt: {stop}\n")
        raise
    spec = {
        "strategy": strategy,
        "grid": combinations,
        "n_samples": n_samples,
        "data": {"name": absolute(data), "start": start, "end": end},
        "symbols": bars.symbols,
        "timeframe": bars.timeframe,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()},
    }
    run = _store(result, spec, bars.content_hash, seed)
    _write(result, out, heatmap)
    _answer(result, run.id, as_json)


def grid_of(pairs: list[str] | None) -> dict[str, list[Any]] | None:
    """Return `--grid` options as a grid: ``fast=5,10`` lists values, ``slow=50:200:10`` counts up to the last one.

    Raises
    ------
    ConfigError
        If one has no equals sign, no values or a step that leads nowhere, or a name comes twice.
    """
    from gwt_lab.errors import ConfigError

    found: dict[str, list[Any]] = {}
    for pair in pairs or []:
        name, sign, text = (part.strip() for part in pair.partition("="))
        if not sign or not name or not text or name in found:
            raise ConfigError(f"--grid wants each name once, such as fast=5,10,20 or slow=50:200:10, got {pair!r}")
        found[name] = _counted(pair, text) if ":" in text else [_value(part) for part in text.split(",")]
    return found or None


def _counted(pair: str, text: str) -> list[Any]:
    """Return first, first + step, ... up to the last one, whole numbers where all three are."""
    from gwt_lab.errors import ConfigError

    parts = [_value(part) for part in text.split(":")]
    if len(parts) not in (2, 3) or not all(isinstance(part, (int, float)) for part in parts):
        raise ConfigError(f"--grid wants first:last:step in numbers, got {pair!r}")
    first, last, step = (*parts, 1)[:3]
    if step <= 0 or last < first:
        raise ConfigError(f"--grid wants first <= last and a step above 0, got {pair!r}")
    n = int((last - first) / step * (1 + 1e-12)) + 1
    if n > 1_000_000:
        raise ConfigError(f"--grid: {pair!r} has {n:,} values; take a larger step")
    # rounding undoes 0.1 + 0.2
    values = [first + step * number for number in range(n)]
    return [round(value, 12) if isinstance(value, float) else value for value in values]


def _value(text: str) -> Any:
    text = text.strip()
    try:
        return None if text.lower() == "none" else json.loads(text)
    except ValueError:
        return text


def _refuse_files(out: Path | None, heatmap: Path | None, grid: dict[str, list[Any]]) -> None:
    from gwt_lab.errors import ConfigError

    for file, kinds in ((out, (".parquet", ".csv")), (heatmap, (".html",))):
        if file is not None and (file.suffix not in kinds or not file.absolute().parent.is_dir()):
            raise ConfigError(f"{file} must end in {' or '.join(kinds)} and lie in a folder that exists")
    if heatmap is not None and sum(len(values) > 1 for values in grid.values()) < 2:
        raise ConfigError("a heatmap needs two parameters of several values each: give --grid twice, or no --heatmap")


def _store(result: SweepResult, spec: dict[str, Any], data_hash: str, seed: int) -> Any:
    from gwt_lab.runs import store_run

    metric = str(result.columns[0])
    best = result.best(metric).to_dict() if result[metric].notna().any() else {}
    metrics = {
        "rows": len(result),
        "trials_of_study": result.n_trials,
        "best": {name: float(value) if value == value else None for name, value in best.items()},
    }
    arrays = {"sweep": result.reset_index()}
    spec = spec | {"study": result.study, "assumptions": result.assumptions}
    return store_run("sweep", spec, metrics, arrays=arrays, data_hashes={"bars": data_hash}, seeds=[seed])


def _write(result: SweepResult, out: Path | None, heatmap: Path | None) -> None:
    if heatmap is not None:
        result.heatmap().write_html(heatmap, include_plotlyjs=True)
    if out is not None and out.suffix == ".csv":
        result.to_csv(out)
    elif out is not None:
        result.reset_index().to_parquet(out, index=False)


def _answer(result: SweepResult, run: str, as_json: bool) -> None:
    metric = str(result.columns[0])
    known = int(result[metric].notna().sum())
    top = result.best(metric, n=min(_SHOWN, known)) if known > 1 else result.head(known)
    rows = top.reset_index()
    plateau = _plateau(result)
    document = {
        "run": run,
        "assumptions": result.assumptions,
        "study": result.study,
        "n_rows": len(result),
        "n_trials": result.n_trials,
        "seconds": result.info.seconds,
        "best": rows.to_dict("records"),
        "plateau": plateau,
    }
    emit(document, as_json)
    if as_json:
        return
    cells = [
        [f"{cell:.4f}" if isinstance(cell, float) else cell for cell in row] for row in rows.to_numpy(dtype=object)
    ]
    print_table(f"{result.strategy}: the best {len(rows)} of {len(result):,} by {metric}", list(rows.columns), cells)
    told = "the grid has no neighbours"
    if plateau:
        told = ", ".join(
            f"{name} {value:.4f}" if name == "score" else f"{name} {value}" for name, value in plateau.items()
        )
    trials = f"{result.n_trials:,} in study {result.study!r}"
    emit({}, False, f"plateau: {told}\nassumes: {result.assumptions}\ntrials: {trials}\nrun: {run}")


def _plateau(result: SweepResult) -> dict[str, Any] | None:
    """Return the combination with the best surroundings, and its score; None if the grid has no neighbours."""
    scores = result.plateau()["score"]
    if scores.isna().all():
        return None
    place = int(scores.argmax())
    key = result.index[place]
    named = dict(zip(result.index.names, key if isinstance(key, tuple) else (key,), strict=True))
    return named | {"score": float(scores.iloc[place])}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("sweep")(sweep)
