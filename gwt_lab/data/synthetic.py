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

from gwt_lab.data.synthetic_kernels import autoregress, gjr_variance, markov_path, spill_over
from gwt_lab.data.synthetic_paths import Motion, draw_bars, draw_presence
from gwt_lab.data.synthetic_score import Score, demean, expected_score, relative_returns, score_forecast
from gwt_lab.data.synthetic_structure import (
    REGIMES,
    Dynamics,
    Structure,
    draw_structure,
    regime_transition,
    seasonal_deviation,
)
from gwt_lab.errors import ConfigError
from gwt_lab.market.bars import Bars
from gwt_lab.market.time import check_timeframe, grid, timeframe_ns, timestamp

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Dynamics", "SyntheticMarket", "Truth", "synthetic_market"]

_DAY_NS = 86_400 * 10**9
# Volatility of market, sectors and residuals by regime, and the common drift per day under trends=True.
_REGIME_VOL = np.array([[1.0, 1.0, 1.0], [1.3, 1.4, 1.4], [2.8, 1.6, 1.6]])
_REGIME_DRIFT = np.array([0.0, 0.008, -0.02])


@dataclass(frozen=True, eq=False, repr=False)
class Truth:
    """What was planted in a synthetic market.

    Parameters
    ----------
    graph : networkx.DiGraph
        An edge leader -> follower for every planted effect. `weight`: standard deviations that the follower's residual
        moves one bar after its leader's moved by one; `slope`: the same in return units. Node attribute `community`.
    communities : Series
        Sector by symbol, int.
    regimes : Series of shape (n_times,)
        "calm", "bull" or "crash" by open time.
    forecast : DataFrame of shape (n_times, n_symbols)
        Row t is the best forecast, known at the close of bar t, of the next bar's log return minus its mean over the
        symbols present. NaN where a symbol has no bar. It knows every residual, which prices alone do not show.
    outcome : DataFrame of shape (n_times, n_symbols)
        What row t's forecast is about: the relative log return of bar t+1, **from the future**.
    loadings : DataFrame of shape (n_symbols, 2)
        Columns market and sector: the loading on the market factor and on the symbol's own sector factor.
    """

    graph: nx.DiGraph
    communities: pd.Series
    regimes: pd.Series
    forecast: pd.DataFrame
    outcome: pd.DataFrame
    loadings: pd.DataFrame

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
            Row t holds what was expected at the close of bar t, NaN where nothing was.
        """
        return score_forecast(forecast, self.truth.outcome)

    def __repr__(self) -> str:
        return f"SyntheticMarket({self.bars!r}, {self.truth!r})"


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
    streams = _streams(seed)
    rules = dynamics or Dynamics()
    index = _open_times(start, n_bars, timeframe)
    structure = draw_structure(n_assets, min(n_sectors, n_assets), n_leaders, strength, streams("structure"))
    states = _regime_states(n_bars, timeframe, streams) if regimes else np.zeros(n_bars, np.int64)
    presence = draw_presence((n_bars, n_assets), listings, outages, streams)
    shocks = _draw_shocks(index, timeframe, structure, rules, states, streams)
    motion, announced = _move(shocks, structure, presence, states, trends)
    bars = draw_bars(index, timeframe, structure, motion, presence, streams)
    return SyntheticMarket(bars, _truth(bars, structure, states, announced))


# ------------------------------------------------------------------------------------------------ what was asked for
def _count(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or int(value) < least:
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


def _streams(seed: Any) -> Any:
    """Return a function from a name to its own generator: what one part draws never moves another part's numbers."""
    if isinstance(seed, np.random.Generator):
        root = int(seed.integers(2**63))
    elif isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and seed >= 0:
        root = int(seed)
    else:
        raise ConfigError(f"seed must be a whole number of at least 0 or a numpy.random.Generator, got {seed!r}")
    return lambda name: np.random.default_rng([root, crc32(name.encode())])


