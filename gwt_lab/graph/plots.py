"""Interactive figures of market graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gwt_lab.graph.market_graph import MarketGraph

__all__ = ["plot_graph"]

_UP, _DOWN, _TOGETHER = "#1f77b4", "#d62728", "#b9bec6"
_GROUPS = ("#4c9f70", "#e0a030", "#7a6bb5", "#3d8fb5", "#c0617a", "#8a8f3c", "#a0683c", "#5c6f8f")
# How far from the nodes an arrow keeps, and how far it stands aside, so that its way back does not lie on it; the
# circle's radius is 1.
_GAP, _ASIDE = 0.14, 0.025


def plot_graph(graph: MarketGraph) -> Any:
    """Draw a market graph: who moves with whom, and who moves first.

    Parameters
    ----------
    graph : MarketGraph
        Symbols stand on a circle, communities side by side; a node's size is its strength. Grey lines join symbols that
        move together; arrows run from leader to follower, blue where the follower moves the same way, red where it
        moves against it; the stronger, the wider and darker.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    groups = graph.communities()
    order = [name for group in groups for name in sorted(group)]
    places = _circle(order)
    figure = go.Figure()
    strongest = float(np.abs(graph.leads).max()) or 1.0
    for one, other, weight in graph.correlation_graph.edges(data="weight"):
        figure.add_trace(_line(places[one], places[other], float(weight), f"{one} with {other}: {weight:.2f}"))
    for follower, leader in zip(*np.nonzero(graph.leads), strict=True):
        ends = places[graph.symbols[leader]], places[graph.symbols[follower]]
        figure.add_annotation(_arrow(*ends, float(graph.leads[follower, leader]) / strongest))
    strength = dict(zip(graph.symbols, graph.strength(), strict=True))
    for number, group in enumerate(groups):
        figure.add_trace(_nodes(sorted(group), places, strength, number))
    hidden = {"visible": False, "range": [-1.3, 1.3]}
    figure.update_layout(
        template="plotly_white",
        title={
            "text": f"Market graph known at the close of {graph.time:%Y-%m-%d %H:%M} UTC",
            "subtitle": {"text": "arrow: leader to follower, blue the same way, red against; grey: together"},
        },
        xaxis=hidden,
        yaxis=hidden | {"scaleanchor": "x"},
        width=760,
        height=660,
        margin={"l": 20, "r": 20, "t": 80, "b": 50},
        legend={"orientation": "h", "y": -0.02, "x": 0.5, "xanchor": "center"},
    )
    return figure


def _circle(names: list[str]) -> dict[str, np.ndarray]:
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(names)) / max(len(names), 1)
    return {name: np.array([np.cos(angle), np.sin(angle)]) for name, angle in zip(names, angles, strict=True)}


def _line(begin: np.ndarray, end: np.ndarray, weight: float, text: str) -> dict[str, Any]:
    middle = (begin + end) / 2
    return {
        "type": "scatter",
        "x": [begin[0], middle[0], end[0]],
        "y": [begin[1], middle[1], end[1]],
        "mode": "lines",
        "line": {"color": _TOGETHER, "width": 1 + 6 * abs(weight)},
        "hoverinfo": "text",
        "text": text,
        "showlegend": False,
    }


def _arrow(leader: np.ndarray, follower: np.ndarray, share: float) -> dict[str, Any]:
    """Return the arrow of an edge whose weight is `share` of the strongest."""
    way = (follower - leader) / np.linalg.norm(follower - leader)
    aside = _ASIDE * np.array([-way[1], way[0]])
    begin, end = leader + _GAP * way + aside, follower - _GAP * way + aside
    return {
        "ax": begin[0],
        "ay": begin[1],
        "x": end[0],
        "y": end[1],
        "axref": "x",
        "ayref": "y",
        "xref": "x",
        "yref": "y",
        "showarrow": True,
        "arrowhead": 2,
        "arrowsize": 0.9,
        "arrowwidth": 1 + 2 * abs(share),
        "arrowcolor": _UP if share > 0 else _DOWN,
        "opacity": 0.35 + 0.65 * abs(share),
        "text": "",
    }


def _beside(place: np.ndarray) -> str:
    """Return where a node's name stands: outside the circle."""
    if abs(place[0]) > 0.9:
        return "middle right" if place[0] > 0 else "middle left"
    return "top center" if place[1] > 0 else "bottom center"


def _nodes(names: list[str], places: dict[str, np.ndarray], strength: dict[str, float], number: int) -> dict[str, Any]:
    top = max(strength.values()) or 1.0
    return {
        "type": "scatter",
        "x": [places[name][0] for name in names],
        "y": [places[name][1] for name in names],
        "mode": "markers+text",
        "name": f"community {number + 1}",
        "text": [name.split("/")[0] for name in names],
        "textposition": [_beside(places[name]) for name in names],
        "hovertext": [f"{name}: strength {strength[name]:.2f}" for name in names],
        "hoverinfo": "text",
        "marker": {
            "size": [16 + 20 * strength[name] / top for name in names],
            "color": _GROUPS[number % len(_GROUPS)],
            "line": {"color": "white", "width": 1.5},
        },
    }
