"""Every shape that users bring becomes the same bars."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from gwt_lab.errors import DataError
from gwt_lab.market.as_bars import as_bars, long_frame
from gwt_lab.market.bars import FIELDS, Bars

TIMES = pd.date_range("2021-01-01", periods=6, freq="h", tz="UTC", name="timestamp")


def polars(frame):
    """Return a polars frame, without polars' own reader of pandas, which warns about zones."""
    return pl.DataFrame(
        {name: [v.to_pydatetime() if isinstance(v, pd.Timestamp) else v for v in frame[name]] for name in frame}
    )


def ohlcv(base=100.0, n=6):
    steps = np.arange(n, dtype=float)
    return pd.DataFrame(
        {"open": base + steps, "high": base + steps + 1, "low": base + steps - 1, "close": base + steps + 0.5,
         "volume": base * 10 + steps}, index=TIMES[:n],
    )  # fmt: skip


def two():
    return pd.concat(
        [ohlcv(100.0).assign(symbol="BTC/USDT"), ohlcv(200.0).assign(symbol="ETH/USDT")]
    ).reset_index()  # fmt: skip


WANTED = Bars.from_frame(two())
ONE = WANTED.select("BTC/USDT")


def wide(first="field"):
    frame = pd.concat({"BTC/USDT": ohlcv(100.0), "ETH/USDT": ohlcv(200.0)}, axis=1)
    return frame if first == "symbol" else frame.swaplevel(axis=1)


@pytest.mark.parametrize(
    "data",
    [
        WANTED,
        two(),
        two().rename(columns=str.upper),
        two().rename(columns={"timestamp": "Open Time"}),
        two().rename(columns={"timestamp": "date"}).set_index("date"),
        two().set_index(["timestamp", "symbol"]),
        two().rename(columns={"timestamp": "datetime", "symbol": "instrument"}).set_index(["instrument", "datetime"]),
        wide("field"),
        wide("symbol"),
        wide("field").rename(columns=str.title),
        {"BTC/USDT": ohlcv(100.0), "ETH/USDT": ohlcv(200.0)},
        {"btcusdt": ohlcv(100.0).rename(columns=str.title), "ETH-USDT": polars(ohlcv(200.0).reset_index())},
        polars(two()),
        polars(two()).to_arrow(),
    ],
    ids=["bars", "long", "upper case", "open time", "date index", "two levels", "qlib's levels", "field first",
         "symbol first", "title case", "mapping", "mapping of mixed", "polars", "arrow"],
)  # fmt: skip
def test_every_shape_is_the_same_bars(data):
    bars = as_bars(data)
    assert bars.equals(WANTED)
    assert bars.timeframe == "1h"


@pytest.mark.parametrize(
    "frame",
    [ohlcv(), ohlcv().rename(columns=str.title), ohlcv().reset_index(), ohlcv().tz_localize(None),
     ohlcv().tz_convert("Asia/Tokyo"), ohlcv()[::-1]],
    ids=["index", "title case", "column", "naive", "tokyo", "reversed"],
)  # fmt: skip
def test_one_symbol(frame):
    assert as_bars(frame, symbol="BTC/USDT").equals(ONE)


def test_the_name_of_one_symbol():
    frame = ohlcv()
    assert as_bars(frame).symbols == ["ASSET"]
    frame.attrs["symbol"] = "SOL/USDT"
    assert as_bars(frame).symbols == ["SOL/USDT"]
    assert as_bars(frame, symbol="btcusdt").symbols == ["BTC/USDT"]


def test_bars_are_returned_as_they_are():
    assert as_bars(WANTED) is WANTED
    assert as_bars(WANTED, timeframe="60m") is WANTED
    with pytest.raises(DataError, match="bars of 4h were wanted, got bars of 1h; resample"):
        as_bars(WANTED, timeframe="4h")


def test_the_callers_frame_is_left_alone():
    frame = ohlcv()
    before = frame.copy()
    as_bars(frame)
    raw = long_frame(frame)
    raw["close"] = 0.0
    pd.testing.assert_frame_equal(frame, before)
    assert "symbol" not in frame.columns


def test_a_mapping_shares_one_timeframe():
    # alone, ETH's frame would look like one of 2h, off its grid
    bars = as_bars({"BTC/USDT": ohlcv(100.0), "ETH/USDT": ohlcv(200.0).iloc[1::2]})
    assert bars.timeframe == "1h"
    assert bars.close["ETH/USDT"].isna().tolist() == [True, False] * 3
    assert as_bars({"BTC/USDT": ohlcv(), "ETH/USDT": ohlcv().iloc[:1]}).close["ETH/USDT"].notna().sum() == 1


