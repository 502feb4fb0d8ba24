"""`Bars`: a complete grid, missing bars as NaN with their reason, frozen, hashed, cut and joined."""

import copy
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import DataError, ShapeError, UnknownNameError
from gwt_lab.market.bars import FIELDS, Bars, find_gaps
from gwt_lab.market.instruments import Instrument

START = pd.Timestamp("2021-01-01", tz="UTC")


def hour(n):
    return START + pd.Timedelta(n, unit="h")


def long(symbols=("BTC/USDT", "ETH/USDT"), n=10, drop=(), **columns):
    """Return a long frame of `n` hours whose values are all different; `drop` holds (symbol, hour)."""
    rows = [
        {"timestamp": hour(i), "open": 100 * s + i, "high": 100 * s + i + 0.5, "low": 100 * s + i - 0.5,
         "close": 100 * s + i + 0.25, "volume": 1000.0 * s + i, "symbol": symbol}
        for s, symbol in enumerate(symbols, start=1)
        for i in range(n)
        if (symbol, i) not in set(drop)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**columns)


# ------------------------------------------------------------------------------------------------ building
def test_values_land_at_their_time_and_symbol():
    frame = long(drop=[("ETH/USDT", 4)])
    bars = Bars.from_frame(frame.sample(frac=1.0, random_state=3))
    assert bars.timeframe == "1h"
    assert bars.shape == (10, 2) == (len(bars), bars.n_symbols)
    assert str(bars.index.dtype) == "datetime64[ns, UTC]"
    assert bars.index.name == "datetime"
    for row in frame.itertuples():
        assert [getattr(bars, name).loc[row.timestamp, row.symbol] for name in FIELDS] == [
            row.open, row.high, row.low, row.close, row.volume,
        ]  # fmt: skip
    assert all(np.isnan(getattr(bars, name).loc[hour(4), "ETH/USDT"]) for name in FIELDS)
    assert int(bars.close.isna().to_numpy().sum()) == 1


def test_symbols_keep_their_order_and_get_one_spelling():
    frame = long(symbols=("ETHUSDT", "BTC-USDT", "ADA_USDT"))
    assert Bars.from_frame(frame).symbols == ["ETH/USDT", "BTC/USDT", "ADA/USDT"]


def test_two_spellings_are_one_symbol():
    first, second = long(symbols=("BTCUSDT",), n=5), long(symbols=("BTC/USDT",), n=10)
    bars = Bars.from_frame(pd.concat([first, second[second["timestamp"] >= hour(5)]]))
    assert bars.symbols == ["BTC/USDT"]
    assert not bars.close.isna().to_numpy().any()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_time_units_and_zones_make_equal_bars(unit, zone):
    frame = long()
    wanted = Bars.from_frame(frame)
    times = frame["timestamp"].dt.as_unit(unit)
    frame["timestamp"] = times.dt.tz_localize(None) if zone is None else times.dt.tz_convert(zone)
    assert Bars.from_frame(frame).equals(wanted)
    frame["timestamp"] = wanted.to_frame()["timestamp"].dt.as_unit(unit).astype("int64")
    assert Bars.from_frame(frame).equals(wanted)


