"""Built-in strategy families, and how the combinations of one are evaluated together.

A family says which rows of indicators a combination needs; rows are made once for all combinations that share them.
Then two passes per symbol: rows into signals (words of 64 bars), signals into accounts. Nothing of the size
combinations x bars is made: signals of a block of combinations take a quarter of a byte a bar.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from gwt_lab.backtest.sweep import fused
from gwt_lab.backtest.sweep.fused_words import above_and_below, cross_rows, n_words, pack
from gwt_lab.backtest.sweep.indicators import MEAN
from gwt_lab.backtest.sweep.rows import RowKind, RowPool, Rows
from gwt_lab.backtest.sweep.streaming import N_ACC
from gwt_lab.errors import ConfigError, ShapeError
from gwt_lab.market.fills import DELAY_BARS

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

_DIRECTIONS = {"longonly": fused.LONG_ONLY, "shortonly": fused.SHORT_ONLY, "both": fused.BOTH}
_AMBIGUITIES = {"pessimistic": fused.PESSIMISTIC, "neutral": fused.NEUTRAL, "optimistic": fused.OPTIMISTIC}
# Signals of one block of combinations take at most about this much.
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True)
class SweepRules:
    """How every account of a sweep trades.

    Parameters
    ----------
    price : {"next_open", "close"}
        Filled at the open after the deciding bar, or at the deciding bar's own close.
    fees, slippage : float
        Fractions of the traded value and of the price.
    fixed_fees : float
        Quote currency for each order.
    init_cash : float
        Quote currency.
    direction : {"longonly", "shortonly", "both"}
        What an entry opens and an exit does: both means that an exit opens a short.
    sl_stop, tp_stop : float
        Fractions of the entry price at which a position is closed with a loss or a gain inside a bar; NaN is none.
    sl_trail : bool
        Let the loss stop follow the best price of completed bars.
    time_stop : int
        Bars after which a position is closed; 0 is never.
    ambiguity : {"pessimistic", "neutral", "optimistic"}
        Where one bar holds the loss stop and the target: the loss first, the nearer to the open first, the gain first.
    """

    price: str = "next_open"
    fees: float = 0.001
    slippage: float = 0.0005
    fixed_fees: float = 0.0
    init_cash: float = 10_000.0
    direction: str = "longonly"
    sl_stop: float = float("nan")
    tp_stop: float = float("nan")
    sl_trail: bool = False
    time_stop: int = 0
    ambiguity: str = "pessimistic"

    @property
    def has_price_stops(self) -> bool:
        """Whether a position can be closed inside a bar."""
        return not (np.isnan(self.sl_stop) and np.isnan(self.tp_stop))

    @property
    def rates(self) -> np.ndarray:
        """Fees, slippage, fixed fee, as `market.fills.fill_order` takes them."""
        return np.array([self.fees, self.slippage, self.fixed_fees])

    @property
    def setup(self) -> np.ndarray:
        """The rest, as `fused.simulate` takes it."""
        setup = np.zeros(fused.N_SETUP)
        setup[fused.INIT_CASH], setup[fused.DELAY] = self.init_cash, DELAY_BARS[self.price]
        setup[fused.DIRECTION], setup[fused.AMBIGUITY] = _DIRECTIONS[self.direction], _AMBIGUITIES[self.ambiguity]
        setup[fused.HAS_STOPS] = self.has_price_stops or self.time_stop > 0
        setup[fused.LOSS], setup[fused.GAIN] = self.sl_stop, self.tp_stop
        setup[fused.TRAIL], setup[fused.TIME_STOP] = self.sl_trail, self.time_stop
        return setup


@dataclass(frozen=True)
class Paths:
    """Prices as the accounts need them.

    Parameters
    ----------
    fills : ndarray of shape (n_symbols, n_times)
        Where orders are filled; NaN where they cannot be.
    marks : ndarray of shape (n_symbols, n_times)
        Where positions are valued: the close, else the fill price, else as before.
    sums : ndarray of shape (n_symbols, n_times + 1, N_SUMS)
        Running sums of the marks.
    ranges : ndarray of shape (n_symbols, 3, n_times or 0)
        Open, high, low, holes inside a bar filled from its open and close; empty without price stops.
    """

    fills: np.ndarray
    marks: np.ndarray
    sums: np.ndarray
    ranges: np.ndarray


@dataclass(frozen=True)
class SweepMarket:
    """Bars as the kernels take them: symbols first, C-contiguous float64, NaN where there is no bar.

    Parameters
    ----------
    symbols : tuple of str
        Names.
    times_ns : ndarray of shape (n_times,), int64
        Open times.
    open, high, low, close, volume : ndarray of shape (n_symbols, n_times)
        Prices above 0.
    bars_per_year : float
        Of 365 days.
    """

    symbols: tuple[str, ...]
    times_ns: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    bars_per_year: float
    _kept: dict[tuple[str, bool], Paths] = field(default_factory=dict, repr=False, compare=False)

    def paths(self, rules: SweepRules) -> Paths:
        """Return the prices that accounts under `rules` see; made once for each kind of rules."""
        key = (rules.price, rules.has_price_stops)
        if key not in self._kept:
            self._kept[key] = self._make_paths(*key)
        return self._kept[key]

    def _make_paths(self, price: str, with_ranges: bool) -> Paths:
        fills = self.close if price == "close" else self.open
        known = np.where(np.isnan(self.close), fills, self.close)
        marks = known if not np.isnan(known).any() else pd.DataFrame(known.T).ffill().to_numpy().T
        marks = np.ascontiguousarray(marks)
        ranges = np.empty((len(fills), 3, 0))
        if with_ranges:
            first = np.where(np.isnan(self.open), self.close, self.open)
            high = np.where(np.isnan(self.high), np.fmax(first, self.close), self.high)
            low = np.where(np.isnan(self.low), np.fmin(first, self.close), self.low)
            ranges = np.stack([first, high, low], axis=1)
        return Paths(fills, marks, np.stack([fused.running_sums(row) for row in marks]), ranges)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": {}}


# ------------------------------------------------------------------------------------------------ families
class Family(ABC):
    """Strategies that differ in numbers only.

    Attributes
    ----------
    name : str
    defaults : dict
        Parameter names in order, with their defaults.
    portfolio : bool
        True where one account is traded over all symbols, by weights.
    """

    name: ClassVar[str]
    defaults: ClassVar[Mapping[str, float]]
    whole: ClassVar[tuple[str, ...]] = ()
    portfolio: ClassVar[bool] = False
    # kind of row -> names of the parameters that make one, once for each row that a combination needs
    uses: ClassVar[tuple[tuple[RowKind, tuple[str, ...]], ...]] = ()

    def check(self, params: pd.DataFrame) -> None:
        """Refuse combinations that make no sense.

        Raises
        ------
        ConfigError
            Naming the first row that is wrong.
        """
        for name in self.defaults:
            values = params[name].to_numpy()
            wrong = ~np.isfinite(values.astype(np.float64))
            wanted = "a number"
            if name in self.whole:
                wanted = "a whole number of bars, 1 or more"
                wrong |= (values != np.floor(values)) | (values < 1)
            self._refuse(params, wrong, f"{name} must be {wanted}")
        for wrong, message in self._rules(params):
            self._refuse(params, np.asarray(wrong), message)

    def _rules(self, params: pd.DataFrame) -> list[tuple[Any, str]]:
        """Return (rows that are wrong, what was wanted) of what concerns more than one parameter."""
        return []

    def _refuse(self, params: pd.DataFrame, wrong: np.ndarray, wanted: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            got = ", ".join(f"{name}={params[name].iloc[row]:g}" for name in self.defaults)
            raise ConfigError(f"{self.name}: {wanted}; combination {row} has {got}")

    @abstractmethod
    def lookback(self, params: Mapping[str, float]) -> int:
        """Return how many bars one decision needs, the deciding bar included."""

    def signals(self, market: SweepMarket, **params: float) -> tuple[np.ndarray, np.ndarray]:
        """Return (entries, exits) of one combination, booleans of shape (n_symbols, n_times)."""
        matrix = np.array([[float((self.defaults | params)[name]) for name in self.defaults]])
        pool = RowPool.of(self.uses, tuple(self.defaults), matrix)
        n_times = market.close.shape[1]
        out = np.zeros((2, len(market.symbols), n_times), dtype=bool)
        for j in range(len(market.symbols)):
            entries, exits = self.words(pool, pool.make(market, j), matrix)
            for side, words in enumerate((entries, exits)):
                out[side, j] = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[0, :n_times]
        return out[0], out[1]

    def words(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the signals of combinations of one symbol, uint64 of shape (n_combos, n_words) each."""
        raise NotImplementedError

    def weights(self, market: SweepMarket, **params: float) -> np.ndarray:
        """Return target weights of one combination, (n_symbols, n_times); of portfolio families only."""
        raise NotImplementedError(f"{self.name} gives signals, not weights")


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
    if family.portfolio:
        raise NotImplementedError
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


