"""One bar of one account, slow and plain: dataclasses, dicts and lists, a step at a time, as the docstrings tell it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cmp_to_key

from tests.oracles.account_orders import INF, NAN, NO_ORDER, NOISE, Decision, Order, Rules, missing, order_of


def before_or_after(one: float, other: float) -> int:
    """Compare two orders' worths for a sort; what differs by less than one part in 10^9 is equal."""
    if abs(one - other) <= 1e-9 * abs(other):
        return 0
    return -1 if one < other else 1


@dataclass(frozen=True)
class Bar:
    open: float
    high: float
    low: float
    close: float
    volume: float = NAN
    fill: float = NAN
    funding_open: float = 0.0
    funding_inside: float = 0.0
    is_last: bool = False

    def path(self) -> tuple[float, float, float]:
        """Return open, low and high; what is missing is read from what is there."""
        close = self.open if missing(self.close) else self.close
        opened = self.close if missing(self.open) else self.open
        low = min(opened, close) if missing(self.low) else self.low
        high = max(opened, close) if missing(self.high) else self.high
        return opened, low, high


@dataclass(frozen=True)
class Venue:
    lot: float = 0.0
    min_amount: float = 0.0
    min_value: float = 0.0
    tick: float = 0.0


@dataclass
class Resting:
    price: float
    order: Order
    bars_left: int
    decision: Decision


@dataclass
class Column:
    venue: Venue = field(default_factory=Venue)
    amount: float = 0.0
    debt: float = 0.0
    last: float = 0.0
    stop_base: float = NAN
    target_base: float = NAN
    sl: float = NAN
    tp: float = NAN
    bars_left: int = 0
    resting: Resting | None = None
    stopped: bool = False
    stuck: bool = False
    late: bool = False

    def forget(self) -> None:
        self.sl, self.tp, self.bars_left = NAN, NAN, 0


