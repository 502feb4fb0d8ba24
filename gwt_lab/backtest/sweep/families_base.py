"""What a family of strategies is, the market that it sees and the rules that its accounts trade by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from gwt_lab.backtest.sweep import fused
from gwt_lab.backtest.sweep.rows import RowPool, Rows, Uses
from gwt_lab.errors import ConfigError
from gwt_lab.market.fills import DELAY_BARS

__all__ = ["Family", "Paths", "SweepMarket", "SweepRules"]

_DIRECTIONS = {"longonly": fused.LONG_ONLY, "shortonly": fused.SHORT_ONLY, "both": fused.BOTH}
_AMBIGUITIES = {"pessimistic": fused.PESSIMISTIC, "neutral": fused.NEUTRAL, "optimistic": fused.OPTIMISTIC}


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
    _kept: dict[tuple[str, bool], Paths] = field(default_factory=dict, init=False, repr=False, compare=False)

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
    uses: ClassVar[Uses] = ()

    def check(self, params: Mapping[str, np.ndarray]) -> None:
        """Refuse combinations that make no sense; `params` holds each parameter's values, shape (n_combinations,).

        Raises
        ------
        ConfigError
            Naming the first row that is wrong.
        """
        for name in self.defaults:
            values = np.asarray(params[name], dtype=np.float64)
            wrong = ~np.isfinite(values)
            wanted = "a number"
            if name in self.whole:
                wanted = "a whole number of bars, 1 or more"
                wrong |= (values != np.floor(values)) | (values < 1)
            self._refuse(params, wrong, f"{name} must be {wanted}")
        for wrong, message in self._rules(params):
            self._refuse(params, np.asarray(wrong), message)

    def _rules(self, params: Mapping[str, np.ndarray]) -> list[tuple[Any, str]]:
        """Return (rows that are wrong, what was wanted) of what concerns more than one parameter."""
        return []

    def _refuse(self, params: Mapping[str, np.ndarray], wrong: np.ndarray, wanted: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            got = ", ".join(f"{name}={float(np.asarray(params[name])[row]):g}" for name in self.defaults)
            raise ConfigError(f"{self.name}: {wanted}; combination {row} has {got}")

    def matrix(self, params: Mapping[str, float]) -> np.ndarray:
        """Return one combination as a row of numbers, shape (1, n_params), defaults filled in."""
        return np.array([[float(params.get(name, default)) for name, default in self.defaults.items()]])

    @abstractmethod
    def lookback(self, params: Mapping[str, float]) -> int:
        """Return how many bars one decision needs, the deciding bar included."""

    def signals(self, market: SweepMarket, **params: float) -> tuple[np.ndarray, np.ndarray]:
        """Return (entries, exits) of one combination, booleans of shape (n_symbols, n_times)."""
        matrix = self.matrix(params)
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
