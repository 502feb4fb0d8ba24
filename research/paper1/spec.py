"""Everything about the study that is decided before it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gwt_lab.errors import DataError
from gwt_lab.market.bars import Bars
from gwt_lab.models.lightgbm_model import LightGBMParams

__all__ = ["CLAIM", "CLAIMED_PERCENT", "Spec"]

CLAIM = "Knowledge-graph features add 2-15 % accuracy"
CLAIMED_PERCENT = (2.0, 15.0)


# Small trees and large leaves: where one direction in fifty is predictable, larger ones learn the noise.
_TREES = LightGBMParams(n_trees=60, num_leaves=4, learning_rate=0.05, min_data_in_leaf=2_000)
_LEAVES_PER_DATA = 50  # a leaf never needs more than this part of the rows, so that small panels can be split too


@dataclass(frozen=True)
class Spec:
    """Settings of one run.

    Parameters
    ----------
    profile : str
        "quick" (seconds, indicative) or "full".
    window : int
        Bars behind each market graph, at most a quarter of the data.
    step : int
        Bars between market graphs.
    n_leaders, n_neighbours : int
        Edges a symbol, see `gwt_lab.graph.build.build_graphs`.
    n_splits : int
        Test blocks of the walk forward.
    purged_size : int
        Bars between training and test; the label is known two bars after its row.
    n_placebos : int
        Graphs with permuted names.
    n_resamples : int
        Of the block bootstrap.
    trees : LightGBMParams
    seed : int
        Of the placebos and the bootstrap.
    """

    profile: str = "quick"
    window: int = 2_000
    step: int = 24
    n_leaders: int = 5
    n_neighbours: int = 3
    n_splits: int = 4
    purged_size: int = 2
    n_placebos: int = 3
    n_resamples: int = 1_000
    trees: LightGBMParams = _TREES
    seed: int = 0

    @classmethod
    def quick(cls) -> Spec:
        """Return the settings of `gwt reproduce`: under a minute on one core."""
        return cls()

    @classmethod
    def full(cls) -> Spec:
        """Return the settings for a verdict: 19 placebos, more and smaller test blocks, more resamples."""
        return cls(profile="full", n_splits=8, n_placebos=19, n_resamples=5_000)

    def trees_for(self, n_rows: int) -> LightGBMParams:
        """Return the settings of the trees with leaves that fit the number of rows."""
        return replace(
            self.trees, min_data_in_leaf=max(1, min(self.trees.min_data_in_leaf, n_rows // _LEAVES_PER_DATA))
        )

    def window_for(self, bars: Bars) -> int:
        """Return the window that fits the bars.

        Raises
        ------
        DataError
            If there are fewer than 2 symbols or 600 rows.
        """
        if bars.n_symbols < 2 or bars.n_times < 600:
            raise DataError(
                f"paper 1 compares symbols over time and needs at least 2 symbols and 600 bars, got {bars.n_symbols} "
                f"symbols and {bars.n_times} bars: pass more"
            )
        return min(self.window, bars.n_times // 4)
