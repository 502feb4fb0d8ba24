"""The one fill rule, as kernels: sizing, order of execution, price, fee and rounding.

The fused backtest calls them inside its loop, the paper broker one by one; both get the same bits. The rule for target
weights, per bar:

1. The account is worth cash plus positions at the fill prices (the last close where a symbol has none).
2. A symbol's order is its weight of that worth over its price, less what is held. A weight of NaN, or a missing price,
   is no order. An order below `DUST` of the account's worth is none either.
3. Sales come first and release their cash, then buys. Where the cash does not reach for all buys, the largest wait for
   the others; of buys of equal worth (to one part in 10^9, so that rounding decides nothing) the later column waits.
4. A buy pays `price * (1 + slippage)` and the fee on top and is cut to the cash that is left; a sale gets
   `price * (1 - slippage)` less the fee. Sales may go short, their proceeds are cash.
5. Amounts are cut to the lot, orders below the venue's minimum are dropped.

An account that is worth nothing trades no more.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from gwt_lab.kernels import inner_kernel, kernel
from gwt_lab.market.orders import FILL_PRICES

__all__ = [
    "DELAY_BARS",
    "DUST",
    "EQUAL",
    "Space",
    "account_value",
    "fill_order",
    "held_after",
    "mark_prices",
    "mark_row",
    "plan_orders",
    "price_paid",
    "space_for",
    "trade_row",
    "trade_targets",
    "worth_of",
]

# How many bars after the decision an order is filled.
DELAY_BARS = {name: delay for name, (delay, _) in FILL_PRICES.items()}

# Orders below this share of the account's worth are rounding noise of the sizing, not trades.
DUST = 1e-12
# A lot boundary that floating point misses by less than this share of a lot is met.
_LOT_SLACK = 1e-9
# Buys whose worth differs by less than this share are equal.
EQUAL = 1e-9


@inner_kernel
def worth_of(cash: float, positions: np.ndarray, prices: np.ndarray) -> float:
    """Do what `account_value` does, for kernels."""
    n = len(positions)
    # four sums side by side: one alone waits for each addition to end
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for j in range(0, n - 3, 4):
        a += positions[j] * prices[j] if positions[j] != 0.0 else 0.0
        b += positions[j + 1] * prices[j + 1] if positions[j + 1] != 0.0 else 0.0
        c += positions[j + 2] * prices[j + 2] if positions[j + 2] != 0.0 else 0.0
        d += positions[j + 3] * prices[j + 3] if positions[j + 3] != 0.0 else 0.0
    for j in range(n - n % 4, n):
        a += positions[j] * prices[j] if positions[j] != 0.0 else 0.0
    return cash + ((a + b) + (c + d))


@kernel
def account_value(cash: float, positions: np.ndarray, prices: np.ndarray) -> float:
    """Return cash plus positions at `prices`, always summed in the same order; symbols not held need no price."""
    return worth_of(cash, positions, prices)


@inner_kernel
def held_after(before: float, signed: float) -> float:
    """Return what is held after a fill; what rounding leaves of a closed position is nothing."""
    after = before + signed
    return 0.0 if abs(after) <= DUST * max(abs(before), abs(signed)) else after


@inner_kernel
def mark_row(last_prices: np.ndarray, fill_prices: np.ndarray, close: np.ndarray) -> None:
    """Do what `mark_prices` does, for kernels."""
    for j in range(len(last_prices)):
        # selections, not branches: the loop runs over several symbols at once
        known = last_prices[j] if math.isnan(fill_prices[j]) else fill_prices[j]
        last_prices[j] = known if math.isnan(close[j]) else close[j]


@kernel
def mark_prices(last_prices: np.ndarray, fill_prices: np.ndarray, close: np.ndarray) -> None:
    """Carry the last known prices, shape (n_symbols,), through one bar: its close, else its open, else as before."""
    mark_row(last_prices, fill_prices, close)


class Space(NamedTuple):
    """Room to plan the orders of one bar in, each of shape (n_symbols,).

    `amounts` and `values` by column; the columns of `sales` and of `buys`; which buys wait, and in which order they
    were told to, as places in `buys`.
    """

    amounts: np.ndarray
    values: np.ndarray
    sales: np.ndarray
    buys: np.ndarray
    waits: np.ndarray
    waiting: np.ndarray


@kernel
def space_for(n_symbols: int) -> Space:
    """Return room for the orders of `n_symbols`."""
    return Space(
        np.empty(n_symbols),
        np.empty(n_symbols),
        np.empty(n_symbols + 1, dtype=np.int64),
        np.empty(n_symbols + 1, dtype=np.int64),
        np.zeros(n_symbols, dtype=np.bool_),
        np.empty(n_symbols, dtype=np.int64),
    )


@inner_kernel
def _largest(n_buys: int, space: Space) -> int:
    """Return the place of the largest buy that does not wait yet, the last one among equals; -1 without any."""
    most = 0.0
    for place in range(n_buys):
        value = space.values[space.buys[place]]
        if value > most and not space.waits[place]:
            most = value
    if most > 0.0:
        for place in range(n_buys - 1, -1, -1):
            if space.values[space.buys[place]] >= most * (1.0 - EQUAL) and not space.waits[place]:
                return place
    return -1


@inner_kernel
def _let_wait(missing: float, n_buys: int, rates: np.ndarray, space: Space) -> int:
    """Let the largest buys wait until the cash reaches for the others; return how many do."""
    for place in range(n_buys):
        space.waits[place] = False
    dear, n_waiting = (1.0 + rates[1]) * (1.0 + rates[0]), 0
    while missing > 0.0:
        place = _largest(n_buys, space)
        if place < 0:
            break
        space.waits[place] = True
        space.waiting[n_waiting] = place
        n_waiting += 1
        missing -= space.values[space.buys[place]] * dear + rates[2]
    return n_waiting


@inner_kernel
def _plan(
    cash: float,
    positions: np.ndarray,
    weights: np.ndarray,
    fill_prices: np.ndarray,
    last_prices: np.ndarray,
    rates: np.ndarray,
    space: Space,
) -> tuple[int, int, int]:
    """Write the orders of a bar into `space`; return the numbers of sales, of buys, and of buys that wait."""
    for j in range(len(positions)):
        space.values[j] = last_prices[j] if math.isnan(fill_prices[j]) else fill_prices[j]
    worth = worth_of(cash, positions, space.values)
    if not worth > 0.0:
        return 0, 0, 0
    least, n_sales, n_buys, bought, sold = DUST * worth, 0, 0, 0.0, 0.0
    amounts, values = space.amounts, space.values
    for j in range(len(positions)):
        amounts[j] = weights[j] * worth / fill_prices[j] - positions[j]
        values[j] = amounts[j] * fill_prices[j]
    for j in range(len(positions)):
        # NaN compares false: no weight or no price is no order. Without branches, which the signs would mislead.
        value = values[j]
        sells, buys = value < -least, value > least
        space.sales[n_sales], space.buys[n_buys] = j, j
        n_sales += sells
        n_buys += buys
        sold += -value if sells else 0.0
        bought += value if buys else 0.0
    missing = bought * (1.0 + rates[1]) * (1.0 + rates[0]) - sold * (1.0 - rates[1]) * (1.0 - rates[0])
    # what rounding alone lacks is not missing
    missing += (n_sales + n_buys) * rates[2] - cash - DUST * abs(cash)
    return n_sales, n_buys, _let_wait(missing, n_buys, rates, space)


@kernel
def plan_orders(
    cash: float,
    positions: np.ndarray,
    weights: np.ndarray,
    fill_prices: np.ndarray,
    last_prices: np.ndarray,
    rates: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the orders that take an account to target weights, in the order of their execution.

    Parameters
    ----------
    cash : float
        Quote currency.
    positions, weights, fill_prices : ndarray of shape (n_symbols,)
        Amounts held; target shares of the account's worth; prices before slippage. NaN means no order.
    last_prices : ndarray of shape (n_symbols,)
        Last known price, which values a position whose fill price is missing.
    rates : ndarray of shape (3,) or longer
        Fees and slippage as fractions, fixed fee in quote currency; they say how far the cash reaches.

    Returns
    -------
    columns : ndarray of shape (n_orders,), int64
        Which symbol each order is for, sales first.
    amounts : ndarray of shape (n_orders,)
        Signed amounts, base currency.
    """
    space = space_for(len(positions))
    n_sales, n_buys, n_waiting = _plan(cash, positions, weights, fill_prices, last_prices, rates, space)
    columns = np.empty(n_sales + n_buys, dtype=np.int64)
    columns[:n_sales] = space.sales[:n_sales]
    count = n_sales
    for place in range(n_buys):
        if not space.waits[place]:
            columns[count] = space.buys[place]
            count += 1
    for k in range(n_waiting - 1, -1, -1):
        columns[count] = space.buys[space.waiting[k]]
        count += 1
    return columns, space.amounts[columns]


