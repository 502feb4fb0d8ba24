"""A market made to measure: bars with the habits of crypto and a planted signal whose truth is known.

Log returns follow `r[t] = B f[t] + u[t]`, `u[t] = e[t] + G u[t-1]`: factors and residual shocks with GJR-GARCH
volatility and Student tails, jumps, three regimes and the clock's seasons; `G` is a directed lead-lag graph. Factors
and shocks are symmetric about zero given the past, so that the best forecast of the next relative return is `G u[t]`,
and there is none at all without spillover.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import pandas as pd

from gwt_lab.data.synthetic_filter import filter_residuals
from gwt_lab.data.synthetic_motion import Motion, Shocks, Streams, draw_regimes, draw_shocks, move
from gwt_lab.data.synthetic_paths import draw_bars, draw_presence
from gwt_lab.data.synthetic_score import Score, demean, expected_score, relative_returns, score_forecast
from gwt_lab.data.synthetic_structure import REGIMES, Dynamics, Structure, draw_structure
from gwt_lab.errors import ConfigError
from gwt_lab.kinds import is_whole
from gwt_lab.market.bars import Bars
from gwt_lab.market.time import check_timeframe, grid, timeframe_ns, timestamp

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Dynamics", "SyntheticMarket", "Truth", "synthetic_market"]

# weeks open on Mondays; 1970-01-05 was the first
_FIRST_MONDAY_NS = 4 * 86_400 * 10**9


@dataclass(frozen=True, eq=False, repr=False)
class Truth:
    """What was planted in a synthetic market.

    Parameters
    ----------
    graph : networkx.DiGraph
        An edge leader -> follower for every planted effect. `weight`: standard deviations that the follower's residual
        moves one bar after its leader's moved by one; `slope`: the same in return units. Node attribute `community`.
        No edges without spillover.
    communities : Series
        Sector by symbol, int.
    regimes : Series of shape (n_times,)
        "calm", "bull" or "crash" by open time.
    forecast : DataFrame of shape (n_times, n_symbols)
        Row t is the best forecast, known at the close of bar t, of the next bar's log return minus its mean over the
        symbols present. NaN where a symbol has no bar. It knows every residual, which prices alone do not show.
    outcome : DataFrame of shape (n_times, n_symbols)
        What row t's forecast is about: the relative log return of bar t+1, **from the future**.
    loadings : DataFrame of shape (n_symbols, 1 + n_sectors)
        On the factors, columns "market", "sector 0", ...
    volatility : DataFrame of shape (n_times, 1 + n_sectors + n_symbols)
        Standard deviation over the bar of each factor and of each symbol's own shock, jumps apart, given the past and
        the bar's regime.
    """

    graph: nx.DiGraph
    communities: pd.Series
    regimes: pd.Series
    forecast: pd.DataFrame
    outcome: pd.DataFrame
    loadings: pd.DataFrame
    volatility: pd.DataFrame

    @cached_property
    def score(self) -> Score:
        """The expected quality of `forecast`: no model can do better on average."""
        return expected_score(self.forecast, self.outcome)

    @property
    def accuracy(self) -> float:
        """Expected share of right signs of the best forecast; exactly 0.5 without spillover."""
        return self.score.accuracy

    @property
    def ic(self) -> float:
        """Expected mean cross-sectional correlation of the best forecast; exactly 0 without spillover."""
        return self.score.ic

    @property
    def rank_ic(self) -> float:
        """The same with ranks."""
        return self.score.rank_ic

    def __repr__(self) -> str:
        return (
            f"Truth({self.graph.number_of_edges()} edges, {self.communities.nunique()} communities; best forecast of "
            f"relative returns: accuracy {self.accuracy:.4f}, IC {self.ic:.4f})"
        )


@dataclass(frozen=True, eq=False, repr=False)
class SyntheticMarket:
    """Bars and the truth behind them.

    Parameters
    ----------
    bars : Bars
    truth : Truth
    """

    bars: Bars
    truth: Truth

    def score(self, forecast: pd.DataFrame) -> Score:
        """Return the realised quality of any forecast of the next bar's relative return.

        Parameters
        ----------
        forecast : DataFrame of shape (n_times, n_symbols)
            Row t holds what was expected at the close of bar t of the next bar's relative return, NaN where nothing
            was. Take its mean over the symbols off first if it is about the return itself.
        """
        return score_forecast(forecast, self.truth.outcome)

    @cached_property
    def price_forecast(self) -> pd.DataFrame:
        """What prices alone allow: the forecast of one who knows the model but must tell residuals from factors.

        DataFrame of shape (n_times, n_symbols). Row t uses closes up to bar t, with the true graph, loadings and
        volatilities. `truth.forecast` knows the residuals themselves; the distance between the two is what cannot be
        seen with so few symbols, and grows small with many.
        """
        truth, log = self.truth, np.log(self.bars.close.to_numpy())
        returns = np.vstack([np.full((1, log.shape[1]), np.nan), np.diff(log, axis=0)])
        expected = filter_residuals(returns, truth.loadings.to_numpy(), truth.volatility.to_numpy(), self._slopes())
        values = demean(np.where(np.isfinite(log), expected, np.nan))
        return pd.DataFrame(values, index=self.bars.index, columns=self.bars.close.columns, copy=False)

    def _slopes(self) -> np.ndarray:
        import networkx as nx

        matrix = nx.to_numpy_array(self.truth.graph, nodelist=self.bars.symbols, weight="slope")
        return np.asarray(matrix.T)

    def __repr__(self) -> str:
        return f"SyntheticMarket({self.bars!r}, {self.truth!r})"

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, number, table_html

        truth, shares = self.truth, self.truth.regimes.value_counts(normalize=True)
        rows = [
            ("edges leader → follower", number(truth.graph.number_of_edges())),
            ("communities", number(truth.communities.nunique())),
            ("regimes", ", ".join(f"{name} {share:.0%}" for name, share in shares.items())),
            ("best accuracy, next bar's relative return", f"{truth.accuracy:.4f}"),
            ("best IC, rank IC", f"{truth.ic:.4f}, {truth.rank_ic:.4f}"),
        ]
        return self.bars._repr_html_() + card("Planted truth", table_html(("", ""), rows))


def synthetic_market(
    n_assets: int = 12,
    n_bars: int = 20_000,
    timeframe: str = "1h",
    seed: int | np.random.Generator = 7,
    spillover: float = 0.05,
    regimes: bool = True,
    n_sectors: int = 3,
    listings: bool = False,
    outages: bool = False,
    *,
    start: Any = "2021-01-01",
    n_leaders: int = 3,
    trends: bool = False,
    dynamics: Dynamics | None = None,
) -> SyntheticMarket:
    """Make a market with known truth.

    Parameters
    ----------
    n_assets : int
        At least 2.
    n_bars : int
        At least 2.
    timeframe : str
        Length of a bar; volatility, regimes and jumps follow it.
    seed : int or numpy.random.Generator
        Equal seeds give equal markets. A generator is advanced by one draw.
    spillover : float
        Mean weight of an edge of the lead-lag graph; 0 plants no signal, below 0 followers move against their leaders.
        `n_leaders * spillover` must lie between -1 and 1. Markets that differ in this alone share every shock.
    regimes : bool
        Whether the market changes between calm, bull and crash; else it stays calm.
    n_sectors : int
        Communities with a factor of their own, at most one an asset.
    listings : bool
        Some symbols arrive late and some leave early. The other bars stay what they are but for the spillover of
        symbols that are not listed.
    outages : bool
        The venue is down and single symbols do not trade now and then; the other bars stay what they are.
    start : time, optional
        The first bar opens at the first possible time from here on.
    n_leaders : int
        Leaders of each symbol, at most all others.
    trends : bool
        Give the bull regime a rising and the crash a falling drift, the same for every symbol: relative returns and
        the truth about them do not change. Without it every log return is symmetric about what `truth` says.
    dynamics : Dynamics, optional
        Volatility, tails, jumps; the defaults are typical for hourly crypto bars.

    Returns
    -------
    SyntheticMarket
        `.bars` and `.truth`.

    Raises
    ------
    ConfigError
        If a number is out of range.
    UnknownNameError
        If there is no such timeframe.

    Notes
    -----
    Without `listings` and `outages` a longer market begins with the shorter one of the same seed.

    Examples
    --------
    >>> market = synthetic_market(n_assets=4, n_bars=100, seed=1, spillover=0.0)
    >>> market.truth.accuracy
    0.5
    """
    check_timeframe(timeframe)
    n_assets, n_bars = _count("n_assets", n_assets, 2), _count("n_bars", n_bars, 2)
    n_sectors, n_leaders = _count("n_sectors", n_sectors, 1), _count("n_leaders", n_leaders, 1)
    strength = _spillover(spillover, min(n_leaders, n_assets - 1))
    rules = Dynamics() if dynamics is None else dynamics
    if not isinstance(rules, Dynamics):
        raise ConfigError(f"dynamics must be Dynamics, got {type(rules).__name__}: write Dynamics(tail=4)")
    streams = _streams(seed)
    index = _open_times(start, n_bars, timeframe)
    structure = draw_structure(n_assets, min(n_sectors, n_assets), n_leaders, strength, rules, streams("structure"))
    states = draw_regimes(n_bars, timeframe, streams) if regimes else np.zeros(n_bars, dtype=np.int64)
    presence = draw_presence((n_bars, n_assets), listings, outages, streams)
    shocks = draw_shocks(index, timeframe, structure, rules, states, streams)
    motion = move(shocks, structure, presence.listed, states, timeframe, trends)
    bars = draw_bars(index, timeframe, structure, motion, presence, int(rules.n_steps), streams)
    return SyntheticMarket(bars, _truth(bars, structure, states, shocks, motion))


# ------------------------------------------------------------------------------------------------ what was asked for
def _count(name: str, value: Any, least: int) -> int:
    if not is_whole(value) or int(value) < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def _spillover(value: Any, count: int) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(float(value)):
        raise ConfigError(f"spillover must be a finite number, got {value!r}")
    strength = float(value)
    if abs(strength) * count >= 1:
        raise ConfigError(
            f"spillover must lie between -{1 / count:.4g} and {1 / count:.4g} with {count} leaders a symbol, got "
            f"{strength:g}: the spectral radius of the lead-lag graph would be {abs(strength) * count:.4g} and "
            f"residuals would explode; ask for a weaker spillover or fewer leaders"
        )
    return strength


def _streams(seed: Any) -> Streams:
    """Return a function from a name to its own generator: what one part draws never moves another part's numbers."""
    if isinstance(seed, np.random.Generator):
        root = int(seed.integers(2**63))
    elif is_whole(seed) and seed >= 0:
        root = int(seed)
    else:
        raise ConfigError(f"seed must be a whole number of at least 0 or a numpy.random.Generator, got {seed!r}")
    return lambda name: np.random.default_rng([root, crc32(name.encode())])


