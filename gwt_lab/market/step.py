"""The rule one bar at a time: the same kernel as the backtest's, for whoever gets bars as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.market.account import CASH, N_FILL, POSITION, Book, Feed, Log, Plan, Terms, empty_book, worth_of_accounts
from gwt_lab.market.bar import step_bar
from gwt_lab.market.instruments import Instrument
from gwt_lab.market.rules import FillRules, refuse_bad_stops

__all__ = ["AccountState", "Decision", "new_account", "step"]

_DAY_NS = 86_400 * 10**9
_NOTHING = np.zeros((1, 1))
_NO_ROWS = np.empty(0, dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Decision:
    """What is decided at a bar's close, one value a symbol.

    Parameters
    ----------
    size : ndarray of shape (n_symbols,)
        In units of `FillRules.size_type`; without signals NaN is no order.
    signal : ndarray of shape (n_symbols,), uint8, optional
        Bits 1 long entry, 2 long exit, 4 short entry, 8 short exit.
    sl_stop, tp_stop, limit : ndarray of shape (n_symbols,), optional
        As in `Portfolio.from_signals`; NaN is none.
    """

    size: np.ndarray
    signal: np.ndarray | None = None
    sl_stop: np.ndarray | None = None
    tp_stop: np.ndarray | None = None
    limit: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class AccountState:
    """One account between two bars.

    Parameters
    ----------
    symbols : tuple of str
    rules : FillRules
    terms : Terms
        The rules as numbers.
    money, held : ndarray
        The book, see `market.account`.
    bar : ndarray of shape (5, n_symbols)
        The last bar; NaN before the first.
    time_ns : int
        Its open time; -1 before the first.
    waiting : Decision or None
        What was decided at the last close and is filled in the next bar.
    """

    symbols: tuple[str, ...]
    rules: FillRules
    terms: Terms = field(repr=False)
    money: np.ndarray = field(repr=False)
    held: np.ndarray = field(repr=False)
    bar: np.ndarray = field(repr=False)
    time_ns: int = -1
    waiting: Decision | None = None

    @property
    def cash(self) -> float:
        """Quote currency."""
        return float(self.money[0, CASH])

    @property
    def positions(self) -> np.ndarray:
        """Base currency held, shape (n_symbols,)."""
        return self.held[:, POSITION].copy()

    @property
    def value(self) -> float:
        """Worth at the last close, quote currency."""
        return float(worth_of_accounts(_book(self.money, self.held))[0])


def new_account(
    symbols: Sequence[str],
    init_cash: float = 10_000.0,
    rules: FillRules | None = None,
    instruments: Mapping[str, Instrument] | None = None,
) -> AccountState:
    """Return an account that holds nothing but cash.

    Raises
    ------
    ConfigError
        If the cash is not above 0 and finite, or prices of orders are to be given.
    """
    rules = rules or FillRules()
    if not (np.isfinite(init_cash) and init_cash > 0):
        raise ConfigError(f"init_cash must be above 0 and finite, got {init_cash}")
    if rules.price == "given":
        raise ConfigError(
            "one bar at a time orders are filled at 'next_open', 'close' or 'next_close', not given prices"
        )
    n = len(symbols)
    book = empty_book(np.array([float(init_cash)]), np.arange(n), np.array([0, n]))
    terms = rules.terms(symbols, instruments or {})
    return AccountState(tuple(symbols), rules, terms, book.money, book.held, np.full((5, n), np.nan))


def step(
    state: AccountState, bar: Any, decision: Decision | None = None, funding: np.ndarray | None = None
) -> tuple[AccountState, np.ndarray]:
    """Let one bar happen and take what is decided at its close.

    Parameters
    ----------
    state : AccountState
        Is not changed.
    bar : object with `time_ns` and `values`
        `values` has shape (5 or more, n_symbols): open, high, low, close, volume; NaN where a symbol has no bar.
    decision : Decision, optional
        Decided at this bar's close: filled in this bar with ``price="close"``, in the next one otherwise.
    funding : ndarray of shape (2, n_symbols), optional
        Rates of perpetuals due at this bar's open, and later inside it.

    Returns
    -------
    AccountState, ndarray of shape (n_fills, 5)
        The state after the bar, and its fills: column, signed amount, price paid, fee, kind.

    Raises
    ------
    DataError
        If the bar is not later than the last one, or a price, a signal or a rate is none.
    ConfigError
        If a stop is no fraction, or a size is negative beside signals.
    ShapeError
        If the bar or the decision has another number of symbols.
    """
    n = len(state.symbols)
    values = np.asarray(bar.values, dtype=np.float64)[:5]
    if values.shape != (5, n):
        raise ShapeError(f"a bar of {n} symbols must have 5 rows or more of {n} values, got {np.shape(bar.values)}")
    if bar.time_ns <= state.time_ns:
        raise DataError(f"the next bar must open after {state.time_ns} ns, got {bar.time_ns}: it is late or repeated")
    if (values[:4] <= 0).any() or np.isinf(values[:4]).any():
        raise DataError(f"prices of a bar must be above 0 and finite, or NaN where there is none; got {values[:4]}")
    if decision is not None:
        if not isinstance(decision, Decision):
            raise ConfigError(f"a decision must be a Decision(size, signal, ...), got {type(decision).__name__}")
        _refuse_wrong(decision, state.rules, n)
    delay = state.rules.delay
    filled_now = state.waiting if delay else decision
    feed = _feed(state, values, bar.time_ns, funding)
    plan = _plan(filled_now, 1 - delay, state.bar, values)
    book = _book(state.money.copy(), state.held.copy())
    log = Log(np.empty((6 * n, N_FILL)), np.zeros(1, dtype=np.int64))
    step_bar(1, -1 if filled_now is None else 1 - delay, feed, plan, state.terms, book, log)
    after = replace(
        state,
        money=book.money,
        held=book.held,
        bar=values,
        time_ns=int(bar.time_ns),
        waiting=decision if delay else None,
    )
    return after, log.fills[: log.written[0], 1:].copy()


def _refuse_wrong(decision: Decision, rules: FillRules, n: int) -> None:
    bits = np.zeros(1, dtype=np.int64) if decision.signal is None else np.asarray(decision.signal)
    shorts = rules.direction != "longonly" or bool((bits.astype(np.int64) & 4).any())
    for name in ("size", "signal", "sl_stop", "tp_stop", "limit"):
        values = getattr(decision, name)
        if values is not None and np.shape(values) != (n,):
            raise ShapeError(f"{name} of a decision for {n} symbols must have {n} values, got {np.shape(values)}")
        if values is not None and name in ("sl_stop", "tp_stop", "limit"):
            refuse_bad_stops(name, np.asarray(values, dtype=np.float64), shorts=shorts)
    if decision.signal is not None:
        if not np.isin(decision.signal, range(16)).all():
            raise DataError(f"signals of a decision are sums of 1, 2, 4, 8, got {np.asarray(decision.signal)}")
        if decision.size is not None and (np.asarray(decision.size) < 0).any():
            raise ConfigError("size must not be negative: signals say the direction")


def _due(funding: np.ndarray | None, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the funding rates of two rows, at the open and inside; a missing rate is none."""
    if funding is None:
        return _NOTHING, _NOTHING
    rates = np.asarray(funding, dtype=np.float64)
    if rates.shape != (2, n):
        raise ShapeError(f"funding must have shape (2, {n}): at the open and inside the bar; got {rates.shape}")
    if np.isinf(rates).any():
        raise DataError("funding rates must be finite fractions such as 0.0001; got an infinite one")
    known = np.nan_to_num(rates)
    return np.stack([known[0] * 0.0, known[0]]), np.stack([known[1] * 0.0, known[1]])


