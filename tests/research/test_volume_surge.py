"""The example of a strategy of one's own, on bars written by hand."""

from __future__ import annotations

import numpy as np

import gwt_lab as gwt
from research.volume_surge import volume_surge


def test_it_buys_a_rise_on_volume_and_leaves_below_the_mean() -> None:
    close = np.array([10.0, 10.0, 11.0, 10.0, 12.0, 13.0, np.nan, 14.0])
    volume = np.array([1.0, 1.0, 3.0, 9.0, 9.0, 30.0, 90.0, 90.0])
    entries, exits = volume_surge(close, volume, window=2, times=2.0)
    # row 3 has the volume but fell; row 4 rose on 9, no more than twice the mean of 6; after the gap nothing is known
    assert np.flatnonzero(entries).tolist() == [2, 5]
    assert np.flatnonzero(exits).tolist() == [3]


def test_a_sweep_takes_it_and_finds_no_look_ahead() -> None:
    bars = gwt.synthetic_market(n_assets=3, n_bars=800, seed=1).bars.select("BTC/USDT")
    result = gwt.sweep(volume_surge, bars, {"window": [12, 24], "times": [1.5, 3.0]}, metrics=("n_trades",), check=True)
    trades = result["n_trades"].unstack("times")
    assert (trades[1.5] > trades[3.0]).all()  # a rarer surge is traded less
    assert (trades > 0).all(axis=None)
