"""Alpha360: the last 60 rows of price and volume, each over the newest; qlib's names and order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.features.alpha158 import price_panels, refuse_rule
from gwt_lab.features.alpha158_columns import OUTAGE
from gwt_lab.features.panel import empty_frame, traded_rows
from gwt_lab.features.threads import for_each_symbol
from gwt_lab.kernels import kernel
from gwt_lab.market.as_bars import as_bars

__all__ = ["ALPHA360_COLUMNS", "ALPHA360_LOOKBACK", "alpha360"]

_LAGS = 60
_KINDS = ("CLOSE", "OPEN", "HIGH", "LOW", "VWAP", "VOLUME")
ALPHA360_COLUMNS = tuple(f"{kind}{lag}" for kind in _KINDS for lag in range(_LAGS - 1, -1, -1))
ALPHA360_LOOKBACK = _LAGS + OUTAGE
_NO_LIMIT = 2**62


def alpha360(bars: Any, qlib_compatible: bool = False, *, n_threads: int | None = None) -> pd.DataFrame:
    """Return Alpha360 features: 60 rows of six series, prices over the newest close and volumes over the newest volume.

    Parameters
    ----------
    bars : Bars or what `as_bars` takes
        The features of row t use rows up to and including t.
    qlib_compatible : bool, default False
        Follow qlib to the letter: inputs are rounded to float32, volumes are divided by the newest plus 1e-12, lags
        reach across outages of any length, and rows in which nothing traded are left out.
    n_threads : int, optional
        Symbols worked out at once; one for each core by default.

    Returns
    -------
    DataFrame of shape (n_times * n_symbols, 360)
        float32, columns CLOSE59 ... CLOSE0, OPEN59 ... VOLUME0 (the number is the age in rows), index (datetime,
        instrument), ordered by time, then name.

    Raises
    ------
    ConfigError
        If `qlib_compatible` is neither True nor False, or `n_threads` is below 1.

    Notes
    -----
    Lags count the rows in which at least one symbol traded. A value is NaN where the symbol has no bar now or at that
    age, and by default where the newest volume is 0 (volumes) or the older row lies 127 (`ALPHA360_LOOKBACK`) or more
    rows of the time grid back.

    References
    ----------
    .. [1] Microsoft, "qlib", `qlib/contrib/data/loader.py`, class `Alpha360DL`.
    """
    refuse_rule(qlib_compatible)
    bars = as_bars(bars)
    traded = traded_rows(bars)
    rows = np.flatnonzero(traded)
    frame, out = empty_frame(
        bars.index[traded] if qlib_compatible else bars.index, bars.symbols, list(ALPHA360_COLUMNS)
    )
    if not qlib_compatible:
        out[~traded] = np.nan
    target = np.arange(len(rows)) if qlib_compatible else rows
    open_, high, low, close, volume, vwap = price_panels(bars)
    panels = close, open_, high, low, vwap, volume
    reach = _NO_LIMIT if qlib_compatible else ALPHA360_LOOKBACK

    def fill(symbol: int, column: int) -> None:
        _lagged_rows(panels, symbol, rows, target, (reach, qlib_compatible), out, column)

    for_each_symbol(fill, bars.symbols, n_threads)
    return frame


@kernel
def _lagged_rows(panels, symbol, rows, target, rule, out, column):  # type: ignore[no-untyped-def]
    """Fill the rows `target` of one symbol in `out` (n_out, n_symbols, 360); `rule` is (reach, whether as qlib)."""
    reach, qlib = rule
    n = len(rows)
    values = np.empty((len(panels), n))
    for kind in range(len(panels)):
        panel = panels[kind]
        for i in range(n):
            x = panel[rows[i], symbol]
            values[kind, i] = np.float64(np.float32(x)) if qlib else x
    for i in range(n):
        place = 0
        for kind in range(len(panels)):
            unit = values[5 if kind == 5 else 0, i]
            if qlib and kind == 5:
                unit = np.float64(np.float32(unit + np.float64(np.float32(1e-12))))
            for lag in range(_LAGS - 1, -1, -1):
                known = i >= lag and rows[i] - rows[i - lag] < reach and (unit != 0 or qlib)
                out[target[i], column, place] = values[kind, i - lag] / unit if known else np.nan
                place += 1
