"""Sentiment of posts as features: each text scored by itself, counted from the bar in which it was known."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError, MissingExtraError
from gwt_lab.features.panel import empty_frame
from gwt_lab.features.settings import whole
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.instruments import split_symbol
from gwt_lab.market.time import timeframe_ns, utc_index

__all__ = ["SENTIMENT_COLUMNS", "SentimentTable", "score_posts", "sentiment_features", "vader_score"]

_COLUMNS = ("known_at", "symbol", "followers")  # what `as_posts` gives beside the text
SENTIMENT_COLUMNS = ("post_volume", "sentiment", "sentiment_spread", "sentiment_influencers", "sentiment_positive")


def vader_score(text: str) -> float:
    """Return VADER's compound score of a text, -1 to 1.

    Its lexicon was written by hand before 2015 and knows nothing of what came after a post: scoring one text depends on
    that text alone.

    Raises
    ------
    MissingExtraError
        If vaderSentiment is not installed.

    References
    ----------
    .. [1] Hutto, Gilbert, "VADER: A parsimonious rule-based model for sentiment analysis of social media text", 2014.
    """
    return float(_analyzer().polarity_scores(text)["compound"])


@cache
def _analyzer() -> Any:
    try:
        return import_module("vaderSentiment.vaderSentiment").SentimentIntensityAnalyzer()
    except ImportError:
        raise MissingExtraError("vaderSentiment", "sentiment") from None


def score_posts(posts: pd.DataFrame, score: Callable[[str], float] = vader_score) -> pd.DataFrame:
    """Return posts with a column `score`.

    Parameters
    ----------
    posts : DataFrame
        As `as_posts` gives them.
    score : callable, optional
        From one text to a number between -1 and 1; VADER by default. It sees one text at a time, so that no post can
        colour another.

    Returns
    -------
    DataFrame
        The posts with a column score, -1 (bad) to 1 (good).

    Raises
    ------
    DataError
        If posts have no text, or a score is no number from -1 to 1.
    MissingExtraError
        If VADER is asked for and vaderSentiment is not installed.

    Examples
    --------
    >>> score_posts(as_posts(raw), lambda text: 1.0 if "up" in text else 0.0)
    """
    _refuse_columns(posts, ("text",))
    given = [score(text) for text in posts["text"]]
    try:
        scores = np.array(given, dtype=np.float64)
    except (ValueError, TypeError):
        raise DataError(f"a score must be a number between -1 and 1, got {given[0]!r:.60}") from None
    if len(scores) and not (np.abs(scores) <= 1).all():
        worst = int(np.argmax(~(np.abs(scores) <= 1)))
        raise DataError(
            f"a score must lie between -1 and 1, got {scores[worst]} for {posts['text'].iloc[worst][:60]!r}"
        )
    return posts.assign(score=scores)


def sentiment_features(data: Any, posts: pd.DataFrame, *, window: int = 24) -> pd.DataFrame:
    """Return sentiment over the last bars.

    Parameters
    ----------
    data : Bars or what `as_bars` takes
        Their grid and symbols.
    posts : DataFrame
        Scored posts (`score_posts`): known_at, symbol, followers, score. A post belongs to the bar that was open when
        it became known; one of symbol "BTC" belongs to every pair of BTC, one of symbol "" to every symbol.
    window : int, default 24
        Bars that a value sums over, those before the first included.

    Returns
    -------
    DataFrame of shape (n_times * n_symbols, 5)
        float32: post_volume (posts in the window), sentiment (mean score), sentiment_spread (standard deviation),
        sentiment_influencers (mean weighted by ln(1 + followers)), sentiment_positive (share of scores above 0.05).
        NaN but for post_volume, where there is no post; post_volume 0 there.

    Raises
    ------
    DataError
        If the posts were not scored.
    ConfigError
        If `window` is below 1.
    """
    window = whole(window, "window")
    _refuse_columns(posts, (*_COLUMNS, "score"))
    bars = as_bars(data)
    if not bars.n_times:
        return empty_frame(bars.index, bars.symbols, list(SENTIMENT_COLUMNS))[0]
    step, first = timeframe_ns(bars.timeframe), int(bars.index.asi8[0])
    # known exactly when a bar closes is known at that close: the bar (open, close] it is
    row = (utc_index(posts["known_at"], name="known_at").asi8 - first - 1) // step
    inside = (row > -window) & (row < bars.n_times)  # a window reaches back before the first bar
    symbols, score = posts["symbol"].to_numpy()[inside], posts["score"].to_numpy(dtype=np.float64)[inside]
    weight = np.log1p(posts["followers"].to_numpy(dtype=np.float64)[inside])
    frame, out = empty_frame(bars.index, bars.symbols, list(SENTIMENT_COLUMNS))
    for place, symbol in enumerate(sorted(bars.symbols)):
        own = np.isin(symbols, [symbol, split_symbol(symbol)[0], ""])
        out[:, place] = _windowed(row[inside][own], score[own], weight[own], (bars.n_times, window))
    return frame


class SentimentTable:
    """Posts as a table for ``AlphaFeatureExtractor(tables=[...])``.

    Parameters
    ----------
    posts : DataFrame
        As `as_posts` gives them; scored by VADER if they are not (`score_posts`).
    window : int, default 24
        Bars that a value sums over.

    Raises
    ------
    DataError
        If the posts were not read with `as_posts`.
    ConfigError
        If `window` is below 1.

    Examples
    --------
    >>> AlphaFeatureExtractor(tables=[SentimentTable(as_posts(raw, delay="60s"), window=24)])
    """

    def __init__(self, posts: pd.DataFrame, *, window: int = 24) -> None:
        self.window = whole(window, "window")
        _refuse_columns(posts, _COLUMNS)
        self.posts = posts if "score" in posts.columns else score_posts(posts)
        self.columns = list(SENTIMENT_COLUMNS)

    def join(self, data: Any) -> pd.DataFrame:
        """Return the sentiment features of bars, shape (n_times * n_symbols, 5); see `sentiment_features`.

        Parameters
        ----------
        data : Bars or what `as_bars` takes
            Their grid and symbols.
        """
        return sentiment_features(data, self.posts, window=self.window)

    def __repr__(self) -> str:
        about = ", ".join(name or "all" for name in self.posts["symbol"].unique()[:4])
        return f"SentimentTable({len(self.posts)} posts on {about or 'nothing'}, window={self.window})"


def _refuse_columns(posts: Any, wanted: tuple[str, ...]) -> None:
    if not isinstance(posts, pd.DataFrame):
        raise DataError(f"posts must be a DataFrame as as_posts gives it, got {type(posts).__name__}")
    missing = [name for name in wanted if name not in posts.columns]
    if missing:
        raise DataError(f"posts have no {', '.join(missing)}: read them with as_posts and score them with score_posts")


def _windowed(row: np.ndarray, score: np.ndarray, weight: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    n_times, window = shape
    moments = (np.ones(len(score)), score, score**2, weight, weight * score, (score > 0.05).astype(float))
    places, length = row + window - 1, n_times + window - 1
    sums = [_rolling_sum(np.bincount(places, moment, length), window) for moment in moments]
    count, total, squares, weights, weighted, positive = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        return np.column_stack([count, mean, spread, weighted / weights, positive / count])


def _rolling_sum(values: np.ndarray, window: int) -> np.ndarray:
    """Return sums of the last `window` values, each from its own window alone: no running sum that remembers."""
    sums: np.ndarray = np.lib.stride_tricks.sliding_window_view(values, window).sum(axis=1)
    return sums
