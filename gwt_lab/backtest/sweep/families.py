"""The built-in strategy families, and how the combinations of one are evaluated together.

A family says which rows of indicators a combination needs; rows are made once for all combinations that share them.
Then two passes per symbol: rows into signals (words of 64 bars), signals into accounts. Nothing of the size
combinations x bars is made: signals of a block of combinations take a quarter of a byte a bar.
"""

from __future__ import annotations

import itertools
import threading

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


class Prepared:
    """What all chunks of a sweep share: made when it is first asked for, by whichever thread asks.

    Parameters
    ----------
    family : Family
    market : SweepMarket
    params : ndarray of shape (n_combos, n_params)
        All of the sweep's combinations.
    rules : SweepRules
    max_bytes : int
        Rows of as many symbols as fit are kept; chunks make the others' anew, those that they need.
    """

    def __init__(
        self, family: Family, market: SweepMarket, params: np.ndarray, rules: SweepRules, max_bytes: int
    ) -> None:
        self.market, self.paths = market, market.paths(rules)
        self.pool = RowPool.of(family.uses, tuple(family.defaults), params)
        n_symbols, n_times = market.close.shape
        self.n_kept = min(max_bytes // max(8 * 64 * n_words(n_times) * self.pool.n_rows, 1), n_symbols)
        self._rows: list[list[Rows] | None] = [None] * self.n_kept
        self._locks = [threading.Lock() for _ in range(self.n_kept)]
        self._turns = itertools.count()

    def symbols(self) -> list[int]:
        """Return all symbols, beginning elsewhere at each call, so that two threads seldom wait for the same rows."""
        n = len(self.market.symbols)
        first = int(next(self._turns) * 0.618034 * n) % n
        return [*range(first, n), *range(first)]

    def rows(self, symbol: int) -> list[Rows]:
        """Return the kept rows of one of the first `n_kept` symbols."""
        with self._locks[symbol]:
            made = self._rows[symbol]
            if made is None:
                made = self._rows[symbol] = self.pool.make(self.market, symbol)
            return made


def prepare(
    family: Family, market: SweepMarket, params: np.ndarray, rules: SweepRules, *, max_bytes: int = 128 << 20
) -> Prepared:
    """Return what all chunks of a sweep share; may be used by several threads.

    Parameters
    ----------
    params : ndarray of shape (n_combos, n_params)
        All of the sweep's combinations, parameters in the order of `family.defaults`.
    max_bytes : int
        What the rows that are kept may take.
    """
    return Prepared(family, market, params, rules, max_bytes)


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
    n_symbols, n_times = market.close.shape
    bars = edge_bars(n_times, n_edges)
    if isinstance(family, BestReturns):
        return family.accounts(market, params, rules, bars)
    shared = shared or prepare(family, market, params, rules, max_bytes=0)
    acc = np.empty((n_symbols, len(params), N_ACC))
    edges = np.empty((n_symbols, len(params), n_edges), dtype=np.float32)
    block = max(_BLOCK_BYTES // (16 * n_words(n_times)), 1)
    for start in range(0, len(params), block):
        part = slice(start, start + block)
        own = shared.pool.part(params[part])
        kept = shared.pool.look_up(own) if shared.n_kept else own
        made: list[Rows] | None = None
        for j in shared.symbols():
            if j < shared.n_kept:
                signals = family.words(kept, shared.rows(j), params[part])
            else:
                made = own.make(market, j, into=made)
                signals = family.words(own, made, params[part])
            _simulate(signals, shared.paths, j, rules, bars, acc[j, part], edges[j, part])
    return acc.transpose(1, 0, 2), edges.transpose(1, 0, 2)


def _simulate(
    signals: tuple[np.ndarray, np.ndarray],
    paths: Paths,
    symbol: int,
    rules: SweepRules,
    bars: np.ndarray,
    acc: np.ndarray,
    edges: np.ndarray,
) -> None:
    """Run the accounts of one symbol, a row of signals each."""
    prices = (paths.fills[symbol], paths.marks[symbol], paths.sums[symbol], paths.ranges[symbol])
    fused.simulate_many(*signals, *prices, rules.setup, rules.rates, bars, acc, edges)


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
    paths, bars = market.paths(rules), edge_bars(n_times, n_edges)
    acc, edges = np.empty((n_symbols, 1, N_ACC)), np.empty((n_symbols, 1, n_edges), dtype=np.float32)
    words = np.empty((2, n_symbols, n_words(n_times)), dtype=np.uint64)
    pack(np.ascontiguousarray(entries), words[0])
    pack(np.ascontiguousarray(exits), words[1])
    for j in range(n_symbols):
        _simulate((words[0, j : j + 1], words[1, j : j + 1]), paths, j, rules, bars, acc[j], edges[j])
    return acc.transpose(1, 0, 2), edges.transpose(1, 0, 2)
