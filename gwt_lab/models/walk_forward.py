"""Train on the past, forecast what follows, again and again: forecasts that no row of their own fold has shaped."""

from __future__ import annotations

from typing import Any

import pandas as pd

from gwt_lab.errors import DataError, ShapeError
from gwt_lab.models.lightgbm_model import LightGBMModel, LightGBMParams
from gwt_lab.validation.splits import PurgedWalkForward

__all__ = ["walk_forward"]


def walk_forward(
    features: pd.DataFrame,
    label: pd.Series,
    splitter: PurgedWalkForward,
    params: LightGBMParams | None = None,
    *,
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
    there = features.notna().any(axis=1).to_numpy()
    features, label = features[there], label[there]
    if not len(features):
        raise DataError("every feature of every row is NaN: the bars are shorter than the features' warm-up")
    parts = []
    for fold, (train, test) in enumerate(splitter.split(features)):
        if not len(train):
            raise DataError(f"fold {fold} has no row to train on: pass more bars or fewer splits")
        model = LightGBMModel(params).fit(features.iloc[train], label.iloc[train])
        forecast = model.predict(features.iloc[test])
        parts.append(pd.DataFrame({"forecast": forecast, "fold": fold}))
        if progress is not None:
            progress.advance()
    return pd.concat(parts)
