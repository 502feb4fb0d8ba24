"""From what users pass to a simulation: signals, orders, weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.allocation.signal_rules import rebalance_rows
from gwt_lab.backtest.inputs import (
    Layout,
    aligned_numbers,
    aligned_signals,
    bars_of,
    by_label,
    feed_of,
    floats,
    layout_of,
)
from gwt_lab.backtest.simulation import Simulation
from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.market.account import Feed, Plan
from gwt_lab.market.bars import Bars
from gwt_lab.market.orders import DIRECTION, LONG_ONLY, SHORT_ONLY
from gwt_lab.market.rules import FillRules, refuse_bad_stops
from gwt_lab.market.time import utc_index

__all__ = [
    "Setting",
    "aligned_weights",
    "events_simulation",
    "first_bars",
    "orders_simulation",
    "signals_simulation",
    "weights_simulation",
]

_NO_SIGNALS = np.empty((0, 0), dtype=np.uint8)
_NUMBERS = ("size", "sl_stop", "tp_stop", "limit")
_ALL_ROWS = np.empty(0, dtype=np.bool_)
_LONG, _LEAVE_LONG, _SHORT, _LEAVE_SHORT = 1, 2, 4, 8


@dataclass(frozen=True, eq=False)
class Setting:
    """What an account starts with and meets, apart from decisions and rules.

    Parameters
    ----------
    price : str or DataFrame
        A word of `FillRules.price`, or prices.
    init_cash : float or array
        Quote currency of each account.
    funding : DataFrame, Series or None
        Rates of perpetuals at the times they are due.
    group_by : level, labels, True or None
        What columns share cash by; None shares nothing.
    """

    price: Any
    init_cash: Any
    funding: Any = None
    group_by: Any = None

    @property
    def shares(self) -> bool:
        """Whether columns share cash."""
        return self.group_by is not None and self.group_by is not False


def signals_simulation(
    bars: Any,
    signals: dict[str, Any],
    numbers: dict[str, Any],
    rules: FillRules,
    setting: Setting,
) -> Simulation:
    """Return the simulation of entries and exits; see `Portfolio.from_signals`."""
    _refuse_lone_trail(rules, numbers)
    market = bars_of(bars, setting.price)
    given = {name: aligned_signals(data, market, name) for name, data in signals.items() if data is not None}
    if not given:
        raise ConfigError("from_signals needs entries (and exits), or short_entries; got none")
    columns = _common_columns(given)
    layout, order = layout_of(columns, market, share=setting.shares, group_by=setting.group_by)
    codes = _signal_codes({name: values for name, (values, _) in given.items()}, rules)
    if not (order == np.arange(len(order))).all():
        codes = np.ascontiguousarray(codes[:, order])
    _refuse_percent_reversal(rules, codes)
    return _simulation(market, codes, _aligned(numbers, market, columns, order), rules, layout, setting)


def orders_simulation(
    bars: Any,
    numbers: dict[str, Any],
    rules: FillRules,
    setting: Setting,
) -> Simulation:
    """Return the simulation of orders; see `Portfolio.from_orders`."""
    _refuse_lone_trail(rules, numbers)
    market = bars_of(bars, setting.price)
    size = numbers["size"]
    columns = market.close.columns
    if isinstance(size, pd.DataFrame) and (market.n_symbols > 1 or size.shape[1] > 1 or size.columns.nlevels > 1):
        columns = size.columns
    layout, order = layout_of(columns, market, share=setting.shares, group_by=setting.group_by)
    aligned = _aligned(numbers, market, columns, order)
    aligned["size"] = np.ascontiguousarray(np.broadcast_to(aligned["size"], (market.n_times, len(columns))))
    return _simulation(market, None, aligned, rules, layout, setting)


def events_simulation(bars: Any, rules: FillRules, setting: Setting) -> Simulation:
    """Return a simulation without decisions, for an order function to write into; see `Portfolio.from_order_func`."""
    market = bars_of(bars, setting.price)
    layout, _ = layout_of(market.close.columns, market, share=True)
    sized = "target" in rules.size_type.lower()
    size, sl_stop, tp_stop, limit = (np.full(market.shape, np.nan) for _ in range(4))
    codes = None if sized else np.zeros(market.shape, dtype=np.uint8)
    given = {"size": size, "sl_stop": sl_stop, "tp_stop": tp_stop, "limit": limit}
    simulation = _simulation(market, codes, given, rules, layout, setting)
    # the function writes into these
    plan = simulation.plan._replace(size=size, sl_stop=sl_stop, tp_stop=tp_stop, limit=limit)
    return replace(simulation, plan=plan)


def weights_simulation(
    bars: Any, weights: Any, rules: FillRules, setting: Setting, *, rebalance: float | None
) -> Simulation:
    """Return the simulation of target weights; see `Portfolio.from_weights`."""
    if rules.size_type not in ("targetpercent", "targetweight"):
        raise ConfigError(
            f"from_weights takes shares of the account, not size_type={rules.size_type!r}: use from_orders"
        )
    market = bars_of(bars, setting.price)
    targets = aligned_weights(weights, market)
    number = isinstance(rebalance, (int, float, np.number)) and not isinstance(rebalance, bool)
    if rebalance is not None and not (number and 0 < rebalance < np.inf):
        raise ConfigError(f"rebalance must be a whole number of bars or a drift between 0 and 1, got {rebalance!r}")
    active, drift = _ALL_ROWS, 0.0
    if rebalance is not None and rebalance >= 1:
        if rebalance != int(rebalance):
            raise ConfigError(f"rebalance must be a whole number of bars or a drift below 1, got {rebalance!r}")
        active = rebalance_rows(market.index, market.timeframe, int(rebalance))
    elif rebalance is not None:
        drift, targets = float(rebalance), targets.ffill()
    layout, order = layout_of(market.close.columns, market, share=True)
    # pandas copies what is shared before it writes, so that later changes of the user's frame are not seen here
    targets = targets.copy(deep=False)
    size = targets.to_numpy(dtype=np.float64)
    aligned = _aligned({}, market, layout.columns, order) | {"size": size}
    simulation = _simulation(market, None, aligned, rules, layout, setting)
    rows = np.flatnonzero(active) if len(active) else np.arange(market.n_times)
    notes = simulation.notes + _weight_notes(size, rows, market.index, rules.leverage)
    plan = simulation.plan._replace(drift=drift, active=active)
    return replace(simulation, plan=plan, notes=notes, weights=targets)


def _weight_notes(weights: np.ndarray, rows: np.ndarray, index: pd.DatetimeIndex, leverage: float) -> tuple[str, ...]:
    """Return notes on weights that add up to more than the account can pay, or that never trade.

    Proceeds of shorts pay unless positions are borrowed.

    Raises
    ------
    DataError
        If one is infinite.
    """
    counted = weights[rows] if len(rows) < len(weights) else weights
    counted = counted if leverage == 1.0 else np.abs(counted)
    total = counted @ np.ones(weights.shape[1])
    partly = np.flatnonzero(np.isnan(total))
    total[partly] = np.nansum(counted[partly], axis=1)
    if not np.isfinite(total).all():
        raise DataError("weights must be numbers or NaN (hold), got an infinite one")
    heavy = total > leverage * (1.0 + 1e-6)
    if len(rows) < len(weights) and np.isnan(counted).all() and not np.isnan(weights).all():
        first = f"the first at {index[rows[0]]}" if len(rows) else "none among these bars"
        return (
            f"WARNING: no weight lies at a bar that trades ({first}; they are counted from 1970): nothing is traded",
        )
    if not heavy.any():
        return ()
    most = int(np.argmax(total))
    return (
        f"WARNING: weights add up to more than {100 * leverage:g} % of the account in {heavy.sum():,} rows (to "
        f"{100 * total[most]:.4g} % at {index[rows[most]]}); what the cash cannot pay is not bought",
    )


def _refuse_lone_trail(rules: FillRules, numbers: dict[str, Any]) -> None:
    if rules.sl_trail and numbers.get("sl_stop") is None:
        raise ConfigError(
            "sl_trail=True trails the stop loss at the distance sl_stop, which is not given: add sl_stop=0.05"
        )


def _aligned(numbers: dict[str, Any], market: Bars, columns: pd.Index, order: np.ndarray) -> dict[str, np.ndarray]:
    """Return sizes, stops and limits as arrays; read by the columns as they came, put in the order of the layout."""
    found = {name: aligned_numbers(numbers.get(name), market, columns, name) for name in _NUMBERS}
    if not (order == np.arange(len(order))).all():
        found = {name: x[:, order] if x.shape[1] > 1 else x for name, x in found.items()}
    return {name: np.ascontiguousarray(x) for name, x in found.items()}


def _simulation(
    market: Bars,
    codes: np.ndarray | None,
    numbers: dict[str, np.ndarray],
    rules: FillRules,
    layout: Layout,
    setting: Setting,
) -> Simulation:
    arrays = {name: numbers[name] for name in _NUMBERS[1:]}
    shorts = rules.direction != "longonly" or (codes is not None and bool((codes & _SHORT).any()))
    for name, values in arrays.items():
        refuse_bad_stops(name, values, shorts=shorts)
    size = numbers["size"]
    if codes is not None and (size < 0).any():
        raise ConfigError("size must not be negative: signals say the direction (short_entries, direction='both')")
    feed = feed_of(market, setting.price, setting.funding)
    plan = Plan(
        signal=_NO_SIGNALS if codes is None else codes,
        size=_readonly(size),
        reference=feed.close,
        drift=0.0,
        active=_ALL_ROWS,
        **{name: _readonly(values) for name, values in arrays.items()},
    )
    notes = _notes(feed, market, arrays)
    if rules.leverage == 1 and shorts:
        notes = ("no interest on shorts", *notes)
    return Simulation(market, feed, plan, rules, layout, _cash_of(setting.init_cash, layout), notes)


def _readonly(values: np.ndarray) -> np.ndarray:
    view = values.view()
    view.flags.writeable = False
    return view


def _cash_of(init_cash: Any, layout: Layout) -> np.ndarray:
    labelled = by_label(init_cash, layout.accounts, "init_cash")
    try:
        cash = np.asarray(labelled, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"init_cash must be a number of quote currency, got {init_cash!r}") from None
    if cash.ndim == 0:
        cash = np.full(len(layout.accounts), float(cash))
    if cash.shape != (len(layout.accounts),):
        raise ShapeError(f"init_cash must be one number or one an account ({len(layout.accounts)}), got {cash.shape}")
    if not (np.isfinite(cash).all() and (cash > 0).all()):
        raise ConfigError(f"init_cash must be above 0 and finite, got {cash.min()}")
    return cash


def _notes(feed: Feed, market: Bars, arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Return what else to know; names in braces are told by `Assumptions` as the rules are."""
    notes = []
    if any(not np.isnan(arrays[name]).all() for name in ("sl_stop", "tp_stop")):
        notes.append("stops fill {stop_exit_price}; a bar that holds both counts as {ambiguity}")
    if not np.isnan(arrays["limit"]).all():
        notes.append("entries rest at their limits for {limit_bars} bars")
    if feed.funding_open.any() or feed.funding_inside.any():
        notes.append("funding is paid at its times")
    ended = [market.symbols[j] for j in np.flatnonzero(feed.last_row >= 0)]
    if ended:
        notes.append(f"{', '.join(ended[:5])} end before the bars do and are {{delisting}}")
    return tuple(notes)


