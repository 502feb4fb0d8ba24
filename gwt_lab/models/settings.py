"""Settings of models as numbers of the right kind, or a message that says what was wanted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gwt_lab.errors import ConfigError
from gwt_lab.kinds import is_number

__all__ = ["number", "threshold_of", "whole_number"]


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return a whole number as Python's own.

    Raises
    ------
    ConfigError
        If it is none, or out of range.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if value < least or (most is not None and value > most):
        wanted = f"at least {least}" if value < least else f"at most {most}"
        raise ConfigError(f"{name} must be {wanted}, got {value}")
    return int(value)


def number(name: str, value: Any, low: float, high: float = math.inf, *, above: bool = False) -> float:
    """Return a finite number from `low` (above it, if so) up to `high`, as Python's own.

    Raises
    ------
    ConfigError
        If it is none, or out of range.
    """
    kind = is_number(value)
    if not kind or not math.isfinite(value) or not low <= value <= high or (above and value == low):
        wanted = f"above {low:g}" if above else f"of at least {low:g}"
        wanted += f" and at most {high:g}" if math.isfinite(high) else ""
        raise ConfigError(f"{name} must be a number {wanted}, got {value!r}")
    return float(value)


def threshold_of(value: Any) -> float:
    """Return the probability from which a forecast is a signal.

    Raises
    ------
    ConfigError
        If it does not lie between 0.5 and 1.
    """
    kind = is_number(value)
    if not kind or not 0.5 <= value < 1:
        raise ConfigError(f"threshold must lie between 0.5 and 1, got {value!r}")
    return float(value)
