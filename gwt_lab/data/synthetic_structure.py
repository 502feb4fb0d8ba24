"""What stays fixed in a synthetic market: symbols, sectors, who leads whom, regimes, the clock's seasons."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError
from gwt_lab.market.time import timeframe_ns

__all__ = [
    "REGIMES",
    "Dynamics",
    "Structure",
    "draw_structure",
    "initial_prices",
    "regime_transition",
    "seasonal_deviation",
    "symbol_names",
]

_HOUR_NS, _DAY_NS = 3600 * 10**9, 86_400 * 10**9

REGIMES = ("calm", "bull", "crash")
# Probability of staying for an hour and where a regime goes when it ends: about 14, 8 and 3 days.
_STAY_HOURLY = np.array([0.997, 0.995, 0.985])
_NEXT = np.array([[0.0, 0.65, 0.35], [0.6, 0.0, 0.4], [0.8, 0.2, 0.0]])

# Bases that a reader knows, with a price of the right size for the start of 2021, in USDT.
_KNOWN = {
    "BTC": 29_000.0, "ETH": 740.0, "BNB": 38.0, "XRP": 0.24, "SOL": 1.6, "ADA": 0.18, "DOGE": 0.0057, "DOT": 8.8,
    "LTC": 128.0, "LINK": 12.0, "AVAX": 3.6, "ATOM": 6.0, "UNI": 5.2, "BCH": 350.0, "XLM": 0.13, "TRX": 0.027,
    "ETC": 5.8, "FIL": 22.0, "NEAR": 1.4, "ALGO": 0.36, "AAVE": 90.0, "XMR": 158.0, "EOS": 2.6, "XTZ": 2.0,
    "VET": 0.019, "THETA": 1.9, "DASH": 88.0, "ZEC": 57.0, "MKR": 590.0, "COMP": 145.0,
}  # fmt: skip
_CONSONANTS, _VOWELS, _ENDINGS = "BDFGKLMRTVZ", "AEIOU", "NRX"


@dataclass(frozen=True)
class Dynamics:
    """How a synthetic market moves; the defaults are typical for liquid crypto pairs.

    Parameters
    ----------
    alpha, leverage, beta : float
        GJR-GARCH(1,1) of every factor and residual, per bar; alpha + leverage/2 + beta below 1.
    tail : float
        Degrees of freedom of the t-distributed shocks, above 2.
    market_vol, sector_vol : float
        Daily standard deviation of the market and sector factors, calm regime.
    slow_vol : float
        Standard deviation of the common slow log-variance; 0 turns it off.
    slow_half_lives : tuple of float
        Days after which half of each of its equal parts is forgotten; together they decay like a power of time.
    jumps_per_day : float
        Poisson rate of the market's jumps and of each asset's own.
    jump_size : float
        Standard deviation of a jump, in daily standard deviations of what jumps.
    gap_size : float
        Standard deviation of the step from a close to the next open, in those of the bar.
    weekend : float
        Volatility on Saturday and Sunday relative to weekdays.
    n_steps : int
        Sub-steps of a bar, 12 at least.

    References
    ----------
    .. [1] Glosten, Jagannathan, Runkle, "On the relation between the expected value and the volatility of the nominal
       excess return on stocks", Journal of Finance 48, 1993.
    .. [2] Corsi, "A simple approximate long-memory model of realized volatility", Journal of Financial Econometrics 7,
       2009: a few horizons look like long memory.
    """

    alpha: float = 0.05
    leverage: float = 0.06
    beta: float = 0.89
    tail: float = 5.0
    market_vol: float = 0.028
    sector_vol: float = 0.014
    slow_vol: float = 0.9
    slow_half_lives: tuple[float, ...] = (3.0, 12.0, 60.0)
    jumps_per_day: float = 0.2
    jump_size: float = 0.4
    gap_size: float = 0.02
    weekend: float = 0.8
    n_steps: int = 12

    def __post_init__(self) -> None:
        half_lives = self.slow_half_lives
        if not isinstance(half_lives, tuple) or not half_lives or not all(_positive(days) for days in half_lives):
            raise ConfigError(f"dynamics.slow_half_lives must be a tuple of days above 0, got {self.slow_half_lives!r}")
        for name in self.__dataclass_fields__.keys() - {"slow_half_lives"}:
            value = getattr(self, name)
            if value != 0 and not _positive(value):
                raise ConfigError(f"dynamics.{name} must be a finite number, 0 or more, got {value!r}")
        persistence = self.alpha + self.leverage / 2 + self.beta
        if persistence >= 1:
            raise ConfigError(
                f"dynamics: alpha + leverage/2 + beta must be below 1, got {persistence:g}: volatility would explode"
            )
        if self.tail <= 2:
            raise ConfigError(f"dynamics.tail must exceed 2, got {self.tail:g}: the variance would be infinite")
        if self.weekend <= 0:
            raise ConfigError("dynamics.weekend must be above 0, got 0: prices would stand still")
        if self.n_steps != int(self.n_steps) or self.n_steps < 12:
            raise ConfigError(f"dynamics.n_steps must be a whole number of at least 12, got {self.n_steps!r}")


def _positive(value: object) -> bool:
    """Return whether this is a finite number above 0."""
    return isinstance(value, (int, float, np.number)) and bool(np.isfinite(float(value)) and float(value) > 0)


@dataclass(frozen=True)
class Structure:
    """What stays fixed over the life of a market.

    Parameters
    ----------
    symbols : tuple of str
        Unified symbols.
    sector : ndarray of shape (n_assets,), int
        Community of each asset.
    loadings : ndarray of shape (n_assets, 2)
        On the market factor and on the asset's sector factor.
    daily_vol : ndarray of shape (1 + n_sectors + n_assets,)
        Daily standard deviation of each component in the calm regime: the market, the sectors, the residuals.
    leaders : ndarray of shape (n_assets, n_leaders), int
        Columns of each asset's leaders.
    weights : ndarray of shape (n_assets, n_leaders)
        Effect of one standard deviation of a leader's residual, in standard deviations of the follower's.
    """

    symbols: tuple[str, ...]
    sector: np.ndarray
    loadings: np.ndarray
    daily_vol: np.ndarray
    leaders: np.ndarray
    weights: np.ndarray

    @property
    def slopes(self) -> np.ndarray:
        """The weights in return units, shape (n_assets, n_leaders)."""
        own = self.daily_vol[-len(self.symbols) :]
        return np.asarray(self.weights * own[:, None] / own[self.leaders])

    @property
    def n_sectors(self) -> int:
        """Number of sectors."""
        return len(self.daily_vol) - 1 - len(self.symbols)

    def common(self, components: np.ndarray) -> np.ndarray:
        """Return each asset's share of the market's and its sector's values, shape (n_times, n_assets)."""
        market, sectors = components[:, :1], components[:, 1 : 1 + self.n_sectors]
        return np.asarray(self.loadings[:, 0] * market + self.loadings[:, 1] * sectors[:, self.sector])

    def total(self, deviations: np.ndarray) -> np.ndarray:
        """Return each asset's standard deviation from its independent components', shape (n_times, n_assets)."""
        variances, squared = deviations**2, replace(self, loadings=self.loadings**2)
        return np.asarray(np.sqrt(squared.common(variances) + variances[:, 1 + self.n_sectors :]))


