"""Train on the past, forecast what follows, again and again: forecasts that no row of their own fold has shaped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ShapeError
from gwt_lab.models.folds import Fold, Rows, any_known, fit_folds, plan_folds
from gwt_lab.models.lightgbm_model import LightGBMModel, LightGBMParams
from gwt_lab.validation.splits import PurgedWalkForward

__all__ = ["fold_frame", "walk_forward"]


def walk_forward(
    features: pd.DataFrame,
    label: pd.Series,
    splitter: PurgedWalkForward,
    params: LightGBMParams | None = None,
    *,
    n_jobs: int | None = None,
    progress: Any = None,
) -> pd.DataFrame:
    """Return out-of-sample forecasts of every test block.

    Parameters
    ----------
    features : DataFrame of shape (n_rows, n_features)
        Index (datetime, instrument). Rows in which every feature is NaN are no rows: they are neither trained on nor
        forecast.
    label : Series of shape (n_rows,)
        Same index. It chooses training rows (those that have one) and nothing else: test rows are never picked,
        clipped or filled by their label.
    splitter : PurgedWalkForward
        Its `purged_size` must cover the label's horizon.
    params : LightGBMParams, optional
    n_jobs : int, optional
        Folds fitted at once, one thread each; one a core by default.
    progress : Progress, optional
        Advanced by one a fold.

    Returns
    -------
    DataFrame of shape (n_test_rows, 2)
        Columns forecast and fold (from 0), same index, ordered as `features`.

    Raises
    ------
    ShapeError
        If the indexes differ.
    DataError
        If a fold has nothing to train on.
    """
    if not features.index.equals(label.index):
        raise ShapeError(f"features and label must have the same index, got {len(features)} and {len(label)} rows")
    values, target = features.to_numpy(dtype=np.float32), label.to_numpy(dtype=np.float64)
    rows = Rows(values, features.index, target, any_known(values), list(features.columns))
    folds = plan_folds(rows, splitter)

    def fit(train: np.ndarray) -> Any:
        model = LightGBMModel(params).fit_rows(rows.values, rows.target, train, rows.names)
        return lambda block, _: model.predict_rows(block)

    return fold_frame(rows, folds, fit_folds(rows, folds, fit, n_jobs=n_jobs, progress=progress))


def fold_frame(rows: Rows, folds: list[Fold], forecasts: list[np.ndarray]) -> pd.DataFrame:
    """Return the folds' forecasts as one frame with columns forecast and fold, fold after fold."""
    parts = [
        pd.DataFrame({"forecast": found, "fold": fold.number}, index=rows.index[fold.test])
        for fold, found in zip(folds, forecasts, strict=True)
    ]
    return pd.concat(parts)
