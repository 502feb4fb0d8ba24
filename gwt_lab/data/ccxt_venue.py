"""An exchange as ccxt speaks to it: public data alone, in our clock, with our limits, errors and second tries.

What ccxt leaves open is decided here: requests are spaced on a monotonic clock, every request may be repeated because
none of them changes anything, a redirect is refused, and an answer that is not what it should be is an error.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from gwt_lab.data.download_transport import Refused, check_base_url, open_session, tls_context
from gwt_lab.data.rate_limit import Clock, Patience, RateLimiter, http_date, retry_after_seconds
from gwt_lab.errors import GwtLabError, MissingExtraError, UnknownNameError, VenueError
from gwt_lab.market.instruments import Instrument, unified_symbol
from gwt_lab.market.time import check_timeframe

__all__ = ["COLUMNS", "CcxtVenue"]

# columns of a page of bars; the time is the open time in ms since 1970
COLUMNS = ("time", "open", "high", "low", "close", "volume", "quote_volume")

# exchange -> where its raw bars hold the quote volume, which ccxt's unified bars leave out
_QUOTE_VOLUME_AT = {"binance": 7, "binanceus": 7, "binanceusdm": 7}
# exchanges that list kinds of markets on hosts of their own -> (spot, perpetual) in ccxt's words
_KINDS = {"binance": ("spot", "linear")}
# exchanges whose pages are larger than ccxt says -> bars, funding rates
_PAGE_ROWS = {"binance": (1000, 1000), "binanceusdm": (1000, 1000)}
_MOST_ROWS, _DEFAULT_ROWS, _DEFAULT_RATES = 1000, 500, 100
_ADVICE = "nothing half-written was kept; run it again to go on from there"
_Value = TypeVar("_Value")


@dataclass
class _Answer:
    """What one request brought: filled by ccxt's hook while the request runs."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    url: str = ""

    def header(self, name: str) -> str | None:
        return self.headers.get(name)


_ANSWER: ContextVar[_Answer] = ContextVar("gwt_lab_answer")


class _Malformed(Exception):
    """An answer that is not what was asked for; says what came instead."""


