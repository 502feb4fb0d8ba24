"""The names a bundle may use: a strategy is rebuilt from this list and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from gwt_lab.errors import ConfigError, UnknownNameError
from gwt_lab.strategies.base import Strategy

__all__ = ["create_strategy", "strategy_class", "strategy_from_dict", "strategy_names"]

# name -> module and class; imported on use
_STRATEGIES = {
    "ma_cross": ("gwt_lab.strategies.ma_cross", "MovingAverageCross"),
    "forecast_rank": ("gwt_lab.strategies.forecast_rank", "ForecastRank"),
}


def strategy_names() -> list[str]:
    """Return every registered name."""
    return sorted(_STRATEGIES)


def strategy_class(name: Any) -> type[Strategy]:
    """Return the class of a registered name.

    Raises
    ------
    UnknownNameError
        If there is no such name.
    """
    if name not in _STRATEGIES:
        raise UnknownNameError(f"no strategy {name!r}; there are {', '.join(strategy_names())}")
    module, attribute = _STRATEGIES[name]
    found: type[Strategy] = getattr(import_module(module), attribute)
    return found


def create_strategy(name: str, parameters: Mapping[str, Any] | None = None) -> Strategy:
    """Return a strategy by name and parameters.

    Raises
    ------
    UnknownNameError
        If there is no such name.
    ConfigError
        If a parameter is unknown or out of range, or the strategy needs a trained model.
    """
    chosen = strategy_class(name)
    return chosen.from_parameters(parameters or {}, {})


def strategy_from_dict(values: Mapping[str, Any]) -> Strategy:
    """Return the strategy that `Strategy.to_dict` described.

    Raises
    ------
    ConfigError
        If keys other than name, parameters and texts are there, or one is missing.
    """
    if set(values) != {"name", "parameters", "texts"}:
        raise ConfigError(f"a strategy has name, parameters and texts, got {', '.join(sorted(values)) or 'nothing'}")
    return strategy_class(values["name"]).from_parameters(values["parameters"], values["texts"])