@dataclass
class Account:
    cash: float
    columns: list[Column]
    rules: Rules
    traded: dict[int, float] = field(default_factory=dict)
    today: int = 0
    fills: list[tuple[int, float, float, float, str]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)

    # -------------------------------------------------------------------------------------- small facts
    def worth(self) -> float:
        return self.cash + sum(c.amount * c.last for c in self.columns if c.amount != 0.0)

    def debt(self) -> float:
        return sum(c.debt for c in self.columns)

    def fee_rate(self, maker: bool) -> float:
        taker_rate, maker_rate = self.rules.fees, self.rules.maker
        if self.rules.tiers:
            recent = sum(value for day, value in self.traded.items() if self.today - day < 30)
            for least, tier_taker, tier_maker in self.rules.tiers:
                if recent >= least:
                    taker_rate, maker_rate = tier_taker, tier_maker
        return maker_rate if maker else taker_rate

    # -------------------------------------------------------------------------------------- how much can be done
    def margin_room(self, j: int, price: float, paid: float, rate: float, side: int) -> float:
        """Return the most by which positions are still worth no more than leverage times the account afterwards."""
        rules, me = self.rules, self.columns[j]
        marks = [price if k == j else c.last for k, c in enumerate(self.columns)]
        equity = self.cash - rules.fixed
        others = 0.0
        for k, (c, mark) in enumerate(zip(self.columns, marks, strict=True)):
            if c.amount != 0.0:
                equity += c.amount * mark
                others += abs(c.amount) * mark if k != j else 0.0
        # positions after: others + (side * held + x) * price; account after: equity - x * loss
        loss = side * (paid - price) + paid * rate
        x = (rules.leverage * equity - others - side * me.amount * price) / (price + rules.leverage * loss)
        room = 0.0 if x * price <= NOISE * rules.leverage * (equity + rules.fixed) else x
        return max(room, -side * me.amount, 0.0)

    def sale(self, j: int, order: Order, price: float, paid: float, rate: float) -> float:
        wanted, held = -order.amount, self.columns[j].amount
        if order.limits == "longonly":
            wanted = min(wanted, max(held, 0.0))
        elif self.rules.leverage > 1:
            wanted = min(wanted, self.margin_room(j, price, paid, rate, -1))
        elif wanted == INF:
            # what is held, and a short as large as the cash that no short has brought in
            long = max(held, 0.0)
            free = self.cash - 2 * self.debt() + long * paid * (1 - rate)
            short = (free - self.rules.fixed) / (paid * (1 + rate))
            wanted = long if free <= NOISE * self.cash else max(long + short, 0.0)
        return order.share * wanted

    def purchase(self, j: int, order: Order, price: float, paid: float, rate: float) -> tuple[float, bool]:
        """Return the amount, and whether it takes all the cash there is for it."""
        wanted = order.amount
        if order.limits == "shortonly":
            wanted = min(wanted, max(-self.columns[j].amount, 0.0))
        if self.rules.leverage > 1:
            return min(wanted, order.share * self.margin_room(j, price, paid, rate, 1)), False
        purse = min(self.cash, order.share * self.cash)
        if wanted * paid * (1 + rate) + self.rules.fixed > purse:
            return max((purse - self.rules.fixed) / (1 + rate) / paid, 0.0), True
        return wanted, False

    # -------------------------------------------------------------------------------------- one fill
    def fill(self, j: int, order: Order, price: float, kind: str, slips: bool, cap: float = NAN) -> bool:
        """Fill an order as far as account and venue allow; `cap` is the limit that a price never gets worse than."""
        if missing(order.amount) or missing(price) or order.amount == 0.0:
            return False
        rules, column, bar = self.rules, self.columns[j], self.bars[j]
        venue, side = column.venue, (1 if order.amount > 0 else -1)
        rate = self.fee_rate(kind == "limit")

        def possible(paid: float) -> tuple[float, bool]:
            if side > 0:
                return self.purchase(j, order, price, paid, rate)
            return self.sale(j, order, price, paid, rate), False

        slip = rules.slippage if slips else 0.0
        if slips and rules.impact > 0 and bar.volume > 0:
            asked, _ = possible(price * (1 + side * slip))
            slip = min(slip + rules.impact * math.sqrt(asked / bar.volume), 0.99)
        paid = to_tick(price * (1 + side * slip), venue.tick, side)
        if not missing(cap):
            paid = min(paid, cap) if side > 0 else max(paid, cap)
        amount, all_cash = possible(paid)
        if venue.lot > 0:
            all_cash = False
            amount = math.floor(amount / venue.lot + 1e-9) * venue.lot
            cost = amount * paid * (1 + rate) + rules.fixed
            if side > 0 and rules.leverage == 1 and cost > self.cash:
                amount -= venue.lot
        value = amount * paid
        spent = min(self.cash, order.share * self.cash)
        fee = spent - value if all_cash else value * rate + rules.fixed
        if amount <= 0 or amount < venue.min_amount or value < venue.min_value or (side < 0 and value < fee):
            return False
        self.book(column, side * amount, paid)
        self.cash = self.cash - spent if all_cash else self.cash - side * value - fee
        self.traded[self.today] = self.traded.get(self.today, 0.0) + value
        self.fills.append((j, side * amount, paid, fee, kind))
        return True

    @staticmethod
    def book(column: Column, signed: float, paid: float) -> None:
        before = column.amount
        after = before + signed
        if abs(after) <= NOISE * max(abs(before), abs(signed)):
            after = 0.0
        if signed > 0 > before:
            column.debt = 0.0 if after >= 0 else column.debt * (1 - signed / -before)
        if signed < 0 and after < 0:
            column.debt += min(-signed, -after) * paid
        column.amount = after

    def trade(self, j: int, order: Order, price: float, kind: str, slips: bool, decision: Decision, cap: float) -> bool:
        """Fill and set the stops, which count from the price before slippage; what grows gets the new ones."""
        column = self.columns[j]
        before = column.amount
        if not self.fill(j, order, price, kind, slips, cap):
            return False
        after = column.amount
        if after == 0:
            column.forget()
            return True
        new = before == 0 or (before > 0) != (after > 0)
        if new:
            column.sl, column.stop_base = decision.sl, price
            column.tp, column.target_base = decision.tp, price
            column.bars_left = self.rules.time_stop
        elif abs(after) > abs(before):
            if not missing(decision.sl):
                column.sl, column.stop_base = decision.sl, price
            if not missing(decision.tp):
                column.tp, column.target_base = decision.tp, price
        return True

    def close(self, j: int, price: float, kind: str, slips: bool) -> None:
        column = self.columns[j]
        limits = "longonly" if column.amount > 0 else "shortonly"
        self.fill(j, Order(-column.amount, 1.0, limits), price, kind, slips)
        if column.amount == 0:
            column.forget()

    # -------------------------------------------------------------------------------------- orders of the bar
    def orders(self, decisions: list[Decision]) -> None:
        if all(d.is_nothing for d in decisions):
            return
        for column, bar in zip(self.columns, self.bars, strict=True):
            if not missing(bar.fill):
                column.last = bar.fill
        worth = self.worth()
        if self.rules.drift > 0 and not self.has_drifted(decisions, worth):
            return

        def asked(j: int) -> Order:
            if missing(self.bars[j].fill) or decisions[j].is_nothing:
                return NO_ORDER
            return order_of(decisions[j], self.columns[j].amount, self.bars[j].fill, worth, self.rules)

        sequence = list(range(len(self.columns)))
        if self.rules.call_seq == "reversed":
            sequence.reverse()
        elif self.rules.call_seq == "auto":
            values = [self.order_value(j, asked(j)) for j in sequence]
            sequence.sort(key=cmp_to_key(lambda a, b: before_or_after(values[a], values[b])))
        for j in sequence:
            stopped = not self.rules.at_open and self.same_bar and self.columns[j].stopped
            if not missing(self.bars[j].fill) and not stopped:
                self.place(j, asked(j), decisions[j])

    def place(self, j: int, order: Order, decision: Decision) -> None:
        """Fill an order, or let it rest at its limit where that is not reached yet."""
        column, price, limit = self.columns[j], self.bars[j].fill, NAN
        if order.amount == 0 or missing(order.amount):
            self.withdraw(column, decision)
            return
        column.resting = None
        if order.opens and not missing(decision.limit) and not missing(decision.reference):
            side = 1 if order.amount > 0 else -1
            limit = decision.reference * (1 - side * decision.limit)
            if side * (limit - price) < 0:
                column.resting = Resting(limit, order, self.rules.limit_bars, decision)
                return
        self.trade(j, order, price, "order", True, decision, limit)

    same_bar: bool = False

    @staticmethod
    def withdraw(column: Column, decision: Decision) -> None:
        """Take back a resting entry when its exit is signalled."""
        if column.resting is not None and decision.signals is not None:
            side = "long" if column.resting.order.amount > 0 else "short"
            if f"{side} exit" in decision.signals and f"{side} entry" not in decision.signals:
                column.resting = None

    def has_drifted(self, decisions: list[Decision], worth: float) -> bool:
        misses = [
            abs(d.size - c.amount * c.last / worth)
            for d, c, bar in zip(decisions, self.columns, self.bars, strict=True)
            if not missing(d.size) and not missing(bar.fill)
        ]
        return any(miss >= self.rules.drift for miss in misses)

    def order_value(self, j: int, order: Order) -> float:
        """Return what an order is worth, roughly, to put sales before buys and small buys before large ones."""
        price, held = self.bars[j].fill, self.columns[j].amount
        if missing(order.amount) or missing(price):
            return 0.0
        if not math.isinf(order.amount):
            return order.amount * price
        if order.amount > 0:
            return order.share * self.cash
        if order.limits == "longonly":
            return -order.share * held * price
        return -order.share * (2 * max(held * price, 0.0) + max(self.cash - 2 * self.debt(), 0.0))

    # -------------------------------------------------------------------------------------- inside the bar
    def inside(self) -> None:
        for j, column in enumerate(self.columns):
            column.stopped = column.late = column.stuck = False
            opened = self.bars[j].path()[0]
            if missing(opened):
                continue
            if column.amount != 0:
                self.stop_at_open(j, opened)
            if column.resting is not None:
                self.limit(j)
        path = self.ruin()
        for j, column in enumerate(self.columns):
            if column.amount != 0 and not (missing(column.sl) and missing(column.tp)):
                self.stop_inside(j, path)
        share = self.ruin()
        if share <= 1:
            spans = [self.span(j) for j in range(len(self.columns))]
            for j, (opened, worst) in enumerate(spans):
                if self.columns[j].amount != 0:
                    self.close(j, opened + share * (worst - opened), "liquidation", True)
                    self.columns[j].stopped = True

    def levels(self, j: int) -> tuple[float, float, int]:
        column = self.columns[j]
        side = 1 if column.amount > 0 else -1
        return column.stop_base * (1 - side * column.sl), column.target_base * (1 + side * column.tp), side

    def stop_at_open(self, j: int, opened: float) -> None:
        stop, target, side = self.levels(j)
        if side * (opened - stop) <= 0:
            self.leave(j, opened, self.stop_kind)
        elif side * (opened - target) >= 0:
            self.leave(j, opened, "take profit")
        else:
            return
        self.columns[j].stuck = self.columns[j].amount != 0

    @property
    def stop_kind(self) -> str:
        return "trailing stop" if self.rules.sl_trail else "stop loss"

    def leave(self, j: int, price: float, kind: str) -> None:
        self.close(j, price, kind, self.rules.stop_market)
        self.columns[j].stopped = True

    def limit(self, j: int) -> None:
        column, (opened, low, high) = self.columns[j], self.bars[j].path()
        resting = column.resting
        assert resting is not None
        buying = resting.order.amount > 0
        resting.bars_left -= 1
        at_open = opened <= resting.price if buying else opened >= resting.price
        crossed = low < resting.price if buying else high > resting.price
        touched = (low if buying else high) == resting.price and self.rules.ambiguity != "pessimistic"
        if at_open or crossed or touched:
            column.resting = None
            price = opened if at_open else resting.price
            filled = self.trade(j, resting.order, price, "limit", False, resting.decision, NAN)
            column.late = filled and not at_open
        elif resting.bars_left <= 0:
            column.resting = None

    def stop_inside(self, j: int, ruin: float) -> None:
        column, bar = self.columns[j], self.bars[j]
        opened, low, high = bar.path()
        if missing(opened) or column.stuck:
            return
        stop, target, side = self.levels(j)
        worst, best = (low, high) if side > 0 else (high, low)
        stopped, reached = side * (stop - worst) >= 0, side * (best - target) >= 0
        mode = self.rules.ambiguity
        if column.late and mode != "optimistic":
            reached = False  # the best price may have come before the limit was reached

        def way(price: float) -> float:
            return abs(price - opened) / abs(worst - opened) if worst != opened else 0.0

        first = ""
        if stopped and reached:
            nearer = abs(target - opened) < abs(stop - opened)
            first = "target" if mode == "optimistic" or (mode == "neutral" and nearer) else "stop"
        elif stopped or reached:
            first = "stop" if stopped else "target"
        # liquidation is one more thing that a bar may hold
        if first == "stop" and way(stop) > ruin:
            first = ""
        if first == "target" and ruin <= 1 and (mode == "pessimistic" or (mode == "neutral" and way(target) > ruin)):
            first = ""
        if first == "stop":
            self.leave(j, stop, self.stop_kind)
        elif first == "target":
            self.leave(j, target, "take profit")
        elif self.rules.sl_trail:
            # what followed a fill inside the bar is known only at its close
            best = (opened if missing(bar.close) else bar.close) if column.late else best
            column.stop_base = max(column.stop_base, best) if side > 0 else min(column.stop_base, best)

    def span(self, j: int) -> tuple[float, float]:
        """Return open and worst price of a column's bar, as far as liquidation looks."""
        column, bar = self.columns[j], self.bars[j]
        opened, low, high = bar.path()
        if missing(opened):
            return column.last, column.last
        alone = sum(c.amount != 0 for c in self.columns) == 1
        if alone or self.rules.ambiguity == "pessimistic":
            return opened, low if column.amount > 0 else high
        return opened, opened if missing(bar.close) else bar.close

    def ruin(self) -> float:
        """Return at what share of the way from opens to worst prices the margin is gone; infinite if never."""
        held = [(c.amount, self.span(j)) for j, c in enumerate(self.columns) if c.amount != 0]
        if not held or self.rules.maintenance <= 0:
            return INF

        def spare(at: Callable[[tuple[float, float]], float]) -> float:
            return self.cash + sum(a * at(s) - self.rules.maintenance * abs(a) * at(s) for a, s in held)

        begin, end = spare(lambda s: s[0]), spare(lambda s: s[1])
        if begin <= 0:
            return 0.0
        return INF if end > 0 else begin / (begin - end)

    # -------------------------------------------------------------------------------------- the rest
    def fund(self, when: str) -> None:
        for column, bar in zip(self.columns, self.bars, strict=True):
            if column.amount != 0:
                price = column.last if missing(bar.open) else bar.open
                self.cash -= column.amount * price * getattr(bar, when)

    def time_stops(self) -> None:
        for j, column in enumerate(self.columns):
            if column.amount == 0 or column.bars_left == 0:
                continue
            column.bars_left = max(column.bars_left - 1, 0)
            if column.bars_left == 0:
                if missing(self.bars[j].fill):
                    column.bars_left = 1  # as soon as there is a price
                else:
                    self.close(j, self.bars[j].fill, "time stop", True)
                    column.bars_left = 1 if column.amount != 0 else 0

    def one_bar(self, bars: list[Bar], decisions: list[Decision] | None, *, day: int, same_bar: bool) -> list:
        """Let a bar happen; return its fills (column, signed amount, price, fee, kind)."""
        self.bars, self.today, self.same_bar, self.fills = bars, day, same_bar, []
        self.fund("funding_open")
        if self.rules.at_open:
            self.time_stops()
            if decisions is not None:
                self.orders(decisions)
            self.fund("funding_inside")
            self.inside()
        else:
            self.fund("funding_inside")
            self.inside()
            self.time_stops()
            if decisions is not None:
                self.orders(decisions)
        if self.rules.delist:
            for j, column in enumerate(self.columns):
                if bars[j].is_last and column.amount != 0:
                    self.close(j, bars[j].close, "delisting", True)
        for column, bar in zip(self.columns, bars, strict=True):
            for price in (bar.close, bar.fill):
                if not missing(price):
                    column.last = price
                    break
        return self.fills


def to_tick(price: float, tick: float, side: int) -> float:
    """Round against the trader; what floating point misses a tick by is on it."""
    if tick <= 0:
        return price
    return (math.ceil(price / tick - 1e-9) if side > 0 else math.floor(price / tick + 1e-9)) * tick


def new_account(cash: float, venues: list[Venue], rules: Rules) -> Account:
    return Account(cash, [Column(venue) for venue in venues], replace(rules))
