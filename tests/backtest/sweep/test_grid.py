"""Grids: every form they come in, draws from products that nobody could write down, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.sweep.grid import read_axes
from gwt_lab.errors import ConfigError


def rows(grid, **options):
    combinations = read_axes(grid, **options).every()
    return [combinations.row(number) for number in range(len(combinations))]


def test_a_dict_is_the_product_with_the_last_parameter_moving_fastest() -> None:
    expected = [{"a": a, "b": b} for a, b in itertools.product([5, 10], ["x", "y", "z"])]
    assert rows({"a": [5, 10], "b": ("x", "y", "z")}) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (3, [3]),
        ("text", ["text"]),
        (np.float64(0.5), [0.5]),
        (np.array(4), [4]),
        (range(2, 8, 3), [2, 5]),
        (np.arange(3), [0, 1, 2]),
        (np.linspace(0, 1, 3), [0.0, 0.5, 1.0]),
        (pd.Series([7, 8]), [7, 8]),
        ({"one": 1}.values(), [1]),
        ((n for n in (4, 5)), [4, 5]),
        ([True, False], [True, False]),
        ([1, 2.5], [1.0, 2.5]),
    ],
)
def test_values_come_in_every_form(values, expected) -> None:
    assert [row["a"] for row in rows({"a": values})] == expected


def test_rows_are_taken_as_they_are_repeats_included() -> None:
    frame = pd.DataFrame({"a": [3, 1, 3], "b": [0.5, 0.25, 0.5]}, index=[9, 9, 9])
    expected = [{"a": 3, "b": 0.5}, {"a": 1, "b": 0.25}, {"a": 3, "b": 0.5}]
    assert rows(frame) == expected
    assert rows([{"b": 0.5, "a": 3}, {"a": 1, "b": 0.25}]) == [{"b": 0.5, "a": 3}, {"b": 0.25, "a": 1}]


def test_no_grid_is_one_combination() -> None:
    assert rows(None) == [{}]
    assert rows({}) == [{}]


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ({"a": []}, "a has no values"),
        ({"a": [1, 1]}, "more than once"),
        ({"a": [1, None]}, "missing value"),
        ({"a": [1.0, np.nan]}, "missing value"),
        ({"a": [1.0, np.inf]}, "infinite"),
        ({"a": [[1, 2], [3]]}, "hashable"),
        ({"symbol": [1]}, "other than 'symbol'"),
        ({1: [1]}, "named by text"),
        ([{"a": 1}, {"b": 1}], "the same parameters"),
        ([], "must hold dicts"),
        (pd.DataFrame({"a": []}), "one row or more"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "each parameter once"),
        ("fast=5", "got str"),
        ({"a": range(10**9)}, "1,000,000,000 values"),
    ],
)
def test_grids_that_make_no_sense_are_refused(grid, told) -> None:
    with pytest.raises(ConfigError, match=told):
        read_axes(grid)


def test_a_rule_may_be_off() -> None:
    found = read_axes({"sl_stop": [None, 0.05]}, optional=["sl_stop"]).every().values("sl_stop")
    np.testing.assert_array_equal(found, [np.nan, 0.05])


BILLION = {"a": range(1000), "b": range(1000), "c": np.linspace(0, 1, 1000)}


@pytest.mark.parametrize("n_parameters", [3, 9])
def test_a_product_too_large_to_write_down_can_be_drawn_from(n_parameters) -> None:
    grid = {f"p{number}": range(1000) for number in range(n_parameters)}
    axes = read_axes(grid)
    assert axes.n_product == 1000**n_parameters
    drawn = axes.sample(500, seed=1)
    codes = drawn.codes
    assert len(np.unique(codes, axis=0)) == 500
    np.testing.assert_array_equal(codes, axes.sample(500, seed=1).codes)
    assert (codes != axes.sample(500, seed=2).codes).any()
    # in the grid's order, and all over the place
    assert [tuple(row) for row in codes] == sorted(tuple(row) for row in codes)
    assert codes.min() >= 0
    assert 900 < codes.max() < 1000


def test_a_draw_of_everything_is_everything() -> None:
    axes = read_axes({"a": range(7), "b": range(3)})
    np.testing.assert_array_equal(axes.sample(21, 0).codes, axes.every().codes)
    for n in (1, 10, 20):
        drawn = {tuple(row) for row in axes.sample(n, 3).codes}
        assert len(drawn) == n


def test_a_draw_is_even() -> None:
    axes = read_axes({"a": range(10)})
    counts = np.bincount(np.concatenate([axes.sample(3, seed).codes[:, 0] for seed in range(1000)]), minlength=10)
    # 300 expected with a deviation of 14.5
    assert (np.abs(counts - 300) < 75).all()


def test_the_index_is_the_one_pandas_would_make() -> None:
    grid = {"a": [5, 10], "stop": [None, 0.5], "how": ["x", "y"], "flag": [True, False]}
    combinations = read_axes(grid, optional=["stop"]).every()
    symbols = ["A/USDT", "B/USDT"]
    expected = pd.MultiIndex.from_product([[5, 10], [np.nan, 0.5], ["x", "y"], [True, False], symbols])
    index = combinations.index(symbols)
    assert index.names == ["a", "stop", "how", "flag", "symbol"]
    pd.testing.assert_index_equal(index, expected.set_names(index.names), exact=False)
    assert index.get_level_values("a").dtype == np.int64
