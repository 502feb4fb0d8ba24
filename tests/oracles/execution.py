"""One execution as plain Python over the plain book: decisions, accounts and features, one path at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from gwt_lab.execution.core import KEEP, ExecutionTask
from gwt_lab.execution.order_book import OrderBookParameters
from tests.oracles.order_book import PlainBook, Stream


def plain_book(parameters: OrderBookParameters, seed: int) -> PlainBook:
    flow, cancel = np.random.SeedSequence(seed).generate_state(2, np.uint64)
    distances = range(1, parameters.n_levels + 1)
    rates, cancels = [], []
    for distance in distances:
        known = distance <= len(parameters.limit_rates)
        power = parameters.tail_scale / distance**parameters.tail_exponent
        rates.append(parameters.limit_rates[distance - 1] if known else power)
        cancels.append(parameters.cancel_rates[min(distance, len(parameters.cancel_rates)) - 1])
    return PlainBook(
        limit=[float(bound) for bound in np.cumsum(rates)],
        cancel=cancels,
        market=parameters.market_rate,
        jump=parameters.efficient_volatility**2 / 2,
        order_size=parameters.order_size,
        flow_stream=Stream(flow),
        cancel_stream=Stream(cancel),
    )


@dataclass
class PlainExecution:
    """A parent order on one book."""

    task: ExecutionTask
    seed: int
    step: int = 0
    taker: list[tuple[float, int]] = field(default_factory=list)
    maker: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book = plain_book(self.task.book, self.seed)
        self.book.warm_up(self.task.book.initial_ticks)
        self.left = self.task.target_quantity
        self.arrival = self.before = self.mid()
        self.flow = 0

    def mid(self) -> float:
        return (self.book.best(1) + self.book.best(-1)) / 2

    def _send(self, units: int) -> None:
        if units > 0:
            self.taker.append((self.book.take(self.task.direction, units) / units, units))
            self.left -= units

    def _rest(self, wanted: int) -> None:
        book, side = self.book, self.task.direction
        wanted = wanted if wanted == KEEP else min(wanted, self.left)
        if wanted == KEEP:
            wanted = None
        elif wanted == 0:
            book.withdraw()
        elif book.own is not None and book.own_price == book.best(side):
            pass
        else:
            book.place(side, book.best(side), wanted)
        if book.own is not None:
            book.own.size = min([book.own.size, self.left] + ([wanted] if wanted else []))
            if book.own.size == 0:
                book.withdraw()

    def decide(self, market: int, limit: int) -> None:
        if self.left == 0 or self.step >= self.task.time_horizon:
            return
        book = self.book
        self.before, book.net_flow, book.moved, book.fills = self.mid(), 0, 0, []
        self._send(min(max(market, 0), self.left))
        self.held = self.left
        self._rest(limit)
        book.slide()
        if self.left:
            book.run(self.task.step_seconds / self.task.book.seconds_per_unit)
        self.maker += book.fills
        self.left -= sum(units for _, units in book.fills)
        self.step += 1
        if self.step == self.task.time_horizon and self.left:
            book.withdraw()
            self._send(self.left)
            book.slide()
        self.flow = book.net_flow

    def shortfall_bps(self) -> float:
        """Side times average fill over arrival, plus fees."""
        total = self.task.target_quantity
        average = sum(price * units for price, units in self.taker + self.maker) / total
        fees = sum(price * units for price, units in self.taker) * self.task.taker_fee_bps / 1e4
        fees += sum(price * units for price, units in self.maker) * self.task.maker_fee_bps / 1e4
        slip = self.task.direction * (average - self.arrival) / self.arrival
        return 1e4 * (slip + fees / (total * self.arrival))

    def features(self) -> list[float]:
        task, book, side = self.task, self.book, self.task.direction
        size, bests = task.book.order_size, {1: book.best(1), -1: book.best(-1)}
        near, far = book.others(side), book.others(-side)
        touch, opposite = bests[side], bests[-side]
        mine = book.own.size if book.own is not None else 0
        at_touch = near[touch] + (mine if mine and book.own_price == touch else 0)
        near_5 = sum(near.get(touch - side * k, 0) for k in range(5))
        far_5 = sum(far.get(opposite + side * k, 0) for k in range(5))
        ahead = 0
        if mine:
            ahead = book.units_ahead() if book.inside(book.own_price) else book.lost_ahead
        time, quantity = 1 - self.step / task.time_horizon, self.left / task.target_quantity
        raw = [
            time,
            quantity,
            quantity - time,
            mine / task.target_quantity,
            math.log1p(ahead / size) if mine else 0.0,
            side * (touch - book.own_price) / 2 if mine else 0.0,
            math.log(bests[-1] - bests[1]),
            (at_touch - far[opposite]) / (at_touch + far[opposite]),
            math.log1p(at_touch / size),
            math.log1p(far[opposite] / size),
            (near_5 - far_5) / (near_5 + far_5),
            side * (self.mid() - self.before) / 2,
            side * self.flow / size / 2,
        ]
        return [min(max(value, -10.0), 10.0) for value in raw]
