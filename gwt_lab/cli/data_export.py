"""`gwt data export-qlib`: bars as a provider folder for qlib."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gwt_lab.cli.data import data_app
from gwt_lab.cli.output import JsonFlag, emit

__all__ = ["register"]


def export(
    name_or_path: Annotated[str, typer.Argument(help="Catalog name, file or folder of bars.")],
    out: Annotated[Path, typer.Option(help="The provider folder to write; it must not exist yet.")],
    symbols: Annotated[str, typer.Option(help="Comma-separated symbols; all if left out.")] = "",
    start: Annotated[str | None, typer.Option(help="First open time, UTC.")] = None,
    end: Annotated[str | None, typer.Option(help="Last open time, UTC.")] = None,
    empty_rows: Annotated[bool, typer.Option(help="Keep the times at which no symbol has a bar.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier provider.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write bars as a provider folder that qlib reads."""
    from gwt_lab.data.load import load_bars
    from gwt_lab.data.qlib_export import export_qlib

    chosen = [name.strip() for name in symbols.split(",") if name.strip()] or None
    done = export_qlib(load_bars(name_or_path, chosen, start, end), out, empty_rows=empty_rows, overwrite=overwrite)
    left_out = f"\nleft out, no bar at all: {', '.join(done.without_bars)}" if done.without_bars else ""
    emit(
        done.to_dict(),
        as_json,
        f"{done.folder}: {len(done.codes)} instruments, {done.n_times:,} bars, freq '{done.freq}', "
        f"{done.start:%Y-%m-%d %H:%M} to {done.end:%Y-%m-%d %H:%M} UTC{left_out}\n"
        f"qlib.init(provider_uri={str(done.folder)!r}, region='us')",
    )


def register(app: typer.Typer) -> None:
    """Add the verb to `gwt data`."""
    data_app.command("export-qlib")(export)
