"""Where snapshots of the market graph are kept, by time: in memory with networkx."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from typing import Any, Protocol

import pandas as pd

from gwt_lab.errors import UnknownNameError
from gwt_lab.graph.market_graph import MarketGraph
from gwt_lab.market.time import timestamp

__all__ = ["GraphStore", "NetworkXGraphStore"]


class GraphStore(Protocol):
    """What every store of market graphs can do."""

    def write(self, graphs: Iterable[MarketGraph]) -> None:
        """Keep snapshots; one of the same time is replaced."""

    def asof(self, time: Any) -> MarketGraph:
        """Return the newest snapshot built from bars that open at `time` or before."""

    def times(self) -> list[pd.Timestamp]:
        """Return the times of all snapshots, oldest first."""


class NetworkXGraphStore:
    """Snapshots as `networkx.MultiDiGraph`, in this process.

    Examples
    --------
    >>> from gwt_lab.graph.store import NetworkXGraphStore
    >>> len(NetworkXGraphStore())
    0
    """

    def __init__(self) -> None:
        self._graphs: dict[pd.Timestamp, Any] = {}
        self._times: list[pd.Timestamp] = []

    def __len__(self) -> int:
        return len(self._times)

    def __repr__(self) -> str:
        if not self._times:
            return "NetworkXGraphStore(empty)"
        return f"NetworkXGraphStore({len(self)} snapshots, {self._times[0]} to {self._times[-1]})"

    def write(self, graphs: Iterable[MarketGraph]) -> None:
        """Keep snapshots; one of the same time is replaced."""
        for graph in graphs:
            if graph.time not in self._graphs:
                insort(self._times, graph.time)
            self._graphs[graph.time] = graph.to_networkx()

    def times(self) -> list[pd.Timestamp]:
        """Return the times of all snapshots, oldest first."""
        return list(self._times)

    def networkx(self, time: Any) -> Any:
        """Return a copy of the newest graph at `time` or before as `networkx.MultiDiGraph`."""
        return self._graphs[self._found(time)].copy()

    def asof(self, time: Any) -> MarketGraph:
        """Return the newest snapshot built from bars that open at `time` or before.

        Raises
        ------
        UnknownNameError
            If there is none; the message says when the first begins.
        """
        return MarketGraph.from_networkx(self._graphs[self._found(time)])

    def _found(self, time: Any) -> pd.Timestamp:
        moment = timestamp(time)
        position = bisect_right(self._times, moment)
        if not position:
            first = f"the first is of {self._times[0]}" if self._times else "the store is empty"
            raise UnknownNameError(f"no market graph at {moment} or before: {first}")
        return self._times[position - 1]
