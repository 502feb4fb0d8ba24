"""An Optuna study that chooses the combinations of a sweep, a batch at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gwt_lab.backtest.sweep.collect import Collected
from gwt_lab.backtest.sweep.grid import Axes, Grid
from gwt_lab.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from gwt_lab.backtest.sweep.engine import Job
    from gwt_lab.backtest.sweep.recording import Recorder

__all__ = ["Search"]

# combinations asked for at once: a study learns between batches
_BATCH = 8


class Search:
    """The combinations that a study asked for, each evaluated once.

    Parameters
    ----------
    study : optuna.Study
        Minimises or maximises the first metrics, one for each of its directions.
    axes : Axes
        Values that it may suggest.
    metrics : tuple of str
        The sweep's.

    Raises
    ------
    MissingExtraError
        If optuna is not installed.
    ConfigError
        If the study cannot search this grid.
    """

    def __init__(self, study: Any, axes: Axes, metrics: tuple[str, ...]) -> None:
        try:
            import optuna
        except ImportError:
            raise MissingExtraError("optuna", "tune") from None
        if not isinstance(study, optuna.Study):
            raise ConfigError(f"search must be an optuna.Study, got {type(study).__name__}")
        if axes.rows is not None:
            raise ConfigError(
                "a study chooses among values: give the grid as a dict of values by parameter, not as rows"
            )
        if len(study.directions) > len(metrics):
            raise ConfigError(
                f"the study has {len(study.directions)} directions, the sweep {len(metrics)} metrics "
                f"({', '.join(metrics)}): name one metric a direction, in their order"
            )
        self._optuna, self._study, self._axes = optuna, study, axes
        self._n_targets = len(study.directions)
        self._choices = {
            name: _distribution(optuna, level) for name, level in zip(axes.names, axes.levels, strict=True)
        }
        self._places = [{_plain(value): place for place, value in enumerate(level)} for level in axes.levels]
        self._known: dict[tuple[int, ...], int] = {}
        self._parts: list[tuple[Job, Collected]] = []

    def run(self, n_samples: int, build: Callable[[Grid], Job], evaluate: Callable[[Job], Collected]) -> None:
        """Ask, evaluate and tell until `n_samples` suggestions were answered."""
        asked = 0
        while asked < n_samples:
            trials = [self._study.ask(self._choices) for _ in range(min(_BATCH, n_samples - asked))]
            asked += len(trials)
            keys = [self._key(trial.params) for trial in trials]
            new = [key for key in dict.fromkeys(keys) if key not in self._known]
            if new:
                codes = np.array(new, dtype=np.int32)
                job = build(Grid(self._axes.names, self._axes.levels, codes, self._axes.n_product))
                for key in new:
                    self._known[key] = len(self._known)
                self._parts.append((job, evaluate(job)))
            values = np.concatenate([part.values for _, part in self._parts])
            for trial, key in zip(trials, keys, strict=True):
                self._tell(trial, values[self._known[key]])

    def _key(self, chosen: dict[str, Any]) -> tuple[int, ...]:
        return tuple(self._places[place][chosen[name]] for place, name in enumerate(self._axes.names))

    def _tell(self, trial: Any, values: np.ndarray) -> None:
        """Answer with the median over symbols; a combination without a value has failed."""
        targets = values[:, : self._n_targets]
        if np.isnan(targets).all(axis=0).any():
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            return
        found = np.nanmedian(targets, axis=0).tolist()
        self._study.tell(trial, found if self._n_targets > 1 else found[0])

    def joined(self, recorder: Recorder) -> tuple[Job, Collected] | None:
        """Return the sweep of everything that was evaluated, in the grid's order, and its rows; None without any."""
        if not self._parts:
            return None
        jobs = [job for job, _ in self._parts]
        grid = jobs[0].grid
        codes = np.concatenate([job.grid.codes for job in jobs])
        order = np.lexsort(codes.T[::-1])
        whole = Grid(grid.names, grid.levels, codes[order], grid.n_product)
        work = copy.copy(jobs[0].work)
        shift = np.cumsum([0, *(len(job.work.rules) for job in jobs[:-1])])
        work.rules = tuple(rules for job in jobs for rules in job.work.rules)
        rule_of = np.concatenate([job.rule_of + start for job, start in zip(jobs, shift, strict=True)])
        job = replace(jobs[0], grid=whole, rule_of=rule_of[order], work=work, probed=None)
        recorder.prepare(job)
        return job, Collected.joined(job, recorder, [part for _, part in self._parts], np.argsort(order))


def _distribution(optuna: Any, level: np.ndarray) -> Any:
    """Return a range where whole numbers are evenly spaced, so that neighbours are known as such, else choices."""
    steps = np.diff(level) if level.dtype.kind in "iu" else np.empty(0)
    if len(steps) and steps[0] > 0 and (steps == steps[0]).all():
        return optuna.distributions.IntDistribution(int(level[0]), int(level[-1]), step=int(steps[0]))
    return optuna.distributions.CategoricalDistribution([_plain(value) for value in level])


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if value != value else value  # NaN is no key
