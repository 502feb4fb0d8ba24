"""Paper 2, optimal execution: do schedules and PPO cost less than market orders, and by how much."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gwt_lab.execution.core import ExecutionTask
from gwt_lab.execution.policies import NetworkPolicy
from gwt_lab.execution.schedules import Evaluation, MarketNow, Peg, Policy, Twap, TwapLimit
from gwt_lab.runs import Run, store_run
from research.claims import INDICATIVE, Claim
from research.paper2.calibration import Calibration, calibrate
from research.paper2.controls import controls
from research.paper2.evaluation import both_sides, cost_by_path, mean_of
from research.paper2.intervals import bootstrap_means, interval, reduction

if TYPE_CHECKING:
    from gwt_lab.market.bars import Bars
    from gwt_lab.progress import Progress

__all__ = ["Spec", "claims", "run"]

CLAIM = "{} execution cuts slippage by 10-30 % against market orders"
# Held-out paths; training draws 63-bit seeds, so that it meets one of these with probability 1e-12.
_FIRST_PATH = 1_000_000
LEARNED = "PPO"


@dataclass(frozen=True)
class Spec:
    """Everything that is decided before the run.

    Parameters
    ----------
    profile : str
        "quick" or "full"; the verdict of a quick run is always "indicative".
    target_quantity, time_horizon, step_seconds, limit_fraction
        The task, see `ExecutionTask`; a unit is an average order of the book.
    patience : int
        Decisions for which TWAP-limit lets a slice rest.
    tick_bps : float
        A tick in basis points.
    n_paths : int
        Held-out paths, the same for every policy. Each is traded twice, as a buy and as a sell, so that where a path
        went pays no policy; the mean of both is one observation.
    total_timesteps : int
        Decisions PPO learns from, each time.
    training_seeds : tuple of int
        One PPO each.
    parents : tuple of int
        Parent orders of the table by size.
    n_paths_by_parent, n_resamples : int
        Paths of that table; resamples of every interval.
    level : float
        Of every interval.
    taker_fee_bps, maker_fee_bps : float
        Fees of the columns with fees; slippage itself is without.
    """

    profile: str = "quick"
    target_quantity: int = 10
    time_horizon: int = 50
    step_seconds: float = 30.0
    limit_fraction: float = 0.2
    patience: int = 10
    tick_bps: float = 1.0
    n_paths: int = 1_500
    total_timesteps: int = 250_000
    training_seeds: tuple[int, ...] = (1, 2)
    parents: tuple[int, ...] = (1, 2, 5, 10, 20, 40)
    n_paths_by_parent: int = 400
    n_resamples: int = 2_000
    level: float = 0.95
    taker_fee_bps: float = 5.0
    maker_fee_bps: float = 2.0

    @classmethod
    def quick(cls) -> Spec:
        """Return the profile of a minute."""
        return cls()

    @classmethod
    def full(cls) -> Spec:
        """Return the profile that a verdict wants: ten training seeds, more paths."""
        return cls(profile="full", n_paths=10_000, total_timesteps=1_000_000, training_seeds=tuple(range(1, 11)))

    def task(self, calibration: Calibration) -> ExecutionTask:
        """Return the execution task, without fees."""
        return ExecutionTask(
            target_quantity=self.target_quantity,
            time_horizon=self.time_horizon,
            step_seconds=self.step_seconds,
            limit_fraction=self.limit_fraction,
            book=calibration.book,
        )

    @property
    def paths(self) -> np.ndarray:
        """Seeds of the held-out paths."""
        return np.arange(_FIRST_PATH, _FIRST_PATH + self.n_paths)


def _train(spec: Spec, task: ExecutionTask, progress: Progress | None) -> list[NetworkPolicy]:
    from gwt_lab.execution.sb3 import train_execution_agent

    agents = []
    for seed in spec.training_seeds:
        _say(progress, f"PPO, seed {seed}")
        agents.append(train_execution_agent(spec.total_timesteps, seed, task=task))
    return agents


def _say(progress: Progress | None, note: str) -> None:
    if progress is not None:
        progress.advance(1, note)


def _by_parent(spec: Spec, task: ExecutionTask) -> pd.DataFrame:
    """Return the relative reduction against market orders by size of the parent, schedules only."""
    rows = []
    for parent in spec.parents:
        sized = replace(task, target_quantity=parent)
        policies: list[Policy] = [MarketNow(), Twap(), TwapLimit(spec.patience)]
        found = [both_sides(policy, sized, spec.paths[: spec.n_paths_by_parent]) for policy in policies]
        costs = np.column_stack([cost_by_path(one) for one in found])
        draws = bootstrap_means(costs, spec.n_resamples, seed=parent)
        for column, one in enumerate(found):
            less = reduction(column, 0, costs.mean(axis=0), draws, spec.level)
            low, high = less["relative_interval"] or (np.nan, np.nan)
            rows.append((parent, one.name, costs[:, column].mean(), less["relative"], low, high))
    return pd.DataFrame(rows, columns=["parent", "policy", "slippage_bps", "relative", "low", "high"])


def _summary(spec: Spec, found: list[Evaluation]) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return metrics by policy and the costs by path, luck taken out."""
    costs = pd.DataFrame({one.name: cost_by_path(one) for one in found})
    values = costs.to_numpy()
    means, draws = values.mean(axis=0), bootstrap_means(values, spec.n_resamples, seed=0)
    metrics: dict[str, Any] = {}
    for column, one in enumerate(found):
        maker = float(one.maker_share.mean())
        fees = spec.taker_fee_bps * (1 - maker) + spec.maker_fee_bps * maker
        metrics[one.name] = {
            "slippage_bps": float(means[column]),
            "interval": list(interval(draws[:, column], spec.level)),
            "sd_bps": float(one.slippage_bps.std(ddof=1)),
            "maker_share": maker,
            "slippage_with_fees_bps": float(means[column]) + fees,
            "against": {
                other.name: reduction(column, base, means, draws, spec.level)
                for base, other in enumerate(found)
                if base != column
            },
        }
    return metrics, costs


