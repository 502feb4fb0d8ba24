"""Train qlib's own models through qlib's own loader and `DatasetH`, on an exported provider of our bars."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.data.qlib_export import export_qlib
from gwt_lab.errors import ConfigError, DataError
from gwt_lab.market.bars import Bars
from gwt_lab.models.forecasters import EnsembleTrees, Forecaster, LinearWeights, TextTrees, XGBoostTrees
from gwt_lab.models.qlib_session import qlib_session, require_qlib
from gwt_lab.models.training import Table

__all__ = ["SAVABLE", "fit_qlib", "forecasts_probabilities"]

SAVABLE = ("LGBModel", "XGBModel", "LinearModel", "DEnsembleModel")
_VALID_SHARE = 0.2  # of the training dates, the last ones: what qlib's models stop early on


def forecasts_probabilities(model: Any) -> bool:
    """Return whether a qlib model forecasts the probability of a rise; else it forecasts the return.

    Raises
    ------
    ConfigError
        If it is no qlib model object.
    MissingExtraError
        If qlib is not installed.
    """
    require_qlib()
    from qlib.model.base import Model

    if not isinstance(model, Model):
        raise ConfigError(
            f"model must be a qlib model object such as qlib.contrib.model.gbdt.LGBModel(), got {type(model).__name__}"
        )
    params = getattr(model, "params", None) or getattr(model, "_params", None) or {}
    return isinstance(params, dict) and str(params.get("objective", "")).startswith("binary")


def fit_qlib(model: Any, bars: Bars, table: Table) -> Callable[[np.ndarray], Forecaster]:
    """Return a function that trains a copy of a qlib model on some rows of the table.

    qlib's own expression engine computes the features, from a provider that is exported for it; the labels are the
    table's. The last fifth of the training dates, less those whose labels reach into it, is qlib's segment `valid`.

    Raises
    ------
    ConfigError
        If the training rows are not all rows between two dates, which qlib's segments are.
    """
    raw, codes = _load(bars, table)

    def fit(train: np.ndarray) -> Forecaster:
        segments, span = _segments(table, train)
        with _quiet_session(bars) as _:
            return _fit_one(copy.deepcopy(model), raw, segments, span, (table.rows.names, codes))

    return fit


def _load(bars: Bars, table: Table) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return qlib's features with our labels, indexed (naive datetime, instrument code), and the codes."""
    from qlib.contrib.data.loader import Alpha158DL
    from qlib.data.dataset.loader import QlibDataLoader

    fields, names = Alpha158DL.get_feature_config()
    picked = [names.index(name) for name in table.rows.names]
    wanted = ([fields[place] for place in picked], table.rows.names)
    with tempfile.TemporaryDirectory() as folder:
        export = export_qlib(bars, Path(folder) / "provider", empty_rows=False)
        with qlib_session(export.folder):
            loader = QlibDataLoader(config={"feature": wanted}, freq=export.freq)
            raw = loader.load("all").astype(np.float32)
    codes = dict(export.codes)
    labels = pd.Series(np.where(table.rows.usable, table.rows.target, np.nan), index=table.rows.index)
    labels = labels[labels.index.get_level_values(1).isin(codes)]
    times = labels.index.get_level_values(0).tz_localize(None)
    symbols = labels.index.get_level_values(1).map(codes)
    labels.index = pd.MultiIndex.from_arrays([times, symbols], names=raw.index.names)
    raw[("label", "LABEL0")] = labels.reindex(raw.index)
    return raw, codes
