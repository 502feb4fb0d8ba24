"""A second model on the first ones' forecasts: few numbers, learnt on rows that no member was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gwt_lab.errors import DataError

__all__ = ["Stack", "fit_stack"]

_LEAST = 1e-6
_RIDGE = 1.0


@dataclass(frozen=True)
class Stack:
    """Weights of the members' log odds, or of their forecast returns.

    Parameters
    ----------
    weights : ndarray of shape (n_members,)
    intercept : float
    probabilities : bool
    """

    weights: np.ndarray
    intercept: float
    probabilities: bool

    def predict(self, forecasts: np.ndarray) -> np.ndarray:
        """Return the stacked forecast of each row of shape (n_rows, n_members); NaN where any member's is."""
        table = _log_odds(forecasts) if self.probabilities else forecasts
        score = (table * self.weights).sum(axis=1) + self.intercept
        found: np.ndarray = 1 / (1 + np.exp(-score)) if self.probabilities else score
        return found

    def document(self) -> dict[str, Any]:
        """Return the stack as JSON."""
        return {"weights": self.weights.tolist(), "intercept": self.intercept, "probabilities": self.probabilities}

    @classmethod
    def from_document(cls, document: dict[str, Any], n_members: int) -> Stack:
        """Return the stack that `document` describes.

        Raises
        ------
        DataError
            If it is for another number of members.
        """
        weights = np.array(document["weights"], dtype=np.float64)
        if weights.shape != (n_members,):
            raise DataError(f"the stack has {weights.size} weights for {n_members} members: train it again")
        return cls(weights, float(document["intercept"]), bool(document["probabilities"]))


def fit_stack(forecasts: np.ndarray, earned: np.ndarray, probabilities: bool) -> Stack:
    """Return the stack of out-of-fold forecasts.

    Parameters
    ----------
    forecasts : ndarray of shape (n_rows, n_members)
        Of rows that no member was trained on.
    earned : ndarray of shape (n_rows,)
        What came.
    probabilities : bool

    Raises
    ------
    DataError
        If fewer than ten rows have all there is to know, or all went one way.
    """
    known = np.isfinite(forecasts).all(axis=1) & np.isfinite(earned) & (earned != 0)
    table, earned = forecasts[known], earned[known]
    rises = earned > 0
    if len(table) < 10 or rises.all() or not rises.any():
        raise DataError(f"a stack needs ten rows or more with rises and falls, got {len(table)} rows: use more folds")
    if probabilities:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=1 / _RIDGE, max_iter=1000).fit(_log_odds(table), rises)
        return Stack(model.coef_[0].astype(np.float64), float(model.intercept_[0]), True)
    from sklearn.linear_model import Ridge

    scale = float(table.std()) or 1.0  # the penalty is in units of the forecasts, not of 1e-3 returns
    fitted = Ridge(alpha=_RIDGE).fit(table / scale, earned / scale)
    return Stack(fitted.coef_.astype(np.float64), float(fitted.intercept_ * scale), False)


def _log_odds(forecasts: np.ndarray) -> np.ndarray:
    sure = np.clip(forecasts, _LEAST, 1 - _LEAST)
    odds: np.ndarray = np.log(sure / (1 - sure))
    return odds
