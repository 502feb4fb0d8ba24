"""The slow plain twin of the CSV importer: the csv module, datetime and a dictionary."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

Key = tuple[datetime, str]


def read_plain(path: Path, symbol: str) -> dict[Key, list[float]]:
    """Return (open time, symbol) to open, high, low, close, volume of a long CSV with a header.

    Times are ISO texts or numbers in s, ms, µs or ns; a missing number is NaN.
    """
    found: dict[Key, list[float]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            values = [
                float(row[name]) if row[name] else float("nan") for name in ("open", "high", "low", "close", "volume")
            ]
            key = (plain_time(row["timestamp"]), row.get("symbol") or symbol)
            if key in found:
                raise ValueError(f"{key} twice")
            found[key] = values
    return found


def plain_time(text: str) -> datetime:
    """Return a time written as ISO text or as a number since 1970."""
    if text.isdigit():
        number = int(text)
        for per_second in (1, 10**3, 10**6, 10**9):
            if 315_532_800 * per_second <= number <= 7_258_118_400 * per_second:
                return datetime.fromtimestamp(number // per_second, UTC)
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
