"""Markets for sweeps: random ones and those that break things."""

from __future__ import annotations

import numpy as np

from gwt_lab.backtest.sweep.families import SweepMarket

HOUR_NS = 3600 * 10**9


def sweep_market(seed: int, n_times: int, n_symbols: int = 1, *, holes: float = 0.0, scale: float = 100.0,
                 tick: float = 0.0, vol: float = 0.01) -> SweepMarket:  # fmt: skip
    """Return a random market; `holes` are missing bars, half of them whole, and some miss a single field."""
    rng = np.random.default_rng(seed)
    shape = (n_symbols, n_times)
    close = scale * np.exp(np.cumsum(rng.normal(0, vol, shape), axis=1))
    if tick:
        close = np.maximum(np.round(close / tick), 1) * tick
    before = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    open_ = before * np.exp(rng.normal(0, vol / 3, shape))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, vol / 2, shape)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, vol / 2, shape)))
    prices = {"open": open_, "high": high, "low": low, "close": close}
    gone = rng.random(shape) < holes
    for values in prices.values():
        values[gone] = np.nan
        values[rng.random(shape) < holes / 8] = np.nan
    return market_of(prices)


def market_of(prices: dict[str, np.ndarray]) -> SweepMarket:
    """Return a market of given prices, (n_symbols, n_times)."""
    n_symbols, n_times = prices["close"].shape
    arrays = {name: np.ascontiguousarray(values, dtype=np.float64) for name, values in prices.items()}
    arrays["volume"] = np.where(np.isnan(arrays["close"]), np.nan, 1.0)
    symbols = tuple(f"C{k:02d}/USDT" for k in range(n_symbols))
    times = 1_700_000_000_000_000_000 // HOUR_NS * HOUR_NS + HOUR_NS * np.arange(n_times)
    return SweepMarket(symbols, times, **arrays, bars_per_year=8760.0)


def random_signals(seed: int, market: SweepMarket, rate: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Return random entries and exits."""
    rng = np.random.default_rng(seed)
    return rng.random(market.close.shape) < rate, rng.random(market.close.shape) < rate


def bars_of_symbol(market: SweepMarket, symbol: int) -> dict[str, list[float]]:
    """Return one symbol's bars as lists."""
    return {name: getattr(market, name)[symbol].tolist() for name in ("open", "high", "low", "close")}
