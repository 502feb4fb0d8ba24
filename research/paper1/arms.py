"""The four sets of features that are compared, on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError
from gwt_lab.features.alpha158 import ALPHA158_COLUMNS, alpha158
from gwt_lab.features.panel import long_frame
from gwt_lab.graph.build import build_graphs
from gwt_lab.graph.features import node_features
from gwt_lab.graph.market_graph import MarketGraph
from gwt_lab.market.bars import Bars
from gwt_lab.models.labels import relative_direction, relative_return
from research.paper1.spec import Spec

__all__ = ["ALL_ASSETS", "BASE", "GRAPH", "PLACEBO", "Material", "prepare"]

BASE, ALL_ASSETS, GRAPH, PLACEBO = "base", "base + all assets", "base + graph", "placebo"

# Single bars, rates, means, deviations and extremes: what the stored runs were made with.
BASE_COLUMNS = [
    name for name in ALPHA158_COLUMNS if name[0] == "K" or name.rstrip("0123456789") in
    ("OPEN", "HIGH", "LOW", "VWAP", "ROC", "MA", "STD", "MAX", "MIN")
]  # fmt: skip


@dataclass(frozen=True)
class Material:
    """What every arm shares, and what each adds.

    Parameters
    ----------
    base : DataFrame
        Time-series features of the rows that are studied.
    additions : dict of str to DataFrame or None
        What an arm adds to `base`; same index.
    label, earned : Series
        Direction and size of the relative return from the next open on; same index.
    graphs : list of MarketGraph
    """

    base: pd.DataFrame
    additions: dict[str, pd.DataFrame | None]
    label: pd.Series
    earned: pd.Series
    graphs: list[MarketGraph]

    def features(self, arm: str) -> pd.DataFrame:
        """Return the features of one arm."""
        more = self.additions[arm]
        return self.base if more is None else pd.concat([self.base, more], axis=1)


def prepare(spec: Spec, bars: Bars) -> Material:
    """Build features, graphs, placebos and labels; rows begin with the first market graph, the same for every arm."""
    window = spec.window_for(bars)
    graphs = build_graphs(bars, window=window, step=spec.step, n_leaders=spec.n_leaders, n_neighbours=spec.n_neighbours)
    if not graphs:
        raise DataError(f"no market graph fits {bars.n_times} bars with window {window}: pass more bars")
    base = alpha158(bars, columns=BASE_COLUMNS)
    rows = base["KMID"].notna() & (base.index.get_level_values("datetime") >= graphs[0].time)
    additions: dict[str, pd.DataFrame | None] = {
        BASE: None,
        ALL_ASSETS: _all_assets(bars, graphs),
        GRAPH: node_features(bars, graphs),
    }
    for number, order in enumerate(_wrong_names(bars.n_symbols, spec.n_placebos, spec.seed), start=1):
        additions[f"{PLACEBO} {number}"] = node_features(bars, [graph.permuted(order) for graph in graphs])
    return Material(
        base[rows],
        {arm: None if more is None else more[rows] for arm, more in additions.items()},
        relative_direction(bars)[rows],
        relative_return(bars)[rows],
        graphs,
    )


def _wrong_names(n_symbols: int, count: int, seed: int) -> list[np.ndarray]:
    """Return permutations that leave no symbol in its place; two symbols only swap, which changes no graph."""
    if n_symbols < 3:
        return []
    rng = np.random.default_rng([seed, 1])
    orders = []
    for _ in range(count):
        cycle = rng.permutation(n_symbols)
        order = np.empty(n_symbols, dtype=int)
        order[cycle] = np.roll(cycle, 1)
        orders.append(order)
    return orders


def _all_assets(bars: Bars, graphs: Sequence[MarketGraph]) -> pd.DataFrame:
    """Return the mean return of all other symbols in the bar that just closed, each in its own deviations.

    The cross-asset information that needs no graph: same snapshots, same units, equal weights, every symbol.
    """
    returns = (bars.close / bars.close.shift(1) - 1).to_numpy()
    scores = np.full(returns.shape, np.nan)
    begins = bars.index.searchsorted([graph.time for graph in graphs])
    for graph, begin, end in zip(graphs, begins, [*begins[1:], bars.n_times], strict=True):
        scores[begin:end] = returns[begin:end] / graph.volatility
    there = np.isfinite(scores)
    filled = np.where(there, scores, 0.0)
    count = there.sum(axis=1, keepdims=True) - there
    total = filled.sum(axis=1, keepdims=True) - filled
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    mean[bars.close.isna().to_numpy()] = np.nan
    return long_frame(mean[:, :, None], ["ALLRET1"], bars)
