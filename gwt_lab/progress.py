"""One progress line, for terminals and notebooks, on stderr.

In a terminal and in a notebook the line updates in place (rich); in a log file a line is written at most every ten
seconds, so that a long job is never silent.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

__all__ = ["Progress", "progress"]

_LOG_EVERY_SECONDS = 10.0


class Progress:
    """A line with a label, a bar, the share done and the time left.

    Parameters
    ----------
    label : str
        What is being done.
    total : int or None
        Units of work; None where it is not known.
    """

    def __init__(self, label: str, total: int | None = None) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self._live = sys.stderr.isatty() or "ipykernel" in sys.modules
        self._started = time.monotonic()
        self._last_line = self._started
        self._rich: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if self._live:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            self._rich = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                TextColumn("{task.percentage:>3.0f} %"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._rich.start()
            self._task = self._rich.add_task(self.label, total=self.total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rich is not None:
            self._rich.stop()

    def update(self, done: int, note: str = "") -> None:
        """Say that `done` units are finished, with a short note after the label."""
        self.done = done
        text = f"{self.label} {note}".rstrip()
        if self._rich is not None:
            self._rich.update(self._task, completed=done, description=text)
        elif time.monotonic() - self._last_line >= _LOG_EVERY_SECONDS:
            self._last_line = time.monotonic()
            sys.stderr.write(f"{text}: {self._share()}\n")
            sys.stderr.flush()

    def advance(self, units: int = 1, note: str = "") -> None:
        """Say that `units` more are finished."""
        self.update(self.done + units, note)

    def _share(self) -> str:
        elapsed = time.monotonic() - self._started
        if not self.total:
            return f"{self.done} done, {elapsed:.0f} s"
        left = elapsed / self.done * (self.total - self.done) if self.done else float("nan")
        return f"{self.done}/{self.total}, {elapsed:.0f} s, about {left:.0f} s left"


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Progress]:
    """Open a progress line for the length of a `with` block."""
    with Progress(label, total) as line:
        yield line
