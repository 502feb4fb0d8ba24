"""The study in one figure: accuracy of each arm, what the graph adds, and the graph itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.graph.market_graph import MarketGraph

__all__ = ["draw"]

_COLOURS = {"base": "#6b7280", "base + all assets": "#b45309", "base + graph": "#1d4ed8"}
_PLACEBO = "#9ca3af"
_NODE = 430
_COMMUNITIES = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2", "#9d755d", "#eeca3b")


def draw(metrics: dict[str, Any], equity: pd.DataFrame, graph: MarketGraph, truth: Any, folder: Path) -> Path:
    """Write `paper1.png` and `paper1.pdf` into `folder` and return the PNG's path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(11.5, 8.6), layout=ConstrainedLayoutEngine(wspace=0.06, hspace=0.06))
    FigureCanvasAgg(figure)
    (accuracy, added), (account, network) = figure.subplots(2, 2, height_ratios=[0.85, 1.15])
    _accuracy(accuracy, metrics)
    _differences(added, metrics)
    _equity(account, metrics, equity)
    _graph(network, graph, truth)
    for axes in (accuracy, added, account):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "paper1.pdf", metadata={"CreationDate": None})
    figure.savefig(folder / "paper1.png", dpi=150)
    return folder / "paper1.png"


def _accuracy(axes: Any, metrics: dict[str, Any]) -> None:
    arms = list(metrics["accuracy"])
    for row, arm in enumerate(arms):
        found, colour = metrics["accuracy"][arm], _COLOURS.get(arm, _PLACEBO)
        folds = 100 * np.array(metrics["accuracy_by_fold"][arm])
        axes.plot(folds, np.full(len(folds), row + 0.16), "o", ms=4, mfc="none", mec=colour, alpha=0.7)
        axes.plot([100 * found["low"], 100 * found["high"]], [row, row], color=colour, lw=3, solid_capstyle="round")
        axes.plot(100 * found["mean"], row, "o", color=colour, ms=8)
    axes.axvline(50, color="#374151", lw=0.8, ls=":")
    axes.text(50, len(arms) - 0.42, " coin flip", fontsize=8, color="#374151", va="bottom")
    if "truth" in metrics:
        ceiling = 100 * metrics["truth"]["ceiling"]
        axes.axvline(ceiling, color="#047857", lw=1.2, ls="--")
        axes.text(ceiling, len(arms) - 0.42, "best possible ", fontsize=8, color="#047857", va="bottom", ha="right")
    axes.set_yticks(range(len(arms)), arms)
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.set_xlabel("accuracy, % of directions (bar: 95 % interval, rings: folds)", fontsize=9)
    axes.set_title("Out-of-sample accuracy by arm", fontsize=11, loc="left")


def _differences(axes: Any, metrics: dict[str, Any]) -> None:
    names = list(metrics["points_over"])
    low, high = metrics["claimed_points"]
    for row, name in enumerate(names):
        found = metrics["points_over"][name]
        colour = (
            _PLACEBO
            if name.startswith("placebo")
            else _COLOURS["base + graph" if "graph" in name else "base + all assets"]
        )
        axes.plot([found["low"], found["high"]], [row, row], color=colour, lw=3, solid_capstyle="round")
        axes.plot(found["mean"], row, "o", color=colour, ms=8)
        if name.startswith("placebo"):
            each = metrics["placebo_points"]
            axes.plot(each, np.full(len(each), row + 0.16), "o", ms=4, mfc="none", mec=colour)
    axes.axvline(0, color="#374151", lw=0.8)
    right = max(1.6 * low, 1.25 * max(found["high"] for found in metrics["points_over"].values()))
    axes.axvspan(low, min(high, right), color="#fde68a", alpha=0.6, lw=0)
    axes.text((low + right) / 2, -0.55, "claimed\n2-15 %", fontsize=8, color="#92400e", va="top", ha="center")
    axes.set_xlim(right=right)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("difference, percentage points (95 % interval)", fontsize=9)
    axes.set_title("What is added", fontsize=11, loc="left")