def _book(money: np.ndarray, held: np.ndarray) -> Book:
    n = len(held)
    return Book(money, held, np.arange(n), np.array([0, n]), np.empty(n), np.empty(n, dtype=np.int64))


def _feed(state: AccountState, values: np.ndarray, time_ns: int, funding: np.ndarray | None) -> Feed:
    """Return the last bar and this one as two rows."""
    opened, high, low, close, volume = (np.stack([before, now]) for before, now in zip(state.bar, values, strict=True))
    at_open, inside = _due(funding, len(state.symbols))
    return Feed(
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        fill=opened if state.terms.at_open else close,
        funding_open=at_open,
        funding_inside=inside,
        last_row=np.full(len(state.symbols), -1),
        day=np.array([max(state.time_ns, 0) // _DAY_NS, time_ns // _DAY_NS]),
    )


def _plan(decision: Decision | None, row: int, before: np.ndarray, now: np.ndarray) -> Plan:
    """Return a decision as that row of two."""
    n = before.shape[1]

    def rows(given: np.ndarray | None, fill: float, kind: Any = np.float64) -> np.ndarray:
        out: np.ndarray = np.full((2, n), fill, dtype=kind)
        if given is not None:
            out[row] = given
        return out

    told = decision or Decision(np.full(n, np.nan))
    signal = np.empty((0, 0), dtype=np.uint8) if told.signal is None else rows(told.signal, 0, np.uint8)
    return Plan(
        signal=signal,
        size=rows(told.size, np.nan),
        sl_stop=rows(told.sl_stop, np.nan),
        tp_stop=rows(told.tp_stop, np.nan),
        limit=rows(told.limit, np.nan),
        reference=np.stack([before[3], now[3]]),
        drift=0.0,
        active=_NO_ROWS,
    )
