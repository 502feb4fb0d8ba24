"""The stream gives the batch's rows, bit for bit, and refuses what it cannot take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import DataError, ShapeError
from gwt_lab.features.alpha158 import alpha158
from gwt_lab.features.alpha158_stream import Alpha158Stream
from gwt_lab.market.bars import FIELDS, Bars
from tests.oracles.features_markets import markets, panels
from tests.oracles.markets import random_bars

MARKETS = markets()


def bits(values: np.ndarray) -> np.ndarray:
    """Return the bits of float32 values, one pattern for every NaN."""
    return np.where(np.isnan(values), np.float32(np.nan), values).view(np.int32)


def batch(bars: Bars) -> np.ndarray:
    """Return (n_times, n_symbols, 158) in the bars' own order of symbols."""
    order = [sorted(bars.symbols).index(symbol) for symbol in bars.symbols]
    return alpha158(bars).to_numpy().reshape(*bars.shape, 158)[:, order]


def arguments(bars: Bars, start: int = 0) -> Iterator[tuple]:
    fields = [getattr(bars, name).to_numpy() for name in FIELDS]
    quote = None if bars.quote_volume is None else bars.quote_volume.to_numpy()
    for t in range(start, bars.n_times):
        yield (bars.index[t], *(field[t] for field in fields), None if quote is None else quote[t])


def streamed(bars: Bars, start: int = 0, stream: Alpha158Stream | None = None) -> np.ndarray:
    stream = stream or Alpha158Stream(bars.symbols, bars.timeframe)
    return np.stack([stream.update(*values) for values in arguments(bars, start)])


@pytest.mark.parametrize("name", MARKETS)
def test_every_row_is_the_batchs(name: str) -> None:
    bars = MARKETS[name]
    np.testing.assert_array_equal(bits(streamed(bars)), bits(batch(bars)))


@pytest.mark.parametrize("n_symbols", [1, 2, 500])
def test_one_to_five_hundred_symbols(n_symbols: int) -> None:
    bars = random_bars(n_symbols, 70, seed=n_symbols, holes=0.02)
    np.testing.assert_array_equal(bits(streamed(bars)), bits(batch(bars)))


@pytest.mark.parametrize("name", ["ordinary", "mostly holes", "outages"])
def test_a_stream_from_bars_goes_on_as_if_it_had_seen_them_come(name: str) -> None:
    bars = MARKETS[name]
    whole = batch(bars)
    for start in (1, 45, 130, bars.n_times - 40):
        primed = Alpha158Stream.from_bars(bars.head(start))
        assert primed.last_time == bars.index[start - 1]
        np.testing.assert_array_equal(bits(streamed(bars, start, primed)), bits(whole[start:]))


def test_a_hundred_and_twenty_eight_rows_are_enough_to_go_on() -> None:
    bars = random_bars(3, 400, seed=21, holes=0.1)
    primed = Alpha158Stream.from_bars(bars.select(start=bars.index[200], end=bars.index[327]))
    np.testing.assert_array_equal(bits(streamed(bars, 328, primed)), bits(batch(bars)[328:]))


@pytest.mark.parametrize("gap", [1, 66, 67, 68, 500])
def test_skipped_bars_are_rows_in_which_nothing_traded(gap: int) -> None:
    bars = random_bars(2, 80 + gap + 70, seed=5)
    frames = panels(bars)
    for frame in frames.values():
        frame.iloc[80 : 80 + gap] = np.nan
    bars = replace(bars, **frames)
    stream = Alpha158Stream(bars.symbols)
    rows = [stream.update(*values) for t, values in enumerate(arguments(bars)) if not 80 <= t < 80 + gap]
    wanted = np.delete(batch(bars), np.arange(80, 80 + gap), axis=0)
    np.testing.assert_array_equal(bits(np.stack(rows)), bits(wanted))


