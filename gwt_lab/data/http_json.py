"""JSON from an address, carefully: https or this machine, no redirects, no endless bodies, a few tries."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from gwt_lab.errors import ConfigError, VenueError

__all__ = ["get_json", "get_pages", "plain_base_url"]

_MOST_BYTES = 64 * 1024 * 1024
_MOST_PAGES = 10_000
_TRIES, _FIRST_WAIT = 3, 0.2


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def plain_base_url(base_url: str) -> str:
    """Return `base_url` without a slash at its end.

    Raises
    ------
    ConfigError
        If it is no http(s) address, carries a user, or uses plain http for another machine.
    """
    parts = urllib.parse.urlsplit(base_url)
    host = parts.hostname or ""
    near = host in ("localhost", "::1") or (host.startswith("127.") and host.replace(".", "").isdigit())
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
        raise ConfigError(f"base_url must look like https://host/path, got {base_url!r}")
    if parts.scheme == "http" and not near:
        raise ConfigError(f"base_url may use plain http only for this machine, got {base_url!r}; use https")
    return base_url.rstrip("/")


def get_json(url: str, query: Mapping[str, Any] | None = None, *, timeout: float = 10.0) -> Any:
    """Return the JSON that an address answers with.

    Parameters
    ----------
    url : str
    query : mapping, optional
        Added to the address; None values are left out.
    timeout : float, default 10
        Seconds a try may take; busy and failing servers are asked three times.

    Raises
    ------
    VenueError
        If it answers wrongly, too much, or not at all.
    """
    stated = {name: value for name, value in dict(query or {}).items() if value is not None}
    full = f"{url}?{urllib.parse.urlencode(stated)}" if stated else url
    opener = urllib.request.build_opener(_NoRedirect)
    request = urllib.request.Request(full, headers={"Accept": "application/json", "User-Agent": "gwt_lab"})
    for left in reversed(range(_TRIES)):
        try:
            with opener.open(request, timeout=timeout) as answer:
                body = answer.read(_MOST_BYTES + 1)
            break
        except urllib.error.HTTPError as error:
            if error.code not in (429, 500, 502, 503, 504) or not left:
                raise VenueError(
                    f"{url} answered {error.code} {error.reason}: check the address and what it offers"
                ) from None
        except (OSError, ValueError) as error:
            if not left:
                raise VenueError(f"{url} does not answer ({error}): check the address and the connection") from None
        time.sleep(_FIRST_WAIT * 2 ** (_TRIES - 1 - left))
    if len(body) > _MOST_BYTES:
        raise VenueError(f"{url} answers with more than {_MOST_BYTES >> 20} MiB: ask for less time")
    try:
        return json.loads(body)
    except ValueError:
        raise VenueError(f"{url} answers with something that is no JSON: {body[:60]!r}") from None


def get_pages(url: str, query: Mapping[str, Any], rows: str, token: tuple[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of all pages of an answer.

    Parameters
    ----------
    url : str
    query : mapping
    rows : str
        Where a page keeps its rows.
    token : (str, str)
        Where a page says how the next is asked for, and the query's name for that.

    Raises
    ------
    VenueError
        If a page is not as it should be, or pages never end.
    """
    asked = dict(query)
    for _ in range(_MOST_PAGES):
        page = get_json(url, asked)
        found = page.get(rows) if isinstance(page, dict) else None
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise VenueError(f"{url} answers without a list '{rows}': {str(page)[:80]}")
        yield from found
        following = page.get(token[0])
        if not following:
            return
        if following == asked.get(token[1]):
            raise VenueError(f"{url} names the same page again and again ({following!r})")
        asked[token[1]] = following
    raise VenueError(f"{url} has more than {_MOST_PAGES} pages: ask for less time")
