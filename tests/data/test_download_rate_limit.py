"""The limiter spaces requests on a monotonic clock, obeys ordered pauses, and draws bounded waits."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwt_lab.data.rate_limit import Clock, Patience, RateLimiter, http_date, retry_after_seconds
from gwt_lab.errors import ConfigError, VenueError
from tests.exchange.clients import SkippingClock


def passing_times(costs: list[float], *, pause: tuple[int, float] | None = None) -> list[float]:
    """Let requests through that all wait at once; return when each passed. `pause` orders one after so many."""
    clock = SkippingClock()
    limiter = RateLimiter(clock.clock)
    passed: list[float] = []

    async def one(cost: float) -> None:
        await limiter.acquire(cost)
        passed.append(clock.now)
        if pause is not None and len(passed) == pause[0]:
            limiter.pause(pause[1], "test")

    async def everyone() -> None:
        await asyncio.gather(*(one(cost) for cost in costs))

    asyncio.run(everyone())
    return passed


@given(st.lists(st.floats(0.01, 5.0), min_size=2, max_size=20))
def test_requests_are_never_closer_than_the_cost_of_the_one_before(costs: list[float]) -> None:
    same = [max(costs)] * len(costs)
    gaps = np.diff(passing_times(same))
    assert (gaps >= max(costs) - 1e-9).all()
    assert passing_times(same)[-1] - 1000.0 == pytest.approx(max(costs) * (len(costs) - 1))


def test_an_ordered_pause_holds_everyone_and_then_keeps_the_spacing() -> None:
    passed = passing_times([0.5] * 5, pause=(2, 60.0))
    assert passed[1] == pytest.approx(1000.5)
    assert passed[2:] == pytest.approx([1060.5, 1061.0, 1061.5])


def test_a_shorter_pause_does_not_cut_a_longer_one() -> None:
    clock = SkippingClock()
    told: list[tuple[float, str]] = []
    limiter = RateLimiter(clock.clock, lambda seconds, why: told.append((seconds, why)))
    limiter.pause(60.0, "first")
    limiter.pause(5.0, "second")
    asyncio.run(limiter.acquire(0.1))
    assert clock.now == pytest.approx(1060.0)
    assert told == [(60.0, "first")]


def test_a_ban_lets_nothing_through_until_it_ends() -> None:
    clock = SkippingClock()
    limiter = RateLimiter(clock.clock)
    limiter.ban("banned, come back later", 100.0)
    with pytest.raises(VenueError, match="come back later"):
        asyncio.run(limiter.acquire(0.1))
    clock.now += 100.0
    asyncio.run(limiter.acquire(0.1))


def test_a_ban_without_an_end_lasts_an_hour() -> None:
    clock = SkippingClock()
    limiter = RateLimiter(clock.clock)
    limiter.ban("banned", None)
    clock.now += 3599.0
    with pytest.raises(VenueError):
        asyncio.run(limiter.acquire(0.1))
    clock.now += 1.0
    asyncio.run(limiter.acquire(0.1))


@pytest.mark.parametrize(("used", "waits"), [(5399, 0.0), (5400, 17.0), (6100, 17.0)])
def test_near_the_venues_own_limit_its_minute_is_waited_out(used: int, waits: float) -> None:
    clock = SkippingClock()
    limiter = RateLimiter(clock.clock)
    limiter.count_weight(used, 6000, 17.0)
    asyncio.run(limiter.acquire(0.1))
    assert clock.now - 1000.0 == pytest.approx(waits)


def test_a_wall_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = RateLimiter(Clock())
    monkeypatch.setattr("time.time", lambda: 0.0)

    async def five() -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for _ in range(5):
            await limiter.acquire(0.01)
        return loop.time() - begun

    assert 0.04 <= asyncio.run(five()) < 2.0


@given(st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_waits_double_up_to_a_bound_and_are_never_less_than_half(failures: int, seed: int) -> None:
    patience = Patience(first_delay_seconds=0.5, longest_delay_seconds=30.0)
    most = min(0.5 * 2 ** (failures - 1), 30.0)
    wait = patience.delay(failures, np.random.default_rng(seed))
    assert most / 2 <= wait <= most
    assert wait == patience.delay(failures, np.random.default_rng(seed))


def test_waits_differ_between_programs() -> None:
    waits = {Patience().delay(3, np.random.default_rng(seed)) for seed in range(20)}
    assert len(waits) == 20


@pytest.mark.parametrize("field", ["timeout_seconds", "tries", "max_body_megabytes"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_patience_refuses_what_is_no_positive_number(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{field} must be a positive number"):
        Patience(**{field: value})


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("3", None, 3.0),
        (" 0.5 ", None, 0.5),
        ("-5", None, 0.0),
        ("Fri, 01 Mar 2024 00:00:30 GMT", "Fri, 01 Mar 2024 00:00:00 GMT", 30.0),
        ("Fri, 01 Mar 2024 00:00:00 GMT", "Fri, 01 Mar 2024 00:00:30 GMT", 0.0),
        (None, None, None),
        ("", None, None),
        ("soon", None, None),
        ("nan", None, None),
        ("inf", None, None),
    ],
)
def test_retry_after_in_every_spelling(value: str | None, date: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, date) == seconds


def test_a_header_that_is_no_date_is_no_time() -> None:
    assert http_date("yesterday") is None
    assert http_date(None) is None
