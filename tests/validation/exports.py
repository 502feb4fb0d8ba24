"""Small exports of trades, written by hand in the form that freqtrade's backtest has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

BALANCE = 1000.0


def trade(opened: str, closed: str, stake: float, ratio: float, **more: Any) -> dict[str, Any]:
    """Return one closed long trade: bought at 100, both fees of 0.1 % inside its profit."""
    amount = stake / 100.0
    close_rate = 100.0 * (1 + ratio) * 1.001 / 0.999
    return {
        "pair": "BTC/USDT",
        "stake_amount": stake,
        "max_stake_amount": stake,
        "amount": amount,
        "open_date": f"{opened}+00:00",
        "close_date": f"{closed}+00:00",
        "open_timestamp": int(pd.Timestamp(opened, tz="UTC").timestamp() * 1000),
        "close_timestamp": int(pd.Timestamp(closed, tz="UTC").timestamp() * 1000),
        "open_rate": 100.0,
        "close_rate": close_rate,
        "fee_open": 0.001,
        "fee_close": 0.001,
        "trade_duration": 60,
        "profit_ratio": ratio,
        "profit_abs": stake * ratio,
        "exit_reason": "roi",
        "leverage": 1.0,
        "is_short": False,
        "is_open": False,
        "enter_tag": "",
    } | more


def many(n: int = 90, seed: int = 0, drift: float = 0.004) -> list[dict[str, Any]]:
    """Return a trade of one stake a day from 2024-01-01 on."""
    rng = np.random.default_rng(seed)
    days = pd.date_range("2024-01-01", periods=n, freq="D")
    return [
        trade(f"{day:%Y-%m-%d} 03:00:00", f"{day:%Y-%m-%d} 15:00:00", 500.0, float(ratio))
        for day, ratio in zip(days, rng.normal(drift, 0.02, n), strict=True)
    ]


def backtest(**strategies: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the document of a backtest of several strategies."""
    results = {
        name: {
            "trades": trades,
            "total_trades": len(trades),
            "starting_balance": BALANCE,
            "stake_currency": "USDT",
            "max_open_trades": 3,
            "timeframe": "1h",
            "backtest_start": "2024-01-01 00:00:00",
            "backtest_end": "2024-04-30 23:00:00",
            "backtest_start_ts": 1704067200000,
            "backtest_end_ts": 1714518000000,
        }
        for name, trades in strategies.items()
    }
    return {
        "strategy": results,
        "strategy_comparison": [{"key": name} for name in results],
        "metadata": {name: {"run_id": "0"} for name in results},
    }
