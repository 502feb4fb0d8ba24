"""The audit: numbers against the functions they come from, words against numbers, refusals by message."""

import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gwt_lab.errors import ConfigError, DataError, ShapeError, UnknownNameError
from gwt_lab.validation.audit import audit
from gwt_lab.validation.audit_page import _by_place
from gwt_lab.validation.ledger import TrialLedger
from gwt_lab.validation.overfitting import probability_of_backtest_overfitting
from gwt_lab.validation.sharpe import (
    deflated_sharpe_ratio,
    min_track_record_length,
    probabilistic_sharpe_ratio,
)
from gwt_lab.validation.trials import Trials

DAYS = pd.date_range("2022-01-01", periods=800, freq="D", tz="UTC")


def _noise(n: int = 20, seed: int = 0, drift: float = 0.0) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(drift, 0.02, (len(DAYS), n))
    return pd.DataFrame(values, index=DAYS, columns=[f"s{i}" for i in range(n)])


def _alone(drift: float = 0.0015, seed: int = 1) -> pd.Series:
    """Return one strategy whose mean and deviation are exactly the drift and 0.02."""
    values = _noise(1, seed)["s0"]
    return 0.02 * (values - values.mean()) / values.std() + drift


# ------------------------------------------------------------------------------------------------ numbers
def test_numbers_are_those_of_the_functions_they_come_from() -> None:
    frame = _noise()
    found = audit(frame)
    sharpes = frame.mean() / frame.std()
    assert found.best == sharpes.idxmax()
    row = found.table.loc[found.best]
    values = frame[found.best]
    moments = {"skew": stats.skew(values), "kurtosis": stats.kurtosis(values, fisher=False)}
    assert row["sharpe"] == pytest.approx(sharpes.max())
    assert row["annual_sharpe"] == pytest.approx(sharpes.max() * math.sqrt(365))
    assert row["skew"] == pytest.approx(moments["skew"])
    assert row["kurtosis"] == pytest.approx(moments["kurtosis"])
    assert found.psr == pytest.approx(probabilistic_sharpe_ratio(sharpes.max(), 800, **moments))
    assert found.min_track_record == pytest.approx(min_track_record_length(sharpes.max(), **moments))
    raw = deflated_sharpe_ratio(sharpes.max(), 800, 20, sharpes.var(), **moments)
    assert found.deflated.raw_value == pytest.approx(raw)
    assert found.pbo == probability_of_backtest_overfitting(frame).pbo
    worth = (1 + values).cumprod()
    assert row["total_return"] == pytest.approx(worth.iloc[-1] - 1)
    assert row["max_drawdown"] == pytest.approx((worth / np.maximum(worth.cummax(), 1) - 1).min())
    assert row["annual_return"] == pytest.approx(worth.iloc[-1] ** (365 / 800) - 1)
    assert found.table["sharpe"].is_monotonic_decreasing
    assert row["sharpe_low"] < row["sharpe"] < row["sharpe_high"]
    assert (row["mean_low"], row["mean_high"]) == (found.mean_interval.low, found.mean_interval.high)


def test_the_number_of_trials_can_be_given() -> None:
    series = _alone()
    found = audit(series, n_trials=50, trial_variance=0.001)
    row = found.table.iloc[0]
    expected = deflated_sharpe_ratio(row["sharpe"], 800, 50, 0.001, row["skew"], row["kurtosis"])
    assert found.dsr == found.deflated.raw_value == pytest.approx(expected)
    assert audit(series).dsr == pytest.approx(found.psr)  # the only one known
    # without a variance, what chance alone makes
    by_chance = deflated_sharpe_ratio(row["sharpe"], 800, 50, 1 / 800, row["skew"], row["kurtosis"])
    assert audit(series, n_trials=50).dsr == pytest.approx(by_chance)


def test_copies_are_one_trial() -> None:
    common = _alone().to_numpy()[:, None]
    frame = pd.DataFrame(common + np.random.default_rng(2).normal(0, 1e-4, (800, 30)), index=DAYS)
    found = audit(frame)
    assert (found.deflated.n_trials, found.deflated.effective_trials) == (30, 1)
    assert audit(_noise()).deflated.effective_trials == 20


def test_the_ledgers_study_counts() -> None:
    frame = _noise()
    trials = Trials({"p": range(40)}, data="hash", universe=["X"], label="close", strategy="s", study="mine")
    ledger = TrialLedger()
    sharpes = np.r_[(frame.mean() / frame.std()).to_numpy(), np.zeros(20)]
    ledger.record(trials, sharpes, n_observations=800)
    found = audit(frame, n_trials=ledger.study("mine"))
    assert found.deflated.n_trials == 40
    row = found.table.iloc[0]
    assert (
        found.dsr == ledger.study("mine").deflated_sharpe_ratio(row["sharpe"], 800, row["skew"], row["kurtosis"]).value
    )
    assert row["dsr"] == pytest.approx(found.dsr)
    with pytest.raises(ConfigError, match="the study counts 40 trials and the result has 41 strategies"):
        audit(_noise(41), n_trials=ledger.study("mine"))


