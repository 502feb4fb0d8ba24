"""Users' functions: what they may take and return, the look-ahead check, and messages that name the call."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest import metrics as paths_metrics
from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.backtest.sweep import sweep
from gwt_lab.backtest.sweep.user_functions import code_hash
from gwt_lab.errors import CausalityError, ConfigError, DataError, ShapeError, UnknownNameError
from gwt_lab.market.time import bars_per_year
from gwt_lab.strategies.base import Strategy
from gwt_lab.strategies.ma_cross import MovingAverageCross
from tests.oracles.paths import random_paths

METRICS = ("total_return", "sharpe_ratio", "max_drawdown")


@pytest.fixture(scope="module")
def one():
    return random_paths(5, 600, 1)


@pytest.fixture(scope="module")
def three():
    return random_paths(6, 600, 3, holes=0.01)


def momentum(close, window):
    """Return entries where the close is above that of `window` bars before, exits where below."""
    before = np.full_like(close, np.nan)
    before[window:] = close[:-window]
    return close > before, close < before


@numba.njit
def compiled(open, high, low, close, volume, window):
    entries, exits = np.zeros(len(close), np.bool_), np.zeros(len(close), np.bool_)
    for i in range(window, len(close)):
        entries[i], exits[i] = close[i] > close[i - window], close[i] < close[i - window]
    return entries, exits


def same(left, right) -> None:
    np.testing.assert_array_equal(left.to_numpy(), right.to_numpy())


# ------------------------------------------------------------------------------------------------ forms
def test_every_form_of_signals_is_the_same_backtest(one) -> None:
    grid = {"window": [5, 20, 60]}
    expected = sweep(momentum, one, grid)
    assert expected["total_return"].nunique() == 3

    def frames(bars, window):
        entries, exits = momentum(bars.close.to_numpy(), window)
        columns = bars.close.columns
        return pd.DataFrame(entries, bars.index, columns), pd.DataFrame(exits, bars.index, columns)

    def series(bars, window):
        entries, exits = momentum(bars.close.to_numpy()[:, 0], window)
        return pd.Series(entries, bars.index), pd.Series(exits, bars.index)

    def keywords(close, **parameters):
        return momentum(close, **parameters)

    for form in (frames, series, keywords, compiled, functools.partial(momentum)):
        same(sweep(form, one, grid), expected)
    same(sweep(compiled, one, grid, n_threads=2), expected)


def test_each_symbol_has_cash_of_its_own_with_signals(three) -> None:
    whole = sweep(momentum, three, {"window": [10, 30]}, ledger=False)
    for symbol in three.symbols:
        alone = sweep(momentum, three.select(symbol), {"window": [10, 30]}, ledger=False)
        same(whole.xs(symbol, level="symbol"), alone)


def weights_of(bars, lag):
    ranks = bars.close.pct_change(lag, fill_method=None).rank(axis=1)
    return ranks.div(ranks.sum(axis=1), axis=0)


@pytest.mark.parametrize("price", ["next_open", "close"])
def test_weights_trade_one_account_as_the_portfolio_does(three, price) -> None:
    costs = {"fees": 0.002, "slippage": 0.001, "init_cash": 1_000.0, "price": price}
    result = sweep(weights_of, three, {"lag": [3, 24]}, metrics=METRICS, **costs)
    assert list(result.index) == [(3, "portfolio"), (24, "portfolio")]
    for lag in (3, 24):
        account = Portfolio.from_weights(three, weights_of(three, lag), **costs)
        expected = [account.total_return(), account.sharpe_ratio(), account.max_drawdown()]
        np.testing.assert_allclose(result.loc[(lag, "portfolio"), list(METRICS)], expected, rtol=1e-10)
    assert result.n_trials == 2


def test_arrays_of_two_dimensions_are_weights(three) -> None:
    def arrays(bars, lag):
        return weights_of(bars, lag).to_numpy()

    same(sweep(arrays, three, {"lag": [3]}), sweep(weights_of, three, {"lag": [3]}))


def test_positions_are_traded_where_they_change(one) -> None:
    def positions(close, window):
        up, down = momentum(close, window)
        return up.astype(int) - down.astype(int)

    def weights(bars, window):
        wanted = pd.Series(positions(bars.close.to_numpy()[:, 0], window), bars.index, dtype=float)
        return wanted.where(wanted.diff().fillna(wanted) != 0).to_frame(bars.symbols[0])

    result = sweep(positions, one, {"window": [10]}, metrics=("total_return",))
    account = Portfolio.from_weights(one, weights(one, 10))
    assert result.iloc[0, 0] == pytest.approx(account.total_return(), rel=1e-12)
    assert len(account.orders) > 10
    returns = paths_metrics.bar_returns(account.equity, 10_000.0)
    sharpe = paths_metrics.sharpe_ratio(returns, bars_per_year("1h"))
    assert sweep(positions, one, {"window": [10]}, metrics="sharpe_ratio").iloc[0, 0] == pytest.approx(sharpe)


@dataclass(frozen=True)
class Own(Strategy):
    lag: int
    scale: float = 1.0
    name: ClassVar[str] = "own"

    @property
    def lookback(self) -> int:
        return self.lag + 1

    def weights(self, bars):
        return weights_of(bars, self.lag) * self.scale


def test_strategies_work_through_the_same_door(three) -> None:
    expected = sweep(weights_of, three, {"lag": [3, 24]})
    same(sweep(Own, three, {"lag": [3, 24]}), expected)
    same(sweep(Own(lag=99), three, {"lag": [3, 24]}), expected)
    assert sweep(Own(lag=3, scale=0.5), three).info.n_new_trials == 1
    crossing = sweep(MovingAverageCross, three, {"fast": [5], "slow": [20]})
    account = Portfolio.from_weights(three, MovingAverageCross(5, 20).weights(three))
    assert crossing["total_return"].iloc[0] == pytest.approx(account.total_return(), rel=1e-10)
    with pytest.raises(ConfigError, match="needs a value for lag"):
        sweep(Own, three, {"scale": [1.0]})
    with pytest.raises(UnknownNameError, match="own has no parameter leg; it takes lag, scale"):
        sweep(Own, three, {"leg": [1.0]})


def test_a_function_cannot_change_the_bars(one) -> None:
    def greedy(close, k):
        close[-1] = 1e9
        return close > k, close < k

    with pytest.raises(ValueError, match="read-only") as error:
        sweep(greedy, one, {"k": [1]}, check=False)
    assert "greedy(k=1)" in "".join(error.value.__notes__)


# ------------------------------------------------------------------------------------------------ wrong answers
WRONG = {
    "a tuple of three": (lambda close, k: (close > k,) * 3, r"must return a pair \(entries, exits\), got a tuple of 3"),
    "too short": (lambda close, k: (close[1:] > k, close[1:] > k), r"entries must have shape \(600, 1\), got \(599,\)"),
    "numbers as signals": (lambda close, k: (close, close > k), "entries must be of type bool, got float64"),
    "nothing": (lambda close, k: None, "got NoneType for weights"),
    "another index": (
        lambda bars, k: bars.close.set_axis(bars.index.tz_localize(None)),
        "must be the bars' 600 times from 2024",
    ),
    "fewer rows": (lambda bars, k: bars.close.iloc[:-1], "got 599 rows"),
    "other columns": (lambda bars, k: bars.close.rename(columns=str.lower), "must have the columns C00/USDT"),
    "infinite": (lambda bars, k: bars.close * np.inf, "infinite"),
    "odd positions": (lambda close, k: np.full(600, 2.0), "positions -1, 0, 1 or NaN .hold., got 2.0"),
    "short positions": (lambda close, k: np.zeros(10), "one column of 10 positions for 1 symbols x 600 bars"),
    "text": (lambda close, k: np.full(600, "a"), "positions -1, 0 or 1, got <U1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_is_named_with_the_call(one, case) -> None:
    function, told = WRONG[case]
    with pytest.raises(ShapeError, match=told) as error:
        sweep(function, one, {"k": [7]}, check=False)
    assert "<lambda>(k=7)" in str(error.value)


def test_one_wrong_combination_of_many_is_named(one) -> None:
    def sometimes(close, window):
        entries, exits = momentum(close, window)
        return (entries, exits) if window != 30 else (entries[:-1], exits)

    with pytest.raises(ShapeError, match=r"sometimes\(window=30\): entries") as error:
        sweep(sometimes, one, {"window": range(10, 50)})
    assert "sweep: " in error.value.__notes__[0]
    assert "of 40 combinations are done" in error.value.__notes__[0]

    def mixed(close, window):
        return momentum(close, window) if window < 30 else np.zeros((600, 1))

    with pytest.raises(ShapeError, match="returned weights or positions where other combinations returned signals"):
        sweep(mixed, one, {"window": [10, 40]})


def test_an_error_of_the_function_is_its_own_with_the_call_beside_it(one) -> None:
    def breaks(close, window):
        raise ZeroDivisionError("oh")

    with pytest.raises(ZeroDivisionError, match="oh") as error:
        sweep(breaks, one, {"window": [10]}, check=False)
    assert error.value.__notes__ == ["while evaluating breaks(window=10)"]


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda k: k, "asks for no data"),
        (lambda close, fees: close, "names a rule"),
        (lambda close, *rest: close, "must name its parameters"),
        (numba.njit(lambda bars, k: bars), "cannot take bars"),
        (print, "must name its parameters|cannot be told"),
    ],
)
def test_functions_that_cannot_be_called_are_refused(one, function, told) -> None:
    with pytest.raises(ConfigError, match=told):
        sweep(function, one, {"k": [1]} if "fees" not in told else {})


def test_stops_need_signals(three) -> None:
    with pytest.raises(ConfigError, match="stops and direction need signals"):
        sweep(weights_of, three, {"lag": [3]}, sl_stop=0.1)
    with pytest.raises(ConfigError, match="stops and direction need signals"):
        sweep(weights_of, three, {"lag": [3], "tp_stop": [None, 0.1]})


# ------------------------------------------------------------------------------------------------ look-ahead
def peeking(close, window):
    """Buy where the close of the next bar is higher."""
    later = np.append(close[1:], close[-1])
    return later > close, later < close


def test_a_function_that_looks_ahead_is_refused_by_name_and_time(one) -> None:
    with pytest.raises(CausalityError, match=r"peeking\(window=3\) looks ahead, first at 2024-01-.* in e"):
        sweep(peeking, one, {"window": [3, 4]})
    assert sweep(peeking, one, {"window": [3]}, check=False)["total_return"].iloc[0] > 0.5


def test_a_function_that_passed_is_not_checked_again_unless_asked(one) -> None:
    calls = []

    def watched(close, window):
        calls.append(len(close))
        return momentum(close, window)

    sweep(watched, one, {"window": [3]})
    assert len(calls) > 10
    calls.clear()
    sweep(watched, one, {"window": [3, 4]})
    assert calls == [600, 600]
    sweep(watched, one, {"window": [3]}, check=True)
    assert len(calls) > 10


def test_a_weights_function_that_looks_ahead_is_refused(three) -> None:
    def centred(bars, lag):
        return bars.close.rolling(lag, center=True).mean().notna() * 0.3

    def normalised(bars, lag):
        return bars.close / bars.close.max() / 3

    with pytest.raises(CausalityError, match=r"normalised\(lag=3\) looks ahead"):
        sweep(normalised, three, {"lag": [3]})
    with pytest.raises(CausalityError, match=r"centred\(lag=4\) looks ahead"):
        sweep(centred, three, {"lag": [4]})


def test_the_code_hash_sees_what_a_function_calls_and_closes_over() -> None:
    def outer(constant):
        def inner(close, k):
            return close > k + constant

        return inner

    assert code_hash(outer(1)) == code_hash(outer(1))
    assert code_hash(outer(1)) != code_hash(outer(2))
    assert code_hash(functools.partial(outer, 1)) != code_hash(functools.partial(outer, 2))
    assert code_hash(compiled) == code_hash(compiled.py_func)
    scope: dict = {}
    exec("def helper(x): return x\ndef f(close, k): return helper(close) > k", scope)
    other: dict = {}
    exec("def helper(x): return x[::-1]\ndef f(close, k): return helper(close) > k", other)
    assert code_hash(scope["f"]) != code_hash(other["f"])


def test_few_bars_are_not_checked_and_work(one) -> None:
    assert len(sweep(momentum, one.head(3), {"window": [1]})) == 1
    with pytest.raises(DataError):
        one.head(0)


def test_a_function_that_answers_by_chance_is_told_as_such(one) -> None:
    rng = np.random.default_rng(0)

    def moody(close: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flags = rng.random(len(close)) > 0.5
        return flags, ~flags

    with pytest.raises(CausalityError, match=r"moody\(\) is not repeatable, first at .*differs from call to call"):
        sweep(moody, one)
