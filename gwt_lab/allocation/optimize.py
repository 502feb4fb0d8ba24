"""Target weights of several assets, by a method that is asked for or the next one that can answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.allocation.history import Estimates, History, NoSolution, by_asset, estimate, read_history
from gwt_lab.allocation.result import Allocation, Fallback
from gwt_lab.allocation.settings import CASH, AllocationSettings, chain_of, settings_of
from gwt_lab.allocation.solver import SOLVED, Problem, require_libraries, solve
from gwt_lab.allocation.turnover import capped_shares, cut_turnover, shrink_trades, within_gross
from gwt_lab.errors import ConfigError

__all__ = ["allocate", "optimize_portfolio"]

_DUST = 1e-6  # a solver's zero
_ROUNDING = 1e-12
_SMALLEST = 1e-100  # a volatility that can be divided by


def optimize_portfolio(
    history: Any,
    method: str = "max_sharpe",
    *,
    previous: Any = None,
    expected_returns: Any = None,
    settings: AllocationSettings | None = None,
    **changes: Any,
) -> Allocation:
    """Return target weights for the next bars, cash included.

    Parameters
    ----------
    history : Bars, or DataFrame of shape (n_rows, n_assets)
        Bars, of which the closes count, or simple returns, one row a bar. The last row is now.
    method : str
        - "max_sharpe": largest expected return over volatility;
        - "min_variance": smallest variance;
        - "risk_parity": every asset contributes the same risk;
        - "hrp": hierarchical risk parity, risk split down a tree of similar assets;
        - "inverse_volatility", "equal_weight", "cash".
    previous : mapping or Series by asset, optional
        Weights held now; an asset that is not named is not held. Without them trades are free.
    expected_returns : mapping or Series by asset, optional
        Forecast returns a bar for max_sharpe, instead of the means of the history; an asset that is not named, or NaN,
        is left out by max_sharpe.
    settings : AllocationSettings, optional
        Limits and penalties.
    **changes
        Fields of `AllocationSettings`: ``max_position_weight=0.4``, ``long_only=False``, ``cash=0.1``, ...

    Returns
    -------
    Allocation
        Never an exception for what a market can bring: where a method cannot answer (no asset is expected to earn
        anything, a singular covariance, too little history, a solver that fails or takes too long), the next of
        `fallbacks` is tried, down to cash; `Allocation.fallbacks` says why.

    Raises
    ------
    UnknownNameError
        If a method does not exist.
    ConfigError
        If a setting is unknown or out of range.
    DataError
        If the history is no table of numbers with different assets, or holds prices.
    ShapeError
        If `previous` or `expected_returns` name an asset without history.
    MissingExtraError
        If cvxpy or skfolio is not installed and the method, or one it may fall back to, needs it.
    """
    chosen = settings_of(settings, changes)
    known = read_history(history)
    held = None
    if previous is not None:
        held = by_asset(previous, known.names, "previous weights", default=0.0)
        if np.isnan(held).any():
            raise ConfigError("previous weights must be numbers, got NaN; an asset that is not held has weight 0")
    forecast = None
    if expected_returns is not None:
        forecast = by_asset(expected_returns, known.names, "expected_returns", default=float("nan"))
    return allocate(known, method, chosen, held, forecast)


@dataclass(frozen=True)
class _Task:
    """One allocation while it is made; arrays are by asset of the history."""

    history: History
    estimates: Estimates
    settings: AllocationSettings
    previous: np.ndarray | None
    forecast: np.ndarray | None

    @property
    def invested(self) -> float:
        return 1.0 - self.settings.cash


def allocate(
    history: History,
    method: str,
    settings: AllocationSettings,
    previous: np.ndarray | None = None,
    forecast: np.ndarray | None = None,
) -> Allocation:
    """Return the allocation of a history that was read before; see :func:`optimize_portfolio`.

    Parameters
    ----------
    history : History
        Returns up to now.
    method : str
        The method asked for.
    settings : AllocationSettings
        Limits and penalties.
    previous, forecast : ndarray of shape (n_assets,), optional
        Weights held and expected returns.
    """
    started = time.perf_counter()
    chain = chain_of(method, settings)
    require_libraries(chain)
    task = _Task(history, estimate(history, settings), settings, previous, forecast)
    failed: list[Fallback] = []
    used, target = CASH, np.zeros(len(history.names))
    for name in chain[:-1]:
        try:
            target = _target(name, task)
        except NoSolution as reason:
            failed.append(Fallback(name, str(reason)))
            continue
        used = name
        break
    notes = []
    if used != CASH and target.sum() < task.invested - 1e-9:
        count = np.count_nonzero(target)
        notes.append(
            f"{count} assets at max_position_weight {settings.max_position_weight:g} hold {target.sum():.4g}; the rest "
            "is cash"
        )
    weights = _limited(target, task, notes)
    rest = 1.0 - float(weights.sum())
    seconds = time.perf_counter() - started
    return Allocation(
        pd.Series([*weights, 0.0 if abs(rest) < _ROUNDING else rest], index=[*history.names, CASH], name="weight"),
        method,
        used,
        tuple(failed),
        MappingProxyType(_expected(weights, task)),
        tuple(notes),
        MappingProxyType(_diagnostics(weights, task.estimates, seconds)),
    )


# ------------------------------------------------------------------------------------------------ one method
def _target(name: str, task: _Task) -> np.ndarray:
    """Return what a method wants, shape (n_assets,), before turnover counts."""
    if name in SOLVED:
        return _solved(name, task)
    history, cap = task.history, task.settings.max_position_weight
    weights = np.zeros(len(history.names))
    raw = history.priced.astype(np.float64)
    if name == "inverse_volatility":
        volatility = _volatility(history)
        moves = history.priced & (volatility > _SMALLEST) & (volatility < 1 / _SMALLEST)
        raw = np.divide(1.0, volatility, out=np.zeros_like(weights), where=moves)
    chosen = raw > 0
    if not chosen.any():
        raise NoSolution("no asset has a price now" if name == "equal_weight" else "no asset has a volatility above 0")
    weights[chosen] = capped_shares(raw[chosen], cap, task.invested)
    return weights


def _volatility(history: History) -> np.ndarray:
    """Return each asset's standard deviation over the rows it has; 0 with fewer than two, or where it never changes."""
    volatility = np.zeros(len(history.names))
    for at, column in enumerate(history.returns.T):
        values = column[np.isfinite(column)]
        # equal values have a mean that is off by a rounding error
        if len(values) > 1 and (values != values[0]).any():
            with np.errstate(over="ignore", invalid="ignore"):
                volatility[at] = values.std(ddof=1)
    return volatility


