"""What an allocation may do: methods, limits, penalties and what happens when a method cannot answer."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from gwt_lab.errors import ConfigError, UnknownNameError
from gwt_lab.kinds import is_whole

__all__ = ["CASH", "FALLBACKS", "METHODS", "AllocationSettings", "chain_of"]

CASH = "cash"
METHODS = ("max_sharpe", "min_variance", "risk_parity", "hrp", "inverse_volatility", "equal_weight", CASH)
FALLBACKS = ("min_variance", "inverse_volatility", "equal_weight", CASH)
SHRINKAGES = ("ledoit_wolf", "oas", None)


@dataclass(frozen=True)
class AllocationSettings:
    """Limits, penalties and estimators of `optimize_portfolio`.

    Parameters
    ----------
    max_position_weight : float
        Largest weight of one asset, in (0, 1]; with shorts the largest absolute weight. Where all assets at this limit
        do not add up to the invested share, the rest stays in cash.
    long_only : bool
        Weights are not negative. With False, max_sharpe and min_variance may sell short; the other methods know no
        short side and stay long.
    max_gross : float
        With ``long_only=False``: largest sum of absolute weights.
    cash : float
        Share of the account that is never invested, in [0, 1]. The weights of the assets sum to ``1 - cash``.
    shrinkage : {"ledoit_wolf", "oas", None}
        How the covariance is shrunk; None is the sample covariance (ddof 1).
    costs : float
        Fraction of the traded value that a trade costs. Enters the objectives of max_sharpe and min_variance, spread
        over `horizon`; needs `previous` weights.
    horizon : int
        Bars that the allocation is held for.
    risk_aversion : float
        What min_variance weighs `costs` with: it minimises
        ``risk_aversion / 2 * variance + costs / horizon * turnover``. Without costs it changes nothing.
    turnover_penalty : float
        Every method: trades smaller than this share of the account are left, larger ones end that much nearer to the
        previous weights.
    max_turnover : float, optional
        Every method: largest sum of absolute changes of the weights; the step towards the target is cut to it.
    min_rows : int
        Rows in which all assets have returns, below which nothing is estimated.
    min_coverage : float
        Share of the rows in which an asset must have returns to be estimated.
    fallbacks : tuple of str
        Methods tried in this order when one cannot answer. A method that stands in it goes on from its own place. Cash
        is always the last.
    solver : str
        The solver of cvxpy.
    time_limit : float
        Seconds that one solution may take (CLARABEL and SCS; other solvers have no limit).

    Raises
    ------
    ConfigError
        If a setting is out of range.
    UnknownNameError
        If a fallback is no method.
    """

    max_position_weight: float = 1.0
    long_only: bool = True
    max_gross: float = 2.0
    cash: float = 0.0
    shrinkage: str | None = "ledoit_wolf"
    costs: float = 0.0
    horizon: int = 1
    risk_aversion: float = 1.0
    turnover_penalty: float = 0.0
    max_turnover: float | None = None
    min_rows: int = 30
    min_coverage: float = 0.8
    fallbacks: tuple[str, ...] = FALLBACKS
    solver: str = "CLARABEL"
    time_limit: float = 5.0

    def __post_init__(self) -> None:
        _between("max_position_weight", self.max_position_weight, 0, 1, open_low=True)
        _between("cash", self.cash, 0, 1)
        _between("min_coverage", self.min_coverage, 0, 1, open_low=True)
        _between("turnover_penalty", self.turnover_penalty, 0, np.inf)
        _between("costs", self.costs, 0, 1)
        for name in ("max_gross", "risk_aversion", "time_limit"):
            _between(name, getattr(self, name), 0, np.inf, open_low=True)
        if self.max_turnover is not None:
            _between("max_turnover", self.max_turnover, 0, np.inf)
        for name, least in (("horizon", 1), ("min_rows", 2)):
            value = getattr(self, name)
            if not is_whole(value) or value < least:
                raise ConfigError(f"{name} must be a whole number, {least} or more; got {value!r}")
        if not isinstance(self.long_only, (bool, np.bool_)):
            raise ConfigError(f"long_only must be True or False, got {self.long_only!r}")
        if not self.long_only and self.max_gross < 1 - self.cash:
            raise ConfigError(
                f"max_gross must be at least the invested share {1 - self.cash:g}, got {self.max_gross:g}; raise it or "
                "keep more cash"
            )
        if self.shrinkage not in SHRINKAGES:
            raise ConfigError(f"shrinkage must be one of {', '.join(map(str, SHRINKAGES))}; got {self.shrinkage!r}")
        if isinstance(self.fallbacks, str) or not isinstance(self.fallbacks, Iterable):
            kind = "the text " if isinstance(self.fallbacks, str) else ""
            raise ConfigError(f"fallbacks must be a tuple of methods, got {kind}{self.fallbacks!r}")
        object.__setattr__(self, "fallbacks", tuple(known_method(name) for name in self.fallbacks))

    def changed(self, changes: dict[str, Any]) -> AllocationSettings:
        """Return the settings with some replaced; an unknown one is refused."""
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
                raise ConfigError(f"an allocation has no setting {name!r}{hint}")
        return replace(self, **changes) if changes else self


def settings_of(settings: Any, changes: dict[str, Any]) -> AllocationSettings:
    """Return the settings that a caller gave, or the plain ones, with some replaced."""
    if settings is not None and not isinstance(settings, AllocationSettings):
        raise ConfigError(
            f"settings must be AllocationSettings, got {type(settings).__name__}: give single ones by name, cash=0.1"
        )
    return (settings or AllocationSettings()).changed(changes)


def _between(name: str, value: Any, low: float, high: float, *, open_low: bool = False) -> None:
    """Refuse what is no number, NaN or out of range."""
    number = not isinstance(value, bool) and isinstance(value, (int, float, np.number))
    if not number or not (low < value if open_low else low <= value) or not value <= high:
        least = f"above {low:g}" if open_low else f"at least {low:g}"
        most = "" if high == np.inf else f" and at most {high:g}"
        raise ConfigError(f"{name} must be {least}{most}, got {value!r}")


def known_method(name: Any) -> str:
    """Return a method's name, or say which ones there are."""
    if name not in METHODS:
        near = difflib.get_close_matches(str(name), METHODS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UnknownNameError(f"there is no allocation method {name!r}; there are {', '.join(METHODS)}{hint}")
    return str(name)


def chain_of(method: str, settings: AllocationSettings) -> tuple[str, ...]:
    """Return the methods that are tried, the first included; the last is cash."""
    later = settings.fallbacks
    if method in later:
        later = later[later.index(method) + 1 :]
    names = [known_method(method), *(name for name in later if name != method)]
    if CASH in names:
        names = names[: names.index(CASH)]
    return (*dict.fromkeys(names), CASH)
