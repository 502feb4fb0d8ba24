"""The look-ahead detector: recompute on less data and on a different future, and compare.

Three laws, NaN equal to NaN and to nothing else:

- *truncation*: ``f(x[:t])`` equals ``f(x)[:t]``;
- *future*: replacing every row after `t` by noise leaves the output up to `t` as it was;
- *memory* (with a declared lookback `k`): the last row of ``f(x[t-k:t])`` equals row `t-1` of ``f(x)``.

Cuts are drawn at random and added where leaks hide: right at missing bars, inside holes that are punched for the
purpose, and in the first rows, where warm-up gaps may have been filled backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gwt_lab.errors import CausalityError, DataError
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import PANELS, Bars

__all__ = ["CausalReport", "Leak", "check_causal"]

ROWS = "(rows)"  # the name under which missing or additional rows are reported
_WORD = {
    "truncation": "sees later rows",
    "future": "changes with later values",
    "memory": "remembers more than lookback",
}
_EXTRA_CALLS = 24  # calls of the function spent on finding the first leaking time


class Leak(NamedTuple):
    """One output column that breaks one law."""

    column: str
    first_timestamp: pd.Timestamp
    law: str


@dataclass(frozen=True)
class CausalReport:
    """What :func:`check_causal` found.

    Parameters
    ----------
    leaks : list of Leak
        (column, first timestamp, law), one entry per column and law; `(rows)` stands for rows that come or go.
    checked : dict of str to int
        How many cuts were compared, by law.
    """

    leaks: list[Leak]
    checked: dict[str, int]

    @property
    def passed(self) -> bool:
        """Whether no law was broken."""
        return not self.leaks

    def to_frame(self) -> pd.DataFrame:
        """Return the leaks as a table with columns column, first_timestamp, law."""
        return pd.DataFrame(self.leaks, columns=list(Leak._fields))

    def raise_if_leaking(self) -> None:
        """Raise `CausalityError` with the leaks, if there are any."""
        if self.leaks:
            raise CausalityError(str(self))

    def __str__(self) -> str:
        cuts = ", ".join(f"{count} {law}" for law, count in self.checked.items())
        if self.passed:
            return f"causal: no leak in {cuts} cuts"
        lines = [f"{leak.column!r} {_WORD[leak.law]} at {leak.first_timestamp}" for leak in self.leaks[:10]]
        more = [f"and {len(self.leaks) - 10} more"] if len(self.leaks) > 10 else []
        return f"not causal ({cuts} cuts): " + "; ".join(lines + more)


def check_causal(
    function: Callable[[Any], pd.DataFrame | pd.Series],
    bars: Any,
    *,
    lookback: int | None = None,
    n_cuts: int = 8,
    seed: int = 0,
    tolerance: float = 0.0,
) -> CausalReport:
    """Check that a function of bars does not look ahead and, given `lookback`, does not remember more than that.

    Parameters
    ----------
    function : callable
        Takes what is passed as `bars` and returns a frame or Series indexed by time, or by (datetime, instrument).
    bars : Bars or DataFrame
        `Bars` (or whatever else `as_bars` takes) reach the function as `Bars`; a DataFrame with a time index, or the
        long frame, reaches it as the same kind of DataFrame.
    lookback : int, optional
        Rows the function declares to need, the current one included; checks the memory law too.
    n_cuts : int, default 8
        Random cuts of each law, besides the ones placed where leaks hide.
    seed : int, default 0
        Seed of the cuts and of the noise.
    tolerance : float, default 0.0
        Relative and absolute difference that still counts as equal. What gwt_lab ships passes with 0.

    Returns
    -------
    CausalReport
        `.passed`, `.leaks`.

    Raises
    ------
    DataError
        If there are fewer than 4 rows, fewer than `lookback`, or the output has no time index.
    CausalityError
        If the function failed on every shortened input, so that nothing was checked.

    Notes
    -----
    A pass means that no leak showed at the cuts tried. A leak that needs a rare event in the data to show (such as a
    fill across a gap) is provoked where gwt_lab can: `Bars` are checked a second time with missing bars added.
    """
    world = _world(bars)
    if len(world.times) < 4:
        raise DataError(f"check_causal needs at least 4 rows to cut, got {len(world.times)}")
    if lookback is not None and not 1 <= lookback <= len(world.times):
        raise DataError(
            f"lookback must lie between 1 and the {len(world.times)} rows of the data, got {lookback}: pass more bars"
        )
    rng = np.random.default_rng(seed)
    checks = [_Check(function, world, tolerance, seed)]
    punched = world.punched(rng)
    if punched is not None:
        # a function that refuses missing bars cannot leak across them
        with suppress(DataError):
            checks.append(_Check(function, punched, tolerance, seed))
    leaks: dict[tuple[str, str], pd.Timestamp] = {}
    checked = {"truncation": 0, "future": 0} | ({} if lookback is None else {"memory": 0})
    for check in checks:
        check.run(rng, n_cuts, lookback)
        for law, count in check.checked.items():
            checked[law] += count
        for key, when in check.first_leaks().items():
            leaks[key] = min(when, leaks.get(key, when))
    if not checked["truncation"]:
        raise CausalityError(f"the function failed on every shortened input, the last time with: {checks[0].failure}")
    return CausalReport([Leak(column, when, law) for (column, law), when in leaks.items()], checked)


# ---------------------------------------------------------------------------------------------- what is being cut
@dataclass(frozen=True)
class _BarsWorld:
    """`Bars` seen as rows that can be cut off, replaced or punched out."""

    bars: Bars

    @property
    def times(self) -> pd.DatetimeIndex:
        return self.bars.index

    @property
    def missing(self) -> np.ndarray:
        return np.asarray(self.bars.close.isna().any(axis=1).to_numpy())

    def rows(self, start: int, stop: int) -> Bars:
        return self.bars.select(start=self.times[start], end=self.times[stop - 1])

    def corrupted(self, stop: int, seed: int) -> Bars:
        columns = {name: getattr(self.bars, name) for name in PANELS}
        frames = {name: frame.copy() for name, frame in columns.items() if frame is not None}
        noise = _noise(frames["close"].shape[0] - stop, frames["close"].shape[1], frames, stop, seed)
        for name, frame in frames.items():
            frame.iloc[stop:] = noise[name]
        return replace(self.bars, **frames)

    def punched(self, rng: np.random.Generator) -> _BarsWorld | None:
        """Return a copy in which about 3 % of the bars of every symbol are missing, alone and in runs."""
        holes = rng.random(self.bars.shape) < 0.015
        holes[1:] |= holes[:-1]
        holes[[0, -1]] = False
        frames = {name: getattr(self.bars, name).mask(holes) for name in PANELS if getattr(self.bars, name) is not None}
        return _BarsWorld(replace(self.bars, **frames))


@dataclass(frozen=True)
class _FrameWorld:
    """A DataFrame seen as rows of times; several rows may share a time (the long frame)."""

    frame: pd.DataFrame
    stamps: pd.DatetimeIndex

    @property
    def times(self) -> pd.DatetimeIndex:
        return self.stamps.unique().sort_values()

    @property
    def missing(self) -> np.ndarray:
        gaps = self.frame.isna().any(axis=1).groupby(np.asarray(self.stamps)).any()
        return np.asarray(gaps.sort_index().to_numpy())

    def rows(self, start: int, stop: int) -> pd.DataFrame:
        times = self.times
        return self.frame[(self.stamps >= times[start]) & (self.stamps <= times[stop - 1])].copy()

    def corrupted(self, stop: int, seed: int) -> pd.DataFrame:
        frame, times = self.frame.copy(), self.times
        if stop >= len(times):
            return frame
        later = np.flatnonzero(self.stamps >= times[stop])
        lower = {str(name).lower(): name for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name])}
        panels = {key: frame[[name]] for key, name in lower.items() if key != "timestamp"}
        noise = _noise(len(later), 1, panels, 0, seed)
        for key, values in noise.items():
            frame[lower[key]] = frame[lower[key]].astype(np.float64)
            frame.iloc[later, frame.columns.get_loc(lower[key])] = values[:, 0]
        return frame

    def punched(self, rng: np.random.Generator) -> _FrameWorld | None:
        return None


def _world(bars: Any) -> _BarsWorld | _FrameWorld:
    if isinstance(bars, pd.DataFrame) and not isinstance(bars.columns, pd.MultiIndex):
        if isinstance(bars.index, pd.DatetimeIndex):
            return _FrameWorld(bars, bars.index)
        for name in ("timestamp", "datetime", "date"):
            if name in bars.columns:
                return _FrameWorld(bars, pd.DatetimeIndex(bars[name]))
    return _BarsWorld(as_bars(bars))


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


# ------------------------------------------------------------------------------------------------- the comparison
class _Check:
    """One function on one set of bars: evaluates cuts, remembers them, narrows down the first leak."""

    def __init__(self, function: Callable[[Any], Any], world: _BarsWorld | _FrameWorld, tolerance: float, seed: int):
        self.function, self.world, self.tolerance, self.seed = function, world, tolerance, seed
        self.times = world.times
        self.whole = _as_frame(function(world.rows(0, len(self.times))))
        self.checked: dict[str, int] = {}
        self.failure: Exception | None = None
        self._seen: dict[tuple[str, int], dict[str, pd.Timestamp]] = {}

    def run(self, rng: np.random.Generator, n_cuts: int, lookback: int | None) -> None:
        n = len(self.times)
        for law in ("truncation", "future"):
            for cut in _cuts(rng, n, n_cuts, self.world.missing, early=law == "future"):
                self._count(law, self._compare(law, cut))
        if lookback is not None:
            ends = sorted({n, *rng.integers(lookback, n + 1, n_cuts).tolist()})
            for cut in ends:
                self._compare_memory(cut, lookback)
                self._count("memory", True)

    def _count(self, law: str, done: bool) -> None:
        self.checked[law] = self.checked.get(law, 0) + int(done)

    def _compare(self, law: str, cut: int) -> bool:
        if (law, cut) in self._seen:
            return True
        world = self.world
        try:
            part = _as_frame(
                self.function(world.rows(0, cut) if law == "truncation" else world.corrupted(cut, self.seed))
            )
        except Exception as error:  # too few rows for this function: not a leak, and counted as not checked
            self.failure = error
            return False
        last = self.times[cut - 1]
        self._seen[law, cut] = dict(_differences(_until(self.whole, last), _until(part, last), self.tolerance))
        return True

    def _compare_memory(self, cut: int, lookback: int) -> None:
        # a function that cannot work on the rows it declares to need has declared too few: its error goes through
        part = _as_frame(self.function(self.world.rows(cut - lookback, cut)))
        last = self.times[cut - 1]
        whole = self.whole[_times(self.whole) == last]
        self._seen["memory", cut] = dict(_differences(whole, part[_times(part) == last], self.tolerance))

    def first_leaks(self) -> dict[tuple[str, str], pd.Timestamp]:
        """Return the first leaking time by (column, law), narrowed down by halving the cuts."""
        budget = _EXTRA_CALLS
        for law in ("truncation", "future"):
            for column in sorted({name for (kind, _), found in self._seen.items() if kind == law for name in found}):
                leaking = min(cut for (kind, cut), found in self._seen.items() if kind == law and column in found)
                clean = 0
                while leaking - clean > 1 and budget > 0:
                    middle = (leaking + clean) // 2
                    budget -= (law, middle) not in self._seen
                    if self._compare(law, middle) and column in self._seen[law, middle]:
                        leaking = middle
                    else:
                        clean = middle
        first: dict[tuple[str, str], pd.Timestamp] = {}
        for (law, _), found in self._seen.items():
            for column, when in found.items():
                first[column, law] = min(when, first.get((column, law), when))
        return first


def _cuts(rng: np.random.Generator, n: int, n_cuts: int, missing: np.ndarray, *, early: bool) -> list[int]:
    """Return how many rows to keep: random, one row into gaps, and (with `early`) the first few."""
    chosen = set(rng.integers(1, n, n_cuts).tolist())
    inside = np.flatnonzero(missing[:-1]) + 1
    if len(inside):
        chosen |= set(rng.choice(inside, min(n_cuts, len(inside)), replace=False).tolist())
    if early:
        chosen |= {cut for cut in (1, 4, 16, 64, 256, 1024) if cut < n}
    return sorted(chosen)


def _as_frame(output: Any) -> pd.DataFrame:
    frame = output.to_frame() if isinstance(output, pd.Series) else output
    if not isinstance(frame, pd.DataFrame) or not isinstance(_times(frame), pd.DatetimeIndex):
        raise DataError(
            f"the function must return a frame indexed by time or (datetime, instrument), got {type(output).__name__}"
        )
    return frame


def _times(frame: pd.DataFrame) -> pd.Index:
    if not isinstance(frame.index, pd.MultiIndex):
        return frame.index
    level = "datetime" if "datetime" in frame.index.names else 0
    return frame.index.get_level_values(level)


def _until(frame: pd.DataFrame, last: pd.Timestamp) -> pd.DataFrame:
    return frame[_times(frame) <= last]


def _differences(whole: pd.DataFrame, part: pd.DataFrame, tolerance: float) -> Iterator[tuple[str, pd.Timestamp]]:
    """Yield (column, first time) wherever two outputs over the same rows differ."""
    if not whole.index.equals(part.index):
        differing = whole.index.symmetric_difference(part.index)
        if len(differing):
            yield ROWS, min(_times(pd.DataFrame(index=differing)))
        common = whole.index.intersection(part.index)
        whole, part = whole.loc[common], part.loc[common]
    if not len(whole):
        return
    times = _times(whole)
    if whole.columns.equals(part.columns) and _numeric(whole) and _numeric(part):
        wrong = ~_near(whole.to_numpy(np.float64), part.to_numpy(np.float64), tolerance)
        for position in np.flatnonzero(wrong.any(axis=0)):
            yield str(whole.columns[position]), times[wrong[:, position]].min()
        return
    for name in whole.columns.union(part.columns, sort=False):
        if name not in whole.columns or name not in part.columns:
            yield str(name), times[0]
            continue
        differing = ~_equal(whole[name], part[name], tolerance)
        if differing.any():
            yield str(name), times[differing].min()


def _numeric(frame: pd.DataFrame) -> bool:
    return all(isinstance(kind, np.dtype) and kind.kind in "fiub" for kind in frame.dtypes)


def _near(a: np.ndarray, b: np.ndarray, tolerance: float) -> np.ndarray:
    equal = (a == b) | (np.isnan(a) & np.isnan(b))
    if tolerance:
        with np.errstate(invalid="ignore"):
            equal |= np.abs(a - b) <= tolerance * (1 + np.abs(a))
    return np.asarray(equal)


def _equal(left: pd.Series, right: pd.Series, tolerance: float) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(left) and pd.api.types.is_numeric_dtype(right):
        a, b = (column.to_numpy(dtype=np.float64, na_value=np.nan) for column in (left, right))
        return _near(a, b, tolerance)
    same = (left.to_numpy(dtype=object) == right.to_numpy(dtype=object)) | (left.isna() & right.isna()).to_numpy()
    return np.asarray(same, dtype=bool)
