"""The loopback exchange speaks as the real one does: its answers against stored payloads of Binance, field by field."""

from __future__ import annotations

import gzip
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.download import download_bars
from tests.exchange.clients import ms, venue_of
from tests.exchange.listings import FIRST_BAR_MS, Listing, kline
from tests.exchange.server import LoopbackExchange

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def exchange() -> Iterator[LoopbackExchange]:
    with LoopbackExchange(seed=31) as server:
        yield server


def answer(exchange: LoopbackExchange, path: str) -> Any:
    with urllib.request.urlopen(f"{exchange.url}{path}", timeout=10) as response:
        return json.load(response)


def documented(folder: Path, name: str) -> Any:
    """Return a payload of the exchange's documentation: method, path, whether signed, then JSON."""
    text = (folder / "exchange_payloads" / "Binance.Net" / "Endpoints" / f"{name}.txt").read_text(encoding="utf-8-sig")
    return json.loads(text.split("\n", 3)[3])


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return {int: "number", float: "number", str: "text", list: "list", dict: "object"}.get(type(value), "null")


def check_shape(ours: Any, theirs: Any, where: str) -> None:
    """Every field of the sample is there with the same type, at every depth; an empty sample says nothing."""
    if theirs is None:
        return
    assert kind(ours) == kind(theirs), where
    if isinstance(theirs, dict):
        assert set(theirs) <= set(ours), f"{where}: {sorted(set(theirs) - set(ours))} missing"
        for key, value in theirs.items():
            check_shape(ours[key], value, f"{where}.{key}")
    elif isinstance(theirs, list) and theirs and ours:
        if isinstance(theirs[0], list):
            assert len(ours[0]) == len(theirs[0]), where
        check_shape(ours[0], theirs[0], f"{where}[0]")


