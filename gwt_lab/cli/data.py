"""`gwt data`: make, import and list bars; sibling modules add check, download and export-qlib to `data_app`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gwt_lab.cli.output import JsonFlag, emit, print_table
from gwt_lab.errors import ConfigError

if TYPE_CHECKING:
    from gwt_lab.market.bars import Bars

__all__ = ["data_app", "register"]

data_app = typer.Typer(no_args_is_help=True, help="Make, download, import, check, list and export bars.")

_FILES = {".parquet", ".csv", ".feather"}


def _is_file(out: str) -> bool:
    """Return whether `--out` names a file; else it is a catalog name. What could be neither is refused."""
    from gwt_lab.data.catalog_files import check_name

    path = Path(out)
    if path.suffix.lower() in _FILES:
        if not path.parent.is_dir():
            raise ConfigError(f"--out {out!r} lies in a folder that does not exist: make {str(path.parent)!r} first")
        return True
    if path.name != out:
        raise ConfigError(
            f"--out must be a catalog name such as 'demo', or a file that ends with {', '.join(sorted(_FILES))}; "
            f"got {out!r}"
        )
    check_name(out)
    return False


def _store(out: str, bars: Bars, source: dict[str, Any]) -> str:
    """Store bars under a catalog name or in a file; return where they are now."""
    from gwt_lab.data.catalog import Catalog
    from gwt_lab.data.load import write_bars

    if _is_file(out):
        return str(write_bars(Path(out), bars))
    catalog = Catalog()
    catalog.append(out, bars, source=source)
    return f"{out} in {catalog.path}"


def _say_bars(where: str, bars: Bars, as_json: bool, more: dict[str, Any]) -> None:
    document = {
        "stored": where,
        "symbols": bars.symbols,
        "timeframe": bars.timeframe,
        "start": bars.index[0],
        "end": bars.index[-1],
        "bars": int(bars.close.notna().to_numpy().sum()),
        "missing": int(bars.close.isna().to_numpy().sum()),
        "hash": bars.content_hash,
    } | more
    emit(document, as_json, f"{bars!r}\nstored: {where}")


@data_app.command()
def synth(
    out: Annotated[str, typer.Option(help="Catalog name, or a file that ends with .parquet, .csv or .feather.")],
    n_assets: Annotated[int, typer.Option(help="Number of symbols.")] = 12,
    n_bars: Annotated[int, typer.Option(help="Number of bars.")] = 20_000,
    timeframe: Annotated[str, typer.Option(help="Length of a bar, such as 1h.")] = "1h",
    seed: Annotated[int, typer.Option(help="Equal seeds give equal bars.")] = 7,
    spillover: Annotated[float, typer.Option(help="Strength of the planted lead-lag effect.")] = 0.05,
    as_json: JsonFlag = False,
) -> None:
    """Make a synthetic market with known truth and store its bars."""
    from gwt_lab.data.synthetic import synthetic_market

    _is_file(out)
    settings = {"n_assets": n_assets, "n_bars": n_bars, "timeframe": timeframe, "seed": seed, "spillover": spillover}
    bars = synthetic_market(n_assets=n_assets, n_bars=n_bars, timeframe=timeframe, seed=seed, spillover=spillover).bars
    where = _store(out, bars, {"kind": "synthetic"} | settings)
    _say_bars(where, bars, as_json, {"settings": settings})


def _row(row: dict[str, Any]) -> list[Any]:
    day = "%Y-%m-%d %H:%M"
    return [
        row["name"], row["symbol"], row["timeframe"], row["start"].strftime(day), row["end"].strftime(day),
        f"{row['bars']:,}", f"{row['missing']:,}", row["gaps"], row["hash"][:16], row["damaged"] or "",
    ]  # fmt: skip


@data_app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="Files, archives or folders.", metavar="FILE...")],
    name: Annotated[str, typer.Option(help="Catalog name to store the bars under.")],
    symbol: Annotated[str | None, typer.Option(help="Of files that do not say, such as BTC/USDT.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="Of files that do not say, such as 1h.")] = None,
    venue: Annotated[str | None, typer.Option(help="Which one of several in an exchange column.")] = None,
    times: Annotated[
        list[str] | None, typer.Option(help="day-first, month-first, close, or a time zone; may be repeated.")
    ] = None,
    repair: Annotated[
        list[str] | None, typer.Option(help="sort, drop-duplicates or drop-incomplete; may be repeated.")
    ] = None,
    price: Annotated[str | None, typer.Option(help="'close' for a wide table of closes by symbol.")] = None,
    revise: Annotated[bool, typer.Option("--revise", help="Let different values replace stored ones.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Import bars that others wrote; what could be read in two ways is refused, nothing is repaired unasked."""
    from gwt_lab.data.catalog import Catalog
    from gwt_lab.data.catalog_files import check_name
    from gwt_lab.data.importers import Ask, TimeReading, import_files

    check_name(name)
    ask = Ask(symbol, timeframe, venue, price, TimeReading.of(times or ()))
    found = import_files(files, ask, repair or ())
    for note in found.notes:
        sys.stderr.write(f"{note}\n")
    catalog = Catalog()
    written = catalog.append(name, found.bars, source={"kind": "import", "files": found.sources}, revise=revise)
    if written or found.repairs:
        record = {"files": found.sources, "repairs": found.repairs, "notes": found.notes}
        catalog.record(name, "import", record)
    more = {"files": found.sources, "repairs": found.repairs, "notes": found.notes, "written": len(written)}
    if not written and not as_json:
        sys.stderr.write(f"{name} has all of these bars already; nothing was written\n")
    _say_bars(f"{name} in {catalog.path}", found.bars, as_json, more)


@data_app.command("list")
def list_names(
    name: Annotated[str | None, typer.Argument(help="One catalog name; all if left out.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List what the catalog holds: ranges, missing bars, gaps and hashes, every file checked."""
    from gwt_lab.data.catalog import Catalog

    catalog = Catalog()
    table = catalog.describe(name)
    if as_json:
        emit({"catalog": str(catalog.path), "names": catalog.names(), "bars": table}, as_json)
    elif table.empty:
        emit({}, as_json, f"{catalog.path} holds no bars; `gwt data synth`, `import` or `download` fill it")
    else:
        titles = ["name", "symbol", "", "first bar", "last bar", "bars", "missing", "gaps", "hash", "damaged"]
        print_table(str(catalog.path), titles, [_row(row) for row in table.to_dict("records")])


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.add_typer(data_app, name="data")
