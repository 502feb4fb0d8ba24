"""`Portfolio`: the result of a backtest, built from target weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.allocation.signal_rules import hold_between
from gwt_lab.backtest import kernels, metrics
from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.market.costs import CostModel
from gwt_lab.market.fills import DELAY_BARS
from gwt_lab.market.time import bars_per_year, timeframe_ns, utc_index

__all__ = ["Assumptions", "Portfolio"]

_FILL_WORDS = {
    "next_open": "decided at a bar's close, filled at the next bar's open",
    "close": "decided and filled at the same bar's close (optimistic: asked for by name)",
}


@dataclass(frozen=True)
class Assumptions:
    """What a result rests on; printed beside it.

    Parameters
    ----------
    price : str
        "next_open" or "close".
    costs : CostModel
        Fees, slippage, rounding.
    init_cash : float
        Quote currency.
    rebalance : int or None
        Bars between two rebalances; None trades at every row that holds a weight.
    """

    price: str
    costs: CostModel
    init_cash: float
    rebalance: int | None = None

    def __str__(self) -> str:
        pace = "at every row with a weight" if self.rebalance is None else f"every {self.rebalance} bars"
        return (
            f"{_FILL_WORDS[self.price]}; {self.costs.describe()}; cash {self.init_cash:,.0f} shared by all symbols; "
            f"rebalanced {pace}; a bar without a price does not trade and keeps its last price; no interest on shorts"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Portfolio:
    """A backtested account: its path, its orders and what they rest on.

    Parameters
    ----------
    bars : Bars
        What was traded.
    cash, equity : ndarray of shape (n_times,)
        Quote currency: cash after each bar's fills, worth at each bar's close.
    amounts : ndarray of shape (n_times, n_symbols)
        Base currency held after each bar's fills.
    fills : ndarray of shape (n_orders, 5)
        Row, column, signed amount, price paid, fee.
    assumptions : Assumptions
        When and at what cost orders are filled.

    Notes
    -----
    Build one with :meth:`from_weights`.
    """

    bars: Bars
    cash: np.ndarray
    equity: np.ndarray
    amounts: np.ndarray
    fills: np.ndarray
    assumptions: Assumptions

    # ------------------------------------------------------------------------------------------ build
    @classmethod
    def from_weights(
        cls,
        bars: Any,
        weights: Any,
        *,
        fees: float = 0.001,
        slippage: float = 0.0005,
        init_cash: float = 10_000.0,
        price: str = "next_open",
        rebalance: int | None = None,
        costs: CostModel | None = None,
    ) -> Portfolio:
        """Trade an account to target weights.

        Parameters
        ----------
        bars : Bars, or whatever `as_bars` takes
            Prices.
        weights : DataFrame of shape (n_times, n_symbols)
            Share of the account's worth that each symbol shall have, decided at each row's close. NaN holds what is
            there; a time that is not in the index holds too. Negative is short; the sum of absolutes is not limited,
            but a buy never spends more cash than there is.
        fees, slippage : float
            Fractions of the traded value and of the price.
        init_cash : float
            Quote currency.
        price : {"next_open", "close"}
            Filled at the open of the next bar, or at the close of the deciding bar itself.
        rebalance : int, optional
            Trade only every so many bars, counted from 1970; None trades at every row that holds a weight.
        costs : CostModel, optional
            Replaces `fees` and `slippage`, and adds fixed fees and lots.

        Returns
        -------
        Portfolio

        Raises
        ------
        ShapeError
            If a symbol of the bars has no column of weights, or weights lie at times the bars do not have.
        DataError
            If a weight is infinite or a price is not positive.
        ConfigError
            If a setting is out of range.

        Notes
        -----
        Order sizes, the cut to the cash and the order of execution are the rule in `market.fills`. They equal
        vectorbt's ``from_orders(size_type="targetpercent", cash_sharing=True, call_seq="auto")`` on the same prices.
        """
        market = as_bars(bars, price="close" if price == "close" and _is_closes(bars) else None)
        settings = _assumptions(price, costs or CostModel(fees, slippage), init_cash, rebalance)
        targets = aligned_weights(weights, market)
        if rebalance is not None:
            targets = hold_between(targets, market.timeframe, rebalance)
        return _simulate(market, targets.to_numpy(dtype=np.float64), settings)

    # ------------------------------------------------------------------------------------------ paths
    def value(self) -> pd.Series:
        """Return the account's worth at each bar's close, quote currency."""
        return pd.Series(self.equity, index=self.bars.index, name="value")

    def returns(self) -> pd.Series:
        """Return each bar's gain as a fraction; the first bar's is measured from the initial cash."""
        return pd.Series(self._returns, index=self.bars.index, name="returns")

    def drawdown(self) -> pd.Series:
        """Return the distance from the highest worth so far, zero or negative."""
        return pd.Series(metrics.drawdowns(self.equity), index=self.bars.index, name="drawdown")

    @property
    def positions(self) -> pd.DataFrame:
        """Amounts held after each bar's fills, base currency."""
        return pd.DataFrame(self.amounts, index=self.bars.index, columns=self.bars.close.columns)

    @property
    def weights(self) -> pd.DataFrame:
        """Share of the account's worth that each symbol has at each bar's close."""
        held = self.amounts * self.bars.close.ffill().fillna(0.0).to_numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            return pd.DataFrame(held / self.equity[:, None], index=self.bars.index, columns=self.bars.close.columns)

    @cached_property
    def orders(self) -> pd.DataFrame:
        """Fills in the order of execution: timestamp, symbol, side, amount, price, fees."""
        rows, columns = self.fills[:, 0].astype(np.int64), self.fills[:, 1].astype(np.int64)
        return pd.DataFrame(
            {
                "timestamp": self.bars.index[rows],
                "symbol": np.array(self.bars.symbols, dtype=object)[columns],
                "side": np.where(self.fills[:, 2] > 0, "buy", "sell"),
                "amount": np.abs(self.fills[:, 2]),
                "price": self.fills[:, 3],
                "fees": self.fills[:, 4],
            }
        )

    # ------------------------------------------------------------------------------------------ numbers
    def total_return(self) -> float:
        """Return the gain over the whole path as a fraction of the initial cash."""
        return metrics.total_return(self.equity, self._start)

    def sharpe_ratio(self) -> float:
        """Return the Sharpe ratio of every bar's return (ddof=1), annualised with 365 days."""
        return metrics.sharpe_ratio(self._returns, bars_per_year(self.bars.timeframe))

    def max_drawdown(self) -> float:
        """Return the deepest fall from a peak as a negative fraction."""
        return metrics.max_drawdown(self.equity)

    def turnover(self) -> float:
        """Return the traded value over the mean worth of the account."""
        traded = float(np.abs(self.fills[:, 2] * self.fills[:, 3]).sum())
        return traded / float(self.equity.mean())

    def stats(self) -> pd.Series:
        """Return the result as a labelled Series, vectorbt's labels where they exist."""
        step, year = pd.Timedelta(timeframe_ns(self.bars.timeframe)), bars_per_year(self.bars.timeframe)
        close = self.bars.close.ffill()
        first = self.bars.close.bfill().iloc[0]
        exposure = np.abs(np.nan_to_num(self.weights.to_numpy())).sum(axis=1)
        return pd.Series(
            {
                "Start": self.bars.index[0],
                "End": self.bars.index[-1],
                "Period": step * self.bars.n_times,
                "Start Value": self._start,
                "End Value": float(self.equity[-1]),
                "Total Return [%]": 100 * self.total_return(),
                "Benchmark Return [%]": 100 * float((close.iloc[-1] / first - 1.0).mean()),
                "Max Gross Exposure [%]": 100 * float(exposure.max()),
                "Total Fees Paid": float(self.fills[:, 4].sum()),
                "Max Drawdown [%]": -100 * self.max_drawdown(),
                "Max Drawdown Duration": step * metrics.longest_drawdown(self.equity),
                "Total Orders": len(self.fills),
                "Turnover": self.turnover(),
                "Sharpe Ratio": self.sharpe_ratio(),
                "Calmar Ratio": metrics.calmar_ratio(self.equity, self._start, year),
                "Omega Ratio": metrics.omega_ratio(self._returns),
                "Sortino Ratio": metrics.sortino_ratio(self._returns, year),
            },
            name="stats",
            dtype=object,
        )

    @property
    def _start(self) -> float:
        return self.assumptions.init_cash

    @cached_property
    def _returns(self) -> np.ndarray:
        return metrics.bar_returns(self.equity, self._start)

    # ------------------------------------------------------------------------------------------ words
    def plot(self) -> Any:
        """Return the interactive figure of worth and drawdown, :func:`gwt_lab.backtest.plots.plot_equity`."""
        from gwt_lab.backtest.plots import plot_equity

        return plot_equity(self)

    def __repr__(self) -> str:
        return (
            f"Portfolio({self.bars.n_symbols} symbols x {self.bars.n_times:,} bars of {self.bars.timeframe}: "
            f"total return {100 * self.total_return():.2f} %, Sharpe {self.sharpe_ratio():.2f}, "
            f"max drawdown {100 * self.max_drawdown():.2f} %, {len(self.fills):,} orders)\n"
            f"assumes: {self.assumptions}"
        )

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, number, percent, table_html

        rows = [
            ("total return", percent(self.total_return())),
            ("Sharpe ratio (365 days)", number(self.sharpe_ratio(), 3)),
            ("max drawdown", percent(self.max_drawdown())),
            ("orders", f"{len(self.fills):,}, fees {number(float(self.fills[:, 4].sum()))}"),
            ("assumes", str(self.assumptions)),
        ]
        title = f"Portfolio: {self.bars.n_symbols} symbols × {self.bars.n_times:,} bars of {self.bars.timeframe}"
        return card(title, table_html(("", ""), rows))


