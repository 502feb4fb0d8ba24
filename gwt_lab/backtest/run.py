"""`run_backtest`: one strategy on one frame of bars, as plain values."""

from __future__ import annotations

import itertools
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
    code_hash,
    read_output,
    user_strategy,
)
from gwt_lab.backtest.sweep.work import sweep_market
from gwt_lab.errors import ConfigError, UnknownNameError
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.market.costs import CostModel
from gwt_lab.market.time import bars_per_year
from gwt_lab.strategies.registry import create_strategy, strategy_names
from gwt_lab.validation.effective import return_signature
from gwt_lab.validation.ledger import ledger_of
from gwt_lab.validation.trials import Trials

__all__ = ["backtest_strategy", "count_trial", "run_backtest", "strategy_words"]


def strategy_words() -> list[str]:
    """Return every name that `run_backtest` and `sweep` know."""
    return sorted({*FAMILIES, *strategy_names()})


def run_backtest(
    df: Any,
    strategy: str | Callable[..., Any] = "ma_cross",
    params: Mapping[str, Any] | None = None,
    fees: float = 0.001,
    slippage: float = 0.0005,
    *,
    ledger: Any = None,
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
    ledger : TrialLedger, bool or None
        Where the strategy and its parameters are counted as a trial, as a sweep does: the file that `GWT_LEDGER` names
        unless given; False counts nothing.
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
    count_trial(portfolio, strategy, params, settings, ledger=ledger)
    return {
        "total_return": portfolio.total_return(),
        "sharpe_ratio": portfolio.sharpe_ratio(),
        "max_drawdown": portfolio.max_drawdown(),
        "n_trades": len(portfolio.trades),
        "equity_curve": portfolio.value(),
        "benchmark_curve": portfolio.benchmark_value(),
        "assumptions": str(portfolio.assumptions),
        "portfolio": portfolio,
    }


def count_trial(
    portfolio: Portfolio,
    strategy: str | Callable[..., Any],
    params: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    *,
    ledger: Any = None,
) -> None:
    """Write a backtest into a trial ledger, as the sweep of one combination would: each account is a trial."""
    counted = ledger_of(ledger)
    if counted is None or portfolio.bars.n_times < 2:
        return
    named, known = _defaults(strategy)
    parameters = {**known, **dict(params or {})}
    bars, layout = portfolio.bars, portfolio.simulation.layout
    returns = np.asarray(portfolio.returns(), dtype=np.float64).reshape(bars.n_times, -1)
    spread = returns.std(axis=0, ddof=1)
    sharpe = np.divide(returns.mean(axis=0), spread, out=np.full(len(spread), np.nan), where=spread > 0)
    columns = {name: [value] for name, value in parameters.items()} or {"none": [None]}
    about = {"data": bars.content_hash, "label": _label(portfolio, settings), "strategy": named}
    about["code_hash"] = "" if isinstance(strategy, str) else code_hash(strategy)
    for account, (first, last) in enumerate(itertools.pairwise(layout.first)):
        trials = Trials(columns, universe=tuple(bars.symbols[j] for j in layout.symbol_of[first:last]), **about)
        one = slice(account, account + 1)
        counted.record(trials, sharpe[one], bars.n_times, return_signature(returns[:, one]))


def _defaults(strategy: str | Callable[..., Any]) -> tuple[str, dict[str, Any]]:
    """Return a strategy's name and its parameters unless given, as a sweep writes them down."""
    if isinstance(strategy, str):
        return strategy, dict(FAMILIES[strategy].defaults) if strategy in FAMILIES else {}
    own = user_strategy(strategy)
    return own.name, own.carried | own.defaults


def _label(portfolio: Portfolio, settings: Mapping[str, Any]) -> str:
    """Return how returns are measured, in a sweep's words; what a sweep does not know stands behind."""
    rules, costs = portfolio.simulation.rules, portfolio.simulation.rules.costs
    known: dict[str, Any] = {
        "price": rules.price,
        "fees": costs.fees,
        "slippage": costs.slippage,
        "fixed_fees": costs.fixed_fees,
        "init_cash": portfolio.assumptions.init_cash,
        "direction": rules.direction,
        "sl_stop": settings.get("sl_stop"),
        "tp_stop": settings.get("tp_stop"),
        "sl_trail": rules.sl_trail,
        "time_stop": rules.time_stop,
        "ambiguity": rules.ambiguity,
    }
    stops = {name: known[name] for name in ("sl_stop", "tp_stop")}
    known |= {name: float("nan") if x is None else float(x) for name, x in stops.items() if np.ndim(x) == 0}
    more = {name: repr(value) for name, value in sorted(settings.items()) if name not in known and name != "costs"}
    if isinstance(settings.get("costs"), CostModel) and costs != CostModel(
        costs.fees, costs.slippage, costs.fixed_fees
    ):
        more["costs"] = repr(costs)
    return " ".join(f"{name}={value}" for name, value in (known | more).items())


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
    family.check({name: np.array([value]) for name, value in {**family.defaults, **parameters}.items()})
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
