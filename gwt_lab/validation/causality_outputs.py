"""How the look-ahead detector compares two outputs over the same rows: NaN equals NaN and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError

__all__ = ["ROWS", "as_frame", "differences", "times_of", "until"]

ROWS = "(rows)"  # the name under which missing or additional rows are reported


def as_frame(output: Any) -> pd.DataFrame:
    """Return a function's output as a frame with times.

    Raises
    ------
    DataError
        If it is none, or has no times.
    """
    frame = output.to_frame() if isinstance(output, pd.Series) else output
    if not isinstance(frame, pd.DataFrame) or not isinstance(times_of(frame), pd.DatetimeIndex):
        raise DataError(
            f"the function must return a frame indexed by time or (datetime, instrument), got {type(output).__name__}"
        )
    return frame


def times_of(frame: pd.DataFrame) -> pd.Index:
    """Return the time of each row."""
    if not isinstance(frame.index, pd.MultiIndex):
        return frame.index
    level = "datetime" if "datetime" in frame.index.names else 0
    return frame.index.get_level_values(level)


def until(frame: pd.DataFrame, last: pd.Timestamp) -> pd.DataFrame:
    """Return the rows up to a time, included."""
    return frame[times_of(frame) <= last]


def differences(whole: pd.DataFrame, part: pd.DataFrame, tolerance: float) -> Iterator[tuple[str, pd.Timestamp]]:
    """Yield (column, first time) wherever two outputs over the same rows differ."""
    if not whole.index.equals(part.index):
        differing = whole.index.symmetric_difference(part.index)
        if len(differing):
            yield ROWS, min(times_of(pd.DataFrame(index=differing)))
        common = whole.index.intersection(part.index)
        whole, part = whole.loc[common], part.loc[common]
    if not len(whole):
        return
    times = times_of(whole)
    if whole.columns.equals(part.columns) and _numeric(whole) and _numeric(part):
        wrong = ~_near(whole.to_numpy(np.float64), part.to_numpy(np.float64), tolerance)
        for position in np.flatnonzero(wrong.any(axis=0)):
            yield str(whole.columns[position]), times[wrong[:, position]].min()
        return
    for name in whole.columns.union(part.columns, sort=False):
        if name not in whole.columns or name not in part.columns:
            yield str(name), times[0]
            continue
        differing = ~_equal(whole[name], part[name], tolerance)
        if differing.any():
            yield str(name), times[differing].min()


def _numeric(frame: pd.DataFrame) -> bool:
    return all(isinstance(kind, np.dtype) and kind.kind in "fiub" for kind in frame.dtypes)


def _near(a: np.ndarray, b: np.ndarray, tolerance: float) -> np.ndarray:
    equal = (a == b) | (np.isnan(a) & np.isnan(b))
    if tolerance:
        with np.errstate(invalid="ignore"):
            equal |= np.abs(a - b) <= tolerance * (1 + np.abs(a))
    return np.asarray(equal)


def _equal(left: pd.Series, right: pd.Series, tolerance: float) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(left) and pd.api.types.is_numeric_dtype(right):
        a, b = (column.to_numpy(dtype=np.float64, na_value=np.nan) for column in (left, right))
        return _near(a, b, tolerance)
    same = (left.to_numpy(dtype=object) == right.to_numpy(dtype=object)) | (left.isna() & right.isna()).to_numpy()
    return np.asarray(same, dtype=bool)