class CcxtVenue:
    """One exchange's public market data.

    Parameters
    ----------
    exchange_id : str
        ccxt's id, such as ``"binance"``.
    base_url : str, optional
        Ask this origin instead of the exchange's own hosts, and nothing else; plain http only on this machine.
    patience : Patience, optional
        Timeouts, tries and pauses.
    clock : Clock, optional
        Monotonic clock and sleep.
    rng : Generator or int, optional
        Draws the waits between tries; a seed in tests.

    Raises
    ------
    UnknownNameError
        If ccxt knows no such exchange; the message names the nearest.
    MissingExtraError
        If ccxt is not installed.

    Notes
    -----
    Use it as an asynchronous context manager, or call `open` and `close`. No keys are taken: public data needs none.
    """

    def __init__(
        self,
        exchange_id: str,
        *,
        base_url: str | None = None,
        patience: Patience | None = None,
        clock: Clock | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.id = exchange_id
        self._type = _exchange_type(exchange_id)
        self.base_url = None if base_url is None else check_base_url(base_url)
        self.patience = patience or Patience()
        self.clock = clock or Clock()
        self.limiter = RateLimiter(self.clock)
        self.n_requests = 0
        # the exchange's time when it was last asked for it
        self.asked_ms: int | None = None
        self._rng = np.random.default_rng(rng)
        self._exchange: Any = None
        self._session: Any = None
        self._weight_limit: float | None = None
        # the `Date` of the newest answer in ms, and when it came
        self._date: tuple[int, float] | None = None

    def __repr__(self) -> str:
        return f"CcxtVenue({self.id!r}{'' if self.base_url is None else f', base_url={self.base_url!r}'})"

    # ------------------------------------------------------------------------------------------ life
    @property
    def is_open(self) -> bool:
        """Whether there is a session."""
        return self._exchange is not None

    async def open(self) -> None:
        """Make the session; nothing is asked yet."""
        if self._exchange is not None:
            return
        self._session = open_session(self.base_url, self.patience)
        exchange = self._type(
            {"session": self._session, "enableRateLimit": False, "timeout": int(1000 * self.patience.timeout_seconds)}
        )
        exchange.venue = self
        exchange.ssl_context = tls_context()
        # without keys it says nothing, with keys it would be a signed request
        exchange.has["fetchCurrencies"] = False
        if self.id in _KINDS:
            exchange.options["fetchMarkets"] = {"types": []}
        if self.base_url is not None:
            exchange.urls["api"] = _moved(exchange.urls["api"], self.base_url)
        self._exchange = exchange

    async def close(self) -> None:
        """Close the session and forget the markets."""
        exchange, session = self._exchange, self._session
        self._exchange = self._session = None
        if exchange is not None:
            await exchange.close()
            await session.close()

    async def __aenter__(self) -> CcxtVenue:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ------------------------------------------------------------------------------------------ names
    async def load(self, symbols: Iterable[str]) -> list[str]:
        """Load the markets of these symbols and return ccxt's spelling of each.

        Raises
        ------
        UnknownNameError
            If the exchange does not list one, or it is neither spot nor a contract margined in its quote currency.
        """
        wanted = list(dict.fromkeys(unified_symbol(symbol) for symbol in symbols))
        await self._load_markets({":" in symbol for symbol in wanted})
        for symbol in wanted:
            self._market(symbol)
        return wanted

    async def _load_markets(self, contracts: set[bool]) -> None:
        exchange = self._opened()
        missing = exchange.markets is None
        if self.id in _KINDS:
            types = exchange.options["fetchMarkets"]["types"]
            fresh = [
                kind for kind in (_KINDS[self.id][contract] for contract in sorted(contracts)) if kind not in types
            ]
            exchange.options["fetchMarkets"] = {"types": [*types, *fresh]}
            missing = bool(fresh)
        if missing:
            try:
                await self._call("the list of markets", lambda: exchange.load_markets(True))
            except BaseException:
                if self.id in _KINDS:
                    exchange.options["fetchMarkets"] = {"types": types}
                raise

    def _market(self, symbol: str) -> dict[str, Any]:
        markets: dict[str, Any] = self._opened().markets or {}
        market = markets.get(symbol)
        if market is None:
            raise UnknownNameError(f"{self.id} has no market {symbol!r}{_nearest(symbol, markets)}")
        if not market.get("spot") and not market.get("linear"):
            raise UnknownNameError(
                f"{symbol} of {self.id} is neither spot nor margined in its quote currency; its volumes and returns "
                "are not in these units, so it is not taken"
            )
        return dict(market)

    def timeframe(self, timeframe: str) -> str:
        """Return `timeframe` if the exchange has it.

        Raises
        ------
        UnknownNameError
            If not; the message lists those it has.
        """
        known = list(self._opened().timeframes or {})
        if timeframe not in known:
            raise UnknownNameError(
                f"{self.id} has no bars of {timeframe!r}{_nearest(timeframe, known)}; it has {', '.join(known)}"
            )
        return check_timeframe(timeframe)

    def page_rows(self, symbol: str) -> int:
        """Return how many bars one request brings at most."""
        if self.id in _PAGE_ROWS:
            return _PAGE_ROWS[self.id][0]
        told = self._opened().feature_value(symbol, "fetchOHLCV", "limit")
        return int(min(told or _DEFAULT_ROWS, _MOST_ROWS))

    def page_rates(self, symbol: str) -> int:
        """Return how many funding rates one request brings at most."""
        if self.id in _PAGE_ROWS:
            return _PAGE_ROWS[self.id][1]
        return int(self._opened().feature_value(symbol, "fetchFundingRateHistory", "limit") or _DEFAULT_RATES)

    def listed_ms(self, symbol: str) -> int:
        """Return when trading began, in ms since 1970; 0 where the exchange does not say."""
        return int(self._market(symbol).get("created") or 0)

    def is_perpetual(self, symbol: str) -> bool:
        """Return whether a symbol is a perpetual, which pays funding."""
        return bool(self._market(symbol).get("swap"))

    def instrument(self, symbol: str, valid_from: pd.Timestamp) -> Instrument:
        """Return a symbol's trading rules as the exchange states them now."""
        market = self._market(symbol)
        limits, precision = market["limits"], market["precision"]
        return Instrument(
            symbol=symbol,
            price_tick=self._step(precision.get("price")),
            amount_lot=self._step(precision.get("amount")),
            min_amount=float((limits.get("amount") or {}).get("min") or 0.0),
            min_notional=float((limits.get("cost") or {}).get("min") or 0.0),
            maker_fee=float(market.get("maker") or 0.0),
            taker_fee=float(market.get("taker") or 0.0),
            valid_from=valid_from.isoformat(),
            venue=self.id,
        )

    def _step(self, precision: float | None) -> float:
        """Return a precision as a step; some exchanges state decimal places."""
        import ccxt.async_support as ccxt

        if precision is None:
            return 0.0
        return float(precision if self._opened().precisionMode == ccxt.TICK_SIZE else 10.0 ** -int(precision))

    # ------------------------------------------------------------------------------------------ asking
    async def server_time(self) -> int:
        """Return the exchange's time in ms since 1970: told, else from the `Date` of an answer.

        Raises
        ------
        VenueError
            If it says neither: without its time an unfinished bar cannot be told from a finished one.
        """
        exchange = self._opened()
        if exchange.has.get("fetchTime"):
            told = await self._call("its time", exchange.fetch_time)
        elif self._date is not None:
            told = self._date[0] + 1000 * (self.clock.monotonic() - self._date[1])
        else:
            told = None
        if not told:
            raise VenueError(f"{self.id} does not say what time it is, so its last bar cannot be told from a whole one")
        self.asked_ms = int(told)
        return self.asked_ms

    async def bars(self, symbol: str, timeframe: str, since_ms: int | None, rows: int) -> np.ndarray:
        """Return one page of bars as they came, ordered by time.

        Returns
        -------
        ndarray of shape (n, 7)
            `COLUMNS`; numbers that are missing are NaN. Rows older or newer than asked are left in.
        """
        exchange = self._opened()

        async def ask() -> np.ndarray:
            return _page(await exchange.fetch_ohlcv(symbol, timeframe, since=since_ms, limit=rows))

        return await self._call(f"{timeframe} bars of {symbol}", ask)

    async def funding(self, symbol: str, since_ms: int) -> np.ndarray:
        """Return one page of funding, oldest first: (n, 3) time in ms, rate, mark price (NaN where not told)."""
        exchange = self._opened()
        rows = self.page_rates(symbol)

        async def ask() -> np.ndarray:
            told = await exchange.fetch_funding_rate_history(symbol, since=since_ms, limit=rows)
            return _funding_page(told)

        return await self._call(f"funding of {symbol}", ask)

    @property
    def has_funding(self) -> bool:
        """Whether past funding can be asked for."""
        return bool(self._opened().has.get("fetchFundingRateHistory"))

    def _opened(self) -> Any:
        if self._exchange is None:
            raise VenueError(f"{self!r} is not open: use `async with`, or await open() first")
        return self._exchange

    async def _call(self, what: str, ask: Callable[[], Awaitable[_Value]]) -> _Value:
        """Ask until there is an answer, the venue refuses, or the tries are spent."""
        problem = ""
        for failures in range(1, self.patience.tries + 1):
            try:
                return await ask()
            except GwtLabError:
                raise
            except Refused as refusal:
                raise VenueError(f"{self.id}, {what}: {refusal}") from None
            except Exception as error:
                answer = getattr(error, "gwt_answer", _Answer())
                problem = self._problem(what, error, answer)
                wait = self._ordered_pause(what, answer, error)
            if failures < self.patience.tries:
                if wait is None:
                    await self.clock.sleep(self.patience.delay(failures, self._rng))
                else:
                    self.limiter.pause(wait, f"{self.id} asks for fewer requests")
        raise VenueError(f"{self.id}, {what}: {problem}, {self.patience.tries} times in a row; {_ADVICE}")

    def _problem(self, what: str, error: Exception, answer: _Answer) -> str:
        """Say what went wrong; raise if asking again cannot help."""
        import ccxt.async_support as ccxt

        said = _said(error)
        status = answer.status
        if status == 418:
            seconds = retry_after_seconds(answer.header("retry-after"), answer.header("date"))
            end = "it did not say until when" if seconds is None else f"for {seconds:.0f} s more"
            message = (
                f"{self.id}, {what}: this address is banned (HTTP 418), {end}; ask nothing of it until then, and check "
                "what else uses this address"
            )
            self.limiter.ban(message, seconds)
            raise VenueError(message) from None
        if status is not None and 400 <= status < 500 and status not in (408, 425, 429):
            hint = {451: "; it does not serve this location", 403: "; a firewall may stand in between"}.get(status, "")
            raise VenueError(f"{self.id}, {what}: refused with HTTP {status}{said}{hint}") from None
        permanent = (ccxt.AuthenticationError, ccxt.BadRequest, ccxt.NotSupported, ccxt.ArgumentsRequired)
        if isinstance(error, permanent):
            raise VenueError(f"{self.id}, {what}: refused{said}") from None
        if status is not None and status >= 400:
            return f"HTTP {status}{said}"
        if isinstance(error, ccxt.RequestTimeout):
            return f"no whole answer within {self.patience.timeout_seconds:g} s"
        if isinstance(error, ccxt.ExchangeNotAvailable) and status is None:
            return f"it could not be reached ({type(error.__cause__).__name__})"
        if isinstance(error, _Malformed):
            return str(error)
        if isinstance(error, ccxt.BaseError):
            return f"the answer broke off ({type(error.__cause__).__name__})" if error.__cause__ else f"it failed{said}"
        return f"an answer that cannot be read ({type(error).__name__})"

    def _ordered_pause(self, what: str, answer: _Answer, error: Exception) -> float | None:
        """Return how long the venue wants all requests to wait, or None if it did not say so."""
        import ccxt.async_support as ccxt

        if answer.status != 429 and not isinstance(error, (ccxt.DDoSProtection, ccxt.RateLimitExceeded)):
            return None
        seconds = retry_after_seconds(answer.header("retry-after"), answer.header("date"))
        if seconds is None:
            return self.patience.delay(self.patience.tries, self._rng)
        if seconds > self.patience.longest_pause_seconds:
            raise VenueError(
                f"{self.id}, {what}: it wants no request for {seconds:.0f} s (HTTP {answer.status}); what "
                "came is kept, run it again after that"
            ) from None
        return seconds

    # ------------------------------------------------------------------------------------------ called by the hooks
    async def before_request(self, cost_seconds: float) -> None:
        """Wait for a request's turn and count it."""
        await self.limiter.acquire(cost_seconds)
        self.n_requests += 1

    def after_request(self, answer: _Answer, data: Any) -> None:
        """Take what an answer says about time and limits."""
        date = http_date(answer.header("date"))
        if date is not None:
            self._date = (int(date.timestamp() * 1000), self.clock.monotonic())
        if isinstance(data, dict):
            self._weight_limit = _weight_limit(data) or self._weight_limit
        used = answer.header("x-mbx-used-weight-1m")
        if used and used.isdigit() and self._weight_limit:
            left = 60.0 - (self._date[0] if self._date else 0) / 1000 % 60
            self.limiter.count_weight(float(used), self._weight_limit, left + 1.0)


# ------------------------------------------------------------------------------------------------ ccxt's class
def _exchange_type(exchange_id: str) -> Any:
    """Return ccxt's class of an exchange with our hooks."""
    try:
        import ccxt.async_support as ccxt
    except ImportError:
        raise MissingExtraError("ccxt", "live") from None
    if exchange_id not in ccxt.exchanges:
        raise UnknownNameError(f"ccxt knows no exchange {exchange_id!r}{_nearest(str(exchange_id), ccxt.exchanges)}")
    observed = _observed(getattr(ccxt, exchange_id), _QUOTE_VOLUME_AT.get(exchange_id))
    observed.__name__ = exchange_id
    return observed


def _observed(base: Any, quote_at: int | None) -> Any:
    """Return a class of ccxt whose requests wait their turn, are recorded, and keep every row."""

    class ObservedExchange(base):
        venue: CcxtVenue

        async def fetch2(
            self, path: Any, api: Any = "public", method: Any = "GET", params: Any = None, config: Any = None
        ) -> Any:
            params, config = params or {}, config or {}
            answer = _Answer()
            # every request runs in a context of its own, so that requests side by side do not mix their answers
            _ANSWER.set(answer)
            cost = self.calculate_rate_limiter_cost(api, method, path, params, config)
            await self.venue.before_request(float(cost) * float(self.rateLimit) / 1000)
            try:
                data = await super().fetch2(path, api, method, params, config)
                self.venue.after_request(answer, data)
                if data == {}:
                    # ccxt would take it for no rows
                    raise _Malformed("an empty object for an answer")
                if not isinstance(data, (dict, list)):
                    raise _Malformed(f"an answer that is not JSON ({answer.header('content-type') or 'no type'})")
            except Exception as error:
                error.gwt_answer = answer  # type: ignore[attr-defined]
                raise
            return data

        def on_rest_response(self, code: Any, reason: Any, url: Any, method: Any, headers: Any, *rest: Any) -> Any:
            answer = _ANSWER.get(None)
            if answer is not None:
                answer.status, answer.url = int(code), str(url)
                answer.headers = {str(name).lower(): str(value) for name, value in headers.items()}
            return super().on_rest_response(code, reason, url, method, headers, *rest)

        def parse_ohlcv(self, ohlcv: Any, market: Any = None) -> Any:
            row = super().parse_ohlcv(ohlcv, market)
            if quote_at is not None and isinstance(ohlcv, list):
                row = [*row, self.safe_number(ohlcv, quote_at)]
            return row

        def parse_ohlcvs(self, ohlcvs: Any, market: Any = None, *_: Any, **__: Any) -> Any:
            # ccxt drops rows outside the request here; they are needed to see that an overlap agrees
            if not isinstance(ohlcvs, list):
                raise _Malformed(f"bars were wanted as a list, got {type(ohlcvs).__name__}")
            return [self.parse_ohlcv(row, market) for row in ohlcvs]

    return ObservedExchange


def _moved(urls: Any, base_url: str) -> Any:
    """Return ccxt's (nested) addresses with another origin and the same path."""
    if isinstance(urls, dict):
        return {name: _moved(value, base_url) for name, value in urls.items()}
    if isinstance(urls, str):
        return re.sub(r"^[a-z]+://[^/]+", base_url, urls)
    return urls


def _page(rows: Any) -> np.ndarray:
    """Return unified rows as an array of shape (n, 7), ordered by time."""
    for position, row in enumerate(rows):
        if not isinstance(row, list) or len(row) < 6 or not isinstance(row[0], int):
            raise _Malformed(f"row {position} of {len(rows)} is no bar")
    page = np.full((len(rows), len(COLUMNS)), np.nan)
    width = min((len(row) for row in rows), default=0)
    if width:
        # None becomes NaN
        page[:, : min(width, len(COLUMNS))] = np.array([row[: len(COLUMNS)][:width] for row in rows], dtype=np.float64)
    return page[np.argsort(page[:, 0], kind="stable")]


def _funding_page(told: Any) -> np.ndarray:
    page = np.full((len(told), 3), np.nan)
    for position, row in enumerate(told):
        time, rate = row.get("timestamp"), row.get("fundingRate")
        if time is None or rate is None:
            raise _Malformed(f"row {position} of {len(told)} is no funding rate")
        # no mark price, or a price of zero: not told
        mark = float((row.get("info") or {}).get("markPrice") or 0.0)
        page[position] = float(time), float(rate), mark if mark != 0.0 else np.nan
    return page[np.argsort(page[:, 0], kind="stable")]


def _weight_limit(data: dict[str, Any]) -> float | None:
    """Return the weight allowed a minute, if an answer states it."""
    for rule in data.get("rateLimits") or []:
        if rule.get("rateLimitType") == "REQUEST_WEIGHT" and rule.get("interval") == "MINUTE":
            return float(rule["limit"]) / float(rule.get("intervalNum") or 1)
    return None


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return '; did you mean ...' with the nearest names, or nothing."""
    names = [str(each) for each in known]
    folded = {each.casefold(): each for each in names}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=3, cutoff=0.6)
    return f"; did you mean {', '.join(folded[each] for each in close)}?" if close else ""


def _said(error: Exception) -> str:
    """Return the venue's own words, without addresses, which may carry a signature."""
    text = re.sub(r"\b[a-z]+://\S+", "", str(error))
    told = re.search(r'"(?:msg|message|error)"\s*:\s*"([^"]{1,160})"', text)
    return f" ({told.group(1)})" if told else ""
