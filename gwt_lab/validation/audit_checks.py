"""What must be true of returns before anything is said about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from gwt_lab.errors import DataError, ShapeError
from gwt_lab.market.time import bars_per_year, timeframe_of, utc_index

__all__ = ["Frequency", "check_returns", "few_moves", "frequency_of", "large_returns"]

FloatArray = npt.NDArray[np.float64]

_FEWEST = 20
_DAY_NS = 86_400 * 10**9
_CALENDAR = ((28, 31, 12.0, "1 month"), (89, 93, 4.0, "1 quarter"), (365, 366, 1.0, "1 year"))
_LARGE = 0.1  # half of the moves of a day or less above 10 %: such returns are rare, percent given as such are not


@dataclass(frozen=True)
class Frequency:
    """How often returns come.

    Parameters
    ----------
    words : str
        Such as `1h`; empty where rows have no dates.
    per_year : float
        Periods in 365 days; NaN where rows have no dates.
    """

    words: str
    per_year: float


def frequency_of(index: pd.Index) -> tuple[Frequency, tuple[str, ...]]:
    """Return how often rows come, by their most frequent step, and what is odd about it.

    Months, quarters and years are recognised by their lengths. Days without weekends count 365 · 5/7 a year.
    """
    if not isinstance(index, pd.DatetimeIndex):
        return Frequency("", np.nan), ("rows have no dates, so nothing is annualised",)
    steps = np.diff(index.as_unit("ns").asi8)
    days = np.round(steps / _DAY_NS, 3)
    for low, high, per_year, words in _CALENDAR:
        if ((days >= low) & (days <= high)).mean() > 0.9:
            return Frequency(words, per_year), ()
    words = timeframe_of(index)
    per_year = bars_per_year(words)
    notes = []
    if words == "1d" and not (index.day_of_week >= 5).any():
        per_year *= 5 / 7
        notes.append("rows come on weekdays only: a year has 365 · 5/7 of them")
    elif (steps == np.median(steps)).mean() < 0.5:
        notes.append(f"rows come at uneven times; they are annualised as if every one took {words}")
    return Frequency(words, per_year), tuple(notes)


def check_returns(returns: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return returns in order of time as float64, and what was done to or is odd about them.

    Raises
    ------
    ShapeError
        If there is no column, or two share a name.
    DataError
        If there are fewer than 20 rows, a value is missing, infinite or no number, times repeat, no column varies, or
        the values are prices or percent.
    """
    if not returns.shape[1]:
        raise ShapeError("returns must have one column a strategy, got none")
    if not returns.columns.is_unique:
        twice = returns.columns[returns.columns.duplicated()][0]
        raise ShapeError(f"two strategies are named {twice!r}: give each column its own name")
    text = [name for name, kind in returns.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    if text:
        raise DataError(f"returns must be numbers, column {text[0]!r} holds {returns[text[0]].dtype}: leave it out")
    frame, notes = _ordered(returns.astype(np.float64))
    if len(frame) and frame.iloc[0].isna().all():
        frame = frame.iloc[1:]
        notes += ["the first row is empty, as a change from nothing is, and was left out"]
    _refuse_missing(frame)
    if len(frame) < _FEWEST:
        raise DataError(f"an audit needs at least {_FEWEST} returns, got {len(frame)}: test longer, or on shorter bars")
    _refuse_other_units(frame)
    constant = np.ptp(frame.to_numpy(), axis=0) == 0
    if constant.all():
        raise DataError(f"every return is {frame.iloc[0, 0]:g}: a strategy that never moves has no Sharpe ratio")
    if constant.any():
        notes.append(
            f"{int(constant.sum())} of {len(constant)} strategies never move; they count as tried and are not ranked"
        )
    return frame, tuple(notes)


def _ordered(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    index = frame.index
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if isinstance(index, pd.MultiIndex):
        raise ShapeError("returns must have one row a time, got an index of several levels: unstack the strategies")
    if not isinstance(index, pd.DatetimeIndex):
        if not pd.api.types.is_numeric_dtype(index):
            index = utc_index(index.to_numpy(), name="index")
        else:
            return frame.reset_index(drop=True), []
    frame = frame.set_axis(utc_index(index, name="index"), axis=0)
    if frame.index.has_duplicates:
        when = frame.index[frame.index.duplicated()][0]
        raise DataError(f"two rows are of {when}: returns must have one row a time")
    if frame.index.is_monotonic_increasing:
        return frame, []
    return frame.sort_index(), ["rows were not in order of time and were sorted"]


def _refuse_missing(frame: pd.DataFrame) -> None:
    values = frame.to_numpy()
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    row, column = np.argwhere(bad)[0]
    raise DataError(
        f"returns must be finite numbers, column {frame.columns[column]!r} has {int(bad[:, column].sum())} that are "
        f"not, the first {values[row, column]} at {frame.index[row]}: put 0 where nothing was held, or cut to the "
        f"span in which every strategy ran"
    )


def _refuse_other_units(frame: pd.DataFrame) -> None:
    values = frame.to_numpy()
    prices = (values > 0).all(axis=0) & (np.median(values, axis=0) > 0.5)
    if prices.any():
        name = frame.columns[int(np.argmax(prices))]
        raise DataError(
            f"{name!r} looks like prices, an account's worth or 1 + returns: all of it is above 0, the middle "
            f"{np.median(frame[name]):.6g}: pass returns, frame.pct_change() or frame - 1"
        )
    below = values < -1
    if below.any():
        row, column = np.argwhere(below)[0]
        raise DataError(
            f"{frame.columns[column]!r} returns {values[row, column]:.6g} at {frame.index[row]}, more than everything: "
            f"returns must be fractions (0.01 is one percent); divide percent by 100"
        )


def few_moves(returns: pd.Series) -> tuple[str, ...]:
    """Return a warning if a strategy so rarely moves that nothing can be proven."""
    moved = int(np.count_nonzero(returns))
    if moved >= _FEWEST:
        return ()
    return (f"only {moved} of {len(returns):,} returns of {returns.name!r} are not 0: too few to prove anything",)


def large_returns(frame: pd.DataFrame, frequency: Frequency) -> tuple[str, ...]:
    """Return a warning if returns are so large that they may be percent."""
    if np.isfinite(frequency.per_year) and frequency.per_year < 200:
        return ()
    values = np.abs(frame.to_numpy())
    moves = values[values > 0]
    if np.median(moves) <= _LARGE:
        return ()
    return (f"half of the moves are above {100 * np.median(moves):.0f} %: if these are percent, divide them by 100",)
