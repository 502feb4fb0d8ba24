"""The detector finds every known kind of leak, names it, and lets honest functions pass."""

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import CausalityError, ConfigError, DataError
from gwt_lab.market.bars import Bars
from gwt_lab.validation.causality import check_causal
from tests.oracles.markets import random_bars

BARS = random_bars(3, 240, seed=1)


def _long(panel: pd.DataFrame, name: str) -> pd.DataFrame:
    return panel.stack().rename(name).to_frame().rename_axis(["datetime", "instrument"])


HONEST = {
    "rolling": (lambda b: b.close.rolling(20).mean(), None),
    "expanding": (lambda b: b.close.expanding().std(), None),
    "long frame": (lambda b: _long(b.close.pct_change(fill_method=None), "r"), None),
    "rows without a bar left out": (lambda b: b.close.dropna(), None),
    "shift with memory 2": (lambda b: b.close.shift(1), 2),
    "direct window with memory 5": (lambda b: sum(b.close.shift(k) for k in range(5)), 5),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_functions_pass(name: str) -> None:
    function, lookback = HONEST[name]
    report = check_causal(function, BARS, lookback=lookback)
    assert report.passed, str(report)
    assert report.checked["truncation"] >= 8
    assert report.checked["future"] >= 8


def _one_late_column(bars: Bars) -> pd.DataFrame:
    frame = bars.close.pct_change(fill_method=None)
    frame.iloc[:, 1] = bars.close.iloc[:, 2].shift(-1)
    return frame


LEAKS = {
    "shift": (lambda b: b.close.shift(-1), "C00/USDT", 0),
    "bfill of warm-up": (lambda b: b.close.rolling(10).mean().bfill(), "C01/USDT", 0),
    "bfill of gaps": (lambda b: b.close.bfill(), "C02/USDT", None),
    "z-score": (lambda b: (b.close - b.close.mean()) / b.close.std(), "C00/USDT", 0),
    "other symbol's future": (_one_late_column, "C01/USDT", 0),
    "centred window": (lambda b: b.close.rolling(5, center=True).mean(), "C00/USDT", 2),
    "rank over the sample": (lambda b: _long(b.close.rank(pct=True), "rank"), "rank", 0),
    "interpolated": (lambda b: b.close.interpolate(), "C00/USDT", None),
}


@pytest.mark.parametrize("name", LEAKS)
def test_leaks_are_caught_with_column_and_first_time(name: str) -> None:
    function, column, first_row = LEAKS[name]
    report = check_causal(function, BARS)
    assert not report.passed
    found = {leak.column: leak.first_timestamp for leak in report.leaks}
    assert column in found
    if first_row is not None:
        assert found[column] == BARS.index[first_row]
    if name == "other symbol's future":
        assert set(found) == {"C01/USDT"}


def test_rows_dropped_by_label_are_a_leak() -> None:
    def dropped(bars: Bars) -> pd.DataFrame:
        label = bars.close.iloc[:, 0].shift(-1) / bars.close.iloc[:, 0] - 1
        return bars.close.pct_change(fill_method=None)[label > 0]

    report = check_causal(dropped, BARS)
    assert "(rows)" in {leak.column for leak in report.leaks}
    assert min(leak.first_timestamp for leak in report.leaks) <= BARS.index[8]


def test_a_leak_that_starts_late_is_dated() -> None:
    def late(bars: Bars) -> pd.DataFrame:
        frame = bars.close.copy()
        frame.loc[BARS.index[150] :] = frame.shift(-1).loc[BARS.index[150] :]
        return frame

    report = check_causal(late, BARS)
    assert {leak.first_timestamp for leak in report.leaks} == {BARS.index[150]}


def test_nan_equals_only_nan() -> None:
    """A comparison that forgives NaN would let a shift of the missing pattern pass."""
    bars = random_bars(2, 200, seed=3, holes=0.1)
    report = check_causal(lambda b: b.close.where(b.close.shift(-1).notna()), bars)
    assert not report.passed


@pytest.mark.parametrize(
    ("function", "lookback"),
    [
        (lambda b: b.close.shift(5), 5),  # needs 6
        (lambda b: b.close.ewm(alpha=0.5).mean(), 30),
        (lambda b: b.close.cumsum(), 50),
        (lambda b: b.close.rolling(20).mean(), 20),  # pandas' running sums depend on where they start
    ],
)
def test_hidden_memory_is_caught(function, lookback) -> None:
    report = check_causal(function, BARS, lookback=lookback)
    assert {leak.law for leak in report.leaks} == {"memory"}
    assert check_causal(function, BARS).passed


def test_tolerance_forgives_rounding_and_nothing_more() -> None:
    assert check_causal(lambda b: b.close.rolling(20).mean(), BARS, lookback=20, tolerance=1e-12).passed
    assert not check_causal(lambda b: b.close.rolling(20).mean(), BARS, lookback=19, tolerance=1e-12).passed


def test_frames_reach_the_function_as_frames() -> None:
    frame = BARS.to_frame()
    single = frame[frame["symbol"] == "C00/USDT"].set_index("timestamp").drop(columns="symbol")
    assert check_causal(lambda df: df[["close"]].diff(), single, lookback=2).passed
    leaks = check_causal(lambda df: df["close"].shift(-2), single).leaks
    assert [(leak.column, leak.law) for leak in leaks] == [("close", "truncation"), ("close", "future")]

    def per_symbol(df: pd.DataFrame) -> pd.Series:
        future = df.groupby("symbol")["close"].shift(-1)
        return pd.Series(future.to_numpy(), index=pd.MultiIndex.from_frame(df[["timestamp", "symbol"]]), name="x")

    assert [leak.column for leak in check_causal(per_symbol, frame).leaks] == ["x", "x"]


def test_reports_read_well_and_raise() -> None:
    report = check_causal(lambda b: b.close.shift(-1), BARS)
    assert "C00/USDT" in str(report)
    assert list(report.to_frame().columns) == ["column", "first_timestamp", "law"]
    with pytest.raises(CausalityError, match="sees later rows at 2024-01-01"):
        report.raise_if_leaking()
    check_causal(lambda b: b.close, BARS).raise_if_leaking()


def test_callers_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="at least 4 rows"):
        check_causal(lambda b: b.close, BARS.head(3))
    with pytest.raises(DataError, match="lookback must be a whole number between 1 and the 240 rows"):
        check_causal(lambda b: b.close, BARS, lookback=241)
    with pytest.raises(DataError, match="must return a frame"):
        check_causal(lambda b: np.zeros(3), BARS)

    def whole_only(bars: Bars) -> pd.DataFrame:
        if bars.n_times < 240:
            raise DataError("too few")
        return bars.close

    with pytest.raises(CausalityError, match="failed on every shortened input"):
        check_causal(whole_only, BARS)
    with pytest.raises(DataError, match="too few"):
        check_causal(whole_only, BARS, lookback=100)