def test_the_state_does_not_grow_and_hands_out_no_part_of_itself() -> None:
    bars = random_bars(2, 300, seed=6)
    stream = Alpha158Stream(bars.symbols)
    sizes = {part.nbytes for part in stream._state}
    values = list(arguments(bars))
    rows = []
    for one in values:
        row = stream.update(*one)
        rows.append(row.copy())
        row[:] = 0.0
    assert {part.nbytes for part in stream._state} == sizes
    np.testing.assert_array_equal(bits(np.stack(rows)), bits(batch(bars)))


def test_numbers_will_do_for_one_symbol() -> None:
    bars = random_bars(1, 10, seed=1)
    stream = Alpha158Stream(["btc/usdt"], timeframe="1h")
    assert stream.symbols == ["BTC/USDT"]
    for time, *values in arguments(bars):
        row = stream.update(time.isoformat(), *(value.item() for value in values))
    np.testing.assert_array_equal(bits(row), bits(batch(bars)[-1]))


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ("2024-01-01 09:00", "has seen the bar of 2024-01-01 09:00:00.00:00, got one of 2024-01-01 09:00"),
        ("2024-01-01 02:00", "give each bar once, in order"),
        ("2024-01-01 10:30", "opens no bar of 1h"),
    ],
)
def test_late_doubled_and_odd_times_are_refused(time: str, message: str) -> None:
    bars = random_bars(2, 70, seed=1)
    stream = Alpha158Stream.from_bars(bars.head(10))
    with pytest.raises(DataError, match=message):
        stream.update(pd.Timestamp(time, tz="UTC"), *([1.0, 1.0] for _ in FIELDS))
    # nothing happened to the state
    np.testing.assert_array_equal(bits(streamed(bars, 10, stream)), bits(batch(bars)[10:]))


def test_arrays_of_another_length_and_words_are_refused() -> None:
    stream = Alpha158Stream(["A/B", "C/D"])
    time, two = pd.Timestamp("2024-01-01", tz="UTC"), [1.0, 2.0]
    with pytest.raises(ShapeError, match=r"high must have shape \(2,\).*got \(3,\)"):
        stream.update(time, two, [1.0, 2.0, 3.0], two, two, two)
    with pytest.raises(DataError, match="volume must hold numbers"):
        stream.update(time, two, two, two, two, ["many", "few"])
    assert stream.last_time is None
    for symbols in ([], ["A/B", "a/b"]):
        with pytest.raises(DataError, match="at least one symbol, each once"):
            Alpha158Stream(symbols)
    assert Alpha158Stream("btc/usdt").symbols == ["BTC/USDT"]


def test_a_series_is_read_by_its_names() -> None:
    """A row of a panel may come in another order than the stream's symbols."""
    bars = random_bars(3, 70, seed=4)
    stream, names = Alpha158Stream(bars.symbols), bars.symbols[::-1]
    panels_ = [getattr(bars, name)[names] for name in FIELDS]
    rows = [stream.update(time, *(panel.loc[time] for panel in panels_)) for time in bars.index]
    np.testing.assert_array_equal(bits(np.stack(rows)), bits(batch(replace(bars, quote_volume=None))))
    assert "3 symbols, bars of 1h, last 2024-01-03 21:00" in repr(stream)
    later, row = bars.index[-1] + pd.Timedelta("1h"), panels_[0].iloc[-1]
    plain = pd.Series(row.to_numpy())
    for wrong in (row.rename({"C00/USDT": "ETH/USDT"}), row.iloc[:2], pd.concat([row, row])):
        with pytest.raises(ShapeError, match="open must name each symbol of the stream once"):
            stream.update(later, wrong, plain, plain, plain, plain)
    stream.update(later, plain, plain, plain, plain, plain)
    newest = bars.close["C00/USDT"].tail(1)
    assert Alpha158Stream("C00/USDT").update(later, *(newest for _ in FIELDS))[0, 0] == 0.0


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_a_time_is_read_in_every_unit_and_zone(unit: str, zone: str | None) -> None:
    moment = pd.Timestamp("2024-01-01 05:00", tz="UTC").tz_convert(zone).as_unit(unit)
    stream = Alpha158Stream("BTC/USDT")
    stream.update(moment, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert stream.last_time == pd.Timestamp("2024-01-01 05:00", tz="UTC")
