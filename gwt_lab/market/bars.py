"""`Bars`: aligned OHLCV panels on a complete time grid, frozen, hashed, with their gaps named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError, ShapeError, UnknownNameError
from gwt_lab.market.instruments import Instrument, unified_symbol
from gwt_lab.market.time import check_timeframe, grid, on_grid, timeframe_ns, timeframe_of, timestamp, utc_index

__all__ = ["FIELDS", "GAP_REASONS", "Bars"]

FIELDS = ("open", "high", "low", "close", "volume")
GAP_REASONS = ("outage", "not listed", "no trade")
_GAP_COLUMNS = ["symbol", "start", "end", "reason"]


def _no_gaps() -> pd.DataFrame:
    times = pd.DatetimeIndex([], tz="UTC").as_unit("ns")
    return pd.DataFrame({"symbol": pd.Series([], dtype=object), "start": times, "end": times, "reason": []})


@dataclass(frozen=True, eq=False, repr=False)
class Bars:
    """Bars of several symbols on one complete time grid.

    A row is labelled by the bar's **open time** (UTC) and known when the bar has closed. Bars that do not exist are
    rows of NaN, never filled; `gaps` says why they are missing.

    Parameters
    ----------
    open, high, low, close, volume : DataFrame of shape (n_times, n_symbols)
        float64; index `datetime64[ns, UTC]` named ``datetime``, one step of `timeframe` apart; columns are symbols.
        Volume is in base units.
    timeframe : str
        ccxt's spelling, ``"1h"``.
    quote_volume : DataFrame, optional
        Traded value in quote currency, same shape.
    gaps : DataFrame
        Columns symbol, start, end (open times of the first and last missing bar), reason: `outage` (every listed
        symbol is missing), `not listed`, `no trade` (this symbol alone is missing).
    instruments : mapping
        Trading rules by symbol.

    Notes
    -----
    Build one with :meth:`from_frame`, or let any public function do it through `as_bars`.
    """

    open: pd.DataFrame
    high: pd.DataFrame
    low: pd.DataFrame
    close: pd.DataFrame
    volume: pd.DataFrame
    timeframe: str
    quote_volume: pd.DataFrame | None = None
    gaps: pd.DataFrame = field(default_factory=_no_gaps)
    instruments: Mapping[str, Instrument] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_timeframe(self.timeframe)
        index, columns = self.close.index, self.close.columns
        if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
            raise DataError("bars need a UTC DatetimeIndex of open times: use Bars.from_frame")
        for name in (*FIELDS, "quote_volume"):
            frame = getattr(self, name)
            if frame is None:
                continue
            if frame.shape != self.close.shape or not frame.index.equals(index) or not frame.columns.equals(columns):
                raise ShapeError(
                    f"{name} must have the index and columns of close, shape {self.close.shape}, got {frame.shape}"
                )
        if len(index) > 1 and not (np.diff(index.asi8) == timeframe_ns(self.timeframe)).all():
            raise DataError(
                f"bars need every open time, one {self.timeframe} apart: use Bars.from_frame, which adds gaps"
            )
        object.__setattr__(self, "instruments", MappingProxyType(dict(self.instruments)))

    # ------------------------------------------------------------------------------------------ what it holds
    @property
    def index(self) -> pd.DatetimeIndex:
        """Open times, UTC, without holes."""
        return self.close.index

    @property
    def symbols(self) -> list[str]:
        """Unified symbols, in column order."""
        return list(self.close.columns)

    @property
    def n_times(self) -> int:
        """Number of rows, gaps included."""
        return len(self.close)

    @property
    def n_symbols(self) -> int:
        """Number of columns."""
        return len(self.close.columns)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_times, n_symbols)."""
        return self.n_times, self.n_symbols

    def __len__(self) -> int:
        return self.n_times

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of timeframe, symbols, times and values; equal content has an equal hash on every machine."""
        digest = hashlib.sha256()
        digest.update(repr((self.timeframe, self.symbols)).encode())
        digest.update(self.index.asi8.astype("<i8").tobytes())
        for name in (*FIELDS, "quote_volume"):
            frame = getattr(self, name)
            if frame is not None:
                values = np.ascontiguousarray(frame.to_numpy(), dtype="<f8")
                digest.update(name.encode())
                # one bit pattern for every NaN and for -0.0
                digest.update(np.where(np.isnan(values), np.nan, values + 0.0).tobytes())
        return digest.hexdigest()

    def equals(self, other: Bars) -> bool:
        """Return whether both hold the same bars (gaps' reasons and instruments apart)."""
        return isinstance(other, Bars) and self.content_hash == other.content_hash

    def __repr__(self) -> str:
        if not self.n_times:
            return f"Bars({self.timeframe}, no rows)"
        names = ", ".join(self.symbols[:4]) + (", ..." if self.n_symbols > 4 else "")
        missing = int(self.close.isna().to_numpy().sum())
        return (
            f"Bars({self.n_symbols} symbols x {self.n_times:,} bars of {self.timeframe}, "
            f"{self.index[0]:%Y-%m-%d %H:%M} to {self.index[-1]:%Y-%m-%d %H:%M} UTC, {missing:,} missing; {names})"
        )

    def _repr_html_(self) -> str:
        from gwt_lab.display import bars_card

        return bars_card(self)

    # ------------------------------------------------------------------------------------------ cut and join
    def select(self, symbols: str | Iterable[str] | None = None, start: Any = None, end: Any = None) -> Bars:
        """Return the bars of some symbols between two open times, both included.

        Raises
        ------
        UnknownNameError
            If a symbol is not in the bars; the message lists those that are.
        """
        columns = self.symbols if symbols is None else self._known(symbols)
        first = self.index[0] if start is None and self.n_times else (None if start is None else timestamp(start))
        rows = slice(
            0 if first is None else int(self.index.searchsorted(first, side="left")),
            self.n_times if end is None else int(self.index.searchsorted(timestamp(end), side="right")),
        )
        frames = {
            name: getattr(self, name)[columns].iloc[rows]
            for name in (*FIELDS, "quote_volume")
            if getattr(self, name) is not None
        }
        return replace(
            self,
            **frames,
            gaps=_clip_gaps(self.gaps, columns, self.index[rows]),
            instruments={name: rule for name, rule in self.instruments.items() if name in columns},
        )

    def _known(self, symbols: str | Iterable[str]) -> list[str]:
        wanted = [unified_symbol(name) for name in ([symbols] if isinstance(symbols, str) else symbols)]
        unknown = [name for name in wanted if name not in self.close.columns]
        if unknown:
            raise UnknownNameError(f"no such symbol {', '.join(unknown)}; these bars have {', '.join(self.symbols)}")
        return wanted

    def head(self, n: int) -> Bars:
        """Return the first `n` rows."""
        return self._rows(slice(0, n))

    def tail(self, n: int) -> Bars:
        """Return the last `n` rows."""
        return self._rows(slice(max(self.n_times - n, 0), self.n_times))

    def _rows(self, rows: slice) -> Bars:
        index = self.index[rows]
        if not len(index):
            raise DataError(f"no rows are left of {self.n_times}: ask for at least one")
        return self.select(start=index[0], end=index[-1])

    # ------------------------------------------------------------------------------------------ long and back
    def to_frame(self) -> pd.DataFrame:
        """Return the long frame: columns timestamp, open, high, low, close, volume[, quote_volume], symbol.

        Missing bars are left out; rows are ordered by symbol, then time.
        """
        names = [name for name in (*FIELDS, "quote_volume") if getattr(self, name) is not None]
        columns: dict[str, Any] = {"timestamp": self.index.repeat(1).append([self.index] * (self.n_symbols - 1))}
        for name in names:
            columns[name] = getattr(self, name).to_numpy().T.reshape(-1)
        columns["symbol"] = np.repeat(np.array(self.symbols, dtype=object), self.n_times)
        frame = pd.DataFrame(columns)
        frame = frame[~np.isnan(frame["close"].to_numpy())].reset_index(drop=True)
        frame.attrs["timeframe"] = self.timeframe
        return frame

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        timeframe: str | None = None,
        *,
        gaps: pd.DataFrame | None = None,
        instruments: Mapping[str, Instrument] | None = None,
    ) -> Bars:
        """Build bars from the long frame.

        Parameters
        ----------
        frame : DataFrame
            Columns timestamp (any time unit), open, high, low, close, volume, symbol and optionally quote_volume; any
            row order.
        timeframe : str, optional
            Recognised from the most frequent step if not given.
        gaps : DataFrame, optional
            Known reasons; those of other missing bars are inferred.
        instruments : mapping, optional
            Trading rules by symbol.

        Raises
        ------
        DataError
            If columns are missing, a bar appears twice, or a time lies off the grid of `timeframe`.
        """
        missing = [name for name in ("timestamp", *FIELDS, "symbol") if name not in frame.columns]
        if missing:
            raise DataError(
                f"the long frame needs columns timestamp, open, high, low, close, volume, symbol; {', '.join(missing)} "
                f"missing, got {', '.join(map(str, frame.columns))}"
            )
        if frame.empty:
            raise DataError("the frame has no rows; bars need at least one")
        times = utc_index(frame["timestamp"])
        symbols, columns = _symbol_codes(frame["symbol"])
        step = check_timeframe(timeframe) if timeframe else timeframe_of(times)
        index = _complete_grid(times, step)
        rows = (times.asi8 - index.asi8[0]) // timeframe_ns(step)
        _refuse_duplicates(rows, columns, times, symbols)
        names = [*FIELDS] + (["quote_volume"] if "quote_volume" in frame.columns else [])
        panels = {name: _panel(frame[name], rows, columns, index, symbols) for name in names}
        known = _no_gaps() if gaps is None else gaps
        return cls(
            **panels,
            timeframe=step,
            gaps=find_gaps(panels["close"], known),
            instruments=dict(instruments or {}),
        )


