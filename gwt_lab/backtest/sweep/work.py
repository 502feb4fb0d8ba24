"""What a sweep sends to whoever evaluates its chunks: data, combinations, rules; and how one chunk is evaluated."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from gwt_lab.backtest import kernels, metrics
from gwt_lab.backtest.sweep import fused, streaming
from gwt_lab.backtest.sweep.families import FAMILIES, Prepared, SweepMarket, SweepRules, edge_bars, evaluate, prepare
from gwt_lab.backtest.sweep.fused_words import n_words
from gwt_lab.backtest.sweep.grid import Grid
from gwt_lab.backtest.sweep.user_functions import Output, UserStrategy, arrays_of, call_words, read_output
from gwt_lab.errors import DataError, ShapeError
from gwt_lab.market.account import N_FILL
from gwt_lab.market.bars import Bars
from gwt_lab.market.fills import DELAY_BARS

__all__ = [
    "PORTFOLIO",
    "SIGNAL_BYTES",
    "Chunk",
    "Evaluated",
    "FamilyWork",
    "UserWork",
    "Work",
    "chunks_of",
    "sweep_market",
]

PORTFOLIO = "portfolio"
# signals of functions that are traded in one call
SIGNAL_BYTES = 4 << 20
# what the ledger wants of every trial, beside the metrics that the user asked for
SHARPE = "sharpe_ratio"


@dataclass(frozen=True, eq=False)
class Chunk:
    """Combinations evaluated in one call; all have the same rules.

    Parameters
    ----------
    rules : int
        Which of the sweep's rules.
    rows : ndarray of shape (n_rows,), int64
        Which combinations, increasing.
    """

    rules: int
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What came out of a chunk.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_symbols, n_metrics + 1)
        Metrics; the last is the Sharpe ratio, for the ledger.
    edges : ndarray of shape (n_rows, n_symbols, n_edges), float32
        Worth of the accounts at equally spaced bars.
    """

    values: np.ndarray
    edges: np.ndarray


@dataclass(eq=False)
class Work:
    """All that is needed to evaluate chunks.

    Parameters
    ----------
    market : SweepMarket
        Prices, symbols first.
    grid : Grid
        The strategy's own parameters in every combination.
    rules : tuple of SweepRules
        Those that occur in the sweep.
    metrics : tuple of str
        Names in `streaming.METRICS`.
    n_edges : int
        Bars at which the accounts' worth is kept.
    """

    market: SweepMarket
    grid: Grid
    rules: tuple[SweepRules, ...]
    metrics: tuple[str, ...]
    n_edges: int

    @property
    def shared_cash(self) -> bool:
        """Whether all symbols share one account."""
        return False

    @property
    def symbols(self) -> list[str]:
        """Names of the result's rows of one combination; one account of several symbols is a portfolio."""
        return [PORTFOLIO] if self.shared_cash and len(self.market.symbols) > 1 else list(self.market.symbols)

    def evaluate(self, chunk: Chunk) -> Evaluated:
        """Return the metrics of a chunk."""
        acc, edges = self.accounts(chunk)
        return Evaluated(self._metrics(acc), edges)

    def accounts(self, chunk: Chunk) -> tuple[np.ndarray, np.ndarray]:
        """Return the sums that the metrics follow from, and the accounts' worth at the edges."""
        raise NotImplementedError

    def _metrics(self, acc: np.ndarray) -> np.ndarray:
        out = np.empty((*acc.shape[:2], len(self.metrics) + 1))
        year = self.market.bars_per_year
        for place, name in enumerate((*self.metrics, SHARPE)):
            if name == SHARPE and SHARPE in self.metrics and place == len(self.metrics):
                out[..., place] = out[..., self.metrics.index(SHARPE)]
                continue
            out[..., place] = streaming.METRICS[name](acc, year)
        return out


class FamilyWork(Work):
    """A built-in family: combinations are rows of numbers, evaluated by one fused kernel."""

    def __init__(self, family: str, parameters: np.ndarray, work: Work, max_bytes: int) -> None:
        super().__init__(work.market, work.grid, work.rules, work.metrics, work.n_edges)
        self.family = family
        self.parameters = parameters
        # indicators that need more are made again by every chunk
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._prepared: tuple[int, Prepared] | None = None

    @property
    def shared_cash(self) -> bool:
        """Whether the family trades one account."""
        return bool(FAMILIES[self.family].portfolio)

    def accounts(self, chunk: Chunk) -> tuple[np.ndarray, np.ndarray]:
        """Evaluate rows of parameters; what they share is prepared once."""
        rules = self.rules[chunk.rules]
        shared = self.shared(chunk.rules)
        family, parameters = FAMILIES[self.family], self.parameters[chunk.rows]
        found: tuple[np.ndarray, np.ndarray] = evaluate(
            family, self.market, parameters, rules, shared=shared, n_edges=self.n_edges
        )
        return found

    def shared(self, rules: int) -> Prepared:
        """Return what all combinations under some rules share; made once, the last one is kept."""
        with self._lock:
            if self._prepared is None or self._prepared[0] != rules:
                made = prepare(
                    FAMILIES[self.family], self.market, self.parameters, self.rules[rules], max_bytes=self.max_bytes
                )
                self._prepared = (rules, made)
            return self._prepared[1]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lock": None, "_prepared": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"_lock": threading.Lock()})