def _arrays(found: list[Evaluation], costs: pd.DataFrame, by_parent: pd.DataFrame) -> dict[str, pd.DataFrame]:
    inventory = pd.DataFrame({one.name: one.inventory.mean(axis=1) for one in found})
    raw = pd.DataFrame({one.name: one.slippage_bps for one in found})
    return {"slippage": raw, "slippage_without_luck": costs, "inventory": inventory, "by_parent": by_parent}


def run(spec: Spec, bars: Bars | None = None, *, figures: Path, progress: Progress | None = None) -> Run:
    """Train, evaluate every policy on the same held-out paths, draw the figure, store the run.

    Parameters
    ----------
    spec : Spec
        What was decided.
    bars : Bars, optional
        The book's volatility and volume are calibrated on them; else the published book is used.
    figures : Path
        Folder for ``paper2.png`` and ``paper2.pdf``.
    progress : Progress, optional
        A line to write on.

    Returns
    -------
    Run
        Metrics by policy; tables slippage, slippage_without_luck (by path), inventory, by_parent.
    """
    from research.paper2.figure import draw

    _say(progress, "calibration")
    calibration = calibrate(bars, spec.tick_bps)
    task = spec.task(calibration)
    agents = _train(spec, task, progress)
    _say(progress, "held-out paths")
    schedules: list[Policy] = [MarketNow(), Twap(), TwapLimit(spec.patience), Peg()]
    learned = [both_sides(agent, task, spec.paths) for agent in agents]
    found = [*(both_sides(policy, task, spec.paths) for policy in schedules), mean_of(learned)]
    by_parent = _by_parent(spec, task)
    policies, costs = _summary(spec, found)
    place = draw(spec, task, found, by_parent, agents[0], figures, calibration.source)
    metrics = {
        "policies": policies,
        "calibration": {
            "source": calibration.source,
            "volatility_bps_per_minute": calibration.volatility_bps,
            "tick_bps": calibration.book.tick_bps,
            "base_units_per_order": calibration.unit,
            "symbol": calibration.symbol,
        },
        "training_seeds": {
            str(seed): float(cost_by_path(one).mean()) for seed, one in zip(spec.training_seeds, learned, strict=True)
        },
        "controls": controls(spec, task, agents[0], learned[0]),
        "participation": _participation(task),
        "figure": str(place),
    }
    return store_run(
        "paper2",
        asdict(spec),
        metrics,
        arrays=_arrays(found, costs, by_parent),
        data_hashes={"bars": bars.content_hash} if bars is not None else {},
        seeds=[*spec.training_seeds, _FIRST_PATH],
    )


