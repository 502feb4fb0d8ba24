"""The study finds a planted effect, finds none where none is, and its controls behave."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.synthetic import synthetic_market
from gwt_lab.errors import DataError
from gwt_lab.market.bars import Bars
from gwt_lab.models.lightgbm_model import LightGBMParams
from gwt_lab.runs import Run, load_run
from research import paper1
from research.claims import INDICATIVE
from research.paper1.arms import ALL_ASSETS, BASE, GRAPH, PLACEBO, prepare
from research.paper1.money import backtest, rank_weights
from tests.oracles.markets import random_bars

SPEC = paper1.Spec(
    window=500,
    n_leaders=3,
    n_splits=2,
    n_placebos=1,
    n_resamples=200,
    trees=LightGBMParams(n_trees=20, num_leaves=7, learning_rate=0.1, min_data_in_leaf=100),
)


def _market(spillover: float):
    return synthetic_market(n_assets=8, n_bars=2_200, seed=5, spillover=spillover)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GWT_RUNS", str(folder / "runs"))
        market = _market(0.2)
        return paper1.run(SPEC, market.bars, truth=market.truth, figures=folder / "figures")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GWT_RUNS", str(tmp_path / "runs"))
    return tmp_path


def test_a_strong_planted_effect_is_found_below_its_ceiling(planted: Run) -> None:
    metrics = planted.metrics
    gained = metrics["points_over"]["graph - base"]
    assert gained["low"] > 2.0
    assert metrics["points_over"]["graph - all assets"]["low"] > 2.0
    assert metrics["points_over"]["graph - placebo"]["low"] > 2.0
    assert abs(metrics["points_over"]["placebo - base"]["mean"]) < gained["mean"] / 2
    assert metrics["accuracy"][GRAPH]["mean"] < metrics["truth"]["ceiling"]
    assert metrics["truth"]["edge_recall"] > metrics["truth"]["edge_recall_by_chance"]
    assert metrics["rank_ic"][GRAPH] > metrics["rank_ic"][BASE] + 0.05


def test_percent_is_relative_to_the_arm_compared_with(planted: Run) -> None:
    for name, arm in (("graph - base", BASE), ("graph - all assets", ALL_ASSETS)):
        points = planted.metrics["points_over"][name]
        accuracy = planted.metrics["accuracy"]
        assert points["mean"] == pytest.approx(100 * (accuracy[GRAPH]["mean"] - accuracy[arm]["mean"]))
        assert points["relative_percent"]["mean"] == pytest.approx(points["mean"] / accuracy[arm]["mean"])


def test_accuracy_comes_from_the_stored_forecasts(planted: Run) -> None:
    table = planted.array("forecasts").dropna(subset="label")
    right = (table[GRAPH] > 0.5) == (table["label"] == 1)
    by_date = right.groupby(level="datetime").mean()
    assert by_date.mean() == pytest.approx(planted.metrics["accuracy"][GRAPH]["mean"])
    pd.testing.assert_series_equal(by_date, planted.array("by_date")[GRAPH], check_names=False, check_freq=False)
    assert planted.metrics["n_test_rows"] == len(table)


def test_the_figure_and_the_run_are_stored(planted: Run) -> None:
    figure = Path(planted.metrics["figure"])
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert figure.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    record = json.loads((planted.path / "run.json").read_text())
    assert record["spec"]["window"] == 500
    assert record["data_hashes"]["bars"] == _market(0.2).bars.content_hash


def test_claims_quote_the_run(planted: Run) -> None:
    rows = paper1.claims(planted)
    assert rows[0].claim == "Knowledge-graph features add 2-15 % accuracy"
    points = planted.metrics["points_over"]["graph - base"]
    assert f"{points['mean']:+.2f} pp" in rows[0].measured
    assert f"{points['relative_percent']['mean']:+.2f} % relative" in rows[0].measured
    assert f"{points['low']:+.2f} to {points['high']:+.2f} pp" in rows[0].interval
    assert {row.run_id for row in rows} == {planted.id}
    assert {row.verdict for row in rows} == {INDICATIVE}


def _verdict(run: Run, mean: float, low: float, high: float, placebos: list[float]) -> str:
    """Return the verdict of a full run with these numbers, in percent relative."""
    record = json.loads(json.dumps(run.record))
    record["spec"]["profile"] = "full"
    points = record["metrics"]["points_over"]["graph - base"]
    points |= {"mean": mean / 2, "low": low / 2, "high": high / 2}
    points["relative_percent"] |= {"mean": mean, "low": low, "high": high}
    record["metrics"]["placebo_points"] = placebos
    return paper1.claims(replace(run, record=record))[0].verdict


def test_full_runs_are_judged_by_their_interval(planted: Run) -> None:
    assert _verdict(planted, 3.0, 2.1, 4.0, [0.1, 0.2]) == "supported"
    assert _verdict(planted, 3.0, 2.1, 4.0, [0.1, 1.6]) == "not supported"
    assert _verdict(planted, 3.0, 1.0, 5.0, [0.1]) == "not supported"
    assert _verdict(planted, 0.5, -1.0, 1.9, [0.1]) == "does not reproduce"


def test_nothing_planted_nothing_found(runs: Path) -> None:
    market = _market(0.0)
    stored = paper1.run(SPEC, market.bars, truth=market.truth, figures=runs)
    points = stored.metrics["points_over"]["graph - base"]
    assert points["low"] < 0 < points["high"] + 0.5
    assert abs(points["mean"]) < 2.0
    assert stored.metrics["truth"]["ceiling"] == 0.5


def test_equal_seeds_equal_runs(planted: Run, runs: Path) -> None:
    market = _market(0.2)
    again = paper1.run(SPEC, market.bars, truth=market.truth, figures=runs)
    ignored = {"figure"}
    assert {k: v for k, v in again.metrics.items() if k not in ignored} == {
        k: v for k, v in planted.metrics.items() if k not in ignored
    }
    assert load_run("paper1").id == again.id


def test_a_different_future_leaves_earlier_forecasts_as_they_were(planted: Run, runs: Path) -> None:
    """The whole study, graphs and all, through the look-ahead test."""
    table = planted.array("forecasts")
    begins = table[table["fold"] == 1].index[0][0]
    market = _market(0.2)
    late = market.bars.index >= begins
    rng = np.random.default_rng(0)
    frames = {}
    factor = np.exp(np.cumsum(rng.normal(0, 0.01, market.bars.shape), axis=0))
    for name in ("open", "high", "low", "close"):
        frame = getattr(market.bars, name).copy()
        frame[late] = frame[late] * factor[late]
        frames[name] = frame
    stored = paper1.run(SPEC, replace(market.bars, **frames), figures=runs)
    other, arms = stored.array("forecasts"), [BASE, ALL_ASSETS, GRAPH, f"{PLACEBO} 1"]
    early = table["fold"] < 1
    pd.testing.assert_frame_equal(other.loc[table.index[early], arms], table.loc[early, arms])
    assert not other[arms].equals(table[arms])


def test_arms_share_their_rows_and_differ_by_their_additions() -> None:
    material = prepare(SPEC, _market(0.2).bars)
    assert list(material.additions) == [BASE, ALL_ASSETS, GRAPH, f"{PLACEBO} 1"]
    assert len(material.features(BASE).columns) == 38
    assert list(material.features(GRAPH).columns[38:]) == list(material.features(f"{PLACEBO} 1").columns[38:])
    for arm in material.additions:
        assert material.features(arm).index.equals(material.label.index)
    real, wrong = material.additions[GRAPH], material.additions[f"{PLACEBO} 1"]
    assert (real["LEADRET1"] != wrong["LEADRET1"]).mean() > 0.95


def test_the_mean_of_all_others_by_hand() -> None:
    bars = random_bars(3, 700, seed=1)
    material = prepare(SPEC, bars)
    graph = material.graphs[-1]
    returns = bars.close.pct_change(fill_method=None).iloc[-1].to_numpy() / graph.volatility
    got = material.additions[ALL_ASSETS].xs(bars.index[-1])["ALLRET1"]
    for position, symbol in enumerate(bars.symbols):
        assert got[symbol] == pytest.approx(np.delete(returns, position).mean(), rel=1e-5)


def _gapped(n_assets: int, n_bars: int) -> Bars:
    bars = random_bars(n_assets, n_bars, seed=2, holes=0.05)
    frames = {}
    for name in ("open", "high", "low", "close", "volume", "quote_volume"):
        frame = getattr(bars, name).copy()
        frame.iloc[300:340] = np.nan
        frame.iloc[: n_bars // 3, 0] = np.nan
        frames[name] = frame
    return replace(bars, **frames)


@pytest.mark.parametrize(("n_assets", "n_bars"), [(2, 900), (3, 1500)])
def test_few_symbols_with_gaps_run(runs: Path, n_assets: int, n_bars: int) -> None:
    stored = paper1.run(SPEC, _gapped(n_assets, n_bars), figures=runs)
    assert ("placebo - base" in stored.metrics["points_over"]) == (n_assets > 2)
    assert stored.metrics["window"] == min(500, n_bars // 4)
    assert "truth" not in stored.metrics
    assert len(paper1.claims(stored)) == (3 if n_assets > 2 else 2)


def test_too_few_bars_are_refused(runs: Path) -> None:
    with pytest.raises(DataError, match="at least 2 symbols and 600 bars, got 1 symbols and 900 bars"):
        paper1.run(SPEC, random_bars(1, 900), figures=runs)
    with pytest.raises(DataError, match="got 3 symbols and 500 bars"):
        paper1.run(SPEC, random_bars(3, 500), figures=runs)


def test_weights_are_long_the_best_and_short_the_worst() -> None:
    index = pd.MultiIndex.from_product([[1, 2], ["A", "B", "C"]], names=["datetime", "instrument"])
    weights = rank_weights(pd.Series([0.1, 0.9, 0.5, np.nan, 0.2, 0.8], index=index))
    assert weights.loc[1].tolist() == [-0.5, 0.5, 0.0]
    assert weights.loc[2].tolist() == [0.0, -0.5, 0.5]


def test_what_the_forecasts_are_worth(planted: Run) -> None:
    """The account before costs is the sum of weights times what the next open-to-open brings, and costs hurt."""
    found = planted.metrics["backtest"]
    assert found[GRAPH]["total_return_before_costs"] > found[BASE]["total_return_before_costs"]
    assert found[GRAPH]["break_even_bps"] > 0
    assert found[GRAPH]["total_return_after_costs"] < found[GRAPH]["total_return_before_costs"]
    bars = _market(0.2).bars
    opens = bars.open[sorted(bars.symbols)]
    weights = planted.array("weights")
    assert weights.abs().sum(axis=1).max() == pytest.approx(1.0)
    earned = (weights * (opens.shift(-2) / opens.shift(-1) - 1).reindex(weights.index)).sum(axis=1)
    equity = planted.array("equity")[GRAPH]
    assert equity.iloc[-1] == pytest.approx(np.prod(1 + earned), rel=0.02)


def test_a_clairvoyant_account_breaks_even_at_what_a_trade_earns() -> None:
    """Two coins, one up 1 % and one down 1 % by turns: half the account each way, all of it turned over."""
    index = pd.date_range("2024-01-01", periods=60, freq="h", tz="UTC", unit="ns", name="datetime")
    up = np.where(np.arange(60) % 2 == 0, 1.01, 1 / 1.01)
    prices = pd.DataFrame({"A/USDT": 100 * np.cumprod(up), "B/USDT": 100 / np.cumprod(up)}, index=index)
    bars = Bars(open=prices, high=prices, low=prices, close=prices, volume=prices * 0 + 1, timeframe="1h")
    ahead = (prices.shift(-2) / prices.shift(-1) - 1).fillna(0.0)
    metrics, _ = backtest(bars, {"told": np.sign(ahead) / 2})
    # 1 % on the account a bar for a turnover of 2
    assert metrics["told"]["break_even_bps"] == pytest.approx(50, rel=0.1)