def _solved(name: str, task: _Task) -> np.ndarray:
    estimates, settings = task.estimates, task.settings
    if estimates.missing:
        raise NoSolution(estimates.missing)
    mean = estimates.mean if task.forecast is None else task.forecast[estimates.assets]
    keep = np.isfinite(mean) | (name != "max_sharpe")
    mean = np.where(np.isfinite(mean), mean, 0.0)
    if name == "max_sharpe":
        _can_earn(mean[keep], task)
    if name != "hrp" and np.isinf(estimates.condition):
        rank = np.linalg.matrix_rank(estimates.covariance, hermitian=True)
        rows = len(estimates.returns)
        raise NoSolution(f"the covariance is singular: rank {rank} for {len(mean)} assets in {rows} rows; shrink it")
    weights = np.zeros(len(task.history.names))
    assets = estimates.assets[keep]
    cap, invested = settings.max_position_weight, min(task.invested, settings.max_position_weight * len(assets))
    if invested <= 0 or cap * len(assets) <= invested * (1 + 1e-9):
        weights[assets] = min(cap, task.invested)
        return weights
    problem = Problem(
        estimates.returns[:, keep],
        mean[keep],
        estimates.covariance[np.ix_(keep, keep)],
        cap / invested,
        0.0 if settings.long_only else max((settings.max_gross / invested - 1) / 2, 0.0),
        None if task.previous is None else task.previous[assets] / invested,
        invested,
    )
    found = solve(name, problem, settings) * invested
    found[np.abs(found) < _DUST] = 0.0
    # a solver's weights are right to a few digits; the sum and the bounds are to be exact
    free = found != 0
    if cap * np.count_nonzero(free) < invested:
        free[:] = True
    found *= invested / found.sum()
    low = np.where(free, 0.0 if found.min() >= 0 else -cap, 0.0)
    weights[assets] = shrink_trades(found, found, 0.0, low, np.where(free, cap, 0.0))
    return weights


