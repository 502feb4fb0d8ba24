"""Every column against pyqlib's own Alpha158 and Alpha360 handlers, NaN pattern included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwt_lab.features.alpha158 import ALPHA158_COLUMNS, alpha158
from gwt_lab.features.alpha360 import ALPHA360_COLUMNS, alpha360
from gwt_lab.market.bars import Bars
from tests.oracles.features_markets import markets, narrow, real_bars
from tests.oracles.features_qlib import qlib_features

pytest.importorskip("qlib", reason="pyqlib is not installed")

MARKETS = {name.replace(" ", "_"): bars for name, bars in markets().items()}
OURS = {"alpha158": alpha158, "alpha360": alpha360}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, pd.DataFrame]]:
    return qlib_features({name: narrow(bars) for name, bars in MARKETS.items()}, tmp_path_factory.mktemp("qlib"))


def differing(got: pd.DataFrame, wanted: pd.DataFrame) -> dict[str, int]:
    """Return the number of values by column that differ by more than 1e-5 of qlib's and 1e-6, or in being NaN."""
    assert list(got.columns) == list(wanted.columns)
    a, b = got.to_numpy(np.float64), wanted.to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        near = np.abs(a - b) <= 1e-5 * np.abs(b) + 1e-6
    wrong = ~(near | (a == b) | (np.isnan(a) & np.isnan(b)))
    return {name: int(count) for name, count in zip(got.columns, wrong.sum(axis=0), strict=True) if count}


def same_rows(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Return our rows that qlib has; it has none before a symbol's first and after its last bar."""
    found = ours[ours.index.isin(theirs.index)]
    assert found.index.equals(theirs.index)
    assert found.index.names == theirs.index.names
    return found


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("name", MARKETS)
def test_every_column_is_qlibs(answers: dict[str, dict[str, pd.DataFrame]], name: str, kind: str) -> None:
    theirs = answers[name][kind]
    # the bars as they are: compatible mode rounds them itself
    ours = same_rows(OURS[kind](MARKETS[name] if name != "no_quote_volume" else narrow(MARKETS[name]), True), theirs)
    assert differing(ours, theirs) == {}


def test_the_comparison_sees_each_column(answers: dict[str, dict[str, pd.DataFrame]]) -> None:
    theirs = answers["ordinary"]["alpha158"]
    for column in theirs.columns:
        for wrong in (1e-4, np.nan):
            changed = theirs[[column]].copy()
            changed.iloc[-1, 0] += wrong * max(1.0, abs(changed.iloc[-1, 0]))
            assert differing(changed, theirs[[column]]) == {column: 1}


@pytest.mark.real
def test_every_column_is_qlibs_on_real_bars(real_data: Path, tmp_path: Path) -> None:
    bars: Bars = narrow(real_bars(real_data))
    theirs = qlib_features({"real": bars}, tmp_path)["real"]
    for kind, function in OURS.items():
        assert differing(same_rows(function(bars, True), theirs[kind]), theirs[kind]) == {}


def test_names_and_order_are_qlibs() -> None:
    from qlib.contrib.data.handler import Alpha158
    from qlib.contrib.data.loader import Alpha360DL

    assert Alpha158.get_feature_config(None)[1] == list(ALPHA158_COLUMNS)  # type: ignore[arg-type]
    assert Alpha360DL.get_feature_config()[1] == list(ALPHA360_COLUMNS)


def test_without_gaps_and_in_plain_numbers_both_kinds_agree() -> None:
    """What the default corrects is rare: on whole windows of ordinary bars both say the same."""
    bars = narrow(MARKETS["ordinary"])
    default, as_qlib = alpha158(bars).iloc[3 * 61 :], alpha158(bars, True).iloc[3 * 61 :]
    # KSFT2 and its like divide by a range that float32 knows to few digits
    np.testing.assert_allclose(default, as_qlib, rtol=1e-3, atol=1e-4)
