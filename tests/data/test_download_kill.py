"""A download killed at any step, with `kill -9`, goes on to the same bars without fetching stored pages again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.clients import ms
from tests.exchange.server import LoopbackExchange

ROOT = Path(__file__).resolve().parents[2]
SYMBOL = "BTC/USDT:USDT"
SINCE, UNTIL = "2024-01-01", "2024-01-11T12:00"
MIDDLE = "2024-01-06"


class Killed:
    """The program that is killed, and the exchange that it asks."""

    def __init__(self, exchange: LoopbackExchange) -> None:
        self.exchange = exchange
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.exchange.killed"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip

    def close(self) -> None:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.close()
        self._program.wait(10)
        self._program.stdout.close()

    def _order(self, **order: Any) -> dict[str, Any]:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps(order) + "\n")
        self._program.stdin.flush()
        answer: dict[str, Any] = json.loads(self._program.stdout.readline())
        assert "failed" not in answer, answer
        return answer

    def download(self, catalog: Path, since: str = SINCE, *, kill_at: int = 0, pages: int = 2) -> dict[str, Any]:
        self.exchange.clear()
        return self._order(
            do="download", url=self.exchange.url, catalog=str(catalog), symbols=[SYMBOL], since=since, until=UNTIL,
            kill_at=kill_at, pages_per_write=pages,
        )  # fmt: skip

    def look(self, catalog: Path) -> dict[str, Any]:
        return self._order(do="look", catalog=str(catalog))

    def starts(self) -> list[int]:
        return [int(record.query["startTime"]) for record in self.exchange.requests() if "startTime" in record.query]


@pytest.fixture(scope="module")
def killed() -> Iterator[Killed]:
    with LoopbackExchange(seed=9) as exchange:
        program = Killed(exchange)
        yield program
        program.close()


def kill_points(steps: int, request: pytest.FixtureRequest) -> list[int]:
    """Return every step for the slow run, every ninth for the quick one."""
    slow = request.node.get_closest_marker("slow")
    return list(range(1, steps + 1)) if slow else list(range(4, steps + 1, 9))


def check_fresh(killed: Killed, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    steps = killed.download(tmp_path / "whole")["steps"]
    whole = killed.look(tmp_path / "whole")
    assert whole["missing"] == 0
    assert len(whole["rates"]) == 32
    assert steps > 30
    left = set()
    for kill_at in kill_points(steps, request):
        catalog = tmp_path / str(kill_at)
        assert killed.download(catalog, kill_at=kill_at)["killed"] == 9
        before = killed.look(catalog)
        left.add(before["last"])
        assert before.get("missing", 0) == 0
        killed.download(catalog)
        if before["last"] is not None:
            # the last stored bar comes along to be compared; nothing before it is fetched again
            assert min(killed.starts(), default=before["last"]) >= before["last"]
        assert killed.look(catalog) == whole
    # some were killed before the first write, some between writes, some after the last
    assert None in left
    assert len(left) >= 3


def check_earlier(killed: Killed, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    killed.download(tmp_path / "whole", MIDDLE)
    steps = killed.download(tmp_path / "whole", pages=1)["steps"]
    whole = killed.look(tmp_path / "whole")
    assert (whole["first"], whole["missing"]) == (ms(SINCE), 0)
    firsts = set()
    for kill_at in kill_points(steps, request):
        catalog = tmp_path / str(kill_at)
        killed.download(catalog, MIDDLE)
        assert killed.download(catalog, kill_at=kill_at, pages=1)["killed"] == 9
        before = killed.look(catalog)
        # whatever happened, no hole that looks like one of the exchange's
        assert before["missing"] == 0
        firsts.add(before["first"])
        killed.download(catalog, pages=1)
        # the first stored bar comes along to be compared; nothing after it is fetched again
        assert max(killed.starts(), default=0) < before["first"]
        assert killed.look(catalog) == whole
    assert len(firsts) >= 3


def test_killed_anywhere_a_download_goes_on(killed: Killed, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    check_fresh(killed, tmp_path, request)


def test_killed_while_growing_downwards_it_goes_on(
    killed: Killed, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    check_earlier(killed, tmp_path, request)


@pytest.mark.slow
def test_killed_at_each_step_a_download_goes_on(killed: Killed, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    check_fresh(killed, tmp_path, request)


@pytest.mark.slow
def test_killed_at_each_step_downwards_it_goes_on(
    killed: Killed, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    check_earlier(killed, tmp_path, request)
