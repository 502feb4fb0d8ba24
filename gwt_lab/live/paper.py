"""`PaperBroker`: an account that exists on paper, on the fill rule of the backtest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, ShapeError
from gwt_lab.live.journal import Journal
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.market.costs import CostModel
from gwt_lab.market.fills import account_value, fill_order, held_after, mark_prices, plan_orders
from gwt_lab.strategies.clock import Bar, iterate_bars

__all__ = ["PaperBroker"]


class PaperBroker:
    """Fill target weights at the next open, from bars that arrive one by one.

    Parameters
    ----------
    feed : Bars, or whatever `as_bars` takes
        What arrives; iterating over the broker yields its bars after they have been traded.
    init_cash : float
        Quote currency.
    costs : CostModel, optional
        Fees, slippage, lots.
    journal : Journal, optional
        Receives every intent before its fill, and every fill.
    run : str
        Goes into the order ids, so that two runs never share one.

    Notes
    -----
    Sizing, cash limit, price and fee are `market.fills`, the functions that the fused backtest calls: on equal bars
    and decisions both accounts are equal to the last bit.
    """

    def __init__(
        self,
        feed: Any,
        init_cash: float = 10_000.0,
        *,
        costs: CostModel | None = None,
        journal: Journal | None = None,
        run: str = "paper",
    ) -> None:
        if not np.isfinite(init_cash) or init_cash <= 0:
            raise ConfigError(f"init_cash must be above 0, got {init_cash}")
        self.feed: Bars = as_bars(feed)
        self.costs = costs or CostModel()
        if not self.costs.is_plain:
            raise ConfigError("the paper broker knows fees, slippage and lots; leave impact and fee_tiers out of costs")
        self.cash = float(init_cash)
        self.positions = np.zeros(self.feed.n_symbols)
        self._rates = self.costs.rates()
        self._rules = self.costs.rules(self.feed.symbols, self.feed.instruments)
        self._last = np.full(self.feed.n_symbols, np.nan)
        self._targets: np.ndarray | None = None
        self._journal = journal
        self._run = run
        self._fills: list[tuple[int, str, float, float, float, str]] = []

    def __iter__(self) -> Iterator[Bar]:
        for bar in iterate_bars(self.feed):
            self.on_bar(bar)
            yield bar

    # ------------------------------------------------------------------------------------------ orders
    def submit(self, weights: np.ndarray) -> None:
        """Take target weights, shape (n_symbols,), for the open of the next bar; NaN holds.

        Raises
        ------
        ShapeError
            If there is not one weight a symbol, or one is infinite.
        """
        targets = np.asarray(weights, dtype=np.float64)
        if targets.shape != self.positions.shape or np.isinf(targets).any():
            raise ShapeError(
                f"target weights must be {len(self.positions)} numbers or NaN, got shape {targets.shape}: {targets}"
            )
        self._targets = targets.copy()

    def on_bar(self, bar: Bar) -> None:
        """Fill what was submitted at this bar's open, then value the account at its close."""
        targets, self._targets = self._targets, None
        if targets is not None:
            self._trade(bar, targets)
        mark_prices(self._last, bar.open, bar.close)

    def _trade(self, bar: Bar, targets: np.ndarray) -> None:
        columns, amounts = plan_orders(self.cash, self.positions, targets, bar.open, self._last, self._rates)
        if not len(columns):
            return
        ids = [self._order_id(bar, column) for column in columns]
        if self._journal is not None:
            orders = [
                {"id": name, "symbol": self.feed.symbols[column], "amount": float(amount)}
                for name, column, amount in zip(ids, columns, amounts, strict=True)
            ]
            self._journal.write("intent", {"time": bar.time.isoformat(), "orders": orders}, durable=True)
        before = len(self._fills)
        for name, column, amount in zip(ids, columns, amounts, strict=True):
            self.cash, filled, price, fee = fill_order(
                self.cash, amount, bar.open[column], self._rates, self._rules[column]
            )
            if filled != 0.0:
                self.positions[column] = held_after(self.positions[column], filled)
                self._fills.append((bar.time_ns, self.feed.symbols[column], filled, price, fee, name))
        if self._journal is not None:
            fills = [
                {"id": name, "symbol": symbol, "amount": amount, "price": price, "fee": fee}
                for _, symbol, amount, price, fee, name in self._fills[before:]
            ]
            self._journal.write("fills", {"time": bar.time.isoformat(), "fills": fills, "cash": self.cash})

    def _order_id(self, bar: Bar, column: int) -> str:
        text = f"{self._run}|{self.feed.symbols[column]}|{bar.time_ns}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    # ------------------------------------------------------------------------------------------ account
    def value(self) -> float:
        """Return the account's worth at the last bar's close, quote currency."""
        return float(account_value(self.cash, self.positions, self._last))

    @property
    def fills(self) -> pd.DataFrame:
        """Fills so far: timestamp, symbol, side, amount, price, fees, id."""
        times, symbols, amounts, prices, fees, ids = zip(*self._fills, strict=True) if self._fills else ([],) * 6
        signed = np.array(amounts, dtype=np.float64)
        return pd.DataFrame(
            {
                "timestamp": pd.DatetimeIndex(np.array(times, dtype=np.int64), tz="UTC"),
                "symbol": np.array(symbols, dtype=object),
                "side": np.where(signed > 0, "buy", "sell"),
                "amount": np.abs(signed),
                "price": np.array(prices, dtype=np.float64),
                "fees": np.array(fees, dtype=np.float64),
                "id": np.array(ids, dtype=object),
            }
        )

    def __repr__(self) -> str:
        held = int(np.count_nonzero(self.positions))
        return (
            f"PaperBroker(worth {self.value():,.2f}, cash {self.cash:,.2f}, {held} positions, {len(self._fills)} fills)"
        )
