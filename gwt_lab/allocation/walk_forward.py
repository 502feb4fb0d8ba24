"""Allocations along a history: each from the bars before it, as a live cycle would make it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.allocation.history import History
from gwt_lab.allocation.optimize import allocate
from gwt_lab.allocation.result import Allocation
from gwt_lab.allocation.settings import CASH, AllocationSettings, known_method, settings_of
from gwt_lab.allocation.signal_rules import rebalance_rows
from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.kinds import is_whole
from gwt_lab.market.as_bars import as_bars
from gwt_lab.progress import progress

__all__ = ["walk_forward_weights"]


def walk_forward_weights(
    bars: Any,
    method: str = "max_sharpe",
    *,
    window: int = 720,
    every: int = 24,
    expected_returns: pd.DataFrame | None = None,
    on_allocation: Callable[[pd.Timestamp, Allocation], None] | None = None,
    settings: AllocationSettings | None = None,
    **changes: Any,
) -> pd.DataFrame:
    """Return target weights for `Portfolio.from_weights`, allocated anew every so many bars.

    Parameters
    ----------
    bars : Bars, or whatever `as_bars` takes
        Prices; the closes count. Of closes alone: ``as_bars(closes, price="close")``.
    method : str
        As in :func:`~gwt_lab.allocation.optimize.optimize_portfolio`.
    window : int
        Returns that each allocation looks back on.
    every : int
        Bars between two allocations, counted from 1970.
    expected_returns : DataFrame of shape (n_times, n_symbols), optional
        Forecast returns a bar, known at each row's close, for max_sharpe.
    on_allocation : callable, optional
        Called with the time and the `Allocation` of each row that is decided: to keep the reasons of fallbacks.
    settings : AllocationSettings, optional
        Limits and penalties. `horizon` is `every` unless it is given.
    **changes
        Fields of `AllocationSettings`.

    Returns
    -------
    DataFrame of shape (n_times, n_symbols)
        Decided at each row's close. NaN (hold) between allocations and in the first `window` rows. Cash is what is
        left to 1. ``attrs["methods_used"]`` counts the methods that gave the weights.

    Raises
    ------
    ConfigError
        If `window`, `every` or a setting is out of range.
    ShapeError
        If `expected_returns` do not cover the bars.

    Notes
    -----
    Causal. Without costs and turnover settings the memory is ``window + 1`` bars. With them each allocation starts from
    what the last one has become by the closes since, so the memory goes back to the first.
    """
    market = as_bars(bars)
    known_method(method)
    given = {"horizon": every} | changes if settings is None else changes
    rows = rebalance_rows(market.index, market.timeframe, every)
    if not is_whole(window) or window < 2:
        raise ConfigError(f"window must be a whole number of bars, 2 or more; got {window!r}")
    chosen = settings_of(settings, given)
    if CASH in market.symbols:
        raise DataError(f"a symbol is called {CASH!r}, the name of what is not invested; rename it")
    forecast = None if expected_returns is None else _aligned(expected_returns, market.index, market.symbols)
    close = market.close.to_numpy(dtype=np.float64)
    returns = np.full(close.shape, np.nan)
    returns[1:] = close[1:] / close[:-1] - 1
    returns[~np.isfinite(returns)] = np.nan
    decided = np.flatnonzero(rows & (np.arange(len(close)) >= window))
    weights = np.full(close.shape, np.nan)
    used: Counter[str] = Counter()
    remembers = bool(chosen.costs or chosen.turnover_penalty or chosen.max_turnover is not None)
    last = -1
    with progress(f"allocate {method}", len(decided)) as line:
        for row in decided.tolist():
            past = np.ascontiguousarray(returns[row - window + 1 : row + 1])
            history = History(tuple(market.symbols), past, np.isfinite(close[row]))
            held = _drifted(weights[last], returns[last + 1 : row + 1]) if remembers and last >= 0 else None
            made = allocate(history, method, chosen, held, None if forecast is None else forecast[row])
            weights[row] = made.weights.to_numpy()[:-1]
            used[made.method_used] += 1
            last = row
            if on_allocation is not None:
                on_allocation(market.index[row], made)
            line.advance()
    frame = pd.DataFrame(weights, index=market.index, columns=market.close.columns)
    frame.attrs["methods_used"] = dict(used)
    return frame


def _aligned(values: Any, index: pd.DatetimeIndex, symbols: list[str]) -> np.ndarray:
    if not isinstance(values, pd.DataFrame):
        raise ShapeError(f"expected_returns must be a DataFrame by time and symbol, got {type(values).__name__}")
    absent = [name for name in symbols if name not in values.columns]
    if absent or not index.isin(values.index).all():
        what = f"has no column {', '.join(absent[:5])}" if absent else "does not have all times of the bars"
        raise ShapeError(f"expected_returns must cover the bars, but it {what}; reindex it (NaN is no forecast)")
    array: np.ndarray = values.loc[index, symbols].to_numpy(dtype=np.float64)
    return array


def _drifted(weights: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """Return what weights have become after some bars without a trade; a missing return is none."""
    growth = np.prod(1 + np.nan_to_num(returns), axis=0)
    worth = 1 + float((weights * (growth - 1)).sum())
    # an account that lost everything holds nothing
    return weights * growth / worth if worth > 0 else np.zeros_like(weights)
