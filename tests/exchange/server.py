"""The loopback exchange: Binance's public wire format on 127.0.0.1, from a seed, with a script of faults.

It runs in a thread of its own, so that tests and their clients may block::

    with LoopbackExchange(seed=1, faults=[status(429, retry_after="3", at={2})]) as exchange:
        venue = CcxtVenue("binance", base_url=exchange.url)

or as a process of its own: `python -m tests.exchange --seed 1` prints its address.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from aiohttp import web

from tests.exchange import quotes, rules
from tests.exchange.faults import Fault, Record
from tests.exchange.listings import INTERVAL_MS, LISTINGS, Listing, Tape

__all__ = ["LoopbackExchange"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# 2024-03-01 00:30 UTC: in the middle of an hourly bar
NOW_MS = 1_709_253_000_000
_SPOT, _PERPETUAL = "/api/v3", "/fapi/v1"


class Refusal(Exception):
    """A request that Binance would refuse: its code and words."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class LoopbackExchange:
    """A server that speaks Binance's public endpoints.

    Parameters
    ----------
    seed : int
        Equal seeds serve equal rows.
    now : int or callable
        The exchange's time in ms, fixed until changed (`exchange.now = ...`), or a clock.
    faults : iterable of Fault
        What goes wrong; the first that takes a request wins.
    listings : sequence of Listing
        The markets.
    rows : callable, optional
        Serves klines instead of the seeded tape: takes listing, interval, (start, end), limit and now.
    weight_limit : int, optional
        Refuse with 429 beyond this weight within a minute, as Binance does; its own limits if not given.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        now: int | Callable[[], int] = NOW_MS,
        faults: Iterable[Fault] = (),
        listings: Sequence[Listing] = LISTINGS,
        rows: Callable[..., list[list[object]]] | None = None,
        weight_limit: int | None = None,
    ) -> None:
        self.seed = seed
        self.now = now
        self.faults = list(faults)
        self.listings = tuple(listings)
        self.rows = rows
        self.weight_limit = weight_limit
        self.log: list[Record] = []
        self.on_request: Callable[[Record], None] = lambda record: None
        self._counts: dict[str, int] = defaultdict(int)
        self._weights: dict[tuple[str, int], int] = defaultdict(int)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._port = 0
        self._thread = threading.Thread(target=self._serve, name="loopback exchange", daemon=True)

    # -------------------------------------------------------------------------------------------- life
    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> LoopbackExchange:
        self._thread.start()
        assert self._ready.wait(10), "the loopback exchange did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self._port = runner.addresses[0][1]
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(runner.cleanup())
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    self._loop.run_until_complete(task)
            self._loop.close()

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._middleware])
        for path, answer in self._routes().items():
            app.router.add_get(path, answer)
        return app

    # -------------------------------------------------------------------------------------------- the log
    def requests(self, name: str = "klines") -> list[Record]:
        """Return the requests to paths that end in `name`, oldest first."""
        return [record for record in self.log if record.name == name]

    def clear(self) -> None:
        """Forget the log and the counts; faults that were spent stay spent."""
        self.log.clear()
        self._counts.clear()

    def time_ms(self) -> int:
        return self.now() if callable(self.now) else self.now

    def tape(self, symbol: str, *, perpetual: bool = False) -> Tape:
        """Return the tape of a market by Binance's id."""
        for listing in self.listings:
            if listing.id == symbol and listing.perpetual == perpetual:
                return Tape(listing, self.seed)
        raise Refusal(-1121, "Invalid symbol.")

    # -------------------------------------------------------------------------------------------- answering
    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        self._counts[name] += 1
        record = Record(
            number=len(self.log) + 1,
            of_path=self._counts[name],
            path=request.path,
            query=dict(request.query),
            at=time.monotonic(),
        )
        self.log.append(record)
        self.on_request(record)
        used, over = self._weigh(request)
        if over:
            response: web.StreamResponse = _refused(429, -1003, "Too much request weight used.", {"Retry-After": "1"})
        else:
            response = await self._answer(request, handler, record)
        record.status = response.status
        if not response.prepared:
            response.headers["x-mbx-used-weight"] = response.headers["x-mbx-used-weight-1m"] = str(used)
        return response

    async def _answer(self, request: web.Request, handler: Handler, record: Record) -> web.StreamResponse:
        fault = next((fault for fault in self.faults if fault.takes(record)), None)
        try:
            response = await handler(request)
        except Refusal as refusal:
            response = _refused(400, refusal.code, str(refusal))
        except web.HTTPNotFound:
            return web.Response(status=404, text="<html>404</html>", content_type="text/html")
        if fault is None or not isinstance(response, web.Response):
            return response
        record.fault = fault.name
        honest = response.body
        assert isinstance(honest, bytes)
        if fault.answer is not None:
            return await fault.answer(request, honest)
        assert fault.rows is not None
        return web.json_response(fault.rows(json.loads(honest)))

    def _weigh(self, request: web.Request) -> tuple[int, bool]:
        """Count the request's weight within the minute; return the sum and whether it is too much."""
        kind = "perpetual" if request.path.startswith(_PERPETUAL) else "spot"
        key = (kind, int(time.monotonic() // 60))
        self._weights[key] += _weight(request, kind)
        return self._weights[key], self._weights[key] > (self.weight_limit or rules.WEIGHT_LIMIT[kind])

    def _routes(self) -> dict[str, Handler]:
        return (
            self._market_routes(_SPOT, perpetual=False)
            | self._market_routes(_PERPETUAL, perpetual=True)
            | self._funding_routes()
            | {
                f"{_SPOT}/exchangeInfo": _json(lambda _: rules.spot_info(self.listings, self.time_ms())),
                f"{_PERPETUAL}/exchangeInfo": _json(lambda _: rules.perpetual_info(self.listings, self.time_ms())),
            }
        )

    def _market_routes(self, base: str, *, perpetual: bool) -> dict[str, Handler]:
        def tape(request: web.Request) -> Tape:
            return self.tape(_wanted(request, "symbol"), perpetual=perpetual)

        return {
            f"{base}/ping": _json(lambda _: {}),
            f"{base}/time": _json(lambda _: {"serverTime": self.time_ms()}),
            f"{base}/klines": _json(lambda request: self._klines(request, tape(request))),
            f"{base}/ticker/24hr": self._each(tape, quotes.ticker_24h, perpetual),
            f"{base}/ticker/bookTicker": self._each(tape, quotes.book_ticker, perpetual),
            f"{base}/depth": self._sized(tape, quotes.depth, 100),
            f"{base}/trades": self._sized(tape, quotes.trades, 500),
            f"{base}/aggTrades": self._sized(tape, quotes.aggregate_trades, 500),
        }

    def _funding_routes(self) -> dict[str, Handler]:
        def tape(request: web.Request) -> Tape:
            return self.tape(_wanted(request, "symbol"), perpetual=True)

        def rates(request: web.Request) -> Any:
            return tape(request).funding(*_page(request, 100, 1000), self.time_ms())

        def info(_: web.Request) -> Any:
            return [quotes.funding_info(Tape(item, self.seed)) for item in self.listings if item.perpetual]

        return {
            f"{_PERPETUAL}/fundingRate": _json(rates),
            f"{_PERPETUAL}/fundingInfo": _json(info),
            f"{_PERPETUAL}/premiumIndex": self._each(tape, quotes.premium_index, True),
        }

    def _klines(self, request: web.Request, tape: Tape) -> list[list[object]]:
        interval = _wanted(request, "interval")
        if interval not in INTERVAL_MS:
            raise Refusal(-1120, "Invalid interval.")
        window, limit = _page(request, 500, 1500 if tape.listing.perpetual else 1000)
        if self.rows is not None:
            return self.rows(tape.listing, interval, window, limit, self.time_ms())
        return tape.klines(interval, window, limit, self.time_ms())

    def _each(self, tape: Callable[[web.Request], Tape], view: Callable[..., Any], perpetual: bool) -> Handler:
        """Answer for one symbol, or for all if none is named."""

        def answer(request: web.Request) -> Any:
            if "symbol" in request.query:
                return view(tape(request), self.time_ms())
            listed = [item for item in self.listings if item.perpetual == perpetual]
            return [view(Tape(item, self.seed), self.time_ms()) for item in listed]

        return _json(answer)

    def _sized(self, tape: Callable[[web.Request], Tape], view: Callable[..., Any], default: int) -> Handler:
        def answer(request: web.Request) -> Any:
            return view(tape(request), self.time_ms(), _number(request, "limit") or default)

        return _json(answer)


def _json(view: Callable[[web.Request], Any]) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(view(request))

    return answer


def _refused(code: int, number: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"code": number, "msg": message}, status=code, headers=headers)


def _wanted(request: web.Request, name: str) -> str:
    if name not in request.query:
        raise Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return request.query[name]


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not text.isdigit():
        raise Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return int(text)


def _page(request: web.Request, default: int, most: int) -> tuple[tuple[int | None, int | None], int]:
    window = (_number(request, "startTime"), _number(request, "endTime"))
    return window, min(_number(request, "limit") or default, most)


def _weight(request: web.Request, kind: str) -> int:
    name = request.path.rpartition("/")[2]
    if name == "klines" and kind == "perpetual":
        limit = int(request.query.get("limit", "500"))
        return next(weight for most, weight in ((99, 1), (499, 2), (1000, 5), (10_000, 10)) if limit <= most)
    return {"klines": 2, "exchangeInfo": 20 if kind == "spot" else 1, "24hr": 2, "depth": 5, "trades": 25}.get(name, 1)
