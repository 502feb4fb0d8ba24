"""The built-in strategy families, and how the combinations of one are evaluated together.

A family says which rows of indicators a combination needs; rows are made once for all combinations that share them.
Then two passes per symbol: rows into signals (words of 64 bars), signals into accounts. Nothing of the size
combinations x bars is made: signals of a block of combinations take a quarter of a byte a bar.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gwt_lab.backtest.sweep import fused
from gwt_lab.backtest.sweep.families_base import Family, Paths, SweepMarket, SweepRules
from gwt_lab.backtest.sweep.families_rank import BestReturns
from gwt_lab.backtest.sweep.families_signals import SIGNAL_FAMILIES
from gwt_lab.backtest.sweep.fused_words import n_words, pack
from gwt_lab.backtest.sweep.rows import RowPool, Rows
from gwt_lab.backtest.sweep.streaming import N_ACC
from gwt_lab.errors import ShapeError

__all__ = [
    "FAMILIES",
    "Family",
    "Prepared",
    "SweepMarket",
    "SweepRules",
    "edge_bars",
    "evaluate",
    "evaluate_signals",
    "prepare",
]

FAMILIES: dict[str, Family] = {family.name: family for family in (*SIGNAL_FAMILIES, BestReturns())}

# Signals of one block of combinations take at most about this much.
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True)
class Prepared:
    """What all chunks of a sweep share.

    Parameters
    ----------
    paths : Paths
        Prices.
    pool : RowPool
        Which rows of indicators there are.
    rows : list of list of Rows, or None
        Those rows, for each symbol and kind; None where they would not fit and every chunk makes its own.
    """

    paths: Paths
    pool: RowPool
    rows: list[list[Rows]] | None


def prepare(
    family: Family, market: SweepMarket, params: np.ndarray, rules: SweepRules, *, max_bytes: int = 256 << 20
) -> Prepared:
    """Make what all combinations of a sweep share, once.

    Parameters
    ----------
    params : ndarray of shape (n_combos, n_params)
        All of the sweep's combinations, parameters in the order of `family.defaults`.
    max_bytes : int
        Rows that need more are not kept: each chunk makes those that it needs, one symbol at a time.
    """
    pool = RowPool.of(family.uses, tuple(family.defaults), params)
    fits = pool.n_rows * market.close.size * 8 <= max_bytes
    rows = [pool.make(market, j) for j in range(len(market.symbols))] if fits else None
    return Prepared(market.paths(rules), pool, rows)


def edge_bars(n_times: int, n_edges: int) -> np.ndarray:
    """Return the last bars of `n_edges` equal stretches of time, shape (n_edges,), int64; the first bar at least."""
    return np.maximum(np.arange(1, n_edges + 1, dtype=np.int64) * n_times // max(n_edges, 1) - 1, 0)


def evaluate(
    family: Family,
    market: SweepMarket,
    params: np.ndarray,
    rules: SweepRules,
    *,
    shared: Prepared | None = None,
    n_edges: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Run one account for every combination and symbol; single-threaded, most of it without the GIL.

    Parameters
    ----------
    params : ndarray of shape (n_combos, n_params)
        Parameters in the order of `family.defaults`; not checked here.
    shared : Prepared, optional
        What `prepare` returned for combinations that include these.
    n_edges : int
        At how many equally spaced bars the accounts' worth is returned.

    Returns
    -------
    acc : ndarray of shape (n_combos, n_symbols, N_ACC)
        See `streaming`. One symbol for a portfolio family.
    edges : ndarray of shape (n_combos, n_symbols, n_edges), float32
        Worth at the bars `edge_bars` names.
    """
    params = np.ascontiguousarray(params, dtype=np.float64)
    if isinstance(family, BestReturns):
        return family.accounts(market, params, rules, edge_bars(market.close.shape[1], n_edges))
    shared = shared or prepare(family, market, params, rules, max_bytes=0)
    n_symbols, n_times = market.close.shape
    bars, rates, setup = edge_bars(n_times, n_edges), rules.rates, rules.setup
    acc = np.empty((n_symbols, len(params), N_ACC))
    edges = np.empty((n_symbols, len(params), n_edges), dtype=np.float32)
    block = max(_BLOCK_BYTES // (16 * n_words(n_times)), 1)
    paths = shared.paths
    for start in range(0, len(params), block):
        part = slice(start, start + block)
        pool = shared.pool.part(params[part], keep=shared.rows is not None)
        for j in range(n_symbols):
            rows = shared.rows[j] if shared.rows is not None else pool.make(market, j)
            signals = family.words(pool, rows, params[part])
            prices = (paths.fills[j], paths.marks[j], paths.sums[j], paths.ranges[j])
            fused.simulate_many(*signals, *prices, setup, rates, bars, acc[j, part], edges[j, part])
    return acc.transpose(1, 0, 2), edges.transpose(1, 0, 2)


def evaluate_signals(
    market: SweepMarket, entries: np.ndarray, exits: np.ndarray, rules: SweepRules, *, n_edges: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Run one account for every symbol over given signals.

    Parameters
    ----------
    entries, exits : ndarray of shape (n_symbols, n_times), bool
        A bar that has both has none.

    Returns
    -------
    acc : ndarray of shape (1, n_symbols, N_ACC)
    edges : ndarray of shape (1, n_symbols, n_edges), float32

    Raises
    ------
    ShapeError
        If a signal has not one value for each symbol and bar.
    """
    n_symbols, n_times = market.close.shape
    for name, flags in (("entries", entries), ("exits", exits)):
        if flags.shape != market.close.shape or flags.dtype != np.bool_:
            raise ShapeError(
                f"{name} must be bool of shape {market.close.shape}, got {flags.dtype} of shape {flags.shape}"
            )
    paths, bars, rates, setup = market.paths(rules), edge_bars(n_times, n_edges), rules.rates, rules.setup
    acc, edges = np.empty((n_symbols, 1, N_ACC)), np.empty((n_symbols, 1, n_edges), dtype=np.float32)
    words = np.empty((2, n_symbols, n_words(n_times)), dtype=np.uint64)
    pack(np.ascontiguousarray(entries), words[0])
    pack(np.ascontiguousarray(exits), words[1])
    for j in range(n_symbols):
        prices = (paths.fills[j], paths.marks[j], paths.sums[j], paths.ranges[j])
        signals = (words[0, j : j + 1], words[1, j : j + 1])
        fused.simulate_many(*signals, *prices, setup, rates, bars, acc[j], edges[j])
    return acc.transpose(1, 0, 2), edges.transpose(1, 0, 2)
