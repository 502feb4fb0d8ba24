"""Alpha158 of the default kind: its plain twin on ordinary and hostile bars, known values, frame and errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.qlib_export import qlib_vwap
from gwt_lab.errors import ConfigError, UnknownNameError
from gwt_lab.features.alpha158 import ALPHA158_COLUMNS, ALPHA158_LOOKBACK, ALPHA158_LOOKBACKS, alpha158
from gwt_lab.features.alpha360 import alpha360
from gwt_lab.features.windows import WINDOWS, log1p
from gwt_lab.market.bars import Bars
from tests.oracles.features_alpha158 import alpha158_oracle, vwap_of
from tests.oracles.features_alpha158_qlib import alpha158_qlib_oracle
from tests.oracles.features_markets import PRICES, markets, panels, real_bars, with_outages
from tests.oracles.markets import START, random_bars

MARKETS = markets()
# float32 holds seven digits; the twin works in float64
FLOAT32 = 3e-6


def differing(got: pd.DataFrame, wanted: pd.DataFrame) -> dict[str, int]:
    """Return the number of differing values by column."""
    pd.testing.assert_index_equal(got.index, wanted.index)
    a, b = got.to_numpy(np.float64), wanted[list(got.columns)].to_numpy(np.float64)
    wrong = ~((np.abs(a - b) <= FLOAT32 * np.abs(b) + 1e-7) | (np.isnan(a) & np.isnan(b)))
    return {name: int(count) for name, count in zip(got.columns, wrong.sum(axis=0), strict=True) if count}


@pytest.mark.parametrize("name", MARKETS)
def test_every_column_equals_the_plain_twin(name: str) -> None:
    bars = MARKETS[name]
    frame = alpha158(bars)
    assert list(frame.columns) == list(ALPHA158_COLUMNS)
    wanted = alpha158_oracle(bars).reindex(columns=frame.columns)
    assert differing(frame, wanted) == {}
    if name == "ordinary":
        assert frame.iloc[-1].notna().all()
        for column in frame.columns:  # the comparison sees one value that is off by 1e-5
            exact = wanted[[column]].tail(1)
            wrong = exact + 1e-5 * exact.abs() + 1e-6
            assert differing(frame[[column]].tail(1), wrong) == {column: 1}


@pytest.mark.parametrize("name", MARKETS)
def test_every_column_of_the_compatible_kind_equals_qlibs_expressions_in_pandas(name: str) -> None:
    wanted = alpha158_qlib_oracle(MARKETS[name])
    got = alpha158(MARKETS[name], qlib_compatible=True)
    got = got[got.index.isin(wanted.index)]
    assert got.index.equals(wanted.index)
    a, b = got.to_numpy(np.float64), wanted[list(got.columns)].to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        near = (np.abs(a - b) <= 1e-5 * np.abs(b) + 2e-6) | (a == b)
    wrong = ~(near | (np.isnan(a) & np.isnan(b)))
    assert not wrong.any(), dict(zip(got.columns, wrong.sum(axis=0), strict=True))


@pytest.mark.real
def test_real_bars_equal_the_plain_twin(real_data: Path) -> None:
    bars = real_bars(real_data).tail(400)
    assert differing(alpha158(bars), alpha158_oracle(bars)) == {}


def one_symbol(**columns: np.ndarray) -> Bars:
    n = len(columns["close"])
    index = pd.date_range(START, periods=n, freq="h", unit="ns", name="datetime")
    return Bars(
        **{name: pd.DataFrame({"A/B": values}, index=index) for name, values in columns.items()}, timeframe="1h"
    )


def test_a_bar_by_hand() -> None:
    values = {"open": 10.0, "high": 14.0, "low": 8.0, "close": 12.0, "volume": 5.0, "quote_volume": 55.0}
    row = alpha158(one_symbol(**{name: np.array([value]) for name, value in values.items()})).iloc[0]
    wanted = {
        "KMID": 0.2, "KLEN": 0.6, "KMID2": 1 / 3, "KUP": 0.2, "KUP2": 1 / 3, "KLOW": 0.2, "KLOW2": 1 / 3, "KSFT": 0.2,
        "KSFT2": 1 / 3, "OPEN0": 10 / 12, "HIGH0": 14 / 12, "LOW0": 8 / 12, "VWAP0": 11 / 12,
    }  # fmt: skip
    for name, value in wanted.items():
        assert row[name] == pytest.approx(value, rel=1e-6), name
    assert row[[c for c in ALPHA158_COLUMNS if c not in wanted]].isna().all()


@pytest.mark.parametrize("d", WINDOWS)
def test_a_straight_line_by_hand(d: int) -> None:
    """Closes 101, 102, ...; highs and lows 1 beside; log volume grows with the close."""
    t = np.arange(1.0, 101.0)
    c, v = 100 + t, np.exp(0.01 * t) - 1
    row = alpha158(one_symbol(open=c, high=c + 1, low=c - 1, close=c, volume=v)).iloc[-1]
    last, window = 200.0, v[-d:]
    wanted = {
        "ROC": (last - d) / last, "MA": (last - (d - 1) / 2) / last, "STD": np.sqrt(d * (d + 1) / 12) / last,
        "BETA": 1 / last, "RSQR": 1.0, "RESI": 0.0, "MAX": 201 / last, "MIN": (last - d) / last,
        "QTLU": (last - 0.2 * (d - 1)) / last, "QTLD": (last - 0.8 * (d - 1)) / last, "RANK": 1.0, "RSV": d / (d + 1),
        "IMAX": 1.0, "IMIN": 1 / d, "IMXD": (d - 1) / d, "CORR": 1.0, "CNTP": 1.0, "CNTN": 0.0, "CNTD": 1.0,
        "SUMP": 1.0, "SUMN": 0.0, "SUMD": 1.0, "VMA": window.mean() / v[-1], "VSTD": window.std(ddof=1) / v[-1],
        "VSUMP": 1.0, "VSUMN": 0.0, "VSUMD": 1.0,
    }  # fmt: skip
    for name, value in wanted.items():
        assert row[f"{name}{d}"] == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_a_saw_by_hand() -> None:
    """Closes 1, 2, 1, 2 ... with volumes 3, 1, 3, 1: the twelve columns of changes."""
    up = np.arange(100) % 2
    c, v = 1.0 + up, 3.0 - 2.0 * up
    row = alpha158(one_symbol(open=c, high=c, low=c, close=c, volume=v)).iloc[-1]
    for d in (10, 20, 30, 60):
        for name in ("CNTP", "CNTN", "SUMP", "SUMN", "VSUMP", "VSUMN"):
            assert row[f"{name}{d}"] == pytest.approx(0.5), name
        assert row[f"CORR{d}"] == pytest.approx(-1.0)
        assert row[f"CORD{d}"] == pytest.approx(-1.0)
        # |rate - 1| volume is 1 · 1 on the way up and ½ · 3 on the way down
        assert row[f"WVMA{d}"] == pytest.approx(0.25 * np.sqrt(d / (d - 1)) / 1.25)
        assert row[f"RANK{d}"] == pytest.approx((d / 2 + (d / 2 + 1) / 2) / d)
        assert (row[f"IMAX{d}"], row[f"IMIN{d}"]) == pytest.approx((2 / d, 1 / d))


# ------------------------------------------------------------------------------------------------ warm-up and memory
def test_warm_up_is_nan_and_ends_on_time() -> None:
    frame = alpha158(random_bars(1, 100, seed=1)).droplevel("instrument")
    first_value = frame.notna().to_numpy().argmax(axis=0)
    wanted = [max(ALPHA158_LOOKBACKS[name] - 67 - 1, 0) for name in ALPHA158_COLUMNS]
    assert first_value.tolist() == wanted
    assert frame.iloc[60:].notna().all().all()


def test_lookbacks_are_declared_by_column() -> None:
    assert tuple(ALPHA158_LOOKBACKS) == ALPHA158_COLUMNS
    assert {ALPHA158_LOOKBACKS[name] for name in ALPHA158_COLUMNS[:13]} == {1}
    assert ALPHA158_LOOKBACKS["MA5"] == 72
    assert ALPHA158_LOOKBACKS["ROC5"] == 73
    assert ALPHA158_LOOKBACK == ALPHA158_LOOKBACKS["CORD60"] == 128


def test_a_new_listing_warms_up_and_an_outage_is_skipped() -> None:
    frame = alpha158(with_outages(), columns=["MA5", "STD60", "MA60"])
    listed = frame.xs("C01/USDT", level="instrument")
    assert listed["MA5"].notna().to_numpy().argmax() == 94
    old = frame.xs("C00/USDT", level="instrument")
    assert old.iloc[40:50].isna().all().all()
    assert old["MA60"].iloc[50:120].isna().sum() == 19  # rows 50-68: fewer than 60 counted rows
    # 80 empty rows are more than a window may hold beside its own
    assert old["MA5"].iloc[200:204].isna().all()
    assert old["MA5"].iloc[204] == pytest.approx(
        with_outages().close["C00/USDT"].iloc[200:205].mean() / with_outages().close["C00/USDT"].iloc[204], rel=1e-6
    )


# ------------------------------------------------------------------------------------------------ hostile numbers
def test_a_constant_price_has_no_deviation_and_no_correlation() -> None:
    frame = alpha158(MARKETS["hostile"]).xs("C00/USDT", level="instrument").iloc[70:]
    assert (frame[["STD5", "STD60", "KLEN", "KMID2", "RSV20", "SUMP5", "BETA60"]] == 0).all().all()
    assert (frame[["MA5", "MA60", "ROC60", "MAX30", "QTLU10"]] == 1).all().all()
    assert frame[["RSQR5", "RSQR60", "CORR5", "CORR60", "CORD30"]].isna().all().all()


def test_a_coin_of_1e_8_has_correlations() -> None:
    bars = MARKETS["hostile"]
    frame = alpha158(bars).xs("C01/USDT", level="instrument").iloc[130:]
    assert frame[["RSQR5", "RSQR60", "CORR60", "CORD60"]].notna().all().all()
    as_qlib = alpha158(bars, qlib_compatible=True).xs("C01/USDT", level="instrument").iloc[130:]
    assert as_qlib[["RSQR5", "RSQR60", "CORR60"]].isna().all().all()


def test_zero_volume_is_nan_and_not_1e12() -> None:
    bars = MARKETS["hostile"]
    frame, as_qlib = alpha158(bars), alpha158(bars, qlib_compatible=True)
    empty = bars.volume.stack().reindex(frame.index).to_numpy() == 0
    assert empty.sum() > 100
    assert frame.loc[empty, ["VMA5", "VMA60", "VSTD5", "VSTD60"]].isna().all().all()
    assert np.nanmax(np.abs(frame.to_numpy())) < 1e9
    assert np.nanmax(as_qlib.to_numpy()) > 1e12


def test_scaling_prices_changes_nothing() -> None:
    bars = MARKETS["ordinary"]
    scaled = {name: panel * 2.0**-30 for name, panel in panels(bars).items() if name != "volume"}
    pd.testing.assert_frame_equal(alpha158(bars), alpha158(replace(bars, **scaled)))


def test_a_spike_leaves_nothing_behind() -> None:
    """Once a price a billion times higher has left every window, values are what they are without it."""
    bars = random_bars(1, 300, seed=3)
    frames = panels(bars)
    for name in (*PRICES, "volume", "quote_volume"):
        frames[name].iloc[100] *= 1e9
    pd.testing.assert_frame_equal(alpha158(replace(bars, **frames)).iloc[161:], alpha158(bars).iloc[161:])


def test_logarithms_are_right_to_the_last_digits() -> None:
    x = 10.0 ** np.random.default_rng(0).uniform(-15, 15, 2000)
    got = np.array([log1p(value) for value in x])
    np.testing.assert_allclose(got, np.log1p(x), rtol=5e-16)
    assert log1p(0.0) == 0.0
    assert np.isnan([log1p(value) for value in (np.nan, np.inf, -1.0, -2.0)]).all()


def test_vwap_is_that_of_the_export() -> None:
    bars = MARKETS["hostile"]
    np.testing.assert_array_equal(qlib_vwap(bars).to_numpy(), vwap_of(bars))
    ratio = alpha158(bars, columns=["VWAP0"])["VWAP0"].to_numpy().reshape(bars.shape)
    np.testing.assert_array_equal(ratio, (vwap_of(bars) / bars.close.to_numpy()).astype(np.float32))


# ------------------------------------------------------------------------------------------------ frame and errors
@pytest.mark.parametrize("as_qlib", [False, True])
def test_index_is_sorted_whatever_the_order_of_symbols(as_qlib: bool) -> None:
    bars = MARKETS["holes"]
    turned = bars.select(symbols=bars.symbols[::-1])
    assert turned.symbols != bars.symbols
    frame = alpha158(turned, as_qlib)
    assert frame.index.is_monotonic_increasing
    assert frame.index.names == ["datetime", "instrument"]
    assert (frame.dtypes == np.float32).all()
    pd.testing.assert_frame_equal(frame, alpha158(bars, as_qlib))


@pytest.mark.parametrize("as_qlib", [False, True])
def test_threads_change_nothing(as_qlib: bool) -> None:
    bars = random_bars(7, 200, seed=12, holes=0.05)
    one, four = (alpha158(bars, as_qlib, n_threads=n) for n in (1, 4))
    np.testing.assert_array_equal(one.to_numpy().view(np.int32), four.to_numpy().view(np.int32))
    for wrong in (0, 1.5, "2", True):
        with pytest.raises(ConfigError, match="n_threads must be a whole number of threads, at least 1, got"):
            alpha158(bars, n_threads=wrong)


def test_rows_without_trades_are_nan_or_left_out() -> None:
    bars = with_outages()
    empty = np.repeat(bars.close.isna().all(axis=1).to_numpy(), bars.n_symbols)
    assert empty.sum() == 90 * 3
    frame = alpha158(bars)
    assert frame[empty].isna().all().all()
    left = alpha158(bars, qlib_compatible=True)
    pd.testing.assert_index_equal(left.index, frame.index[~empty])


def test_the_frame_stands_on_one_block_without_a_copy() -> None:
    frame = alpha158(MARKETS["ordinary"])
    values = frame.to_numpy()
    assert np.shares_memory(values, frame["KMID"].to_numpy())
    assert np.shares_memory(values, frame["VSUMD60"].to_numpy())
    assert values.flags.c_contiguous


@pytest.mark.parametrize("as_qlib", [False, True])
def test_columns_are_picked_in_order_and_misspelling_is_named(as_qlib: bool) -> None:
    bars = MARKETS["ordinary"]
    picked = alpha158(bars, as_qlib, columns=["MIN60", "KMID", "CORD5"])
    pd.testing.assert_frame_equal(picked, alpha158(bars, as_qlib)[["MIN60", "KMID", "CORD5"]])
    assert alpha158(bars, columns=[]).shape == (780, 0)
    pd.testing.assert_frame_equal(alpha158(bars, columns="MA5"), alpha158(bars, columns=["MA5"]))
    with pytest.raises(ConfigError, match="each feature once, MA5 comes twice"):
        alpha158(bars, columns=["MA5", "KMID", "MA5"])
    for function in (alpha158, alpha360):
        with pytest.raises(ConfigError, match=r"True or False, got \['MA5'\]; columns are picked with columns="):
            function(bars, ["MA5"])
    with pytest.raises(UnknownNameError, match="no feature KMIDD; it has KMID"):
        alpha158(bars, columns=["KMIDD"])


def test_all_columns_in_another_order() -> None:
    bars, names = MARKETS["short"], list(ALPHA158_COLUMNS[::-1])
    pd.testing.assert_frame_equal(alpha158(bars, columns=names), alpha158(bars)[names])


def test_closes_alone_give_what_needs_no_volume() -> None:
    bars = random_bars(1, 100, seed=2)
    nothing = replace(bars, volume=bars.volume * np.nan, quote_volume=None)
    frame = alpha158(nothing)
    without = [name for name in frame if (name[0] == "V" and name != "VWAP0") or name[:3] in ("COR", "WVM")]
    assert frame[without].isna().all().all()
    rest = [name for name in frame if name not in (*without, "VWAP0")]
    pd.testing.assert_frame_equal(frame[rest], alpha158(bars)[rest])
