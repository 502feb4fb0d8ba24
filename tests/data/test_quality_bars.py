"""Defects of bars: impossible values, missing bars, runs of one bar, unfinished bars. Each has a clean twin."""

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.quality import check_bars
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from tests.oracles.quality_market import SYMBOLS, clean_frame, hour, rows_of

CLEAN = clean_frame(n=300)
ETH, SOL = "ETH/USDT", "SOL/USDT"


def of(report, check):
    """Return (symbol, first, count, severity) of the findings of a check."""
    return [(f.symbol, f.first, f.count, f.severity) for f in report.findings if f.check == check]


def checks(report):
    return {found.check for found in report.findings}


def changed(symbol, first, stop, **values):
    """Return the clean frame with some cells replaced; a function gets the old rows."""
    frame = CLEAN.copy()
    at = rows_of(frame, symbol, first, stop)
    for name, value in values.items():
        frame.loc[at, name] = value(frame.loc[at]) if callable(value) else value
    return frame


def both_ways(frame, **options):
    """Check rows and bars, which must agree, and return the report."""
    rows, bars = check_bars(frame, **options), check_bars(Bars.from_frame(frame, "1h"), **options)
    assert rows.findings == bars.findings
    return rows


# ------------------------------------------------------------------------------------------------ prices
@pytest.mark.parametrize("field", ["open", "high", "low", "close"])
@pytest.mark.parametrize(
    ("value", "check"),
    [(np.inf, "infinite-price"), (-np.inf, "infinite-price"), (0.0, "price-not-positive"), (-3.0, "price-not-positive"),
     (np.nan, "partial-bar")],
)  # fmt: skip
def test_impossible_prices(field, value, check):
    report = both_ways(changed(ETH, 60, 63, **{field: value}))
    assert of(report, check) == [(ETH, hour(60), 3, "error")]
    assert not report.passed


@pytest.mark.parametrize(
    "change",
    [
        {"high": lambda f: f["low"] * 0.999},
        {"low": lambda f: f["high"] * 1.001},
        {"open": lambda f: f["high"] * 1.001},
        {"open": lambda f: f["low"] * 0.999},
        {"close": lambda f: f["high"] * 1.001},
        {"close": lambda f: f["low"] * 0.999},
    ],
    ids=["high below low", "low above high", "open above", "open below", "close above", "close below"],
)
def test_bars_that_contradict_themselves(change):
    report = both_ways(changed(ETH, 60, 63, **change))
    assert of(report, "inconsistent-bar") == [(ETH, hour(60), 3, "error")]
    assert checks(report) == {"inconsistent-bar"}


def test_the_last_digit_of_a_float_is_no_contradiction():
    assert both_ways(changed(ETH, 0, 300, high=lambda f: f[["open", "close"]].max(axis=1) * (1 - 1e-12))).passed


def test_a_bar_without_prices_is_missing_and_not_partial():
    frame = changed(ETH, 60, 62, open=np.nan, high=np.nan, low=np.nan, close=np.nan)
    assert checks(check_bars(frame)) == {"gap"}


def test_the_same_prices_under_two_names():
    frame = CLEAN.copy()
    names = ["open", "high", "low", "close"]
    frame.loc[rows_of(frame, SOL), names] = frame.loc[rows_of(frame, ETH), names].to_numpy()
    report = both_ways(frame)
    assert of(report, "same-prices") == [(SOL, hour(0), 300, "error")]
    assert "every close equals that of ETH/USDT" in report.findings[0].what


# ------------------------------------------------------------------------------------------------ volume
def test_negative_and_infinite_volume():
    assert of(both_ways(changed(ETH, 60, 62, volume=-1.0)), "negative-volume") == [(ETH, hour(60), 2, "error")]
    assert of(both_ways(changed(ETH, 60, 62, volume=np.inf)), "negative-volume") == [(ETH, hour(60), 2, "error")]


def test_missing_volume():
    assert of(both_ways(changed(ETH, 60, 62, volume=np.nan)), "missing-volume") == [(ETH, hour(60), 2, "warning")]
    # closes alone have none by nature
    closes = CLEAN.pivot(index="timestamp", columns="symbol", values="close")
    report = check_bars(closes, price="close")
    assert checks(report) == {"missing-volume"}
    assert {f.severity for f in report.findings} == {"info"}


