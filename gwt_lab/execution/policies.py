"""A learned policy as plain arrays: inference needs NumPy alone, and a file of it is one JSON document."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gwt_lab.errors import DataError, ShapeError
from gwt_lab.execution.core import ACTIONS, FEATURES, ExecutionState, ExecutionTask, Orders, observe, orders_of

__all__ = ["NetworkPolicy"]

_FORMAT = "gwt_lab execution policy 1"


@dataclass(frozen=True, eq=False)
class NetworkPolicy:
    """A multilayer perceptron that scores the actions; the best score is taken.

    Parameters
    ----------
    weights, biases : tuple of ndarray
        One pair a layer, float64; `weights[k]` has shape (outputs, inputs). tanh between the layers.
    name : str
        Label in tables.
    """

    weights: tuple[npt.NDArray[np.float64], ...]
    biases: tuple[npt.NDArray[np.float64], ...]
    name: str = "PPO"

    def __post_init__(self) -> None:
        sizes = [len(FEATURES), *(len(bias) for bias in self.biases)]
        for layer, (weight, fan_in, fan_out) in enumerate(zip(self.weights, sizes[:-1], sizes[1:], strict=True)):
            if weight.shape != (fan_out, fan_in):
                raise ShapeError(f"layer {layer} of the policy must have shape {(fan_out, fan_in)}, got {weight.shape}")
        if sizes[-1] != len(ACTIONS):
            raise ShapeError(f"the policy must score {len(ACTIONS)} actions, got {sizes[-1]}")

    def scores(self, observation: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the score of each action, shape (n, 5), for observations of shape (n, 13)."""
        hidden = np.asarray(observation, dtype=np.float64)
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = hidden @ weight.T + bias
            hidden = hidden if layer == last else np.tanh(hidden)
        return hidden

    def predict(self, observation: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the best action for observations of shape (n, 13), shape (n,)."""
        best: npt.NDArray[np.int64] = np.argmax(self.scores(observation), axis=-1)
        return best

    def __call__(self, task: ExecutionTask, state: ExecutionState) -> Orders:
        """Return the orders of every row at this decision."""
        return orders_of(task, state, self.predict(observe(task, state)))

    def save(self, path: Path | str) -> Path:
        """Write the policy as one JSON document and return its place."""
        document = {
            "format": _FORMAT,
            "name": self.name,
            "features": FEATURES,
            "actions": ACTIONS,
            "weights": [weight.tolist() for weight in self.weights],
            "biases": [bias.tolist() for bias in self.biases],
        }
        place = Path(path)
        place.write_text(json.dumps(document) + "\n", encoding="utf-8")
        return place

    @classmethod
    def load(cls, path: Path | str) -> NetworkPolicy:
        """Read a policy that `save` wrote.

        Raises
        ------
        DataError
            If the file is no policy, or one of other features or actions.
        """
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
            told = (document["format"], tuple(document["features"]), tuple(document["actions"]))
            layers = [
                tuple(np.array(part, dtype=np.float64) for part in document[key]) for key in ("weights", "biases")
            ]
            name = str(document["name"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is no execution policy ({error!r}): save one with NetworkPolicy.save") from None
        if told != (_FORMAT, FEATURES, ACTIONS):
            raise DataError(f"{path} holds a policy of other features or actions than this version's: train it again")
        return cls(layers[0], layers[1], name)
