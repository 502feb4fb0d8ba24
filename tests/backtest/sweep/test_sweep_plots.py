"""The figures show the sweep's own numbers, mark what they say they mark, and say what was reduced."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.sweep.result import SweepInfo, SweepResult
from gwt_lab.errors import ConfigError, UnknownNameError


def result(values, levels: dict[str, list], symbols=("A/USDT",)) -> SweepResult:
    index = pd.MultiIndex.from_product([*levels.values(), list(symbols)], names=[*levels, "symbol"])
    made = SweepResult({"sharpe_ratio": np.asarray(values, dtype=float).ravel()}, index=index)
    made._info = SweepInfo("ma_cross", tuple(levels), "filled at the next open; more", "filled at the next open")
    return made


def hill() -> np.ndarray:
    """Return a broad hill at (4, 3) and a lone, higher spike at (0, 0), shape (7, 6)."""
    x, y = np.meshgrid(np.arange(7), np.arange(6), indexing="ij")
    values = np.exp(-((x - 4) ** 2 + (y - 3) ** 2) / 6.0)
    values[0, 0] = 3.0
    return values


def marks(figure) -> dict[str, tuple]:
    return {trace.name: (trace.x[0], trace.y[0]) for trace in figure.data if trace.type == "scatter"}


def test_a_heatmap_holds_the_values_with_both_optima_marked() -> None:
    values = hill()
    figure = result(values, {"fast": list(range(10, 17)), "slow": [20, 30, 40, 50, 60, 70]}).heatmap("fast", "slow")
    cells = figure.data[0]
    np.testing.assert_array_equal(np.asarray(cells.z), values.T)
    assert list(cells.x) == list(range(10, 17))
    assert marks(figure) == {"highest": (10, 20), "plateau": (14, 50)}
    subtitle = figure.layout.title.subtitle.text
    assert "highest 3 at fast 10, slow 20; plateau 1 at fast 14, slow 50" in subtitle
    assert "filled at the next open" in subtitle
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("fast", "slow")


def test_the_axes_are_the_first_two_that_vary_unless_named() -> None:
    made = result(np.arange(12), {"a": [1], "b": [1, 2, 3], "c": [1, 2, 3, 4]})
    assert made.heatmap().layout.xaxis.title.text == "b"
    assert made.heatmap().layout.yaxis.title.text == "c"
    assert made.heatmap("c").layout.yaxis.title.text == "b"


def test_what_is_no_axis_is_reduced_by_the_median_and_named() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(3, 4, 5, 2))
    made = result(values, {"a": [1, 2, 3], "b": [1, 2, 3, 4], "c": [1, 2, 3, 4, 5]}, ("A/USDT", "B/USDT"))
    figure = made.heatmap("a", "b", plateau=False)
    np.testing.assert_allclose(np.asarray(figure.data[0].z), np.median(values, axis=(2, 3)).T)
    assert "median over c, 2 symbols" in figure.layout.title.subtitle.text
    assert set(marks(figure)) == {"highest"}
    one = made.heatmap("a", "b", symbol="B/USDT")
    np.testing.assert_allclose(np.asarray(one.data[0].z), np.median(values[..., 1], axis=2).T)
    assert "median over c; B/USDT" in one.layout.title.subtitle.text


def test_a_stop_that_is_off_is_called_none_and_uneven_steps_get_even_cells() -> None:
    made = result(np.arange(6), {"fast": [5, 10], "sl_stop": [np.nan, 0.01, 0.1]})
    figure = made.heatmap("fast", "sl_stop")
    assert list(figure.data[0].y) == [0.01, 0.1, "none"]
    assert figure.layout.yaxis.type == "category"
    assert figure.layout.xaxis.type == "linear"


def test_cells_without_a_value_stay_empty() -> None:
    values = hill()
    values[2, :] = np.nan
    figure = result(values, {"fast": list(range(7)), "slow": list(range(6))}).heatmap()
    assert np.isnan(np.asarray(figure.data[0].z, dtype=float)[:, 2]).all()
    nothing = result(np.full((2, 2), np.nan), {"a": [1, 2], "b": [1, 2]}).heatmap()
    assert "no value is a number" in nothing.layout.title.subtitle.text


def test_a_volume_where_the_grid_is_complete_and_points_where_not() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(3, 4, 5))
    made = result(values, {"a": [1, 2, 3], "b": [1, 2, 3, 4], "c": [1, 2, 3, 4, 5]})
    whole = made.volume("a", "b", "c").data[0]
    assert whole.type == "volume"
    np.testing.assert_array_equal(np.sort(whole.value), np.sort(values.ravel()))
    some = made.iloc[::3].volume("a", "b", "c").data[0]
    assert some.type == "scatter3d"
    np.testing.assert_array_equal(some.marker.color, made.iloc[::3]["sharpe_ratio"])
    assert some.x[3] == made.index[9][0]


def test_axes_that_make_no_sense_are_refused() -> None:
    made = result(hill(), {"fast": list(range(7)), "slow": list(range(6))})
    with pytest.raises(UnknownNameError, match="no parameter luck; there are fast, slow"):
        made.heatmap("luck", "slow")
    with pytest.raises(ConfigError, match="parameter of its own"):
        made.heatmap("slow", "slow")
    with pytest.raises(UnknownNameError, match="no symbol 'B'; there are A/USDT"):
        made.heatmap("fast", "slow", symbol="B")
    with pytest.raises(UnknownNameError, match="no metric 'luck'"):
        made.heatmap(metric="luck")
    with pytest.raises(ConfigError, match="3 parameters needs 3"):
        made.volume()
    texts = result(np.arange(8), {"a": ["x", "y"], "b": [1, 2], "c": [1, 2]})
    with pytest.raises(ConfigError, match="a holds text"):
        texts.volume()
    assert texts.heatmap("a", "b").layout.xaxis.type == "category"