def test_quote_volume_travels():
    frame = long(quote_volume=lambda f: f["volume"] * f["close"])
    bars = Bars.from_frame(frame)
    assert bars.quote_volume.loc[hour(3), "ETH/USDT"] == (2003.0 * 203.25)
    assert bars.head(4).quote_volume.shape == (4, 2)
    assert Bars.from_frame(bars.to_frame()).equals(bars)
    assert not bars.equals(replace(bars, quote_volume=None))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (long().drop(columns=["open", "volume"]), "open, volume missing, got timestamp, high"),
        (long().iloc[:0], "no rows; bars need at least one"),
        (pd.concat([long(), long().iloc[[3, 5]]]), "2 bars appear twice, the first is BTC/USDT at 2021-01-01 03:00"),
        (long(timestamp=lambda f: f["timestamp"].where(f.index != 4, hour(4.5))), "1 of 20 times do not open a bar"),
        (long(symbol=lambda f: f["symbol"].where(f.index != 4)), "symbol is missing in row 4"),
        (long(symbol=7), "non-empty text such as 'BTC/USDT', got 7"),
        (long(volume="many"), "column volume must hold numbers, got str"),
        (long(close=1j), "column close must hold numbers, got complex128"),
        (long(timestamp=lambda f: f["timestamp"].where(f.index != 4)), "timestamp is missing in row 4"),
        (pd.concat([long(), long()["close"]], axis=1), "column close more than once"),
        (long(n=1), "pass timeframe='1h'"),
    ],
)  # fmt: skip
def test_refused_frames_say_why(frame, message):
    with pytest.raises(DataError, match=message):
        Bars.from_frame(frame)


def test_a_wrong_year_is_refused_before_memory_is_asked_for():
    frame = long()
    frame.loc[0, "timestamp"] = pd.Timestamp("1981-01-01", tz="UTC")
    with pytest.raises(DataError, match=r"20 bars spread over 350,6\d\d times of 1h from 1981-01-01"):
        Bars.from_frame(frame)
    seconds = long().assign(
        timestamp=lambda f: [pd.Timestamp("1900-01-01") + pd.Timedelta(i, "s") for i in range(len(f))]
    )
    seconds.loc[0, "timestamp"] = pd.Timestamp("2200-01-01")
    with pytest.raises(DataError, match="a time is probably wrong by years"):  # 10**10 steps would be 76 GiB
        Bars.from_frame(seconds)


def test_a_given_timeframe_is_the_grid():
    even = long(n=20)
    even = even[even["timestamp"].dt.hour % 2 == 0]
    assert Bars.from_frame(even).timeframe == "2h"
    hourly = Bars.from_frame(even, "1h")
    assert hourly.n_times == 19
    assert int(hourly.close["BTC/USDT"].isna().sum()) == 9
    with pytest.raises(DataError, match="do not open a bar of 4h"):
        Bars.from_frame(even, "4h")
    with pytest.raises(UnknownNameError, match="timeframe must be"):
        Bars.from_frame(even, "hourly")


def test_a_frame_remembers_its_timeframe_unless_it_was_resampled():
    sparse = Bars.from_frame(long(drop=[(s, i) for s in ("BTC/USDT", "ETH/USDT") for i in (1, 3, 5, 6, 8)]), "1h")
    assert Bars.from_frame(sparse.to_frame()).timeframe == "1h"
    one = Bars.from_frame(long(n=1), "15m")
    assert Bars.from_frame(one.to_frame()).timeframe == "15m"
    fours = Bars.from_frame(long(n=16)).to_frame().groupby("symbol").resample("4h", on="timestamp")
    resampled = fours.agg(
        {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    ).reset_index()
    assert resampled.attrs["timeframe"] == "1h"  # pandas keeps it, though it is no longer true
    assert Bars.from_frame(resampled).timeframe == "4h"


# ------------------------------------------------------------------------------------------------ the constructor
def panels(bars):
    return {name: getattr(bars, name) for name in FIELDS}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda p: p | {"open": p["open"].iloc[1:]}, ShapeError, r"open must have the index and columns of close"),
        (lambda p: p | {"volume": p["volume"][["BTC/USDT"]]}, ShapeError, "volume must have the index and columns"),
        (lambda p: p | {"high": 3.0}, ShapeError, "high must be a DataFrame"),
        (lambda p: {k: v.drop(index=hour(4)) for k, v in p.items()}, DataError, "every open time, one 1h apart"),
        (lambda p: {k: v[::-1] for k, v in p.items()}, DataError, "every open time"),
        (lambda p: {k: v.set_axis(v.index + pd.Timedelta("7min")) for k, v in p.items()}, DataError, "every open time"),
        (lambda p: {k: v.tz_localize(None) for k, v in p.items()}, DataError, r"datetime64\[ns, UTC\]"),
        (lambda p: {k: v.tz_convert("Asia/Tokyo") for k, v in p.items()}, DataError, "Asia/Tokyo"),
        (lambda p: {k: v.set_axis(v.index.as_unit("us")) for k, v in p.items()}, DataError, r"got datetime64\[us"),
        (lambda p: {k: v.set_axis(range(10)) for k, v in p.items()}, DataError, "got int64"),
        (lambda p: {k: v.set_axis(["A", "A"], axis=1) for k, v in p.items()}, DataError, "symbol, each once"),
        (lambda p: {k: v.set_axis(["BTCUSDT", "E"], axis=1) for k, v in p.items()}, DataError, "written like BTC/USDT"),
        (lambda p: {k: v.iloc[:, :0] for k, v in p.items()}, DataError, "at least one symbol"),
        (lambda p: p | {"close": p["close"].astype(str) + "x"}, DataError, "close must hold numbers"),
        (lambda p: p | {"close": p["close"] * 1j}, DataError, r"close must hold numbers, got \['complex128'\]"),
    ],
)  # fmt: skip
def test_panels_that_do_not_fit_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        Bars(**change(panels(Bars.from_frame(long()))), timeframe="1h")


