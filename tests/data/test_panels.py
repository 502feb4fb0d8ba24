"""Panels are found by their columns in any folder, judged, chosen with a reason, and read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gwt_lab as gwt
from gwt_lab.data.panels import Panel, choose_panel, find_panels
from gwt_lab.errors import DataError, UnknownNameError

START = pd.Timestamp("2020-03-01", tz="UTC")
NAMES = ["BTC", "ETH", "BNB", "XRP", "ADA", "SOL", "DOT", "LTC", "TRX", "UNI", "EOS", "XLM", "ETC", "ZEC"]


def market(
    n_symbols: int = 9,
    n_bars: int = 1500,
    *,
    freq: str = "1h",
    start: pd.Timestamp = START,
    seed: int = 0,
    spell: str = "{}USDT",
) -> pd.DataFrame:
    """Return the long frame of a random market; earlier symbols trade more."""
    rng = np.random.default_rng(seed)
    times = pd.date_range(start, periods=n_bars, freq=freq, unit="ns")
    parts = []
    for place, name in enumerate(NAMES[:n_symbols]):
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n_bars)))
        columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
        parts.append(
            pd.DataFrame({"timestamp": times, **columns, "volume": 1000.0 / (place + 1), "symbol": spell.format(name)})
        )
    return pd.concat(parts, ignore_index=True)


def save(path: Path, frame: pd.DataFrame, times: str = "us") -> Path:
    """Write the frame as Parquet, its times in some unit, as numbers, or without a zone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ns = pd.DatetimeIndex(frame["timestamp"]).as_unit("ns").asi8
    divisor = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[times.split()[-1]]
    if times.startswith("int"):
        column = pa.array(ns // divisor)
    else:
        column = pa.array(ns // divisor, pa.timestamp(times.split()[-1], tz=None if "naive" in times else "UTC"))
    table = pa.table(
        {"timestamp": column} | {name: pa.array(frame[name]) for name in frame.columns if name != "timestamp"}
    )
    pq.write_table(table, path)
    return path


def same(bars: gwt.Bars, frame: pd.DataFrame) -> bool:
    expected = gwt.Bars.from_frame(frame.assign(symbol=frame["symbol"].astype(str)))
    return bars.equals(expected.select(bars.symbols, bars.index[0], bars.index[-1]))


@pytest.mark.parametrize("times", ["ms", "us", "ns", "naive us", "naive s", "int s", "int ms", "int us", "int ns"])
def test_every_unit_of_time_gives_the_same_panel(tmp_path: Path, times: str) -> None:
    frame = market()
    save(tmp_path / "deep" / "down" / "whatever.parquet", frame, times)
    (panel,) = find_panels(tmp_path)
    assert panel.path == "deep/down/whatever.parquet"
    assert (panel.timeframe, panel.n_bars, panel.missing, len(panel.symbols)) == ("1h", 1500, 0.0, 9)
    assert (panel.start, panel.end) == (START, START + pd.Timedelta(hours=1499))
    bars = panel.bars()
    assert bars.symbols == sorted(f"{name}/USDT" for name in NAMES[:9])
    assert same(bars, frame)


def test_dictionary_columns_slashes_shuffled_rows_and_an_exchange_column(tmp_path: Path) -> None:
    one = market(3, spell="{}/USDT").assign(exchange="binance")
    two = market(3, seed=1, spell="{}/USDT").assign(exchange="okx")
    frame = pd.concat([one, two]).sample(frac=1.0, random_state=1)
    save(tmp_path / "x.parquet", frame.astype({"exchange": "category", "symbol": "category"}))
    panels = find_panels(tmp_path)
    assert [(panel.exchange, len(panel.symbols)) for panel in panels] == [("binance", 3), ("okx", 3)]
    assert same(panels[1].bars(), two)
    assert panels[1].name == "x.parquet (okx, 1h)"


def test_several_timeframes_in_one_file(tmp_path: Path) -> None:
    hours, days = market(3, 400), market(3, 60, freq="1D", seed=1)
    save(tmp_path / "said.parquet", pd.concat([hours.assign(freq="1h"), days.assign(freq="1D")]))
    days["symbol"] = days["symbol"].str.replace("USDT", "EUR")
    save(tmp_path / "unsaid.parquet", pd.concat([hours, days]))
    found = {(panel.path, panel.timeframe): panel for panel in find_panels(tmp_path)}
    # the hours of the second file are a copy
    assert set(found) == {("said.parquet", "1d"), ("said.parquet", "1h"), ("unsaid.parquet", "1d")}
    assert found["unsaid.parquet", "1d"].symbols == ["BNB/EUR", "BTC/EUR", "ETH/EUR"]
    assert same(found["said.parquet", "1h"].bars(), hours)


def test_what_lies_around_is_skipped_with_the_reason(tmp_path: Path) -> None:
    frame = market(3, 300)
    whole = save(tmp_path / "good.parquet", frame).read_bytes()
    (tmp_path / "empty.parquet").write_bytes(b"")
    (tmp_path / "text.parquet").write_text("not Parquet")
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(whole)
    flipped[40:400] = b"\xff" * 360
    (tmp_path / "flipped.parquet").write_bytes(bytes(flipped))
    pq.write_table(pa.table({"time": [1], "price": [2.0]}), tmp_path / "trades.parquet")
    save(tmp_path / "norows.parquet", frame.iloc[:0])
    save(tmp_path / "words.parquet", frame.assign(close="high"))
    save(tmp_path / "sub" / "copy.parquet", frame)
    (tmp_path / "notes.csv").write_text("timestamp,open\n")
    panels = find_panels(tmp_path)
    assert [panel.path for panel in panels] == ["good.parquet"]
    skipped = panels.skipped
    assert set(skipped) == {
        "empty.parquet", "text.parquet", "cut.parquet", "flipped.parquet", "trades.parquet", "norows.parquet",
        "words.parquet", "sub/copy.parquet (1h)",
    }  # fmt: skip
    assert "damaged" in skipped["empty.parquet"]
    assert "damaged" in skipped["text.parquet"]
    assert "damaged" in skipped["cut.parquet"]
    assert skipped["trades.parquet"] == "no bars: column timestamp, open, high, low, close, volume, symbol missing"
    assert skipped["norows.parquet"] == "no rows"
    assert "not numbers" in skipped["words.parquet"]
    assert skipped["sub/copy.parquet (1h)"] == "the same bars as good.parquet (1h)"


def test_a_broken_symbol_does_not_spoil_its_panel(tmp_path: Path) -> None:
    frame = market(4, 300)
    again = frame[frame["symbol"] == "BNBUSDT"].head(5)
    frame = pd.concat([frame, again, again.assign(close=1.0)])
    late = frame["symbol"] == "XRPUSDT"
    frame.loc[late & (frame["timestamp"] > START + pd.Timedelta(hours=200)), "timestamp"] += pd.Timedelta(minutes=7)
    save(tmp_path / "x.parquet", frame)
    panels = find_panels(tmp_path)
    assert panels[0].symbols == ["BTC/USDT", "ETH/USDT"]
    skipped = panels.skipped
    assert "5 bars appear twice with different values" in skipped["x.parquet, BNB/USDT"]
    assert "99 of 300 times do not open a bar of 1h" in skipped["x.parquet, XRP/USDT"]


def test_rows_that_repeat_word_for_word_count_once(tmp_path: Path) -> None:
    frame = market(2, 300)
    save(tmp_path / "x.parquet", pd.concat([frame, frame.head(10)]))
    (panel,) = find_panels(tmp_path)
    assert panel.table["bars"].tolist() == [300, 300]
    assert same(panel.bars(), frame)


def test_one_file_a_symbol_and_one_file_a_year_are_joined(tmp_path: Path) -> None:
    frame = market(5, 500)
    for symbol, own in frame.groupby("symbol"):
        save(tmp_path / "symbols" / f"{symbol}.parquet", own)
    other = market(3, 500, seed=3, spell="{}EUR")
    save(tmp_path / "years" / "a.parquet", other[other["timestamp"] < START + pd.Timedelta(hours=200)])
    save(tmp_path / "years" / "b.parquet", other[other["timestamp"] >= START + pd.Timedelta(hours=200)])
    save(
        tmp_path / "years" / "c.parquet", other[other["timestamp"] >= START + pd.Timedelta(hours=490)].assign(close=1.0)
    )
    panels = find_panels(tmp_path)
    assert [panel.path for panel in panels] == ["symbols/ (5 files)", "years/ (2 files)"]
    assert same(panels[0].bars(), frame)
    assert same(panels[1].bars(), other)
    assert panels[1].table["bars"].tolist() == [500] * 3
    assert "a longer file" in panels.skipped["years/c.parquet (1h)"]


# ------------------------------------------------------------------------------------------------ choosing
def chosen(folder: Path) -> tuple[Panel, str]:
    return choose_panel(find_panels(folder))


def test_enough_symbols_then_hours_then_history(tmp_path: Path) -> None:
    save(tmp_path / "few.parquet", market(3, 9000))
    save(tmp_path / "days.parquet", market(12, 1800, freq="1D", seed=1))
    assert chosen(tmp_path)[0].path == "days.parquet"
    save(tmp_path / "short.parquet", market(9, 1500, seed=2))
    assert chosen(tmp_path)[0].path == "short.parquet"
    save(tmp_path / "long.parquet", market(8, 3000, seed=3))
    panel, reason = chosen(tmp_path)
    assert panel.path == "long.parquet"
    assert reason == (
        "long.parquet (1h): 8 of 8 symbols have 3,000 bars of 1h in common, 2020-03-01 to 2020-07-03, the best of 4 "
        "usable panels"
    )
    save(tmp_path / "a-copy" / "zz.parquet", market(8, 3000, seed=3))
    assert chosen(tmp_path)[0].path == "a-copy/zz.parquet", "of copies the first by path is kept"


def test_days_are_taken_and_said_when_there_are_no_hours(tmp_path: Path) -> None:
    save(tmp_path / "days.parquet", market(5, 800, freq="1D"))
    panel, reason = chosen(tmp_path)
    assert panel.timeframe == "1d"
    assert reason.endswith("the only usable panel (no bars of about an hour with as many symbols; these are 1d)")


@pytest.mark.parametrize(
    ("n_symbols", "n_bars", "message"),
    [(1, 5000, "1 of 1 symbols have 5,000 bars"), (4, 100, "4 of 4 symbols have 100 bars")],
)
def test_too_few_symbols_or_bars_are_refused(tmp_path: Path, n_symbols: int, n_bars: int, message: str) -> None:
    save(tmp_path / "x.parquet", market(n_symbols, n_bars))
    with pytest.raises(DataError, match="no panel has 2 symbols with 200 bars in common; the best is x") as error:
        chosen(tmp_path)
    assert message in str(error.value)


def test_a_folder_without_bars_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no bars below .*: 0 Parquet files"):
        find_panels(tmp_path)
    (tmp_path / "x.parquet").write_text("x")
    with pytest.raises(DataError, match=r"1 Parquet files, none .* \(x.parquet: damaged"):
        find_panels(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        find_panels(tmp_path / "nowhere")
    with pytest.raises(DataError, match="there is no panel at all"):
        choose_panel([])


def listed(frame: pd.DataFrame, name: str, first: int, last: int) -> pd.DataFrame:
    """Cut one symbol's history to some of its hours."""
    hours = (frame["timestamp"] - START) // pd.Timedelta(hours=1)
    return frame[(frame["symbol"] != name) | ((hours >= first) & (hours <= last))]


def test_the_longest_common_history_decides_which_symbols(tmp_path: Path) -> None:
    frame = market(12, 3000)
    frame = listed(frame, "BTCUSDT", 2900, 2999)
    frame = listed(frame, "ETHUSDT", 0, 50)
    frame = listed(frame, "BNBUSDT", 500, 2999)
    save(tmp_path / "x.parquet", frame)
    (panel,) = find_panels(tmp_path)
    bars = panel.bars()
    # the two with next to no history go, although they trade most; the one that starts a little late stays
    assert set(panel.symbols) - set(bars.symbols) == {"BTC/USDT", "ETH/USDT"}
    assert (len(bars), bars.n_symbols) == (2500, 10)
    assert bars.close.notna().all(axis=None)
    assert same(panel.bars(max_symbols=4), frame)
    # of nine with the whole history, the four that trade most
    value = (frame["close"] * frame["volume"]).groupby(frame["symbol"]).mean().drop(["BTCUSDT", "ETHUSDT", "BNBUSDT"])
    most = sorted(name.replace("USDT", "/USDT") for name in value.nlargest(4).index)
    assert panel.bars(max_symbols=4).symbols == most


def test_symbols_with_too_many_holes_go_first(tmp_path: Path) -> None:
    frame = market(10, 1500)
    rng = np.random.default_rng(0)
    frame = frame[(frame["symbol"] != "BTCUSDT") | (rng.random(len(frame)) < 0.5)]
    save(tmp_path / "x.parquet", frame)
    (panel,) = find_panels(tmp_path)
    assert "BTC/USDT" not in panel.bars().symbols
    assert panel.missing == pytest.approx(0.05, abs=0.01)


def test_the_best_span_equals_trying_everything(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        starts = rng.integers(0, 500, 7)
        ends = starts + rng.integers(1, 900, 7)
        table = pd.DataFrame({"bars": ends - starts + 1, "value": 1.0}, index=[f"{name}/USDT" for name in NAMES[:7]])
        table["start"], table["end"] = (START + pd.to_timedelta(hours, unit="h") for hours in (starts, ends))
        panel = Panel("x", ("x",), "", "1h", table, tmp_path)
        for count in range(1, 8):
            pairs = [(start, end) for start in starts for end in ends]
            fits = [end - start for start, end in pairs if ((starts <= start) & (ends >= end)).sum() >= count]
            first, last = panel._best_span(count)
            expected = max((hours for hours in fits if hours >= 0), default=None)
            assert (last - first) // pd.Timedelta(hours=1) == (-1 if expected is None else expected)


def test_named_symbols_and_the_last_bars(tmp_path: Path) -> None:
    frame = market(4, 400)
    save(tmp_path / "x.parquet", frame)
    (panel,) = find_panels(tmp_path)
    bars = panel.bars(["ETHUSDT", "BTC/USDT"], max_bars=50)
    assert bars.symbols == ["ETH/USDT", "BTC/USDT"]
    assert list(bars.index) == list(pd.date_range(START + pd.Timedelta(hours=350), periods=50, freq="h"))
    with pytest.raises(UnknownNameError, match="has no symbol FOO/USDT; it has BNB/USDT, BTC/USDT"):
        panel.bars(["FOO/USDT"])
    with pytest.raises(DataError, match="at least one symbol and one bar"):
        panel.bars(max_bars=0)
    (tmp_path / "x.parquet").unlink()
    with pytest.raises(DataError, match=r"damaged or no Parquet|cannot be read"):
        panel.bars()


def test_symbols_that_never_met(tmp_path: Path) -> None:
    frame = listed(listed(market(2, 400), "BTCUSDT", 0, 100), "ETHUSDT", 200, 399)
    save(tmp_path / "x.parquet", frame)
    (panel,) = find_panels(tmp_path)
    with pytest.raises(DataError, match="have no time in common"):
        panel.bars(["BTC/USDT", "ETH/USDT"])
    with pytest.raises(DataError, match="no panel has 2 symbols"):
        choose_panel([panel])


@pytest.mark.real
def test_real_bars_are_found_and_chosen(real_data: Path) -> None:
    panel, reason = choose_panel(find_panels(real_data))
    bars = panel.bars(max_symbols=12, max_bars=2000)
    assert bars.n_symbols >= 2
    assert len(bars) >= 200
    assert panel.path in reason
