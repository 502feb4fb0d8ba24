"""Exports of trades as freqtrade writes them, read as daily returns of the account."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError

__all__ = ["TradesResult", "is_trades", "read_trades", "read_trades_file"]

_MOST_BYTES = 2_000_000_000
_DAY = pd.Timedelta(days=1)
_REALISED = (
    "gains count on the day a trade is closed, so falls of open trades are not seen: drawdowns are deeper and Sharpe "
    "ratios lower than what stands here"
)


@dataclass(frozen=True, eq=False)
class TradesResult:
    """Daily returns of trades.

    Parameters
    ----------
    kind : str
        What was read, in words.
    returns : DataFrame of shape (n_days, n_strategies)
        Realised gain of each day over the account's worth before it.
    paid : DataFrame, optional
        Fees of the same day over the same worth; None if the trades do not tell.
    notes : tuple of str
        What was assumed.
    """

    kind: str
    returns: pd.DataFrame
    paid: pd.DataFrame | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Account:
    """What is known of the account beside its trades."""

    balance: float | None = None
    start: pd.Timestamp | None = None
    end: pd.Timestamp | None = None


def is_trades(result: Any) -> bool:
    """Return whether this is an export of trades rather than a table of returns."""
    if isinstance(result, pd.DataFrame):
        return {"open_date", "close_date"} <= set(result.columns) and bool(
            {"profit_ratio", "profit_abs"} & set(result.columns)
        )
    if isinstance(result, Mapping):
        strategies = result.get("strategy")
        return isinstance(strategies, Mapping) or isinstance(result.get("trades"), list)
    return isinstance(result, list) and bool(result) and all(isinstance(row, Mapping) for row in result)


def read_trades_file(path: Path) -> TradesResult:
    """Return the trades of a JSON file, or of the zip archive that newer versions write.

    Raises
    ------
    DataError
        If it is no such file.
    """
    try:
        document = _document(path)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path.name} could not be read as an export of trades: {error}") from error
    if isinstance(document, Mapping) and isinstance(document.get("latest_backtest"), str):
        raise DataError(f"{path.name} only names the latest backtest: pass {document['latest_backtest']} beside it")
    if not is_trades(document):
        raise DataError(
            f"{path.name} holds no trades: an export has `strategy` with `trades` in it, or is a list of trades"
        )
    return read_trades(document)


def _document(path: Path) -> Any:
    if path.suffix.lower() != ".zip":
        return json.loads(path.read_text(encoding="utf-8-sig"))
    with zipfile.ZipFile(path) as archive:
        names = [info for info in archive.infolist() if info.filename.endswith(".json")]
        # beside the result lie its configuration and parameters
        results = [info for info in names if not info.filename.endswith(("_config.json", ".meta.json"))]
        if not results:
            raise DataError(f"{path.name} holds no JSON file: an archive of a backtest has one")
        largest = max(results, key=lambda info: info.file_size)
        if largest.file_size > _MOST_BYTES:
            raise DataError(f"{largest.filename} in {path.name} is larger than 2 GB: unpack it first")
        documents = {info.filename: json.loads(archive.read(info).decode("utf-8-sig")) for info in results}
    trades = [name for name, document in documents.items() if is_trades(document)]
    if len(trades) > 1:
        raise DataError(
            f"{path.name} holds {len(trades)} exports, {', '.join(trades[:5])}: unpack it and pass them as one list"
        )
    return documents[trades[0] if trades else largest.filename]


def read_trades(document: Any) -> TradesResult:
    """Return daily returns of an export: `strategy -> name -> trades`, or a list or table of trades.

    Raises
    ------
    DataError
        If no trade was closed, a column is missing, or an account lost more than it had.
    """
    results = {name: _daily(name, table, account) for name, table, account in _accounts(document)}
    if not results:
        raise DataError("the export has no strategy in it: export a backtest with its trades")
    notes = [_REALISED, *(note for *_, found in results.values() for note in found)]
    start = min(returns.index[0] for returns, *_ in results.values())
    end = max(returns.index[-1] for returns, *_ in results.values())
    days = pd.date_range(start, end, freq=_DAY, name="datetime")
    frames = [
        pd.DataFrame({name: found[place] for name, found in results.items()}).reindex(days, fill_value=0.0)
        for place in (0, 1)
        if all(found[place] is not None for found in results.values())
    ]
    frames = [frame.fillna(0.0) for frame in frames]
    return TradesResult(
        "freqtrade trades", frames[0], frames[1] if len(frames) > 1 else None, tuple(dict.fromkeys(notes))
    )


def _accounts(document: Any) -> list[tuple[str, pd.DataFrame, _Account]]:
    if isinstance(document, Mapping) and isinstance(document.get("strategy"), Mapping):
        found = []
        for name, result in document["strategy"].items():
            if not isinstance(result, Mapping) or not isinstance(result.get("trades"), list):
                raise DataError(f"strategy {name!r} has no list `trades`: export the backtest with its trades")
            found.append((str(name), _table(result["trades"]), _account(result)))
        return found
    rows = document["trades"] if isinstance(document, Mapping) else document
    table = rows if isinstance(rows, pd.DataFrame) else _table(rows)
    if "strategy" in table.columns and table["strategy"].notna().all():
        return [(str(name), part, _Account()) for name, part in table.groupby("strategy", sort=False)]
    return [("trades", table, _Account())]


def _table(rows: list[Any]) -> pd.DataFrame:
    if not all(isinstance(row, Mapping) for row in rows):
        raise DataError("a trade must be an object with named values; lists of values were written before 2020")
    return pd.DataFrame([dict(row) for row in rows])


def _account(result: Mapping[str, Any]) -> _Account:
    balance = result.get("starting_balance") or result.get("dry_run_wallet")
    moments = [
        pd.to_datetime(result[f"{name}_ts"], unit="ms", utc=True)
        if result.get(f"{name}_ts")
        else pd.to_datetime(result[name], utc=True)
        if result.get(name)
        else None
        for name in ("backtest_start", "backtest_end")
    ]
    return _Account(float(balance) if isinstance(balance, (int, float)) else None, *moments)


def _times(name: str, table: pd.DataFrame, column: str) -> pd.Series:
    try:
        return pd.to_datetime(table[column], utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise DataError(f"{column} of {name!r} holds no times: {error}") from error


def _numbers(table: pd.DataFrame, column: str, fallback: float) -> pd.Series:
    if column not in table.columns:
        return pd.Series(fallback, index=table.index, dtype=np.float64)
    return pd.to_numeric(table[column], errors="coerce").astype(np.float64)


def _daily(name: str, table: pd.DataFrame, account: _Account) -> tuple[pd.Series, pd.Series | None, list[str]]:
    """Return one strategy's daily returns, fees over the same worth, and what was assumed."""
    missing = [column for column in ("open_date", "close_date") if column not in table.columns]
    if len(table) and missing:
        raise DataError(f"trades of {name!r} lack {', '.join(missing)}")
    notes = []
    closed = table[table["close_date"].notna()] if len(table) else table
    if not len(closed):
        raise DataError(f"{name!r} has no closed trade: there is nothing to audit")
    if len(closed) < len(table):
        notes.append(f"open trades of {name} are left out: {len(table) - len(closed):,}")
    opened, left = _times(name, closed, "open_date"), _times(name, closed, "close_date")
    if (left < opened).any():
        when = opened[left < opened].iloc[0]
        raise DataError(f"a trade of {name!r} is closed before it is opened, at {when}: the export is damaged")
    if "stake_amount" not in closed.columns:
        notes.append("stakes are not given and taken to be equal")
    stake, gain = _stakes_and_gains(name, closed)
    balance = account.balance
    if not balance:
        balance = _most_at_once(opened, left, stake)
        notes.append(f"the account of {name} is not given: taken as the largest stakes held at once, {balance:,.6g}")
    first, last = (account.start or opened.min()).floor("D"), max(account.end or left.max(), left.max()).floor("D")
    days = pd.date_range(min(first, opened.min().floor("D")), last, freq=_DAY, name="datetime")
    day = left.dt.floor("D")
    gains = gain.groupby(day).sum().reindex(days, fill_value=0.0)
    before = balance + gains.cumsum() - gains
    if (before + gains <= 0).any():
        when = days[int(np.argmax((before + gains <= 0).to_numpy()))]
        raise DataError(f"{name!r} lost all of its {balance:,.6g} by {when:%Y-%m-%d}: there are no returns after that")
    fees = _fees(closed, stake)
    paid = None if fees is None else fees.groupby(day).sum().reindex(days, fill_value=0.0) / before
    return gains / before, paid, notes


