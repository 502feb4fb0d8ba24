"""Alpha158 as qlib has it, written from its expressions in pandas; pyqlib itself is the judge where it is installed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gwt_lab.market.bars import Bars
from tests.oracles.features_alpha158 import WINDOWS, counted_rows, vwap_of

EPSILON, LEAST = 1e-12, 2e-5


def alpha158_qlib_oracle(bars: Bars) -> pd.DataFrame:
    """Return the long frame over counted rows, from each symbol's first bar on."""
    rows, vwap = counted_rows(bars), pd.DataFrame(vwap_of(bars), index=bars.index, columns=bars.symbols)
    parts = []
    for symbol in bars.symbols:
        names = ("open", "high", "low", "close", "volume")
        panel = pd.DataFrame({name: getattr(bars, name)[symbol] for name in names} | {"vwap": vwap[symbol]}).iloc[rows]
        if panel["close"].notna().any():
            panel = panel.loc[panel["close"].first_valid_index() :].astype(np.float32)
            parts.append(features(panel).astype(np.float32).assign(instrument=symbol))
    return pd.concat(parts).set_index("instrument", append=True).sort_index()


def features(panel: pd.DataFrame) -> pd.DataFrame:
    o, h, l, c, v, w = (panel[name] for name in ("open", "high", "low", "close", "volume", "vwap"))  # noqa: E741
    span, up, down = h - l + EPSILON, h - np.maximum(o, c), np.minimum(o, c) - l
    out = {
        "KMID": (c - o) / o, "KLEN": (h - l) / o, "KMID2": (c - o) / span, "KUP": up / o, "KUP2": up / span,
        "KLOW": down / o, "KLOW2": down / span, "KSFT": (2 * c - h - l) / o, "KSFT2": (2 * c - h - l) / span,
        "OPEN0": o / c, "HIGH0": h / c, "LOW0": l / c, "VWAP0": w / c,
    }  # fmt: skip
    for d in WINDOWS:
        columns = price_windows(h, l, c, d) | change_windows(c, v, d)
        out |= {f"{name}{d}": column for name, column in columns.items()}
    return pd.DataFrame(out)


def flat(x: pd.Series, d: int) -> pd.Series:
    return x.rolling(d, min_periods=1).std() <= LEAST


def line(y: np.ndarray) -> tuple[float, float, float]:
    """Return slope, R squared and residual of the newest, x = 1 ... window, the newest last."""
    x = np.arange(1.0, len(y) + 1)[~np.isnan(y)]
    known = y[~np.isnan(y)]
    if len(known) < 2:
        return np.nan, np.nan, np.nan
    dx, dy = x - x.mean(), known - known.mean()
    slope = np.sum(dx * dy) / np.sum(dx * dx)
    r = np.sum(dx * dy) ** 2 / (np.sum(dx * dx) * np.sum(dy * dy)) if dy.any() else np.nan
    return slope, r, y[-1] - (known.mean() + slope * (len(y) - x.mean()))


def price_windows(h: pd.Series, l: pd.Series, c: pd.Series, d: int) -> dict[str, pd.Series]:  # noqa: E741
    roll, top, bottom = (x.rolling(d, min_periods=1) for x in (c, h, l))
    lines = np.array([line(c.to_numpy(np.float64)[max(i - d + 1, 0) : i + 1]) for i in range(len(c))])
    high_at = top.apply(lambda x: x.argmax() + 1, raw=True)
    low_at = bottom.apply(lambda x: x.argmin() + 1, raw=True)
    return {
        "ROC": c.shift(d) / c, "MA": roll.mean() / c, "STD": roll.std() / c,
        "BETA": lines[:, 0] / c, "RSQR": pd.Series(lines[:, 1], c.index).mask(flat(c, d)), "RESI": lines[:, 2] / c,
        "MAX": top.max() / c, "MIN": bottom.min() / c, "QTLU": roll.quantile(0.8) / c, "QTLD": roll.quantile(0.2) / c,
        "RANK": roll.rank(pct=True), "RSV": (c - bottom.min()) / (top.max() - bottom.min() + EPSILON),
        "IMAX": high_at / d, "IMIN": low_at / d, "IMXD": (high_at - low_at) / d,
    }  # fmt: skip


def change_windows(c: pd.Series, v: pd.Series, d: int) -> dict[str, pd.Series]:
    with np.errstate(divide="ignore", invalid="ignore"):
        log_v, rate, log_rate = np.log(v + 1), c / c.shift(1), np.log(v / v.shift(1) + 1)
    out = {
        "CORR": c.rolling(d, min_periods=1).corr(log_v).mask(flat(c, d) | flat(log_v, d)),
        "CORD": rate.rolling(d, min_periods=1).corr(log_rate).mask(flat(rate, d) | flat(log_rate, d)),
    }
    rises, falls = (
        (c > c.shift(1)).rolling(d, min_periods=1).mean(),
        (c < c.shift(1)).rolling(d, min_periods=1).mean(),
    )
    out |= {"CNTP": rises, "CNTN": falls, "CNTD": rises - falls}
    moved = (rate - 1).abs() * v
    for name, x in (("SUM", c), ("VSUM", v)):
        step = x - x.shift(1)
        rise, fall, both = (
            part.rolling(d, min_periods=1).sum() for part in (np.maximum(step, 0), np.maximum(-step, 0), step.abs())
        )
        whole = both + EPSILON
        out |= {f"{name}P": rise / whole, f"{name}N": fall / whole, f"{name}D": (rise - fall) / whole}
    out["VMA"] = v.rolling(d, min_periods=1).mean() / (v + EPSILON)
    out["VSTD"] = v.rolling(d, min_periods=1).std() / (v + EPSILON)
    out["WVMA"] = moved.rolling(d, min_periods=1).std() / (moved.rolling(d, min_periods=1).mean() + EPSILON)
    return out
