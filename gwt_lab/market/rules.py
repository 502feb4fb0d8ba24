"""`FillRules`: how decisions become fills, in words; and the same as numbers for the kernels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from gwt_lab.errors import ConfigError
from gwt_lab.kinds import is_number
from gwt_lab.market import orders as words
from gwt_lab.market.account import Terms
from gwt_lab.market.costs import CostModel
from gwt_lab.market.instruments import Instrument
from gwt_lab.market.orders import code_of, plain_word

__all__ = ["FillRules", "refuse_bad_stops"]

_PRICE_WORDS = {
    "next_open": "decided at a bar's close, filled at the next bar's open",
    "close": "decided and filled at the same bar's close (optimistic: asked for by name)",
    "next_close": "decided at a bar's close, filled at the next bar's close",
    "given": "decided at a bar's close, filled in the same bar at given prices (optimistic if they come earlier)",
}
_WORDS = (
    "size_type", "direction", "accumulate", "upon_long_conflict", "upon_short_conflict", "upon_dir_conflict",
    "upon_opposite_entry", "call_seq", "ambiguity", "stop_exit_price", "delisting",
)  # fmt: skip
_STOP_EXIT = {"stoplimit": 0, "stopmarket": 1}
_DELISTING = {"hold": 0, "close": 1}


def refuse_bad_stops(name: str, values: np.ndarray, *, shorts: bool) -> None:
    """Refuse stops and limits that are negative or infinite, and without shorts stop losses of all of the price.

    Raises
    ------
    ConfigError
        If one is; NaN is none.
    """
    if (values < 0).any() or np.isinf(values).any():
        raise ConfigError(f"{name} must be a fraction from 0 on or NaN (none), got {np.nanmin(values)}")
    if name == "sl_stop" and not shorts and (values >= 1).any():
        raise ConfigError(f"sl_stop must be a fraction below 1 (5 % is 0.05), got {np.nanmax(values):g}")


@dataclass(frozen=True)
class FillRules:
    """When, how and at what cost orders are filled. Words and meanings are vectorbt's where it has them.

    Parameters
    ----------
    price : {"next_open", "close", "next_close", "given"}
        Where orders are filled.
    costs : CostModel
        Fees, slippage, rounding.
    size_type : {"amount", "value", "percent", "targetamount", "targetvalue", "targetpercent"}
        Unit of sizes. "targetweight" is another word for the last.
    direction : {"longonly", "shortonly", "both"}
        What positions may be.
    accumulate : bool or {"addonly", "removeonly"}
        Whether a repeated entry adds and an exit removes `size` only.
    upon_long_conflict, upon_short_conflict : {"ignore", "entry", "exit", "adjacent", "opposite"}
        An entry and an exit of one direction in one bar.
    upon_dir_conflict : {"ignore", "long", "short", "adjacent", "opposite"}
        A long and a short entry in one bar.
    upon_opposite_entry : {"ignore", "close", "closereduce", "reverse", "reversereduce"}
        An entry against the open position.
    call_seq : {"default", "reversed", "auto"}
        Order of execution among columns that share cash; "auto" sells first.
    ambiguity : {"pessimistic", "neutral", "optimistic"}
        What happened inside a bar that holds both a stop and a target.
    sl_trail : bool
        The stop loss follows the best price of completed bars.
    time_stop : int
        Bars after which a position is closed; 0 for never.
    limit_bars : int
        Bars that an entry rests at its limit, unless its exit is signalled before. Where the price is better than the
        limit when the order arrives, it is filled at once, with slippage up to the limit and the taker's fee.
    stop_exit_price : {"stoplimit", "stopmarket"}
        Stops fill at their price, or with slippage on top.
    leverage : float
        Positions may be worth this many times the account. 1 is spot: a buy spends cash that is there.
    maintenance_margin : float
        Share of the positions' worth below which an account with leverage is liquidated.
    delisting : {"hold", "close"}
        What is held of a symbol that ends before the bars do: kept at its last price, or closed there.
    """

    price: str = "next_open"
    costs: CostModel = field(default_factory=CostModel)
    size_type: str = "amount"
    direction: str = "longonly"
    accumulate: bool | str = False
    upon_long_conflict: str = "ignore"
    upon_short_conflict: str = "ignore"
    upon_dir_conflict: str = "ignore"
    upon_opposite_entry: str = "reversereduce"
    call_seq: str = "default"
    ambiguity: str = "pessimistic"
    sl_trail: bool = False
    time_stop: int = 0
    limit_bars: int = 1
    stop_exit_price: str = "stoplimit"
    leverage: float = 1.0
    maintenance_margin: float = 0.005
    delisting: str = "hold"

    def __post_init__(self) -> None:
        if self.price not in _PRICE_WORDS:
            raise ConfigError(f"price must be one of {', '.join(words.FILL_PRICES)}, got {self.price!r}")
        for name, least in (("time_stop", 0), ("limit_bars", 1)):
            value = getattr(self, name)
            if not is_number(value) or value % 1 or value < least:
                raise ConfigError(f"{name} must be a whole number of bars from {least} on, got {value!r}")
            object.__setattr__(self, name, int(value))
        for name in ("leverage", "maintenance_margin"):
            if not is_number(getattr(self, name)):
                raise ConfigError(f"{name} must be one number, got {getattr(self, name)!r}")
            object.__setattr__(self, name, float(getattr(self, name)))
        if not isinstance(self.costs, CostModel):
            raise ConfigError(f"costs must be a CostModel(fees, slippage, ...), got {type(self.costs).__name__}")
        if not isinstance(self.sl_trail, (bool, np.bool_)):
            raise ConfigError(
                f"sl_trail must be True or False; the distance is sl_stop, got sl_trail={self.sl_trail!r}"
            )
        if not (math.isfinite(self.leverage) and self.leverage >= 1):
            raise ConfigError(f"leverage must be at least 1 (spot), got {self.leverage!r}")
        if not 0 <= self.maintenance_margin < 1 / self.leverage + (self.leverage == 1):
            raise ConfigError(
                f"maintenance_margin must be below 1 / leverage = {1 / self.leverage:g}, got "
                f"{self.maintenance_margin!r}"
            )
        self._codes()
        # other code compares words, so every spelling that is taken becomes the one in the list
        for name in _WORDS:
            if isinstance(word := getattr(self, name), str):
                object.__setattr__(self, name, plain_word(word))

    def _codes(self) -> dict[str, int]:
        """Return every word's code; refuses unknown words."""
        accumulate = self.accumulate
        if isinstance(accumulate, bool):
            accumulate = "both" if accumulate else "disabled"
        named = {
            "size_type": (words.SIZE_TYPE, self.size_type),
            "direction": (words.DIRECTION, self.direction),
            "accumulate": (words.ACCUMULATION, accumulate),
            "upon_long_conflict": (words.CONFLICT, self.upon_long_conflict),
            "upon_short_conflict": (words.CONFLICT, self.upon_short_conflict),
            "upon_dir_conflict": (words.DIR_CONFLICT, self.upon_dir_conflict),
            "upon_opposite_entry": (words.OPPOSITE_ENTRY, self.upon_opposite_entry),
            "call_seq": (words.CALL_SEQ, self.call_seq),
            "ambiguity": (words.AMBIGUITY, self.ambiguity),
            "stop_exit_price": (_STOP_EXIT, self.stop_exit_price),
            "delisting": (_DELISTING, self.delisting),
        }
        return {name: code_of(table, name, word) for name, (table, word) in named.items()}

    @property
    def delay(self) -> int:
        """Bars between a decision and its fill."""
        return 0 if self.price == "given" else words.FILL_PRICES[self.price][0]

    def terms(self, symbols: Iterable[str], instruments: Mapping[str, Instrument]) -> Terms:
        """Return the rules as the kernels take them."""
        codes = self._codes()
        margin = self.maintenance_margin if self.leverage > 1 else 0.0
        return Terms(
            at_open=self.price == "next_open",
            size_type=codes["size_type"],
            direction=codes["direction"],
            accumulate=codes["accumulate"],
            long_conflict=codes["upon_long_conflict"],
            short_conflict=codes["upon_short_conflict"],
            dir_conflict=codes["upon_dir_conflict"],
            opposite_entry=codes["upon_opposite_entry"],
            call_seq=codes["call_seq"],
            ambiguity=codes["ambiguity"],
            sl_trail=bool(self.sl_trail),
            time_stop=int(self.time_stop),
            limit_bars=int(self.limit_bars),
            stop_market=bool(codes["stop_exit_price"]),
            leverage=float(self.leverage),
            maintenance=float(margin),
            delist=bool(codes["delisting"]),
            rates=self.costs.rates(),
            rules=self.costs.rules(symbols, instruments),
            tiers=self.costs.tiers(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return values | {"costs": self.costs.to_dict()}

    def describe(self) -> str:
        """Return the rules in words: when orders are filled, at what cost, and what else differs from the default."""
        parts = [_PRICE_WORDS[self.price], self.costs.describe()]
        if self.leverage > 1:
            parts.append(
                f"leverage up to {self.leverage:g}, liquidated below {100 * self.maintenance_margin:g} % of the "
                "positions' worth"
            )
        if self.sl_trail:
            parts.append("the stop loss trails the best price")
        if self.time_stop:
            parts.append(f"positions are closed after {self.time_stop} bars")
        return "; ".join(parts)
