"""Lengths of time as people write them, with their unit."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError

__all__ = ["duration"]


def duration(value: Any, name: str) -> pd.Timedelta:
    """Return a length of time.

    Parameters
    ----------
    value : str or timedelta
        Such as ``"60s"``, ``"1D"`` or ``pd.Timedelta(hours=1)``. A number alone is refused: pandas would count
        nanoseconds, and a delay would be none.
    name : str
        What to call it in an error.

    Raises
    ------
    ConfigError
        If it is none, or has no unit.
    """
    known = isinstance(value, (str, datetime.timedelta, np.timedelta64, pd.offsets.Tick))
    if known and not (isinstance(value, str) and value.strip().lstrip("+-").replace(".", "", 1).isdigit()):
        try:
            found = pd.Timedelta(value)
            if found is not pd.NaT:
                return found
        except ValueError:
            pass
    raise ConfigError(f"{name} must be a length of time with its unit, such as '60s', '1h' or '1D', got {value!r}")
