"""Trades and drawdowns by their definitions, one fill and one bar at a time."""

from __future__ import annotations


def plain_trades(fills, last_prices, last_row):
    """Return trades as dicts, by column; fills are (row, column, signed amount, price, fee, kind)."""
    found = []
    position = -1
    for column in sorted({int(fill[1]) for fill in fills}):
        entries, held, entry_row = [], 0.0, -1  # entries: [amount left, price, fee left]
        for row, _, amount, price, fee, _ in (fill for fill in fills if int(fill[1]) == column):
            left, fee_left = abs(amount), fee
            if held and (held > 0) != (amount > 0):
                total = sum(e[0] for e in entries)
                size = total if abs(left - total) <= 1e-9 * total else min(left, total)
                share, exit_fee = size / total, fee * size / left if left > size else fee
                found.append(
                    {
                        "column": column, "size": size, "entry_row": entry_row, "exit_row": row,
                        "entry_price": sum(e[0] * e[1] for e in entries) / total,
                        "entry_fees": share * sum(e[2] for e in entries),
                        "exit_price": price, "exit_fees": exit_fee, "side": 1 if held > 0 else -1, "open": 0,
                        "position": position,
                    }
                )  # fmt: skip
                # every entry gives its part
                entries = [[e[0] * (1 - share), e[1], e[2] * (1 - share)] for e in entries] if share < 1 else []
                left, fee_left = (left - size, fee - exit_fee) if left > size and share == 1 else (0.0, 0.0)
                held = sum(e[0] for e in entries) * (1 if held > 0 else -1)
            if left > 1e-12:
                if not entries:
                    position, entry_row = position + 1, row
                entries.append([left, price, fee_left])
                held += left if amount > 0 else -left
        if entries:
            total = sum(e[0] for e in entries)
            found.append(
                {
                    "column": column, "size": total, "entry_row": entry_row, "exit_row": last_row,
                    "entry_price": sum(e[0] * e[1] for e in entries) / total,
                    "entry_fees": sum(e[2] for e in entries),
                    "exit_price": last_prices[column], "exit_fees": 0.0, "side": 1 if held > 0 else -1, "open": 1,
                    "position": position,
                }
            )  # fmt: skip
    return found


def plain_drawdowns(values):
    """Return (peak row, start, valley row, end row, still below) of one account's path."""
    found, row = [], 0
    while row < len(values) - 1:
        if values[row + 1] >= values[row]:
            row += 1
            continue
        end = next((later for later in range(row + 1, len(values)) if values[later] >= values[row]), None)
        last = len(values) - 1 if end is None else end
        valley = min(range(row + 1, last + 1), key=lambda at: values[at])
        found.append((row, row + 1, valley, last, end is None))
        row = last
    return found


def plain_excursions(high, low, trade):
    """Return the worst and best fraction of the entry price within a trade's bars."""
    moves = [0.0]
    for row in range(int(trade["entry_row"]), int(trade["exit_row"]) + 1):
        moves += [trade["side"] * (price / trade["entry_price"] - 1) for price in (high[row], low[row])]
    known = [move for move in moves if move == move]
    return min(known), max(known)
