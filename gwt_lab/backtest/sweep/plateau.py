"""How good the neighbourhood of each combination is: a broad hill beats a lone spike."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError
from gwt_lab.kinds import is_whole

__all__ = ["PLATEAU_COLUMNS", "axis_ranks", "plateau_scores"]

PLATEAU_COLUMNS = ("value", "median", "worst", "dispersion", "neighbours", "missing", "score")
_BLOCK_VALUES = 4_000_000
_MOST_PLACES = 100_000


def axis_ranks(index: pd.Index, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's rank on each parameter, shape (n_rows, n_parameters), and which parameters have an order.

    Numbers are ranked by size among the values that occur; a missing value (no stop) ranks last. Text and True/False
    have no order: other values of theirs are no neighbours.
    """
    ranks = np.empty((len(index), len(names)), dtype=np.int64)
    ordered = np.zeros(len(names), dtype=bool)
    for place, name in enumerate(names):
        values = index.get_level_values(name)
        ordered[place] = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype)
        codes, uniques = pd.factorize(values, sort=bool(ordered[place]))
        ranks[:, place] = np.where(codes < 0, len(uniques), codes)
    return ranks, ordered


def plateau_scores(values: np.ndarray, ranks: np.ndarray, ordered: np.ndarray, radius: int) -> dict[str, np.ndarray]:
    """Return what surrounds each combination.

    Parameters
    ----------
    values : ndarray of shape (n_combinations,)
        The metric, larger is better; NaN is no value.
    ranks : ndarray of shape (n_combinations, n_parameters), int64
        Position of each combination on each parameter's axis.
    ordered : ndarray of shape (n_parameters,), bool
        Axes along which neighbours lie; on the others a neighbour has the same rank.
    radius : int
        Steps along each axis that a neighbour is away at most (Chebyshev distance), the combination itself included.

    Returns
    -------
    dict of ndarray of shape (n_combinations,)
        `value`; `median`, `worst` and `dispersion` (standard deviation, ddof=0) of the values in the neighbourhood;
        `neighbours`, how many values those are; `missing`, how many more a place inside the grid has; and
        ``score = median - dispersion * sqrt((neighbours + missing) / neighbours)``. An edge has fewer neighbours, so
        that the same dispersion costs it more. The score is NaN where the value is, and where there are fewer values
        than one more than the number of axes: what has no neighbourhood cannot be judged.
    """
    if not is_whole(radius) or radius < 1:
        raise ConfigError(f"radius must be a whole number of steps of at least 1, got {radius!r}")
    sizes = ranks.max(axis=0) + 1 if len(ranks) else np.ones(ranks.shape[1], dtype=np.int64)
    if np.prod(sizes.astype(np.float64)) > 2**62:
        raise ConfigError("the parameters take too many different values to number the grid: drop one or round them")
    strides = np.concatenate([np.cumprod(sizes[::-1])[::-1][1:], [1]]).astype(np.int64)
    keys = ranks @ strides
    order = np.argsort(keys, kind="stable")
    sorted_keys, sorted_values = keys[order], values[order]
    moving = ordered & (sizes > 1)
    if (2 * int(radius) + 1) ** int(moving.sum()) > _MOST_PLACES:
        raise ConfigError(
            f"radius={radius} looks at {(2 * int(radius) + 1) ** int(moving.sum()):,} places around each combination, "
            f"at most {_MOST_PLACES:,} are taken: take a smaller one"
        )
    steps = [range(-radius, radius + 1) if moves else (0,) for moves in moving]
    offsets = np.array(list(itertools.product(*steps)), dtype=np.int64).reshape(-1, len(sizes))
    out = {name: np.empty(len(values)) for name in ("median", "worst", "dispersion", "neighbours")}
    block = max(1, _BLOCK_VALUES // len(offsets))
    for start in range(0, len(values), block):
        rows = slice(start, start + block)
        found = _neighbours(ranks[rows], keys[rows], offsets, (sizes, strides, sorted_keys, sorted_values))
        for name, column in zip(out, _summary(found), strict=True):
            out[name][rows] = column
    full, present = len(offsets), out["neighbours"]
    with np.errstate(divide="ignore", invalid="ignore"):
        score = out["median"] - out["dispersion"] * np.sqrt(full / present)
    score[np.isnan(values) | (present < 1 + moving.sum())] = np.nan
    return {"value": values, **out, "missing": full - present, "score": score}


def _neighbours(ranks: np.ndarray, keys: np.ndarray, offsets: np.ndarray, grid: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return the values around each combination, shape (n_rows, n_offsets); NaN where there is none."""
    sizes, strides, sorted_keys, sorted_values = grid
    found = np.full((len(ranks), len(offsets)), np.nan)
    for column, offset in enumerate(offsets):
        there = ranks + offset
        wanted = keys + int(offset @ strides)
        place = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
        hit = ((there >= 0) & (there < sizes)).all(axis=1) & (sorted_keys[place] == wanted)
        found[hit, column] = sorted_values[place[hit]]
    return found


def _summary(found: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return median, smallest, standard deviation and number of the values in each row; NaN where there are none."""
    found = np.sort(found, axis=1)  # NaN goes last
    present = np.count_nonzero(~np.isnan(found), axis=1)
    rows = np.arange(len(found))
    low, high = np.maximum((present - 1) // 2, 0), np.minimum(present // 2, found.shape[1] - 1)
    median = 0.5 * (found[rows, low] + found[rows, high])
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(found, axis=1) / present
        spread = np.sqrt(np.nansum((found - mean[:, None]) ** 2, axis=1) / present)
    return median, found[:, 0], spread, present.astype(np.float64)
