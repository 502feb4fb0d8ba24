"""The plateau score, cell by cell and neighbour by neighbour."""

from __future__ import annotations

import math


def plain_plateau(
    cells: dict[tuple[float, ...], float], ordered: list[bool], radius: int
) -> dict[tuple[float, ...], tuple[float, ...]]:
    """Return (median, worst, dispersion, neighbours, missing, score) of every cell; keys are parameter values."""
    axes = [sorted({key[place] for key in cells}) for place in range(len(ordered))]
    moving = [flag and len(axis) > 1 for flag, axis in zip(ordered, axes, strict=True)]
    full = (2 * radius + 1) ** sum(moving)
    out = {}
    for key, value in cells.items():
        found = []
        for other, its in cells.items():
            steps = [abs(axis.index(a) - axis.index(b)) for axis, a, b in zip(axes, key, other, strict=True)]
            near = all(step <= (radius if moves else 0) for step, moves in zip(steps, moving, strict=True))
            if near and not math.isnan(its):
                found.append(its)
        found.sort()
        n = len(found)
        if n == 0:
            out[key] = (math.nan, math.nan, math.nan, 0, full, math.nan)
            continue
        median = 0.5 * (found[(n - 1) // 2] + found[n // 2])
        mean = sum(found) / n
        spread = math.sqrt(sum((x - mean) ** 2 for x in found) / n)
        score = median - spread * math.sqrt(full / n)
        if math.isnan(value) or n < 1 + sum(moving):
            score = math.nan
        out[key] = (median, found[0], spread, n, full - n, score)
    return out
