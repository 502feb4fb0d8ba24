"""Defects of rows: each is planted in a clean market, found with symbol, first time and count, and absent without."""

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.quality import check_bars
from gwt_lab.errors import DataError, UnknownNameError
from gwt_lab.market.bars import Bars
from tests.oracles.quality_market import START, SYMBOLS, clean_frame, hour, rows_of

CLEAN = clean_frame(n=300)
ETH = "ETH/USDT"


def only(report, check):
    """Return the one finding of a check."""
    found = [each for each in report.findings if each.check == check]
    assert len(found) == 1, report
    return found[0]


def checks(report):
    return {found.check for found in report.findings}


def said(found):
    return found.symbol, found.first, found.count, found.severity


def planted(**columns):
    """Return the clean frame with one column replaced."""
    return CLEAN.assign(**columns)


def test_a_clean_frame_has_no_finding():
    report = check_bars(CLEAN)
    assert report.findings == ()
    assert report.passed
    assert (report.n_rows, report.symbols, report.timeframe) == (1800, SYMBOLS, "1h")
    assert (report.start, report.end) == (hour(0), hour(299))


# ------------------------------------------------------------------------------------------------ cells
@pytest.mark.parametrize("bad", ["soon", None, "31/12/2021", float("nan")])
def test_unreadable_times(bad):
    times = CLEAN["timestamp"].astype(object)
    times[rows_of(CLEAN, ETH, 7, 9)] = bad
    report = check_bars(planted(timestamp=times))
    found = only(report, "unreadable-time")
    assert said(found) == (ETH, None, 2, "error")
    assert "row 307" in found.what
    assert report.to_frame()["first"].isna().tolist() == [True, False]
    assert checks(report) == {"unreadable-time", "gap"}


@pytest.mark.parametrize("bad", [None, "", 7])
def test_unreadable_symbols(bad):
    symbols = CLEAN["symbol"].astype(object)
    symbols[rows_of(CLEAN, ETH, 7, 9)] = bad
    found = only(check_bars(planted(symbol=symbols)), "unreadable-symbol")
    assert said(found) == ("(all)", hour(7), 2, "error")


def test_text_among_numbers():
    volume = CLEAN["volume"].astype(object)
    volume[rows_of(CLEAN, ETH, 40, 43)] = "n/a"
    report = check_bars(planted(volume=volume))
    assert said(only(report, "not-a-number")) == (ETH, hour(40), 3, "error")
    # numbers written as text are numbers
    assert check_bars(planted(volume=CLEAN["volume"].astype(str))).findings == ()


def test_a_time_years_away():
    times = CLEAN["timestamp"].copy()
    times[rows_of(CLEAN, ETH, 5, 6)] = pd.Timestamp("1999-06-01", tz="UTC")
    found = only(check_bars(planted(timestamp=times)), "far-time")
    assert said(found) == (ETH, pd.Timestamp("1999-06-01", tz="UTC"), 1, "error")


# ------------------------------------------------------------------------------------------------ units
@pytest.mark.parametrize(("most", "few"), [("ms", "s"), ("s", "ms"), ("ms", "us"), ("us", "ns")])
def test_mixed_units_of_numbers(most, few):
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
    seconds = CLEAN["timestamp"].dt.as_unit("s").astype("int64")
    times = seconds * per_second[most]
    bad = rows_of(CLEAN, ETH, 100, 150)
    times[bad] = seconds[bad] * per_second[few]
    report = check_bars(planted(timestamp=times))
    found = only(report, "mixed-units")
    assert said(found) == (ETH, hour(100), 50, "error")
    assert (
        found.what
        == f"these times are in {few.replace('us', 'µs')}, most are in {most.replace('us', 'µs')}; the first is row 400"
    )
    # every time was understood, so nothing else is wrong
    assert checks(report) == {"mixed-units"}


def test_mixed_text_and_numbers():
    times = CLEAN["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%SZ").astype(object)
    bad = rows_of(CLEAN, ETH, 100, 110)
    times[bad] = CLEAN["timestamp"][bad].dt.as_unit("ms").astype("int64").astype(str)
    found = only(check_bars(planted(timestamp=times)), "mixed-units")
    assert said(found) == (ETH, hour(100), 10, "error")
    assert "are in ms, most are in text" in found.what


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_one_unit_is_no_mixture(unit):
    assert check_bars(planted(timestamp=CLEAN["timestamp"].dt.as_unit(unit).astype("int64"))).findings == ()
    assert check_bars(planted(timestamp=CLEAN["timestamp"].dt.as_unit(unit).dt.tz_localize(None))).findings == ()
    assert check_bars(planted(timestamp=CLEAN["timestamp"].dt.tz_convert("Asia/Kolkata"))).findings == ()


# ------------------------------------------------------------------------------------------------ grid
def test_times_off_the_grid():
    times = CLEAN["timestamp"].copy()
    times[rows_of(CLEAN, ETH, 20, 23)] += pd.Timedelta("17min")
    found = only(check_bars(planted(timestamp=times)), "off-grid")
    assert said(found) == (ETH, hour(20) + pd.Timedelta("17min"), 3, "error")
    assert "drop-off-grid" in found.do


