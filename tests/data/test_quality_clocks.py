"""Shifted clocks: whole hours against the other symbols, and labels that follow a local clock."""

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.quality import check_bars
from gwt_lab.data.quality.clock_checks import find_slips
from gwt_lab.data.quality.panel import panel_of_bars
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from tests.oracles.quality_market import START, SYMBOLS, clean_frame, hour, rows_of

CLEAN = clean_frame(n=1500)
ETH = "ETH/USDT"


def of(report, check):
    return [(f.symbol, f.first, f.count, f.severity) for f in report.findings if f.check == check]


def slipped(hours, first, stop, frame=CLEAN, symbol=ETH):
    """Return the frame with the labels of bars first .. stop-1 of one symbol shifted."""
    frame = frame.copy()
    frame.loc[rows_of(frame, symbol, first, stop), "timestamp"] += pd.Timedelta(hours, unit="h")
    return frame


# ------------------------------------------------------------------------------------------------ slips
@pytest.mark.parametrize("hours", [5, 1, 14, -3, -1, -12])
@pytest.mark.parametrize(("first", "stop"), [(400, 1000), (600, 800)])
def test_a_stretch_with_shifted_labels(hours, first, stop):
    report = check_bars(slipped(hours, first, stop))
    assert of(report, "timezone-slip") == [(ETH, hour(first + hours), stop - first, "error")]
    what = next(f.what for f in report.findings if f.check == "timezone-slip")
    assert what.startswith(f"labels are {abs(hours)} h too {'late' if hours > 0 else 'early'}: correlation")
    # the hours skipped and the hours told twice are reported as what they are
    late = {"unordered"} if abs(hours) > 1 else set()  # one hour told twice stands beside itself
    assert {f.check for f in report.findings} == {"timezone-slip", "gap", "conflicting-duplicate"} | late


@pytest.mark.parametrize("hours", [2, -7])
def test_a_whole_symbol_with_shifted_labels(hours):
    report = check_bars(slipped(hours, 0, 1500))
    assert of(report, "timezone-slip") == [(ETH, hour(hours), 1500, "error")]


def test_bars_whose_repeats_are_gone_show_it_too():
    frame = slipped(5, 400, 1000)
    bars = Bars.from_frame(frame.drop_duplicates(["symbol", "timestamp"], keep="last"))
    (found,) = [f for f in check_bars(bars).findings if f.check == "timezone-slip"]
    assert (found.symbol, found.first) == (ETH, hour(405))
    # without the repeats the end is told by the returns alone
    assert abs(found.count - 600) <= 12


def test_two_shifts_of_one_symbol_are_two_findings():
    frame = slipped(-4, 1100, 1400, slipped(6, 300, 700))
    report = check_bars(frame)
    assert of(report, "timezone-slip") == [(ETH, hour(306), 400, "error"), (ETH, hour(1096), 300, "error")]


def test_two_symbols_with_their_own_shifts():
    frame = slipped(3, 200, 900, slipped(-2, 500, 1300), symbol="SOL/USDT")
    report = check_bars(frame)
    assert of(report, "timezone-slip") == [(ETH, hour(498), 800, "error"), ("SOL/USDT", hour(203), 700, "error")]


def test_bars_below_an_hour():
    frame = clean_frame(n=3000, step="15min")
    shifted = frame.copy()
    shifted.loc[rows_of(frame, ETH, 1000, 2000), "timestamp"] += pd.Timedelta("3h")
    report = check_bars(shifted)
    assert of(report, "timezone-slip") == [(ETH, START + pd.Timedelta("15min") * 1012, 1000, "error")]
    assert "labels are 3 h too late" in next(f.what for f in report.findings if f.check == "timezone-slip")


def test_a_single_symbol_is_compared_with_others():
    alone = slipped(5, 400, 1000).query("symbol == @ETH")
    rest = Bars.from_frame(CLEAN[CLEAN["symbol"] != ETH])
    assert of(check_bars(alone), "timezone-slip") == []  # there is nothing to compare with
    assert of(check_bars(alone, others=rest), "timezone-slip") == [(ETH, hour(405), 600, "error")]


def test_with_two_symbols_both_are_named_because_neither_is_known_to_be_right():
    two = slipped(5, 400, 1000, CLEAN[CLEAN["symbol"].isin(SYMBOLS[:2])])
    found = of(check_bars(two), "timezone-slip")
    assert {symbol for symbol, *_ in found} == {"BTC/USDT", ETH}


@pytest.mark.parametrize("seed", range(6))
def test_clean_markets_show_no_slip(seed):
    # every seed is 6 symbols x 15 blocks x 28 shifts that could win by chance
    assert find_slips(panel_of_bars(Bars.from_frame(clean_frame(n=1500, seed=100 + seed)))) == {}


def test_unrelated_symbols_show_no_slip():
    rng = np.random.default_rng(4)
    close = pd.DataFrame(
        100 * np.exp(np.cumsum(rng.normal(0, 0.01, (3000, 6)), axis=0)),
        index=pd.date_range(START, periods=3000, freq="h"),
        columns=list(SYMBOLS),
    )
    assert of(check_bars(close, price="close"), "timezone-slip") == []


