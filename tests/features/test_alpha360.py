"""Alpha360 against its plain twin and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import ConfigError
from gwt_lab.features.alpha360 import ALPHA360_COLUMNS, ALPHA360_LOOKBACK, alpha360
from gwt_lab.market.bars import Bars
from tests.oracles.features_alpha158 import counted_rows, vwap_of
from tests.oracles.features_markets import markets, panels
from tests.oracles.markets import random_bars

MARKETS = markets()


def alpha360_oracle(bars: Bars) -> np.ndarray:
    """Return shape (n_times, n_symbols, 360), value by value."""
    rows = counted_rows(bars)
    fields = [getattr(bars, name).to_numpy() for name in ("close", "open", "high", "low")]
    fields += [vwap_of(bars), bars.volume.to_numpy()]
    out = np.full((*bars.shape, 360), np.nan)
    for i, t in enumerate(rows):
        for kind, field in enumerate(fields):
            unit = np.where(fields[5][t] > 0, fields[5][t], np.nan) if kind == 5 else fields[0][t]
            for lag in range(min(60, i + 1)):
                if t - rows[i - lag] < 127:
                    out[t, :, kind * 60 + 59 - lag] = field[rows[i - lag]] / unit
    return out


@pytest.mark.parametrize("name", MARKETS)
def test_every_column_equals_the_plain_twin(name: str) -> None:
    bars = MARKETS[name]
    frame = alpha360(bars)
    order = [bars.symbols.index(symbol) for symbol in sorted(bars.symbols)]
    wanted = alpha360_oracle(bars)[:, order].astype(np.float32).reshape(-1, 360)
    np.testing.assert_array_equal(frame.to_numpy(), wanted)


def test_names_say_the_age() -> None:
    bars = random_bars(1, 100, seed=3)
    row = alpha360(bars).iloc[-1]
    close, volume = bars.close.to_numpy()[:, 0], bars.volume.to_numpy()[:, 0]
    assert row["CLOSE0"] == row["VOLUME0"] == 1
    assert row["CLOSE59"] == pytest.approx(close[-60] / close[-1], rel=1e-6)
    assert row["VOLUME7"] == pytest.approx(volume[-8] / volume[-1], rel=1e-6)
    assert len(ALPHA360_COLUMNS) == len(set(ALPHA360_COLUMNS)) == 360
    assert ALPHA360_LOOKBACK == 127


def test_zero_volume_is_nan_by_default() -> None:
    bars = random_bars(1, 100, seed=3)
    frames = panels(bars)
    frames["volume"].iloc[-1] = 0.0
    bars = replace(bars, **frames)
    names = [f"VOLUME{age}" for age in range(60)]
    assert alpha360(bars).iloc[-1][names].isna().all()
    as_qlib = alpha360(bars, qlib_compatible=True).iloc[-1]
    assert as_qlib["VOLUME0"] == 0
    assert (as_qlib[names[1:]] > 1e10).all()


def test_order_of_symbols_and_threads() -> None:
    bars = MARKETS["holes"]
    frame = alpha360(bars)
    pd.testing.assert_frame_equal(frame, alpha360(bars.select(bars.symbols[::-1]), n_threads=1))
    assert (frame.dtypes == np.float32).all()
    with pytest.raises(ConfigError, match="n_threads"):
        alpha360(bars, n_threads=0)
