"""`download_bars` through real ccxt and a socket: what comes is what the exchange holds, however it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import gwt_lab as gwt
from gwt_lab.data.catalog import Catalog
from gwt_lab.data.download import Downloader, download, download_bars
from gwt_lab.data.download_window import first_open, last_closed, open_of
from gwt_lab.errors import ConfigError, DataError, UnknownNameError, VenueError
from gwt_lab.market.bars import Bars
from tests.exchange import faults
from tests.exchange.clients import SkippingClock, ms, rows_of, true_rows, venue_of
from tests.exchange.listings import HOUR_MS, LISTINGS, with_outages
from tests.exchange.server import LoopbackExchange

LAST = "2024-02-29T23:00"  # the last hour that has closed when the exchange says 00:30 on 1 March


@pytest.fixture
def exchange() -> Iterator[LoopbackExchange]:
    with LoopbackExchange(seed=5) as server:
        yield server


def fetch(exchange: LoopbackExchange, symbols: str | list[str], since: str, until: str | None = None) -> Bars:
    return download_bars(venue_of(exchange), symbols, "1h", since, until)


def same_as_exchange(exchange: LoopbackExchange, bars: Bars, symbol: str, start: str, end: str) -> None:
    np.testing.assert_array_equal(rows_of(bars, symbol), true_rows(exchange, symbol, "1h", start, end))


def hours_asked(exchange: LoopbackExchange) -> list[int]:
    """Return each page's first hour, counted from 2024."""
    return [(int(record.query["startTime"]) - ms("2024-01-01")) // HOUR_MS for record in exchange.requests()]


# ------------------------------------------------------------------------------------------------ what comes
def test_every_bar_comes_once_over_many_pages(exchange: LoopbackExchange) -> None:
    bars = fetch(exchange, "BTC/USDT", "2023-06-01")
    same_as_exchange(exchange, bars, "BTC/USDT", "2023-06-01", LAST)
    assert len(exchange.requests()) == 7
    assert bars.index[0] == pd.Timestamp("2023-06-01", tz="UTC")
    assert bars.gaps.empty


def test_it_is_a_public_name_and_lands_in_the_catalog(exchange: LoopbackExchange) -> None:
    bars = gwt.download_bars(venue_of(exchange), "BTC/USDT", "1h", "2024-02-01", name="spot")
    assert gwt.load_bars("spot").equals(bars)
    assert Catalog().history("spot")[0]["detail"]["source"] == {"venue": "binance"}


def test_the_name_is_exchange_and_timeframe_if_none_is_given(exchange: LoopbackExchange) -> None:
    fetch(exchange, "BTC/USDT", "2024-02-28")
    download_bars(venue_of(exchange), "BTC/USDT", "1d", "2024-02-01")
    assert Catalog().names() == ["binance-1d", "binance-1h"]


@pytest.mark.parametrize("timeframe", ["1m", "15m", "4h", "1d", "1w"])
def test_every_timeframe_has_its_own_grid(exchange: LoopbackExchange, timeframe: str) -> None:
    since = "2024-02-28" if timeframe == "1m" else "2023-11-01"
    bars = download_bars(venue_of(exchange), "BTC/USDT", timeframe, since)
    first = pd.Timestamp(first_open(pd.Timestamp(since, tz="UTC"), timeframe), unit="ms", tz="UTC")
    last = pd.Timestamp(last_closed(exchange.time_ms(), timeframe), unit="ms", tz="UTC")
    assert (bars.index[0], bars.index[-1]) == (first, last)
    assert not bars.close.isna().to_numpy().any()
    if timeframe == "1w":
        assert (bars.index.day_of_week == 0).all()


def test_the_unfinished_bar_is_left_out_by_the_exchanges_clock(
    exchange: LoopbackExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    # whatever this machine believes the time is
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert fetch(exchange, "BTC/USDT", "2024-02-29").index[-1] == pd.Timestamp(LAST, tz="UTC")
    exchange.now = ms("2024-03-01T00:59:59.999")
    assert fetch(exchange, "BTC/USDT", "2024-02-29").index[-1] == pd.Timestamp(LAST, tz="UTC")
    exchange.now = ms("2024-03-01T01:00")
    bars = fetch(exchange, "BTC/USDT", "2024-02-29")
    assert bars.index[-1] == pd.Timestamp("2024-03-01T00:00", tz="UTC")
    same_as_exchange(exchange, bars, "BTC/USDT", "2024-02-29", "2024-03-01T00:00")


def test_until_is_the_last_open_time(exchange: LoopbackExchange) -> None:
    bars = fetch(exchange, "BTC/USDT", "2024-01-01", "2024-01-02T05:30")
    assert (bars.index[0], bars.index[-1]) == (
        pd.Timestamp("2024-01-01", tz="UTC"),
        pd.Timestamp("2024-01-02T05:00", tz="UTC"),
    )
    # bars after it were not even asked for
    assert exchange.requests()[-1].query["limit"] == "30"


def test_a_start_between_two_bars_means_the_next_one(exchange: LoopbackExchange) -> None:
    assert fetch(exchange, "BTC/USDT", "2024-02-28T10:00:01").index[0] == pd.Timestamp("2024-02-28T11:00", tz="UTC")


def test_several_symbols_make_aligned_panels(exchange: LoopbackExchange) -> None:
    bars = fetch(exchange, ["BTC/USDT", "ETHUSDT", "LUNA/USDT"], "2022-05-01", "2022-05-31")
    assert bars.symbols == ["BTC/USDT", "ETH/USDT", "LUNA/USDT"]
    for symbol in bars.symbols:
        same_as_exchange(exchange, bars, symbol, "2022-05-01", "2022-05-31")
    assert bars.gaps.to_dict("records") == [
        {"symbol": "LUNA/USDT", "start": pd.Timestamp("2022-05-13T00:00", tz="UTC"),
         "end": pd.Timestamp("2022-05-31", tz="UTC"), "reason": "not listed"}
    ]  # fmt: skip


def test_an_outage_becomes_a_gap() -> None:
    hole = (ms("2024-02-10T04:00"), ms("2024-02-10T09:00"))
    with LoopbackExchange(seed=5, listings=with_outages(LISTINGS, (hole,))) as exchange:
        bars = fetch(exchange, ["BTC/USDT", "ETH/USDT"], "2024-02-01")
        assert set(bars.gaps["reason"]) == {"outage"}
        assert set(bars.gaps["start"]) == {pd.Timestamp("2024-02-10T04:00", tz="UTC")}
        assert set(bars.gaps["end"]) == {pd.Timestamp("2024-02-10T08:00", tz="UTC")}
        same_as_exchange(exchange, bars, "ETH/USDT", "2024-02-01", LAST)


def test_before_a_listing_there_is_nothing_and_it_is_not_asked_for_again(exchange: LoopbackExchange) -> None:
    bars = fetch(exchange, "SOL/USDT", "2020-01-01", "2020-09-01")
    assert bars.index[0] == pd.Timestamp("2020-08-11T06:00", tz="UTC")
    exchange.clear()
    fetch(exchange, "SOL/USDT", "2020-01-01", "2020-09-01")
    assert not exchange.requests()


# ------------------------------------------------------------------------------------------------ going on
def test_a_second_run_asks_for_what_is_new_alone(exchange: LoopbackExchange) -> None:
    fetch(exchange, "BTC/USDT", "2024-01-01")
    exchange.now = ms("2024-03-02T00:30")
    exchange.clear()
    bars = fetch(exchange, "BTC/USDT", "2024-01-01")
    # the last stored hour, 1439 hours into the year, comes along to be compared
    assert hours_asked(exchange) == [1439]
    assert exchange.requests()[0].query["limit"] == "25"
    same_as_exchange(exchange, bars, "BTC/USDT", "2024-01-01", "2024-03-01T23:00")


def test_an_earlier_start_grows_downwards(exchange: LoopbackExchange) -> None:
    fetch(exchange, "BTC/USDT", "2024-02-01")
    exchange.clear()
    bars = fetch(exchange, "BTC/USDT", "2023-01-01")
    same_as_exchange(exchange, bars, "BTC/USDT", "2023-01-01", LAST)
    assert max(int(record.query["startTime"]) for record in exchange.requests()) < ms("2024-02-01")


def test_a_later_span_is_joined_to_what_is_there(exchange: LoopbackExchange) -> None:
    fetch(exchange, "BTC/USDT", "2024-01-01", "2024-01-10")
    bars = fetch(exchange, "BTC/USDT", "2024-02-01", "2024-02-10")
    assert bars.index[0] == pd.Timestamp("2024-02-01", tz="UTC")
    same_as_exchange(exchange, Catalog().read("binance-1h"), "BTC/USDT", "2024-01-01", "2024-02-10")


def test_a_new_symbol_leaves_the_others_alone(exchange: LoopbackExchange) -> None:
    fetch(exchange, "BTC/USDT", "2024-02-01")
    exchange.clear()
    bars = fetch(exchange, ["BTC/USDT", "ETH/USDT"], "2024-02-01")
    assert {record.query["symbol"] for record in exchange.requests()} == {"ETHUSDT"}
    same_as_exchange(exchange, bars, "ETH/USDT", "2024-02-01", LAST)


def test_a_damaged_file_is_downloaded_again(exchange: LoopbackExchange) -> None:
    whole = Downloader(venue_of(exchange), Catalog(), "binance-1h", "1h", pages_per_write=1)
    asyncio.run(whole.run(["BTC/USDT"], pd.Timestamp("2023-10-01", tz="UTC"), None))
    before = Catalog().read("binance-1h")
    second = sorted((Catalog().path / "binance-1h" / "bars" / "BTC-USDT").glob("*.parquet"))[1]
    second.write_bytes(second.read_bytes()[:100])
    with pytest.raises(OSError, match="damaged"):
        Catalog().read("binance-1h")
    exchange.clear()
    assert fetch(exchange, "BTC/USDT", "2023-10-01").equals(before)
    assert len(exchange.requests()) == 1


def test_a_venue_that_changed_its_history_is_an_error_that_names_the_bar(exchange: LoopbackExchange) -> None:
    fetch(exchange, "BTC/USDT", "2024-02-01")
    exchange.now = ms("2024-03-02T00:30")
    exchange.faults = [faults.changed(0, {4: "1.5", 3: "1.0"})]
    with pytest.raises(
        VenueError, match="binance BTC/USDT at 2024-02-29 23:00:00 UTC came twice with different values"
    ):
        fetch(exchange, "BTC/USDT", "2024-02-01")


def test_another_exchange_under_the_same_name_is_refused(exchange: LoopbackExchange) -> None:
    download_bars(venue_of(exchange), "BTC/USDT", "1h", "2024-02-28", name="mine")
    rules = Catalog().read_table("mine", "instruments").assign(venue="kraken", valid_from="2020-01-01T00:00:00+00:00")
    Catalog().write_table("mine", "instruments", rules, ["symbol", "venue", "valid_from"])
    with pytest.raises(DataError, match="'mine' holds bars of kraken, got binance"):
        download_bars(venue_of(exchange), "BTC/USDT", "1h", "2024-02-28", name="mine")


def test_another_timeframe_under_the_same_name_is_refused_before_anything_is_fetched(
    exchange: LoopbackExchange,
) -> None:
    download_bars(venue_of(exchange), "BTC/USDT", "1h", "2024-02-28", name="mine")
    exchange.clear()
    with pytest.raises(DataError, match="'mine' holds bars of 1h, got 4h"):
        download_bars(venue_of(exchange), "BTC/USDT", "4h", "2024-02-28", name="mine")
    assert not exchange.log


# ------------------------------------------------------------------------------------------------ rules and funding
def test_rules_come_along_with_the_time_they_were_read(exchange: LoopbackExchange) -> None:
    bars = fetch(exchange, ["BTC/USDT", "XRP/USDT"], "2024-02-28")
    assert bars.instruments["XRP/USDT"].amount_lot == 1.0
    assert bars.instruments["BTC/USDT"].price_tick == 0.01
    assert bars.instruments["BTC/USDT"].valid_from == "2024-03-01T00:30:00+00:00"
    exchange.listings = tuple(replace(each, tick="0.10") if each.base == "BTC" else each for each in exchange.listings)
    exchange.now = ms("2024-03-02T00:30")
    later = fetch(exchange, ["BTC/USDT", "XRP/USDT"], "2024-02-28", "2024-02-29T12:00")
    assert later.instruments["BTC/USDT"].price_tick == 0.1
    history = Catalog().read_table("binance-1h", "instruments")
    btc = history[history["symbol"] == "BTC/USDT"]
    assert btc["price_tick"].tolist() == [0.01, 0.1]
    assert btc["valid_from"].str[:10].tolist() == ["2024-03-01", "2024-03-02"]
    assert (history["symbol"] == "XRP/USDT").sum() == 1


def funding(symbol: str = "BTC/USDT:USDT") -> pd.DataFrame:
    table = Catalog().read_table("binance-1h", "funding")
    return table[table["symbol"] == symbol].sort_values("timestamp").reset_index(drop=True)


def test_a_perpetual_brings_its_funding(exchange: LoopbackExchange) -> None:
    bars = fetch(exchange, ["BTC/USDT:USDT", "BTC/USDT"], "2023-01-01")
    same_as_exchange(exchange, bars, "BTC/USDT:USDT", "2023-01-01", LAST)
    told = exchange.tape("BTCUSDT", perpetual=True).funding((ms("2023-01-01"), ms(LAST) + HOUR_MS - 1), 9999, 2**60)
    assert funding()["rate"].tolist() == [float(str(row["fundingRate"])) for row in told]
    assert funding()["mark_price"].tolist() == [float(str(row["markPrice"])) for row in told]
    assert len(funding("BTC/USDT")) == 0
    assert len(exchange.requests("fundingRate")) >= 2


def test_funding_goes_on_in_both_directions(exchange: LoopbackExchange) -> None:
    fetch(exchange, "BTC/USDT:USDT", "2024-02-01", "2024-02-10")
    exchange.clear()
    fetch(exchange, "BTC/USDT:USDT", "2024-01-01")
    times = funding()["timestamp"]
    assert (times.diff().dropna() == pd.Timedelta("8h")).all()
    assert (times.iloc[0], times.iloc[-1]) == (
        pd.Timestamp("2024-01-01", tz="UTC"),
        pd.Timestamp("2024-02-29T16:00", tz="UTC"),
    )
    asked = {int(record.query["startTime"]) for record in exchange.requests("fundingRate")}
    assert not any(ms("2024-02-01") < start <= ms("2024-02-10") for start in asked)


def test_a_perpetual_is_not_asked_for_before_it_was_listed(exchange: LoopbackExchange) -> None:
    fetch(exchange, "ETH/USDT:USDT", "2017-01-01", "2019-12-31")
    listed = next(each.listed for each in LISTINGS if each.base == "ETH" and each.perpetual)
    starts = [int(record.query["startTime"]) for record in exchange.log if "startTime" in record.query]
    assert min(starts) == listed // HOUR_MS * HOUR_MS


def test_impossible_funding_is_refused(exchange: LoopbackExchange) -> None:
    def absurd(rates: list[dict[str, object]]) -> list[dict[str, object]]:
        return [*rates[:3], {**rates[3], "fundingRate": "1.5"}, *rates[4:]]

    exchange.faults = [faults.reshaped(absurd, "absurd rate", path="fundingRate")]
    with pytest.raises(VenueError, match=r"BTC/USDT:USDT: the funding of 2024-02-02 00:00 UTC .*\(rate 1.5"):
        fetch(exchange, "BTC/USDT:USDT", "2024-02-01")
    assert "funding" not in {path.name for path in (Catalog().path / "binance-1h").iterdir()}


def test_funding_sent_twice_is_kept_once_unless_it_differs(exchange: LoopbackExchange) -> None:
    exchange.faults = [faults.duplicated(path="fundingRate")]
    fetch(exchange, "BTC/USDT:USDT", "2024-02-01")
    assert not funding()["timestamp"].duplicated().any()
    assert len(funding()) == 87
    exchange.faults = [
        faults.reshaped(lambda rates: [{**rates[0], "fundingRate": "0.1"}, *rates], "twice", path="fundingRate")
    ]
    with pytest.raises(VenueError, match="came twice with different values"):
        fetch(exchange, "BTC/USDT:USDT", "2024-01-01")


# ------------------------------------------------------------------------------------------------ how it is called
def test_it_works_inside_a_running_event_loop(exchange: LoopbackExchange) -> None:
    async def notebook_cell() -> Bars:
        return fetch(exchange, "BTC/USDT", "2024-02-28")

    same_as_exchange(exchange, asyncio.run(notebook_cell()), "BTC/USDT", "2024-02-28", LAST)


def test_one_venue_may_be_used_again(exchange: LoopbackExchange) -> None:
    venue = venue_of(exchange)
    first, one = download(venue, "BTC/USDT", "1h", "2024-02-28")
    second, two = download(venue, "BTC/USDT", "1h", "2024-02-28")
    assert first.equals(second)
    # market list and time, and no page the second time
    assert (one.requests, two.requests) == (3, 2)
    assert (one.symbols[0].new_bars, two.symbols[0].new_bars) == (48, 0)


def test_an_open_venue_belongs_to_its_own_loop(exchange: LoopbackExchange) -> None:
    async def inside() -> None:
        async with venue_of(exchange) as venue:
            download_bars(venue, "BTC/USDT", "1h", "2024-02-28")

    with pytest.raises(ConfigError, match="is open already"):
        asyncio.run(inside())


def test_errors_come_out_as_they_are(exchange: LoopbackExchange) -> None:
    with pytest.raises(UnknownNameError, match="no market 'DOG/USDT'"):
        fetch(exchange, ["BTC/USDT", "DOG/USDT"], "2024-02-28")
    with pytest.raises(UnknownNameError, match="no bars of '1y'"):
        download_bars(venue_of(exchange), "BTC/USDT", "1y", "2024-02-28")
    with pytest.raises(ConfigError, match="at least one symbol"):
        fetch(exchange, [], "2024-02-28")
    with pytest.raises(DataError, match="is not a time"):
        fetch(exchange, "BTC/USDT", "yesterday-ish")
    assert not exchange.requests()
    assert Catalog().names() == []


def test_a_start_in_the_future_is_told_with_the_exchanges_time(exchange: LoopbackExchange) -> None:
    with pytest.raises(ConfigError, match=r"no 1h bar opens at or after 2024-03-05 00:00 .* it is 2024-03-01 00:30"):
        fetch(exchange, "BTC/USDT", "2024-03-05")


def test_a_time_without_bars_is_an_error(exchange: LoopbackExchange) -> None:
    with pytest.raises(DataError, match="binance has no 1h bars of SOL/USDT from 2019-01-01 00:00 to 2019-02-01 00:00"):
        fetch(exchange, "SOL/USDT", "2019-01-01", "2019-02-01")


def test_one_symbols_failure_keeps_the_whole_pages_of_all(exchange: LoopbackExchange) -> None:
    exchange.faults = [faults.changed(3, {2: "1.0"}, at=lambda record: record.query["symbol"] == "ETHUSDT", times=1)]
    venue = venue_of(exchange)
    downloader = Downloader(venue, Catalog(), "mine", "1h", pages_per_write=1, side_by_side=1)
    with pytest.raises(
        VenueError, match="binance ETH/USDT at 2023-10-01 03:00:00 UTC: the high is below another price"
    ):
        asyncio.run(downloader.run(["BTC/USDT", "ETH/USDT"], pd.Timestamp("2023-10-01", tz="UTC"), None))
    same_as_exchange(exchange, Catalog().read("mine"), "BTC/USDT", "2023-10-01", LAST)


def test_progress_tells_the_time_left(exchange: LoopbackExchange, capsys: pytest.CaptureFixture[str]) -> None:
    from gwt_lab import progress

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "_LOG_EVERY_SECONDS", 0.0)
        fetch(exchange, ["BTC/USDT", "ETH/USDT"], "2023-10-01")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("download binance-1h")]
    assert "left" in lines[0]
    assert "7296/7296" in lines[-1]


