"""Fitted models that can be saved: from a row of features to a forecast, with nothing but numbers and text inside."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError, MissingExtraError
from gwt_lab.models.lightgbm_model import LightGBMModel, booster_from_text

__all__ = [
    "EnsembleTrees",
    "Forecaster",
    "LinearWeights",
    "RobustScaler",
    "TextTrees",
    "Trees",
    "XGBoostTrees",
    "forecaster_from_document",
]


class Forecaster(Protocol):
    """What a signal generator needs of a fitted model."""

    @property
    def kind(self) -> str:
        """Name of the kind of model, as model files say it."""

    def predict(self, values: np.ndarray, index: pd.MultiIndex) -> np.ndarray:
        """Return a forecast for each row of a float32 matrix."""

    def importance(self) -> np.ndarray | None:
        """Return a number for each feature, or None where the model has none."""

    def document(self) -> dict[str, Any]:
        """Return the model as JSON."""


@dataclass(frozen=True)
class Trees:
    """Our own LightGBM model."""

    model: LightGBMModel
    kind: str = "lightgbm"

    def predict(self, values: np.ndarray, index: pd.MultiIndex) -> np.ndarray:
        """Return the forecast of each row."""
        return self.model.predict_rows(values)

    def importance(self) -> np.ndarray | None:
        """Return the gain of each feature's splits."""
        return np.asarray(self.model.booster_.feature_importance("gain"))

    def document(self) -> dict[str, Any]:
        """Return the model as JSON: LightGBM's own text and our settings."""
        document: dict[str, Any] = json.loads(self.model.to_text())
        return document


@dataclass(frozen=True)
class TextTrees:
    """A LightGBM booster that somebody else trained (qlib's LGBModel)."""

    booster: Any
    kind: str = "qlib.LGBModel"

    def predict(self, values: np.ndarray, index: pd.MultiIndex) -> np.ndarray:
        """Return the forecast of each row."""
        return np.asarray(self.booster.predict(values, num_threads=1)) if len(values) else np.empty(0)

    def importance(self) -> np.ndarray | None:
        """Return the gain of each feature's splits."""
        return np.asarray(self.booster.feature_importance("gain"))

    def document(self) -> dict[str, Any]:
        """Return LightGBM's own text."""
        return {"trees": self.booster.model_to_string()}


@dataclass(frozen=True)
class XGBoostTrees:
    """An XGBoost booster (qlib's XGBModel)."""

    booster: Any
    n_features: int
    kind: str = "qlib.XGBModel"

    def predict(self, values: np.ndarray, index: pd.MultiIndex) -> np.ndarray:
        """Return the forecast of each row."""
        if not len(values):
            return np.empty(0)
        return np.asarray(self.booster.inplace_predict(values), dtype=np.float64)

    def importance(self) -> np.ndarray | None:
        """Return the total gain of each feature's splits."""
        gain = self.booster.get_score(importance_type="total_gain")
        return np.array([gain.get(f"f{place}", 0.0) for place in range(self.n_features)])

    def document(self) -> dict[str, Any]:
        """Return XGBoost's own JSON."""
        trees = json.loads(bytes(self.booster.save_raw("json")))
        return {"trees": json.dumps(trees), "n_features": self.n_features}


