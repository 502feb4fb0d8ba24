"""Combinatorial purged cross-validation: every choice of test folds, and the backtest paths they add up to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.validation.splits import check_whole, dates_of, known_times

__all__ = ["CombinatorialPurgedCV"]

IntArray = npt.NDArray[np.int64]


class CombinatorialPurgedCV:
    """Test on every choice of `n_test_folds` out of `n_folds` stretches of time, train on what is safe of the rest.

    Works on rows that carry dates: a frame with a time index, or the long frame with a level ``datetime``. All rows of
    a date fall on the same side. Follows scikit-learn's splitter protocol (`split`, `get_n_splits`).

    Parameters
    ----------
    n_folds : int, default 6
        Stretches that the dates are cut into; they differ by one date at most.
    n_test_folds : int, default 2
        Stretches tested at a time, fewer than `n_folds`.
    purged_size : int, default 0
        Dates left out of training on both sides of each tested stretch, because labels reach across its ends: at least
        the number of bars from a row's date to the end of its label. Labels of unequal length: see `groups` of `split`.
    embargo_size : int, default 0
        Further dates left out after each tested stretch, against what features remember of it.

    Raises
    ------
    ConfigError
        If a number is out of range.

    Notes
    -----
    Most training sets hold dates after their test: use the paths to see how much a result scatters, and a walk forward
    (`PurgedWalkForward`) for the result itself.

    References
    ----------
    .. [1] López de Prado, "Advances in Financial Machine Learning", 2018, chapters 7 and 12.

    Examples
    --------
    >>> import pandas as pd
    >>> dates = pd.DataFrame(index=pd.date_range("2024-01-01", periods=12, freq="D"))
    >>> for train, test in CombinatorialPurgedCV(3, 2, purged_size=1).split(dates):
    ...     print(train, test)
    [ 9 10 11] [0 1 2 3 4 5 6 7]
    [5 6] [ 0  1  2  3  8  9 10 11]
    [0 1 2] [ 4  5  6  7  8  9 10 11]
    """

    def __init__(self, n_folds: int = 6, n_test_folds: int = 2, *, purged_size: int = 0, embargo_size: int = 0) -> None:
        given = {"n_folds": (n_folds, 2), "n_test_folds": (n_test_folds, 1)}
        given |= {"purged_size": (purged_size, 0), "embargo_size": (embargo_size, 0)}
        for name, (value, smallest) in given.items():
            check_whole(name, value, smallest)
        if n_test_folds >= n_folds:
            raise ConfigError(
                f"n_test_folds must be below the {n_folds} folds, got {n_test_folds}: nothing to train on"
            )
        self.n_folds = n_folds
        self.n_test_folds = n_test_folds
        self.purged_size = purged_size
        self.embargo_size = embargo_size

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"CombinatorialPurgedCV({settings})"

    # ------------------------------------------------------------------------------------------ splits
    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits; the arguments are there for scikit-learn."""
        return math.comb(self.n_folds, self.n_test_folds)

    @property
    def test_folds(self) -> IntArray:
        """Folds that each split tests, shape (n_splits, n_test_folds)."""
        return np.array(list(combinations(range(self.n_folds), self.n_test_folds)), dtype=np.int64)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield positions of training and test rows.

        Parameters
        ----------
        X : DataFrame, Series or Index
            Rows with dates, in any order.
        y : ignored
        groups : array_like of shape (n_rows,), optional
            When each row's label is known (a time). A row spans the time from its date to there. Training rows whose
            span meets that of a tested stretch (its first date to the last time one of its labels is known) are left
            out, however far the purge reaches; the embargo counts from the end of that span.

        Raises
        ------
        DataError
            If there are no dates, fewer than folds, a label is known before its row, or nothing is left to train on.
        ShapeError
            If `groups` has another length than `X`.
        """
        stamps = dates_of(X)
        unique, number = np.unique(stamps.asi8, return_inverse=True)
        edges = self._edges(len(unique))
        known = unique[number] if groups is None else known_times(groups, stamps)
        fold = np.searchsorted(edges, number, side="right") - 1
        stops = [self._stop(unique, edges[f + 1], known[fold == f].max()) for f in range(self.n_folds)]
        for tested in self.test_folds:
            inside = np.isin(fold, tested)
            training = ~inside
            for f in tested:
                begin = edges[f]
                training &= (number < begin - self.purged_size) | (number >= stops[f])
                training &= (number >= begin) | (known < unique[begin])
            if not training.any():
                raise DataError(
                    f"nothing is left to train on beside the test folds {tested.tolist()} of {len(unique)} dates: pass "
                    f"more bars, fewer folds, or a shorter purge and embargo"
                )
            yield np.flatnonzero(training), np.flatnonzero(inside)

    def _stop(self, unique: IntArray, end: int, last_known: int) -> int:
        """Return the first date after a fold that may train beside it."""
        # a row that starts when the last tested label becomes known shares that bar with it
        spanned = int(np.searchsorted(unique, last_known, side="right"))
        return max(end + self.purged_size, spanned) + self.embargo_size

    def _edges(self, n_dates: int) -> IntArray:
        if n_dates < self.n_folds:
            raise DataError(f"{n_dates} dates cannot be cut into {self.n_folds} folds: pass more bars or fewer folds")
        return np.linspace(0, n_dates, self.n_folds + 1).round().astype(np.int64)

    # ------------------------------------------------------------------------------------------ paths
    @property
    def n_paths(self) -> int:
        """Backtest paths: each fold is tested in so many splits."""
        return math.comb(self.n_folds - 1, self.n_test_folds - 1)

    @property
    def paths(self) -> IntArray:
        """Which split predicts which fold of each path, shape (n_paths, n_folds)."""
        tested = self.test_folds
        of_fold = [np.flatnonzero((tested == fold).any(axis=1)) for fold in range(self.n_folds)]
        return np.stack(of_fold, axis=1).astype(np.int64)

    def recombine(self, predictions: Sequence[Any], X: Any = None) -> pd.DataFrame:
        """Return the splits' predictions as backtest paths.

        Parameters
        ----------
        predictions : sequence of n_splits arrays or Series
            One value a test row, in the order of `split`; of a Series the index decides which row is meant.
        X : DataFrame, Series or Index, optional
            The rows that were split. Can be left out for Series, whose indexes make them up.

        Returns
        -------
        DataFrame of shape (n_rows, n_paths)
            One column a path, one row a row of `X`.

        Raises
        ------
        ShapeError
            If there is not one value for each test row of each split.
        """
        if len(predictions) != self.get_n_splits():
            raise ShapeError(f"predictions must hold one array a split, {self.get_n_splits()}, got {len(predictions)}")
        index = _index_of(predictions, X)
        _, number = np.unique(dates_of(index).asi8, return_inverse=True)
        edges = self._edges(int(number.max()) + 1)
        fold = np.searchsorted(edges, number, side="right") - 1
        values = [
            _aligned(split, prediction, index[np.isin(fold, tested)])
            for split, (prediction, tested) in enumerate(zip(predictions, self.test_folds, strict=True))
        ]
        found = np.empty((len(index), self.n_paths), dtype=np.result_type(*values))
        for path, splits in enumerate(self.paths):
            for number_of_fold, split in enumerate(splits):
                tested = fold[np.isin(fold, self.test_folds[split])]
                found[fold == number_of_fold, path] = values[split][tested == number_of_fold]
        return pd.DataFrame(found, index=index, columns=pd.RangeIndex(self.n_paths, name="path"))


def _index_of(predictions: Sequence[Any], X: Any) -> pd.Index:
    if X is not None:
        index = X if isinstance(X, pd.Index) else X.index
        assert isinstance(index, pd.Index)
        return index
    if not all(isinstance(prediction, pd.Series) for prediction in predictions):
        raise ShapeError("predictions without an index need the rows they belong to: recombine(predictions, X)")
    index = predictions[0].index
    for prediction in predictions[1:]:
        index = index.union(prediction.index)
    if not index.is_unique:
        raise ShapeError("two predictions of one split share an index: pass X, the rows that were split")
    return index


def _aligned(split: int, prediction: Any, rows: pd.Index) -> npt.NDArray[Any]:
    """Return one split's predictions in the order of its test rows."""
    if isinstance(prediction, pd.Series) and not prediction.index.equals(rows):
        if len(prediction) != len(rows) or not prediction.index.is_unique or len(rows.difference(prediction.index)):
            raise ShapeError(f"the predictions of split {split} are not those of its {len(rows)} test rows")
        prediction = prediction.reindex(rows)
    values = np.asarray(prediction)
    if values.shape != (len(rows),):
        raise ShapeError(
            f"the predictions of split {split} must have shape ({len(rows)},), one a test row, got {values.shape}"
        )
    return values
