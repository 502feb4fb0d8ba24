"""The probability of backtest overfitting equals its plain twin and the known answers."""

import math

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.validation import overfitting
from gwt_lab.validation.overfitting import probability_of_backtest_overfitting
from tests.oracles.overfitting import overfitting_by_splits


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((320, 20))


# ------------------------------------------------------------------------------------------------ known answers
def test_known_answers_on_noise() -> None:
    found = probability_of_backtest_overfitting(noise(), n_blocks=8)
    assert len(found.logits) == 70
    assert found.pbo == pytest.approx(0.6857142857142857)
    assert found.logits.mean() == pytest.approx(-0.66418, abs=5e-6)
    assert probability_of_backtest_overfitting(noise(), n_blocks=10).pbo == pytest.approx(0.6984126984126984)


def test_noise_is_a_coin_on_average_and_skill_is_not() -> None:
    assert np.mean([probability_of_backtest_overfitting(noise(seed), 8).pbo for seed in range(60)]) == pytest.approx(
        0.530, abs=0.0005
    )
    skilled = noise()
    skilled[:, 3] += 0.25
    found = probability_of_backtest_overfitting(skilled, 8)
    assert found.pbo == 0.0
    assert found.loss_probability == 0.0


def test_without_a_mean_the_best_half_is_the_worst_half() -> None:
    found = probability_of_backtest_overfitting(noise() - noise().mean(axis=0), 8)
    assert found.pbo == 1.0
    assert found.loss_probability == 1.0
    assert found.slope < 0


# ------------------------------------------------------------------------------------------------ the plain twin
@pytest.mark.parametrize(("n_times", "n_strategies", "n_blocks"), [(320, 7, 8), (103, 12, 6), (61, 2, 10), (4, 3, 2)])
def test_equal_to_the_twin(n_times: int, n_strategies: int, n_blocks: int) -> None:
    rng = np.random.default_rng(n_times)
    returns = rng.standard_t(4, (n_times, n_strategies)) * 0.01 + 5.0 * (n_times == 103)  # also far from zero
    found = probability_of_backtest_overfitting(returns, n_blocks)
    expected = np.array(overfitting_by_splits(returns, n_blocks))
    np.testing.assert_allclose(found.logits, expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found.in_sample, expected[:, 1], rtol=1e-9)
    np.testing.assert_allclose(found.out_of_sample, expected[:, 2], rtol=1e-9)
    assert found.pbo == np.mean(expected[:, 0] <= 0)
    assert found.loss_probability == np.mean(expected[:, 2] < 0)
    assert found.slope == pytest.approx(np.polyfit(expected[:, 1], expected[:, 2], 1)[0])


def test_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = probability_of_backtest_overfitting(noise(), 10)
    monkeypatch.setattr(overfitting, "_CELLS", 60)
    np.testing.assert_array_equal(probability_of_backtest_overfitting(noise(), 10).logits, whole.logits)


def test_a_strategy_that_rests_for_half_of_the_time_has_ratio_zero_there() -> None:
    returns = noise()[:, :5]
    returns[:200, 1] = 0.0
    returns[40:, 2] = 0.0
    found = probability_of_backtest_overfitting(returns, 8)
    expected = np.array(overfitting_by_splits(returns, 8))
    np.testing.assert_allclose(found.logits, expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found.out_of_sample, expected[:, 2], rtol=1e-9)


def test_twins_share_their_rank() -> None:
    """Two equal strategies tie everywhere: both ranks are 1.5 of 3, which is no better than the median."""
    returns = np.repeat(noise()[:, :1], 2, axis=1)
    found = probability_of_backtest_overfitting(returns, 4)
    np.testing.assert_array_equal(found.logits, 0.0)
    assert found.pbo == 1.0


def test_relabelling_and_scale_say_nothing() -> None:
    returns = noise()
    order = np.random.default_rng(1).permutation(20)
    once = probability_of_backtest_overfitting(returns, 8)
    again = probability_of_backtest_overfitting(pd.DataFrame(returns[:, order] * 1e-6), 8)
    np.testing.assert_allclose(again.logits, once.logits)
    assert "68.57 %" in once._repr_html_()


# ------------------------------------------------------------------------------------------------ mistakes
def test_mistakes_are_named() -> None:
    frame = pd.DataFrame(noise(), columns=[f"s{number}" for number in range(20)])
    with pytest.raises(ConfigError, match="even number from 2 to 20, got 7"):
        probability_of_backtest_overfitting(frame, 7)
    for wrong in (math.nan, "16", None):
        with pytest.raises(ConfigError, match="n_blocks must be an even number"):
            probability_of_backtest_overfitting(frame, wrong)
    with pytest.raises(DataError, match="returns must be numbers, one column a strategy"):
        probability_of_backtest_overfitting(frame.assign(name="x"), 8)
    with pytest.raises(ConfigError, match="got 22"):
        probability_of_backtest_overfitting(frame, 22)
    with pytest.raises(DataError, match="16 blocks need 16 rows or more, got 10"):
        probability_of_backtest_overfitting(frame.head(10))
    with pytest.raises(ShapeError, match=r"2 strategies or more, got \(320, 1\)"):
        probability_of_backtest_overfitting(frame[["s3"]])
    with pytest.raises(DataError, match="got nan in row 7, column 's4'"):
        probability_of_backtest_overfitting(frame.mask((frame.index == 7)[:, None] & (frame.columns == "s4")), 8)
    frame["s5"] = 0.1
    with pytest.raises(DataError, match=r"1 of 20 columns return the same in every row .* \(s5\)"):
        probability_of_backtest_overfitting(frame, 8)
    frame["s5"] = np.where(np.arange(320) < 160, 0.1, noise()[:, 5])
    with pytest.raises(DataError, match=r"the same over a half of the rows .* \(s5\)"):
        probability_of_backtest_overfitting(frame, 8)
