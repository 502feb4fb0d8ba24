"""From forecasts to target weights, step by step: thresholds, ranks, volatility targets, no-trade bands, rebalancing.

Pure functions of arrays or frames of shape (n_times, n_symbols). NaN in weights means hold. A row depends on itself and
on rows before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.kinds import is_whole
from gwt_lab.market.time import timeframe_ns
from gwt_lab.validation.sharpe import is_number

__all__ = ["hold_between", "no_trade_band", "rank_weights", "rebalance_rows", "threshold_weights", "volatility_target"]


def rebalance_rows(index: pd.DatetimeIndex, timeframe: str, every: int) -> np.ndarray:
    """Return a mask of the bars at which to rebalance: those whose number since 1970 is divisible by `every`.

    Counting from the epoch and not from the first row makes the rows the same wherever the data begins, which a
    strategy that must decide live as it did in the backtest needs.

    Parameters
    ----------
    index : DatetimeIndex of shape (n_times,)
        Open times.
    timeframe : str
        Length of a bar.
    every : int
        Bars between two rebalances, at least 1.

    Raises
    ------
    ConfigError
        If `every` is not a whole number of bars.
    ShapeError
        If the index holds no times.
    """
    if not isinstance(index, pd.DatetimeIndex):
        raise ShapeError(f"rows must have open times as index, got a {type(index).__name__}: set the index of the bars")
    if not is_whole(every) or every < 1:
        raise ConfigError(f"rebalance must be a whole number of bars, 1 or more, or None; got {every!r}")
    mask: np.ndarray = (index.as_unit("ns").asi8 // timeframe_ns(timeframe)) % every == 0
    return mask


def hold_between(weights: pd.DataFrame, timeframe: str, every: int) -> pd.DataFrame:
    """Return the weights with every row off the rebalance grid set to NaN, which means hold.

    Parameters
    ----------
    weights : DataFrame of shape (n_times, n_symbols)
        Target weights; the index are open times.
    timeframe : str
        Length of a bar.
    every : int
        Bars between two rebalances, counted from 1970, so that the rows are the same wherever the data begins.

    Returns
    -------
    DataFrame of shape (n_times, n_symbols)

    Raises
    ------
    ShapeError
        If the weights are no frame with times.
    ConfigError
        If `every` is not a whole number of bars.
    """
    if not isinstance(weights, pd.DataFrame):
        raise ShapeError(f"weights must be a DataFrame with open times as index, got {type(weights).__name__}")
    rows = rebalance_rows(weights.index, timeframe, every)[:, None]
    return weights.where(np.broadcast_to(rows, weights.shape))


def rank_weights(forecast: Any, *, long_only: bool = False, share: float = 0.5) -> Any:
    """Return equal weights for the best forecasts, and their negatives for the worst; absolute weights sum to 1.

    Parameters
    ----------
    forecast : array_like or DataFrame of shape (n_times, n_symbols)
        Higher is better; what is not finite is not ranked and gets weight 0 in a row where others are ranked.
    long_only : bool
        Leave out the short side.
    share : float
        Part of the ranked symbols on each side, at most one half with shorts; at least one symbol.

    Returns
    -------
    ndarray or DataFrame of shape (n_times, n_symbols)
        As `forecast` came. NaN (hold) in rows with fewer than two forecasts. Equal forecasts keep the order of the
        columns.

    Raises
    ------
    ConfigError
        If `share` is out of range.
    ShapeError
        If there are not two dimensions.
    """
    if not (is_number(share) and 0 < share <= (1.0 if long_only else 0.5)):
        raise ConfigError(f"share must be above 0 and at most {1.0 if long_only else 0.5}, got {share}")
    scores = _array(forecast, "forecast")
    weights = np.full(scores.shape, np.nan)
    for row, values in enumerate(scores):
        ranked = np.flatnonzero(np.isfinite(values))
        if len(ranked) < 2:
            continue
        order = ranked[np.argsort(-values[ranked], kind="stable")]
        count = max(int(share * len(order)), 1)
        weights[row] = 0.0
        weights[row, order[:count]] = 1.0 / count if long_only else 0.5 / count
        if not long_only:
            weights[row, order[len(order) - count :]] = -0.5 / count
    return _as_given(weights, forecast)


def threshold_weights(
    forecast: Any, *, threshold: float = 0.6, long_only: bool = True, max_position_weight: float = 1.0
) -> Any:
    """Return equal weights for the symbols whose probability to rise is high enough; absolute weights sum to 1 at most.

    Parameters
    ----------
    forecast : array_like or DataFrame of shape (n_times, n_symbols)
        Probabilities, from 0 to 1.
    threshold : float
        Long above it; with ``long_only=False`` short below ``1 - threshold``. In [0.5, 1).
    long_only : bool
        Leave out the short side.
    max_position_weight : float
        Largest absolute weight; the rest is cash. In (0, 1].

    Returns
    -------
    ndarray or DataFrame of shape (n_times, n_symbols)
        As `forecast` came. 0 for symbols between the thresholds or without a forecast; all 0 (cash) where none is
        beyond; NaN (hold) in rows without any forecast.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    DataError
        If a forecast is no probability.
    """
    if not (is_number(threshold) and 0.5 <= threshold < 1):
        raise ConfigError(f"threshold must be at least 0.5 and below 1, got {threshold}")
    if not (is_number(max_position_weight) and 0 < max_position_weight <= 1):
        raise ConfigError(f"max_position_weight must be above 0 and at most 1, got {max_position_weight}")
    values = _table(forecast, "forecast")
    known = ~np.isnan(values)
    if ((values < 0) | (values > 1)).any():
        wrong = values[(values < 0) | (values > 1)][0]
        raise DataError(
            f"forecasts must be probabilities from 0 to 1, got {wrong}; ranks (rank_weights) take any scores"
        )
    side = (values > threshold).astype(np.float64)
    if not long_only:
        side -= values < 1 - threshold
    count = np.abs(side).sum(axis=1, keepdims=True)
    weights = side * np.minimum(1.0 / np.maximum(count, 1.0), max_position_weight)
    weights[~known.any(axis=1)] = np.nan
    return _as_given(weights, forecast)


def volatility_target(weights: Any, returns: Any, *, target: float, window: int, max_gross: float = 1.0) -> Any:
    """Return the weights scaled so that their volatility over the last bars would have been `target`.

    Parameters
    ----------
    weights : array_like or DataFrame of shape (n_times, n_symbols)
        Target weights.
    returns : array_like or DataFrame of shape (n_times, n_symbols)
        Simple returns of the same bars.
    target : float
        Standard deviation of the account's returns a bar; a yearly one is divided by the root of the bars a year.
    window : int
        Bars looked back on, the row's own included; 2 or more.
    max_gross : float
        Largest sum of absolute weights.

    Returns
    -------
    ndarray or DataFrame of shape (n_times, n_symbols)
        As `weights` came. A row of zeros stays. NaN (hold) in rows with a NaN weight, where fewer than half of the
        window's rows (at least 2) have returns of all symbols that have a weight, and where nothing moved.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    ShapeError
        If weights and returns do not match.

    Notes
    -----
    The volatility is the sample standard deviation (ddof 1) of ``returns[t - window + 1 : t + 1] @ weights[t]``.
    """
    if not (is_number(target) and target > 0 and isinstance(max_gross, (int, float)) and max_gross > 0):
        raise ConfigError(f"target and max_gross must be above 0, got {target} and {max_gross}")
    if not is_whole(window) or window < 2:
        raise ConfigError(f"window must be a whole number of bars, 2 or more; got {window!r}")
    given, moves = _pair(weights, returns)
    scaled = np.full(given.shape, np.nan)
    needed = max(2, -(-int(window) // 2))
    for row in np.flatnonzero(~np.isnan(given).any(axis=1)):
        held = np.flatnonzero(given[row])
        if not len(held):
            scaled[row] = 0.0
            continue
        past = moves[max(row - window + 1, 0) : row + 1, held] @ given[row, held]
        past = past[~np.isnan(past)]
        volatility = past.std(ddof=1) if len(past) >= needed and np.ptp(past) > 0 else 0.0
        if volatility > 0:
            scaled[row] = given[row] * min(target / volatility, max_gross / np.abs(given[row]).sum())
    return _as_given(scaled, weights)


def no_trade_band(weights: Any, *, band: float, returns: Any = None, to_edge: bool = False) -> Any:
    """Return the weights with every change that is not larger than `band` turned into hold.

    Parameters
    ----------
    weights : array_like or DataFrame of shape (n_times, n_symbols)
        Target weights; NaN holds.
    band : float
        Share of the account; changes up to it are not traded.
    returns : array_like or DataFrame of shape (n_times, n_symbols), optional
        Simple returns of the same bars: what is held drifts by them, a missing one is none. Without them a weight
        stays as it was traded.
    to_edge : bool
        Trade to the near edge of the band instead of to the target.

    Returns
    -------
    ndarray or DataFrame of shape (n_times, n_symbols)
        As `weights` came: the weight to trade to, or NaN (hold). A target of 0 closes a position whatever its size.

    Raises
    ------
    ConfigError
        If `band` is negative or not finite.
    ShapeError
        If weights and returns do not match.

    Notes
    -----
    Nothing is held before the first row. The result depends on all rows before: a live clock must start from what is
    held.
    """
    if not (is_number(band) and band >= 0):
        raise ConfigError(f"band must be at least 0 and finite, got {band}")
    if returns is None:
        wanted = _table(weights, "weights")
        moves = np.zeros(wanted.shape)
    else:
        wanted, moves = _pair(weights, returns)
        moves = np.nan_to_num(moves, nan=0.0)
    traded = np.full(wanted.shape, np.nan)
    held = np.zeros(wanted.shape[1])
    for row, targets in enumerate(wanted):
        growth = 1.0 + float(held @ moves[row])
        # an account that lost everything holds nothing
        held = held * (1.0 + moves[row]) / growth if growth > 0 else np.zeros_like(held)
        change = targets - held
        trades = (np.abs(change) > band) | ((targets == 0) & (held != 0))
        goal = np.where(targets != 0, targets - np.sign(change) * band, 0.0) if to_edge else targets
        traded[row, trades] = goal[trades]
        held = np.where(trades, goal, held)
    return _as_given(traded, weights)


def _array(values: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"{name} must be numbers, one row a bar and one column a symbol: {error}") from error
    if array.ndim != 2:
        raise ShapeError(f"{name} must have shape (n_times, n_symbols), got {array.shape}")
    return array


def _table(values: Any, name: str) -> np.ndarray:
    array = _array(values, name)
    if np.isinf(array).any():
        raise DataError(
            f"{name} must be finite or NaN, got an infinite value in row {np.argwhere(np.isinf(array))[0][0]}"
        )
    return array


def _pair(weights: Any, returns: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(weights, pd.DataFrame) and isinstance(returns, pd.DataFrame):
        if not weights.index.equals(returns.index) or not weights.columns.equals(returns.columns):
            raise ShapeError("weights and returns must have the same index and columns; reindex one like the other")
    given, moves = _table(weights, "weights"), _table(returns, "returns")
    if given.shape != moves.shape:
        raise ShapeError(f"weights and returns must have one shape, got {given.shape} and {moves.shape}")
    return given, moves


def _as_given(values: np.ndarray, like: Any) -> Any:
    return pd.DataFrame(values, index=like.index, columns=like.columns) if isinstance(like, pd.DataFrame) else values
