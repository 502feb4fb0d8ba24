"""The plateau score: against its plain twin, and on landscapes whose answer is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.sweep.plateau import axis_ranks, plateau_scores
from gwt_lab.backtest.sweep.result import SweepResult
from gwt_lab.errors import ConfigError
from tests.oracles.plateau import plain_plateau


def table(values: dict[tuple, float], names: list[str]) -> SweepResult:
    index = pd.MultiIndex.from_tuples([(*key, "A/USDT") for key in values], names=[*names, "symbol"])
    return SweepResult({"sharpe_ratio": list(values.values())}, index=index)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("radius", [1, 2])
def test_the_score_equals_its_plain_twin(seed, radius) -> None:
    rng = np.random.default_rng(seed)
    axes = [sorted(rng.choice(50, rng.integers(1, 5), replace=False).tolist()) for _ in range(rng.integers(1, 4))]
    ordered = [bool(flag) for flag in rng.random(len(axes)) < 0.8]
    keys = [key for key in itertools.product(*axes) if rng.random() < 0.8] or [tuple(axis[0] for axis in axes)]
    values = np.round(rng.normal(size=len(keys)), 2)
    values[rng.random(len(keys)) < 0.1] = np.nan
    order = rng.permutation(len(keys))
    keys, values = [keys[place] for place in order], values[order]
    ranks = np.stack([pd.factorize(np.array([key[p] for key in keys]), sort=True)[0] for p in range(len(axes))], axis=1)
    found = plateau_scores(values, ranks.astype(np.int64), np.array(ordered), radius)
    expected = plain_plateau(dict(zip(keys, values.tolist(), strict=True)), ordered, radius)
    names = ("median", "worst", "dispersion", "neighbours", "missing", "score")
    for place, key in enumerate(keys):
        np.testing.assert_allclose([found[name][place] for name in names], expected[key], rtol=0, atol=1e-12)


def landscape(peak: float, hill: float) -> dict[tuple[int, int], float]:
    """Return a flat 12 x 12 plain with a lone spike at (2, 2) and a broad hill around (8, 8)."""
    values = {}
    for x, y in itertools.product(range(12), repeat=2):
        values[x, y] = hill * math.exp(-((x - 8) ** 2 + (y - 8) ** 2) / 18)
    values[2, 2] = peak
    return values


def test_a_lone_spike_loses_against_a_broad_hill() -> None:
    result = table(landscape(peak=5.0, hill=1.0), ["x", "y"])
    assert result.best().name == (2, 2, "A/USDT")
    scores = result.plateau()["score"]
    assert scores.idxmax() == (8, 8, "A/USDT")
    assert scores[(2, 2, "A/USDT")] < scores.median()


def test_on_a_flat_grid_the_score_is_the_value_everywhere() -> None:
    flat = table(dict.fromkeys(itertools.product(range(4), range(5)), 0.7), ["x", "y"])
    found = flat.plateau()
    np.testing.assert_allclose(found["score"], 0.7, rtol=1e-15)
    assert found["neighbours"].max() == 9
    assert found.loc[(0, 0, "A/USDT"), ["neighbours", "missing"]].tolist() == [4, 5]


def test_an_edge_pays_more_for_the_same_dispersion() -> None:
    # stripes along y: inside and at the edge the same median and deviation
    values = {(x, y): float(y % 2) for x, y in itertools.product(range(5), range(6))}
    found = table(values, ["x", "y"]).plateau()
    inside, edge = found.loc[(2, 2, "A/USDT")], found.loc[(0, 2, "A/USDT")]
    assert inside["dispersion"] == edge["dispersion"]
    assert inside["median"] == edge["median"]
    assert edge["score"] == pytest.approx(edge["median"] - edge["dispersion"] * math.sqrt(9 / 6))
    assert edge["score"] < inside["score"]


def test_a_wider_radius_counts_steps_not_distances() -> None:
    values = dict.fromkeys(itertools.product([1, 2, 50, 1000]), 1.0)
    found = table(values, ["x"]).plateau(radius=2)
    assert found["neighbours"].tolist() == [3, 4, 4, 3]


def test_smaller_may_be_better() -> None:
    values = {key: -value for key, value in landscape(peak=5.0, hill=1.0).items()}
    result = table(values, ["x", "y"])
    up = table(landscape(peak=5.0, hill=1.0), ["x", "y"]).plateau()
    down = result.plateau(largest=False)
    np.testing.assert_array_equal(down["score"], -up["score"])
    assert down["worst"].max() <= 0
    assert result.best(largest=False).name == (2, 2, "A/USDT")


def test_symbols_and_text_are_no_axes() -> None:
    index = pd.MultiIndex.from_product([[1, 2, 3], ["a", "b"], [False, True], ["A", "B"]])
    result = SweepResult({"m": np.arange(24.0)}, index=index.set_names(["x", "kind", "flag", "symbol"]))
    found = result.plateau("m")
    assert set(found["neighbours"]) == {2, 3}
    ranks, ordered = axis_ranks(result.index, ["x", "kind", "flag", "symbol"])
    assert ordered.tolist() == [True, False, False, False]
    assert ranks.shape == (24, 4)


def test_a_scattered_sample_has_no_plateau() -> None:
    rng = np.random.default_rng(0)
    keys = {(int(x), int(y)) for x, y in rng.integers(0, 10**6, (50, 2))}
    found = table({key: 1.0 for key in keys}, ["x", "y"]).plateau()
    assert found["score"].isna().sum() >= 45


def test_a_radius_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(ConfigError, match="looks at 4,000,004,000,001 places around each combination, at most 100,000"):
        table({key: 0.0 for key in itertools.product((1, 2), repeat=2)}, ["x", "y"]).plateau(radius=10**6)


def test_one_symbols_part_has_a_plateau_of_its_own() -> None:
    index = pd.MultiIndex.from_product([[1, 2, 3], [1, 2, 3], ["A", "B"]], names=["x", "y", "symbol"])
    result = SweepResult(np.arange(18.0)[:, None] ** 2, index=index, columns=["total_return"])
    whole, part = result.plateau(), result.xs("B", level="symbol")
    pd.testing.assert_frame_equal(part.plateau(), pd.DataFrame(whole.xs("B", level="symbol")))
    np.testing.assert_array_equal(part.heatmap().data[0].z, result.heatmap(symbol="B").data[0].z)


def test_a_radius_is_a_step_or_more() -> None:
    with pytest.raises(ConfigError, match="radius"):
        table(landscape(1, 1), ["x", "y"]).plateau(radius=0)


def test_a_large_grid_is_quick_enough_to_be_used() -> None:
    n = 300
    index = pd.MultiIndex.from_product([range(n), range(n), ["A"]], names=["x", "y", "symbol"])
    x, y = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    result = SweepResult({"m": -((x - 200.0) ** 2 + (y - 100.0) ** 2).ravel()}, index=index)
    assert result.plateau()["score"].idxmax() == (200, 100, "A")
