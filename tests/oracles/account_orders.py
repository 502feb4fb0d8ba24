"""From what was decided to an order, slow and plain: sizes, conflicts of signals, accumulation, reversal."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

NAN, INF = float("nan"), float("inf")
NOISE = 1e-12


def missing(x: float) -> bool:
    return x != x


@dataclass(frozen=True)
class Decision:
    """What was decided for one column: a set of signals with a size, or (signals None) an order."""

    row: int
    signals: frozenset[str] | None
    size: float
    sl: float = NAN
    tp: float = NAN
    limit: float = NAN
    reference: float = NAN

    @property
    def is_nothing(self) -> bool:
        return missing(self.size) if self.signals is None else not self.signals


@dataclass(frozen=True)
class Rules:
    at_open: bool = True
    size_type: str = "amount"
    direction: str = "longonly"
    accumulate: str = "disabled"
    long_conflict: str = "ignore"
    short_conflict: str = "ignore"
    dir_conflict: str = "ignore"
    opposite_entry: str = "reversereduce"
    call_seq: str = "default"
    ambiguity: str = "pessimistic"
    sl_trail: bool = False
    time_stop: int = 0
    limit_bars: int = 1
    stop_market: bool = False
    leverage: float = 1.0
    maintenance: float = 0.0
    delist: bool = False
    fees: float = 0.0
    slippage: float = 0.0
    fixed: float = 0.0
    impact: float = 0.0
    maker: float = 0.0
    tiers: tuple[tuple[float, float, float], ...] = ()
    drift: float = 0.0


@dataclass(frozen=True)
class Order:
    """`amount` is signed, infinite for all that can be; `share` is of all that can be; `limits` what it may not do."""

    amount: float
    share: float = 1.0
    limits: str = "both"
    opens: bool = False


NO_ORDER = Order(0.0)


def sized(size: float, rules: Rules, limits: str, held: float, price: float, worth: float, opens: bool) -> Order:
    """Return the order of a size; what `shortonly` buys of is a short, so its sizes sell."""
    if missing(size):
        return NO_ORDER
    if limits == "shortonly":
        size = -size
    kind = rules.size_type
    if kind == "percent":
        return Order(math.copysign(INF, size) if size else 0.0, min(abs(size), 1.0), limits, opens)
    target = kind.startswith("target")
    if kind == "targetpercent":
        if worth <= 0:
            return NO_ORDER
        size = size * worth / price
    elif kind in ("value", "targetvalue"):
        size = size / price
    if target:
        size -= held
        if abs(size * price) <= NOISE * worth:
            return NO_ORDER
    return Order(size, 1.0, limits, opens)


def settle(one: bool, other: bool, mode: str, held_one: bool, held_any: bool) -> tuple[bool, bool]:
    """Settle a conflict: the first, the second, what goes with the position, what goes against it, or neither."""
    if not (one and other):
        return one, other
    if mode in ("entry", "long"):
        return True, False
    if mode in ("exit", "short"):
        return False, True
    if mode in ("adjacent", "opposite") and held_any:
        first = held_one if mode == "adjacent" else not held_one
        return first, not first
    return False, False


def order_of(decision: Decision, held: float, price: float, worth: float, rules: Rules) -> Order:
    """Return the order of a bar's signals, or of its size."""
    size = decision.size
    if decision.signals is None:
        return sized(size, rules, rules.direction, held, price, worth, True)
    enter, leave, accumulate = settled(decision.signals, held, rules)
    if held != 0:
        return on_position(enter, leave, replace(rules, accumulate=accumulate), size, held, price, worth)
    if enter["long"] or enter["short"]:
        return sized(size if enter["long"] else -size, rules, "both", held, price, worth, True)
    return NO_ORDER


def settled(said: frozenset[str], held: float, rules: Rules) -> tuple[dict[str, bool], dict[str, bool], str]:
    """Return entries and exits by side, and the accumulation, once every conflict is settled."""
    enter = {side: f"{side} entry" in said for side in ("long", "short")}
    leave = {side: f"{side} exit" in said for side in ("long", "short")}
    accumulate = rules.accumulate
    if not any(enter.values()):
        return enter, leave, accumulate
    for side, mode in (("long", rules.long_conflict), ("short", rules.short_conflict)):
        # staying in whatever is held is "adjacent" for an entry
        enter[side], leave[side] = settle(enter[side], leave[side], mode, True, held != 0)
    enter["long"], enter["short"] = settle(enter["long"], enter["short"], rules.dir_conflict, held > 0, held != 0)
    mine, other = ("long", "short") if held > 0 else ("short", "long")
    if held != 0 and enter[other]:
        mode = rules.opposite_entry
        if mode in ("ignore", "close", "closereduce"):
            enter[other] = False
            leave[mine] = leave[mine] or mode != "ignore"
        if mode in ("close", "reverse"):
            accumulate = "disabled"
    return enter, leave, accumulate


def on_position(
    enter: dict[str, bool], leave: dict[str, bool], rules: Rules, size: float, held: float, price: float, worth: float
) -> Order:
    accumulate = rules.accumulate
    removes, adds = accumulate in ("both", "removeonly"), accumulate in ("both", "addonly")
    target = rules.size_type.startswith("target")
    sign, mine, other = (1, "long", "short") if held > 0 else (-1, "short", "long")
    own = f"{mine}only"
    if enter[other]:
        if target or removes:
            return sized(-sign * size, rules, "both", held, price, worth, False)
        beyond = 0.0 if missing(size) else (size / price if rules.size_type == "value" else size)
        return Order(-held - sign * beyond)
    if leave[mine]:
        if target or not removes:
            return Order(-held, 1.0, own)
        return sized(-size, rules, own, held, price, worth, False)
    if enter[mine] and adds:
        return sized(size, rules, own, held, price, worth, False)
    return NO_ORDER