def _open_times(start: Any, n_bars: int, timeframe: str) -> pd.DatetimeIndex:
    """Return the open times from the first one at or after `start`; weeks open on Mondays."""
    step, moment = timeframe_ns(timeframe), timestamp(start)
    origin = 4 * _DAY_NS if timeframe.endswith("w") else 0
    first = origin + -(-(moment.value - origin) // step) * step
    last = first + (n_bars - 1) * step
    if last > pd.Timestamp.max.value:
        raise ConfigError(
            f"n_bars must end before {pd.Timestamp.max:%Y}, got {n_bars:,} bars of {timeframe} from {moment:%Y-%m-%d}: "
            f"ask for fewer bars or a shorter timeframe"
        )
    return grid(pd.Timestamp(first, tz="UTC"), pd.Timestamp(last, tz="UTC"), timeframe)


# ------------------------------------------------------------------------------------------------ how it moves
@dataclass(frozen=True)
class _Shocks:
    """Everything that is drawn before prices follow: one column for the market, each sector and each asset."""

    deviation: np.ndarray  # (n_times, n_components) conditional standard deviation
    scale: np.ndarray  # (n_times, n_components) the same times the bar's own mixing variable: inside the bar
    value: np.ndarray  # (n_times, n_components) what came, without jumps
    jump: np.ndarray  # (n_times, 1 + n_assets) jumps of the market and of each asset
    gap: np.ndarray  # (n_times, n_assets) standard normal
    rules: Dynamics
    days: float


def _regime_states(n_bars: int, timeframe: str, streams: Any) -> np.ndarray:
    transition, shares = regime_transition(timeframe)
    return np.asarray(markov_path(streams("regimes").random(n_bars), np.cumsum(shares), np.cumsum(transition, axis=1)))


def _draw_shocks(
    index: pd.DatetimeIndex, timeframe: str, structure: Structure, rules: Dynamics, states: np.ndarray, streams: Any
) -> _Shocks:
    n_bars, n_assets = len(index), len(structure.symbols)
    n_sectors = int(structure.sector.max()) + 1
    days = timeframe_ns(timeframe) / _DAY_NS
    kind = np.array([0] + [1] * n_sectors + [2] * n_assets)
    daily = np.concatenate([[rules.market_vol], np.full(n_sectors, rules.sector_vol), structure.own_vol])
    shape = (n_bars, len(kind))
    # a unit-variance t shock is a normal one times the root of an inverse chi-square
    mixing = np.sqrt((rules.tail - 2.0) / streams("tails").chisquare(rules.tail, shape))
    normal = streams("shocks").standard_normal(shape)
    variance = gjr_variance(mixing * normal, rules.alpha, rules.leverage, rules.beta)
    memory = 0.5 ** (days / rules.slow_half_life_days)
    slow = rules.slow_vol * autoregress(streams("slow").standard_normal((n_bars, 1)), memory)
    season = seasonal_deviation(index, timeframe, rules.weekend)[:, None]
    # exp of a normal with mean -variance/2 has mean 1
    level = np.sqrt(days) * season * np.exp((slow - rules.slow_vol**2 / 2) / 2)
    deviation = daily * level * np.sqrt(variance) * _REGIME_VOL[states][:, kind]
    count = streams("jump counts").poisson(rules.jumps_per_day * days, (n_bars, 1 + n_assets))
    size = rules.jump_size * daily[kind != 1]
    jump = np.sqrt(count) * streams("jump sizes").standard_normal((n_bars, 1 + n_assets)) * size
    gap = rules.gap_size * streams("gaps").standard_normal((n_bars, n_assets))
    scale = deviation * mixing
    return _Shocks(deviation, scale, scale * normal, jump, gap, rules, days)


def _move(
    shocks: _Shocks, structure: Structure, presence: Any, states: np.ndarray, trends: bool
) -> tuple[Motion, np.ndarray]:
    """Return the motion of every price and what the residuals announce for the next bar."""
    n_assets = len(structure.symbols)
    market, sectors, own = 0, slice(1, -n_assets), slice(-n_assets, None)
    beta, gamma = structure.loadings.T
    deviation = np.sqrt(
        (beta * shocks.deviation[:, [market]]) ** 2
        + (gamma * shocks.deviation[:, sectors][:, structure.sector]) ** 2
        + shocks.deviation[:, own] ** 2
    )
    gap = shocks.gap * deviation
    fresh = shocks.value[:, own] + shocks.jump[:, 1:] + gap
    residual, announced = spill_over(fresh, structure.leaders, structure.slopes, presence.listed)
    jump = np.stack([shocks.jump[:, :1] * beta, shocks.jump[:, 1:]], axis=2)
    factors = beta * shocks.value[:, [market]] + gamma * shocks.value[:, sectors][:, structure.sector]
    returns = factors + jump[:, :, 0] + residual
    if trends:
        returns = returns + _REGIME_DRIFT[states][:, None] * shocks.days
    return Motion(returns, gap, jump, shocks.scale, deviation, shocks.rules.n_steps), announced


# ------------------------------------------------------------------------------------------------ what is known
def _truth(bars: Bars, structure: Structure, states: np.ndarray, announced: np.ndarray) -> Truth:
    symbols = bars.close.columns
    there = bars.close.notna().to_numpy()
    forecast = demean(np.where(there, announced, np.nan))
    return Truth(
        graph=_graph(structure),
        communities=pd.Series(structure.sector, index=symbols, name="community"),
        regimes=pd.Series(np.array(REGIMES)[states], index=bars.index, name="regime"),
        forecast=pd.DataFrame(forecast, index=bars.index, columns=symbols, copy=False),
        outcome=relative_returns(bars.close),
        loadings=pd.DataFrame(structure.loadings, index=symbols, columns=["market", "sector"]),
    )


def _graph(structure: Structure) -> nx.DiGraph:
    import networkx as nx

    graph = nx.DiGraph()
    for symbol, sector in zip(structure.symbols, structure.sector, strict=True):
        graph.add_node(symbol, community=int(sector))
    for follower, name in enumerate(structure.symbols):
        for position, leader in enumerate(structure.leaders[follower]):
            graph.add_edge(
                structure.symbols[leader],
                name,
                weight=float(structure.weights[follower, position]),
                slope=float(structure.slopes[follower, position]),
            )
    return graph