def test_symbols_are_fetched_side_by_side(exchange: LoopbackExchange) -> None:
    exchange.faults = [faults.delay(0.3, at={1, 2, 3, 4})]
    clock = SkippingClock()
    download_bars(venue_of(exchange, clock), ["BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT"], "1h", "2024-02-01")
    times = [record.at for record in exchange.requests()[:4]]
    assert max(times) - min(times) < 0.3


@pytest.mark.parametrize(
    ("when", "timeframe", "opened"),
    [
        ("2024-02-29T23:59:59.999", "1h", "2024-02-29T23:00"),
        ("2024-03-01T00:00", "1h", "2024-03-01"),
        ("2024-03-01T00:00", "1w", "2024-02-26"),
        ("2024-02-26T00:00", "1w", "2024-02-26"),
        ("2024-03-01T07:00", "4h", "2024-03-01T04:00"),
    ],
)
def test_the_bar_that_a_time_lies_in(when: str, timeframe: str, opened: str) -> None:
    assert open_of(ms(when), timeframe) == ms(opened)
    assert first_open(pd.Timestamp(opened, tz="UTC"), timeframe) == ms(opened)
    assert first_open(pd.Timestamp(opened, tz="UTC") + pd.Timedelta(1, "ns"), timeframe) > ms(opened)
