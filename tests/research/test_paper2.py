"""Paper 2: calibration, intervals, and a small run whose rows say what its numbers say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import DataError
from gwt_lab.execution.schedules import MarketNow, Peg, Twap, evaluate
from gwt_lab.market.bars import Bars
from gwt_lab.runs import Run, load_run
from research.paper2 import Spec, claims, run
from research.paper2.calibration import book_volatility, calibrate
from research.paper2.intervals import bootstrap_means, interval, reduction
from research.paper2.study import _verdict


def walk(per_bar: float, timeframe: str, n: int = 4_000, symbols: tuple[str, ...] = ("BTC/USDT",)) -> Bars:
    """Random walks whose log returns have standard deviation `per_bar` times 1, 2, 3, ... by symbol."""
    generator = np.random.default_rng(3)
    frames = []
    for place, symbol in enumerate(symbols):
        close = 100 * np.exp(np.cumsum(per_bar * (place + 1) * generator.normal(size=n)))
        frame = pd.DataFrame({name: close for name in ("open", "high", "low", "close")})
        frame["timestamp"] = pd.date_range(
            "2024-01-01", periods=n, freq=timeframe.replace("m", "min").replace("d", "D"), tz="UTC"
        )
        frames.append(frame.assign(volume=600.0, symbol=symbol))
    return Bars.from_frame(pd.concat(frames), timeframe=timeframe)


# ------------------------------------------------------------------------------------------ calibration
@pytest.mark.parametrize(
    ("per_bar", "timeframe", "minutes"), [(0.004, "1h", 60), (0.0005, "1m", 1), (0.03, "1d", 1440)]
)
def test_book_moves_as_the_bars_do(per_bar: float, timeframe: str, minutes: int) -> None:
    found = calibrate(walk(per_bar, timeframe))
    wanted = 1e4 * per_bar / np.sqrt(minutes)
    assert found.volatility_bps == pytest.approx(wanted, rel=0.05)
    assert book_volatility(found.book, seed=9) * found.book.tick_bps == pytest.approx(wanted, rel=0.1)
    assert "BTC/USDT" in found.source
    assert timeframe in found.source
    # 600 units a bar over 0.94 market orders a minute on either side
    assert found.unit == pytest.approx(600 / minutes / 1.88)


def test_calm_and_wild_bars_change_the_tick() -> None:
    calm = calibrate(walk(0.00002, "1m"))
    assert calm.book.efficient_volatility < 0.3
    assert calm.book.tick_bps < 0.25
    wild = calibrate(walk(0.01, "1m"))
    assert wild.book.efficient_volatility < 8.0
    assert wild.book.tick_bps > 10


def test_symbol_of_median_volatility_is_taken() -> None:
    assert calibrate(walk(0.004, "1h", symbols=("C/USDT", "A/USDT", "B/USDT"))).symbol == "A/USDT"


def test_gaps_and_still_prices() -> None:
    bars = walk(0.004, "1h")
    close = bars.close.copy()
    close.iloc[5:900] = np.nan
    holes = replace(bars, close=close)
    assert calibrate(holes).volatility_bps == pytest.approx(calibrate(bars).volatility_bps, rel=0.1)
    # more than half of the closes repeat: the median move is zero, the root mean square is not
    close = bars.close.copy()
    close.iloc[:] = np.repeat(close.to_numpy()[::4], 4, axis=0)
    assert calibrate(replace(bars, close=close)).volatility_bps > 0
    close.iloc[:] = 7.0
    with pytest.raises(DataError, match=r"no close of BTC/USDT moves"):
        calibrate(replace(bars, close=close))


def test_without_bars_the_published_book() -> None:
    found = calibrate(None, tick_bps=2.0)
    assert found.book.efficient_volatility == 0
    assert found.book.tick_bps == pytest.approx(2.0)
    assert found.unit is None
    assert "synthetic" in found.source


# ------------------------------------------------------------------------------------------ intervals
def test_intervals_cover_as_often_as_they_say() -> None:
    """Normal costs with known means: the paired interval of the relative reduction holds the truth in 95 of 100."""
    generator = np.random.default_rng(1)
    inside = 0
    for trial in range(300):
        common = generator.normal(size=(200, 1))
        costs = np.array([4.0, 3.0]) + common + generator.normal(size=(200, 2))
        draws = bootstrap_means(costs, 400, seed=trial)
        low, high = reduction(1, 0, costs.mean(axis=0), draws, 0.95)["relative_interval"]
        inside += low < 0.25 < high
    # 4 standard errors of a binomial around 285
    assert 270 <= inside <= 299


def test_ratio_interval_is_fiellers() -> None:
    generator = np.random.default_rng(2)
    costs = np.array([4.0, 3.0]) + generator.normal(size=(2_000, 1)) + generator.normal(size=(2_000, 2))
    n, (base, policy) = len(costs), costs.mean(axis=0)
    (vbb, vbp), (_, vpp) = np.cov(costs.T) / n
    z = 1.959964
    a, b, c = base**2 - z**2 * vbb, base * policy - z**2 * vbp, policy**2 - z**2 * vpp
    ends = (b + np.array([-1, 1]) * np.sqrt(b**2 - a * c)) / a
    draws = bootstrap_means(costs, 8_000, seed=0)
    found = reduction(1, 0, costs.mean(axis=0), draws, 0.95)
    np.testing.assert_allclose(found["relative_interval"], 1 - ends[::-1], atol=0.003)
    assert found["difference_bps"] == pytest.approx(base - policy)


def test_ratio_to_nothing_is_undefined() -> None:
    costs = np.random.default_rng(0).normal(size=(500, 2))
    found = reduction(1, 0, costs.mean(axis=0), bootstrap_means(costs, 500, seed=0), 0.95)
    assert found["relative"] is None
    assert found["relative_interval"] is None


def test_resampling_keeps_the_pairs() -> None:
    costs = np.random.default_rng(0).normal(size=(300, 1)) * 100
    draws = bootstrap_means(np.hstack([costs, costs + 1]), 200, seed=3)
    np.testing.assert_allclose(draws[:, 1] - draws[:, 0], 1.0)
    assert interval(draws[:, 0], 0.95)[1] - interval(draws[:, 0], 0.95)[0] > 10


# ------------------------------------------------------------------------------------------ the study
SMALL = replace(
    Spec.quick(),
    n_paths=150,
    time_horizon=20,
    total_timesteps=8_192,
    training_seeds=(5,),
    parents=(2, 10),
    n_paths_by_parent=60,
    n_resamples=300,
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    pytest.importorskip("stable_baselines3")
    folder = tmp_path_factory.mktemp("paper2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GWT_RUNS", str(folder / "runs"))
        stored = run(SMALL, walk(0.002, "1h"), figures=folder / "figures")
        return load_run(stored.id), folder


def test_run_is_stored_whole(small: tuple[Run, Path]) -> None:
    stored, folder = small
    assert stored.record["spec"]["training_seeds"] == [5]
    assert stored.record["data_hashes"]["bars"] == walk(0.002, "1h").content_hash
    slippage = stored.array("slippage")
    assert list(slippage.columns) == ["market", "TWAP", "TWAP-limit", "peg", "PPO"]
    assert len(slippage) == 300
    for kind in ("png", "pdf"):
        assert (folder / "figures" / f"paper2.{kind}").stat().st_size > 10_000


def test_numbers_are_those_of_the_policies(small: tuple[Run, Path]) -> None:
    stored, _ = small
    task = SMALL.task(calibrate(walk(0.002, "1h"), SMALL.tick_bps))
    without = stored.array("slippage_without_luck")
    for policy in (MarketNow(), Twap(), Peg()):
        found, sold = (evaluate(policy, replace(task, side=side), SMALL.paths) for side in ("buy", "sell"))
        costs = [one.slippage_bps - one.luck_bps for one in (found, sold)]
        np.testing.assert_allclose(without[policy.name], np.mean(costs, axis=0))
        told = stored.metrics["policies"][policy.name]
        assert told["slippage_bps"] == pytest.approx(without[policy.name].mean())
        maker = np.mean([found.maker_share, sold.maker_share])
        assert told["slippage_with_fees_bps"] - told["slippage_bps"] == pytest.approx(5 * (1 - maker) + 2 * maker)


def test_rows_say_what_the_numbers_say(small: tuple[Run, Path]) -> None:
    stored, _ = small
    scheduled, learned = claims(stored)
    policies = stored.metrics["policies"]
    for row, name in ((scheduled, "TWAP"), (learned, "PPO")):
        assert row.verdict == "indicative"
        assert row.run_id == stored.id
        assert "calibrated on BTC/USDT 1h" in row.measured
        found = re.search(rf"{name} ([0-9.]+) % (less|more) than market", row.measured)
        said = float(found[1]) * (1 if found[2] == "less" else -1)
        truth = 1 - policies[name]["slippage_bps"] / policies["market"]["slippage_bps"]
        assert said == pytest.approx(100 * truth, abs=0.05)
        assert "150 held-out paths" in row.interval
    for other in ("TWAP", "peg"):
        less = policies["PPO"]["against"][other]["relative"]
        assert f"{100 * abs(less):.1f} % {'less' if less > 0 else 'more'} than {other};" in learned.measured


def test_controls_are_told(small: tuple[Run, Path]) -> None:
    stored, _ = small
    drift = stored.metrics["controls"]["mid_drift"]
    assert drift["interval"][0] < 0 < drift["interval"][1]
    low, high = stored.metrics["controls"]["reading_the_book"]["interval"]
    assert low <= stored.metrics["controls"]["reading_the_book"]["bps"] <= high


@pytest.mark.parametrize(
    ("profile", "low", "verdict"),
    [("quick", 0.5, "indicative"), ("full", 0.2, "supported"), ("full", 0.05, "not supported")],
)
def test_only_a_full_run_gives_a_verdict(profile: str, low: float, verdict: str) -> None:
    assert _verdict(profile, {"relative_interval": [low, 0.9]}) == verdict
    assert _verdict("full", {"relative_interval": None}) == "not supported"
