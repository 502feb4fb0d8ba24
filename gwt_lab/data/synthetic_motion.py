"""How the prices of a synthetic market move: regimes, volatility, shocks, jumps and what spills over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gwt_lab.data.synthetic_kernels import autoregress, gjr_variance, markov_path, spill_over
from gwt_lab.data.synthetic_structure import Dynamics, Structure, regime_transition, seasonal_deviation
from gwt_lab.errors import ConfigError
from gwt_lab.market.time import timeframe_ns

__all__ = ["Motion", "Shocks", "Streams", "draw_regimes", "draw_shocks", "move"]

_DAY_NS = 86_400 * 10**9
# Volatility of market, sectors and residuals by regime, and the common drift per day under trends=True.
_REGIME_VOL = np.array([[1.0, 1.0, 1.0], [1.3, 1.4, 1.4], [2.8, 1.6, 1.6]])
_REGIME_DRIFT = np.array([0.0, 0.008, -0.02])
# exp of more than this leaves the range in which prices and turnover are ordinary numbers
_LARGEST_LOG_MOVE = 300.0

Streams = Callable[[str], np.random.Generator]


@dataclass(frozen=True)
class Shocks:
    """What is drawn before prices follow; components are the market, each sector and each asset's residual.

    Parameters
    ----------
    deviation : ndarray of shape (n_times, n_components)
        Conditional standard deviation over the bar.
    scale : ndarray of shape (n_times, n_components)
        The same times the bar's own mixing variable: the standard deviation of the normal motion inside the bar.
    value : ndarray of shape (n_times, n_components)
        What came, without jumps.
    jump : ndarray of shape (n_times, 1 + n_assets)
        Jumps of the market and of each residual.
    gap : ndarray of shape (n_times, n_assets)
        Step to the open, in standard deviations of the bar.
    """

    deviation: np.ndarray
    scale: np.ndarray
    value: np.ndarray
    jump: np.ndarray
    gap: np.ndarray


@dataclass(frozen=True)
class Motion:
    """How every price moved, bar by bar.

    Parameters
    ----------
    returns : ndarray of shape (n_times, n_assets)
        Log return from close to close.
    gap : ndarray of shape (n_times, n_assets)
        Its part from the close before to the open.
    jump : ndarray of shape (n_times, n_assets, 2)
        Its parts from the market's jumps and from the asset's own.
    scale : ndarray of shape (n_times, n_components)
        Standard deviation of each component inside the bar.
    deviation : ndarray of shape (n_times, n_assets)
        Standard deviation of the return, given the past and the regime of the bar.
    usual : ndarray of shape (n_assets,)
        The same on an average bar of the calm regime.
    announced : ndarray of shape (n_times, n_assets)
        `G u[t]`: the expected residual of the next bar.
    """

    returns: np.ndarray
    gap: np.ndarray
    jump: np.ndarray
    scale: np.ndarray
    deviation: np.ndarray
    usual: np.ndarray
    announced: np.ndarray


def draw_regimes(n_times: int, timeframe: str, streams: Streams) -> np.ndarray:
    """Return the regime of each bar as a position in `REGIMES`, shape (n_times,)."""
    transition, shares = regime_transition(timeframe)
    path = markov_path(streams("regimes").random(n_times), np.cumsum(shares), np.cumsum(transition, axis=1))
    return np.asarray(path)


def draw_shocks(
    index: pd.DatetimeIndex, timeframe: str, structure: Structure, rules: Dynamics, states: np.ndarray, streams: Streams
) -> Shocks:
    """Draw every shock; each kind of number comes from a stream of its own."""
    n_times, n_assets = len(index), len(structure.symbols)
    days, daily = timeframe_ns(timeframe) / _DAY_NS, structure.daily_vol
    kind = np.repeat([0, 1, 2], [1, structure.n_sectors, n_assets])
    shape = (n_times, len(daily))
    # a t shock of unit variance is a normal one times the root of a scaled inverse chi-square
    mixing = np.sqrt((rules.tail - 2.0) / streams("tails").chisquare(rules.tail, shape))
    normal = streams("shocks").standard_normal(shape)
    variance = gjr_variance(mixing * normal, rules.alpha, rules.leverage, rules.beta)
    half_lives = np.asarray(rules.slow_half_lives, dtype=np.float64)
    slow = autoregress(streams("slow").standard_normal((n_times, len(half_lives))), 0.5 ** (days / half_lives))
    log_variance = rules.slow_vol * slow.sum(axis=1, keepdims=True) / np.sqrt(len(half_lives))
    season = seasonal_deviation(index, timeframe, rules.weekend)[:, None]
    # exp of a normal with mean -variance/2 has mean 1
    level = np.sqrt(days) * season * np.exp((log_variance - rules.slow_vol**2 / 2) / 2)
    deviation = daily * level * np.sqrt(variance) * _REGIME_VOL[states][:, kind]
    count = streams("jump counts").poisson(rules.jumps_per_day * days, (n_times, 1 + n_assets))
    size = streams("jump sizes").standard_normal((n_times, 1 + n_assets)) * rules.jump_size * daily[kind != 1]
    return Shocks(
        deviation=deviation,
        scale=deviation * mixing,
        value=deviation * mixing * normal,
        jump=np.sqrt(count) * size,
        gap=rules.gap_size * streams("gaps").standard_normal((n_times, n_assets)),
    )


def move(
    shocks: Shocks, structure: Structure, listed: np.ndarray, states: np.ndarray, timeframe: str, trends: bool
) -> Motion:
    """Return the motion of every price: factors, residuals with what spills over, jumps, drift.

    Raises
    ------
    ConfigError
        If a price leaves the range of ordinary numbers.
    """
    days = timeframe_ns(timeframe) / _DAY_NS
    deviation = structure.total(shocks.deviation)
    gap = shocks.gap * deviation
    n_assets = len(structure.symbols)
    fresh = shocks.value[:, -n_assets:] + shocks.jump[:, 1:] + gap
    residual, announced = spill_over(fresh, structure.leaders, structure.slopes, listed)
    jump = np.stack([shocks.jump[:, :1] * structure.loadings[:, 0], shocks.jump[:, 1:]], axis=2)
    returns = structure.common(shocks.value) + jump[:, :, 0] + residual
    if trends:
        returns = returns + _REGIME_DRIFT[states][:, None] * days
    furthest = np.abs(np.cumsum(returns, axis=0)).max()
    if not furthest < _LARGEST_LOG_MOVE:
        raise ConfigError(
            f"prices must stay ordinary numbers, got one that moved by exp({furthest:.3g}) over "
            f"{len(returns):,} bars of {timeframe}: ask for fewer bars or milder dynamics"
        )
    usual = structure.total(structure.daily_vol[None, :])[0] * np.sqrt(days)
    return Motion(returns, gap, jump, shocks.scale, deviation, usual, announced)
