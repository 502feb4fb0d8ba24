"""Train qlib's own models through qlib's own loader and `DatasetH`, on an exported provider of our bars."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.data.qlib_export import export_qlib
from gwt_lab.errors import ConfigError, DataError
from gwt_lab.market.bars import Bars
from gwt_lab.models.forecasters import (
    EnsembleTrees,
    Forecaster,
    LinearWeights,
    RobustScaler,
    TextTrees,
    XGBoostTrees,
)
from gwt_lab.models.qlib_session import qlib_session, quiet_recorder, require_qlib
from gwt_lab.models.training import Table

__all__ = ["SAVABLE", "StudiedModel", "fit_qlib", "forecasts_probabilities"]

SAVABLE = ("LGBModel", "XGBModel", "LinearModel", "DEnsembleModel")
_TREES = ("LGBModel", "XGBModel", "DEnsembleModel")  # they take missing and unscaled features as they are
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
        fitted = _copy(model)
        whole = type(model).__name__ == "LinearModel"  # it never looks at `valid`
        segments = _segments(table, train, whole)
        scaler = None if type(model).__name__ in _TREES else _scaler(raw, segments["train"])
        dataset = _dataset(raw, segments, scaler)
        with quiet_recorder():
            _call_fit(fitted, dataset)
        return _forecaster(fitted, table.rows.names, scaler, codes)

    return fit


def _copy(model: Any) -> Any:
    """Return an unfitted copy; qlib's own copying leaves private attributes, such as XGBModel's settings, behind."""
    other = object.__new__(type(model))
    other.__dict__.update(copy.deepcopy(model.__dict__))
    return other


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


def _segments(table: Table, train: np.ndarray, whole: bool) -> dict[str, tuple[pd.Timestamp, pd.Timestamp]]:
    """Return qlib's segments: training dates, and the last fifth of them to stop on."""
    times = table.rows.index.get_level_values(0).asi8
    first, last = times[train].min(), times[train].max()
    labelled = table.rows.labelled
    if ((times[labelled] >= first) & (times[labelled] <= last)).sum() != len(train):
        raise ConfigError(
            "a qlib model trains on all rows between two dates, these splits leave some out: use PurgedWalkForward"
        )
    dates = np.unique(times[train])
    if whole:
        return {"train": _stamps(dates[0], dates[-1])}
    cut = dates[int(len(dates) * (1 - _VALID_SHARE))]
    known = np.unique(times[train][table.known_ns[train] < cut])
    if not len(known):
        raise DataError(f"{len(dates)} training dates are too few for qlib's segments train and valid: pass more bars")
    return {"train": _stamps(known[0], known[-1]), "valid": _stamps(cut, dates[-1])}


def _stamps(first: int, last: int) -> tuple[pd.Timestamp, pd.Timestamp]:
    return pd.Timestamp(first), pd.Timestamp(last)


def _scaler(raw: pd.DataFrame, span: tuple[pd.Timestamp, pd.Timestamp]) -> RobustScaler:
    """Return qlib's robust scaler, fitted by qlib on the training dates."""
    from qlib.data.dataset.processor import RobustZScoreNorm

    processor = RobustZScoreNorm(fit_start_time=span[0], fit_end_time=span[1], fields_group="feature")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        processor.fit(raw)
    center, scale = (np.asarray(array, dtype=np.float64) for array in (processor.mean_train, processor.std_train))
    # a feature without any value, or with infinite ones in the middle, says nothing: it is 0 for every row
    dead = ~(np.isfinite(center) & np.isfinite(scale))
    return RobustScaler(np.where(dead, 0.0, center), np.where(dead, 1e300, scale))


def _dataset(raw: pd.DataFrame, segments: dict[str, Any], scaler: RobustScaler | None) -> Any:
    """Return qlib's dataset over the loaded frame: scaled where the model needs it, rows without label dropped."""
    from qlib.data.dataset import DatasetH
    from qlib.data.dataset.handler import DataHandlerLP
    from qlib.data.dataset.loader import StaticDataLoader

    frame = raw
    if scaler is not None:
        frame = raw.copy()
        frame["feature"] = scaler.scaled(raw["feature"].to_numpy()).astype(np.float32)
    learn = [{"class": "DropnaLabel"}] if ("label", "LABEL0") in frame.columns else []
    handler = DataHandlerLP(data_loader=StaticDataLoader(frame), infer_processors=[], learn_processors=learn)
    return DatasetH(handler, segments)


