"""Times of any unit, zone and type become datetime64[ns, UTC] or are refused."""

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import DataError, UnknownNameError
from gwt_lab.market.time import (
    bars_per_year,
    check_timeframe,
    epoch_units,
    grid,
    on_grid,
    timeframe_ns,
    timeframe_of,
    timestamp,
    utc_index,
)

HOUR = 3600 * 10**9
# 2021-01-01T00:00 and 01:00 UTC
SECONDS = [1_609_459_200, 1_609_462_800]
WANTED = pd.DatetimeIndex(["2021-01-01 00:00", "2021-01-01 01:00"], tz="UTC").as_unit("ns")


def assert_wanted(index):
    assert str(index.dtype) == "datetime64[ns, UTC]"
    assert index.name == "datetime"
    assert index.asi8.tolist() == [second * 10**9 for second in SECONDS]


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9], ids=["s", "ms", "us", "ns"])
@pytest.mark.parametrize(
    "kind",
    [np.array, lambda x: pd.Series(x, dtype="Int64"), lambda x: pd.Series(x, dtype=object), pd.Index, list,
     lambda x: pd.Series(x).astype("int64[pyarrow]"), lambda x: pd.Series(x).astype("category")],
    ids=["numpy", "nullable", "object", "index", "list", "arrow", "category"],
)  # fmt: skip
def test_numbers_of_every_unit(factor, kind):
    assert_wanted(utc_index(kind([second * factor for second in SECONDS])))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def test_datetimes_of_every_unit_and_zone(unit, zone):
    times = WANTED.as_unit(unit)
    times = times.tz_localize(None) if zone is None else times.tz_convert(zone)
    assert_wanted(utc_index(times))
    assert_wanted(utc_index(pd.Series(times)))


@pytest.mark.parametrize(
    "times",
    [
        ["2021-01-01", "2021-01-01T01:00"],
        ["2021-01-01T00:00:00Z", "2021-01-01T02:00:00+01:00"],
        [datetime(2021, 1, 1, tzinfo=UTC), datetime(2020, 12, 31, 20, tzinfo=timezone(timedelta(hours=-5)))],
        [pd.Timestamp("2021-01-01"), pd.Timestamp("2021-01-01 02:00", tz="Europe/Berlin")],
        np.array(["2021-01-01T00", "2021-01-01T01"], dtype="datetime64[h]"),
        pd.Series(["2021-01-01 00:00", "2021-01-01 01:00"]).astype("string[pyarrow]"),
    ],
    ids=["iso", "iso offsets", "datetime", "mixed zones", "hours", "arrow text"],
)
def test_texts_and_objects(times):
    assert_wanted(utc_index(times))


def test_dates_and_fractions_of_a_second():
    assert utc_index([date(2021, 1, 1)])[0] == pd.Timestamp("2021-01-01", tz="UTC")
    assert utc_index([1_609_459_200.5])[0] == pd.Timestamp("2021-01-01 00:00:00.500", tz="UTC")


def test_the_hour_that_comes_twice_stays_two_hours():
    berlin = pd.date_range("2021-10-31 00:00", periods=4, freq="h", tz="UTC").tz_convert("Europe/Berlin")
    assert [f"{time:%H}" for time in berlin] == ["02", "02", "03", "04"]
    assert np.diff(utc_index(berlin).asi8).tolist() == [HOUR] * 3


def test_local_times_across_a_skipped_hour_are_even_in_utc():
    new_york = pd.date_range("2021-03-14 05:00", periods=4, freq="h", tz="UTC").tz_convert("America/New_York")
    assert [f"{time:%H}" for time in new_york] == ["00", "01", "03", "04"]
    assert np.diff(utc_index(new_york).asi8).tolist() == [HOUR] * 3


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([*SECONDS, SECONDS[0] * 1000], "mixes time units: most are s, row 2 holds 1609459200000"),
        ([SECONDS[0], SECONDS[0] * 1000, SECONDS[1] * 1000], "most are ms, row 0 holds 1609459200;"),
        ([5, 6], "timestamp holds 5, which is no time between 1980 and 2200"),
        ([20210101, 20210102], "no time between 1980 and 2200"),
        ([SECONDS[0], None], "timestamp has a missing number in row 1"),
        (pd.Series([SECONDS[0], None], dtype="Int64"), "missing number in row 1"),
        ([SECONDS[0], np.inf], "missing number in row 1"),
        ([pd.Timestamp("2021"), pd.NaT], "timestamp is missing in row 1"),
        (["2021-01-01", None], "timestamp is missing in row 1"),
        (["01/02/2021 10:00"], "not a time: .*01/02/2021"),
        (["1609459200000"], "not a time"),
        ([True], "not a time"),
        ([1j], "not a time"),
        (pd.to_timedelta([1, 2], unit="h"), "not a time"),
        (np.array(["3000-01-01"], dtype="datetime64[us]"), "out of range: .*3000"),
        (["3000-01-01"], "out of range"),
        (np.zeros((2, 2)), r"one column of times, got an array of shape \(2, 2\)"),
    ],
)
def test_refused_times_say_where(times, message):
    with pytest.raises(DataError, match=message) as caught:
        utc_index(times)
    assert "\n" not in str(caught.value)


def test_the_column_is_named_in_the_error():
    with pytest.raises(DataError, match=r"^known_from holds"):
        utc_index([5], name="known_from")


def test_no_times_are_no_times():
    assert len(utc_index([])) == 0
    assert str(utc_index([]).dtype) == "datetime64[ns, UTC]"


