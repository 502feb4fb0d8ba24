"""Random and hostile cases for one account, and the run of the plain account over all their bars."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.market.bars import Bars
from gwt_lab.market.instruments import Instrument
from tests.oracles.account import Bar, Venue, new_account
from tests.oracles.account_orders import Decision, Rules

NAN = float("nan")
DELAY = {"next_open": 1, "close": 0, "next_close": 1, "given": 0}


@dataclass
class Case:
    """Everything that a simulation takes, as plain arrays; `groups` holds a label a column, or None."""

    bars: Bars
    price: str
    rules: Rules
    init_cash: float = 1_000.0
    signals: dict[str, np.ndarray] | None = None
    size: np.ndarray = field(default_factory=lambda: np.full((1, 1), math.inf))
    sl: Any = NAN
    tp: Any = NAN
    limit: float = NAN
    groups: list[str] | None = None
    given: pd.DataFrame | None = None
    funding: pd.DataFrame | None = None
    venues: list[Venue] | None = None

    def part(self, rows: slice, order: list[int]) -> Case:
        """Return some of the rows, and the columns in another order."""

        def cut(values: Any) -> Any:
            return np.broadcast_to(values, self.bars.shape)[rows][:, order]

        return replace(
            self,
            bars=self.bars.select([self.bars.symbols[j] for j in order]).head(len(range(self.bars.n_times)[rows])),
            size=cut(self.size), sl=cut(self.sl), tp=cut(self.tp),
            signals=None if self.signals is None else {name: cut(values) for name, values in self.signals.items()},
            given=None if self.given is None else self.given.iloc[rows, order],
            funding=None if self.funding is None else self.funding.iloc[:, order],
            venues=None if self.venues is None else [self.venues[j] for j in order],
        )  # fmt: skip

    def keywords(self) -> dict[str, Any]:
        """Return the keywords of `Portfolio.from_signals` and `from_orders`."""
        rules = self.rules
        words: dict[str, Any] = {
            "price": self.given if self.price == "given" else self.price,
            "init_cash": self.init_cash, "sl_stop": self.sl, "tp_stop": self.tp, "limit": self.limit,
            "size_type": rules.size_type, "direction": rules.direction, "accumulate": accumulation(rules),
            "upon_long_conflict": rules.long_conflict, "upon_short_conflict": rules.short_conflict,
            "upon_dir_conflict": rules.dir_conflict, "upon_opposite_entry": rules.opposite_entry,
            "call_seq": rules.call_seq, "ambiguity": rules.ambiguity, "sl_trail": rules.sl_trail,
            "time_stop": rules.time_stop, "limit_bars": rules.limit_bars,
            "stop_exit_price": "stopmarket" if rules.stop_market else "stoplimit", "leverage": rules.leverage,
            "maintenance_margin": rules.maintenance or 0.005, "delisting": "close" if rules.delist else "hold",
            "funding": self.funding, "group_by": self.groups,
        }  # fmt: skip
        return words

    def costs(self) -> dict[str, Any]:
        """Return the keywords of `CostModel`."""
        rules = self.rules
        return {
            "fees": rules.fees, "slippage": rules.slippage, "fixed_fees": rules.fixed, "impact": rules.impact,
            "maker_fees": rules.maker, "fee_tiers": rules.tiers, "use_lots": self.venues is not None,
        }  # fmt: skip


def accumulation(rules: Rules) -> bool | str:
    return {"disabled": False, "both": True}.get(rules.accumulate, rules.accumulate)


# ------------------------------------------------------------------------------------------------ the plain run
def plain_run(case: Case) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int, float, float, float, str]]]:
    """Return cash and value (n_times, n_accounts), and fills (row, column, amount, price, fee, kind)."""
    bars, n = case.bars, case.bars.n_symbols
    groups = case.groups or [str(j) for j in range(n)]
    members = [[j for j in range(n) if groups[j] == label] for label in dict.fromkeys(groups)]
    venues = case.venues or [Venue()] * n
    accounts = [new_account(case.init_cash, [venues[j] for j in chosen], case.rules) for chosen in members]
    # fills name columns as the accounts stand, one after the other
    place = {j: at for at, j in enumerate(j for chosen in members for j in chosen)}
    cash, value, fills = [], [], []
    delay = DELAY[case.price]
    for row in range(bars.n_times):
        day = int(bars.index.asi8[row] // (86_400 * 10**9))
        for account, chosen in zip(accounts, members, strict=True):
            decided = [decision_of(case, row - delay, j) for j in chosen] if row >= delay else None
            found = account.one_bar([bar_of(case, row, j) for j in chosen], decided, day=day, same_bar=delay == 0)
            fills += [(row, place[chosen[j]], *rest) for j, *rest in found]
        cash.append([account.cash for account in accounts])
        value.append([account.worth() for account in accounts])
    return np.array(cash), np.array(value), fills


def bar_of(case: Case, row: int, j: int) -> Bar:
    bars = case.bars
    got = {name: float(getattr(bars, name).iat[row, j]) for name in ("open", "high", "low", "close", "volume")}
    fill = {"next_open": got["open"], "close": got["close"], "next_close": got["close"]}.get(case.price)
    if fill is None:
        fill = float(case.given.iat[row, j])
    closes = bars.close.iloc[:, j].to_numpy()
    later = closes[row + 1 :]
    is_last = bool(len(later)) and not np.isnan(closes[row]) and bool(np.isnan(later).all())
    at_open, inside = funding_of(case, row, j)
    return Bar(**got, fill=fill, funding_open=at_open, funding_inside=inside, is_last=is_last)


def funding_of(case: Case, row: int, j: int) -> tuple[float, float]:
    at_open = inside = 0.0
    if case.funding is not None:
        start = case.bars.index[row]
        end = start + (case.bars.index[1] - case.bars.index[0])
        for moment, rate in case.funding.iloc[:, j].items():
            if start <= moment < end and rate == rate:
                if moment == start:
                    at_open += rate
                else:
                    inside += rate
    return at_open, inside


def decision_of(case: Case, row: int, j: int) -> Decision:
    size, sl, tp = (float(np.broadcast_to(x, case.bars.shape)[row, j]) for x in (case.size, case.sl, case.tp))
    reference = float(case.bars.close.iat[row, j])
    said = None
    if case.signals is not None:
        said = frozenset(
            word
            for name, word in signal_words(case.rules.direction, case.signals).items()
            if name in case.signals and case.signals[name][row, j]
        )
    return Decision(row, said, size, sl, tp, case.limit, reference)


def signal_words(direction: str, signals: dict[str, np.ndarray]) -> dict[str, str]:
    words = {"entries": "long entry", "exits": "long exit", "short_entries": "short entry", "short_exits": "short exit"}
    if direction == "shortonly":
        words |= {"entries": "short entry", "exits": "short exit"}
    if direction == "both" and "short_entries" not in signals:
        words["exits"] = "short entry"
    return words


# ------------------------------------------------------------------------------------------------ hostile bars
SYMBOLS = ("AA/USDT", "BB/USDT", "CC/USDT")


def market(fields: dict[str, np.ndarray], timeframe: str, venues: list[Venue] | None) -> Bars:
    close = fields["close"]
    index = pd.date_range(
        "2024-01-01",
        periods=len(close),
        freq=timeframe.upper() if timeframe.endswith("d") else timeframe,
        unit="ns",
        tz="UTC",
        name="datetime",
    )
    columns = pd.Index(SYMBOLS[: close.shape[1]], name="symbol")
    rules = {
        name: Instrument(name, amount_lot=v.lot, min_amount=v.min_amount, min_notional=v.min_value, price_tick=v.tick)
        for name, v in zip(columns, venues or [], strict=False)
    }
    frames = {name: pd.DataFrame(values, index=index, columns=columns) for name, values in fields.items()}
    return Bars(**frames, timeframe=timeframe, instruments=rules)


def hostile_fields(rng: np.random.Generator, n_times: int, n_symbols: int) -> dict[str, np.ndarray]:
    """Return panels with gaps at the open, missing rows and fields, still prices, tiny and huge prices, early ends."""
    shape = (n_times, n_symbols)
    scale = rng.choice([1e-8, 1.0, 100.0, 1e6], n_symbols, p=[0.1, 0.1, 0.7, 0.1])
    wild = float(rng.choice([0.0, 0.005, 0.03, 0.1]))
    close = scale * np.exp(np.cumsum(rng.normal(0, wild, shape), axis=0))
    gap = np.where(rng.random(shape) < 0.2, rng.normal(0, 2 * wild, shape), 0.0)
    open_ = np.vstack([close[:1], close[:-1]]) * np.exp(gap)
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, wild, shape)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, wild, shape)))
    volume = np.where(rng.random(shape) < 0.1, 0.0, 50 * np.exp(rng.normal(0, 1, shape)) / scale)
    fields = {"open": open_, "high": high, "low": low, "close": close, "volume": volume}
    holes = float(rng.choice([0.0, 0.0, 0.1, 0.3]))
    for values in fields.values():
        values[rng.random(shape) < holes / 3] = np.nan
    gone = rng.random(shape) < holes
    if holes and rng.random() < 0.5:
        gone[int(rng.integers(1, n_times)) :, int(rng.integers(n_symbols))] = True
    for values in fields.values():
        values[gone] = np.nan
    return fields


# ------------------------------------------------------------------------------------------------ random rules
def random_rules(rng: np.random.Generator, price: str, orders: bool) -> Rules:
    """Return rules in which most things are off most of the time, so that each is seen alone and together."""

    def maybe(chance: float, *values: Any, off: Any) -> Any:
        return values[int(rng.integers(len(values)))] if rng.random() < chance else off

    leverage = maybe(0.35, 1.5, 3.0, 10.0, off=1.0)
    modes = ("ignore", "entry", "exit", "adjacent", "opposite")
    sizes = ("amount", "value", "percent", "targetamount", "targetvalue", "targetpercent")
    accumulate = maybe(0.4, "both", "addonly", "removeonly", off="disabled")
    opposite = maybe(0.5, "ignore", "close", "closereduce", "reverse", off="reversereduce")
    size_type = sizes[int(rng.integers(len(sizes)))]
    reverses = opposite == "reverse" or (opposite == "reversereduce" and accumulate in ("disabled", "addonly"))
    if size_type == "percent" and not orders and reverses:
        opposite = "close"
    fees = maybe(0.8, 0.001, 0.01, off=0.0)
    return Rules(
        at_open=price == "next_open",
        size_type=size_type,
        direction=("longonly", "shortonly", "both")[int(rng.integers(3))],
        accumulate=accumulate,
        long_conflict=maybe(0.5, *modes, off="ignore"),
        short_conflict=maybe(0.5, *modes, off="ignore"),
        dir_conflict=maybe(0.5, "long", "short", "adjacent", "opposite", off="ignore"),
        opposite_entry=opposite,
        call_seq=("default", "reversed", "auto")[int(rng.integers(3))],
        ambiguity=("pessimistic", "neutral", "optimistic")[int(rng.integers(3))],
        sl_trail=bool(rng.random() < 0.3),
        time_stop=maybe(0.25, 1, 2, 5, off=0),
        limit_bars=maybe(0.5, 2, 4, off=1),
        stop_market=bool(rng.random() < 0.3),
        leverage=leverage,
        maintenance=0.005 if leverage > 1 else 0.0,
        delist=bool(rng.random() < 0.3),
        fees=fees,
        slippage=maybe(0.6, 0.0005, 0.02, off=0.0),
        fixed=maybe(0.25, 0.5, off=0.0),
        impact=maybe(0.25, 0.01, 0.3, off=0.0),
        maker=maybe(0.3, 0.0, -0.0002, 0.0003, off=fees),
        tiers=maybe(0.25, ((0.0, 0.002, 0.001), (2_000.0, 0.001, 0.0005), (20_000.0, 0.0005, -0.0001)), off=()),
    )


def random_size(rng: np.random.Generator, rules: Rules, shape: tuple[int, int], orders: bool, level: np.ndarray):
    """Return sizes in the units of the rules, some infinite where signals allow it; for orders NaN means none."""
    cash = 1_000.0 * rules.leverage
    unit = {"amount": 0.5 * cash / level, "value": np.full(shape[1], 0.5 * cash), "percent": np.full(shape[1], 0.6)}
    unit |= {"targetamount": unit["amount"], "targetvalue": unit["value"], "targetpercent": unit["percent"]}
    size = unit[rules.size_type] * np.exp(rng.normal(0, 0.7, shape))
    if rules.size_type == "targetpercent":
        size = size * rules.leverage
    if orders:
        size = size * rng.choice([1.0, -1.0, 0.0], shape, p=[0.55, 0.35, 0.1])
        return np.where(rng.random(shape) < 0.5, np.nan, size)
    # an infinite target or short is no size
    if rules.size_type in ("amount", "value") and rules.direction == "longonly" and rng.random() < 0.4:
        size[:] = np.inf
    return size


def random_stop(rng: np.random.Generator, shape: tuple[int, int], *levels: float) -> Any:
    """Return a stop for all bars, or one that some bars have and some have not."""
    level = float(rng.choice([NAN, *levels]))
    return level if rng.random() < 0.7 else np.where(rng.random(shape) < 0.5, np.nan, level)


def random_signals(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    chance = float(rng.choice([0.1, 0.3, 0.5]))
    names = ["entries", "exits"] + (["short_entries", "short_exits"] if rng.random() < 0.6 else [])
    return {name: rng.random(shape) < chance for name in names}


def random_funding(rng: np.random.Generator, bars: Bars) -> pd.DataFrame:
    moments = pd.date_range("2024-01-01", periods=3 * bars.n_times, freq="8h", tz="UTC", unit="ns")
    rates = rng.normal(0, 0.003, (len(moments), bars.n_symbols))
    rates[rng.random(rates.shape) < 0.3] = np.nan
    return pd.DataFrame(rates, index=moments, columns=bars.close.columns)


def random_venues(rng: np.random.Generator, level: np.ndarray) -> list[Venue]:
    lot, least = float(rng.choice([0.0, 1.0, 30.0])), float(rng.choice([0.0, 20.0]))
    return [Venue(lot / p, 2.0 / p, least, p / 1e4) for p in level]


def random_case(seed: int, *, orders: bool) -> Case:
    """Return signals or orders under random rules on hostile bars."""
    rng = np.random.default_rng(seed)
    n_times, n = int(rng.integers(4, 40)), int(rng.integers(1, 4))
    shape = (n_times, n)
    price = ("next_open", "next_open", "close", "next_close", "given")[int(rng.integers(5))]
    fields = hostile_fields(rng, n_times, n)
    level = np.array([np.nanmean(np.append(column, 1e-9)) for column in fields["close"].T])
    rules = random_rules(rng, price, orders)
    venues = random_venues(rng, level) if rng.random() < 0.3 else None
    bars = market(fields, ("1h", "1d", "4h")[int(rng.integers(3))], venues)
    given = None
    if price == "given":
        given = (bars.close * np.exp(rng.normal(0, 0.005, shape))).mask(rng.random(shape) < 0.1)
    groups = None
    if rng.random() < 0.6:
        groups = [["g"] * n, [("a", "b")[j % 2] for j in range(n)]][int(rng.integers(2))]
    return Case(
        bars, price, rules,
        signals=None if orders else random_signals(rng, shape),
        size=random_size(rng, rules, shape, orders, level),
        sl=random_stop(rng, shape, 0.0, 0.01, 0.05, 0.4),
        tp=random_stop(rng, shape, 0.01, 0.05),
        limit=float(rng.choice([NAN, NAN, 0.0, 0.003, 0.02])),
        groups=groups,
        given=given,
        funding=random_funding(rng, bars) if rng.random() < 0.3 else None,
        venues=venues,
    )  # fmt: skip


def levered_case(seed: int) -> Case:
    """Return orders of a margin account that bets high in a wild market, often until it is liquidated."""
    case, rng = random_case(seed, orders=True), np.random.default_rng(seed + 1)
    n_times, n = case.bars.shape
    moves = rng.normal(0, 0.06, (n_times, n))
    fields = hostile_fields(rng, n_times, n)
    for name in ("open", "high", "low", "close"):
        fields[name] = fields[name] * np.exp(np.cumsum(moves, axis=0))
    fields["high"] = np.maximum(fields["high"], np.fmax(fields["open"], fields["close"]))
    fields["low"] = np.minimum(fields["low"], np.fmin(fields["open"], fields["close"]))
    leverage = float(rng.choice([2.0, 5.0, 20.0]))
    price = "next_open" if case.price == "given" else case.price
    rules = replace(
        case.rules,
        at_open=price == "next_open",
        size_type="percent",
        leverage=leverage,
        maintenance=float(rng.choice([0.005, 0.4 / leverage])),
        time_stop=0,
        delist=True,
    )
    sizes = rng.choice([1.0, -1.0, 0.5, -0.7, np.nan], (n_times, n), p=[0.2, 0.2, 0.1, 0.1, 0.4])
    return replace(
        case, price=price, bars=market(fields, case.bars.timeframe, None), rules=rules, size=sizes, given=None,
        venues=None, sl=float(rng.choice([NAN, 0.03, 0.3])), tp=float(rng.choice([NAN, 0.05, 0.3])),
    )  # fmt: skip


def weights_case(seed: int) -> Case:
    """Return target weights of one account that are traded when they have drifted."""
    case, rng = random_case(seed, orders=True), np.random.default_rng(seed + 1)
    n_times, n = case.bars.shape
    drift, leverage = float(rng.choice([0.02, 0.1, 0.4])), float(rng.choice([1.0, 1.0, 3.0]))
    rules = replace(
        case.rules, size_type="targetpercent", direction="both", call_seq="auto", drift=drift, leverage=leverage,
        maintenance=0.005 if leverage > 1 else 0.0,
    )  # fmt: skip
    weights = leverage * rng.normal(0, 0.5, (n_times, n))
    weights = np.where(rng.random((n_times, n)) < 0.6, np.nan, weights)
    held = pd.DataFrame(weights).ffill().to_numpy()
    return replace(case, rules=rules, size=held, sl=NAN, tp=NAN, limit=NAN, groups=["g"] * n)
