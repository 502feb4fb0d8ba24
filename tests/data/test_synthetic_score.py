"""Scores of forecasts: worked by hand, against scipy, and the expectation over the noise's sign."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr

from gwt_lab.data.synthetic_score import expected_score, relative_returns, score_forecast
from gwt_lab.errors import ShapeError

NAN = float("nan")


def frame(rows):
    return pd.DataFrame(np.array(rows, dtype=float))


def test_relative_returns_by_hand():
    close = frame([[1.0, 10.0, NAN], [2.0, 10.0, 5.0], [2.0, NAN, 5.0], [4.0, 30.0, NAN]])
    outcome = relative_returns(close).to_numpy()
    half = np.log(2) / 2
    np.testing.assert_allclose(outcome[0], [half, -half, NAN])
    np.testing.assert_allclose(outcome[1], [0.0, NAN, 0.0])
    assert np.isnan(outcome[2:]).all()  # one return alone has nothing to be relative to; the last bar has no next


def test_score_by_hand():
    outcome = frame([[1.0, -1.0, 0.5], [2.0, -2.0, NAN], [NAN, NAN, 1.0]])
    forecast = frame([[0.1, 0.2, -0.3], [0.0, -9.0, 7.0], [1.0, 1.0, 1.0]])
    score = score_forecast(forecast, outcome)
    # bar 0: one sign of three right; bar 1: one right and one tie of two; bar 2 has a single outcome and is left out
    assert score.accuracy == pytest.approx((1 / 3 + 3 / 4) / 2)
    assert score.ic == pytest.approx((pearsonr([0.1, 0.2, -0.3], [1.0, -1.0, 0.5])[0] + 1) / 2)
    assert score.n_bars == 2


def test_rank_ic_is_spearmans():
    rng = np.random.default_rng(1)
    forecast, outcome = rng.standard_normal((40, 7)), rng.standard_normal((40, 7))
    gone = rng.random((40, 7)) < 0.2
    outcome[gone] = NAN
    expected = [spearmanr(f[~g], o[~g])[0] for f, o, g in zip(forecast, outcome, gone, strict=True)]
    assert score_forecast(frame(forecast), frame(outcome)).rank_ic == pytest.approx(np.mean(expected))


def test_a_perfect_forecast_and_its_opposite():
    outcome = frame(np.random.default_rng(2).standard_normal((50, 5)))
    right, wrong = score_forecast(outcome, outcome), score_forecast(-outcome, outcome)
    assert (right.accuracy, right.ic, right.rank_ic) == pytest.approx((1, 1, 1))
    assert (wrong.accuracy, wrong.ic, wrong.rank_ic) == pytest.approx((0, -1, -1))


def test_a_constant_forecast_knows_nothing():
    outcome = frame(np.random.default_rng(3).standard_normal((50, 5)))
    score = score_forecast(outcome * 0.0, outcome)
    assert (score.accuracy, score.ic, score.rank_ic) == (0.5, 0.0, 0.0)


def test_the_scale_of_a_forecast_does_not_matter():
    rng = np.random.default_rng(4)
    forecast, outcome = frame(rng.standard_normal((50, 5))), frame(rng.standard_normal((50, 5)))
    small, large = score_forecast(forecast * 1e-9, outcome), score_forecast(forecast * 1e9, outcome)
    assert (small.accuracy, small.rank_ic) == (large.accuracy, large.rank_ic)
    assert small.ic == pytest.approx(large.ic)


def test_no_bars_score_nan():
    score = score_forecast(frame([[NAN, 1.0]]), frame([[1.0, NAN]]))
    assert score.n_bars == 0
    assert np.isnan([score.accuracy, score.ic, score.accuracy_error]).all()


def test_frames_that_do_not_match_are_refused():
    with pytest.raises(ShapeError, match=r"shape \(3, 2\), got \(2, 2\)"):
        score_forecast(frame([[1, 2], [3, 4]]), frame([[1, 2], [3, 4], [5, 6]]))


def test_expected_score_averages_over_the_sign_of_the_noise():
    rng = np.random.default_rng(5)
    mean = rng.standard_normal((30_000, 6))
    mean -= mean.mean(axis=1, keepdims=True)
    noise = 3 * rng.standard_t(4, mean.shape)
    noise -= noise.mean(axis=1, keepdims=True)
    expected = expected_score(frame(mean), frame(mean + noise))
    flipped = expected_score(frame(mean), frame(mean - noise))
    assert expected.accuracy == pytest.approx(flipped.accuracy)
    assert expected.ic == pytest.approx(flipped.ic)
    # fresh noise of the same law realises it within the sampling error, which the expectation does not have
    fresh = 3 * rng.standard_t(4, mean.shape)
    realised = score_forecast(frame(mean), frame(mean + fresh - fresh.mean(axis=1, keepdims=True)))
    assert realised.accuracy == pytest.approx(expected.accuracy, abs=4 * realised.accuracy_error)
    assert realised.ic == pytest.approx(expected.ic, abs=4 * realised.ic_error)
    assert realised.rank_ic == pytest.approx(expected.rank_ic, abs=4 * realised.rank_ic_error)
    assert expected.accuracy_error < realised.accuracy_error / 2
