"""The band: what a result would be under other views of what happened inside its bars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gwt_lab.backtest import kernels
from gwt_lab.backtest.simulation import Simulation
from gwt_lab.errors import UnknownNameError
from gwt_lab.market import orders as words
from gwt_lab.market.account import N_FILL, Book, Log, Terms, empty_book

if TYPE_CHECKING:
    from gwt_lab.backtest.results import Results

__all__ = ["VIEWS", "Band", "count_ambiguous"]

VIEWS = ("pessimistic", "neutral", "optimistic")

# fills that happen inside a bar, so that another view might have seen something else
_INSIDE = (words.STOP_LOSS, words.TAKE_PROFIT, words.TRAILING, words.LIQUIDATION, words.LIMIT)


@dataclass(frozen=True, eq=False, repr=False)
class Band:
    """The same decisions under the pessimistic, the neutral and the optimistic view of ambiguous bars.

    Methods of a portfolio that take no arguments (``total_return()``, ``sharpe_ratio()``, ``win_rate()``, ...) give a
    Series over the three views here, or a frame with one row a view where there are several accounts.
    """

    pessimistic: Results
    neutral: Results
    optimistic: Results

    @classmethod
    def of(cls, result: Results) -> Band:
        """Return the band of a result; it is one of the three itself."""
        own = result.simulation.rules.ambiguity
        assumed = replace(result.assumptions, band=False)
        kept = type(result)(result.simulation, result.paths, assumed)
        return cls(*(kept if view == own else kept.under(ambiguity=view) for view in VIEWS))

    def _views(self) -> list[Results]:
        return [self.pessimistic, self.neutral, self.optimistic]

    def _table(self, found: list[Any], name: str) -> Any:
        if isinstance(found[0], pd.Series):
            return pd.DataFrame(found, index=pd.Index(VIEWS, name="ambiguity"))
        return pd.Series(found, index=pd.Index(VIEWS, name="ambiguity"), name=name)

    def value(self) -> pd.DataFrame:
        """Return the worth at each close, one column a view; of several accounts (view, account)."""
        return self._paths("value")

    def returns(self) -> pd.DataFrame:
        """Return each bar's gain as a fraction, one column a view; of several accounts (view, account)."""
        return self._paths("returns")

    def drawdown(self) -> pd.DataFrame:
        """Return the distance from the peak, one column a view; of several accounts (view, account)."""
        return self._paths("drawdown")

    def _paths(self, name: str) -> pd.DataFrame:
        found = [getattr(view, name)() for view in self._views()]
        return pd.concat(found, axis=1, keys=VIEWS)

    def stats(self, *, agg_func: str = "mean", benchmark: pd.Series | None = None) -> pd.DataFrame:
        """Return the statistics, one column a view."""
        found = [view.stats(agg_func=agg_func, benchmark=benchmark) for view in self._views()]
        return pd.concat(found, axis=1, keys=VIEWS)

    def __getattr__(self, name: str) -> Any:
        # numbers of a portfolio, by name; private names never lead here, so that copying works
        if name.startswith("_") or not callable(_number_of(name)):
            raise AttributeError(f"a band has no {name!r}; ask one of its portfolios: band.pessimistic")
        return lambda *args, **kwargs: self._table(
            [getattr(view, name)(*args, **kwargs) for view in self._views()], name
        )

    def decides_sign(self, metric: str = "total_return") -> Any:
        """Return whether the sign of a number depends on what happened inside bars; a Series of several accounts.

        Raises
        ------
        UnknownNameError
            If a portfolio has no such number.
        """
        if metric.startswith("_") or not callable(_number_of(metric)):
            raise UnknownNameError(f"no metric {metric!r}; name a number of a portfolio such as total_return")
        signs = np.sign(np.array([np.atleast_1d(getattr(view, metric)()) for view in self._views()], dtype=float))
        differs = np.nanmin(signs, axis=0) != np.nanmax(signs, axis=0)
        accounts = self.pessimistic.accounts
        return bool(differs[0]) if len(accounts) == 1 else pd.Series(differs, index=accounts, name=metric)

    @cached_property
    def n_ambiguous_bars(self) -> int:
        """Bars (of a column) in which the pessimistic and the optimistic view do different things."""
        return self.pessimistic.n_ambiguous_bars

    def verdict(self) -> str:
        """Return in one sentence what hangs on the ambiguous bars."""
        count = self.n_ambiguous_bars
        if not count:
            return "no bar leaves open what happened inside it"
        bars = f"{count:,} bar{'s' if count != 1 else ''}"
        gains = np.array([np.atleast_1d(view.total_return()) for view in self._views()])
        low, high = 100 * gains.min(axis=0), 100 * gains.max(axis=0)
        decided = int(np.sum(np.atleast_1d(self.decides_sign())))
        if decided and len(low) == 1:
            told = f"{low[0]:.2f} % to {high[0]:.2f} %"
            return f"the sign of the total return depends on what happened inside {bars}: {told}"
        if decided:
            return f"the sign of the total return of {decided} accounts depends on what happened inside {bars}"
        span = f"total return {low.mean():.2f} % to {high.mean():.2f} %" + (" on average" if len(low) > 1 else "")
        told, them = ("leaves", "it") if count == 1 else ("leave", "them")
        return f"{bars} {told} open what happened inside: {span}, its sign does not depend on {them}"

    def __repr__(self) -> str:
        return f"Band({self.verdict()})\n{self.summary().to_string()}"

    def summary(self) -> pd.DataFrame:
        """Return the main numbers, one column a view; of several accounts their means."""
        names = {"total return": "total_return", "Sharpe ratio": "sharpe_ratio", "max drawdown": "max_drawdown",
                 "win rate": "win_rate", "profit factor": "profit_factor"}  # fmt: skip
        rows = {
            label: [float(pd.Series(getattr(view, name)()).mean()) for view in self._views()]
            for label, name in names.items()
        }
        return pd.DataFrame(rows, index=list(VIEWS)).T

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, number, table_html

        rows = [(name, *(number(value) for value in row)) for name, *row in self.summary().itertuples()]
        return card(f"Band: {self.verdict()}", table_html(("", *VIEWS), rows))