def test_units_are_told_apart_at_their_borders():
    year_1980, year_2200 = 315_532_800, 7_258_118_400
    assert epoch_units(np.array([year_1980, year_2200])).tolist() == [0, 0]
    assert epoch_units(np.array([year_1980 - 1, year_2200 + 1])).tolist() == [-1, -1]
    numbers = np.array([year_1980 * 1000, year_2200 * 1000, year_1980 * 10**6, year_2200 * 10**9])
    assert epoch_units(numbers).tolist() == [1, 1, 2, 3]


# ------------------------------------------------------------------------------------------------ one time
@pytest.mark.parametrize(
    "when",
    ["2021-01-01", "2021-01-01T01:00+01:00", 1_609_459_200, 1_609_459_200_000, 1_609_459_200.0,
     np.int64(1_609_459_200_000_000_000), date(2021, 1, 1), np.datetime64("2021-01-01"),
     pd.Timestamp("2021-01-01 05:30", tz="Asia/Kolkata")],
)  # fmt: skip
def test_one_time(when):
    moment = timestamp(when)
    assert moment == pd.Timestamp("2021-01-01", tz="UTC")
    assert moment.unit == "ns"
    assert str(moment.tzinfo) == "UTC"


@pytest.mark.parametrize("when", [None, pd.NaT, True, "yesterday-ish", [1], "3000-01-01", 17, float("nan"), object()])
def test_no_time(when):
    with pytest.raises(DataError):
        timestamp(when)


def test_now_is_utc(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    import time

    time.tzset()
    try:
        assert abs(timestamp("now") - pd.Timestamp(datetime.now(UTC))) < pd.Timedelta("10s")
        assert timestamp("today") == pd.Timestamp(datetime.now(UTC)).normalize()
    finally:
        monkeypatch.undo()
        time.tzset()


# ------------------------------------------------------------------------------------------------ timeframes
@pytest.mark.parametrize(
    ("timeframe", "seconds", "per_year"),
    [("1s", 1, 31_536_000), ("1m", 60, 525_600), ("15m", 900, 35_040), ("1h", 3600, 8760), ("4h", 14_400, 2190),
     ("1d", 86_400, 365), ("1w", 604_800, 365 / 7)],
)  # fmt: skip
def test_lengths(timeframe, seconds, per_year):
    assert timeframe_ns(timeframe) == seconds * 10**9
    assert bars_per_year(timeframe) == pytest.approx(per_year, rel=1e-12)


@pytest.mark.parametrize(
    "timeframe", ["", "h", "0h", "1M", "1.5h", "-1h", "1 h", "h1", "1hour", None, 3600, "01h", "1h\n"]
)
def test_no_timeframe(timeframe):
    with pytest.raises(UnknownNameError, match="timeframe must be a number and one of s, m, h, d, w"):
        check_timeframe(timeframe)


@pytest.mark.parametrize("timeframe", ["1s", "30s", "1m", "5m", "1h", "4h", "1d", "3d", "1w"])
def test_recognised_from_the_steps(timeframe):
    index = grid(pd.Timestamp("2021-01-04", tz="UTC"), pd.Timestamp("2021-06-30", tz="UTC"), timeframe)[:60]
    assert timeframe_of(index) == timeframe
    # gaps and repeats do not change the most frequent step
    kept = np.r_[0:10, 13:20, 20, 25:]
    if len(index) > 30:
        assert timeframe_of(index[kept]) == timeframe


def test_recognised_whatever_the_unit_and_order():
    index = pd.date_range("2021-01-01", periods=20, freq="h", tz="UTC")
    for unit in ("s", "ms", "us", "ns"):
        assert timeframe_of(index.as_unit(unit)[::-1]) == "1h"


@pytest.mark.parametrize("times", [[], ["2021-01-01"], ["2021-01-01", "2021-01-01"]])
def test_too_few_times_for_a_timeframe(times):
    with pytest.raises(DataError, match="at least 2 distinct times"):
        timeframe_of(utc_index(times))


def test_a_step_below_a_second_is_no_timeframe():
    with pytest.raises(DataError, match="which is no timeframe"):
        timeframe_of(pd.date_range("2021", periods=5, freq="100ms", tz="UTC"))


def test_grid_holds_both_ends_and_steps_evenly():
    index = grid(timestamp("2021-01-01"), timestamp("2021-01-02"), "1h")
    assert len(index) == 25
    assert (index[0], index[-1]) == (timestamp("2021-01-01"), timestamp("2021-01-02"))
    assert str(index.dtype) == "datetime64[ns, UTC]"
    assert len(grid(timestamp("2021-01-01"), timestamp("2021-01-01"), "1h")) == 1
    assert len(grid(timestamp("2021-01-02"), timestamp("2021-01-01"), "1h")) == 0
    # the unit of the ends does not matter
    assert len(grid(pd.Timestamp("2021-01-01", tz="UTC").as_unit("s"), timestamp("2021-01-02"), "1h")) == 25


def test_weeks_open_on_mondays_and_all_else_counts_from_the_epoch():
    days = pd.date_range("2021-01-01", periods=14, freq="D", tz="UTC").as_unit("ns")
    assert [f"{day:%a}" for day in days[on_grid(days.asi8, "1w")]] == ["Mon", "Mon"]
    assert on_grid(days.asi8, "1d").all()
    assert on_grid(days.asi8 + HOUR, "1d").sum() == 0
    hours = timestamp("2021-01-01").value + HOUR * np.arange(24)
    assert np.flatnonzero(on_grid(hours, "4h")).tolist() == [0, 4, 8, 12, 16, 20]
    assert on_grid(hours + 1, "1h").sum() == 0
