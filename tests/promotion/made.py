"""Bundles for tests, made in a second: a rule strategy on a market whose trend it can follow."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np

from gwt_lab.market.bars import Bars
from gwt_lab.market.costs import CostModel
from gwt_lab.promotion.gates import Verdict, validate
from gwt_lab.promotion.promote import promote
from gwt_lab.strategies.ma_cross import MovingAverageCross
from tests.oracles.paths import bars_of

COSTS = CostModel(0.0001, 0.0001)
STRATEGY = MovingAverageCross(3, 12)


def waves(n_times: int = 500, n_symbols: int = 3, seed: int = 0) -> Bars:
    """Return prices in long waves, on which following the trend earns."""
    rng = np.random.default_rng(seed)
    phase = np.arange(n_times)[:, None] / 25 + np.arange(n_symbols)
    close = 100 * np.exp(0.3 * np.sin(phase) + rng.normal(0, 0.002, (n_times, n_symbols)))
    open_ = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.0005, close.shape))
    return bars_of(open_, close)


def noise(n_times: int = 500, n_symbols: int = 3, seed: int = 0) -> Bars:
    """Return random walks, on which costs are all there is to find."""
    close = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.003, (n_times, n_symbols)), axis=0))
    return bars_of(np.vstack([close[:1], close[:-1]]), close)


def passed(bars: Bars | None = None, **settings: object) -> Verdict:
    """Return a verdict that passed."""
    return validate(STRATEGY, waves() if bars is None else bars, costs=COSTS, **settings)


@cache
def _template() -> tempfile.TemporaryDirectory[str]:
    """Return a folder with a bundle and the keys that signed it, made once."""
    folder = tempfile.TemporaryDirectory(prefix="gwt_bundle_")
    places = {f"GWT_{name}": f"{folder.name}/{name.lower()}" for name in ("KEYS", "RUNS")}
    with mock.patch.dict(os.environ, places):
        promote(passed(), Path(folder.name) / "bundle")
    return folder


def bundle_copy(folder: Path) -> Path:
    """Return a copy of the one bundle below `folder`; this test's keys become those that signed it."""
    template = Path(_template().name)
    shutil.copytree(template / "keys", os.environ["GWT_KEYS"])
    return Path(shutil.copytree(template / "bundle", folder / "bundle"))
