"""The methods that a library solves: three by cvxpy, the tree by skfolio. Nothing here knows of fallbacks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from gwt_lab.allocation import convex
from gwt_lab.allocation.convex import CONVEX, Problem
from gwt_lab.allocation.history import NoSolution
from gwt_lab.allocation.settings import AllocationSettings
from gwt_lab.errors import MissingExtraError

__all__ = ["SOLVED", "Problem", "require_libraries", "solve"]

SOLVED = (*CONVEX, "hrp")
_TOLERANCES = (1e-9, 1e-7)  # of CLARABEL: the first, and what is tried where it cannot reach that


def require_libraries(methods: Iterable[str]) -> None:
    """Raise `MissingExtraError` where a library that one of the methods needs is not installed."""
    for method in methods:
        if method in SOLVED:
            _module("skfolio.optimization" if method == "hrp" else "cvxpy")


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError(name.partition(".")[0], "allocation") from None


@lru_cache(maxsize=1)
def _tree_class() -> Any:
    """Return skfolio's tree with risks that are variances of the given covariance, without a portfolio made for each.

    Where a version of skfolio does not ask these methods, its own risks come out the same, later.
    """
    base: Any = _module("skfolio.optimization").HierarchicalRiskParity

    class VarianceTree(base):
        def _risk(self, weights: np.ndarray, return_distribution: Any) -> float:
            return float(weights @ return_distribution.covariance @ weights)

        def _unitary_risks(self, return_distribution: Any) -> np.ndarray:
            return np.diag(return_distribution.covariance).copy()

    return VarianceTree


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
        try:
            if method == "hrp":
                return _checked(_tree(problem, scale), problem)
            weights, sure = convex.minimise(method, problem, settings, scale, tolerance)
        except (MissingExtraError, NoSolution):
            raise
        except Exception as error:  # whatever a solver or skfolio raises: a live cycle goes on with the next method
            raise NoSolution(f"{type(error).__name__}: {_first_sentence(error)}") from error
        if sure and weights is not None:
            return _checked(weights, problem)
        if time.perf_counter() - started > settings.time_limit:
            break
    late = time.perf_counter() - started > settings.time_limit
    why = f" at its time limit of {settings.time_limit:g} s" if late else ""
    raise NoSolution(f"{settings.solver} stopped before it was sure{why}")


def _first_sentence(error: Exception) -> str:
    return str(error).strip().split("\n")[0].split(". ")[0][:200]


def _checked(weights: np.ndarray, problem: Problem) -> np.ndarray:
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
    return weights


def _tree(problem: Problem, scale: float) -> np.ndarray:
    prior = _prior_class()(problem.mean / scale, problem.covariance / scale**2)
    model = _tree_class()(prior_estimator=prior, max_weights=min(problem.cap, 1.0)).fit(problem.returns / scale)
    return np.asarray(model.weights_, dtype=np.float64)
