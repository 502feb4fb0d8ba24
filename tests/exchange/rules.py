"""`exchangeInfo` of the loopback exchange, spot and perpetual, in Binance's spelling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.exchange.listings import Listing

WEIGHT_LIMIT = {"spot": 6000, "perpetual": 2400}

_SPOT_ORDERS = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]
_PERPETUAL_ORDERS = [
    "LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET",
]  # fmt: skip


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def _places(step: str) -> int:
    return len(step.partition(".")[2].rstrip("0"))


def _filters(listing: Listing) -> list[dict[str, Any]]:
    lot = {"filterType": "LOT_SIZE", "minQty": listing.lot, "maxQty": "9000.00000000", "stepSize": listing.lot}
    return [
        {"filterType": "PRICE_FILTER", "minPrice": listing.tick, "maxPrice": "1000000.00000000",
         "tickSize": listing.tick},
        lot,
        {**lot, "filterType": "MARKET_LOT_SIZE", "maxQty": "100.00000000"},
    ]  # fmt: skip


def spot_symbol(listing: Listing, now: int) -> dict[str, Any]:
    """Return one spot market."""
    open_now = listing.delisted is None or now < listing.delisted
    filters = [
        *_filters(listing),
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {"filterType": "TRAILING_DELTA", "minTrailingAboveDelta": 10, "maxTrailingAboveDelta": 2000,
         "minTrailingBelowDelta": 10, "maxTrailingBelowDelta": 2000},
        {"filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": "5", "bidMultiplierDown": "0.2",
         "askMultiplierUp": "5", "askMultiplierDown": "0.2", "avgPriceMins": 5},
        {"filterType": "NOTIONAL", "minNotional": listing.min_notional, "applyMinToMarket": True,
         "maxNotional": "9000000.00000000", "applyMaxToMarket": False, "avgPriceMins": 5},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
    ]  # fmt: skip
    return {
        "symbol": listing.id,
        "status": "TRADING" if open_now else "BREAK",
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": _SPOT_ORDERS,
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": open_now,
        "isMarginTradingAllowed": open_now,
        "filters": filters,
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def spot_info(listings: Sequence[Listing], now: int) -> dict[str, Any]:
    """Return `/api/v3/exchangeInfo`."""
    return {
        "timezone": "UTC",
        "serverTime": now,
        "rateLimits": [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, WEIGHT_LIMIT["spot"]),
            _limit("ORDERS", "SECOND", 10, 100),
            _limit("ORDERS", "DAY", 1, 200_000),
            _limit("RAW_REQUESTS", "MINUTE", 5, 61_000),
        ],
        "exchangeFilters": [],
        "symbols": [spot_symbol(listing, now) for listing in listings if not listing.perpetual],
    }


def perpetual_symbol(listing: Listing) -> dict[str, Any]:
    """Return one perpetual margined in its quote."""
    filters = [
        *_filters(listing),
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
        {"filterType": "MIN_NOTIONAL", "notional": listing.min_notional},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500",
         "multiplierDecimal": 4},
    ]  # fmt: skip
    return {
        "symbol": listing.id,
        "pair": listing.id,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": listing.listed,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        "marginAsset": listing.quote,
        "pricePrecision": _places(listing.tick),
        "quantityPrecision": _places(listing.lot),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "filters": filters,
        "orderTypes": _PERPETUAL_ORDERS,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def perpetual_info(listings: Sequence[Listing], now: int) -> dict[str, Any]:
    """Return `/fapi/v1/exchangeInfo`."""
    return {
        "timezone": "UTC",
        "serverTime": now,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, WEIGHT_LIMIT["perpetual"]),
            _limit("ORDERS", "MINUTE", 1, 1200),
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": 0}],
        "symbols": [perpetual_symbol(listing) for listing in listings if listing.perpetual],
    }
