"""Portfolios in closed form, and hierarchical risk parity as its paper tells it: lists and loops."""

from __future__ import annotations

import numpy as np


def min_variance(covariance: np.ndarray) -> np.ndarray:
    """Weights of either sign that sum to 1 and have the smallest variance."""
    raw = np.linalg.solve(covariance, np.ones(len(covariance)))
    return raw / raw.sum()


def max_sharpe(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Weights of either sign that sum to 1 and have the largest ratio; right where the raw sum is positive."""
    raw = np.linalg.solve(covariance, mean)
    assert raw.sum() > 0
    return raw / raw.sum()


def risk_shares(weights: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Each asset's part of the variance."""
    return weights * (covariance @ weights) / (weights @ covariance @ weights)


def bisected(order: list[int], covariance: np.ndarray) -> list[float]:
    """Lopez de Prado (2016), algorithm 2 step 3: split the order in halves, each by the inverse of its variance."""
    weights = [1.0] * len(order)

    def variance(part: list[int]) -> float:
        inverse = [1 / covariance[i][i] for i in part]
        share = [x / sum(inverse) for x in inverse]
        pairs = list(zip(share, part, strict=True))
        return sum(a * b * covariance[i][j] for a, i in pairs for b, j in pairs)

    def split(part: list[int]) -> None:
        if len(part) < 2:
            return
        left, right = part[: len(part) // 2], part[len(part) // 2 :]
        alpha = 1 - variance(left) / (variance(left) + variance(right))
        for i in left:
            weights[i] *= alpha
        for i in right:
            weights[i] *= 1 - alpha
        split(left)
        split(right)

    split(order)
    return weights
