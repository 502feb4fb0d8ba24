"""What can go wrong on the way: each fault ends in the same bars, or in one clear error; never in wrong bars.

Through real ccxt and real sockets. Waits pass at once on a clock of the test's, except where a timeout is the subject.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.catalog import Catalog
from gwt_lab.data.ccxt_venue import CcxtVenue
from gwt_lab.data.download import Downloader, download_bars
from gwt_lab.data.rate_limit import Clock, Patience
from gwt_lab.errors import DataError, VenueError
from gwt_lab.market.bars import Bars
from tests.exchange import faults
from tests.exchange.clients import SkippingClock, rows_of, true_rows, venue_of
from tests.exchange.faults import Fault, Record, Rows
from tests.exchange.server import LoopbackExchange

SINCE, LAST = "2023-10-01", "2024-02-29T23:00"  # 3648 hours: four pages
FIRST_PAGE = 1_696_118_400_000


@pytest.fixture
def exchange() -> Iterator[LoopbackExchange]:
    with LoopbackExchange(seed=11) as server:
        yield server


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


def fetch(exchange: LoopbackExchange, clock: SkippingClock, **patience: float) -> Bars:
    venue = venue_of(exchange, clock, patience=Patience(**patience))  # type: ignore[arg-type]
    return download_bars(venue, "BTC/USDT", "1h", SINCE)


def same_as_exchange(exchange: LoopbackExchange, bars: Bars) -> None:
    np.testing.assert_array_equal(rows_of(bars, "BTC/USDT"), true_rows(exchange, "BTC/USDT", "1h", SINCE, LAST))


def wrong_page(rows: Rows) -> Rows:
    """Return the second half of a page, as if pages had been exchanged on the way."""
    return rows[len(rows) // 2 :]


def late(record: Record) -> bool:
    return record.of_path >= 3


# ------------------------------------------------------------------------------------------------ passing faults
PASSING: dict[str, Callable[[], Fault]] = {
    "500": lambda: faults.status(500, at={2}),
    "502 with a page for people": lambda: faults.status(502, body="<html>Bad gateway</html>", at={2}),
    "503 three times": lambda: faults.status(503, at={2, 3, 4}),
    "504": lambda: faults.status(504, at={1}),
    "408": lambda: faults.status(408, at={3}),
    "429": lambda: faults.status(429, retry_after="3", at={2}),
    "429 without a time": lambda: faults.status(429, at={2}),
    "truncated JSON": lambda: faults.truncated_json(at={2}),
    "reset mid body": lambda: faults.reset_mid_body(at={2}),
    "a page for people with 200": lambda: faults.html(at={2}),
    "an empty body": lambda: faults.body("", at={2}),
    "null": lambda: faults.body("null", at={2}),
    "an object for a list": lambda: faults.body("{}", at={2}),
    "rows that are no rows": lambda: faults.body("[1, 2, 3]", at={2}),
    "an error told with 200": lambda: faults.body('{"code": -1001, "msg": "Internal error"}', at={2}),
    "rows newest first": lambda: faults.shuffled(),
    "rows twice": lambda: faults.duplicated(),
    "an empty page in the middle": lambda: faults.empty(at={2}),
    "two empty pages": lambda: faults.empty(at={2, 4}),
    "an empty first page": lambda: faults.empty(at={1}),
    "a page with a hole": lambda: faults.without(100, 300, at={2}),
    "pages exchanged on the way": lambda: faults.reshaped(wrong_page, "wrong page", at={2}),
    "a page cut short": lambda: faults.reshaped(lambda rows: rows[:10], "short", at={2, 3}),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes_costs_no_bar(name: str, exchange: LoopbackExchange, clock: SkippingClock) -> None:
    exchange.faults = [PASSING[name]()]
    bars = fetch(exchange, clock)
    assert any(record.fault for record in exchange.log)
    same_as_exchange(exchange, bars)
    assert bars.gaps.empty


def test_faults_on_every_other_request_cost_no_bar(exchange: LoopbackExchange, clock: SkippingClock) -> None:
    exchange.faults = [
        fault(path=path, at=range(1, 99, 2))
        for path in ("exchangeInfo", "time", "klines")
        for fault in (faults.truncated_json,)
    ]
    same_as_exchange(exchange, fetch(exchange, clock))


# ------------------------------------------------------------------------------------------------ lasting faults
LASTING: dict[str, tuple[Callable[[], Fault], str]] = {
    "500": (lambda: faults.status(500, body="{}", at=late), r"1h bars of BTC/USDT: HTTP 500, 6 times in a row"),
    "429": (lambda: faults.status(429, retry_after="1", at=late), r"HTTP 429 \(Too many requests.\), 6 times in a row"),
    "truncated JSON": (lambda: faults.truncated_json(at=late), "an answer that is not JSON .*6 times"),
    "reset": (lambda: faults.reset_mid_body(at=late), "the answer broke off .*6 times"),
    "HTML": (lambda: faults.html(at=late), r"an answer that is not JSON \(text/html; charset=utf-8\), 6 times"),
    "null": (lambda: faults.body("null", at=late), "an answer that is not JSON .*6 times"),
    "an object": (lambda: faults.body("{}", at=late), "an empty object for an answer, 6 times"),
    "no rows": (lambda: faults.body("[1]", at=late), "row 0 of 1 is no bar, 6 times"),
}


@pytest.mark.parametrize("name", LASTING)
def test_a_fault_that_lasts_is_one_error_and_what_came_is_kept(
    name: str, exchange: LoopbackExchange, clock: SkippingClock
) -> None:
    fault, words = LASTING[name]
    exchange.faults = [fault()]
    with pytest.raises(VenueError, match=f"^binance, .*{words}") as caught:
        fetch(exchange, clock)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert "run it again to go on" in str(caught.value)
    # six tries of the third page, not more
    assert len(exchange.requests()) == 2 + 6
    # two whole pages, the second of which began with the last row of the first
    kept = Catalog().read("binance-1h")
    assert len(kept) == 1999
    exchange.faults = []
    exchange.clear()
    same_as_exchange(exchange, fetch(exchange, clock))
    assert min(int(record.query["startTime"]) for record in exchange.requests()) == FIRST_PAGE + 1998 * 3_600_000


def test_waits_between_tries_double(exchange: LoopbackExchange, clock: SkippingClock) -> None:
    exchange.faults = [faults.status(500, body="{}", path="time")]
    with pytest.raises(VenueError, match="its time: HTTP 500"):
        fetch(exchange, clock)
    waits = [wait for wait in clock.waits if wait > 0.21]
    assert len(waits) == 5
    assert all(0.25 * 2**k <= wait <= 0.5 * 2**k for k, wait in enumerate(waits))


REFUSED: dict[str, tuple[Callable[[], Fault], str]] = {
    "400": (lambda: faults.status(400, body='{"code": -1100, "msg": "Illegal characters"}'), "Illegal characters"),
    "401": (lambda: faults.status(401, body="{}"), "refused with HTTP 401"),
    "403": (lambda: faults.status(403, body="<html>WAF</html>"), "refused with HTTP 403; a firewall may stand"),
    "404": (lambda: faults.status(404, body="nothing"), "refused with HTTP 404"),
    "451": (lambda: faults.status(451, body="{}"), "refused with HTTP 451; it does not serve this location"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_not_tried_again(name: str, exchange: LoopbackExchange, clock: SkippingClock) -> None:
    fault, words = REFUSED[name]
    exchange.faults = [fault()]
    with pytest.raises(VenueError, match=words):
        fetch(exchange, clock)
    assert len(exchange.requests()) == 1


# ------------------------------------------------------------------------------------------------ limits and bans
def test_a_429_pauses_every_symbol_for_as_long_as_it_says(exchange: LoopbackExchange, clock: SkippingClock) -> None:
    exchange.faults = [faults.status(429, retry_after="37", at={2})]
    venue = venue_of(exchange, clock)
    passed: list[float] = []
    before = venue.before_request

    async def noted(cost: float) -> None:
        await before(cost)
        passed.append(clock.now)

    venue.before_request = noted  # type: ignore[method-assign]
    told: list[str] = []
    venue.limiter.on_wait = lambda seconds, why: told.append(f"{why}: {seconds:.0f} s")
    download_bars(venue, ["BTC/USDT", "ETH/USDT", "SOL/USDT"], "1h", SINCE)
    gaps = np.diff(passed)
    # nothing went out during the pause, by any symbol
    assert (gaps > 30).sum() == 1
    assert gaps.max() >= 36.0


def test_a_very_long_pause_ends_the_download(exchange: LoopbackExchange, clock: SkippingClock) -> None:
    exchange.faults = [faults.status(429, retry_after="3600", at={3})]
    with pytest.raises(VenueError, match=r"it wants no request for 3600 s \(HTTP 429\); what came is kept"):
        fetch(exchange, clock)
    assert len(exchange.requests()) == 3
    assert len(Catalog().read("binance-1h")) == 1999


def test_a_418_stops_everything_at_once(exchange: LoopbackExchange, clock: SkippingClock) -> None:
    exchange.faults = [faults.status(418, retry_after="600", at=lambda record: record.query["symbol"] == "ETHUSDT")]
    venue = venue_of(exchange, clock)
    with pytest.raises(VenueError, match=r"this address is banned \(HTTP 418\), for 600 s more; ask nothing of it"):
        download_bars(venue, ["ETH/USDT", "BTC/USDT", "SOL/USDT", "XRP/USDT"], "1h", "2022-01-01")
    banned = next(k for k, record in enumerate(exchange.log) if record.status == 418)
    # those that were on their way already may still arrive
    assert len(exchange.log) - banned <= 4
    asked = len(exchange.log)
    with pytest.raises(VenueError, match="banned"):
        download_bars(venue, "BTC/USDT", "1h", "2022-01-01")
    assert len(exchange.log) == asked
    clock.now += 601
    exchange.faults = []
    assert len(download_bars(venue, "BTC/USDT", "1h", "2024-02-28")) == 48


# ------------------------------------------------------------------------------------------------ time
def test_a_body_that_trickles_is_given_up(exchange: LoopbackExchange, clock: SkippingClock) -> None:
    exchange.faults = [faults.slow_body(0.02, at=range(1, 4))]
    with pytest.raises(VenueError, match=r"no whole answer within 0\.4 s, 3 times in a row"):
        fetch(exchange, clock, timeout_seconds=0.4, tries=3)
    assert len(exchange.requests()) == 3


def test_no_answer_at_all_is_given_up_and_tried_again(exchange: LoopbackExchange, clock: SkippingClock) -> None:
    exchange.faults = [faults.delay(30.0, at={1, 3})]
    # long enough for an honest page on a busy machine
    same_as_exchange(exchange, fetch(exchange, clock, timeout_seconds=2.0))


def test_a_wall_clock_that_steps_back_stalls_nothing(
    exchange: LoopbackExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    begun, real = time.monotonic(), time.time
    monkeypatch.setattr("time.time", lambda: real() - 3600.0 * (time.monotonic() - begun > 0.3))
    venue = CcxtVenue("binance", base_url=exchange.url, clock=Clock())
    same_as_exchange(exchange, download_bars(venue, "BTC/USDT", "1h", SINCE))
    assert time.monotonic() - begun < 20.0


# ------------------------------------------------------------------------------------------------ where bytes may go
@pytest.mark.parametrize("path", ["exchangeInfo", "time", "klines"])
def test_a_redirect_is_never_followed(path: str, exchange: LoopbackExchange, clock: SkippingClock) -> None:
    with LoopbackExchange(seed=11) as elsewhere:
        exchange.faults = [faults.redirect(elsewhere.url, path=path)]
        with pytest.raises(VenueError, match=r"answered with a redirect \(307\) to http://127.0.0.1:\d+/\S+, which is"):
            fetch(exchange, clock)
        assert elsewhere.log == []
    assert len(exchange.requests(path)) == 1


@pytest.mark.parametrize("compressed", [False, True])
def test_an_endless_body_is_not_read_to_its_end(
    compressed: bool, exchange: LoopbackExchange, clock: SkippingClock
) -> None:
    exchange.faults = [faults.bomb(24, compressed=compressed)]
    with pytest.raises(VenueError, match=r"sent more than 2 MiB for /api/v3/klines, which is no market data"):
        fetch(exchange, clock, max_body_megabytes=2.0)
    assert len(exchange.requests()) == 1


def test_an_exchange_that_is_not_there_is_one_line_after_a_few_tries(clock: SkippingClock) -> None:
    with LoopbackExchange() as gone:
        address = gone.url
    venue = CcxtVenue("binance", base_url=address, clock=clock.clock, patience=Patience(tries=3), rng=0)
    with pytest.raises(VenueError, match=r"^binance, the list of markets: it could not be reached \(\w+\), 3 times"):
        download_bars(venue, "BTC/USDT", "1h", SINCE)
    assert Catalog().names() == []


# ------------------------------------------------------------------------------------------------ bad rows
BAD_ROWS: dict[str, tuple[dict[int, object], str]] = {
    "NaN": ({4: "NaN"}, "missing or no number"),
    "null": ({1: None}, "missing or no number"),
    "text": ({1: "n/a"}, "missing or no number"),
    "infinite": ({2: "inf"}, "missing or no number"),
    "zero": ({3: "0.00000000"}, "a price is not positive"),
    "negative": ({1: "-5.0"}, "a price is not positive"),
    "negative volume": ({5: "-1.0"}, "a volume is negative"),
    "high below low": ({2: "1.0"}, "the high is below another price"),
    "low above the open": ({2: "999999.0", 3: "888888.0"}, "the low is above another price"),
    "off the grid": ({0: FIRST_PAGE + 7 * 3_600_000 + 1}, "its time does not open a bar of 1h"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_an_impossible_row_is_refused_by_name(name: str, exchange: LoopbackExchange, clock: SkippingClock) -> None:
    fields, words = BAD_ROWS[name]
    exchange.faults = [faults.changed(7, fields)]
    with pytest.raises(VenueError, match=rf"binance BTC/USDT at 2023-10-01 07:00:00 UTC: .*{words}"):
        fetch(exchange, clock)
    assert Catalog().names() == []


def test_rows_older_than_asked_are_compared_and_left_out(exchange: LoopbackExchange, clock: SkippingClock) -> None:
    # every page begins 50 rows too early
    def overlapping(listing, interval, window, limit, now):  # type: ignore[no-untyped-def]
        start, end = window
        tape = exchange.tape(listing.id)
        return tape.klines(interval, (None if start is None else start - 50 * 3_600_000, end), limit, now)

    exchange.rows = overlapping
    same_as_exchange(exchange, fetch(exchange, clock))


def test_an_overlap_that_contradicts_is_refused_by_name(exchange: LoopbackExchange, clock: SkippingClock) -> None:
    def overlapping(rows: Rows) -> Rows:
        first = [*rows[0]]
        first[5] = "123456.0"
        return [first, *rows[1:]]

    exchange.faults = [faults.reshaped(overlapping, "another series", at={2})]
    match = r"binance BTC/USDT at 2023-11-11 15:00:00 UTC came twice with different values: volume [\d.]+ and 123456\."
    with pytest.raises(VenueError, match=match):
        fetch(exchange, clock)
    # the page before it stands
    assert len(Catalog().read("binance-1h")) == 1000


def test_a_row_twice_in_one_page_with_other_values_is_refused(exchange: LoopbackExchange, clock: SkippingClock) -> None:
    exchange.faults = [faults.reshaped(lambda rows: [*rows, [*rows[5][:5], "1.0", *rows[5][6:]]], "twice", at={1})]
    with pytest.raises(VenueError, match="at 2023-10-01 05:00:00 UTC came twice with different values: volume"):
        fetch(exchange, clock)


def test_rows_newer_than_asked_are_left_out(exchange: LoopbackExchange, clock: SkippingClock) -> None:
    exchange.faults = [faults.reshaped(lambda rows: rows + _future(rows), "from the future")]
    same_as_exchange(exchange, fetch(exchange, clock))


def _future(rows: Rows) -> Rows:
    """Return rows that cannot be known yet, with absurd prices."""
    return [[rows[-1][0] + 10_000 * 3_600_000, "1.0", "0.5", "9.0", "-1.0", *rows[-1][5:]]]


def test_the_last_bar_may_change_while_it_is_open(exchange: LoopbackExchange, clock: SkippingClock) -> None:
    same_as_exchange(exchange, fetch(exchange, clock))
    open_bar = true_rows(exchange, "BTC/USDT", "1h", "2024-03-01", "2024-03-01")
    exchange.now = 1_709_254_800_000 + 60_000  # 01:01: the bar of midnight has closed, with other values
    bars = fetch(exchange, clock)
    closed = rows_of(bars, "BTC/USDT")[-1]
    assert closed[0] == open_bar[0, 0]
    assert closed[5] != open_bar[0, 5]


# ------------------------------------------------------------------------------------------------ any script of faults
@pytest.mark.parametrize("seed", range(6))
def test_whatever_goes_wrong_bars_are_true_or_there_is_an_error(
    seed: int, exchange: LoopbackExchange, clock: SkippingClock
) -> None:
    rng = np.random.default_rng(seed)
    kinds: list[Callable[[], Fault]] = [*PASSING.values(), *(fault for fault, _ in LASTING.values())]
    script = []
    for kind in rng.choice(len(kinds), size=6, replace=False):
        fault = kinds[int(kind)]()
        fault.at = {int(number) for number in rng.integers(1, 14, size=3)}
        script.append(fault)
    exchange.faults = script
    downloader = Downloader(venue_of(exchange, clock), Catalog(), "mine", "1h", pages_per_write=1)
    for _ in range(8):
        try:
            asyncio.run(downloader.run(["BTC/USDT"], pd.Timestamp(SINCE, tz="UTC"), None))
        except (VenueError, DataError):
            continue
        else:
            break
    bars = Catalog().read("mine")
    same_as_exchange(exchange, bars)