# ------------------------------------------------------------------------------------------------ crossings
class _Crossing(Family):
    """Long when one row crosses above another, out when it crosses below."""

    def words(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return crossings of the first use's rows over the second's."""
        left, right = (rows[kind] for kind, _ in pool.uses[:2])
        words = np.empty((2, len(params), left.missing.shape[1]), dtype=np.uint64)
        above_and_below(left.values, pool.index[0], right.values, pool.index[1], *words.view(np.uint8))
        cross_rows(*words, *self._forgets(pool, rows, params))
        return words[0], words[1]

    @abstractmethod
    def _forgets(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return words of missing bars, which of them each combination has, and each one's patience with ties."""


class MovingAverages(_Crossing):
    """Simple moving averages of the close: in when the fast one crosses above the slow one, out when below.

    A crossing is the first bar on one side after the other side was seen; equality is none, and after the longer
    window's bars of equality, or a missing bar in a window, the side is forgotten. Averages that differ by less than
    1e-12 of their size are equal.
    """

    name = "ma_cross"
    defaults: ClassVar[Mapping[str, float]] = {"fast": 10, "slow": 50}
    whole = ("fast", "slow")
    uses = ((MEAN, ("fast",)), (MEAN, ("slow",)))

    def _rules(self, params: pd.DataFrame) -> list[tuple[Any, str]]:
        return [(params["fast"] == params["slow"], "fast and slow must differ")]

    def lookback(self, params: Mapping[str, float]) -> int:
        """Return twice the longer window: its average, and the bars in which the other side must have been seen."""
        return 2 * int(max(params["fast"], params["slow"]))

    def _forgets(self, pool: RowPool, rows: list[Rows], params: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        longer = np.maximum(pool.index[0], pool.index[1])
        return rows[0].missing, longer, pool.keys[0][longer, 0].astype(np.int64) - 1


FAMILIES: dict[str, Family] = {family.name: family for family in (MovingAverages(),)}