@dataclass(frozen=True)
class RobustScaler:
    """qlib's robust scaling: features less their median, over 1.4826 times their median absolute deviation.

    Parameters
    ----------
    center, scale : ndarray of shape (n_features,)
        Of the training rows. Scaled features are cut at 3, and a missing one is 0.
    """

    center: np.ndarray
    scale: np.ndarray

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Return the scaled features, float64."""
        with np.errstate(invalid="ignore", over="ignore"):
            table = np.clip((values.astype(np.float64) - self.center) / self.scale, -3, 3)
        return np.where(np.isnan(table), 0.0, table)

    def document(self) -> dict[str, Any]:
        """Return the scaler as JSON."""
        return {"kind": "robust", "center": self.center.tolist(), "scale": self.scale.tolist(), "clip": 3}


@dataclass(frozen=True)
class LinearWeights:
    """A linear model behind qlib's robust scaling (qlib's LinearModel).

    Parameters
    ----------
    weights : ndarray of shape (n_features,)
    intercept : float
    scaler : RobustScaler
    """

    weights: np.ndarray
    intercept: float
    scaler: RobustScaler
    kind: str = "qlib.LinearModel"

    def predict(self, values: np.ndarray, index: pd.MultiIndex) -> np.ndarray:
        """Return the forecast of each row."""
        # row by row the same sum, however many rows there are: a matrix product may order it otherwise
        return np.asarray((self.scaler.scaled(values) * self.weights).sum(axis=1) + self.intercept)

    def importance(self) -> np.ndarray | None:
        """Return the size of the weights: features are scaled, so they compare."""
        return np.asarray(np.abs(self.weights))

    def document(self) -> dict[str, Any]:
        """Return the weights and the scaler."""
        return {
            "weights": self.weights.tolist(),
            "intercept": self.intercept,
            "scaler": self.scaler.document(),
        }


@dataclass(frozen=True)
class EnsembleTrees:
    """LightGBM boosters on parts of the features, averaged (qlib's DEnsembleModel)."""

    boosters: list[Any]
    columns: list[list[int]]
    shares: list[float]
    n_features: int
    kind: str = "qlib.DEnsembleModel"

    def predict(self, values: np.ndarray, index: pd.MultiIndex) -> np.ndarray:
        """Return the forecast of each row."""
        total = np.zeros(len(values))
        if len(values):
            for booster, columns, share in zip(self.boosters, self.columns, self.shares, strict=True):
                total += share * booster.predict(np.ascontiguousarray(values[:, columns]), num_threads=1)
        return np.asarray(total / sum(self.shares))

    def importance(self) -> np.ndarray | None:
        """Return the weighted gain of each feature's splits."""
        total = np.zeros(self.n_features)
        for booster, columns, share in zip(self.boosters, self.columns, self.shares, strict=True):
            total[columns] += share * booster.feature_importance("gain")
        return total

    def document(self) -> dict[str, Any]:
        """Return LightGBM's own text of each booster, its columns and its share."""
        return {
            "trees": [booster.model_to_string() for booster in self.boosters],
            "columns": self.columns,
            "shares": self.shares,
            "n_features": self.n_features,
        }


# ------------------------------------------------------------------------------------------------ reading
def forecaster_from_document(kind: str, document: dict[str, Any], n_features: int) -> Forecaster:
    """Return the model that a document describes.

    Raises
    ------
    DataError
        If the kind is unknown, or the model does not fit the number of features.
    """
    if kind not in _READERS:
        raise DataError(f"a model of kind {kind!r} is unknown; there are {', '.join(_READERS)}")
    try:
        return _READERS[kind](document, n_features)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"the document of a model of kind {kind} is incomplete ({error!r}): train it again") from None


def _read_trees(document: dict[str, Any], n_features: int) -> Forecaster:
    model = LightGBMModel.from_text(json.dumps(document))
    if len(model.feature_names_) != n_features:
        raise DataError(f"the trees use {len(model.feature_names_)} features, the model file names {n_features}")
    return Trees(model)


def _read_text_trees(document: dict[str, Any], n_features: int) -> Forecaster:
    return TextTrees(booster_from_text(document["trees"], n_features))


def _read_xgboost(document: dict[str, Any], n_features: int) -> Forecaster:
    try:
        import xgboost
    except ImportError:
        raise MissingExtraError("xgboost", "qlib") from None
    # one thread: a row's forecast must not wait for cores that others use
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(document["trees"].encode()))
    except xgboost.core.XGBoostError as error:
        raise DataError(f"the document's trees cannot be read ({str(error)[:80]}): train the model again") from None
    return XGBoostTrees(booster, n_features)


def _read_linear(document: dict[str, Any], n_features: int) -> Forecaster:
    scaler = document["scaler"]
    arrays = [np.array(item, dtype=np.float64) for item in (document["weights"], scaler["center"], scaler["scale"])]
    if {array.shape for array in arrays} != {(n_features,)}:
        raise DataError(f"a linear model of {n_features} features was wanted, got {[a.shape for a in arrays]}")
    return LinearWeights(arrays[0], float(document["intercept"]), RobustScaler(arrays[1], arrays[2]))


def _read_ensemble(document: dict[str, Any], n_features: int) -> Forecaster:
    columns = [[int(place) for place in places] for places in document["columns"]]
    boosters = [booster_from_text(text, len(places)) for text, places in zip(document["trees"], columns, strict=True)]
    shares = [float(share) for share in document["shares"]]
    if len(shares) != len(boosters) or any(not 0 <= place < n_features for places in columns for place in places):
        raise DataError("the document's boosters, columns and shares do not match: train the model again")
    return EnsembleTrees(boosters, columns, shares, n_features)


_READERS: dict[str, Callable[[dict[str, Any], int], Forecaster]] = {
    "lightgbm": _read_trees,
    "qlib.LGBModel": _read_text_trees,
    "qlib.XGBModel": _read_xgboost,
    "qlib.LinearModel": _read_linear,
    "qlib.DEnsembleModel": _read_ensemble,
}