def _open_times(start: Any, n_bars: int, timeframe: str) -> pd.DatetimeIndex:
    """Return the open times from the first one at or after `start`; weeks open on Mondays."""
    step, moment = timeframe_ns(timeframe), timestamp(start)
    origin = _FIRST_MONDAY_NS if timeframe.endswith("w") else 0
    first = origin + -(-(moment.value - origin) // step) * step
    last = first + (n_bars - 1) * step
    if last > pd.Timestamp.max.value:
        raise ConfigError(
            f"n_bars must end before {pd.Timestamp.max:%Y}, got {n_bars:,} bars of {timeframe} from {moment:%Y-%m-%d}: "
            f"ask for fewer bars or a shorter timeframe"
        )
    return grid(pd.Timestamp(first, tz="UTC"), pd.Timestamp(last, tz="UTC"), timeframe)


# ------------------------------------------------------------------------------------------------ what is known
def _truth(bars: Bars, structure: Structure, states: np.ndarray, shocks: Shocks, motion: Motion) -> Truth:
    symbols, sectors = bars.close.columns, range(structure.n_sectors)
    there = bars.close.notna().to_numpy()
    loadings = np.zeros((len(symbols), 1 + structure.n_sectors))
    loadings[:, 0] = structure.loadings[:, 0]
    loadings[np.arange(len(symbols)), 1 + structure.sector] = structure.loadings[:, 1]
    factors = ["market", *(f"sector {number}" for number in sectors)]
    forecast = demean(np.where(there, motion.announced, np.nan))
    return Truth(
        graph=_graph(structure),
        communities=pd.Series(structure.sector, index=symbols, name="community"),
        regimes=pd.Series(np.array(REGIMES)[states], index=bars.index, name="regime"),
        forecast=pd.DataFrame(forecast, index=bars.index, columns=symbols, copy=False),
        outcome=relative_returns(bars.close),
        loadings=pd.DataFrame(loadings, index=symbols, columns=factors),
        volatility=pd.DataFrame(shocks.deviation, index=bars.index, columns=[*factors, *symbols], copy=False),
    )


def _graph(structure: Structure) -> nx.DiGraph:
    import networkx as nx

    graph = nx.DiGraph()
    for symbol, sector in zip(structure.symbols, structure.sector, strict=True):
        graph.add_node(symbol, community=int(sector))
    edges = zip(structure.leaders, structure.weights, structure.slopes, strict=True)
    for follower, (leaders, weights, slopes) in zip(structure.symbols, edges, strict=True):
        for leader, weight, slope in zip(leaders, weights, slopes, strict=True):
            if weight != 0:
                graph.add_edge(structure.symbols[leader], follower, weight=float(weight), slope=float(slope))
    return graph
