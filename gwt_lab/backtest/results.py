"""`Results`: what can be asked of backtested accounts beyond their paths: records, tables, figures, words."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gwt_lab.backtest import matching, metrics, stats
from gwt_lab.backtest.account_paths import AccountPaths
from gwt_lab.backtest.records import Drawdowns, Orders, Positions, Trades

if TYPE_CHECKING:
    import os

    from gwt_lab.backtest.band import Band
    from gwt_lab.backtest.why import WhyNoTrades

__all__ = ["Results"]


class Results(AccountPaths):
    """A backtested account, or several side by side: records, statistics, figures and what they rest on."""

    # ------------------------------------------------------------------------------------------ records
    @cached_property
    def orders(self) -> Orders:
        """Fills in the order of execution."""
        return Orders(self.fills, self.bars, self.simulation.layout)

    @cached_property
    def trades(self) -> Trades:
        """Exits with the entries they close, and what is open at the end."""
        last = self.marks[-1, self.simulation.layout.symbol_of]
        found = matching.trades_of(self.fills, last, self.bars.n_times)
        return Trades(found, self.bars, self.simulation.layout)

    @cached_property
    def positions(self) -> Positions:
        """Trades put together from the first entry until nothing is held."""
        return Positions(matching.positions_of(self.trades.values), self.bars, self.simulation.layout)

    @cached_property
    def drawdowns(self) -> Drawdowns:
        """Stretches that an account spends below its peak."""
        return Drawdowns.of(self.paths.value, self.bars, self.simulation.layout)

    @cached_property
    def marks(self) -> np.ndarray:
        """Price at which each symbol is valued at each close, shape (n_times, n_symbols); NaN before its first.

        The close, else the price of the bar's orders, else the one before.
        """
        feed = self.simulation.feed
        known = np.where(np.isnan(feed.close), feed.fill, feed.close)
        marks: np.ndarray = pd.DataFrame(known).ffill().to_numpy()
        marks.flags.writeable = False
        return marks

    # ------------------------------------------------------------------------------------------ numbers
    def win_rate(self) -> Any:
        """Return the share of closed trades that gained."""
        return self.trades.closed.win_rate()

    def profit_factor(self) -> Any:
        """Return gains over losses of closed trades."""
        return self.trades.closed.profit_factor()

    def expectancy(self) -> Any:
        """Return the mean gain of closed trades, quote currency."""
        return self.trades.closed.expectancy()

    def sortino(self) -> Any:
        """Return :meth:`sortino_ratio`."""
        return self.sortino_ratio()

    def calmar(self) -> Any:
        """Return :meth:`calmar_ratio`."""
        return self.calmar_ratio()

    def omega_ratio(self) -> Any:
        """Return the sum of gains over the sum of losses of all bars."""
        return self._number(lambda _, returns, __: metrics.omega_ratio(returns), "omega_ratio")

    def annualized_volatility(self) -> Any:
        """Return the standard deviation of returns (ddof=1), of a year of 365 days."""
        return self._number(
            lambda _, returns, __: metrics.annualized_volatility(returns, self.bars_per_year), "annualized_volatility"
        )

    def value_at_risk(self, cutoff: float = 0.05) -> Any:
        """Return the bar's return that a share `cutoff` of all bars falls below."""
        return self._number(lambda _, returns, __: metrics.value_at_risk(returns, cutoff), "value_at_risk")

    def conditional_value_at_risk(self, cutoff: float = 0.05) -> Any:
        """Return the mean of the worst share `cutoff` of the bars' returns."""
        return self._number(
            lambda _, returns, __: metrics.conditional_value_at_risk(returns, cutoff), "conditional_value_at_risk"
        )

    def tail_ratio(self) -> Any:
        """Return the size of the 95th percentile of returns over that of the 5th."""
        return self._number(lambda _, returns, __: metrics.tail_ratio(returns), "tail_ratio")

    def gross_exposure_values(self) -> np.ndarray:
        """Return positions' worth over the account's at each close, shape (n_times, n_accounts)."""
        gross = np.abs(np.nan_to_num(self.weights.to_numpy(), posinf=0.0, neginf=0.0))
        return np.asarray(np.add.reduceat(gross, self.simulation.layout.first[:-1], axis=1))

    @property
    def bars_per_year(self) -> float:
        """Bars in a year of 365 days."""
        return self._year

    # ------------------------------------------------------------------------------------------ beside a benchmark
    def benchmark_value(self, benchmark: pd.Series | None = None) -> Any:
        """Return what holding would be worth at each close: the account's symbols in equal parts, or a given Series."""
        return self._path(stats.benchmark_values(self, benchmark), "benchmark")

    def relative(self, benchmark: pd.Series | None = None) -> Any:
        """Return alpha, beta, tracking error, information ratio, up and down capture beside holding.

        A Series; of several accounts a frame with one column each.

        Parameters
        ----------
        benchmark : Series, optional
            Prices by time. Without it the account's symbols are held in equal parts.
        """
        table = stats.relative_table(self, benchmark)
        return table.iloc[:, 0].rename("relative") if self.n_accounts == 1 else table

    # ------------------------------------------------------------------------------------------ tables
    def stats(
        self, column: Any = None, *, agg_func: str | None = "mean", benchmark: pd.Series | None = None
    ) -> pd.Series | pd.DataFrame:
        """Return the result as a labelled Series, vectorbt's labels where they exist.

        Parameters
        ----------
        column : label, optional
            Account; all of them if not given.
        agg_func : str or None
            How the numbers of several accounts become one, a word of pandas. None gives a frame with one column an
            account.
        benchmark : Series, optional
            Prices by time to compare with. Without it the account's symbols are held in equal parts.

        Raises
        ------
        UnknownNameError
            If there is no such account.
        """
        if column is not None:
            return self[column].stats(agg_func=agg_func, benchmark=benchmark)
        table = stats.stats_table(self, benchmark)
        if self.assumptions.band:
            table.loc["Ambiguous Bars"] = self.ambiguous_bars.tolist()
        return table if agg_func is None else stats.summarise(table, agg_func)

    def monthly_returns(self) -> pd.DataFrame:
        """Return compounded returns as fractions: years as rows, months and the whole year as columns."""
        return stats.monthly_returns(self)

    # ------------------------------------------------------------------------------------------ what a bar hides
    def band(self) -> Band:
        """Return the result under pessimistic, neutral and optimistic views of what bars cannot tell."""
        return self._band

    @cached_property
    def _band(self) -> Band:
        from gwt_lab.backtest.band import Band

        return Band.of(self)

    @cached_property
    def ambiguous_bars(self) -> np.ndarray:
        """Bars (of a column) in which the pessimistic and the optimistic view do different things, by account."""
        from gwt_lab.backtest.band import count_ambiguous

        return count_ambiguous(self)

    @property
    def n_ambiguous_bars(self) -> int:
        """Bars (of a column) in which the pessimistic and the optimistic view do different things, in all."""
        return int(self.ambiguous_bars.sum())

    def why_no_trades(self) -> WhyNoTrades:
        """Return what kept signals or orders from being filled, by column and reason."""
        from gwt_lab.backtest.why import why_no_trades

        return why_no_trades(self)

    # ------------------------------------------------------------------------------------------ elsewhere
    def to_vectorbt(self) -> Any:
        """Return the same fills as a `vectorbt.Portfolio`.

        Raises
        ------
        MissingExtraError
            If vectorbt is not installed.
        ConfigError
            If funding was paid, which vectorbt does not know.
        """
        from gwt_lab.backtest.vectorbt_portfolio import to_vectorbt

        return to_vectorbt(self)

    def plot(self, *, symbol: str | None = None, benchmark: Any = True) -> Any:
        """Return the interactive figure: worth beside holding, drawdown, trades on price, exposure.

        Parameters
        ----------
        symbol : str, optional
            Whose price and trades are drawn; that of the most traded value if not given.
        benchmark : bool or Series
            Whether to draw holding as well, or the prices to compare with.
        """
        from gwt_lab.backtest.plots import plot_equity

        return plot_equity(self, symbol=symbol, benchmark=benchmark)

    def plot_monthly(self) -> Any:
        """Return the monthly returns as a heatmap."""
        from gwt_lab.backtest.plots import plot_monthly

        return plot_monthly(self)

    def tearsheet(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        title: str | None = None,
        benchmark: pd.Series | None = None,
        trials: Any = None,
    ) -> str:
        """Return the whole result as one HTML page that needs no network, and write it to `path` if given.

        Parameters
        ----------
        path : path, optional
            File to write.
        title : str, optional
            Heading.
        benchmark : Series, optional
            Prices by time to compare with.
        trials : TrialLedger, Study or mapping, optional
            How many configurations were tried: `n_trials`, `effective_trials`.
        """
        from gwt_lab.backtest.tearsheet import tearsheet

        return tearsheet(self, path, title=title, benchmark=benchmark, trials=trials)

    # ------------------------------------------------------------------------------------------ words
    def __repr__(self) -> str:
        words = ", ".join(f"{name} {value}" for name, value in self._headline())
        size = f"{self.bars.n_symbols} symbols x {self.bars.n_times:,} bars of {self.bars.timeframe}"
        accounts = f", {self.n_accounts:,} accounts" if self.n_accounts > 1 else ""
        text = f"{type(self).__name__}({size}{accounts}: {words})\nassumes: {self.assumptions}"
        return f"{text}\n{self.band().verdict()}" if self.assumptions.band else text

    def _headline(self) -> list[tuple[str, str]]:
        from gwt_lab.display import percent

        mean = "mean " if self.n_accounts > 1 else ""
        return [
            (f"{mean}total return", percent(float(np.nanmean(self.total_return())))),
            (f"{mean}Sharpe", f"{_mean(self.sharpe_ratio()):.2f}"),
            (f"{mean}max drawdown", percent(float(np.nanmean(self.max_drawdown())))),
            ("orders", f"{len(self.fills):,}"),
        ]

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, number, table_html

        rows = [*self._headline(), ("fees", number(float(self.fills[:, 4].sum())))]
        if self.assumptions.band:
            rows.append(("inside bars", self.band().verdict()))
        rows.append(("assumes", str(self.assumptions)))
        title = f"Portfolio: {self.bars.n_symbols} symbols × {self.bars.n_times:,} bars of {self.bars.timeframe}"
        return card(title, table_html(("", ""), rows))


def _mean(found: Any) -> float:
    values = np.atleast_1d(np.asarray(found, dtype=np.float64))
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
