"""Why nothing was traded: what kept each decision from being filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gwt_lab.market import orders as words
from gwt_lab.market.orders import ACCUMULATION, CONFLICT, DIR_CONFLICT, OPPOSITE_ENTRY, SIZE_TYPE, code_of

if TYPE_CHECKING:
    from gwt_lab.backtest.results import Results

__all__ = ["REASONS", "WhyNoTrades", "why_no_trades"]

NOTHING, LAST_BAR, NO_PRICE, BOTH_SIDES, ENTRY_AND_EXIT, SAME_SIDE, OTHER_SIDE = range(7)
STOPPED, ZERO_SIZE, AT_TARGET, NOTHING_TO_SELL, RUINED, NEVER_REACHED, TOO_SMALL, NO_CASH, OTHER = range(7, 16)
LOST_EXIT = 16

# in the order in which they are asked: a decision is counted under the first that holds
REASONS = {
    NOTHING: "no entry signal or order at all",
    LAST_BAR: "decided in the last bar, there is no next one to be filled in",
    NO_PRICE: "no price in the bar in which it would be filled",
    BOTH_SIDES: "a long and a short entry in the same bar cancel each other",
    ENTRY_AND_EXIT: "an entry and an exit in the same bar cancel each other",
    SAME_SIDE: "already in the position",
    OTHER_SIDE: "an opposite position was open, and upon_opposite_entry does not reverse it",
    STOPPED: "the column was stopped out in the same bar",
    ZERO_SIZE: "the size is zero or missing",
    AT_TARGET: "already at the target, or nearer to it than the drift",
    NOTHING_TO_SELL: "nothing is held that could be sold (bought back)",
    RUINED: "the account is worth nothing",
    NEVER_REACHED: "the limit was never reached while the order rested",
    TOO_SMALL: "below the venue's lot or minimum",
    NO_CASH: "no cash or margin is left",
    OTHER: "the order could not be filled in any part",
    LOST_EXIT: "an exit found no price in its bar, or could not be paid: the position stayed",
}


@dataclass(frozen=True, eq=False, repr=False)
class WhyNoTrades:
    """What kept decisions from being filled.

    Parameters
    ----------
    table : DataFrame
        One row a column and reason: column, reason, count, first (the time of the first decision, NaT if there was
        none).
    n_decisions, n_filled : int
        Entries (or orders) decided, and how many of them led to a fill.
    n_lost_exits : int
        Exits of open positions that found no price, so that the position stayed.
    """

    table: pd.DataFrame
    n_decisions: int
    n_filled: int
    n_lost_exits: int = 0

    @property
    def sentence(self) -> str:
        """The main reason in plain words, and a warning of exits that were lost."""
        if not self.n_lost_exits:
            return self._entries
        exits = "1 exit" if self.n_lost_exits == 1 else f"{self.n_lost_exits:,} exits"
        return f"{self._entries} {exits} could not be filled, and the position stayed open."

    @property
    def _entries(self) -> str:
        what = f"{self.n_filled:,} of {self.n_decisions:,} entries and orders were filled"
        if not self.n_decisions:
            return "Nothing was traded because there is no entry signal or order at all."
        if self.n_filled == self.n_decisions:
            return f"All {self.n_decisions:,} entries and orders were filled."
        missed = (
            self.table[(self.table["count"] > 0) & (self.table["reason"] != REASONS[LOST_EXIT])]
            .groupby("reason", sort=False)["count"]
            .sum()
        )
        main, count = missed.idxmax(), int(missed.max())
        return f"{what}; most of the others ({count:,}) were not because: {main}."

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"{self.sentence}\n{self.table.to_string(max_rows=40)}"

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, table_html

        rows = [[str(value) for value in row] for row in self.table.head(40).itertuples(index=False)]
        return card(self.sentence, table_html(list(self.table.columns), rows))


@dataclass(frozen=True, eq=False)
class _Decisions:
    """Entries or orders that are to be explained, one element each."""

    row: np.ndarray  # decided
    at: np.ndarray  # filled, if at all; n_times where there is no such bar
    column: np.ndarray
    size: np.ndarray
    side: np.ndarray  # 1 buys, -1 sells, 0 a target
    held: np.ndarray  # before the order
    filled: np.ndarray


def why_no_trades(result: Results) -> WhyNoTrades:
    """Return what kept decisions from being filled, by column and reason.

    Parameters
    ----------
    result : Portfolio
        One account or several.

    Notes
    -----
    Every entry (with signals) or order (with sizes) is counted once, under the first reason of `REASONS` that holds.
    Exits without a position are no riddle and are not counted; exits of an open position that found no price are, in
    rows of their own.
    """
    decided = _decisions(result)
    reason = _reasons(result, decided)
    labels = list(result.columns)
    rows = []
    missed = ~decided.filled
    told = pd.DataFrame({"column": decided.column[missed], "reason": reason[missed], "row": decided.row[missed]})
    of_column: dict[int, list[Any]] = {int(column): [] for column in np.unique(decided.column)}
    for (column, code), found in told.groupby(["column", "reason"])["row"].agg(["size", "min"]).iterrows():
        of_column[column].append((labels[column], REASONS[code], int(found["size"]), result.bars.index[found["min"]]))
    for column, label in enumerate(labels):
        rows += of_column.get(column, [(label, REASONS[NOTHING], 0, pd.NaT)])
    lost_row, lost_column = _lost_exits(result)
    for column in np.unique(lost_column):
        here = lost_row[lost_column == column]
        rows.append((labels[column], REASONS[LOST_EXIT], len(here), result.bars.index[here.min()]))
    table = pd.DataFrame(rows, columns=["column", "reason", "count", "first"])
    # of no rows pandas would not know the types
    table = table.astype({"column": object, "reason": object, "count": np.int64})
    table["first"] = pd.to_datetime(table["first"], utc=True)
    return WhyNoTrades(table, len(decided.row), int(decided.filled.sum()), len(lost_row))


def _lost_exits(result: Results) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of exits that were decided in a position and filled in no part."""
    simulation = result.simulation
    plan, delay, n_times = simulation.plan, simulation.rules.delay, result.bars.n_times
    if not len(plan.signal):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    row, column = np.nonzero(plan.signal & (2 | 8))
    at = row + delay
    row, column, at = row[at < n_times], column[at < n_times], at[at < n_times]
    bits, held = plan.signal[row, column], _held_before(result, at, column)
    leaves = ((bits & 2 > 0) & (held > 0)) | ((bits & 8 > 0) & (held < 0))
    unpriced = np.isnan(simulation.feed.fill[at, simulation.layout.symbol_of[column]])
    # a short may lack the cash to be bought back, a small position the venue's least amount
    enters = ((held > 0) & (bits & 1 > 0)) | ((held < 0) & (bits & 4 > 0))
    stuck = (result.amounts[at, column] == held) & ~enters
    lost = leaves & (unpriced | stuck)
    return row[lost], column[lost]


