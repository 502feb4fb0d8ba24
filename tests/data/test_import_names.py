"""What file names say, in the spellings of the tools that write them."""

from __future__ import annotations

import pytest

from gwt_lab.data.importers.columns import find_roles, plain_name
from gwt_lab.data.importers.names import parse_name, parse_symbol, parse_timeframe
from gwt_lab.errors import ImportRefused


@pytest.mark.parametrize(
    ("stem", "symbol", "timeframe"),
    [
        ("BTCUSDT-1h-2023-01", "BTC/USDT", "1h"),
        ("BTCUSDT-1m-2023-01-05", "BTC/USDT", "1m"),
        ("1000SHIBUSDT-15m-2023-01", "1000SHIB/USDT", "15m"),
        ("BTC_USDT-1h", "BTC/USDT", "1h"),
        ("BTC_USDT_USDT-1h-futures", "BTC/USDT:USDT", "1h"),
        ("Binance_BTCUSDT_d", "BTC/USDT", "1d"),
        ("Binance_BTCUSDT_2023_minute", "BTC/USDT", "1m"),
        ("Gemini_ETHUSD_1hr", "ETH/USD", "1h"),
        ("XBTUSD_60", "BTC/USD", None),
        ("XDGEUR_1440", "DOGE/EUR", None),
        ("BTC-USD", "BTC/USD", None),
        ("btcusdt_4h", "BTC/USDT", "4h"),
        ("ethbtc-1d", "ETH/BTC", "1d"),
        ("BTCUSDT_60min", "BTC/USDT", "1h"),
        ("BTCUSDT-1mo-2023", "BTC/USDT", None),
        ("BTCUSDT-1M-2023", "BTC/USDT", None),
        ("bitstampUSD_1-min_data", None, None),
        ("market", None, None),
        ("ohlcv_1h_16pairs", None, "1h"),
        ("my-candles-1h", None, "1h"),
        ("headbtc", None, None),
        ("2021-01-01", None, None),
        ("", None, None),
    ],
)
def test_symbols_and_timeframes(stem: str, symbol: str | None, timeframe: str | None) -> None:
    said = parse_name(stem)
    assert (said.symbol, said.timeframe) == (symbol, timeframe)


@pytest.mark.parametrize(
    ("text", "timeframe"),
    [("1h", "1h"), ("60m", "1h"), ("90min", "90m"), ("1D", "1d"), ("24h", "1d"), ("7d", "1w"), ("daily", "1d"),
     ("300s", "5m"), ("1M", None), ("0h", None), ("h", None), ("2021", None), ("", None)],
)  # fmt: skip
def test_timeframes(text: str, timeframe: str | None) -> None:
    assert parse_timeframe(text) == timeframe


def test_krakens_codes_are_ccxts() -> None:
    assert [parse_symbol(name) for name in ("XBT/USD", "XBTUSDT", "XDG/EUR", "BTC/USDT:USDT")] == [
        "BTC/USD",
        "BTC/USDT",
        "DOGE/EUR",
        "BTC/USDT:USDT",
    ]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Open Time", "open_time"),
        ("openTime", "open_time"),
        ("Volume (BTC)", "volume_btc"),
        (" CLOSE ", "close"),
        ("", ""),
    ],
)
def test_column_names(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_roles_prefer_open_times_and_keep_close_times_apart() -> None:
    roles = find_roles(["close_time", "date", "open_time", "o", "h", "l", "c", "vol", "turnover"], "x", None)
    assert roles.times == ("open_time", "date")
    assert roles.close_time == "close_time"
    assert roles.fields == {
        "open": "o", "high": "h", "low": "l", "close": "c", "volume": "vol", "quote_volume": "turnover"
    }  # fmt: skip
    with pytest.raises(ImportRefused, match="x has no column for volume"):
        find_roles(["time", "open", "high", "low", "close"], "x", None)