def test_whole_numbers_become_floats():
    bars = Bars.from_frame(long())
    ints = {name: frame.round().astype("int64") for name, frame in panels(bars).items()}
    made = Bars(**ints, timeframe="1h")
    assert all((getattr(made, name).dtypes == np.float64).all() for name in FIELDS)


# ------------------------------------------------------------------------------------------------ frozen
def test_fields_cannot_be_set():
    with pytest.raises(FrozenInstanceError):
        Bars.from_frame(long()).close = None
    with pytest.raises(TypeError):
        Bars.from_frame(long()).instruments["BTC/USDT"] = None


def test_writing_into_what_was_handed_out_does_not_reach_the_bars():
    bars = Bars.from_frame(long(drop=[("ETH/USDT", 4)]))
    before = bars.content_hash
    close = bars.close
    close.iloc[0, 0] = -1.0
    close["BTC/USDT"] = 7.0
    close.index.name = "changed"
    gaps = bars.gaps
    gaps["reason"] = "outage"
    bars.symbols.clear()
    assert bars.close.iloc[0, 0] == 100.25
    assert bars.index.name == "datetime"
    assert bars.gaps["reason"].tolist() == ["no trade"]
    assert bars.n_symbols == 2
    fresh = Bars.from_frame(bars.to_frame())
    assert fresh.content_hash == before == bars.content_hash
    with pytest.raises(ValueError, match="read-only"):
        bars.close.to_numpy()[0, 0] = -1.0


def test_writing_into_what_was_handed_in_does_not_reach_the_bars():
    source = panels(Bars.from_frame(long()))
    array = np.full((10, 2), 5.0)
    source["open"] = pd.DataFrame(array, index=source["close"].index, columns=source["close"].columns)
    bars = Bars(**source, timeframe="1h")
    source["close"].iloc[0, 0] = -1.0
    array[:] = -1.0
    assert bars.close.iloc[0, 0] == 100.25
    assert bars.open.iloc[0, 0] == 5.0


@pytest.mark.parametrize("clone", [lambda b: pickle.loads(pickle.dumps(b)), copy.deepcopy, copy.copy, replace])
def test_bars_can_be_sent_to_another_process_and_copied(clone):
    bars = Bars.from_frame(long(drop=[("ETH/USDT", 4)]), instruments={"BTC/USDT": Instrument("BTC/USDT", 0.01)})
    again = clone(bars)
    assert again.equals(bars)
    assert again.instruments == bars.instruments
    pd.testing.assert_frame_equal(again.gaps, bars.gaps)
    with pytest.raises(FrozenInstanceError):
        again.timeframe = "1d"
    with pytest.raises(TypeError):
        again.instruments["X"] = None


