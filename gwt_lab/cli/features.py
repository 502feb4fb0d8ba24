"""`gwt features`: Alpha158 or Alpha360 of stored bars, as one Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gwt_lab.cli.output import JsonFlag, emit

if TYPE_CHECKING:
    import pandas as pd

    from gwt_lab.market.bars import Bars

__all__ = ["register"]


def features(
    data: Annotated[str, typer.Option("--data", help="A catalog name or a file of bars.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write: .parquet. One that is there is replaced.")],
    name: Annotated[str, typer.Option("--set", help="alpha158 or alpha360.")] = "alpha158",
    column: Annotated[
        list[str] | None, typer.Option("--column", help="Columns of alpha158; all if not given. Repeatable.")
    ] = None,
    symbol: Annotated[list[str] | None, typer.Option("--symbol", help="Symbols; all if not given. Repeatable.")] = None,
    start: Annotated[str | None, typer.Option(help="First open time; windows begin there.")] = None,
    end: Annotated[str | None, typer.Option(help="Last open time.")] = None,
    qlib_compatible: Annotated[bool, typer.Option("--qlib-compatible", help="Follow qlib to the letter.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write features of stored bars as one Parquet file, index (datetime, instrument)."""
    from gwt_lab.data.load import load_bars
    from gwt_lab.errors import ConfigError

    if name not in ("alpha158", "alpha360") or (column and name != "alpha158"):
        raise ConfigError(f"--set must be alpha158, or alpha360 without --column, got {name!r}")
    if out.suffix.lower() != ".parquet" or not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {str(out)!r} must end in .parquet and lie in a folder that exists")
    bars = load_bars(data, symbols=symbol or None, start=start, end=end)
    frame = _computed(bars, name, column, qlib_compatible)
    _write(out, frame)
    document = {
        "stored": str(out),
        "set": name,
        "qlib_compatible": qlib_compatible,
        "symbols": bars.symbols,
        "timeframe": bars.timeframe,
        "start": bars.index[0],
        "end": bars.index[-1],
        "rows": len(frame),
        "columns": list(frame.columns),
        "bars_hash": bars.content_hash,
    }
    emit(document, as_json, f"{name} of {bars!r}\n{len(frame):,} rows x {frame.shape[1]} columns: {out}")


def _computed(bars: Bars, name: str, columns: list[str] | None, qlib_compatible: bool) -> pd.DataFrame:
    from gwt_lab import alpha158, alpha360

    if name == "alpha360":
        return alpha360(bars, qlib_compatible)
    return alpha158(bars, qlib_compatible, columns or None)


def _write(out: Path, frame: pd.DataFrame) -> None:
    from gwt_lab.errors import CatalogError
    from gwt_lab.places import whole_file

    try:
        with whole_file(out) as scratch:
            frame.to_parquet(scratch)
    except OSError as error:
        raise CatalogError(f"{out} cannot be written: {error.strerror or error}; choose another file") from None


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("features")(features)
