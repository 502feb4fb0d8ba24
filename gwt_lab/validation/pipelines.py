"""The look-ahead detector for whole pipelines: features, label alignment, scalers, selection, model inputs.

A pipeline turns bars into the rows that a model is trained and asked on, and their labels. Inputs obey the laws of
`check_causal`. Labels look ahead on purpose, by a declared horizon, which makes three more laws:

- *horizon*: a label does not change with what comes after it, and is not known when its row is (*alignment*);
- *rows*: which rows there are does not depend on later bars: a row may be missing for want of a label, never because
  of the label's value;
- *future of a symbol*: changing the later bars of one symbol alone leaves the inputs of the others as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.kinds import is_whole
from gwt_lab.market.time import timestamp
from gwt_lab.validation.causality import CausalReport, CutCheck, report_of
from gwt_lab.validation.causality_inputs import BarsWorld, FrameWorld, world_of
from gwt_lab.validation.causality_outputs import ROWS, as_frame, differences, times_of, until

__all__ = ["LABEL", "check_pipeline"]

LABEL = "(label)"  # the name under which labels are reported
_FEWEST_ALIGNED = 4  # cuts at which a label stays the same by chance, together, less often than once in sixteen
_MOST_SYMBOLS = 24
_FUTURE_OF = "future of "
_N_CUTS = 8


def check_pipeline(
    pipeline: Callable[[Any], Any],
    bars: Any,
    *,
    horizon: int = 1,
    fit_until: Any = None,
    lookback: int | None = None,
    tolerance: float = 0.0,
    seed: int = 0,
) -> CausalReport:
    """Check that nothing a model is given knows what comes later: inputs, the choice of rows, the place of labels.

    Parameters
    ----------
    pipeline : callable
        Takes what is passed as `bars` and returns the inputs of a model, a frame indexed by time or by (datetime,
        instrument), or a pair of these inputs and their labels (a Series or frame with the same index). It does all
        that is done before the model: features, labels, dropping rows, scaling, selection.
    bars : Bars or DataFrame
        As for `check_causal`.
    horizon : int, default 1
        Bars from a row's own to the last one its label is made of: 1 for the next bar's return, 2 for what is bought
        at the next open and sold at the one after.
    fit_until : timestamp, optional
        Open time of the last bar that scalers, selection or anything else may be fitted on: rows up to there are
        allowed to know each other, and bars are cut after it only. Without it every row may know its own past alone,
        so that a scaler must be an expanding or rolling one.
    lookback : int, optional
        Rows that the pipeline declares to need: also starts it later, and compares all rows from the `lookback`-th on.
        Not together with `fit_until`: what is fitted remembers where it began.
    tolerance : float, default 0.0
        Relative and absolute difference that still counts as equal.
    seed : int, default 0
        Of the cuts and of the noise.

    Returns
    -------
    CausalReport
        `.passed`, `.leaks`. A leak's column is an input's name, `(rows)` for rows that come or go, `(label)` for the
        label; its law is truncation, future, memory, horizon, alignment or `future of SYMBOL`.

    Raises
    ------
    DataError
        If there are too few rows, or the output has no times.
    ShapeError
        If labels have other rows than the inputs.
    ConfigError
        If a setting is out of range.
    CausalityError
        If the pipeline failed on every shortened input, so that nothing was checked.

    Notes
    -----
    Rows of the last `horizon` bars may be there without a label or be missing; earlier ones may be missing only
    because the bars of their label are. A label that is the same in all of four or more changed futures is reported
    as known (*alignment*). Passing means that no leak showed at the cuts tried.
    """
    _refuse_kinds(pipeline, horizon, lookback, tolerance)
    world = world_of(bars)
    first_cut = _first_cut(world, horizon, fit_until, lookback)
    rng = np.random.default_rng(seed)
    checks = [PipelineCheck(pipeline, world, tolerance, seed, first_cut=first_cut, horizon=horizon)]
    punched = world.punched(rng)
    if punched is not None:
        # a pipeline that refuses missing bars cannot leak across them
        with suppress(ValueError):
            checks.append(PipelineCheck(pipeline, punched, tolerance, seed, first_cut=first_cut, horizon=horizon))
    return report_of(checks, rng, _N_CUTS, lookback)


def _refuse_kinds(pipeline: Any, horizon: Any, lookback: Any, tolerance: Any) -> None:
    if not callable(pipeline):
        raise ConfigError(f"pipeline must be a function of bars, got {type(pipeline).__name__}")
    for name, value in {"horizon": horizon, "lookback": lookback}.items():
        whole = is_whole(value)
        if not whole and not (name == "lookback" and value is None):
            raise ConfigError(f"{name} must be a whole number of bars, got {value!r}")
    number = isinstance(tolerance, (int, float, np.number)) and not isinstance(tolerance, bool)
    if not number or not 0 <= tolerance < np.inf:
        raise ConfigError(f"tolerance must be a number of at least 0, got {tolerance!r}")


def _first_cut(world: BarsWorld | FrameWorld, horizon: int, fit_until: Any, lookback: int | None) -> int:
    """Return how many rows every cut keeps, after checking what was asked."""
    n = len(world.times)
    if horizon < 0:
        raise ConfigError(f"horizon must be a whole number of at least 0, got {horizon!r}")
    if n < max(4, 2 * horizon + 2):
        raise DataError(f"a horizon of {horizon} needs at least {max(4, 2 * horizon + 2)} rows to cut, got {n}")
    if lookback is not None and not 1 <= lookback < n:
        raise ConfigError(f"lookback must lie between 1 and {n - 1}, rows of the data less one, got {lookback}")
    if fit_until is None:
        return 0
    if lookback is not None:
        raise ConfigError("lookback and fit_until exclude each other: what is fitted remembers where it began")
    last, zone = timestamp(fit_until), world.times.tz
    last = last.tz_convert(zone) if zone is not None else last.tz_localize(None)
    kept = int(world.times.searchsorted(last, side="right"))
    if not 0 < kept < n - 1 - horizon:
        raise ConfigError(
            f"fit_until must leave rows before it, and more than the horizon after it, got {fit_until} for "
            f"{world.times[0]} to {world.times[-1]}"
        )
    return kept


@dataclass(frozen=True)
class _Outputs:
    """What a pipeline returned: inputs, and labels with the same rows, their columns named `(label)`."""

    inputs: pd.DataFrame
    labels: pd.DataFrame

    @classmethod
    def of(cls, output: Any) -> _Outputs:
        if not isinstance(output, tuple):
            inputs = as_frame(output)
            return cls(inputs, pd.DataFrame(index=inputs.index))
        if len(output) != 2:
            raise DataError(f"a pipeline must return inputs, or inputs and labels, got {len(output)} things")
        inputs, labels = (as_frame(part) for part in output)
        if not labels.index.equals(inputs.index):
            raise ShapeError(
                f"labels must have the rows of the inputs, {len(inputs)}, got {len(labels)} with another index: align "
                f"them by (datetime, instrument) before they are returned"
            )
        names = [LABEL] if labels.shape[1] == 1 else [f"{LABEL} {name}" for name in labels.columns]
        return cls(inputs, labels.set_axis(names, axis=1))


class PipelineCheck(CutCheck):
    """One pipeline on one set of bars."""

    def __init__(
        self,
        pipeline: Callable[[Any], Any],
        world: BarsWorld | FrameWorld,
        tolerance: float,
        seed: int,
        *,
        first_cut: int,
        horizon: int,
    ) -> None:
        super().__init__(pipeline, world, tolerance, seed, first_cut)
        self.horizon = horizon
        self.n_aligned, self.looked_ahead = 0, set[str]()

    def evaluate(self, data: Any) -> _Outputs:
        """Return inputs and labels."""
        return _Outputs.of(self.function(data))

    def run(self, rng: np.random.Generator, n_cuts: int, lookback: int | None) -> None:
        """Compare at cuts, then with the future of one symbol after the other."""
        super().run(rng, n_cuts, lookback)
        symbols = rng.permutation(np.array(self.world.symbols, dtype=object))[:_MOST_SYMBOLS]
        if len(symbols) < 2:
            return
        for turn in range(max(n_cuts, len(symbols))):
            law = f"{_FUTURE_OF}{symbols[turn % len(symbols)]}"
            cut = int(rng.integers(max(self.first_cut, 1), len(self.times)))
            self.count("one symbol's future", self.compare(law, cut))

    def end_with(self, row: int, lookback: int) -> int:
        """Return the `end` for which the pipeline starts where a row is the first to be compared."""
        return len(self.times) - row + lookback - 1

    def least_cut(self, law: str) -> int:
        """Return the fewest rows that a cut may keep: with a fit, bars that label its last rows too."""
        return self.first_cut + self.horizon if self.first_cut and law == "truncation" else self.first_cut

    def changed(self, law: str, cut: int) -> Any:
        """Return the data with all but the first `cut` rows gone or changed, for one symbol if the law names it."""
        if law == "truncation":
            return super().changed(law, cut)
        symbol = law.removeprefix(_FUTURE_OF) if law.startswith(_FUTURE_OF) else None
        # the last rows of a fit may be missing because the bars of their labels are: those stay missing
        keep = 0 < self.first_cut and cut < self.first_cut + self.horizon
        return self.world.corrupted(cut, self.seed, symbol, keep_missing=keep)

    def found(self, law: str, cut: int, part: Any) -> dict[str, pd.Timestamp]:
        """Return the inputs that differ up to a cut, rows that came or went, and labels beyond their horizon."""
        last = self.times[cut - 1]
        here, there = until(self.whole.inputs, last), until(part.inputs, last)
        found = dict(differences(here, there, self.tolerance))
        if law.startswith(_FUTURE_OF):
            found.pop(ROWS, None)  # told by the law of the future
            return _of_others(found, here, there, law.removeprefix(_FUTURE_OF), self.tolerance)
        labelled = self.times[cut - 1 - self.horizon] if cut > self.horizon else None
        if ROWS in found:
            moved = self._rows_moved(law, cut, here, there, labelled)
            found = {name: when for name, when in found.items() if name != ROWS} | moved
        if labelled is not None:
            known = until(self.whole.labels, labelled), until(part.labels, labelled)
            told = {name: when for name, when in differences(*known, self.tolerance) if name != ROWS}
            found |= told
        if law == "future" and self.horizon:
            self._note_alignment(last, part)
        return found

    def _rows_moved(
        self, law: str, cut: int, here: pd.DataFrame, there: pd.DataFrame, labelled: pd.Timestamp | None
    ) -> dict[str, pd.Timestamp]:
        """Return where rows came or went for a reason other than bars that are missing."""
        if law == "truncation":  # the last rows have no label yet
            if labelled is None:
                return {}
            here, there = until(here, labelled), until(there, labelled)
        elif self.world.missing[cut:].any():  # a label may be missing because its bars are
            changed = self.world.corrupted(cut, self.seed, keep_missing=True)
            there = until(self.evaluate(changed).inputs, self.times[cut - 1])
        return {name: when for name, when in differences(here[[]], there[[]], 0.0) if name == ROWS}

    def _note_alignment(self, last: pd.Timestamp, part: _Outputs) -> None:
        """Note whether labels of the last row kept changed with what comes after it."""
        whole = self.whole.labels
        here, there = whole[times_of(whole) == last], part.labels[times_of(part.labels) == last]
        if not whole.shape[1] or here.isna().to_numpy().all() or not here.index.equals(there.index):
            return
        self.n_aligned += 1
        self.looked_ahead |= {name for name, _ in differences(here, there, 0.0)}

    def compare_memory(self, end: int, lookback: int) -> None:
        """Start the pipeline later and compare every row from the `lookback`-th on."""
        n = len(self.times)
        start = n - end  # ends lie between lookback and n, so at least lookback rows are left
        part = self.evaluate(self.world.rows(start, n))
        first = self.times[start + lookback - 1]
        found: dict[str, pd.Timestamp] = {}
        for whole, other in ((self.whole.inputs, part.inputs), (self.whole.labels, part.labels)):
            rows = whole[times_of(whole) >= first], other[times_of(other) >= first]
            found |= dict(differences(*rows, self.tolerance))
        self.seen["memory", end] = found

    def first_leaks(self) -> dict[tuple[str, str], pd.Timestamp]:
        """Return the first leaking time by (column, law)."""
        leaks: dict[tuple[str, str], pd.Timestamp] = {}
        for (column, law), when in super().first_leaks().items():
            told = "horizon" if column.startswith(LABEL) and law in ("truncation", "future") else law
            leaks[column, told] = min(when, leaks.get((column, told), when))
        if self.n_aligned >= _FEWEST_ALIGNED:
            for column in self.whole.labels.columns.difference(list(self.looked_ahead)):
                leaks[column, "alignment"] = times_of(self.whole.labels).min()
        return leaks


def _of_others(
    found: dict[str, pd.Timestamp], here: pd.DataFrame, there: pd.DataFrame, symbol: str, tolerance: float
) -> dict[str, pd.Timestamp]:
    """Return differences without those of the changed symbol's own rows or column, where it can be told."""
    if isinstance(here.index, pd.MultiIndex):
        own = "instrument" if "instrument" in here.index.names else here.index.nlevels - 1
        here, there = (frame[frame.index.get_level_values(own) != symbol] for frame in (here, there))
        return {name: when for name, when in differences(here, there, tolerance) if name != ROWS}
    return {name: when for name, when in found.items() if name != symbol}