def test_trials_borne_is_the_border() -> None:
    found = audit(_alone(0.0025))
    row = found.table.iloc[0]

    def deflated(trials: float) -> float:
        return deflated_sharpe_ratio(row["sharpe"], 800, trials, 1 / 800, row["skew"], row["kurtosis"])

    assert 1 < found.trials_borne < math.inf
    assert deflated(found.trials_borne) >= 0.95 > deflated(found.trials_borne + 1)
    assert audit(_alone(0.0)).trials_borne == 0


def test_noise_looks_like_luck_and_skill_holds_up() -> None:
    verdicts = [audit(_noise(seed=seed)).verdict for seed in range(8)]
    assert verdicts.count("holds up") == 0
    skilled = _noise().assign(good=_alone(0.004))
    found = audit(skilled)
    assert (found.best, found.verdict) == ("good", "holds up")
    assert found.pbo < 0.05
    assert audit(_alone(0.001, seed=4)).verdict == "not proven"


def test_costs_that_are_given_are_doubled() -> None:
    series = _alone(0.002)
    costs = pd.Series(0.0005, index=DAYS)
    found = audit(series, costs=costs)
    twice = series - costs
    assert found.doubled.sharpe == pytest.approx(twice.mean() / twice.std())
    assert found.doubled.total_return == pytest.approx((1 + twice).prod() - 1)
    # mean + cost is earned before costs; so many times the cost eats it
    assert found.doubled.break_even == pytest.approx((series.mean() + 0.0005) / 0.0005)
    assert audit(series).doubled is None
    with pytest.raises(ShapeError, match="costs must have the shape of the returns"):
        audit(series, costs=costs[:-1])
    with pytest.raises(ShapeError, match="the times of the returns"):
        audit(series, costs=costs.set_axis(DAYS + pd.Timedelta("1h")))
    with pytest.raises(DataError, match="costs must be finite"):
        audit(series, costs=costs.where(costs.index != DAYS[3]))
    with pytest.raises(DataError, match=r"costs must be 0 or more, got -0\.0005"):
        audit(series, costs=-costs)
    with pytest.raises(ShapeError, match=r"costs must be a Series, or a table .* got 0\.001"):
        audit(series, costs=0.001)
    with pytest.raises(DataError, match="costs must be numbers"):
        audit(series, costs=costs.astype(str))


def test_costs_find_their_strategy_by_name() -> None:
    frame = _noise(3)
    costs = pd.DataFrame({name: 0.0001 * place for place, name in enumerate(frame)}, index=DAYS)
    found, other = audit(frame, costs=costs), audit(frame, costs=costs[costs.columns[::-1]])
    pd.testing.assert_frame_equal(found.table, other.table)
    s2 = frame["s2"] - 0.0002
    assert other.table.loc["s2", "doubled_sharpe"] == pytest.approx(s2.mean() / s2.std())
    with pytest.raises(ShapeError, match="the columns of the returns, they differ in s0, fee"):
        audit(frame, costs=costs.rename(columns={"s0": "fee"}))


def test_a_benchmark_is_compared_and_is_no_strategy() -> None:
    frame = _noise(3).assign(market=_alone(0.001, seed=9))
    found = audit(frame, benchmark="market")
    assert "market" not in found.table.index
    assert found.deflated.n_trials == 3
    held = frame["market"]
    assert found.compared.sharpe == pytest.approx(held.mean() / held.std())
    assert found.compared.difference.mean == pytest.approx((frame[found.best] - held).mean())
    assert found.compared.correlation == pytest.approx(np.corrcoef(frame[found.best], held)[0, 1])
    same = audit(frame.drop(columns="market"), benchmark=held)
    assert same.compared == found.compared
    with pytest.raises(UnknownNameError, match="no column 'BTC'"):
        audit(frame, benchmark="BTC")
    with pytest.raises(DataError, match="the benchmark lacks 10 of 800 times"):
        audit(frame, benchmark=held[10:])
    with pytest.raises(ShapeError, match="nothing to compare"):
        audit(held, benchmark="market")


