"""`Finding`: one defect of one symbol, and what each check looks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["ALL", "CHECKS", "SEVERITIES", "Finding", "finding"]

# the symbol of a finding that is about every symbol
ALL = "(all)"
SEVERITIES = ("error", "warning", "info")

# check -> what it looks for; the order of a report
CHECKS = {
    "unreadable-time": "rows whose open time is missing or cannot be read",
    "unreadable-symbol": "rows without a symbol",
    "not-a-number": "rows with text where a price or volume should be",
    "mixed-units": "times in another unit (s, ms, µs, ns, text) than most",
    "far-time": "times years away from all others",
    "off-grid": "times at which no bar of the timeframe opens",
    "unordered": "rows that stand after a later row of the same symbol",
    "duplicate": "the same bar more than once, with equal values",
    "conflicting-duplicate": "the same bar more than once, with different values",
    "daylight-saving": "labels on a local clock: an hour missing in one season and told twice in the other",
    "timezone-slip": "a stretch shifted by whole hours against the other symbols",
    "outage": "times at which every listed symbol is missing",
    "gap": "bars missing between a symbol's first and last bar",
    "listing": "a symbol that starts later than the others",
    "delisting": "a symbol that ends earlier than the others",
    "infinite-price": "open, high, low or close is infinite",
    "price-not-positive": "open, high, low or close is zero or negative",
    "partial-bar": "bars with some prices missing",
    "inconsistent-bar": "high below low, or open or close outside of them",
    "negative-volume": "volume below zero or infinite",
    "missing-volume": "bars with prices but no volume",
    "zero-volume": "bars in which nothing was traded",
    "redenomination": "a price level that jumps by a round factor between two bars while the volume jumps inversely",
    "spike": "a close that leaves its neighbours and comes back within two bars, alone",
    "wick": "a high or low far beyond the closes around it, alone",
    "jump": "a move that no other symbol shares and that stays",
    "stuck": "the same bar again and again",
    "same-prices": "two symbols with the same closes",
    "unfinished": "bars that had not closed when the data were taken",
}


@dataclass(frozen=True)
class Finding:
    """One defect of one symbol.

    Parameters
    ----------
    check : str
        A key of `CHECKS`.
    symbol : str
        Unified symbol; `ALL` if it is about every symbol.
    first : Timestamp or None
        Open time (UTC) of the first bad bar; None if that bar has no readable time.
    count : int
        Number of bad bars (of rows, for checks of rows).
    severity : {"error", "warning", "info"}
        error: a backtest on these data is wrong, or they cannot be used; warning: look before you use them; info: a
        fact about the data.
    what : str
        What was seen.
    do : str
        What to do.
    times : DatetimeIndex
        Open times of the bad bars.
    """

    check: str
    symbol: str
    first: pd.Timestamp | None
    count: int
    severity: str
    what: str
    do: str
    times: pd.DatetimeIndex = field(compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without `times`."""
        return {
            "check": self.check,
            "symbol": self.symbol,
            "first": None if self.first is None else self.first.isoformat(),
            "count": self.count,
            "severity": self.severity,
            "what": self.what,
            "do": self.do,
        }


def finding(check: str, symbol: str, severity: str, times_ns: Iterable[int], *, what: str, do: str) -> Finding:
    """Return a finding about bars that open at `times_ns`; times that cannot be read (NaT) are counted, not listed."""
    assert check in CHECKS
    assert severity in SEVERITIES
    stamps = np.sort(np.asarray(times_ns, dtype=np.int64))
    readable = stamps[stamps != np.iinfo(np.int64).min]
    index = pd.DatetimeIndex(readable, tz="UTC")
    return Finding(
        check=check,
        symbol=symbol,
        first=index[0] if len(index) else None,
        count=len(stamps),
        severity=severity,
        what=what,
        do=do,
        times=index,
    )