def aligned_weights(weights: Any, bars: Bars) -> pd.DataFrame:
    """Return weights with the bars' index and columns; missing times hold (NaN).

    Raises
    ------
    ShapeError
        If symbols or times do not match.
    DataError
        If a weight is infinite.
    """
    if not isinstance(weights, pd.DataFrame):
        raise ShapeError(
            f"weights must be a DataFrame with one column a symbol and the bars' times as index, got "
            f"{type(weights).__name__}"
        )
    missing = [name for name in bars.symbols if name not in weights.columns]
    extra = [str(name) for name in weights.columns if name not in bars.symbols]
    if missing or extra or weights.columns.has_duplicates:
        raise ShapeError(
            f"weights must have one column for each of {bars.n_symbols} symbols, got {len(weights.columns)}: missing "
            f"{', '.join(missing) or 'none'}, unknown {', '.join(extra) or 'none'}; "
            "use bars.select or add a column of zeros"
        )
    frame = weights[bars.symbols].astype(np.float64)
    if not frame.index.equals(bars.index):
        frame.index = utc_index(frame.index, name="the weights' index")
        foreign = frame.index.difference(bars.index)
        if len(foreign) or frame.index.has_duplicates:
            first = foreign[0] if len(foreign) else frame.index[frame.index.duplicated()][0]
            raise ShapeError(f"weights must lie at the bars' open times, each once; {first} does not")
        frame = frame.reindex(bars.index)
    if np.isinf(frame.to_numpy()).any():
        raise DataError("weights must be numbers or NaN (hold), got an infinite one")
    return frame


