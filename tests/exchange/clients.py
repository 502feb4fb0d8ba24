"""What tests need on the client's side: a clock that waits in no time, and venues that ask the loopback exchange."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.data.ccxt_venue import CcxtVenue
from gwt_lab.data.rate_limit import Clock
from gwt_lab.market.bars import Bars
from tests.exchange.listings import INTERVAL_MS
from tests.exchange.server import LoopbackExchange


class SkippingClock:
    """A monotonic clock whose waits pass at once; it remembers them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += max(seconds, 0.0)
        await asyncio.sleep(0)

    @property
    def clock(self) -> Clock:
        return Clock(self.monotonic, self.sleep)


def venue_of(exchange: LoopbackExchange, clock: SkippingClock | None = None, **options: Any) -> CcxtVenue:
    """Return a Binance venue that asks the loopback exchange and waits in no time."""
    clock = clock or SkippingClock()
    return CcxtVenue("binance", base_url=exchange.url, clock=clock.clock, rng=0, **options)


def ms(when: str) -> int:
    return pd.Timestamp(when, tz="UTC").value // 1_000_000


def true_rows(exchange: LoopbackExchange, symbol: str, timeframe: str, start: str, end: str) -> np.ndarray:
    """Return what the exchange would serve of `BTC/USDT` between two open times: time and six numbers."""
    base, _, rest = symbol.partition("/")
    tape = exchange.tape(base + rest.partition(":")[0], perpetual=":" in symbol)
    step = INTERVAL_MS[timeframe]
    opens = np.arange(ms(start), ms(end) + 1, step, dtype=np.int64)
    opens = opens[tape.listing.trades_at(opens)]
    values = tape.bars(opens, step, exchange.time_ms())[:, :6]
    # as printed on the wire
    return np.column_stack([opens, np.round(values, 8)])


def rows_of(bars: Bars, symbol: str) -> np.ndarray:
    """Return the bars of one symbol in the same form."""
    assert bars.quote_volume is not None
    present = bars.close[symbol].notna().to_numpy()
    fields = (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.quote_volume)
    times = bars.index.as_unit("ns").asi8[present] // 1_000_000
    return np.column_stack([times, *(frame[symbol].to_numpy()[present] for frame in fields)])