def check_filters(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> int:
    """Compare the filters that both have; return how many."""
    mine = {each["filterType"]: each for each in ours}
    both = [each for each in theirs if each["filterType"] in mine]
    for each in both:
        check_shape(mine[each["filterType"]], each, each["filterType"])
    return len(both)


SAMPLES = {
    "Spot/ExchangeData/GetKlines": "/api/v3/klines?symbol=BTCUSDT&interval=1h&limit=3",
    "Spot/ExchangeData/GetServerTime": "/api/v3/time",
    "Spot/ExchangeData/GetTicker": "/api/v3/ticker/24hr?symbol=BTCUSDT",
    "Spot/ExchangeData/GetBookPrice": "/api/v3/ticker/bookTicker?symbol=BTCUSDT",
    "Spot/ExchangeData/GetRecentTrades": "/api/v3/trades?symbol=BTCUSDT&limit=5",
    "Spot/ExchangeData/GetAggregatedTradeHistory": "/api/v3/aggTrades?symbol=BTCUSDT&limit=5",
    "UsdFutures/ExchangeData/GetKlines": "/fapi/v1/klines?symbol=BTCUSDT&interval=1h&limit=3",
    "UsdFutures/ExchangeData/GetServerTime": "/fapi/v1/time",
    "UsdFutures/ExchangeData/GetFundingRates": "/fapi/v1/fundingRate?symbol=BTCUSDT&limit=3",
    "UsdFutures/ExchangeData/GetFundingInfo": "/fapi/v1/fundingInfo",
    "UsdFutures/ExchangeData/GetMarkPrice": "/fapi/v1/premiumIndex?symbol=BTCUSDT",
    "UsdFutures/ExchangeData/GetOrderBook": "/fapi/v1/depth?symbol=BTCUSDT&limit=5",
    "UsdFutures/ExchangeData/GetTicker": "/fapi/v1/ticker/24hr?symbol=BTCUSDT",
    "UsdFutures/ExchangeData/GetBookPrice": "/fapi/v1/ticker/bookTicker?symbol=BTCUSDT",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_an_answer_has_the_fields_and_types_of_the_documentation(
    name: str, exchange: LoopbackExchange, real_data: Path
) -> None:
    check_shape(answer(exchange, SAMPLES[name]), documented(real_data, name), name)


def test_the_spot_market_list_is_that_of_a_recorded_one(exchange: LoopbackExchange, real_data: Path) -> None:
    text = gzip.decompress((real_data / "exchange_payloads/cryptofeed/BINANCE.0.gz").read_bytes()).decode()
    line = next(each for each in text.splitlines() if "exchangeInfo" in each[:80])
    theirs = json.loads(line.split(": ", 1)[1])
    ours = answer(exchange, "/api/v3/exchangeInfo")
    their_btc, our_btc = (
        next(each for each in info["symbols"] if each["symbol"] == "BTCUSDT") for info in (theirs, ours)
    )
    # which order types exist and which filters apply has changed since; what both have must agree
    check_shape(ours, {key: value for key, value in theirs.items() if key != "symbols"}, "exchangeInfo")
    check_shape(our_btc, {key: value for key, value in their_btc.items() if key != "filters"}, "BTCUSDT")
    assert check_filters(our_btc["filters"], their_btc["filters"]) >= 6
    check_shape(our_btc, documented(real_data, "Spot/ExchangeData/GetExchangeInfo")["symbols"][0], "documented")


def test_the_perpetual_market_list_is_the_documented_one(exchange: LoopbackExchange, real_data: Path) -> None:
    theirs = documented(real_data, "UsdFutures/ExchangeData/GetExchangeInfo")
    ours = answer(exchange, "/fapi/v1/exchangeInfo")
    their_filters = theirs["symbols"][0].pop("filters")
    check_shape(ours, theirs, "exchangeInfo")
    assert check_filters(ours["symbols"][0]["filters"], their_filters) >= 6


def test_the_spot_book_is_that_of_a_recorded_one(exchange: LoopbackExchange, real_data: Path) -> None:
    text = (real_data / "exchange_payloads/cryptofeed/BINANCE.http.0.0").read_text(encoding="utf-8")
    theirs = json.loads(text.splitlines()[0].split(": ", 1)[1])
    ours = answer(exchange, "/api/v3/depth?symbol=BTCUSDT&limit=5")
    check_shape(ours, theirs, "depth")
    assert set(ours) == set(theirs)


def test_an_error_is_told_as_binance_tells_it(exchange: LoopbackExchange) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        answer(exchange, "/api/v3/klines?symbol=NOPE&interval=1h")
    assert caught.value.code == 400
    assert json.load(caught.value) == {"code": -1121, "msg": "Invalid symbol."}
    caught.value.close()


def test_real_bars_with_their_real_outages_come_through_unchanged(real_data: Path) -> None:
    """Hours of Binance to 2022, served page by page, downloaded, and compared with the file they came from."""
    folder = real_data / "binance_spot_1h"
    frame = pd.read_parquet(next(folder.glob("*.parquet")))
    served = {}
    symbols = ["BTC/USDT", "ETH/USDT"]
    time = next(name for name in frame.columns if "time" in name.lower() or "date" in name.lower())
    for symbol in symbols:
        rows = frame[frame["symbol"].str.replace("/", "") == symbol.replace("/", "")].sort_values(time)
        opens = pd.DatetimeIndex(rows[time])
        opens = (opens.tz_localize("UTC") if opens.tz is None else opens).as_unit("ms").asi8
        served[symbol] = (opens, rows[["open", "high", "low", "close", "volume"]].to_numpy(dtype=np.float64))

    def real_rows(
        listing: Listing, interval: str, window: tuple[int | None, int | None], limit: int, now: int
    ) -> list[list[object]]:
        opens, values = served[f"{listing.base}/{listing.quote}"]
        chosen = np.flatnonzero((opens >= (window[0] or 0)) & (opens <= (window[1] or now)))
        chosen = chosen[:limit] if window[0] is not None else chosen[-limit:]
        full = np.column_stack([values[chosen], np.zeros(len(chosen)), np.ones(len(chosen))])
        return [_exact(kline(int(at), 3_600_000, row), row) for at, row in zip(opens[chosen], full, strict=True)]

    since, until = "2018-01-01", "2019-12-31T23:00"
    with LoopbackExchange(rows=real_rows, now=ms("2022-01-01")) as exchange:
        bars = download_bars(venue_of(exchange), symbols, "1h", since, until)
        n_pages = len(exchange.requests())
    for symbol in symbols:
        opens, values = served[symbol]
        inside = (opens >= ms(since)) & (opens <= ms(until))
        present = bars.close[symbol].notna().to_numpy()
        np.testing.assert_array_equal(bars.index.as_unit("ns").asi8[present] // 1_000_000, opens[inside])
        for column, panel in enumerate((bars.open, bars.high, bars.low, bars.close, bars.volume)):
            np.testing.assert_array_equal(panel[symbol].to_numpy()[present], values[inside, column])
    # the outages of 2018 and 2019 are gaps: the longest began on 8 February 2018
    longest = bars.gaps.assign(length=bars.gaps["end"] - bars.gaps["start"]).nlargest(1, "length").iloc[0]
    assert longest["reason"] == "outage"
    assert longest["start"].strftime("%Y-%m-%d") == "2018-02-08"
    assert n_pages < 100
    assert FIRST_BAR_MS < ms(since)


def _exact(row: list[object], values: np.ndarray) -> list[object]:
    """Write the numbers in full: the file keeps more digits than the wire."""
    return [row[0], *(repr(float(value)) for value in values[:5]), *row[6:]]
