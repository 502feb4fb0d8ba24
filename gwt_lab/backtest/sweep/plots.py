"""Interactive figures of sweeps: heatmap and volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gwt_lab.backtest.sweep.plateau import axis_ranks, plateau_scores
from gwt_lab.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from gwt_lab.backtest.sweep.result import SweepResult

__all__ = ["plot_heatmap", "plot_volume"]

_INK, _HALO = "#111111", "#ffffff"
_MOST_CELLS = 250_000


def plot_heatmap(result: SweepResult, x: str, y: str, metric: str, *, symbol: str | None, plateau: bool) -> Any:
    """Draw a metric over two parameters; see `SweepResult.heatmap`."""
    import plotly.graph_objects as go

    table, reduced = _reduced(result, [y, x], metric, symbol)
    drawn = table.unstack(x)
    if drawn.size > _MOST_CELLS:
        raise ConfigError(f"a heatmap of {drawn.size:,} cells cannot be drawn: take at most {_MOST_CELLS:,}")
    values = drawn.to_numpy(dtype=np.float64)
    figure = go.Figure(
        go.Heatmap(
            x=_axis(drawn.columns),
            y=_axis(drawn.index),
            z=values,
            colorbar={"title": {"text": _label(metric), "side": "top"}},
            hoverongaps=False,
            hovertemplate=f"{x} %{{x}}<br>{y} %{{y}}<br>{_label(metric)} %{{z:.4g}}<extra></extra>",
            **_colours(values),
        )
    )
    said = _mark(figure, table, x, y, plateau) if np.isfinite(values).any() else "no value is a number"
    _layout(figure, result, f"{_label(metric)} of {result.strategy}", [said, reduced])
    figure.update_xaxes(title_text=x, showgrid=False, **_axis_kind(drawn.columns))
    figure.update_yaxes(title_text=y, showgrid=False, **_axis_kind(drawn.index))
    return figure


def plot_volume(result: SweepResult, x: str, y: str, z: str, metric: str, *, symbol: str | None) -> Any:
    """Draw a metric over three parameters; see `SweepResult.volume`."""
    import plotly.graph_objects as go

    table, reduced = _reduced(result, [x, y, z], metric, symbol)
    frame = table.reset_index()
    texts = [name for name in (x, y, z) if not pd.api.types.is_numeric_dtype(frame[name])]
    if texts:
        raise ConfigError(f"a volume needs numbers on its axes, {', '.join(texts)} holds text: use heatmap")
    values = frame[metric].to_numpy(dtype=np.float64)
    sizes = [frame[name].nunique() for name in (x, y, z)]
    places = {axis: frame[name].to_numpy(dtype=np.float64) for axis, name in zip("xyz", (x, y, z), strict=True)}
    colour = _colours(values)
    if len(frame) == np.prod(sizes) and min(sizes) > 1 and np.isfinite(values).all():
        low, high = float(values.min()), float(values.max())
        limits = {f"c{name[1:]}": value for name, value in colour.items() if name != "colorscale"}
        limits |= {"isomin": low, "isomax": high, "colorscale": colour["colorscale"]}
        trace = go.Volume(**places, value=values, opacity=0.2, surface_count=21, **limits)
        trace.colorbar = {"title": {"text": _label(metric), "side": "top"}}
    else:
        limits = {f"c{name[1:]}": value for name, value in colour.items() if name != "colorscale"}
        marker = {"size": 4, "color": values, "colorscale": colour["colorscale"], "showscale": True, **limits}
        marker["colorbar"] = {"title": {"text": _label(metric), "side": "top"}}
        trace = go.Scatter3d(**places, mode="markers", marker=marker)
    figure = go.Figure(trace)
    _layout(figure, result, f"{_label(metric)} of {result.strategy}", [reduced])
    figure.update_layout(
        scene_camera={"eye": {"x": 1.6, "y": 1.6, "z": 1.1}},
        scene={"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}, "zaxis": {"title": {"text": z}}},
    )
    return figure


def _reduced(result: SweepResult, names: list[str], metric: str, symbol: str | None) -> tuple[pd.Series, str]:
    """Return a metric by some parameters, in their order, and how the rest was reduced, in words."""
    if len(set(names)) < len(names):
        raise ConfigError(f"each axis needs a parameter of its own, got {', '.join(names)}")
    unknown = [name for name in names if name not in result.parameters]
    if unknown:
        raise UnknownNameError(f"no parameter {', '.join(unknown)}; there are {', '.join(result.parameters) or 'none'}")
    column = result.metric(metric)
    others = [name for name in result.parameters if name not in names]
    several = [name for name in others if column.index.get_level_values(name).nunique(dropna=False) > 1]
    symbols = list(column.index.get_level_values("symbol").unique()) if "symbol" in column.index.names else []
    if symbol is not None:
        if symbol not in symbols:
            raise UnknownNameError(f"no symbol {symbol!r}; there are {', '.join(map(str, symbols))}")
        column = column.xs(symbol, level="symbol")
    elif len(symbols) > 1:
        several.append(f"{len(symbols)} symbols")
    words = f"median over {', '.join(several)}" if several else ""
    if symbol is not None or len(symbols) == 1:
        words = f"{words}; {symbol or symbols[0]}" if words else str(symbol or symbols[0])
    table = column.groupby(level=names, sort=True, dropna=False).median()
    return table.rename(metric), words


def _mark(figure: Any, table: pd.Series, x: str, y: str, plateau: bool) -> str:
    """Mark the best cell and the cell with the best surroundings; return what they are in words."""
    best = table.idxmax()
    _point(figure, best[1], best[0], "highest", "x-thin", 12)
    said = f"highest {table.max():.4g} at {x} {_plain(best[1])}, {y} {_plain(best[0])}"
    if not plateau:
        return said
    ranks, ordered = axis_ranks(table.index, [y, x])
    scores = plateau_scores(table.to_numpy(dtype=np.float64), ranks, ordered, 1)["score"]
    if np.isnan(scores).all():
        return f"{said}; no plateau: the grid has no neighbours"
    place = int(np.nanargmax(scores))
    flat = table.index[place]
    _point(figure, flat[1], flat[0], "plateau", "circle-open", 18)
    return f"{said}; plateau {table.iloc[place]:.4g} at {x} {_plain(flat[1])}, {y} {_plain(flat[0])}"


def _point(figure: Any, x: Any, y: Any, name: str, symbol: str, size: int) -> None:
    """Mark a cell in black with a white rim, so that it is seen on every colour."""
    for colour, width in ((_HALO, 6), (_INK, 3)):
        figure.add_scatter(
            x=[_plain(x)],
            y=[_plain(y)],
            mode="markers",
            name=name,
            marker={"symbol": symbol, "size": size, "color": colour, "line": {"width": width, "color": colour}},
            showlegend=colour == _INK,
            hoverinfo="skip",
        )


def _axis(labels: pd.Index) -> list[Any]:
    return [_plain(label) for label in labels]


def _axis_kind(labels: pd.Index) -> dict[str, Any]:
    """Return an axis of categories unless its numbers are evenly spaced: cells of one width are easier to read."""
    if pd.api.types.is_numeric_dtype(labels.dtype) and not labels.hasnans and len(labels) > 1:
        steps = np.diff(labels.to_numpy(dtype=np.float64))
        if np.allclose(steps, steps[0]):
            return {"type": "linear"}
    return {"type": "category"}


def _plain(value: Any) -> Any:
    if value is None or value != value:
        return "none"
    value = value.item() if isinstance(value, np.generic) else value
    return str(value) if isinstance(value, bool) else value


def _colours(values: np.ndarray) -> dict[str, Any]:
    """Return red to blue around zero where a metric has both signs, else one ramp."""
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() < 0 < finite.max():
        reach = float(max(-finite.min(), finite.max()))
        return {"colorscale": "RdBu", "zmid": 0.0, "zmin": -reach, "zmax": reach}
    return {"colorscale": "Viridis"}


def _label(metric: str) -> str:
    return metric.replace("_", " ")


def _layout(figure: Any, result: SweepResult, title: str, subtitle: list[str]) -> None:
    lines = [part for part in subtitle if part]
    figure.update_layout(
        template="plotly_white",
        title={"text": title, "subtitle": {"text": "<br>".join(["; ".join(lines), result.short_assumptions])}},
        width=860,
        height=600,
        margin={"l": 70, "r": 20, "t": 115, "b": 60},
        legend={"orientation": "h", "y": -0.1, "x": 1.0, "xanchor": "right", "yanchor": "top"},
    )