# ------------------------------------------------------------------------------------------------ what was decided
def _decisions(result: Results) -> _Decisions:
    simulation = result.simulation
    plan, rules = simulation.plan, simulation.rules
    shape = (result.bars.n_times, len(result.columns))
    if len(plan.signal):
        row, column = np.nonzero((plan.signal & (1 | 4)) > 0)
        bits = plan.signal[row, column]
        side = np.where(bits & 1, 1.0, -1.0)
    else:
        row, column = np.nonzero(np.broadcast_to(~np.isnan(plan.size), shape))
        side = np.zeros(len(row))
    size = np.broadcast_to(plan.size, shape)[row, column]
    if not len(plan.signal):
        flips = -1.0 if rules.direction == "shortonly" else 1.0
        target = code_of(SIZE_TYPE, "size_type", rules.size_type) >= words.TARGET_AMOUNT
        side = np.zeros(len(row)) if target else np.sign(size) * flips
    at = np.minimum(row + rules.delay, shape[0])
    return _Decisions(row, at, column, size, side, _held_before(result, at, column), _filled(result, at, column, side))


def _cells(result: Results, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    return np.asarray(row.astype(np.int64) * len(result.columns) + column.astype(np.int64))


def _held_before(result: Results, at: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return what was held just before the orders of a bar."""
    fills = result.fills
    # at the open only time stops come before the orders; at the close everything inside the bar does
    earlier = (words.TIME_STOP,) if result.simulation.rules.price == "next_open" else _INSIDE
    before = fills[np.isin(fills[:, 5], earlier)]
    held = np.where(at > 0, result.amounts[np.clip(at - 1, 0, None), column], 0.0)
    cells, places = np.unique(_cells(result, before[:, 0], before[:, 1]), return_inverse=True)
    change = np.bincount(places, before[:, 2], minlength=len(cells))
    place = np.searchsorted(cells, _cells(result, at, column))
    known = np.append(cells, -1)[np.minimum(place, len(cells))] == _cells(result, at, column)
    held = held + np.where(known, np.append(change, 0.0)[np.minimum(place, len(cells))], 0.0)
    return np.where(np.abs(held) < 1e-12, 0.0, held)


_INSIDE = (words.STOP_LOSS, words.TAKE_PROFIT, words.TRAILING, words.TIME_STOP, words.LIQUIDATION, words.LIMIT)


def _filled(result: Results, at: np.ndarray, column: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return whether an order of the bar was filled on its side, or its limit while it rested."""
    fills, shape = result.fills, (result.bars.n_times + 1, len(result.columns))
    filled = np.zeros(len(at), dtype=bool)
    for sign in (1.0, -1.0):
        own = fills[fills[:, 2] * sign > 0.0]
        done = np.zeros(shape, dtype=bool)
        orders = own[own[:, 5] == words.ORDER, :2].astype(np.int64)
        done[orders[:, 0], orders[:, 1]] = True
        filled |= done[at, column] & (side * sign >= 0.0)
        filled[_rested(result, own[own[:, 5] == words.LIMIT], at, column, side * sign >= 0.0)] = True
    return filled


def _rested(result: Results, fills: np.ndarray, at: np.ndarray, column: np.ndarray, mine: np.ndarray) -> np.ndarray:
    """Return which decisions the fills at a limit are of: the last one before each, since a new one takes its place."""
    rules, own = result.simulation.rules, np.flatnonzero(mine)
    if not len(fills) or not len(own):
        return own[:0]
    n_times = result.bars.n_times + 1
    keys = column[own].astype(np.int64) * n_times + at[own]
    order = np.argsort(keys, kind="stable")
    row, of = fills[:, 0].astype(np.int64), fills[:, 1].astype(np.int64)
    last = own[order[np.searchsorted(keys[order], of * n_times + row, side="right") - 1]]
    rests = rules.limit_bars + (rules.price != "next_open")
    waited = row - at[last]
    return np.asarray(last[(column[last] == of) & (waited >= 0) & (waited < rests)])


# ------------------------------------------------------------------------------------------------ why not
def _reasons(result: Results, decided: _Decisions) -> np.ndarray:
    """Return the code of the first reason that holds for each decision."""
    tests = _feed_tests(result, decided)
    tests |= _signal_tests(result, decided) if len(result.simulation.plan.signal) else _size_tests(result, decided)
    tests |= _account_tests(result, decided)
    reason = np.full(len(decided.row), OTHER)
    for code in sorted(tests, reverse=True):
        reason[tests[code]] = code
    return reason


def _feed_tests(result: Results, decided: _Decisions) -> dict[int, np.ndarray]:
    last = decided.at >= result.bars.n_times
    price = result.simulation.feed.fill[_clipped(result, decided), result.simulation.layout.symbol_of[decided.column]]
    fills = result.fills
    stops = fills[np.isin(fills[:, 5], (words.STOP_LOSS, words.TAKE_PROFIT, words.TRAILING, words.LIQUIDATION))]
    stopped = np.isin(_cells(result, decided.at, decided.column), _cells(result, stops[:, 0], stops[:, 1]))
    return {
        LAST_BAR: last,
        NO_PRICE: np.isnan(price),
        STOPPED: stopped & (result.simulation.rules.delay == 0),
        ZERO_SIZE: np.isnan(decided.size) | (decided.size == 0.0) & (decided.side != 0.0),
    }


def _clipped(result: Results, decided: _Decisions) -> np.ndarray:
    return np.asarray(np.minimum(decided.at, result.bars.n_times - 1))


def _signal_tests(result: Results, decided: _Decisions) -> dict[int, np.ndarray]:
    rules, held = result.simulation.rules, decided.held
    bits = result.simulation.plan.signal[decided.row, decided.column]
    long, short = bits & 1 > 0, bits & 4 > 0
    both_sides = long & short & (DIR_CONFLICT[rules.upon_dir_conflict] != words.ENTRY)
    cancelled = (long & (bits & 2 > 0) & (CONFLICT[rules.upon_long_conflict] != words.ENTRY)) | (
        short & (bits & 8 > 0) & (CONFLICT[rules.upon_short_conflict] != words.ENTRY)
    )
    accumulate = rules.accumulate
    if isinstance(accumulate, bool):
        accumulate = "both" if accumulate else "disabled"
    adds = ACCUMULATION[accumulate.lower()] in (words.ACCUMULATE_BOTH, words.ADD_ONLY)
    reverses = OPPOSITE_ENTRY[rules.upon_opposite_entry] in (words.OPPOSITE_REVERSE, words.OPPOSITE_REVERSE_REDUCE)
    return {
        BOTH_SIDES: both_sides,
        ENTRY_AND_EXIT: cancelled,
        SAME_SIDE: (held * decided.side > 0.0) & (not adds),
        OTHER_SIDE: (held * decided.side < 0.0) & (not reverses),
    }


def _size_tests(result: Results, decided: _Decisions) -> dict[int, np.ndarray]:
    rules = result.simulation.rules
    target = code_of(SIZE_TYPE, "size_type", rules.size_type) >= words.TARGET_AMOUNT
    # a negative target is on the side that the direction does not allow
    beyond = target & (decided.size < 0.0)
    sells = ((decided.side < 0.0) | beyond) & (rules.direction == "longonly")
    covers = ((decided.side > 0.0) | beyond) & (rules.direction == "shortonly")
    return {
        AT_TARGET: _at_target(result, decided) if target else np.zeros(len(decided.row), dtype=bool),
        NOTHING_TO_SELL: (sells & (decided.held <= 0.0)) | (covers & (decided.held >= 0.0)),
    }


def _at_target(result: Results, decided: _Decisions) -> np.ndarray:
    """Return where what is held is the target already, or nearer to it than the drift."""
    simulation, row = result.simulation, _clipped(result, decided)
    layout, kind = simulation.layout, code_of(SIZE_TYPE, "size_type", simulation.rules.size_type)
    price = simulation.feed.fill[row, layout.symbol_of[decided.column]]
    worth = np.abs(_worth_before(result, decided)) + 1e-300
    unit = {words.TARGET_AMOUNT: price, words.TARGET_VALUE: 1.0, words.TARGET_PERCENT: worth}[kind]
    missed = np.abs(decided.size * unit - decided.held * price) / worth
    near = max(simulation.plan.drift, 1e-9)
    if kind != words.TARGET_PERCENT:
        return np.asarray(missed <= near)
    # an account's worth at the open of a bar is not kept, so its close before is taken, and a hundredth for the gap
    return np.asarray(missed <= np.maximum(near, 0.01 * (decided.held != 0)))


def _worth_before(result: Results, decided: _Decisions) -> np.ndarray:
    account = result.simulation.layout.account_of[decided.column]
    before = result.paths.value[np.maximum(decided.at - 1, 0), account]
    return np.asarray(np.where(decided.at > 0, before, result.simulation.init_cash[account]))


def _account_tests(result: Results, decided: _Decisions) -> dict[int, np.ndarray]:
    simulation, row = result.simulation, _clipped(result, decided)
    layout = simulation.layout
    account, worth = layout.account_of[decided.column], _worth_before(result, decided)
    cash = np.where(decided.at > 0, result.paths.cash[np.maximum(decided.at - 1, 0), account], worth)
    cash = np.minimum(cash, result.paths.cash[row, account])
    limit = np.broadcast_to(simulation.plan.limit, (result.bars.n_times, len(result.columns)))
    rested = ~np.isnan(limit[decided.row, decided.column]) & (decided.held * decided.side >= 0.0)
    symbol = layout.symbol_of[decided.column]
    smallest = simulation.rules.costs.rules(result.bars.symbols, result.bars.instruments)[symbol]
    price = simulation.feed.fill[row, symbol]
    least = np.maximum(np.maximum(smallest[:, 0], smallest[:, 1]) * price, smallest[:, 2])
    affordable = np.maximum(cash, 0.0) if simulation.rules.leverage == 1 else np.maximum(worth, 0.0)
    broke = affordable <= np.maximum(1e-9 * np.abs(worth), simulation.rules.costs.fixed_fees)
    return {
        RUINED: worth <= 0.0,
        NEVER_REACHED: rested & ~broke,
        TOO_SMALL: (least > 0.0) & ~broke,
        NO_CASH: broke | (decided.side < 0.0) | (simulation.rules.leverage > 1),
    }
