"""Who evaluates the chunks of a sweep: this thread, a pool of threads, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, Protocol

from gwt_lab.backtest.sweep.work import Chunk, Evaluated, Work
from gwt_lab.errors import ConfigError

__all__ = ["Scheduler", "run_threads", "scheduler_of"]

Done = Callable[[Chunk, Evaluated], None]


class Scheduler(Protocol):
    """Evaluates every chunk and hands each result to `done`, in the caller's thread and in any order."""

    def __call__(self, work: Work, chunks: Iterable[Chunk], n_threads: int, done: Done) -> None:
        """Evaluate `chunks` of `work`; raises what a chunk or `done` raises."""


def scheduler_of(name: Any) -> Scheduler:
    """Return a scheduler by name, or for a `distributed.Client` or its address.

    Raises
    ------
    ConfigError
        If there is none such.
    MissingExtraError
        If Dask is wanted and not installed.
    """
    if name == "threads":
        return run_threads
    if name == "dask" or (isinstance(name, str) and "://" in name) or type(name).__module__.startswith("distributed"):
        from gwt_lab.backtest.sweep.dask_scheduler import dask_scheduler

        return dask_scheduler(name)
    raise ConfigError(
        f"scheduler must be 'threads', 'dask', the address of a Dask scheduler (tcp://...) or a distributed.Client, "
        f"got {name!r}"
    )


def run_threads(work: Work, chunks: Iterable[Chunk], n_threads: int, done: Done) -> None:
    """Evaluate chunks on threads of this process; with one thread in the caller's own, so that Ctrl-C reaches it.

    When `done`, a chunk or the user stops the sweep, chunks that are running are waited for and handed over; none is
    started any more.
    """
    if n_threads == 1:
        for chunk in chunks:
            done(chunk, work.evaluate(chunk))
        return
    waiting: Iterator[Chunk] = iter(chunks)
    running: dict[Future[Evaluated], Chunk] = {}
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="gwt-sweep")
    try:
        # a few wait for a free thread, the others are not yet written down
        for chunk in islice(waiting, 2 * n_threads):
            running[pool.submit(work.evaluate, chunk)] = chunk
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                chunk = running[future]
                result = future.result()
                del running[future]
                done(chunk, result)
                for following in islice(waiting, 1):
                    running[pool.submit(work.evaluate, following)] = following
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        for future, chunk in running.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                done(chunk, future.result())
        raise
    finally:
        pool.shutdown(wait=True)
