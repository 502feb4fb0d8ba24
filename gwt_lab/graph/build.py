"""Bars to market graphs: one snapshot every `step` bars of the epoch's grid, from a window of closed bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, DataError
from gwt_lab.graph.kernels import residual_returns, window_estimates
from gwt_lab.graph.market_graph import MarketGraph
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.market.time import timeframe_ns

__all__ = ["Estimates", "build_graphs", "estimate", "graph_lookback"]


def graph_lookback(window: int, step: int) -> int:
    """Return how many rows a graph feature remembers: a window of returns, and the wait for the next snapshot."""
    return window + step


def build_graphs(
    bars: Any, *, window: int = 168, step: int = 1, n_leaders: int = 5, n_neighbours: int = 3
) -> list[MarketGraph]:
    """Return the market graph at every `step`-th bar, each from the `window` bars that had closed.

    Parameters
    ----------
    bars : Bars or what `as_bars` takes
        Two symbols at least.
    window : int, default 168
        Returns per snapshot, one week of hourly bars.
    step : int, default 1
        A snapshot is built at the bars whose number since 1970 is divisible by `step`, wherever the data begins.
    n_leaders : int, default 5
        Edges into each follower: the leaders with the largest lagged correlation, by absolute value.
    n_neighbours : int, default 3
        Each symbol is linked to as many symbols of highest correlation (an edge counts if either end chose it).

    Returns
    -------
    list of MarketGraph
        Ordered by time; none before a whole window lies in the data.

    Raises
    ------
    DataError
        If there are fewer than two symbols.
    ConfigError
        If a parameter is out of range.

    Notes
    -----
    Returns are taken less the mean return of the row (the market), and winsorised at three deviations. A symbol with
    less than half a window of returns stands outside the graph: volatility NaN, no edges.
    """
    bars = as_bars(bars)
    return estimate(bars, window=window, step=step, n_leaders=n_leaders, n_neighbours=n_neighbours).graphs()


@dataclass(frozen=True)
class Estimates:
    """Snapshots as arrays, before they become graphs.

    Parameters
    ----------
    times : DatetimeIndex of shape (n_snapshots,)
    symbols : tuple of str
    correlation, leads : ndarray of shape (n_snapshots, n_symbols, n_symbols)
    volatility : ndarray of shape (n_snapshots, n_symbols)
    """

    times: pd.DatetimeIndex
    symbols: tuple[str, ...]
    correlation: np.ndarray
    leads: np.ndarray
    volatility: np.ndarray

    def graphs(self) -> list[MarketGraph]:
        """Return the snapshots as graphs, ordered by time."""
        arrays = zip(self.times, self.correlation, self.leads, self.volatility, strict=True)
        return [MarketGraph(time, self.symbols, *rest) for time, *rest in arrays]


def estimate(bars: Bars, *, window: int, step: int, n_leaders: int, n_neighbours: int) -> Estimates:
    """Return every snapshot's edges and volatilities; parameters as in :func:`build_graphs`."""
    if bars.n_symbols < 2:
        raise DataError(f"a market graph needs at least 2 symbols, got {bars.n_symbols}: {', '.join(bars.symbols)}")
    for name, value, least in (("window", window, 8), ("step", step, 1), ("n_leaders", n_leaders, 1)):
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")
    rows = _snapshot_rows(bars, window, step)
    residual = residual_returns(np.ascontiguousarray(bars.close.to_numpy()))
    correlation, lagged, deviation = window_estimates(residual, rows, window, (window + 1) // 2)
    return Estimates(
        bars.index[rows],
        tuple(bars.symbols),
        _neighbours(correlation, n_neighbours),
        _leaders(lagged, n_leaders),
        deviation,
    )


def _snapshot_rows(bars: Bars, window: int, step: int) -> np.ndarray:
    """Return the rows at which a snapshot is built: on the epoch's grid, with `window` returns behind them."""
    number = bars.index.asi8 // timeframe_ns(bars.timeframe)
    return np.flatnonzero((number % step == 0) & (np.arange(bars.n_times) >= window))


def _leaders(lagged: np.ndarray, count: int) -> np.ndarray:
    """Keep the `count` largest absolute entries of every row, the diagonal apart."""
    return np.where(_largest(np.abs(lagged) * _off_diagonal(lagged), count), lagged, 0.0)


def _neighbours(correlation: np.ndarray, count: int) -> np.ndarray:
    """Keep each row's `count` largest positive entries, and their mirror images."""
    weight = np.maximum(correlation, 0.0) * _off_diagonal(correlation)
    chosen = _largest(weight, count)
    return np.where(chosen | chosen.transpose(0, 2, 1), weight, 0.0)


def _off_diagonal(matrices: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 - np.eye(matrices.shape[-1]))


def _largest(weight: np.ndarray, count: int) -> np.ndarray:
    """Return a mask of the `count` largest positive entries of every row; equal entries go to the earlier column."""
    order = np.argsort(-weight, axis=2, kind="stable")[:, :, :count]
    mask = np.zeros(weight.shape, dtype=bool)
    np.put_along_axis(mask, order, True, axis=2)
    return mask & (weight > 0)
