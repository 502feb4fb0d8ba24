"""`SweepResult`: a DataFrame of metrics by parameters and symbol that remembers what it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.backtest.sweep.plateau import PLATEAU_COLUMNS, axis_ranks, plateau_scores
from gwt_lab.errors import ConfigError, UnknownNameError

__all__ = ["Paths", "SweepInfo", "SweepResult"]

_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Paths:
    """The accounts' worth at every bar, for every row of a result.

    Parameters
    ----------
    times : DatetimeIndex
        Open times of the bars.
    values : ndarray of shape (n_combinations, n_symbols, n_times), float32
        Worth at each bar's close, quote currency.
    """

    times: pd.DatetimeIndex
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class SweepInfo:
    """What a sweep was.

    Parameters
    ----------
    strategy : str
        Name of the family or function.
    parameters : tuple of str
        Levels of the result's index, the symbol apart.
    assumptions, short_assumptions : str
        What the numbers rest on, in full and in a line.
    study : str
        Under which the trials were counted.
    n_trials : int
        Trials of that study after the sweep, this sweep's and earlier ones; this sweep's alone without a ledger.
    n_new_trials : int
        Of them, those that this sweep added.
    ledger : object or None
        The trial ledger, for `effective_trials`.
    seconds, peak_memory_mb : float
        How long the sweep took, and the most memory the process held so far.
    n_bar_combinations : int
        Bars times combinations times symbols evaluated.
    paths : Paths or None
        With ``paths=True``.
    """

    strategy: str
    parameters: tuple[str, ...]
    assumptions: str = ""
    short_assumptions: str = ""
    study: str = ""
    n_trials: int = 0
    n_new_trials: int = 0
    ledger: Any = None
    seconds: float = float("nan")
    peak_memory_mb: float = float("nan")
    n_bar_combinations: int = 0
    paths: Paths | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # a ledger is a file of one machine; the counts travel
        return self.__dict__ | {"ledger": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class SweepResult(pd.DataFrame):
    """Metrics of every combination: index parameters, then symbol; one column a metric.

    Everything a DataFrame does works; what comes out of it is a `SweepResult` where it still has the same index levels.
    """

    _metadata = ["_info"]  # noqa: RUF012 - pandas' own protocol
    _info: SweepInfo | None = None

    @property
    def _constructor(self) -> type[SweepResult]:
        return SweepResult

    @property
    def _constructor_sliced(self) -> Any:
        return pd.Series

    # ------------------------------------------------------------------------------------------ what it was
    @property
    def info(self) -> SweepInfo:
        """What the sweep was; of a frame built by hand, its index alone."""
        if self._info is not None:
            return self._info
        return SweepInfo("sweep", tuple(str(name) for name in self.index.names if name != "symbol"))

    @property
    def strategy(self) -> str:
        """Name of the family or function."""
        return self.info.strategy

    @property
    def parameters(self) -> list[str]:
        """The parameters that are levels of the index, in order."""
        return [name for name in self.info.parameters if name in self.index.names]

    @property
    def assumptions(self) -> str:
        """What the numbers rest on: fills, costs, cash, stops, conventions of the metrics."""
        return self.info.assumptions

    @property
    def short_assumptions(self) -> str:
        """The first of them, for a figure's title."""
        return self.info.short_assumptions

    @property
    def study(self) -> str:
        """Study under which the trials were counted."""
        return self.info.study

    @property
    def n_trials(self) -> int:
        """Trials counted in the study after this sweep: what a deflated Sharpe ratio has to know."""
        return self.info.n_trials

    @property
    def effective_trials(self) -> float:
        """Trials of the study that differ: clusters of correlated returns; NaN without a ledger."""
        ledger = self.info.ledger
        return float(ledger.study(self.study).effective_trials) if ledger is not None else float("nan")

    # ------------------------------------------------------------------------------------------ what is in it
    def metric(self, name: str) -> pd.Series:
        """Return one metric.

        Raises
        ------
        UnknownNameError
            If the sweep did not compute it; the message lists what it did.
        """
        if name not in self.columns:
            raise UnknownNameError(
                f"this sweep has no metric {name!r}, only {', '.join(map(str, self.columns))}: ask for it with metrics="
            )
        column: pd.Series = pd.DataFrame(self)[name]
        return column

    def best(self, metric: str | None = None, *, n: int = 1, largest: bool = True) -> Any:
        """Return the rows with the best values of a metric.

        Parameters
        ----------
        metric : str, optional
            The first one if not given.
        n : int
            How many rows; 1 returns the row as a Series whose name is its combination.
        largest : bool
            Whether more is better, which holds for returns, ratios and drawdowns (negative numbers) alike.

        Notes
        -----
        The best of many is too good to be true: `plateau` asks how good its neighbours are, and the deflated Sharpe
        ratio how many were tried (`n_trials`).
        """
        column = self.metric(metric or str(self.columns[0])).to_numpy(dtype=np.float64)
        known = np.flatnonzero(~np.isnan(column))
        if not len(known):
            raise ConfigError(f"no combination has a value of {metric or self.columns[0]}: nothing traded, perhaps")
        order = known[np.argsort(-column[known] if largest else column[known], kind="stable")]
        return self.iloc[order[0]] if n == 1 else self.iloc[order[:n]]

    def plateau(self, metric: str | None = None, *, radius: int = 1, largest: bool = True) -> pd.DataFrame:
        """Return how good the surroundings of every combination are; the best has the highest `score`.

        Parameters
        ----------
        metric : str, optional
            The first one if not given.
        radius : int
            How many steps of the grid along each parameter a neighbour is away at most. Steps count values that occur,
            in their order, however far apart; a combination is its own neighbour.
        largest : bool
            Whether more is better; if not, `score` and `worst` are those of the negated metric, negated back.

        Returns
        -------
        DataFrame
            Same index. `value`; `median`, `worst`, `dispersion` (standard deviation) of the neighbourhood;
            `neighbours` with a value and how many are `missing`; ``score = median - dispersion * sqrt((neighbours +
            missing) / neighbours)``. At an edge of the grid a part of the surroundings is not known, so dispersion
            costs more. NaN where a combination has no value, or no more neighbours than the grid has axes (random
            samples, mostly). Symbols, text and True/False are no axes: each value has a grid of its own.
        """
        column = self.metric(metric or str(self.columns[0]))
        sign = 1.0 if largest else -1.0
        ranks, ordered = axis_ranks(column.index, [*self.parameters, *({"symbol"} & set(self.index.names))])
        found = plateau_scores(sign * column.to_numpy(dtype=np.float64), ranks, ordered, radius)
        for name in ("value", "median", "worst", "score"):
            found[name] = sign * found[name]
        for name in ("neighbours", "missing"):
            found[name] = found[name].astype(np.int64)
        return pd.DataFrame({name: found[name] for name in PLATEAU_COLUMNS}, index=self.index)

    def paths(self) -> pd.DataFrame:
        """Return the accounts' worth at every bar, one column a combination and symbol; needs ``paths=True``."""
        held = self.info.paths
        if held is None or held.values.shape[0] * held.values.shape[1] != len(self):
            raise ConfigError("this result holds no paths: call sweep(..., paths=True), and ask the whole result")
        return pd.DataFrame(held.values.reshape(len(self), -1).T, index=held.times, columns=self.index)

    # ------------------------------------------------------------------------------------------ pictures
    def heatmap(
        self,
        x: str | None = None,
        y: str | None = None,
        metric: str | None = None,
        *,
        symbol: str | None = None,
        plateau: bool = True,
    ) -> Any:
        """Return a Plotly heatmap of a metric over two parameters.

        Parameters
        ----------
        x, y : str, optional
            The first two parameters with several values if not given.
        metric : str, optional
            The first one if not given.
        symbol : str, optional
            One symbol; the median over symbols if not given.
        plateau : bool
            Mark the cell with the best surroundings (`plateau` of what is drawn) beside the highest one.

        Notes
        -----
        Every parameter that is not an axis is reduced by the median; the subtitle says so.
        """
        from gwt_lab.backtest.sweep.plots import plot_heatmap

        x, y = self._axes([x, y], 2)
        return plot_heatmap(self, x, y, metric or str(self.columns[0]), symbol=symbol, plateau=plateau)

    def volume(
        self,
        x: str | None = None,
        y: str | None = None,
        z: str | None = None,
        metric: str | None = None,
        *,
        symbol: str | None = None,
    ) -> Any:
        """Return a Plotly volume of a metric over three parameters; points where the grid is not complete."""
        from gwt_lab.backtest.sweep.plots import plot_volume

        x, y, z = self._axes([x, y, z], 3)
        return plot_volume(self, x, y, z, metric or str(self.columns[0]), symbol=symbol)

    def _axes(self, given: list[str | None], n: int) -> list[str]:
        sizes = {name: self.index.get_level_values(name).nunique(dropna=False) for name in self.parameters}
        free = [name for name in sorted(sizes, key=lambda name: sizes[name] < 2) if name not in given]
        axes = [name if name is not None else (free.pop(0) if free else "") for name in given]
        if "" in axes:
            raise ConfigError(f"a figure over {n} parameters needs {n} of them; this sweep has {self.parameters}")
        return axes

    # ------------------------------------------------------------------------------------------ words
    def __repr__(self) -> str:
        table = super().__repr__()
        return f"{table}\nassumes: {self.assumptions}\n{self._counted()}" if self._info is not None else table

    def _counted(self) -> str:
        info = self.info
        told = f"{info.n_trials:,} trials counted in study {info.study!r}, {info.n_new_trials:,} of them new"
        return told if info.ledger is not None or info.study else f"{info.n_trials:,} trials, not counted in a ledger"

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, number, table_html

        if self._info is None or "symbol" not in self.index.names:
            html: str = pd.DataFrame(self)._repr_html_()
            return html
        column = self.metric(str(self.columns[0])).to_numpy(dtype=np.float64)
        rank = np.where(np.isnan(column), -np.inf, column)
        few = min(_SHOWN, len(rank))
        top = np.argpartition(-rank, few - 1)[:few] if few else np.empty(0, dtype=np.int64)
        shown = self.iloc[top[np.argsort(-rank[top], kind="stable")]]
        rows = [
            [*(key if isinstance(key, tuple) else (key,)), *(number(float(value)) for value in row)]
            for key, row in zip(shown.index, shown.to_numpy(dtype=np.float64), strict=True)
        ]
        info = self.info
        facts = [("assumes", info.assumptions), ("trials", self._counted())]
        if info.seconds == info.seconds:
            speed = info.n_bar_combinations / max(info.seconds, 1e-9)
            facts.append(("took", f"{info.seconds:.3g} s, {number(speed / 1e6)} million bar-combinations a second"))
        body = table_html([*map(str, self.index.names), *map(str, self.columns)], rows) + table_html(("", ""), facts)
        return card(f"Sweep of {info.strategy}: {len(self):,} rows, the best {few} by {self.columns[0]}", body)
