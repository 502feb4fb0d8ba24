"""`gwt data download`: bars, trading rules and funding from an exchange into the catalog."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gwt_lab.cli.output import JsonFlag, emit, print_table
from gwt_lab.errors import ConfigError

if TYPE_CHECKING:
    from gwt_lab.data.ccxt_venue import CcxtVenue
    from gwt_lab.data.download import Report
    from gwt_lab.market.bars import Bars

__all__ = ["register"]

# Tests of the whole command let it ask a server on this machine; no other address is taken from the environment, since
# whoever sets an exchange's address decides what the bars are.
_LOOPBACK = "GWT_LOOPBACK_VENUE"
_SHOWN = ("bars", "new", "start", "end", "missing", "new_funding")


def _venue(exchange: str) -> CcxtVenue:
    from gwt_lab.data.ccxt_venue import CcxtVenue
    from gwt_lab.data.download_transport import check_base_url, is_loopback

    address = os.environ.get(_LOOPBACK)
    if address is None:
        return CcxtVenue(exchange)
    from yarl import URL

    if not is_loopback(URL(check_base_url(address)).host):
        raise ConfigError(f"{_LOOPBACK} may only name this machine, such as http://127.0.0.1:8080, got {address!r}")
    return CcxtVenue(exchange, base_url=address)


def _rows(bars: Bars, report: Report) -> list[dict[str, Any]]:
    rows = []
    for new in report.symbols:
        have = bars.close[new.symbol].dropna().index
        rows.append(
            {
                "symbol": new.symbol,
                "bars": len(have),
                "new": new.new_bars,
                "start": have[0] if len(have) else None,
                "end": have[-1] if len(have) else None,
                "missing": (len(bars.select(new.symbol, have[0], have[-1])) - len(have)) if len(have) else 0,
                "new_funding": new.new_funding,
                "new_rules": new.new_rules,
            }
        )
    return rows


def _say(bars: Bars, report: Report, as_json: bool) -> None:
    rows = _rows(bars, report)
    document = {
        "stored": report.name,
        "venue": report.venue,
        "timeframe": report.timeframe,
        "since": report.start,
        "until": report.end,
        "symbols": rows,
        "gaps": bars.gaps,
        "requests": report.requests,
        "hash": bars.content_hash,
    }
    if as_json:
        emit(document, as_json)
        return
    titles = ["symbol", "bars", "new", "first bar", "last bar", "missing", "new funding"]
    print_table(
        f"{report.name}: {report.timeframe} bars of {report.venue}, {report.requests} requests",
        titles,
        [[row["symbol"], *(_shown(row[key]) for key in _SHOWN)] for row in rows],
    )


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:%Y-%m-%d %H:%M}"


def register(app: typer.Typer) -> None:
    """Add the verb to `gwt data`."""
    from gwt_lab.cli.data import data_app

    @data_app.command("download")
    def download_verb(
        exchange: Annotated[str, typer.Argument(help="ccxt's id of the exchange, such as binance.")],
        symbols: Annotated[str, typer.Argument(help="BTC/USDT,ETH/USDT; BTC/USDT:USDT is the perpetual.")],
        timeframe: Annotated[str, typer.Argument(help="Length of a bar, such as 1h.")],
        since: Annotated[str, typer.Option(help="First open time wanted, UTC, such as 2021-01-01.")],
        until: Annotated[str | None, typer.Option(help="Last open time wanted; else the last closed bar.")] = None,
        name: Annotated[str | None, typer.Option(help="Catalog name; else exchange and timeframe.")] = None,
        as_json: JsonFlag = False,
    ) -> None:
        """Download bars, trading rules and funding; goes on where an earlier download was stopped."""
        from gwt_lab.data.download import download

        wanted = [symbol.strip() for symbol in symbols.split(",") if symbol.strip()]
        bars, report = download(_venue(exchange), wanted, timeframe, since, until, name=name)
        _say(bars, report, as_json)
