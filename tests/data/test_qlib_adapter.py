"""`QlibDataAdapter` through real ccxt and a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gwt_lab as gwt
from gwt_lab.data.ccxt_venue import CcxtVenue
from gwt_lab.data.qlib_adapter import QlibDataAdapter
from gwt_lab.data.rate_limit import Patience
from gwt_lab.errors import ConfigError, DataError, UnknownNameError, VenueError
from tests.exchange import faults
from tests.exchange.clients import SkippingClock, ms, true_rows, venue_of
from tests.exchange.listings import LISTINGS, with_outages
from tests.exchange.server import LoopbackExchange


@pytest.fixture
def exchange() -> Iterator[LoopbackExchange]:
    with LoopbackExchange(seed=21) as server:
        yield server


def fetch(exchange: LoopbackExchange, *arguments: Any, **named: Any) -> pd.DataFrame:
    async def whole() -> pd.DataFrame:
        async with QlibDataAdapter(venue=venue_of(exchange)) as adapter:
            return await adapter.fetch_ohlcv(*arguments, **named)

    return asyncio.run(whole())


def expected(exchange: LoopbackExchange, symbol: str, timeframe: str, start: str, end: str) -> np.ndarray:
    return true_rows(exchange, symbol, timeframe, start, end)[:, 1:6]


def test_the_newest_closed_bars_come_as_a_frame(exchange: LoopbackExchange) -> None:
    frame = fetch(exchange, "BTC/USDT", "1h", limit=48)
    assert frame.index[-1] == pd.Timestamp("2024-02-29T23:00", tz="UTC")
    assert (frame.index.name, str(frame.index.dtype)) == ("datetime", "datetime64[ns, UTC]")
    assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
    assert frame.attrs == {"symbol": "BTC/USDT", "timeframe": "1h"}
    np.testing.assert_array_equal(frame, expected(exchange, "BTC/USDT", "1h", "2024-02-28", "2024-02-29T23:00"))


def test_limit_counts_closed_bars_and_pages_beyond_a_thousand(exchange: LoopbackExchange) -> None:
    frame = fetch(exchange, "BTC/USDT", "1h", limit=2500)
    assert len(frame) == 2500
    assert (np.diff(frame.index.asi8) == 3_600_000_000_000).all()
    assert frame.index[-1] == pd.Timestamp("2024-02-29T23:00", tz="UTC")
    assert len(exchange.requests()) == 3


def test_a_thousand_bars_are_the_default_and_take_one_page(exchange: LoopbackExchange) -> None:
    assert len(fetch(exchange, "BTC/USDT", "1h")) == 1000
    assert len(exchange.requests()) == 1


def test_since_gives_the_first_bars_from_there(exchange: LoopbackExchange) -> None:
    frame = fetch(exchange, "BTC/USDT", "1h", limit=5, since="2024-01-01T00:30")
    np.testing.assert_array_equal(frame, expected(exchange, "BTC/USDT", "1h", "2024-01-01T01:00", "2024-01-01T05:00"))


def test_since_near_the_end_gives_what_has_closed(exchange: LoopbackExchange) -> None:
    frame = fetch(exchange, "BTC/USDT", "1h", limit=1000, since="2024-02-29T20:00")
    assert [moment.hour for moment in frame.index] == [20, 21, 22, 23]


def test_a_bar_counts_the_moment_it_closes_by_the_exchanges_clock(exchange: LoopbackExchange) -> None:
    exchange.now = ms("2024-03-01T00:59:59.999")
    assert fetch(exchange, "BTC/USDT", "1h", limit=1).index[0] == pd.Timestamp("2024-02-29T23:00", tz="UTC")
    exchange.now = ms("2024-03-01T01:00")
    assert fetch(exchange, "BTC/USDT", "1h", limit=1).index[0] == pd.Timestamp("2024-03-01T00:00", tz="UTC")


def test_missing_bars_are_absent_and_made_up_for_further_back() -> None:
    hole = (ms("2024-02-29T10:00"), ms("2024-02-29T20:00"))
    with LoopbackExchange(seed=21, listings=with_outages(LISTINGS, (hole,))) as exchange:
        frame = fetch(exchange, "BTC/USDT", "1h", limit=24)
    assert len(frame) == 24
    assert frame.index[0] == pd.Timestamp("2024-02-28T14:00", tz="UTC")
    assert not ((frame.index >= "2024-02-29T10:00Z") & (frame.index < "2024-02-29T20:00Z")).any()
    assert len(gwt.as_bars(frame)) == 34


def test_a_symbol_that_no_longer_trades_gives_its_last_bars(exchange: LoopbackExchange) -> None:
    frame = fetch(exchange, "LUNA/USDT", "1h", limit=10)
    assert len(frame) == 10
    assert frame.index[-1] == pd.Timestamp("2022-05-12T23:00", tz="UTC")


def test_fewer_bars_than_wanted_come_back_if_there_are_no_more(exchange: LoopbackExchange) -> None:
    exchange.now = ms("2020-08-11T20:30")
    frame = fetch(exchange, "SOL/USDT", "1h", limit=100)
    assert frame.index[0] == pd.Timestamp("2020-08-11T06:00", tz="UTC")
    assert len(frame) == 14


def test_the_frame_is_taken_by_every_public_function(exchange: LoopbackExchange) -> None:
    frame = fetch(exchange, "BTC/USDT", "4h", limit=100)
    bars = gwt.as_bars(frame)
    assert (bars.symbols, bars.timeframe, len(bars)) == (["BTC/USDT"], "4h", 100)
    np.testing.assert_array_equal(bars.close["BTC/USDT"], frame["close"])


def test_the_roadmaps_four_lines_work(exchange: LoopbackExchange) -> None:
    async def roadmap() -> pd.DataFrame:
        adapter = gwt.QlibDataAdapter(exchange_id="binance", venue=venue_of(exchange))
        await adapter.initialize()
        df = await adapter.fetch_ohlcv("BTC/USDT", "1h", limit=1000)
        await adapter.close()
        await adapter.close()
        return df

    assert len(asyncio.run(roadmap())) == 1000


def test_many_symbols_at_once(exchange: LoopbackExchange) -> None:
    async def gathered() -> list[pd.DataFrame]:
        async with QlibDataAdapter(venue=venue_of(exchange)) as adapter:
            await adapter.fetch_ohlcv("BTC/USDT", "1h", limit=1)
            symbols = ["BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT"]
            return list(await asyncio.gather(*(adapter.fetch_ohlcv(each, "1h", limit=48) for each in symbols)))

    for frame in asyncio.run(gathered()):
        symbol = frame.attrs["symbol"]
        np.testing.assert_array_equal(frame, expected(exchange, symbol, "1h", "2024-02-28", "2024-02-29T23:00"))


def refused(exchange: LoopbackExchange, ask: Callable[[QlibDataAdapter], Awaitable[object]]) -> None:
    async def whole() -> None:
        async with QlibDataAdapter(venue=venue_of(exchange)) as adapter:
            await ask(adapter)

    asyncio.run(whole())


def test_names_that_do_not_exist_are_answered_with_the_nearest(exchange: LoopbackExchange) -> None:
    with pytest.raises(UnknownNameError, match="no market 'BTC/USDD'; did you mean BTC/USDT"):
        refused(exchange, lambda adapter: adapter.fetch_ohlcv("BTC/USDD", "1h"))
    with pytest.raises(UnknownNameError, match="no bars of '2m'"):
        refused(exchange, lambda adapter: adapter.fetch_ohlcv("BTC/USDT", "2m"))
    with pytest.raises(UnknownNameError, match="no exchange 'binanc'; did you mean binance"):
        QlibDataAdapter("binanc")


@pytest.mark.parametrize("limit", [0, -1, 2.5, True, "10"])
def test_a_limit_is_a_number_of_bars(exchange: LoopbackExchange, limit: Any) -> None:
    with pytest.raises(ConfigError, match="limit must be a whole number of bars"):
        refused(exchange, lambda adapter: adapter.fetch_ohlcv("BTC/USDT", "1h", limit=limit))


def test_a_start_in_the_future_has_no_bars(exchange: LoopbackExchange) -> None:
    with pytest.raises(DataError, match="no closed 1h bar of BTC/USDT at or after 2024-03-05 00:00 UTC"):
        refused(exchange, lambda adapter: adapter.fetch_ohlcv("BTC/USDT", "1h", since="2024-03-05"))


def test_before_initialize_it_says_what_to_do() -> None:
    with pytest.raises(VenueError, match="is not open"):
        asyncio.run(QlibDataAdapter("binance").fetch_ohlcv("BTC/USDT", "1h"))


def test_two_exchanges_are_not_one() -> None:
    with pytest.raises(ConfigError, match="for 'kraken', the venue for 'binance'"):
        QlibDataAdapter("kraken", venue=CcxtVenue("binance"))


def test_an_exchange_that_does_not_answer_leaves_nothing_open(exchange: LoopbackExchange) -> None:
    exchange.faults = [faults.status(503, body="{}", path="time")]
    adapter = QlibDataAdapter(venue=venue_of(exchange, SkippingClock(), patience=Patience(tries=2)))

    async def enter() -> None:
        async with adapter:
            pass

    with pytest.raises(VenueError, match="its time: HTTP 503, 2 times in a row"):
        asyncio.run(enter())
    assert not adapter.venue.is_open
