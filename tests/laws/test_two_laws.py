"""The two laws on everything that turns bars into features, exactly (no tolerance)."""

from collections.abc import Callable
from typing import Any

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


@pytest.mark.parametrize("rows", sorted(set(ALPHA158_LOOKBACKS.values())))
def test_each_column_of_alpha158_remembers_what_it_declares(rows: int) -> None:
    """Columns with the same lookback, at ends placed where an outage just fits into a window, or just does not."""
    names = [name for name, lookback in ALPHA158_LOOKBACKS.items() if lookback == rows]
    for bars in (with_outages(), random_bars(3, 260, seed=12, holes=0.3)):
        report = check_causal(lambda part: alpha158(part, columns=names), bars, lookback=rows, n_cuts=40)
        assert report.passed, str(report)
        if rows > 1:
            short = check_causal(lambda part: alpha158(part, columns=names), bars, lookback=rows - 67 - 1, n_cuts=40)
            assert {leak.law for leak in short.leaks} == {"memory"}
            assert {leak.column for leak in short.leaks} == set(names)
