"""Stylised facts: the synthetic market has them, the estimators find planted values, the figure is drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.synthetic import synthetic_market
from gwt_lab.errors import DataError
from gwt_lab.market.as_bars import as_bars
from research.stylised_facts import BANDS, facts
from research.stylised_facts.__main__ import main, real_hours
from research.stylised_facts.curves import WINDOW, Curves, marchenko_pastur


def outside(table):
    wrong = table[~table["inside"].astype(bool)]
    return wrong[["value", "low", "high"]].round(3).to_dict("index")


def closes(returns):
    """Bars whose closes have these log returns; open is the close before."""
    index = pd.date_range("2021-01-04", periods=len(returns), freq="h", tz="UTC")
    log = np.cumsum(returns, axis=0)
    parts = []
    for n, column in enumerate(log.T):
        close, before = np.exp(column), np.exp(np.concatenate([[0.0], column[:-1]]))
        top, bottom = np.maximum(close, before), np.minimum(close, before)
        size = np.abs(returns[:, n])
        values = {"open": before, "high": top, "low": bottom, "close": close, "volume": (1 + size) / close}
        parts.append(pd.DataFrame({"timestamp": index, "symbol": f"S{n}/USDT"} | values))
    return as_bars(pd.concat(parts))


@pytest.fixture(scope="module")
def noise():
    return closes(0.01 * np.random.default_rng(1).standard_normal((30_000, 20)))


# ------------------------------------------------------------------------------------------------ the markets
@pytest.mark.parametrize("seed", [7, 1, 2, 3])
def test_the_synthetic_market_lies_inside_every_band(seed):
    assert outside(facts(synthetic_market(seed=seed).bars)) == {}


def test_gaps_do_not_move_the_facts():
    whole = facts(synthetic_market(8, 8_000, seed=3).bars)
    holes = facts(synthetic_market(8, 8_000, seed=3, outages=True).bars)
    np.testing.assert_allclose(holes["value"], whole["value"], rtol=0.1, atol=0.02)


def test_noise_has_none_of_the_facts(noise):
    table = facts(noise)
    missed = {name for name, inside in table["inside"].items() if not inside}
    assert missed >= {"tail index", "kurtosis", "memory of |r|", "correlation", "market mode", "hour of day"}
    assert {"memory of r", "variance ratio", "leverage"}.isdisjoint(missed)


@pytest.mark.real
@pytest.mark.parametrize("since", ["2021-04-05", "2022-01-01"])
def test_real_bars_lie_inside_every_band(real_data, since):
    bars = real_hours(real_data)
    if bars is None:
        pytest.skip("no hourly bars of spot pairs below GWT_REAL_DATA")
    assert outside(facts(bars.select(start=since))) == {}


# ------------------------------------------------------------------------------------------------ the estimators
def test_the_tail_index_of_student_returns_is_their_degrees_of_freedom():
    draws = 0.01 * np.random.default_rng(2).standard_t(2.5, (200_000, 3))
    found = Curves(closes(np.clip(draws, -0.5, 0.5))).tail_index
    np.testing.assert_allclose(found, 2.5, atol=0.2)


def test_memory_of_an_autoregression_is_found():
    rng, value, rows = np.random.default_rng(3), np.zeros(3), []
    for _ in range(40_000):
        value = 0.3 * value + 0.01 * rng.standard_normal(3)
        rows.append(value)
    curves = Curves(closes(np.array(rows)))
    np.testing.assert_allclose(
        curves.autocorrelation((1, 2, 3)), np.array([[0.3], [0.09], [0.027]]) * np.ones(3), atol=0.03
    )
    # Var(2 bars) / 2 Var(1 bar) = 1 + rho(1)
    np.testing.assert_allclose(curves.variance_ratio(2), 1.3, atol=0.03)


def test_leverage_points_from_returns_to_later_sizes():
    rng = np.random.default_rng(4)
    shocks = rng.standard_normal((40_000, 3))
    size = np.vstack([np.ones((1, 3)), np.where(shocks[:-1] < 0, 1.5, 0.5)])
    curves = Curves(closes(0.01 * shocks * size))
    later, earlier = curves.leverage((1,)), curves.leverage((-1,))
    assert (later < -0.2).all()
    assert (np.abs(earlier) < 0.03).all()


def test_noise_lies_between_the_edges_of_marchenko_and_pastur(noise):
    low, high, density = marchenko_pastur(20 / WINDOW, 1.0)
    grid = np.linspace(low, high, 20_001)
    assert np.trapezoid(density(grid), grid) == pytest.approx(1, abs=1e-3)
    assert np.trapezoid(density(grid) * grid, grid) == pytest.approx(1, abs=1e-3)
    values = np.concatenate(Curves(noise).spectra)
    assert np.mean((values > 0.9 * low) & (values < 1.1 * high)) > 0.99


def test_weeks_with_a_hole_leave_the_symbol_out():
    bars = synthetic_market(5, 2_000, seed=1).bars
    frame = bars.to_frame()
    hole = (frame["symbol"] == "BTC/USDT") & (frame["timestamp"] == bars.index[200])
    sizes = [len(values) for values in Curves(as_bars(frame[~hole])).spectra]
    assert sizes[:3] == [5, 4, 5]


def test_bands_are_for_hours_and_need_enough_bars():
    table = facts(synthetic_market(4, 1_200, "15m", seed=1).bars)
    assert table["inside"].isna().all()
    assert table["low"].isna().all()
    assert np.isfinite(table["value"]).all()
    with pytest.raises(DataError, match="at least 1,000 bars of 3 symbols, got 900 of 4"):
        facts(synthetic_market(4, 900).bars)


def test_the_table_says_what_and_from_where():
    table = facts(synthetic_market(6, 3_000, seed=1).bars)
    assert list(table.index) == list(BANDS)
    assert (table["low"] < table["high"]).all()
    assert table[["meaning", "source"]].map(len).min().min() > 5
    spread = table.dropna(subset="lower")
    assert (spread["lower"] <= spread["value"]).all()
    assert (spread["value"] <= spread["upper"]).all()


# ------------------------------------------------------------------------------------------------ the figure
def test_main_writes_the_figure_and_the_table(tmp_path):
    other = synthetic_market(5, 6_000, seed=9).bars
    table = main(tmp_path / "new", real=other.to_frame())
    assert set(table.index.get_level_values("market")) == {"synthetic", "real"}
    png, pdf = ((tmp_path / "new" / f"stylised_facts.{kind}").read_bytes() for kind in ("png", "pdf"))
    assert png.startswith(b"\x89PNG")
    assert pdf.startswith(b"%PDF")
    stored = pd.read_csv(tmp_path / "new" / "stylised_facts.csv", index_col=["market", "fact"])
    np.testing.assert_allclose(stored["value"], table["value"], rtol=1e-3)
    pd.testing.assert_series_equal(table.loc["real", "value"], facts(other)["value"])


def test_real_hours_takes_panels_of_hours_only(tmp_path):
    assert real_hours(tmp_path) is None
    folder = tmp_path / "some_spot"
    folder.mkdir()
    bars = synthetic_market(3, 30).bars
    bars.select("BTC/USDT").to_frame().to_parquet(folder / "a_1h.parquet")
    bars.to_frame().to_parquet(folder / "b_1h.parquet")
    assert real_hours(tmp_path).equals(bars)
