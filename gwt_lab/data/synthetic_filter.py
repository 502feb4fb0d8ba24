"""What can be told about the residuals of a synthetic market from its prices."""

from __future__ import annotations

import numpy as np

__all__ = ["filter_residuals"]

# A sweep multiplies what is left to correct by the graph's spectral radius at most.
_TOLERANCE, _MOST_SWEEPS = 1e-10, 500


def filter_residuals(
    returns: np.ndarray, loadings: np.ndarray, deviation: np.ndarray, slopes: np.ndarray
) -> np.ndarray:
    """Return the expected residual of the next bar, given returns so far.

    Each bar's factors are estimated by generalised least squares with their own variance as prior; what they leave is
    the estimate of the residuals. The residuals' expectation from the bar before is taken off first, found by
    repeating the estimate until it no longer changes.

    Parameters
    ----------
    returns : ndarray of shape (n_times, n_assets)
        Log returns; NaN where there is none.
    loadings : ndarray of shape (n_assets, n_factors)
        On the factors.
    deviation : ndarray of shape (n_times, n_factors + n_assets)
        Standard deviation of each factor and each residual shock.
    slopes : ndarray of shape (n_assets, n_assets)
        Effect of the column's residual on the row's next one.

    Returns
    -------
    ndarray of shape (n_times, n_assets)
        Row t uses returns up to row t.
    """
    n_factors = loadings.shape[1]
    there = np.isfinite(returns)
    precision = np.where(there, deviation[:, n_factors:] ** -2.0, 0.0)
    # information about the factors: (n_times, n_factors, n_factors); a factor of zero variance stays at zero
    weighted = np.einsum("ti,ij->tij", precision, loadings)
    spread = np.maximum(deviation[:, :n_factors], 1e-12)
    information = np.einsum("tij,ik->tjk", weighted, loadings)
    information[:, np.arange(n_factors), np.arange(n_factors)] += spread**-2.0
    expected = np.zeros(returns.shape)
    for _ in range(_MOST_SWEEPS):
        before = np.vstack([np.zeros((1, returns.shape[1])), expected[:-1]])
        surprise = np.where(there, returns - before, 0.0)
        score = np.einsum("tij,ti->tj", weighted, surprise)
        factors = np.linalg.solve(information, score[:, :, None])[:, :, 0]
        residual = before + np.where(there, surprise - factors @ loadings.T, 0.0)
        update = residual @ slopes.T
        change = np.abs(update - expected).max()
        expected = update
        if change <= _TOLERANCE * max(1e-12, np.abs(update).max()):
            break
    return expected
