"""Tables of a result: statistics under vectorbt's labels, measures beside a benchmark, returns by month."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gwt_lab.backtest import metrics
from gwt_lab.backtest.inputs import floats
from gwt_lab.errors import ConfigError, ShapeError
from gwt_lab.market.time import timeframe_ns, utc_index

if TYPE_CHECKING:
    from gwt_lab.backtest.results import Results

__all__ = ["benchmark_values", "monthly_returns", "relative_table", "stats_table", "summarise"]


def benchmark_values(result: Results, benchmark: Any = None) -> np.ndarray:
    """Return what each account would be worth had it held instead, shape (n_times, n_accounts).

    Parameters
    ----------
    result : Portfolio
    benchmark : Series, optional
        Prices or worths at the bars' times. Without it the account's symbols are held in equal parts, bought at their
        first closes without costs; cash waits until a symbol is listed.

    Raises
    ------
    ShapeError
        If the Series has no value at or before the first bar.
    """
    init, layout = result.simulation.init_cash, result.simulation.layout
    if benchmark is None:
        close = result.marks
        growth = np.nan_to_num(close / close_first(close), nan=1.0)[:, layout.symbol_of]
        total = np.add.reduceat(growth, layout.first[:-1], axis=1)
        return np.asarray(init * total / np.diff(layout.first))
    if not isinstance(benchmark, pd.Series) or not isinstance(benchmark.index, pd.DatetimeIndex):
        raise ShapeError(f"benchmark must be a Series of prices by time, got {type(benchmark).__name__}")
    times = utc_index(benchmark.index, name="the benchmark's index")
    if times.has_duplicates:
        raise ShapeError(f"benchmark has {times[times.duplicated()][0]} more than once: keep one price of each time")
    held = pd.Series(floats(benchmark, "benchmark"), times).sort_index()
    prices = held.reindex(result.bars.index, method="ffill").to_numpy()
    if not (np.isfinite(prices).all() and (prices > 0).all()):
        raise ShapeError(
            f"benchmark must have a price above 0 from the first bar on ({result.bars.index[0]}), got "
            f"{benchmark.index.min()} to {benchmark.index.max()}"
        )
    return np.asarray(init * (prices / prices[0])[:, None])


def close_first(close: np.ndarray) -> np.ndarray:
    """Return the first known value of each column, NaN where there is none; shape (n_columns,)."""
    known = ~np.isnan(close)
    return np.where(known.any(axis=0), close[np.argmax(known, axis=0), np.arange(close.shape[1])], np.nan)


# ------------------------------------------------------------------------------------------------ statistics
def stats_table(result: Results, benchmark: Any = None) -> pd.DataFrame:
    """Return the statistics of every account: labels as rows, one column an account."""
    table = _path_rows(result, benchmark) | _trade_rows(result) | _ratio_rows(result)
    table |= _other_rows(result) | _relative_rows(result, benchmark)
    columns = {name: np.broadcast_to(np.asarray(values), (result.n_accounts,)) for name, values in table.items()}
    return pd.DataFrame(
        [[_plain(value) for value in values] for values in columns.values()],
        index=list(columns),
        columns=result.accounts,
        dtype=object,
    )


def summarise(table: pd.DataFrame, agg_func: str) -> pd.Series:
    """Return one Series of several accounts' statistics; NaN and NaT are left out of the aggregate.

    Raises
    ------
    ConfigError
        If pandas has no such aggregate.
    """
    if table.shape[1] == 1:
        return table.iloc[:, 0].rename("stats")
    found = {}
    for name, row in table.iterrows():
        if name in ("Start", "End", "Period"):
            found[name] = row.iloc[0]
            continue
        try:
            found[name] = _plain(row.infer_objects().agg(agg_func))
        except (AttributeError, TypeError, ValueError) as error:
            raise ConfigError(f"agg_func must be a word of pandas such as 'mean', got {agg_func!r}: {error}") from None
    return pd.Series(found, name=f"agg_func_{agg_func}", dtype=object)


def _plain(value: Any) -> Any:
    if isinstance(value, np.timedelta64):
        return pd.Timedelta(value)
    return value.item() if isinstance(value, np.generic) else value


def _step(result: Results) -> np.timedelta64:
    return np.timedelta64(timeframe_ns(result.bars.timeframe), "ns")


def _durations(result: Results, n_bars: np.ndarray) -> np.ndarray:
    """Return a number of bars by account as time; NaN becomes NaT."""
    step = timeframe_ns(result.bars.timeframe)
    found = np.array([pd.NaT if np.isnan(n) else pd.Timedelta(round(n * step), "ns") for n in n_bars], dtype=object)
    return found


def _numbers(found: Any) -> np.ndarray:
    return np.atleast_1d(np.asarray(found, dtype=np.float64))


def _path_rows(result: Results, benchmark: Any) -> dict[str, Any]:
    value, init = result.paths.value, result.simulation.init_cash
    held = benchmark_values(result, benchmark)
    longest = np.zeros(result.n_accounts)
    np.fmax.at(longest, result.drawdowns._account, result.drawdowns._bars_below)
    orders = result.orders
    return {
        "Start": result.bars.index[0],
        "End": result.bars.index[-1],
        "Period": pd.Timedelta(_step(result) * result.bars.n_times),
        "Start Value": init,
        "End Value": value[-1],
        "Total Return [%]": 100 * _numbers(result.total_return()),
        "Benchmark Return [%]": 100 * (held[-1] / init - 1.0),
        "Max Gross Exposure [%]": 100 * result.gross_exposure_values().max(axis=0),
        "Total Fees Paid": orders._sums(result.fills[:, 4]),
        "Max Drawdown [%]": -100 * _numbers(result.max_drawdown()),
        "Max Drawdown Duration": _durations(result, longest),
    }


def _trade_rows(result: Results) -> dict[str, Any]:
    trades = result.trades
    closed, still = trades.closed, trades.open
    won, lost = closed.winning, closed.losing
    return {
        "Total Trades": trades._counts(),
        "Total Closed Trades": closed._counts(),
        "Total Open Trades": still._counts(),
        "Open Trade PnL": still._sums(still._pnl),
        "Win Rate [%]": 100 * _numbers(closed.win_rate()),
        "Best Trade [%]": 100 * closed._extremes(closed._returns, np.fmax),
        "Worst Trade [%]": 100 * closed._extremes(closed._returns, np.fmin),
        "Avg Winning Trade [%]": 100 * won._means(won._returns),
        "Avg Losing Trade [%]": 100 * lost._means(lost._returns),
        "Avg Winning Trade Duration": _durations(result, won._means(won._bars_held)),
        "Avg Losing Trade Duration": _durations(result, lost._means(lost._bars_held)),
        "Profit Factor": _numbers(closed.profit_factor()),
        "Expectancy": _numbers(closed.expectancy()),
    }


def _ratio_rows(result: Results) -> dict[str, Any]:
    return {
        "Sharpe Ratio": _numbers(result.sharpe_ratio()),
        "Calmar Ratio": _numbers(result.calmar_ratio()),
        "Omega Ratio": _numbers(result.omega_ratio()),
        "Sortino Ratio": _numbers(result.sortino_ratio()),
    }


def _other_rows(result: Results) -> dict[str, Any]:
    """Return what vectorbt's table does not have."""
    rows = {
        "Total Orders": result.orders._counts(),
        "Turnover": _numbers(result.turnover()),
        "Mean Gross Exposure [%]": 100 * _numbers(result.exposure()),
        "Time in Market [%]": 100 * _numbers(result.time_in_market()),
        "Annualized Return [%]": 100 * _numbers(result.annualized_return()),
        "Annualized Volatility [%]": 100 * _numbers(result.annualized_volatility()),
        "Value at Risk [%]": 100 * _numbers(result.value_at_risk()),
    }
    if result.paths.funding.any():
        rows["Total Funding Paid"] = result.paths.funding
    return rows


