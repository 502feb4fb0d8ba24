"""What a trade costs: fees, slippage and the venue's rounding, as one frozen object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gwt_lab.errors import ConfigError
from gwt_lab.market.instruments import Instrument

__all__ = ["CostModel"]


@dataclass(frozen=True)
class CostModel:
    """Costs of an order, the same for every symbol.

    Parameters
    ----------
    fees : float
        Fraction of the traded value; 0.001 is 10 basis points.
    slippage : float
        Fraction of the price by which a buy is filled higher and a sale lower.
    fixed_fees : float
        Quote currency per order.
    use_lots : bool
        Whether amounts are cut to the venue's lots and orders below its minimum are dropped. Wants instruments.

    Raises
    ------
    ConfigError
        If a cost is negative, not finite, or a fraction reaches 1.
    """

    fees: float = 0.001
    slippage: float = 0.0005
    fixed_fees: float = 0.0
    use_lots: bool = False

    def __post_init__(self) -> None:
        for name in ("fees", "slippage", "fixed_fees"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
                raise ConfigError(f"{name} must be one number, got {value!r}")
            if not np.isfinite(value) or value < 0 or (name != "fixed_fees" and value >= 1):
                raise ConfigError(
                    f"{name} must be {'at least 0' if name == 'fixed_fees' else 'a fraction from 0 to below 1'}, "
                    f"got {value}; 10 basis points are 0.001"
                )
            object.__setattr__(self, name, float(value))

    def times(self, factor: float) -> CostModel:
        """Return the model with fees, slippage and fixed fees multiplied."""
        return replace(
            self, fees=self.fees * factor, slippage=self.slippage * factor, fixed_fees=self.fixed_fees * factor
        )

    def rates(self) -> np.ndarray:
        """Return fees, slippage and fixed fees as the kernels take them, shape (3,)."""
        return np.array([self.fees, self.slippage, self.fixed_fees])

    def rules(self, symbols: Iterable[str], instruments: Mapping[str, Instrument]) -> np.ndarray:
        """Return lot, smallest amount and smallest value by symbol, shape (n_symbols, 3); zeros mean no rule.

        Raises
        ------
        ConfigError
            If `use_lots` is set and a symbol has no instrument.
        """
        names = list(symbols)
        if not self.use_lots:
            return np.zeros((len(names), 3))
        unknown = [name for name in names if name not in instruments]
        if unknown:
            raise ConfigError(
                f"use_lots wants the instrument of every symbol, {', '.join(unknown)} missing: "
                "add it to bars.instruments or leave use_lots off"
            )
        found = [instruments[name] for name in names]
        return np.array([[rule.amount_lot, rule.min_amount, rule.min_notional] for rule in found], dtype=np.float64)

    def describe(self) -> str:
        """Return the costs in words."""
        parts = [f"fees {1e4 * self.fees:g} bp", f"slippage {1e4 * self.slippage:g} bp"]
        if self.fixed_fees:
            parts.append(f"fixed fees {self.fixed_fees:g} an order")
        parts.append("venue's lots and minima" if self.use_lots else "any amount")
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CostModel:
        """Return the model read from plain values; unknown keys are refused."""
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise ConfigError(
                f"costs have unknown keys {sorted(unknown)}; they have {sorted(cls.__dataclass_fields__)}"
            )
        return cls(**values)
