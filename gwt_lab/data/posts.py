"""Posts and headlines: text with the time it was written and the time it became known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.data.durations import duration
from gwt_lab.data.http_json import get_pages, plain_base_url
from gwt_lab.errors import DataError, VenueError
from gwt_lab.market.instruments import unified_symbol
from gwt_lab.market.time import timestamp, utc_index

__all__ = ["PostFeed", "as_posts", "read_posts"]

_TIMES = ("time", "timestamp", "created_at", "date", "published_at")
_TEXTS = ("text", "body", "title", "headline")
_SYMBOLS = ("symbol", "coin", "asset")
_FOLLOWERS = ("followers", "follower_count", "weight")
_EMPTY = ("known_at", "symbol", "text", "followers")


def as_posts(frame: pd.DataFrame, *, delay: Any = "0s", symbols: dict[str, str] | None = None) -> pd.DataFrame:
    """Return posts as the sentiment features take them.

    Parameters
    ----------
    frame : DataFrame
        A time (time, timestamp, created_at, ...), a text (text, body, title, headline), and where they are known a
        symbol (symbol, coin, asset), followers and known_at.
    delay : timedelta-like, default "0s"
        How long after its time a post is known, where there is no column known_at.
    symbols : dict of str to str, optional
        What the file calls a coin -> our symbol, such as ``{"bitcoin": "BTC/USDT"}``. Posts of other coins are left
        out. Without it, names stay: ``BTC`` counts for every pair of BTC, ``bitcoin`` for none.

    Returns
    -------
    DataFrame
        Columns known_at (UTC), symbol ("" for posts on the whole market), text, followers (0 where unknown); in order
        of known_at.

    Raises
    ------
    DataError
        If there is no time or text, a post is known before it was written, or the delay is negative.
    ConfigError
        If `delay` is no length of time with its unit.

    Examples
    --------
    >>> as_posts(pd.DataFrame({"time": ["2024-01-01 10:00"], "text": ["what a coin"], "symbol": "BTC"}), delay="60s")
    """
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"posts must be a DataFrame with a time and a text, got {type(frame).__name__}")
    named = {str(name).lower(): name for name in frame.columns}
    when, what = (next((named[name] for name in names if name in named), None) for names in (_TIMES, _TEXTS))
    if what is None or (when is None and "known_at" not in named):
        raise DataError(f"posts need a time and a text, got columns {', '.join(map(str, frame.columns))}")
    late = duration(delay, "delay")
    if late < pd.Timedelta(0):
        raise DataError(f"a post is not known before it was written, got delay={delay!r}")
    written = utc_index(frame[named["known_at"] if when is None else when], name=str(when))
    known = written + late
    if "known_at" in named:
        known = utc_index(frame[named["known_at"]], name="known_at")
        if (known < written).any():
            raise DataError(f"the post of {written[known < written][0]} is known before it was written: check known_at")
    whose = next((named[name] for name in _SYMBOLS if name in named), None)
    reach = next((named[name] for name in _FOLLOWERS if name in named), None)
    posts = pd.DataFrame(
        {
            "known_at": known.rename(None),
            "symbol": "" if whose is None else frame[whose].fillna("").astype(str).to_numpy(),
            "text": frame[what].fillna("").astype(str).to_numpy(),
            "followers": 0.0 if reach is None else pd.to_numeric(frame[reach], errors="coerce").fillna(0).to_numpy(),
        }
    )
    if symbols is not None and whose is not None:
        posts["symbol"] = posts["symbol"].map(symbols)
        posts = posts[posts["symbol"].notna()]
    posts["symbol"] = [unified_symbol(name) if name else "" for name in posts["symbol"]]
    posts["followers"] = np.maximum(posts["followers"].where(np.isfinite(posts["followers"]), 0.0), 0.0)
    return posts.sort_values("known_at", kind="stable").reset_index(drop=True)


def read_posts(path: str | Path, **options: Any) -> pd.DataFrame:
    """Return the posts of a Parquet, CSV or JSON-lines file.

    Parameters
    ----------
    path : str or Path
        Ends in .parquet, .csv or .jsonl.
    **options
        `delay` and `symbols`, as in :func:`as_posts`.

    Returns
    -------
    DataFrame
        As :func:`as_posts`.

    Raises
    ------
    DataError
        If the file cannot be read, or holds no posts.
    """
    place = Path(path).expanduser()
    readers: dict[str, Any] = {
        ".parquet": pd.read_parquet,
        ".csv": pd.read_csv,
        ".jsonl": lambda file: pd.read_json(file, lines=True, dtype=False),
    }
    if place.suffix.lower() not in readers:
        raise DataError(f"posts are read from {', '.join(readers)}, got '{place.name}': convert it")
    try:
        frame = readers[place.suffix.lower()](place)
    except (OSError, ValueError) as error:
        raise DataError(f"'{place}' cannot be read as posts: {str(error)[:120]}") from None
    return as_posts(frame, **options)


class PostFeed:
    """Posts from an HTTP feed.

    ``GET {base_url}/posts?since=...&until=...&symbol=...&cursor=...`` answers
    ``{"posts": [{"time", "text", "symbol", "followers"}, ...], "next": cursor or null}``.

    Parameters
    ----------
    base_url : str
        https, or http on this machine.
    delay : timedelta-like, default "60s"
        How long after its time a post is known to us.

    Raises
    ------
    ConfigError
        If the address is none, or `delay` is no length of time with its unit.
    """

    def __init__(self, base_url: str, *, delay: Any = "60s") -> None:
        self.base_url, self.delay = plain_base_url(base_url), duration(delay, "delay")

    def fetch(self, since: Any, until: Any = None, *, symbol: str | None = None) -> pd.DataFrame:
        """Return the posts between two times, as :func:`as_posts` does; no posts are an empty frame.

        Parameters
        ----------
        since, until : time-like
            First and last time; up to now if `until` is not given.
        symbol : str, optional
            The feed's name of a coin; all of them by default.

        Raises
        ------
        VenueError
            If the feed does not answer, or answers wrongly.
        """
        query = {"since": timestamp(since).isoformat(), "symbol": symbol}
        query["until"] = None if until is None else timestamp(until).isoformat()
        rows = list(get_pages(f"{self.base_url}/posts", query, "posts", ("next", "cursor")))
        if not rows:
            empty = pd.DataFrame({name: [] for name in _EMPTY})
            return empty.astype({"known_at": "datetime64[ns, UTC]", "symbol": "str", "text": "str"})
        try:
            return as_posts(pd.DataFrame(rows), delay=self.delay)
        except DataError as error:
            raise VenueError(f"{self.base_url} answers with posts that cannot be read: {error}") from None
