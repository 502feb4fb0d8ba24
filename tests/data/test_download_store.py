"""What is still wanted, told from what the catalog holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwt_lab.data.catalog import Catalog
from gwt_lab.data.download_store import Held, Stretch, VenueStore, wanted_stretches
from gwt_lab.errors import DataError
from gwt_lab.market.instruments import Instrument
from tests.data.test_download_pages import HOUR, START, rows

NAME = "plain-1h"


@pytest.fixture
def store(tmp_path: Path) -> VenueStore:
    return VenueStore(Catalog(tmp_path), NAME, "plain", "1h")


def held(store: VenueStore) -> tuple[int, int]:
    found = store.held("BTC/USDT")
    assert found.first is not None
    assert found.last is not None
    return (found.first - START) // HOUR, (found.last - START) // HOUR


@given(
    span=st.one_of(st.none(), st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted)),
    start=st.integers(-10, 50),
    length=st.integers(1, 30),
    asked=st.one_of(st.none(), st.integers(-10, 40)),
)
def test_what_is_held_and_what_is_wanted_make_one_span(
    span: list[int] | None, start: int, length: int, asked: int | None
) -> None:
    end = start + length - 1
    state = Held() if span is None else Held(span[0], span[1], asked)
    stretches = wanted_stretches(state, start, end, 1)
    wanted = {time for stretch in stretches for time in range(stretch.start, stretch.end + 1)}
    have = set() if span is None else set(range(span[0], span[1] + 1))
    assert not wanted & have
    union = wanted | have
    known_empty = set() if span is None or asked is None else set(range(asked, span[0]))
    # everything asked for is there or known not to exist, and no hole of ours is left
    assert set(range(start, end + 1)) <= union | known_empty
    assert union == set(range(min(union), max(union) + 1))
    # earlier bars grow downwards, so that a kill leaves no hole
    assert all(stretch.downwards == (span is not None and stretch.end < span[0]) for stretch in stretches)


def test_lost_spans_are_wanted_where_they_touch_what_is_asked() -> None:
    state = Held(0, 100, lost=((10, 20), (50, 60)))
    assert wanted_stretches(state, 15, 40, 1) == [Stretch(15, 20)]
    assert wanted_stretches(state, 0, 100, 1) == [Stretch(10, 20), Stretch(50, 60)]


def test_an_empty_catalog_holds_nothing(store: VenueStore) -> None:
    assert store.held("BTC/USDT") == Held()
    assert store.rows_at("BTC/USDT", START).shape == (0, 7)
    assert store.funding_held("BTC/USDT") == Held()
    store.check_owner()


def test_stored_bars_come_back_bit_for_bit(store: VenueStore) -> None:
    odd = rows(0, 1, 2)
    odd[1, 1:5] = np.nextafter(odd[1, 1:5], 0)
    store.append("BTC/USDT", odd)
    np.testing.assert_array_equal(store.rows_at("BTC/USDT", START + HOUR), odd[1:2])
    assert held(store) == (0, 2)


def test_a_hole_of_years_does_not_stop_an_append(store: VenueStore) -> None:
    store.append("BTC/USDT", rows(0, 1, 90_000, 90_001))
    assert held(store) == (0, 90_001)
    files = sorted((store.catalog.path / NAME / "bars").rglob("*.parquet"))
    assert len(files) == 2


def test_what_a_damaged_file_held_is_wanted_again(store: VenueStore) -> None:
    for first in (0, 10, 20):
        store.append("BTC/USDT", rows(*range(first, first + 10)))
    middle = next((store.catalog.path / NAME / "bars" / "BTC-USDT").glob("20210101T10*"))
    middle.write_bytes(middle.read_bytes()[:-7])
    with pytest.raises(OSError, match="damaged"):
        store.catalog.read(NAME)
    assert store.held("BTC/USDT").lost == ((START + 10 * HOUR, START + 19 * HOUR),)
    # half of it is back: the other half is still wanted
    store.append("BTC/USDT", rows(*range(10, 15)))
    assert store.held("BTC/USDT").lost == ((START + 15 * HOUR, START + 19 * HOUR),)
    store.append("BTC/USDT", rows(*range(15, 20)))
    assert store.held("BTC/USDT").lost == ()


def test_a_lost_file_at_either_end_shortens_what_is_held(store: VenueStore) -> None:
    for first in (0, 10, 20):
        store.append("BTC/USDT", rows(*range(first, first + 10)))
    for stem in ("20210101T00*", "20210101T20*"):
        file = next((store.catalog.path / NAME / "bars" / "BTC-USDT").glob(stem))
        file.write_bytes(b"")
        with pytest.raises(OSError, match="damaged"):
            store.catalog.read(NAME)
    assert held(store) == (10, 19)
    assert store.held("BTC/USDT").lost == ()


def test_it_is_remembered_that_nothing_lies_before_the_first_bar(store: VenueStore) -> None:
    store.append("BTC/USDT", rows(5, 6))
    store.note_asked("BTC/USDT", "bars", START, START + 5 * HOUR)
    assert store.held("BTC/USDT").asked_from == START
    # once earlier bars are there, or the first were lost, it no longer holds
    store.append("BTC/USDT", rows(4))
    assert store.held("BTC/USDT").asked_from is None


def test_a_name_keeps_to_one_venue_and_timeframe(store: VenueStore) -> None:
    store.append("BTC/USDT", rows(0, 1))
    store.store_rules([Instrument("BTC/USDT", valid_from="2021-01-01T00:00:00+00:00", venue="plain")])
    store.check_owner()
    with pytest.raises(DataError, match="holds bars of plain, got other; a name holds one venue's bars"):
        VenueStore(store.catalog, NAME, "other", "1h").check_owner()
    with pytest.raises(DataError, match="holds bars of 1h, got 4h; use another name"):
        VenueStore(store.catalog, NAME, "plain", "4h").check_owner()


def test_rules_are_stored_when_they_change_with_the_time_they_were_read(store: VenueStore) -> None:
    def rule(tick: float, day: int) -> Instrument:
        return Instrument("BTC/USDT", price_tick=tick, valid_from=f"2021-01-0{day}T00:00:00+00:00", venue="plain")

    assert [store.store_rules([rule(*each)]) for each in ((0.01, 1), (0.01, 2), (0.1, 3), (0.1, 4), (0.01, 5))] == [
        1, 0, 1, 0, 1,
    ]  # fmt: skip
    table = store.catalog.read_table(NAME, "instruments")
    assert table["valid_from"].str[:10].tolist() == ["2021-01-01", "2021-01-03", "2021-01-05"]
    store.append("BTC/USDT", rows(0))
    assert store.catalog.read(NAME).instruments["BTC/USDT"] == rule(0.01, 5)


def test_funding_is_kept_by_time(store: VenueStore) -> None:
    rates = np.array([[START, 1e-4, 100.0], [START + 8 * HOUR, -2e-4, np.nan]])
    store.store_funding("BTC/USDT:USDT", rates)
    store.store_funding("BTC/USDT:USDT", rates)
    table = store.catalog.read_table(NAME, "funding")
    assert list(table.columns) == ["symbol", "timestamp", "rate", "mark_price"]
    assert table["timestamp"].tolist() == [
        pd.Timestamp("2021-01-01", tz="UTC"),
        pd.Timestamp("2021-01-01 08:00", tz="UTC"),
    ]
    assert table["rate"].tolist() == [1e-4, -2e-4]
    found = store.funding_held("BTC/USDT:USDT")
    assert (found.first, found.last) == (START, START + 8 * HOUR)


def test_what_a_killed_writer_left_behind_is_not_read(store: VenueStore) -> None:
    store.append("BTC/USDT", rows(0, 1))
    folder = store.catalog.path / NAME / "bars" / "BTC-USDT"
    whole = next(folder.glob("2021*"))
    (folder / f".writing-1-{whole.name}").write_bytes(whole.read_bytes()[:50])
    assert held(store) == (0, 1)
    assert len(store.catalog.read(NAME)) == 2
    store.append("BTC/USDT", rows(2))
    assert not list(folder.glob(".writing*"))
