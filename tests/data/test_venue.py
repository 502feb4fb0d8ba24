"""`CcxtVenue` through real ccxt over a socket: names, rules, limits, and what it refuses to do."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.ccxt_venue import CcxtVenue
from gwt_lab.data.rate_limit import Patience
from gwt_lab.errors import ConfigError, UnknownNameError, VenueError
from tests.exchange import faults
from tests.exchange.clients import SkippingClock, ms, true_rows, venue_of
from tests.exchange.server import NOW_MS, LoopbackExchange

Value = TypeVar("Value")


@pytest.fixture
def exchange() -> Iterator[LoopbackExchange]:
    with LoopbackExchange(seed=3) as server:
        yield server


def ask(venue: CcxtVenue, question: Callable[[CcxtVenue], Awaitable[Value]], symbols: list[str] | None = None) -> Value:
    async def whole() -> Value:
        async with venue:
            await venue.load(symbols or ["BTC/USDT"])
            return await question(venue)

    return asyncio.run(whole())


def page(venue: CcxtVenue) -> Awaitable[np.ndarray]:
    return venue.bars("BTC/USDT", "1h", ms("2024-01-01"), 24)


# ------------------------------------------------------------------------------------------------ what it returns
def test_a_page_is_what_the_exchange_served(exchange: LoopbackExchange) -> None:
    rows = ask(venue_of(exchange), page)
    np.testing.assert_array_equal(rows, true_rows(exchange, "BTC/USDT", "1h", "2024-01-01", "2024-01-01T23:00"))


def test_a_perpetual_comes_from_the_futures_host_with_its_quote_volume(exchange: LoopbackExchange) -> None:
    symbol = "BTC/USDT:USDT"
    rows = ask(venue_of(exchange), lambda venue: venue.bars(symbol, "1h", ms("2024-01-01"), 24), [symbol])
    np.testing.assert_array_equal(rows, true_rows(exchange, symbol, "1h", "2024-01-01", "2024-01-01T23:00"))
    assert {record.path for record in exchange.log} == {"/fapi/v1/exchangeInfo", "/fapi/v1/klines"}


def test_rules_are_those_of_the_filters(exchange: LoopbackExchange) -> None:
    async def both(venue: CcxtVenue) -> list[dict[str, Any]]:
        when = pd.Timestamp("2024-03-01", tz="UTC")
        return [venue.instrument(symbol, when).to_dict() for symbol in ("ETH/USDT", "ETH/USDT:USDT")]

    spot, perpetual = ask(venue_of(exchange), both, ["ETH/USDT", "ETH/USDT:USDT"])
    assert spot == {
        "symbol": "ETH/USDT", "price_tick": 0.01, "amount_lot": 0.0001, "min_amount": 0.0001, "min_notional": 5.0,
        "maker_fee": 0.001, "taker_fee": 0.001, "valid_from": "2024-03-01T00:00:00+00:00", "venue": "binance",
    }  # fmt: skip
    assert (perpetual["amount_lot"], perpetual["min_notional"]) == (0.001, 20.0)
    assert perpetual["taker_fee"] == 0.0005


def test_funding_has_rate_and_mark_price(exchange: LoopbackExchange) -> None:
    symbol = "BTC/USDT:USDT"
    rates = ask(venue_of(exchange), lambda venue: venue.funding(symbol, ms("2024-02-28")), [symbol])
    told = exchange.tape("BTCUSDT", perpetual=True).funding((ms("2024-02-28"), None), 1000, NOW_MS)
    expected = [[row["fundingTime"], float(str(row["fundingRate"])), float(str(row["markPrice"]))] for row in told]
    np.testing.assert_array_equal(rates, expected)
    assert len(rates) == 7


def test_time_is_the_exchanges_not_ours(exchange: LoopbackExchange) -> None:
    assert ask(venue_of(exchange), lambda venue: venue.server_time()) == NOW_MS


def test_an_exchange_that_tells_no_time_is_taken_by_the_date_of_its_answers(exchange: LoopbackExchange) -> None:
    clock = SkippingClock()

    async def later(venue: CcxtVenue) -> tuple[int, int]:
        venue._exchange.has["fetchTime"] = False
        first = await venue.server_time()
        clock.now += 90.0
        return first, await venue.server_time()

    first, second = ask(venue_of(exchange, clock), later)
    assert second - first == 90_000
    # the server's Date header is this machine's clock here
    assert abs(first - pd.Timestamp.now("UTC").value / 1e6) < 60_000
    assert not exchange.requests("time")


# ------------------------------------------------------------------------------------------------ names
def test_an_unknown_exchange_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"ccxt knows no exchange 'binanse'; did you mean .*binance"):
        CcxtVenue("binanse")


def test_an_unknown_symbol_is_answered_with_the_nearest(exchange: LoopbackExchange) -> None:
    with pytest.raises(UnknownNameError, match="binance has no market 'BTC/USTD'; did you mean BTC/USDT"):
        ask(venue_of(exchange), page, ["BTC/USTD"])


def test_an_unknown_timeframe_is_answered_with_those_there_are(exchange: LoopbackExchange) -> None:
    async def timeframe(venue: CcxtVenue) -> str:
        return venue.timeframe("7m")

    with pytest.raises(UnknownNameError, match=r"binance has no bars of '7m'.*it has 1s, 1m, 3m"):
        ask(venue_of(exchange), timeframe)


def test_only_the_market_lists_that_are_wanted_are_asked_for(exchange: LoopbackExchange) -> None:
    async def then_more(venue: CcxtVenue) -> None:
        assert [record.path for record in exchange.log] == ["/api/v3/exchangeInfo"]
        await venue.load(["ETH/USDT"])
        assert len(exchange.log) == 1
        await venue.load(["ETH/USDT:USDT", "SOL/USDT"])

    ask(venue_of(exchange), then_more)
    assert {record.path for record in exchange.log[1:]} == {"/api/v3/exchangeInfo", "/fapi/v1/exchangeInfo"}


def test_symbols_may_be_spelled_as_binance_does(exchange: LoopbackExchange) -> None:
    async def names(venue: CcxtVenue) -> list[str]:
        return await venue.load(["BTCUSDT", "eth-usdt", "BTC/USDT"])

    assert ask(venue_of(exchange), names) == ["BTC/USDT", "ETH/USDT"]


# ------------------------------------------------------------------------------------------------ limits
def test_requests_are_spaced_by_their_weight(exchange: LoopbackExchange) -> None:
    clock = SkippingClock()

    async def several(venue: CcxtVenue) -> float:
        begun = clock.now
        await asyncio.gather(*(page(venue) for _ in range(11)))
        return clock.now - begun

    # ccxt prices klines at 0.4 x 50 ms; the list of markets before them at 4 x 50 ms
    assert ask(venue_of(exchange, clock), several) == pytest.approx(0.2 + 10 * 0.02)


def test_a_heavy_use_of_the_address_is_waited_out() -> None:
    clock = SkippingClock()
    with LoopbackExchange(weight_limit=1_000_000) as exchange:
        minute = int(time.monotonic() // 60)
        # what other programs at this address have used
        exchange._weights |= {("spot", minute): 5400, ("spot", minute + 1): 5400}
        ask(venue_of(exchange, clock), page)
    pauses = [wait for wait in clock.waits if wait > 0.5]
    assert pauses
    assert all(1.0 <= pause <= 61.0 for pause in pauses)


def test_the_exchange_itself_would_have_refused_more(exchange: LoopbackExchange) -> None:
    exchange.weight_limit = 22
    with pytest.raises(VenueError, match=r"1h bars of BTC/USDT: HTTP 429 \(Too much request weight used.\), 2 times"):
        ask(venue_of(exchange, patience=Patience(tries=2)), lambda venue: _two_pages(venue))


async def _two_pages(venue: CcxtVenue) -> None:
    await page(venue)
    await page(venue)


# ------------------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    "address",
    ["http://example.com", "127.0.0.1:80", "ftp://127.0.0.1", "http://u:p@127.0.0.1", "http://127.0.0.1/x", ""],
)
def test_another_address_must_be_this_machine_or_https(address: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        CcxtVenue("binance", base_url=address)


def test_nothing_else_than_the_given_address_is_ever_asked(exchange: LoopbackExchange) -> None:
    async def stray(venue: CcxtVenue) -> np.ndarray:
        with LoopbackExchange() as other:
            venue._exchange.urls["api"]["public"] = f"{other.url}/api/v3"
            try:
                return await page(venue)
            finally:
                assert not other.log

    with pytest.raises(VenueError, match=r"would be asked, but only http://127.0.0.1:\d+ is allowed"):
        ask(venue_of(exchange), stray)


def test_without_an_address_of_ours_plain_http_is_refused(exchange: LoopbackExchange) -> None:
    async def plain() -> None:
        async with CcxtVenue("binance", clock=SkippingClock().clock) as venue:
            venue._exchange.urls["api"]["public"] = f"{exchange.url}/api/v3"
            await venue.load(["BTC/USDT"])

    with pytest.raises(VenueError, match="would be asked over http; market data comes over https alone"):
        asyncio.run(plain())
    assert not exchange.log


def test_a_closed_venue_says_how_to_open_it() -> None:
    with pytest.raises(VenueError, match="is not open: use `async with`"):
        asyncio.run(CcxtVenue("binance").server_time())


def test_errors_never_show_an_address_with_its_query(exchange: LoopbackExchange) -> None:
    exchange.faults = [faults.status(503, body="{}")]
    with pytest.raises(VenueError) as caught:
        ask(venue_of(exchange), page)
    chain: BaseException | None = caught.value
    assert "startTime" not in str(chain)
    assert "http://" not in str(chain)


def test_ccxt_is_imported_only_when_a_venue_is_made() -> None:
    program = """
        import sys
        import gwt_lab.data.ccxt_venue, gwt_lab.data.download, gwt_lab.data.qlib_adapter, gwt_lab.cli.app
        assert not {"ccxt", "aiohttp"} & set(sys.modules), sorted(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


def test_no_keys_are_taken() -> None:
    with pytest.raises(TypeError):
        CcxtVenue("binance", apiKey="key")  # type: ignore[call-arg]


def test_the_exchange_runs_as_a_process_of_its_own() -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.exchange", "--seed", "3", "--now", str(NOW_MS)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert server.stdin is not None
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    venue = CcxtVenue("binance", base_url=address, clock=SkippingClock().clock)
    assert ask(venue, lambda opened: opened.server_time()) == NOW_MS
    server.stdin.close()
    assert server.wait(20) == 0
    server.stdout.close()
