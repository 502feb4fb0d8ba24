"""LightGBM with fixed settings, the same result every time, and a text file instead of a pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, DataError, MissingExtraError, NotFittedError, ShapeError

__all__ = ["LightGBMModel", "LightGBMParams"]

_FORMAT, _VERSION = "gwt_lab.lightgbm", 1
_OBJECTIVES = ("binary", "regression")


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
    """

    objective: str = "binary"
    n_trees: int = 100
    num_leaves: int = 15
    learning_rate: float = 0.05
    min_data_in_leaf: int = 200
    feature_fraction: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.objective not in _OBJECTIVES:
            raise ConfigError(f"objective must be one of {', '.join(_OBJECTIVES)}, got {self.objective!r}")
        for name, least in (("n_trees", 1), ("num_leaves", 2), ("min_data_in_leaf", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 < self.feature_fraction <= 1 or not self.learning_rate > 0:
            raise ConfigError("feature_fraction must lie above 0 and up to 1, and learning_rate above 0")

    def to_lightgbm(self) -> dict[str, Any]:
        """Return LightGBM's own parameters: one thread and fixed orders, so that equal seeds give equal trees."""
        return {
            "objective": self.objective,
            "num_leaves": self.num_leaves,
            "learning_rate": self.learning_rate,
            "min_data_in_leaf": self.min_data_in_leaf,
            "feature_fraction": self.feature_fraction,
            "seed": self.seed,
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
            If no row has a label, or all labels are equal.
        """
        lightgbm = _lightgbm()
        if not X.index.equals(y.index):
            raise ShapeError(f"X and y must have the same index, got {len(X)} and {len(y)} rows: reindex y like X")
        labelled = y.notna().to_numpy()
        target = y.to_numpy(dtype=np.float64)[labelled]
        if not len(target) or target.min() == target.max():
            what = "no row" if not len(target) else f"every row ({len(target)}) has label {target[0]:g} and none"
            raise DataError(f"{what} has a label to learn from: training needs at least two different labels")
        self.feature_names_ = [str(name) for name in X.columns]
        data = lightgbm.Dataset(X.to_numpy(dtype=np.float32)[labelled], target)
        self.booster_ = lightgbm.train(self.params.to_lightgbm(), data, num_boost_round=self.params.n_trees)
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
        booster = self._fitted()
        missing = [name for name in self.feature_names_ if name not in X.columns]
        if missing:
            raise DataError(
                f"the model needs the features {', '.join(self.feature_names_[:5])}, ... ({len(self.feature_names_)}); "
                f"{', '.join(missing[:5])} missing of the {len(X.columns)} columns given"
            )
        table = X[self.feature_names_].to_numpy(dtype=np.float32)
        values = booster.predict(table, num_threads=1) if len(table) else np.empty(0)
        return pd.Series(values, index=X.index, name="forecast")

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
        if not trees.startswith("tree\n") or "end of trees" not in trees:
            raise DataError("the model document holds no complete trees: it was cut or changed; train it again")
        lightgbm = _lightgbm()
        try:
            model.booster_ = lightgbm.Booster(model_str=trees)
        except lightgbm.basic.LightGBMError as error:
            raise DataError(f"the model document's trees cannot be read ({error}): train it again") from None
        if model.booster_.num_feature() != len(model.feature_names_):
            raise DataError(
                f"the model document names {len(model.feature_names_)} features, its trees use "
                f"{model.booster_.num_feature()}: it was changed; train it again"
            )
        return model

    def _fitted(self) -> Any:
        if not hasattr(self, "booster_"):
            raise NotFittedError("the LightGBM model was asked for forecasts before it was trained: call fit(X, y)")
        return self.booster_

    def _names(self) -> list[str]:
        self._fitted()
        return list(self.feature_names_)


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError:
        raise MissingExtraError("lightgbm", "core") from None
    return lightgbm