def test_short_unrelated_series_show_no_slip_by_chance():
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        close = pd.DataFrame(
            100 * np.exp(np.cumsum(rng.normal(0, 0.01, (150, 4)), axis=0)),
            index=pd.date_range(START, periods=150, freq="h"),
            columns=list(SYMBOLS[:4]),
        )
        found += len(find_slips(panel_of_bars(as_bars(close, price="close"))))
    assert found == 0


def test_a_symbol_that_follows_the_others_an_hour_later_by_nature_keeps_its_own_hour():
    # a lead-lag effect adds correlation at one hour and leaves the present hour as it is
    rng = np.random.default_rng(9)
    factor = rng.normal(0, 0.01, 3000)
    noise = rng.normal(0, 0.005, (3000, 6))
    change = factor[:, None] + noise
    change[1:, 1] += 0.4 * factor[:-1]
    close = pd.DataFrame(
        100 * np.exp(np.cumsum(change, axis=0)),
        index=pd.date_range(START, periods=3000, freq="h"),
        columns=list(SYMBOLS),
    )
    assert of(check_bars(close, price="close"), "timezone-slip") == []


def test_a_slip_of_a_few_bars_is_below_what_can_be_told():
    assert of(check_bars(slipped(5, 400, 412)), "timezone-slip") == []


@pytest.mark.parametrize("step", ["4h", "1D"])
def test_bars_longer_than_an_hour_are_left_to_the_grid(step):
    frame = clean_frame(n=400, step=step)
    shifted = frame.copy()
    shifted.loc[rows_of(frame, ETH, 100, 200), "timestamp"] += pd.Timedelta("3h")
    assert [f[:3] for f in of(check_bars(shifted), "off-grid")] == [
        (ETH, START + 100 * pd.Timedelta(step) + pd.Timedelta("3h"), 100)
    ]


# ------------------------------------------------------------------------------------------------ local clocks
YEAR = clean_frame(n=9500, symbols=SYMBOLS[:3], start=pd.Timestamp("2021-02-01", tz="UTC"))


def local(zone, frame=YEAR):
    """Return the frame with naive labels of a local clock, as an export without offsets writes them."""
    return frame.assign(timestamp=frame["timestamp"].dt.tz_convert(zone).dt.tz_localize(None))


@pytest.mark.parametrize(
    ("zone", "missing", "twice", "rule"),
    [
        ("Europe/Berlin", "2021-03-28 02:00", "2021-10-31 02:00", "Europe"),
        ("America/New_York", "2021-03-14 02:00", "2021-11-07 01:00", "North America"),
        ("Australia/Sydney", "2021-10-03 02:00", "2021-04-04 02:00", "Australia"),
    ],
)
def test_labels_of_a_local_clock(zone, missing, twice, rule):
    report = check_bars(local(zone))
    first = min(pd.Timestamp(missing, tz="UTC"), pd.Timestamp(twice, tz="UTC"))
    assert of(report, "daylight-saving") == [(symbol, first, 2, "error") for symbol in sorted(SYMBOLS[:3])]
    found = next(f for f in report.findings if f.check == "daylight-saving")
    assert found.times.tolist() == sorted([pd.Timestamp(missing, tz="UTC"), pd.Timestamp(twice, tz="UTC")])
    assert f"({rule})" in found.what


def test_a_missing_and_a_repeated_hour_two_weeks_apart_are_no_seasons():
    frame = clean_frame(n=1500, symbols=SYMBOLS[:2])
    gap, again = pd.Timestamp("2021-03-28 02:00", tz="UTC"), pd.Timestamp("2021-04-11 02:00", tz="UTC")
    twice = frame[frame["timestamp"] == again].assign(close=lambda f: f["close"] * 1.0001)
    report = check_bars(pd.concat([frame[frame["timestamp"] != gap], twice]))
    assert of(report, "daylight-saving") == []
    assert len(of(report, "conflicting-duplicate")) == 2


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Africa/Abidjan"])
def test_clocks_without_daylight_saving(zone):
    assert of(check_bars(local(zone)), "daylight-saving") == []


def test_one_symbol_on_a_local_clock_is_shifted_in_summer_too():
    berlin = local("Europe/Berlin")
    mixed = YEAR.assign(timestamp=YEAR["timestamp"].dt.tz_localize(None))
    mixed.loc[mixed["symbol"] == ETH, "timestamp"] = berlin.loc[berlin["symbol"] == ETH, "timestamp"]
    report = check_bars(mixed)
    assert {f.symbol for f in report.findings if f.check == "daylight-saving"} == {ETH}
    slips = [f for f in report.findings if f.check == "timezone-slip"]
    assert {f.symbol for f in slips} == {ETH}
    assert [f.what[:27] for f in slips] == [
        "labels are 1 h too late: co",
        "labels are 2 h too late: co",
        "labels are 1 h too late: co",
    ]


def test_without_the_repeated_hours_two_springs_are_wanted():
    once = local("Europe/Berlin").drop_duplicates(["symbol", "timestamp"])
    assert of(check_bars(once), "daylight-saving") == []  # one missing hour may be an outage
    years = clean_frame(n=19_000, symbols=SYMBOLS[:2], start=pd.Timestamp("2021-02-01", tz="UTC"))
    twice = local("Europe/Berlin", years).drop_duplicates(["symbol", "timestamp"])
    first = pd.Timestamp("2021-03-28 02:00", tz="UTC")
    found = of(check_bars(twice), "daylight-saving")
    assert found == [(symbol, first, 3, "warning") for symbol in sorted(SYMBOLS[:2])]
