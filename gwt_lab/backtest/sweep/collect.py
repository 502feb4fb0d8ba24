"""What a sweep has so far: rows that are done, those written to disk, and the line that says how far it is."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from gwt_lab.backtest.sweep.families import edge_bars
from gwt_lab.backtest.sweep.memory import peak_memory_mb
from gwt_lab.backtest.sweep.work import Chunk, Evaluated, chunks_of
from gwt_lab.progress import Progress

if TYPE_CHECKING:
    from gwt_lab.backtest.sweep.engine import Job
    from gwt_lab.backtest.sweep.recording import Recorder
    from gwt_lab.backtest.sweep.resume import ChunkStore
    from gwt_lab.backtest.sweep.schedulers import Scheduler

__all__ = ["SIGNATURE_EDGES", "Collected", "SweepLine"]

# bars at which the ledger wants to know an account's worth
SIGNATURE_EDGES = 64
_QUIET_SECONDS = 1.0
_LINE_EVERY_SECONDS = 0.1


class SweepLine:
    """The progress line of a sweep; opened when the sweep has lasted a second.

    Parameters
    ----------
    symbols : list of str
        Rows of one combination.
    total : int
        Combinations.
    show : bool or None
        Always, never, or after a second.
    """

    def __init__(self, symbols: list[str], total: int, show: bool | None) -> None:
        self._total, self._show = total, show
        self._label = f"sweep, {len(symbols)} symbol{'s' if len(symbols) > 1 else ''}"
        self._line: Progress | None = None
        self._started = self._last = time.monotonic()
        self._done = self._before = 0

    def __enter__(self) -> SweepLine:
        if self._show:
            self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._line is not None:
            self._line.__exit__(kind, error, trace)

    def _open(self) -> None:
        self._line = Progress(self._label, self._total).__enter__()

    def found(self, n: int) -> None:
        """Say that `n` combinations were read back: they count as done and not towards the speed."""
        self._before = self._done = n

    def advance(self, n: int) -> None:
        """Say that `n` more combinations are done."""
        self._done += n
        now = time.monotonic()
        if now - self._last < _LINE_EVERY_SECONDS or self._show is False:
            return
        self._last = now
        if self._line is None and now - self._started >= _QUIET_SECONDS:
            self._open()
        if self._line is not None:
            rate = (self._done - self._before) / max(now - self._started, 1e-9)
            self._line.update(self._done, f"{rate:,.0f} combinations/s, peak {peak_memory_mb():,.0f} MB")


class Collected:
    """Rows of a sweep that are done.

    Parameters
    ----------
    job : Job
        The sweep.
    recorder : Recorder or None
        Says whose accounts' worth the trial ledger wants; None keeps every account's.
    store : ChunkStore, optional
        Where finished rows are kept for a later call.

    Attributes
    ----------
    values : ndarray of shape (n_combinations, n_symbols, n_metrics)
        NaN where a row is not done.
    sharpe : ndarray of shape (n_combinations, n_symbols)
        For the ledger.
    done : ndarray of shape (n_combinations,), bool
        Which are.
    paths : ndarray of shape (n_combinations, n_symbols, n_times), float32, or None
        Worth at every bar.
    """

    def __init__(self, job: Job, recorder: Recorder | None, store: ChunkStore | None = None) -> None:
        n, n_symbols = len(job.grid), len(job.work.symbols)
        self.job, self.store = job, store
        self.values = np.full((n, n_symbols, len(job.work.metrics)), np.nan)
        self.sharpe = np.full((n, n_symbols), np.nan)
        self.done = np.zeros(n, dtype=bool)
        self.paths: np.ndarray | None = None
        if job.paths:
            self.paths = np.full((n, n_symbols, job.bars.n_times), np.nan, dtype=np.float32)
        # accounts whose worth is kept: all with paths, else those that the ledger wants
        self._kept = np.arange(n * n_symbols) if job.paths or recorder is None else recorder.wanted()
        self._edges = (
            self.paths.reshape(n * n_symbols, -1)
            if self.paths is not None
            else np.full((len(self._kept), job.work.n_edges), np.nan, dtype=np.float32)
        )

    @classmethod
    def joined(cls, job: Job, recorder: Recorder, parts: list[Collected], places: np.ndarray) -> Collected:
        """Return parts of one sweep as one; `places` says where each of their combinations lies in it."""
        whole, start = cls(job, recorder), 0
        n_accounts = whole.sharpe.shape[1]
        for part in parts:
            known = np.flatnonzero(part.done)
            rows = places[known + start]
            values = np.concatenate([part.values, part.sharpe[..., None]], axis=2)[part.done]
            accounts = (rows[:, None] * n_accounts + np.arange(n_accounts)).ravel()
            wanted = np.isin(accounts, whole._kept)
            edges = part._edges.reshape(len(part.done), n_accounts, -1)[known].reshape(len(accounts), -1)
            whole.take(rows, values, accounts[wanted], edges[wanted])
            start += len(part.done)
        return whole

    def edges_of(self, accounts: np.ndarray) -> np.ndarray:
        """Return the worth of accounts (combination * n_accounts + account) at the ledger's edges."""
        edges = self._edges[np.searchsorted(self._kept, accounts)]
        if not self.job.paths:
            return edges
        return edges[:, edge_bars(self.job.bars.n_times, min(SIGNATURE_EDGES, self.job.bars.n_times))]

    def take(self, rows: np.ndarray, values: np.ndarray, accounts: np.ndarray, edges: np.ndarray) -> None:
        """Take rows and, of some accounts in them, the worth."""
        self.values[rows] = values[..., :-1]
        self.sharpe[rows] = values[..., -1]
        self.done[rows] = True
        self._edges[np.searchsorted(self._kept, accounts)] = edges

    def add(self, chunk: Chunk, evaluated: Evaluated) -> None:
        """Take a chunk that was evaluated, and hand it to the disk."""
        n_accounts = self.sharpe.shape[1]
        accounts = (chunk.rows[:, None] * n_accounts + np.arange(n_accounts)).ravel()
        edges = evaluated.edges.reshape(len(accounts), -1)
        if len(self._kept) < self.sharpe.size:
            wanted = np.isin(accounts, self._kept)
            accounts, edges = accounts[wanted], edges[wanted]
        self.take(chunk.rows, evaluated.values, accounts, edges)
        if self.store is not None:
            self.store.add(chunk.rows, evaluated.values, accounts, edges)

    def run(self, scheduler: Scheduler, line: SweepLine) -> None:
        """Evaluate what is not done; on Ctrl-C or an error what was finished is kept, counted and told."""
        if self.store is not None:
            n_symbols, n_metrics = self.values.shape[1:]
            held = self.store.load((n_symbols, n_metrics + 1), self._kept)
            if held is not None:
                self.take(*held)
                line.found(int(self.done.sum()))
        job = self.job
        if job.probed is not None and not self.done[job.probed[0].rows].all():
            self.add(*job.probed)
        chunks = chunks_of(job.rule_of, np.flatnonzero(~self.done), job.plan.chunk)

        def take(chunk: Chunk, evaluated: Evaluated) -> None:
            self.add(chunk, evaluated)
            line.advance(len(chunk.rows))

        try:
            scheduler(job.work, chunks, job.plan.n_threads, take)
        except BaseException as error:
            self._tell(error)
            raise
        finally:
            if self.store is not None:
                self.store.flush()

    def _tell(self, error: BaseException) -> None:
        """Say in the error what is done and how to go on."""
        n, total = int(self.done.sum()), len(self.done)
        told = f"{n:,} of {total:,} combinations are done"
        if self.store is not None:
            told += (
                f" and kept in {self.store.folder}: the same call with resume={self.store.name!r} goes on from there"
            )
        else:
            told += "; with resume='a name' the same call would go on from there"
        if isinstance(error, KeyboardInterrupt):
            error.args = (f"the sweep was stopped: {told}; error.partial holds their rows",)
        else:
            error.add_note(f"sweep: {told}")
