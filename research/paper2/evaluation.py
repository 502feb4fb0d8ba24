"""Policies on the held-out paths: every path is bought and sold, and counts once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gwt_lab.execution.core import ExecutionTask
from gwt_lab.execution.schedules import Evaluation, Policy, evaluate

__all__ = ["both_sides", "cost_by_path", "mean_of"]


def mean_of(evaluations: list[Evaluation]) -> Evaluation:
    """Return the average over training seeds, path by path."""
    first = evaluations[0]
    return replace(
        first,
        slippage_bps=np.mean([one.slippage_bps for one in evaluations], axis=0),
        luck_bps=np.mean([one.luck_bps for one in evaluations], axis=0),
        maker_share=np.mean([one.maker_share for one in evaluations], axis=0),
    )


def both_sides(policy: Policy, task: ExecutionTask, paths: np.ndarray) -> Evaluation:
    """Return a policy's executions as a buy of every path, then as a sell of every path."""
    bought, sold = (evaluate(policy, replace(task, side=side), paths) for side in ("buy", "sell"))
    return Evaluation(
        name=policy.name,
        slippage_bps=np.concatenate([bought.slippage_bps, sold.slippage_bps]),
        luck_bps=np.concatenate([bought.luck_bps, sold.luck_bps]),
        maker_share=np.concatenate([bought.maker_share, sold.maker_share]),
        inventory=np.concatenate([bought.inventory, sold.inventory], axis=1),
        mid=np.concatenate([bought.mid, sold.mid], axis=1),
    )


def cost_by_path(one: Evaluation) -> np.ndarray:
    """Return the cost of each path, luck taken out, as the mean of its buy and its sell."""
    costs: np.ndarray = (one.slippage_bps - one.luck_bps).reshape(2, -1).mean(axis=0)
    return costs
