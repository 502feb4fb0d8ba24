"""The band: which bars are ambiguous, what they change, and that it is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import UnknownNameError
from tests.backtest.markets import by_hand, flags, market, random_signals

STILL = (10.0, 10.0, 10.0, 10.0)
WIDE = (10.0, 12.0, 8.0, 10.5)  # holds a stop at 9 and a target at 11


def one_wide_bar(**settings) -> Portfolio:
    bars = by_hand(STILL, STILL, WIDE, STILL)
    given = {"sl_stop": 0.1, "tp_stop": 0.1, "fees": 0, "slippage": 0, "ambiguity": "band"} | settings
    return Portfolio.from_signals(bars, flags(bars, 0), **given)


def random_portfolio(**settings) -> Portfolio:
    bars = market(400, seed=31, holes=0.05)
    entries, exits = random_signals(bars, seed=32)
    return Portfolio.from_signals(bars, entries, exits, **({"sl_stop": 0.01, "tp_stop": 0.012} | settings))


def test_one_bar_that_holds_both_decides_the_sign():
    pf = one_wide_bar()
    band = pf.band()
    assert band.total_return().to_dict() == pytest.approx({"pessimistic": -0.1, "neutral": -0.1, "optimistic": 0.1})
    assert band.decides_sign()
    assert band.decides_sign("expectancy")
    assert not band.decides_sign("turnover")
    assert pf.n_ambiguous_bars == band.n_ambiguous_bars == 1
    told = "the sign of the total return depends on what happened inside 1 bar: -10.00 % to 10.00 %"
    assert told in repr(pf)
    assert told in repr(band)
    assert told in pf._repr_html_()
    assert told in band._repr_html_()
    assert pf.stats()["Ambiguous Bars"] == 1


def test_the_account_of_a_band_is_the_pessimistic_one():
    pf = one_wide_bar()
    assert pf.total_return() == pytest.approx(-0.1)
    assert "counts as pessimistic" in str(pf.assumptions)
    assert "counts as optimistic" in str(pf.band().optimistic.assumptions)


def test_the_open_decides_what_a_gap_skips():
    bars = by_hand(STILL, STILL, (8.5, 12.0, 8.0, 10.0), STILL)
    pf = Portfolio.from_signals(bars, flags(bars, 0), sl_stop=0.1, tp_stop=0.1, ambiguity="band")
    assert pf.n_ambiguous_bars == 0
    assert not pf.band().decides_sign()
    assert "no bar leaves open" in repr(pf)


def test_a_limit_that_is_only_touched_is_ambiguous():
    bars = by_hand(STILL, (10, 10, 9, 9.5), STILL)
    pf = Portfolio.from_signals(bars, flags(bars, 0), limit=0.1, fees=0, slippage=0)
    assert len(pf.orders) == 0
    assert pf.n_ambiguous_bars == 1
    assert pf.band().total_return()["optimistic"] > 0


def test_three_curves_and_three_columns():
    pf = random_portfolio()["A/USDT"]
    band = pf.band()
    assert list(band.value().columns) == ["pessimistic", "neutral", "optimistic"]
    assert band.value()["pessimistic"].equals(pf.value())
    assert band.value()["optimistic"].equals(pf.under(ambiguity="optimistic").value())
    assert band.stats().loc["Total Return [%]"].tolist() == pytest.approx(100 * band.total_return().to_numpy())
    assert band.drawdown().shape == band.returns().shape == (400, 3)


def test_the_count_equals_a_bar_by_bar_comparison():
    # A trade that ends in an ambiguous bar ends in the other view's price there, if both were in the same state before.
    pf = random_portfolio(sl_stop=0.006, tp_stop=0.006)["A/USDT"]
    stop_exits = pf.trades.frame[pf.trades["exit_kind"] == "stop loss"]
    expected = 0
    for trade in stop_exits.itertuples():
        entry_mark = trade.entry_price / 1.0005
        bar_high = pf.bars.high.loc[trade.exit_timestamp].iloc[0]
        opened = pf.bars.open.loc[trade.exit_timestamp].iloc[0]
        expected += bool(bar_high >= entry_mark * 1.006 and opened > entry_mark * 0.994)
    assert pf.n_ambiguous_bars == expected > 5


def test_the_count_does_not_depend_on_the_view_it_starts_from_where_bars_decide_alone():
    pf = one_wide_bar(ambiguity="optimistic")
    assert pf.n_ambiguous_bars == 1


def test_several_accounts_have_a_band_each():
    pf = random_portfolio()
    band = pf.band()
    assert band.total_return().shape == (3, 2)
    assert (band.total_return().loc["optimistic"] >= band.total_return().loc["pessimistic"]).all()
    assert band.value().columns.nlevels == 2
    assert band.decides_sign().index.equals(pf.accounts)
    assert pf.ambiguous_bars.tolist() == [pf[label].n_ambiguous_bars for label in pf.accounts]
    assert pf.n_ambiguous_bars == pf.ambiguous_bars.sum() > 0


def test_without_stops_nothing_is_ambiguous():
    bars = market(100, seed=1)
    pf = Portfolio.from_weights(bars, pd.DataFrame(0.5, bars.index, bars.close.columns), ambiguity="band")
    assert pf.n_ambiguous_bars == 0
    assert np.ptp(pf.band().total_return()) == 0


def test_unknown_numbers_are_named():
    band = one_wide_bar().band()
    with pytest.raises(UnknownNameError, match="no metric 'luck'"):
        band.decides_sign("luck")
    with pytest.raises(AttributeError, match="band has no 'luck'"):
        band.luck()