def _relative_rows(result: Results, benchmark: Any) -> dict[str, Any]:
    return {str(name): row.to_numpy() for name, row in relative_table(result, benchmark).iterrows()}


def relative_table(result: Results, benchmark: Any = None) -> pd.DataFrame:
    """Return alpha, beta, tracking error, information ratio and captures: one row each, one column an account."""
    held = benchmark_values(result, benchmark)
    year, init = result.bars_per_year, result.simulation.init_cash
    found = []
    for account in range(result.n_accounts):
        own = metrics.bar_returns(result.paths.value[:, account], init[account])
        other = metrics.bar_returns(held[:, account], init[account])
        found.append(
            {
                "Alpha [%]": 100 * metrics.alpha(own, other, year),
                "Beta": metrics.beta(own, other),
                "Tracking Error [%]": 100 * metrics.tracking_error(own, other, year),
                "Information Ratio": metrics.information_ratio(own, other),
                "Up Capture": metrics.capture(own, other, up=True),
                "Down Capture": metrics.capture(own, other, up=False),
            }
        )
    return pd.DataFrame(found, index=result.accounts).T


# ------------------------------------------------------------------------------------------------ months
def monthly_returns(result: Results) -> pd.DataFrame:
    """Return the compounded return of each month as fractions, years as rows; the column "Year" is the year's.

    Months the bars do not reach are NaN. The first is measured from the initial cash.

    Raises
    ------
    ConfigError
        If there are several accounts.
    """
    if result.n_accounts != 1:
        raise ConfigError(f"monthly_returns wants one account, there are {result.n_accounts}: pick one, pf[label]")
    index = result.bars.index
    month = pd.Series(result.equity, index=[index.year, index.month]).groupby(level=[0, 1]).last()
    before = month.shift(1, fill_value=float(result.simulation.init_cash[0]))
    table = (month / before - 1.0).unstack(1).reindex(columns=range(1, 13))
    table.columns = pd.Index(_MONTHS)
    year = pd.Series(result.equity, index=index.year).groupby(level=0).last()
    table["Year"] = year / year.shift(1, fill_value=float(result.simulation.init_cash[0])) - 1.0
    return table.rename_axis(index="year", columns=None)


_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
