"""Everything about the way to the runner that is decided before it is walked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gwt_lab.data.synthetic import SyntheticMarket, synthetic_market
from gwt_lab.errors import DataError
from gwt_lab.market.bars import Bars
from gwt_lab.market.costs import CostModel
from gwt_lab.models.lightgbm_model import LightGBMParams

__all__ = ["Spec", "planted_market"]


@dataclass(frozen=True)
class Spec:
    """Settings of one walk.

    Parameters
    ----------
    train_share : float
        First part of the bars, on which the model is trained; the rest is judged.
    every : int
        Bars between rebalances.
    share : float
        Part of the symbols on each side.
    graph_window, graph_step : int
        Bars per market graph and between graphs.
    costs : CostModel
        What trading costs before the gate doubles it.
    replay_bars : int
        Bars decided anew by the runner, at the end of the data.
    trees : LightGBMParams
        The model.
    """

    train_share: float = 0.7
    every: int = 1
    share: float = 0.25
    graph_window: int = 1000
    graph_step: int = 24
    costs: CostModel = field(default_factory=CostModel)
    replay_bars: int = 120
    trees: LightGBMParams = field(default_factory=lambda: LightGBMParams(n_trees=60))

    @classmethod
    def quick(cls) -> Spec:
        """Return the quick profile: seconds on one core, a taker's usual costs and a trade a day."""
        return cls(every=24, replay_bars=480)

    @classmethod
    def cheap(cls) -> Spec:
        """Return the same for a venue at 1 bp of fees and 1 bp of slippage, with a trade every bar."""
        return cls(every=1, costs=CostModel(0.0001, 0.0001))

    def sized(self, bars: Bars) -> Spec:
        """Return the spec with a graph window that leaves shorter bars something to train on and to judge."""
        return replace(self, graph_window=min(self.graph_window, bars.n_times // 8))

    def fit(self, bars: Bars) -> int:
        """Return the row at which training ends, after checking that the bars are long enough.

        Raises
        ------
        DataError
            If they are not.
        """
        cut = int(self.train_share * bars.n_times)
        lookback = self.graph_window + self.graph_step
        if cut < 2 * lookback or bars.n_times - cut < self.replay_bars + 100 or bars.n_symbols < 4:
            wanted = int(2 * lookback / self.train_share)
            raise DataError(
                f"the way to the runner needs 4 symbols and {wanted:,} bars for graphs of {self.graph_window} bars, "
                f"got {bars.n_symbols} and {bars.n_times:,}: pass more, or a Spec with a "
                "shorter graph_window"
            )
        return cut


def planted_market(n_bars: int = 8_000) -> SyntheticMarket:
    """Return a market with a lead-lag strong enough to pay one basis point of fees and of slippage, twice over."""
    return synthetic_market(n_assets=12, n_bars=n_bars, timeframe="1h", seed=7, spillover=0.15)
