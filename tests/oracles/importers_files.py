"""Files as people have them, written plainly from one table of known bars; nothing here uses the importers."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Row:
    """One bar."""

    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def ms(self) -> int:
        return round(self.time.timestamp() * 1000)

    @property
    def prices(self) -> list[float]:
        return [self.open, self.high, self.low, self.close]

    @property
    def quote(self) -> float:
        return round(self.close * self.volume, 6)


def known_rows(
    n: int = 48, *, start: datetime = datetime(2021, 1, 20, tzinfo=UTC), step: timedelta = HOUR
) -> list[Row]:
    """Return bars whose values follow from their place."""
    rows = []
    for place in range(n):
        price = 100.0 + (place * 37 % 101) / 8
        rows.append(Row(start + place * step, price, price + 1.5, price - 2.25, price + 0.5, 10.0 + place * 0.125))
    return rows


def write_csv(
    path: Path, header: list[str] | None, rows: list[list[object]], *, delimiter: str = ",", top: str = ""
) -> Path:
    """Write a text table, packed if the name says so."""
    text = io.StringIO()
    text.write(top)
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    if header is not None:
        writer.writerow(header)
    writer.writerows(rows)
    data = text.getvalue().encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    if path.suffix == ".zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(path.stem + ".csv", data)
        data = packed.getvalue()
    path.write_bytes(data)
    return path


def binance(path: Path, rows: list[Row], *, unit: int = 1, header: bool = False, step: timedelta = HOUR) -> Path:
    """Write Binance's kline dump: twelve columns, open time in ms (`unit` 1) or µs (`unit` 1000)."""
    names = (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
    ).split(",")
    length = round(step.total_seconds() * 1000)
    lines: list[list[object]] = [
        [row.ms * unit, *row.prices, row.volume, (row.ms + length) * unit - 1, row.quote, 7, 1.0, 2.0, 0]
        for row in rows
    ]
    return write_csv(path, names if header else None, lines)


def ccxt_json(path: Path, rows: list[Row]) -> Path:
    """Write ccxt's fetch_ohlcv result, which is also freqtrade's JSON."""
    path.write_text(json.dumps([[row.ms, *row.prices, row.volume] for row in rows]))
    return path


def cryptodatadownload(path: Path, rows: list[Row], symbol: str, *, unix: str = "ms") -> Path:
    """Write a CryptoDataDownload file: address on top, newest first, volumes named by their currency."""
    base, quote = symbol.split("/")
    lines: list[list[object]] = []
    for row in reversed(rows):
        number = row.ms if unix == "ms" else row.ms // 1000
        date = row.time.strftime("%Y-%m-%d %H:%M:%S")
        lines.append([number, date, symbol, *row.prices, row.volume, row.quote, 12])
    names = [
        "Unix",
        "Date",
        "Symbol",
        "Open",
        "High",
        "Low",
        "Close",
        f"Volume {base}",
        f"Volume {quote}",
        "tradecount",
    ]
    return write_csv(path, names, lines, top="https://www.CryptoDataDownload.com\n")


def plain_csv(path: Path, rows: list[Row], spell: str = "%Y-%m-%d %H:%M:%S", **columns: str) -> Path:
    """Write timestamp, open, high, low, close, volume and constant columns, times spelt with strftime."""
    names = ["timestamp", "open", "high", "low", "close", "volume", *columns]
    lines = [[row.time.strftime(spell), *row.prices, row.volume, *columns.values()] for row in rows]
    return write_csv(path, names, lines)