def test_a_benchmark_may_begin_as_a_change_from_nothing() -> None:
    series, held = _alone(), _alone(0.001, seed=9)
    first = held.where(DAYS != DAYS[0])
    found = audit(series, benchmark=first)
    assert found.compared == audit(series, benchmark=held.where(DAYS != DAYS[0], 0.0)).compared
    assert "the first row of the benchmark is empty" in found.notes[0]
    both = audit(pd.DataFrame({"own": series.where(DAYS != DAYS[0]), "market": first}), benchmark="market")
    assert both.compared.total_return == pytest.approx((1 + held[1:]).prod() - 1)
    with pytest.raises(DataError, match="the benchmark never moves"):
        audit(series, benchmark=held * 0)


def test_a_few_moves_prove_nothing() -> None:
    rare = pd.Series(np.where(np.arange(800) % 45 == 0, 0.05, 0.0), index=DAYS, name="rare")
    found = audit(rare)
    assert found.psr > 0.99  # what the formula says of 18 gains and no loss
    assert found.verdict == "not proven"
    assert "only 18 of 800 returns of 'rare' are not 0" in " ".join(found.notes)
    assert "a deepest fall of 0.0 %" in found.summary[0]
    more = audit(rare.where(DAYS != DAYS[1], 0.05).where(DAYS != DAYS[2], 0.05))
    assert more.verdict == "holds up"
    once = audit(pd.Series(np.where(np.arange(800) == 400, 0.5, 0.0), index=DAYS))
    assert once.sharpe_interval.low == 0  # of the paths without it
    assert once.verdict == "not proven"


def test_some_minutes_may_make_infinity_a_year() -> None:
    minutes = pd.date_range("2024-01-01", periods=300, freq="1min", tz="UTC")
    found = audit(pd.Series(np.random.default_rng(0).normal(0.01, 0.02, 300), index=minutes))
    assert found.table["annual_return"].iloc[0] == math.inf
    assert found.to_html()


def test_equal_seeds_equal_audits() -> None:
    one, other = audit(_noise(), seed=3), audit(_noise(), seed=3)
    assert one.to_dict() == other.to_dict()
    assert one.to_dict() != audit(_noise(), seed=4).to_dict()


# ------------------------------------------------------------------------------------------------ frequency
@pytest.mark.parametrize(
    ("index", "words", "per_year"),
    [
        (pd.date_range("2024", periods=60, freq="h"), "1h", 8760),
        (pd.date_range("2024", periods=60, freq="15min", tz="UTC"), "15m", 35040),
        (pd.date_range("2024", periods=60, freq="D", tz="Europe/Berlin"), "1d", 365),
        (pd.date_range("2024", periods=60, freq="B"), "1d", 365 * 5 / 7),
        (pd.date_range("2020", periods=60, freq="MS"), "1 month", 12),
        (pd.date_range("2020", periods=60, freq="W"), "1w", 365 / 7),
        (pd.date_range("2000", periods=60, freq="QE"), "1 quarter", 4),
        (pd.RangeIndex(60), "", math.nan),
    ],
)
def test_the_frequency_is_recognised(index: pd.Index, words: str, per_year: float) -> None:
    found = audit(pd.Series(np.random.default_rng(0).normal(0, 0.01, 60), index=index))
    assert found.frequency.words == words
    assert found.frequency.per_year == pytest.approx(per_year, nan_ok=True)
    annual = found.table["annual_sharpe"].iloc[0]
    assert annual == pytest.approx(found.table["sharpe"].iloc[0] * math.sqrt(per_year), nan_ok=True)


# ------------------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: f.mask(f == f.iloc[5, 0]), "column 's0' has 1 that are not, the first nan at 2022-01-06"),
        (lambda f: f.replace(f.iloc[3, 1], np.inf), "the first inf"),
        (lambda f: f[:19], "at least 20 returns, got 19"),
        (lambda f: f * 0, "every return is 0: a strategy that never moves"),
        (lambda f: 100 * (1 + f).cumprod(), "looks like prices"),
        (lambda f: 1 + f, r"1 \+ returns"),
        (lambda f: 100 * f, "more than everything: returns must be fractions"),
        (lambda f: f.assign(name="x"), "column 'name' holds"),
        (lambda f: pd.concat([f, f[:1]]), "two rows are of 2022-01-01"),
        (lambda f: f.set_axis(["a", "a", "b"], axis=1), "two strategies are named 'a'"),
        (lambda f: f.iloc[:, :0], "one column a strategy, got none"),
    ],
)
def test_what_cannot_be_audited_is_refused(change, match: str) -> None:
    with pytest.raises(DataError, match=match):
        audit(change(_noise(3)))


