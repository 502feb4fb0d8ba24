"""The checks on real bars: known outages are found, real moves are no defects, planted defects are found among them."""

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.quality import check_bars

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def spot():
    """Return hourly Binance spot bars of 21 symbols, 2017-08 to 2022-12."""
    import os
    from pathlib import Path

    place = os.environ.get("GWT_REAL_DATA")
    if not place:
        pytest.skip("wants real bars: set GWT_REAL_DATA to a folder of Parquet files")
    frame = pd.read_parquet(Path(place) / "binance_spot_1h" / "ohlcv_1h_to2022.parquet")
    return frame.drop(columns="exchange").astype({"symbol": "str"})


@pytest.fixture(scope="module")
def report(spot):
    return check_bars(spot)


def of(report, check):
    return [found for found in report.findings if found.check == check]


def test_the_known_outages_are_found(report, spot):
    (outage,) = of(report, "outage")
    # BTC is listed all the time: its missing hours are the outages
    own = spot.loc[spot["symbol"] == "BTCUSDT", "timestamp"]
    hours = pd.date_range(own.min(), own.max(), freq="h")
    assert outage.count == len(hours) - len(own) == 127
    assert outage.times.tolist() == hours.difference(own).tolist()
    for known in ("2018-02-08 12:00", "2018-06-26 04:00", "2020-02-19 13:00", "2021-04-25 06:00"):
        assert pd.Timestamp(known, tz="UTC") in outage.times
    assert outage.severity == "info"
    assert of(report, "gap") == []


def test_real_bars_pass_without_errors_and_with_few_warnings(report):
    assert report.passed
    assert len(report.warnings) <= 3
    for check in ("timezone-slip", "daylight-saving", "redenomination", "stuck", "spike", "jump", "same-prices"):
        assert [found for found in of(report, check) if found.severity != "info"] == [], check
    assert of(report, "timezone-slip") == of(report, "redenomination") == []


def test_every_symbol_is_listed_where_its_bars_begin(report, spot):
    first = spot.groupby("symbol")["timestamp"].min()
    late = first[first > first.min()]
    found = of(report, "listing")
    assert {each.symbol.replace("/", ""): each.times[-1] for each in found} == {
        symbol: time - pd.Timedelta("1h") for symbol, time in late.items()
    }


@pytest.mark.parametrize(("hours", "symbol"), [(8, "ADAUSDT"), (-1, "DOGEUSDT")])
def test_a_slip_planted_in_real_bars(spot, hours, symbol):
    part = spot[spot["timestamp"].between("2021-06-01", "2021-12-31")].copy()
    rows = part.index[part["symbol"] == symbol][1000:1720]
    first = part.loc[rows[0], "timestamp"]
    part.loc[rows, "timestamp"] += pd.Timedelta(hours, unit="h")
    (found,) = of(check_bars(part), "timezone-slip")
    assert found.symbol.replace("/", "") == symbol
    assert found.first == first + pd.Timedelta(hours, unit="h")
    assert found.count == 720


@pytest.mark.parametrize("factor", [0.7, 1.4, 10.0])
def test_a_wrong_tick_planted_in_real_bars(spot, factor):
    part = spot[spot["timestamp"].between("2022-01-01", "2022-06-30")].copy()
    row = part.index[part["symbol"] == "LTCUSDT"][1234]
    part.loc[row, "close"] *= factor
    part.loc[row, ["low", "high"]] = [part.loc[row, ["low", "close"]].min(), part.loc[row, ["high", "close"]].max()]
    report = check_bars(part)
    (found,) = [each for each in of(report, "spike") if each.symbol == "LTC/USDT"]
    assert found.first == part.loc[row, "timestamp"]
    assert found.count == 1
    assert found.severity == ("error" if factor > 2 else "warning")
    assert not [each for each in of(report, "spike") if each.severity != "info" and each.symbol != "LTC/USDT"]


def test_a_new_unit_planted_in_real_bars(spot):
    part = spot[spot["timestamp"].between("2022-01-01", "2022-03-31")].copy()
    rows = part.index[part["symbol"] == "XLMUSDT"][700:]
    part.loc[rows, ["open", "high", "low", "close"]] *= 1000
    part.loc[rows, "volume"] /= 1000
    (found,) = of(check_bars(part), "redenomination")
    assert (found.symbol, found.first) == ("XLM/USDT", part.loc[rows[0], "timestamp"])


def test_a_feed_stuck_in_real_bars(spot):
    part = spot[spot["timestamp"].between("2022-01-01", "2022-03-31")].copy()
    rows = part.index[part["symbol"] == "XLMUSDT"][700:730]
    names = ["open", "high", "low", "close"]
    part.loc[rows, names] = part.loc[rows[0], names].to_numpy(dtype=np.float64)
    (found,) = of(check_bars(part), "stuck")
    assert (found.symbol, found.count, found.first) == ("XLM/USDT", 29, part.loc[rows[1], "timestamp"])


@pytest.mark.parametrize(
    "file",
    ["binance_spot_mit_5sym/ohlcv_30m_2020-09_2022.parquet", "binance_spot_1d/ohlcv_1d_2018_2022.parquet",
     "btc_perp_1m_2022-01/ohlcv_1m.parquet"],
)  # fmt: skip
def test_other_real_sets_have_no_errors(real_data, file):
    report = check_bars(pd.read_parquet(real_data / file))
    assert report.errors == ()
    assert report.warnings == ()


def test_volume_that_another_venue_lost_is_found(real_data):
    frame = pd.read_parquet(real_data / "binance_ftx_1h_2021" / "ohlcv_1h_16pairs.parquet")
    ftx = check_bars(frame[frame["exchange"] == "ftx"])
    assert {found.check for found in ftx.warnings} == {"zero-volume"}
    assert ftx.errors == ()
    assert check_bars(frame[frame["exchange"] == "binance"]).warnings == ()
