"""Alpha158 the slow way: pandas, written from qlib's expressions; windows over the rows in which something traded."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gwt_lab.market.bars import Bars

EPSILON = 1e-12


def alpha158_oracle(bars: Bars, *, reach: int | None = 128) -> pd.DataFrame:
    """Return the long frame; `reach=None` is qlib's own rule (min_periods 1, nothing traded: no row)."""
    calendar = bars.close.notna().any(axis=1).to_numpy()
    parts = [_symbol(bars, name, calendar, reach).assign(instrument=name) for name in sorted(bars.symbols)]
    frame = pd.concat(parts).set_index("instrument", append=True).sort_index(kind="stable")
    return (
        frame
        if reach is None
        else frame.reindex(
            pd.MultiIndex.from_product([bars.index, sorted(bars.symbols)], names=["datetime", "instrument"])
        )
    )


def _symbol(bars: Bars, name: str, calendar: np.ndarray, reach: int | None) -> pd.DataFrame:
    o, h, l, c, v = (getattr(bars, field)[name][calendar] for field in ("open", "high", "low", "close", "volume"))  # noqa: E741
    vwap = (o + h + l + c) / 4
    if bars.quote_volume is not None:
        ratio = bars.quote_volume[name][calendar] / v
        vwap = ratio.where(np.isfinite(ratio) & (v > 0), vwap)
    top, bottom = np.maximum(o, c), np.minimum(o, c)
    span = h - l + EPSILON
    out = {
        "KMID": (c - o) / o, "KLEN": (h - l) / o, "KMID2": (c - o) / span,
        "KUP": (h - top) / o, "KUP2": (h - top) / span, "KLOW": (bottom - l) / o, "KLOW2": (bottom - l) / span,
        "KSFT": (2 * c - h - l) / o, "KSFT2": (2 * c - h - l) / span,
        "OPEN0": o / c, "HIGH0": h / c, "LOW0": l / c, "VWAP0": vwap / c,
    }  # fmt: skip
    rolling = {
        "ROC": lambda d: c.shift(d) / c,
        "MA": lambda d: c.rolling(d, min_periods=1).mean() / c,
        "STD": lambda d: c.rolling(d, min_periods=1).std() / c,
        "MAX": lambda d: h.rolling(d, min_periods=1).max() / c,
        "MIN": lambda d: l.rolling(d, min_periods=1).min() / c,
    }
    position = pd.Series(np.flatnonzero(calendar), index=c.index)
    for label, function in rolling.items():
        for d in (5, 10, 20, 30, 60):
            column = function(d)
            if reach is not None:
                oldest = position.shift(d if label == "ROC" else d - 1)
                column = column.where(position - oldest < reach)
            out[f"{label}{d}"] = column
    return pd.DataFrame(out)
