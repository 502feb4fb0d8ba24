"""Chunks on a Dask cluster: the data is sent once to every worker, a lost worker's chunks are evaluated again."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from itertools import islice
from typing import Any

from gwt_lab.backtest.sweep.schedulers import Done, Scheduler
from gwt_lab.backtest.sweep.work import Chunk, Evaluated, Work
from gwt_lab.errors import ConfigError, MissingExtraError

__all__ = ["dask_scheduler"]

# chunks in flight for every thread of the cluster
_AHEAD = 3
# a cluster of our own: this machine alone, no dashboard
_QUIET: dict[str, Any] = {
    "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:0",
    "scheduler_kwargs": {"dashboard": False},
}
# how often the data is sent again after all workers that held it were lost
_SENDINGS = 5


def dask_scheduler(client: Any) -> Scheduler:
    """Return a scheduler for a `distributed.Client`, an address, or "dask": the current client, else a local cluster.

    Raises
    ------
    MissingExtraError
        If `distributed` is not installed.
    """
    distributed = _distributed()

    def run(work: Work, chunks: Iterable[Chunk], n_threads: int, done: Done) -> None:
        if isinstance(client, distributed.Client):
            _run(client, work, chunks, done)
            return
        if client != "dask":
            try:
                own = distributed.Client(client)
            except (OSError, ValueError) as error:
                raise ConfigError(f"no Dask scheduler answers at {client}: {error}") from error
            with own:
                _run(own, work, chunks, done)
            return
        try:
            current = distributed.get_client()
        except ValueError:
            with (
                distributed.LocalCluster(n_workers=n_threads, threads_per_worker=1, **_QUIET) as cluster,
                distributed.Client(cluster) as own,
            ):
                _run(own, work, chunks, done)
            return
        _run(current, work, chunks, done)

    return run


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError:
        raise MissingExtraError("distributed", "scale") from None


def _evaluate(work: Work, chunk: Chunk) -> Evaluated:
    return work.evaluate(chunk)


def _run(client: Any, work: Work, chunks: Iterable[Chunk], done: Done) -> None:
    if client.asynchronous:
        raise ConfigError("a sweep needs a distributed.Client that is not asynchronous: build it without asynchronous=")
    distributed = _distributed()
    waiting = iter(chunks)
    running: dict[Any, Chunk] = {}
    data = _send(client, work)
    ahead = _AHEAD * max(sum(client.nthreads().values()), 1)
    sendings = 1
    try:
        queue = distributed.as_completed(with_results=False)

        def submit(chunk: Chunk) -> None:
            future = client.submit(_evaluate, data, chunk, pure=False)
            running[future] = chunk
            queue.add(future)

        for chunk in islice(waiting, ahead):
            submit(chunk)
        for future in queue:
            chunk = running.pop(future)
            try:
                result = future.result()
            except distributed.CancelledError:
                # every worker that held the data was lost: send it again, and evaluate the chunk again
                if data.status != "finished":
                    sendings += 1
                    if sendings > _SENDINGS:
                        raise
                    data = _send(client, work)
                submit(chunk)
                continue
            done(chunk, result)
            for following in islice(waiting, 1):
                submit(following)
    finally:
        client.cancel([*running, data])


def _send(client: Any, work: Work) -> Any:
    """Return a future of the work, a copy of which lies on every worker."""
    return client.scatter(work, broadcast=True, hash=False)
