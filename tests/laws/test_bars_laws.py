"""Laws of `Bars`, on panels that Hypothesis makes: holes, repeats, shuffles, units and zones."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gwt_lab.errors import DataError
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import FIELDS, Bars
from gwt_lab.market.instruments import unified_symbol
from gwt_lab.market.time import grid, on_grid, timeframe_ns, timeframe_of, timestamp, utc_index
from tests.oracles.market_gaps import plain_gaps

SYMBOLS = ["BTC/USDT", "ETH/USDT", "SOL/USDT", "ADA/USDT"]
VALUES = st.floats(allow_nan=False, width=64)
FAST = settings(max_examples=20, deadline=None)


@st.composite
def frames(draw, min_bars=2):
    """Return a long frame with holes, rows in any order, values of any size, and its timeframe."""
    timeframe = draw(st.sampled_from(["1m", "15m", "1h", "4h", "1d", "1w"]))
    n_times = draw(st.integers(min_bars, 30))
    n_symbols = draw(st.integers(1, 4))
    start = draw(st.integers(0, 50_000)) * timeframe_ns("1w") // 50 // timeframe_ns(timeframe) * timeframe_ns(timeframe)
    origin = 4 * timeframe_ns("1d") if timeframe == "1w" else 0
    first = timestamp("1990-01-01").value // timeframe_ns("1w") * timeframe_ns("1w") + origin + start
    present = draw(hnp.arrays(bool, (n_times, n_symbols)).filter(lambda x: x.sum() >= min_bars))
    rows, columns = np.nonzero(present)
    order = draw(st.permutations(range(len(rows))))
    rows, columns = rows[order], columns[order]
    frame = pd.DataFrame(draw(hnp.arrays(np.float64, (len(rows), 5), elements=VALUES)), columns=list(FIELDS))
    frame["timestamp"] = pd.DatetimeIndex(first + rows * timeframe_ns(timeframe), tz="UTC")
    frame["symbol"] = [SYMBOLS[column] for column in columns]
    return frame, timeframe


@FAST
@given(frames())
def test_every_value_given_is_found_again_and_nothing_else(made):
    frame, timeframe = made
    bars = Bars.from_frame(frame, timeframe)
    for name in FIELDS:
        panel = getattr(bars, name)
        for time, symbol, value in zip(frame["timestamp"], frame["symbol"], frame[name], strict=True):
            assert panel.loc[time, symbol] == value
        assert int(panel.notna().to_numpy().sum()) == len(frame)
    assert (bars.index[0], bars.index[-1]) == (frame["timestamp"].min(), frame["timestamp"].max())


@FAST
@given(frames())
def test_there_and_back(made):
    frame, timeframe = made
    bars = Bars.from_frame(frame, timeframe)
    again = Bars.from_frame(bars.to_frame(), bars.timeframe)
    assert again.content_hash == bars.content_hash
    pd.testing.assert_frame_equal(again.gaps, bars.gaps)
    # through the remembered timeframe too, and as a wide frame and a mapping
    assert as_bars(bars.to_frame(), timeframe=bars.timeframe).equals(bars)
    wide = pd.concat({name: getattr(bars, name) for name in FIELDS}, axis=1)
    assert as_bars(wide, timeframe=bars.timeframe).equals(bars)


@FAST
@given(frames(), st.sampled_from(["s", "ms", "us", "ns"]), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]))
def test_the_unit_and_zone_of_times_do_not_matter(made, unit, zone):
    frame, timeframe = made
    wanted = Bars.from_frame(frame, timeframe).content_hash
    times = frame["timestamp"].dt.as_unit(unit)
    assert Bars.from_frame(frame.assign(timestamp=times.dt.tz_convert(zone)), timeframe).content_hash == wanted
    assert Bars.from_frame(frame.assign(timestamp=times.astype("int64")), timeframe).content_hash == wanted


@FAST
@given(frames(), st.data())
def test_the_order_of_rows_does_not_matter(made, data):
    frame, timeframe = made
    order = data.draw(st.permutations(range(len(frame))))
    bars, shuffled = (Bars.from_frame(f, timeframe) for f in (frame, frame.iloc[order]))
    assert shuffled.select(bars.symbols).equals(bars)


@FAST
@given(frames(), st.data())
def test_select_is_the_slice_and_selecting_twice_is_selecting_once(made, data):
    frame, timeframe = made
    bars = Bars.from_frame(frame, timeframe)
    first = data.draw(st.integers(0, bars.n_times - 1))
    last = data.draw(st.integers(first, bars.n_times - 1))
    symbols = data.draw(st.lists(st.sampled_from(bars.symbols), min_size=1, unique=True))
    cut = bars.select(symbols, start=bars.index[first], end=bars.index[last])
    for name in FIELDS:
        pd.testing.assert_frame_equal(getattr(cut, name), getattr(bars, name)[symbols].iloc[first : last + 1])
    assert cut.select(symbols, start=bars.index[first], end=bars.index[last]).equals(cut)
    assert bars.select(symbols).select(start=bars.index[first], end=bars.index[last]).equals(cut)
    # a gap lies inside the cut and covers exactly its missing bars
    assert missing_cells(cut) == gap_cells(cut)


def missing_cells(bars):
    rows, columns = np.nonzero(bars.close.isna().to_numpy())
    return {(bars.symbols[column], bars.index[row]) for row, column in zip(rows, columns, strict=True)}


def gap_cells(bars):
    cells = [
        (gap.symbol, time)
        for gap in bars.gaps.itertuples()
        for time in grid(gap.start, gap.end, bars.timeframe)
    ]  # fmt: skip
    assert len(cells) == len(set(cells)), "gaps overlap"
    return set(cells)


@FAST
@given(frames())
def test_gaps_are_the_missing_bars_with_the_plain_reason(made):
    frame, timeframe = made
    bars = Bars.from_frame(frame, timeframe)
    assert missing_cells(bars) == gap_cells(bars)
    assert [tuple(row) for row in bars.gaps.to_numpy()] == plain_gaps(bars.close)


@FAST
@given(frames(), st.data())
def test_one_changed_value_changes_the_hash(made, data):
    frame, timeframe = made
    row = data.draw(st.integers(0, len(frame) - 1))
    name = data.draw(st.sampled_from(FIELDS))
    old = frame[name].iloc[row]
    new = data.draw(VALUES.filter(lambda value: value != old))
    changed = frame.copy()
    changed.loc[row, name] = new
    assert Bars.from_frame(frame, timeframe).content_hash != Bars.from_frame(changed, timeframe).content_hash


@FAST
@given(frames(), st.data())
def test_a_repeated_bar_is_refused_even_if_identical(made, data):
    frame, timeframe = made
    row = data.draw(st.integers(0, len(frame) - 1))
    with pytest.raises(DataError, match="1 bars appear twice"):
        Bars.from_frame(pd.concat([frame, frame.iloc[[row]]]), timeframe)


@FAST
@given(frames(), st.data())
def test_a_time_off_the_grid_is_refused(made, data):
    frame, timeframe = made
    row = data.draw(st.integers(0, len(frame) - 1))
    shift = data.draw(st.integers(1, timeframe_ns(timeframe) - 1))
    times = frame["timestamp"].copy()
    times.iloc[row] += pd.Timedelta(shift, unit="ns")
    with pytest.raises(DataError, match=f"1 of {len(frame)} times do not open a bar of {timeframe}"):
        Bars.from_frame(frame.assign(timestamp=times), timeframe)


@FAST
@given(
    st.sampled_from(["1s", "1m", "7m", "1h", "4h", "1d", "1w"]), st.integers(0, 10**6), st.integers(3, 50), st.data()
)
def test_a_grid_lies_on_itself_and_shows_its_timeframe(timeframe, steps, length, data):
    origin = 4 * timeframe_ns("1d") if timeframe.endswith("w") else 0
    first = pd.Timestamp(origin + steps % 5000 * timeframe_ns(timeframe), tz="UTC")
    index = grid(first, first + (length - 1) * pd.Timedelta(timeframe_ns(timeframe), unit="ns"), timeframe)
    assert len(index) == length
    assert on_grid(index.asi8, timeframe).all()
    assert not on_grid(index.asi8 + data.draw(st.integers(1, timeframe_ns(timeframe) - 1)), timeframe).any()
    assert timeframe_of(index) == timeframe


@FAST
@given(st.lists(st.integers(315_532_800, 7_258_118_400), min_size=1), st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_numbers_since_1970_mean_the_same_in_every_unit(seconds, factor):
    index = utc_index([second * factor for second in seconds])
    assert index.asi8.tolist() == [second * 10**9 for second in seconds]


@FAST
@given(st.text(min_size=1, max_size=20))
def test_one_spelling_is_its_own_spelling(text):
    try:
        name = unified_symbol(text)
    except DataError:
        return
    assert name
    assert unified_symbol(name) == name
