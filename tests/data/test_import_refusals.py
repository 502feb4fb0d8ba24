"""What could be read in two ways is refused with the reason; what is broken is named; nothing is repaired unasked."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

import gwt_lab as gwt
from gwt_lab.data.importers import REPAIRS, Ask, import_bars, import_files
from gwt_lab.errors import ConfigError, DataError, ImportRefused, UnknownNameError
from tests.oracles.importers_files import binance, ccxt_json, cryptodatadownload, known_rows, plain_csv, write_csv
from tests.oracles.importers_plain import read_plain

ROWS = known_rows()
NAMES = ["timestamp", "open", "high", "low", "close", "volume"]


def lines(rows: list = ROWS) -> list[list[object]]:
    return [[row.ms, *row.prices, row.volume] for row in rows]


# ------------------------------------------------------------------------------------------------ ambiguous
def test_day_and_month_that_could_be_either(tmp_path: Path) -> None:
    rows = known_rows(48, start=datetime(2021, 3, 4, tzinfo=UTC))
    path = plain_csv(tmp_path / "BTCUSDT.csv", rows, "%d/%m/%Y %H:%M")
    with pytest.raises(
        ImportRefused, match=r"'04/03/2021 00:00': day and month could be either way round.*--times day-first"
    ):
        import_bars(path)
    assert import_bars(path, times="day-first").index[0] == pd.Timestamp("2021-03-04", tz="UTC")
    # as months and days the same file runs from 3 April, one hour a month: that is no timeframe of bars
    assert import_bars(path, times="day-first").index[-1] == pd.Timestamp("2021-03-05 23:00", tz="UTC")


def test_asking_for_the_wrong_order_is_refused(tmp_path: Path) -> None:
    path = plain_csv(tmp_path / "BTCUSDT.csv", ROWS, "%d/%m/%Y %H:%M")
    with pytest.raises(ImportRefused, match="holds dates that are day-first, asked was month-first"):
        import_bars(path, times="month-first")


def test_both_orders_in_one_column(tmp_path: Path) -> None:
    table = lines()
    for place, line in enumerate(table):
        line[0] = ROWS[place].time.strftime("%d/%m/%Y %H:%M" if place % 2 else "%m/%d/%Y %H:%M")
    with pytest.raises(ImportRefused, match="mixes day/month and month/day"):
        import_bars(write_csv(tmp_path / "BTCUSDT.csv", NAMES, table))


def test_two_digit_years(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="writes years with two digits"):
        import_bars(plain_csv(tmp_path / "BTCUSDT.csv", ROWS, "%d/%m/%y %H:%M"))


def test_an_unknown_symbol(tmp_path: Path) -> None:
    path = ccxt_json(tmp_path / "my-candles-1h.json", ROWS)
    with pytest.raises(ImportRefused, match=r"does not say which symbol it holds.*--symbol BTC/USDT"):
        import_bars(path)
    assert import_bars(path, symbol="ethusdt").symbols == ["ETH/USDT"]


def test_a_symbol_in_the_name_and_another_in_the_column(tmp_path: Path) -> None:
    path = cryptodatadownload(tmp_path / "Binance_ETHUSDT_1h.csv", ROWS, "BTC/USDT")
    with pytest.raises(ImportRefused, match=r"is ETH/USDT by its name and BTC/USDT by its column 'Symbol'"):
        import_bars(path)
    with pytest.raises(ImportRefused, match="holds BTC/USDT, asked was ETH/USDT"):
        import_bars(path, symbol="ETH/USDT")


def test_a_timeframe_in_the_name_and_another_in_the_rows(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="should hold bars of 1d, but most bars of BTC/USDT are 1h apart"):
        import_bars(ccxt_json(tmp_path / "BTC_USDT-1d.json", ROWS))
    with pytest.raises(ImportRefused, match="should hold bars of 5m, but most bars of BTC/USDT are 1h apart"):
        import_bars(ccxt_json(tmp_path / "BTC_USDT.json", ROWS), timeframe="5m")


def test_a_thin_symbol_keeps_the_timeframe_that_was_declared(tmp_path: Path) -> None:
    # most steps are two minutes, some are one: the name decides
    minutes = known_rows(30, step=timedelta(minutes=1))
    rows = [*minutes[::2], minutes[1]]
    assert import_bars(ccxt_json(tmp_path / "BTC_USDT-1m.json", rows)).timeframe == "1m"


def test_symbols_of_different_timeframes(tmp_path: Path) -> None:
    days = known_rows(5, step=timedelta(days=1))
    table = [[*line, "BTCUSDT"] for line in lines()] + [[*line, "ETHUSDT"] for line in lines(days)]
    with pytest.raises(ImportRefused, match=r"holds bars of 1h \(BTC/USDT\) and 1d \(ETH/USDT\)"):
        import_bars(write_csv(tmp_path / "x.csv", [*NAMES, "symbol"], table))
    ccxt_json(tmp_path / "BTC_USDT-1h.json", ROWS)
    ccxt_json(tmp_path / "ETH_USDT-1d.json", days)
    (tmp_path / "x.csv").unlink()
    with pytest.raises(ImportRefused, match=r"the files hold bars of 1h \(.*\) and 1d"):
        import_bars(tmp_path)


def test_numbers_of_two_units(tmp_path: Path) -> None:
    table = lines()
    for line in table[20:]:
        line[0] = int(line[0]) // 1000  # type: ignore[call-overload]
    with pytest.raises(
        ImportRefused, match="column 'timestamp' mixes time units: row 1 holds 1611100800000 and row 21 1611172800"
    ):
        import_bars(write_csv(tmp_path / "BTCUSDT.csv", NAMES, table))


def test_open_times_and_close_times_mixed(tmp_path: Path) -> None:
    table = lines()
    for line in table[30:]:
        line[0] = int(line[0]) + 3_599_999  # type: ignore[call-overload]
    with pytest.raises(ImportRefused, match=r"mixes open times and close times: row 1 .* row 31"):
        import_bars(write_csv(tmp_path / "BTCUSDT.csv", NAMES, table))


def test_two_time_columns_that_disagree(tmp_path: Path) -> None:
    path = cryptodatadownload(tmp_path / "Binance_BTCUSDT_1h.csv", ROWS, "BTC/USDT")
    path.write_text(path.read_text().replace("2021-01-20 07:00:00", "2021-01-20 08:00:00"))
    with pytest.raises(ImportRefused, match="columns 'Unix' and 'Date' disagree in row 41"):
        import_bars(path)


def test_volumes_whose_base_is_unknown(tmp_path: Path) -> None:
    table = [[row.ms, *row.prices, row.volume, row.quote] for row in ROWS]
    path = write_csv(tmp_path / "x.csv", [*NAMES[:5], "Volume ABC", "Volume USDT"], table)
    with pytest.raises(ImportRefused, match="has volume in ABC and USDT; which is the base currency is unknown"):
        import_bars(path)
    assert import_bars(path, symbol="ABC/USDT").volume["ABC/USDT"].iloc[0] == ROWS[0].volume
    with pytest.raises(ImportRefused, match="none in the base currency XYZ"):
        import_bars(path, symbol="XYZ/EUR")


def test_commas_that_could_be_thousands(tmp_path: Path) -> None:
    table = [[row.ms, "61,234", "61,500", "61,000", "61,300", "12,125"] for row in ROWS]
    with pytest.raises(ImportRefused, match="the comma could mean thousands or decimals"):
        import_bars(write_csv(tmp_path / "BTCUSDT.csv", NAMES, table, delimiter=";"))
    table = [[row.ms, "61,234.5", "61,500.0", "61,000.0", "61,300.0", "12"] for row in ROWS]
    with pytest.raises(DataError, match=r"commas for thousands \('61,234\.5'\)"):
        import_bars(write_csv(tmp_path / "BTCUSDT.csv", NAMES, table))


def test_a_table_without_header_and_of_unknown_width(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="has no header and 8 columns; without one it must have 6"):
        import_bars(write_csv(tmp_path / "BTCUSDT.csv", None, [[*line, 1, 2] for line in lines()]))


# ------------------------------------------------------------------------------------------------ local clocks
def local_csv(path: Path, start: datetime, n: int, zone: str = "Europe/Berlin") -> Path:
    rows = known_rows(n, start=start)
    table = [[f"{row.time.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}", *row.prices, row.volume] for row in rows]
    return write_csv(path, NAMES, table)


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Europe/Berlin", datetime(2021, 10, 30, tzinfo=UTC)), ("America/New_York", datetime(2021, 11, 6, tzinfo=UTC))],
)
def test_an_hour_that_repeats_in_autumn(tmp_path: Path, zone: str, day: datetime) -> None:
    path = local_csv(tmp_path / "BTCUSDT.csv", day, 60, zone)
    with pytest.raises(
        ImportRefused, match=r"repeats the hour of .*, a Sunday in autumn\. They look like local clock times"
    ):
        import_bars(path)
    # the repair for duplicates must not hide it
    with pytest.raises(ImportRefused, match="local clock times"):
        import_bars(path, repairs=["drop-duplicates"])


@pytest.mark.parametrize("zone", ["Europe/London", "America/Chicago"])
def test_an_hour_that_is_left_out_every_spring(tmp_path: Path, zone: str) -> None:
    rows = known_rows(24 * 500, start=datetime(2021, 2, 1, tzinfo=UTC))
    times = [row.time.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for row in rows]
    table = {f"{time:%Y-%m-%d %H:%M}": [*row.prices, row.volume] for time, row in zip(times, rows, strict=True)}
    path = write_csv(tmp_path / "BTCUSDT.csv", NAMES, [[time, *values] for time, values in table.items()])
    with pytest.raises(
        ImportRefused, match=r"leaves out one hour on 2021-03-.*, 2022-03-.*, every change to summer time"
    ):
        import_bars(path)
    assert import_bars(path, times="UTC").n_times > 24 * 490


def test_one_missing_hour_on_one_sunday_is_no_local_clock(tmp_path: Path) -> None:
    rows = known_rows(24 * 400, start=datetime(2021, 2, 1, tzinfo=UTC))
    kept = [row for row in rows if row.time != datetime(2021, 3, 28, 2, tzinfo=UTC)]
    assert import_bars(plain_csv(tmp_path / "BTCUSDT.csv", kept)).close["BTC/USDT"].isna().sum() == 1


def test_a_zone_that_does_not_fit_or_does_not_exist(tmp_path: Path) -> None:
    path = plain_csv(tmp_path / "BTCUSDT.csv", known_rows(48, start=datetime(2021, 3, 27, tzinfo=UTC)))
    with pytest.raises(ImportRefused, match="does not fit the clock of Europe/Berlin"):
        import_bars(path, times="Europe/Berlin")
    with pytest.raises(
        ConfigError, match=r"times must be day-first, .* or a time zone such as Europe/Berlin, got 'Berlin'"
    ):
        import_bars(path, times="Berlin")
    with pytest.raises(ConfigError, match="cannot be both 'open' and 'close'"):
        import_bars(path, times=["open", "close"])


def test_times_with_and_without_an_offset(tmp_path: Path) -> None:
    table = lines()
    for place, line in enumerate(table):
        line[0] = ROWS[place].time.strftime("%Y-%m-%d %H:%M") + ("+00:00" if place % 2 else "")
    with pytest.raises(ImportRefused, match="times with and without an offset from UTC, row 1"):
        import_bars(write_csv(tmp_path / "BTCUSDT.csv", NAMES, table))


# ------------------------------------------------------------------------------------------------ broken
def test_a_missing_path() -> None:
    with pytest.raises(UnknownNameError, match=r"no file or folder 'nowhere/x\.csv'"):
        import_bars("nowhere/x.csv")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b" \n\n", "is empty"),
        ("a.csv", b"timestamp,open,high,low,close,volume\n", "has 1 rows"),
        ("a.json", b"[]", "holds no rows"),
        ("a.json", b"{}", "holds no rows"),
        ("a.json", b'[[1,2,3],[4,5]]', "holds lists of 2, 3 values"),
        ("a.json", json.dumps(lines())[:-30].encode(), "is damaged JSON"),
        ("a.parquet", b"PAR1 not really", "is a damaged Parquet file"),
        ("a.feather", b"ARROW1 not really", "is a damaged Feather file"),
        ("a.csv.gz", gzip.compress(b"timestamp,open\n1,2\n" * 500, mtime=0)[:-30], "is a damaged gz file"),
        ("a.zip", b"PK\x03\x04 not really", "is a damaged zip file"),
        ("a.csv", b"\x00\x01\x02\x03" * 50, "neither text nor Parquet"),
        ("a.csv", "timestamp,open\n\xe4,1\n".encode("latin-1") * 9, "is not UTF-8 at byte"),
        ("a.txt", b"just some words\nand some more words\n", "is no table"),
        ("a.csv", b"id,side,amount\n1,buy,2\n2,sell,3\n", "has no columns open, high, low, close but id, side, amount"),
        ("a.json", b'[{"id": 1, "side": "buy"}]', "has no columns open, high, low, close but id, side: bars need them"),
        ("a.csv", b"time,open,high\n1,2,3\n4,5,6\n", "has no column for low, close, volume"),
        ("a.csv", b"open,high,low,close,volume\n1,2,3,4,5\n1,2,3,4,5\n", "has no column for a time"),
        ("a.csv", b"time,open,Open,high,low,close,volume\n1,1,2,3,4,5,6\n2,1,2,3,4,5,6\n", "two columns called 'Open'"),
    ],
)  # fmt: skip
def test_files_that_are_no_bars(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message) as error:
        import_bars(tmp_path / name, symbol="BTC/USDT", timeframe="1h")
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_without_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no table below"):
        import_bars(tmp_path)


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (9, 4, "abc", "column 'close' holds 'abc' in line 11 where a number was wanted"),
        (9, 0, "", "column 'timestamp' is missing in row 10"),
        (9, 0, "yesterday", "column 'timestamp' holds something that is not a time"),
        (9, 0, "99", "mixes time units: row 1 holds 1611100800000 and row 10 99"),
        (9, 1, "inf", "column 'open' is infinite in row 10"),
        (9, 0, "1611360000001", "times do not open a bar of 1h"),
        (9, 0, "7211358000000", "is probably wrong by years"),
    ],
)
def test_broken_cells_are_named(tmp_path: Path, row: int, column: int, value: str, message: str) -> None:
    table = lines()
    table[row][column] = value
    path = write_csv(tmp_path / "BTCUSDT.csv", NAMES, table)
    with pytest.raises(DataError, match=message) as error:
        import_bars(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_column_without_numbers(tmp_path: Path, name: str) -> None:
    table = lines()
    for line in table:
        line[NAMES.index(name)] = "NaN"
    with pytest.raises(DataError, match=f"column '{name}' holds no number at all"):
        import_bars(write_csv(tmp_path / "BTCUSDT.csv", NAMES, table))


def test_of_many_broken_cells_the_first_is_named(tmp_path: Path) -> None:
    table = lines()
    for line in table[20:]:
        line[1:5] = ["a", "b", "c", "d"]
    path = write_csv(tmp_path / "BTCUSDT.csv", NAMES, table)
    for _ in range(20):
        with pytest.raises(DataError, match="in column 'open' holds 'a' in line 22 where a number was wanted"):
            import_bars(path)


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    path = plain_csv(tmp_path / "BTCUSDT.csv", ROWS)
    path.write_text(path.read_text()[:-25])
    with pytest.raises(DataError, match=r"line 49: Expected 6 columns, got 3: 2021-01-21 23:00:00.*the file may be"):
        import_bars(path)


def test_a_single_bar_needs_its_timeframe(tmp_path: Path) -> None:
    path = ccxt_json(tmp_path / "BTC_USDT.json", ROWS[:1])
    with pytest.raises(DataError, match="has 1 bar, too few to tell a timeframe"):
        import_bars(path)
    assert import_bars(path, timeframe="1h").n_times == 1
    with pytest.raises(UnknownNameError, match="timeframe must be"):
        import_bars(path, timeframe="hourly")


# ------------------------------------------------------------------------------------------------ repairs
def test_bars_that_appear_twice_are_refused_and_repaired_by_name(tmp_path: Path) -> None:
    table = lines()
    table.append([ROWS[3].ms, *ROWS[3].prices[:3], 777.0, 1.0])
    path = write_csv(tmp_path / "BTCUSDT.csv", NAMES, table)
    with pytest.raises(
        DataError,
        match=r"1 bars appear twice, the first is BTC/USDT at 2021-01-20 03:00:00\+00:00 with closes "
        rf"{ROWS[3].close} and 777\.0; to keep the last of each, name the repair \(`--repair drop-duplicates`\)",
    ):
        import_bars(path)
    assert import_bars(path, repairs=["drop-duplicates"]).close["BTC/USDT"].iloc[3] == 777.0


def test_files_that_overlap_are_named(tmp_path: Path) -> None:
    binance(tmp_path / "BTCUSDT-1h-2021-01.csv", ROWS[:30])
    binance(tmp_path / "BTCUSDT-1h-2021-02.csv", ROWS[28:])
    with pytest.raises(DataError, match=r"and 1 more files: 2 bars appear twice, .* with equal values"):
        import_bars(tmp_path)
    assert import_bars(tmp_path, repairs=["drop-duplicates"]).n_times == len(ROWS)


def test_repairs_are_counted(tmp_path: Path) -> None:
    table = lines()
    table += [list(table[5]), [ROWS[-1].ms + 3_600_000, 1, 1, 0, 1, 1]]
    path = write_csv(tmp_path / "BTCUSDT.csv", NAMES, table[::-1])
    found = import_files([path], Ask(), ["sort", "drop-incomplete", "drop-duplicates"])
    assert found.repairs == [
        {"repair": "sort", "rows": 0},
        {"repair": "drop-incomplete", "rows": 1},
        {"repair": "drop-duplicates", "rows": 1},
    ]
    assert found.bars.n_times == len(ROWS)
    assert found.sources[0]["rows"] == len(table)
    with pytest.raises(UnknownNameError, match="no repair fill; there are sort: order rows"):
        import_files([path], Ask(), ["fill"])
    assert set(REPAIRS) == {"sort", "drop-duplicates", "drop-incomplete"}


# ------------------------------------------------------------------------------------------------ the plain twin
@pytest.mark.parametrize("unit", ["iso", "ms", "s", "us"])
def test_a_long_csv_equals_the_plain_reader(tmp_path: Path, unit: str) -> None:
    rng = np.random.default_rng(4)
    n = 400
    times = pd.date_range("2021-01-01", periods=n, freq="15min", tz="UTC", unit="ns")
    parts = []
    for symbol in ("BTC/USDT", "ETHUSDT", "1INCH-USDT"):
        kept = np.sort(rng.permutation(n)[: n - 40])
        values = rng.lognormal(3, 2, (len(kept), 5))
        values[rng.random(values.shape) < 0.05] = np.nan
        values[:, 0] = 1.0
        part = pd.DataFrame(values, columns=NAMES[1:]).assign(symbol=symbol)
        divisor = {"iso": 1, "ms": 10**6, "s": 10**9, "us": 10**3}[unit]
        part["timestamp"] = times[kept] if unit == "iso" else times[kept].asi8 // divisor
        parts.append(part)
    frame = pd.concat(parts).sample(frac=1.0, random_state=2)
    frame.to_csv(tmp_path / "x.csv", index=False)
    bars = gwt.load_bars(tmp_path / "x.csv")
    expected = read_plain(tmp_path / "x.csv", "")
    assert bars.timeframe == "15m"
    got = bars.to_frame()
    assert len(got) == len(expected)
    spelt = {"BTC/USDT": "BTC/USDT", "ETHUSDT": "ETH/USDT", "1INCH-USDT": "1INCH/USDT"}
    rows = {(row.timestamp, row.symbol): row for row in got.itertuples()}
    for (time, symbol), values in expected.items():
        row = rows[pd.Timestamp(time), spelt[symbol]]
        assert np.array_equal([getattr(row, name) for name in NAMES[1:]], values, equal_nan=True)
