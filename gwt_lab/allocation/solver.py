"""The methods that skfolio solves. Nothing else imports it, and nothing here knows of fallbacks."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from gwt_lab.allocation.history import NoSolution
from gwt_lab.allocation.settings import AllocationSettings
from gwt_lab.errors import MissingExtraError

__all__ = ["SOLVED", "Problem", "require_skfolio", "solve"]

SOLVED = ("max_sharpe", "min_variance", "risk_parity", "hrp")
_TOLERANCES = (1e-9, 1e-7)  # skfolio's own for CLARABEL, and what it tries where it cannot reach that


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


def require_skfolio() -> None:
    """Raise `MissingExtraError` where skfolio is not installed."""
    _module("skfolio.optimization")


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError("skfolio", "allocation") from None


@lru_cache(maxsize=1)
def _prior_class() -> Any:
    """Return a prior of skfolio that holds given moments; made here because its base class comes with the extra."""
    prior = _module("skfolio.prior")

    base: Any = prior.BasePrior

    class GivenMoments(base):
        def __init__(self, mean: Any = None, covariance: Any = None) -> None:
            self.mean = mean
            self.covariance = covariance

        def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
            self.return_distribution_ = prior.ReturnDistribution(
                mu=self.mean, covariance=self.covariance, returns=np.asarray(X)
            )
            return self

    return GivenMoments


def solve(method: str, problem: Problem, settings: AllocationSettings) -> np.ndarray:
    """Return the weights of a method, shape (n_assets,).

    Raises
    ------
    NoSolution
        If there is none, or the solver fails, is not sure or runs out of time.
    """
    # returns of unit size: the solver's tolerances are absolute, and hourly variances are 1e-5
    scale = float(np.sqrt(np.mean(np.diag(problem.covariance))))
    started = time.perf_counter()
    for tolerance in _TOLERANCES:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                model = _model(method, problem, settings, scale, tolerance)
                model.fit(problem.returns / scale)
            except MissingExtraError:
                raise
            except Exception as error:  # whatever a solver or skfolio raises: a live cycle goes on with the next method
                raise NoSolution(_reason(error, method, problem, settings)) from error
        if not any("may be inaccurate" in str(warning.message) for warning in said):
            weights = np.asarray(model.weights_, dtype=np.float64)
            _check(weights, problem)
            return weights
        if time.perf_counter() - started > settings.time_limit:
            break
    late = time.perf_counter() - started > settings.time_limit
    why = f" at its time limit of {settings.time_limit:g} s" if late else ""
    raise NoSolution(f"{settings.solver} stopped before it was sure{why}")


def _reason(error: Exception, method: str, problem: Problem, settings: AllocationSettings) -> str:
    said = f"{type(error).__name__}: {str(error).strip().split(chr(10))[0].split('. ')[0][:200]}"
    limits = [name for name, counts in (("shorts", problem.short > 0), ("costs", settings.costs > 0)) if counts]
    if method == "max_sharpe" and limits:
        return f"{said}; with {' and '.join(limits)} perhaps no portfolio is expected to earn more than 0 a bar"
    return said


def _check(weights: np.ndarray, problem: Problem) -> None:
    """Distrust the solver: a weight out of bounds must not reach a broker."""
    near = 1e-4
    if not np.isfinite(weights).all():
        raise NoSolution("the solution is not finite")
    low = -problem.cap if problem.short > 0 else 0.0
    if weights.min() < low - near or weights.max() > problem.cap + near or abs(weights.sum() - 1) > near:
        raise NoSolution(
            f"the solution breaks its bounds: weights from {weights.min():.4g} to {weights.max():.4g}, sum "
            f"{weights.sum():.6g}"
        )


def _model(method: str, problem: Problem, settings: AllocationSettings, scale: float, tolerance: float) -> Any:
    prior = _prior_class()(problem.mean / scale, problem.covariance / scale**2)
    optimization = _module("skfolio.optimization")
    if method == "hrp":
        return optimization.HierarchicalRiskParity(prior_estimator=prior, max_weights=min(problem.cap, 1.0))
    common = {"prior_estimator": prior, "solver": settings.solver, "solver_params": _solver_params(settings, tolerance)}
    if method == "risk_parity":
        return optimization.RiskBudgeting(max_weights=min(problem.cap, 1.0), **common)
    if problem.short > 0:
        common |= {"min_weights": -problem.cap, "max_weights": problem.cap, "max_short": problem.short}
    else:
        common |= {"min_weights": 0.0, "max_weights": min(problem.cap, 1.0)}
    previous, cost = problem.previous, settings.costs / settings.horizon / scale
    if method == "max_sharpe":
        if cost > 0 and previous is not None:
            common |= {"transaction_costs": cost, "previous_weights": previous}
        return optimization.MeanRisk(objective_function=optimization.ObjectiveFunction.MAXIMIZE_RATIO, **common)
    if cost > 0 and previous is not None:
        norm1 = _module("cvxpy").norm1
        # risk_aversion / 2 * variance + cost * turnover, divided by what makes the variance that of unit returns
        weight = 2 * cost / (settings.risk_aversion * scale * problem.invested)
        common["add_objective"] = lambda w: weight * norm1(w - previous)
    return optimization.MeanRisk(**common)


def _solver_params(settings: AllocationSettings, tolerance: float) -> dict[str, Any]:
    if settings.solver == "CLARABEL":
        return {"tol_gap_abs": tolerance, "tol_gap_rel": tolerance, "time_limit": float(settings.time_limit)}
    return {"time_limit_secs": float(settings.time_limit)} if settings.solver == "SCS" else {}
