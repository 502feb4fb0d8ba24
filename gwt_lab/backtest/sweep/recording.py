"""How a sweep counts its trials: which accounts the ledger wants to compare, and one record a symbol."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from gwt_lab.backtest.sweep.rules import RULE_NAMES

if TYPE_CHECKING:
    from gwt_lab.backtest.sweep.collect import Collected
    from gwt_lab.backtest.sweep.engine import Job

__all__ = ["Recorder"]

_PLAIN = (str, int, float, bool, tuple, type(None))


class Recorder:
    """Counts the trials of one sweep.

    Parameters
    ----------
    ledger : TrialLedger, bool or None
        Where; None and True are the ledger that `GWT_LEDGER` names, False counts nothing.
    job : Job
        The sweep.
    study : str or None
        Name of the study.

    Raises
    ------
    ConfigError
        If `ledger` is something else.
    """

    def __init__(self, ledger: Any, job: Job, study: str | None) -> None:
        from gwt_lab.validation.ledger import ledger_of
        from gwt_lab.validation.trials import study_name

        self.ledger: Any = ledger_of(ledger)
        self.study = "" if self.ledger is None else study or study_name(job.bars.content_hash, job.name)
        self.n_new = self.n_trials = 0
        # one account of all symbols is one trial; else every symbol is a trial of its own
        shared = job.work.shared_cash
        self._universes = [tuple(job.bars.symbols)] if shared else [(name,) for name in job.bars.symbols]
        self._trials: list[Any] = []

    def prepare(self, job: Job) -> None:
        """Name every trial, so that it is known whose returns the ledger wants.

        Raises
        ------
        LedgerError
            If the ledger cannot be written: better known now than after the sweep.
        """
        if self.ledger is None:
            return
        from gwt_lab.validation.ledger import TrialLedger
        from gwt_lab.validation.trials import Trials

        if isinstance(self.ledger, TrialLedger):
            self.ledger.refuse_unwritable()
        columns, label = _columns(job), _label(job)
        named = {"data": job.bars.content_hash, "strategy": job.name, "label": label, "code_hash": job.code_hash}
        self._trials = [Trials(columns, universe=names, study=self.study, **named) for names in self._universes]

    def wanted(self) -> np.ndarray:
        """Return whose worth the ledger wants to compare: combination * n_accounts + account, increasing."""
        n = len(self._trials)
        found = [trials.signature_rows * n + place for place, trials in enumerate(self._trials)]
        return np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)

    def record(self, collected: Collected) -> None:
        """Count what is done, each trial once."""
        job, done = collected.job, collected.done
        n_accounts = collected.sharpe.shape[1]
        if self.ledger is None or job.bars.n_times < 2:
            self.n_trials = self.n_new = int(done.sum()) * n_accounts
            return
        if not done.any():
            return
        cash = np.array([rules.init_cash for rules in job.work.rules])[job.rule_of]
        for place, whole in enumerate(self._trials):
            trials, rows = _those_done(whole, done)
            edges = collected.edges_of(rows * n_accounts + place)
            sharpe = collected.sharpe[done, place] / np.sqrt(job.work.market.bars_per_year)
            sharpe[~np.isfinite(sharpe)] = np.nan
            signatures = _signatures(edges, cash[rows])
            self.n_new += self.ledger.record(trials, sharpe, job.bars.n_times, signatures)
        self.n_trials = int(self.ledger.study(self.study).n_trials)


def _those_done(trials: Any, done: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return the trials that were evaluated, and the combinations among them whose signatures are kept."""
    if done.all():
        return trials, trials.signature_rows
    part = copy.copy(trials)
    part.hashes = trials.hashes[done]
    rows = trials.signature_rows[done[trials.signature_rows]]
    part.signature_rows = np.searchsorted(np.flatnonzero(done), rows)
    return part, rows


def _signatures(edges: np.ndarray, cash: np.ndarray) -> np.ndarray:
    """Return the gain over each stretch between two edges, the first measured from the initial cash."""
    worth = np.concatenate([cash[:, None], edges.astype(np.float64)], axis=1)
    before = worth[:, :-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = np.where(before > 0, worth[:, 1:] / before - 1.0, 0.0)
    return np.nan_to_num(gains, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)


def _columns(job: Job) -> dict[str, np.ndarray]:
    """Return every parameter of the strategy, defaults written out, and the rules that vary."""
    grid = job.grid
    columns = {}
    for place, name in enumerate(grid.names):
        level = grid.levels[place]
        if level.dtype == object:
            level = _objects([value if isinstance(value, _PLAIN) else repr(value) for value in level])
        columns[name] = level[grid.codes[:, place]]
    for name, value in job.defaults.items():
        plain = value if isinstance(value, _PLAIN) else repr(value)
        columns[name] = (
            _objects([plain] * len(grid)) if not isinstance(plain, (int, float)) else np.full(len(grid), plain)
        )
    if not columns:
        # one configuration without parameters
        columns["none"] = _objects([None] * len(grid))
    return columns


def _objects(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _label(job: Job) -> str:
    """Return how returns are measured: the rules that do not vary, in words that do not change with the docs."""
    rules = job.work.rules[0]
    return " ".join(f"{name}={getattr(rules, name)}" for name in RULE_NAMES if name not in job.varied)
