"""`Bars`: aligned OHLCV panels on a complete time grid, frozen, hashed, with their gaps named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError, ShapeError, UnknownNameError
from gwt_lab.market.gaps import GAP_REASONS, clip_gaps, find_gaps, gaps_from_json, gaps_json, known_gaps, no_gaps
from gwt_lab.market.instruments import Instrument, unified_symbol
from gwt_lab.market.time import check_timeframe, grid, on_grid, recognised_timeframe, timeframe_ns, timestamp, utc_index

__all__ = ["FIELDS", "GAP_REASONS", "PANELS", "Bars", "find_gaps"]

FIELDS = ("open", "high", "low", "close", "volume")
PANELS = (*FIELDS, "quote_volume")


class _Frame:
    """A field of `Bars` that hands out copies, so that no assignment to what was handed out reaches the bars.

    pandas copies on write: the memory is shared until someone writes.
    """

    def __init__(self, name: str) -> None:
        self._slot = f"_{name}"

    def __get__(self, bars: Any, owner: type | None = None) -> Any:
        if bars is None:
            return self
        frame = bars.__dict__[self._slot]
        return None if frame is None else frame.copy(deep=False)

    def __set__(self, bars: Any, frame: Any) -> None:
        bars.__dict__[self._slot] = frame.copy(deep=False) if isinstance(frame, pd.DataFrame) else frame


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
    gaps: pd.DataFrame = field(default_factory=no_gaps)
    instruments: Mapping[str, Instrument] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_timeframe(self.timeframe)
        for name in PANELS:
            if name == "quote_volume" and self.quote_volume is None:
                continue
            self.__dict__[f"_{name}"] = _float_panel(self.__dict__[f"_{name}"], name)
        _check_axes(self)
        self.__dict__["_gaps"] = known_gaps(self.gaps)
        rules = {unified_symbol(symbol): rule for symbol, rule in self.instruments.items()}
        object.__setattr__(self, "instruments", MappingProxyType(rules))

    def __getstate__(self) -> dict[str, Any]:
        # a mapping proxy cannot be pickled, and worker processes get their bars pickled
        return self.__dict__ | {"instruments": dict(self.instruments)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"instruments": MappingProxyType(state["instruments"])})

    # ------------------------------------------------------------------------------------------ what it holds
    @property
    def index(self) -> pd.DatetimeIndex:
        """Open times, UTC, without holes."""
        index: pd.DatetimeIndex = self.__dict__["_close"].index
        return index

    @property
    def symbols(self) -> list[str]:
        """Unified symbols, in column order."""
        return list(self.__dict__["_close"].columns)

    @property
    def n_times(self) -> int:
        """Number of rows, gaps included."""
        return len(self.__dict__["_close"])

    @property
    def n_symbols(self) -> int:
        """Number of columns."""
        return len(self.__dict__["_close"].columns)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_times, n_symbols)."""
        return self.n_times, self.n_symbols

    def __len__(self) -> int:
        return self.n_times

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of timeframe, symbols, times and values; equal content has an equal hash on every machine.

        "60m" and "1h" are equal content; every NaN is one NaN, and -0.0 is 0.0.
        """
        digest = hashlib.sha256()
        digest.update(repr((timeframe_ns(self.timeframe), self.symbols)).encode())
        digest.update(self.index.asi8.astype("<i8").tobytes())
        for name in PANELS:
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
        DataError
            If a symbol is asked for twice, or none at all.
        """
        columns = self.symbols if symbols is None else self._known(symbols)
        first = self.index[0] if start is None and self.n_times else (None if start is None else timestamp(start))
        rows = slice(
            0 if first is None else int(self.index.searchsorted(first, side="left")),
            self.n_times if end is None else int(self.index.searchsorted(timestamp(end), side="right")),
        )
        frames = {name: getattr(self, name)[columns].iloc[rows] for name in PANELS if getattr(self, name) is not None}
        return replace(
            self,
            **frames,
            gaps=clip_gaps(self.gaps, columns, self.index[rows]),
            instruments={name: rule for name, rule in self.instruments.items() if name in columns},
        )

    def _known(self, symbols: str | Iterable[str]) -> list[str]:
        wanted = [unified_symbol(name) for name in ([symbols] if isinstance(symbols, str) else symbols)]
        unknown = [name for name in wanted if name not in self.close.columns]
        if unknown:
            raise UnknownNameError(f"no such symbol {', '.join(unknown)}; these bars have {', '.join(self.symbols)}")
        if not wanted:
            raise DataError(f"no symbol was asked for; leave symbols away for all of {', '.join(self.symbols)}")
        if len(set(wanted)) < len(wanted):
            raise DataError(f"a symbol was asked for twice in {', '.join(wanted)}; name each once")
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

        Missing bars (rows without any value) are left out; rows are ordered by symbol, then time. `attrs` carries the
        timeframe and, as JSON, the reasons of the gaps, where :meth:`from_frame` finds them.
        """
        names = [name for name in PANELS if self.__dict__[f"_{name}"] is not None]
        values = {name: self.__dict__[f"_{name}"].to_numpy().T.reshape(-1) for name in names}
        kept = np.flatnonzero(~np.logical_and.reduce([np.isnan(column) for column in values.values()]))
        columns: dict[str, Any] = {"timestamp": self.index[kept % max(self.n_times, 1)].rename(None)}
        columns |= {name: column[kept] for name, column in values.items()}
        columns["symbol"] = pd.Categorical.from_codes(kept // max(self.n_times, 1), self.symbols).astype("str")
        frame = pd.DataFrame(columns)
        frame.attrs["timeframe"] = self.timeframe
        if len(self.gaps):
            frame.attrs["gaps"] = gaps_json(self.gaps)
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
            Recognised from the most frequent step if not given; a frame that :meth:`to_frame` made remembers it.
        gaps : DataFrame, optional
            Known reasons (columns symbol, start, end, reason); those of other missing bars are inferred. A frame that
            :meth:`to_frame` made remembers them.
        instruments : mapping, optional
            Trading rules by symbol.

        Raises
        ------
        DataError
            If columns are missing, a bar appears twice, or a time lies off the grid of `timeframe`.
        """
        if not frame.columns.is_unique:
            twice = sorted(set(map(str, frame.columns[frame.columns.duplicated()])))
            raise DataError(f"the long frame has column {', '.join(twice)} more than once; drop or rename one of each")
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
        step = check_timeframe(timeframe) if timeframe else recognised_timeframe(times, frame.attrs.get("timeframe"))
        index = _complete_grid(times, step)
        rows = (times.asi8 - index.asi8[0]) // timeframe_ns(step)
        _refuse_duplicates(rows, columns, times, symbols)
        names = [*FIELDS] + (["quote_volume"] if "quote_volume" in frame.columns else [])
        panels = {name: _panel(frame[name], rows, columns, index, symbols) for name in names}
        if gaps is None and "gaps" in frame.attrs:
            gaps = gaps_from_json(frame.attrs["gaps"])
        return cls(
            **panels,
            timeframe=step,
            gaps=find_gaps(panels["close"], gaps),
            instruments=dict(instruments or {}),
        )


