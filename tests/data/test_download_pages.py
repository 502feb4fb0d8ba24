"""Pages made into one series: any order, hole, overlap and page size gives the truth, or an error names the bar."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwt_lab.data.download_pages import NO_ROWS, PageReader, check_rows, merge_rows, to_frame
from gwt_lab.data.rate_limit import Clock, Patience
from gwt_lab.errors import VenueError
from tests.exchange.clients import SkippingClock

HOUR = 3_600_000
START = 1_609_459_200_000  # 2021-01-01


def rows(*numbers: int) -> np.ndarray:
    """Return bars of these hours after the start; every value follows from the hour."""
    number = np.array(numbers, dtype=np.float64)
    price = 100.0 + number
    return np.column_stack([START + number * HOUR, price, price + 2, price - 2, price + 1, 10 + number, 1000 + number])


@dataclass
class PlainVenue:
    """An exchange in memory: bars at some hours, `most` a page, and a habit of its own."""

    hours: list[int]
    most: int = 10
    window_only: bool = False  # rows of [since, since + most) alone, as some exchanges answer
    repeats: int = 0  # rows before `since` that it sends again
    empty_answers: set[int] = field(default_factory=set)
    id: str = "plain"
    asked: list[tuple[int | None, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock: Clock = SkippingClock().clock
        self.patience = Patience()

    def page_rows(self, symbol: str) -> int:
        return self.most

    async def bars(self, symbol: str, timeframe: str, since_ms: int | None, n_rows: int) -> np.ndarray:
        self.asked.append((since_ms, n_rows))
        if len(self.asked) in self.empty_answers:
            return NO_ROWS
        truth = rows(*self.hours)
        if since_ms is None:
            return truth[-n_rows:]
        first = int(np.searchsorted(truth[:, 0], since_ms))
        last = first + n_rows
        if self.window_only:
            last = min(last, int(np.searchsorted(truth[:, 0], since_ms + n_rows * HOUR)))
        return truth[max(first - self.repeats, 0) : last]


def read(venue: PlainVenue, first: int, last: int, known: np.ndarray = NO_ROWS) -> np.ndarray:
    async def collect() -> np.ndarray:
        reader = PageReader(venue, "BTC/USDT", "1h", known)
        pages = [page async for page in reader.pages(START + first * HOUR, START + last * HOUR)]
        through = [page.through_ms for page in pages]
        assert through == sorted(set(through))
        assert through[-1] == START + last * HOUR
        return np.concatenate([NO_ROWS, *[page.rows for page in pages]])

    return asyncio.run(collect())


@settings(max_examples=150, deadline=None)
@given(
    hours=st.sets(st.integers(0, 80)),
    most=st.integers(2, 30),
    window_only=st.booleans(),
    repeats=st.integers(0, 5),
    first=st.integers(0, 60),
    length=st.integers(1, 40),
)
def test_any_holes_and_page_sizes_give_every_bar_once(
    hours: set[int], most: int, window_only: bool, repeats: int, first: int, length: int
) -> None:
    venue = PlainVenue(sorted(hours), most, window_only, repeats)
    last = first + length - 1
    expected = rows(*sorted(hour for hour in hours if first <= hour <= last))
    np.testing.assert_array_equal(read(venue, first, last), expected.reshape(-1, 7))


@settings(max_examples=60, deadline=None)
@given(empty=st.integers(1, 12), most=st.integers(3, 12))
def test_one_empty_answer_anywhere_loses_no_bar(empty: int, most: int) -> None:
    venue = PlainVenue(list(range(60)), most, empty_answers={empty})
    np.testing.assert_array_equal(read(venue, 0, 59), rows(*range(60)))


def test_a_seam_asks_for_the_last_bar_again_and_for_nothing_else_twice() -> None:
    venue = PlainVenue(list(range(30)), most=10)
    read(venue, 0, 29)
    hours = [(since - START) // HOUR for since, _ in venue.asked if since is not None]
    assert hours == [0, 9, 18, 27]
    assert [n_rows for _, n_rows in venue.asked] == [10, 10, 10, 3]


def test_a_hole_is_asked_for_a_second_time_and_filled_if_the_answer_differs() -> None:
    class Forgetful(PlainVenue):
        async def bars(self, symbol: str, timeframe: str, since_ms: int | None, n_rows: int) -> np.ndarray:
            page = await super().bars(symbol, timeframe, since_ms, n_rows)
            return page[[0, 1, 5, 6]] if len(self.asked) == 1 else page

    venue = Forgetful(list(range(7)))
    np.testing.assert_array_equal(read(venue, 0, 6), rows(*range(7)))
    # the hole and the bar behind it
    assert venue.asked[1] == (START + 2 * HOUR, 4)
    assert len(venue.asked) == 2


def test_a_hole_is_believed_once_an_answer_shows_the_bar_behind_it() -> None:
    venue = PlainVenue([0, 1, 5, 6])
    np.testing.assert_array_equal(read(venue, 0, 6), rows(0, 1, 5, 6))
    assert len(venue.asked) == 2


@pytest.mark.parametrize("empty", [{1, 2}, {1, 3}, {2, 3}, {1, 2, 4}])
def test_several_empty_answers_lose_no_bar(empty: set[int]) -> None:
    class Holed(PlainVenue):
        async def bars(self, symbol: str, timeframe: str, since_ms: int | None, n_rows: int) -> np.ndarray:
            page = await super().bars(symbol, timeframe, since_ms, n_rows)
            return page[[0, 1, 5, 6]] if len(self.asked) == 1 and len(page) else page

    venue = Holed(list(range(7)), empty_answers=empty)
    np.testing.assert_array_equal(read(venue, 0, 6), rows(*range(7)))


def test_a_bar_that_is_there_but_never_sent_is_an_error() -> None:
    class Withholding(PlainVenue):
        async def bars(self, symbol: str, timeframe: str, since_ms: int | None, n_rows: int) -> np.ndarray:
            page = await super().bars(symbol, timeframe, since_ms, n_rows)
            return page if since_ms is None else page[page[:, 0] < START + 4 * HOUR]

    with pytest.raises(VenueError, match=r"newest bar is of 2021-01-01 06:00:00 UTC, but sends none after .* 03:00:00"):
        read(Withholding(list(range(7))), 0, 6)


def test_a_delisted_symbol_ends_without_walking_to_today() -> None:
    venue = PlainVenue(list(range(5)), most=3)
    assert len(read(venue, 0, 100_000)) == 5
    assert len(venue.asked) < 8


def test_windows_before_a_listing_are_walked_but_not_slept_through() -> None:
    venue = PlainVenue(list(range(400, 420)), most=10, window_only=True)
    clock = SkippingClock()
    venue.clock = clock.clock
    np.testing.assert_array_equal(read(venue, 0, 419), rows(*range(400, 420)))
    assert sum(clock.waits) <= 3 * venue.patience.first_delay_seconds


def test_rows_that_are_held_must_come_again_unchanged() -> None:
    venue = PlainVenue(list(range(10)))
    stored = rows(4)
    np.testing.assert_array_equal(read(venue, 5, 9, known=stored), rows(*range(5, 10)))
    stored[0, 4] += 0.5
    with pytest.raises(
        VenueError, match=r"plain BTC/USDT at 2021-01-01 04:00:00 UTC came twice .* close 105.5 and 105"
    ):
        read(venue, 5, 9, known=stored)


def test_a_quote_volume_stated_by_one_side_only_is_no_contradiction() -> None:
    stored = rows(4)
    stored[0, 6] = np.nan
    assert len(read(PlainVenue(list(range(10))), 5, 9, known=stored)) == 5


def test_merging_keeps_each_time_once_in_order() -> None:
    np.testing.assert_array_equal(merge_rows(rows(3, 4), rows(1, 3, 2), "x"), rows(1, 2, 3, 4))


@settings(max_examples=80, deadline=None)
@given(first=st.lists(st.integers(0, 20)), second=st.lists(st.integers(0, 20)))
def test_merging_is_the_union(first: list[int], second: list[int]) -> None:
    merged = merge_rows(rows(*first).reshape(-1, 7), rows(*second).reshape(-1, 7), "x")
    np.testing.assert_array_equal(merged, rows(*sorted({*first, *second})).reshape(-1, 7))


@pytest.mark.parametrize("column", range(1, 7))
def test_merging_refuses_any_other_value(column: int) -> None:
    other = rows(1, 2, 3)
    other[1, column] = np.nextafter(other[1, column], np.inf)
    with pytest.raises(VenueError, match="2021-01-01 02:00:00 UTC came twice with different values"):
        merge_rows(rows(1, 2, 3), other, "x")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (1, np.nan, "missing or no number"),
        (5, np.nan, "missing or no number"),
        (4, np.inf, "missing or no number"),
        (3, 0.0, "a price is not positive"),
        (3, -1.0, "a price is not positive"),
        (5, -0.1, "a volume is negative"),
        (6, -0.1, "a volume is negative"),
        (2, 101.5, "the high is below another price"),
        (3, 101.5, "the low is above another price"),
        (0, START + HOUR + 1.0, "its time does not open a bar of 1h"),
    ],
)
def test_an_impossible_bar_is_named(column: int, value: float, words: str) -> None:
    page = rows(0, 1, 2)
    page[1, column] = value
    with pytest.raises(VenueError, match=rf"binance BTC/USDT at 2021-01-01 01:00:00 UTC: .*{words}.*1 such bars"):
        check_rows(page, "binance BTC/USDT", "1h")


def test_possible_bars_pass_unchanged() -> None:
    flat = rows(0, 1)
    flat[:, 1:5] = 7.0
    flat[:, 5:] = 0.0
    flat[1, 6] = np.nan
    np.testing.assert_array_equal(check_rows(flat, "x", "1h"), flat)


def test_weeks_open_on_mondays() -> None:
    monday, thursday = 1_609_718_400_000, 1_609_372_800_000
    page = rows(0)
    page[0, 0] = monday
    check_rows(page, "x", "1w")
    page[0, 0] = thursday
    with pytest.raises(VenueError, match="does not open a bar of 1w"):
        check_rows(page, "x", "1w")


def test_a_frame_has_a_quote_volume_only_if_it_was_told() -> None:
    assert "quote_volume" in to_frame(rows(0, 1), "BTC/USDT")
    page = rows(0, 1)
    page[:, 6] = np.nan
    assert "quote_volume" not in to_frame(page, "BTC/USDT")
