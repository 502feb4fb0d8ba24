"""Alpha158: qlib's price and volume features, by their names, on bars of any timeframe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import UnknownNameError
from gwt_lab.features.alpha158_kernels import WINDOWS, bar_features, close_features, extreme_features
from gwt_lab.features.panel import long_frame, traded_rows
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars

__all__ = ["ALPHA158_COLUMNS", "ALPHA158_LOOKBACK", "alpha158"]

_BAR = (
    "KMID", "KLEN", "KMID2", "KUP", "KUP2", "KLOW", "KLOW2", "KSFT", "KSFT2", "OPEN0", "HIGH0", "LOW0", "VWAP0",
)  # fmt: skip
_ROLLING = ("ROC", "MA", "STD", "MAX", "MIN")
ALPHA158_COLUMNS = (*_BAR, *(f"{name}{window}" for name in _ROLLING for window in WINDOWS))

# The longest window needs 61 counted rows; 67 more leave room for outages of almost three days of hourly bars.
ALPHA158_LOOKBACK = 128
_NO_LIMIT = np.iinfo(np.int64).max


def alpha158(bars: Any, *, columns: Sequence[str] | None = None, qlib_compatible: bool = False) -> pd.DataFrame:
    """Return Alpha158 features under qlib's names and in qlib's order.

    The features are those of single bars (KMID to VWAP0) and ROC, MA, STD, MAX, MIN over 5, 10, 20, 30 and 60 rows:
    38 of qlib's 158. Windows count rows, so on hourly bars `MA5` is a mean over five hours.

    Parameters
    ----------
    bars : Bars or what `as_bars` takes
        The features of row t use rows up to and including t.
    columns : sequence of str, optional
        Which features, in this order; all by default.
    qlib_compatible : bool, default False
        Follow qlib to the letter: windows at the beginning hold what there is (its ``min_periods=1``), and rows in
        which nothing traded are left out.

    Returns
    -------
    DataFrame of shape (n_times * n_symbols, n_features)
        float32, index (datetime, instrument).

    Raises
    ------
    UnknownNameError
        If a column is not one of the features.

    Notes
    -----
    Windows count the rows in which at least one symbol traded. A symbol's own missing rows are NaN inside the window
    and skipped, as in qlib; its features are NaN in such a row. By default a value is NaN until its whole window lies
    within the last `ALPHA158_LOOKBACK` (128) rows of the time grid, which makes that the exact memory of every column:
    a row computed from 128 rows equals, bit for bit, the row computed from the whole history.

    VWAP0 is quote volume over volume where both exist, else the mean of open, high, low and close.

    References
    ----------
    .. [1] Microsoft, "qlib", `qlib/contrib/data/loader.py`, class `Alpha158DL`.
    """
    bars = as_bars(bars)
    wanted = list(ALPHA158_COLUMNS if columns is None else columns)
    unknown = [name for name in wanted if name not in ALPHA158_COLUMNS]
    if unknown:
        raise UnknownNameError(
            f"alpha158 has no feature {', '.join(map(str, unknown))}; it has {', '.join(ALPHA158_COLUMNS)}"
        )
    counted = traded_rows(bars)
    values = np.full((bars.n_symbols, bars.n_times, len(ALPHA158_COLUMNS)), np.nan, dtype=np.float32)
    rows = np.flatnonzero(counted)
    panels = {name: np.asfortranarray(getattr(bars, name).to_numpy()) for name in ("open", "high", "low", "close")}
    vwap = np.asfortranarray(_vwap(bars))
    reach = _NO_LIMIT if qlib_compatible else ALPHA158_LOOKBACK
    for symbol in range(bars.n_symbols):
        open_, high, low, close = (panel[:, symbol] for panel in panels.values())
        bar_features(open_, high, low, close, vwap[:, symbol], values[symbol])
        close_features(rows, close[rows], reach, not qlib_compatible, values[symbol])
        window = (high[rows], low[rows], close[rows])
        extreme_features(rows, window, reach, not qlib_compatible, values[symbol])
    picked = [ALPHA158_COLUMNS.index(name) for name in wanted]
    frame = long_frame(values.transpose(1, 0, 2)[:, :, picked], wanted, bars)
    return frame[np.repeat(counted, bars.n_symbols)] if qlib_compatible else frame


def _vwap(bars: Bars) -> np.ndarray:
    mean = (bars.open + bars.high + bars.low + bars.close).to_numpy() / 4
    if bars.quote_volume is None:
        return np.asarray(mean)
    volume = bars.volume.to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        vwap = bars.quote_volume.to_numpy() / volume
    return np.asarray(np.where(np.isfinite(vwap) & (volume > 0), vwap, mean))