def _equity(axes: Any, metrics: dict[str, Any], equity: pd.DataFrame) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    for arm in equity:
        colour, found = _COLOURS[arm], metrics["backtest"][arm]
        worth = found["break_even_bps"]
        label = f"{arm}: " + (f"worth trading below {worth:.1f} bps a trade" if worth > 0 else "loses before costs")
        axes.plot(equity.index, 100 * (equity[arm] - 1), color=colour, lw=1.3, label=label)
    axes.axhline(0, color="#374151", lw=0.8, ls=":")
    locator = AutoDateLocator(minticks=4, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    axes.margins(y=0.16)
    after = metrics["backtest"]["base + graph"]["total_return_after_costs"]
    axes.set_ylabel("return before costs, %", fontsize=9)
    axes.set_title("Long the best, short the worst, every bar", fontsize=11, loc="left")
    axes.text(
        1.0, 0.02, f"base + graph after 0.1 % fees and 5 bps slippage: {100 * after:.0f} %", fontsize=8,
        transform=axes.transAxes, ha="right", color="#b91c1c",
    )  # fmt: skip


def _graph(axes: Any, graph: MarketGraph, truth: Any) -> None:
    import networkx as nx

    leads, together, groups = graph.lead_graph, graph.correlation_graph, graph.communities()
    colour = {name: _COMMUNITIES[n % len(_COMMUNITIES)] for n, group in enumerate(groups) for name in group}
    place = _circles(groups)
    planted = set(truth.graph.edges) if truth is not None else set()
    strongest = sorted(leads.edges(data="weight"), key=lambda edge: -abs(edge[2]))[: 2 * len(leads)]
    nx.draw_networkx_edges(together, place, ax=axes, edge_color="#e5e7eb", width=2.5)
    for shade, is_planted in (("#9ca3af", False), ("#111827", True)):
        edges = [(a, b) for a, b, _ in strongest if ((a, b) in planted) == is_planted]
        nx.draw_networkx_edges(
            leads, place, ax=axes, edgelist=edges, edge_color=shade, width=1.1, arrowsize=9,
            connectionstyle="arc3,rad=0.12", node_size=_NODE,
        )  # fmt: skip
    nx.draw_networkx_nodes(together, place, ax=axes, node_size=_NODE, node_color=[colour[name] for name in together])
    labels = {name: name.partition("/")[0] for name in together}
    nx.draw_networkx_labels(together, place, labels, ax=axes, font_size=7, font_color="white", font_weight="bold")
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.margins(0.1)
    found = "; black: planted" if planted else ""
    axes.set_title(f"Market graph, {graph.time.day} {graph.time:%B %Y}", fontsize=11, loc="left")
    caption = f"colour: community · band: correlation\narrow: leader to follower, the {len(strongest)} strongest{found}"
    axes.text(0.5, -0.01, caption, transform=axes.transAxes, fontsize=8, va="top", ha="center", color="#374151")


def _circles(groups: list[set[str]]) -> dict[str, np.ndarray]:
    """Place every community on a circle of its own, and the communities around the centre."""
    n_nodes = sum(len(group) for group in groups)
    place, turned = {}, 0.0
    for group in groups:
        # each community takes the share of the round that its members need
        share = 2 * np.pi * len(group) / n_nodes
        middle = turned + share / 2
        centre = np.array([np.cos(middle), np.sin(middle)]) * (0.0 if len(groups) == 1 else 1.0)
        radius = 0.0 if len(group) == 1 else min(0.24 * np.sqrt(len(group)), 1.0)
        for number, name in enumerate(sorted(group)):
            angle = middle + 2 * np.pi * number / len(group)
            place[name] = centre + radius * np.array([np.cos(angle), np.sin(angle)])
        turned += share
    return place
