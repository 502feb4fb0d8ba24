"""Tickers, trades and books of the loopback exchange at one moment, in Binance's spelling."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from tests.exchange.listings import DAY_MS, FUNDING_MS, Tape


def _now_price(tape: Tape, now: int) -> float:
    return float(tape.price(np.array([now]))[0])


def _text(value: float) -> str:
    return f"{value:.8f}"


def ticker_24h(tape: Tape, now: int) -> dict[str, Any]:
    """Return the rolling day; spot also knows the best quotes and the previous close."""
    row = tape.bars(np.array([now - DAY_MS]), DAY_MS, now)[0]
    first, high, low, last, volume, quote, trades = row.tolist()
    mean = quote / volume if volume else last
    ticker: dict[str, Any] = {
        "symbol": tape.listing.id,
        "priceChange": _text(last - first),
        "priceChangePercent": f"{100 * (last / first - 1):.3f}",
        "weightedAvgPrice": _text(mean),
        "lastPrice": _text(last),
        "lastQty": tape.listing.lot,
        "openPrice": _text(first),
        "highPrice": _text(high),
        "lowPrice": _text(low),
        "volume": _text(volume),
        "quoteVolume": _text(quote),
        "openTime": now - DAY_MS,
        "closeTime": now,
        "firstId": 1_000_000,
        "lastId": 1_000_000 + int(trades) - 1,
        "count": int(trades),
    }
    if not tape.listing.perpetual:
        best = book_ticker(tape, now)
        ticker |= {key: best[key] for key in ("bidPrice", "bidQty", "askPrice", "askQty")}
        ticker["prevClosePrice"] = _text(first)
    return ticker


def depth(tape: Tape, now: int, levels: int) -> dict[str, Any]:
    """Return a book one tick wide around the price."""
    tick, lot = Decimal(tape.listing.tick), Decimal(tape.listing.lot)
    middle = (Decimal(repr(_now_price(tape, now))) / tick).to_integral_value() * tick
    sides: dict[str, Any] = {
        name: [[f"{middle + sign * tick * k:.8f}", f"{lot * 1000 * k:.8f}"] for k in range(1, min(levels, 20) + 1)]
        for name, sign in (("bids", -1), ("asks", 1))
    }
    book: dict[str, Any] = {"lastUpdateId": now, **sides}
    return book | ({"E": now, "T": now} if tape.listing.perpetual else {})


def book_ticker(tape: Tape, now: int) -> dict[str, Any]:
    """Return the best quotes."""
    book = depth(tape, now, 1)
    best = {"symbol": tape.listing.id}
    for side, name in (("bids", "bid"), ("asks", "ask")):
        best[f"{name}Price"], best[f"{name}Qty"] = book[side][0]
    return best | ({"time": now, "lastUpdateId": now} if tape.listing.perpetual else {})


def trades(tape: Tape, now: int, limit: int) -> list[dict[str, Any]]:
    """Return the latest trades, one a second, oldest first."""
    times = np.arange(now // 1000 - limit + 1, now // 1000 + 1) * 1000
    amount = float(tape.listing.lot) * 100
    return [
        {
            "id": int(at // 1000),
            "price": _text(price),
            "qty": _text(amount),
            "quoteQty": _text(price * amount),
            "time": int(at),
            "isBuyerMaker": bool(at // 1000 % 2),
        }
        | ({} if tape.listing.perpetual else {"isBestMatch": True})
        for at, price in zip(times.tolist(), tape.price(times).tolist(), strict=True)
    ]


def aggregate_trades(tape: Tape, now: int, limit: int) -> list[dict[str, Any]]:
    """Return the same trades in the short spelling."""
    return [
        {"a": row["id"], "p": row["price"], "q": row["qty"], "f": row["id"], "l": row["id"], "T": row["time"],
         "m": row["isBuyerMaker"], "M": True}
        for row in trades(tape, now, limit)
    ]  # fmt: skip


def premium_index(tape: Tape, now: int) -> dict[str, Any]:
    """Return mark price and the next funding of a perpetual."""
    price = _now_price(tape, now)
    return {
        "symbol": tape.listing.id,
        "markPrice": _text(price),
        "indexPrice": _text(price * 0.9999),
        "estimatedSettlePrice": _text(price),
        "lastFundingRate": tape.funding((None, None), 1, now)[-1]["fundingRate"],
        "interestRate": "0.00010000",
        "nextFundingTime": (now // FUNDING_MS + 1) * FUNDING_MS,
        "time": now,
    }


def funding_info(tape: Tape) -> dict[str, Any]:
    """Return how often a perpetual is funded, and within which bounds."""
    return {
        "symbol": tape.listing.id,
        "adjustedFundingRateCap": "0.02000000",
        "adjustedFundingRateFloor": "-0.02000000",
        "fundingIntervalHours": 8,
        "disclaimer": False,
    }
