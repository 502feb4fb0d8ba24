"""What a result rests on, printed beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError
from gwt_lab.market.costs import CostModel
from gwt_lab.market.rules import FillRules

__all__ = ["Assumptions", "below_zero", "rules_of"]

# other libraries' words for what we have
_TRANSLATED = {
    "cash": "init_cash",
    "commission": "fees",
    "margin": "leverage (= 1 / margin)",
    "trade_on_close": "price='close'",
    "exclusive_orders": "accumulate=False",
    "spread": "slippage (= spread / 2)",
    "freq": "nothing: the bars know their timeframe",
    "val_price": "nothing: positions are valued at the price of the bar's orders",
    "lock_cash": "leverage",
    "min_size": "instruments with costs=CostModel(use_lots=True)",
    "size_granularity": "instruments with costs=CostModel(use_lots=True)",
    "stop_loss": "sl_stop",
    "take_profit": "tp_stop",
    "td_stop": "time_stop",
}
_TOLD = {
    "stop_exit_price": {"stoplimit": "at their price, beyond it at the open", "stopmarket": "with slippage"},
    "delisting": {"hold": "kept at the last price", "close": "closed at the last price"},
}
# what from_weights has not
_OF_SIGNALS = {"sl_stop", "tp_stop", "limit", "cash_sharing", "group_by"}


@dataclass(frozen=True)
class Assumptions:
    """What a result rests on.

    Parameters
    ----------
    rules : FillRules
        When, how and at what cost orders are filled.
    init_cash : float, or (float, float)
        Quote currency of each account; the least and the most where they differ.
    shared : bool
        Whether several symbols trade from one account.
    rebalance : int, float or None
        Bars between two rebalances, or the drift that triggers one; None trades at every row that holds a weight.
    notes : tuple of str
        What else was seen, such as stops or symbols that end early.
    weights : bool
        Whether the account trades to target weights.
    band : bool
        Whether the result is told with what the other views of ambiguous bars would have made of it.
    """

    rules: FillRules
    init_cash: float | tuple[float, float]
    shared: bool = False
    rebalance: float | None = None
    notes: tuple[str, ...] = ()
    band: bool = False
    weights: bool = False

    @property
    def price(self) -> str:
        """Where orders are filled, such as "next_open"."""
        return self.rules.price

    @property
    def costs(self) -> CostModel:
        """Fees, slippage, rounding."""
        return self.rules.costs

    def __str__(self) -> str:
        parts = [self.rules.describe()]
        least, most = self.init_cash if isinstance(self.init_cash, tuple) else (self.init_cash,) * 2
        cash = f"cash {least:,.0f} " if least == most else f"cash {least:,.0f} to {most:,.0f} "
        parts.append(cash + ("shared by all symbols" if self.shared else "for each column"))
        if self.rebalance is not None:
            drift = isinstance(self.rebalance, float) and self.rebalance < 1
            parts.append(
                f"rebalanced when a weight drifts by {100 * self.rebalance:g} points"
                if drift
                else f"rebalanced every {self.rebalance:g} bars"
            )
        elif self.weights:
            parts.append("rebalanced at every row with a weight")
        parts.append("a bar without a price does not trade and keeps its last price")
        told = {"ambiguity": self.rules.ambiguity, "limit_bars": str(self.rules.limit_bars)} | {
            name: words[getattr(self.rules, name)] for name, words in _TOLD.items()
        }
        notes = [re.sub(r"\{(\w+)\}", lambda found: told[found[1]], note) for note in self.notes]
        return "; ".join([*parts, *notes])


def below_zero(value: np.ndarray, index: pd.DatetimeIndex) -> tuple[str, ...]:
    """Return a note on accounts that were worth nothing or less, which no venue would have let trade on."""
    if not value.size or value.min() > 0:
        return ()
    ruined = value <= 0
    first, accounts = int(np.argmax(ruined.any(axis=1))), int(ruined.any(axis=0).sum())
    which = "the account was" if value.shape[1] == 1 else f"{accounts} of {value.shape[1]} accounts were"
    return (f"WARNING: {which} worth nothing or less from {index[first]} on; leverage= above 1 liquidates before that",)


def rules_of(given: dict[str, Any], *, price: Any, fees: float, slippage: float, costs: CostModel | None) -> FillRules:
    """Return the rules that a constructor's keywords say.

    Raises
    ------
    ConfigError
        If a keyword is unknown; other libraries' words are translated.
    """
    if given.get("ambiguity") == "band":
        # the band's own account is the pessimistic one
        given = given | {"ambiguity": "pessimistic"}
    given = dict(given)
    fixed, maker = given.pop("fixed_fees", 0.0), given.pop("maker_fees", None)
    impact, tiers = given.pop("impact", 0.0), given.pop("fee_tiers", ())
    unknown = [name for name in given if name not in FillRules.__dataclass_fields__]
    if unknown:
        told = "; ".join(f"{name} is {_TRANSLATED[name]} here" for name in unknown if name in _TRANSLATED)
        known = [name for name in FillRules.__dataclass_fields__ if name != "costs"]
        known += ["fixed_fees", "maker_fees", "impact", "fee_tiers"]
        if not told and set(unknown) <= _OF_SIGNALS:
            told = "from_signals and from_orders know it; for weights with it, from_orders(size_type='targetpercent')"
        raise ConfigError(f"unknown keyword {', '.join(unknown)}: {told or 'there are ' + ', '.join(known)}")
    if costs is not None and (fixed or maker is not None or impact or tiers):
        raise ConfigError("give costs= or fixed_fees, maker_fees, impact, fee_tiers, not both")
    if costs is not None and (fees, slippage) != (0.001, 0.0005):
        raise ConfigError(f"give costs= or fees and slippage, not both: got costs= and {fees}, {slippage}")
    if costs is not None and not isinstance(costs, CostModel):
        raise ConfigError(f"costs must be a CostModel(fees, slippage, ...), got {type(costs).__name__}")
    model = costs or CostModel(fees, slippage, fixed, maker_fees=maker, impact=impact, fee_tiers=tiers)
    where = price if isinstance(price, str) else "given"
    if where == "given" and isinstance(price, str):
        raise ConfigError("price must be a word such as 'next_open', or a frame of prices")
    return FillRules(price=where, costs=model, **given)
