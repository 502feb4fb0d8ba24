"""Train every arm on the past, compare their accuracy date by date, and say what that means for the claim."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.models.walk_forward import walk_forward
from gwt_lab.runs import Run, store_run
from gwt_lab.validation.splits import PurgedWalkForward
from gwt_lab.validation.statistics import Interval, block_bootstrap_interval
from research.claims import INDICATIVE, Claim
from research.paper1.arms import ALL_ASSETS, BASE, GRAPH, PLACEBO, Material, prepare
from research.paper1.money import backtest, rank_weights
from research.paper1.spec import CLAIM, CLAIMED_PERCENT, Spec

__all__ = ["claims", "run"]

_BEYOND = "... and beyond what all other assets tell without a graph"
_WRONG_NAMES = "... and beyond the same graph with its names permuted (placebo)"


def run(spec: Spec, bars: Any, *, truth: Any = None, figures: Path, progress: Any = None) -> Run:
    """Run the study and store it.

    Parameters
    ----------
    spec : Spec
    bars : Bars or what `as_bars` takes
        At least 2 symbols and 600 bars; missing bars are fine.
    truth : Truth, optional
        What was planted in a synthetic market: adds the ceiling and the recall of edges.
    figures : Path
        Folder of the figure, made if it does not exist.
    progress : Progress, optional

    Returns
    -------
    Run
        Metrics: accuracy of each arm (the mean over dates of the share of right directions), differences in percentage
        points with intervals; arrays `forecasts`, `by_date`, `weights` and `equity`.

    Raises
    ------
    DataError
        If there are too few bars or symbols.
    """
    bars = as_bars(bars)
    material = prepare(spec, bars)
    if progress is not None:
        progress.total = len(material.additions) * spec.n_splits
    forecasts = _forecasts(spec, material, progress)
    by_date = _correct_by_date(forecasts, list(material.additions))
    metrics = _metrics(spec, bars, material, forecasts, by_date)
    if truth is not None:
        metrics["truth"] = _beside_truth(truth, bars, material, forecasts)
    weights = {arm: rank_weights(forecasts[arm]) for arm in (BASE, GRAPH)}
    metrics["backtest"], equity = backtest(bars, weights)
    from research.paper1.figures import draw

    figure = draw(metrics, equity, material.graphs[-1], truth, Path(figures))
    metrics["figure"] = str(figure)
    return store_run(
        "paper1",
        asdict(spec),
        metrics,
        arrays={"forecasts": forecasts, "by_date": by_date, "weights": weights[GRAPH], "equity": equity},
        data_hashes={"bars": bars.content_hash},
        seeds=[spec.seed, spec.trees.seed],
    )


def _forecasts(spec: Spec, material: Material, progress: Any) -> pd.DataFrame:
    """Return one column a arm, with label, earned and fold, over the test rows."""
    splitter = PurgedWalkForward(spec.n_splits, purged_size=spec.purged_size)
    trees = spec.trees_for(len(material.base))
    parts: dict[str, pd.Series] = {}
    for arm in material.additions:
        frame = walk_forward(material.features(arm), material.label, splitter, trees, progress=progress)
        parts[arm] = frame["forecast"]
    table = pd.DataFrame(parts)
    return table.assign(
        label=material.label.reindex(table.index), earned=material.earned.reindex(table.index), fold=frame["fold"]
    )


def _correct_by_date(forecasts: pd.DataFrame, arms: list[str]) -> pd.DataFrame:
    """Return the share of right directions of each date and arm; a forecast of exactly one half counts half."""
    scored = forecasts[forecasts["label"].notna()]
    if not len(scored):
        raise DataError("no test row has a next open on both sides: the bars have too many gaps")
    right = {
        arm: np.where(scored[arm] == 0.5, 0.5, (scored[arm] > 0.5) == (scored["label"] > 0.5)).astype(float)
        for arm in arms
    }
    table = pd.DataFrame(right, index=scored.index).assign(fold=scored["fold"])
    by_date = table.groupby(level="datetime").mean()
    placebos = [arm for arm in arms if arm.startswith(PLACEBO)]
    return by_date.assign(**{PLACEBO: by_date[placebos].mean(axis=1)}) if placebos else by_date


def _metrics(
    spec: Spec, bars: Bars, material: Material, forecasts: pd.DataFrame, by_date: pd.DataFrame
) -> dict[str, Any]:
    arms = [arm for arm in (BASE, ALL_ASSETS, GRAPH, PLACEBO) if arm in by_date]
    placebos = [arm for arm in material.additions if arm.startswith(PLACEBO)]

    def interval(values: pd.Series) -> Interval:
        return block_bootstrap_interval(values, n_resamples=spec.n_resamples, seed=spec.seed)

    accuracy = {arm: asdict(interval(by_date[arm])) for arm in arms}
    differences = {}
    for name, first, second in _comparisons(arms):
        points = interval(by_date[first] - by_date[second]).scaled(100)
        differences[name] = asdict(points) | {"relative_percent": asdict(points.scaled(1 / accuracy[second]["mean"]))}
    return {
        "symbols": bars.symbols,
        "timeframe": bars.timeframe,
        "n_bars": bars.n_times,
        "window": spec.window_for(bars),
        "n_features": len(material.base.columns),
        "n_test_dates": len(by_date),
        "n_test_rows": int(forecasts["label"].notna().sum()),
        "accuracy": accuracy,
        "accuracy_by_fold": {arm: by_date.groupby("fold")[arm].mean().tolist() for arm in arms},
        "rank_ic": {arm: _rank_ic(forecasts[arm], forecasts["earned"]) for arm in (BASE, ALL_ASSETS, GRAPH)},
        "points_over": differences,
        "placebo_points": [float(100 * (by_date[arm] - by_date[BASE]).mean()) for arm in placebos],
        "claimed_points": [accuracy[BASE]["mean"] * percent for percent in CLAIMED_PERCENT],
    }


def _comparisons(arms: list[str]) -> list[tuple[str, str, str]]:
    """Return (name, arm, compared with)."""
    found = [
        ("all assets - base", ALL_ASSETS, BASE),
        ("graph - base", GRAPH, BASE),
        ("graph - all assets", GRAPH, ALL_ASSETS),
        ("graph - placebo", GRAPH, PLACEBO),
        ("placebo - base", PLACEBO, BASE),
    ]
    return [row for row in found if row[1] in arms and row[2] in arms]


def _rank_ic(forecast: pd.Series, earned: pd.Series) -> float | None:
    """Return the mean over dates of the rank correlation between forecast and relative return."""
    ranks = pd.DataFrame({"f": forecast, "e": earned}).dropna().groupby(level="datetime").rank()
    centred = ranks - ranks.groupby(level="datetime").transform("mean")
    products = pd.DataFrame({"fe": centred["f"] * centred["e"], "ff": centred["f"] ** 2, "ee": centred["e"] ** 2})
    sums = products.groupby(level="datetime").sum()
    usable = sums[(sums["ff"] > 0) & (sums["ee"] > 0)]
    return float((usable["fe"] / np.sqrt(usable["ff"] * usable["ee"])).mean()) if len(usable) else None


def _beside_truth(truth: Any, bars: Bars, material: Material, forecasts: pd.DataFrame) -> dict[str, Any]:
    """Return how well the best possible forecast does on the same rows, and how many planted edges were found."""
    best = truth.forecast.stack().rename_axis(["datetime", "instrument"]).reindex(forecasts.index)
    scored = forecasts["label"].notna() & best.notna() & (best != 0)
    right = (best[scored] > 0) == (forecasts["label"][scored] > 0.5)
    ceiling = float(right.groupby(level="datetime").mean().mean()) if len(right) else 0.5
    planted = set(truth.graph.edges)
    recalls = [len(planted & set(graph.lead_graph.edges)) / max(len(planted), 1) for graph in material.graphs]
    n = bars.n_symbols
    leaders = float(np.mean([graph.lead_graph.number_of_edges() for graph in material.graphs])) / (n * (n - 1))
    return {
        "ceiling": ceiling,
        "expected_ceiling": float(truth.accuracy),
        "edge_recall": float(np.mean(recalls)),
        "edge_recall_by_chance": leaders,
    }


def claims(run: Run) -> list[Claim]:
    """Return the claim and its controls beside what the run measured."""
    metrics = run.metrics
    points = metrics["points_over"]
    rows = [_claim(run, CLAIM, points["graph - base"])]
    rows.append(_claim(run, _BEYOND, points["graph - all assets"]))
    if "graph - placebo" in points:
        rows.append(_claim(run, _WRONG_NAMES, points["graph - placebo"]))
    return rows


def _claim(run: Run, words: str, points: dict[str, Any]) -> Claim:
    relative = points["relative_percent"]
    ceiling = run.metrics.get("truth", {}).get("ceiling")
    beside = ""
    if words == CLAIM:
        beside = f"; base {100 * run.metrics['accuracy'][BASE]['mean']:.2f} %"
        beside += f", best possible {100 * ceiling:.2f} %" if ceiling is not None else ""
    return Claim(
        paper="paper1",
        claim=words,
        measured=f"{points['mean']:+.2f} pp ({relative['mean']:+.2f} % relative){beside}",
        interval=f"95 %: {points['low']:+.2f} to {points['high']:+.2f} pp (block bootstrap of {points['n']:,} dates)",
        verdict=_verdict(run, words, points),
        figure=run.metrics["figure"],
        run_id=run.id,
    )


def _verdict(run: Run, words: str, points: dict[str, Any]) -> str:
    """Say whether an interval lies where the words put it; a quick run only indicates."""
    if run.record["spec"]["profile"] == "quick":
        return INDICATIVE
    if words == CLAIM:
        relative, claimed = points["relative_percent"], CLAIMED_PERCENT[0]
        if relative["high"] < claimed:
            return "does not reproduce"
        above_placebos = points["mean"] > max(run.metrics["placebo_points"], default=0.0)
        return "supported" if relative["low"] >= claimed and above_placebos else "not supported"
    return "supported" if points["low"] > 0 else "not supported"
