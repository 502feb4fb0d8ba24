"""A program that downloads and kills itself at a chosen step, over and over; it speaks JSON lines with the test.

The program imports once and forks for each order, so that dozens of kills cost seconds. A step is a file brought to the
disk, a file moved to its place, or a request: whatever a power cut could fall between.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pandas as pd

from gwt_lab.data.catalog import Catalog
from gwt_lab.data.ccxt_venue import CcxtVenue
from gwt_lab.data.download import Downloader
from gwt_lab.data.download_transport import tls_context
from tests.exchange.clients import SkippingClock

PAGE_ROWS = 48


class SmallPages(CcxtVenue):
    """Asks for two days of hours a page, so that a short download has many."""

    def page_rows(self, symbol: str) -> int:
        return PAGE_ROWS


def _die_at(step: int) -> Callable[[], int]:
    """Kill this process, with no chance to tidy up, when the given step is reached; return the steps so far."""
    taken = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    os.replace = counted(os.replace)  # type: ignore[assignment]
    os.fsync = counted(os.fsync)
    CcxtVenue.before_request = counted(CcxtVenue.before_request)  # type: ignore[method-assign]
    return lambda: taken


def download(order: dict[str, Any]) -> dict[str, Any]:
    """Download what the order says."""
    steps = _die_at(order["kill_at"])
    venue = SmallPages("binance", base_url=order["url"], clock=SkippingClock().clock, rng=0)
    catalog = Catalog(order["catalog"])
    downloader = Downloader(venue, catalog, "killed", "1h", pages_per_write=order["pages_per_write"])
    asyncio.run(downloader.run(order["symbols"], *(pd.Timestamp(order[key], tz="UTC") for key in ("since", "until"))))
    return {"steps": steps()}


def look(order: dict[str, Any]) -> dict[str, Any]:
    """Tell what the catalog holds."""
    catalog = Catalog(order["catalog"])
    if "killed" not in catalog.names() or not catalog.symbols("killed"):
        return {"last": None}
    bars = catalog.read("killed")
    answer: dict[str, Any] = {
        "hash": bars.content_hash,
        "symbols": bars.symbols,
        "first": bars.index[0].value // 1_000_000,
        "last": bars.index[-1].value // 1_000_000,
        "missing": int(bars.close.isna().to_numpy().sum()),
        "rules": sorted(bars.instruments),
    }
    try:
        rates = catalog.read_table("killed", "funding").sort_values("timestamp")
    except LookupError:
        return answer | {"rates": []}
    return answer | {"rates": rates["rate"].tolist()}


def in_a_fork(function: Callable[[dict[str, Any]], dict[str, Any]], order: dict[str, Any]) -> dict[str, Any]:
    """Run a function in a process of its own; return its answer, or that it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.write(writing, json.dumps(function(order)).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"killed": os.WTERMSIG(status)}
    if os.WEXITSTATUS(status) != 0:
        return {"failed": os.WEXITSTATUS(status)}
    return {"killed": 0, **json.loads(text)}


def main() -> None:
    # whatever takes long to load is loaded before the forks
    SmallPages("binance")
    tls_context()
    for line in sys.stdin:
        order = json.loads(line)
        answer = in_a_fork({"download": download, "look": look}[order["do"]], order)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
