"""What is known of the assets: returns, which of them can be traded, which can be estimated, mean and covariance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.allocation.settings import CASH, AllocationSettings
from gwt_lab.errors import DataError, ShapeError
from gwt_lab.market.bars import Bars

__all__ = ["Estimates", "History", "NoSolution", "estimate", "read_history"]

_SMALLEST = 1e-100  # of a variance
_LARGEST = 1e50  # of a return: shrinkage takes fourth powers
_LONG, _STEEP = 20, 0.5  # rows, and the median of a table, from which on it is taken for prices
_SINGULAR = 1e-10  # smallest eigenvalue as a share of the largest


class NoSolution(Exception):
    """A method cannot answer; the text is the reason. Never leaves the package."""


@dataclass(frozen=True)
class History:
    """Returns of the assets up to now.

    Parameters
    ----------
    names : tuple of str
        Assets.
    returns : ndarray of shape (n_rows, n_assets)
        Simple returns a bar; NaN where there is none. Nothing else is not finite.
    priced : ndarray of shape (n_assets,), bool
        Whether an asset has a price now.
    """

    names: tuple[str, ...]
    returns: np.ndarray
    priced: np.ndarray


@dataclass(frozen=True)
class Estimates:
    """Mean and covariance of the assets that can be estimated.

    Parameters
    ----------
    assets : ndarray of shape (n_estimated,), int
        Positions of these assets in the history.
    returns : ndarray of shape (n_complete, n_estimated)
        Rows in which all of them have returns.
    mean : ndarray of shape (n_estimated,)
        Mean returns a bar.
    covariance : ndarray of shape (n_estimated, n_estimated)
        Covariance a bar, shrunk or not.
    shrunk : float
        Weight of the shrinkage target, 0 without one.
    excluded : dict of str to str
        Why the other assets were left out.
    missing : str
        Why there is no covariance; empty where there is one.
    """

    assets: np.ndarray
    returns: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    shrunk: float
    excluded: dict[str, str]
    missing: str = ""

    @cached_property
    def condition(self) -> float:
        """Largest eigenvalue over the smallest; infinite where the covariance is singular, NaN where there is none."""
        if self.missing:
            return float("nan")
        values = np.linalg.eigvalsh(self.covariance)
        return float(values[-1] / values[0]) if values[0] > _SINGULAR * values[-1] else float("inf")


def read_history(data: Any) -> History:
    """Return bars or a frame of returns as a `History`.

    Raises
    ------
    DataError
        If it is neither, holds text or prices, or an asset comes twice or is called "cash".
    """
    if isinstance(data, Bars):
        close = data.close
        priced = close.iloc[-1].notna().to_numpy() if len(close) else np.zeros(close.shape[1], dtype=bool)
        return _checked(tuple(data.symbols), close.pct_change(fill_method=None).to_numpy()[1:], priced)
    if not isinstance(data, pd.DataFrame):
        raise DataError(
            "an allocation needs Bars or a DataFrame of returns, one row a bar and one column an asset; got "
            f"{type(data).__name__}"
        )
    wrong = [str(name) for name, kind in data.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    if wrong:
        raise DataError(f"returns must be numbers, got text or times in {', '.join(wrong[:5])}; drop these columns")
    if isinstance(data.columns, pd.MultiIndex):
        raise DataError("returns must have one level of columns, the assets; got two or more")
    values = data.to_numpy(dtype=np.float64, na_value=np.nan)
    _refuse_prices(values)
    priced = np.isfinite(values[-1]) if len(values) else np.zeros(values.shape[1], dtype=bool)
    return _checked(tuple(map(str, data.columns)), values, priced)


def _refuse_prices(values: np.ndarray) -> None:
    """Refuse a table whose every value is above 0 and mostly above a half: no market rises like that for long."""
    known = values[np.isfinite(values)]
    if len(values) >= _LONG and len(known) and known.min() > 0 and np.median(known) > _STEEP:
        raise DataError(
            f"the history looks like prices: all of it is above 0, the middle {np.median(known):.6g}; pass Bars, or "
            f"simple returns, prices.pct_change()"
        )


def _checked(names: tuple[str, ...], returns: np.ndarray, priced: np.ndarray) -> History:
    if not names:
        raise DataError("an allocation needs at least one asset, got a table without columns")
    if CASH in names:
        raise DataError(f"an asset is called {CASH!r}, the name of what is not invested; rename or drop it")
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DataError(f"assets must differ, {', '.join(twice)} came more than once; drop one of each")
    return History(names, np.where(np.isfinite(returns), returns, np.nan), priced)


def by_asset(values: Any, names: tuple[str, ...], what: str, *, default: float) -> np.ndarray:
    """Return a mapping or Series by asset as an array; what is not named gets `default`.

    Raises
    ------
    ShapeError
        If an asset is unknown.
    DataError
        If a value is infinite.
    """
    try:
        given = {str(name): float(value) for name, value in dict(values).items() if str(name) != CASH}
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} must be a mapping or Series from assets to numbers: {error}") from error
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ShapeError(f"{what} name {', '.join(unknown[:5])}, of which there is no history; add a column or drop it")
    array = np.array([given.get(name, default) for name in names], dtype=np.float64)
    if np.isinf(array).any():
        raise DataError(f"{what} must be finite, got {array[np.isinf(array)][0]}")
    return array


def estimate(history: History, settings: AllocationSettings) -> Estimates:
    """Return mean and covariance of the assets that have enough history, a price now, and prices that move."""
    returns, excluded = history.returns, {}
    known = np.isfinite(returns)
    counts = known.sum(axis=0)
    for at, name in enumerate(history.names):
        values = returns[known[:, at], at]
        if not history.priced[at]:
            excluded[name] = "has no price now"
        elif counts[at] < max(settings.min_coverage * len(returns), 2):
            excluded[name] = f"has returns in {counts[at]} of {len(returns)} rows"
        elif (values == values[0]).all():
            excluded[name] = "its price does not move" if not values.any() else "its return never changes"
    assets = np.array([at for at, name in enumerate(history.names) if name not in excluded], dtype=np.intp)
    complete = np.ascontiguousarray(returns[known[:, assets].all(axis=1)][:, assets])
    n = len(assets)
    missing = _too_little(complete, settings)
    nothing = Estimates(assets, complete, np.full(n, np.nan), np.full((n, n), np.nan), 0.0, excluded, missing)
    if missing:
        return nothing
    with np.errstate(all="ignore"):
        covariance, shrunk = _covariance(complete, settings.shrinkage)
    variance = np.diag(covariance)
    if not np.isfinite(covariance).all() or variance.min() < _SMALLEST or variance.max() > 1 / _SMALLEST:
        return replace(nothing, missing="a variance is too large or too small for floating point")
    return Estimates(assets, complete, complete.mean(axis=0), covariance, shrunk, excluded)


def _too_little(complete: np.ndarray, settings: AllocationSettings) -> str:
    n_rows, n_assets = complete.shape
    if n_assets == 0:
        return "no asset has a price now, enough history and prices that move"
    if n_assets == 1:
        return "one asset is left: there is nothing to choose"
    if n_rows < settings.min_rows:
        return f"{n_rows} rows have returns of all {n_assets} assets, {settings.min_rows} are needed"
    if np.abs(complete).max() > _LARGEST:
        return "a return is too large for floating point"
    if (complete == complete[:, :1]).all():
        return f"all {n_assets} assets have the same returns: there is nothing to choose"
    if (complete == complete[0]).all(axis=0).any():
        return "in the rows that have returns of all assets, one of them does not move"
    return ""


def _covariance(returns: np.ndarray, shrinkage: str | None) -> tuple[np.ndarray, float]:
    if shrinkage is None:
        return np.cov(returns, rowvar=False, ddof=1), 0.0
    from sklearn.covariance import ledoit_wolf, oas

    covariance, shrunk = (ledoit_wolf if shrinkage == "ledoit_wolf" else oas)(returns)
    return np.asarray(covariance), float(shrunk)
