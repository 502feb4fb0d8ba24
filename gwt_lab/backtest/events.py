"""Backtests driven by a Python function that is called at every bar.

The function sees closed bars and the account, and decides; `market.bar` fills. Between two bars that can change the
account nothing is computed: a kernel looks ahead for the next price that reaches a stop, and Python only calls the
function. At the end the decisions are run once more as a whole, which gives the paths; both are one rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.backtest import kernels
from gwt_lab.backtest.simulation import Simulation
from gwt_lab.errors import ConfigError, UnknownNameError
from gwt_lab.market.account import CASH, N_FILL, POSITION, Feed, Log, empty_book

__all__ = ["Context", "run_order_func"]

_HORIZON = 4_096
# signals that a buy and a sale are: where only one side is allowed, the other one takes from it
_TRADES = {"longonly": (1, 2), "shortonly": (8, 4), "both": (1, 4)}
_EXIT = 2 | 8
_STOPS = ("sl_stop", "tp_stop", "limit")


class Context:
    """What an order function sees at the close of a bar, and what it can do.

    Parameters
    ----------
    i : int
        Row of the bar that has just closed.
    open, high, low, close, volume : float, or ndarray of shape (n_symbols,)
        That bar; arrays if there are several symbols.
    position : float, or ndarray of shape (n_symbols,)
        Base currency held.
    cash, value : float
        Quote currency; the account's worth at the close.
    data : dict
        Yours, to remember things in.
    """

    __slots__ = (
        "_book", "_columns", "_feed", "_index", "_long_only", "_marks", "_panels", "_plan", "_single", "_touched",
        "_trades", "data", "i", "n_times",
    )  # fmt: skip

    def __init__(self, simulation: Simulation, book: Any, plan: Any) -> None:
        feed = simulation.feed
        self.i, self.n_times = 0, simulation.bars.n_times
        self.data: dict[str, Any] = {}
        self._single = simulation.bars.n_symbols == 1
        # lists hand out floats several times faster than arrays do
        self._panels = {
            name: values[:, 0].tolist() if self._single else values
            for name, values in zip(("open", "high", "low", "close", "volume"), feed, strict=False)
        }
        self._book, self._plan, self._touched = book, plan, -1
        self._feed, self._trades = feed, _TRADES[simulation.rules.direction]
        self._long_only = simulation.rules.direction == "longonly"
        self._marks: np.ndarray | None = None
        self._index = simulation.bars.index
        self._columns = {name: at for at, name in enumerate(simulation.bars.symbols)}

    # ------------------------------------------------------------------------------------------ sees
    @property
    def time(self) -> Any:
        """Open time of the bar."""
        return self._index[self.i]

    @property
    def open(self) -> Any:
        """Open of the bar."""
        return self._panels["open"][self.i]

    @property
    def high(self) -> Any:
        """High of the bar."""
        return self._panels["high"][self.i]

    @property
    def low(self) -> Any:
        """Low of the bar."""
        return self._panels["low"][self.i]

    @property
    def close(self) -> Any:
        """Close of the bar."""
        return self._panels["close"][self.i]

    @property
    def volume(self) -> Any:
        """Volume of the bar."""
        return self._panels["volume"][self.i]

    def last(self, n: int, field: str = "close") -> np.ndarray:
        """Return a field of the last `n` bars up to this one, fewer at the beginning."""
        if field not in self._panels:
            raise UnknownNameError(f"no field {field!r}; there are {', '.join(self._panels)}")
        return np.asarray(self._panels[field][max(self.i + 1 - n, 0) : self.i + 1])

    @property
    def position(self) -> Any:
        """Base currency held."""
        held = self._book.held
        return held[0, POSITION] if self._single else held[:, POSITION].copy()

    @property
    def cash(self) -> float:
        """Quote currency."""
        return float(self._book.money[0, CASH])

    @property
    def value(self) -> float:
        """Worth at the bar's close, or the last one known."""
        if self._marks is None:
            self._marks = _marks(self._feed)
        held = self._book.held[:, POSITION]
        return self.cash + float(np.sum(held * np.where(held != 0, self._marks[self.i], 0.0)))

    # ------------------------------------------------------------------------------------------ does
    def buy(self, size: float = np.inf, symbol: str | None = None, **stops: float) -> None:
        """Buy `size` more; what is short is bought back first. `sl_stop`, `tp_stop`, `limit` may be given.

        With ``direction="shortonly"`` no more is bought than is short.
        """
        self._decide(self._trades[0], size, symbol, stops)

    def sell(self, size: float = np.inf, symbol: str | None = None, **stops: float) -> None:
        """Sell `size`; what is long is sold first, the rest goes short.

        With ``direction="longonly"``, the default, no more is sold than is held.
        """
        self._decide(self._trades[1], size, symbol, stops)

    def exit(self, symbol: str | None = None) -> None:
        """Close the position; nothing happens without one."""
        self._decide(_EXIT, np.inf, symbol, {})

    def order(self, size: float, symbol: str | None = None, **stops: float) -> None:
        """Ask for a size in a target unit, such as a share of the account with ``size_type="targetpercent"``."""
        self._decide(0, size, symbol, stops)

    def _decide(self, code: int, size: float, symbol: str | None, stops: dict[str, float]) -> None:
        plan, i = self._plan, self.i
        j = 0 if symbol is None and self._single else self._column(symbol)
        if code and not len(plan.signal):
            raise ConfigError("with a target size_type call order(size); buy, sell and exit go with the other ones")
        if not code and len(plan.signal):
            raise ConfigError("order(size) wants a target such as size_type='targetpercent'; else call buy, sell, exit")
        if not math.isnan(plan.size[i, j]):
            symbol = symbol or next(iter(self._columns))
            raise ConfigError(f"a second order of {symbol} at one bar: an account takes one order a symbol and bar")
        if code:
            plan.signal[i, j] = code
        plan.size[i, j] = _number("size", size, at_least=0.0 if code else -np.inf)
        for name, value in stops.items():
            if name not in _STOPS:
                raise ConfigError(f"an order takes {', '.join(_STOPS)}; got {name}")
            getattr(plan, name)[i, j] = _number(name, value, at_least=0.0)
            if name == "sl_stop" and value >= 1 and self._long_only:
                raise ConfigError(f"sl_stop must be a fraction below 1 (5 % is 0.05), got {value!r}")
        self._touched = i

    def _column(self, symbol: str | None) -> int:
        if symbol not in self._columns:
            known = ", ".join(list(self._columns)[:8])
            raise ConfigError(f"an order must name a symbol, c.buy(size, symbol), one of {known}; got {symbol!r}")
        return self._columns[symbol]


