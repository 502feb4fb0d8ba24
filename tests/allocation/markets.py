"""Returns with exactly the moments that a closed form wants."""

from __future__ import annotations

import numpy as np
import pandas as pd

NAMES = ["AAA", "BBB", "CCC", "DDD", "EEE", "FFF"]


def returns_with(covariance: object, mean: object, n_rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Return a frame whose sample mean and covariance (ddof 1) are the given ones to rounding."""
    wanted, center = np.asarray(covariance, dtype=float), np.asarray(mean, dtype=float)
    raw = np.random.default_rng(seed).standard_normal((n_rows, len(center)))
    raw -= raw.mean(axis=0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False).reshape(len(center), -1))).T
    return pd.DataFrame(white @ np.linalg.cholesky(wanted).T + center, columns=NAMES[: len(center)])


def market(n_assets: int = 6, n_rows: int = 300, seed: int = 1) -> pd.DataFrame:
    """Return correlated hourly returns, some assets louder and better than others."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.006, (n_rows, 1))
    own = rng.normal(0, 1, (n_rows, n_assets)) * np.linspace(0.004, 0.012, n_assets)
    drift = np.linspace(-0.0005, 0.001, n_assets)
    return pd.DataFrame(common + own + drift, columns=[f"S{at:02d}" for at in range(n_assets)])
