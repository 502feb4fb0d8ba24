"""`Portfolio.from_weights`: against the plain twin, by hand, and its refusals."""

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.market.costs import CostModel
from gwt_lab.market.instruments import Instrument
from gwt_lab.market.time import bars_per_year
from tests.oracles.backtest import plain_backtest, plain_metrics
from tests.oracles.fills import Costs, Rule
from tests.oracles.paths import bars_of, random_paths, random_weights


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


def frame(bars, *values: float) -> pd.DataFrame:
    return pd.DataFrame(column(*values), index=bars.index, columns=bars.close.columns)


# ------------------------------------------------------------------------------------------------ the plain twin
@pytest.mark.parametrize("price", ["next_open", "close"])
@pytest.mark.parametrize(
    ("seed", "holes", "long_only", "holds"),
    [(1, 0.0, False, 0.0), (2, 0.0, True, 0.0), (3, 0.3, False, 0.2), (4, 0.3, True, 0.5), (5, 0.9, False, 0.0)],
)
def test_equal_to_the_plain_twin(price, seed, holes, long_only, holds):
    bars = random_paths(seed, 120, 4, holes=holes)
    weights = random_weights(seed + 100, bars, long_only=long_only, holds=holds)
    pf = Portfolio.from_weights(bars, weights, fees=0.002, slippage=0.001, init_cash=5_000, price=price)
    cash, held, value, fills = plain_backtest(
        bars.open.to_numpy(), bars.close.to_numpy(), weights.to_numpy(), init_cash=5_000.0,
        costs=Costs(0.002, 0.001), price=price,
    )  # fmt: skip
    assert len(fills) > 20
    np.testing.assert_allclose(pf.value(), value, rtol=1e-11)
    np.testing.assert_allclose(pf.cash, cash, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(pf.assets(), held, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(pf.fills[:, :5], fills, rtol=1e-9, atol=1e-9)
    expected = plain_metrics(value, 5_000.0, bars_per_year("1h"))
    got = {"total_return": pf.total_return(), "sharpe_ratio": pf.sharpe_ratio(), "max_drawdown": pf.max_drawdown()}
    assert got == pytest.approx(expected, rel=1e-9)


def test_lots_equal_the_plain_twin():
    bars = random_paths(9, 80, 3)
    rules = {s: Instrument(s, amount_lot=0.5, min_amount=1.0, min_notional=90.0) for s in bars.symbols}
    bars = bars_of(bars.open.to_numpy(), bars.close.to_numpy(), instruments=rules)
    weights = random_weights(10, bars, long_only=True)
    pf = Portfolio.from_weights(bars, weights, costs=CostModel(0.001, 0.0, use_lots=True))
    _, _, value, fills = plain_backtest(
        bars.open.to_numpy(), bars.close.to_numpy(), weights.to_numpy(), init_cash=10_000.0,
        costs=Costs(0.001, 0.0), rules=[Rule(0.5, 1.0, 90.0)] * 3,
    )  # fmt: skip
    np.testing.assert_allclose(pf.value(), value, rtol=1e-12)
    assert len(pf.orders) == len(fills) > 20
    assert np.allclose(pf.orders["amount"] % 0.5, 0)


# ------------------------------------------------------------------------------------------------ by hand
def test_a_decision_is_filled_at_the_next_open_and_never_before():
    bars = bars_of(column(10, 20, 40, 40), column(10, 30, 40, 80))
    pf = Portfolio.from_weights(bars, frame(bars, 1, np.nan, np.nan, np.nan), fees=0, slippage=0, init_cash=100)
    assert pf.value().tolist() == [100, 150, 200, 400]  # 5 units bought at 20, not at 10
    assert pf.orders["timestamp"].tolist() == [bars.index[1]]


def test_the_same_bar_only_when_asked_by_name():
    bars = bars_of(column(10, 20), column(10, 30))
    pf = Portfolio.from_weights(bars, frame(bars, 1, np.nan), fees=0, slippage=0, init_cash=100, price="close")
    assert pf.value().tolist() == [100, 300]
    assert "optimistic" in str(pf.assumptions)


def test_the_last_decision_is_not_filled():
    bars = bars_of(column(10, 10), column(10, 10))
    assert len(Portfolio.from_weights(bars, frame(bars, 0, 1)).orders) == 0


def test_a_gap_drops_the_order_and_carries_the_price():
    bars = bars_of(column(10, 10, np.nan, 12), column(10, 11, np.nan, 13))
    pf = Portfolio.from_weights(bars, frame(bars, 1, 0, np.nan, np.nan), fees=0, slippage=0, init_cash=100)
    assert len(pf.orders) == 1  # the sale decided in row 1 found no open
    assert pf.value().tolist() == pytest.approx([100, 110, 110, 130])


def test_fees_and_slippage_are_what_they_say():
    bars = bars_of(column(10, 10, 10), column(10, 10, 10))
    pf = Portfolio.from_weights(bars, frame(bars, 0.5, 0, np.nan), fees=0.01, slippage=0.1, init_cash=1000)
    bought, sold = pf.orders.frame.drop(columns="kind").itertuples(index=False)
    assert (bought.side, bought.amount, bought.price, bought.fees) == ("buy", 50, pytest.approx(11), pytest.approx(5.5))
    assert (sold.side, sold.amount, sold.price, sold.fees) == ("sell", 50, pytest.approx(9), pytest.approx(4.5))
    assert pf.total_return() == pytest.approx((-550 - 5.5 + 450 - 4.5) / 1000)
    assert pf.stats()["Total Fees Paid"] == pytest.approx(10.0)


def test_the_first_return_counts_from_the_initial_cash():
    bars = bars_of(column(10, 10), column(10, 10))
    pf = Portfolio.from_weights(bars, frame(bars, 1, np.nan), fees=0.5, init_cash=100, price="close")
    assert pf.returns().iloc[0] < -0.3
    assert pf.total_return() == pytest.approx(pf.returns().iloc[0])
    assert pf.max_drawdown() == 0.0  # vectorbt's: peaks are closes of the account


def test_rebalance_counts_bars_from_the_epoch_not_from_the_first_row():
    bars = random_paths(3, 60, 2)
    weights = random_weights(4, bars, long_only=True)
    whole = Portfolio.from_weights(bars, weights, rebalance=6)
    later = Portfolio.from_weights(bars.select(start=bars.index[5]), weights.iloc[5:], rebalance=6)
    hours = {moment.hour % 6 for moment in whole.orders["timestamp"]}
    assert hours == {1}  # decided at 0, 6, 12, 18 o'clock, filled one hour later
    assert set(later.orders["timestamp"]) == set(whole.orders["timestamp"]) - {bars.index[1]}


def test_without_orders_nothing_happens():
    bars = random_paths(1, 30, 2)
    pf = Portfolio.from_weights(bars, random_weights(1, bars) * np.nan)
    assert (pf.value() == 10_000).all()
    assert np.isnan(pf.sharpe_ratio())
    assert (pf.max_drawdown(), pf.turnover(), len(pf.orders)) == (0.0, 0.0, 0)


def test_weights_held_are_shares_of_the_account():
    bars = random_paths(6, 50, 3)
    targets = random_weights(7, bars, long_only=True) * 0.9
    pf = Portfolio.from_weights(bars, targets, fees=0, slippage=0, price="close")
    np.testing.assert_allclose(pf.weights, targets, rtol=1e-9)


def test_the_result_cannot_be_written_to():
    bars = random_paths(1, 30, 2)
    pf = Portfolio.from_weights(bars, random_weights(1, bars))
    with pytest.raises(ValueError, match="read-only"):
        pf.equity[0] = 1e9


def test_the_words_say_what_is_assumed():
    bars = random_paths(1, 30, 2)
    text = repr(Portfolio.from_weights(bars, random_weights(1, bars), fees=0.001, slippage=0.0005, rebalance=8))
    assert "filled at the next bar's open" in text
    assert "fees 10 bp, slippage 5 bp" in text
    assert "every 8 bars" in text


# ------------------------------------------------------------------------------------------------ doors and refusals
def test_takes_closes_alone_when_the_price_is_the_close():
    bars = random_paths(1, 30, 2)
    weights = random_weights(1, bars)
    one = Portfolio.from_weights(bars, weights, price="close")
    two = Portfolio.from_weights(bars.close, weights, price="close")
    assert one.value().equals(two.value())


def test_missing_times_hold_and_column_order_does_not_matter():
    bars = random_paths(1, 30, 3)
    weights = random_weights(1, bars, holds=0.0)
    sparse = weights.copy()
    sparse.iloc[np.arange(30) % 5 != 0] = np.nan
    one = Portfolio.from_weights(bars, sparse)
    two = Portfolio.from_weights(bars, weights.iloc[::5][bars.symbols[::-1]])
    assert one.value().equals(two.value())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda w: w.drop(columns="C01/USDT"), ShapeError, "C01/USDT"),
        (lambda w: w.assign(DOGE=0.0), ShapeError, "unknown DOGE"),
        (lambda w: w.set_axis(w.index + pd.Timedelta("30min")), ShapeError, "open times"),
        (lambda w: w.set_axis([w.index[0]] * len(w)), ShapeError, "each once"),
        (lambda w: w.to_numpy(), ShapeError, "DataFrame"),
        (lambda w: w + np.inf, DataError, "infinite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, error, words):
    bars = random_paths(1, 30, 2)
    with pytest.raises(error, match=words):
        Portfolio.from_weights(bars, change(random_weights(1, bars)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"price": "open"}, "next_open, close"), ({"init_cash": 0}, "init_cash"), ({"init_cash": np.nan}, "init_cash"),
     ({"rebalance": 0}, "rebalance"), ({"rebalance": 1.5}, "rebalance"), ({"fees": 1.0}, "fees")],
)  # fmt: skip
def test_settings_out_of_range_are_refused(settings, words):
    bars = random_paths(1, 30, 2)
    with pytest.raises(ConfigError, match=words):
        Portfolio.from_weights(bars, random_weights(1, bars), **settings)


