"""What a venue lets you trade: tick, lot and the smallest order, with the time the rules were valid from."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from gwt_lab.errors import DataError

__all__ = ["Instrument", "split_symbol", "unified_symbol"]

# Quote currencies by which `BTCUSDT` is cut, longest first.
_QUOTES = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDP", "DAI", "USD", "EUR", "GBP", "TRY", "BRL", "JPY", "AUD", "BTC",
    "ETH", "BNB",
)  # fmt: skip


# Coins whose own names end like a quote currency; the quotes themselves are not cut either.
_WHOLE = frozenset(
    {*_QUOTES, "WBTC", "TBTC", "HBTC", "RENBTC", "WETH", "STETH", "WSTETH", "CBETH", "RETH", "SUSD", "GUSD"}
)
# Where two cuts are possible (`BATUSD`: BAT/USD or BA/TUSD), the one whose base is a coin known here is right.
_COINS = frozenset(
    {
        *_WHOLE, "BTC", "ETH", "BNB", "XRP", "ADA", "SOL", "LTC", "BCH", "TRX", "LINK", "DOGE", "AVAX", "UNI", "ATOM",
        "BAT", "DOT", "GRT", "APT", "QNT", "ANT", "LPT", "SNT", "JST", "MNT", "NXT", "FTT", "HT", "GT", "RVT",
        "SHIB", "ARB", "CKB", "TRB", "AMB", "OP", "ID", "IQ", "AI", "IO", "OM",
    }
)  # fmt: skip


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return base and quote of `BTC/USDT`, `BTC-USDT`, `BTC_USDT` or `BTCUSDT`; the quote is empty if unknown.

    What follows a colon (the currency that a perpetual settles in) belongs to neither.
    """
    name = "".join(symbol.split()).upper().partition(":")[0]
    if name in _WHOLE:
        return name, ""
    for separator in ("/", "-", "_"):
        if separator in name:
            base, _, quote = name.partition(separator)
            return base, quote
    cuts = [(name[: -len(quote)], quote) for quote in _QUOTES if name.endswith(quote)]
    known = sorted((cut for cut in cuts if cut[0] in _COINS), key=lambda cut: -len(cut[0]))
    long_enough = [cut for cut in cuts if len(cut[0]) >= 3]
    return (known or long_enough or cuts[-1:] or [(name, "")])[0]


def unified_symbol(symbol: str) -> str:
    """Return ccxt's unified spelling, `BTC/USDT` (`BTC/USDT:USDT` for a perpetual stays as it is).

    Raises
    ------
    DataError
        If it is no text, or no name is left of it.
    """
    base, quote = split_symbol(symbol) if isinstance(symbol, str) else ("", "")
    if not base:
        raise DataError(f"a symbol must be a non-empty text such as 'BTC/USDT', got {symbol!r}")
    settle = "".join(symbol.split()).upper().partition(":")[2]
    return (f"{base}/{quote}" if quote else base) + (f":{settle}" if settle else "")


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbol", unified_symbol(self.symbol))
        for name in ("price_tick", "amount_lot", "min_amount", "min_notional", "maker_fee", "taker_fee"):
            value = getattr(self, name)
            # a maker's fee below zero is a rebate
            if not isinstance(value, (int, float)) or not math.isfinite(value) or (value < 0 and name != "maker_fee"):
                raise DataError(f"{name} of {self.symbol} must be a finite number from 0 on, got {value!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return the rules as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Instrument:
        """Return the rules read from plain values; unknown keys are refused."""
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise DataError(f"instrument has unknown keys {sorted(unknown)}; it has {sorted(cls.__dataclass_fields__)}")
        if "symbol" not in values:
            raise DataError(f"an instrument needs its symbol, got only {sorted(values)}")
        return cls(**values)
