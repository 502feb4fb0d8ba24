"""Scores of forecasts in plain loops."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


def auc(forecast: np.ndarray, happened: np.ndarray) -> float:
    """Return the share of (rise, fall) pairs in which the rise was forecast higher; ties count half."""
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in forecast[happened] for b in forecast[~happened]]
    return sum(pairs) / len(pairs)


def log_loss(forecast: np.ndarray, happened: np.ndarray) -> float:
    return -sum(math.log(p if rise else 1 - p) for p, rise in zip(forecast, happened, strict=True)) / len(forecast)


def information(forecast: np.ndarray, earned: np.ndarray, group: np.ndarray, *, ranks: bool) -> float:
    """Return the mean over groups of the correlation of forecasts and what came."""
    found = []
    for name in dict.fromkeys(group.tolist()):
        a, b = pd.Series(forecast[group == name]), pd.Series(earned[group == name])
        if ranks:
            a, b = a.rank(), b.rank()
        if a.std() > 0 and b.std() > 0:
            found.append(np.corrcoef(a, b)[0, 1])
    return float(np.mean(found))


def held_returns(signals: pd.Series, earned: pd.Series, horizon: int) -> list[float]:
    """Return what each time of a test block earns, averaged over symbols, if each signal is held for `horizon` bars.

    Both are indexed by (datetime, instrument); `earned` is what comes over one bar.
    """
    times = sorted(set(signals.index.get_level_values(0)))
    bar = times[1] - times[0]
    returns = []
    for time in times:
        symbols = signals.loc[time].index
        total = 0.0
        for symbol in symbols:
            held = [signals.get((time - lag * bar, symbol), 0.0) for lag in range(horizon)]
            gain = earned[time, symbol]
            total += 0.0 if math.isnan(gain) else sum(held) / horizon * gain
        returns.append(total / len(symbols))
    return returns
