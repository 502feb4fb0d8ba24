"""The matching engine as plain Python: a list of orders at every price, absolute prices, one order an object.

It draws the same random numbers in the same order as the kernels and shares nothing else with them: no window of
queues, no counters of units ahead. Our order is an order in a list like any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

_WINDOW = 128
_MASK = 2**64 - 1


class Stream:
    """SplitMix64."""

    def __init__(self, state: int) -> None:
        self.state = int(state)

    def uniform(self) -> float:
        self.state = (self.state + 0x9E3779B97F4A7C15) & _MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((z ^ (z >> 31)) >> 11) / 2**53

    def exponential(self) -> float:
        return -math.log(1.0 - self.uniform())

    def poisson(self, mean: float) -> int:
        count, product = 0, self.uniform()
        while product > math.exp(-mean):
            count += 1
            product *= self.uniform()
        return count


@dataclass
class Order:
    size: int
    mine: bool = False


@dataclass
class PlainBook:
    """Bids and asks by price; each price holds its orders, oldest first."""

    limit: list[float]
    cancel: list[float]
    market: float
    jump: float
    order_size: int
    flow_stream: Stream
    cancel_stream: Stream
    bids: dict[int, list[Order]] = field(default_factory=dict)
    asks: dict[int, list[Order]] = field(default_factory=dict)
    base: int = 0
    own: Order | None = None
    own_price: int = 0
    own_side: int = 0
    lost_ahead: int = 0
    fills: list[tuple[int, int]] = field(default_factory=list)
    net_flow: int = 0
    moved: int = 0
    limits_added: int = 0
    cancelled: int = 0
    taken: int = 0
    forgotten: int = 0
    drawn: int = 0

    # ---------------------------------------------------------------------------------- what is there
    def others(self, side: int) -> dict[int, int]:
        """Units of others by price."""
        book = self.bids if side > 0 else self.asks
        sums = {price: sum(o.size for o in queue if not o.mine) for price, queue in book.items()}
        return {price: units for price, units in sums.items() if units}

    def best(self, side: int) -> int:
        book = self.bids if side > 0 else self.asks
        prices = (price for price, queue in book.items() if self._anybody(queue))
        return max(prices) if side > 0 else min(prices)

    @staticmethod
    def _anybody(queue: list[Order]) -> bool:
        return len(queue) > 1 or (len(queue) == 1 and not queue[0].mine)

    def units_ahead(self) -> int:
        queue = (self.bids if self.own_side > 0 else self.asks)[self.own_price]
        return sum(order.size for order in queue[: queue.index(self.own)])

    def depth(self) -> list[int]:
        bids, asks = self.others(1), self.others(-1)
        return [bids.get(p, 0) + asks.get(p, 0) for p in range(self.base, self.base + _WINDOW)]

    def inside(self, price: int) -> bool:
        return self.base <= price < self.base + _WINDOW

    # ---------------------------------------------------------------------------------- building
    def draw(self, centre: int) -> None:
        self.base = centre - _WINDOW // 2
        self.own = None
        self.bids, self.asks = {}, {}
        rates = [b - a for a, b in zip([0.0, *self.limit], self.limit, strict=False)]
        far = rates[-1] / self.cancel[-1]
        for distance in range(1, _WINDOW // 2 + 1):
            mean = rates[distance - 1] / self.cancel[distance - 1] if distance <= len(rates) else far
            bids, asks = self.cancel_stream.poisson(mean), self.cancel_stream.poisson(mean)
            if distance == 1:
                bids, asks = max(bids, 1), max(asks, 1)
            self.bids[centre - distance] = [Order(self.order_size) for _ in range(bids)]
            self.asks[centre + distance - 1] = [Order(self.order_size) for _ in range(asks)]

    def warm_up(self, centre: int, duration: float = 5.0) -> None:
        """Draw a book, run it without jumps, and carry it to the price `centre`."""
        self.draw(centre)
        jump, self.jump = self.jump, 0.0
        self.run(duration)
        self.jump = jump
        by = centre - (self.best(1) + self.best(-1)) // 2
        self.bids = {price + by: queue for price, queue in self.bids.items()}
        self.asks = {price + by: queue for price, queue in self.asks.items()}
        self.base += by
        self.moved, self.net_flow = 0, 0

    def backstop(self) -> None:
        """Give a side that the window holds nothing of one order at the window's edge."""
        if not any(self._anybody(queue) for queue in self.bids.values()):
            self.bids.setdefault(self.base, []).append(Order(self.order_size))
            self.drawn += self.order_size
        if not any(self._anybody(queue) for queue in self.asks.values()):
            self.asks.setdefault(self.base + _WINDOW - 1, []).append(Order(self.order_size))
            self.drawn += self.order_size

    def slide(self) -> None:
        bid, ask, levels = self.best(1), self.best(-1), len(self.limit)
        if ask - self.base - levels >= 1 and bid - self.base + levels <= _WINDOW - 2:
            return
        shift = (bid + ask - 2 * self.base) // 2 - _WINDOW // 2
        was_inside = self.own is not None and self.inside(self.own_price)
        if was_inside:
            self.lost_ahead = self.units_ahead()
        old = range(self.base, self.base + _WINDOW)
        self.base += shift
        far = (self.limit[-1] - (self.limit[-2] if len(self.limit) > 1 else 0.0)) / self.cancel[-1]
        for book in (self.bids, self.asks):
            for price in [p for p in book if not self.inside(p)]:
                self.forgotten += sum(o.size for o in book.pop(price) if not o.mine)
        new = range(self.base, self.base + _WINDOW)
        entering = [p for p in (new if shift > 0 else reversed(new)) if p not in old]
        for price in entering:
            orders = [Order(self.order_size) for _ in range(self.cancel_stream.poisson(far))]
            self.drawn += self.order_size * len(orders)
            (self.asks if shift > 0 else self.bids)[price] = orders
        if self.own is not None and self.inside(self.own_price) and not was_inside:
            self._rejoin(self.lost_ahead)

    def _rejoin(self, ahead: int) -> None:
        queue = (self.bids if self.own_side > 0 else self.asks).setdefault(self.own_price, [])
        place, units = 0, 0
        while place < len(queue) and units < ahead:
            units += queue[place].size
            place += 1
        queue.insert(place, self.own)

    # ---------------------------------------------------------------------------------- our order
    def withdraw(self) -> None:
        for book in (self.bids, self.asks):
            for price in book:
                book[price] = [order for order in book[price] if not order.mine]
        self.own = None

    def place(self, side: int, price: int, size: int) -> None:
        self.withdraw()
        self.own, self.own_price, self.own_side = Order(size, mine=True), price, side
        (self.bids if side > 0 else self.asks).setdefault(price, []).append(self.own)

    def _fill_mine(self, most: int) -> int:
        part = min(most, self.own.size)
        self.own.size -= part
        if part:
            self.fills.append((self.own_price, part))
        if self.own.size == 0:
            self.withdraw()
        return part

    # ---------------------------------------------------------------------------------- events
    def take(self, side: int, quantity: int) -> int:
        """Execute a market order; return ticks times units."""
        book = self.asks if side > 0 else self.bids
        paid = 0
        while quantity > 0:
            reach = [p for p, queue in book.items() if queue and self.inside(p)]
            price = min(reach) if side > 0 else max(reach)
            while book.get(price) and quantity > 0:
                front = book[price][0]
                part = self._fill_mine(quantity) if front.mine else min(front.size, quantity)
                if not front.mine:
                    front.size -= part
                    self.taken += part
                    if front.size == 0:
                        book[price].remove(front)
                paid += part * price
                quantity -= part
            edge = price in (self.base, self.base + _WINDOW - 1)
            if quantity > 0 and edge and not self.others(-side):
                paid += quantity * (price + side)
                quantity = 0
            self.backstop()
        return paid

    def add_limit(self, mark: float, side: int) -> None:
        distance = 1 + sum(mark >= bound for bound in self.limit[:-1])
        price = self.best(-side) - side * distance
        size = self.order_size
        crosses = self.own is not None and self.own_side == -side and (price - self.own_price) * side >= 0
        if crosses and self.inside(self.own_price):
            size -= self._fill_mine(size)
        if size:
            (self.bids if side > 0 else self.asks).setdefault(price, []).append(Order(size))
            self.limits_added += size

    def shift(self, direction: int) -> None:
        """Everybody but us moves by a tick."""
        was_inside = self.own is not None and self.inside(self.own_price)
        if was_inside:
            self.lost_ahead = self.units_ahead()
        mine = self.own
        if mine is not None:
            self.withdraw()
        self.bids = {p + direction: queue for p, queue in self.bids.items()}
        self.asks = {p + direction: queue for p, queue in self.asks.items()}
        self.base += direction
        self.moved += direction
        self.own = mine
        if mine is None or not self.inside(self.own_price):
            return
        other = self.asks if self.own_side > 0 else self.bids
        if self.own_price == self.best(-self.own_side):
            queue = other[self.own_price]
            while queue and self.own is not None:
                part = min(queue[0].size, self.own.size)
                queue[0].size -= part
                self.taken += part
                if queue[0].size == 0:
                    queue.pop(0)
                self._fill_mine(part)
            self.backstop()
        if self.own is not None:
            (self.bids if self.own_side > 0 else self.asks).setdefault(self.own_price, []).append(self.own)

    def cancel_rates(self) -> tuple[float, float]:
        bid, ask = self.best(1), self.best(-1)
        sums = [0.0, 0.0]
        for level, rate in enumerate(self.cancel):
            for column, (book, price) in enumerate(((self.bids, ask - 1 - level), (self.asks, bid + 1 + level))):
                sums[column] += rate * sum(not order.mine for order in book.get(price, []))
        return sums[0], sums[1]

    def cancel_one(self, bids: float, asks: float) -> None:
        mark = self.cancel_stream.uniform() * (bids + asks)
        bid, ask = self.best(1), self.best(-1)
        book, first, step = self.bids, ask - 1, -1
        if mark >= bids and asks > 0:
            mark, book, first, step = mark - bids, self.asks, bid + 1, 1
        for level, rate in enumerate(self.cancel):
            queue = [order for order in book.get(first + step * level, []) if not order.mine]
            if queue and mark < rate * len(queue):
                gone = queue[min(int(mark / rate), len(queue) - 1)]
                book[first + step * level] = [o for o in book[first + step * level] if o is not gone]
                self.cancelled += gone.size
                break
            mark -= rate * len(queue)
        self.backstop()

    def exogenous(self) -> None:
        mark = self.flow_stream.uniform() * 2.0 * (self.limit[-1] + self.market + self.jump)
        for side in (1, -1):
            if mark < self.limit[-1]:
                self.add_limit(mark, side)
                return
            mark -= self.limit[-1]
        if mark < 2.0 * self.market:
            side = 1 if mark < self.market else -1
            self.take(side, self.order_size)
            self.net_flow += side * self.order_size
        else:
            self.shift(1 if mark - 2.0 * self.market < self.jump else -1)

    def run(self, duration: float, most: int | None = None) -> list[float]:
        """Run for `duration` or `most` events; return when each happened."""
        total = 2.0 * (self.limit[-1] + self.market + self.jump)
        now, times = 0.0, []
        following = self.flow_stream.exponential() / total
        budget = self.cancel_stream.exponential()
        while most is None or len(times) < most:
            bids, asks = self.cancel_rates()
            if budget < (bids + asks) * (following - now):
                when = now + budget / (bids + asks)
                if when >= duration:
                    break
                now, budget = when, self.cancel_stream.exponential()
                self.cancel_one(bids, asks)
            else:
                if following >= duration:
                    break
                budget -= (bids + asks) * (following - now)
                now = following
                self.exogenous()
                following = now + self.flow_stream.exponential() / total
            self.slide()
            times.append(now)
        return times
