"""The crossing of two moving averages, as target weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError
from gwt_lab.kernels import kernel
from gwt_lab.market.bars import Bars
from gwt_lab.strategies.base import Strategy
from gwt_lab.strategies.clock import BarState

__all__ = ["TIE", "MovingAverageCross", "crossings", "window_mean"]

# Averages that differ by less than this share are equal: on prices in ticks they often are, and rounding must not tell.
TIE = 1e-12


@kernel
def window_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of the last `window` rows of each column; NaN where one of them is missing.

    Every window is summed afresh, in the order of time, so that the mean does not depend on where the data begins.
    """
    n_times, n_columns = values.shape
    out = np.full((n_times, n_columns), math.nan)
    for i in range(window - 1, n_times):
        for j in range(n_columns):
            total = 0.0
            for k in range(i - window + 1, i + 1):
                total += values[k, j]
            out[i, j] = total / window
    return out


@kernel
def crossings(fast: np.ndarray, slow: np.ndarray, patience: int) -> np.ndarray:
    """Return 1 where `fast` crosses above `slow`, -1 where below, else 0; shape (n_times, n_columns), int8.

    A crossing is the first row on one side after the other side was seen. Rows of equality (to one part in 10^12) in
    between do not count, up to `patience` of them; a missing value forgets the side.
    """
    n_times, n_columns = fast.shape
    out = np.zeros((n_times, n_columns), dtype=np.int8)
    for j in range(n_columns):
        side, age = 0, 0
        for i in range(n_times):
            if math.isnan(fast[i, j]) or math.isnan(slow[i, j]):
                side = 0
                continue
            gap, tie = fast[i, j] - slow[i, j], TIE * min(abs(fast[i, j]), abs(slow[i, j]))
            now = 1 if gap > tie else (-1 if gap < -tie else 0)
            if now == 0:
                age += 1
                if age > patience:
                    side = 0
                continue
            if side == -now:
                out[i, j] = now
            side, age = now, 0
    return out


@dataclass(frozen=True)
class MovingAverageCross(Strategy):
    """Long an equal share after the fast average crosses above the slow one, flat after it crosses below.

    Parameters
    ----------
    fast, slow : int
        Bars of the two simple averages of the close.

    Raises
    ------
    ConfigError
        Unless 1 <= fast < slow.
    """

    fast: int = 10
    slow: int = 50
    name: ClassVar[str] = "ma_cross"

    def __post_init__(self) -> None:
        whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (self.fast, self.slow))
        if not whole or not 1 <= self.fast < self.slow:
            raise ConfigError(f"ma_cross needs whole numbers 1 <= fast < slow, got fast={self.fast}, slow={self.slow}")

    @property
    def lookback(self) -> int:
        """Twice the slow window: the averages of the last `slow` bars, in which the other side must have been seen."""
        return 2 * self.slow

    def weights(self, bars: Bars) -> pd.DataFrame:
        """Return 1/n at an entry, 0 at an exit, NaN (hold) elsewhere."""
        weights = self._of(bars.close.to_numpy(dtype=np.float64))
        return pd.DataFrame(weights, index=bars.index, columns=bars.close.columns)

    def last_weights(self, state: BarState) -> np.ndarray:
        """Return the last row of `weights`, from the closes alone."""
        decided: np.ndarray = self._of(state.values[:, 3])[-1]
        return decided

    def _of(self, close: np.ndarray) -> np.ndarray:
        close = np.ascontiguousarray(close)
        # the other side lies at most `slow` rows back, so at most slow - 1 rows of equality are looked through
        crossed = crossings(window_mean(close, self.fast), window_mean(close, self.slow), self.slow - 1)
        return np.where(crossed == 1, 1.0 / close.shape[1], np.where(crossed == -1, 0.0, np.nan))
