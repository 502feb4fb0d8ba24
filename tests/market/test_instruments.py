"""Symbols have one spelling; trading rules are checked when they are made."""

import pytest

from gwt_lab.errors import DataError
from gwt_lab.market.instruments import Instrument, split_symbol, unified_symbol


@pytest.mark.parametrize(
    ("raw", "unified"),
    [
        ("BTC/USDT", "BTC/USDT"),
        ("btcusdt", "BTC/USDT"),
        ("BTC-USDT", "BTC/USDT"),
        ("BTC_USDT", "BTC/USDT"),
        (" BTC / USDT ", "BTC/USDT"),
        ("ETHBTC", "ETH/BTC"),
        # two cuts are possible: TUSD or USD, BUSD or USD
        ("BATUSD", "BAT/USD"),
        ("DOTUSD", "DOT/USD"),
        ("BNBUSD", "BNB/USD"),
        ("SHIBUSD", "SHIB/USD"),
        ("BTCTUSD", "BTC/TUSD"),
        ("BTCBUSD", "BTC/BUSD"),
        ("OPBUSD", "OP/BUSD"),
        ("MATICBUSD", "MATIC/BUSD"),
        ("USDTUSD", "USDT/USD"),
        ("XTZUSD", "XTZ/USD"),
        ("BTCFDUSD", "BTC/FDUSD"),
        ("WBTCUSDT", "WBTC/USDT"),
        ("1000SHIBUSDT", "1000SHIB/USDT"),
        ("BTC/USDT:USDT", "BTC/USDT:USDT"),
        ("BTCUSDT:USDT", "BTC/USDT:USDT"),
        ("BTC/USD:BTC-250328", "BTC/USD:BTC-250328"),
        # names that are coins themselves are not cut
        ("USDT", "USDT"),
        ("BUSD", "BUSD"),
        ("FDUSD", "FDUSD"),
        ("WBTC", "WBTC"),
        ("STETH", "STETH"),
        ("AAPL", "AAPL"),
        ("SH600000", "SH600000"),
    ],
)
def test_one_spelling(raw, unified):
    assert unified_symbol(raw) == unified
    assert unified_symbol(unified) == unified


@pytest.mark.parametrize("raw", ["", "  ", None, 7, float("nan"), "-", "/", "_USDT", ":USDT", b"BTC"])
def test_no_symbol(raw):
    with pytest.raises(DataError, match="a symbol must be a non-empty text such as 'BTC/USDT', got"):
        unified_symbol(raw)


@pytest.mark.parametrize(
    ("symbol", "parts"),
    [
        ("BTC/USDT", ("BTC", "USDT")),
        ("BTC/USDT:USDT", ("BTC", "USDT")),
        ("solusdc", ("SOL", "USDC")),
        ("XYZ", ("XYZ", "")),
    ],
)
def test_parts(symbol, parts):
    assert split_symbol(symbol) == parts


def test_rules_survive_json():
    rule = Instrument("btcusdt", price_tick=0.01, amount_lot=1e-5, maker_fee=-0.0001, venue="binance")
    assert rule.symbol == "BTC/USDT"
    assert Instrument.from_dict(rule.to_dict()) == rule


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"symbol": "BTC/USDT", "tick": 1}, r"unknown keys \['tick'\]; it has"),
        ({"price_tick": 1.0}, "needs its symbol"),
        (
            {"symbol": "BTC/USDT", "price_tick": -1.0},
            "price_tick of BTC/USDT must be a finite number from 0 on, got -1.0",
        ),
        ({"symbol": "BTC/USDT", "amount_lot": float("nan")}, "amount_lot"),
        ({"symbol": "BTC/USDT", "taker_fee": float("inf")}, "taker_fee"),
        ({"symbol": "BTC/USDT", "min_notional": "10"}, "min_notional .* got '10'"),
        ({"symbol": ""}, "non-empty text"),
    ],
)
def test_refused_rules(values, message):
    with pytest.raises(DataError, match=message):
        Instrument.from_dict(values)


def test_rules_are_frozen():
    with pytest.raises(AttributeError):
        Instrument("BTC/USDT").price_tick = 1.0
