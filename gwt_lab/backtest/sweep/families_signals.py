"""Families of signals: definitions of the field, each a few rows of indicators and a comparison."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from gwt_lab.backtest.sweep.families_base import Family
from gwt_lab.backtest.sweep.fused_words import above_and_below, cross_rows, level_words
from gwt_lab.backtest.sweep.indicators import (
    CLOSE,
    DEVIATION,
    EXPONENTIAL,
    GROWTH,
    HIGHEST_BEFORE,
    LOWEST_BEFORE,
    MACD_SIGNAL,
    MEAN,
    ONE,
    STRENGTH,
    VOLATILITY,
)
from gwt_lab.backtest.sweep.rows import RowPool, Rows, Uses

__all__ = ["SIGNAL_FAMILIES"]

# An exponential average forgets what lies this many of its lengths back, to the last digits that are compared.
_MEMORY = 16
Words = tuple[np.ndarray, np.ndarray]
Forgets = tuple[np.ndarray, np.ndarray, np.ndarray]


class _Crossing(Family):
    """Long when one row crosses above another, out when it crosses below."""

    def words(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> Words:
        """Return crossings of the first use's rows over the second's."""
        left, right = (rows[kind] for kind, _ in pool.uses[:2])
        words = np.empty((2, len(params), left.missing.shape[1]), dtype=np.uint64)
        above_and_below(left.values, pool.index[0], right.values, pool.index[1], *words.view(np.uint8))
        cross_rows(*words, *self._forgets(pool, rows, params))
        return words[0], words[1]

    @abstractmethod
    def _forgets(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> Forgets:
        """Return words of missing bars, which of them each combination has, and each one's patience with ties."""


