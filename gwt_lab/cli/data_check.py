"""`gwt data check`: the quality report of a catalog name, a file or a folder.

Exit code 0: no error was found; 1: errors were found; 2: there was nothing that could be checked.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gwt_lab.cli.data import data_app
from gwt_lab.cli.output import JsonFlag, emit, print_table
from gwt_lab.errors import GwtLabError, UnknownNameError

if TYPE_CHECKING:
    from gwt_lab.data.quality import QualityReport

__all__ = ["check"]


@data_app.command()
def check(
    name_or_path: Annotated[str, typer.Argument(help="Catalog name, file or folder of files.")],
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML file.")] = None,
    now: Annotated[
        str | None, typer.Option(help="When the data were taken ('now' for this moment): finds unfinished bars.")
    ] = None,
    others: Annotated[
        str | None, typer.Option(help="Catalog name or path of more symbols to compare with; they are not checked.")
    ] = None,
    timeframe: Annotated[
        str | None, typer.Option(help="Length of a bar, such as 1h, of files that do not say.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Symbol of files that do not say, such as BTC/USDT.")] = None,
    venue: Annotated[str | None, typer.Option(help="Which one of several venues in a file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Look for gaps, duplicates, impossible prices, spikes, shifted clocks and more; nothing is changed."""
    try:
        report = _checked(name_or_path, {"timeframe": timeframe, "symbol": symbol, "venue": venue}, now, others)
        if html is not None:
            report.to_html(html, title=f"Data quality: {name_or_path}")
    except GwtLabError as error:
        # not 1, which says that the data were checked and have errors
        sys.stderr.write(f"gwt: {error}\n")
        raise typer.Exit(2) from None
    if as_json:
        emit({"data": name_or_path} | report.to_dict() | {"html": None if html is None else str(html)}, as_json)
    else:
        _print(name_or_path, report, html)
    if not report.passed:
        raise typer.Exit(1)


def _checked(name_or_path: str, ask: dict[str, str | None], now: str | None, others: str | None) -> QualityReport:
    """Return the report of what the name stands for; files are read with their defects."""
    from gwt_lab.data.catalog import Catalog
    from gwt_lab.data.importers import Ask
    from gwt_lab.data.importers.raw import read_raw
    from gwt_lab.data.load import load_bars
    from gwt_lab.data.quality import check_bars

    market = None if others is None else load_bars(others)
    catalog = Catalog()
    known = catalog.names()
    path = Path(name_or_path).expanduser()
    data: Any
    if name_or_path in known:
        data = load_bars(name_or_path, timeframe=ask["timeframe"])
    elif name_or_path and path.exists():
        data = read_raw(path, Ask(ask["symbol"], ask["timeframe"], ask["venue"]))
    else:
        raise UnknownNameError(
            f"{name_or_path!r} is neither a catalog name nor a path; the catalog {catalog.path} holds "
            f"{', '.join(known) or 'nothing yet'}"
        )
    return check_bars(data, timeframe=ask["timeframe"], now=now, others=market)


def _print(name: str, report: QualityReport, html: Path | None) -> None:
    rows = [
        [
            found.severity,
            found.check,
            found.symbol,
            "–" if found.first is None else f"{found.first:%Y-%m-%d %H:%M}",
            f"{found.count:,}",
            f"{found.what}; {found.do}",
        ]
        for found in report.findings
    ]
    if rows:
        print_table(name, ["severity", "check", "symbol", "first", "bars", "what, and what to do"], rows)
    emit({}, False, report.headline() + (f"\nreport: {html}" if html else ""))
