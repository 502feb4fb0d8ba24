"""The synthetic market: its bars are sound and its truth is true."""

from __future__ import annotations

from gwt_lab.data.synthetic import synthetic_market


def test_the_realised_score_of_the_true_forecast_is_the_expected_one():
    market = synthetic_market(n_assets=12, n_bars=10_000, seed=3)
    realised, expected = market.score(market.truth.forecast), market.truth.score
    assert abs(realised.accuracy - expected.accuracy) < 4 * realised.accuracy_error
    assert realised.accuracy > 0.5 + 4 * realised.accuracy_error