def test_a_price_that_cannot_be_traded_is_refused():
    bars = bars_of(column(10, 0, 10), column(10, 10, 10))
    with pytest.raises(DataError, match="above 0"):
        Portfolio.from_weights(bars, frame(bars, 1, 1, 1))


@pytest.mark.parametrize(
    ("rows", "leverage", "told"),
    [
        (
            [(0.5, 0.5), (0.8, 0.7), (0.6, 0.6)],
            1,
            "more than 100 % of the account in 2 rows (to 150 % at 2024-01-01 01:00",
        ),
        (
            [(0.5, np.nan), (np.nan, np.nan), (1.2, np.nan)],
            1,
            "more than 100 % of the account in 1 rows (to 120 % at 2024-01-01 02:00",
        ),
        ([(1.5, -0.5), (1.4, -0.8), (0.5, 0.5)], 2, "more than 200 % of the account in 1 rows (to 220 % at"),
        ([(1.5, -0.5), (-3.0, np.nan), (1.0, 0.0)], 1, ""),
        ([(1.0, 1.0), (-1.0, 1.0), (0.1 + 0.2, 0.7)], 2, ""),
    ],
)
def test_weights_that_cannot_be_paid_are_told(rows, leverage, told):
    prices = np.full((3, 2), 10.0)
    bars = bars_of(prices, prices)
    pf = Portfolio.from_weights(bars, pd.DataFrame(rows, bars.index, bars.close.columns), leverage=leverage)
    assert told in str(pf.assumptions)
    assert ("WARNING" in str(pf.assumptions)) == bool(told)


