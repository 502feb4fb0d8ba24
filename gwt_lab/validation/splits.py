"""Splits of dated rows that keep the future out of training."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.validation.sharpe import is_number

__all__ = ["PurgedWalkForward"]


class PurgedWalkForward:
    """Walk forward over dates: train on the past, leave a purge, test on what follows.

    Works on rows that carry dates: a frame with a time index, or the long frame with a level ``datetime``. All rows of
    a date fall on the same side. Follows scikit-learn's splitter protocol (`split`, `get_n_splits`).

    Parameters
    ----------
    n_splits : int, default 5
        Test blocks; they follow each other without overlap and end with the data.
    train_size : int, optional
        Dates in training; with None it grows from the first date on (at least `min_train`).
    min_train : int, optional
        Dates before the first test block, purge and embargo included; by default as many as fit a block of equal size
        before the others.
    purged_size : int, default 0
        Dates left out before each test block, because their labels reach into it: at least the number of bars from a
        row's date to the end of its label.
    embargo_size : int, default 0
        Further dates left out there, against what labels next to each other share.

    Raises
    ------
    ConfigError
        If a number is out of range.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> dates = pd.DataFrame(index=pd.date_range("2024-01-01", periods=9, freq="D"))
    >>> for train, test in PurgedWalkForward(n_splits=2, purged_size=1).split(dates):
    ...     print(train, test)
    [0 1] [3 4 5]
    [0 1 2 3 4] [6 7 8]
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        train_size: int | None = None,
        min_train: int | None = None,
        purged_size: int = 0,
        embargo_size: int = 0,
    ) -> None:
        least = {"n_splits": 1, "train_size": 1, "min_train": 1, "purged_size": 0, "embargo_size": 0}
        values = (n_splits, train_size, min_train, purged_size, embargo_size)
        for (name, smallest), value in zip(least.items(), values, strict=True):
            if value is not None or name not in ("train_size", "min_train"):
                check_whole(name, value, smallest)
        self.n_splits = n_splits
        self.train_size = train_size
        self.min_train = min_train
        self.purged_size = purged_size
        self.embargo_size = embargo_size

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"PurgedWalkForward({settings})"

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits; the arguments are there for scikit-learn."""
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield positions of training and test rows, oldest split first.

        Parameters
        ----------
        X : DataFrame, Series or Index
            Rows with dates, in any order.
        y : ignored
        groups : array_like of shape (n_rows,), optional
            When each row's label is known (a time). Training rows whose label ends at or after the first date of the
            test block are left out, however far the purge reaches.

        Raises
        ------
        DataError
            If there are no dates, too few for the splits, a label is known before its row, or nothing is left to train
            on.
        ShapeError
            If `groups` has another length than `X`.
        """
        dates = dates_of(X)
        unique, number = np.unique(dates.asi8, return_inverse=True)
        first_test = self._first_test(len(unique))
        known = None if groups is None else known_times(groups, dates)
        edges = np.linspace(first_test, len(unique), self.n_splits + 1).round().astype(int)
        for begin, end in pairwise(edges):
            stop = begin - self.purged_size - self.embargo_size
            start = 0 if self.train_size is None else max(0, stop - self.train_size)
            training = (number >= start) & (number < stop)
            if known is not None:
                training &= known < unique[begin]
            if not training.any():
                raise DataError(
                    f"nothing is left to train on before the test block of {pd.Timestamp(unique[begin])}: pass more "
                    f"bars, fewer splits, a later min_train, or a shorter purge or label"
                )
            yield np.flatnonzero(training), np.flatnonzero((number >= begin) & (number < end))

    def _first_test(self, n_dates: int) -> int:
        gap = self.purged_size + self.embargo_size
        first = self.min_train if self.min_train is not None else round(n_dates / (self.n_splits + 1))
        if self.min_train is None and self.train_size is not None:
            first = max(first, self.train_size + gap)
        if first <= gap or n_dates - first < self.n_splits:
            raise DataError(
                f"{n_dates} dates are too few for {self.n_splits} test blocks after {first} dates of which {gap} are "
                f"purged: pass more bars, fewer splits or a shorter purge"
            )
        return first


def dates_of(X: Any) -> pd.DatetimeIndex:
    """Return the date of each row: its time index, or the level `datetime` of a long frame."""
    index = X if isinstance(X, pd.Index) else getattr(X, "index", None)
    if isinstance(index, pd.MultiIndex):
        index = index.get_level_values("datetime" if "datetime" in index.names else 0)
    if not isinstance(index, pd.DatetimeIndex):
        raise DataError(
            f"a split by dates needs rows with dates (a time index or a level 'datetime'), got {type(X).__name__}"
        )
    if index.hasnans:
        raise DataError(f"{int(index.isna().sum())} rows have no date: drop them before the split")
    return index.as_unit("ns")


def known_times(groups: Any, stamps: pd.DatetimeIndex) -> npt.NDArray[np.int64]:
    """Return when each row's label is known, nanoseconds since 1970; the row's own time where it has no label."""
    try:
        known = pd.DatetimeIndex(groups)
    except (ValueError, TypeError) as error:
        raise DataError(f"groups must be times at which each row's label is known: {error}") from error
    if len(known) != len(stamps):
        raise ShapeError(f"groups must hold one time a row, {len(stamps)}, got {len(known)}")
    if (known.tz is None) != (stamps.tz is None):
        known = known.tz_localize("UTC") if known.tz is None else known.tz_localize(None)
    # a missing time is the smallest number: no label, so the row spans its own date alone
    values = np.where(np.asarray(known.isna()), stamps.asi8, known.as_unit("ns").asi8)
    early = values < stamps.asi8
    if early.any():
        row = int(np.argmax(early))
        raise DataError(f"a label is known before its row: row {row} of {stamps[row]} has {known[row]} in groups")
    return np.asarray(values, dtype=np.int64)


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number, or is below `least`."""
    if not is_number(value) or value != int(value) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
