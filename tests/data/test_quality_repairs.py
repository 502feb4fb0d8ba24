"""Repairs: only those asked for, each change in the log, all other bars untouched."""

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.quality import REPAIRS, check_bars, repair_bars
from gwt_lab.errors import ConfigError, DataError, UnknownNameError
from gwt_lab.market.bars import FIELDS, Bars
from gwt_lab.market.instruments import Instrument
from tests.oracles.quality_market import START, SYMBOLS, clean_frame, hour, rows_of

CLEAN = clean_frame(n=300)
WANTED = Bars.from_frame(CLEAN)
ETH, SOL = "ETH/USDT", "SOL/USDT"
PRICES = ["open", "high", "low", "close"]


def entries(log):
    return [(entry.repair, entry.symbol, entry.count, list(entry.times)) for entry in log.entries]


def hours(*numbers):
    return [hour(number) for number in numbers]


def blank(symbol, *rows):
    """Return the clean bars as frames with some bars set to NaN."""
    frame = CLEAN.drop(index=[rows_of(CLEAN, symbol)[row] for row in rows])
    return Bars.from_frame(frame, "1h")


def assert_same(bars, wanted):
    """Assert equal bars, whatever the order of symbols."""
    assert bars.select(wanted.symbols).equals(wanted)


# ------------------------------------------------------------------------------------------------ asking
def test_nothing_is_repaired_unasked():
    bars, log = repair_bars(CLEAN)
    assert bars.equals(WANTED)
    assert (log.asked, len(log), log.count) == ((), 0, 0)
    assert repr(log) == "RepairLog(no repairs: nothing to change)"
    for defect, message in (
        (pd.concat([CLEAN, CLEAN.iloc[[5]]]), "1 bars appear twice"),
        (CLEAN.assign(timestamp=CLEAN["timestamp"].where(CLEAN.index != 5, hour(5.5))), "do not open a bar"),
        (CLEAN.assign(timestamp=CLEAN["timestamp"].where(CLEAN.index != 5)), "timestamp is missing"),
    ):
        others = [name for name in REPAIRS if name in ("sort", "blank-invalid", "rescale", "blank-spikes")]
        with pytest.raises(DataError, match=message):
            repair_bars(defect, others)
    impossible = CLEAN.assign(low=CLEAN["low"].where(CLEAN.index != 5, -1.0))
    assert repair_bars(impossible)[0].low.iloc[5, 0] == -1.0


def test_clean_bars_stay_as_they_are_under_every_repair():
    bars, log = repair_bars(CLEAN, REPAIRS, now=hour(300))
    assert bars.equals(WANTED)
    assert len(log) == 0
    assert log.asked == tuple(REPAIRS)
    again, _ = repair_bars(WANTED, REPAIRS, now=hour(300))
    assert again.equals(WANTED)


def test_unknown_repairs_are_refused_with_the_known():
    with pytest.raises(UnknownNameError, match="no repair 'fill-gaps'; there are drop-unreadable, convert-times"):
        repair_bars(CLEAN, ["sort", "fill-gaps"])
    with pytest.raises(ConfigError, match="drop-unfinished needs now="):
        repair_bars(CLEAN, "drop-unfinished")


def test_the_input_is_left_alone():
    frame = pd.concat([CLEAN, CLEAN.iloc[[5]]], ignore_index=True)
    frame.loc[3, "low"] = -1.0
    before = frame.copy()
    repair_bars(frame, REPAIRS, now=hour(200))
    pd.testing.assert_frame_equal(frame, before)


# ------------------------------------------------------------------------------------------------ rows
def test_drop_duplicates_keeps_the_last_and_says_what_went():
    other = CLEAN.loc[rows_of(CLEAN, SOL, 40, 42)].assign(close=lambda f: f["close"] * 1.001)
    frame = pd.concat([CLEAN, CLEAN.loc[rows_of(CLEAN, ETH, 30, 31)], other])
    bars, log = repair_bars(frame, "drop-duplicates")
    assert entries(log) == [("drop-duplicates", ETH, 1, hours(30)), ("drop-duplicates", SOL, 2, hours(40, 41))]
    assert bars.close[SOL].iloc[40] == WANTED.close[SOL].iloc[40] * 1.001
    close = bars.close
    close.iloc[40:42, 2] = WANTED.close.iloc[40:42, 2]
    pd.testing.assert_frame_equal(close, WANTED.close)


def test_the_last_stays_the_last_when_rows_are_sorted_too():
    newest = CLEAN.loc[rows_of(CLEAN, ETH, 30, 31)].assign(close=7.0)
    bars, _ = repair_bars(pd.concat([CLEAN, newest]), ["drop-duplicates", "sort"])
    assert bars.close[ETH].iloc[30] == 7.0
    bars, _ = repair_bars(pd.concat([newest, CLEAN]), ["sort", "drop-duplicates"])
    assert bars.close[ETH].iloc[30] == WANTED.close[ETH].iloc[30]