def test_an_account_below_zero_gains_when_it_gains_and_says_so():
    prices = column(100, 150, 200, 250, 300, 150)
    pf = Portfolio.from_signals(
        bars_of(prices, prices), column(1, 0, 0, 0, 0, 0), direction="shortonly", price="close", fees=0, slippage=0
    )
    assert pf.equity.tolist() == [10_000, 5_000, 0, -5_000, -10_000, 5_000]
    assert pf.returns().tolist() == [0, -0.5, -1, 0, -1, 1.5]  # from nothing there is no rate
    assert "WARNING: the account was worth nothing or less from 2024-01-01 02:00" in str(pf.assumptions)
    assert "WARNING" not in str(Portfolio.from_holding(bars_of(prices, prices)).assumptions)


def test_a_trail_takes_its_distance_from_the_stop():
    bars = bars_of(column(10, 10), column(10, 10))
    with pytest.raises(ConfigError, match="sl_trail must be True or False; the distance is sl_stop"):
        Portfolio.from_signals(bars, column(1, 0), sl_trail=0.02)
    with pytest.raises(ConfigError, match="trails the stop loss at the distance sl_stop, which is not given"):
        Portfolio.from_signals(bars, column(1, 0), sl_trail=True)


def test_signals_that_miss_bars_are_refused_but_for_gaps():
    bars = bars_of(column(10, np.nan, 10, 10), column(10, np.nan, 10, 10))
    signals = pd.DataFrame({"x": [True, False, False]}, index=bars.index[[0, 2, 3]])
    assert len(Portfolio.from_signals(bars, signals).orders) == 0  # its fill bar has no price
    with pytest.raises(ShapeError, match=r"1 of 4 times are missing, first 2024-01-01 03:00"):
        Portfolio.from_signals(bars, signals.iloc[:2])