def test_what_is_odd_is_told() -> None:
    frame = _noise(3)
    backwards = audit(frame[::-1])
    assert "sorted" in backwards.notes[0]
    assert backwards.table.equals(audit(frame).table)
    first = frame.copy()
    first.iloc[0] = np.nan
    assert "first row is empty" in audit(first).notes[0]
    still = audit(frame.assign(idle=0.0))
    assert "1 of 4 strategies never move" in still.notes[0]
    assert still.deflated.n_trials == 4
    assert "idle" not in still.table.index
    assert "if these are percent" in audit(frame * 10).notes[0]
    assert "no dates" in audit(frame.reset_index(drop=True)).notes[0]
    short = audit(frame[:24])
    assert short.deflated.effective_trials == 3  # too short to see what is alike


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least the 3 strategies given, got 2"):
        audit(_noise(3), n_trials=2)
    with pytest.raises(ConfigError, match="trial_variance"):
        audit(_noise(3), trial_variance=-1.0)
    for confidence in (1.5, math.nan, "0.9"):
        with pytest.raises(ConfigError, match="confidence"):
            audit(_noise(3), confidence=confidence)
    for n_trials in (math.nan, "10", 10.5, True):
        with pytest.raises(ConfigError, match="n_trials must be a whole number"):
            audit(_noise(1), n_trials=n_trials)
    with pytest.raises(ConfigError, match="trial_variance must be a number of at least 0, got 'x'"):
        audit(_noise(3), trial_variance="x")
    for seed in (-1, "x", 1.5):
        with pytest.raises(ConfigError, match="seed must be a whole number"):
            audit(_noise(3), seed=seed)
    with pytest.raises(DataError, match="needs a portfolio, a table of returns or a file of them, got int"):
        audit(3)


# ------------------------------------------------------------------------------------------------ words and page
def test_every_sentence_is_made_from_a_number() -> None:
    frame = _noise()
    found = audit(frame, benchmark=_alone(seed=9))
    said = " ".join(found.summary)
    assert 4 <= len(found.summary) <= 6
    assert f"The best of 20 strategies, {found.best!r}" in said
    assert f"{found.table['annual_sharpe'].iloc[0]:.2f} a year" in said
    assert f"{found.deflated.expected_max * math.sqrt(365):.2f} a year" in said
    assert f"{100 * found.pbo:.0f} %" in said
    assert "costs could not be computed" in said
    alone = " ".join(audit(_alone(0.0025)).summary)
    assert "How many versions were tried is not known" in alone
    assert "no length of record" in " ".join(audit(_alone(-0.002)).summary)
    assert "gained" not in " ".join(audit(_alone(-0.002)).summary)
    assert "a period" in " ".join(audit(_alone().reset_index(drop=True)).summary)
    paid = audit(_alone(0.0001), costs=pd.Series(0.0005, index=DAYS))
    assert "costs" in paid.summary[-2]


@pytest.mark.parametrize("n_strategies", [2, 3, 20, 21, 30, 39, 400])
def test_equal_chances_are_drawn_as_equal_bars(n_strategies: int) -> None:
    field, n_bars = n_strategies + 1, min(n_strategies, 20)
    every_rank = np.repeat(np.arange(1, field) / field, 600)
    drawn = _by_place(every_rank, field, n_bars)
    assert drawn.tolist() == [round(600 * n_strategies / n_bars)] * n_bars


def test_names_keep_their_letters() -> None:
    alone = _alone().rename((np.int64(5), "BTC/USDT"))
    found = audit(alone)
    assert found.best == "5, BTC/USDT"
    assert "<h2>Account of <b>5, BTC/USDT</b>, from 1</h2>" in found.to_html()
    assert audit(alone.tolist()).table["sharpe"].iloc[0] == found.table["sharpe"].iloc[0]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "rect", "line", "path"):
            self.open.append(tag)
        self.outside += [str(value) for name, value in attrs if name in ("src", "href", "action")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line", "path"):
            assert self.open.pop() == tag


@pytest.mark.parametrize("kind", ["many", "one", "costs", "undated", "ruined"])
def test_the_page_is_whole_and_needs_no_network(kind: str, tmp_path) -> None:
    made = {
        "many": lambda: audit(_noise().rename(columns={"s1": "<script>alert(1)</script>"}), benchmark="s0"),
        "one": lambda: audit(_alone()),
        "costs": lambda: audit(_alone(), costs=pd.Series(0.0005, index=DAYS)),
        "undated": lambda: audit(_noise(4).to_numpy()),
        "ruined": lambda: audit(_alone().where(DAYS != DAYS[100], -1.0)),
    }
    found = made[kind]()
    page = found.to_html(tmp_path / "page.html", title="A & B")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    reader = _Page()
    reader.feed(page)
    assert reader.open == []
    assert reader.outside == []
    assert not re.search(r"https?://|@import|url\(", page)
    assert "<script" not in page
    assert "A &amp; B" in page
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page)
    for text in found.summary:
        assert text.partition("%")[0].split("'")[0][:30].strip() in page.replace("\u00a0", " ")
    assert "<p" in found._repr_html_()
    json.dumps(found.to_dict())
