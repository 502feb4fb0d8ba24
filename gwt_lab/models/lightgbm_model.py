"""LightGBM with fixed settings, the same result every time, and a text file instead of a pickle."""

from __future__ import annotations

import json
import math
from concurrent.futures import CancelledError
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import partial
from threading import Event
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, DataError, MissingExtraError, NotFittedError, ShapeError
from gwt_lab.models.settings import number, whole_number

__all__ = ["STOP", "LightGBMModel", "LightGBMParams", "booster_from_text", "take_rows"]

_FORMAT, _VERSION = "gwt_lab.lightgbm", 1
# set in the thread of a fit: what tells it to stop
STOP: ContextVar[Event | None] = ContextVar("STOP", default=None)
_OBJECTIVES = ("binary", "regression")
_LARGEST = 2**31 - 1  # LightGBM's whole numbers have 32 bits
_WHOLE = {
    "n_trees": (1, _LARGEST),
    "num_leaves": (2, 131_072),
    "min_data_in_leaf": (1, _LARGEST),
    "seed": (0, _LARGEST),
    "max_depth": (-1, _LARGEST),
}
_NUMBERS = {
    "learning_rate": (0.0, math.inf, True),
    "feature_fraction": (0.0, 1.0, True),
    "lambda_l1": (0.0, math.inf, False),
    "lambda_l2": (0.0, math.inf, False),
}


@dataclass(frozen=True)
class LightGBMParams:
    """Settings of the trees; the defaults are cautious, since most of a price panel is noise.

    Parameters
    ----------
    objective : {"binary", "regression"}
    n_trees, num_leaves : int
    learning_rate : float
    min_data_in_leaf : int
        Rows a leaf needs at least.
    feature_fraction : float
        Share of features each tree may use.
    seed : int
    max_depth : int
        -1 leaves depth to `num_leaves`.
    lambda_l1, lambda_l2 : float
        Penalties on the leaves' values.

    Raises
    ------
    ConfigError
        If a setting is of another kind or out of range.
    """

    objective: str = "binary"
    n_trees: int = 100
    num_leaves: int = 15
    learning_rate: float = 0.05
    min_data_in_leaf: int = 200
    feature_fraction: float = 0.8
    seed: int = 0
    max_depth: int = -1
    lambda_l1: float = 0.0
    lambda_l2: float = 0.0

    def __post_init__(self) -> None:
        if self.objective not in _OBJECTIVES:
            raise ConfigError(f"objective must be one of {', '.join(_OBJECTIVES)}, got {self.objective!r}")
        for name, (least, most) in _WHOLE.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least, most))
        for name, (low, high, above) in _NUMBERS.items():
            object.__setattr__(self, name, number(name, getattr(self, name), low, high, above=above))

    def to_lightgbm(self) -> dict[str, Any]:
        """Return LightGBM's own parameters: one thread and fixed orders, so that equal seeds give equal trees."""
        return {
            "objective": self.objective,
            "num_leaves": self.num_leaves,
            "learning_rate": self.learning_rate,
            "min_data_in_leaf": self.min_data_in_leaf,
            "feature_fraction": self.feature_fraction,
            "seed": self.seed,
            "max_depth": self.max_depth,
            "lambda_l1": self.lambda_l1,
            "lambda_l2": self.lambda_l2,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }


