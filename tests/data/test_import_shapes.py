"""Files in the shapes people have become the bars they hold."""

from __future__ import annotations

import bz2
import json
import lzma
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest

import gwt_lab as gwt
from gwt_lab.data.importers import import_bars
from tests.oracles.importers_files import (
    Row,
    binance,
    ccxt_json,
    cryptodatadownload,
    known_rows,
    plain_csv,
    write_csv,
)

ROWS = known_rows()


def assert_holds(
    bars: gwt.Bars, rows: list[Row], symbol: str = "BTC/USDT", timeframe: str = "1h", quote: bool = False
) -> None:
    """Compare bars with the rows they were written from, value by value."""
    assert bars.symbols == [symbol]
    assert bars.timeframe == timeframe
    assert str(bars.index.dtype) == "datetime64[ns, UTC]"
    assert list(bars.index) == [pd.Timestamp(row.time) for row in rows]
    for name in ("open", "high", "low", "close", "volume"):
        assert bars.__getattribute__(name)[symbol].tolist() == [getattr(row, name) for row in rows], name
    assert (bars.quote_volume is not None) == quote
    if bars.quote_volume is not None:
        assert bars.quote_volume[symbol].tolist() == [row.quote for row in rows]


def frame(rows: list[Row]) -> pd.DataFrame:
    columns = {name: [getattr(row, name) for row in rows] for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame({"date": pd.DatetimeIndex([row.time for row in rows]).as_unit("ms")} | columns)


def arrow(rows: list[Row]) -> pa.Table:
    names = ("open", "high", "low", "close", "volume")
    times = pa.array([row.ms for row in rows], pa.timestamp("ms", tz="UTC"))
    return pa.table({"date": times} | {name: [getattr(row, name) for row in rows] for name in names})


# ------------------------------------------------------------------------------------------------ makers of files
@pytest.mark.parametrize("unit", [1, 1000])
@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("name", ["BTCUSDT-1h-2021-01.csv", "BTCUSDT-1h-2021-01.zip"])
def test_binance_kline_dumps(tmp_path: Path, unit: int, header: bool, name: str) -> None:
    assert_holds(import_bars(binance(tmp_path / name, ROWS, unit=unit, header=header)), ROWS, quote=True)


def test_a_folder_of_binance_months_whose_unit_changes(tmp_path: Path) -> None:
    binance(tmp_path / "BTCUSDT-1h-2024-12.zip", ROWS[:20])
    binance(tmp_path / "BTCUSDT-1h-2025-01.zip", ROWS[20:], unit=1000)
    (tmp_path / ".hidden.csv").write_text("not a table")
    (tmp_path / "README.md").write_text("# not a table")
    assert_holds(import_bars(tmp_path), ROWS, quote=True)


@pytest.mark.parametrize("name", ["BTC_USDT-1h.json", "BTCUSDT_1h.json", "Binance BTC-USDT 60min.json"])
def test_ccxt_lists_and_freqtrade_json(tmp_path: Path, name: str) -> None:
    assert_holds(import_bars(ccxt_json(tmp_path / name, ROWS)), ROWS)


@pytest.mark.parametrize("compression", ["lz4", "uncompressed"])
def test_freqtrade_feather(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "BTC_USDT-1h.feather"
    pyarrow.feather.write_feather(arrow(ROWS), path, compression=compression)
    assert_holds(import_bars(path), ROWS)


def test_freqtrade_futures_are_perpetuals_and_other_candles_are_left_out(tmp_path: Path) -> None:
    pyarrow.feather.write_feather(arrow(ROWS), tmp_path / "BTC_USDT_USDT-1h-futures.feather")
    pyarrow.feather.write_feather(arrow(ROWS[::8]), tmp_path / "BTC_USDT_USDT-8h-funding_rate.feather")
    assert_holds(import_bars(tmp_path), ROWS, "BTC/USDT:USDT")
    with pytest.raises(gwt.GwtLabError, match="holds funding rate candles, not bars of trades"):
        import_bars(tmp_path / "BTC_USDT_USDT-8h-funding_rate.feather")


@pytest.mark.parametrize("unix", ["s", "ms"])
def test_cryptodatadownload(tmp_path: Path, unix: str) -> None:
    path = cryptodatadownload(tmp_path / "Binance_BTCUSDT_1h.csv", ROWS, "BTC/USDT", unix=unix)
    assert_holds(import_bars(path), ROWS, quote=True)


def test_cryptodatadownload_with_twelve_hour_clock_and_no_unix_column(tmp_path: Path) -> None:
    lines = [[row.time.strftime("%Y-%m-%d %I-%p"), "BTCUSD", *row.prices, row.volume, row.quote] for row in ROWS[::-1]]
    names = ["Date", "Symbol", "Open", "High", "Low", "Close", "Volume BTC", "Volume USD"]
    path = write_csv(tmp_path / "Coinbase_BTCUSD_1h.csv", names, lines, top="https://www.CryptoDataDownload.com\n")
    assert_holds(import_bars(path), ROWS, "BTC/USD", quote=True)


def test_kraken_downloads(tmp_path: Path) -> None:
    lines = [[row.ms // 1000, *row.prices, row.volume, 5] for row in ROWS]
    assert_holds(import_bars(write_csv(tmp_path / "XBTUSD_60.csv", None, lines)), ROWS, "BTC/USD")


def test_bitstamps_brackets_and_yahoos_capitals(tmp_path: Path) -> None:
    lines = [[row.ms // 1000, *row.prices, row.volume, row.quote, 1.0] for row in ROWS]
    names = ["Timestamp", "Open", "High", "Low", "Close", "Volume_(BTC)", "Volume_(Currency)", "Weighted_Price"]
    path = write_csv(tmp_path / "some.csv", names, lines)
    assert_holds(import_bars(path, symbol="BTC/USD"), ROWS, "BTC/USD", quote=True)
    days = known_rows(30, step=timedelta(days=1))
    lines = [[f"{row.time:%Y-%m-%d}", *row.prices, row.close, row.volume] for row in days]
    path = write_csv(tmp_path / "BTC-USD.csv", ["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"], lines)
    assert_holds(import_bars(path), days, "BTC/USD", "1d")


# ------------------------------------------------------------------------------------------------ JSON
JSON_SHAPES: dict[str, Callable[[list[Row]], object]] = {
    "binance answer": lambda rows: [
        [r.ms, *map(str, r.prices), str(r.volume), r.ms + 3_599_999, str(r.quote), 9, "1.0", "2.0", "0"] for r in rows
    ],
    "records": lambda rows: [
        {
            "openTime": r.ms,
            "open": r.open,
            "high": r.high,
            "low": r.low,
            "close": r.close,
            "volume": r.volume,
            "quoteVolume": r.quote,
        }
        for r in rows
    ],
    "bybit answer, newest first": lambda rows: {
        "retCode": 0,
        "result": {"list": [[str(r.ms), *map(str, r.prices), str(r.volume), str(r.quote)] for r in rows[::-1]]},
    },
    "columns": lambda rows: {
        "timestamp": [r.ms for r in rows],
        **{name: [getattr(r, name) for r in rows] for name in ("open", "high", "low", "close", "volume")},
    },
    "by symbol": lambda rows: {"BTC/USDT": [[r.ms, *r.prices, r.volume] for r in rows]},
    "pandas split": lambda rows: {
        "columns": ["date", "open", "high", "low", "close", "volume"],
        "index": list(range(len(rows))),
        "data": [[r.time.isoformat(), *r.prices, r.volume] for r in rows],
    },
}


@pytest.mark.parametrize("shape", JSON_SHAPES)
def test_json(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "BTCUSDT.json"
    path.write_text(json.dumps(JSON_SHAPES[shape](ROWS)))
    assert_holds(import_bars(path), ROWS, quote=shape in ("binance answer", "records"))


def test_json_lines_and_pandas_own_json(tmp_path: Path) -> None:
    lines = [{"ts": r.ms, "o": r.open, "h": r.high, "l": r.low, "c": r.close, "v": r.volume} for r in ROWS]
    path = tmp_path / "BTCUSDT.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    assert_holds(import_bars(path), ROWS)
    frame(ROWS).to_json(tmp_path / "ETHUSDT.json", date_unit="ms", date_format="iso")
    assert_holds(import_bars(tmp_path / "ETHUSDT.json"), ROWS, "ETH/USDT")


# ------------------------------------------------------------------------------------------------ text
@pytest.mark.parametrize(
    "spell",
    [
        "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+00:00",
        "%Y-%m-%dT%H:%M:%S.000Z", "%Y-%m-%d %H:%M:%S UTC", "%Y/%m/%d %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M",
        "%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%Y%m%d%H%M%S",
    ],
)  # fmt: skip
def test_spellings_of_times(tmp_path: Path, spell: str) -> None:
    # the rows run from the 20th to the 21st, so a day is told from a month
    assert_holds(import_bars(plain_csv(tmp_path / "BTCUSDT.csv", ROWS, spell)), ROWS)


@pytest.mark.parametrize(
    ("unit", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9), ("float s", 1.0)]
)
def test_units_of_numbers(tmp_path: Path, unit: str, per_second: float) -> None:
    names = ["timestamp", "open", "high", "low", "close", "volume"]
    lines = [[row.ms // 1000 * per_second, *row.prices, row.volume] for row in ROWS]
    assert_holds(import_bars(write_csv(tmp_path / "BTCUSDT.csv", names, lines)), ROWS)


def test_days_written_as_numbers(tmp_path: Path) -> None:
    days = known_rows(40, step=timedelta(days=1))
    assert_holds(import_bars(plain_csv(tmp_path / "BTCUSDT.csv", days, "%Y%m%d")), days, timeframe="1d")


def test_offsets_are_converted_across_a_change_to_summer_time(tmp_path: Path) -> None:
    rows = known_rows(24, start=datetime(2021, 3, 27, 15, tzinfo=UTC))
    from zoneinfo import ZoneInfo

    lines = [[row.time.astimezone(ZoneInfo("Europe/Berlin")).isoformat(), *row.prices, row.volume] for row in rows]
    assert {str(line[0])[-6:] for line in lines} == {"+01:00", "+02:00"}
    names = ["time", "open", "high", "low", "close", "volume"]
    assert_holds(import_bars(write_csv(tmp_path / "BTCUSDT.csv", names, lines)), rows)


@pytest.mark.parametrize("day", [datetime(2021, 3, 27, 20, tzinfo=UTC), datetime(2021, 10, 30, 18, tzinfo=UTC)])
@pytest.mark.parametrize("newest_first", [False, True])
def test_local_clock_times_are_converted_when_their_zone_is_named(
    tmp_path: Path, day: datetime, newest_first: bool
) -> None:
    rows = known_rows(24, start=day)
    from zoneinfo import ZoneInfo

    lines = [
        [f"{row.time.astimezone(ZoneInfo('Europe/Berlin')):%Y-%m-%d %H:%M}", *row.prices, row.volume] for row in rows
    ]
    names = ["time", "open", "high", "low", "close", "volume"]
    path = write_csv(tmp_path / "BTCUSDT.csv", names, lines[::-1] if newest_first else lines)
    assert_holds(import_bars(path, times="Europe/Berlin"), rows)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(tmp_path: Path, delimiter: str) -> None:
    names = ["timestamp", "open", "high", "low", "close", "volume"]
    lines = [[row.ms, *row.prices, row.volume] for row in ROWS]
    assert_holds(import_bars(write_csv(tmp_path / "BTCUSDT.tsv", names, lines, delimiter=delimiter)), ROWS)


def test_decimal_commas(tmp_path: Path) -> None:
    names = ["timestamp", "open", "high", "low", "close", "volume"]
    lines = [[row.ms, *(str(value).replace(".", ",") for value in (*row.prices, row.volume))] for row in ROWS]
    assert_holds(import_bars(write_csv(tmp_path / "BTCUSDT.csv", names, lines, delimiter=";")), ROWS)


@pytest.mark.parametrize("pack", [lambda d: d, bz2.compress, lzma.compress], ids=["bom", "bz2", "xz"])
def test_byte_order_mark_comments_and_packing(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = plain_csv(tmp_path / "BTCUSDT.csv", ROWS)
    path.write_bytes(pack(b"\xef\xbb\xbf# exported\n\n" + path.read_bytes().replace(b"\n", b"\r\n")))
    assert_holds(import_bars(path), ROWS)


def test_what_spreadsheets_add(tmp_path: Path) -> None:
    lines = ["sep=;", ";timestamp;open;high;low;close;volume;"]
    lines += [";".join(map(str, [place, row.ms, *row.prices, row.volume, ""])) for place, row in enumerate(ROWS)]
    (tmp_path / "BTCUSDT.csv").write_text("\n".join(lines) + "\n\n")
    assert_holds(import_bars(tmp_path / "BTCUSDT.csv"), ROWS)


def test_an_integer_column_that_turns_into_decimals_late(tmp_path: Path) -> None:
    # pyarrow guesses a column's type from its first block
    n = 60_000
    times = 1_600_000_020_000 // 60_000 * 60_000 + 60_000 * np.arange(n)
    volume = np.where(np.arange(n) < n - 1, 1, 2.5)
    lines = [f"{time},100,101,99,100,{v:g}" for time, v in zip(times, volume, strict=True)]
    path = tmp_path / "BTCUSDT-1m.csv"
    path.write_text("timestamp,open,high,low,close,volume\n" + "\n".join(lines) + "\n")
    assert path.stat().st_size > 1 << 20
    assert import_bars(path).volume["BTC/USDT"].iloc[-1] == 2.5


def test_empty_candles_are_missing_bars(tmp_path: Path) -> None:
    names = ["timestamp", "open", "high", "low", "close", "volume"]
    lines: list[list[object]] = [[row.ms, *row.prices, row.volume] for row in ROWS]
    lines[5] = [ROWS[5].ms, "", "", "", "", 0]
    lines[7] = [ROWS[7].ms, "NaN", "null", "None", "N/A", 0]
    bars = import_bars(write_csv(tmp_path / "BTCUSDT.csv", names, lines))
    assert list(np.flatnonzero(bars.close["BTC/USDT"].isna())) == [5, 7]
    assert bars.volume["BTC/USDT"].isna().sum() == 2
    assert list(bars.gaps["reason"]) == ["no trade", "no trade"]


# ------------------------------------------------------------------------------------------------ several symbols
def long_frame() -> pd.DataFrame:
    return pd.concat(
        [
            frame(ROWS).assign(symbol="BTCUSDT", exchange="binance"),
            frame(ROWS[10:]).assign(symbol="ETHUSDT", exchange="binance"),
        ]
    )


@pytest.mark.parametrize("ending", ["csv", "parquet", "feather", "json"])
def test_the_long_frame_in_every_format(tmp_path: Path, ending: str) -> None:
    table = long_frame().reset_index(drop=True)
    path = tmp_path / f"market.{ending}"
    if ending == "csv":
        table.to_csv(path, index=False)
    elif ending == "json":
        table.assign(date=table["date"].astype("int64")).to_json(path, orient="records")
    else:
        getattr(table, f"to_{ending}")(path)
    bars = import_bars(path)
    assert bars.symbols == ["BTC/USDT", "ETH/USDT"]
    assert_holds(bars.select("BTC/USDT"), ROWS)
    assert_holds(bars.select("ETH/USDT", start=ROWS[10].time), ROWS[10:], "ETH/USDT")
    assert list(bars.gaps["reason"]) == ["not listed"]


def test_a_folder_with_a_file_a_symbol(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    ccxt_json(tmp_path / "BTC_USDT-1h.json", ROWS)
    ccxt_json(tmp_path / "sub" / "ETH_USDT-1h.json", ROWS[4:])
    bars = import_bars(tmp_path)
    assert_holds(bars.select("BTC/USDT"), ROWS)
    assert_holds(bars.select("ETH/USDT", start=ROWS[4].time), ROWS[4:], "ETH/USDT")


@pytest.mark.parametrize("fields_on_top", [True, False])
@pytest.mark.parametrize("named", ["datetime", None])
def test_wide_csv_with_two_header_rows(tmp_path: Path, fields_on_top: bool, named: str | None) -> None:
    bars = import_bars(_saved(tmp_path, long_frame()))
    wide = pd.concat({name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}, axis=1)
    if not fields_on_top:
        wide = wide.swaplevel(axis=1)
    wide.columns.names = [None, None]
    wide.index.name = named
    wide.to_csv(tmp_path / "wide.csv")
    assert import_bars(tmp_path / "wide.csv").select(bars.symbols).equals(bars)


def _saved(folder: Path, table: pd.DataFrame) -> Path:
    table.reset_index(drop=True).to_parquet(folder / "long.parquet")
    return folder / "long.parquet"


def test_closes_by_symbol_only_when_that_is_said(tmp_path: Path) -> None:
    closes = pd.DataFrame(
        {"BTCUSDT": [1.0, 2.0, 3.0], "ETHUSDT": [4.0, np.nan, 6.0]}, index=pd.date_range("2021", periods=3, freq="D")
    )
    closes.to_csv(tmp_path / "closes.csv")
    with pytest.raises(
        gwt.GwtLabError, match="no columns open, high, low, close but BTCUSDT, ETHUSDT: if these are closes"
    ):
        import_bars(tmp_path / "closes.csv")
    bars = import_bars(tmp_path / "closes.csv", price="close")
    assert bars.timeframe == "1d"
    assert np.array_equal(bars.close.to_numpy(), closes.to_numpy(), equal_nan=True)
    assert bars.volume.isna().all(axis=None)


def test_one_of_several_venues_and_timeframes(tmp_path: Path) -> None:
    table = pd.concat(
        [
            long_frame(),
            long_frame().assign(exchange="ftx", close=7.0),
        ]
    )
    path = _saved(tmp_path, table)
    with pytest.raises(gwt.GwtLabError, match=r"holds bars of binance, ftx: say which \(`--venue binance`\)"):
        import_bars(path)
    assert (import_bars(path, venue="ftx").close["BTC/USDT"] == 7.0).all()
    with pytest.raises(gwt.GwtLabError, match="no venue 'okx'; it has binance, ftx"):
        import_bars(path, venue="okx")
    days = frame(known_rows(3, step=timedelta(days=1)))
    mixed = pd.concat([frame(ROWS).assign(freq="1h"), days.assign(freq="1D")]).assign(symbol="BTCUSDT")
    path = _saved(tmp_path, mixed)
    with pytest.raises(gwt.GwtLabError, match=r"holds bars of 1d, 1h: say which \(`--timeframe 1d`\)"):
        import_bars(path)
    assert_holds(import_bars(path, timeframe="1h"), ROWS)


# ------------------------------------------------------------------------------------------------ close times
@pytest.mark.parametrize("late_by_ms", [1, 1000])
def test_close_times_that_end_a_bar_are_converted(tmp_path: Path, late_by_ms: int) -> None:
    names = ["timestamp", "open", "high", "low", "close", "volume"]
    lines = [[row.ms + 3_600_000 - late_by_ms, *row.prices, row.volume] for row in ROWS]
    assert_holds(import_bars(write_csv(tmp_path / "BTCUSDT.csv", names, lines)), ROWS)


def test_close_times_on_the_hour_are_converted_when_named(tmp_path: Path) -> None:
    lines = [[row.ms + 3_600_000, *row.prices, row.volume] for row in ROWS]
    path = write_csv(tmp_path / "BTCUSDT.csv", ["close_time", "open", "high", "low", "close", "volume"], lines)
    assert_holds(import_bars(path), ROWS)
    path = write_csv(tmp_path / "BTCUSDT.csv", ["time", "open", "high", "low", "close", "volume"], lines)
    assert_holds(import_bars(path, times="close"), ROWS)


def test_binances_close_column_does_not_disturb_its_open_times(tmp_path: Path) -> None:
    days = known_rows(5, step=timedelta(days=1))
    path = binance(tmp_path / "BTCUSDT-1d-2021-01.csv", days, step=timedelta(days=1))
    assert_holds(import_bars(path), days, timeframe="1d", quote=True)
