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
