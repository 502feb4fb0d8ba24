"""Tests that want something beyond Python: skipped with a reason without it, failed where it is demanded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

__all__ = ["DEMANDED", "require"]

DEMANDED = "GWT_REQUIRE_SERVICES"


def require(condition: Any, what: str, how: str) -> None:
    """Go on if `condition` holds; else skip, or fail where `GWT_REQUIRE_SERVICES=1` demands every service.

    Parameters
    ----------
    condition : object
        True where the service is there. A `Path` counts if it exists.
    what : str
        The service that is missing.
    how : str
        One line: how to get it.
    """
    if condition.exists() if isinstance(condition, Path) else condition:
        return
    reason = f"wants {what}: {how}"
    if os.environ.get(DEMANDED) == "1":
        pytest.fail(f"{reason} ({DEMANDED}=1 demands it)", pytrace=False)
    pytest.skip(reason)