def _call_fit(model: Any, dataset: Any) -> None:
    """Fit with qlib's own call, on one thread where the model takes such a setting, and without its printing."""
    if type(model).__name__ in ("LGBModel", "DEnsembleModel"):
        model.params = {"num_threads": 1, "verbosity": -1, "seed": 0, "deterministic": True} | model.params
    if type(model).__name__ == "XGBModel":
        model._params = {"nthread": 1, "verbosity": 0} | model._params
    accepted = inspect.signature(model.fit).parameters
    quiet: dict[str, Any] = {"verbose_eval": 0} if "verbose_eval" in accepted else {}
    if type(model).__name__ == "XGBModel":
        quiet = {"verbose_eval": False, "evals_result": {}}
    state = np.random.get_state()  # noqa: NPY002 - DoubleEnsemble draws from NumPy's global generator
    np.random.seed(0)  # noqa: NPY002
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            # DoubleEnsemble writes into a column in a way that pandas 3 no longer has
            warnings.simplefilter("ignore", pd.errors.ChainedAssignmentError)
            model.fit(dataset, **quiet)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}, {error}"
        name = type(model).__name__
        raise DataError(f"qlib's {name} could not be trained, by its settings or data: {why}") from error
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _forecaster(model: Any, names: list[str], scaler: RobustScaler | None, codes: dict[str, str]) -> Forecaster:
    """Return what a fitted qlib model is to us: text and numbers where we know how, else the model itself."""
    kind = type(model).__name__
    if kind == "LGBModel":
        return TextTrees(model.model)
    if kind == "XGBModel":
        model.model.set_param({"nthread": 1})
        return XGBoostTrees(model.model, len(names))
    if kind == "LinearModel" and scaler is not None:
        return LinearWeights(np.asarray(model.coef_, dtype=np.float64), float(model.intercept_), scaler)
    if kind == "DEnsembleModel":
        columns = [[names.index(name) for name in picked] for picked in model.sub_features]
        shares = [float(share) for share in model.sub_weights]
        return EnsembleTrees(list(model.ensemble), columns, shares, len(names))
    return StudiedModel(model, names, scaler, codes, f"qlib.{kind}")


@dataclass(frozen=True)
class StudiedModel:
    """A qlib model that we cannot write as text: it forecasts in this process, through qlib, and is not saved."""

    model: Any
    names: list[str]
    scaler: RobustScaler | None
    codes: dict[str, str]
    kind: str

    def predict(self, values: np.ndarray, index: pd.MultiIndex) -> np.ndarray:
        """Return the forecast of each row, by qlib's own `predict`."""
        if not len(values):
            return np.empty(0)
        times = index.get_level_values(0).tz_localize(None)
        symbols = index.get_level_values(1).map(lambda symbol: self.codes.get(symbol, symbol))
        place = pd.MultiIndex.from_arrays([times, symbols], names=["datetime", "instrument"])
        columns = pd.MultiIndex.from_product([["feature"], self.names])
        frame = pd.DataFrame(values, index=place, columns=columns)
        dataset = _dataset(frame, {"test": (times.min(), times.max())}, self.scaler)
        with quiet_recorder():
            found = self.model.predict(dataset, segment="test")
        return np.asarray(found.reindex(place).to_numpy(dtype=np.float64))

    def importance(self) -> np.ndarray | None:
        """Return None: nothing is known of the model's inside."""
        return None

    def document(self) -> dict[str, Any]:
        """Refuse.

        Raises
        ------
        ConfigError
            Always.
        """
        raise ConfigError(
            f"a model of kind {self.kind} can be studied, not promoted: it cannot be written as text; "
            f"{', '.join(SAVABLE)} and our own LightGBM can"
        )