class MovingAverages(_Crossing):
    """Simple moving averages of the close: in when the fast one crosses above the slow one, out when below.

    A crossing is the first bar on one side after the other side was seen; equality is none, and after the longer
    window's bars of equality, or a missing bar in a window, the side is forgotten. Averages that differ by less than
    1e-12 of their size are equal; two averages of one length never cross.
    """

    name = "ma_cross"
    defaults: ClassVar[Mapping[str, float]] = {"fast": 10, "slow": 50}
    whole: ClassVar[tuple[str, ...]] = ("fast", "slow")
    uses: ClassVar[Uses] = ((MEAN, ("fast",)), (MEAN, ("slow",)))

    def lookback(self, params: Mapping[str, float]) -> int:
        """Return twice the longer window: its average, and the bars in which the other side must have been seen."""
        return 2 * int(max(params["fast"], params["slow"]))

    def _forgets(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> Forgets:
        longer = np.maximum(pool.index[0], pool.index[1])
        return rows[0].missing, longer, pool.keys[0][longer, 0].astype(np.int64) - 1


class ExponentialAverages(_Crossing):
    """Exponential averages of the close: in when the fast one crosses above the slow one, out when below.

    The average of n bars begins as the mean of the first n and moves by 2 / (n + 1) of the way to each close after;
    a missing bar begins it anew.
    """

    name = "ema_cross"
    defaults: ClassVar[Mapping[str, float]] = {"fast": 12, "slow": 26}
    whole: ClassVar[tuple[str, ...]] = ("fast", "slow")
    uses: ClassVar[Uses] = ((EXPONENTIAL, ("fast",)), (EXPONENTIAL, ("slow",)))

    def lookback(self, params: Mapping[str, float]) -> int:
        """Return the bars after which nothing of an older close is left, and as many ties as are looked through."""
        return (_MEMORY + 1) * int(max(params["fast"], params["slow"]))

    def _forgets(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> Forgets:
        longer = np.maximum(pool.index[0], pool.index[1])
        return rows[0].missing, longer, pool.keys[0][longer, 0].astype(np.int64) - 1


class Macd(_Crossing):
    """MACD: in when the fast average less the slow one crosses above its own average of `signal` bars, out when below.

    All three averages are exponential, as in `ema_cross`.
    """

    name = "macd"
    defaults: ClassVar[Mapping[str, float]] = {"fast": 12, "slow": 26, "signal": 9}
    whole: ClassVar[tuple[str, ...]] = ("fast", "slow", "signal")
    # fast - slow > signal line, compared as fast > slow + signal line: numbers of the size of prices
    uses: ClassVar[Uses] = ((EXPONENTIAL, ("fast",)), (MACD_SIGNAL, ("fast", "slow", "signal")))

    def lookback(self, params: Mapping[str, float]) -> int:
        """Return the bars after which nothing of an older close is left in the three averages."""
        return (_MEMORY + 1) * int(params["slow"] + params["signal"])

    def _forgets(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> Forgets:
        return rows[1].missing, pool.index[1], (params[:, 1] + params[:, 2]).astype(np.int64) - 1


# ------------------------------------------------------------------------------------------------ levels
class _Levels(Family):
    """In while a row lies on one side of a level, out while it lies beyond another."""

    def _level(
        self,
        pool: RowPool,
        rows: list[Rows],
        uses: tuple[int, int, int],
        factors: tuple[np.ndarray | float, np.ndarray | float],
        above: bool,
    ) -> np.ndarray:
        """Return where one use's row lies above, else below, a factor of a second's plus a factor of a third's."""
        n = len(pool.index[0])
        args: list[np.ndarray] = []
        for use in uses:
            args += [rows[pool.uses[use][0]].values, pool.index[use]]
        words = np.empty((n, rows[0].missing.shape[1]), dtype=np.uint64)
        scales = [np.ascontiguousarray(np.broadcast_to(np.float64(factor), n)) for factor in factors]
        level_words(*args, *scales, above, words.view(np.uint8))
        return words


class RelativeStrength(_Levels):
    """Relative strength index (Wilder): in while it lies below `lower`, out while it lies above `upper`.

    Average gains and losses begin as the means of the first `window` changes and move by 1 / window of the way to each
    change after. Without any change the index is 50.
    """

    name = "rsi"
    defaults: ClassVar[Mapping[str, float]] = {"window": 14, "lower": 30.0, "upper": 70.0}
    whole: ClassVar[tuple[str, ...]] = ("window",)
    uses: ClassVar[Uses] = ((STRENGTH, ("window",)), (ONE, ()))

    def _rules(self, params: Mapping[str, np.ndarray]) -> list[tuple[Any, str]]:
        inside = (params["lower"] >= 0) & (params["lower"] < params["upper"]) & (params["upper"] <= 100)
        return [(~inside, "lower must lie below upper, both between 0 and 100")]

    def lookback(self, params: Mapping[str, float]) -> int:
        """Return the bars after which nothing of an older change is left."""
        return 2 * _MEMORY * int(params["window"]) + 1

    def words(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> Words:
        """Return where the index lies below and above its levels."""
        low = self._level(pool, rows, (0, 1, 1), (params[:, 1], 0.0), False)
        return low, self._level(pool, rows, (0, 1, 1), (params[:, 2], 0.0), True)


class Bollinger(_Levels):
    """Bollinger bands, traded back to the mean: in while the close lies below the lower band, out above the mean.

    The band lies `width` standard deviations (ddof=0) of the last `window` closes below their mean.
    """

    name = "bollinger"
    defaults: ClassVar[Mapping[str, float]] = {"window": 20, "width": 2.0}
    whole: ClassVar[tuple[str, ...]] = ("window",)
    uses: ClassVar[Uses] = ((CLOSE, ()), (MEAN, ("window",)), (DEVIATION, ("window",)))

    def _rules(self, params: Mapping[str, np.ndarray]) -> list[tuple[Any, str]]:
        return [(params["window"] < 2, "window must be 2 or more"), (params["width"] <= 0, "width must be above 0")]

    def lookback(self, params: Mapping[str, float]) -> int:
        """Return the window."""
        return int(params["window"])

    def words(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> Words:
        """Return where the close lies below the lower band and above the mean."""
        low = self._level(pool, rows, (0, 1, 2), (1.0, -params[:, 1]), False)
        return low, self._level(pool, rows, (0, 1, 1), (1.0, 0.0), True)


class ZScore(_Levels):
    """Distance from the mean in standard deviations: in while it lies below `-entry`, out while above `-exit`.

    Mean and standard deviation (ddof=0) are those of the last `window` closes.
    """

    name = "zscore"
    defaults: ClassVar[Mapping[str, float]] = {"window": 50, "entry": 2.0, "exit": 0.0}
    whole: ClassVar[tuple[str, ...]] = ("window",)
    uses: ClassVar[Uses] = ((CLOSE, ()), (MEAN, ("window",)), (DEVIATION, ("window",)))

    def _rules(self, params: Mapping[str, np.ndarray]) -> list[tuple[Any, str]]:
        wrong = params["exit"] >= params["entry"]
        return [(params["window"] < 2, "window must be 2 or more"), (wrong, "exit must be smaller than entry")]

    def lookback(self, params: Mapping[str, float]) -> int:
        """Return the window."""
        return int(params["window"])

    def words(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> Words:
        """Return where the close lies below and above its levels."""
        low = self._level(pool, rows, (0, 1, 2), (1.0, -params[:, 1]), False)
        return low, self._level(pool, rows, (0, 1, 2), (1.0, -params[:, 2]), True)


class Donchian(_Levels):
    """Donchian channel: in on a close above the highest high of the `entry` bars before, out below the lowest low.

    The lowest low is that of the `exit` bars before; the bar itself belongs to neither.
    """

    name = "donchian"
    defaults: ClassVar[Mapping[str, float]] = {"entry": 20, "exit": 10}
    whole: ClassVar[tuple[str, ...]] = ("entry", "exit")
    uses: ClassVar[Uses] = ((CLOSE, ()), (HIGHEST_BEFORE, ("entry",)), (LOWEST_BEFORE, ("exit",)))

    def lookback(self, params: Mapping[str, float]) -> int:
        """Return the longer channel and the bar itself."""
        return int(max(params["entry"], params["exit"])) + 1

    def words(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> Words:
        """Return where the close lies above the channel and below it."""
        high = self._level(pool, rows, (0, 1, 1), (1.0, 0.0), True)
        return high, self._level(pool, rows, (0, 2, 2), (1.0, 0.0), False)


class Momentum(_Levels):
    """Gain over the last `window` bars: in while it lies above `threshold`, out while below `-threshold`."""

    name = "momentum"
    defaults: ClassVar[Mapping[str, float]] = {"window": 100, "threshold": 0.0}
    whole: ClassVar[tuple[str, ...]] = ("window",)
    uses: ClassVar[Uses] = ((GROWTH, ("window",)), (ONE, ()))

    def _rules(self, params: Mapping[str, np.ndarray]) -> list[tuple[Any, str]]:
        return [(params["threshold"] < 0, "threshold must be 0 or more")]

    def lookback(self, params: Mapping[str, float]) -> int:
        """Return the window and the bar that it is measured from."""
        return int(params["window"]) + 1

    def words(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> Words:
        """Return where the gain lies above and below its levels."""
        high = self._level(pool, rows, (0, 1, 1), (1.0 + params[:, 1], 0.0), True)
        return high, self._level(pool, rows, (0, 1, 1), (1.0 - params[:, 1], 0.0), False)


class VolatilityFilter(MovingAverages, _Levels):
    """Crossing averages in calm markets: in as `ma_cross` while volatility lies below `max_vol`, out as it or above.

    Volatility is the standard deviation (ddof=1) of the last `vol_window` returns, of a year of 365 days.
    """

    name = "volatility_filter"
    defaults: ClassVar[Mapping[str, float]] = {"fast": 10, "slow": 50, "vol_window": 100, "max_vol": 1.0}
    whole: ClassVar[tuple[str, ...]] = ("fast", "slow", "vol_window")
    uses: ClassVar[Uses] = (*MovingAverages.uses, (VOLATILITY, ("vol_window",)), (ONE, ()))

    def _rules(self, params: Mapping[str, np.ndarray]) -> list[tuple[Any, str]]:
        return [
            *super()._rules(params),
            (params["vol_window"] < 2, "vol_window must be 2 or more"),
            (params["max_vol"] <= 0, "max_vol must be above 0"),
        ]

    def lookback(self, params: Mapping[str, float]) -> int:
        """Return the longer of the crossing's and the volatility's."""
        return max(super().lookback(params), int(params["vol_window"]) + 1)

    def words(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> Words:
        """Return calm crossings to above, and crossings to below or bars that are not calm."""
        entries, exits = super().words(pool, rows, params)
        calm = self._level(pool, rows, (2, 3, 3), (params[:, 3], 0.0), False)
        wild = self._level(pool, rows, (2, 3, 3), (params[:, 3], 0.0), True)
        return entries & calm, exits | wild


SIGNAL_FAMILIES: tuple[Family, ...] = (
    MovingAverages(),
    ExponentialAverages(),
    RelativeStrength(),
    Bollinger(),
    Donchian(),
    Macd(),
    ZScore(),
    Momentum(),
    VolatilityFilter(),
)
