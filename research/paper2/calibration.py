"""Carry the simulated book to a market: its volatility and its volume, from bars."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gwt_lab.errors import DataError
from gwt_lab.execution.order_book import OrderBookParameters, simulate_order_book
from gwt_lab.market.time import timeframe_ns

if TYPE_CHECKING:
    from gwt_lab.market.bars import Bars

__all__ = ["Calibration", "book_volatility", "calibrate"]

# median |x| of a centred normal number of unit variance, inverted
_MEDIAN_TO_SD = 1.4826
# Ticks a minute that the efficient price may move; a busier market gets a coarser tick, so that one decision stays a
# few dozen events.
_MOST_TICKS_PER_MINUTE = 8.0


@dataclass(frozen=True)
class Calibration:
    """A book and where its scale comes from.

    Parameters
    ----------
    book : OrderBookParameters
        The simulated market.
    source : str
        One line for tables.
    volatility_bps : float
        Standard deviation of the mid over a minute, basis points.
    unit : float or None
        Base units of the market's symbol that one average order of the book stands for; None without bars.
    symbol : str
        The symbol it was calibrated on; empty without bars.
    """

    book: OrderBookParameters
    source: str
    volatility_bps: float
    unit: float | None
    symbol: str


def book_volatility(book: OrderBookParameters, seed: int = 0, lag: int = 30) -> float:
    """Return the standard deviation of the mid in ticks over one unit of time, from `lag` units apart.

    Notes
    -----
    The mid bounces over seconds; `lag` is long enough for the bounce to be a small share.
    """
    history = simulate_order_book(400_000, seed, parameters=book, snapshot_every=400_000)
    times = np.arange(history.time[0], history.time[-1], lag * book.seconds_per_unit)
    mid = history.mid[np.searchsorted(history.time, times, side="right") - 1] / book.tick_size
    return float(np.sqrt(np.mean(np.diff(mid) ** 2) / lag))


def _bar_volatility(close: np.ndarray) -> float:
    """Return the size of a log return: from the median, or the root mean square where most prices stay unchanged."""
    known = np.log(close[np.isfinite(close) & (close > 0)])
    moves = np.diff(known)
    if len(moves) < 2:
        return 0.0
    typical = _MEDIAN_TO_SD * float(np.median(np.abs(moves)))
    return typical or float(np.sqrt(np.mean(moves**2)))


def _median_symbol(bars: Bars) -> tuple[str, float]:
    """Return the symbol of median volatility and its volatility over a bar."""
    found = [(symbol, _bar_volatility(bars.close[symbol].to_numpy())) for symbol in bars.symbols]
    moving = sorted((volatility, symbol) for symbol, volatility in found if volatility > 0)
    if not moving:
        raise DataError(
            f"the order book is scaled by the bars' volatility, and no close of {', '.join(bars.symbols[:5])} moves: "
            "give bars of a symbol that trades"
        )
    volatility, symbol = moving[(len(moving) - 1) // 2]
    return symbol, volatility


def calibrate(bars: Bars | None, tick_bps: float = 1.0) -> Calibration:
    """Return the published book, rescaled to the bars where they are given.

    Parameters
    ----------
    bars : Bars or None
        Any symbols and timeframe. The symbol of median volatility is taken; its volatility over a minute is the
        bar's (median absolute log return, made a standard deviation) over the root of the bar's minutes.
    tick_bps : float
        A tick of the book in basis points. The book's spread is 1.3 ticks, its own volatility about one tick a minute:
        what the bars move beyond that is a driftless efficient price; if they move less, the tick shrinks.

    Returns
    -------
    Calibration
        One unit of the book, an average order, stands for the volume of a median bar over the market orders in it.
    """
    book = OrderBookParameters(tick_size=tick_bps / 100.0)
    own = book_volatility(book)
    if bars is None:
        return Calibration(
            book, f"the published book, a tick of {tick_bps:g} bps (synthetic)", own * tick_bps, None, ""
        )
    symbol, volatility = _median_symbol(bars)
    minutes = timeframe_ns(bars.timeframe) / 60e9
    per_minute = 1e4 * volatility / np.sqrt(minutes)
    tick = max(min(tick_bps, per_minute / own), per_minute / _MOST_TICKS_PER_MINUTE)
    extra = float(np.sqrt(max((per_minute / tick) ** 2 - own**2, 0.0)))
    volume = bars.volume[symbol].to_numpy()
    typical = float(np.median(volume[np.isfinite(volume)])) if np.isfinite(volume).any() else 0.0
    source = (
        f"calibrated on {symbol} {bars.timeframe}: {per_minute:.2f} bps a minute (median), "
        f"a tick of {tick:.2f} bps, {typical / minutes:.4g} units traded a minute"
    )
    scaled = replace(book, tick_size=tick / 100.0, efficient_volatility=extra)
    return Calibration(scaled, source, float(per_minute), typical / minutes / (2 * book.market_rate), symbol)
