"""Which column is what: the names that exchanges, ccxt, freqtrade, CryptoDataDownload and pandas users give them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from gwt_lab.errors import ImportRefused
from gwt_lab.market.bars import FIELDS
from gwt_lab.market.instruments import split_symbol

__all__ = ["BINANCE", "HEADERLESS", "Roles", "find_roles", "is_two_level", "plain_name"]

# order is preference: the first that exists is the open time
_TIMES = (
    "open_time", "timestamp", "unix", "unix_timestamp", "ts", "datetime", "date_time", "date", "time", "start_time",
    "start", "kline_open_time", "candle_begin_time", "t", "dt",
)  # fmt: skip
_CLOSE_TIMES = ("close_time", "end_time", "kline_close_time")
_PRICES = {
    "open": ("open", "open_price", "o"),
    "high": ("high", "high_price", "h"),
    "low": ("low", "low_price", "l"),
    "close": ("close", "close_price", "c", "last"),
}
_VOLUMES = ("volume", "vol", "v", "base_volume", "volume_base", "base_asset_volume")
_QUOTE_VOLUMES = (
    "quote_volume", "quote_asset_volume", "quote_vol", "volume_quote", "turnover", "quote_av", "qav", "amount",
    "volume_currency", "vol_ccy_quote", "volccyquote",
)  # fmt: skip
_SYMBOLS = ("symbol", "pair", "ticker", "tic", "instrument", "market", "instrument_id", "inst_id", "instid")
_VENUES = ("exchange", "venue", "exchange_id")
_TIMEFRAMES = ("timeframe", "interval", "freq", "granularity")

BINANCE = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count", "taker_buy_volume",
    "taker_buy_quote_volume", "ignore",
)  # fmt: skip
# number of columns -> names, for tables without a header
HEADERLESS = {
    6: ("timestamp", "open", "high", "low", "close", "volume"),
    # Kraken's downloads: the seventh column counts trades
    7: ("timestamp", "open", "high", "low", "close", "volume", "trades"),
    12: BINANCE,
}


def plain_name(name: object) -> str:
    """Return a column name in lower snake case without brackets: `Volume (BTC)` is `volume_btc`."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name).strip())
    return re.sub(r"[^0-9a-z/:%]+", "_", text.lower()).strip("_")


@dataclass(frozen=True)
class Roles:
    """Names of the columns that play a part.

    Parameters
    ----------
    times : tuple of str
        Open times, the preferred first.
    close_time : str, optional
        Close times.
    fields : dict
        open, high, low, close, volume and quote_volume to their columns.
    symbol, venue, timeframe : str, optional
        Columns that say so.
    """

    times: tuple[str, ...]
    close_time: str | None
    fields: dict[str, str] = field(default_factory=dict)
    symbol: str | None = None
    venue: str | None = None
    timeframe: str | None = None

    @property
    def used(self) -> list[str]:
        """Every column that plays a part."""
        others = (self.close_time, self.symbol, self.venue, self.timeframe)
        return [*self.times, *(name for name in others if name), *self.fields.values()]


def find_roles(columns: Iterable[object], label: str, symbol: str | None) -> Roles:
    """Return the parts that columns play.

    Parameters
    ----------
    columns : iterable
        Names as they stand in the file.
    label : str
        The file, for messages.
    symbol : str, optional
        What the file is about, if known: it tells `Volume BTC` from `Volume USDT`.

    Raises
    ------
    ImportRefused
        If a price, the volume or the time is missing, or two columns could play one part.
    """
    plain: dict[str, str] = {}
    for name in columns:
        key = plain_name(name)
        if key in plain and key:
            raise ImportRefused(f"{label} has two columns called {name!r}; keep one of them")
        plain[key] = str(name)
    fields = {name: plain[found] for name, names in _PRICES.items() if (found := _first(plain, names)) is not None}
    times = tuple(plain[name] for name in _TIMES if name in plain)
    if not times and "" in plain:
        # pandas writes an unnamed index as an unnamed first column
        times = (plain[""],)
    fields |= _volumes(plain, label, symbol)
    close_time = _first(plain, _CLOSE_TIMES)
    missing = [name for name in FIELDS if name not in fields]
    if missing or not (times or close_time):
        what = ", ".join([*missing, *([] if times or close_time else ["a time"])])
        raise ImportRefused(
            f"{label} has no column for {what}; it has {', '.join(map(str, plain.values()))[:200]}. Rename its columns "
            "to timestamp, open, high, low, close, volume"
        )
    return Roles(
        times,
        plain[close_time] if close_time else None,
        fields,
        *(plain.get(_first(plain, names) or "|") for names in (_SYMBOLS, _VENUES, _TIMEFRAMES)),
    )


def _first(plain: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in plain), None)


def _volumes(plain: dict[str, str], label: str, symbol: str | None) -> dict[str, str]:
    """Return the columns of base and quote volume; `Volume BTC` and `Volume USDT` are told apart by the symbol."""
    found = {}
    base_name, quote_name = _first(plain, _VOLUMES), _first(plain, _QUOTE_VOLUMES)
    if base_name:
        found["volume"] = plain[base_name]
    if quote_name:
        found["quote_volume"] = plain[quote_name]
    named = {name.removeprefix("volume_").upper(): column for name, column in plain.items() if _is_named(name)}
    if not named or len(found) == 2:
        return found
    base, quote = split_symbol(symbol) if symbol else ("", "")
    if base in named and "volume" not in found:
        found["volume"] = named[base]
    if quote in named and "quote_volume" not in found:
        found["quote_volume"] = named[quote]
    if "volume" not in found:
        rest = [column for column in named.values() if column != found.get("quote_volume")]
        if len(rest) == 1 and "quote_volume" in found:
            return found | {"volume": rest[0]}
        what = f"{label} has volume in {' and '.join(named)}"
        if symbol:
            raise ImportRefused(f"{what} and none in the base currency {base}; add a column of volume in {base}")
        raise ImportRefused(f"{what}; which is the base currency is unknown: name the symbol (`--symbol BTC/USDT`)")
    return found


def _is_named(name: str) -> bool:
    known = {*_VOLUMES, *_QUOTE_VOLUMES}
    return name.startswith("volume_") and name not in known


def is_two_level(first: list[str], second: list[str]) -> bool:
    """Return whether two header rows are fields and symbols, in either order; the first cell of each is a label."""
    own = {*FIELDS, "adj_close", "quote_volume"}
    if len(first) < 6 or len(first) != len(second) or not all(first[1:]) or not all(second[1:]):
        return False
    return any({plain_name(cell) for cell in row[1:]} <= own for row in (first, second))
