"""Trades, positions and drawdowns: against their plain twins, by hand, and what they add up to."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest import matching as at
from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import MissingExtraError, UnknownNameError
from tests.backtest.markets import by_hand, flags, market, random_signals
from tests.oracles.paths import bars_of
from tests.oracles.records import plain_drawdowns, plain_excursions, plain_trades

FIELDS = {"column": at.COLUMN, "size": at.SIZE, "entry_row": at.ENTRY_ROW, "entry_price": at.ENTRY_PRICE,
          "entry_fees": at.ENTRY_FEES, "exit_row": at.EXIT_ROW, "exit_price": at.EXIT_PRICE,
          "exit_fees": at.EXIT_FEES, "side": at.SIDE, "open": at.IS_OPEN, "position": at.POSITION_ID}  # fmt: skip
CASES = [
    {},
    {"direction": "both"},
    {"accumulate": True, "size": 9.0, "direction": "both"},
    {"accumulate": True, "size": 9.0, "direction": "shortonly"},
    {"sl_stop": 0.01, "tp_stop": 0.01, "direction": "both"},
    {"cash_sharing": True, "size": 30.0},
    {"leverage": 3.0, "direction": "both"},
]


def portfolio(settings, holes: float = 0.1) -> Portfolio:
    bars = market(300, seed=11, holes=holes)
    entries, exits = random_signals(bars, seed=12)
    return Portfolio.from_signals(bars, entries, exits, **settings)


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_trades_equal_the_plain_twin(settings):
    pf = portfolio(settings)
    expected = plain_trades(pf.fills.tolist(), pf.marks[-1], pf.bars.n_times - 1)
    assert len(pf.trades) == len(expected) > 20
    for name, field in FIELDS.items():
        np.testing.assert_allclose(pf.trades.values[:, field], [t[name] for t in expected], rtol=1e-9, atol=1e-9)
    wanted = [
        plain_excursions(
            pf.bars.high.iloc[:, t["column"]].to_numpy(), pf.bars.low.iloc[:, t["column"]].to_numpy(), t
        )
        for t in expected
    ]  # fmt: skip
    np.testing.assert_allclose(np.column_stack([pf.trades.mae, pf.trades.mfe]), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_drawdowns_equal_the_plain_twin(settings):
    pf = portfolio(settings)
    found = pf.drawdowns.values
    for account in range(pf.n_accounts):
        own = found[found[:, 0] == account]
        assert [tuple(row) for row in own[:, [1, 2, 3, 4, 8]]] == plain_drawdowns(pf.paths.value[:, account].tolist())
        assert (
            pf.max_drawdown().iloc[account] == pytest.approx((own[:, 6] / own[:, 5] - 1).min())
            if (pf.n_accounts > 1)
            else True
        )


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_gains_of_trades_add_up_to_the_accounts_gain(settings):
    pf = portfolio(settings)
    gained = pf.trades._sums(pf.trades._pnl)
    np.testing.assert_allclose(pf.simulation.init_cash + gained, pf.paths.value[-1], rtol=1e-9)
    by_position = pf.positions._sums(pf.positions._pnl)
    np.testing.assert_allclose(by_position, gained, rtol=1e-9, atol=1e-7)


def test_a_partial_exit_takes_its_part_of_the_average_entry():
    bars = by_hand(*[(10, 10, 10, 10)] * 2, *[(20, 20, 20, 20)] * 2, *[(30, 30, 30, 30)] * 2)
    sizes = pd.Series([10, np.nan, 10, np.nan, -5, np.nan], bars.index, dtype=float)
    pf = Portfolio.from_orders(bars, sizes, fees=0.01, slippage=0, price="close")
    first, rest = pf.trades.frame.itertuples(index=False)
    assert (first.size, first.entry_price, first.exit_price, first.status) == (5, 15, 30, "closed")
    assert (first.entry_fees, first.exit_fees) == (pytest.approx(0.75), pytest.approx(1.5))
    assert first.pnl == pytest.approx(75 - 2.25)
    assert (rest.size, rest.entry_price, rest.status, rest.exit_price) == (15, 15, "open", 30)
    position = pf.positions.frame.iloc[0]
    assert (position["size"], position["status"], position["exit_price"]) == (20, "open", 30)


def test_a_reversal_closes_one_trade_and_opens_another():
    bars = by_hand(*[(10, 10, 10, 10)] * 5)
    pf = Portfolio.from_orders(bars, pd.Series([4, -7, np.nan, np.nan, 3], bars.index), fees=0.01, slippage=0,
                               price="close")  # fmt: skip
    assert pf.trades["direction"].tolist() == ["long", "short"]
    assert pf.trades["exit_fees"].tolist() == pytest.approx([0.4, 0.3])
    assert pf.trades["entry_fees"].tolist() == pytest.approx([0.4, 0.3])
    assert pf.trades.count() == 2
    assert pf.trades.open.count() == 0
    assert pf.orders["side"].tolist() == ["buy", "sell", "buy"]


def test_a_trade_says_why_it_ended():
    bars = by_hand((10, 10, 10, 10), (10, 10, 8, 9), (10, 10, 10, 10), (10, 12, 10, 12), (12, 12, 12, 12))
    pf = Portfolio.from_signals(bars, flags(bars, 0, 2), sl_stop=0.1, tp_stop=0.15)
    assert pf.trades["exit_kind"].tolist() == ["stop loss", "take profit"]
    assert pf.orders["kind"].tolist() == ["order", "stop loss", "order", "take profit"]
    assert (pf.win_rate(), pf.trades.winning.count(), pf.trades.losing.count()) == (0.5, 1, 1)
    assert pf.profit_factor() == pytest.approx(pf.trades.pnl[1] / -pf.trades.pnl[0])
    assert pf.expectancy() == pytest.approx(pf.trades.pnl.mean())


def test_without_trades_numbers_are_unknown_and_tables_empty():
    bars = market(30, seed=1)
    pf = Portfolio.from_signals(bars, pd.DataFrame(False, bars.index, bars.close.columns))
    assert len(pf.trades) == len(pf.positions) == len(pf.orders) == len(pf.drawdowns) == 0
    assert pf.win_rate().isna().all()
    assert pf.trades.records_readable.empty
    assert pf.stats()["Total Trades"] == 0
    assert "0 trades" in pf.trades._repr_html_()


def test_several_accounts_answer_by_account_and_label():
    bars = market(300, seed=4)
    entries, exits = random_signals(bars, seed=5)
    wide = {name: frame for name, frame in (("slow", entries), ("fast", exits))}
    both = pd.concat(wide, axis=1, names=["kind", "symbol"])
    pf = Portfolio.from_signals(bars, both, pd.concat({"slow": exits, "fast": entries}, axis=1))
    assert pf.trades.count().index.equals(both.columns)
    assert set(pf.trades["column"]) == set(both.columns)
    one = pf["fast", "B/USDT"]
    assert one.trades.count() == pf.trades.count()["fast", "B/USDT"]
    assert one.win_rate() == pf.win_rate()["fast", "B/USDT"]
    frame = pf.stats(agg_func=None)
    assert list(frame.columns) == list(both.columns)
    assert one.stats()["Total Trades"] == frame["fast", "B/USDT"]["Total Trades"]
    assert pf.stats(("fast", "B/USDT")).equals(one.stats())
    assert pf.stats()["Win Rate [%]"] == pytest.approx(frame.loc["Win Rate [%]"].astype(float).mean())


def test_an_unknown_column_is_named():
    with pytest.raises(UnknownNameError, match="no column 'colour'; there are timestamp"):
        portfolio({}).orders["colour"]


def test_the_gap_at_the_end_values_an_open_trade_at_the_last_known_price():
    close = np.array([[10.0, 5.0], [12.0, 5.0], [np.nan, 5.0]])
    bars = bars_of(close, close)
    entries = pd.DataFrame([[True, False]] + [[False, False]] * 2, bars.index, bars.close.columns)
    pf = Portfolio.from_signals(bars, entries, fees=0, slippage=0)
    assert pf.trades["exit_price"].tolist() == [12]


def test_without_vectorbt_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "vectorbt", None)
    pf = portfolio({})
    with pytest.raises(MissingExtraError, match=r"gwt_lab\[vectorbt\]"):
        pf.to_vectorbt()