class LightGBMModel:
    """Gradient-boosted trees from features to a forecast.

    Parameters
    ----------
    params : LightGBMParams, optional
        Settings; never changed by fitting.

    Attributes
    ----------
    feature_names_ : list of str
        Columns the model was trained on, in order.
    booster_ : lightgbm.Booster
        The fitted trees.
    """

    def __init__(self, params: LightGBMParams | None = None) -> None:
        if params is not None and not isinstance(params, LightGBMParams):
            raise ConfigError(f"params must be LightGBMParams(num_leaves=7, ...), got {type(params).__name__}")
        self.params = params or LightGBMParams()

    def __repr__(self) -> str:
        state = f"{len(self.feature_names_)} features" if hasattr(self, "booster_") else "not fitted"
        return f"LightGBMModel({self.params}, {state})"

    def fit(self, X: pd.DataFrame, y: pd.Series) -> LightGBMModel:
        """Train on the rows that have a label.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_features)
            NaN is a value of its own to the trees.
        y : Series of shape (n_rows,)
            Labels of the same rows; 0 or 1 for objective binary. Rows with NaN are left out.

        Raises
        ------
        ShapeError
            If the indexes differ.
        DataError
            If X is no frame of numbers with names of their own or y no Series of numbers, no row has a label, all
            labels are equal, or a label is infinite, or neither 0 nor 1 for objective binary.
        """
        _refuse_others(X, y)
        if not X.index.equals(y.index):
            raise ShapeError(f"X and y must have the same index, got {len(X)} and {len(y)} rows: reindex y like X")
        try:
            values, target = X.to_numpy(dtype=np.float32), y.to_numpy(dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"features and labels must be numbers ({error}): leave out or encode the others") from None
        return self.fit_rows(values, target, np.flatnonzero(~np.isnan(target)), list(X.columns))

    def fit_rows(self, values: np.ndarray, target: np.ndarray, rows: np.ndarray, names: list[str]) -> LightGBMModel:
        """Train on some rows of a matrix; rows that follow each other are not copied.

        Parameters
        ----------
        values : ndarray of shape (n_rows, n_features)
            float32, rows one after another in memory.
        target : ndarray of shape (n_rows,)
            Labels.
        rows : ndarray of int
            Which rows, increasing; each needs a label.
        names : list of str
            The features' names.

        Raises
        ------
        DataError
            If there is no row, all labels are equal, or a label is infinite, or neither 0 nor 1 for objective binary.
        """
        chosen = target[rows]
        if not len(chosen) or chosen.min() == chosen.max():
            what = f"every row ({len(chosen)}) has label {chosen[0]:g}" if len(chosen) else "no row has a label"
            raise DataError(f"{what}: training needs at least two different labels, so pass more bars")
        wrong = chosen[~np.isin(chosen, (0, 1)) if self.params.objective == "binary" else ~np.isfinite(chosen)]
        if len(wrong):
            wanted = "0 or 1 for objective='binary'" if self.params.objective == "binary" else "finite"
            raise DataError(f"labels must be {wanted}, got {wrong[0]:g} among {len(chosen)}: make them so, or NaN")
        lightgbm = _lightgbm()
        self.feature_names_ = [str(name) for name in names]
        settings = self.params.to_lightgbm()
        data = lightgbm.Dataset(take_rows(values, rows), chosen, params=settings)
        asked = STOP.get()
        callbacks = None if asked is None else [partial(_stop, asked)]
        self.booster_ = lightgbm.train(settings, data, num_boost_round=self.params.n_trees, callbacks=callbacks)
        return self

    def predict(self, X: pd.DataFrame) -> pd.Series:
        """Return a forecast per row: the probability of label 1, or the expected label for objective regression.

        Raises
        ------
        NotFittedError
            If the model was not fitted.
        DataError
            If a feature is missing; the message names it.
        """
        return pd.Series(self.predict_rows(self._table(X)), index=X.index, name="forecast")

    def _table(self, X: pd.DataFrame) -> np.ndarray:
        """Return the model's features of a frame, in their order."""
        self._fitted()
        if not isinstance(X, pd.DataFrame):
            raise DataError(f"X must be a DataFrame of the features that were trained on, got {type(X).__name__}")
        missing = [name for name in self.feature_names_ if name not in X.columns]
        if missing:
            raise DataError(
                f"the model needs the features {', '.join(self.feature_names_[:5])}, ... ({len(self.feature_names_)}); "
                f"{', '.join(missing[:5])} missing of the {len(X.columns)} columns given"
            )
        table = X if list(X.columns) == self.feature_names_ else X[self.feature_names_]
        return np.asarray(table.to_numpy(dtype=np.float32))

    def predict_rows(self, values: np.ndarray) -> np.ndarray:
        """Return a forecast per row of a float32 matrix whose columns are the model's features, in their order."""
        booster = self._fitted()
        return np.asarray(booster.predict(values, num_threads=1)) if len(values) else np.empty(0)

    def contributions(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return what each feature adds to each forecast, in LightGBM's own accounting (Shapley values of the trees).

        Returns
        -------
        DataFrame of shape (n_rows, n_features + 1)
            A column a feature and ``(expected)``; a row sums to the raw forecast: the log odds for objective binary.

        Raises
        ------
        NotFittedError, DataError
            As `predict`.
        """
        table = self._table(X)
        columns = [*self.feature_names_, "(expected)"]
        if not len(table):
            return pd.DataFrame(np.empty((0, len(columns))), index=X.index, columns=columns)
        found = self._fitted().predict(table, pred_contrib=True, num_threads=1)
        return pd.DataFrame(found, index=X.index, columns=columns)

    def importance(self) -> pd.Series:
        """Return the total gain of each feature's splits, largest first."""
        gain = self._fitted().feature_importance("gain")
        return pd.Series(gain, index=self.feature_names_, name="gain").sort_values(ascending=False)

    def to_text(self) -> str:
        """Return the model as one JSON document: settings, feature names and LightGBM's own text."""
        return json.dumps(
            {
                "format": _FORMAT,
                "version": _VERSION,
                "params": asdict(self.params),
                "features": self._names(),
                "trees": self._fitted().model_to_string(),
            },
            indent=1,
        )

    @classmethod
    def from_text(cls, text: str) -> LightGBMModel:
        """Read what :meth:`to_text` wrote; nothing in it is executed.

        Raises
        ------
        DataError
            If the text is something else.
        """
        try:
            document = json.loads(text)
            if (document["format"], document["version"]) != (_FORMAT, _VERSION):
                raise DataError(
                    f"a model document of {_FORMAT} version {_VERSION} was wanted, got {document['format']} version "
                    f"{document['version']}: train it again"
                )
            model = cls(LightGBMParams(**document["params"]))
            model.feature_names_ = [str(name) for name in document["features"]]
            trees = str(document["trees"])
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"this is no model document of {_FORMAT}: {error!r}; write one with to_text()") from None
        model.booster_ = booster_from_text(trees, len(model.feature_names_))
        return model

    def _fitted(self) -> Any:
        if not hasattr(self, "booster_"):
            raise NotFittedError("the LightGBM model was asked for forecasts before it was trained: call fit(X, y)")
        return self.booster_

    def _names(self) -> list[str]:
        self._fitted()
        return list(self.feature_names_)


