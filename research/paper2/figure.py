"""The figure of paper 2: costs, schedules, one episode on the book, and the size of the parent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gwt_lab.execution.core import ExecutionState, ExecutionTask, done, initial, transition
from gwt_lab.execution.order_book_kernels import ASK, BASE, BID, GRID
from research.paper2.evaluation import cost_by_path
from research.paper2.intervals import bootstrap_means, interval

if TYPE_CHECKING:
    from gwt_lab.execution.policies import NetworkPolicy
    from gwt_lab.execution.schedules import Evaluation
    from research.paper2.study import Spec

__all__ = ["draw"]

COLOURS = {"market": "#7f7f7f", "TWAP": "#1f77b4", "TWAP-limit": "#2ca02c", "peg": "#9467bd", "PPO": "#d62728"}
_SAMPLES = 12


def draw(
    spec: Spec,
    task: ExecutionTask,
    found: list[Evaluation],
    by_parent: pd.DataFrame,
    agent: NetworkPolicy,
    folder: Path,
    source: str,
) -> Path:
    """Draw the four panels and return the PNG; the PDF lies beside it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(2, 2, figsize=(11.5, 8.2), layout="constrained")
        _costs(axes[0, 0], spec, found)
        _inventories(axes[0, 1], task, found)
        image = _episode(axes[1, 0], task, agent, int(spec.paths[0]))
        figure.colorbar(image, ax=axes[1, 0], label="orders at the price (asks +, bids -)", shrink=0.85)
        _sizes(axes[1, 1], task, by_parent)
        figure.suptitle(
            f"Buy or sell {task.target_quantity} average orders in {_minutes(task):g} minutes\n{source}",
            fontsize=10,
        )
        folder.mkdir(parents=True, exist_ok=True)
        for kind in ("png", "pdf"):
            figure.savefig(folder / f"paper2.{kind}", dpi=150)
        plt.close(figure)
    return folder / "paper2.png"


def _minutes(task: ExecutionTask) -> float:
    return task.time_horizon * task.step_seconds / 60


def _costs(axes: Any, spec: Spec, found: list[Evaluation]) -> None:
    """Violins of the cost by path, with the mean and its interval."""
    low, high = np.percentile(np.concatenate([one.slippage_bps for one in found]), [0.5, 99.5])
    for place, one in enumerate(reversed(found)):
        colour = COLOURS[one.name]
        inside = one.slippage_bps[(one.slippage_bps >= low) & (one.slippage_bps <= high)]
        body = axes.violinplot(inside, [place], orientation="horizontal", widths=0.85, showextrema=False)["bodies"][0]
        body.set(facecolor=colour, alpha=0.3, edgecolor="none")
        costs = cost_by_path(one)[:, None]
        mean = float(costs.mean())
        ends = interval(bootstrap_means(costs, spec.n_resamples, seed=0)[:, 0], spec.level)
        axes.plot(ends, [place, place], color=colour, lw=5, solid_capstyle="butt")
        axes.plot(mean, place, "o", color="white", mec=colour, ms=6)
        text = f"{mean:.2f} ± {(ends[1] - ends[0]) / 2:.2f} bps"
        axes.annotate(text, (mean, place), (0, 9), textcoords="offset points", ha="center", color=colour)
    axes.axvline(0, color="#999999", lw=0.7)
    axes.set_yticks(range(len(found)), [one.name for one in reversed(found)])
    axes.set_xlim(low, high)
    axes.set(xlabel="slippage against the arrival mid, bps", title="What an execution costs (mean, 95 % interval)")


def _inventories(axes: Any, task: ExecutionTask, found: list[Evaluation]) -> None:
    minutes = np.arange(task.time_horizon + 1) * task.step_seconds / 60
    for one in found:
        colour = COLOURS[one.name]
        if one.name == "PPO":
            axes.step(minutes, one.inventory[:, :_SAMPLES], where="post", color=colour, lw=0.5, alpha=0.3)
        axes.plot(minutes, one.inventory.mean(axis=1), color=colour, lw=2, label=one.name)
    axes.set(
        xlabel="minutes since arrival", ylabel="orders left", title="How fast it trades (mean; thin: single paths)"
    )
    axes.legend(frameon=False)