# ------------------------------------------------------------------------------------------------ the hash
def test_equal_content_has_an_equal_hash():
    frame = long(drop=[("ETH/USDT", 4)])
    bars = Bars.from_frame(frame)
    assert bars.content_hash == Bars.from_frame(frame.sort_values(["timestamp", "symbol"])).content_hash
    assert bars.content_hash == Bars.from_frame(frame, "60m").content_hash
    assert bars.content_hash == Bars.from_frame(frame, instruments={"BTC/USDT": Instrument("BTC/USDT")}).content_hash
    zeros = long(volume=0.0)
    assert Bars.from_frame(zeros).content_hash == Bars.from_frame(zeros.assign(volume=-0.0)).content_hash
    other_nan = np.frombuffer(np.uint64(0x7FF8000000000123).tobytes(), dtype=np.float64)[0]
    odd = bars.close.mask(bars.close.isna(), other_nan)
    assert np.isnan(odd.to_numpy()).sum() == 1
    assert replace(bars, close=odd).content_hash == bars.content_hash


def test_the_hash_is_pinned():
    # a frozen number: stored runs carry such hashes, so a change here must be meant and declared
    assert Bars.from_frame(long(drop=[("ETH/USDT", 4)])).content_hash[:16] == "c3b0798de8f36bef"


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.assign(close=f["close"].where(f.index != 7, np.nextafter(107.25, 200))),
        lambda f: f.assign(volume=f["volume"].where(f.index != 7)),
        lambda f: f.assign(timestamp=f["timestamp"] + pd.Timedelta("1h")),
        lambda f: f.assign(symbol=f["symbol"].replace("ETH/USDT", "ETC/USDT")),
        lambda f: f.assign(open=f["high"], high=f["open"]),
        lambda f: f.iloc[::-1],  # the symbols' order is content: it is the columns' order
        lambda f: f.assign(quote_volume=1.0),
        lambda f: f.iloc[:-1],
    ],
    ids=["one ulp", "one NaN", "an hour later", "renamed", "fields swapped", "order", "quote volume", "a row less"],
)
def test_other_content_has_another_hash(change):
    frame = long()
    assert Bars.from_frame(frame).content_hash != Bars.from_frame(change(frame)).content_hash
    assert not Bars.from_frame(frame).equals(Bars.from_frame(change(frame)))


def test_nothing_else_equals_bars():
    bars = Bars.from_frame(long())
    assert not bars.equals(bars.close)
    assert bars != replace(bars)  # identity, so that bars can be keys


# ------------------------------------------------------------------------------------------------ cut and join
def test_select_takes_both_ends():
    bars = Bars.from_frame(long())
    cut = bars.select("ETHUSDT", start="2021-01-01T03:00", end=hour(6))
    assert cut.symbols == ["ETH/USDT"]
    assert [cut.index[0], cut.index[-1]] == [hour(3), hour(6)]
    assert cut.close["ETH/USDT"].tolist() == [203.25, 204.25, 205.25, 206.25]
    # times between bars: from the first bar that opens at or after, to the last that opens at or before
    assert list(bars.select(start=hour(2.5), end=hour(4.5)).index) == [hour(3), hour(4)]
    assert bars.select(start="2021-01-01T05:00+02:00").index[0] == hour(3)
    assert bars.select(start=1_609_459_200_000).n_times == 10
    assert bars.select().equals(bars)


def test_select_keeps_the_order_asked_for():
    assert Bars.from_frame(long()).select(["ETH/USDT", "BTC/USDT"]).symbols == ["ETH/USDT", "BTC/USDT"]


def test_select_outside_is_empty_and_says_so():
    empty = Bars.from_frame(long()).select(start="2030-01-01")
    assert empty.shape == (0, 2)
    assert repr(empty) == "Bars(1h, no rows)"
    assert len(empty.to_frame()) == 0
    assert empty.to_frame().columns.tolist() == ["timestamp", *FIELDS, "symbol"]
    assert "no rows" in empty._repr_html_()