def test_labels_of_the_close_are_off_the_grid_as_a_whole():
    shift = pd.Timedelta("59min 59.999s")
    report = check_bars(planted(timestamp=CLEAN["timestamp"] + shift))
    assert checks(report) == {"off-grid"}
    assert [said(found) for found in report.findings] == [
        (symbol, START + shift, 300, "error") for symbol in sorted(SYMBOLS)
    ]
    assert "0 days 00:59:59.999000 after a bar's open: labels of the close" in report.findings[0].what
    # the bars behind the labels were checked all the same
    frame = planted(timestamp=CLEAN["timestamp"] + shift)
    frame.loc[rows_of(frame, ETH, 50, 51), "low"] = -1.0
    assert only(check_bars(frame), "price-not-positive").first == hour(50) + shift


def test_a_given_timeframe_decides_the_grid():
    found = [f for f in check_bars(CLEAN, timeframe="2h").findings if f.check == "off-grid"]
    assert {(f.symbol, f.first, f.count) for f in found} == {(symbol, hour(1), 150) for symbol in SYMBOLS}


# ------------------------------------------------------------------------------------------------ order
def test_rows_after_later_rows():
    order = np.arange(len(CLEAN))
    eth = rows_of(CLEAN, ETH).to_numpy()
    order[eth] = np.r_[eth[:50], eth[60:80], eth[50:60], eth[80:]]  # bars 50 to 59 stand after bar 79
    report = check_bars(CLEAN.iloc[order].reset_index(drop=True))
    assert checks(report) == {"unordered"}
    assert said(only(report, "unordered")) == (ETH, hour(50), 10, "warning")
    assert report.passed


def test_newest_first_is_a_fact_and_interleaved_symbols_are_nothing():
    report = check_bars(CLEAN[::-1])
    assert {said(found) for found in report.findings} == {(symbol, hour(0), 299, "info") for symbol in SYMBOLS}
    assert check_bars(CLEAN.sort_values("timestamp", kind="stable")).findings == ()


# ------------------------------------------------------------------------------------------------ duplicates
def test_equal_and_conflicting_duplicates_are_told_apart():
    equal = CLEAN.loc[rows_of(CLEAN, ETH, 30, 35)]
    other = CLEAN.loc[rows_of(CLEAN, "SOL/USDT", 40, 42)].assign(close=lambda f: f["close"] * 1.001)
    report = check_bars(pd.concat([CLEAN, equal, other], ignore_index=True).sort_values(["symbol", "timestamp"]))
    assert said(only(report, "duplicate")) == (ETH, hour(30), 5, "error")
    assert said(only(report, "conflicting-duplicate")) == ("SOL/USDT", hour(40), 2, "error")
    assert checks(report) == {"duplicate", "conflicting-duplicate"}


def test_a_bar_told_three_times_is_two_too_many():
    twice = CLEAN.loc[rows_of(CLEAN, ETH, 30, 31)]
    frame = pd.concat([CLEAN, twice, twice], ignore_index=True).sort_values(["symbol", "timestamp"], kind="stable")
    assert only(check_bars(frame), "duplicate").count == 2


def test_missing_values_equal_each_other():
    frame = CLEAN.copy()
    frame.loc[rows_of(frame, ETH, 30, 31), "volume"] = np.nan
    frame = pd.concat([frame, frame.loc[rows_of(frame, ETH, 30, 31)]]).sort_values(["symbol", "timestamp"])
    assert "duplicate" in checks(check_bars(frame))
    assert "conflicting-duplicate" not in checks(check_bars(frame))


# ------------------------------------------------------------------------------------------------ nothing to check
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (CLEAN.iloc[:0], DataError, "no rows"),
        (CLEAN.drop(columns="open"), DataError, "need columns open, high, low, close, volume"),
        (CLEAN.assign(timestamp="soon"), DataError, "none of 1800 rows has a readable time"),
        (CLEAN.assign(symbol=None), DataError, "none of 1800 rows has a readable time and symbol"),
        (CLEAN.iloc[:1], DataError, "pass timeframe='1h'"),
        (Bars.from_frame(CLEAN).select(start="2030-01-01"), DataError, "the bars have no rows"),
        ("a file name", DataError, "got str"),
    ],
)
def test_what_cannot_be_checked_is_refused(data, error, message):
    with pytest.raises(error, match=message):
        check_bars(data)


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(UnknownNameError, match="timeframe must be"):
        check_bars(CLEAN, timeframe="hourly")
    with pytest.raises(DataError, match="'soon' is not a time"):
        check_bars(CLEAN, now="soon")
    with pytest.raises(DataError, match="others must be bars of 1h like the data, got bars of 4h"):
        check_bars(CLEAN, others=clean_frame(n=50, step="4h"))


def test_the_data_are_left_alone():
    frame = CLEAN.copy()
    frame.loc[3, "close"] = -1.0
    before = frame.copy()
    check_bars(frame)
    pd.testing.assert_frame_equal(frame, before)
