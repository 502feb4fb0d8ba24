"""On-chain numbers as features: shares and changes that compare over years, joined when they were known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError
from gwt_lab.features.as_of import AsOfTable
from gwt_lab.features.settings import whole

__all__ = ["COIN_METRICS_NAMES", "onchain_table"]

# the names of Coin Metrics and of `address_features` -> ours
COIN_METRICS_NAMES = {
    "TxCnt": "transactions",
    "AdrActCnt": "active_addresses",
    "FlowInExUSD": "exchange_inflow",
    "FlowOutExUSD": "exchange_outflow",
    "transaction_count": "transactions",
    "whale_count": "whales",
    "whale_value": "whale_value",
    "exchange_inflow": "exchange_inflow",
    "exchange_outflow": "exchange_outflow",
    "active_addresses": "active_addresses",
}


def onchain_table(
    table: pd.DataFrame, *, window: int = 7, names: dict[str, str] | None = None, max_age: Any = "7D"
) -> AsOfTable:
    """Return on-chain features ready to be joined to bars.

    Parameters
    ----------
    table : DataFrame
        As `read_onchain`, `OnchainApi.fetch` or `address_features` give it: known_at, numbers, and where it is for
        several coins a symbol.
    window : int, default 7
        Rows of the trailing mean that a number is compared with.
    names : dict of str to str, optional
        Which columns, and what they are called; `COIN_METRICS_NAMES` by default, others are left out.
    max_age : timedelta-like, default "7D"
        A number older than this at a bar's close is NaN.

    Returns
    -------
    AsOfTable
        For each number ``onchain_NAME``, the logarithm of (1 + number) over (1 + its mean of the `window` rows up to
        and including it); and where both flows are known ``onchain_net_flow``, (in - out) / (in + out).

    Raises
    ------
    DataError
        If none of the names is there, a number is negative, or the table has no rows or no known_at.
    ConfigError
        If `window` is below 2, or `max_age` no length of time above 0.

    Examples
    --------
    >>> table = onchain_table(as_onchain(daily))
    >>> AlphaFeatureExtractor(tables=[table])  # or table.join(bars)
    """
    window = whole(window, "window", 2, "rows")
    if not isinstance(table, pd.DataFrame) or "known_at" not in table.columns or not len(table):
        raise DataError("on-chain features need rows with a column known_at: read them with as_onchain or read_onchain")
    wanted = {name: ours for name, ours in (names or COIN_METRICS_NAMES).items() if name in table.columns}
    if not wanted:
        raise DataError(f"the table has none of {', '.join(names or COIN_METRICS_NAMES)}; name its columns with names=")
    negative = [name for name in wanted if (table[name] < 0).any()]
    if negative:
        raise DataError(f"{', '.join(negative)} has negative numbers: counts and flows are not")
    ordered = table.sort_values("known_at", kind="stable")
    groups = [part for _, part in ordered.groupby("symbol", sort=True)] if "symbol" in table.columns else [ordered]
    return AsOfTable(pd.concat([_relative(part, wanted, window) for part in groups]), max_age=max_age)


def _relative(part: pd.DataFrame, wanted: dict[str, str], window: int) -> pd.DataFrame:
    found = part[[name for name in ("known_at", "symbol") if name in part.columns]].copy()
    for name, ours in wanted.items():
        mean = part[name].rolling(window).mean()
        found[f"onchain_{ours}"] = np.log1p(part[name]) - np.log1p(mean)
    flows = {ours: name for name, ours in wanted.items()}
    if {"exchange_inflow", "exchange_outflow"} <= set(flows):
        into, out = part[flows["exchange_inflow"]], part[flows["exchange_outflow"]]
        both = into + out
        found["onchain_net_flow"] = ((into - out) / both.where(both > 0)).astype(np.float64)
    return found
