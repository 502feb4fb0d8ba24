"""`MarketGraph`: what was known about who moves with whom, and who moves first, at one time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ShapeError

__all__ = ["MarketGraph"]


@dataclass(frozen=True, eq=False, repr=False)
class MarketGraph:
    """A frozen snapshot of the market graph, built from closed bars up to `time`.

    Parameters
    ----------
    time : Timestamp
        Open time of the last bar used; the snapshot is known when that bar has closed.
    symbols : tuple of str
        Nodes, in the order of the arrays.
    correlation : ndarray of shape (n_symbols, n_symbols)
        Correlation of market-residual returns of the same bar; symmetric, 0 where there is no edge.
    leads : ndarray of shape (n_symbols, n_symbols)
        ``leads[i, j]``: correlation of follower i with leader j one bar before; 0 where there is no edge.
    volatility : ndarray of shape (n_symbols,)
        Standard deviation of each symbol's residual return per bar; NaN for a symbol outside the graph.
    """

    time: pd.Timestamp
    symbols: tuple[str, ...]
    correlation: np.ndarray
    leads: np.ndarray
    volatility: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.symbols)
        for name, shape in (("correlation", (n, n)), ("leads", (n, n)), ("volatility", (n,))):
            array = np.array(getattr(self, name), dtype=np.float64)
            if array.shape != shape:
                raise ShapeError(f"{name} of {n} symbols must have shape {shape}, got {array.shape}")
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __repr__(self) -> str:
        n_leads, n_correlated = np.count_nonzero(self.leads), np.count_nonzero(np.triu(self.correlation, 1))
        return (
            f"MarketGraph({self.time:%Y-%m-%d %H:%M} UTC, {len(self.symbols)} symbols, {n_correlated} correlation and "
            f"{n_leads} lead-lag edges)"
        )

    def equals(self, other: object) -> bool:
        """Return whether both hold the same time, nodes and edges, exactly."""
        return (
            isinstance(other, MarketGraph)
            and (self.time, self.symbols) == (other.time, other.symbols)
            and np.array_equal(self.correlation, other.correlation)
            and np.array_equal(self.leads, other.leads)
            and np.array_equal(self.volatility, other.volatility, equal_nan=True)
        )

    # --------------------------------------------------------------------------------------------- networkx views
    @cached_property
    def lead_graph(self) -> Any:
        """`networkx.DiGraph` with an edge from each leader to its follower, `weight` the lagged correlation."""
        import networkx as nx

        graph = nx.DiGraph(time=self.time)
        graph.add_nodes_from(self.symbols)
        pairs = zip(*np.nonzero(self.leads), strict=True)
        graph.add_weighted_edges_from((self.symbols[j], self.symbols[i], float(self.leads[i, j])) for i, j in pairs)
        return nx.freeze(graph)

    @cached_property
    def correlation_graph(self) -> Any:
        """`networkx.Graph` of the symbols that move together, `weight` the correlation."""
        import networkx as nx

        graph = nx.Graph(time=self.time)
        graph.add_nodes_from(self.symbols)
        pairs = zip(*np.nonzero(np.triu(self.correlation, 1)), strict=True)
        graph.add_weighted_edges_from(
            (self.symbols[i], self.symbols[j], float(self.correlation[i, j])) for i, j in pairs
        )
        return nx.freeze(graph)

    def strength(self) -> np.ndarray:
        """Return each symbol's weighted degree in the correlation graph, (n_symbols,)."""
        return np.asarray(self.correlation.sum(axis=1))

    def communities(self, seed: int = 0) -> list[set[str]]:
        """Return the communities of the correlation graph (Louvain), largest first."""
        import networkx as nx

        found = nx.community.louvain_communities(self.correlation_graph, weight="weight", seed=seed)
        return sorted((set(group) for group in found), key=lambda group: (-len(group), min(group)))

    def to_networkx(self) -> Any:
        """Return everything as one `networkx.MultiDiGraph`.

        Edges have the key ``"LEADS"`` (leader to follower) or ``"CORRELATED"`` (once a pair) and a `weight`; nodes
        have a `volatility`.
        """
        import networkx as nx

        graph = nx.MultiDiGraph(time=self.time)
        graph.add_nodes_from(
            (name, {"volatility": float(value)}) for name, value in zip(self.symbols, self.volatility, strict=True)
        )
        graph.add_edges_from((*edge, "LEADS", weight) for *edge, weight in self.lead_graph.edges(data=True))
        graph.add_edges_from((*edge, "CORRELATED", weight) for *edge, weight in self.correlation_graph.edges(data=True))
        return graph

    @classmethod
    def from_networkx(cls, graph: Any) -> MarketGraph:
        """Build a snapshot from what :meth:`to_networkx` returns."""
        symbols = tuple(graph.nodes)
        position = {name: number for number, name in enumerate(symbols)}
        n = len(symbols)
        correlation, leads = np.zeros((n, n)), np.zeros((n, n))
        for source, target, kind, weight in graph.edges(keys=True, data="weight"):
            i, j = position[source], position[target]
            if kind == "LEADS":
                leads[j, i] = weight
            else:
                correlation[i, j] = correlation[j, i] = weight
        volatility = np.array([graph.nodes[name]["volatility"] for name in symbols])
        return cls(graph.graph["time"], symbols, correlation, leads, volatility)

    def plot(self) -> Any:
        """Return the interactive figure of :func:`gwt_lab.graph.plots.plot_graph`."""
        from gwt_lab.graph.plots import plot_graph

        return plot_graph(self)

    # ------------------------------------------------------------------------------------------------- placebos
    def permuted(self, order: np.ndarray) -> MarketGraph:
        """Return the same graph with its edges between other nodes: node i takes the place of node ``order[i]``.

        The placebo of graph studies: degrees, weights and volatilities stay, only who is linked to whom is wrong.
        """
        moved = np.ix_(order, order)
        return replace(self, correlation=self.correlation[moved], leads=self.leads[moved])
