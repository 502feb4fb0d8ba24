"""From bars to a trained model and what its walk-forward folds say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError
from gwt_lab.market.bars import Bars
from gwt_lab.models.feature_set import FeatureSet
from gwt_lab.models.folds import Fold, Rows, any_known
from gwt_lab.models.forecasters import Forecaster, Trees
from gwt_lab.models.labels import LABEL_DELAY, forward_return, label_known_ns, relative_return
from gwt_lab.models.lightgbm_model import LightGBMModel, LightGBMParams
from gwt_lab.models.scores import score_forecasts

__all__ = ["LABELS", "Question", "Table", "fit_lightgbm", "make_table", "training_report"]

LABELS: dict[str, Callable[[Bars, int], pd.Series]] = {"direction": forward_return, "relative": relative_return}


@dataclass(frozen=True)
class Question:
    """What is forecast.

    Parameters
    ----------
    label : str
        ``direction``: the symbol's own return; ``relative``: its return beyond the mean of all.
    horizon : int
        Bars from one open to the other.
    probabilities : bool
        Whether the forecast is the probability that the return is positive, or its expected value.
    """

    label: str
    horizon: int
    probabilities: bool

    @property
    def column(self) -> str:
        """Name of the column of forecasts."""
        return "probability" if self.probabilities else "forecast"

    def earned(self, bars: Bars) -> pd.Series:
        """Return what came, for each time and symbol.

        Raises
        ------
        DataError
            If `label` is relative and there is one symbol.
        """
        if self.label == "relative" and bars.n_symbols < 2:
            raise DataError(
                f"label='relative' compares symbols with each other, got {bars.symbols[0]} alone: pass bars of several "
                "symbols, or label='direction'"
            )
        return LABELS[self.label](bars, self.horizon)


@dataclass(frozen=True)
class Table:
    """Rows to train on, with what came and when it was known.

    Parameters
    ----------
    rows : Rows
        `target` is 0 or 1, or the return itself.
    earned : ndarray of shape (n_rows,)
    known_ns : ndarray of shape (n_rows,)
    """

    rows: Rows
    earned: np.ndarray
    known_ns: np.ndarray


def make_table(bars: Bars, features: FeatureSet, question: Question) -> Table:
    """Return features, labels and usable rows of bars.

    Raises
    ------
    DataError
        If the bars are shorter than the features' lookback, or one class is all there is.
    """
    least = features.lookback + LABEL_DELAY + question.horizon
    if bars.n_times <= least:
        raise DataError(
            f"training needs more than {least} bars (a lookback of {features.lookback} and a label that ends "
            f"{LABEL_DELAY + question.horizon} bars later), got {bars.n_times}: pass more bars or shorter features"
        )
    frame = features.compute(bars)
    values = frame.to_numpy(dtype=np.float32)
    earned = question.earned(bars).to_numpy()
    target = earned
    if question.probabilities:
        target = np.where(earned > 0, 1.0, np.where(earned < 0, 0.0, np.nan))
    rows = Rows(values, frame.index, target, usable_rows(bars, features, values), list(frame.columns))
    labels = np.unique(target[rows.labelled])
    if len(labels) < 2:
        what = "no row has a label" if not len(labels) else f"every row has the label {labels[0]:g}"
        raise DataError(f"{what} ({len(rows.labelled)} rows of {', '.join(bars.symbols[:4])}): training needs both")
    known = label_known_ns(frame.index.get_level_values(0).asi8, bars.timeframe, question.horizon)
    return Table(rows, earned, known)


def usable_rows(bars: Bars, features: FeatureSet, values: np.ndarray) -> np.ndarray:
    """Return the rows that a forecast stands on: the symbol has a bar, the lookback is whole, a feature is known."""
    there = bars.close[sorted(bars.symbols)].notna().to_numpy(copy=True)
    there[~features.whole(bars)] = False
    return np.asarray(there.reshape(-1) & any_known(values))


def fit_lightgbm(table: Table, params: LightGBMParams) -> Callable[[np.ndarray], Forecaster]:
    """Return a function that trains LightGBM on some rows of the table."""
    rows = table.rows
    return lambda train: Trees(LightGBMModel(params).fit_rows(rows.values, rows.target, train, rows.names))


def training_report(table: Table, folds: list[Fold], forecasts: list[np.ndarray], question: Question) -> dict[str, Any]:
    """Return the scores of each fold and of all test rows together; plain values for JSON."""
    rows = table.rows

    def scores_of(found: np.ndarray, test: np.ndarray) -> dict[str, Any]:
        return score_forecasts(
            found,
            table.earned[test],
            rows.index[test],
            probabilities=question.probabilities,
            horizon=question.horizon,
        )

    times = rows.index.get_level_values(0)
    per_fold = []
    for fold, found in zip(folds, forecasts, strict=True):
        scores = scores_of(found, fold.test)
        dates = {
            "train_start": str(times[fold.train[0]]),
            "train_end": str(times[fold.train[-1]]),
            "test_start": str(times[fold.test[0]]),
            "test_end": str(times[fold.test[-1]]),
        }
        per_fold.append({"fold": fold.number, "n_train": len(fold.train)} | dates | _named(scores))
    test = np.concatenate([fold.test for fold in folds])
    overall = scores_of(np.concatenate(forecasts), test)
    return _named(overall) | {"n_train": len(rows.labelled), "folds": per_fold}


def _named(scores: dict[str, Any]) -> dict[str, Any]:
    """Return scores under the names that users meet: out of sample, so `val_`."""
    renamed = {"accuracy": "val_accuracy", "accuracy_low": "val_accuracy_low", "accuracy_high": "val_accuracy_high"}
    return {renamed.get(name, name): value for name, value in scores.items()}
