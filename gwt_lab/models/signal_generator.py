"""`QlibSignalGenerator`: bars in, validated forecasts out; saved as one JSON document."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, DataError, NotFittedError
from gwt_lab.kinds import is_whole
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.market.time import timeframe_ns
from gwt_lab.models.drift import drift_reference
from gwt_lab.models.feature_set import feature_set
from gwt_lab.models.folds import fit_folds, plan_folds
from gwt_lab.models.forecasters import Forecaster
from gwt_lab.models.lightgbm_model import LightGBMParams
from gwt_lab.models.model_file import write_model_file
from gwt_lab.models.restore import generator_document, package_versions, restore_generator
from gwt_lab.models.settings import threshold_of
from gwt_lab.models.signals import latest, signals_of
from gwt_lab.models.training import LABELS, Question, fit_lightgbm, make_table, training_report, usable_rows
from gwt_lab.models.walk_forward import fold_frame
from gwt_lab.progress import progress
from gwt_lab.validation.splits import PurgedWalkForward

__all__ = ["ALIASES", "QlibSignalGenerator", "bars_of", "default_splits", "only_symbol"]

# names that scikit-learn's users know
ALIASES = {"n_estimators": "n_trees", "random_state": "seed", "min_child_samples": "min_data_in_leaf"}


class QlibSignalGenerator:
    """Forecast the next bars from Alpha158 and say how good such forecasts were.

    Parameters
    ----------
    model : optional
        A qlib model object (``qlib.contrib.model.gbdt.LGBModel(...)``), trained through qlib's own `DatasetH`; by
        default LightGBM on one matrix in memory.
    label : {"direction", "relative"}
        Whether the symbol rises, or whether it beats the mean of all symbols, from the next open on. Direction labels
        are shared by all symbols of a market, which flatters: see `docs/models.md`.
    horizon : int, default 1
        Bars from the open after the decision to the open at which the label ends.
    features : sequence of str or AlphaFeatureExtractor, optional
        Columns of Alpha158, or an extractor; all 158 columns by default.
    splits : splitter, optional
        Which dates test which; by default five blocks of `PurgedWalkForward`, purged by ``1 + horizon`` bars and as
        many more for an embargo.
    threshold : float, default 0.6
        The signal is 1 from this probability on, -1 up to ``1 - threshold``, and 0 between. Forecasts of returns give
        their sign.
    **params
        Fields of `LightGBMParams` (`n_estimators`, `random_state` and `min_child_samples` are taken too), such as
        ``num_leaves=31, seed=1``; ``objective="regression"`` forecasts the return itself.

    Attributes
    ----------
    forecasts_ : DataFrame
        Out-of-sample forecasts of the folds: columns forecast, fold and earned, what came.
    report_ : dict
        What `train` returned.

    Raises
    ------
    ConfigError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> g = QlibSignalGenerator(num_leaves=31)
    >>> g.train(frame, "BTC/USDT")["val_accuracy"]
    >>> g.save_model("models/m.json")
    >>> QlibSignalGenerator.load_model("models/m.json").predict_latest(frame, "BTC/USDT")
    """

    def __init__(
        self,
        model: Any = None,
        *,
        label: str = "direction",
        horizon: int = 1,
        features: Any = None,
        splits: Any = None,
        threshold: float = 0.6,
        **params: Any,
    ) -> None:
        if label not in LABELS:
            raise ConfigError(f"label must be one of {', '.join(LABELS)}, got {label!r}")
        if not is_whole(horizon) or horizon < 1:
            raise ConfigError(f"horizon must be a whole number of bars, at least 1, got {horizon!r}")
        if splits is not None and (isinstance(splits, str) or not hasattr(splits, "split")):
            raise ConfigError(f"splits must be a splitter such as PurgedWalkForward(5, purged_size=2), got {splits!r}")
        self.model = model
        self.threshold = threshold_of(threshold)
        self.params = _params(params, model)
        probabilities = self.params.objective == "binary" if model is None else _forecasts_probabilities(model)
        self.question = Question(label, int(horizon), probabilities)
        self.splits = splits if splits is not None else default_splits(int(horizon))
        self.features = feature_set(features, as_qlib=model is not None)

    # ------------------------------------------------------------------------------------------ train
    def train(self, data: Any, symbol: str | None = None, *, n_jobs: int | None = None) -> dict[str, Any]:
        """Validate by walk-forward folds, then train on everything.

        Parameters
        ----------
        data : Bars, or anything `as_bars` takes
            One symbol or many; one model learns from all of them.
        symbol : str, optional
            Name of the symbol of an OHLCV frame, or the one symbol of `data` to train on.
        n_jobs : int, optional
            Fits at once, one thread each; one a core by default.

        Returns
        -------
        dict
            Plain values. Out of sample, over all test rows: `val_accuracy` with `val_accuracy_low` and
            `val_accuracy_high`, `base_rate`, `ic`, `rank_ic`, `auc`, `log_loss`, `brier`, `calibration_error`,
            `calibration`, `n_rows`, `n_times` (see `score_forecasts`); `folds` has the same for each fold with its
            dates. Further `n_train`, `n_features`, `symbols`, `timeframe`, `label`, `horizon`, `data_hash`,
            `train_start`, `train_end`, `seconds`.

        Raises
        ------
        DataError
            If there are too few bars, or one class is all there is.
        CausalityError
            If `splits` leaves labels in training that reach into a test block.
        """
        begun = time.perf_counter()
        bars = bars_of(data, symbol)
        table = make_table(bars, self.features, self.question)
        folds = plan_folds(table.rows, self.splits, table.known_ns)
        index = table.rows.index
        kept: list[Forecaster] = []
        fit = self._fit(bars, table)

        def fit_fold(train: np.ndarray) -> Any:
            forecaster = fit(train)
            return lambda values, rows: forecaster.predict(values, index[rows])

        with progress(f"train {self.question.label}", len(folds) + 1) as line:
            one_by_one = 1 if self.model is not None else n_jobs  # qlib keeps its state in one place
            forecasts = fit_folds(
                table.rows, folds, fit_fold, whole=lambda rows: kept.append(fit(rows)), n_jobs=one_by_one, progress=line
            )
        self.forecaster_ = kept[0]
        self.feature_names_ = table.rows.names
        self.forecasts_ = fold_frame(table.rows, folds, forecasts)
        self.forecasts_["earned"] = np.concatenate([table.earned[fold.test] for fold in folds])
        self.reference_ = drift_reference(table.rows, self.forecaster_, self.forecasts_["forecast"].to_numpy())
        self.versions_ = package_versions()
        self.timeframe_, self.symbols_ = bars.timeframe, sorted(bars.symbols)
        self.report_ = training_report(table, folds, forecasts, self.question) | {
            "n_features": len(table.rows.names),
            "symbols": self.symbols_,
            "timeframe": bars.timeframe,
            "label": self.question.label,
            "horizon": self.question.horizon,
            "data_hash": bars.content_hash,
            "train_start": str(bars.index[0]),
            "train_end": str(bars.index[-1]),
            "seconds": time.perf_counter() - begun,
        }
        return dict(self.report_)

    def _fit(self, bars: Bars, table: Any) -> Any:
        if self.model is None:
            if getattr(self, "forecaster_", None) is not None and self.forecaster_.kind != "lightgbm":
                raise ConfigError(
                    f"a loaded model of kind {self.forecaster_.kind} is trained again with its qlib model object: "
                    "QlibSignalGenerator(model=...).train(data)"
                )
            return fit_lightgbm(table, self.params)
        from gwt_lab.models.qlib_training import fit_qlib

        return fit_qlib(self.model, bars, table)

    # ------------------------------------------------------------------------------------------ predict
    def predict(self, data: Any, symbol: str | None = None) -> pd.DataFrame:
        """Return the forecast of every bar.

        Parameters
        ----------
        data : Bars, or anything `as_bars` takes
        symbol : str, optional
            Name of the symbol of an OHLCV frame, or the one symbol whose forecasts are wanted.

        Returns
        -------
        DataFrame
            Columns probability (or forecast) and signal (1, 0, -1); index (datetime, instrument), or datetime where
            `symbol` was given. NaN and 0 where the symbol has no bar, and in the first ``lookback - 1`` rows.

        Raises
        ------
        NotFittedError
            If it was not trained.
        DataError
            If columns are missing, the timeframe is another one, or there are fewer bars than the lookback.
        """
        bars = self._checked(data, symbol)
        frame = self._forecast(bars)
        return frame if symbol is None else frame.xs(only_symbol(bars, symbol), level="instrument")

    def predict_latest(self, data: Any, symbol: str | None = None) -> dict[str, Any]:
        """Return the forecast of the last bar of one symbol; only the last `lookback` bars are looked at.

        Returns
        -------
        dict
            symbol, timestamp (open time of the last bar), signal (1, 0, -1), probability (or forecast), confidence (0
            to 1: how far the probability lies from one half, or the share of past forecasts that were smaller). NaN
            and 0 where the symbol has no bar.

        Raises
        ------
        As `predict`; and DataError if there are several symbols and none is named.
        """
        bars = self._checked(data, symbol)
        name = only_symbol(bars, symbol)
        frame = self._forecast(self.features.newest(bars))
        return latest(frame, name, self.question.column, self._sizes())

    def _forecast(self, bars: Bars) -> pd.DataFrame:
        if len(self.symbols_) == 1 and bars.n_symbols > 1:  # trained on a symbol's own rows, asked about them
            return pd.concat([self._forecast(bars.select(symbol)) for symbol in bars.symbols]).sort_index()
        features = self._features(bars)
        values = features.to_numpy(dtype=np.float32)
        usable = usable_rows(bars, self.features, values)
        found = np.full(len(values), np.nan)
        whole = bool(usable.all())
        found[usable] = self.forecaster_.predict(
            values if whole else values[usable], features.index if whole else features.index[usable]
        )
        signals = signals_of(found, self.threshold, probabilities=self.question.probabilities)
        return pd.DataFrame({self.question.column: found, "signal": signals}, index=features.index)

    def _features(self, bars: Bars) -> pd.DataFrame:
        features = self.features.compute(bars)
        missing = [name for name in self.feature_names_ if name not in features.columns]
        if missing:
            raise DataError(
                f"the model was trained on {len(self.feature_names_)} features; {', '.join(missing[:5])} missing of "
                f"the {len(features.columns)} that {self.features.source} gives now: train it again"
            )
        same = list(features.columns) == self.feature_names_
        return features if same else features[self.feature_names_]

    def _sizes(self) -> np.ndarray:
        return np.asarray(self.reference_["forecast_sizes"])

    def contributions(self, data: Any, symbol: str | None = None) -> pd.DataFrame:
        """Return what each feature adds to each forecast, by LightGBM's own accounting.

        Returns
        -------
        DataFrame of shape (n_rows, n_features + 1)
            A row sums to the raw forecast (log odds for probabilities); rows without forecast are left out.

        Raises
        ------
        ConfigError
            If the model is not our own LightGBM.
        """
        bars = self._checked(data, symbol)
        if self.forecaster_.kind != "lightgbm":
            raise ConfigError(f"contributions are LightGBM's, the model is of kind {self.forecaster_.kind}")
        features = self._features(bars)
        usable = usable_rows(bars, self.features, features.to_numpy(dtype=np.float32))
        found: pd.DataFrame = self.forecaster_.model.contributions(features[usable])  # type: ignore[attr-defined]
        return found if symbol is None else found.xs(only_symbol(bars, symbol), level="instrument")

    def importance(self) -> pd.Series:
        """Return a number for each feature, largest first: gain of the splits, or size of the weights."""
        found = self._fitted().forecaster_.importance()
        if found is None:
            raise ConfigError(f"a model of kind {self.forecaster_.kind} has no importances")
        return pd.Series(found, index=self.feature_names_, name="importance").sort_values(ascending=False)

    # ------------------------------------------------------------------------------------------ drift
    def needs_retraining(self, data: Any, **rules: Any) -> Any:
        """Return whether the model should be trained again, with the reasons; see `needs_retraining` in `drift`."""
        from gwt_lab.models.drift import needs_retraining

        return needs_retraining(self, data, **rules)

    # ------------------------------------------------------------------------------------------ files
    def save_model(self, path: str | os.PathLike[str]) -> Path:
        """Write the model as one JSON document, whatever the file is called, and return where.

        Raises
        ------
        NotFittedError
            If it was not trained.
        ConfigError
            If the model is of a kind that can be studied, not promoted.
        """
        return write_model_file(self.document(), path)

    def document(self) -> dict[str, Any]:
        """Return what a model file holds."""
        return generator_document(self._fitted())

    @classmethod
    def load_model(cls, path: str | os.PathLike[str], *, features: Any = None) -> QlibSignalGenerator:
        """Read a model file.

        Parameters
        ----------
        path : path-like
        features : AlphaFeatureExtractor, optional
            The extractor the model was trained on, if it was one: code is never loaded from a file.

        Raises
        ------
        DataError
            If the file is no model document: another schema, a changed byte, a pickle, joblib, torch or zip file.
        """
        from gwt_lab.models.model_file import read_model_file

        return cls.from_document(read_model_file(path), features=features)

    @classmethod
    def from_document(cls, document: dict[str, Any], *, features: Any = None) -> QlibSignalGenerator:
        """Return the generator that `document` describes."""
        return restore_generator(cls, document, features)

    # ------------------------------------------------------------------------------------------ checks
    def _fitted(self) -> QlibSignalGenerator:
        if not hasattr(self, "forecaster_"):
            raise NotFittedError(
                "the signal generator was asked before it was trained: call train(data), or load_model(path)"
            )
        return self

    def _checked(self, data: Any, symbol: str | None) -> Bars:
        """Return the bars to forecast, all symbols for a model of several; refuse what it was not trained for."""
        self._fitted()
        # features count the rows in which any symbol traded: what one symbol's are depends on who stands beside it
        bars = bars_of(data, symbol, alone=len(self.symbols_) == 1)
        if timeframe_ns(bars.timeframe) != timeframe_ns(self.timeframe_):
            raise DataError(
                f"the model was trained on bars of {self.timeframe_}, got bars of {bars.timeframe}: resample them, or "
                "train another model"
            )
        if bars.n_times < self.features.lookback:
            raise DataError(
                f"a forecast needs {self.features.lookback} bars (the features' lookback), got {bars.n_times}: pass a "
                "longer history"
            )
        return bars

    def __repr__(self) -> str:
        question = f"label={self.question.label!r}, horizon={self.question.horizon}, {self.features.source}"
        if not hasattr(self, "forecaster_"):
            return f"QlibSignalGenerator({question}, not trained)"
        return (
            f"QlibSignalGenerator({question}, {self.forecaster_.kind} on {len(self.symbols_)} symbols of "
            f"{self.timeframe_} to {self.report_['train_end'][:16]})"
        )


def default_splits(horizon: int, n_splits: int = 5) -> PurgedWalkForward:
    """Return test blocks, purged by the label and kept apart by as many bars again."""
    return PurgedWalkForward(n_splits, purged_size=1 + horizon, embargo_size=1 + horizon)


def bars_of(data: Any, symbol: str | None, *, alone: bool = True) -> Bars:
    """Return `data` as bars, cut to `symbol` where one is named and `alone`."""
    bars = as_bars(data, symbol=symbol)
    return bars.select(symbol) if alone and symbol is not None and bars.n_symbols > 1 else bars


def only_symbol(bars: Bars, symbol: str | None) -> str:
    """Return the symbol asked for, or the only one there is."""
    if symbol is None:
        if bars.n_symbols > 1:
            raise DataError(f"the bars have {bars.n_symbols} symbols: name the one that is wanted")
        return bars.symbols[0]
    return symbol if symbol in bars.symbols else bars.select(symbol).symbols[0]


def _params(params: dict[str, Any], model: Any) -> LightGBMParams:
    named = {ALIASES.get(name, name): value for name, value in params.items()}
    if model is not None and named:
        raise ConfigError(f"settings of a qlib model belong to the model itself, got {', '.join(params)}")
    unknown = sorted(set(named) - set(LightGBMParams.__dataclass_fields__))
    if len(named) < len(params):
        raise ConfigError(f"a setting was given twice, under two names: {', '.join(params)}")
    if unknown:
        known = ", ".join(LightGBMParams.__dataclass_fields__)
        raise ConfigError(f"QlibSignalGenerator has no setting {', '.join(unknown)}; trees have {known}")
    return LightGBMParams(**named)


def _forecasts_probabilities(model: Any) -> bool:
    from gwt_lab.models.qlib_training import forecasts_probabilities

    return forecasts_probabilities(model)
