"""Several signal generators as one: a weighted mean, or a stack fitted on out-of-fold forecasts alone."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, DataError, NotFittedError
from gwt_lab.models.drift import RetrainVerdict
from gwt_lab.models.labels import label_known_ns
from gwt_lab.models.model_file import read_model_file, write_model_file
from gwt_lab.models.scores import score_forecasts
from gwt_lab.models.settings import threshold_of
from gwt_lab.models.signal_generator import QlibSignalGenerator, only_symbol
from gwt_lab.models.signals import latest, signals_of
from gwt_lab.models.stacking import Stack, fit_stack

__all__ = ["EnsembleSignalGenerator"]


class EnsembleSignalGenerator:
    """Forecast with several generators.

    Parameters
    ----------
    generators : sequence of QlibSignalGenerator
        Trained or not; all of one label, horizon and kind of forecast.
    weights : sequence of float, optional
        One for each generator, summing to 1; equal by default.
    stacking : bool, default False
        Learn how to combine them instead (a logistic regression of the members' log odds, a ridge regression of
        forecast returns), from forecasts of rows that no member was trained on.
    threshold : float, default 0.6
        As in `QlibSignalGenerator`.

    Attributes
    ----------
    forecasts_ : DataFrame
        Out-of-sample forecasts of the ensemble: columns forecast, fold and earned.
    report_ : dict
        What `train` returned.

    Raises
    ------
    ConfigError
        If the weights do not match or do not sum to 1, or the generators ask different questions.

    Examples
    --------
    >>> e = EnsembleSignalGenerator(generators=[a, b, c], weights=[0.3, 0.3, 0.4])
    >>> e.train(bars)["val_accuracy"]
    """

    def __init__(
        self,
        generators: Sequence[QlibSignalGenerator],
        weights: Sequence[float] | None = None,
        *,
        stacking: bool = False,
        threshold: float = 0.6,
    ) -> None:
        self.generators = _members(generators)
        self.threshold = threshold_of(threshold)
        questions = {generator.question for generator in self.generators}
        if len(questions) > 1:
            listed = "; ".join(sorted(str(question) for question in questions))
            raise ConfigError(f"the generators of an ensemble must ask one question, got {listed}")
        if stacking and weights is not None:
            raise ConfigError(f"a stack learns its weights, got weights={list(weights)}: leave one of the two away")
        self.weights = _weights(weights, len(self.generators))
        self.stacking = bool(stacking)
        self.question = self.generators[0].question

    # ------------------------------------------------------------------------------------------ train
    def train(self, data: Any, symbol: str | None = None, *, n_jobs: int | None = None) -> dict[str, Any]:
        """Train every member on the same data, then judge the ensemble on the rows that all have forecast.

        Returns
        -------
        dict
            The scores of `QlibSignalGenerator.train` for the ensemble, without dates, and `members`: the members'
            own `val_accuracy` and `rank_ic`. A stack is judged as it would have been used: fitted on the rows of
            earlier folds whose labels were known before the fold begins, so its first fold is not scored.
        """
        reports = [generator.train(data, symbol, n_jobs=n_jobs) for generator in self.generators]
        table = self._out_of_fold()
        members = [f"member {place}" for place in range(len(self.generators))]
        if self.stacking:
            found = _stacked_walk(table, members, self.question.probabilities)
            self.stack_ = fit_stack(table[members].to_numpy(), table["earned"].to_numpy(), self.question.probabilities)
        else:
            found = pd.Series(table[members].to_numpy() @ self.weights, index=table.index)
        self.forecasts_ = table.assign(forecast=found)[["forecast", "fold", "earned"]]
        self.report_ = self._scores(self.forecasts_) | {
            "folds": [
                {"fold": int(number)} | self._scores(part)
                for number, part in self.forecasts_.dropna(subset="forecast").groupby("fold")
            ],
            "members": [{name: report[name] for name in ("val_accuracy", "rank_ic")} for report in reports],
            "symbols": reports[0]["symbols"],
            "timeframe": reports[0]["timeframe"],
            "data_hash": reports[0]["data_hash"],
            "train_end": reports[0]["train_end"],
        }
        return dict(self.report_)

    def _out_of_fold(self) -> pd.DataFrame:
        """Return the members' out-of-fold forecasts side by side, for rows that all of them forecast."""
        frames = [generator.forecasts_ for generator in self.generators]
        if any(not frame.index.is_unique for frame in frames):
            raise DataError("an ensemble needs splits that test each row once, such as PurgedWalkForward")
        columns = {f"member {place}": frame["forecast"] for place, frame in enumerate(frames)}
        table = pd.concat(columns, axis=1, join="inner")
        if not len(table):
            raise DataError("the members' folds share no row: give them splits that test the same dates")
        times = table.index.get_level_values(0).as_unit("ns").asi8
        table["known_ns"] = label_known_ns(times, self.generators[0].timeframe_, self.question.horizon)
        return table.join(frames[0][["fold", "earned"]])

    def _scores(self, frame: pd.DataFrame) -> dict[str, Any]:
        scores = score_forecasts(
            frame["forecast"].to_numpy(),
            frame["earned"].to_numpy(),
            frame.index,
            probabilities=self.question.probabilities,
            horizon=self.question.horizon,
        )
        renamed = ("accuracy", "accuracy_low", "accuracy_high")
        return {f"val_{name}" if name in renamed else name: value for name, value in scores.items()}

    # ------------------------------------------------------------------------------------------ predict
    @property
    def lookback(self) -> int:
        """Bars that a forecast needs: the longest lookback of the members."""
        return max(generator.features.lookback for generator in self.generators)

    def predict(self, data: Any, symbol: str | None = None) -> pd.DataFrame:
        """Return the forecast of every bar, as `QlibSignalGenerator.predict` does; NaN where any member has none."""
        self._fitted()
        frames = [generator.predict(data, symbol) for generator in self.generators]
        return self._combined(frames)

    def predict_latest(self, data: Any, symbol: str | None = None) -> dict[str, Any]:
        """Return the forecast of the last bar of one symbol, as `QlibSignalGenerator.predict_latest` does."""
        self._fitted()
        views = [generator._checked(data, symbol) for generator in self.generators]
        name = only_symbol(views[0], symbol)
        frames = [
            generator._forecast(generator.features.newest(bars)).xs(name, level="instrument", drop_level=False).tail(1)
            for generator, bars in zip(self.generators, views, strict=True)
        ]
        frame = self._combined(frames)
        sizes = np.concatenate([generator._sizes() for generator in self.generators])
        return latest(frame, name, self.question.column, sizes)

    def _combined(self, frames: list[pd.DataFrame]) -> pd.DataFrame:
        column = self.question.column
        table = np.column_stack([frame[column].to_numpy() for frame in frames])
        if self.stacking:
            found = self.stack_.predict(table)
        else:
            found = (table * self.weights).sum(axis=1)
        signals = signals_of(found, self.threshold, probabilities=self.question.probabilities)
        return pd.DataFrame({column: found, "signal": signals}, index=frames[0].index)

    def needs_retraining(
        self, data: Any, *, challenger: EnsembleSignalGenerator | None = None, **rules: Any
    ) -> RetrainVerdict:
        """Return whether any member should be trained again, with the reasons of all; see `needs_retraining`.

        Raises
        ------
        ConfigError
            If `challenger` is no ensemble of as many members: each is held against its own.
        """
        n = len(self.generators)
        if challenger is not None and len(getattr(challenger, "generators", [])) != n:
            raise ConfigError(f"the challenger of an ensemble must be an ensemble of {n} members, got {challenger!r}")
        others = [None] * n if challenger is None else challenger.generators
        verdicts = [
            generator.needs_retraining(data, challenger=other, **rules)
            for generator, other in zip(self.generators, others, strict=True)
        ]
        reasons = [f"member {place}: {why}" for place, verdict in enumerate(verdicts) for why in verdict.reasons]
        return RetrainVerdict(bool(reasons), reasons, {"members": [verdict.figures for verdict in verdicts]})

    # ------------------------------------------------------------------------------------------ files
    def save_model(self, path: str | os.PathLike[str]) -> Path:
        """Write all members, weights and the stack as one JSON document.

        Raises
        ------
        NotFittedError
            If a member was not trained.
        ConfigError
            If a member's model cannot be written as text.
        """
        self._fitted()
        content = {
            "generator": "EnsembleSignalGenerator",
            "members": [generator.document() for generator in self.generators],
            "weights": self.weights.tolist(),
            "stack": self.stack_.document() if self.stacking else None,
            "threshold": self.threshold,
            "report": getattr(self, "report_", None),
        }
        return write_model_file(content, path)

    @classmethod
    def load_model(cls, path: str | os.PathLike[str], *, features: Any = None) -> EnsembleSignalGenerator:
        """Read a model file.

        Parameters
        ----------
        path : path-like
        features : sequence, optional
            One entry a member: the extractor it was trained on, or None.

        Raises
        ------
        DataError
            As `QlibSignalGenerator.load_model`.
        """
        content = read_model_file(path)
        if content.get("generator") != "EnsembleSignalGenerator":
            raise DataError(f"the model file holds a {content.get('generator')}: load it with its own class")
        try:
            documents = content["members"]
            given = _extractors(features, len(documents))
            members = [
                QlibSignalGenerator.from_document(document, features=extractor)
                for document, extractor in zip(documents, given, strict=True)
            ]
            stack = content["stack"]
            ensemble = cls(
                members,
                None if stack is not None else content["weights"],
                stacking=stack is not None,
                threshold=content["threshold"],
            )
            if stack is not None:
                ensemble.stack_ = Stack.from_document(stack, len(members))
            if content.get("report") is not None:
                ensemble.report_ = dict(content["report"])
        except (KeyError, TypeError, ConfigError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"the document of the ensemble is incomplete ({error!r}): train it again") from None
        return ensemble

    def _fitted(self) -> None:
        for generator in self.generators:
            generator._fitted()
        if self.stacking and not hasattr(self, "stack_"):
            raise NotFittedError("the stack was asked before it was trained: call train(data)")

    def __repr__(self) -> str:
        how = "stacked" if self.stacking else "weights " + ", ".join(f"{weight:g}" for weight in self.weights)
        return f"EnsembleSignalGenerator({len(self.generators)} generators, {how})"


