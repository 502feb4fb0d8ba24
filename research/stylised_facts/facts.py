"""Stylised facts of hourly crypto bars, each with the band that the literature gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.market.as_bars import as_bars
from research.stylised_facts.curves import AGGREGATES, Curves

__all__ = ["BANDS", "Band", "facts"]

_DAY = AGGREGATES.index(24)
_FIRST_TEN = tuple(range(1, 11))


@dataclass(frozen=True)
class Band:
    """A fact, how it is measured and where it lies.

    Parameters
    ----------
    measure : callable
        From curves to one number a symbol, a week, or alone.
    low, high : float
        Where the median of these numbers lies for hourly bars of liquid pairs.
    meaning : str
        What is measured.
    source : str
        Where the band comes from. Bands span what different samples and estimators report and were written down before
        any bars were looked at.
    """

    measure: Callable[[Curves], Any]
    low: float
    high: float
    meaning: str
    source: str


def _largest(values: np.ndarray) -> float:
    """Return the number of largest size, with its sign."""
    return float(values[np.argmax(np.abs(values))])


def _stress(curves: Curves) -> float:
    """Return the mean correlation of the most volatile third of weeks minus that of the calmest."""
    order = np.argsort(curves.weekly_size)
    third = max(1, len(order) // 3)
    calm, wild = order[:third], order[-third:]
    return float(curves.mean_correlation[wild].mean() - curves.mean_correlation[calm].mean())


def _memory(curves: Curves) -> np.ndarray:
    near, far = curves.size_autocorrelation((24, 240))
    return np.asarray(far / near)


BANDS: dict[str, Band] = {
    "tail index": Band(
        lambda c: c.tail_index, 2.0, 5.0, "Hill estimate, largest 5 % of |r|", "Cont 2001: above 2, below 5"
    ),
    "kurtosis": Band(lambda c: c.kurtosis[0], 5.0, np.inf, "of one bar's return", "Cont 2001; Takaishi 2018"),
    "aggregation": Band(
        lambda c: c.kurtosis[_DAY] / c.kurtosis[0],
        0.0,
        1.0,
        "kurtosis over 24 bars / over 1",
        "Cont 2001; slow for Bitcoin, Takaishi 2018",
    ),
    "memory of r": Band(
        lambda c: _largest(np.median(c.autocorrelation(_FIRST_TEN), axis=1)),
        -0.1,
        0.1,
        "largest of the median autocorrelations, lags 1 to 10",
        "Cont 2001: insignificant beyond 20 minutes; a bounce between bid and ask leaves hundredths",
    ),
    "variance ratio": Band(
        lambda c: c.variance_ratio(24), 0.8, 1.2, "Var(24 bars) / 24 Var(1 bar)", "Lo, MacKinlay 1988: 1 for no memory"
    ),
    "memory of |r|": Band(
        lambda c: c.size_autocorrelation((24,))[0],
        0.1,
        0.6,
        "autocorrelation of |r| at lag 24",
        "Zhang et al. 2018; Cont 2001",
    ),
    "slow decay": Band(
        _memory,
        0.1,
        1.0,
        "autocorrelation of |r| at lag 240 / at lag 24",
        "Cont 2001: power law with exponent 0.2 to 0.4, so 0.4 to 0.6 a decade; wide for short samples",
    ),
    "leverage": Band(
        lambda c: c.leverage(_FIRST_TEN).mean(axis=0),
        -0.1,
        0.05,
        "mean corr(r[t], |r[t+k]|), k = 1 to 10",
        "weak or absent in crypto: Takaishi 2018; da Silva et al. 2020",
    ),
    "correlation": Band(
        lambda c: c.mean_correlation, 0.3, 0.8, "mean pairwise, by week", "Drożdż et al. 2025: one dominant market mode"
    ),
    "market mode": Band(
        lambda c: c.market_share, 0.35, 0.85, "share of the first eigenvalue, by week", "Drożdż et al. 2025"
    ),
    "beyond noise": Band(
        lambda c: c.beyond_noise.mean(),
        0.01,
        0.35,
        "share of eigenvalues above the Marchenko-Pastur edge",
        "Laloux et al. 1999; Drożdż et al. 2025: the market and a few sectors",
    ),
    "stress": Band(
        _stress,
        0.0,
        0.5,
        "correlation in the most volatile third of weeks minus the calmest",
        "Longin, Solnik 2001",
    ),
    "volume": Band(
        lambda c: c.volume_correlation, 0.3, 0.8, "corr(|r|, traded value)", "Karpoff 1987; Zhang et al. 2018"
    ),
    "hour of day": Band(
        lambda c: np.median(c.by_hour, axis=1).max() / np.median(c.by_hour, axis=1).min(),
        1.1,
        2.5,
        "mean |r|: busiest hour / quietest",
        "Hansen, Kim, Kimbrough 2021; Wątorek et al. 2023",
    ),
    "weekend": Band(
        lambda c: c.by_day[5:].mean(axis=0) / c.by_day[:5].mean(axis=0),
        0.6,
        1.0,
        "mean |r|: weekend / weekdays",
        "Hansen, Kim, Kimbrough 2021",
    ),
    "range": Band(
        lambda c: c.range_ratio,
        0.6,
        1.3,
        "variance from high and low / from open and close",
        "Parkinson 1980: 1 for Brownian motion, less where few trades find the extremes",
    ),
}


def facts(bars: Any) -> pd.DataFrame:
    """Measure the stylised facts of a market.

    Parameters
    ----------
    bars : Bars or anything `as_bars` takes
        At least 1,000 rows and 3 symbols. Lags count bars; the bands hold for hourly ones.

    Returns
    -------
    DataFrame
        One row a fact. `value`: the median over symbols (over weeks where it is measured by week); `lower`, `upper`:
        the 10 % and 90 % quantiles, NaN for a single number; `low`, `high`: the band, NaN unless the bars are hourly;
        `inside`: whether the value lies in it (missing without a band); `meaning`; `source`.

    Raises
    ------
    DataError
        If there are too few bars or symbols.
    """
    curves = Curves(as_bars(bars))
    hourly = curves.bars.timeframe in ("1h", "60m")
    rows = {}
    for name, band in BANDS.items():
        values = np.atleast_1d(np.asarray(band.measure(curves), dtype=np.float64))
        low, high = (band.low, band.high) if hourly else (np.nan, np.nan)
        value = float(np.median(values))
        rows[name] = {
            "value": value,
            "lower": np.quantile(values, 0.1) if len(values) > 1 else np.nan,
            "upper": np.quantile(values, 0.9) if len(values) > 1 else np.nan,
            "low": low,
            "high": high,
            "inside": bool(low <= value <= high) if hourly else pd.NA,
            "meaning": band.meaning,
            "source": band.source,
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("fact")
    return table.astype({"inside": "boolean"})