def test_drop_off_grid():
    times = CLEAN["timestamp"].copy()
    times[rows_of(CLEAN, ETH, 20, 22)] += pd.Timedelta("17min")
    bars, log = repair_bars(CLEAN.assign(timestamp=times), "drop-off-grid")
    shift = pd.Timedelta("17min")
    assert entries(log) == [("drop-off-grid", ETH, 2, [hour(20) + shift, hour(21) + shift])]
    assert_same(bars, blank(ETH, 20, 21))


@pytest.mark.parametrize("kind", ["seconds among ms", "text among ms"])
def test_convert_times(kind):
    times = CLEAN["timestamp"].dt.as_unit("ms").astype("int64").astype(object)
    bad = rows_of(CLEAN, ETH, 100, 103)
    times[bad] = (
        times[bad] // 1000 if kind == "seconds among ms" else [f"{hour(n):%Y-%m-%dT%H:%M:%SZ}" for n in (100, 101, 102)]
    )
    bars, log = repair_bars(CLEAN.assign(timestamp=times), "convert-times")
    assert bars.equals(WANTED)
    assert entries(log) == [("convert-times", ETH, 3, hours(100, 101, 102))]


def test_drop_unreadable():
    frame = CLEAN.astype({"timestamp": object, "symbol": object, "volume": object})
    frame.loc[rows_of(CLEAN, ETH, 5, 6), "timestamp"] = "soon"
    frame.loc[rows_of(CLEAN, ETH, 7, 8), "volume"] = "n/a"
    frame.loc[rows_of(CLEAN, SOL, 9, 10), "symbol"] = None
    frame.loc[rows_of(CLEAN, SOL, 11, 12), "timestamp"] = pd.Timestamp("1999-01-01", tz="UTC")
    bars, log = repair_bars(frame, "drop-unreadable")
    assert entries(log) == [
        ("drop-unreadable", "(all)", 1, hours(9)),
        ("drop-unreadable", ETH, 2, hours(7)),  # one of the two has no time to tell
        ("drop-unreadable", SOL, 1, [pd.Timestamp("1999-01-01", tz="UTC")]),
    ]
    assert bars.close.isna().sum().to_dict() == dict.fromkeys(SYMBOLS, 0) | {ETH: 2, SOL: 2}


def test_sort_logs_the_rows_that_stood_too_late():
    order = np.arange(len(CLEAN))
    eth = rows_of(CLEAN, ETH).to_numpy()
    order[eth] = np.r_[eth[:50], eth[52:60], eth[50:52], eth[60:]]
    bars, log = repair_bars(CLEAN.iloc[order], "sort")
    assert entries(log) == [("sort", ETH, 2, hours(50, 51))]
    assert bars.equals(WANTED)


# ------------------------------------------------------------------------------------------------ bars
@pytest.mark.parametrize("as_bars_first", [True, False])
def test_blank_invalid(as_bars_first):
    frame = CLEAN.copy()
    frame.loc[rows_of(frame, ETH, 50, 52), "low"] = [-1.0, np.inf]
    frame.loc[rows_of(frame, ETH, 60, 61), "close"] = np.nan
    frame.loc[rows_of(frame, SOL, 70, 71), "high"] = 0.001
    frame.loc[rows_of(frame, SOL, 80, 81), "volume"] = -5.0
    bars, log = repair_bars(Bars.from_frame(frame) if as_bars_first else frame, "blank-invalid")
    assert entries(log) == [
        ("blank-invalid", ETH, 3, hours(50, 51, 60)),
        ("blank-invalid", SOL, 1, hours(70)),
        ("blank-invalid", SOL, 1, hours(80)),
    ]
    assert [entry.what for entry in log.entries][-1] == "volumes set to NaN"
    assert all(np.isnan(getattr(bars, name).loc[hour(51), ETH]) for name in FIELDS)
    assert np.isnan(bars.volume.loc[hour(80), SOL])
    assert bars.close.loc[hour(80), SOL] == WANTED.close.loc[hour(80), SOL]
    pd.testing.assert_frame_equal(
        bars.close, WANTED.close.mask(bars.close.isna().to_numpy())
    )  # fmt: skip
    assert bars.gaps[["symbol", "reason"]].values.tolist() == [[ETH, "no trade"]] * 2 + [[SOL, "no trade"]]
    assert check_bars(bars).passed


@pytest.mark.parametrize("factor", [1000.0, 0.01])
def test_rescale(factor):
    frame = CLEAN.assign(quote_volume=CLEAN["volume"] * CLEAN["close"])
    wanted = frame.copy()
    before = rows_of(frame, ETH, 0, 150)
    frame.loc[before, PRICES] /= factor
    frame.loc[before, "volume"] *= factor
    bars, log = repair_bars(frame, "rescale")
    assert entries(log) == [("rescale", ETH, 150, hours(*range(150)))]
    wanted = Bars.from_frame(wanted)
    for name in FIELDS:
        np.testing.assert_allclose(getattr(bars, name), getattr(wanted, name), rtol=1e-12)
    pd.testing.assert_frame_equal(bars.quote_volume, wanted.quote_volume)  # in quote currency, whose unit is the same
    assert check_bars(bars).findings == ()


