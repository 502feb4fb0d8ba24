"""The family that trades all symbols in one account: the best and, if wanted, the worst returns of the last bars."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from gwt_lab.backtest.sweep import streaming as s
from gwt_lab.backtest.sweep.families_base import Family, SweepMarket, SweepRules
from gwt_lab.backtest.sweep.fused import book_value
from gwt_lab.errors import ConfigError
from gwt_lab.kernels import kernel
from gwt_lab.market.fills import DELAY_BARS, account_value, mark_prices, trade_row

__all__ = ["BestReturns"]

_YEAR_NS = 365 * 86_400 * 10**9
_WINDOW, _TOP, _EVERY, _BOTTOM = range(4)


@kernel
def rank_row(now: np.ndarray, before: np.ndarray, top: int, bottom: int, weights: np.ndarray) -> None:
    """Write equal weights for the `top` best returns and negative ones for the `bottom` worst; the rest get 0.

    Parameters
    ----------
    now, before : ndarray of shape (n_symbols,)
        Closes; a symbol without both is not ranked.
    weights : ndarray of shape (n_symbols,)
        Written; all NaN (hold) where fewer than `top + bottom` symbols are ranked. Equal returns keep their order.
    """
    n, ranked = len(now), 0
    order = np.empty(n, dtype=np.int64)
    scores = np.empty(n)
    for j in range(n):
        score = now[j] / before[j]
        if score != score:
            continue
        place = ranked
        while place > 0 and scores[place - 1] < score:
            scores[place], order[place] = scores[place - 1], order[place - 1]
            place -= 1
        scores[place], order[place] = score, j
        ranked += 1
    if ranked < top + bottom:
        weights[:] = math.nan
        return
    weights[:] = 0.0
    side = 1.0 if bottom == 0 else 0.5
    for k in range(top):
        weights[order[k]] = side / top
    for k in range(bottom):
        weights[order[ranked - 1 - k]] = -side / bottom


@kernel
def simulate_rank(
    fill_prices: np.ndarray,
    close: np.ndarray,
    steps: np.ndarray,
    params: np.ndarray,
    delay: int,
    init_cash: float,
    rates: np.ndarray,
    edge_bars: np.ndarray,
    acc: np.ndarray,
    edges: np.ndarray,
) -> None:
    """Trade one account for every combination.

    Parameters
    ----------
    fill_prices, close : ndarray of shape (n_times, n_symbols)
        Prices of orders and of valuation.
    steps : ndarray of shape (n_times,), int64
        Number of each bar since 1970.
    params : ndarray of shape (n_combos, 4), int64
        Window, top, every, bottom.
    acc, edges : ndarray of shape (n_combos, N_ACC) and (n_combos, n_edges)
        Written.
    """
    n_times, n_symbols = close.shape
    fills, rules, weights = np.empty((n_symbols, 4)), np.zeros((n_symbols, 3)), np.empty(n_symbols)
    for c in range(len(params)):
        window, top, every, bottom = params[c]
        held, last = np.zeros(n_symbols), np.full(n_symbols, math.nan)
        sums, edge, cash = acc[c], 0, init_cash
        sums[:] = 0.0
        sums[s.N_BARS], sums[s.INIT_CASH], sums[s.VALUE], sums[s.PEAK] = n_times, cash, cash, -math.inf
        sums[s.TRADES] = sums[s.WINS] = sums[s.GROSS_PROFIT] = sums[s.GROSS_LOSS] = math.nan
        for i in range(n_times):
            decided = i - delay
            if decided >= window and steps[decided] % every == 0:
                rank_row(close[decided], close[decided - window], top, bottom, weights)
                cash, filled = trade_row(cash, held, weights, fill_prices[i], last, rates, rules, fills)
                for k in range(filled):
                    sums[s.TRADED] += abs(fills[k, 1]) * fills[k, 2]
                    sums[s.FEES] += fills[k, 3]
                sums[s.ORDERS] += filled
            mark_prices(last, fill_prices[i], close[i])
            worth = account_value(cash, held, last)
            book_value(sums, worth, np.any(held != 0.0))
            while edge < len(edge_bars) and edge_bars[edge] <= i:
                edges[c, edge] = worth
                edge += 1


class BestReturns(Family):
    """Cross-sectional rank: long the `top` best returns over `window` bars in equal weights, others none.

    With `bottom` above 0, half of the account is long the best and half short the `bottom` worst. Weights are set every
    `every` bars, counted from 1970, and held in between; filled as `Portfolio.from_weights` does, cash shared by all
    symbols. Where fewer symbols have a return than are wanted, the account holds what it has.
    """

    name = "xs_rank"
    portfolio = True
    defaults: ClassVar[Mapping[str, float]] = {"window": 168, "top": 3, "every": 24, "bottom": 0}
    whole = ("window", "top", "every")

    def _rules(self, params: Mapping[str, np.ndarray]) -> list[tuple[Any, str]]:
        bottom = params["bottom"]
        return [((bottom < 0) | (bottom != np.floor(bottom)), "bottom must be a whole number of symbols, 0 or more")]

    def lookback(self, params: Mapping[str, float]) -> int:
        """Return the window and the bar that it is measured from."""
        return int(params["window"]) + 1

    def weights(self, market: SweepMarket, **params: float) -> np.ndarray:
        """Return target weights of one combination, (n_symbols, n_times); NaN holds."""
        row = self._checked(market, self.matrix(params))[0]
        close = np.ascontiguousarray(market.close.T)
        weights = np.full(close.shape, np.nan)
        steps = self._steps(market)
        for i in range(row[_WINDOW], len(close)):
            if steps[i] % row[_EVERY] == 0:
                rank_row(close[i], close[i - row[_WINDOW]], row[_TOP], row[_BOTTOM], weights[i])
        return np.ascontiguousarray(weights.T)

    def accounts(
        self, market: SweepMarket, params: np.ndarray, rules: SweepRules, edge_bars: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return sums (n_combos, 1, N_ACC) and worth at the edges; sums of trades are NaN, for cash is shared.

        Raises
        ------
        ConfigError
            If more symbols are wanted than there are, or a rule is set that an account of weights does not know.
        """
        if rules.direction != "longonly" or rules.has_price_stops or rules.time_stop:
            raise ConfigError(f"{self.name} trades weights: direction and stops do not apply; leave them out")
        whole = self._checked(market, params)
        close = np.ascontiguousarray(market.close.T)
        fills = close if rules.price == "close" else np.ascontiguousarray(market.open.T)
        acc = np.empty((len(params), s.N_ACC))
        edges = np.empty((len(params), len(edge_bars)), dtype=np.float32)
        delay = DELAY_BARS[rules.price]
        simulate_rank(
            fills, close, self._steps(market), whole, delay, rules.init_cash, rules.rates, edge_bars, acc, edges
        )
        return acc[:, None], edges[:, None]

    def _steps(self, market: SweepMarket) -> np.ndarray:
        steps: np.ndarray = market.times_ns // round(_YEAR_NS / market.bars_per_year)
        return steps

    def _checked(self, market: SweepMarket, params: np.ndarray) -> np.ndarray:
        whole = params.astype(np.int64)
        wanted = int((whole[:, _TOP] + whole[:, _BOTTOM]).max(initial=0))
        if wanted > len(market.symbols):
            raise ConfigError(
                f"{self.name}: top and bottom must be at most the {len(market.symbols)} symbols there are, got {wanted}"
            )
        return whole
