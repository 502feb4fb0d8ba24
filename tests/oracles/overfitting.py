"""Combinatorially symmetric cross-validation, split by split."""

from __future__ import annotations

from itertools import combinations

import numpy as np


def _ratio(column: np.ndarray) -> float:
    if not column.any():
        return 0.0
    return column.mean() / column.std(ddof=1)


def overfitting_by_splits(returns: np.ndarray, n_blocks: int) -> list[tuple[float, float, float]]:
    """Return (logit, ratio in the sample, ratio out of it) of the chosen strategy for each half of the blocks."""
    n_times, n_strategies = returns.shape
    edges = [block * n_times // n_blocks for block in range(n_blocks + 1)]
    blocks = [returns[edges[block] : edges[block + 1]] for block in range(n_blocks)]
    found = []
    for chosen in combinations(range(n_blocks), n_blocks // 2):
        inside = np.concatenate([blocks[block] for block in chosen])
        outside = np.concatenate([blocks[block] for block in range(n_blocks) if block not in chosen])
        inside_ratios = [_ratio(inside[:, strategy]) for strategy in range(n_strategies)]
        outside_ratios = [_ratio(outside[:, strategy]) for strategy in range(n_strategies)]
        best = max(range(n_strategies), key=lambda strategy: inside_ratios[strategy])
        below = sum(ratio < outside_ratios[best] for ratio in outside_ratios)
        tied = sum(ratio == outside_ratios[best] for ratio in outside_ratios)
        share = (below + (tied + 1) / 2) / (n_strategies + 1)
        found.append((float(np.log(share / (1 - share))), inside_ratios[best], outside_ratios[best]))
    return found
