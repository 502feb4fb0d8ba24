"""How every account of a sweep trades: read from the caller's settings, refused where they make no sense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from gwt_lab.backtest.sweep.families import SweepRules
from gwt_lab.backtest.sweep.grid import Grid
from gwt_lab.errors import ConfigError
from gwt_lab.kinds import is_number
from gwt_lab.market.costs import CostModel

__all__ = ["MAY_BE_OFF", "RULE_NAMES", "assumption_words", "read_rules", "rules_in_grid"]

RULE_NAMES = tuple(field.name for field in fields(SweepRules))
MAY_BE_OFF = ("sl_stop", "tp_stop", "time_stop")
_FILLS = {
    "next_open": "decided at a bar's close, filled at the next bar's open",
    "close": "decided and filled at the same bar's close (optimistic: asked for by name)",
}
_CHOICES = {
    "price": tuple(_FILLS),
    "direction": ("longonly", "shortonly", "both"),
    "ambiguity": ("pessimistic", "neutral", "optimistic"),
}


def read_rules(settings: Mapping[str, Any]) -> SweepRules:
    """Return the rules, each checked.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """
    CostModel(settings["fees"], settings["slippage"], settings["fixed_fees"])
    for name, choices in _CHOICES.items():
        if settings[name] not in choices:
            raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {settings[name]!r}")
    cash = settings["init_cash"]
    if not is_number(cash) or not np.isfinite(cash) or cash <= 0:
        raise ConfigError(f"init_cash must be above 0, got {cash!r}")
    stops = {name: _stop(name, settings[name]) for name in ("sl_stop", "tp_stop")}
    time_stop = settings["time_stop"]
    time_stop = 0 if time_stop is None or time_stop != time_stop else time_stop
    if not is_number(time_stop) or time_stop != int(time_stop) or time_stop < 0:
        raise ConfigError(f"time_stop must be a whole number of bars, 0 or None for none, got {time_stop!r}")
    if not isinstance(settings["sl_trail"], (bool, np.bool_)):
        raise ConfigError(f"sl_trail must be True or False, got {settings['sl_trail']!r}")
    numbers: dict[str, Any] = {name: float(settings[name]) for name in ("fees", "slippage", "fixed_fees", "init_cash")}
    numbers |= {name: settings[name] for name in _CHOICES} | stops
    return SweepRules(**numbers, sl_trail=bool(settings["sl_trail"]), time_stop=int(time_stop))


def _stop(name: str, value: Any) -> float:
    if value is None or value != value:
        return float("nan")
    if not is_number(value) or not 0 < value < (1 if name == "sl_stop" else np.inf):
        wanted = "a fraction between 0 and 1" if name == "sl_stop" else "a fraction above 0"
        raise ConfigError(f"{name} must be {wanted} of the entry price, or None for none, got {value!r}")
    return float(value)


def rules_in_grid(base: SweepRules, grid: Grid) -> tuple[tuple[SweepRules, ...], np.ndarray]:
    """Return the rules that occur in a grid of rules, and which of them each combination has, shape (n_combinations,).

    Raises
    ------
    ConfigError
        If one of them is out of range.
    """
    if "sl_stop" not in grid.names and np.isnan(base.sl_stop) and (base.sl_trail or "sl_trail" in grid.names):
        raise ConfigError("sl_trail trails the stop loss at the distance sl_stop, which is not given: add sl_stop=0.05")
    if not grid.names:
        return (base,), np.zeros(len(grid), dtype=np.int64)
    _, first, which = np.unique(grid.codes, axis=0, return_index=True, return_inverse=True)
    held = {name: getattr(base, name) for name in RULE_NAMES}
    found = tuple(replace(base, **_given(held | grid.row(int(row)), grid.names)) for row in first)
    return found, which.reshape(-1)


def _given(settings: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    checked = read_rules(settings)
    return {name: getattr(checked, name) for name in names}


def assumption_words(rules: SweepRules, varied: tuple[str, ...], portfolio: bool) -> tuple[str, str]:
    """Return what the numbers rest on, in full and in short; `varied` rules stand in the index."""
    costs = CostModel(rules.fees, rules.slippage, rules.fixed_fees).describe()
    short = f"{_FILLS[rules.price]}; {costs}"
    cash = f"cash {rules.init_cash:,.0f} " + ("shared by all symbols" if portfolio else "for each symbol, all in")
    parts = [short, cash]
    if portfolio:
        parts.append("what the cash cannot pay is not bought")
    else:
        sides = {"longonly": "long only", "shortonly": "short only", "both": "long and short"}
        parts += [] if "direction" in varied else [sides[rules.direction]]
        parts += _stop_words(rules, varied)
    parts.append("a bar without a price does not trade and keeps its last price; no interest on shorts, no funding")
    parts.append("metrics over every bar, the first included, ddof=1, years of 365 days")
    if varied:
        parts.append(f"{', '.join(varied)} as in the index")
    return "; ".join(parts), short


def _stop_words(rules: SweepRules, varied: tuple[str, ...]) -> list[str]:
    parts = []
    if np.isfinite(rules.sl_stop):
        parts.append(f"{'trailing ' if rules.sl_trail else ''}stop loss {100 * rules.sl_stop:g} %")
    if np.isfinite(rules.tp_stop):
        parts.append(f"take profit {100 * rules.tp_stop:g} %")
    if rules.time_stop:
        parts.append(f"out after {rules.time_stop} bars")
    if parts or set(varied) & {"sl_stop", "tp_stop"}:
        parts.append(f"stops are seen inside the bar, gaps filled at the open, both in one bar: {rules.ambiguity}")
    return parts