for _name in (*PANELS, "gaps"):
    # after `dataclass` has read the class, which would take a descriptor for a default
    setattr(Bars, _name, _Frame(_name))


def _float_panel(frame: Any, name: str) -> pd.DataFrame:
    if not isinstance(frame, pd.DataFrame):
        raise ShapeError(f"{name} must be a DataFrame of (n_times, n_symbols), got {type(frame).__name__}")
    if all(kind == np.float64 for kind in frame.dtypes):
        return frame
    try:
        if any(kind.kind == "c" for kind in frame.dtypes):
            raise TypeError
        return frame.astype(np.float64)
    except (ValueError, TypeError):
        raise DataError(f"{name} must hold numbers, got {sorted({str(kind) for kind in frame.dtypes})}") from None


def _check_axes(bars: Bars) -> None:
    """Refuse panels that differ, symbols that repeat, and times that are not every open time of the timeframe."""
    close = bars.__dict__["_close"]
    for name in PANELS:
        frame = bars.__dict__[f"_{name}"]
        if frame is None:
            continue
        if frame.shape != close.shape or not frame.index.equals(close.index) or not frame.columns.equals(close.columns):
            raise ShapeError(
                f"{name} must have the index and columns of close, shape {close.shape}, got {frame.shape}; build bars "
                "with Bars.from_frame"
            )
    symbols = list(close.columns)
    if not symbols or len(set(symbols)) < len(symbols) or symbols != [unified_symbol(name) for name in symbols]:
        raise DataError(f"bars need at least one symbol, each once, written like BTC/USDT; got {symbols[:8]}")
    if str(close.index.dtype) != "datetime64[ns, UTC]":
        raise DataError(
            f"bars need an index of UTC open times (datetime64[ns, UTC]), got {close.index.dtype}: use Bars.from_frame"
        )
    step = timeframe_ns(bars.timeframe)
    if (np.diff(close.index.asi8) != step).any() or not on_grid(close.index.asi8[:1], bars.timeframe).all():
        raise DataError(
            f"bars need every open time, one {bars.timeframe} apart: use Bars.from_frame, which adds the missing ones"
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
    first, last = times.min(), times.max()
    length = (last.value - first.value) // timeframe_ns(timeframe) + 1
    if length > 50 * max(len(times), 1000):
        raise DataError(
            f"{len(times)} bars spread over {length:,} times of {timeframe} from {first} to {last}: "
            f"a time is probably wrong by years; check the first and last rows"
        )
    return grid(first, last, timeframe)


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
        if np.iscomplexobj(values):
            raise TypeError
        numbers = values.to_numpy(dtype=np.float64)
    except (ValueError, TypeError):
        raise DataError(f"column {values.name} must hold numbers, got {values.dtype}; convert it first") from None
    panel = np.full((len(index), len(symbols)), np.nan)
    panel[rows, columns] = numbers
    return pd.DataFrame(panel, index=index, columns=pd.Index(symbols, name="symbol"), copy=False)
