"""Sweeps: every combination of parameters through one fused pass over the bars.

`sweep` and `SweepResult` are loaded on first use, so that importing a kernel does not import the engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gwt_lab.backtest.sweep.engine import sweep
    from gwt_lab.backtest.sweep.result import SweepResult

__all__ = ["SweepResult", "sweep"]

_PLACES = {"sweep": "engine", "SweepResult": "result"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