def _number(name: str, value: Any, *, at_least: float) -> float:
    if isinstance(value, (str, bool)) or not isinstance(value, (int, float, np.number)) or not value >= at_least:
        wanted = "a number" if at_least < 0 else "a number from 0 on"
        raise ConfigError(f"{name} of an order must be {wanted}, got {value!r}; c.sell() and c.exit() go the other way")
    return float(value)


def _marks(feed: Feed) -> np.ndarray:
    """Return what positions are valued at: the close, else the fill price, else as before."""
    marks: np.ndarray = pd.DataFrame(np.where(np.isnan(feed.close), feed.fill, feed.close)).ffill().to_numpy()
    return marks


def run_order_func(simulation: Simulation, order_func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Call `order_func(context, *args)` at every bar and write what it decides into the simulation's plan.

    An exception of the function passes with the bar noted.
    """
    if not callable(order_func):
        raise ConfigError(f"order_func must be a function of the context, got {type(order_func).__name__}")
    layout, plan, feed, delay = simulation.layout, simulation.plan, simulation.feed, simulation.rules.delay
    terms = simulation.rules.terms(simulation.bars.symbols, simulation.bars.instruments)
    book = empty_book(simulation.init_cash, layout.symbol_of, layout.first)
    log = Log(np.empty((0, N_FILL)), np.zeros(1, dtype=np.int64))
    context, means = Context(simulation, book, plan), (feed, plan, terms, book, log, _HORIZON)
    done, wakes, decided = 0, 0, False
    try:
        for i in range(simulation.bars.n_times):
            if i == wakes or decided:
                wakes = kernels.advance(done, i + 1, delay, *means)
                done, decided = i + 1, False
            context.i = i
            order_func(context, *args)
            if context._touched != i:
                continue
            if delay:
                decided = True
            elif done == i + 1:
                wakes = kernels.trade_at_close(i, *means)
            else:
                wakes, done = kernels.advance(done, i + 1, delay, *means), i + 1
    except Exception as error:
        error.add_note(f"raised at bar {context.i}, {simulation.bars.index[context.i]}, of the order function")
        raise
