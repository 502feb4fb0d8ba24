"""The two laws on everything that turns bars into features, exactly (no tolerance)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gwt_lab.features.alpha158 import ALPHA158_LOOKBACK, ALPHA158_LOOKBACKS, alpha158
from gwt_lab.features.alpha360 import ALPHA360_LOOKBACK, alpha360
from gwt_lab.graph.build import graph_lookback
from gwt_lab.graph.features import graph_features
from gwt_lab.market.bars import Bars
from gwt_lab.validation.causality import check_causal
from tests.oracles.features_markets import hostile, with_outages
from tests.oracles.markets import random_bars

FEATURES: dict[str, tuple[Callable[[Bars], pd.DataFrame], int | None]] = {
    "alpha158": (alpha158, ALPHA158_LOOKBACK),
    "alpha158 as qlib": (lambda bars: alpha158(bars, qlib_compatible=True), None),
    "alpha360": (alpha360, ALPHA360_LOOKBACK),
    "alpha360 as qlib": (lambda bars: alpha360(bars, qlib_compatible=True), None),
    "graph at every bar": (lambda bars: graph_features(bars, window=30, step=1), graph_lookback(30, 1)),
    "graph once a day": (lambda bars: graph_features(bars, window=60, step=24), graph_lookback(60, 24)),
}
MARKETS = {
    "whole": random_bars(4, 260, seed=11),
    "with holes": random_bars(4, 260, seed=12, holes=0.1),
    "hostile": hostile(),
    "outages": with_outages(),
    "an odd start": random_bars(3, 260, seed=13, holes=0.02, start="2023-03-05 07:00"),
}


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("name", FEATURES)
def test_causal_and_finite_memory(name: str, market: str) -> None:
    function, lookback = FEATURES[name]
    report = check_causal(function, MARKETS[market], lookback=lookback, n_cuts=4)
    assert report.passed, str(report)
    if lookback is not None:
        assert report.checked["memory"] >= 4


@pytest.mark.parametrize("name", [name for name, (_, lookback) in FEATURES.items() if lookback])
def test_the_laws_can_fail(name: str) -> None:
    """The same features one row too early, and with a shorter declared memory, do not pass."""
    function, lookback = FEATURES[name]
    assert lookback is not None

    def early(bars: Bars) -> pd.DataFrame:
        return function(bars).groupby(level="instrument").shift(-1)

    def forgetful() -> Any:
        return check_causal(function, MARKETS["whole"], lookback=lookback // 3, n_cuts=2)

    assert not check_causal(early, MARKETS["whole"], n_cuts=1).passed
    assert {leak.law for leak in forgetful().leaks} == {"memory"}


@pytest.mark.parametrize("bars", [with_outages(), random_bars(3, 300, seed=12, holes=0.3)], ids=["outages", "holes"])
def test_each_column_of_alpha158_remembers_what_it_declares(bars: Bars) -> None:
    """At every end that is tried each column equals itself on as many rows as it declares, and not on 68 fewer."""
    whole = alpha158(bars).to_numpy().reshape(*bars.shape, -1)
    ends = [131, 160, 201, 206, 224, 260, 267, 268, 269, 300]
    for rows in sorted(set(ALPHA158_LOOKBACKS.values())):
        columns = [place for place, lookback in enumerate(ALPHA158_LOOKBACKS.values()) if lookback == rows]
        kept = np.ones(len(columns), dtype=bool)
        for end in ends:
            for used in (rows, max(rows - 68, 1)):
                part = alpha158(bars.select(start=bars.index[end - used], end=bars.index[end - 1]))
                last = part.to_numpy()[-bars.n_symbols :, columns]
                same = (last == whole[end - 1][:, columns]) | (np.isnan(last) & np.isnan(whole[end - 1][:, columns]))
                if used == rows:
                    assert same.all(), (end, rows)
                else:
                    kept &= same.all(axis=0)
        assert kept.all() if rows == 1 else not kept.any(), rows
