"""Features, a LightGBM model and ranks: buy what is forecast to beat the others, sell what is forecast to lag."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import pandas as pd

from gwt_lab.allocation.signal_rules import rank_weights, rebalance_rows
from gwt_lab.errors import ConfigError
from gwt_lab.features.alpha158 import ALPHA158_LOOKBACK, alpha158
from gwt_lab.graph.build import graph_lookback
from gwt_lab.graph.features import graph_features
from gwt_lab.market.bars import Bars
from gwt_lab.market.time import timeframe_ns, timestamp
from gwt_lab.models.labels import relative_direction
from gwt_lab.models.lightgbm_model import LightGBMModel, LightGBMParams
from gwt_lab.strategies.base import Strategy
from gwt_lab.strategies.clock import Bar, BarState

__all__ = ["ForecastRank", "train_forecast_rank"]

MODEL_FILE = "model.txt"


@dataclass(frozen=True)
class ForecastRank(Strategy):
    """Equal weights on the best forecasts and, unless long only, against the worst; gross exposure 1.

    Parameters
    ----------
    every : int
        Bars between two rebalances, counted from 1970; held in between.
    share : float
        Part of the symbols on each side.
    long_only : bool
        Leave out the short side.
    alpha_columns : tuple of str
        Alpha158 features the model sees; none if empty.
    graph_window, graph_step : int
        Bars per market graph and between two graphs; a window of 0 leaves the graph out.
    trained_to : str
        Open time (ISO, UTC) of the last bar the model was trained on.
    model : str
        The trained model, as `LightGBMModel.to_text` writes it.

    Raises
    ------
    ConfigError
        If a setting is out of range or there is no model.
    """

    every: int = 24
    share: float = 0.25
    long_only: bool = False
    alpha_columns: tuple[str, ...] = ()
    graph_window: int = 168
    graph_step: int = 24
    trained_to: str = ""
    model: str = field(default="", repr=False)
    name: ClassVar[str] = "forecast_rank"

    def __post_init__(self) -> None:
        if not self.model or not self.trained_to:
            raise ConfigError("forecast_rank needs a trained model: make one with train_forecast_rank(bars)")
        if self.every < 1 or self.graph_step < 1 or self.graph_window < 0:
            raise ConfigError(
                f"every and graph_step must be at least 1 bar and graph_window at least 0, got {self.every}, "
                f"{self.graph_step}, {self.graph_window}"
            )
        if not self.alpha_columns and not self.graph_window:
            raise ConfigError("forecast_rank needs features: name alpha_columns or give a graph_window")
        rank_weights(np.empty((0, 2)), long_only=self.long_only, share=self.share)

    # ------------------------------------------------------------------------------------------ what it says of itself
    @property
    def lookback(self) -> int:
        """The longer memory of both kinds of features."""
        alpha = ALPHA158_LOOKBACK if self.alpha_columns else 1
        return max(alpha, graph_lookback(self.graph_window, self.graph_step) if self.graph_window else 1)

    @property
    def trained_until(self) -> pd.Timestamp:
        """Open time of the last bar the model was trained on."""
        return timestamp(self.trained_to)

    def every_bar(self) -> ForecastRank:
        """Return the same logic, rebalancing at every bar."""
        return replace(self, every=1)

    def texts(self) -> dict[str, str]:
        """Return the model by its file name."""
        return {MODEL_FILE: self.model}

    @classmethod
    def _text_fields(cls) -> dict[str, str]:
        return {MODEL_FILE: "model"}

    # ------------------------------------------------------------------------------------------ decide
    def forecast(self, bars: Bars) -> pd.DataFrame:
        """Return the model's forecast, shape (n_times, n_symbols); NaN where no feature is known."""
        features = self._features(bars)
        return pd.Series(self._predict(features), index=features.index).unstack("instrument")[bars.symbols]

    def weights(self, bars: Bars) -> pd.DataFrame:
        """Return target weights; NaN (hold) off the rebalance grid, in the warm-up and where nothing can be ranked.

        The warm-up are the first ``lookback - 1`` rows: half-known features decide nothing.
        """
        ranked = rank_weights(self.forecast(bars).to_numpy(), long_only=self.long_only, share=self.share)
        ranked[~rebalance_rows(bars.index, bars.timeframe, self.every)] = np.nan
        ranked[: self.lookback - 1] = np.nan
        return pd.DataFrame(ranked, index=bars.index, columns=bars.close.columns)

    def last_weights(self, state: BarState) -> np.ndarray:
        """Return the last row of `weights`; the model is asked about that row alone."""
        if len(state.times_ns) < self.lookback:
            return np.full(len(state.symbols), np.nan)
        bars = state.bars()
        features = self._features(bars).iloc[-bars.n_symbols :]
        values = self._predict(features)
        # the long frame sorts names within a time
        order = np.array([sorted(bars.symbols).index(name) for name in bars.symbols])
        decided: np.ndarray = rank_weights(values[order][None], long_only=self.long_only, share=self.share)[0]
        return decided

    def decides_at(self, bar: Bar, timeframe: str) -> bool:
        """Return whether this bar lies on the rebalance grid."""
        return (bar.time_ns // timeframe_ns(timeframe)) % self.every == 0

    def _predict(self, features: pd.DataFrame) -> np.ndarray:
        """Return the model's forecast of each row, shape (n_rows,); NaN where no feature is known."""
        known = features.notna().any(axis=1).to_numpy()
        values = np.full(len(features), np.nan)
        values[known] = self._model.predict(features[known]).to_numpy()
        return values

    def _features(self, bars: Bars) -> pd.DataFrame:
        return _features(bars, self.alpha_columns, self.graph_window, self.graph_step)

    @cached_property
    def _model(self) -> LightGBMModel:
        return LightGBMModel.from_text(self.model)


def _features(bars: Bars, alpha_columns: tuple[str, ...], graph_window: int, graph_step: int) -> pd.DataFrame:
    parts = [alpha158(bars, columns=list(alpha_columns))] if alpha_columns else []
    if graph_window:
        parts.append(graph_features(bars, window=graph_window, step=graph_step))
    return parts[0] if len(parts) == 1 else pd.concat(parts, axis=1)


def train_forecast_rank(
    bars: Bars, *, horizon: int = 1, params: LightGBMParams | None = None, **settings: object
) -> ForecastRank:
    """Train a model on `bars` and return the strategy that uses it.

    Parameters
    ----------
    bars : Bars
        The training part alone; labels that reach past its end are left out.
    horizon : int
        Bars over which the model forecasts who beats the others, from the next open on.
    params : LightGBMParams, optional
        Settings of the trees.
    **settings
        Fields of `ForecastRank` other than model and trained_to.

    Returns
    -------
    ForecastRank

    Raises
    ------
    DataError
        If the bars are shorter than the features' warm-up.
    ConfigError
        If a setting is unknown or out of range.
    """
    unknown = set(settings) - (set(ForecastRank.__dataclass_fields__) - {"model", "trained_to"})
    if unknown:
        raise ConfigError(f"forecast_rank has no setting {', '.join(sorted(unknown))}")
    last = bars.index[-1].isoformat()
    blank = ForecastRank(**settings, model="untrained", trained_to=last)  # type: ignore[arg-type]
    features = blank._features(bars)
    label = relative_direction(bars, horizon)
    known = features.notna().any(axis=1)
    model = LightGBMModel(params).fit(features[known], label[known])
    return replace(blank, model=model.to_text())
