"""From the returns of a synthetic market to bars: prices inside the bar, turnover, listings and outages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gwt_lab.data.synthetic_kernels import autoregress, intrabar_paths
from gwt_lab.data.synthetic_motion import Motion, Streams
from gwt_lab.data.synthetic_structure import Structure, initial_prices
from gwt_lab.market.bars import Bars
from gwt_lab.market.time import timeframe_ns

__all__ = ["Presence", "draw_bars", "draw_presence"]

_DAY_NS = 86_400 * 10**9
# Numbers drawn at once for the paths inside the bars: bounds the memory of wide markets.
_DRAWS_AT_ONCE = 3_000_000


@dataclass(frozen=True)
class Presence:
    """Which bars exist.

    Parameters
    ----------
    listed : ndarray of shape (n_times, n_assets), bool
        Between listing and delisting.
    halted : ndarray of shape (n_times, n_assets), bool
        The asset alone does not trade.
    outage : ndarray of shape (n_times,), bool
        The venue is down.
    """

    listed: np.ndarray
    halted: np.ndarray
    outage: np.ndarray

    @property
    def there(self) -> np.ndarray:
        """Bars that exist, shape (n_times, n_assets)."""
        return np.asarray(self.listed & ~self.halted & ~self.outage[:, None])


def draw_presence(shape: tuple[int, int], listings: bool, outages: bool, streams: Streams) -> Presence:
    """Draw listing spells, halts of single assets and outages of the venue."""
    n_times, n_assets = shape
    listed, halted, outage = np.ones(shape, bool), np.zeros(shape, bool), np.zeros(n_times, bool)
    if listings:
        _list_and_delist(listed, streams("listings"))
    if outages and n_times > 4:
        rng = streams("outages")
        for column in range(n_assets):
            for first, stop in _spells(n_times, rng):
                halted[first:stop, column] = True
        for first, stop in _spells(n_times, rng):
            outage[first:stop] = True
    return Presence(listed, halted, outage)


def _list_and_delist(listed: np.ndarray, rng: np.random.Generator) -> None:
    """Let a third of the assets arrive late and a tenth leave early, at least one each; the first two always trade."""
    n_times, n_assets = listed.shape
    candidates = np.arange(min(2, n_assets - 1), n_assets)
    late = rng.choice(candidates, max(1, len(candidates) // 3), replace=False)
    for column in late:
        listed[: int(rng.uniform(0.05, 0.6) * n_times), column] = False
    for column in rng.choice(candidates, max(1, len(candidates) // 10), replace=False):
        listed[int(np.ceil(rng.uniform(0.7, 0.95) * n_times)) :, column] = False


def _spells(n_times: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return about one spell in 2,000 bars, at least one, of 1 to 8 bars that touch neither end."""
    count = max(1, int(rng.poisson(n_times / 2000)))
    firsts = rng.integers(1, n_times - 1, count)
    return [(int(first), int(min(first + rng.integers(1, 9), n_times - 1))) for first in firsts]


def draw_bars(
    index: pd.DatetimeIndex,
    timeframe: str,
    structure: Structure,
    motion: Motion,
    presence: Presence,
    n_steps: int,
    streams: Streams,
) -> Bars:
    """Return the bars of a market that moves like `motion`, from paths of `n_steps` inside each bar.

    The close of a bar is the running sum of returns; open, high, low and the volume-weighted price come from the path
    inside the bar, and the turnover rises with the bar's volatility and with how far it went.
    """
    prices = initial_prices(structure.symbols, streams("prices"))
    log_close = np.log(prices) + np.cumsum(motion.returns, axis=0)
    opened, high, low, average = _inside(motion, structure, n_steps, streams)
    before = log_close - motion.returns
    close, average = np.exp(log_close), np.exp(before + average)
    opened, high, low = np.exp(before + opened), np.exp(before + high), np.exp(before + low)
    # exp and the running sum round: the bounds hold exactly after this
    high = np.maximum(high, np.maximum(opened, close))
    low = np.minimum(low, np.minimum(opened, close))
    average = np.clip(average, low, high)
    turnover = _turnover(motion, timeframe, streams)
    fields = {
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": turnover / average,
        "quote_volume": turnover,
    }
    there, columns = presence.there, pd.Index(list(structure.symbols), name="symbol")
    panels = {
        name: pd.DataFrame(np.where(there, values, np.nan), index=index, columns=columns, copy=False)
        for name, values in fields.items()
    }
    return Bars(**panels, timeframe=timeframe, gaps=_planted_gaps(index, columns, presence))


def _inside(motion: Motion, structure: Structure, n_steps: int, streams: Streams) -> list[np.ndarray]:
    """Return open, high, low and volume-weighted price as logs relative to the close before, in blocks of rows."""
    n_times, n_assets = motion.returns.shape
    n_components = motion.scale.shape[1]
    paths, tops, places = streams("paths"), streams("extremes"), streams("jump steps")
    rows = max(1, _DRAWS_AT_ONCE // (n_steps * n_components))
    smooth = motion.returns - motion.jump.sum(axis=2)
    blocks = []
    for first in range(0, n_times, rows):
        part = slice(first, min(first + rows, n_times))
        count = part.stop - first
        blocks.append(
            intrabar_paths(
                smooth[part],
                motion.gap[part],
                motion.scale[part],
                structure.loadings,
                structure.sector,
                motion.jump[part],
                places.integers(0, n_steps, (count, 1 + n_assets)),
                paths.standard_normal((count, n_steps, n_components)),
                tops.standard_exponential((count, n_steps, n_assets, 2)),
            )
        )
    return [np.concatenate(field) for field in zip(*blocks, strict=True)]


def _turnover(motion: Motion, timeframe: str, streams: Streams) -> np.ndarray:
    """Return the traded value of each bar, quote currency, shape (n_times, n_assets)."""
    n_times, n_assets = motion.returns.shape
    days = timeframe_ns(timeframe) / _DAY_NS
    memory = np.full(1 + n_assets, 0.9 ** (24 * days))
    noise = autoregress(streams("turnover").standard_normal((n_times, 1 + n_assets)), memory)
    level = np.log(2e9 * days) - 0.9 * np.log(np.arange(1, n_assets + 1))
    log_turnover = (
        level
        + 0.8 * np.log(motion.deviation / motion.usual)
        + 0.5 * np.log(0.3 + np.abs(motion.returns) / motion.deviation)
        + 0.35 * noise[:, :1]
        + 0.35 * noise[:, 1:]
    )
    return np.asarray(np.exp(log_turnover))


def _planted_gaps(index: pd.DatetimeIndex, columns: pd.Index, presence: Presence) -> pd.DataFrame:
    """Return the missing bars as intervals with the reason that was planted, so that none needs a guess."""
    reasons = np.array(["", "outage", "not listed", "no trade"])
    code = np.where(~presence.listed, 2, np.where(presence.outage[:, None], 1, np.where(presence.halted, 3, 0)))
    parts = []
    for column, symbol in enumerate(columns):
        edges = np.flatnonzero(np.diff(code[:, column], prepend=-1, append=-1))
        firsts, lasts = edges[:-1], edges[1:] - 1
        kept = code[firsts, column] > 0
        reason = reasons[code[firsts[kept], column]]
        parts.append(
            pd.DataFrame({"symbol": symbol, "start": index[firsts[kept]], "end": index[lasts[kept]], "reason": reason})
        )
    return pd.concat(parts, ignore_index=True)
