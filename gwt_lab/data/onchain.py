"""On-chain numbers with the time at which they were known: files, a Coin-Metrics-like API, single addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.data.durations import duration
from gwt_lab.data.http_json import get_pages, plain_base_url
from gwt_lab.errors import ConfigError, DataError, VenueError
from gwt_lab.market.instruments import unified_symbol
from gwt_lab.market.time import timestamp, utc_index

__all__ = ["AddressFeed", "OnchainApi", "address_features", "as_onchain", "read_onchain"]

_DAY = pd.Timedelta(days=1)
_TIMES = ("time", "timestamp", "date")
_ADDRESS = re.compile(r"[A-Za-z0-9:]{6,120}")


def as_onchain(
    frame: pd.DataFrame, *, delay: Any = "1D", period: Any = "1D", symbols: dict[str, str] | None = None
) -> pd.DataFrame:
    """Return on-chain numbers with the time they became known.

    Parameters
    ----------
    frame : DataFrame
        A time (the period's beginning), numbers by name (TxCnt, AdrActCnt, ...), and where it is known an asset.
    delay : timedelta-like, default "1D"
        How long after the period's end a number is published. Providers revise the last days: less than a day is
        hindsight.
    period : timedelta-like, default "1D"
        What one row covers: a row dated D is about D to D + period.
    symbols : dict of str to str, optional
        What the file calls an asset -> our symbol; ``{"bitcoin": "BTC"}``. Other assets are left out. Without it,
        ``btc`` is ``BTC``, which holds for every pair of BTC.

    Returns
    -------
    DataFrame
        Columns known_at, symbol (where the frame has assets) and the numbers.

    Raises
    ------
    DataError
        If there is no time or number, or no row of the assets asked for.
    ConfigError
        If `delay` is negative, `period` not positive, or one has no unit.

    Examples
    --------
    >>> as_onchain(pd.DataFrame({"time": ["2024-01-01"], "asset": "btc", "TxCnt": [400_000]}))  # known on 3 January
    """
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"on-chain numbers must be a DataFrame with a time and numbers, got {type(frame).__name__}")
    named = {str(name).lower(): name for name in frame.columns}
    when = next((named[name] for name in _TIMES if name in named), None)
    if when is None or not len(frame):
        raise DataError(f"on-chain numbers need a time and rows, got columns {', '.join(map(str, frame.columns))}")
    late, span = duration(delay, "delay"), duration(period, "period")
    if late < pd.Timedelta(0) or span <= pd.Timedelta(0):
        raise ConfigError(f"delay must be at least 0 and period positive, got {late} and {span}")
    table = pd.DataFrame({"known_at": (utc_index(frame[when], name=str(when)) + span + late).rename(None)})
    whose = named.get("asset", named.get("symbol"))
    if whose is not None:
        assets = frame[whose].astype(object).where(frame[whose].notna(), "").astype(str).to_numpy()
        known = symbols if symbols is not None else {name: name or None for name in set(assets)}
        table["symbol"] = [known.get(name) for name in assets]
    for name in frame.columns:
        if name not in (when, whose):
            numbers = pd.to_numeric(frame[name], errors="coerce")
            if numbers.notna().any():
                table[str(name)] = numbers.to_numpy(dtype=np.float64)
    if len(table.columns) == 1 + (whose is not None):
        raise DataError(f"no column holds on-chain numbers, got {', '.join(map(str, frame.columns))}")
    if whose is not None:
        table = table[table["symbol"].notna()]
        if not len(table):
            asked = f"; symbols= names {', '.join(symbols)}" if symbols else ""
            raise DataError(f"no row is left of the assets {', '.join(sorted(set(assets))[:8])}{asked}")
        table["symbol"] = table["symbol"].map(unified_symbol)
    return table.sort_values("known_at", kind="stable").reset_index(drop=True)


def read_onchain(path: str | Path, **options: Any) -> pd.DataFrame:
    """Return the on-chain numbers of a Parquet or CSV file.

    Parameters
    ----------
    path : str or Path
        Ends in .parquet or .csv.
    **options
        `delay`, `period` and `symbols`, as in :func:`as_onchain`.

    Returns
    -------
    DataFrame
        As :func:`as_onchain`.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    place = Path(path).expanduser()
    if place.suffix.lower() not in (".parquet", ".csv"):
        raise DataError(f"on-chain numbers are read from .parquet and .csv, got '{place.name}': convert it")
    try:
        frame = pd.read_parquet(place) if place.suffix.lower() == ".parquet" else pd.read_csv(place)
    except (OSError, ValueError) as error:
        raise DataError(f"'{place}' cannot be read: {str(error)[:120]}") from None
    return as_onchain(frame, **options)


class OnchainApi:
    """A Coin-Metrics-like API: ``GET {base_url}/timeseries/asset-metrics``.

    Parameters
    ----------
    base_url : str
        Up to the version, https or http on this machine.
    delay : timedelta-like, default "1D"
        How long after its day a number is known; see `as_onchain`.

    Raises
    ------
    ConfigError
        If the address is none, or `delay` is no length of time with its unit.
    """

    def __init__(self, base_url: str, *, delay: Any = "1D") -> None:
        self.base_url, self.delay = plain_base_url(base_url), duration(delay, "delay")

    def fetch(
        self,
        assets: str | Sequence[str],
        metrics: str | Sequence[str],
        start: Any,
        end: Any = None,
        *,
        page_size: int = 1000,
    ) -> pd.DataFrame:
        """Return daily numbers of some assets, as :func:`as_onchain` does.

        Parameters
        ----------
        assets : str or sequence of str
            The API's names, such as ``btc``.
        metrics : str or sequence of str
            Such as ``TxCnt, AdrActCnt, FlowInExUSD, FlowOutExUSD``.
        start, end : time-like
            First and last day.
        page_size : int, default 1000

        Returns
        -------
        DataFrame
            Columns known_at, symbol (``BTC`` for ``btc``) and the metrics.

        Raises
        ------
        VenueError
            If the API does not answer, answers wrongly, or has no such numbers.
        """
        assets, metrics = ([names] if isinstance(names, str) else list(names) for names in (assets, metrics))
        query = {
            "assets": ",".join(assets),
            "metrics": ",".join(metrics),
            "frequency": "1d",
            "start_time": timestamp(start).strftime("%Y-%m-%d"),
            "end_time": None if end is None else timestamp(end).strftime("%Y-%m-%d"),
            "page_size": page_size,
        }
        token = ("next_page_token", "next_page_token")
        rows = list(get_pages(f"{self.base_url}/timeseries/asset-metrics", query, "data", token))
        if not rows:
            raise VenueError(f"{self.base_url} has no {', '.join(metrics)} of {', '.join(assets)} from {start} on")
        frame = pd.DataFrame(rows)
        missing = [name for name in ("asset", "time", *metrics) if name not in frame.columns]
        if missing:
            raise VenueError(f"{self.base_url} answers without {', '.join(missing)}: {str(rows[0])[:100]}")
        try:
            return as_onchain(frame[["asset", "time", *metrics]], delay=self.delay)
        except DataError as error:
            raise VenueError(f"{self.base_url} answers with numbers that cannot be read: {error}") from None


class AddressFeed:
    """Transactions of single addresses: ``GET {base_url}/addresses/{address}/transactions``.

    The answer is ``{"transactions": [{"time", "value", "from", "to"}, ...], "next": cursor or null}``.

    Parameters
    ----------
    base_url : str
        https, or http on this machine.
    exchanges : str or iterable of str
        Addresses that are known to be exchanges.
    whale : float, default 1000
        Value from which a transaction is a whale's, in the chain's units.
    delay : timedelta-like, default "1h"
        How long after its day a count is final.

    Raises
    ------
    ConfigError
        If the address of the feed is none, `whale` is no number above 0, or `delay` has no unit.
    """

    def __init__(
        self, base_url: str, *, exchanges: str | Iterable[str] = (), whale: float = 1000.0, delay: Any = "1h"
    ) -> None:
        self.base_url, self.whale, self.delay = plain_base_url(base_url), _value(whale), duration(delay, "delay")
        self.exchanges = {exchanges} if isinstance(exchanges, str) else set(exchanges)

    def fetch(self, address: str) -> pd.DataFrame:
        """Return the transactions of an address: columns time, value, from, to.

        Raises
        ------
        ConfigError
            If the address is no address.
        VenueError
            If the feed does not answer, or answers wrongly.
        """
        if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
            raise ConfigError(f"an address is 6 to 120 letters and digits, got {address!r}")
        url = f"{self.base_url}/addresses/{address}/transactions"
        rows = list(get_pages(url, {}, "transactions", ("next", "cursor")))
        frame = pd.DataFrame(rows, columns=["time", "value", "from", "to"])
        value = pd.to_numeric(frame["value"], errors="coerce")
        if value.isna().any() or frame["time"].isna().any():
            raise VenueError(
                f"{url} answers with a transaction without time or value: {rows[int(value.isna().argmax())]}"
            )
        return frame.assign(value=value.to_numpy(dtype=np.float64))

    def extract_onchain_features(self, address: str) -> pd.DataFrame:
        """Return what an address did each day.

        Returns
        -------
        DataFrame
            known_at, transaction_count, whale_count, whale_value, inflow, outflow, exchange_inflow, exchange_outflow,
            active_addresses, as :func:`address_features` has them; for `onchain_table`.

        Raises
        ------
        ConfigError, VenueError
            As `fetch`.
        """
        found = self.fetch(address)
        try:
            return address_features(found, address, exchanges=self.exchanges, whale=self.whale, delay=self.delay)
        except DataError as error:
            raise VenueError(f"{self.base_url} answers with transactions that cannot be read: {error}") from None


def _value(whale: Any) -> float:
    if isinstance(whale, (bool, str)) or not isinstance(whale, (int, float, np.number)) or not 0 < whale < np.inf:
        raise ConfigError(f"whale must be a number above 0, the value of a large transaction, got {whale!r}")
    return float(whale)


def address_features(
    transactions: pd.DataFrame,
    address: str,
    *,
    exchanges: str | Iterable[str] = (),
    whale: float = 1000.0,
    delay: Any = "1h",
) -> pd.DataFrame:
    """Return what an address did each day.

    Parameters
    ----------
    transactions : DataFrame
        Columns time, value, from, to.
    address : str
    exchanges : str or iterable of str
        Addresses of exchanges.
    whale : float
        Value from which a transaction is a whale's.
    delay : timedelta-like
        How long after the day's end the numbers are known.

    Returns
    -------
    DataFrame
        One row for every day from the first transaction to the last: known_at, transaction_count, whale_count,
        whale_value, inflow, outflow, exchange_inflow (to exchanges), exchange_outflow (from exchanges),
        active_addresses (others that took part). Empty if there is no transaction.

    Raises
    ------
    DataError
        If columns are missing, or a time cannot be read.
    ConfigError
        If `whale` is no number above 0, or `delay` no length of time with its unit.
    """
    missing = [name for name in ("time", "value", "from", "to") if name not in transactions]
    if missing:
        raise DataError(f"transactions need columns time, value, from, to; {', '.join(missing)} missing")
    late, whale = duration(delay, "delay"), _value(whale)
    names = [
        "transaction_count", "whale_count", "whale_value", "inflow", "outflow", "exchange_inflow", "exchange_outflow",
        "active_addresses",
    ]  # fmt: skip
    if not len(transactions):
        return pd.DataFrame({"known_at": pd.DatetimeIndex([], tz="UTC").as_unit("ns")} | {name: [] for name in names})
    day = pd.DatetimeIndex(utc_index(transactions["time"], name="time")).floor("D")
    value = transactions["value"].to_numpy(dtype=np.float64)
    sender, taker = transactions["from"].astype(str).to_numpy(), transactions["to"].astype(str).to_numpy()
    known = np.array(sorted([exchanges] if isinstance(exchanges, str) else exchanges), dtype=object)
    parts = {
        "transaction_count": np.ones(len(value)),
        "whale_count": (value >= whale).astype(float),
        "whale_value": np.where(value >= whale, value, 0.0),
        "inflow": np.where(taker == address, value, 0.0),
        "outflow": np.where(sender == address, value, 0.0),
        "exchange_inflow": np.where(np.isin(taker, known), value, 0.0),
        "exchange_outflow": np.where(np.isin(sender, known), value, 0.0),
    }
    table = pd.DataFrame(parts).groupby(day).sum()
    others = pd.DataFrame({"day": np.tile(day, 2), "who": np.concatenate([sender, taker])})
    table["active_addresses"] = others[others["who"] != address].groupby("day")["who"].nunique()
    every = pd.date_range(table.index[0], table.index[-1], freq="D")
    table = table.reindex(every).fillna(0.0)
    known_at = pd.DatetimeIndex(every + _DAY + late).as_unit("ns")
    return table[names].reset_index(drop=True).assign(known_at=known_at)[["known_at", *names]]
