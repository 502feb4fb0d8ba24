"""The signal rules of `gwt_lab.allocation.signal_rules`, slow and plain: lists and loops."""

from __future__ import annotations

import math
import statistics

NAN = float("nan")
Table = list[list[float]]


def threshold_weights(forecast: Table, threshold: float, long_only: bool, cap: float) -> Table:
    rows = []
    for row in forecast:
        if all(math.isnan(p) for p in row):
            rows.append([NAN] * len(row))
            continue
        sides = []
        for p in row:
            if p > threshold:
                sides.append(1)
            elif not long_only and p < 1 - threshold:
                sides.append(-1)
            else:
                sides.append(0)
        count = sum(abs(side) for side in sides)
        rows.append([side * min(1 / count, cap) if side else 0.0 for side in sides])
    return rows


def volatility_target(weights: Table, returns: Table, target: float, window: int, max_gross: float) -> Table:
    rows = []
    for t, row in enumerate(weights):
        hold = [NAN] * len(row)
        if any(math.isnan(w) for w in row):
            rows.append(hold)
            continue
        if all(w == 0 for w in row):
            rows.append([0.0] * len(row))
            continue
        past = []
        for u in range(max(0, t - window + 1), t + 1):
            earned = [w * r for w, r in zip(row, returns[u], strict=True) if w != 0]
            if not any(math.isnan(x) for x in earned):
                past.append(sum(earned))
        if len(past) < max(2, math.ceil(window / 2)) or max(past) == min(past):
            rows.append(hold)
            continue
        scale = min(target / statistics.stdev(past), max_gross / sum(abs(w) for w in row))
        rows.append([w * scale for w in row])
    return rows


def no_trade_band(weights: Table, band: float, returns: Table | None, to_edge: bool) -> Table:
    held = [0.0] * len(weights[0])
    rows = []
    for t, row in enumerate(weights):
        moves = [0.0 if returns is None or math.isnan(r) else r for r in (returns[t] if returns else [0.0] * len(row))]
        account = 1 + sum(w * r for w, r in zip(held, moves, strict=True))
        held = [w * (1 + r) / account if account > 0 else 0.0 for w, r in zip(held, moves, strict=True)]
        traded = []
        for at, goal in enumerate(row):
            if math.isnan(goal):
                traded.append(NAN)
            elif goal == 0 and held[at] != 0:
                held[at] = 0.0
                traded.append(0.0)
            elif abs(goal - held[at]) > band:
                if to_edge and goal != 0:
                    goal = goal - band if goal > held[at] else goal + band
                held[at] = goal
                traded.append(goal)
            else:
                traded.append(NAN)
        rows.append(traded)
    return rows
