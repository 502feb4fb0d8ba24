"""Slow plain twins of the kernels in `gwt_lab.strategies`."""

from __future__ import annotations

import math


def plain_mean(column: list[float], window: int) -> list[float]:
    out = []
    for i in range(len(column)):
        part = column[max(i - window + 1, 0) : i + 1]
        total = 0.0
        for value in part:
            total = total + value
        out.append(total / window if len(part) == window else math.nan)
    return out


def same(a: float, b: float) -> bool:
    return a == b or math.isclose(a, b, rel_tol=1e-12)


def plain_crossings(fast: list[float], slow: list[float], patience: int) -> list[int]:
    """Look back from every row for the last row on either side."""
    out = []
    for i in range(len(fast)):
        if math.isnan(fast[i]) or math.isnan(slow[i]) or same(fast[i], slow[i]):
            out.append(0)
            continue
        now = 1 if fast[i] > slow[i] else -1
        equal, found = 0, 0
        for k in range(i - 1, -1, -1):
            if math.isnan(fast[k]) or math.isnan(slow[k]):
                break
            if same(fast[k], slow[k]):
                equal += 1
                if equal > patience:
                    break
                continue
            found = 1 if fast[k] > slow[k] else -1
            break
        out.append(now if found == -now else 0)
    return out