@pytest.mark.parametrize(
    ("symbols", "error", "message"),
    [
        (["BTC/USDT", "DOGE/USDT"], UnknownNameError, "no such symbol DOGE/USDT; these bars have BTC/USDT, ETH/USDT"),
        ([], DataError, "no symbol was asked for"),
        (["BTC/USDT", "btcusdt"], DataError, "twice"),
    ],
)
def test_select_refuses(symbols, error, message):
    with pytest.raises(error, match=message):
        Bars.from_frame(long()).select(symbols)


def test_head_and_tail():
    bars = Bars.from_frame(long())
    assert list(bars.head(3).index) == [hour(0), hour(1), hour(2)]
    assert list(bars.tail(2).index) == [hour(8), hour(9)]
    assert bars.head(99).equals(bars)
    assert bars.tail(99).equals(bars)
    for none in (bars.head, bars.tail):
        with pytest.raises(DataError, match="no rows are left of 10"):
            none(0)


def test_instruments_follow_their_symbols():
    rules = {"btcusdt": Instrument("BTC/USDT", 0.01), "ETH/USDT": Instrument("ETH/USDT", 0.1)}
    bars = Bars.from_frame(long(), instruments=rules)
    assert bars.instruments["BTC/USDT"].price_tick == 0.01
    assert list(bars.select("ETH/USDT").instruments) == ["ETH/USDT"]
    assert list(bars.head(2).instruments) == ["BTC/USDT", "ETH/USDT"]


def test_long_frame_is_ordered_and_leaves_missing_bars_out():
    bars = Bars.from_frame(long(drop=[("BTC/USDT", 4)]).sample(frac=1.0, random_state=1), "1h").select(
        ["BTC/USDT", "ETH/USDT"]
    )
    frame = bars.to_frame()
    assert frame.columns.tolist() == ["timestamp", *FIELDS, "symbol"]
    assert len(frame) == 19
    assert frame["symbol"].tolist() == ["BTC/USDT"] * 9 + ["ETH/USDT"] * 10
    assert all(part["timestamp"].is_monotonic_increasing for _, part in frame.groupby("symbol"))
    assert str(frame["timestamp"].dtype) == "datetime64[ns, UTC]"
    assert frame["symbol"].dtype == "str"
    assert frame.attrs["timeframe"] == "1h"


def test_a_bar_with_some_values_missing_is_not_a_missing_bar():
    frame = long()
    frame.loc[4, "close"] = np.nan
    bars = Bars.from_frame(frame)
    assert len(bars.to_frame()) == 20
    assert Bars.from_frame(bars.to_frame()).equals(bars)


# ------------------------------------------------------------------------------------------------ gaps
def reasons(bars):
    return [(row.symbol, row.start, row.end, row.reason) for row in bars.gaps.itertuples()]


def test_every_gap_has_its_reason():
    three = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
    drop = [(s, i) for s in three for i in (4, 5)]  # nobody: outage
    drop += [("ETH/USDT", 6), ("ETH/USDT", 9)]  # alone: no trade
    drop += [("SOL/USDT", i) for i in (0, 1)] + [("BTC/USDT", i) for i in (10, 11)]  # before the first, after the last
    bars = Bars.from_frame(long(three, n=12, drop=drop))
    assert reasons(bars) == [
        ("BTC/USDT", hour(4), hour(5), "outage"),
        ("BTC/USDT", hour(10), hour(11), "not listed"),
        ("ETH/USDT", hour(4), hour(5), "outage"),
        ("ETH/USDT", hour(6), hour(6), "no trade"),
        ("ETH/USDT", hour(9), hour(9), "no trade"),
        ("SOL/USDT", hour(0), hour(1), "not listed"),
        ("SOL/USDT", hour(4), hour(5), "outage"),
    ]


