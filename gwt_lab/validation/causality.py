"""The look-ahead detector: recompute on less data and on a different future, and compare.

Three laws, NaN equal to NaN and to nothing else:

- *truncation*: ``f(x[:t])`` equals ``f(x)[:t]``;
- *future*: replacing every row after `t` by noise leaves the output up to `t` as it was;
- *memory* (with a declared lookback `k`): the last row of ``f(x[t-k:t])`` equals row `t-1` of ``f(x)``.

Cuts are drawn at random and added where leaks hide: right at missing bars, inside holes that are punched for the
purpose, and in the first rows, where warm-up gaps may have been filled backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gwt_lab.errors import CausalityError, ConfigError, DataError
from gwt_lab.kinds import is_whole
from gwt_lab.validation.causality_inputs import BarsWorld, FrameWorld, world_of
from gwt_lab.validation.causality_outputs import as_frame, differences, times_of, until

__all__ = ["CausalReport", "Leak", "check_causal"]

_WORD = {
    "truncation": "sees later rows",
    "future": "changes with later values",
    "memory": "remembers more than lookback",
    "repetition": "differs from call to call on equal data",
    "horizon": "reaches beyond its horizon",
    "alignment": "does not look ahead: it is known when its row is",
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
        lines = [
            f"{leak.column!r} {_WORD.get(leak.law, f'changes with the {leak.law}')} at {leak.first_timestamp}"
            for leak in self.leaks[:10]
        ]
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
        Random cuts of each law, besides as many or fewer placed where leaks hide.
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
    ConfigError
        If `function` cannot be called, or a setting is no number or out of range.
    CausalityError
        If the function failed on every shortened or every changed input, so that a law was not checked.

    Notes
    -----
    A pass means that no leak showed at the cuts tried. A leak that needs a rare event in the data to show (such as a
    fill across a gap) is provoked where gwt_lab can: `Bars` are checked a second time with missing bars added. A
    function that gives other values on equal data is told as such; nothing else can be said of those columns.

    The function is called some 60 to 100 times, so a few thousand rows (``bars.tail(2_000)``) are a good size.
    """
    _refuse_settings(function, n_cuts, seed, tolerance)
    world = world_of(bars)
    if len(world.times) < 4:
        raise DataError(f"check_causal needs at least 4 rows to cut, got {len(world.times)}")
    if lookback is not None and (not is_whole(lookback) or not 1 <= lookback <= len(world.times)):
        raise DataError(
            f"lookback must be a whole number between 1 and the {len(world.times)} rows of the data, got {lookback!r}: "
            "pass more bars, or another lookback"
        )
    rng = np.random.default_rng(seed)
    checks = [CutCheck(function, world, tolerance, seed)]
    punched = world.punched(rng)
    if punched is not None:
        # a function that refuses missing bars cannot leak across them
        with suppress(DataError):
            checks.append(CutCheck(function, punched, tolerance, seed))
    return report_of(checks, rng, n_cuts, lookback)


def _refuse_settings(function: Any, n_cuts: Any, seed: Any, tolerance: Any) -> None:
    if not callable(function):
        raise ConfigError(f"check_causal needs a function of bars as its first argument, got {type(function).__name__}")
    for name, value, least in (("n_cuts", n_cuts, 1), ("seed", seed, 0)):
        if not is_whole(value) or value < least:
            raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float, np.number)) or not 0 <= tolerance < np.inf:
        raise ConfigError(f"tolerance must be a number of at least 0, got {tolerance!r}")


def report_of(checks: Sequence[CutCheck], rng: np.random.Generator, n_cuts: int, lookback: int | None) -> CausalReport:
    """Run checks of one function and return what they found together.

    Raises
    ------
    CausalityError
        If the function failed on every shortened or every changed input.
    """
    leaks: dict[tuple[str, str], pd.Timestamp] = {}
    checked = {"truncation": 0, "future": 0} | ({} if lookback is None else {"memory": 0})
    for check in checks:
        check.run(rng, n_cuts, lookback)
        for law, count in check.checked.items():
            checked[law] = checked.get(law, 0) + count
        for key, when in check.first_leaks().items():
            leaks[key] = min(when, leaks.get(key, when))
    for law, kind in (("truncation", "shortened"), ("future", "changed")):
        if not checked[law]:
            last = checks[0].failure
            raise CausalityError(f"the function failed on every {kind} input, the last time with: {last!r}")
    if leaks:
        moody = checks[0].unrepeatable()
        leaks = {(column, law): when for (column, law), when in leaks.items() if column not in moody}
        leaks |= {(column, "repetition"): when for column, when in moody.items()}
    return CausalReport([Leak(column, when, law) for (column, law), when in leaks.items()], checked)


