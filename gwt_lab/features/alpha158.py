"""Alpha158: qlib's price and volume features, by their names, on bars of any timeframe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, UnknownNameError
from gwt_lab.features.alpha158_columns import N_COLUMNS, OUTAGE, ROLLING, symbol_rows
from gwt_lab.features.alpha158_qlib import qlib_symbol_rows
from gwt_lab.features.panel import empty_frame, traded_rows
from gwt_lab.features.settings import names_of
from gwt_lab.features.threads import for_each_symbol
from gwt_lab.features.windows import WINDOWS
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.market.vwap import bar_vwap

__all__ = ["ALPHA158_COLUMNS", "ALPHA158_LOOKBACK", "ALPHA158_LOOKBACKS", "alpha158", "refuse_rule"]

_BAR = (
    "KMID", "KLEN", "KMID2", "KUP", "KUP2", "KLOW", "KLOW2", "KSFT", "KSFT2", "OPEN0", "HIGH0", "LOW0", "VWAP0",
)  # fmt: skip
ALPHA158_COLUMNS = (*_BAR, *(f"{name}{window}" for name in ROLLING for window in WINDOWS))

# kinds whose window of d rows needs the close before it, or the close d rows back
_ONE_MORE = ("ROC", "CORD", "CNTP", "CNTN", "CNTD", "SUMP", "SUMN", "SUMD", "WVMA", "VSUMP", "VSUMN", "VSUMD")

# Rows of the time grid that a column may know, the current one included: its window, and room for outages of 67 rows.
ALPHA158_LOOKBACKS: dict[str, int] = dict.fromkeys(_BAR, 1) | {
    f"{name}{window}": window + (name in _ONE_MORE) + OUTAGE for name in ROLLING for window in WINDOWS
}
ALPHA158_LOOKBACK = max(ALPHA158_LOOKBACKS.values())


def alpha158(
    bars: Any,
    qlib_compatible: bool = False,
    columns: str | Sequence[str] | None = None,
    *,
    n_threads: int | None = None,
) -> pd.DataFrame:
    """Return Alpha158 features under qlib's names and in qlib's order.

    Windows count rows, so on hourly bars `MA5` is a mean over five hours.

    Parameters
    ----------
    bars : Bars or what `as_bars` takes
        The features of row t use rows up to and including t.
    qlib_compatible : bool, default False
        Follow qlib to the letter: inputs are rounded to float32 as its storage does, windows at the beginning hold what
        there is (its ``min_periods=1``), its absolute guards and its explosions at zero volume stay, and rows in which
        nothing traded are left out.
    columns : str or sequence of str, optional
        Which features, in this order; all by default.
    n_threads : int, optional
        Symbols worked out at once; one for each core by default.

    Returns
    -------
    DataFrame of shape (n_times * n_symbols, n_features)
        float32, index (datetime, instrument), ordered by time, then name.

    Raises
    ------
    UnknownNameError
        If a column is not one of the features.
    ConfigError
        If a column is named twice, `qlib_compatible` is neither True nor False, or `n_threads` is below 1.

    Notes
    -----
    Windows count the rows in which at least one symbol traded. A symbol's own missing rows are skipped inside the
    window, and its features are NaN in such a row. A value is NaN until its window is whole: until the symbol had a bar
    at the window's oldest row or, within 67 rows more, before it. `ALPHA158_LOOKBACKS` (`ALPHA158_LOOKBACK` is their
    maximum, 128) says for each column how many rows of the time grid that makes, which is its exact memory: a row
    computed from that many rows equals, bit for bit, the row computed from the whole history.

    VWAP0 is quote volume over volume where both are known and positive, else the mean of open, high, low and close.

    `docs/features.md` has every formula and every difference from qlib.

    References
    ----------
    .. [1] Microsoft, "qlib", `qlib/contrib/data/loader.py`, class `Alpha158DL`.
    """
    refuse_rule(qlib_compatible)
    bars = as_bars(bars)
    picked = _column_places(columns)
    traded = traded_rows(bars)
    rows = np.flatnonzero(traded)
    kept = bars.index[traded] if qlib_compatible else bars.index
    frame, out = empty_frame(kept, bars.symbols, [ALPHA158_COLUMNS[place] for place in picked])
    if not qlib_compatible:
        out[~traded] = np.nan
    panels = price_panels(bars)

    def fill(symbol: int, column: int) -> None:
        if qlib_compatible:
            logs = _qlib_logs(panels[4][rows, symbol])
            qlib_symbol_rows(panels, symbol, rows, logs, picked, out, column)
        else:
            symbol_rows(panels, symbol, rows, picked, out, column)

    for_each_symbol(fill, bars.symbols, n_threads)
    return frame


def refuse_rule(qlib_compatible: Any) -> None:
    """Refuse what is neither True nor False, such as columns in the place of the rule.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if not isinstance(qlib_compatible, (bool, np.bool_)):
        raise ConfigError(
            f"qlib_compatible must be True or False, got {qlib_compatible!r:.60}; columns are picked with columns=[...]"
        )


def _column_places(columns: str | Sequence[str] | None) -> np.ndarray:
    """Return the places of the named columns among all 158.

    Raises
    ------
    UnknownNameError
        If there is no such column.
    ConfigError
        If one is named twice.
    """
    if columns is None:
        return np.arange(N_COLUMNS)
    columns = names_of(columns)
    twice = sorted({str(name) for name in columns if columns.count(name) > 1})
    if twice:
        raise ConfigError(f"columns must name each feature once, {', '.join(twice)} comes twice")
    unknown = [name for name in columns if name not in ALPHA158_LOOKBACKS]
    if unknown:
        raise UnknownNameError(
            f"alpha158 has no feature {', '.join(map(str, unknown))}; it has {', '.join(ALPHA158_COLUMNS)}"
        )
    return np.array([ALPHA158_COLUMNS.index(name) for name in columns], dtype=np.int64)


def _qlib_logs(volume: np.ndarray) -> np.ndarray:
    """Return ln(v + 1) and ln(v / v before + 1) of volumes (n,), in float32 as qlib has them, shape (2, n).

    NumPy's float32 logarithm is not the nearest float32; a correlation of almost equal volumes shows it.
    """
    narrow = volume.astype(np.float32)
    logs = np.full((2, len(volume)), np.nan)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        logs[0] = np.log(narrow + 1)
        logs[1, 1:] = np.log(narrow[1:] / narrow[:-1] + 1)
    logs[~np.isfinite(logs)] = np.nan
    return logs


def price_panels(bars: Bars) -> tuple[np.ndarray, ...]:
    """Return open, high, low, close, volume and vwap, each of shape (n_times, n_symbols)."""
    panels = [getattr(bars, name).to_numpy() for name in ("open", "high", "low", "close", "volume")]
    quote = None if bars.quote_volume is None else bars.quote_volume.to_numpy()
    panels.append(bar_vwap(tuple(panels[:4]), panels[4], quote))
    return tuple(_readonly(panel) for panel in panels)


def _readonly(panel: np.ndarray) -> np.ndarray:
    """Return the panel in one memory layout that nobody may write to: one type, so that kernels compile once."""
    view = np.ascontiguousarray(panel, dtype=np.float64).view()
    view.flags.writeable = False
    return view
