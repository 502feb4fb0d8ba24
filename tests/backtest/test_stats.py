"""Tables of results: months, benchmarks, aggregates, and the words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import ConfigError, ShapeError, UnknownNameError
from tests.backtest.markets import by_hand, flags, market, random_signals


def portfolio(n_times: int = 300, freq: str = "1h", **settings) -> Portfolio:
    bars = market(n_times, seed=21, freq=freq)
    entries, exits = random_signals(bars, seed=22)
    return Portfolio.from_signals(bars, entries, exits, **settings)


def test_months_compound_to_the_year_and_years_to_the_whole():
    pf = portfolio(700, "1d")["A/USDT"]
    table = pf.monthly_returns()
    assert list(table.columns) == [*"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), "Year"]
    assert table.index.tolist() == [2021, 2022]
    months = table.drop(columns="Year")
    np.testing.assert_allclose((1 + months.fillna(0)).prod(axis=1) - 1, table["Year"], rtol=1e-9)
    assert (1 + table["Year"]).prod() - 1 == pytest.approx(pf.total_return())
    assert months.notna().sum().sum() == 24  # 700 days end on the first of the second December
    march = pf.value().loc["2021-03"].iloc[-1] / pf.value().loc["2021-02"].iloc[-1] - 1
    assert table.loc[2021, "Mar"] == pytest.approx(march)


def test_months_want_one_account():
    with pytest.raises(ConfigError, match="pick one"):
        portfolio().monthly_returns()


def test_holding_beside_itself_has_beta_one_and_no_alpha():
    bars = by_hand(*[(p, p, p, p) for p in (10, 11, 10, 12, 13, 12)])
    pf = Portfolio.from_signals(bars, flags(bars, 0), fees=0, slippage=0, price="close")
    relative = pf.relative()
    assert relative["Beta"] == pytest.approx(1)
    assert relative["Alpha [%]"] == pytest.approx(0, abs=1e-9)
    assert (relative["Up Capture"], relative["Down Capture"]) == (pytest.approx(1), pytest.approx(1))
    assert relative["Tracking Error [%]"] == pytest.approx(0, abs=1e-9)


def test_a_given_benchmark_replaces_holding():
    pf = portfolio()["A/USDT"]
    index = pf.bars.index
    prices = pd.Series(np.linspace(50, 100, len(index)), index)
    assert pf.stats(benchmark=prices)["Benchmark Return [%]"] == pytest.approx(100)
    assert pf.benchmark_value(prices).iloc[-1] == pytest.approx(20_000)
    # daily prices are carried to the hours
    daily = prices.iloc[::24]
    assert pf.benchmark_value(daily).nunique() == len(daily)


@pytest.mark.parametrize(
    ("benchmark", "words"),
    [
        (lambda p: p.iloc[5:], "from the first bar on"),
        (lambda p: p * -1, "above 0"),
        (lambda p: p.to_numpy(), "Series"),
    ],
)
def test_a_benchmark_that_does_not_fit_is_refused(benchmark, words):
    pf = portfolio()
    with pytest.raises(ShapeError, match=words):
        pf.stats(benchmark=benchmark(pd.Series(50.0, pf.bars.index)))


def test_the_benchmark_of_a_shared_account_holds_equal_parts():
    pf = portfolio(cash_sharing=True)
    close = pf.bars.close
    expected = 10_000 * (close / close.iloc[0]).mean(axis=1)
    np.testing.assert_allclose(pf.benchmark_value(), expected, rtol=1e-12)


def test_aggregates_are_words_of_pandas():
    pf = portfolio()
    frame = pf.stats(agg_func=None)
    assert pf.stats(agg_func="min")["Sharpe Ratio"] == frame.loc["Sharpe Ratio"].min()
    with pytest.raises(ConfigError, match="agg_func"):
        pf.stats(agg_func="frobnicate")
    with pytest.raises(UnknownNameError, match="no account"):
        pf.stats("DOGE/USDT")


def test_short_words_are_the_same_numbers():
    pf = portfolio()
    assert pf.sortino().equals(pf.sortino_ratio())
    assert pf.calmar().equals(pf.calmar_ratio())


def test_funding_stands_in_the_table_where_it_was_paid():
    bars = market(100, seed=1)
    entries, exits = random_signals(bars, seed=2)
    rates = pd.DataFrame(1e-3, bars.index[::8], bars.symbols)
    pf = Portfolio.from_signals(bars, entries, exits, funding=rates)
    assert pf.stats(agg_func="sum")["Total Funding Paid"] == pytest.approx(pf.paths.funding.sum()) != 0
    assert "Total Funding Paid" not in portfolio().stats()


def test_words_say_what_many_accounts_did_on_average_and_what_is_assumed():
    text = repr(portfolio())
    assert "2 accounts: mean total return" in text
    assert "assumes: decided at a bar's close" in text
    assert "next bar&#x27;s open" in portfolio()._repr_html_()


def test_a_ruined_account_and_a_few_wild_bars_have_statistics():
    still = (10.0, 10.0, 10.0, 10.0)
    bars = by_hand(still, still, *[(40.0, 40.0, 40.0, 40.0)] * 3)
    ruined = Portfolio.from_orders(bars, pd.Series([-1000.0, *[np.nan] * 4], bars.index))
    assert ruined.value().iloc[-1] < 0
    assert ruined.stats()["Annualized Return [%]"] == -100
    rich = Portfolio.from_signals(bars, flags(bars, 0))
    assert rich.stats()["Annualized Return [%]"] == np.inf
    for pf in (ruined, rich):
        assert "tear" in pf.tearsheet(title="tear")
