"""From what a strategy says (signals, sizes, targets) to an order: signed amount, share, direction.

The rules for signals are vectorbt's: what happens when an entry meets an exit, a long entry a short one, or a position
its opposite.
"""

from __future__ import annotations

import math

from gwt_lab.kernels import inner_kernel
from gwt_lab.market import orders as words
from gwt_lab.market.account import Terms
from gwt_lab.market.fills import DUST

__all__ = ["signal_order", "sized_order"]


@inner_kernel
def sized_order(
    size: float, kind: int, direction: int, held: float, price: float, worth: float, adds: bool
) -> tuple[float, float, int, bool]:
    """Return (signed amount, share of all, direction, adds) of a size.

    Parameters
    ----------
    size : float
        In units of `kind`; for `SHORT_ONLY` a positive size sells.
    held, price, worth : float
        What is held of the symbol, the price of the order, the account's worth at the prices of the bar's orders.
    adds : bool
        Handed through.
    """
    if math.isnan(size) or math.isnan(price):
        return math.nan, math.nan, direction, adds
    if direction == words.SHORT_ONLY:
        size = -size
    if kind == words.PERCENT:
        # a share above 1 is all there is
        return (math.inf if size > 0.0 else -math.inf) if size != 0.0 else 0.0, min(abs(size), 1.0), direction, adds
    if kind == words.TARGET_PERCENT:
        if not worth > 0.0:
            return math.nan, math.nan, direction, adds
        size *= worth
    if kind != words.AMOUNT and kind != words.TARGET_AMOUNT:
        size /= price
    if kind >= words.TARGET_AMOUNT:
        size -= held
        # rounding noise of the sizing is no order
        if abs(size * price) <= DUST * worth:
            size = 0.0
    return size, math.nan, direction, adds


@inner_kernel
def _entry_meets_exit(entry: bool, leave: bool, held: float, mode: int) -> tuple[bool, bool]:
    if not (entry and leave):
        return entry, leave
    if mode == words.ENTRY or (mode == words.ADJACENT and held != 0.0):
        return True, False
    if mode == words.EXIT or (mode == words.OPPOSITE and held != 0.0):
        return False, True
    return False, False


@inner_kernel
def _long_meets_short(long: bool, short: bool, held: float, mode: int) -> tuple[bool, bool]:
    """Decide between a long and a short entry; the codes for "long" and "short" are those of entry and exit."""
    if not (long and short):
        return long, short
    if mode == words.ENTRY:
        return True, False
    if mode == words.EXIT:
        return False, True
    if mode == words.ADJACENT and held != 0.0:
        return held > 0.0, held < 0.0
    if mode == words.OPPOSITE and held != 0.0:
        return held < 0.0, held > 0.0
    return False, False


@inner_kernel
def _meets_opposite(enter: bool, leave: bool, accumulate: int, mode: int) -> tuple[bool, bool, int]:
    """Return what an entry against the position becomes: (entry, exit of the position, accumulation)."""
    if not enter or mode == words.OPPOSITE_REVERSE_REDUCE:
        return enter, leave, accumulate
    if mode == words.OPPOSITE_IGNORE:
        return False, leave, accumulate
    if mode == words.OPPOSITE_CLOSE:
        return False, True, words.NO_ACCUMULATION
    if mode == words.OPPOSITE_CLOSE_REDUCE:
        return False, True, accumulate
    return True, leave, words.NO_ACCUMULATION


@inner_kernel
def _on_position(
    side: float, again: bool, leave: bool, against: bool, accumulate: int, size: float, kind: int, held: float,
    price: float, worth: float,
) -> tuple[float, float, int, bool]:  # fmt: skip
    """Return the order of a signal on an open position; `side` is 1 for a long one, -1 for a short one."""
    own = words.LONG_ONLY if side > 0.0 else words.SHORT_ONLY
    removes = accumulate == words.ACCUMULATE_BOTH or accumulate == words.REMOVE_ONLY
    target = kind >= words.TARGET_AMOUNT
    if against and target:
        return sized_order(-side * size, kind, words.BOTH, held, price, worth, False)
    if against and removes:
        return sized_order(-side * size, kind, words.BOTH, held, price, worth, False)
    if against:
        more = 0.0 if math.isnan(size) else (size / price if kind == words.VALUE else size)
        return -held - side * more, math.nan, words.BOTH, False
    if leave and (target or not removes):
        return -held, math.nan, own, False
    if leave:
        # a size in a short's own direction counts as a sale, so what removes from it has the other sign
        return sized_order(-size, kind, own, held, price, worth, False)
    if again and (accumulate == words.ACCUMULATE_BOTH or accumulate == words.ADD_ONLY):
        return sized_order(size, kind, own, held, price, worth, False)
    return 0.0, math.nan, own, False


@inner_kernel
def signal_order(
    bits: int, size: float, kind: int, held: float, price: float, worth: float, terms: Terms
) -> tuple[float, float, int, bool]:
    """Return (signed amount, share of all, direction, whether it opens a position) of a bar's signals.

    `bits`: 1 long entry, 2 long exit, 4 short entry, 8 short exit.
    """
    long, leave_long = bits & 1 != 0, bits & 2 != 0
    short, leave_short = bits & 4 != 0, bits & 8 != 0
    accumulate = terms.accumulate
    if long or short:
        long, leave_long = _entry_meets_exit(long, leave_long, held, terms.long_conflict)
        short, leave_short = _entry_meets_exit(short, leave_short, held, terms.short_conflict)
        long, short = _long_meets_short(long, short, held, terms.dir_conflict)
        if held > 0.0:
            short, leave_long, accumulate = _meets_opposite(short, leave_long, accumulate, terms.opposite_entry)
        elif held < 0.0:
            long, leave_short, accumulate = _meets_opposite(long, leave_short, accumulate, terms.opposite_entry)
    if held > 0.0:
        return _on_position(1.0, long, leave_long, short, accumulate, size, kind, held, price, worth)
    if held < 0.0:
        return _on_position(-1.0, short, leave_short, long, accumulate, size, kind, held, price, worth)
    if long:
        return sized_order(size, kind, words.BOTH, held, price, worth, True)
    if short:
        return sized_order(-size, kind, words.BOTH, held, price, worth, True)
    return 0.0, math.nan, words.BOTH, False
