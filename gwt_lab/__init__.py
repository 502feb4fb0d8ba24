"""gwt_lab: explore crypto markets, reproduce papers and promote a strategy to the runner.

Public names are loaded on first use, so that `import gwt_lab` stays fast::

    import gwt_lab as gwt

    market = gwt.synthetic_market(n_assets=12, n_bars=20_000, timeframe="1h", seed=7)
    market.bars
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# public name -> the module that owns it
_PUBLIC = {
    # data
    "Bars": "gwt_lab.market.bars",
    "as_bars": "gwt_lab.market.as_bars",
    "Instrument": "gwt_lab.market.instruments",
    "check_bars": "gwt_lab.data.quality",
    "repair_bars": "gwt_lab.data.quality",
    "synthetic_market": "gwt_lab.data.synthetic",
    "load_bars": "gwt_lab.data.load",
    "download_bars": "gwt_lab.data.download",
    "QlibDataAdapter": "gwt_lab.data.qlib_adapter",
    "Catalog": "gwt_lab.data.catalog",
    "check_causal": "gwt_lab.validation.causality",
    "export_qlib": "gwt_lab.data.qlib_export",
    "alpha158": "gwt_lab.features.alpha158",
    "Alpha158Stream": "gwt_lab.features.alpha158_stream",
    "alpha360": "gwt_lab.features.alpha360",
    "AlphaFeatureExtractor": "gwt_lab.features.custom",
    "custom_feature": "gwt_lab.features.custom",
    "price_acceleration": "gwt_lab.features.custom",
    "volume_surge": "gwt_lab.features.custom",
    "AsOfTable": "gwt_lab.features.as_of",
    "SentimentTable": "gwt_lab.features.sentiment",
    "score_posts": "gwt_lab.features.sentiment",
    "onchain_table": "gwt_lab.features.onchain",
    # data that become known at times of their own
    "as_posts": "gwt_lab.data.posts",
    "read_posts": "gwt_lab.data.posts",
    "PostFeed": "gwt_lab.data.posts",
    "as_onchain": "gwt_lab.data.onchain",
    "read_onchain": "gwt_lab.data.onchain",
    "OnchainApi": "gwt_lab.data.onchain",
    "AddressFeed": "gwt_lab.data.onchain",
    # backtest, promotion, live
    "Bundle": "gwt_lab.promotion.bundle",
    "PaperBroker": "gwt_lab.live.paper",
    "Portfolio": "gwt_lab.backtest.portfolio",
    "sweep": "gwt_lab.backtest.sweep",
    "SweepResult": "gwt_lab.backtest.sweep",
    "run_backtest": "gwt_lab.backtest.run",
    "CostModel": "gwt_lab.market.costs",
    "FillRules": "gwt_lab.market.rules",
    # allocation
    "Allocation": "gwt_lab.allocation.result",
    "AllocationSettings": "gwt_lab.allocation.settings",
    "hold_between": "gwt_lab.allocation.signal_rules",
    "no_trade_band": "gwt_lab.allocation.signal_rules",
    "optimize_portfolio": "gwt_lab.allocation.optimize",
    "rank_weights": "gwt_lab.allocation.signal_rules",
    "threshold_weights": "gwt_lab.allocation.signal_rules",
    "volatility_target": "gwt_lab.allocation.signal_rules",
    "walk_forward_weights": "gwt_lab.allocation.walk_forward",
    # validation
    "CombinatorialPurgedCV": "gwt_lab.validation.splits_combinatorial",
    "audit": "gwt_lab.validation.audit",
    "check_pipeline": "gwt_lab.validation.pipelines",
    "block_bootstrap_interval": "gwt_lab.validation.statistics",
    "return_signature": "gwt_lab.validation.effective",
    "TrialLedger": "gwt_lab.validation.ledger",
    "Trials": "gwt_lab.validation.trials",
    "deflated_sharpe_ratio": "gwt_lab.validation.sharpe",
    "expected_max_sharpe": "gwt_lab.validation.sharpe",
    "min_backtest_length": "gwt_lab.validation.sharpe",
    "min_track_record_length": "gwt_lab.validation.sharpe",
    "probabilistic_sharpe_ratio": "gwt_lab.validation.sharpe",
    "probability_of_backtest_overfitting": "gwt_lab.validation.overfitting",
    "promote": "gwt_lab.promotion.promote",
    "graph_features": "gwt_lab.graph.features",
    "MarketGraph": "gwt_lab.graph.market_graph",
    "NetworkXGraphStore": "gwt_lab.graph.store",
    "PurgedWalkForward": "gwt_lab.validation.splits",
    "LightGBMModel": "gwt_lab.models.lightgbm_model",
    "QlibSignalGenerator": "gwt_lab.models.signal_generator",
    "EnsembleSignalGenerator": "gwt_lab.models.ensemble",
    "optimize_parameters": "gwt_lab.models.tuning",
    "LightGBMParams": "gwt_lab.models.lightgbm_model",
    "TuningOptions": "gwt_lab.models.tuning",
    "TuningResult": "gwt_lab.models.tuning",
    "needs_retraining": "gwt_lab.models.drift",
    "population_stability": "gwt_lab.models.drift",
    "rolling_accuracy": "gwt_lab.models.drift",
    "importance_change": "gwt_lab.models.drift",
    "RetrainVerdict": "gwt_lab.models.drift",
    "forward_return": "gwt_lab.models.labels",
    "relative_return": "gwt_lab.models.labels",
    "plot_calibration": "gwt_lab.models.plots",
    "plot_contributions": "gwt_lab.models.plots",
    "plot_importance": "gwt_lab.models.plots",
    "plot_rolling_accuracy": "gwt_lab.models.plots",
    # execution
    "ExecutionEnvironment": "gwt_lab.execution.env",
    "ExecutionVecEnv": "gwt_lab.execution.sb3",
    "OrderBookHistory": "gwt_lab.execution.order_book",
    "simulate_order_book": "gwt_lab.execution.order_book",
    "train_execution_agent": "gwt_lab.execution.sb3",
    # errors
    "GwtLabError": "gwt_lab.errors",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"gwt_lab has no name {name!r}; it has {', '.join(sorted(_PUBLIC))}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_PUBLIC))


if TYPE_CHECKING:
    from gwt_lab.allocation.optimize import optimize_portfolio as optimize_portfolio
    from gwt_lab.allocation.result import Allocation as Allocation
    from gwt_lab.allocation.settings import AllocationSettings as AllocationSettings
    from gwt_lab.allocation.signal_rules import hold_between as hold_between
    from gwt_lab.allocation.signal_rules import no_trade_band as no_trade_band
    from gwt_lab.allocation.signal_rules import rank_weights as rank_weights
    from gwt_lab.allocation.signal_rules import threshold_weights as threshold_weights
    from gwt_lab.allocation.signal_rules import volatility_target as volatility_target
    from gwt_lab.allocation.walk_forward import walk_forward_weights as walk_forward_weights
    from gwt_lab.backtest.portfolio import Portfolio as Portfolio
    from gwt_lab.backtest.run import run_backtest as run_backtest
    from gwt_lab.backtest.sweep import SweepResult as SweepResult
    from gwt_lab.backtest.sweep import sweep as sweep
    from gwt_lab.data.catalog import Catalog as Catalog
    from gwt_lab.data.download import download_bars as download_bars
    from gwt_lab.data.load import load_bars as load_bars
    from gwt_lab.data.onchain import AddressFeed as AddressFeed
    from gwt_lab.data.onchain import OnchainApi as OnchainApi
    from gwt_lab.data.onchain import as_onchain as as_onchain
    from gwt_lab.data.onchain import read_onchain as read_onchain
    from gwt_lab.data.posts import PostFeed as PostFeed
    from gwt_lab.data.posts import as_posts as as_posts
    from gwt_lab.data.posts import read_posts as read_posts
    from gwt_lab.data.qlib_adapter import QlibDataAdapter as QlibDataAdapter
    from gwt_lab.data.qlib_export import export_qlib as export_qlib
    from gwt_lab.data.quality import check_bars as check_bars
    from gwt_lab.data.quality import repair_bars as repair_bars
    from gwt_lab.data.synthetic import synthetic_market as synthetic_market
    from gwt_lab.errors import GwtLabError as GwtLabError
    from gwt_lab.execution.env import ExecutionEnvironment as ExecutionEnvironment
    from gwt_lab.execution.order_book import OrderBookHistory as OrderBookHistory
    from gwt_lab.execution.order_book import simulate_order_book as simulate_order_book
    from gwt_lab.execution.sb3 import ExecutionVecEnv as ExecutionVecEnv
    from gwt_lab.execution.sb3 import train_execution_agent as train_execution_agent
    from gwt_lab.features.alpha158 import alpha158 as alpha158
    from gwt_lab.features.alpha158_stream import Alpha158Stream as Alpha158Stream
    from gwt_lab.features.alpha360 import alpha360 as alpha360
    from gwt_lab.features.as_of import AsOfTable as AsOfTable
    from gwt_lab.features.custom import AlphaFeatureExtractor as AlphaFeatureExtractor
    from gwt_lab.features.custom import custom_feature as custom_feature
    from gwt_lab.features.custom import price_acceleration as price_acceleration
    from gwt_lab.features.custom import volume_surge as volume_surge
    from gwt_lab.features.onchain import onchain_table as onchain_table
    from gwt_lab.features.sentiment import SentimentTable as SentimentTable
    from gwt_lab.features.sentiment import score_posts as score_posts
    from gwt_lab.graph.features import graph_features as graph_features
    from gwt_lab.graph.market_graph import MarketGraph as MarketGraph
    from gwt_lab.graph.store import NetworkXGraphStore as NetworkXGraphStore
    from gwt_lab.live.paper import PaperBroker as PaperBroker
    from gwt_lab.market.as_bars import as_bars as as_bars
    from gwt_lab.market.bars import Bars as Bars
    from gwt_lab.market.costs import CostModel as CostModel
    from gwt_lab.market.instruments import Instrument as Instrument
    from gwt_lab.market.rules import FillRules as FillRules
    from gwt_lab.models.drift import RetrainVerdict as RetrainVerdict
    from gwt_lab.models.drift import importance_change as importance_change
    from gwt_lab.models.drift import needs_retraining as needs_retraining
    from gwt_lab.models.drift import population_stability as population_stability
    from gwt_lab.models.drift import rolling_accuracy as rolling_accuracy
    from gwt_lab.models.ensemble import EnsembleSignalGenerator as EnsembleSignalGenerator
    from gwt_lab.models.labels import forward_return as forward_return
    from gwt_lab.models.labels import relative_return as relative_return
    from gwt_lab.models.lightgbm_model import LightGBMModel as LightGBMModel
    from gwt_lab.models.lightgbm_model import LightGBMParams as LightGBMParams
    from gwt_lab.models.plots import plot_calibration as plot_calibration
    from gwt_lab.models.plots import plot_contributions as plot_contributions
    from gwt_lab.models.plots import plot_importance as plot_importance
    from gwt_lab.models.plots import plot_rolling_accuracy as plot_rolling_accuracy
    from gwt_lab.models.signal_generator import QlibSignalGenerator as QlibSignalGenerator
    from gwt_lab.models.tuning import TuningOptions as TuningOptions
    from gwt_lab.models.tuning import TuningResult as TuningResult
    from gwt_lab.models.tuning import optimize_parameters as optimize_parameters
    from gwt_lab.promotion.bundle import Bundle as Bundle
    from gwt_lab.promotion.promote import promote as promote
    from gwt_lab.validation.audit import audit as audit
    from gwt_lab.validation.causality import check_causal as check_causal
    from gwt_lab.validation.effective import return_signature as return_signature
    from gwt_lab.validation.ledger import TrialLedger as TrialLedger
    from gwt_lab.validation.overfitting import (
        probability_of_backtest_overfitting as probability_of_backtest_overfitting,
    )
    from gwt_lab.validation.pipelines import check_pipeline as check_pipeline
    from gwt_lab.validation.sharpe import deflated_sharpe_ratio as deflated_sharpe_ratio
    from gwt_lab.validation.sharpe import expected_max_sharpe as expected_max_sharpe
    from gwt_lab.validation.sharpe import min_backtest_length as min_backtest_length
    from gwt_lab.validation.sharpe import min_track_record_length as min_track_record_length
    from gwt_lab.validation.sharpe import probabilistic_sharpe_ratio as probabilistic_sharpe_ratio
    from gwt_lab.validation.splits import PurgedWalkForward as PurgedWalkForward
    from gwt_lab.validation.splits_combinatorial import CombinatorialPurgedCV as CombinatorialPurgedCV
    from gwt_lab.validation.statistics import block_bootstrap_interval as block_bootstrap_interval
    from gwt_lab.validation.trials import Trials as Trials
