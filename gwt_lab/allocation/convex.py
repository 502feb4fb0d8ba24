"""The convex methods as problems of cvxpy: compiled once for a number of assets, solved again for other numbers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from threading import Lock
from typing import Any

import numpy as np

from gwt_lab.allocation.history import NoSolution
from gwt_lab.allocation.settings import AllocationSettings

__all__ = ["CONVEX", "Problem", "minimise"]

CONVEX = ("max_sharpe", "min_variance", "risk_parity")
_STEEPEST = (
    1e4  # rate of costs beyond which no trade pays, with risk and earnings of unit size: higher ones are as this
)
_KEPT = 32  # compiled problems; one of ten assets takes some 100 kB


@dataclass(frozen=True)
class Problem:
    """What a method is asked; weights are shares of what is invested and sum to 1.

    Parameters
    ----------
    returns : ndarray of shape (n_rows, n_assets)
        Complete returns.
    mean, covariance : ndarray of shape (n_assets,) and (n_assets, n_assets)
        Per bar.
    cap : float
        Largest weight, short ones too.
    short : float
        Largest sum of short weights; 0 for long only.
    previous : ndarray of shape (n_assets,), optional
        What is held.
    invested : float
        Share of the account that these weights are shares of.
    """

    returns: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    cap: float
    short: float
    previous: np.ndarray | None
    invested: float = 1.0


@dataclass(frozen=True)
class _Program:
    """A compiled problem; its variable is weights times any positive number."""

    problem: Any
    variable: Any
    numbers: dict[str, Any]
    lock: Lock  # of the numbers, until the solution is read


def minimise(
    method: str, problem: Problem, settings: AllocationSettings, scale: float, tolerance: float
) -> tuple[np.ndarray | None, bool]:
    """Return the weights of a convex method, shape (n_assets,), and whether the solver is sure of them.

    Parameters
    ----------
    method : {"max_sharpe", "min_variance", "risk_parity"}
    problem : Problem
    settings : AllocationSettings
    scale : float
        A volatility: the solver sees returns divided by it, since its tolerances are absolute.
    tolerance : float
        Of the objective's gap (CLARABEL).

    Raises
    ------
    NoSolution
        If no portfolio keeps the limits and, for max_sharpe, earns more than 0.
    """
    costly = settings.costs > 0 and problem.previous is not None and method != "risk_parity"
    program = _compiled(method, len(problem.mean), problem.short > 0 and method != "risk_parity", costly)
    values = _values(method, problem, settings, scale)
    with program.lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, parameter in program.numbers.items():
            parameter.value = values[name]
        # a warm start would make a solution depend on the one before
        program.problem.solve(solver=settings.solver, warm_start=False, **_solver_params(settings, tolerance))
        status, found = program.problem.status, program.variable.value
    if status == "infeasible":
        costs = ", after costs," if costly else ""
        earn = f"no portfolio within the limits{costs} is expected to earn more than 0 a bar"
        raise NoSolution(earn if method == "max_sharpe" else "no portfolio keeps the limits")
    if found is None or not np.sum(found) > 0:
        return None, False
    return np.asarray(found / found.sum()), status == "optimal"


def _values(method: str, problem: Problem, settings: AllocationSettings, scale: float) -> dict[str, Any]:
    """Return the numbers of a program by name, in units of `scale`."""
    previous = np.zeros(len(problem.mean)) if problem.previous is None else problem.previous
    rate = settings.costs / settings.horizon / scale
    mean = problem.mean / scale
    if method == "max_sharpe":
        largest = float(np.abs(mean).max())
        if largest == 0:
            raise NoSolution("no asset is expected to earn or to lose anything")
        # a ratio has no unit: with the largest mean at 1 the variable is near the weights
        mean, rate = mean / largest, rate / largest
    else:
        # risk_aversion / 2 * variance + costs * turnover, divided by what makes the variance that of unit returns
        rate = 2 * rate / (settings.risk_aversion * scale * problem.invested)
    rate = min(rate, _STEEPEST)
    return {
        "factor": np.linalg.cholesky(problem.covariance / scale**2).T,
        "mean": mean,
        "cap": problem.cap,
        "short": problem.short,
        "rate": rate,
        "paid": rate * previous,
    }


@lru_cache(maxsize=_KEPT)
def _compiled(method: str, n_assets: int, short: bool, costly: bool) -> _Program:
    """Return a problem whose numbers can be changed without compiling it again."""
    cp: Any = import_module("cvxpy")
    weights, factor, cap = cp.Variable(n_assets), cp.Parameter((n_assets, n_assets)), cp.Parameter(nonneg=True)
    numbers = {"factor": factor, "cap": cap}
    if method == "risk_parity":
        # the gradient is zero where weight times marginal risk is the same of every asset
        aim = cp.sum_squares(factor @ weights) - cp.sum(cp.log(weights)) / n_assets
        return _Program(cp.Problem(cp.Minimize(aim), [weights <= cap * cp.sum(weights)]), weights, numbers, Lock())
    # the largest ratio is the smallest risk at an earning of 1, with weights that sum to anything (Charnes, Cooper)
    total = cp.Variable(nonneg=True) if method == "max_sharpe" else cp.Constant(1.0)
    limits = [cp.sum(weights) == total, weights <= cap * total]
    if short:
        numbers["short"] = cp.Parameter(nonneg=True)
        limits += [weights >= -cap * total, cp.sum(cp.neg(weights)) <= numbers["short"] * total]
    else:
        limits.append(weights >= 0)
    cost: Any = 0.0
    if costly:
        numbers |= {"rate": cp.Parameter(nonneg=True), "paid": cp.Parameter(n_assets)}
        cost = cp.norm1(numbers["rate"] * weights - numbers["paid"] * total)
    if method == "max_sharpe":
        numbers["mean"] = cp.Parameter(n_assets)
        limits.append(numbers["mean"] @ weights - cost >= 1)
        return _Program(cp.Problem(cp.Minimize(cp.norm2(factor @ weights)), limits), weights, numbers, Lock())
    return _Program(cp.Problem(cp.Minimize(cp.sum_squares(factor @ weights) + cost), limits), weights, numbers, Lock())


def _solver_params(settings: AllocationSettings, tolerance: float) -> dict[str, Any]:
    if settings.solver == "CLARABEL":
        return {"tol_gap_abs": tolerance, "tol_gap_rel": tolerance, "time_limit": float(settings.time_limit)}
    return {"time_limit_secs": float(settings.time_limit)} if settings.solver == "SCS" else {}