def _stop(asked: Event, _: Any) -> None:
    """Leave a fit between two trees if that was asked for: LightGBM itself does not hear an interrupt in a thread."""
    if asked.is_set():
        raise CancelledError


def _refuse_others(X: Any, y: Any) -> None:
    if not isinstance(X, pd.DataFrame) or not isinstance(y, pd.Series):
        raise DataError(f"X must be a DataFrame and y a Series, got {type(X).__name__} and {type(y).__name__}")
    if not len(X.columns) or not X.columns.is_unique:
        raise DataError(f"X must have columns with names of their own, got {', '.join(map(str, X.columns)) or 'none'}")


def booster_from_text(trees: str, n_features: int) -> Any:
    """Return LightGBM's booster from its own text.

    Raises
    ------
    DataError
        If the text is cut or damaged, or its trees use another number of features.
    """
    if not trees.startswith("tree\n") or "end of trees" not in trees:
        raise DataError("the model document holds no complete trees: it was cut or changed; train it again")
    lightgbm = _lightgbm()
    try:
        booster = lightgbm.Booster(model_str=trees)
    except lightgbm.basic.LightGBMError as error:
        raise DataError(f"the model document's trees cannot be read ({error}): train it again") from None
    if booster.num_feature() != n_features:
        raise DataError(
            f"the model document names {n_features} features, its trees use {booster.num_feature()}: it was changed; "
            "train it again"
        )
    return booster


def take_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return some rows of a matrix: a view if they follow each other, else a copy of the same type."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows) and (len(rows) < 2 or (np.diff(rows) == 1).all()):
        return np.asarray(values[rows[0] : rows[-1] + 1])
    return np.asarray(values[rows])


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError:
        raise MissingExtraError("lightgbm", "core") from None
    return lightgbm