@inner_kernel
def price_paid(price: float, buying: bool, slip: float, tick: float) -> float:
    """Return the price after slippage, rounded against us to a tick; a tick missed by rounding noise is met."""
    paid = price * (1.0 + slip) if buying else price * (1.0 - slip)
    if tick > 0.0:
        steps = paid / tick
        paid = (math.ceil(steps - _LOT_SLACK) if buying else math.floor(steps + _LOT_SLACK)) * tick
    return paid


@inner_kernel
def _buy(
    cash: float, size: float, price: float, rates: tuple[float, float, float], rule: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    fees, slippage, fixed = rates
    lot, min_amount, min_value, tick = rule
    paid = price_paid(price, True, slippage, tick)
    short_of_cash = size * paid * (1.0 + fees) + fixed > cash
    if short_of_cash:
        size = max((cash - fixed) / (1.0 + fees) / paid, 0.0)
    if lot > 0.0:
        size = math.floor(size / lot + _LOT_SLACK) * lot
        # the slack may round up past the cash by less than one lot's slack
        if size * paid * (1.0 + fees) + fixed > cash:
            size -= lot
        short_of_cash = False
    value = size * paid
    if size <= 0.0 or size < min_amount or value < min_value:
        return cash, 0.0, math.nan, 0.0
    # a buy that was cut to the cash spends all of it, so that no rounding leaves a debt
    if short_of_cash:
        return 0.0, size, paid, cash - value
    fee = value * fees + fixed
    return cash - (value + fee), size, paid, fee


@inner_kernel
def _sell(
    cash: float, size: float, price: float, rates: tuple[float, float, float], rule: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    fees, slippage, fixed = rates
    lot, min_amount, min_value, tick = rule
    paid = price_paid(price, False, slippage, tick)
    if lot > 0.0:
        size = math.floor(size / lot + _LOT_SLACK) * lot
    value = size * paid
    fee = value * fees + fixed
    if size <= 0.0 or size < min_amount or value < min_value or value < fee:
        return cash, 0.0, math.nan, 0.0
    return cash + (value - fee), -size, paid, fee


@inner_kernel
def _rule(rules: np.ndarray, j: int) -> tuple[float, float, float, float]:
    return rules[j, 0], rules[j, 1], rules[j, 2], rules[j, 3] if rules.shape[1] > 3 else 0.0


@kernel
def fill_order(
    cash: float, amount: float, price: float, rates: np.ndarray, rule: np.ndarray
) -> tuple[float, float, float, float]:
    """Return cash after the order, the amount filled, the price paid and the fee.

    Parameters
    ----------
    cash : float
        Quote currency before the order.
    amount : float
        Signed amount wanted, base currency.
    price : float
        Price before slippage, quote currency.
    rates : ndarray of shape (3,)
        Fees and slippage as fractions, fixed fee in quote currency.
    rule : ndarray of shape (3,) or (4,)
        Lot, smallest amount, smallest value, tick; zero means no rule.
    """
    costs, cut = (rates[0], rates[1], rates[2]), _rule(rule.reshape((1, len(rule))), 0)
    if amount > 0.0:
        return _buy(cash, amount, price, costs, cut)
    return _sell(cash, -amount, price, costs, cut)


@inner_kernel
def trade_targets(
    cash: float,
    positions: np.ndarray,
    weights: np.ndarray,
    fill_prices: np.ndarray,
    last_prices: np.ndarray,
    rates: np.ndarray,
    rules: np.ndarray,
    space: Space,
    fills: np.ndarray,
    start: int,
) -> tuple[float, int]:
    """Do what `trade_row` does, for kernels.

    Fills are written from row `start` on if `fills` has rows at all; `rules` of no rows are none.
    """
    n_sales, n_buys, n_waiting = _plan(cash, positions, weights, fill_prices, last_prices, rates, space)
    costs, row, free = (rates[0], rates[1], rates[2]), start, len(rules) == 0
    for k in range(n_sales):
        j = space.sales[k]
        rule = (0.0, 0.0, 0.0, 0.0) if free else _rule(rules, j)
        cash, filled, paid, fee = _sell(cash, -space.amounts[j], fill_prices[j], costs, rule)
        row = _book(row, j, filled, paid, fee, positions, fills)
    for k in range(n_buys + n_waiting):
        if k < n_buys and space.waits[k]:
            continue
        j = space.buys[k] if k < n_buys else space.buys[space.waiting[n_buys + n_waiting - 1 - k]]
        rule = (0.0, 0.0, 0.0, 0.0) if free else _rule(rules, j)
        cash, filled, paid, fee = _buy(cash, space.amounts[j], fill_prices[j], costs, rule)
        row = _book(row, j, filled, paid, fee, positions, fills)
    return cash, row - start


@inner_kernel
def _book(row: int, j: int, filled: float, paid: float, fee: float, positions: np.ndarray, fills: np.ndarray) -> int:
    if filled == 0.0:
        return row
    positions[j] = held_after(positions[j], filled)
    if len(fills) > 0:
        fills[row, 0], fills[row, 1], fills[row, 2], fills[row, 3] = j, filled, paid, fee
    return row + 1


@kernel
def trade_row(
    cash: float,
    positions: np.ndarray,
    weights: np.ndarray,
    fill_prices: np.ndarray,
    last_prices: np.ndarray,
    rates: np.ndarray,
    rules: np.ndarray,
    fills: np.ndarray,
) -> tuple[float, int]:
    """Trade one bar to target weights; write `positions` and `fills`, return cash and the number of fills.

    Parameters
    ----------
    positions : ndarray of shape (n_symbols,)
        Changed in place.
    weights, fill_prices, last_prices : ndarray of shape (n_symbols,)
        As in `plan_orders`.
    rates, rules : ndarray of shape (3,) and (n_symbols, 3)
        As in `fill_order`.
    fills : ndarray of shape (n_symbols, 4)
        Receives column, signed amount, price and fee of each fill.
    """
    space = space_for(len(positions))
    return trade_targets(cash, positions, weights, fill_prices, last_prices, rates, rules, space, fills, 0)
