"""Why a bar is missing: outage, not listed, no trade."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError
from gwt_lab.market.instruments import unified_symbol
from gwt_lab.market.time import utc_index

__all__ = ["GAP_REASONS", "clip_gaps", "find_gaps", "gaps_from_json", "gaps_json", "known_gaps", "no_gaps"]

GAP_REASONS = ("outage", "not listed", "no trade")
_GAP_COLUMNS = ["symbol", "start", "end", "reason"]


def no_gaps() -> pd.DataFrame:
    """Return an empty frame of gaps with the right columns."""
    times = pd.DatetimeIndex([], tz="UTC").as_unit("ns")
    words = pd.Series([], dtype="str")
    return pd.DataFrame({"symbol": words, "start": times, "end": times, "reason": words})


def find_gaps(close: pd.DataFrame, known: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the missing bars of a close panel as intervals with their reason.

    Parameters
    ----------
    close : DataFrame of shape (n_times, n_symbols)
        NaN where there is no bar.
    known : DataFrame, optional
        Columns symbol, start, end, reason: a missing bar inside a known gap takes its reason.

    Returns
    -------
    DataFrame
        Columns symbol, start, end, reason (`GAP_REASONS`). Before a symbol's first and after its last bar it is `not
        listed`; where every listed symbol (two at least) is missing it is an `outage`; else `no trade`.
    """
    missing = close.isna().to_numpy()
    n_times, n_symbols = missing.shape
    present = ~missing
    first = np.where(present.any(axis=0), present.argmax(axis=0), n_times)
    last = np.where(present.any(axis=0), n_times - 1 - present[::-1].argmax(axis=0), -1)
    position = np.arange(n_times)[:, None]
    listed = (position >= first) & (position <= last)
    all_out = (listed.sum(axis=1) >= 2) & ~(present & listed).any(axis=1)
    code = np.where(~missing, -1, np.where(~listed, 1, np.where(all_out[:, None], 0, 2)))
    _apply_known(code, close, known)
    rows: list[tuple[str, int, int, str]] = []
    for column in range(n_symbols):
        change = np.flatnonzero(np.diff(code[:, column], prepend=-2, append=-2))
        for begin, stop in pairwise(change):
            reason = code[begin, column]
            if reason >= 0:
                rows.append((close.columns[column], int(begin), int(stop) - 1, GAP_REASONS[reason]))
    if not rows:
        return no_gaps()
    symbols, starts, ends, reasons = zip(*rows, strict=True)
    times = close.index.rename(None)
    return pd.DataFrame(
        {
            "symbol": pd.Series(symbols, dtype="str"),
            "start": times[list(starts)],
            "end": times[list(ends)],
            "reason": pd.Series(reasons, dtype="str"),
        }
    )


def known_gaps(gaps: pd.DataFrame) -> pd.DataFrame:
    """Return gaps in the form that bars hold them."""
    missing = [name for name in _GAP_COLUMNS if name not in gaps.columns]
    if missing:
        raise DataError(f"gaps need columns {', '.join(_GAP_COLUMNS)}; {', '.join(missing)} missing")
    if gaps.empty:
        return no_gaps()
    unknown = sorted(set(gaps["reason"]) - set(GAP_REASONS))
    if unknown:
        raise DataError(f"a gap's reason must be one of {', '.join(GAP_REASONS)}; got {', '.join(map(str, unknown))}")
    return pd.DataFrame(
        {
            "symbol": pd.Series([unified_symbol(name) for name in gaps["symbol"]], dtype="str"),
            "start": utc_index(gaps["start"], name="start of a gap").rename(None),
            "end": utc_index(gaps["end"], name="end of a gap").rename(None),
            "reason": pd.Series(list(gaps["reason"]), dtype="str"),
        }
    )


def _apply_known(code: np.ndarray, close: pd.DataFrame, known: pd.DataFrame | None) -> None:
    """Overwrite the inferred reason of missing bars inside known gaps."""
    if known is None or known.empty:
        return
    known = known_gaps(known)
    begin = close.index.searchsorted(pd.DatetimeIndex(known["start"]), side="left")
    stop = close.index.searchsorted(pd.DatetimeIndex(known["end"]), side="right")
    columns = close.columns.get_indexer(known["symbol"])
    reasons = [GAP_REASONS.index(reason) for reason in known["reason"]]
    for column, first, last, reason in zip(columns, begin, stop, reasons, strict=True):
        if column >= 0:
            part = code[first:last, column]
            part[part >= 0] = reason


def gaps_json(gaps: pd.DataFrame) -> str:
    """Return gaps as one JSON text, which pandas copies for nothing when it copies `attrs`."""
    starts, ends = (pd.DatetimeIndex(gaps[name]).asi8.tolist() for name in ("start", "end"))
    return json.dumps(list(zip(gaps["symbol"], starts, ends, gaps["reason"], strict=True)))


def gaps_from_json(text: str) -> pd.DataFrame:
    """Return the gaps that :func:`gaps_json` wrote."""
    return pd.DataFrame(json.loads(text), columns=_GAP_COLUMNS)


def clip_gaps(gaps: pd.DataFrame, symbols: list[str], index: pd.DatetimeIndex) -> pd.DataFrame:
    """Return the gaps of some symbols, cut to the times of `index`."""
    if gaps.empty or not len(index):
        return no_gaps()
    kept = gaps[gaps["symbol"].isin(symbols) & (gaps["end"] >= index[0]) & (gaps["start"] <= index[-1])].copy()
    kept["start"] = kept["start"].clip(lower=index[0])
    kept["end"] = kept["end"].clip(upper=index[-1])
    return kept.reset_index(drop=True)
