"""What a venue lets you trade: tick, lot and the smallest order, with the time the rules were valid from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gwt_lab.errors import DataError

__all__ = ["Instrument", "split_symbol", "unified_symbol"]

# Quote currencies by which `BTCUSDT` is cut, longest first.
_QUOTES = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDP", "DAI", "USD", "EUR", "GBP", "TRY", "BRL", "JPY", "AUD", "BTC",
    "ETH", "BNB",
)  # fmt: skip


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return base and quote of `BTC/USDT`, `BTC-USDT`, `BTC_USDT` or `BTCUSDT`; the quote is empty if unknown."""
    name = symbol.strip().upper()
    for separator in ("/", "-", "_"):
        if separator in name:
            base, _, rest = name.partition(separator)
            return base, rest.partition(":")[0]
    for quote in _QUOTES:
        if name.endswith(quote) and len(name) > len(quote):
            return name[: -len(quote)], quote
    return name, ""


def unified_symbol(symbol: str) -> str:
    """Return ccxt's unified spelling, `BTC/USDT` (`BTC/USDT:USDT` for a perpetual stays as it is)."""
    if not isinstance(symbol, str) or not symbol.strip():
        raise DataError(f"a symbol must be a non-empty text such as 'BTC/USDT', got {symbol!r}")
    if "/" in symbol:
        return symbol.strip().upper()
    base, quote = split_symbol(symbol)
    return f"{base}/{quote}" if quote else base


@dataclass(frozen=True)
class Instrument:
    """Trading rules of one symbol on one venue.

    Parameters
    ----------
    symbol : str
        Unified symbol, `BTC/USDT`.
    price_tick : float
        Smallest price step, quote currency; 0 means any price.
    amount_lot : float
        Smallest amount step, base currency; 0 means any amount.
    min_amount : float
        Smallest order, base currency.
    min_notional : float
        Smallest order value, quote currency.
    maker_fee, taker_fee : float
        Fractions of the notional.
    valid_from : str
        ISO time (UTC) at which these rules were read.
    venue : str
        ccxt's exchange id.
    """

    symbol: str
    price_tick: float = 0.0
    amount_lot: float = 0.0
    min_amount: float = 0.0
    min_notional: float = 0.0
    maker_fee: float = 0.0
    taker_fee: float = 0.0
    valid_from: str = ""
    venue: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the rules as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Instrument:
        """Return the rules read from plain values; unknown keys are refused."""
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise DataError(f"instrument has unknown keys {sorted(unknown)}; it has {sorted(cls.__dataclass_fields__)}")
        return cls(**values)
