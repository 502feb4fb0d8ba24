"""`run_backtest`: one strategy on one frame of bars, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.backtest.sweep.families import FAMILIES
from gwt_lab.backtest.sweep.families_base import Family
from gwt_lab.backtest.sweep.user_functions import (
    arrays_of,
    call_words,
    check_user_strategy,
    read_output,
    user_strategy,
)
from gwt_lab.backtest.sweep.work import sweep_market
from gwt_lab.errors import ConfigError, UnknownNameError
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.market.time import bars_per_year
from gwt_lab.strategies.registry import create_strategy, strategy_names

__all__ = ["backtest_strategy", "run_backtest", "strategy_words"]


def strategy_words() -> list[str]:
    """Return every name that `run_backtest` and `sweep` know."""
    return sorted({*FAMILIES, *strategy_names()})


def run_backtest(
    df: Any,
    strategy: str | Callable[..., Any] = "ma_cross",
    params: Mapping[str, Any] | None = None,
    fees: float = 0.001,
    slippage: float = 0.0005,
    **settings: Any,
) -> dict[str, Any]:
    """Backtest one strategy and return plain values: what a dashboard stands on.

    Parameters
    ----------
    df : DataFrame, Bars, or whatever `as_bars` takes
        OHLCV of one symbol or several.
    strategy : str or callable
        A name such as "ma_cross" (see :func:`strategy_words`), or a function of bars or arrays, as `sweep` takes it.
    params : mapping, optional
        The strategy's parameters; its defaults where not given (ma_cross: 10 and 50).
    fees, slippage : float
        Fractions of the traded value and of the price.
    **settings
        Everything else that :meth:`Portfolio.from_signals` takes: `price`, `init_cash`, `sl_stop`, `direction`, ...

    Returns
    -------
    dict
        `total_return`, `sharpe_ratio`, `max_drawdown` (negative), `n_trades`; `equity_curve` (Series: worth at each
        close); `benchmark_curve` (Series: the same cash in equal parts of every symbol, held); `assumptions` (str);
        `portfolio` (:class:`Portfolio`).

    Raises
    ------
    UnknownNameError
        If there is no such strategy or parameter.
    ConfigError
        If a parameter makes no sense.
    CausalityError
        If a function of yours looks ahead.
    """
    portfolio = backtest_strategy(as_bars(df), strategy, params, fees=fees, slippage=slippage, **settings)
    close = portfolio.bars.close
    growth = (close.ffill() / close.bfill().iloc[0]).fillna(1.0).mean(axis=1)
    return {
        "total_return": portfolio.total_return(),
        "sharpe_ratio": portfolio.sharpe_ratio(),
        "max_drawdown": portfolio.max_drawdown(),
        "n_trades": len(portfolio.trades),
        "equity_curve": portfolio.value(),
        "benchmark_curve": (portfolio.assumptions.init_cash * growth).rename("benchmark"),
        "assumptions": str(portfolio.assumptions),
        "portfolio": portfolio,
    }


def backtest_strategy(
    bars: Bars, strategy: str | Callable[..., Any], params: Mapping[str, Any] | None = None, **settings: Any
) -> Portfolio:
    """Return the portfolio of one strategy in one account; settings as in `Portfolio.from_signals`.

    Signals of several symbols buy an equal share of the account's worth each.
    """
    if not isinstance(params or {}, Mapping):
        raise ConfigError(f"params must be a dict such as {{'fast': 10, 'slow': 50}}, got {type(params).__name__}")
    parameters = dict(params or {})
    if isinstance(strategy, str) and strategy in FAMILIES:
        signals, weights = _of_family(FAMILIES[strategy], bars, parameters)
    else:
        signals, weights = _of_callable(strategy, bars, parameters)
    if weights is not None:
        return Portfolio.from_weights(bars, weights, **settings)
    if bars.n_symbols > 1:
        shared = {"size": 1.0 / bars.n_symbols, "size_type": "targetpercent", "cash_sharing": True, "call_seq": "auto"}
        settings = shared | settings
    return Portfolio.from_signals(bars, *signals, **settings)


Decisions = tuple[tuple[pd.DataFrame, ...], pd.DataFrame | None]


def _frame(values: np.ndarray, bars: Bars) -> pd.DataFrame:
    return pd.DataFrame(values, index=bars.index, columns=bars.close.columns)


def _of_family(family: Family, bars: Bars, parameters: dict[str, Any]) -> Decisions:
    unknown = [name for name in parameters if name not in family.defaults]
    if unknown:
        raise UnknownNameError(
            f"{family.name} has no parameter {', '.join(unknown)}; it has {', '.join(family.defaults)}"
        )
    for name, value in parameters.items():
        if not isinstance(value, (int, float, np.number)):
            raise ConfigError(f"{name} of {family.name} must be one number, got {value!r}; sweep takes lists")
    family.check(pd.DataFrame([{**family.defaults, **parameters}]))
    market = sweep_market(bars, bars_per_year(bars.timeframe))
    if family.portfolio:
        return (), _frame(family.weights(market, **parameters).T, bars)
    return tuple(_frame(side.T, bars) for side in family.signals(market, **parameters)), None


def _of_callable(strategy: Any, bars: Bars, parameters: dict[str, Any]) -> Decisions:
    if isinstance(strategy, str):
        if strategy not in strategy_names():
            raise UnknownNameError(
                f"no strategy {strategy!r}; there are {', '.join(strategy_words())}, and any function of bars"
            )
        strategy = create_strategy(strategy, parameters).weights
        return (), strategy(bars)
    own = user_strategy(strategy)
    own.refuse_unknown(parameters)
    check_user_strategy(own, bars, parameters, always=False)
    output = own.call(arrays_of(bars, own.data), parameters)
    read = read_output(output, bars, lambda: call_words(own.name, parameters))
    if read.weights is not None:
        return (), _frame(read.weights, bars)
    sides = (np.asarray(side) for side in (read.entries, read.exits))
    return tuple(_frame(side.T, bars) for side in sides), None