def _is_closes(data: Any) -> bool:
    """Return whether data looks like closes alone: a Series, or a frame without an open."""
    if isinstance(data, pd.Series):
        return True
    return isinstance(data, pd.DataFrame) and "open" not in {str(name).lower() for name in data.columns}


def _assumptions(price: str, costs: CostModel, init_cash: float, rebalance: int | None) -> Assumptions:
    if price not in DELAY_BARS:
        raise ConfigError(f"price must be one of {', '.join(DELAY_BARS)}, got {price!r}")
    if not np.isfinite(init_cash) or init_cash <= 0:
        raise ConfigError(f"init_cash must be above 0, got {init_cash}")
    return Assumptions(price, costs, float(init_cash), rebalance)


def _simulate(bars: Bars, targets: np.ndarray, assumptions: Assumptions) -> Portfolio:
    close = bars.close.to_numpy(dtype=np.float64)
    fill_prices = (bars.open if assumptions.price == "next_open" else bars.close).to_numpy(dtype=np.float64)
    if (np.isfinite(fill_prices) & (fill_prices <= 0)).any() or np.isinf(fill_prices).any():
        raise DataError("prices must be above 0 and finite to be traded; run check_bars to find the bad ones")
    n_times, n_symbols = close.shape
    cash, value = np.empty(n_times), np.empty(n_times)
    positions = np.empty((n_times, n_symbols))
    # at most one order for every weight that is a number
    orders = np.empty((int(np.count_nonzero(~np.isnan(targets))), 5))
    count = kernels.simulate_weights(
        np.ascontiguousarray(fill_prices),
        np.ascontiguousarray(close),
        np.ascontiguousarray(targets),
        DELAY_BARS[assumptions.price],
        assumptions.init_cash,
        assumptions.costs.rates(),
        assumptions.costs.rules(bars.symbols, bars.instruments),
        cash,
        positions,
        value,
        orders,
    )
    for array in (cash, positions, value):
        array.flags.writeable = False
    fills = orders[:count].copy()
    fills.flags.writeable = False
    return Portfolio(bars, cash, value, positions, fills, assumptions)
