"""What can go wrong between a client and an exchange, one function a fault.

A fault applies to the requests its `path` and `at` select. Transport faults replace the answer; row faults change the
rows of an honest answer and send it whole.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Rows = list[Any]
Answer = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


@dataclass
class Record:
    """One request as the exchange saw it.

    `number` counts requests from 1; `of_path` counts those of the same last path element (``klines``).
    """

    number: int
    of_path: int
    path: str
    query: dict[str, str]
    at: float
    status: int = 0
    fault: str = ""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass
class Fault:
    """What goes wrong, and on which requests.

    Parameters
    ----------
    name : str
        Shown in the log.
    answer : callable, optional
        Takes the request and the honest body; returns what is sent instead.
    rows : callable, optional
        Takes the honest rows; returns what is sent instead.
    path : str
        Last element of the request's path.
    at : collection of int or callable, optional
        Which requests to that path, counted from 1, or a predicate of the record; all if not given.
    times : int
        How often at most.
    """

    name: str
    answer: Answer | None = None
    rows: Callable[[Rows], Any] | None = None
    path: str = "klines"
    at: Collection[int] | Callable[[Record], bool] | None = None
    times: int = 1_000_000
    done: int = field(default=0, init=False)

    def takes(self, record: Record) -> bool:
        """Return whether this request goes wrong, and count it."""
        if record.name != self.path or self.done >= self.times:
            return False
        chosen = self.at is None or (self.at(record) if callable(self.at) else record.of_path in self.at)
        self.done += chosen
        return chosen


# ------------------------------------------------------------------------------------------------ transport faults
def status(code: int, *, retry_after: str | None = None, body: str | None = None, **where: Any) -> Fault:
    """Answer with a status; 429 and 418 speak as Binance does."""
    text = body if body is not None else json.dumps({"code": -1003, "msg": "Too many requests."})

    async def answer(request: web.Request, honest: bytes) -> web.StreamResponse:
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        return web.Response(status=code, text=text, headers=headers, content_type="application/json")

    return Fault(f"status {code}", answer=answer, **where)


def slow_body(seconds_a_byte: float, **where: Any) -> Fault:
    """Send an honest answer, one byte at a time."""

    async def answer(request: web.Request, honest: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(honest))})
        await response.prepare(request)
        for position in range(len(honest)):
            await response.write(honest[position : position + 1])
            await asyncio.sleep(seconds_a_byte)
        return response

    return Fault("slow body", answer=answer, **where)


def delay(seconds: float, **where: Any) -> Fault:
    """Answer honestly, but late."""

    async def answer(request: web.Request, honest: bytes) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return web.Response(body=honest, content_type="application/json")

    return Fault("delay", answer=answer, **where)


def truncated_json(**where: Any) -> Fault:
    """Send the first half of the JSON as if it were whole."""

    async def answer(request: web.Request, honest: bytes) -> web.StreamResponse:
        return web.Response(body=honest[: len(honest) // 2], content_type="application/json")

    return Fault("truncated JSON", answer=answer, **where)


def reset_mid_body(**where: Any) -> Fault:
    """Promise the whole body, send half, reset the connection."""

    async def answer(request: web.Request, honest: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(honest))})
        await response.prepare(request)
        await response.write(honest[: len(honest) // 2])
        assert request.transport is not None
        request.transport.abort()
        return response

    return Fault("reset mid body", answer=answer, **where)


def html(**where: Any) -> Fault:
    """Answer 200 with a page for people, as a proxy or a captive portal does."""

    async def answer(request: web.Request, honest: bytes) -> web.StreamResponse:
        return web.Response(text="<html><body>Please sign in</body></html>", content_type="text/html")

    return Fault("HTML", answer=answer, **where)


def body(text: str, **where: Any) -> Fault:
    """Answer 200 with this text as JSON."""

    async def answer(request: web.Request, honest: bytes) -> web.StreamResponse:
        return web.Response(text=text, content_type="application/json")

    return Fault(f"body {text[:20]}", answer=answer, **where)


def redirect(target: str, **where: Any) -> Fault:
    """Answer 307 to the same path on another server."""

    async def answer(request: web.Request, honest: bytes) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"{target}{request.path_qs}"})

    return Fault("redirect", answer=answer, **where)


def bomb(megabytes: int, *, compressed: bool = False, **where: Any) -> Fault:
    """Answer with a body of this size, compressed a thousandfold if asked."""

    async def answer(request: web.Request, honest: bytes) -> web.StreamResponse:
        plain = b"[" + b" " * (megabytes * 2**20) + b"]"
        headers = {"Content-Type": "application/json"} | ({"Content-Encoding": "gzip"} if compressed else {})
        return web.Response(body=gzip.compress(plain) if compressed else plain, headers=headers)

    return Fault("bomb", answer=answer, **where)


# ------------------------------------------------------------------------------------------------ row faults
def shuffled(**where: Any) -> Fault:
    """Send a page's rows newest first."""
    return Fault("shuffled rows", rows=lambda rows: rows[::-1], **where)


def duplicated(**where: Any) -> Fault:
    """Send every third row twice."""
    return Fault(
        "duplicated rows",
        rows=lambda rows: [row for k, row in enumerate(rows) for _ in range(2 if k % 3 == 0 else 1)],
        **where,
    )


def empty(**where: Any) -> Fault:
    """Send no rows."""
    return Fault("empty page", rows=lambda rows: [], **where)


def without(first: int, last: int, **where: Any) -> Fault:
    """Leave out some rows of a page."""
    return Fault("hole in page", rows=lambda rows: rows[:first] + rows[last:], **where)


def changed(position: int, fields: dict[int, Any], **where: Any) -> Fault:
    """Change fields of the row at `position`."""

    def change(rows: Rows) -> Rows:
        rows = [list(row) for row in rows]
        for field_number, value in fields.items():
            rows[position][field_number] = value
        return rows

    return Fault("changed row", rows=change, **where)


def reshaped(shape: Callable[[Rows], Any], name: str, **where: Any) -> Fault:
    """Send whatever `shape` makes of the rows."""
    return Fault(name, rows=shape, **where)
