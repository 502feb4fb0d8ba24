"""W4's crossing as vectorbt's order function, without stops: one that keeps a state of its own is many times slower."""

from __future__ import annotations

import numba
import numpy as np
from vectorbt.portfolio.nb import order_nb, order_nothing_nb

__all__ = ["order_func"]


@numba.njit
def order_func(c, entries, exits):
    if exits[c.i, 0] and c.position_now > 0:
        return order_nb(-c.position_now, c.close[c.i, c.col], fees=0.001, slippage=0.0005)
    if entries[c.i, 0] and c.position_now == 0:
        return order_nb(np.inf, c.close[c.i, c.col], fees=0.001, slippage=0.0005)
    return order_nothing_nb()