def symbol_names(n_assets: int) -> list[str]:
    """Return distinct unified symbols: known pairs first, invented ones after, the same for every seed."""
    names = list(_KNOWN)[:n_assets]
    n_invented = len(_CONSONANTS) ** 2 * len(_VOWELS) ** 2 * len(_ENDINGS)
    for number in range(n_assets - len(names)):
        # the step shares no factor with the count, so the walk meets every name once
        series, code = divmod(number, n_invented)
        code = code * 3571 % n_invented
        letters = ""
        for alphabet in (_CONSONANTS, _VOWELS, _CONSONANTS, _VOWELS, _ENDINGS):
            code, position = divmod(code, len(alphabet))
            letters += alphabet[position]
        names.append(letters + (str(series + 1) if series else ""))
    return [f"{name}/USDT" for name in names]


def initial_prices(symbols: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """Return the first price of each symbol, quote currency; invented ones lie between 0.01 and 100."""
    invented = 10.0 ** rng.uniform(-2.0, 2.0, len(symbols))
    return np.array([_KNOWN.get(name.partition("/")[0], invented[n]) for n, name in enumerate(symbols)])


def draw_structure(
    n_assets: int, n_sectors: int, n_leaders: int, spillover: float, rules: Dynamics, rng: np.random.Generator
) -> Structure:
    """Draw sectors, loadings and the lead-lag graph.

    The draws do not depend on `spillover`, so that markets of one seed differ by the strength of the signal alone.
    """
    sector = rng.permutation(np.arange(n_assets) % n_sectors)
    loadings = np.column_stack([rng.uniform(0.95, 1.25, n_assets), rng.uniform(0.7, 1.3, n_assets)])
    own_vol = rng.uniform(0.022, 0.036, n_assets)
    # the two largest pairs move less than the others
    loadings[:2, 0], own_vol[:2] = (0.8, 0.95), (0.014, 0.019)
    count = min(n_leaders, n_assets - 1)
    leaders = np.empty((n_assets, count), dtype=np.int64)
    shares = rng.uniform(0.5, 1.5, (n_assets, count))
    # larger assets lead more often, and neighbours of the same sector three times as often
    size = np.arange(1, n_assets + 1) ** -0.5
    for follower in range(n_assets):
        appeal = size * np.where(sector == sector[follower], 3.0, 1.0)
        appeal[follower] = 0.0
        leaders[follower] = rng.choice(n_assets, count, replace=False, p=appeal / appeal.sum())
    # every row sums to count * spillover, which is then the spectral radius (Perron-Frobenius)
    weights = spillover * shares * (count / shares.sum(axis=1, keepdims=True))
    daily_vol = np.concatenate([[rules.market_vol], np.full(n_sectors, rules.sector_vol), own_vol])
    return Structure(tuple(symbol_names(n_assets)), sector, loadings, daily_vol, leaders, weights)


def regime_transition(timeframe: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the transition matrix of the regimes over one bar and their long-run shares.

    The chain runs in continuous time, so that 24 steps of an hour are one step of a day.
    """
    from scipy.linalg import expm

    rate = -np.log(_STAY_HOURLY)
    generator = rate[:, None] * (_NEXT - np.eye(len(REGIMES)))
    transition = expm(generator * (timeframe_ns(timeframe) / _HOUR_NS))
    system = np.vstack([generator.T, np.ones(len(REGIMES))])
    shares = np.linalg.lstsq(system, np.append(np.zeros(len(REGIMES)), 1.0), rcond=None)[0]
    return transition, shares


def seasonal_deviation(index: pd.DatetimeIndex, timeframe: str, weekend: float) -> np.ndarray:
    """Return the volatility multiplier of each bar from the hour and the day, shape (n_times,).

    Trading is around the clock: volatility peaks when Europe and America are both awake (15 h UTC) and is lowest in
    their night. Longer bars average the variance over the hours that they hold.
    """
    length = timeframe_ns(timeframe)
    count = int(np.clip(-(-length // _HOUR_NS), 1, 168))
    variance = np.zeros(len(index))
    for part in range(count):
        moment = index.asi8 + (2 * part + 1) * (length // (2 * count))
        angle = 2 * np.pi * (moment % _DAY_NS) / _DAY_NS - 2 * np.pi * 15 / 24
        hour = 1.0 + 0.38 * np.cos(angle) + 0.12 * np.cos(2 * angle)
        # 1970-01-01 was a Thursday
        free = (moment // _DAY_NS + 3) % 7 >= 5
        variance += hour * np.where(free, weekend**2, 1.0)
    return np.sqrt(variance / count)
