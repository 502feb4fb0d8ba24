"""An allocation: weights, which method gave them, and why not the one that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from gwt_lab.allocation.settings import CASH
from gwt_lab.display import card, number, percent, table_html

__all__ = ["Allocation", "Fallback"]


class Fallback(NamedTuple):
    """One method that could not answer."""

    method: str
    reason: str


@dataclass(frozen=True, eq=False, repr=False)
class Allocation:
    """What `optimize_portfolio` returns: weights, the method that gave them, and why not another.

    Parameters
    ----------
    weights : Series of shape (n_assets + 1,)
        Share of the account by asset, in the order of the history, then "cash"; the sum is 1.
    method : str
        The method that was asked for.
    method_used : str
        The method that gave the weights.
    fallbacks : tuple of Fallback
        (method, reason) of each that was tried before.
    expected : mapping
        "return", "volatility" and "sharpe" of the weights, a bar, before costs; NaN where an asset that is held could
        not be estimated. "turnover" (sum of absolute changes) and "cost" (turnover times costs); NaN without previous
        weights.
    notes : tuple of str
        What limits did: cash that the caps force, a step cut to the turnover limit.
    diagnostics : mapping
        "n_rows" and "n_assets" estimated, "condition" of the covariance, "shrunk" (weight of the shrinkage target),
        "effective_assets" (one over the sum of squared shares of what is invested), "seconds", and "excluded": why
        each asset that was not estimated was left out.
    """

    weights: pd.Series
    method: str
    method_used: str
    fallbacks: tuple[Fallback, ...]
    expected: Mapping[str, float]
    notes: tuple[str, ...]
    diagnostics: Mapping[str, Any]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {name: dict(getattr(self, name)) for name in ("expected", "diagnostics")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        frozen = {name: MappingProxyType(state[name]) for name in ("expected", "diagnostics")}
        self.__dict__.update(state | frozen)

    @property
    def cash(self) -> float:
        """Share of the account that is not invested; above 1 where shorts outweigh longs."""
        return float(self.weights[CASH])

    @property
    def assets(self) -> pd.Series:
        """The weights without cash."""
        return self.weights.drop(CASH)

    @property
    def fell_back(self) -> bool:
        """Whether another method than the one asked for gave the weights."""
        return self.method_used != self.method

    def _title(self) -> str:
        way = f"{self.method} → {self.method_used}" if self.fell_back else self.method
        held = int((self.assets != 0).sum())
        return f"Allocation: {way}, {held} of {len(self.assets)} assets, cash {percent(self.cash, 1)}"

    def _remarks(self) -> list[str]:
        return [f"{name} could not answer: {reason}" for name, reason in self.fallbacks] + list(self.notes)

    def __repr__(self) -> str:
        largest = self.assets[self.assets != 0].sort_values(key=abs, ascending=False, kind="stable")
        shown = ", ".join(f"{name} {percent(weight, 1)}" for name, weight in largest.head(8).items())
        more = f" and {len(largest) - 8} more" if len(largest) > 8 else ""
        return "\n  ".join([self._title(), *([shown + more] if shown else []), *self._remarks()])

    def _repr_html_(self) -> str:
        held = self.weights[self.weights != 0]
        rows: list[tuple[str, str]] = [(str(name), percent(weight, 1)) for name, weight in held.items()]
        rows += [(f"expected {name} a bar", number(self.expected[name])) for name in ("return", "volatility", "sharpe")]
        rows += [("turnover", percent(self.expected["turnover"], 1))]
        rows += [("note", text) for text in self._remarks()]
        return card(self._title(), table_html(("", ""), rows))
