"""Fits side by side: one thread a fit, several fits at once, over views of one matrix."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import CausalityError, DataError
from gwt_lab.models.lightgbm_model import STOP, take_rows
from gwt_lab.models.settings import whole_number
from gwt_lab.processors import available_threads

__all__ = ["Fold", "Rows", "any_known", "fit_folds", "plan_folds"]

_BLOCK = 65_536  # rows looked at together

# positions of training rows -> a function from (values, positions) of test rows to forecasts
Fit = Callable[[np.ndarray], Callable[[np.ndarray, np.ndarray], np.ndarray]]


@dataclass(frozen=True)
class Rows:
    """Features and labels of dated rows, ready to be cut into folds.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_features)
        float32.
    index : MultiIndex
        (datetime, instrument), ordered by time.
    target : ndarray of shape (n_rows,)
        What is learnt; NaN where there is no label.
    usable : ndarray of bool, shape (n_rows,)
        Rows that are rows: others are neither trained on nor forecast.
    names : list of str
        The features' names.
    """

    values: np.ndarray
    index: pd.MultiIndex
    target: np.ndarray
    usable: np.ndarray
    names: list[str]

    @property
    def labelled(self) -> np.ndarray:
        """Positions of usable rows with a label."""
        return np.flatnonzero(self.usable & ~np.isnan(self.target))


@dataclass(frozen=True)
class Fold:
    """Positions of one fold's rows: `train` has labels, `test` is whatever the splitter says."""

    number: int
    train: np.ndarray
    test: np.ndarray


def any_known(values: np.ndarray) -> np.ndarray:
    """Return which rows of a matrix hold any number; some rows at a time, so that no second matrix is made."""
    known = np.empty(len(values), dtype=bool)
    for start in range(0, len(values), _BLOCK):
        known[start : start + _BLOCK] = ~np.isnan(values[start : start + _BLOCK]).all(axis=1)
    return known


def plan_folds(rows: Rows, splitter: Any, known_ns: np.ndarray | None = None) -> list[Fold]:
    """Return the folds of a splitter over the usable rows.

    Parameters
    ----------
    rows : Rows
    splitter : scikit-learn's protocol
        `PurgedWalkForward` and the like.
    known_ns : ndarray of shape (n_rows,), optional
        When each row's label is known. It is passed to the splitter as `groups`, and no fold may train on a label that
        shares time with a label of its test block.

    Raises
    ------
    DataError
        If there is no usable row, or a fold has nothing to train on.
    CausalityError
        If a splitter leaves labels in training that reach into the test block.
    """
    kept = np.flatnonzero(rows.usable)
    if not len(kept):
        raise DataError("every feature of every row is NaN: the bars are shorter than the features' warm-up")
    index = rows.index[kept] if len(kept) < len(rows.index) else rows.index
    known = None if known_ns is None else known_ns[kept]
    groups = None if known is None else pd.DatetimeIndex(known, tz="UTC")
    labelled = ~np.isnan(rows.target)
    with warnings.catch_warnings():
        # scikit-learn's own splitters do not know when labels end; what they leave in is looked at below
        warnings.filterwarnings("ignore", "The groups parameter is ignored")
        splits = list(splitter.split(index, None, groups))
    folds = []
    for number, (train, test) in enumerate(splits):
        train = kept[train]
        train = train[labelled[train]]
        if not len(train):
            raise DataError(f"fold {number} has no row to train on: pass more bars or fewer splits")
        if known_ns is not None:
            _check_purge(number, rows.index, known_ns, train, kept[test])
        folds.append(Fold(number, train, kept[test]))
    return folds


def fit_folds(
    rows: Rows,
    folds: list[Fold],
    fit: Fit,
    *,
    whole: Callable[[np.ndarray], Any] | None = None,
    n_jobs: int | None = None,
    progress: Any = None,
) -> list[np.ndarray]:
    """Return each fold's forecasts of its test rows, fitted side by side.

    Parameters
    ----------
    rows : Rows
    folds : list of Fold
    fit : callable
        Takes positions of training rows, returns a function from the values and positions of test rows to forecasts.
        Called in threads, so it should let go of the interpreter while it works, as LightGBM does.
    whole : callable, optional
        A last fit, on every labelled row; it keeps what it made itself.
    n_jobs : int, optional
        Fits at once; one a core by default.
    progress : Progress, optional
        Advanced by one a fit.

    Raises
    ------
    ConfigError
        If `n_jobs` is below 1.
    """
    n_threads = available_threads() if n_jobs is None else whole_number("n_jobs", n_jobs, 1)
    found: list[np.ndarray] = [np.empty(0)] * len(folds)

    def one(fold: Fold) -> None:
        try:
            forecasts = fit(fold.train)
        except DataError as error:
            raise DataError(f"fold {fold.number} cannot be trained: {error}") from error
        found[fold.number] = forecasts(take_rows(rows.values, fold.test), fold.test)

    stop = Event()
    pool = ThreadPoolExecutor(n_threads, initializer=STOP.set, initargs=(stop,))
    try:
        # the longest fits first: none is left running alone at the end
        order = sorted(folds, key=lambda fold: -len(fold.train))
        jobs = [] if whole is None else [pool.submit(whole, rows.labelled)]
        jobs += [pool.submit(one, fold) for fold in order]
        for job in as_completed(jobs):
            job.result()
            if progress is not None:
                progress.advance()
    finally:
        stop.set()  # after an error or an interrupt nobody waits for fits that run
        pool.shutdown(cancel_futures=True)
    return found


def _check_purge(number: int, index: pd.MultiIndex, known_ns: np.ndarray, train: np.ndarray, test: np.ndarray) -> None:
    """Refuse training rows whose span from date to label shares time with that of a test row."""
    times = index.get_level_values(0).asi8
    order = np.argsort(times[test], kind="stable")
    begins, ends = times[test][order], np.maximum.accumulate(known_ns[test][order])
    if not len(begins):
        raise DataError(f"fold {number} has no row to test on: pass more bars or fewer splits")
    following = np.searchsorted(begins, times[train], side="left")
    reaches = (following < len(begins)) & (known_ns[train] > begins[np.minimum(following, len(begins) - 1)])
    reached = (following > 0) & (ends[np.maximum(following - 1, 0)] > times[train])
    leaks = train[reaches | reached]
    if len(leaks):
        raise CausalityError(
            f"fold {number} trains on {len(leaks)} rows whose labels share time with its test block, the first at "
            f"{index[leaks[0]][0]}: use PurgedWalkForward with purged_size of at least 1 + horizon bars"
        )
