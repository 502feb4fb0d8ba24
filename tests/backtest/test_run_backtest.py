"""`run_backtest`: plain values for dashboards, from names and from functions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import gwt_lab as gwt
from gwt_lab.backtest.run import strategy_words
from tests.oracles.markets import random_bars
from tests.oracles.paths import random_paths


def test_the_default_is_ten_and_fifty_at_the_next_open() -> None:
    bars = random_paths(3, 900, 1)
    result = gwt.run_backtest(bars.to_frame())
    weights = gwt.Portfolio.from_weights(
        bars, __import__("gwt_lab.strategies.ma_cross", fromlist=["x"]).MovingAverageCross(10, 50).weights(bars)
    )
    assert result["total_return"] == pytest.approx(weights.total_return(), rel=1e-12)
    assert result["sharpe_ratio"] == pytest.approx(weights.sharpe_ratio(), rel=1e-9)
    assert result["max_drawdown"] == pytest.approx(weights.max_drawdown(), rel=1e-9)
    assert result["max_drawdown"] < 0 < result["n_trades"]
    pd.testing.assert_series_equal(result["equity_curve"], result["portfolio"].value())
    assert "filled at the next bar's open; fees 10 bp, slippage 5 bp" in result["assumptions"]


def test_an_ohlcv_frame_of_any_case_is_taken() -> None:
    bars = random_bars(1, 300)
    frame = bars.to_frame().set_index("timestamp").drop(columns=["symbol", "quote_volume"])
    upper = frame.rename(columns=str.capitalize)
    one, two = (gwt.run_backtest(data, params={"fast": 3, "slow": 9}) for data in (frame, upper))
    assert one["total_return"] == two["total_return"] != 0


def test_settings_reach_the_account() -> None:
    bars = random_bars(1, 400)
    free = gwt.run_backtest(bars, "donchian", fees=0, slippage=0)
    dear = gwt.run_backtest(bars, "donchian", fees=0.01, slippage=0)
    stopped = gwt.run_backtest(bars, "donchian", fees=0, slippage=0, sl_stop=0.001, price="close")
    assert dear["total_return"] < free["total_return"] != stopped["total_return"]
    assert "same bar's close" in stopped["assumptions"]


@pytest.mark.parametrize("name", ["ma_cross", "rsi", "xs_rank"])
def test_several_symbols_trade_one_account(name: str) -> None:
    bars = random_bars(4, 500, seed=2)
    result = gwt.run_backtest(bars, name)
    assert result["portfolio"].n_accounts == 1
    assert isinstance(result["total_return"], float)
    assert result["portfolio"].weights.abs().sum(axis=1).max() < 1.5
    assert len(result["portfolio"].fills) > 4


def test_functions_of_yours_are_taken_and_checked() -> None:
    bars = random_bars(1, 400)

    def above_mean(close: np.ndarray, window: int = 20) -> tuple[np.ndarray, np.ndarray]:
        mean = pd.Series(close).rolling(window).mean().to_numpy()
        return close > mean, close < mean

    def cheats(close: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ahead = np.roll(close, -1)
        return ahead > close, ahead < close

    result = gwt.run_backtest(bars, above_mean, {"window": 10})
    assert len(result["portfolio"].fills) > 10
    with pytest.raises(gwt.GwtLabError, match="cheats\\(\\) looks ahead, first at"):
        gwt.run_backtest(bars, cheats)


def test_unknown_names_are_told() -> None:
    bars = random_bars(1, 100)
    with pytest.raises(LookupError, match="no strategy 'macross'; there are bollinger, donchian"):
        gwt.run_backtest(bars, "macross")
    with pytest.raises(LookupError, match="rsi has no parameter period; it has window"):
        gwt.run_backtest(bars, "rsi", {"period": 14})
    with pytest.raises(ValueError, match="commission is fees here"):
        gwt.run_backtest(bars, commission=0.001)
    assert {"ma_cross", "forecast_rank", "xs_rank"} <= set(strategy_words())


def test_every_backtest_is_counted_once_and_as_the_sweep_counts_it() -> None:
    bars = random_bars(1, 300)
    for fast in (5, 6, 5):
        gwt.run_backtest(bars, params={"fast": fast, "slow": 20})
    assert gwt.TrialLedger().n_trials == 2
    gwt.sweep("ma_cross", bars, {"fast": [5, 6, 7], "slow": [20]}, progress=False)
    assert gwt.TrialLedger().n_trials == 3
    gwt.run_backtest(bars, params={"fast": 5, "slow": 20}, fees=0.002)
    assert gwt.TrialLedger().n_trials == 4
    gwt.run_backtest(bars, params={"fast": 9, "slow": 20}, ledger=False)
    assert gwt.TrialLedger().n_trials == 4


def test_accounts_of_their_own_are_trials_of_their_own(tmp_path) -> None:
    bars, ledger = random_bars(3, 300), gwt.TrialLedger(tmp_path / "ledger")
    apart = gwt.run_backtest(bars, cash_sharing=False, ledger=ledger)
    assert list(apart["total_return"].index) == list(bars.symbols)
    assert ledger.n_trials == 3
    gwt.run_backtest(bars, cash_sharing=False, ledger=ledger)
    gwt.run_backtest(bars, ledger=False)
    assert ledger.n_trials == 3
    assert "rebalanced at every row" not in gwt.run_backtest(bars, ledger=ledger)["assumptions"]
    assert ledger.n_trials == 4


def test_one_bar_is_a_backtest_and_no_trial(tmp_path) -> None:
    ledger = gwt.TrialLedger(tmp_path / "ledger")
    assert gwt.run_backtest(random_bars(1, 30).head(1), ledger=ledger)["n_trades"] == 0
    assert ledger.n_trials == 0


def test_each_lambda_is_a_strategy_of_its_own(tmp_path) -> None:
    bars, ledger = random_bars(1, 300), gwt.TrialLedger(tmp_path / "ledger")
    for strategy in (lambda close: (close > 90, close < 90), lambda close: (close > 95, close < 95)):
        for _ in range(2):
            gwt.run_backtest(bars, strategy, ledger=ledger)
    assert ledger.n_trials == 2
    for level in range(60, 70):
        found = gwt.sweep(lambda close, level=level: (close > level, close < level), bars, ledger=ledger)
    assert (found.n_trials, ledger.n_trials) == (12, 12)


def test_a_sweep_and_a_backtest_of_one_function_are_one_trial(tmp_path) -> None:
    bars, ledger = random_bars(1, 300), gwt.TrialLedger(tmp_path / "ledger")

    def make(scale: float):
        def strategy(close: np.ndarray, level: float = 100.0) -> tuple[np.ndarray, np.ndarray]:
            return close > scale * level, close < scale * level

        return strategy

    for scale in (0.9, 0.95):
        gwt.sweep(make(scale), bars, {"level": [95.0, 100.0]}, tp_stop=0.5, ledger=ledger)
        gwt.run_backtest(bars, make(scale), tp_stop=0.5, ledger=ledger)
    assert ledger.n_trials == 4
    assert len(ledger.studies()) == 1


def test_other_costs_and_other_settings_are_other_trials(tmp_path) -> None:
    bars, ledger = random_bars(1, 300), gwt.TrialLedger(tmp_path / "ledger")
    for costs in (gwt.CostModel(), gwt.CostModel(impact=0.5), gwt.CostModel(maker_fees=-0.0001)):
        for _ in range(2):
            gwt.run_backtest(bars, "rsi", costs=costs, ledger=ledger)
    assert ledger.n_trials == 3

    def above(level: float):
        def strategy(close: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return close > level, close < level

        return strategy

    for level in (90.0, 95.0, 90.0):
        gwt.run_backtest(bars, above(level), ledger=ledger)
    assert ledger.n_trials == 5