class UserWork(Work):
    """A user's function: called once a combination, its signals or weights go through the same accounts."""

    def __init__(self, strategy: UserStrategy, bars: Bars, work: Work) -> None:
        super().__init__(work.market, work.grid, work.rules, work.metrics, work.n_edges)
        self.strategy, self.bars = strategy, bars
        # whether it returns weights; the first call tells
        self.portfolio: bool | None = None
        self._data: dict[str, Any] | None = None

    @property
    def shared_cash(self) -> bool:
        """Signals trade each symbol with cash of its own; weights trade one account."""
        return bool(self.portfolio)

    def accounts(self, chunk: Chunk) -> tuple[np.ndarray, np.ndarray]:
        """Call the function for every combination of the chunk."""
        rules, names, n = self.rules[chunk.rules], self.grid.names, len(chunk.rows)
        columns = [level[self.grid.codes[chunk.rows, place]].tolist() for place, level in enumerate(self.grid.levels)]
        calls = (dict(zip(names, row, strict=True)) for row in (zip(*columns, strict=True) if names else [()] * n))
        if self.portfolio:
            found = [weights_account(self.market, self._read(call).weights, rules, self.n_edges) for call in calls]
            return np.stack([acc for acc, _ in found]), np.stack([edges for _, edges in found])
        parts = []
        block = _SignalBlock.size(self.market)
        for start in range(0, n, block):
            signals = _SignalBlock(self.market, min(block, n - start))
            for place, call in enumerate(islice(calls, signals.n)):
                signals.add(place, self._read(call))
            parts.append(signals.accounts(rules, self.n_edges))
        return np.concatenate([acc for acc, _ in parts]), np.concatenate([edges for _, edges in parts])

    def _read(self, parameters: dict[str, Any]) -> Output:
        if self._data is None:
            self._data = arrays_of(self.bars, self.strategy.data)
        output = self.strategy.call(self._data, parameters)
        shape = self.market.close.shape[::-1]
        read = read_output(output, self.bars, lambda: call_words(self.strategy.name, parameters), shape)
        if self.portfolio is None:
            self.portfolio = read.weights is not None
        if (read.weights is not None) != self.portfolio:
            kinds = ("signals", "weights or positions")
            raise ShapeError(
                f"{call_words(self.strategy.name, parameters)} returned {kinds[not self.portfolio]} where other "
                f"combinations returned {kinds[self.portfolio]}: return one kind"
            )
        return read

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_data": None}