def _participation(task: ExecutionTask) -> float:
    """Return the parent over what others trade within the horizon, both sides."""
    traded = 2 * task.book.market_rate * task.book.order_size * task.time_horizon * task.settings.step_units
    return float(task.target_quantity / traded)


def _less(fraction: float | None, than: str) -> str:
    if fraction is None:
        return f"no ratio to {than}, whose cost may be nothing"
    return f"{100 * abs(fraction):.1f} % {'less' if fraction >= 0 else 'more'} than {than}"


def _range(less: dict[str, Any], than: str) -> str:
    if less["relative"] is None:
        return f"no ratio to {than}"
    low, high = (100 * end for end in less["relative_interval"])
    if less["relative"] < 0:
        return f"{-high:.1f} to {-low:.1f} % more than {than}"
    return f"{low:.1f} to {high:.1f} % less than {than}"


def _verdict(profile: str, less: dict[str, Any]) -> str:
    """Return the verdict: a cut of at least 10 % by the interval's lower end, which only a full run may state."""
    if profile != "full":
        return INDICATIVE
    return "supported" if less["relative_interval"] and less["relative_interval"][0] >= 0.10 else "not supported"


def _row(run: Run, label: str, name: str, others: tuple[str, ...]) -> Claim:
    """Return one row: `name` against market orders, and then against each of `others`."""
    spec, metrics = run.record["spec"], run.metrics
    policies = metrics["policies"]
    pairs = {other: policies[name]["against"][other] for other in ("market", *others)}
    measured = [
        f"{name} {_less(pairs['market']['relative'], 'market orders')} "
        f"({policies[name]['slippage_bps']:.2f} against {policies['market']['slippage_bps']:.2f} bps)"
    ]
    measured += [_less(pair["relative"], other) for other, pair in pairs.items() if other != "market"]
    if name == LEARNED:
        measured.append(f"{len(metrics['training_seeds'])} training seeds")
    else:
        limit = policies["TWAP-limit"]["against"]["market"]
        measured.append(f"TWAP-limit {_less(limit['relative'], 'market orders')}")
    ranges = [_range(pair, other) for other, pair in pairs.items()]
    if name != LEARNED:
        ranges.append(f"TWAP-limit {_range(limit, 'market')}")
    return Claim(
        paper="paper2",
        claim=CLAIM.format(label),
        measured="; ".join([*measured, metrics["calibration"]["source"]]),
        interval=f"{'; '.join(ranges)} ({100 * spec['level']:.0f} %, paired bootstrap over {spec['n_paths']:,} "
        "held-out paths, each bought and sold)",
        verdict=_verdict(spec["profile"], pairs["market"]),
        figure=metrics["figure"],
        run_id=run.id,
    )


def claims(run: Run) -> list[Claim]:
    """Return the two rows of the paper's claim, from a stored run: scheduled execution, and PPO."""
    return [_row(run, "Scheduled", "TWAP", ()), _row(run, LEARNED, LEARNED, ("TWAP", "TWAP-limit", "peg"))]
