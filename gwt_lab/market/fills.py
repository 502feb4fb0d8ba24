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

import numpy as np

from gwt_lab.kernels import inner_kernel, kernel
from gwt_lab.market.orders import FILL_PRICES

__all__ = [
    "DELAY_BARS",
    "DUST",
    "account_value",
    "fill_order",
    "held_after",
    "mark_prices",
    "plan_orders",
    "price_paid",
    "trade_row",
]

# How many bars after the decision an order is filled.
DELAY_BARS = {name: delay for name, (delay, _) in FILL_PRICES.items()}

# Orders below this share of the account's worth are rounding noise of the sizing, not trades.
DUST = 1e-12
# A lot boundary that floating point misses by less than this share of a lot is met.
_LOT_SLACK = 1e-9
# Buys whose worth differs by less than this share are equal.
_EQUAL = 1e-9


@kernel
def account_value(cash: float, positions: np.ndarray, prices: np.ndarray) -> float:
    """Return cash plus positions at `prices`, summed in column order; symbols not held need no price."""
    value = cash
    for j in range(len(positions)):
        if positions[j] != 0.0:
            value += positions[j] * prices[j]
    return value


@inner_kernel
def held_after(before: float, signed: float) -> float:
    """Return what is held after a fill; what rounding leaves of a closed position is nothing."""
    after = before + signed
    return 0.0 if abs(after) <= DUST * max(abs(before), abs(signed)) else after


@kernel
def mark_prices(last_prices: np.ndarray, fill_prices: np.ndarray, close: np.ndarray) -> None:
    """Carry the last known prices, shape (n_symbols,), through one bar: its close, else its open, else as before."""
    for j in range(len(last_prices)):
        if not math.isnan(close[j]):
            last_prices[j] = close[j]
        elif not math.isnan(fill_prices[j]):
            last_prices[j] = fill_prices[j]


@kernel
def _largest(values: np.ndarray, taken: np.ndarray, count: int) -> int:
    """Return the place of the largest buy not taken yet, the last one among equals; -1 without any."""
    most = 0.0
    for place in range(count):
        if not taken[place] and values[place] > most:
            most = values[place]
    if most > 0.0:
        for place in range(count - 1, -1, -1):
            if not taken[place] and values[place] >= most * (1.0 - _EQUAL):
                return place
    return -1


@kernel
def _execution_order(values: np.ndarray, count: int, spendable: float, rates: np.ndarray) -> np.ndarray:
    """Return places in the order of execution: sales, buys the cash reaches for, the others from small to large."""
    dear, cheap = (1.0 + rates[1]) * (1.0 + rates[0]), (1.0 - rates[1]) * (1.0 - rates[0])
    missing = -spendable
    for place in range(count):
        missing += values[place] * (dear if values[place] > 0.0 else cheap) + rates[2]
    # what rounding alone lacks is not missing
    missing -= DUST * abs(spendable)
    taken = np.zeros(count, dtype=np.bool_)
    order = np.empty(count, dtype=np.int64)
    end = count
    while missing > 0.0:
        place = _largest(values, taken, count)
        if place < 0:
            break
        taken[place] = True
        missing -= values[place] * dear + rates[2]
        end -= 1
        order[end] = place
    filled = 0
    for buying in range(2):
        for place in range(count):
            if not taken[place] and (values[place] > 0.0) == (buying == 1):
                order[filled] = place
                filled += 1
    return order


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
    n = len(positions)
    worth = cash
    for j in range(n):
        if positions[j] != 0.0:
            worth += positions[j] * (last_prices[j] if math.isnan(fill_prices[j]) else fill_prices[j])
    columns = np.empty(n, dtype=np.int64)
    amounts = np.empty(n)
    if not worth > 0.0:
        return columns[:0], amounts[:0]
    values = np.empty(n)
    wanted = np.empty(n, dtype=np.int64)
    count = 0
    for j in range(n):
        if math.isnan(weights[j]) or math.isnan(fill_prices[j]):
            continue
        amount = weights[j] * worth / fill_prices[j] - positions[j]
        value = amount * fill_prices[j]
        if abs(value) > DUST * worth:
            values[count], wanted[count], amounts[count] = value, j, amount
            count += 1
    order = _execution_order(values, count, cash, rates)
    sorted_amounts = np.empty(count)
    for k in range(count):
        columns[k] = wanted[order[k]]
        sorted_amounts[k] = amounts[order[k]]
    return columns[:count], sorted_amounts


@inner_kernel
def price_paid(price: float, buying: bool, slip: float, tick: float) -> float:
    """Return the price after slippage, rounded against us to a tick; a tick missed by rounding noise is met."""
    paid = price * (1.0 + slip) if buying else price * (1.0 - slip)
    if tick > 0.0:
        steps = paid / tick
        paid = (math.ceil(steps - _LOT_SLACK) if buying else math.floor(steps + _LOT_SLACK)) * tick
    return paid


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
    fees, slippage, fixed = rates[0], rates[1], rates[2]
    lot, min_amount, min_value = rule[0], rule[1], rule[2]
    buying = amount > 0.0
    paid = price_paid(price, buying, slippage, rule[3] if len(rule) > 3 else 0.0)
    size = abs(amount)
    short_of_cash = False
    if buying and size * paid * (1.0 + fees) + fixed > cash:
        short_of_cash = True
        size = max((cash - fixed) / (1.0 + fees) / paid, 0.0)
    if lot > 0.0:
        size = math.floor(size / lot + _LOT_SLACK) * lot
        # the slack may round up past the cash by less than one lot's slack
        if buying and size * paid * (1.0 + fees) + fixed > cash:
            size -= lot
        short_of_cash = False
    if size <= 0.0 or size < min_amount or size * paid < min_value:
        return cash, 0.0, math.nan, 0.0
    value = size * paid
    fee = value * fees + fixed
    if buying:
        # a buy that was cut to the cash spends all of it, so that no rounding leaves a debt
        if short_of_cash:
            return 0.0, size, paid, cash - value
        return cash - (value + fee), size, paid, fee
    if value < fee:
        return cash, 0.0, math.nan, 0.0
    return cash + (value - fee), -size, paid, fee


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
    columns, amounts = plan_orders(cash, positions, weights, fill_prices, last_prices, rates)
    count = 0
    for k in range(len(columns)):
        j = columns[k]
        cash, filled, paid, fee = fill_order(cash, amounts[k], fill_prices[j], rates, rules[j])
        if filled != 0.0:
            positions[j] = held_after(positions[j], filled)
            fills[count, 0] = j
            fills[count, 1] = filled
            fills[count, 2] = paid
            fills[count, 3] = fee
            count += 1
    return cash, count