def test_zero_volume():
    flat = {name: lambda f: f["open"] for name in ("high", "low", "close")}
    report = both_ways(changed(ETH, 60, 61, volume=0.0, **flat))
    assert of(report, "zero-volume") == [(ETH, hour(60), 1, "info")]
    report = both_ways(changed(ETH, 60, 62, volume=0.0))
    assert of(report, "zero-volume") == [(ETH, hour(60), 2, "warning")]
    assert "the price moved inside 2 of them" in report.findings[0].what
    body = {"high": lambda f: f[["open", "close"]].max(axis=1), "low": lambda f: f[["open", "close"]].min(axis=1)}
    many = changed(ETH, 0, 300, volume=lambda f: f["volume"].where(f.index % 4 > 0, 0.0), **body)
    assert of(both_ways(many), "zero-volume") == [(ETH, hour(0), 75, "warning")]


# ------------------------------------------------------------------------------------------------ missing bars
def without(*parts):
    """Return the clean frame without bars first .. stop-1 of the symbols named."""
    drop = [label for symbol, first, stop in parts for label in rows_of(CLEAN, symbol, first, stop)]
    return CLEAN.drop(index=drop).reset_index(drop=True)


def test_an_outage_is_told_once():
    report = both_ways(without(*[(symbol, 100, 102) for symbol in SYMBOLS]))
    assert of(report, "outage") == [("(all)", hour(100), 2, "info")]
    assert report.findings[0].what == "no listed symbol has a bar; the longest lasts 2 bars"
    assert checks(report) == {"outage"}
    many = both_ways(without(*[(s, 100, 102) for s in SYMBOLS], *[(s, 110, 115) for s in SYMBOLS]))
    assert of(many, "outage") == [("(all)", hour(100), 7, "warning")]


def test_a_gap_of_one_symbol():
    report = both_ways(without((ETH, 100, 102), (ETH, 110, 115), (SOL, 5, 6)))
    assert of(report, "gap") == [(ETH, hour(100), 7, "warning"), (SOL, hour(5), 1, "warning")]
    assert report.findings[0].what == "2 gaps, 5 bars at most; others traded"
    assert report.findings[0].times.tolist() == [hour(n) for n in (100, 101, 110, 111, 112, 113, 114)]


def test_one_symbol_cannot_tell_an_outage():
    alone = without((ETH, 100, 102)).query("symbol == @ETH")
    assert "an outage cannot be told from no trade" in both_ways(alone).findings[0].what


def test_a_reason_that_is_known_is_used():
    bars = Bars.from_frame(without((ETH, 100, 102)))
    known = bars.gaps.assign(reason="outage")
    bars = Bars.from_frame(bars.to_frame(), gaps=known).select(ETH)
    assert of(check_bars(bars), "outage") == [("(all)", hour(100), 2, "info")]
    assert of(check_bars(bars), "gap") == []


def test_listing_and_delisting():
    report = both_ways(without((ETH, 0, 30), (SOL, 250, 300)))
    assert of(report, "listing") == [(ETH, hour(0), 30, "info")]
    assert of(report, "delisting") == [(SOL, hour(250), 50, "warning")]
    assert report.findings[-1].what == "its first bar opens 2021-03-02 06:00, 30 bars after the start"
    assert report.findings[0].what == "its last bar opens 2021-03-11 09:00, 50 bars before the end"
    # an outage before the listing does not cut it in two
    more = both_ways(without((ETH, 0, 30), *[(symbol, 10, 12) for symbol in SYMBOLS if symbol != ETH]))
    assert of(more, "listing") == [(ETH, hour(0), 30, "info")]
    # the only symbol has nobody to be late against
    assert both_ways(without((ETH, 0, 30)).query("symbol == @ETH")).findings == ()


# ------------------------------------------------------------------------------------------------ stuck
NAMES = ["open", "high", "low", "close"]