def test_a_single_symbol_cannot_show_an_outage():
    bars = Bars.from_frame(long(("BTC/USDT",), drop=[("BTC/USDT", 4)]))
    assert reasons(bars) == [("BTC/USDT", hour(4), hour(4), "no trade")]
    # one symbol listed, the other not yet: still alone
    drop = [("BTC/USDT", 2)] + [("ETH/USDT", i) for i in range(5)]
    assert ("BTC/USDT", hour(2), hour(2), "no trade") in reasons(Bars.from_frame(long(drop=drop)))


def test_a_symbol_without_any_bar_is_not_listed():
    close = Bars.from_frame(long()).close
    close["ETH/USDT"] = np.nan
    gaps = find_gaps(close)
    assert gaps.values.tolist() == [["ETH/USDT", hour(0), hour(9), "not listed"]]


def test_a_known_reason_wins_bar_by_bar():
    frame = long(("BTC/USDT",), drop=[("BTC/USDT", i) for i in (3, 4, 5, 8)])
    known = pd.DataFrame({"symbol": ["btcusdt", "XRP/USDT"], "start": [hour(4), hour(0)], "end": [hour(8), hour(9)],
                          "reason": ["outage", "outage"]})  # fmt: skip
    assert reasons(Bars.from_frame(frame, gaps=known)) == [
        ("BTC/USDT", hour(3), hour(3), "no trade"),
        ("BTC/USDT", hour(4), hour(5), "outage"),
        ("BTC/USDT", hour(8), hour(8), "outage"),
    ]


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (pd.DataFrame({"symbol": ["A"], "start": [START]}), "columns symbol, start, end, reason; end, reason missing"),
        (pd.DataFrame({"symbol": ["A"], "start": [START], "end": [START], "reason": ["holiday"]}),
         "must be one of outage, not listed, no trade; got holiday"),
        (pd.DataFrame({"symbol": ["A"], "start": ["soon"], "end": [START], "reason": ["outage"]}), "start of a gap"),
    ],
)  # fmt: skip
def test_refused_gaps(known, message):
    with pytest.raises(DataError, match=message):
        Bars.from_frame(long(), gaps=known)


def test_gaps_are_cut_with_the_bars():
    bars = Bars.from_frame(long(drop=[("BTC/USDT", i) for i in (3, 4, 5)] + [("ETH/USDT", i) for i in (3, 4, 5)]))
    assert reasons(bars.select("BTC/USDT", start=hour(4), end=hour(7))) == [("BTC/USDT", hour(4), hour(5), "outage")]
    assert reasons(bars.select(start=hour(6))) == []
    assert reasons(bars.select(end=hour(3))) == [
        ("BTC/USDT", hour(3), hour(3), "outage"),
        ("ETH/USDT", hour(3), hour(3), "outage"),
    ]


def test_a_reason_that_cannot_be_inferred_again_travels_through_the_long_frame(tmp_path):
    bars = Bars.from_frame(long(drop=[("BTC/USDT", 4), ("ETH/USDT", 4)])).select("BTC/USDT")
    assert reasons(Bars.from_frame(bars.to_frame())) == [("BTC/USDT", hour(4), hour(4), "outage")]
    bars.to_frame().to_parquet(tmp_path / "bars.parquet")
    assert reasons(Bars.from_frame(pd.read_parquet(tmp_path / "bars.parquet"))) == reasons(bars)


# ------------------------------------------------------------------------------------------------ shown
def test_shown_in_one_line_and_as_a_card():
    bars = Bars.from_frame(long(drop=[("ETH/USDT", 4)]))
    assert repr(bars) == (
        "Bars(2 symbols x 10 bars of 1h, 2021-01-01 00:00 to 2021-01-01 09:00 UTC, 1 missing; BTC/USDT, ETH/USDT)"
    )
    page = bars._repr_html_()
    assert "no trade" in page
    assert bars.content_hash[:16] in page
    hostile = Bars.from_frame(long(symbols=("<B>/USDT",)))
    assert "<B>" not in hostile._repr_html_()
