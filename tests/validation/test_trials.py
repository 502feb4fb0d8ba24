"""A configuration is the same trial however it is written, and another one where anything that counts differs."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.validation.trials import MOST_SIGNATURES, Trials, study_name
from tests.docs.pages import ROOT
from tests.oracles.markets import random_bars

SETTING: dict[str, Any] = {
    "data": "3f" * 32,
    "universe": ["BTC/USDT", "ETH/USDT"],
    "label": "next_open fees=0.001",
    "strategy": "ma_cross",
}


def hashes(parameters: Any, **changes: Any) -> list[int]:
    return Trials(parameters, **(SETTING | changes)).hashes.tolist()


# ------------------------------------------------------------------------------------------------ the same trial
@pytest.mark.parametrize(
    "other",
    [
        {"slow": 50, "fast": 10},
        {"fast": 10.0, "slow": np.int16(50)},
        {"fast": np.array([10]), "slow": np.array([50.0], dtype=np.float32)},
        {"fast": [10], "slow": (50,)},
        {"fast": range(10, 11), "slow": pd.Series([50], index=[7])},
        [{"slow": np.uint8(50), "fast": 10}],
        [{"fast": 10, "slow": 50, "stop": None}],
        pd.DataFrame({"slow": [50], "fast": [10.0], "stop": [np.nan]}),
        pd.DataFrame({"fast": pd.array([10], dtype="Int64"), "slow": pd.Categorical([50])}),
    ],
    ids=lambda other: type(other).__name__,
)
def test_one_configuration_written_in_many_ways(other: Any) -> None:
    assert hashes(other) == hashes({"fast": 10, "slow": 50})


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (0.0, -0.0),
        (True, 1),
        (np.bool_(False), 0.0),
        (2**60, float(2**60)),
        (np.uint64(2**63), 2**63),
        ("ema", np.str_("ema")),
        ((1, 2.0), [1.0, 2]),
        (np.array([1, 2]), (1, 2)),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}),
        ({1, 2, 3}, frozenset({3.0, 2, 1})),
        (datetime(2024, 1, 1), np.datetime64("2024-01-01")),  # noqa: DTZ001 - naive times are UTC
        (pd.Timestamp("2024-01-01 02:00", tz="Europe/Berlin"), pd.Timestamp("2024-01-01 01:00", tz="UTC")),
        (date(2024, 1, 1), pd.Timestamp("2024-01-01")),
        (timedelta(hours=1), np.timedelta64(60, "m")),
    ],
)
def test_equal_values_are_one_value(one: Any, same: Any) -> None:
    assert hashes([{"x": one}]) == hashes([{"x": same}])


def test_columns_and_single_values_agree() -> None:
    """A column is hashed at once, a value by itself: both must come to the same bits."""
    columns: dict[str, Any] = {
        "whole": np.array([-3, 0, 2**53, 7]),
        "large": np.array([2**60, 2**60 + 1, -(2**62), 5]),
        "small": np.array([1, 2, 3, 250], dtype=np.uint8),
        "part": np.array([0.1, -0.0, 1e300, np.nan]),
        "flag": np.array([True, False, True, True]),
        "text": np.array(["a", "b", "", "é"]),
        "time": np.array(["2024-01-01", "NaT", "2024-01-02", "2024-01-03"], dtype="M8[s]"),
        "span": np.array([1, 2, 3, 4], dtype="m8[h]"),
        "mixed": [1, "1", None, (1, "x")],
        "lists": [[1], [2], [[1, 2], 3], {"a": [1]}],
    }
    rows = [{name: column[row] for name, column in columns.items()} for row in range(4)]
    together = hashes(columns)
    assert together == hashes(rows) == [hashes([row])[0] for row in rows] == hashes(pd.DataFrame(columns))
    assert len(set(together)) == 4


def test_bars_are_known_by_their_content() -> None:
    bars = random_bars(2, 50, seed=1)
    from_bars, named = (Trials({"a": 1}, **(SETTING | {"data": data})) for data in (bars, bars.content_hash))
    assert from_bars.data == bars.content_hash
    np.testing.assert_array_equal(from_bars.hashes, named.hashes)


def test_order_of_symbols_and_the_code_say_nothing() -> None:
    grid = {"fast": [5, 10]}
    assert hashes(grid, universe=("ETH/USDT", "BTC/USDT", "ETH/USDT")) == hashes(grid)
    assert hashes(grid, code_hash="refactored") == hashes(grid)
    assert hashes(grid, universe="BTC/USDT") == hashes(grid, universe=["BTC/USDT"])
    assert hashes(grid, study=study_name(SETTING["data"], "ma_cross")) == hashes(grid)
    assert study_name(SETTING["data"], "ma_cross") == "ma_cross on 3f3f3f3f3f3f"


def test_another_process_finds_the_same_hashes() -> None:
    """Python's own hashes differ from run to run."""
    parameters = "[{'a': 'x', 'b': {1, 'y'}, 'c': (1, 2.5, None)}]"
    program = f"from tests.validation.test_trials import hashes\nprint(hashes({parameters}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == str(hashes([{"a": "x", "b": {1, "y"}, "c": (1, 2.5, None)}]))


# ------------------------------------------------------------------------------------------------ another trial
@pytest.mark.parametrize(
    "other",
    [
        {"fast": 50, "slow": 10},
        {"fast": 10, "slow": 51},
        {"fast": 10},
        {"fast": 10, "slow": 50, "stop": 0},
        {"fast": 10, "Slow": 50},
        {"fast": 10, "slow": "50"},
        {"fast": 10, "slow": np.float32(50.1)},
    ],
    ids=str,
)
def test_another_configuration(other: Any) -> None:
    assert hashes(other) != hashes({"fast": 10, "slow": 50})