def _members(generators: Any) -> list[QlibSignalGenerator]:
    given = list(generators) if isinstance(generators, Iterable) else [generators]
    others = [type(item).__name__ for item in given if not isinstance(item, QlibSignalGenerator)]
    if others or not isinstance(generators, Iterable):
        got = ", ".join(others) or "one alone"
        raise ConfigError(f"generators must be a list of QlibSignalGenerator, got {got}: pass [first, second, ...]")
    if not given:
        raise ConfigError("an ensemble needs at least one generator, got none")
    return given


def _extractors(features: Any, n: int) -> list[Any]:
    if features is None:
        return [None] * n
    if isinstance(features, (str, bytes)) or not isinstance(features, Sequence) or len(features) != n:
        raise DataError(f"features must be a list of {n}, the extractor of each member or None, got {features!r}")
    return list(features)


def _weights(weights: Sequence[float] | None, n: int) -> np.ndarray:
    if weights is None:
        return np.full(n, 1 / n)
    try:
        values = [float(weight) for weight in weights]
    except (TypeError, ValueError):
        raise ConfigError(f"weights must be {n} numbers, one a generator, got {weights!r}") from None
    if len(values) != n:
        raise ConfigError(f"an ensemble of {n} generators needs {n} weights, got {len(values)}: {values}")
    if any(not math.isfinite(value) or value < 0 for value in values):
        raise ConfigError(f"weights must be numbers of at least 0, got {values}")
    if not math.isclose(sum(values), 1, abs_tol=1e-6):
        raise ConfigError(f"weights must sum to 1, got {values}, which sum to {sum(values):g}: divide them by it")
    return np.array(values)


def _stacked_walk(table: pd.DataFrame, members: list[str], probabilities: bool) -> pd.Series:
    """Return stacked forecasts of each fold but the first, each from a stack fitted on labels known before it."""
    found = pd.Series(np.nan, index=table.index)
    numbers = np.sort(table["fold"].unique())
    times = table.index.get_level_values(0).as_unit("ns").asi8
    for number in numbers[1:]:
        here = (table["fold"] == number).to_numpy()
        before = ((table["fold"] < number) & (table["known_ns"] < times[here].min())).to_numpy()
        if before.any():
            part = table[before]
            stack = fit_stack(part[members].to_numpy(), part["earned"].to_numpy(), probabilities)
            found[here] = stack.predict(table.loc[here, members].to_numpy())
    return found