def test_rows_without_values_in_a_wide_frame_stay_missing():
    frame = wide("symbol")
    frame.loc[TIMES[0], "ETH/USDT"] = np.nan
    frame.loc[TIMES[3], :] = np.nan
    bars = as_bars(frame)
    assert bars.n_times == 6
    assert bars.gaps["reason"].tolist() == ["outage", "not listed", "outage"]


def test_quote_volume_is_kept():
    frame = two().assign(**{"Quote Volume": 5.0})
    assert (as_bars(frame).quote_volume == 5.0).all().all()


# ------------------------------------------------------------------------------------------------ closes alone
CLOSES = pd.DataFrame({"BTC/USDT": ohlcv(100.0)["close"], "ETH/USDT": ohlcv(200.0)["close"]})


@pytest.mark.parametrize(
    "data",
    [CLOSES, CLOSES.reset_index(), polars(CLOSES.reset_index()), dict(CLOSES.items()),
     CLOSES.rename(columns={"BTC/USDT": "btcusdt"})],
    ids=["frame", "column", "polars", "mapping", "raw names"],
)  # fmt: skip
def test_closes_alone(data):
    bars = as_bars(data, price="close")
    assert bars.symbols == ["BTC/USDT", "ETH/USDT"]
    pd.testing.assert_frame_equal(bars.close, WANTED.close)
    for name in ("open", "high", "low"):
        pd.testing.assert_frame_equal(getattr(bars, name), WANTED.close)
    assert bars.volume.isna().all().all()


@pytest.mark.parametrize(
    ("name", "symbol", "wanted"),
    [("BTCUSDT", None, "BTC/USDT"), ("Close", None, "ASSET"), (None, None, "ASSET"), (0, None, "ASSET"),
     ("Close", "ETH/USDT", "ETH/USDT"), ("BTCUSDT", "ETH/USDT", "ETH/USDT")],
)  # fmt: skip
def test_the_name_of_a_series(name, symbol, wanted):
    bars = as_bars(CLOSES["BTC/USDT"].rename(name), price="close", symbol=symbol)
    assert bars.symbols == [wanted]
    assert bars.close[wanted].tolist() == ONE.close["BTC/USDT"].tolist()


def test_an_ohlcv_column_alone_is_no_symbol():
    assert as_bars(ohlcv()[["close"]], price="close").symbols == ["ASSET"]


# ------------------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (None, {}, "must be Bars, an OHLCV DataFrame or the long frame, got NoneType"),
        (ohlcv().to_numpy(), {}, "got ndarray"),
        (CLOSES["BTC/USDT"], {}, "pass price='close' to use it as closes"),
        (CLOSES, {}, "bars need columns open, high, low, close, volume .*price='close'"),
        (ohlcv().drop(columns="volume"), {}, "got open, high, low, close"),
        (ohlcv().reset_index(drop=True), {}, "index of UTC open times or a column 'timestamp', got .* int64; convert"),
        (ohlcv().assign(CLOSE=1.0), {}, "column close comes more than once"),
        (ohlcv(), {"price": "open"}, "price must be 'close' .*got 'open'"),
        ({}, {}, "an empty mapping holds no bars"),
        ({"BTC/USDT": [1, 2]}, {}, "BTC/USDT must be an OHLCV DataFrame, got list"),
        ({"BTC/USDT": ohlcv(), "ETH/USDT": ohlcv()[["open"]]}, {}, "ETH/USDT: bars need columns"),
        (wide().rename(columns={"open": "o"}), {}, "two column levels, one of them"),
        (pd.concat([wide(), wide().iloc[:, :1]], axis=1), {}, r"column \(open, BTC/USDT\) comes more than once"),
        (two().set_index(["symbol", "open"]), {}, r"named timestamp and symbol, got \['symbol', 'open'\]"),
        (CLOSES.assign(note="x"), {"price": "close"}, "one column a symbol"),
        (CLOSES.reset_index(drop=True), {"price": "close"}, "index of UTC open times, got an index of int64"),
        (wide(), {"price": "close"}, "one column a symbol"),
    ],
)  # fmt: skip
def test_refused_shapes_say_what_came(data, options, message):
    with pytest.raises(DataError, match=message):
        as_bars(data, **options)


def test_the_long_frame_is_as_raw_as_it_came():
    raw = pd.concat([two(), two().iloc[[2]]])[::-1].assign(
        timestamp=lambda f: f["timestamp"].dt.as_unit("s").astype("int64")
    )
    frame = long_frame(raw)
    assert frame["timestamp"].tolist() == raw["timestamp"].tolist()
    assert len(frame) == 13
    assert set(FIELDS) < set(frame.columns)
