"""The one fill rule, as kernels: sizing, order of execution, price, fee and rounding.

The fused backtest calls them inside its loop, the paper broker one by one; both get the same bits. The rule for target
weights, per bar:

1. The account is worth cash plus positions at the fill prices (the last close where a symbol has none).
2. A symbol's order is its weight of that worth over its price, less what is held. A weight of NaN, or a missing price,
   is no order. An order below `DUST` of the account's worth is none either.
3. Sales come first and release their cash, then buys; within each, the order of smaller signed value first.
4. A buy pays `price * (1 + slippage)` and the fee on top and is cut to the cash that is left; a sale gets
   `price * (1 - slippage)` less the fee. Sales may go short, their proceeds are cash.
5. Amounts are cut to the lot, orders below the venue's minimum are dropped.

An account that is worth nothing trades no more.
"""

from __future__ import annotations

import math

import numpy as np

from gwt_lab.kernels import kernel

__all__ = ["DELAY_BARS", "DUST", "account_value", "fill_order", "mark_prices", "plan_orders", "trade_row"]

# How many bars after the decision an order is filled. This is the only place that says so.
DELAY_BARS = {"next_open": 1, "close": 0}

# Orders below this share of the account's worth are rounding noise of the sizing, not trades.
DUST = 1e-12
# A lot boundary that floating point misses by less than this share of a lot is met.
_LOT_SLACK = 1e-9


@kernel
def account_value(cash: float, positions: np.ndarray, prices: np.ndarray) -> float:
    """Return cash plus positions at `prices`, summed in column order; symbols not held need no price."""
    value = cash
    for j in range(len(positions)):
        if positions[j] != 0.0:
            value += positions[j] * prices[j]
    return value


@kernel
def mark_prices(last_prices: np.ndarray, fill_prices: np.ndarray, close: np.ndarray) -> None:
    """Carry the last known prices, shape (n_symbols,), through one bar: its close, else its open, else as before."""
    for j in range(len(last_prices)):
        if not math.isnan(close[j]):
            last_prices[j] = close[j]
        elif not math.isnan(fill_prices[j]):
            last_prices[j] = fill_prices[j]


@kernel
def plan_orders(
    cash: float, positions: np.ndarray, weights: np.ndarray, fill_prices: np.ndarray, last_prices: np.ndarray
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

    Returns
    -------
    columns : ndarray of shape (n_orders,), int64
        Which symbol each order is for, sales first.
    amounts : ndarray of shape (n_orders,)
        Signed amounts, base currency.
    """
    n = len(positions)
    prices = np.where(np.isnan(fill_prices), last_prices, fill_prices)
    worth = account_value(cash, positions, prices)
    columns = np.empty(n, dtype=np.int64)
    amounts = np.empty(n)
    count = 0
    if not worth > 0.0:
        return columns[:0], amounts[:0]
    values = np.empty(n)
    for j in range(n):
        if math.isnan(weights[j]) or math.isnan(fill_prices[j]):
            continue
        amount = weights[j] * worth / fill_prices[j] - positions[j]
        value = amount * fill_prices[j]
        if abs(value) <= DUST * worth:
            continue
        # insertion sort by signed value, stable in column order: sales first, then small buys before large ones
        place = count
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            columns[place] = columns[place - 1]
            amounts[place] = amounts[place - 1]
            place -= 1
        values[place] = value
        columns[place] = j
        amounts[place] = amount
        count += 1
    return columns[:count], amounts[:count]


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
    rule : ndarray of shape (3,)
        Lot, smallest amount, smallest value; zero means no rule.
    """
    fees, slippage, fixed = rates[0], rates[1], rates[2]
    lot, min_amount, min_value = rule[0], rule[1], rule[2]
    buying = amount > 0.0
    paid = price * (1.0 + slippage) if buying else price * (1.0 - slippage)
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
    columns, amounts = plan_orders(cash, positions, weights, fill_prices, last_prices)
    count = 0
    for k in range(len(columns)):
        j = columns[k]
        cash, filled, paid, fee = fill_order(cash, amounts[k], fill_prices[j], rates, rules[j])
        if filled != 0.0:
            positions[j] += filled
            fills[count, 0] = j
            fills[count, 1] = filled
            fills[count, 2] = paid
            fills[count, 3] = fee
            count += 1
    return cash, count
