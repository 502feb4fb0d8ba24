"""Drift is seen where it is, and not where it is not."""

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import ConfigError, DataError
from gwt_lab.market.bars import Bars
from gwt_lab.models.drift import importance_change, needs_retraining, population_stability, rolling_accuracy
from gwt_lab.models.plots import plot_calibration, plot_contributions, plot_importance, plot_rolling_accuracy
from gwt_lab.models.signal_generator import QlibSignalGenerator
from tests.models.made import COLUMNS, SMALL, persistent_bars
from tests.oracles.markets import bars_from_returns


def _market(n_bars: int, *, turn: int | None = None, wild: int | None = None) -> Bars:
    """Return persistent returns that turn into reversing ones at `turn`, or become five times as large at `wild`."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(n_bars, 3)) * 0.004
    returns = np.zeros_like(noise)
    for t in range(1, n_bars):
        strength = -0.8 if turn is not None and t >= turn else 0.8
        returns[t] = strength * returns[t - 1] + noise[t]
    if wild is not None:
        returns[wild:] *= 5
    return bars_from_returns(returns, rng)


@pytest.fixture(scope="module")
def trained() -> QlibSignalGenerator:
    generator = QlibSignalGenerator(features=COLUMNS, **SMALL)
    generator.train(_market(1500).head(900))
    return generator


def test_nothing_moved(trained: QlibSignalGenerator) -> None:
    bars = _market(1500)
    verdict = trained.needs_retraining(bars)
    assert not verdict
    assert verdict.reasons == []
    assert verdict.figures["n_scored"] > 1000
    assert not population_stability(trained, bars)["drifted"].any()


def test_wilder_bars_are_another_population(trained: QlibSignalGenerator) -> None:
    bars = _market(1500, wild=1100)
    stability = population_stability(trained, bars)
    assert stability.loc["STD10", "drifted"]
    assert stability["psi"].is_monotonic_decreasing
    verdict = needs_retraining(trained, bars)
    assert verdict.needed
    assert "of the features have moved since training" in verdict.reasons[0]


def test_a_turned_market_shows_in_accuracy(trained: QlibSignalGenerator) -> None:
    bars = _market(1500, turn=900)
    frame = rolling_accuracy(trained, bars, window=200)
    assert frame.index.is_monotonic_increasing
    assert frame["high"].iloc[-1] < 0.5
    assert (frame["n"] == 600).all()
    reasons = needs_retraining(trained, bars, max_drifted=1.0).reasons
    assert len(reasons) == 1
    assert "validation had shown" in reasons[0]
    held = rolling_accuracy(trained, _market(1500), window=200)
    assert held["low"].iloc[-1] > 0.5


def test_the_index_by_hand(trained: QlibSignalGenerator) -> None:
    """The index of shares (0.5, 0.5) against (0.9, 0.1) is 0.4 ln(9/5) + 0.4 ln(5)."""
    from gwt_lab.models.drift import _psi, _shares

    column = np.array([0.0] * 9 + [2.0])
    found = _shares(column, np.array([1.0]))
    np.testing.assert_allclose(found, [0.9, 0.1, 0.0])
    wanted = 0.4 * np.log(9 / 5) + 0.4 * np.log(5)
    assert _psi(np.array([0.5, 0.5, 0.0]), found) == pytest.approx(wanted)
    assert _psi(found, found) == 0
    assert trained.reference_["features"]["KMID"]["shares"][:-1] == pytest.approx([0.1] * 10, abs=0.01)


def test_age_and_a_challenger_are_reasons(trained: QlibSignalGenerator) -> None:
    bars = _market(1500)
    verdict = needs_retraining(trained, bars, max_age="24h")
    assert verdict.reasons == ["the model is 25 days 00:00:00 old, 1 days 00:00:00 is allowed"]
    before = pd.Series([3.0, 2.0, 1.0], index=["a", "b", "c"])
    assert importance_change(before, before * 7) == 1
    assert importance_change(before, -before) == -1
    with pytest.raises(DataError, match="same features"):
        importance_change(before, before.iloc[:2])
    challenger = QlibSignalGenerator(features=COLUMNS, **SMALL)
    challenger.train(_market(1500, turn=100).tail(900))
    found = needs_retraining(trained, bars, challenger=challenger, min_importance_agreement=1.0)
    assert any("orders features otherwise" in reason for reason in found.reasons)


def test_a_loaded_model_is_as_wary(trained: QlibSignalGenerator, tmp_path) -> None:  # type: ignore[no-untyped-def]
    again = QlibSignalGenerator.load_model(trained.save_model(tmp_path / "m.json"))
    bars = _market(1500, wild=1100)
    assert again.needs_retraining(bars) == trained.needs_retraining(bars)
    with pytest.raises(ConfigError, match="window must be at least 2"):
        rolling_accuracy(again, bars, window=1)


def test_figures_hold_what_they_say(trained: QlibSignalGenerator) -> None:
    bars = _market(1500)
    figure = plot_importance(trained.importance(), top=3)
    assert list(figure.data[0].y) == list(trained.importance().index[:3])[::-1]
    assert sum(plot_importance(trained.importance()).data[0].x) == pytest.approx(1)
    assert len(plot_contributions(trained.contributions(bars)).data[0].x) == len(COLUMNS)
    calibration = plot_calibration(trained.report_)
    assert len(calibration.data[1].x) == 10
    frame = rolling_accuracy(trained, bars)
    assert list(plot_rolling_accuracy(frame, expected=0.6).data[2].y) == frame["accuracy"].tolist()
    with pytest.raises(ConfigError, match="forecasts returns"):
        plot_calibration({})
    with pytest.raises(ConfigError, match="top must be at least 1"):
        plot_importance(trained.importance(), top=0)
    for plot, wanted in (
        (plot_importance, r"a Series as generator\.importance\(\) gives it, got QlibSignalGenerator"),
        (plot_contributions, "a DataFrame as generator"),
        (plot_calibration, r"a dict as generator\.report_"),
        (plot_rolling_accuracy, "a DataFrame as rolling_accuracy"),
    ):
        with pytest.raises(ConfigError, match=wanted):
            plot(trained)  # type: ignore[operator]


def test_short_trainings_have_a_reference_too() -> None:
    generator = QlibSignalGenerator(features=COLUMNS, **SMALL)
    generator.train(persistent_bars(n_bars=200))
    assert generator.reference_["window"] == 30
    assert not needs_retraining(generator, persistent_bars(n_bars=200)).figures["drifted"] > 0.5
