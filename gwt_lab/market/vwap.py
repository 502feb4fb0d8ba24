"""The average price of a bar, weighted by volume where the bar says it."""

from __future__ import annotations

import numpy as np

__all__ = ["bar_vwap"]


def bar_vwap(ohlc: tuple[np.ndarray, ...], volume: np.ndarray, quote_volume: np.ndarray | None) -> np.ndarray:
    """Return the volume-weighted average price of bars.

    Parameters
    ----------
    ohlc : tuple of four ndarray
        Open, high, low and close; NaN where there is no bar.
    volume, quote_volume : ndarray of the same shape
        In base and quote units.

    Returns
    -------
    ndarray of the same shape
        Quote volume over volume where both are known and positive, else (open + high + low + close) / 4.
    """
    middle = np.asarray((ohlc[0] + ohlc[1] + ohlc[2] + ohlc[3]) / 4)
    if quote_volume is None:
        return middle
    traded = (volume > 0) & (quote_volume > 0) & ~np.isnan(ohlc[3])
    np.divide(quote_volume, volume, out=middle, where=traded)
    return middle