# ------------------------------------------------------------------------------------------------ signals
def _common_columns(given: dict[str, tuple[np.ndarray, pd.Index]]) -> pd.Index:
    (first, (_, columns)), *others = given.items()
    for name, (_, labels) in others:
        if not labels.equals(columns):
            raise ShapeError(
                f"{name} must have the columns of {first} ({len(columns)}: {list(columns[:4])}), got {len(labels)}: "
                f"{list(labels[:4])}"
            )
    return columns


def _signal_codes(signals: dict[str, np.ndarray], rules: FillRules) -> np.ndarray:
    """Return the bits of every signal, uint8 of shape (n_times, n_columns)."""
    direction = DIRECTION[rules.direction.lower()]
    if direction == SHORT_ONLY:
        bits = {"entries": _SHORT, "exits": _LEAVE_SHORT, "short_entries": _SHORT, "short_exits": _LEAVE_SHORT}
    elif direction == LONG_ONLY:
        bits = {"entries": _LONG, "exits": _LEAVE_LONG, "short_entries": _SHORT, "short_exits": _LEAVE_SHORT}
    else:
        leave = _LEAVE_LONG if "short_entries" in signals else _SHORT
        bits = {"entries": _LONG, "exits": leave, "short_entries": _SHORT, "short_exits": _LEAVE_SHORT}
    codes = np.zeros(next(iter(signals.values())).shape, dtype=np.uint8)
    for name, values in signals.items():
        codes |= values.view(np.uint8) * np.uint8(bits[name])
    return codes


