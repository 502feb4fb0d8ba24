"""`Portfolio`: a backtested account, or many, built from signals, orders or target weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gwt_lab.backtest.assumptions import Assumptions, below_zero, rules_of
from gwt_lab.backtest.build import (
    Setting,
    events_simulation,
    first_bars,
    orders_simulation,
    signals_simulation,
    weights_simulation,
)
from gwt_lab.backtest.events import run_order_func
from gwt_lab.backtest.results import Results
from gwt_lab.backtest.simulation import Simulation
from gwt_lab.errors import ConfigError
from gwt_lab.market.costs import CostModel

__all__ = ["Assumptions", "Portfolio"]


class Portfolio(Results):
    """A backtested account, or several side by side: its path, its orders and what they rest on.

    Numbers of one account are floats and Series; of several, Series by account and DataFrames with a column each.
    ``pf["BTC/USDT"]`` picks an account.

    Notes
    -----
    Build one with :meth:`from_signals`, :meth:`from_orders`, :meth:`from_weights` or :meth:`from_holding`.
    """

    # ------------------------------------------------------------------------------------------ build
    @classmethod
    def from_signals(
        cls,
        bars: Any,
        entries: Any = None,
        exits: Any = None,
        *,
        short_entries: Any = None,
        short_exits: Any = None,
        size: Any = np.inf,
        price: Any = "next_open",
        fees: float = 0.001,
        slippage: float = 0.0005,
        init_cash: float = 10_000.0,
        sl_stop: Any = None,
        tp_stop: Any = None,
        limit: Any = None,
        funding: Any = None,
        cash_sharing: bool = False,
        group_by: Any = None,
        costs: CostModel | None = None,
        **rules: Any,
    ) -> Portfolio:
        """Trade entries and exits.

        Parameters
        ----------
        bars : Bars, or whatever `as_bars` takes
            Prices.
        entries, exits : DataFrame, Series or ndarray of shape (n_times, n_columns), bool
            Decided at each row's close. Columns are symbols, or (parameters..., symbol). With ``direction="both"`` an
            exit is a short entry.
        short_entries, short_exits : like `entries`, optional
            Signals of the short side.
        size : float, Series, ndarray or DataFrame
            In units of `size_type`; infinite is all that can be.
        price : {"next_open", "close", "next_close"} or DataFrame
            Filled at the next bar's open, the deciding bar's close, the next bar's close, or at given prices in the
            deciding bar.
        fees, slippage : float
            Fractions of the traded value and of the price.
        init_cash : float
            Quote currency of each account, above 0.
        sl_stop, tp_stop : float, Series, ndarray or DataFrame, optional
            Stop loss and take profit as fractions of the order's price before slippage.
        limit : float, Series, ndarray or DataFrame, optional
            Entries rest this fraction below (short: above) the deciding close, for `limit_bars` bars.
        funding : DataFrame or Series, optional
            Rates of perpetuals at the times they are due; a positive rate is paid by longs to shorts.
        cash_sharing : bool
            Whether columns trade from one account: those of equal parameters.
        group_by : level, list of labels, optional
            What columns share cash by.
        costs : CostModel, optional
            Replaces fees and slippage.
        **rules
            Everything else of :class:`~gwt_lab.market.rules.FillRules`: `direction`, `size_type`, `accumulate`,
            `sl_trail`, `time_stop`, `limit_bars`, `stop_exit_price`, `call_seq`, `upon_opposite_entry`, `leverage`,
            `maintenance_margin`, `delisting`, `ambiguity` (here "band" as well: see :meth:`band`), ...; and
            `fixed_fees`, `maker_fees`, `impact`, `fee_tiers` of :class:`~gwt_lab.market.costs.CostModel`.

        Raises
        ------
        ShapeError
            If signals do not match the bars.
        DataError
            If signals are no bools, or a price is not above 0 and finite.
        ConfigError
            If a setting is unknown or out of range.

        Notes
        -----
        Where the semantics coincide the result equals vectorbt's to 1e-9: ``price="close"`` is its default price, and
        ``price="next_open"`` its signals shifted by one bar with ``price=open``.
        """
        settings = rules_of(rules, price=price, fees=fees, slippage=slippage, costs=costs)
        simulation = signals_simulation(
            bars,
            {"entries": entries, "exits": exits, "short_entries": short_entries, "short_exits": short_exits},
            {"size": size, "sl_stop": sl_stop, "tp_stop": tp_stop, "limit": limit},
            settings,
            Setting(price, init_cash, funding, group_by if group_by is not None else cash_sharing or None),
        )
        return cls._of(simulation, band=rules.get("ambiguity") == "band")

    @classmethod
    def from_orders(
        cls,
        bars: Any,
        size: Any,
        *,
        size_type: str = "amount",
        direction: str = "both",
        price: Any = "next_open",
        fees: float = 0.001,
        slippage: float = 0.0005,
        init_cash: float = 10_000.0,
        sl_stop: Any = None,
        tp_stop: Any = None,
        limit: Any = None,
        funding: Any = None,
        cash_sharing: bool = False,
        group_by: Any = None,
        costs: CostModel | None = None,
        **rules: Any,
    ) -> Portfolio:
        """Trade orders of given sizes; NaN is no order, a negative size sells.

        Parameters
        ----------
        size : DataFrame, Series or ndarray of shape (n_times, n_columns)
            Decided at each row's close, in units of `size_type`.
        size_type : str
            "amount", "value", "percent", "targetamount", "targetvalue" or "targetpercent" ("targetweight").
        direction : {"both", "longonly", "shortonly"}
            What positions may be.

        Notes
        -----
        The other parameters are those of :meth:`from_signals`.
        """
        settings = rules_of(
            {**rules, "size_type": size_type, "direction": direction},
            price=price,
            fees=fees,
            slippage=slippage,
            costs=costs,
        )
        simulation = orders_simulation(
            bars,
            {"size": size, "sl_stop": sl_stop, "tp_stop": tp_stop, "limit": limit},
            settings,
            Setting(price, init_cash, funding, group_by if group_by is not None else cash_sharing or None),
        )
        return cls._of(simulation, band=rules.get("ambiguity") == "band")

    @classmethod
    def from_weights(
        cls,
        bars: Any,
        weights: Any,
        *,
        fees: float = 0.001,
        slippage: float = 0.0005,
        init_cash: float = 10_000.0,
        price: Any = "next_open",
        rebalance: float | None = None,
        funding: Any = None,
        costs: CostModel | None = None,
        **rules: Any,
    ) -> Portfolio:
        """Trade one account to target weights.

        Parameters
        ----------
        bars : Bars, or whatever `as_bars` takes
            Prices.
        weights : DataFrame of shape (n_times, n_symbols)
            Share of the account's worth that each symbol shall have, decided at each row's close. NaN holds what is
            there; a time that is not in the index holds too. Negative is short; the sum of absolutes is not limited
            (except by `leverage` above 1), but a buy never spends more cash than there is.
        rebalance : int or float, optional
            A whole number trades only every so many bars, counted from 1970. A fraction below 1 trades when a symbol's
            share of the account has drifted by that much from its target. None trades at every row with a weight.

        Raises
        ------
        ShapeError
            If a symbol of the bars has no column of weights, or weights lie at times the bars do not have.
        DataError
            If a weight is infinite or a price is not positive.
        ConfigError
            If a setting is out of range.

        Notes
        -----
        The other parameters are those of :meth:`from_signals`. Order sizes, the cut to the cash and the order of
        execution are the rule in `market.fills`. They equal vectorbt's ``from_orders(size_type="targetpercent",
        cash_sharing=True, call_seq="auto")`` on the same prices.
        """
        given = {"size_type": "targetpercent", "direction": "both", "call_seq": "auto"} | rules
        settings = rules_of(given, price=price, fees=fees, slippage=slippage, costs=costs)
        simulation = weights_simulation(
            bars, weights, settings, Setting(price, init_cash, funding), rebalance=rebalance
        )
        return cls._of(simulation, rebalance=rebalance, band=given.get("ambiguity") == "band", keep_fills=False)

    @classmethod
    def from_holding(cls, bars: Any, **settings: Any) -> Portfolio:
        """Buy with all cash at the first decision and hold; settings as in :meth:`from_signals`."""
        decided = sorted({"entries", "exits", "short_entries", "short_exits"} & set(settings))
        if decided:
            raise ConfigError(f"from_holding decides for itself: leave {', '.join(decided)} away, or use from_signals")
        return cls.from_signals(bars, first_bars(bars, settings.get("price", "next_open")), None, **settings)

    @classmethod
    def from_order_func(
        cls,
        bars: Any,
        order_func: Callable[..., Any],
        *args: Any,
        size_type: str = "amount",
        direction: str = "longonly",
        price: Any = "next_open",
        fees: float = 0.001,
        slippage: float = 0.0005,
        init_cash: float = 10_000.0,
        funding: Any = None,
        costs: CostModel | None = None,
        **rules: Any,
    ) -> Portfolio:
        """Let a Python function decide at the close of every bar.

        Parameters
        ----------
        order_func : callable
            Called as ``order_func(c, *args)`` with a :class:`~gwt_lab.backtest.events.Context`: it reads ``c.close``,
            ``c.position``, ``c.value``, ``c.last(20)``, ... and calls ``c.buy(size)``, ``c.sell(size)``, ``c.exit()``,
            or ``c.order(size)`` with a target `size_type`. Stops and limits go with the order:
            ``c.buy(sl_stop=0.02)``.
        *args
            Handed to the function.

        Notes
        -----
        All symbols trade from one account. The other parameters are those of :meth:`from_signals`. Buys and sales add
        up (``accumulate=True``) unless told otherwise. The function sees closed bars alone.
        """
        given = {"size_type": size_type, "direction": direction, "accumulate": True} | rules
        settings = rules_of(given, price=price, fees=fees, slippage=slippage, costs=costs)
        simulation = events_simulation(bars, settings, Setting(price, init_cash, funding))
        run_order_func(simulation, order_func, args)
        return cls._of(simulation, band=given.get("ambiguity") == "band")

    @classmethod
    def _of(
        cls, simulation: Simulation, *, rebalance: float | None = None, band: bool = False, keep_fills: bool = True
    ) -> Portfolio:
        layout, paths = simulation.layout, simulation.run(keep_fills=keep_fills)
        shared = len(layout.columns) > len(layout.accounts) or simulation.is_plain_weights
        least, most = float(simulation.init_cash.min()), float(simulation.init_cash.max())
        assumed = Assumptions(
            simulation.rules,
            least if least == most else (least, most),
            shared=shared,
            rebalance=rebalance,
            notes=simulation.notes + below_zero(paths.value, simulation.bars.index),
            band=band,
            weights=shared and len(simulation.plan.signal) == 0 and "target" in simulation.rules.size_type,
        )
        return cls(simulation, paths, assumed)
