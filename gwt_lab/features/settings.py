"""Settings of features, read strictly: a mistake is told where it was made."""

from __future__ import annotations

from typing import Any

from gwt_lab.errors import ConfigError
from gwt_lab.kinds import is_whole

__all__ = ["names_of", "whole"]


def whole(value: Any, name: str, least: int = 1, unit: str = "bars") -> int:
    """Return a whole number of at least `least`.

    Raises
    ------
    ConfigError
        If it is none.
    """
    if not is_whole(value) or value < least:
        raise ConfigError(f"{name} must be a whole number of {unit}, at least {least}, got {value!r}")
    return int(value)


def names_of(names: Any) -> list[Any]:
    """Return names as a list, one name alone too."""
    return [names] if isinstance(names, str) else list(names)
