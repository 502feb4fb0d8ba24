"""One simulation: what goes in, kept together, so that it can be run again under other rules or with every fill."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gwt_lab.backtest import kernels
from gwt_lab.backtest.inputs import Layout, feed_of
from gwt_lab.errors import ConfigError, DataError
from gwt_lab.market.account import FUNDING, N_FILL, Feed, Log, Plan, empty_book
from gwt_lab.market.bars import Bars
from gwt_lab.market.orders import BOTH, DIRECTION, FILL_PRICES
from gwt_lab.market.rules import FillRules

__all__ = ["Paths", "Simulation"]

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
    weights : DataFrame or None
        What `plan` has its target weights from; kept, because the plan has a view of it.
    """

    bars: Bars
    feed: Feed
    plan: Plan
    rules: FillRules
    layout: Layout
    init_cash: np.ndarray = field(repr=False)
    notes: tuple[str, ...] = ()
    weights: pd.DataFrame | None = field(default=None, repr=False)

    def under(self, **changes: Any) -> Simulation:
        """Return the same decisions under other rules, such as ``ambiguity="optimistic"`` or ``costs=``."""
        unknown = [name for name in changes if name not in FillRules.__dataclass_fields__]
        if unknown:
            raise ConfigError(
                f"under() changes rules ({', '.join(FillRules.__dataclass_fields__)}), got {', '.join(unknown)}; fees "
                "and slippage are costs=CostModel(fees, slippage), all else wants a backtest of its own"
            )
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
        plan = self.plan._replace(size=np.ascontiguousarray(self.plan.size))
        book = empty_book(self.init_cash, self.layout.symbol_of, self.layout.first)
        terms = self.rules.terms(self.bars.symbols, self.bars.instruments)
        log = Log(np.empty((_FIRST_LOG + 6 * len(self.layout.columns), N_FILL)), np.zeros(1, dtype=np.int64))
        account, row = 0, 0
        while account < n_accounts:
            account, row = kernels.simulate(
                account, row, 0, self.rules.delay, self.feed, plan, terms, book, log, cash, value
            )
            if account < n_accounts:
                log = Log(np.concatenate([log.fills, np.empty_like(log.fills)]), log.written)
        fills = log.fills[: log.written[0]]
        if n_accounts > 1:
            fills = fills[np.argsort(fills[:, 0], kind="stable")]
        return Paths(_frozen(cash), _frozen(value), _frozen(fills), book.money[:, FUNDING].copy())

    def _run_weights(self, keep_fills: bool) -> Paths:
        n_times, active = self.bars.n_times, self.plan.active
        rows = np.arange(n_times) if len(active) == 0 else np.where(active, np.cumsum(active) - 1, -1)
        weights = np.ascontiguousarray(self.plan.size[active] if len(active) else self.plan.size)
        # weights of `from_weights` were looked through when they were taken
        if self.weights is None and not kernels.all_finite_or_nan(weights):
            raise DataError("weights must be numbers or NaN (hold), got an infinite one")
        rules = self.rules.costs.rules(self.bars.symbols, self.bars.instruments)
        cash, value = np.empty(n_times), np.empty(n_times)
        fills = np.empty((int(np.count_nonzero(~np.isnan(weights))), N_FILL)) if keep_fills else _NO_FILLS
        count = kernels.simulate_weights(
            self.feed.fill,
            self.feed.close,
            weights,
            rows,
            self.rules.delay,
            float(self.init_cash[0]),
            self.rules.costs.rates(),
            rules if rules.any() else rules[:0],
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
