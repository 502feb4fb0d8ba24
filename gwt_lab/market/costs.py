"""What a trade costs: fees, slippage and the venue's rounding, as one frozen object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gwt_lab.errors import ConfigError
from gwt_lab.kinds import is_number
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
        Whether amounts are cut to the venue's lots, prices are rounded against us to its ticks, and orders below its
        minimum are dropped. Wants instruments.
    maker_fees : float, optional
        Fraction paid by entries that rest at a limit; a rebate is negative. `fees` if not given.
    impact : float
        Volume-based slippage: an order of amount q in a bar of volume V moves its price by ``impact * sqrt(q / V)``
        more, q before the moved price cuts it to the cash. About one daily volatility for orders measured against a
        day's volume.
    fee_tiers : tuple of (traded value, fees, maker fees)
        From a traded value of the last 30 days on (quote currency), these fees hold instead; lowest first.

    Raises
    ------
    ConfigError
        If a cost is negative, not finite, or a fraction reaches 1.

    References
    ----------
    .. [1] Almgren, Thum, Hauptmann, Li, "Direct estimation of equity market impact", Risk, 2005; Donier, Bonart, "A
       million metaorder analysis of market impact on the Bitcoin", 2015: impact grows with the root of the volume.
    """

    fees: float = 0.001
    slippage: float = 0.0005
    fixed_fees: float = 0.0
    use_lots: bool = False
    maker_fees: float | None = None
    impact: float = 0.0
    fee_tiers: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "fee_tiers", _checked_tiers(self.fee_tiers))
        if self.maker_fees is not None and not (isinstance(self.maker_fees, (int, float)) and -1 < self.maker_fees < 1):
            raise ConfigError(f"maker_fees must be a fraction between -1 and 1, got {self.maker_fees!r}")
        for name in ("fees", "slippage", "fixed_fees", "impact"):
            value = getattr(self, name)
            if not is_number(value):
                told = repr(value) if isinstance(value, (str, bool)) else type(value).__name__
                raise ConfigError(f"{name} must be one number, got {told}")
            if not np.isfinite(value) or value < 0 or (name in _FRACTIONS and value >= 1):
                raise ConfigError(
                    f"{name} must be {'a fraction from 0 to below 1' if name in _FRACTIONS else 'at least 0'}, "
                    f"got {value}; 10 basis points are 0.001"
                )
            object.__setattr__(self, name, float(value))

    def times(self, factor: float) -> CostModel:
        """Return the model with everything that is paid multiplied; a rebate stays as it is."""
        maker = self.maker_fees
        return replace(
            self,
            fees=self.fees * factor,
            slippage=self.slippage * factor,
            fixed_fees=self.fixed_fees * factor,
            impact=self.impact * factor,
            maker_fees=maker if maker is None or maker < 0 else maker * factor,
            fee_tiers=tuple((value, f * factor, m if m < 0 else m * factor) for value, f, m in self.fee_tiers),
        )

    @property
    def is_plain(self) -> bool:
        """Whether fees, slippage and fixed fees are all there is: no impact, no tiers."""
        return not self.impact and not self.fee_tiers

    def rates(self) -> np.ndarray:
        """Return fees, slippage, fixed fees, impact and maker fees as the kernels take them, shape (5,)."""
        maker = self.fees if self.maker_fees is None else self.maker_fees
        return np.array([self.fees, self.slippage, self.fixed_fees, self.impact, maker], dtype=np.float64)

    def tiers(self) -> np.ndarray:
        """Return the fee tiers, shape (n_tiers, 3)."""
        return np.array(self.fee_tiers, dtype=np.float64).reshape(-1, 3)

    def rules(self, symbols: Iterable[str], instruments: Mapping[str, Instrument]) -> np.ndarray:
        """Return lot, smallest amount, smallest value and tick by symbol, shape (n_symbols, 4); zeros mean no rule.

        Raises
        ------
        ConfigError
            If `use_lots` is set and a symbol has no instrument.
        """
        names = list(symbols)
        if not self.use_lots:
            return np.zeros((len(names), 4))
        unknown = [name for name in names if name not in instruments]
        if unknown:
            raise ConfigError(
                f"use_lots wants the instrument of every symbol, {', '.join(unknown)} missing: "
                "add it to bars.instruments or leave use_lots off"
            )
        found = [instruments[name] for name in names]
        return np.array(
            [[rule.amount_lot, rule.min_amount, rule.min_notional, rule.price_tick] for rule in found], dtype=np.float64
        )

    def describe(self) -> str:
        """Return the costs in words."""
        parts = [f"fees {1e4 * self.fees:g} bp", f"slippage {1e4 * self.slippage:g} bp"]
        if self.fixed_fees:
            parts.append(f"fixed fees {self.fixed_fees:g} an order")
        if self.maker_fees is not None:
            parts.append(f"maker fees {1e4 * self.maker_fees:g} bp")
        if self.impact:
            parts.append(f"impact {self.impact:g} x root of the volume's share")
        if self.fee_tiers:
            parts.append(f"{len(self.fee_tiers)} fee tiers by 30 days' traded value")
        parts.append("venue's lots, ticks and minima" if self.use_lots else "any amount")
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


_FRACTIONS = ("fees", "slippage")


def _checked_tiers(tiers: Any) -> tuple[tuple[float, float, float], ...]:
    try:
        found = tuple((float(value), float(fee), float(maker)) for value, fee, maker in tiers)
    except (TypeError, ValueError):
        raise ConfigError(f"fee_tiers must be rows of (traded value, fees, maker fees), got {tiers!r}") from None
    if any(not (value >= 0 and 0 <= fee < 1 and -1 < maker < 1) for value, fee, maker in found):
        raise ConfigError(f"fee_tiers must hold values from 0 on and fractions below 1, got {tiers!r}")
    if [row[0] for row in found] != sorted({row[0] for row in found}):
        raise ConfigError(f"fee_tiers must come with the lowest traded value first, each once, got {tiers!r}")
    return found