def frozen(first, stop, *, flat, volume):
    frame = CLEAN.copy()
    at = rows_of(frame, ETH, first, stop)
    bar = frame.loc[at[0], NAMES].astype(float)
    frame.loc[at, NAMES] = bar["close"] if flat else bar.to_numpy()
    if not volume:
        frame.loc[at, "volume"] = frame.loc[at[0], "volume"]
    return frame


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("volume", [True, False], ids=["volume lives", "volume frozen"])
def test_a_feed_that_repeats_one_bar(flat, volume):
    # the first of the equal bars is the true one, the 24 after it repeat it
    report = both_ways(frozen(100, 125, flat=flat, volume=volume))
    assert of(report, "stuck") == [(ETH, hour(101), 24, "warning")]
    assert "24 in a row at most" in next(f.what for f in report.findings if f.check == "stuck")


def test_a_copied_bar_with_its_volume_is_caught_at_two_repeats():
    assert of(both_ways(frozen(100, 103, flat=False, volume=False)), "stuck") == [(ETH, hour(101), 2, "warning")]
    # prices alone may repeat twice by chance
    assert of(both_ways(frozen(100, 103, flat=False, volume=True)), "stuck") == []


def test_an_illiquid_symbol_that_often_stands_still_is_not_stuck():
    frame = clean_frame(n=1000)
    rng = np.random.default_rng(0)
    at = rows_of(frame, ETH)
    close = frame.loc[at, "close"].to_numpy().copy()
    still = rng.random(1000) < 0.5  # runs of nine come by chance
    for row in range(1, 1000):
        if still[row]:
            close[row] = close[row - 1]
    frame.loc[at, NAMES] = close[:, None].repeat(4, axis=1)
    assert of(both_ways(frame), "stuck") == []


# ------------------------------------------------------------------------------------------------ unfinished
def test_bars_that_had_not_closed():
    now = hour(299) + pd.Timedelta("10min")
    report = both_ways(CLEAN, now=now)
    assert of(report, "unfinished") == [(symbol, hour(299), 1, "error") for symbol in sorted(SYMBOLS)]
    assert report.now == now
    assert both_ways(CLEAN, now=hour(300)).findings == ()  # closed this very moment
    early = both_ways(CLEAN, now=str(hour(290)))
    assert [f.count for f in early.findings] == [10] * 6
    one = both_ways(CLEAN.drop(index=rows_of(CLEAN, ETH, 299)), now=now)
    assert {f.symbol for f in one.findings if f.check == "unfinished"} == set(SYMBOLS) - {ETH}


def test_without_now_hardly_any_volume_in_the_last_bar_is_said():
    report = both_ways(changed(ETH, 299, 300, volume=lambda f: f["volume"] * 0.01))
    assert of(report, "unfinished") == [(ETH, hour(299), 1, "info")]
    assert report.passed
    # elsewhere, or with now, it means nothing
    assert both_ways(changed(ETH, 200, 201, volume=lambda f: f["volume"] * 0.01)).findings == ()
    assert both_ways(changed(ETH, 299, 300, volume=lambda f: f["volume"] * 0.01), now=hour(300)).findings == ()


# ------------------------------------------------------------------------------------------------ all shapes
def test_every_shape_gives_the_same_findings():
    frame = changed(ETH, 60, 62, low=-1.0)
    wanted = check_bars(frame).findings
    assert wanted
    mapping = {
        symbol: part.set_index("timestamp").drop(columns="symbol")
        for symbol, part in frame.groupby("symbol", sort=False)
    }
    wide = pd.concat(mapping, axis=1)
    for data in (as_bars(frame), mapping, wide, frame.rename(columns=str.upper)):
        assert check_bars(data).findings == wanted


def test_relabelling_symbols_relabels_findings():
    frame = changed(ETH, 60, 62, low=-1.0)
    other = frame.assign(symbol=frame["symbol"].replace(ETH, "ZEC/USDT"))
    assert of(check_bars(other), "price-not-positive") == [("ZEC/USDT", hour(60), 2, "error")]


def test_two_bars_are_enough_and_one_needs_a_timeframe():
    assert check_bars(CLEAN.iloc[:2]).findings == ()
    assert check_bars(CLEAN.iloc[:1], timeframe="1h").n_rows == 1
    assert check_bars(Bars.from_frame(CLEAN).head(1)).findings == ()
