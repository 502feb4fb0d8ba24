"""One simulation: what goes in, kept together, so that it can be run again under other rules or with every fill."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from gwt_lab.backtest import kernels
from gwt_lab.backtest.inputs import Layout, feed_of
from gwt_lab.errors import ConfigError
from gwt_lab.market.account import CASH, FUNDING, LIMIT, N_FILL, N_HELD, N_MONEY, SL, TP, Book, Feed, Log, Plan
from gwt_lab.market.bars import Bars
from gwt_lab.market.orders import BOTH, DIRECTION, FILL_PRICES
from gwt_lab.market.rules import FillRules

__all__ = ["Paths", "Simulation", "empty_book"]

_NO_FILLS = np.empty((0, N_FILL))
_FIRST_LOG = 4_096


class Paths(NamedTuple):
    """What a simulation gives.

    `cash` and `value` have shape (n_times, n_accounts), `fills` (n_orders, 6): row, column, signed amount, price, fee,
    kind; None where they were not kept. `funding` is what each account paid in all, shape (n_accounts,).
    """

    cash: np.ndarray
    value: np.ndarray
    fills: np.ndarray | None
    funding: np.ndarray


def empty_book(init_cash: np.ndarray, symbol_of: np.ndarray, first: np.ndarray) -> Book:
    """Return accounts that hold nothing but cash."""
    money = np.zeros((len(init_cash), N_MONEY))
    money[:, CASH] = init_cash
    held = np.zeros((len(symbol_of), N_HELD))
    held[:, [SL, TP, LIMIT]] = np.nan
    n_columns = len(symbol_of)
    return Book(money, held, symbol_of, first, np.empty(n_columns), np.empty(n_columns, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Simulation:
    """Bars, decisions and rules of one backtest.

    Parameters
    ----------
    bars : Bars
    feed, plan : Feed, Plan
        Bars and decisions as arrays.
    rules : FillRules
    layout : Layout
        Columns and accounts.
    init_cash : ndarray of shape (n_accounts,)
        Quote currency.
    notes : tuple of str
        What a reader of the result should know.
    """

    bars: Bars
    feed: Feed
    plan: Plan
    rules: FillRules
    layout: Layout
    init_cash: np.ndarray = field(repr=False)
    notes: tuple[str, ...] = ()

    def under(self, **changes: Any) -> Simulation:
        """Return the same decisions under other rules, such as ``ambiguity="optimistic"`` or ``costs=``."""
        changed = replace(self, rules=replace(self.rules, **changes))
        if changed.rules.price == self.rules.price:
            return changed
        if changed.rules.price not in FILL_PRICES:
            raise ConfigError(
                f"under() takes price= one of {', '.join(FILL_PRICES)}: prices are given when it is built"
            )
        fill = feed_of(self.bars, changed.rules.price).fill
        return replace(changed, feed=self.feed._replace(fill=fill))

    def of_account(self, account: int, fills: np.ndarray | None) -> tuple[Simulation, np.ndarray | None]:
        """Return the simulation of one account, and its part of the fills."""
        first, last = self.layout.first[account], self.layout.first[account + 1]
        columns = slice(first, last)

        def part(values: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(values[:, columns]) if values.shape[1] > 1 else values

        plan = self.plan._replace(
            signal=part(self.plan.signal) if len(self.plan.signal) else self.plan.signal,
            size=part(self.plan.size),
            sl_stop=part(self.plan.sl_stop),
            tp_stop=part(self.plan.tp_stop),
            limit=part(self.plan.limit),
        )
        layout = Layout(
            self.layout.columns[columns],
            self.layout.symbol_of[columns],
            self.layout.accounts[[account]],
            np.array([0, last - first], dtype=np.int64),
        )
        if fills is not None:
            fills = fills[(fills[:, 1] >= first) & (fills[:, 1] < last)]
            fills[:, 1] -= first
        return replace(self, plan=plan, layout=layout, init_cash=self.init_cash[[account]]), fills

    @property
    def is_plain_weights(self) -> bool:
        """Whether the leaner loop for target weights of one account does the same."""
        rules, plan = self.rules, self.plan
        return (
            len(plan.signal) == 0
            and len(self.layout.accounts) == 1
            and len(self.layout.columns) == self.bars.n_symbols
            and bool((self.layout.symbol_of == np.arange(self.bars.n_symbols)).all())
            and plan.size.shape == self.bars.shape
            and rules.size_type in ("targetpercent", "targetweight")
            and DIRECTION[rules.direction] == BOTH
            and rules.call_seq == "auto"
            and rules.leverage == 1
            and rules.delisting == "hold"
            and not rules.time_stop
            and not plan.drift
            and rules.costs.is_plain
            and self.feed.funding_open.size == self.feed.funding_inside.size == 1
            and all(extra.size == 1 and np.isnan(extra[0, 0]) for extra in (plan.sl_stop, plan.tp_stop, plan.limit))
        )

    def run(self, *, keep_fills: bool = True) -> Paths:
        """Run it; without `keep_fills` the plain loop for weights writes no fills."""
        if self.is_plain_weights:
            return self._run_weights(keep_fills)
        n_times, n_accounts = self.bars.n_times, len(self.layout.accounts)
        cash, value = np.empty((n_times, n_accounts)), np.empty((n_times, n_accounts))
        book = empty_book(self.init_cash, self.layout.symbol_of, self.layout.first)
        terms = self.rules.terms(self.bars.symbols, self.bars.instruments)
        log = Log(np.empty((_FIRST_LOG + 6 * len(self.layout.columns), N_FILL)), np.zeros(1, dtype=np.int64))
        row = 0
        while True:
            row = kernels.simulate(row, self.rules.delay, self.feed, self.plan, terms, book, log, cash, value)
            if row >= n_times:
                break
            log = Log(np.concatenate([log.fills, np.empty_like(log.fills)]), log.written)
        return Paths(_frozen(cash), _frozen(value), _frozen(log.fills[: log.written[0]]), book.money[:, FUNDING].copy())

    def _run_weights(self, keep_fills: bool) -> Paths:
        n_times = self.bars.n_times
        cash, value = np.empty(n_times), np.empty(n_times)
        most = int(np.count_nonzero(~np.isnan(self.plan.size))) if keep_fills else 0
        fills = np.empty((most, N_FILL)) if most else _NO_FILLS
        count = kernels.simulate_weights(
            self.feed.fill,
            self.feed.close,
            self.plan.size,
            self.rules.delay,
            float(self.init_cash[0]),
            self.rules.costs.rates(),
            self.rules.costs.rules(self.bars.symbols, self.bars.instruments),
            cash,
            value,
            fills,
        )
        kept = _frozen(fills[:count].copy()) if keep_fills else None
        return Paths(_frozen(cash[:, None]), _frozen(value[:, None]), kept, np.zeros(1))


def _frozen(array: np.ndarray) -> np.ndarray:
    array = array.view()
    array.flags.writeable = False
    return array
