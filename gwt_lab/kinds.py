"""What kind of value a setting is: one rule of it for every room."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["is_number", "is_whole"]


def is_number(value: Any) -> bool:
    """Return whether a value is one number, Python's or NumPy's; a truth value is none."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number by its type; a truth value is none, and neither is 2.0."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
