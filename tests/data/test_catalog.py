"""The catalog gives back what it got, keeps what it has, and says what it holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gwt_lab as gwt
from gwt_lab.data.catalog import Catalog
from gwt_lab.data.catalog_files import folder_symbol, symbol_folder
from gwt_lab.errors import DataError, UnknownNameError
from gwt_lab.market.instruments import Instrument

SYMBOLS = ["ADA/USDT", "BTC/USDT", "ETH/USDT"]


def made(
    n_bars: int = 48, *, seed: int = 0, holes: float = 0.0, quote: bool = False, start: str = "2021-01-01"
) -> gwt.Bars:
    """Return random bars of three symbols; some missing, but none at the edges."""
    rng = np.random.default_rng(seed)
    index = pd.date_range(start, periods=n_bars, freq="1h", tz="UTC", unit="ns", name="datetime")
    columns = pd.Index(SYMBOLS, name="symbol")
    there = rng.random((n_bars, 3)) >= holes
    there[[0, -1]] = True
    values = [np.where(there, rng.lognormal(3, 1, (n_bars, 3)), np.nan) for _ in range(6)]
    frames = [pd.DataFrame(value, index=index, columns=columns) for value in values]
    bars = gwt.Bars(*frames[:5], timeframe="1h", quote_volume=frames[5] if quote else None)
    return gwt.Bars.from_frame(bars.to_frame()).select(SYMBOLS)


@pytest.mark.parametrize("quote", [False, True])
def test_reading_gives_back_what_was_appended(quote: bool) -> None:
    bars = made(60, holes=0.3, quote=quote)
    paths = Catalog().append("spot", bars)
    assert len(paths) == 3
    back = Catalog().read("spot")
    assert back.content_hash == bars.content_hash
    pd.testing.assert_frame_equal(back.gaps, bars.gaps)
    assert (back.quote_volume is not None) == quote


def test_load_bars_reads_by_name_symbol_and_time() -> None:
    bars = made()
    Catalog().append("spot", bars)
    got = gwt.load_bars("spot", symbols=["ETHUSDT"], start="2021-01-01T05:00", end="2021-01-01 09:00")
    assert got.equals(bars.select("ETH/USDT", "2021-01-01T05:00", "2021-01-01T09:00"))
    assert gwt.load_bars("spot", timeframe="60m").equals(bars)
    with pytest.raises(DataError, match="holds bars of 1h, asked was 1d"):
        gwt.load_bars("spot", timeframe="1d")


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations(range(4)))
def test_any_order_of_overlapping_appends_reads_like_one(
    tmp_path_factory: pytest.TempPathFactory, seed: int, order: list[int]
) -> None:
    bars = made(48, seed=seed, holes=0.4)
    catalog = Catalog(tmp_path_factory.mktemp("pieces"))
    for position in order:
        piece = bars.select(start=bars.index[12 * position], end=bars.index[min(12 * position + 14, 47)])
        catalog.append("x", piece)
    assert catalog.read("x").content_hash == bars.content_hash


@pytest.fixture(scope="module")
def holey(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalog, gwt.Bars]:
    """Return bars with outages, silent symbols and a late listing, and a catalog that holds them in two files each."""
    frame = made(60, seed=1, holes=0.35).to_frame()
    late = (frame["symbol"] == "ETH/USDT") & (frame["timestamp"] < "2021-01-01 20:00+00:00")
    out = frame["timestamp"].between("2021-01-02 00:00+00:00", "2021-01-02 03:00+00:00")
    bars = gwt.Bars.from_frame(frame[~late & ~out]).select(SYMBOLS)
    catalog = Catalog(tmp_path_factory.mktemp("catalog"))
    catalog.append("x", bars.head(33))
    catalog.append("x", bars)
    return catalog, bars


@settings(max_examples=40, deadline=None)
@given(first=st.integers(-3, 62), length=st.integers(0, 62), minutes=st.sampled_from([0, 0, 30]))
def test_a_cut_read_equals_reading_everything_and_cutting(
    holey: tuple[Catalog, gwt.Bars], first: int, length: int, minutes: int
) -> None:
    catalog, bars = holey
    start = bars.index[0] + pd.Timedelta(hours=first, minutes=minutes)
    end = start + pd.Timedelta(hours=length)
    expected = bars.select(start=start, end=end)
    if not len(expected) or expected.close.isna().all(axis=None):
        with pytest.raises(DataError, match="no bars of"):
            catalog.read("x", start=start, end=end)
        return
    got = catalog.read("x", start=start, end=end)
    assert got.content_hash == expected.content_hash
    pd.testing.assert_frame_equal(got.gaps, expected.gaps)


def test_equal_bars_are_skipped_and_write_nothing() -> None:
    bars = made()
    Catalog().append("spot", bars)
    assert Catalog().append("spot", bars) == []
    longer = gwt.Bars.from_frame(pd.concat([bars.to_frame(), made(2, start="2021-01-03").to_frame()]))
    paths = Catalog().append("spot", longer)
    assert [pd.read_parquet(path)["timestamp"].tolist() for path in paths] == [list(longer.index[-2:])] * 3
    assert [line["action"] for line in Catalog().history("spot")] == ["append", "append"]


def changed(bars: gwt.Bars, row: int, symbol: str, close: float) -> gwt.Bars:
    values = bars.close.copy()
    values.loc[bars.index[row], symbol] = close
    return replace(bars, close=values)


def test_a_different_value_is_refused_whole_and_named() -> None:
    bars = made(40)
    Catalog().append("spot", bars.select(end=bars.index[29]))
    before = sorted(path.name for path in Catalog().path.rglob("*.parquet"))
    with pytest.raises(
        DataError, match=r"holds ETH/USDT at 2021-01-01 07:00:00 UTC with close .*the new bars say 7\.5"
    ) as error:
        Catalog().append("spot", changed(bars, 7, "ETH/USDT", 7.5))
    assert repr(float(bars.close.iloc[7]["ETH/USDT"])) in str(error.value)
    assert "nothing was written" in str(error.value)
    # ADA comes first and has ten new bars: they must not have been written either
    assert sorted(path.name for path in Catalog().path.rglob("*.parquet")) == before


def test_a_revision_wins_and_keeps_what_it_replaces() -> None:
    bars = made(40, holes=0.2)
    Catalog().append("spot", bars)
    new = changed(bars, 0, "ETH/USDT", 7.5)
    paths = Catalog().append("spot", new, revise=True, source={"why": "venue corrected it"})
    assert [path.parent.name for path in paths] == ["ETH-USDT"]
    assert Catalog().read("spot").content_hash == new.content_hash
    older = list((Catalog().path / "spot" / "superseded").rglob("*.parquet"))
    assert [pd.read_parquet(path)["close"].iloc[0] for path in older] == [bars.close["ETH/USDT"].iloc[0]]
    assert Catalog().history("spot")[-1]["action"] == "revise"
    # and back again
    Catalog().append("spot", bars, revise=True)
    assert Catalog().read("spot").content_hash == bars.content_hash


def test_a_revision_killed_before_it_moved_the_old_file_away_still_wins() -> None:
    bars = made(40)
    (old, *_) = [path for path in Catalog().append("spot", bars) if path.parent.name == "ETH-USDT"]
    kept = old.read_bytes()
    new = changed(bars, 3, "ETH/USDT", 7.5)
    Catalog().append("spot", new, revise=True)
    old.write_bytes(kept)
    assert Catalog().read("spot").content_hash == new.content_hash
    Catalog().append("spot", new)
    assert not old.exists(), "the next writer finishes the move"


def test_quote_volume_that_one_side_lacks_is_no_contradiction() -> None:
    bars = made(20, quote=True)
    Catalog().append("spot", replace(bars, quote_volume=None))
    assert Catalog().append("spot", bars) == []
    later = made(4, quote=True, start="2021-01-02")
    Catalog().append("spot", later)
    back = Catalog().read("spot")
    assert back.quote_volume is not None
    assert back.quote_volume.iloc[:20].isna().all(axis=None)
    assert back.quote_volume.loc[later.index].equals(later.quote_volume)


def test_known_reasons_and_instruments_come_along() -> None:
    frame = made(30).to_frame()
    hole = (frame["symbol"] == "BTC/USDT") & frame["timestamp"].between("2021-01-01 10:00", "2021-01-01 12:00")
    reason = pd.DataFrame(
        {"symbol": ["BTC/USDT"], "start": ["2021-01-01 11:00"], "end": ["2021-01-01 12:00"], "reason": ["outage"]}
    )
    rule = Instrument("BTC/USDT", price_tick=0.01, valid_from="2021-01-01T00:00:00", venue="binance")
    bars = gwt.Bars.from_frame(frame[~hole], gaps=reason, instruments={"BTC/USDT": rule})
    Catalog().append("spot", bars)
    back = Catalog().read("spot")
    pd.testing.assert_frame_equal(back.gaps, bars.gaps)
    assert list(back.gaps["reason"]) == ["no trade", "outage"]
    assert dict(back.instruments) == {"BTC/USDT": rule}
    newer = replace(rule, price_tick=0.1, valid_from="2022-01-01T00:00:00")
    Catalog().append("spot", replace(bars, instruments={"BTC/USDT": newer}))
    assert Catalog().read("spot", "BTC/USDT").instruments["BTC/USDT"] == newer
    assert Catalog().read("spot", "ETH/USDT").instruments == {}


def test_a_symbol_listed_later_is_not_called_listed_before() -> None:
    bars = made(30)
    frame = bars.to_frame()
    late = gwt.Bars.from_frame(frame[(frame["symbol"] != "ETH/USDT") | (frame["timestamp"] >= bars.index[20])])
    Catalog().append("spot", late)
    cut = Catalog().read("spot", start=bars.index[10], end=bars.index[25])
    assert cut.gaps.to_dict("records") == [
        {"symbol": "ETH/USDT", "start": bars.index[10], "end": bars.index[19], "reason": "not listed"}
    ]


def test_duckdb_polars_and_pandas_read_the_partitions_by_glob() -> None:
    bars = made(48, holes=0.1, quote=True)
    Catalog().append("spot", bars.head(30))
    Catalog().append("spot", bars)
    glob = str(Catalog().path / "spot" / "bars" / "*" / "*.parquet")
    expected = bars.to_frame()
    names = list(expected.columns)
    order = "order by symbol, timestamp"
    by_duckdb = duckdb.sql(f"select * replace (epoch_ns(timestamp) as timestamp) from '{glob}' {order}").fetchnumpy()
    in_polars = polars.read_parquet(glob).sort("symbol", "timestamp")
    by_polars = {name: in_polars[name].to_numpy() for name in names}
    files = sorted((Catalog().path / "spot" / "bars").glob("*/*.parquet"))
    in_pandas = pd.concat([pd.read_parquet(file) for file in files]).sort_values(["symbol", "timestamp"])
    by_pandas = {name: in_pandas[name].to_numpy() for name in names}
    by_pandas["timestamp"] = pd.DatetimeIndex(in_pandas["timestamp"]).asi8 * 1000
    assert str(in_polars.schema["timestamp"]) == "Datetime(time_unit='us', time_zone='UTC')"
    by_polars["timestamp"] = by_polars["timestamp"].astype("datetime64[ns]").astype(np.int64)
    for got in (by_polars, by_duckdb, by_pandas):
        assert list(got["symbol"]) == list(expected["symbol"])
        assert list(got["timestamp"]) == [time.value for time in expected["timestamp"]]
        for name in names[1:-1]:
            assert np.array_equal(got[name], expected[name].to_numpy(), equal_nan=True), name


def test_describe_says_ranges_gaps_and_hashes() -> None:
    frame = made(30).to_frame()
    frame = frame[
        (frame["symbol"] != "BTC/USDT")
        | ~frame["timestamp"].isin(pd.date_range("2021-01-01 03:00", periods=2, freq="4h", tz="UTC"))
    ]
    Catalog().append("spot", gwt.Bars.from_frame(frame))
    table = Catalog().describe().set_index("symbol")
    row = table.loc["BTC/USDT"]
    assert (row["bars"], row["missing"], row["gaps"], row["timeframe"]) == (28, 2, 2, "1h")
    assert row["hash"] == gwt.load_bars("spot", "BTC/USDT").content_hash
    assert table.loc["ETH/USDT", "end"] == pd.Timestamp("2021-01-02 05:00", tz="UTC")


def test_last_time_serves_a_download_that_resumes() -> None:
    assert Catalog().last_time("spot", "BTC/USDT") is None
    bars = made(30)
    Catalog().append("spot", bars.head(10))
    Catalog().append("spot", bars.select(start=bars.index[20], end=bars.index[24]))
    Catalog().append("spot", bars.select(start=bars.index[5], end=bars.index[7]))
    assert Catalog().last_time("spot", "BTCUSDT") == bars.index[24]
    assert Catalog().last_time("spot", "XRP/USDT") is None


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="nothing yet"):
        gwt.load_bars("spot")
    Catalog().append("spot", made(5))
    with pytest.raises(UnknownNameError, match=r"neither a catalog name nor a path.*holds spot"):
        gwt.load_bars("sopt")
    with pytest.raises(UnknownNameError, match="no symbol XRP/USDT; it has ADA/USDT, BTC/USDT, ETH/USDT"):
        gwt.load_bars("spot", symbols="XRPUSDT")
    with pytest.raises(UnknownNameError, match="no catalog name 'x'"):
        Catalog().describe("x")


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", ".hidden", "a b", "x" * 101, "end."])
def test_names_that_cannot_be_folders_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="a catalog name must be letters"):
        Catalog().append(name, made(5))
    assert not Catalog().path.exists()


def test_one_name_holds_one_timeframe() -> None:
    Catalog().append("spot", made(5))
    daily = gwt.Bars.from_frame(made(72).select("BTC/USDT").to_frame().iloc[::24], "1d")
    with pytest.raises(DataError, match="'spot' holds bars of 1h, got 1d"):
        Catalog().append("spot", daily)


def test_bars_without_any_price_are_refused() -> None:
    bars = made(5)
    nothing = {name: getattr(bars, name) * np.nan for name in ("open", "high", "low", "close", "volume")}
    with pytest.raises(DataError, match="hold no price at all"):
        Catalog().append("spot", replace(bars, **nothing))


@given(st.text(alphabet="ABZ019/:-_.%~ $é", min_size=1, max_size=20))
def test_every_symbol_has_a_folder_of_its_own(symbol: str) -> None:
    folder = symbol_folder(symbol)
    assert folder_symbol(folder) == symbol
    assert not set(folder) & set('/\\:*?"<>|. ')


def test_files_carry_their_source_and_are_equal_for_equal_bars(tmp_path: Path) -> None:
    source = {"kind": "test", "seed": 3}
    one = Catalog(tmp_path / "a").append("x", made(9), source=source)
    two = Catalog(tmp_path / "b").append("x", made(9), source=source)
    assert [path.name for path in one] == [path.name for path in two]
    import pyarrow.parquet as pq

    meta = json.loads(pq.read_schema(one[0]).metadata[b"gwt_lab"])
    assert meta == {"symbol": "ADA/USDT", "timeframe": "1h", "source": source}
