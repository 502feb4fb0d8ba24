"""An example of a strategy of one's own: buy a rising bar of unusual volume, leave below the mean price."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["volume_surge"]


def volume_surge(close: np.ndarray, volume: np.ndarray, window: int, times: float) -> tuple[np.ndarray, np.ndarray]:
    """Return entries and exits of one symbol, decided at each bar's close.

    Parameters
    ----------
    close, volume : ndarray of shape (n_times,)
        Bars of one symbol.
    window : int
        Bars over which volume and price are averaged.
    times : float
        How many times the mean volume of the `window` bars before makes a surge.

    Returns
    -------
    tuple of two ndarray of shape (n_times,), bool
        Entries where a bar rose on a surge, exits where the close is below its mean; neither where bars are missing.
    """
    price, traded = pd.Series(close), pd.Series(volume)
    usual = traded.rolling(window).mean().shift(1)
    entries = (traded > times * usual) & (price > price.shift(1))
    return entries.to_numpy(), (price < price.rolling(window).mean()).to_numpy()
