"""How often a venue may be asked: spacing by cost, pauses it orders, and how long to wait before trying again.

All times come from a monotonic clock: stepping the wall clock neither stalls nor floods.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import numpy as np

from gwt_lab.errors import ConfigError, VenueError

__all__ = ["Clock", "Patience", "RateLimiter", "http_date", "retry_after_seconds"]

# Share of a venue's own allowance after which we wait for its next minute; other programs may share the address.
_WEIGHT_SHARE = 0.9
# A ban without a stated end is taken for this long.
_BAN_SECONDS = 3600.0


@dataclass(frozen=True)
class Clock:
    """A monotonic clock and a way to wait; tests pass their own."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True)
class Patience:
    """How long to wait for a venue, and how much to accept from it.

    Parameters
    ----------
    timeout_seconds : float
        For one request, from connecting to the last byte.
    tries : int
        How often one request is made before giving up.
    first_delay_seconds, longest_delay_seconds : float
        Before the second try at most the first; it doubles up to the longest. The wait is drawn between half and all
        of it, so that many programs that failed together do not come back together.
    longest_pause_seconds : float
        A pause ordered by the venue (`Retry-After`) beyond this ends the download instead.
    max_body_megabytes : float
        A longer answer is refused, decompressed size counted.
    """

    timeout_seconds: float = 30.0
    tries: int = 6
    first_delay_seconds: float = 0.5
    longest_delay_seconds: float = 30.0
    longest_pause_seconds: float = 120.0
    max_body_megabytes: float = 64.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ConfigError(f"patience: {name} must be a positive number, got {value!r}")

    def delay(self, failures: int, rng: np.random.Generator) -> float:
        """Return the seconds to wait after so many failures of one request (1 or more)."""
        most = min(self.first_delay_seconds * 2.0 ** (failures - 1), self.longest_delay_seconds)
        return float(most * rng.uniform(0.5, 1.0))


class RateLimiter:
    """Let requests of one venue through, one after another, never faster than their costs allow.

    Parameters
    ----------
    clock : Clock
        Must be monotonic.
    on_wait : callable, optional
        Told the seconds and the reason of each pause that the venue ordered.
    """

    def __init__(self, clock: Clock, on_wait: Callable[[float, str], None] | None = None) -> None:
        self._clock = clock
        self.on_wait = on_wait or (lambda seconds, reason: None)
        self._free_at = -np.inf
        self._paused_until = -np.inf
        self._banned_until = -np.inf
        self._ban = ""

    async def acquire(self, seconds: float) -> None:
        """Wait for the turn of a request that uses the venue for `seconds`.

        Raises
        ------
        VenueError
            If the venue has banned us and the ban has not ended.
        """
        while True:
            now = self._clock.monotonic()
            if now < self._banned_until:
                raise VenueError(self._ban)
            wait = max(self._free_at, self._paused_until) - now
            if wait <= 0:
                self._free_at = now + seconds
                return
            await self._clock.sleep(wait)

    def pause(self, seconds: float, reason: str) -> None:
        """Hold every request for `seconds`."""
        until = self._clock.monotonic() + seconds
        if until > self._paused_until:
            self._paused_until = until
            self.on_wait(seconds, reason)

    def ban(self, message: str, seconds: float | None) -> None:
        """Refuse every request with `message` until the ban has ended."""
        self._ban = message
        self._banned_until = self._clock.monotonic() + (_BAN_SECONDS if seconds is None else seconds)

    def count_weight(self, used: float, allowed: float, seconds_left: float) -> None:
        """Pause for the rest of the venue's minute once its own count of our weight comes near its limit."""
        if used >= _WEIGHT_SHARE * allowed:
            self.pause(seconds_left, f"{used:.0f} of {allowed:.0f} request weight used this minute")


def retry_after_seconds(value: str | None, date: str | None = None) -> float | None:
    """Return what a `Retry-After` header asks for, in seconds; None if it says nothing readable.

    Parameters
    ----------
    value : str or None
        Seconds, or an HTTP date.
    date : str or None
        The same answer's `Date` header; an HTTP date counts from it, not from our clock.
    """
    text = (value or "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        until, since = http_date(text), http_date(date)
        if until is None:
            return None
        return max((until - (since or datetime.now(UTC))).total_seconds(), 0.0)
    return max(seconds, 0.0) if np.isfinite(seconds) else None


def http_date(text: str | None) -> datetime | None:
    """Return the time an HTTP header states, or None."""
    try:
        moment = parsedate_to_datetime(text or "")
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
