"""The walk in one figure: the judged part at three costs, and the runner beside the backtest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

__all__ = ["draw"]

_COLOURS = {"0x": "#9ca3af", "1x": "#1d4ed8", "2x": "#b45309"}
_WORDS = {"0x": "no costs", "1x": "costs as given", "2x": "doubled costs (the gate)"}


def draw(metrics: dict[str, Any], equity: pd.DataFrame, beside: pd.DataFrame, folder: Path, name: str) -> Path:
    """Write `name`.png and `name`.pdf into `folder` and return the PNG's path; one panel where there is no bundle."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = 2 if len(beside) else 1
    figure = Figure(figsize=(11.5, 4.4) if panels == 2 else (7.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _paths(axes[0], metrics, equity)
    if panels == 2:
        _runner(axes[1], metrics, beside)
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=9)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
    figure.savefig(folder / f"{name}.png", dpi=150)
    return folder / f"{name}.png"


def _days(axes: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _paths(axes: Any, metrics: dict[str, Any], equity: pd.DataFrame) -> None:
    for column in equity:
        growth = equity[column] / 10_000
        axes.plot(equity.index, growth, color=_COLOURS[column], lw=1.6)
        axes.annotate(
            f" {_WORDS[column]}\n {100 * (growth.iloc[-1] - 1):+.0f} %",
            (equity.index[-1], growth.iloc[-1]),
            color=_COLOURS[column],
            fontsize=8.5,
            va="center",
            annotation_clip=False,
        )
    axes.plot(equity.index[[0, -1]], [1, 1], color="#374151", lw=0.8, ls=":")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_xlim(equity.index[0], equity.index[-1] + 0.3 * (equity.index[-1] - equity.index[0]))
    axes.set_ylabel("worth, 1 at the start (log scale)", fontsize=9)
    _days(axes)
    verdict = "promoted" if metrics["passed"] else "refused"
    failed = [gate["name"].replace("_", " ") for gate in metrics["gates"] if not gate["passed"]]
    why = f" (gate: {', '.join(failed)})" if failed else ""
    costs = metrics["costs"].rpartition(",")[0]
    axes.set_title(f"Judged part, {costs}: {verdict}{why}", fontsize=11, loc="left")


def _runner(axes: Any, metrics: dict[str, Any], beside: pd.DataFrame) -> None:
    axes.plot(beside.index, beside["backtest"], color="#1d4ed8", lw=1.2, label="backtest, all bars at once")
    axes.plot(beside.index, beside["runner"], "o", ms=3, mfc="none", mec="#b45309", label="runner, bar by bar")
    axes.legend(frameon=False, fontsize=8.5, loc="upper left")
    found = metrics["replay"]
    axes.set_title(
        f"Runner and backtest: {found['equal_account_values']} of {found['account_values']} values equal to the bit",
        fontsize=11,
        loc="left",
    )
    axes.set_ylabel("worth, quote currency", fontsize=9)
    _days(axes)
