"""How often the best of several strategies in one half of the data is below average in the other half."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.validation.sharpe import is_number

__all__ = ["BacktestOverfitting", "probability_of_backtest_overfitting"]

FloatArray = npt.NDArray[np.float64]

_MOST_BLOCKS = 20  # 184,756 splits
_CELLS = 1_000_000  # of one chunk, splits × strategies: 8 MB an array
_CONSTANT = 1e6  # mean over deviation of returns that differ by rounding alone


@dataclass(frozen=True, eq=False)
class BacktestOverfitting:
    """What the splits say about choosing the best strategy of several.

    Parameters
    ----------
    pbo : float
        Share of splits in which the strategy chosen in one half was not above the median in the other.
    loss_probability : float
        Share of splits in which the chosen strategy had a negative mean over deviation in the other half.
    slope : float
        Of the chosen strategy's ratio in the other half on its ratio in the half it was chosen in; below zero, what
        looks better turns out worse. NaN if the ratio it was chosen by is the same in every split.
    n_strategies, n_blocks : int
        Columns, and blocks of rows.
    logits : ndarray of shape (n_splits,)
        ln(w / (1 - w)), with w the chosen strategy's rank in the other half over strategies + 1.
    in_sample, out_of_sample : ndarray of shape (n_splits,)
        The chosen strategy's ratio, per period, in the half it was chosen in and in the other.
    """

    pbo: float
    loss_probability: float
    slope: float
    n_strategies: int
    n_blocks: int
    logits: FloatArray = field(repr=False)
    in_sample: FloatArray = field(repr=False)
    out_of_sample: FloatArray = field(repr=False)

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, number, percent, table_html

        rows = [
            ("probability of overfitting", percent(self.pbo)),
            ("probability of loss", percent(self.loss_probability)),
            ("slope", number(self.slope)),
            ("splits", f"{len(self.logits):,} of {self.n_blocks} blocks, {self.n_strategies:,} strategies"),
        ]
        return card("Backtest overfitting", table_html(("", ""), rows))


def _checked(returns: Any, n_blocks: int) -> tuple[FloatArray, list[str]]:
    names = [str(name) for name in getattr(returns, "columns", [])]
    try:
        values = np.asarray(returns, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"returns must be numbers, one column a strategy: {error}") from error
    if values.ndim != 2 or values.shape[1] < 2:
        raise ShapeError(
            f"returns must have shape (n_times, n_strategies) with 2 strategies or more, got {values.shape}"
        )
    if not is_number(n_blocks) or n_blocks != int(n_blocks) or n_blocks % 2 or not 2 <= n_blocks <= _MOST_BLOCKS:
        raise ConfigError(f"n_blocks must be an even number from 2 to {_MOST_BLOCKS}, got {n_blocks}")
    if len(values) < max(n_blocks, 4):
        raise DataError(f"{n_blocks} blocks need {max(n_blocks, 4)} rows or more, got {len(values)}: use fewer blocks")
    names = names or [str(column) for column in range(values.shape[1])]
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"returns must be finite, got {values[row, column]} in row {row}, column {names[column]!r}")
    _refuse_constant(np.ptp(values, axis=0) == 0, names, "in every row")
    return values, names


def _refuse_constant(same: Any, names: list[str], where: str) -> None:
    constant = np.flatnonzero(same)
    if len(constant):
        listed = ", ".join(names[column] for column in constant[:5])
        raise DataError(
            f"{len(constant)} of {len(names)} columns return the same {where} and have no Sharpe ratio ({listed}): "
            f"leave them out"
        )


@dataclass(frozen=True)
class _Blocks:
    """Sums over blocks of rows, all of shape (n_blocks, n_strategies) but `rows`, which is (n_blocks,)."""

    rows: FloatArray
    sums: FloatArray  # of deviations from the column's mean, so that squares keep their digits
    squares: FloatArray
    still: FloatArray  # 1 where every return of the block is 0
    mean: FloatArray  # (n_strategies,)

    @classmethod
    def of(cls, values: FloatArray, n_blocks: int) -> _Blocks:
        starts = np.arange(n_blocks) * len(values) // n_blocks
        mean = values.mean(axis=0)
        around = values - mean
        return cls(
            np.diff(starts, append=len(values)).astype(np.float64),
            np.add.reduceat(around, starts, axis=0),
            np.add.reduceat(around * around, starts, axis=0),
            np.logical_and.reduceat(values == 0, starts, axis=0).astype(np.float64),
            mean,
        )

    def ratios(self, chosen: FloatArray) -> FloatArray:
        """Return mean over deviation (ddof 1) for each split, (n_splits, n_strategies); 0 where nothing was earned."""
        rows = (chosen @ self.rows)[:, None]
        sums = chosen @ self.sums
        variance = (chosen @ self.squares - sums * sums / rows) / (rows - 1)
        still = chosen @ self.still == chosen.sum(axis=1, keepdims=True)
        moving = np.where(still, 1.0, np.maximum(variance, 0.0))
        with np.errstate(divide="ignore"):
            ratio: FloatArray = np.where(still, 0.0, (self.mean + sums / rows) / np.sqrt(moving))
        return ratio


def _halves(n_blocks: int) -> FloatArray:
    """Return every choice of half the blocks, (n_splits, n_blocks) of 0 and 1."""
    chosen = np.array(list(combinations(range(n_blocks), n_blocks // 2)))
    halves = np.zeros((len(chosen), n_blocks))
    np.put_along_axis(halves, chosen, 1.0, axis=1)
    return halves


def probability_of_backtest_overfitting(returns: Any, n_blocks: int = 16) -> BacktestOverfitting:
    """Return how often choosing the best strategy in half of the data fails in the other half.

    The rows are cut into blocks, and every half of the blocks is taken as the sample to choose in (combinatorially
    symmetric cross-validation). Strategies are compared by mean over standard deviation (ddof 1) of their returns.

    Parameters
    ----------
    returns : array_like of shape (n_times, n_strategies)
        Returns of every strategy that was tried, in order of time. Leaving some out makes the result too good.
    n_blocks : int, default 16
        Even; 16 blocks make 12,870 splits. Blocks differ by one row at most. A block should be longer than what
        returns remember.

    Returns
    -------
    BacktestOverfitting
        Near 0.5 where no strategy has skill (a single table of returns scatters widely around it), near 0 where the
        best one has.

    Raises
    ------
    DataError
        If returns hold NaN, a column is constant, or there are fewer rows than blocks. A strategy that stands still
        over a half of the data has ratio 0 there.
    ConfigError
        If `n_blocks` is odd or above 20.
    ShapeError
        If there are fewer than two strategies.

    References
    ----------
    .. [1] Bailey, Borwein, López de Prado, Zhu, "The probability of backtest overfitting", Journal of Computational
       Finance 20(4), 2017.
    """
    values, names = _checked(returns, n_blocks)
    blocks = _Blocks.of(values, n_blocks)
    halves = _halves(n_blocks)
    n_splits, n_strategies = len(halves), values.shape[1]
    inside, outside, ranks = np.empty(n_splits), np.empty(n_splits), np.empty(n_splits)
    step = max(_CELLS // n_strategies, 1)
    for start in range(0, n_splits, step):
        part = slice(start, start + step)
        here, there = blocks.ratios(halves[part]), blocks.ratios(1 - halves[part])
        _refuse_constant((np.abs(here) > _CONSTANT).any(axis=0), names, "over a half of the rows")
        best = here.argmax(axis=1)
        inside[part] = here[np.arange(len(here)), best]
        outside[part] = there[np.arange(len(here)), best]
        below = (there < outside[part, None]).sum(axis=1)
        tied = (there == outside[part, None]).sum(axis=1)
        ranks[part] = below + (tied + 1) / 2  # the mean rank of those that tie
    share = ranks / (n_strategies + 1)
    logits = np.log(share / (1 - share))
    around = inside - inside.mean()
    spread = float(around @ around)
    slope = float(around @ outside) / spread if spread > 0 else math.nan
    return BacktestOverfitting(
        pbo=float((logits <= 0).mean()),
        loss_probability=float((outside < 0).mean()),
        slope=slope,
        n_strategies=n_strategies,
        n_blocks=int(n_blocks),
        logits=logits,
        in_sample=inside,
        out_of_sample=outside,
    )
