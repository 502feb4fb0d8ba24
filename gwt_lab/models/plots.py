"""Figures of models: what they look at, how well they are calibrated, how they age."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError
from gwt_lab.models.settings import whole_number

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["plot_calibration", "plot_contributions", "plot_importance", "plot_rolling_accuracy"]


def plot_importance(importance: pd.Series, *, top: int = 20) -> go.Figure:
    """Return bars of the most important features.

    Parameters
    ----------
    importance : Series
        As `QlibSignalGenerator.importance` gives it.
    top : int, default 20

    Raises
    ------
    ConfigError
        If `top` is below 1, or `importance` no Series.
    """
    top = whole_number("top", top, 1)
    _refuse(importance, pd.Series, "importance", "generator.importance()")
    import plotly.graph_objects as go

    total = float(importance.sum()) or 1.0
    shown = (importance.sort_values(ascending=False).head(top) / total)[::-1]
    figure = go.Figure(go.Bar(x=shown.to_numpy(), y=list(shown.index), orientation="h"))
    figure.update_xaxes(title="share of the whole", tickformat=".0%")
    return figure.update_layout(title=f"Importance: {len(shown)} of {len(importance)} features")


def plot_contributions(contributions: pd.DataFrame, *, top: int = 20) -> go.Figure:
    """Return the mean size of each feature's contributions.

    Parameters
    ----------
    contributions : DataFrame
        As `QlibSignalGenerator.contributions` gives it.
    top : int, default 20

    Raises
    ------
    ConfigError
        If `top` is below 1, or `contributions` no such frame.
    """
    _refuse(contributions, pd.DataFrame, "contributions", "generator.contributions(data)")
    size = contributions.drop(columns="(expected)", errors="ignore").abs().mean()
    figure = plot_importance(size, top=top)
    figure.update_xaxes(title="share of the mean absolute contribution")
    return figure.update_layout(title=f"Contributions over {len(contributions):,} forecasts")


def plot_calibration(report: dict[str, Any]) -> go.Figure:
    """Return how often a rise came beside how probable it was forecast to be, from the report of a training.

    Raises
    ------
    ConfigError
        If `report` is none, or of a model that forecasts returns and not probabilities.
    """
    _refuse(report, dict, "report", "generator.report_")
    bins = report.get("calibration")
    if not bins:
        raise ConfigError("there is no calibration in this report: it is of a model that forecasts returns")
    import plotly.graph_objects as go

    x, y, n = (np.array([bin_[name] for bin_ in bins]) for name in ("forecast", "share", "n"))
    error = 1.96 * np.sqrt(y * (1 - y) / n)
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    figure = go.Figure(go.Scatter(x=[low, high], y=[low, high], mode="lines", name="calibrated", line={"dash": "dot"}))
    figure.add_scatter(x=x, y=y, mode="markers", name="out of sample", error_y={"array": error})
    figure.update_xaxes(title="probability forecast", tickformat=".0%")
    figure.update_yaxes(title="share of rises", tickformat=".0%")
    return figure.update_layout(title=f"Calibration, {int(n.sum()):,} forecasts in ten bins")


def plot_rolling_accuracy(frame: pd.DataFrame, *, expected: float | None = None) -> go.Figure:
    """Return accuracy over time with its interval.

    Parameters
    ----------
    frame : DataFrame
        As `rolling_accuracy` gives it.
    expected : float, optional
        What validation had shown, drawn as a line.

    Raises
    ------
    ConfigError
        If `frame` is none.
    """
    _refuse(frame, pd.DataFrame, "frame", "rolling_accuracy(generator, data)")
    import plotly.graph_objects as go

    times = list(frame.index)
    figure = go.Figure()
    figure.add_scatter(x=times, y=frame["high"], mode="lines", line={"width": 0}, showlegend=False)
    figure.add_scatter(x=times, y=frame["low"], mode="lines", line={"width": 0}, fill="tonexty", name="95 %")
    figure.add_scatter(x=times, y=frame["accuracy"], mode="lines", name="accuracy")
    figure.add_hline(y=0.5, line_dash="dot")
    if expected is not None:
        figure.add_hline(y=expected, line_dash="dash", annotation_text="validation")
    figure.update_yaxes(tickformat=".1%")
    return figure.update_layout(title="Rolling accuracy")


def _refuse(value: Any, kind: type, name: str, source: str) -> None:
    if not isinstance(value, kind):
        raise ConfigError(f"{name} must be a {kind.__name__} as {source} gives it, got {type(value).__name__}")