def _number_of(name: str) -> Any:
    from gwt_lab.backtest.results import Results

    return getattr(Results, name, None)


# ------------------------------------------------------------------------------------------------ counting
def count_ambiguous(result: Results) -> np.ndarray:
    """Return in how many bars (of a column) the pessimistic and the optimistic view do different things, by account.

    Both views are taken from the state that the result itself was in before the bar, so a bar counts for what it hides
    alone, and not for what earlier ones hid.
    """
    simulation = result.simulation
    count, account_of = np.zeros(result.n_accounts, dtype=np.int64), simulation.layout.account_of
    rows = np.empty(0, dtype=np.int64) if simulation.is_plain_weights else _candidates(result)
    both = _terms(simulation, ("pessimistic", "optimistic"))
    for before, row in _states(simulation, rows):
        views = [_fills_of(simulation, row, before, terms) for terms in both]
        for column in {int(fill[1]) for fills in views for fill in fills}:
            one, other = (fills[fills[:, 1] == column] for fills in views)
            count[account_of[column]] += not np.array_equal(one, other)
    return count


def _terms(simulation: Simulation, views: tuple[str, ...]) -> list[Terms]:
    bars = simulation.bars
    return [replace(simulation.rules, ambiguity=view).terms(bars.symbols, bars.instruments) for view in views]


def _candidates(result: Results) -> np.ndarray:
    """Return the rows in which something happened inside the bar, or a resting limit was met exactly."""
    fills = result.fills
    rows = [fills[np.isin(fills[:, 5], _INSIDE), 0].astype(np.int64)]
    simulation = result.simulation
    plan, feed = simulation.plan, simulation.feed
    if not np.isnan(plan.limit).all():
        s = simulation.layout.symbol_of
        reference = plan.reference[:, s]
        for lag in range(simulation.rules.delay, simulation.rules.delay + simulation.rules.limit_bars):
            stop = len(reference) - lag
            at = plan.limit[:stop] if len(plan.limit) > 1 else plan.limit
            met = (feed.low[lag:, s] == reference[:stop] * (1.0 - at)) | (
                feed.high[lag:, s] == reference[:stop] * (1.0 + at)
            )
            rows.append(np.flatnonzero(met.any(axis=1)) + lag)
    return np.unique(np.concatenate(rows))


def _states(simulation: Simulation, rows: np.ndarray) -> Iterator[tuple[Book, int]]:
    """Yield a copy of the accounts' state just before each row, as the simulation itself reached it."""
    layout, (terms,) = simulation.layout, _terms(simulation, (simulation.rules.ambiguity,))
    book = empty_book(simulation.init_cash, layout.symbol_of, layout.first)
    now = 0
    for row in rows.tolist():
        _advance(simulation, now, row, book, terms)
        now = row
        yield book, row


def _advance(simulation: Simulation, start: int, stop: int, book: Book, terms: Terms) -> np.ndarray:
    """Let rows `start` to `stop - 1` happen; return the fills of the last stretch that the log held."""
    layout = simulation.layout
    paths = np.empty((stop, len(layout.accounts)))
    log = Log(np.empty((64 + 6 * len(layout.columns), N_FILL)), np.zeros(1, dtype=np.int64))
    account, row, delay = 0, start, simulation.rules.delay
    while account < len(layout.accounts):
        if len(log.fills) - log.written[0] < 6 * len(layout.columns):
            log.written[0] = 0
        account, row = kernels.simulate(
            account, row, start, delay, simulation.feed, simulation.plan, terms, book, log, paths, paths
        )
    return np.asarray(log.fills[: log.written[0]])


def _fills_of(simulation: Simulation, row: int, before: Book, terms: Terms) -> np.ndarray:
    """Return the fills of one row from a given state, which is left as it is."""
    book = before._replace(money=before.money.copy(), held=before.held.copy())
    return _advance(simulation, row, row + 1, book, terms)