def _can_earn(mean: np.ndarray, task: _Task) -> None:
    """Say it where no portfolio is expected to earn anything: the ratio has no maximum then."""
    if not len(mean):
        raise NoSolution("no asset has an expected return")
    if not task.settings.long_only:
        return
    if mean.max() <= 0:
        raise NoSolution(f"no asset is expected to earn more than 0 a bar; the best {mean.max():.3g}")
    cap = task.settings.max_position_weight
    room = np.clip(task.invested - cap * np.arange(len(mean)), 0.0, cap)
    best = float(np.sort(mean)[::-1] @ room)
    if best <= 0 and task.invested > 0:
        raise NoSolution(
            f"with max_position_weight {cap:g} no portfolio is expected to earn more than 0 a bar; the best {best:.3g}"
        )


# ------------------------------------------------------------------------------------------------ turnover
def _limited(target: np.ndarray, task: _Task, notes: list[str]) -> np.ndarray:
    """Return the weights after the turnover penalty and the turnover limit."""
    settings, previous = task.settings, task.previous
    if previous is None or not (settings.turnover_penalty or settings.max_turnover is not None):
        return target
    gross = task.invested if settings.long_only else settings.max_gross
    high = np.full(len(target), settings.max_position_weight)
    low = np.zeros(len(target)) if settings.long_only else -high
    weights = target
    if settings.turnover_penalty:
        # what has no price now is not bought, and what is held of it is on the way out
        can = task.history.priced
        shrunk = shrink_trades(
            target, previous, settings.turnover_penalty, np.where(can, low, 0.0), np.where(can, high, 0.0)
        )
        weights = within_gross(shrunk, target, gross)
    if settings.max_turnover is not None:
        cut = cut_turnover(weights, previous, settings.max_turnover, low, high, gross=gross, net=task.invested)
        if cut is not weights:
            wanted = np.abs(weights - previous).sum()
            notes.append(f"turnover {wanted:.4g} was wanted, {np.abs(cut - previous).sum():.4g} is made (max_turnover)")
        weights = cut
    return weights


# ------------------------------------------------------------------------------------------------ what it says
def _expected(weights: np.ndarray, task: _Task) -> dict[str, float]:
    estimates, nan = task.estimates, float("nan")
    outside = np.delete(weights, estimates.assets)
    inside = weights[estimates.assets]
    known = not estimates.missing and not outside.any()
    volatility = float(np.sqrt(max(inside @ estimates.covariance @ inside, 0.0))) if known else nan
    mean = estimates.mean if task.forecast is None else task.forecast[estimates.assets]
    earned = float(inside[inside != 0] @ mean[inside != 0]) if known else nan
    if not weights.any():
        volatility, earned = 0.0, 0.0
    turnover = nan if task.previous is None else float(np.abs(weights - task.previous).sum())
    return {
        "return": earned,
        "volatility": volatility,
        "sharpe": earned / volatility if volatility > 0 else nan,
        "turnover": turnover,
        "cost": turnover * task.settings.costs,
    }


def _diagnostics(weights: np.ndarray, estimates: Estimates, seconds: float) -> dict[str, Any]:
    gross = np.abs(weights).sum()
    return {
        "n_rows": len(estimates.returns),
        "n_assets": len(estimates.assets),
        "condition": estimates.condition,
        "shrunk": estimates.shrunk,
        "effective_assets": float(gross**2 / (weights**2).sum()) if gross > 0 else 0.0,
        "excluded": dict(estimates.excluded),
        "seconds": seconds,
    }