def _symbol_codes(column: pd.Series) -> tuple[list[str], np.ndarray]:
    """Return the unified symbols in order of appearance and each row's column number."""
    codes, raw = pd.factorize(column, sort=False)
    if (codes < 0).any():
        raise DataError(f"symbol is missing in row {int(np.argmax(codes < 0))}")
    names = [unified_symbol(name) for name in raw]
    symbols = sorted(set(names), key=names.index)
    return symbols, np.array([symbols.index(name) for name in names])[codes]


def _complete_grid(times: pd.DatetimeIndex, timeframe: str) -> pd.DatetimeIndex:
    off = ~on_grid(times.asi8, timeframe)
    if off.any():
        raise DataError(
            f"{int(off.sum())} of {len(times)} times do not open a bar of {timeframe}, the first is "
            f"{times[int(np.argmax(off))]}; check the timeframe and time zone (`gwt data check`)"
        )
    index = grid(times.min(), times.max(), timeframe)
    if len(index) > 50 * max(len(times), 1000):
        raise DataError(
            f"{len(times)} bars spread over {len(index):,} times of {timeframe} from {index[0]} to {index[-1]}: "
            f"a time is probably wrong by years; check the first and last rows"
        )
    return index


def _refuse_duplicates(rows: np.ndarray, columns: np.ndarray, times: pd.DatetimeIndex, symbols: list[str]) -> None:
    keys = rows * len(symbols) + columns
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(np.diff(keys[order]) == 0)
    if len(same):
        row = order[same[0] + 1]
        raise DataError(
            f"{len(same)} bars appear twice, the first is {symbols[columns[row]]} at {times[row]}; drop one of each "
            f"(`gwt data import --repair drop-duplicates` keeps the last)"
        )


