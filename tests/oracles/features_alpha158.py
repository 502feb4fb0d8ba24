"""Alpha158 the slow way: each value from its own window, two passes, one formula a column."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gwt_lab.market.bars import Bars

WINDOWS = (5, 10, 20, 30, 60)
OUTAGE = 67


def counted_rows(bars: Bars) -> np.ndarray:
    """Return the places of the rows in which anything traded."""
    return np.flatnonzero(bars.close.notna().any(axis=1).to_numpy())


def vwap_of(bars: Bars) -> np.ndarray:
    """Return quote volume over volume where both are positive, else the mean of four prices, bar by bar."""
    out = np.full(bars.shape, np.nan)
    for t, s in np.argwhere(bars.close.notna().to_numpy()):
        prices = [getattr(bars, name).iat[t, s] for name in ("open", "high", "low", "close")]
        volume = bars.volume.iat[t, s]
        quote = np.nan if bars.quote_volume is None else bars.quote_volume.iat[t, s]
        out[t, s] = quote / volume if volume > 0 and quote > 0 else sum(prices) / 4
    return out


def alpha158_oracle(bars: Bars) -> pd.DataFrame:
    """Return the long frame."""
    rows, vwap = counted_rows(bars), vwap_of(bars)
    index = pd.MultiIndex.from_product([bars.index, sorted(bars.symbols)], names=["datetime", "instrument"])
    records: list[dict[str, float]] = [{} for _ in index]
    for place, symbol in enumerate(sorted(bars.symbols)):
        panel = {name: getattr(bars, name)[symbol].to_numpy() for name in ("open", "high", "low", "close", "volume")}
        panel["vwap"] = vwap[:, bars.symbols.index(symbol)]
        there = np.flatnonzero(~np.isnan(panel["close"]))
        counted = {name: values[rows] for name, values in panel.items()}
        for i, t in enumerate(rows):
            if t in there:
                record = bar_values({name: values[t] for name, values in panel.items()})
                for d in WINDOWS:
                    record |= window_values(counted, i, d, whole_windows(rows, there, i, d))
                records[t * bars.n_symbols + place] = record
    names = max((list(record) for record in records), key=len)
    return pd.DataFrame(records, index=index, columns=names)


def whole_windows(rows: np.ndarray, there: np.ndarray, i: int, d: int) -> list[bool]:
    """Return whether the windows of d and of d + 1 counted rows that end at row i are whole."""
    found = []
    for need in (d, d + 1):
        oldest = rows[i - need + 1] if i - need + 1 >= 0 else -1
        within = there[(there > rows[i] - (need + OUTAGE)) & (there <= oldest)]
        found.append(len(within) > 0)
    return found


def share(part: float, whole: float) -> float:
    """Return part / whole; 0 of 0 is 0, something of 0 is NaN."""
    if whole == 0:
        return 0.0 if part == 0 else np.nan
    return part / whole


def bar_values(bar: dict[str, float]) -> dict[str, float]:
    o, h, l, c, w = (bar[name] for name in ("open", "high", "low", "close", "vwap"))  # noqa: E741
    span, up, down = h - l, h - max(o, c), min(o, c) - l
    return {
        "KMID": (c - o) / o, "KLEN": span / o, "KMID2": share(c - o, span), "KUP": up / o, "KUP2": share(up, span),
        "KLOW": down / o, "KLOW2": share(down, span), "KSFT": (2 * c - h - l) / o, "KSFT2": share(2 * c - h - l, span),
        "OPEN0": o / c, "HIGH0": h / c, "LOW0": l / c, "VWAP0": w / c,
    }  # fmt: skip


def deviation(x: np.ndarray) -> float:
    x = x[~np.isnan(x)]
    return float(np.sqrt(np.sum((x - x.mean()) ** 2) / (len(x) - 1))) if len(x) > 1 else np.nan


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    both = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[both], y[both]
    if len(x) < 2 or any(np.ptp(z) <= 1e-12 * np.abs(z).max() for z in (x, y)):
        return np.nan
    dx, dy = x - x.mean(), y - y.mean()
    return float(np.sum(dx * dy) / np.sqrt(np.sum(dx * dx) * np.sum(dy * dy)))


def changes(x: np.ndarray) -> tuple[float, float, int]:
    step = np.diff(x)
    step = step[~np.isnan(step)]
    return float(step[step > 0].sum()), float(-step[step < 0].sum()), len(step)


def change_values(longer: np.ndarray, volume: np.ndarray) -> dict[str, float]:
    """Return the nine shares of rises and falls, of d + 1 closes and volumes."""
    up, down = np.sum(np.diff(longer) > 0), np.sum(np.diff(longer) < 0)
    rise, fall, n = changes(longer)
    more, less, n_volume = changes(volume)
    return {
        "CNTP": share(up, n) if n else np.nan, "CNTN": share(down, n) if n else np.nan,
        "CNTD": share(up - down, n) if n else np.nan,
        "SUMP": share(rise, rise + fall) if n else np.nan, "SUMN": share(fall, rise + fall) if n else np.nan,
        "SUMD": share(rise - fall, rise + fall) if n else np.nan,
        "VSUMP": share(more, more + less) if n_volume else np.nan,
        "VSUMN": share(less, more + less) if n_volume else np.nan,
        "VSUMD": share(more - less, more + less) if n_volume else np.nan,
    }  # fmt: skip


def window_values(panel: dict[str, np.ndarray], i: int, d: int, whole: list[bool]) -> dict[str, float]:
    """Return the 29 values of one window length."""
    at, before = slice(max(i - d + 1, 0), i + 1), slice(max(i - d, 0), i + 1)
    c, v, h, l = (panel[name][at] for name in ("close", "volume", "high", "low"))  # noqa: E741
    longer, volume = panel["close"][before], panel["volume"][before]
    out: dict[str, float] = {}
    now, known = c[-1], ~np.isnan(c)
    x = np.arange(len(c))[known]
    y = c[known]
    dx, dy = x - x.mean(), y - y.mean()
    slope = np.sum(dx * dy) / np.sum(dx * dx) if len(y) > 1 else np.nan
    flat = len(y) < 2 or np.ptp(y) <= 1e-12 * np.abs(y).max()
    fitted = y.mean() + slope * (len(c) - 1 - x.mean())
    top, bottom = np.nanmax(h), np.nanmin(l)
    highest, lowest = d - len(h) + np.nanargmax(h) + 1, d - len(l) + np.nanargmin(l) + 1
    ordered = np.sort(y)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate, ratio = longer[1:] / longer[:-1], volume[1:] / volume[:-1]
        ratio[~np.isfinite(ratio)] = np.nan
        moved = np.abs(rate - 1) * volume[1:]
    values = {
        "ROC": (longer[0] / now if len(longer) > d else np.nan),
        "MA": y.mean() / now, "STD": deviation(c) / now, "BETA": slope / now,
        "RSQR": np.nan if flat else np.sum(dx * dy) ** 2 / (np.sum(dx * dx) * np.sum(dy * dy)),
        "RESI": (now - fitted) / now, "MAX": top / now, "MIN": bottom / now,
        "QTLU": np.quantile(ordered, 0.8) / now, "QTLD": np.quantile(ordered, 0.2) / now,
        "RANK": (np.sum(y < now) + (np.sum(y == now) + 1) / 2) / len(y), "RSV": share(now - bottom, top - bottom),
        "IMAX": highest / d, "IMIN": lowest / d, "IMXD": (highest - lowest) / d,
        "CORR": correlation(c, np.log1p(v)), "CORD": correlation(rate, np.log1p(ratio)),
        "VMA": np.nanmean(v) / v[-1] if v[-1] > 0 else np.nan, "VSTD": deviation(v) / v[-1] if v[-1] > 0 else np.nan,
        "WVMA": share(deviation(moved), np.nanmean(moved)) if np.sum(~np.isnan(moved)) > 1 else np.nan,
    }  # fmt: skip
    values |= change_values(longer, volume)
    one_more = {"ROC", "CORD", "WVMA"} | {name for name in values if name[:3] in ("CNT", "SUM", "VSU")}
    for name, value in values.items():
        out[f"{name}{d}"] = value if whole[name in one_more] else np.nan
    return out