@pytest.mark.parametrize(
    "change",
    [{"data": "3e" * 32}, {"universe": ["BTC/USDT"]}, {"label": "close"}, {"strategy": "rsi"}, {"study": "mine"}],
    ids=str,
)
def test_another_setting(change: dict[str, Any]) -> None:
    grid = {"fast": [5, 10], "slow": [50, 50]}
    kept = {"study": "one"} if "study" not in change else {}  # the default name would differ as well
    assert not set(hashes(grid, **change, **kept)) & set(hashes(grid, **kept))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (2**60, 2**60 + 1),
        (2**70, 2**70 + 1),
        (10**400, 10**400 + 1),
        (1, "1"),
        (None, 0),
        ((1, 2), (2, 1)),
        ((1, 2), {1, 2}),
        ([1, [2]], [[1], 2]),
        ({"a": 1}, {"b": 1}),
        ([None, 1], [1]),
        (timedelta(hours=1), datetime(1970, 1, 1, 1)),  # noqa: DTZ001
        (float("inf"), float("-inf")),
    ],
    ids=str,
)
def test_values_that_differ(one: Any, other: Any) -> None:
    assert hashes([{"x": one}]) != hashes([{"x": other}])


def test_no_two_of_a_million_configurations_meet() -> None:
    fast, slow = (axis.ravel() for axis in np.meshgrid(np.arange(1000), np.arange(1000) / 8))
    assert len(np.unique(Trials({"fast": fast, "slow": slow}, **SETTING).hashes)) == 1_000_000


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("abc"), st.integers(-3, 3) | st.sampled_from(["x", "y", 0.5, True]), max_size=3
        ),
        min_size=1,
        max_size=12,
    )
)
def test_hashes_are_equal_exactly_where_configurations_are(rows: list[dict[str, Any]]) -> None:
    found = hashes(rows)
    for one, first in zip(rows, found, strict=True):
        for other, second in zip(rows, found, strict=True):
            assert (first == second) == (one == other)


# ------------------------------------------------------------------------------------------------ rows and parts
def test_the_rows_that_want_a_signature_are_those_of_the_smallest_hashes() -> None:
    few = Trials({"fast": range(500)}, **SETTING)
    np.testing.assert_array_equal(few.signature_rows, np.arange(500))
    many = Trials({"fast": range(5000)}, **SETTING)
    assert len(many.signature_rows) == MOST_SIGNATURES
    assert (np.diff(many.signature_rows) > 0).all()
    rest = np.delete(many.hashes, many.signature_rows)
    assert many.hashes[many.signature_rows].max() < rest.min()
    assert 1100 < many.signature_rows[: MOST_SIGNATURES // 4].max() < 1400  # spread evenly over the grid


def test_parts_want_together_what_the_whole_wants() -> None:
    whole = Trials({"fast": range(5000)}, **SETTING)
    parts = [(start, whole.part(start, min(start + 700, 5000))) for start in range(0, 5000, 700)]
    np.testing.assert_array_equal(np.concatenate([part.hashes for _, part in parts]), whole.hashes)
    wanted = np.concatenate([part.signature_rows + start for start, part in parts])
    np.testing.assert_array_equal(wanted, whole.signature_rows)
    assert len(whole) == 5000
    with pytest.raises(ShapeError, match="must lie within them, got rows 10 to 5001"):
        whole.part(10, 5001)


def test_no_parameters_are_one_configuration() -> None:
    assert len(hashes({})) == 1
    assert hashes({}) == hashes([{}]) == hashes({"x": None})
    assert hashes(pd.DataFrame({"fast": []})) == []
    assert repr(Trials({"b": 1, "a": 2}, **SETTING)) == "Trials(1 of ma_cross(a, b), study 'ma_cross on 3f3f3f3f3f3f')"


# ------------------------------------------------------------------------------------------------ mistakes
class Colour(Enum):
    RED = 1


@pytest.mark.parametrize(
    "value", [len, object(), Decimal(1), Colour.RED, 1j, b"raw"], ids=lambda value: type(value).__name__
)
def test_a_value_that_cannot_be_compared_is_refused(value: Any) -> None:
    with pytest.raises(DataError, match=r"parameter 'x' is a \w+, which has no value to compare"):
        Trials([{"x": value}], **SETTING)


def test_mistakes_are_named() -> None:
    with pytest.raises(ShapeError, match=r"must have one length, got \{'a': 2, 'b': 3\}"):
        Trials({"a": [1, 2], "b": [1, 2, 3]}, **SETTING)
    with pytest.raises(ShapeError, match="parameter 'b' is a str where arrays are wanted"):
        Trials({"a": [1, 2], "b": "ema"}, **SETTING)
    with pytest.raises(ShapeError, match=r"'a' must have one value a configuration, got shape \(2, 2\)"):
        Trials({"a": np.zeros((2, 2))}, **SETTING)
    with pytest.raises(ShapeError, match="name a column twice"):
        Trials(pd.DataFrame([[1, 2]], columns=["a", "a"]), **SETTING)
    with pytest.raises(DataError, match="must be a DataFrame, a dict of arrays or a list of dicts, got a int"):
        Trials(3, **SETTING)
    with pytest.raises(ConfigError, match="universe must name one symbol or more"):
        Trials({}, **(SETTING | {"universe": []}))
    with pytest.raises(ConfigError, match="strategy of a trial must be a text that says something, got ''"):
        Trials({}, **(SETTING | {"strategy": ""}))
    with pytest.raises(ConfigError, match="data of a trial must be a text that says something, got None"):
        Trials({}, **(SETTING | {"data": None}))
    with pytest.raises(ConfigError, match="data of a trial must be a text"):
        Trials({}, **(SETTING | {"data": None, "study": "mine"}))