def _panel(
    values: pd.Series, rows: np.ndarray, columns: np.ndarray, index: pd.DatetimeIndex, symbols: list[str]
) -> pd.DataFrame:
    try:
        numbers = values.to_numpy(dtype=np.float64)
    except (ValueError, TypeError):
        raise DataError(f"column {values.name} must hold numbers, got {values.dtype}") from None
    panel = np.full((len(index), len(symbols)), np.nan)
    panel[rows, columns] = numbers
    return pd.DataFrame(panel, index=index, columns=pd.Index(symbols, name="symbol"), copy=False)


def find_gaps(close: pd.DataFrame, known: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the missing bars of a close panel as intervals with their reason.

    Parameters
    ----------
    close : DataFrame of shape (n_times, n_symbols)
        NaN where there is no bar.
    known : DataFrame, optional
        Gaps whose reason is known; an inferred gap inside a known one takes its reason.

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
    rows: list[tuple[str, int, int, str]] = []
    for column in range(n_symbols):
        change = np.flatnonzero(np.diff(code[:, column], prepend=-2, append=-2))
        for begin, stop in pairwise(change):
            reason = code[begin, column]
            if reason >= 0:
                rows.append((close.columns[column], int(begin), int(stop) - 1, GAP_REASONS[reason]))
    if not rows:
        return _no_gaps()
    symbols, starts, ends, reasons = zip(*rows, strict=True)
    gaps = pd.DataFrame(
        {"symbol": symbols, "start": close.index[list(starts)], "end": close.index[list(ends)], "reason": reasons}
    )
    return _with_known(gaps, known)


def _with_known(gaps: pd.DataFrame, known: pd.DataFrame | None) -> pd.DataFrame:
    if known is None or known.empty:
        return gaps
    gaps = gaps.copy()
    for _, row in known.iterrows():
        inside = (gaps["symbol"] == row["symbol"]) & (gaps["start"] >= row["start"]) & (gaps["end"] <= row["end"])
        gaps.loc[inside, "reason"] = row["reason"]
    return gaps


def _clip_gaps(gaps: pd.DataFrame, symbols: list[str], index: pd.DatetimeIndex) -> pd.DataFrame:
    if gaps.empty or not len(index):
        return _no_gaps()
    kept = gaps[gaps["symbol"].isin(symbols) & (gaps["end"] >= index[0]) & (gaps["start"] <= index[-1])].copy()
    kept["start"] = kept["start"].clip(lower=index[0])
    kept["end"] = kept["end"].clip(upper=index[-1])
    return kept.reset_index(drop=True)
