"""The fill rule of `gwt_lab.market.fills`, slow and plain: lists, sorted(), no arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Account:
    cash: float
    held: list[float]


@dataclass(frozen=True)
class Costs:
    fees: float
    slippage: float
    fixed: float = 0.0


@dataclass(frozen=True)
class Rule:
    lot: float = 0.0
    min_amount: float = 0.0
    min_value: float = 0.0


def missing(x: float) -> bool:
    return x != x


def orders_to(account: Account, weights, fill_prices, last_prices, costs: Costs) -> list[tuple[int, float]]:
    """Return (column, signed amount) in the order of execution."""
    worth = account.cash
    for held, fill, last in zip(account.held, fill_prices, last_prices, strict=True):
        if held != 0.0:
            worth = worth + held * (last if missing(fill) else fill)
    if not worth > 0.0:
        return []
    wanted = []
    for column, (weight, price) in enumerate(zip(weights, fill_prices, strict=True)):
        if missing(weight) or missing(price):
            continue
        amount = weight * worth / price - account.held[column]
        if abs(amount * price) > 1e-12 * worth:
            wanted.append((column, amount, amount * price))
    sales = [order for order in wanted if order[2] < 0]
    buys = [order for order in wanted if order[2] > 0]
    reach = account.cash + 1e-12 * abs(account.cash) - costs.fixed * len(sales)
    for *_, value in sales:
        reach += -value * (1 - costs.slippage) * (1 - costs.fees)
    need = {column: value * (1 + costs.slippage) * (1 + costs.fees) + costs.fixed for column, _, value in buys}
    waiting: list[tuple[int, float, float]] = []
    while sum(need[order[0]] for order in buys) > reach:
        most = max(order[2] for order in buys)
        last_of_equals = [order for order in buys if order[2] >= most * (1 - 1e-9)][-1]
        buys.remove(last_of_equals)
        waiting.insert(0, last_of_equals)
    return [(column, amount) for column, amount, _ in sales + buys + waiting]


def fill(account: Account, column: int, amount: float, price: float, costs: Costs, rule: Rule):
    """Fill one order; return (column, signed amount, price, fee) or None."""
    if amount > 0:
        paid = price * (1.0 + costs.slippage)
        size = amount
        affordable = (account.cash - costs.fixed) / (1.0 + costs.fees) / paid
        all_cash = size * paid * (1.0 + costs.fees) + costs.fixed > account.cash
        if all_cash:
            size = max(affordable, 0.0)
        if rule.lot > 0:
            size = math.floor(size / rule.lot + 1e-9) * rule.lot
            if size * paid * (1.0 + costs.fees) + costs.fixed > account.cash:
                size -= rule.lot
            all_cash = False
    else:
        paid = price * (1.0 - costs.slippage)
        size = -amount
        all_cash = False
        if rule.lot > 0:
            size = math.floor(size / rule.lot + 1e-9) * rule.lot
    if size <= 0 or size < rule.min_amount or size * paid < rule.min_value:
        return None
    value = size * paid
    fee = value * costs.fees + costs.fixed
    if amount > 0:
        if all_cash:
            fee = account.cash - value
            account.cash = 0.0
        else:
            account.cash = account.cash - (value + fee)
        account.held[column] += size
        return column, size, paid, fee
    if value < fee:
        return None
    account.cash = account.cash + (value - fee)
    account.held[column] -= size
    return column, -size, paid, fee


def trade(account: Account, weights, fill_prices, last_prices, costs: Costs, rules: list[Rule]):
    """Trade one bar; return its fills."""
    fills = []
    for column, amount in orders_to(account, weights, fill_prices, last_prices, costs):
        filled = fill(account, column, amount, fill_prices[column], costs, rules[column])
        if filled is not None:
            fills.append(filled)
    return fills