class _SignalBlock:
    """Signals of some combinations as words of 64 bars, so that one call of the kernel trades them all."""

    def __init__(self, market: SweepMarket, n: int) -> None:
        self.market, self.n = market, n
        n_symbols, n_times = market.close.shape
        self._words = np.zeros((2, n_symbols, n, n_words(n_times)), dtype=np.uint64)
        self._bytes = self._words.view(np.uint8)[..., : (n_times + 7) // 8]

    @staticmethod
    def size(market: SweepMarket) -> int:
        """Return how many combinations a block holds."""
        n_symbols, n_times = market.close.shape
        return int(max(SIGNAL_BYTES // (16 * n_symbols * n_words(n_times)), 1))

    def add(self, place: int, read: Output) -> None:
        """Take the signals of one combination."""
        for side, flags in enumerate((read.entries, read.exits)):
            self._bytes[side, :, place] = np.packbits(np.asarray(flags), axis=1, bitorder="little")

    def accounts(self, rules: SweepRules, n_edges: int) -> tuple[np.ndarray, np.ndarray]:
        """Trade every symbol of every combination; return sums and edges, combinations first."""
        n_symbols, n_times = self.market.close.shape
        paths, bars, rates, setup = self.market.paths(rules), edge_bars(n_times, n_edges), rules.rates, rules.setup
        acc = np.empty((n_symbols, self.n, streaming.N_ACC))
        edges = np.empty((n_symbols, self.n, n_edges), dtype=np.float32)
        for j in range(n_symbols):
            prices = (paths.fills[j], paths.marks[j], paths.sums[j], paths.ranges[j])
            fused.simulate_many(*self._words[:, j], *prices, setup, rates, bars, acc[j], edges[j])
        return acc.transpose(1, 0, 2), edges.transpose(1, 0, 2)


def probe(strategy: UserStrategy, bars: Bars, work: Work, chunk: Chunk) -> tuple[UserWork, Evaluated, float]:
    """Evaluate one combination to see what a function returns; return the work, what came out and the seconds."""
    user = UserWork(strategy, bars, work)
    started = time.perf_counter()
    read = user._read(work.grid.row(int(chunk.rows[0])))
    seconds = time.perf_counter() - started
    rules = work.rules[chunk.rules]
    if read.weights is not None:
        acc, edges = (part[None] for part in weights_account(work.market, read.weights, rules, work.n_edges))
    else:
        signals = _SignalBlock(work.market, 1)
        signals.add(0, read)
        acc, edges = signals.accounts(rules, work.n_edges)
    return user, Evaluated(user._metrics(acc), edges), seconds


def sweep_market(bars: Bars, bars_per_year: float) -> SweepMarket:
    """Return bars as the kernels take them, symbols first; views where the memory already lies so.

    Raises
    ------
    DataError
        If a price is infinite or not above 0.
    """
    arrays = {}
    for name in ("open", "high", "low", "close", "volume"):
        values = np.ascontiguousarray(getattr(bars, name).to_numpy(dtype=np.float64).T)
        if name != "volume" and (np.isinf(values).any() or (values <= 0).any()):
            row, column = np.argwhere(np.isinf(values.T) | (values.T <= 0))[0]
            raise DataError(
                f"{name} must be above 0 and finite to be traded, {bars.symbols[column]} at {bars.index[row]} is "
                f"{values[column, row]}; run check_bars to find the bad ones"
            )
        arrays[name] = values
    return SweepMarket(tuple(bars.symbols), bars.index.asi8, **arrays, bars_per_year=bars_per_year)


def weights_account(
    market: SweepMarket, weights: np.ndarray | None, rules: SweepRules, n_edges: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of one account traded to weights (n_times, n_symbols), as `Portfolio.from_weights` trades it."""
    assert weights is not None
    close = np.ascontiguousarray(market.close.T)
    fills = close if rules.price == "close" else np.ascontiguousarray(market.open.T)
    n_times, n_symbols = close.shape
    cash, value = np.empty(n_times), np.empty(n_times)
    orders = np.empty((int(np.count_nonzero(~np.isnan(weights))), N_FILL))
    count = kernels.simulate_weights(
        fills,
        close,
        weights,
        np.arange(n_times),
        DELAY_BARS[rules.price],
        rules.init_cash,
        rules.rates,
        np.zeros((0, 4)),
        cash,
        value,
        orders,
    )
    amounts = np.empty((n_times, n_symbols))
    kernels.amounts_held(orders[:count], amounts)
    bars_held = int(np.count_nonzero((amounts != 0).any(axis=1)))
    acc = _sums(value, rules.init_cash, orders[:count], bars_held)
    edges = value[edge_bars(n_times, n_edges)].astype(np.float32)
    return acc[None], edges[None]


def _sums(value: np.ndarray, init_cash: float, orders: np.ndarray, bars_held: int) -> np.ndarray:
    """Return a path as the row of sums that the fused kernels keep; trades of a shared account have no sums (NaN)."""
    acc = np.zeros(streaming.N_ACC)
    gains = metrics.bar_returns(value, init_cash)
    acc[streaming.DEEPEST] = metrics.max_drawdown(value)
    acc[streaming.N_BARS], acc[streaming.INIT_CASH], acc[streaming.VALUE] = len(value), init_cash, value[-1]
    acc[streaming.SUM], acc[streaming.SUM_SQUARES] = gains.sum(), gains @ gains
    losses = np.minimum(gains, 0.0)
    acc[streaming.SUM_LOSS_SQUARES] = losses @ losses
    acc[streaming.PEAK], acc[streaming.SUM_VALUES] = value.max(), value.sum()
    acc[streaming.BARS_HELD] = bars_held
    for place in (streaming.TRADES, streaming.WINS, streaming.GROSS_PROFIT, streaming.GROSS_LOSS):
        acc[place] = np.nan
    acc[streaming.TRADED] = np.abs(orders[:, 2] * orders[:, 3]).sum()
    acc[streaming.FEES], acc[streaming.ORDERS] = orders[:, 4].sum(), len(orders)
    return acc


def chunks_of(rule_of: np.ndarray, todo: np.ndarray, chunk: int) -> Iterator[Chunk]:
    """Yield the rows that are to be done, at most `chunk` of them at a time, those of equal rules together.

    Parameters
    ----------
    rule_of : ndarray of shape (n_combinations,)
        Which rules each combination has.
    todo : ndarray of int64
        Combinations to evaluate, increasing.
    chunk : int
        Combinations in a chunk at most.
    """
    of = rule_of[todo]
    for rules in np.unique(of):
        rows = todo[of == rules]
        for start in range(0, len(rows), chunk):
            yield Chunk(int(rules), rows[start : start + chunk])
