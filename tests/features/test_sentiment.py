"""Sentiment counts a post from the bar in which it was known, and scores each text by itself."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.posts import PostFeed, as_posts, read_posts
from gwt_lab.errors import ConfigError, DataError, VenueError
from gwt_lab.features.custom import AlphaFeatureExtractor
from gwt_lab.features.sentiment import SENTIMENT_COLUMNS, SentimentTable, score_posts, sentiment_features
from gwt_lab.validation.causality import check_causal
from tests.oracles.json_server import JsonServer
from tests.oracles.markets import random_bars

START = pd.Timestamp("2024-01-01", tz="UTC")


def _posts(n: int = 200, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    times = START + pd.to_timedelta(np.sort(rng.uniform(-10, 60, n)), unit="h")
    return pd.DataFrame(
        {
            "known_at": times.as_unit("ns"),
            "symbol": rng.choice(["C00/USDT", "C01/USDT", ""], n, p=[0.6, 0.3, 0.1]),
            "text": "",
            "followers": np.exp(rng.normal(5, 2, n)).round(),
            "score": rng.uniform(-1, 1, n),
        }
    )


def test_every_value_equals_a_plain_loop() -> None:
    bars, posts, window = random_bars(3, 48), _posts(), 6
    frame = sentiment_features(bars, posts, window=window)
    assert list(frame.columns) == list(SENTIMENT_COLUMNS)
    for t in (0, 3, 20, 47):
        closes = bars.index[t] + pd.Timedelta("1h")
        for symbol in bars.symbols:
            own = posts["symbol"].isin([symbol, ""])
            recent = (posts["known_at"] <= closes) & (posts["known_at"] > closes - pd.Timedelta(hours=window))
            part = posts[own & recent]
            found = frame.loc[(bars.index[t], symbol)]
            assert found["post_volume"] == len(part)
            if not len(part):
                assert found.drop("post_volume").isna().all()
                continue
            weight = np.log1p(part["followers"])
            assert found["sentiment"] == pytest.approx(part["score"].mean(), rel=1e-5, abs=1e-6)
            assert found["sentiment_spread"] == pytest.approx(part["score"].std(ddof=0), rel=1e-4, abs=1e-5)
            influencers = (weight * part["score"]).sum() / weight.sum()
            assert found["sentiment_influencers"] == pytest.approx(influencers, rel=1e-4, abs=1e-6)
            assert found["sentiment_positive"] == pytest.approx((part["score"] > 0.05).mean())


def test_later_posts_change_nothing_earlier_and_any_start_gives_the_same() -> None:
    bars, posts = random_bars(2, 48), _posts()
    report = check_causal(lambda bars: sentiment_features(bars, posts, window=5), bars, lookback=1)
    assert report.passed, str(report)
    cut = START + pd.Timedelta(hours=20)
    whole = sentiment_features(bars, posts)
    early = sentiment_features(bars, posts[posts["known_at"] <= cut])
    before = whole.index.get_level_values(0) < cut
    pd.testing.assert_frame_equal(whole[before], early[before])


def test_a_post_is_not_known_before_its_bar_closes() -> None:
    bars = random_bars(1, 6)
    at = [START + pd.Timedelta(hours=2), START + pd.Timedelta(hours=2, seconds=1)]
    posts = pd.DataFrame({"known_at": at, "symbol": "", "text": "", "followers": 1.0, "score": 1.0})
    volume = sentiment_features(bars, posts, window=1)["post_volume"].to_numpy()
    np.testing.assert_array_equal(volume, [0, 1, 1, 0, 0, 0])


def test_vader_scores_what_it_should() -> None:
    pytest.importorskip("vaderSentiment")
    texts = ["Bitcoin is a great success, I love it!", "terrible scam, everybody lost money", "height 840000"]
    posts = as_posts(pd.DataFrame({"time": [START] * 3, "text": texts}))
    score = score_posts(posts)["score"]
    assert score[0] > 0.5
    assert score[1] < -0.3
    assert score[2] == 0
    alone = score_posts(posts.iloc[1:2])["score"].iloc[0]
    assert alone == score[1]
    for wrong, match in ((2.0, "between -1 and 1, got 2"), (np.nan, "got nan"), ("good", "a number between -1 and 1")):
        with pytest.raises(DataError, match=match):
            score_posts(posts, lambda text, wrong=wrong: wrong)


def test_sentiment_joins_an_extractor() -> None:
    bars = random_bars(2, 48)
    extractor = AlphaFeatureExtractor(alpha=["KMID"], tables=[SentimentTable(_posts(), window=5)])
    frame = extractor.extract(bars)
    assert list(frame.columns) == ["KMID", *SENTIMENT_COLUMNS]
    assert extractor.extract(bars.select(start="2030-01-01")).shape == (0, 6)
    assert frame["sentiment"].notna().any()
    with pytest.raises(ConfigError, match="window must be a whole number of bars, at least 1, got 0"):
        SentimentTable(_posts(), window=0)
    with pytest.raises(DataError, match="posts have no score"):
        sentiment_features(bars, _posts().drop(columns="score"))


def test_a_coins_posts_count_for_all_its_pairs() -> None:
    """Feeds name coins, bars name pairs: counted for neither, a busy day would look silent."""
    raw = pd.DataFrame({"time": [START] * 4, "text": "up", "symbol": ["c00", "C01/USDT", None, "C09"]})
    posts = score_posts(as_posts(raw), lambda text: 0.5)
    volume = sentiment_features(random_bars(2, 3), posts, window=1)["post_volume"].unstack()
    assert volume.iloc[0].tolist() == [0, 0]  # known at the close before
    volume = sentiment_features(random_bars(2, 3), posts, window=2)["post_volume"].unstack()
    assert volume.iloc[0].tolist() == [2, 2]
    assert repr(SentimentTable(posts)) == "SentimentTable(4 posts on C00, C01/USDT, all, C09, window=24)"


def test_followers_without_a_number_weigh_nothing() -> None:
    raw = pd.DataFrame({"time": [START] * 4, "text": "up", "followers": [np.inf, -3, None, 20]})
    assert as_posts(raw)["followers"].tolist() == [0, 0, 0, 20]


@pytest.mark.parametrize("posts", [pd.DataFrame({"time": [START], "text": ["a"]}), [{"text": "a"}], None])
def test_posts_that_were_not_read_are_named(posts: object) -> None:
    with pytest.raises(DataError, match=r"read them with as_posts|as as_posts gives it"):
        SentimentTable(posts)
    with pytest.raises(DataError, match=r"posts must be a DataFrame|no text"):
        score_posts(posts if not isinstance(posts, pd.DataFrame) else posts[["time"]])
    with pytest.raises(ConfigError, match=r"delay must be a length of time with its unit, .*got 60"):
        as_posts(pd.DataFrame({"time": [START], "text": ["a"]}), delay=60)
    with pytest.raises(DataError, match="a DataFrame with a time and a text, got list"):
        as_posts([{"text": "a"}])


def test_posts_from_files(tmp_path: Path) -> None:
    raw = pd.DataFrame(
        {"created_at": ["2024-01-01T03:00:00Z", "2024-01-01T01:00:00Z"], "coin": ["bitcoin", "dogwifhat"], "body": "up"}
    )
    raw.to_csv(tmp_path / "p.csv", index=False)
    raw.to_parquet(tmp_path / "p.parquet")
    raw.to_json(tmp_path / "p.jsonl", orient="records", lines=True)
    for name in ("p.csv", "p.parquet", "p.jsonl"):
        posts = read_posts(tmp_path / name, symbols={"bitcoin": "BTC/USDT"}, delay="5min")
        assert posts["symbol"].tolist() == ["BTC/USDT"]
        assert posts["known_at"].tolist() == [START + pd.Timedelta("3h5min")]
    with pytest.raises(DataError, match="a time and a text"):
        as_posts(pd.DataFrame({"time": [START]}))
    with pytest.raises(DataError, match="not known before it was written"):
        as_posts(pd.DataFrame({"time": [START], "text": ["a"]}), delay="-1s")
    with pytest.raises(DataError, match="known before it was written"):
        as_posts(pd.DataFrame({"time": [START], "text": ["a"], "known_at": [START - pd.Timedelta("1s")]}))
    with pytest.raises(DataError, match=r"read from \.parquet"):
        read_posts(tmp_path / "p.pkl")
    with pytest.raises(DataError, match="cannot be read"):
        read_posts(tmp_path / "none.csv")


def test_the_feed_page_by_page() -> None:
    def reply(path: str, query: dict[str, str]) -> object:
        assert path == "/v1/posts"
        page = int(query.get("cursor", 0))
        posts = [
            {"time": f"2024-01-01T0{page}:0{i}:00Z", "text": "ok", "symbol": "BTC", "followers": i} for i in (1, 2)
        ]
        return {"posts": posts, "next": page + 1 if page < 2 else None}

    with JsonServer(reply) as server:
        posts = PostFeed(f"{server.url}/v1/", delay="30s").fetch("2024-01-01", symbol="BTC")
    assert len(posts) == 6
    assert posts["known_at"].iloc[0] == pd.Timestamp("2024-01-01 00:01:30", tz="UTC")
    assert server.asked[0][1] == {"since": "2024-01-01T00:00:00+00:00", "symbol": "BTC"}
    with JsonServer(lambda *_: {"posts": []}) as server:
        empty = PostFeed(server.url).fetch("2024-01-01")
    assert list(empty.columns) == ["known_at", "symbol", "text", "followers"]
    assert len(sentiment_features(random_bars(1, 5), score_posts(empty))) == 5


@pytest.mark.parametrize(
    ("answer", "match"),
    [(404, "answered 404"), (302, "answered 302"), (b"<html>", "no JSON"), ({"posts": 3}, "without a list"),
     ({"posts": [{"text": "no time"}]}, "posts that cannot be read: posts need a time"),
     ({"posts": [{"text": "a", "time": "soon"}]}, "posts that cannot be read: time holds something"),
     ({"posts": [], "next": "same"}, "same page again"), (503, "answered 503")],
)  # fmt: skip
def test_feeds_that_answer_wrongly(answer: object, match: str) -> None:
    with JsonServer(lambda *_: answer) as server, pytest.raises(VenueError, match=match):
        PostFeed(server.url).fetch("2024-01-01")
    assert len(server.asked) == {503: 3}.get(answer if isinstance(answer, int) else 0, len(server.asked))
    assert all(path != "/elsewhere" for path, _ in server.asked)


def test_addresses_are_checked() -> None:
    for address in ("http://example.org", "ftp://127.0.0.1", "https://me:word@example.org", "nonsense"):
        with pytest.raises(ConfigError, match="base_url"):
            PostFeed(address)
    with pytest.raises(VenueError, match="does not answer"):
        PostFeed("http://127.0.0.1:9").fetch("2024-01-01")


@pytest.mark.real
def test_real_tweets(real_data: Path) -> None:
    pytest.importorskip("vaderSentiment")
    posts = read_posts(
        real_data / "crypto_text/tweets_10coins_2019-07.parquet", symbols={"binance": "BNB/USDT", "eos": "EOS/USDT"}
    )
    assert posts["known_at"].is_monotonic_increasing
    scored = score_posts(posts.tail(400))
    assert scored["score"].between(-1, 1).all()
    assert scored["score"].std() > 0.1
