"""The paths of backtested accounts, and what is said about them in numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd

from gwt_lab.backtest import kernels, metrics
from gwt_lab.backtest.assumptions import Assumptions
from gwt_lab.backtest.simulation import Paths, Simulation
from gwt_lab.errors import UnknownNameError
from gwt_lab.market.bars import Bars
from gwt_lab.market.time import bars_per_year

__all__ = ["AccountPaths"]


@dataclass(frozen=True, eq=False, repr=False)
class AccountPaths:
    """A backtested account, or several side by side: paths, fills and numbers.

    Numbers of one account are floats and Series; of several, Series by account and DataFrames with a column each.
    ``pf["BTC/USDT"]`` picks an account.

    Parameters
    ----------
    simulation : Simulation
        Bars, decisions and rules.
    paths : Paths
        What came out.
    assumptions : Assumptions
        When and at what cost orders are filled.
    """

    simulation: Simulation
    paths: Paths
    assumptions: Assumptions

    def under(self, **changes: Any) -> Self:
        """Return the same decisions under other rules, such as ``ambiguity="optimistic"`` or ``costs=``."""
        simulation = self.simulation.under(**changes)
        return type(self)(simulation, simulation.run(), replace(self.assumptions, rules=simulation.rules))

    # ------------------------------------------------------------------------------------------ what it holds
    @property
    def bars(self) -> Bars:
        """What was traded."""
        return self.simulation.bars

    @property
    def columns(self) -> pd.Index:
        """Labels of the simulated columns: symbols, or (parameters..., symbol)."""
        return self.simulation.layout.columns

    @property
    def accounts(self) -> pd.Index:
        """Labels of the accounts: columns, or the groups that share cash."""
        return self.simulation.layout.accounts

    @property
    def n_accounts(self) -> int:
        """Number of accounts."""
        return len(self.accounts)

    def __getitem__(self, label: Any) -> Self:
        """Return one account.

        Raises
        ------
        UnknownNameError
            If there is no such account.
        """
        try:
            found = self.accounts.get_loc(label)
        except (KeyError, TypeError, pd.errors.InvalidIndexError):
            raise UnknownNameError(
                f"no account {label!r}; there are {', '.join(map(str, self.accounts[:8]))}"
            ) from None
        if not isinstance(found, int):
            raise UnknownNameError(f"{label!r} names several accounts; name one of {list(self.accounts[:8])}")
        simulation, kept = self.simulation.of_account(found, self.paths.fills)
        paths = Paths(self.paths.cash[:, [found]], self.paths.value[:, [found]], kept, self.paths.funding[[found]])
        return type(self)(simulation, paths, self.assumptions)

    # ------------------------------------------------------------------------------------------ paths
    @property
    def cash(self) -> np.ndarray:
        """Cash after each bar's fills, shape (n_times,), or (n_times, n_accounts) of several; quote currency."""
        return self.paths.cash[:, 0] if self.n_accounts == 1 else self.paths.cash

    @property
    def equity(self) -> np.ndarray:
        """Worth at each bar's close, shape (n_times,), or (n_times, n_accounts) of several; quote currency."""
        return self.paths.value[:, 0] if self.n_accounts == 1 else self.paths.value

    @cached_property
    def fills(self) -> np.ndarray:
        """Fills in the order of execution, shape (n_orders, 6): row, column, signed amount, price, fee, kind."""
        fills = self.paths.fills
        return self.simulation.run().fills if fills is None else fills  # type: ignore[return-value]

    @cached_property
    def amounts(self) -> np.ndarray:
        """Base currency held after each bar's fills, shape (n_times, n_columns)."""
        amounts = np.empty((self.bars.n_times, len(self.columns)))
        kernels.amounts_held(self.fills, amounts)
        amounts.flags.writeable = False
        return amounts

    def value(self) -> pd.Series | pd.DataFrame:
        """Return the worth at each bar's close, quote currency."""
        return self._path(self.paths.value, "value")

    def returns(self) -> pd.Series | pd.DataFrame:
        """Return each bar's gain as a fraction; the first bar's is measured from the initial cash."""
        return self._path(self._returns, "returns")

    def drawdown(self) -> pd.Series | pd.DataFrame:
        """Return the distance from the highest worth so far, zero or negative."""
        return self._path(metrics.drawdowns(self.paths.value), "drawdown")

    def assets(self) -> pd.DataFrame:
        """Return the amounts held after each bar's fills, base currency."""
        return pd.DataFrame(self.amounts, index=self.bars.index, columns=self.columns)

    @property
    def weights(self) -> pd.DataFrame:
        """Share of its account's worth that each column has at each bar's close."""
        layout = self.simulation.layout
        close = self.bars.close.ffill().fillna(0.0).to_numpy()[:, layout.symbol_of]
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = self.amounts * close / self.paths.value[:, layout.account_of]
        return pd.DataFrame(shares, index=self.bars.index, columns=self.columns)

    # ------------------------------------------------------------------------------------------ numbers
    def total_return(self) -> Any:
        """Return the gain over the whole path as a fraction of the initial cash."""
        return self._by_account(self.paths.value[-1] / self.simulation.init_cash - 1.0, "total_return")

    def sharpe_ratio(self) -> Any:
        """Return the Sharpe ratio of every bar's return (ddof=1), annualised with 365 days."""
        n_times, year = self.bars.n_times, self._year
        found = [metrics.sharpe_of_sums(sums, n_times, year) for sums in self._sums]
        return self._by_account(np.array(found), "sharpe_ratio")

    def sortino_ratio(self) -> Any:
        """Return mean over the root mean square of losses, annualised with 365 days."""
        return self._number(lambda _, returns, __: metrics.sortino_ratio(returns, self._year), "sortino_ratio")

    def calmar_ratio(self) -> Any:
        """Return annualised growth over the deepest drawdown."""
        return self._number(lambda value, _, start: metrics.calmar_ratio(value, start, self._year), "calmar_ratio")

    def max_drawdown(self) -> Any:
        """Return the deepest fall from a peak as a negative fraction."""
        return self._by_account(np.array([sums[4] for sums in self._sums]), "max_drawdown")

    def annualized_return(self) -> Any:
        """Return the compound growth of a year of 365 days as a fraction."""
        return self._number(
            lambda value, _, start: metrics.annualized_return(value, start, self._year), "annualized_return"
        )

    def turnover(self) -> Any:
        """Return the traded value over the mean worth of the account."""
        account_of = self.simulation.layout.account_of
        traded = np.bincount(
            account_of[self.fills[:, 1].astype(np.int64)],
            np.abs(self.fills[:, 2] * self.fills[:, 3]),
            minlength=self.n_accounts,
        )
        return self._by_account(traded / self.paths.value.mean(axis=0), "turnover")

    def exposure(self) -> Any:
        """Return the mean gross exposure: positions' worth over the account's, as a fraction."""
        gross = np.abs(np.nan_to_num(self.weights.to_numpy()))
        by_account = np.add.reduceat(gross, self.simulation.layout.first[:-1], axis=1)
        return self._by_account(by_account.mean(axis=0), "exposure")

    def time_in_market(self) -> Any:
        """Return the part of the bars at whose close the account holds anything, as a fraction."""
        held = np.logical_or.reduceat(self.amounts != 0.0, self.simulation.layout.first[:-1], axis=1)
        return self._by_account(held.mean(axis=0), "time_in_market")

    @property
    def _year(self) -> float:
        return bars_per_year(self.bars.timeframe)

    @cached_property
    def _returns(self) -> np.ndarray:
        columns = [
            metrics.bar_returns(self.paths.value[:, a], self.simulation.init_cash[a]) for a in range(self.n_accounts)
        ]
        return np.column_stack(columns)

    @cached_property
    def _sums(self) -> list[tuple[float, float, float, float, float]]:
        value = self.paths.value if self.n_accounts == 1 else np.asfortranarray(self.paths.value)
        start = self.simulation.init_cash
        return [metrics.path_sums(value[:, a], float(start[a])) for a in range(self.n_accounts)]

    def _number(self, measure: Callable[[np.ndarray, np.ndarray, float], float], name: str) -> Any:
        found = [
            measure(self.paths.value[:, a], self._returns[:, a], float(self.simulation.init_cash[a]))
            for a in range(self.n_accounts)
        ]
        return self._by_account(np.array(found), name)

    def _by_account(self, numbers: np.ndarray, name: str) -> Any:
        return float(numbers[0]) if self.n_accounts == 1 else pd.Series(numbers, index=self.accounts, name=name)

    def _path(self, values: np.ndarray, name: str) -> Any:
        if self.n_accounts == 1:
            return pd.Series(values[:, 0], index=self.bars.index, name=name)
        return pd.DataFrame(values, index=self.bars.index, columns=self.accounts)
