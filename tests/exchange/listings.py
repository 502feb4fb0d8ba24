"""What the loopback exchange lists, and what every bar, trade and book of it is: pure functions of a seed and a time.

Any bar can be computed without its predecessors, so that two servers with one seed agree on every row, whatever was
asked of them before.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
FUNDING_MS = 8 * HOUR_MS
# 2017-08-17 04:00 UTC, the hour of Binance's first BTC/USDT bar
FIRST_BAR_MS = 1_502_942_400_000

INTERVAL_MS = {
    "1s": 1000, "1m": MINUTE_MS, "3m": 3 * MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS, "1h": HOUR_MS, "2h": 2 * HOUR_MS, "4h": 4 * HOUR_MS, "6h": 6 * HOUR_MS, "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS, "1d": DAY_MS, "3d": 3 * DAY_MS, "1w": 7 * DAY_MS,
}  # fmt: skip
# weeks open on Mondays
_WEEK_ORIGIN_MS = 4 * DAY_MS


@dataclass(frozen=True)
class Listing:
    """One market: its rules, the span it traded in and the holes in that span, times in ms."""

    base: str
    quote: str = "USDT"
    price: float = 100.0
    tick: str = "0.01"
    lot: str = "0.00001"
    min_notional: str = "5.00000000"
    perpetual: bool = False
    listed: int = FIRST_BAR_MS
    delisted: int | None = None
    outages: tuple[tuple[int, int], ...] = ()

    @property
    def id(self) -> str:
        return self.base + self.quote

    def trades_at(self, opens: np.ndarray) -> np.ndarray:
        alive = opens >= self.listed
        if self.delisted is not None:
            alive &= opens < self.delisted
        for begin, end in self.outages:
            alive &= ~((opens >= begin) & (opens < end))
        return alive


LISTINGS = (
    Listing("BTC", price=40_000.0),
    Listing("ETH", price=2_500.0, lot="0.0001"),
    Listing("SOL", price=95.0, lot="0.001", listed=1_597_125_600_000),
    Listing("XRP", price=0.55, tick="0.0001", lot="1"),
    Listing("LUNA", price=80.0, lot="0.01", listed=1_598_000_400_000, delisted=1_652_400_000_000),
    Listing("BTC", price=40_010.0, tick="0.10", lot="0.001", min_notional="100", perpetual=True,
            listed=1_567_965_600_000),
    Listing("ETH", price=2_501.0, lot="0.001", min_notional="20", perpetual=True, listed=1_574_838_000_000),
)  # fmt: skip


def with_outages(listings: Iterable[Listing], outages: tuple[tuple[int, int], ...]) -> tuple[Listing, ...]:
    """Return the listings, each with these holes added."""
    return tuple(replace(listing, outages=(*listing.outages, *outages)) for listing in listings)


def first_open(at: int, interval: str) -> int:
    """Return the first open time at or after a time."""
    step, origin = INTERVAL_MS[interval], _WEEK_ORIGIN_MS if interval == "1w" else 0
    return -((origin - at) // step) * step + origin


def _noise(times: np.ndarray, salt: int) -> np.ndarray:
    """Return numbers in [0, 1) that depend on time and salt alone (splitmix64)."""
    state = times.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53


@dataclass(frozen=True)
class Tape:
    """Prices and amounts of one listing under one seed."""

    listing: Listing
    seed: int

    @property
    def _salt(self) -> int:
        name = f"{self.listing.id}{self.listing.perpetual}{self.seed}"
        return zlib.crc32(name.encode()) * 2_654_435_761 % 2**63

    def price(self, times: np.ndarray) -> np.ndarray:
        """Return the price at each time, on the tick."""
        tick = float(self.listing.tick)
        phase = (self._salt % 997) / 997 * 2 * np.pi
        days = np.asarray(times, dtype=np.float64) / DAY_MS
        move = 0.35 * np.sin(2 * np.pi * days / 241 + phase) + 0.08 * np.sin(2 * np.pi * days / 13.7 + 2 * phase)
        move += 0.012 * (_noise(np.asarray(times), self._salt) - 0.5)
        return np.maximum(np.round(self.listing.price * np.exp(move) / tick), 1) * tick

    def bars(self, opens: np.ndarray, step: int, now: int) -> np.ndarray:
        """Return (n, 7): open, high, low, close, volume, quote volume, trades; the open bar stops at `now`."""
        tick = float(self.listing.tick)
        ends = np.minimum(opens + step, max(now, 0))
        first, last = self.price(opens), self.price(ends)
        wide = _noise(opens, self._salt + 1) * 0.004
        high = np.round(np.maximum(first, last) * (1 + wide) / tick) * tick
        low = np.maximum(np.round(np.minimum(first, last) * (1 - wide) / tick), 1) * tick
        high, low = np.maximum(high, np.maximum(first, last)), np.minimum(low, np.minimum(first, last))
        share = (ends - opens) / step
        volume = np.round((5 + 95 * _noise(opens, self._salt + 2)) * share * step / HOUR_MS, 5)
        quote = volume * (first + last) / 2
        return np.column_stack([first, high, low, last, volume, quote, np.floor(1 + 40 * volume)])

    def klines(self, interval: str, window: tuple[int | None, int | None], limit: int, now: int) -> list[list[object]]:
        """Return rows as Binance writes them: the first `limit` from a start, else the last `limit`."""
        step = INTERVAL_MS[interval]
        start, end = window
        last = (first_open(now + 1, interval) - step) if end is None else min(end, now)
        first = self.listing.listed if start is None else max(start, self.listing.listed)
        opens = np.arange(first_open(first, interval), last + 1, step, dtype=np.int64)
        opens = opens[self.listing.trades_at(opens)]
        opens = opens[:limit] if start is not None else opens[-limit:]
        if not len(opens):
            return []
        return [kline(int(at), step, row) for at, row in zip(opens, self.bars(opens, step, now), strict=True)]

    def funding(self, window: tuple[int | None, int | None], limit: int, now: int) -> list[dict[str, object]]:
        """Return funding rates, eight hours apart, oldest first."""
        start, end = window
        last = now if end is None else min(end, now)
        first = self.listing.listed if start is None else max(start, self.listing.listed)
        times = np.arange(-(-first // FUNDING_MS) * FUNDING_MS, last + 1, FUNDING_MS, dtype=np.int64)
        times = times[:limit] if start is not None else times[-limit:]
        rates = 0.0001 + 0.0004 * (_noise(times, self._salt + 3) - 0.5)
        return [
            {
                "symbol": self.listing.id,
                "fundingTime": int(at),
                "fundingRate": f"{rate:.8f}",
                "markPrice": f"{mark:.8f}",
            }
            for at, rate, mark in zip(times, rates, self.price(times), strict=True)
        ]


def kline(at: int, step: int, row: np.ndarray) -> list[object]:
    """Return one row as Binance writes it: twelve fields, numbers as text."""
    first, high, low, last, volume, quote, trades = row.tolist()
    return [
        at,
        *(f"{value:.8f}" for value in (first, high, low, last, volume)),
        at + step - 1,
        f"{quote:.8f}",
        int(trades),
        f"{0.5 * volume:.8f}",
        f"{0.5 * quote:.8f}",
        "0",
    ]
