"""From fills to trades, and from values to drawdowns: which entry an exit belongs to.

An exit closes its part of the position at the average price of all entries so far, and carries the same part of their
fees. What is still open at the end is a trade too, valued at the last known price.
"""

from __future__ import annotations

import math

import numpy as np

from gwt_lab.kernels import kernel
from gwt_lab.market.fills import held_after

__all__ = [
    "COLUMN",
    "ENTRY_FEES",
    "ENTRY_PRICE",
    "ENTRY_ROW",
    "EXIT_FEES",
    "EXIT_KIND",
    "EXIT_PRICE",
    "EXIT_ROW",
    "IS_OPEN",
    "POSITION_ID",
    "SIDE",
    "SIZE",
    "drawdown_records",
    "excursions",
    "match_trades",
    "positions_of",
    "trades_of",
]

# columns of a trade
COLUMN, SIZE, ENTRY_ROW, ENTRY_PRICE, ENTRY_FEES, EXIT_ROW, EXIT_PRICE, EXIT_FEES = range(8)
SIDE, IS_OPEN, POSITION_ID, EXIT_KIND = range(8, 12)
N_TRADE = 12
# columns of a drawdown: account, rows of peak, start, valley and end, values of peak, valley and end, whether it lasts
N_DRAWDOWN = 9


@kernel
def match_trades(fills: np.ndarray, last_price: np.ndarray, last_row: int, out: np.ndarray) -> int:
    """Write the trades of fills that are sorted by column, then time; return their number.

    Parameters
    ----------
    fills : ndarray of shape (n_fills, 6)
        Row, column, signed amount, price, fee, kind.
    last_price : ndarray of shape (n_columns,)
        Last known price, at which open positions are valued.
    last_row : int
        Row of that value.
    out : ndarray of shape (2 * n_fills at most, 12)
        Written.
    """
    count, position = 0, -1
    held, cost, fees, entry_row = 0.0, 0.0, 0.0, 0.0
    for f in range(len(fills)):
        row, column, amount, price, fee, kind = fills[f]
        after = held_after(held, amount)
        if held == 0.0:
            position, entry_row, cost, fees = position + 1, row, 0.0, 0.0
        if held * amount >= 0.0:
            cost += abs(amount) * price
            fees += fee
        else:
            size = abs(held) if after * held <= 0.0 else abs(amount)
            share = size / abs(held)
            paid = fee * size / abs(amount) if after * held < 0.0 else fee
            trade = out[count]
            trade[COLUMN], trade[SIZE], trade[ENTRY_ROW] = column, size, entry_row
            trade[ENTRY_PRICE], trade[ENTRY_FEES] = cost / abs(held), share * fees
            trade[EXIT_ROW], trade[EXIT_PRICE], trade[EXIT_FEES] = row, price, paid
            trade[SIDE], trade[IS_OPEN], trade[POSITION_ID] = math.copysign(1.0, held), 0.0, position
            trade[EXIT_KIND] = kind
            count += 1
            cost -= share * cost
            fees -= share * fees
            if after * held < 0.0:
                position, entry_row, cost, fees = position + 1, row, abs(after) * price, fee - paid
        held = after
        if f + 1 == len(fills) or fills[f + 1, 1] != column:
            if held != 0.0:
                trade = out[count]
                trade[COLUMN], trade[SIZE], trade[ENTRY_ROW] = column, abs(held), entry_row
                trade[ENTRY_PRICE], trade[ENTRY_FEES] = cost / abs(held), fees
                trade[EXIT_ROW], trade[EXIT_PRICE], trade[EXIT_FEES] = last_row, last_price[int(column)], 0.0
                trade[SIDE], trade[IS_OPEN], trade[POSITION_ID] = math.copysign(1.0, held), 1.0, position
                trade[EXIT_KIND] = math.nan
                count += 1
            held = 0.0
    return count


def trades_of(fills: np.ndarray, last_price: np.ndarray, n_times: int) -> np.ndarray:
    """Return the trades of fills, by column and then time, shape (n_trades, 12)."""
    ordered = np.ascontiguousarray(fills[np.argsort(fills[:, 1], kind="stable")])
    out = np.empty((len(fills) + len(last_price), N_TRADE))
    return out[: match_trades(ordered, last_price, n_times - 1, out)]


def positions_of(trades: np.ndarray) -> np.ndarray:
    """Return one record for all trades of each position: sums of sizes and fees, prices weighted by size."""
    if not len(trades):
        return trades
    first = np.flatnonzero(np.diff(trades[:, POSITION_ID], prepend=-1.0))
    last = np.append(first[1:], len(trades)) - 1
    found = trades[last].copy()
    found[:, ENTRY_ROW] = trades[first, ENTRY_ROW]
    for name in (SIZE, ENTRY_FEES, EXIT_FEES):
        found[:, name] = np.add.reduceat(trades[:, name], first)
    several = last > first
    for name in (ENTRY_PRICE, EXIT_PRICE):
        mean = np.add.reduceat(trades[:, SIZE] * trades[:, name], first) / found[:, SIZE]
        found[several, name] = mean[several]
    return np.asarray(found)


@kernel
def excursions(trades: np.ndarray, symbol_of: np.ndarray, high: np.ndarray, low: np.ndarray, out: np.ndarray) -> None:
    """Write each trade's worst and best price of its bars as fractions of its entry price, shape (n_trades, 2)."""
    for t in range(len(trades)):
        s, side = symbol_of[int(trades[t, COLUMN])], trades[t, SIDE]
        worst, best = 0.0, 0.0
        for i in range(int(trades[t, ENTRY_ROW]), int(trades[t, EXIT_ROW]) + 1):
            down, up = (low[i, s], high[i, s]) if side > 0.0 else (high[i, s], low[i, s])
            worst = min(worst, side * (down / trades[t, ENTRY_PRICE] - 1.0))
            best = max(best, side * (up / trades[t, ENTRY_PRICE] - 1.0))
        out[t, 0], out[t, 1] = worst, best


@kernel
def drawdown_records(value: np.ndarray, out: np.ndarray) -> int:
    """Write the stretches that each account spends below a peak; return their number.

    Parameters
    ----------
    value : ndarray of shape (n_times, n_accounts)
        Worth at each close.
    out : ndarray of shape (n_drawdowns at most, 9)
        Written: account; rows of the peak, of the first bar below it, of the valley and of the end; worth at peak,
        valley and end; 1 where the peak was not reached again.
    """
    count, n_times = 0, len(value)
    for account in range(value.shape[1]):
        peak_row, below = 0, False
        valley_row = 0
        for i in range(n_times):
            worth = value[i, account]
            peak = value[peak_row, account]
            if worth >= peak and not below:
                peak_row = i
                continue
            if worth < peak and (not below or worth < value[valley_row, account]):
                below, valley_row = True, i
            if worth >= peak or i == n_times - 1:
                record = out[count]
                record[0], record[1], record[2], record[3], record[4] = account, peak_row, peak_row + 1, valley_row, i
                record[5], record[6], record[7] = peak, value[valley_row, account], worth
                record[8] = 1.0 if worth < peak else 0.0
                count += 1
                peak_row, below = i, False
    return count