def test_blank_spikes_takes_what_the_check_doubts_and_leaves_what_may_be_real():
    frame = CLEAN.copy()
    for at, volume in ((100, 1.0), (200, 40.0)):
        rows = rows_of(frame, ETH, at, at + 1)
        frame.loc[rows, ["close", "high"]] *= 1.4
        frame.loc[rows, "volume"] *= volume
    bars, log = repair_bars(frame, "blank-spikes")
    assert entries(log) == [("blank-spikes", ETH, 1, hours(100))]
    assert np.isnan(bars.close.loc[hour(100), ETH])
    assert bars.close.loc[hour(200), ETH] == frame.loc[rows_of(frame, ETH)[200], "close"]


def test_blank_stuck():
    frame = CLEAN.copy()
    rows = rows_of(frame, ETH, 100, 121)
    frame.loc[rows, PRICES] = frame.loc[rows[0], PRICES].to_numpy(dtype=float)
    bars, log = repair_bars(frame, "blank-stuck")
    assert entries(log) == [("blank-stuck", ETH, 20, hours(*range(101, 121)))]
    assert bars.close[ETH].isna().sum() == 20


def test_closes_alone_are_repaired_too():
    closes = CLEAN.pivot(index="timestamp", columns="symbol", values="close")[list(SYMBOLS)]
    closes.loc[hour(50), ETH] = -1.0
    bars, log = repair_bars(closes, "blank-invalid", price="close")
    assert entries(log) == [("blank-invalid", ETH, 1, hours(50))]
    assert bars.close[ETH].isna().sum() == 1


def test_drop_unfinished():
    bars, log = repair_bars(CLEAN, "drop-unfinished", now=hour(298) + pd.Timedelta("1min"))
    assert bars.equals(WANTED.head(298))
    assert entries(log) == [("drop-unfinished", symbol, 2, hours(298, 299)) for symbol in SYMBOLS]
    closed, log = repair_bars(CLEAN, "drop-unfinished", now=hour(300))
    assert closed.equals(WANTED)
    assert len(log) == 0


def test_bars_keep_their_rules_and_reasons():
    known = pd.DataFrame({"symbol": [ETH], "start": [hour(10)], "end": [hour(11)], "reason": ["outage"]})
    bars = Bars.from_frame(
        CLEAN.drop(index=rows_of(CLEAN, ETH, 10, 12)), gaps=known, instruments={ETH: Instrument(ETH, 0.01)}
    )
    frame = bars.low
    frame.loc[hour(50), ETH] = -1.0
    from dataclasses import replace

    repaired, _ = repair_bars(replace(bars, low=frame), "blank-invalid")
    assert repaired.instruments == bars.instruments
    assert repaired.gaps["reason"].tolist() == ["outage", "no trade"]


# ------------------------------------------------------------------------------------------------ all of it
def test_everything_at_once_leaves_nothing_to_find():
    frame = pd.concat([CLEAN, CLEAN.loc[rows_of(CLEAN, ETH, 30, 35)]], ignore_index=True).sample(frac=1, random_state=2)
    frame = frame.reset_index(drop=True)
    frame.loc[frame.index[10], "low"] = -1.0
    times = frame["timestamp"].dt.as_unit("ms").astype("int64").astype(object)
    times[20:40] = times[20:40] // 1000
    times[50] = times[50] + 60_000
    times[51] = None
    frame["timestamp"] = times
    report = check_bars(frame, now=hour(299))
    assert not report.passed
    bars, log = repair_bars(frame, REPAIRS, now=hour(299))
    after = check_bars(bars, now=hour(299))
    assert {f.check for f in after.findings} <= {"gap"}
    assert {entry.repair for entry in log.entries} == {
        "drop-unreadable", "convert-times", "drop-off-grid", "sort", "drop-duplicates", "drop-unfinished",
        "blank-invalid",
    }  # fmt: skip


def test_the_log_as_table_text_card_and_json():
    frame = pd.concat([CLEAN, CLEAN.loc[rows_of(CLEAN, ETH, 30, 35)]])
    _, log = repair_bars(frame, ["sort", "drop-duplicates"])
    table = log.to_frame()
    assert table[["repair", "symbol", "count"]].values.tolist() == [["sort", ETH, 5], ["drop-duplicates", ETH, 5]]
    assert table["first"].tolist() == [hour(30)] * 2
    assert table["last"].tolist() == [hour(34)] * 2
    assert "drop-duplicates  ETH/USDT: 5, 2021-03-02 06:00 to 2021-03-02 10:00" in repr(log)
    assert "drop-duplicates" in log._repr_html_()
    document = log.to_dict()
    assert document["asked"] == ["sort", "drop-duplicates"]
    assert document["changed"][0]["times"][0] == (START + pd.Timedelta("30h")).isoformat()
