"""Budgets, caps and turnover on arrays: closed forms and bisections, no solver that could fail."""

from __future__ import annotations

import numpy as np

__all__ = ["capped_shares", "cut_turnover", "shrink_trades"]

_HALVINGS = 100
_ROUNDING = 1e-9


def capped_shares(raw: np.ndarray, cap: float, total: float) -> np.ndarray:
    """Return weights in proportion to `raw`, none above `cap`, with sum `total`.

    Parameters
    ----------
    raw : ndarray of shape (n_assets,)
        Positive.
    cap : float
        Largest weight; ``cap * n_assets`` must reach `total`, else all are at the cap.
    total : float
        Sum of the weights.

    Notes
    -----
    What the cap takes from one asset goes to those below it, in proportion: each round fixes at least one asset.
    """
    if cap * len(raw) <= total:
        return np.full(len(raw), cap)
    weights = np.zeros(len(raw))
    free = np.ones(len(raw), dtype=bool)
    for _ in range(len(raw)):
        left = total - cap * np.count_nonzero(~free)
        weights[free] = left * raw[free] / raw[free].sum()
        over = free & (weights > cap)
        if not over.any():
            break
        weights[over] = cap
        free &= ~over
    return weights


def shrink_trades(
    target: np.ndarray, previous: np.ndarray, penalty: float, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Return the weights nearest to `target` when each unit of turnover counts `penalty`.

    Parameters
    ----------
    target, previous : ndarray of shape (n_assets,)
        Weights wanted and held.
    penalty : float
        In units of weight; 0 returns the nearest weights within the bounds.
    low, high : ndarray of shape (n_assets,)
        Bounds; the sum of `target` must lie between their sums.

    Returns
    -------
    ndarray of shape (n_assets,)
        The minimiser of ``0.5 * sum((w - target)**2) + penalty * sum(abs(w - previous))`` within the bounds, with the
        sum of `target`.

    Notes
    -----
    With a multiplier v of the sum, each weight is ``clip(previous + soft(target - previous - v, penalty))``; the sum
    falls as v rises, so v is found by halving.
    """
    total = target.sum()

    def at(shift: float) -> np.ndarray:
        step = target - previous - shift
        moved = previous + np.sign(step) * np.maximum(np.abs(step) - penalty, 0.0)
        inside: np.ndarray = np.clip(moved, low, high)
        return inside

    reach = float(np.abs(target).max() + np.abs(previous).max() + np.abs(low).max() + np.abs(high).max()) + penalty + 1
    lower, upper = -reach, reach
    for _ in range(_HALVINGS):
        middle = 0.5 * (lower + upper)
        if at(middle).sum() > total:
            lower = middle
        else:
            upper = middle
    return at(0.5 * (lower + upper))


def cut_turnover(
    target: np.ndarray,
    previous: np.ndarray,
    most: float,
    low: np.ndarray,
    high: np.ndarray,
    *,
    gross: float,
    net: float,
) -> np.ndarray:
    """Return the point on the way from what is held to `target` that the turnover limit reaches.

    Parameters
    ----------
    target, previous : ndarray of shape (n_assets,)
        Weights wanted and held.
    most : float
        Largest sum of absolute changes.
    low, high : ndarray of shape (n_assets,)
        Bounds of the weights. What is held beyond them is brought back first, whatever the limit says.
    gross, net : float
        Largest sum of absolute weights, and of weights.

    Returns
    -------
    ndarray of shape (n_assets,)
        Within all bounds if `target` is. The sum may lie between those of `previous` and `target`: the rest is cash.
    """
    start = np.clip(previous, low, high)
    size, total = float(np.abs(start).sum()), float(start.sum())
    if size > gross + _ROUNDING or total > net + _ROUNDING:
        start = start * min(gross / size, net / total if total > net else 1.0) + 0.0  # no -0
    left = max(most - np.abs(start - previous).sum(), 0.0)
    way = np.abs(target - start).sum()
    if way <= left:
        return target
    reached: np.ndarray = start + (left / way) * (target - start)
    return reached


def within_gross(weights: np.ndarray, inside: np.ndarray, gross: float) -> np.ndarray:
    """Return the point nearest to `weights` on the way from `inside` whose absolute weights sum to at most `gross`."""
    if np.abs(weights).sum() <= gross + _ROUNDING:
        return weights
    lower, upper = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (lower + upper)
        if np.abs(inside + middle * (weights - inside)).sum() <= gross:
            lower = middle
        else:
            upper = middle
    nearest: np.ndarray = inside + lower * (weights - inside)
    return nearest
