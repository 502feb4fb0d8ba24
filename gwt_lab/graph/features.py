"""Market graphs to features of their nodes, in the same long frame as Alpha158."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.features.panel import long_frame
from gwt_lab.graph.build import Estimates, estimate
from gwt_lab.graph.kernels import leaders_return, residual_returns
from gwt_lab.graph.market_graph import MarketGraph
from gwt_lab.graph.store import GraphStore
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars

__all__ = ["GRAPH_COLUMNS", "graph_features", "node_features"]

GRAPH_COLUMNS = ("LEADRET1", "STRENGTH")


def graph_features(
    bars: Any,
    window: int = 168,
    step: int = 1,
    store: GraphStore | None = None,
    *,
    n_leaders: int = 5,
    n_neighbours: int = 3,
) -> pd.DataFrame:
    """Return point-in-time features of every symbol's place in the market graph.

    - ``LEADRET1``: the residual returns of a symbol's leaders in the bar that just closed, each in units of its own
      deviation and weighted by its lagged correlation with the symbol: the symbol's expected residual return of the
      next bar, in its own deviations.
    - ``STRENGTH``: weighted degree in the graph of contemporaneous correlations.

    Parameters
    ----------
    bars : Bars or what `as_bars` takes
        Two symbols at least.
    window, step, n_leaders, n_neighbours
        As in :func:`gwt_lab.graph.build.build_graphs`; a longer window finds leaders more surely.
    store : GraphStore, optional
        Keeps every snapshot.

    Returns
    -------
    DataFrame of shape (n_times * n_symbols, 2)
        float32, index (datetime, instrument) as :func:`gwt_lab.features.alpha158.alpha158`. NaN before the first
        snapshot, where the symbol has no bar, and where it stands outside the graph.

    Notes
    -----
    The exact memory is ``graph_lookback(window, step)`` rows. Leader and follower are names for a lagged correlation
    in a window, not for cause and effect.
    """
    bars = as_bars(bars)
    found = estimate(bars, window=window, step=step, n_leaders=n_leaders, n_neighbours=n_neighbours)
    if store is not None:
        store.write(found.graphs())
    return _features(bars, found)


def node_features(bars: Bars, graphs: Sequence[MarketGraph]) -> pd.DataFrame:
    """Return the features of `graphs`, each valid from its own time until the next one's.

    Parameters
    ----------
    bars : Bars
        The bars the graphs were built from.
    graphs : sequence of MarketGraph
        At least one; ordered by time, with the bars' symbols in the bars' order.
    """
    arrays = (np.stack([getattr(graph, name) for graph in graphs]) for name in ("correlation", "leads", "volatility"))
    times = pd.DatetimeIndex([graph.time for graph in graphs])
    return _features(bars, Estimates(times, tuple(bars.symbols), *arrays))


def _features(bars: Bars, found: Estimates) -> pd.DataFrame:
    close = np.ascontiguousarray(bars.close.to_numpy())
    residual = residual_returns(close)
    newest = found.times.searchsorted(bars.index, side="right") - 1
    values = np.full((bars.n_times, bars.n_symbols, len(GRAPH_COLUMNS)), np.nan)
    values[:, :, 0] = leaders_return(residual, newest, found.leads, found.volatility)
    strength = np.where(np.isnan(found.volatility), np.nan, found.correlation.sum(axis=2))
    known = newest >= 0
    values[known, :, 1] = strength[newest[known]]
    values[np.isnan(close)] = np.nan
    return long_frame(values, list(GRAPH_COLUMNS), bars)
