"""What a file's name says: symbol and timeframe, in the spellings of the tools that write such files."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gwt_lab.market.instruments import split_symbol, unified_symbol
from gwt_lab.market.time import check_timeframe

__all__ = ["FileName", "parse_name", "parse_symbol", "parse_timeframe"]

_TIMEFRAME = re.compile(r"(?P<n>[1-9][0-9]{0,3})-?(?P<unit>mo|min|minute|m|hr|hour|h|day|d|week|w|sec|s|M|H|D|W)")
_UNITS = {"min": "m", "minute": "m", "hr": "h", "hour": "h", "day": "d", "week": "w", "sec": "s"}
_WORDS = {"minute": "1m", "hour": "1h", "hourly": "1h", "daily": "1d", "day": "1d", "d": "1d", "weekly": "1w"}
# names that end like a quote currency and are venues
_VENUES = {"bitstamp", "coinbase", "kraken", "gemini", "bitfinex", "binance", "binanceus", "okx", "okex", "poloniex"}
_QUOTES = {
    "USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USDP", "DAI", "USD", "EUR", "GBP", "TRY", "BRL", "JPY", "AUD", "BTC",
    "ETH", "BNB",
}  # fmt: skip
# lower-case file names are words as often as symbols: only these count without a separator
_PLAIN_BASES = {"BTC", "ETH", "BNB", "XRP", "ADA", "SOL", "DOGE", "LTC", "DOT", "TRX", "LINK", "AVAX", "MATIC", "XBT"}
# Kraken's codes, as ccxt spells them
_KRAKEN = {"XBT": "BTC", "XDG": "DOGE"}
# freqtrade's candle types that are not prices of trades
_NOT_BARS = ("funding_rate", "mark", "index", "premiumindex")


@dataclass(frozen=True)
class FileName:
    """What a file's name says; None where it says nothing."""

    symbol: str | None = None
    timeframe: str | None = None
    not_bars: str | None = None


def parse_symbol(text: str) -> str:
    """Return the unified symbol of a symbol column's value, Kraken's codes translated."""
    name = unified_symbol(text)
    base, slash, rest = name.partition("/")
    return _KRAKEN.get(base, base) + slash + rest


def parse_timeframe(text: str) -> str | None:
    """Return ccxt's spelling of `1h`, `60min`, `1hr`, `hourly`, `1D`; None if the text is none."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    match = _TIMEFRAME.fullmatch(text)
    if match is None or match["unit"] in ("mo", "M"):
        return None
    n, unit = int(match["n"]), _UNITS.get(match["unit"].lower(), match["unit"].lower())
    for step, larger in ((60, {"s": "m", "m": "h"}), (24, {"h": "d"}), (7, {"d": "w"})):
        if unit in larger and n % step == 0 and n:
            n, unit = n // step, larger[unit]
    return check_timeframe(f"{n}{unit}")


def parse_name(stem: str) -> FileName:
    """Return what a file name without its ending says, for instance `BTCUSDT-1h-2023-01` or `BTC_USDT-1h`."""
    lowered = stem.lower()
    not_bars = next((kind for kind in _NOT_BARS if re.search(rf"[-_]{kind}$", lowered)), None)
    tokens = [token for token in re.split(r"[-_ .()]+", stem) if token]
    symbol, used = _symbol_in(tokens)
    rest = [token for position, token in enumerate(tokens) if position not in used]
    found = {parse_timeframe(token) for token in rest} - {None}
    return FileName(symbol, found.pop() if len(found) == 1 else None, not_bars)


def _symbol_in(tokens: list[str]) -> tuple[str | None, set[int]]:
    """Return the symbol and which tokens spell it: `BTC_USDT_USDT`, `BTC_USDT` or `BTCUSDT`."""
    for position in range(len(tokens) - 1):
        base, quote = tokens[position].upper(), tokens[position + 1].upper()
        if quote in _QUOTES and re.fullmatch(r"[0-9A-Z]{2,12}", base) and base.lower() not in _VENUES:
            if base in _QUOTES and quote == base:
                continue
            settle = tokens[position + 2].upper() if position + 2 < len(tokens) else ""
            used = {position, position + 1}
            if settle in (quote, base):
                return parse_symbol(f"{base}/{quote}:{settle}"), used | {position + 2}
            return parse_symbol(f"{base}/{quote}"), used
    for position, token in enumerate(tokens):
        base, quote = split_symbol(token) if re.fullmatch(r"[0-9A-Za-z]{5,20}", token) else ("", "")
        if not quote or base.lower() in _VENUES:
            continue
        if token.isupper() or len(quote) >= 4 or base in _PLAIN_BASES:
            return parse_symbol(token), {position}
    return None, set()