def _play(task: ExecutionTask, agent: NetworkPolicy, seed: int) -> list[ExecutionState]:
    states = [initial(task, [seed])]
    while not done(task, states[-1])[0]:
        states.append(transition(task, states[-1], agent(task, states[-1])))
    return states


def _episode(axes: Any, task: ExecutionTask, agent: NetworkPolicy, seed: int) -> Any:
    """Draw the book as the agent met it, and where it was filled."""
    states = _play(task, agent, seed)
    minutes = np.arange(len(states)) * task.step_seconds / 60
    quotes = np.array([state.quotes[0] for state in states])
    bid, ask = quotes[:, BASE] + quotes[:, BID], quotes[:, BASE] + quotes[:, ASK]
    arrival = states[0].arrival[0]
    low, high = int(bid.min()) - 4, int(ask.max()) + 4
    prices = np.arange(low, high + 1)
    depth = np.zeros((len(prices), len(states)))
    for column, state in enumerate(states):
        index = prices - state.quotes[0, BASE]
        units = np.where((index >= 0) & (index < GRID), state.depth[0][np.clip(index, 0, GRID - 1)], 0)
        depth[:, column] = np.where(prices >= ask[column], units, -units) / task.book.order_size
    edges = np.append(minutes, minutes[-1] + task.step_seconds / 60)
    image = axes.pcolormesh(
        edges, np.arange(low, high + 2) - 0.5 - arrival, depth, cmap="RdBu_r", vmin=-6, vmax=6, alpha=0.75, lw=0
    )
    axes.step(minutes, bid - arrival, where="post", color="#08519c", lw=1)
    axes.step(minutes, ask - arrival, where="post", color="#a50f15", lw=1)
    filled = np.array([state.filled[0] for state in states])
    paid = np.array([state.paid[0] for state in states])
    for column, (marker, label) in enumerate((("v", "market order"), ("o", "limit order filled"))):
        units = np.diff(filled[:, column])
        rows = np.flatnonzero(units)
        price = np.diff(paid[:, column])[rows] / units[rows] - arrival
        axes.scatter(
            minutes[rows], price, s=34, marker=marker, color="black", ec="white", lw=0.7, label=label, zorder=3
        )
    axes.set(
        xlabel="minutes since arrival", ylabel="ticks from the arrival mid", title="PPO buys on the first held-out path"
    )
    axes.legend(frameon=True, loc="best", fontsize=8)
    return image


def _sizes(axes: Any, task: ExecutionTask, by_parent: pd.DataFrame) -> None:
    axes.axhspan(10, 30, color="#f2c14e", alpha=0.3, lw=0, label="the claim, 10-30 %")
    for name, rows in by_parent[by_parent["policy"] != "market"].groupby("policy", sort=False):
        middle, low, high = (100 * rows[column].to_numpy() for column in ("relative", "low", "high"))
        axes.fill_between(rows["parent"], low, high, color=COLOURS[name], alpha=0.2, lw=0)
        axes.plot(rows["parent"], middle, "o-", color=COLOURS[name], ms=4, label=name)
    axes.axvline(task.target_quantity, color="#999999", lw=0.8, ls=":")
    axes.axhline(0, color="#999999", lw=0.7)
    axes.set_xscale("log")
    axes.set_xticks(sorted(set(by_parent["parent"])), [str(size) for size in sorted(set(by_parent["parent"]))])
    axes.minorticks_off()
    axes.set(
        xlabel="parent order, average orders",
        ylabel="less slippage than a market order, %",
        title="The cut depends on the size of the parent",
    )
    axes.legend(frameon=False, loc="best")
