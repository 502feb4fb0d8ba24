"""The HTTP session for market data: it follows no redirect, reads no endless body and asks no other host."""

from __future__ import annotations

import ssl
from functools import cache
from typing import TYPE_CHECKING, Any

from gwt_lab.data.rate_limit import Patience
from gwt_lab.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Refused", "check_base_url", "is_loopback", "open_session", "tls_context"]

_CHUNK_BYTES = 1 << 16


class Refused(Exception):
    """An exchange of bytes that we do not take part in; says why. Trying again would not help."""


def is_loopback(host: str | None) -> bool:
    """Return whether a host name means this machine."""
    return host in ("localhost", "::1") or bool(host and host.startswith("127.") and host.replace(".", "").isdigit())


def check_base_url(base_url: str) -> str:
    """Return `base_url` if it is `http(s)://host[:port]`; plain http is for this machine only.

    Raises
    ------
    ConfigError
        If it is anything else.
    """
    from yarl import URL

    try:
        url = URL(base_url)
        fits = url.scheme in ("http", "https") and bool(url.host) and url.path in ("", "/") and not url.user
    except ValueError:
        fits = False
    if not fits:
        raise ConfigError(f"base_url must look like http://127.0.0.1:8080, got {base_url!r}")
    if url.scheme == "http" and not is_loopback(url.host):
        raise ConfigError(f"base_url may use plain http only for this machine, got {base_url!r}; use https")
    return str(url.origin())


@cache
def tls_context() -> ssl.SSLContext:
    """Return the one context that checks certificates; reading the authorities takes a tenth of a second."""
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def open_session(base_url: str | None, patience: Patience) -> aiohttp.ClientSession:
    """Return a session for public data; call it inside the event loop that will use it.

    Parameters
    ----------
    base_url : str or None
        If given, the only origin that may be asked; else any host, over https alone.
    patience : Patience
        Bounds the size of an answer.
    """
    try:
        import aiohttp
    except ImportError:
        raise MissingExtraError("aiohttp", "live") from None
    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(_only(base_url))
    trace.on_request_redirect.append(_no_redirect)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls_context()),
        response_class=_bounded_response(patience.max_body_megabytes),
        trace_configs=[trace],
        # a firm's proxy is found in HTTPS_PROXY; this machine is asked directly
        trust_env=base_url is None,
    )


def _only(base_url: str | None) -> Any:
    async def check(session: Any, context: Any, params: Any) -> None:
        url = params.url
        if base_url is None and url.scheme != "https":
            raise Refused(f"{url.host} would be asked over {url.scheme}; market data comes over https alone")
        if base_url is not None and str(url.origin()) != base_url:
            raise Refused(f"{url.origin()} would be asked, but only {base_url} is allowed")

    return check


async def _no_redirect(session: Any, context: Any, params: Any) -> None:
    where = params.response.headers.get("Location", "elsewhere").partition("?")[0][:100]
    params.response.close()
    raise Refused(
        f"{params.url.host} answered with a redirect ({params.response.status}) to {where}, which is never followed; "
        "a proxy or a sign-in page may stand in between"
    )


def _bounded_response(megabytes: float) -> Any:
    import aiohttp

    class BoundedResponse(aiohttp.ClientResponse):
        """An answer whose text is read in chunks and refused beyond a size; decompressed bytes count."""

        async def text(self, encoding: str | None = None, errors: str = "strict") -> str:
            body = bytearray()
            async for chunk in self.content.iter_chunked(_CHUNK_BYTES):
                body += chunk
                if len(body) > megabytes * 2**20:
                    self.close()
                    raise Refused(
                        f"{self.url.host} sent more than {megabytes:g} MiB for {self.url.path}, which is no market data"
                    )
            return body.decode(encoding or self.charset or "utf-8", errors=errors)

    return BoundedResponse
