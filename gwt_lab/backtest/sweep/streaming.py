"""What the fused loop keeps of an account, and the metrics that follow from it.

One row of `N_ACC` numbers per account replaces its path. Definitions are those of `gwt_lab.backtest.metrics`: every
bar's return counts, the first measured from the initial cash; ddof=1; 365 days a year; peaks are closes of the account.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["METRICS", "N_ACC"]

FloatArray = NDArray[np.float64]

# Places in a row of sums, which kernels read as constants.
N_BARS = 0
INIT_CASH = 1
VALUE = 2  # worth at the last close
SUM = 3  # of returns
SUM_SQUARES = 4
SUM_LOSS_SQUARES = 5
PEAK = 6
DEEPEST = 7  # fall from the peak, zero or negative
SUM_VALUES = 8
BARS_HELD = 9
TRADES = 10  # closed
WINS = 11
GROSS_PROFIT = 12
GROSS_LOSS = 13  # positive
TRADED = 14  # value of all orders
FEES = 15
ORDERS = 16
OPEN = 17  # 1 while a position is open
# the loop's own
CASH = 18
AMOUNT = 19
BOOKED = 20  # bars
NEXT_EDGE = 21
ENTRY_VALUE = 22
ENTRY_FEE = 23
REALISED = 24  # of the open trade
TRADED_NOW = 25  # 1 if the first bar that is not booked yet was traded in
N_ACC = 26


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """Return `above / below`, NaN where `below` is not positive."""
    out = np.full(np.broadcast(above, below).shape, np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def _total_return(acc: FloatArray, bars_per_year: float) -> FloatArray:
    return acc[..., VALUE] / acc[..., INIT_CASH] - 1.0


def _annualized_return(acc: FloatArray, bars_per_year: float) -> FloatArray:
    growth = np.maximum(acc[..., VALUE] / acc[..., INIT_CASH], 0.0)
    with np.errstate(over="ignore"):  # a few bars of large gains
        return growth ** (bars_per_year / acc[..., N_BARS]) - 1.0


def _spread(acc: FloatArray) -> FloatArray:
    """Return the standard deviation of the returns (ddof=1); NaN of fewer than two, and 0 where they do not vary."""
    n = acc[..., N_BARS]
    mean = acc[..., SUM] / n
    squares = acc[..., SUM_SQUARES] - n * mean * mean
    # what is left of the squares after 16 digits of them cancelled is rounding, not variance
    squares = np.where(squares > 4e-16 * n * acc[..., SUM_SQUARES], squares, 0.0)
    spread: FloatArray = np.sqrt(_ratio(squares, n - 1.0))
    return spread


def _volatility(acc: FloatArray, bars_per_year: float) -> FloatArray:
    return _spread(acc) * float(np.sqrt(bars_per_year))


def _sharpe_ratio(acc: FloatArray, bars_per_year: float) -> FloatArray:
    return _ratio(acc[..., SUM] / acc[..., N_BARS], _spread(acc)) * float(np.sqrt(bars_per_year))


def _sortino_ratio(acc: FloatArray, bars_per_year: float) -> FloatArray:
    downside = np.sqrt(acc[..., SUM_LOSS_SQUARES] / acc[..., N_BARS])
    return _ratio(acc[..., SUM] / acc[..., N_BARS], downside) * float(np.sqrt(bars_per_year))


def _max_drawdown(acc: FloatArray, bars_per_year: float) -> FloatArray:
    return acc[..., DEEPEST].copy()


def _calmar_ratio(acc: FloatArray, bars_per_year: float) -> FloatArray:
    return _ratio(_annualized_return(acc, bars_per_year), -acc[..., DEEPEST])


def _win_rate(acc: FloatArray, bars_per_year: float) -> FloatArray:
    return _ratio(acc[..., WINS], acc[..., TRADES])


def _profit_factor(acc: FloatArray, bars_per_year: float) -> FloatArray:
    return _ratio(acc[..., GROSS_PROFIT], acc[..., GROSS_LOSS])


def _expectancy(acc: FloatArray, bars_per_year: float) -> FloatArray:
    return _ratio(acc[..., GROSS_PROFIT] - acc[..., GROSS_LOSS], acc[..., TRADES])


def _n_trades(acc: FloatArray, bars_per_year: float) -> FloatArray:
    return acc[..., TRADES] + acc[..., OPEN]


def _turnover(acc: FloatArray, bars_per_year: float) -> FloatArray:
    return _ratio(acc[..., TRADED], acc[..., SUM_VALUES] / acc[..., N_BARS])


def _time_in_market(acc: FloatArray, bars_per_year: float) -> FloatArray:
    return acc[..., BARS_HELD] / acc[..., N_BARS]


def _total_fees(acc: FloatArray, bars_per_year: float) -> FloatArray:
    return acc[..., FEES].copy()


def _final_value(acc: FloatArray, bars_per_year: float) -> FloatArray:
    return acc[..., VALUE].copy()


# Each takes sums of shape (..., N_ACC) and bars per year, and returns one number per account. A trade goes from flat to
# flat, or to the other side; all of them count, gains are those of closed ones. No variance, no loss, no drawdown, no
# trade: NaN, as in `metrics`.
METRICS: dict[str, Callable[[FloatArray, float], FloatArray]] = {
    "total_return": _total_return,
    "annualized_return": _annualized_return,
    "sharpe_ratio": _sharpe_ratio,
    "sortino_ratio": _sortino_ratio,
    "calmar_ratio": _calmar_ratio,
    "max_drawdown": _max_drawdown,
    "volatility": _volatility,
    "win_rate": _win_rate,
    "profit_factor": _profit_factor,
    "expectancy": _expectancy,
    "n_trades": _n_trades,
    "turnover": _turnover,
    "time_in_market": _time_in_market,
    "total_fees": _total_fees,
    "final_value": _final_value,
}
