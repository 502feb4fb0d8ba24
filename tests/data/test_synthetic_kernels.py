"""Every kernel of the synthetic market equals its plain twin, on ordinary and on hostile input."""

from __future__ import annotations

import numpy as np
import pytest

from gwt_lab.data import synthetic_kernels as fast
from gwt_lab.data.synthetic_filter import filter_residuals
from tests.oracles import synthetic_kernels as plain

# sums of a dozen terms, taken in another order
ROUNDING = 1e-12


def equal(left, right):
    np.testing.assert_allclose(left, right, rtol=ROUNDING, atol=ROUNDING, equal_nan=True)


@pytest.mark.parametrize(
    ("alpha", "leverage", "beta"),
    [(0.05, 0.06, 0.89), (0.0, 0.0, 0.0), (0.3, 0.0, 0.9), (-0.2, 0.5, -0.4), (np.nan, 0.1, 0.1), (np.inf, 0.0, 0.0)],
)
@pytest.mark.parametrize("spoil", [None, np.nan, np.inf, -np.inf, 1e200, -0.0])
def test_gjr_variance(alpha, leverage, beta, spoil):
    shocks = np.random.default_rng(1).standard_normal((60, 3))
    if spoil is not None:
        shocks[7, 1] = spoil
    with np.errstate(all="ignore"):
        equal(fast.gjr_variance(shocks, alpha, leverage, beta), plain.gjr_variance(shocks, alpha, leverage, beta))


def test_gjr_variance_has_the_mean_it_promises():
    shocks = np.random.default_rng(2).standard_normal((200_000, 4))
    assert fast.gjr_variance(shocks, 0.05, 0.06, 0.89).mean() == pytest.approx(1, abs=0.02)


def test_gjr_variance_answers_to_bad_news_more():
    good, bad = np.zeros((2, 1)), np.zeros((2, 1))
    good[0], bad[0] = 2.0, -2.0
    rise = fast.gjr_variance(bad, 0.05, 0.06, 0.89)[1, 0] - fast.gjr_variance(good, 0.05, 0.06, 0.89)[1, 0]
    assert rise == pytest.approx(0.06 * 4)


@pytest.mark.parametrize("memory", [[0.0, 0.5], [1.0, -1.0], [0.999999, np.nan], [1.5, 0.1]])
def test_autoregress(memory):
    noise = np.random.default_rng(3).standard_normal((50, 2))
    noise[20, 0] = np.inf
    with np.errstate(all="ignore"):
        expected = plain.autoregress(noise, memory) if max(np.abs(memory)) <= 1 else None
        result = fast.autoregress(noise, np.array(memory))
    if expected is None:
        assert np.isnan(result[1:, 0]).all()  # no stationary start exists beyond a memory of 1
    else:
        equal(result, expected)


@pytest.mark.parametrize("spoil", [None, 0.0, 1.0, np.nan, 2.0, -1.0])
def test_markov_path(spoil):
    rng = np.random.default_rng(4)
    uniforms = rng.random(300)
    if spoil is not None:
        uniforms[::7] = spoil
    first = np.cumsum([0.2, 0.5, 0.3])
    transition = np.cumsum([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.0, 0.5, 0.5]], axis=1)
    np.testing.assert_array_equal(
        fast.markov_path(uniforms, first, transition), plain.markov_path(uniforms, first, transition)
    )


@pytest.mark.parametrize("spoil", [None, np.nan, np.inf, 1e300])
@pytest.mark.parametrize("strength", [0.0, 0.1, -0.3, 5.0])
def test_spill_over(spoil, strength):
    rng = np.random.default_rng(5)
    own, listed = rng.standard_normal((40, 5)), rng.random((40, 5)) < 0.8
    if spoil is not None:
        own[10, 2], listed[10, 2] = spoil, True
    leaders = np.array([[(i + 1) % 5, (i + 3) % 5] for i in range(5)])
    slopes = strength * rng.random((5, 2))
    with np.errstate(all="ignore"):
        for left, right in zip(
            fast.spill_over(own, leaders, slopes, listed), plain.spill_over(own, leaders, slopes, listed), strict=True
        ):
            np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9, equal_nan=True)


def test_spill_over_moves_the_follower_one_bar_later():
    own, leaders = np.zeros((4, 2)), np.array([[1], [0]])
    own[1, 0] = 1.0
    residual, announced = fast.spill_over(own, leaders, np.array([[0.0], [0.5]]), np.ones((4, 2), bool))
    assert residual[:, 1].tolist() == [0.0, 0.0, 0.5, 0.0]
    assert announced[1].tolist() == [0.0, 0.5]


def paths_input(n_steps=12):
    rng = np.random.default_rng(6)
    n_times, n_assets, n_sectors = 8, 4, 2
    n_components = 1 + n_sectors + n_assets
    return {
        "smooth": 0.02 * rng.standard_normal((n_times, n_assets)),
        "gap": 0.001 * rng.standard_normal((n_times, n_assets)),
        "scale": 0.01 * rng.random((n_times, n_components)),
        "loadings": rng.uniform(0.5, 1.5, (n_assets, 2)),
        "sector": np.array([0, 1, 1, 0]),
        "jump": 0.05 * rng.standard_normal((n_times, n_assets, 2)),
        "jump_step": rng.integers(0, n_steps, (n_times, 1 + n_assets)),
        "normals": rng.standard_normal((n_times, n_steps, n_components)),
        "extremes": rng.standard_exponential((n_times, n_steps, n_assets, 2)),
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (None, None),
        ("scale", 0.0),
        ("scale", np.inf),
        ("scale", np.nan),
        ("smooth", np.nan),
        ("smooth", 50.0),
        ("gap", -np.inf),
        ("jump", 0.0),
        ("extremes", 0.0),
        ("extremes", -1.0),
        ("loadings", -3.0),
    ],
)
def test_intrabar_paths(name, value):
    given = paths_input()
    if name is not None:
        given[name][1:3] = value
    with np.errstate(all="ignore"):
        for left, right in zip(fast.intrabar_paths(*given.values()), plain.intrabar_paths(given), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12, equal_nan=True)


def test_a_bar_that_does_not_move_has_one_price():
    given = paths_input()
    for name in ("smooth", "gap", "scale", "jump"):
        given[name][:] = 0.0
    for field in fast.intrabar_paths(*given.values()):
        assert (field == 0).all()


@pytest.mark.parametrize("missing", [0.0, 0.3, 1.0])
def test_the_price_filter_equals_the_one_with_full_covariances(missing):
    rng = np.random.default_rng(7)
    n_times, n_assets, n_factors = 50, 6, 3
    returns = rng.standard_normal((n_times, n_assets))
    returns[rng.random(returns.shape) < missing] = np.nan
    loadings = rng.uniform(0.5, 1.5, (n_assets, n_factors))
    deviation = rng.uniform(0.2, 2.0, (n_times, n_factors + n_assets))
    slopes = 0.15 * rng.standard_normal((n_assets, n_assets))
    equal_within = 1e-8  # the sweeps end at a relative change of 1e-10
    np.testing.assert_allclose(
        filter_residuals(returns, loadings, deviation, slopes),
        plain.filter_residuals(returns, loadings, deviation, slopes),
        atol=equal_within,
    )
