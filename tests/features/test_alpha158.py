"""Alpha158 equals its plain twin on ordinary and hostile bars, and qlib's own words."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import UnknownNameError
from gwt_lab.features.alpha158 import ALPHA158_COLUMNS, alpha158
from gwt_lab.market.bars import Bars
from tests.oracles.features_alpha158 import alpha158_oracle
from tests.oracles.markets import random_bars

FLOAT32 = 3e-7  # relative rounding of the float32 result
# STD of a window that moved far: pandas' running sums lose digits too
STD = 2e-6


def _with_outages(bars: Bars) -> Bars:
    """Nothing trades in rows 40-49 and 120-199; the second symbol is listed late."""
    frames = {}
    for name in ("open", "high", "low", "close", "volume", "quote_volume"):
        frame = getattr(bars, name).copy()
        frame.iloc[40:50] = np.nan
        frame.iloc[120:200] = np.nan
        frame.iloc[:90, 1] = np.nan
        frames[name] = frame
    return replace(bars, **frames)


def _hostile() -> Bars:
    bars = random_bars(3, 200, seed=9)
    flat = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume", "quote_volume")}
    for name in ("open", "high", "low", "close"):
        flat[name].iloc[:, 0] = 3.0e-6  # a coin that never moves and is worth almost nothing
        flat[name].iloc[:, 1] *= 1e9
    flat["volume"].iloc[50:60] = 0.0
    flat["quote_volume"].iloc[50:60] = 0.0
    flat["quote_volume"].iloc[80:85] = np.nan
    return replace(bars, **flat)


MARKETS = {
    "ordinary": random_bars(3, 260, seed=2),
    "holes": random_bars(3, 260, seed=3, holes=0.2),
    "mostly holes": random_bars(2, 300, seed=4, holes=0.9),
    "outages": _with_outages(random_bars(3, 300, seed=5)),
    "hostile": _hostile(),
    "short": random_bars(2, 7, seed=6),
    "one row": random_bars(1, 1, seed=7),
    "no quote volume": replace(random_bars(2, 100, seed=8), quote_volume=None),
}


def _assert_close(got: pd.DataFrame, wanted: pd.DataFrame) -> None:
    assert list(got.columns) == list(wanted.columns)
    pd.testing.assert_index_equal(got.index, wanted.index)
    for name in wanted.columns:
        a, b = got[name].to_numpy(np.float64), wanted[name].to_numpy(np.float64)
        tolerance = STD if name.startswith("STD") else FLOAT32
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=1e-9, equal_nan=True, err_msg=name)


@pytest.mark.parametrize("name", MARKETS)
def test_kernels_equal_the_plain_twin(name: str) -> None:
    bars = MARKETS[name]
    _assert_close(alpha158(bars), alpha158_oracle(bars))


@pytest.mark.parametrize("name", MARKETS)
def test_qlib_compatible_windows_hold_what_there_is(name: str) -> None:
    bars = MARKETS[name]
    _assert_close(alpha158(bars, qlib_compatible=True), alpha158_oracle(bars, reach=None))


def test_a_bar_by_hand() -> None:
    index = pd.date_range("2024-01-01", periods=1, freq="h", tz="UTC", unit="ns", name="datetime")
    values = {"open": 10.0, "high": 14.0, "low": 8.0, "close": 12.0, "volume": 5.0, "quote_volume": 55.0}
    bars = Bars(**{name: pd.DataFrame({"A/B": [value]}, index=index) for name, value in values.items()}, timeframe="1h")
    row = alpha158(bars).iloc[0]
    wanted = {
        "KMID": 0.2, "KLEN": 0.6, "KMID2": 1 / 3, "KUP": 0.2, "KUP2": 1 / 3, "KLOW": 0.2, "KLOW2": 1 / 3, "KSFT": 0.2,
        "KSFT2": 1 / 3, "OPEN0": 10 / 12, "HIGH0": 14 / 12, "LOW0": 8 / 12, "VWAP0": 11 / 12,
    }  # fmt: skip
    for name, value in wanted.items():
        assert row[name] == pytest.approx(value, rel=1e-6), name
    assert row[[c for c in ALPHA158_COLUMNS if c not in wanted]].isna().all()


def test_warm_up_is_nan_and_ends_on_time() -> None:
    frame = alpha158(random_bars(1, 100, seed=1)).droplevel("instrument")
    first_value = frame.notna().to_numpy().argmax(axis=0)
    wanted = [0] * 13 + [5, 10, 20, 30, 60] + [4, 9, 19, 29, 59] * 4
    assert first_value.tolist() == wanted
    assert frame.iloc[60:].notna().all().all()


def test_a_constant_price_has_no_deviation() -> None:
    bars = MARKETS["hostile"]
    frame = alpha158(bars).xs("C00/USDT", level="instrument").iloc[70:]
    assert (frame[["STD5", "STD60", "KLEN", "KMID2"]] == 0).all().all()
    assert (frame[["MA5", "MA60", "ROC60", "MAX30"]] == 1).all().all()


def test_scaling_prices_changes_nothing() -> None:
    bars = MARKETS["ordinary"]
    scaled = {name: getattr(bars, name) * 2.0**-20 for name in ("open", "high", "low", "close", "quote_volume")}
    frame, other = alpha158(bars), alpha158(replace(bars, **scaled))
    names = [name for name in ALPHA158_COLUMNS if name not in ("KMID2", "KUP2", "KLOW2", "KSFT2")]
    pd.testing.assert_frame_equal(frame[names], other[names])


def test_index_is_sorted_whatever_the_order_of_symbols() -> None:
    bars = MARKETS["holes"]
    turned = bars.select(symbols=bars.symbols[::-1])
    assert turned.symbols != bars.symbols
    frame = alpha158(turned)
    assert frame.index.is_monotonic_increasing
    assert (frame.dtypes == np.float32).all()
    pd.testing.assert_frame_equal(frame, alpha158(bars))


def test_columns_are_picked_in_order_and_misspelling_is_named() -> None:
    bars = MARKETS["ordinary"]
    picked = alpha158(bars, columns=["MIN60", "KMID"])
    pd.testing.assert_frame_equal(picked, alpha158(bars)[["MIN60", "KMID"]])
    with pytest.raises(UnknownNameError, match="no feature KMIDD; it has KMID"):
        alpha158(bars, columns=["KMIDD"])


def test_names_and_order_are_qlibs() -> None:
    loader = pytest.importorskip("qlib.contrib.data.loader", reason="pyqlib is not installed")
    _, names = loader.Alpha158DL.get_feature_config()
    assert [name for name in names if name in ALPHA158_COLUMNS] == list(ALPHA158_COLUMNS)