# ------------------------------------------------------------------------------------------------- the comparison
class CutCheck:
    """One function on one set of bars: evaluates cuts, remembers them, narrows down the first leak."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        world: BarsWorld | FrameWorld,
        tolerance: float,
        seed: int,
        first_cut: int = 0,
    ) -> None:
        self.function, self.world, self.tolerance, self.seed = function, world, tolerance, seed
        self.first_cut = first_cut
        self.times = world.times
        self.whole = self.evaluate(world.rows(0, len(self.times)))
        self.checked: dict[str, int] = {}
        self.failure: Exception | None = None
        self.seen: dict[tuple[str, int], dict[str, pd.Timestamp]] = {}

    def run(self, rng: np.random.Generator, n_cuts: int, lookback: int | None) -> None:
        """Compare at random cuts and at those where leaks hide."""
        n = len(self.times)
        for law in ("truncation", "future"):
            for cut in _cuts(rng, self.least_cut(law), n, n_cuts, self.world.missing, early=law == "future"):
                self.count(law, self.compare(law, cut))
        if lookback is not None:
            for end in sorted({n, *rng.integers(lookback, n + 1, n_cuts).tolist()}):
                self.compare_memory(end, lookback)
                self.count("memory", True)
            # what was filled forward shows in the first row after a gap
            rows = np.flatnonzero(self.world.resumed[lookback - 1 :]) + lookback - 1
            for row in rng.choice(rows, min(n_cuts, len(rows)), replace=False).tolist():
                self.compare_memory(self.end_with(row, lookback), lookback)
                self.count("memory", True)

    def end_with(self, row: int, lookback: int) -> int:
        """Return the `end` for which `compare_memory` looks at a row and `lookback` rows up to it."""
        return row + 1

    def unrepeatable(self) -> dict[str, pd.Timestamp]:
        """Return the columns that differ when the function is called with the same data again."""
        n = len(self.times)
        return self.found("repetition", n, self.evaluate(self.world.rows(0, n)))

    def least_cut(self, law: str) -> int:
        """Return the fewest rows that a cut may keep."""
        return self.first_cut

    def count(self, law: str, done: bool) -> None:
        """Count a cut that was compared."""
        self.checked[law] = self.checked.get(law, 0) + int(done)

    def evaluate(self, data: Any) -> Any:
        """Return what the function makes of data, in the form that `found` compares."""
        return as_frame(self.function(data))

    def changed(self, law: str, cut: int) -> Any:
        """Return the data with all but the first `cut` rows gone or changed."""
        return self.world.rows(0, cut) if law == "truncation" else self.world.corrupted(cut, self.seed)

    def compare(self, law: str, cut: int) -> bool:
        """Compare at one cut, once; return whether the function could be evaluated there."""
        if (law, cut) in self.seen:
            return True
        try:
            part = self.evaluate(self.changed(law, cut))
        except Exception as error:  # too few rows for this function: not a leak, and counted as not checked
            self.failure = error
            return False
        self.seen[law, cut] = self.found(law, cut, part)
        return True

    def found(self, law: str, cut: int, part: Any) -> dict[str, pd.Timestamp]:
        """Return the columns that differ up to a cut, and where they begin to."""
        last = self.times[cut - 1]
        return dict(differences(until(self.whole, last), until(part, last), self.tolerance))

    def compare_memory(self, end: int, lookback: int) -> None:
        """Compare the last row of `lookback` rows with the same row of all."""
        # a function that cannot work on the rows it declares to need has declared too few: its error goes through
        part = self.evaluate(self.world.rows(end - lookback, end))
        last = self.times[end - 1]
        whole = self.whole[times_of(self.whole) == last]
        self.seen["memory", end] = dict(differences(whole, part[times_of(part) == last], self.tolerance))

    def first_leaks(self) -> dict[tuple[str, str], pd.Timestamp]:
        """Return the first leaking time by (column, law), narrowed down by halving the cuts."""
        budget = _EXTRA_CALLS
        for law in ("truncation", "future"):
            for column in sorted({name for (kind, _), found in self.seen.items() if kind == law for name in found}):
                leaking = min(cut for (kind, cut), found in self.seen.items() if kind == law and column in found)
                clean = max(self.least_cut(law) - 1, 0)
                while leaking - clean > 1 and budget > 0:
                    middle = (leaking + clean) // 2
                    budget -= (law, middle) not in self.seen
                    if self.compare(law, middle) and column in self.seen[law, middle]:
                        leaking = middle
                    else:
                        clean = middle
        first: dict[tuple[str, str], pd.Timestamp] = {}
        for (law, _), found in self.seen.items():
            for column, when in found.items():
                first[column, law] = min(when, first.get((column, law), when))
        return first


def _cuts(rng: np.random.Generator, low: int, n: int, n_cuts: int, missing: np.ndarray, *, early: bool) -> list[int]:
    """Return how many rows to keep, `low` at least: random, one row into gaps, and (with `early`) the first few."""
    least = max(low, 1)
    chosen = set(rng.integers(least, n, n_cuts).tolist())
    inside = np.flatnonzero(missing[:-1]) + 1
    inside = inside[inside >= least]
    if len(inside):
        chosen |= set(rng.choice(inside, min(n_cuts, len(inside)), replace=False).tolist())
    if early:
        chosen |= {cut for cut in (low + 1, low + 4, low + 16, low + 64, low + 256, low + 1024) if cut < n}
    return sorted(chosen | ({low} if low else set()))