def _stakes_and_gains(name: str, trades: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    stake = _numbers(trades, "stake_amount", 1.0)
    bad = ~(np.isfinite(stake) & (stake > 0))
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} trades of {name!r} have no stake_amount above 0, the first "
            f"{trades.loc[bad, 'stake_amount'].iloc[0]}: the export is damaged"
        )
    gain = _numbers(trades, "profit_abs", np.nan)
    gain = gain.fillna(_numbers(trades, "profit_ratio", np.nan) * stake)
    if gain.isna().any():
        raise DataError(f"{int(gain.isna().sum())} trades of {name!r} have neither profit_abs nor profit_ratio")
    if np.isinf(gain).any():
        raise DataError(
            f"{int(np.isinf(gain).sum())} trades of {name!r} have an infinite profit: the export is damaged"
        )
    return stake, gain


def _fees(trades: pd.DataFrame, stake: pd.Series) -> pd.Series | None:
    if not {"fee_open", "fee_close"} <= set(trades.columns):
        return None
    rates = [_numbers(trades, column, np.nan).fillna(0.0) for column in ("fee_open", "fee_close")]
    if not (rates[0] + rates[1]).any():
        return None
    borrowed = stake * _numbers(trades, "leverage", 1.0).fillna(1.0)
    amount = _numbers(trades, "amount", np.nan)
    traded = [(amount * _numbers(trades, column, np.nan)).fillna(borrowed) for column in ("open_rate", "close_rate")]
    return rates[0] * traded[0] + rates[1] * traded[1]


def _most_at_once(opened: pd.Series, left: pd.Series, stake: pd.Series) -> float:
    """Return the largest sum of stakes held at the same time."""
    times = np.concatenate([left.to_numpy(), opened.to_numpy()])
    change = np.concatenate([-stake.to_numpy(), stake.to_numpy()])
    # a trade that closes when another opens has given back its stake
    order = np.lexsort((change > 0, times))
    return float(np.cumsum(change[order]).max())
