"""What the look-ahead detector cuts: bars and frames as rows that can be left out, replaced or punched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import PANELS, Bars

__all__ = ["BarsWorld", "FrameWorld", "world_of"]


@dataclass(frozen=True)
class BarsWorld:
    """`Bars` seen as rows that can be cut off, replaced or punched out."""

    bars: Bars

    @property
    def times(self) -> pd.DatetimeIndex:
        """Open times of the rows."""
        return self.bars.index

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols whose rows can be changed alone."""
        return tuple(self.bars.symbols)

    @property
    def missing(self) -> np.ndarray:
        """Rows in which some bar is missing, shape (n_times,)."""
        return np.asarray(self.bars.close.isna().any(axis=1).to_numpy())

    @property
    def resumed(self) -> np.ndarray:
        """Rows in which some symbol has a bar again, shape (n_times,)."""
        return _resumed(self.bars.close.isna().to_numpy())

    def rows(self, start: int, stop: int) -> Bars:
        """Return the rows from `start` to before `stop`."""
        return self.bars.select(start=self.times[start], end=self.times[stop - 1])

    def corrupted(self, stop: int, seed: int, symbol: str | None = None, *, keep_missing: bool = False) -> Bars:
        """Return all rows, those from `stop` on replaced by noise: of one symbol, and where bars are, if asked."""
        columns = {name: getattr(self.bars, name) for name in PANELS}
        frames = {name: frame.copy() for name, frame in columns.items() if frame is not None}
        noise = _noise(frames["close"].shape[0] - stop, frames["close"].shape[1], frames, stop, seed)
        columns_changed = np.array([symbol in (None, name) for name in self.bars.symbols])
        for name, frame in frames.items():
            old = frame.iloc[stop:].to_numpy()
            changed = columns_changed & ~(keep_missing & np.isnan(old))
            frame.iloc[stop:] = np.where(changed, noise[name], old)
        return replace(self.bars, **frames)

    def punched(self, rng: np.random.Generator) -> BarsWorld | None:
        """Return a copy in which about 3 % of the bars of every symbol are missing, alone and in runs."""
        holes = rng.random(self.bars.shape) < 0.015
        holes[1:] |= holes[:-1]
        holes[[0, -1]] = False
        frames = {name: getattr(self.bars, name).mask(holes) for name in PANELS if getattr(self.bars, name) is not None}
        return BarsWorld(replace(self.bars, **frames))


@dataclass(frozen=True)
class FrameWorld:
    """A DataFrame seen as rows of times; several rows may share a time (the long frame)."""

    frame: pd.DataFrame
    stamps: pd.DatetimeIndex

    @property
    def times(self) -> pd.DatetimeIndex:
        """Times of the rows, each once."""
        return self.stamps.unique().sort_values()

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols whose rows can be changed alone: none if the frame does not name them."""
        return () if self._symbol_of is None else tuple(map(str, self._symbol_of.unique()))

    @property
    def _symbol_of(self) -> pd.Series | None:
        named = [name for name in ("symbol", "instrument") if name in self.frame.columns]
        return self.frame[named[0]] if named else None

    @property
    def missing(self) -> np.ndarray:
        """Times at which some value is missing, shape (n_times,)."""
        gaps = self.frame.isna().any(axis=1).groupby(np.asarray(self.stamps)).any()
        return np.asarray(gaps.sort_index().to_numpy())

    @property
    def resumed(self) -> np.ndarray:
        """Times at which no value is missing, after one at which some are, shape (n_times,)."""
        return _resumed(self.missing[:, None])

    def rows(self, start: int, stop: int) -> pd.DataFrame:
        """Return the rows of the times from `start` to before `stop`."""
        times = self.times
        return self.frame[(self.stamps >= times[start]) & (self.stamps <= times[stop - 1])].copy()

    def corrupted(self, stop: int, seed: int, symbol: str | None = None, *, keep_missing: bool = False) -> pd.DataFrame:
        """Return all rows, those from `stop` on replaced by noise: of one symbol, and where values are, if asked."""
        frame, times = self.frame.copy(), self.times
        if stop >= len(times):
            return frame
        changed = np.asarray(self.stamps >= times[stop])
        if symbol is not None and self._symbol_of is not None:
            changed &= self._symbol_of.astype(str).to_numpy() == symbol
        later = np.flatnonzero(changed)
        lower = {str(name).lower(): name for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name])}
        panels = {key: frame[[name]] for key, name in lower.items() if key != "timestamp"}
        noise = _noise(len(later), 1, panels, 0, seed)
        for key, values in noise.items():
            frame[lower[key]] = frame[lower[key]].astype(np.float64)
            old = frame[lower[key]].to_numpy()[later]
            new = np.where(keep_missing & np.isnan(old), old, values[:, 0])
            frame.iloc[later, frame.columns.get_loc(lower[key])] = new
        return frame

    def punched(self, rng: np.random.Generator) -> FrameWorld | None:
        """Return nothing: a frame is left as it is."""
        return None


def _resumed(missing: np.ndarray) -> np.ndarray:
    """Return the rows of (n_times, n_symbols) that follow a missing one and are not missing, in some column."""
    again = np.zeros(len(missing), dtype=bool)
    again[1:] = (missing[:-1] & ~missing[1:]).any(axis=1)
    return again


def world_of(bars: Any) -> BarsWorld | FrameWorld:
    """Return what was passed as rows to cut: a frame stays a frame, all else becomes `Bars`."""
    if isinstance(bars, pd.DataFrame) and not isinstance(bars.columns, pd.MultiIndex):
        if isinstance(bars.index, pd.DatetimeIndex):
            return FrameWorld(bars, bars.index)
        for name in ("timestamp", "datetime", "date"):
            if name in bars.columns:
                return FrameWorld(bars, pd.DatetimeIndex(bars[name]))
    return BarsWorld(as_bars(bars))


def _noise(n_rows: int, n_columns: int, frames: dict[str, pd.DataFrame], stop: int, seed: int) -> dict[str, np.ndarray]:
    """Return values of another market for every frame: positive, OHLC in order, nothing missing."""
    rng = np.random.default_rng([seed, stop])
    close = np.exp(rng.normal(3.0, 1.0, (n_rows, n_columns)))
    spread = np.exp(rng.normal(-3.0, 0.5, (n_rows, n_columns)))
    open_ = close * np.exp(rng.normal(0.0, 0.02, (n_rows, n_columns)))
    ohlc = {
        "open": open_,
        "high": np.maximum(open_, close) * (1 + spread),
        "low": np.minimum(open_, close) / (1 + spread),
        "close": close,
    }
    volume = np.exp(rng.normal(4.0, 1.0, (n_rows, n_columns)))
    return {name: ohlc.get(name, volume * close if name == "quote_volume" else volume) for name in frames}