def _refuse_percent_reversal(rules: FillRules, codes: np.ndarray) -> None:
    """Refuse a share of the cash as the size of a reversal: an opposite entry that does not reduce."""
    mode, reduces = rules.upon_opposite_entry, rules.accumulate in (True, "both", "removeonly")
    reverses = mode == "reverse" or (mode == "reversereduce" and not reduces)
    if rules.size_type == "percent" and reverses and (codes & _LONG).any() and (codes & _SHORT).any():
        raise ConfigError(
            "size_type='percent' cannot reverse a position: use 'targetpercent', or upon_opposite_entry='close'"
        )


def first_bars(bars: Any, price: Any) -> pd.DataFrame:
    """Return entries at the first bar of each symbol from which an order can be filled."""
    market = bars_of(bars, price)
    given = not isinstance(price, str)
    delay = FillRules(price="given" if given else price).delay
    known = ~np.isnan(feed_of(market, price).fill)
    entries = np.zeros(market.shape, dtype=bool)
    for j in range(market.n_symbols):
        rows = np.flatnonzero(known[:, j])
        rows = rows[rows >= delay]
        if len(rows):
            entries[rows[0] - delay, j] = True
    return pd.DataFrame(entries, index=market.index, columns=market.close.columns)


# ------------------------------------------------------------------------------------------------ weights
def _by_symbol(weights: pd.DataFrame, bars: Bars) -> pd.DataFrame:
    symbols, known = bars.symbols, bars.close.columns
    missing = [name for name in symbols if name not in weights.columns]
    extra = [str(name) for name in weights.columns if name not in known]
    if missing or extra or weights.columns.has_duplicates:
        raise ShapeError(
            f"weights must have one column for each of {bars.n_symbols} symbols, got {len(weights.columns)}: missing "
            f"{', '.join(missing) or 'none'}, unknown {', '.join(extra) or 'none'}; "
            "use bars.select or add a column of zeros"
        )
    return weights[symbols]


def aligned_weights(weights: Any, bars: Bars) -> pd.DataFrame:
    """Return weights with the bars' index and columns; missing times hold (NaN).

    Raises
    ------
    ShapeError
        If symbols or times do not match.
    """
    if not isinstance(weights, pd.DataFrame):
        raise ShapeError(
            f"weights must be a DataFrame with one column a symbol and the bars' times as index, got "
            f"{type(weights).__name__}"
        )
    frame = weights if weights.columns.equals(bars.close.columns) else _by_symbol(weights, bars)
    if not all(kind == np.float64 for kind in frame.dtypes):
        frame = pd.DataFrame(floats(frame, "weights"), frame.index, frame.columns)
    if not frame.index.equals(bars.index):
        frame = frame.set_axis(utc_index(frame.index, name="the weights' index"))
        foreign = frame.index.difference(bars.index)
        if len(foreign) or frame.index.has_duplicates:
            first = foreign[0] if len(foreign) else frame.index[frame.index.duplicated()][0]
            raise ShapeError(f"weights must lie at the bars' open times, each once; {first} does not")
        frame = frame.reindex(bars.index)
    return frame