@pytest.mark.parametrize(
    ("settings", "match"),
    [({"lookback": 2.5}, "lookback must be a whole number"), ({"lookback": "5"}, "lookback must be a whole number"),
     ({"n_cuts": 0}, "n_cuts must be a whole number of at least 1, got 0"), ({"n_cuts": 1.5}, "n_cuts must be"),
     ({"seed": None}, "seed must be a whole number of at least 0, got None"), ({"tolerance": -1}, "tolerance must be"),
     ({"tolerance": np.nan}, "tolerance must be a number"), ({"tolerance": np.inf}, "tolerance must be a number")],
)  # fmt: skip
def test_settings_out_of_range_are_named(settings: dict, match: str) -> None:
    with pytest.raises((ConfigError, DataError), match=match):
        check_causal(lambda b: b.close, BARS, **settings)
    with pytest.raises(ConfigError, match="a function of bars as its first argument, got Bars"):
        check_causal(BARS, lambda b: b.close)


def test_a_law_that_could_not_be_checked_is_no_pass() -> None:
    """Whatever follows the cut is noise: a function that refuses it hides what it does with the future."""
    known = set(BARS.close.iloc[-1])

    def only_these(bars: Bars) -> pd.DataFrame:
        if bars.n_times == BARS.n_times and not known & set(bars.close.iloc[-1]):
            raise ValueError("unknown prices")
        return bars.close.shift(1)

    with pytest.raises(CausalityError, match=r"failed on every changed input, the last time with: .*unknown prices"):
        check_causal(only_these, BARS)


def test_what_is_filled_forward_over_a_gap_is_remembered() -> None:
    bars = random_bars(3, 240, seed=1, holes=0.01)
    for data in (BARS, bars, bars.close[["C01/USDT"]]):
        filled = (lambda b: b.ffill().diff()) if isinstance(data, pd.DataFrame) else lambda b: b.close.ffill().diff()
        report = check_causal(filled, data, lookback=2)
        assert {leak.law for leak in report.leaks} == {"memory"}, str(report)
    assert check_causal(lambda b: b.close.diff(), bars, lookback=2).passed


def test_values_that_differ_from_call_to_call_are_told_as_such() -> None:
    rng = np.random.default_rng(0)

    def partly(bars: Bars) -> pd.DataFrame:
        return bars.close.diff().assign(noise=rng.random(bars.n_times), late=bars.close["C00/USDT"].shift(-1))

    report = check_causal(partly, BARS)
    assert {(leak.column, leak.law) for leak in report.leaks} == {
        ("noise", "repetition"), ("late", "truncation"), ("late", "future"),
    }  # fmt: skip
    assert "'noise' differs from call to call on equal data" in str(report)


def test_equal_seeds_equal_reports() -> None:
    def function(bars: Bars) -> pd.DataFrame:
        return bars.close.interpolate()

    assert check_causal(function, BARS, seed=4) == check_causal(function, BARS, seed=4)
