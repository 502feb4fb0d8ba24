"""What a backtest refuses, and that its message says what, where and what to do."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import ConfigError, DataError, ShapeError, UnknownNameError
from tests.backtest.made import FREE, at, bars

MARKET = bars([100] * 6, [10] * 6)
ENTRIES = pd.DataFrame(at(MARKET, 0), MARKET.index, MARKET.close.columns)


def refused(kind: type[Exception], words: str, data=ENTRIES, market=MARKET, **settings) -> None:
    with pytest.raises(kind, match=words):
        Portfolio.from_signals(market, data, **settings)


# ------------------------------------------------------------------------------------------------ settings
@pytest.mark.parametrize("cash", [0, -1, np.nan, np.inf])
def test_cash_must_be_above_zero(cash):
    refused(ConfigError, "init_cash must be above 0 and finite", init_cash=cash)


def test_cash_of_every_account():
    refused(ShapeError, r"init_cash must be one number or one an account \(2\)", init_cash=[1.0, 2.0, 3.0])


def test_negative_sizes_are_refused_for_signals_and_sell_as_orders():
    refused(ConfigError, "size must not be negative: signals say the direction", size=-1.0)
    sizes = np.where(at(MARKET, 0), -1.0, np.nan)
    assert Portfolio.from_orders(MARKET, sizes, **FREE).fills[:, 2].tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("word", "told"),
    [("commission", "commission is fees here"), ("cash", "init_cash"), ("stop_loss", "sl_stop"),
     ("take_profit", "tp_stop"), ("td_stop", "time_stop"), ("margin", "leverage"), ("trade_on_close", "price='close'"),
     ("slipage", "there are price, size_type")],
)  # fmt: skip
def test_other_libraries_words_are_translated(word, told):
    refused(ConfigError, told, **{word: 0.1})


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"price": "open"}, "price must be one of next_open, close, next_close"),
     ({"direction": "up"}, "direction must be one of longonly, shortonly, both, got 'up'"),
     ({"size_type": "lots"}, "size_type must be one of amount"), ({"accumulate": "often"}, "accumulate must be one of"),
     ({"ambiguity": "hopeful"}, "ambiguity must be one of"), ({"call_seq": "random"}, "call_seq must be one of"),
     ({"time_stop": 1.5}, "time_stop must be a whole number"), ({"time_stop": "3"}, "time_stop must be a whole"),
     ({"sl_stop": 5}, r"sl_stop must be a fraction below 1 \(5 % is 0.05\), got 5"),
     ({"costs": {"fees": 0.1}}, "costs must be a CostModel.*, got dict"),
     ({"group_by": ["x", None]}, "group_by must hold a label for every column"),
     ({"limit_bars": 0}, "limit_bars must be a whole number of bars from 1"),
     ({"leverage": 0.5}, "leverage must be at least 1"), ({"leverage": "3"}, "leverage must be one number"),
     ({"leverage": np.inf}, "leverage must be at least 1"),
     ({"leverage": 10, "maintenance_margin": 0.1}, "maintenance_margin must be below 1 / leverage = 0.1"),
     ({"sl_stop": -0.1}, "sl_stop must be a fraction from 0 on"), ({"tp_stop": np.inf}, "tp_stop must be a fraction"),
     ({"fees": -0.1}, "fees must be a fraction"), ({"slippage": 1.0}, "slippage must be a fraction")],
)  # fmt: skip
def test_settings_out_of_range(settings, told):
    refused(ConfigError, told, **settings)


@pytest.mark.parametrize("spelling", ["longonly", "LongOnly", "long_only", "long only"])
def test_words_may_be_spelt_as_vectorbt_spells_them(spelling):
    pf = Portfolio.from_signals(MARKET, ENTRIES, ENTRIES.shift(2, fill_value=False), direction=spelling, **FREE)
    assert pf.amounts.min() == 0
    assert len(pf.fills) == 4


@pytest.mark.parametrize(
    ("settings", "refuses"),
    [({}, True), ({"accumulate": "addonly"}, True), ({"upon_opposite_entry": "reverse", "accumulate": True}, True),
     ({"accumulate": True}, False), ({"upon_opposite_entry": "close"}, False)],
)  # fmt: skip
def test_a_percent_cannot_reverse(settings, refuses):
    words = {"direction": "both", "size": 0.5, "size_type": "Percent"} | settings
    exits = ENTRIES.shift(2, fill_value=False)
    if refuses:
        refused(ConfigError, "cannot reverse a position", exits=exits, **words)
    else:
        assert len(Portfolio.from_signals(MARKET, ENTRIES, exits, **words).fills) == 4


def test_weights_are_shares():
    weights = pd.DataFrame(0.1, MARKET.index, MARKET.close.columns)
    with pytest.raises(ConfigError, match="from_weights takes shares of the account"):
        Portfolio.from_weights(MARKET, weights, size_type="amount")


# ------------------------------------------------------------------------------------------------ prices
@pytest.mark.parametrize("bad", [np.inf, 0.0, -3.0])
@pytest.mark.parametrize("field", ["open", "high", "low", "close"])
def test_a_price_that_cannot_be_traded_is_named(field, bad):
    panel = getattr(MARKET, field).copy()
    panel.iloc[3, 1] = bad
    market = dataclasses.replace(MARKET, **{field: panel})
    refused(DataError, f"{field} of BB/USDT at 2024-01-01 03:00:00.00:00 is {bad}", market=market)


def test_given_prices_are_looked_at_too():
    price = MARKET.close.copy()
    price.iloc[2, 0] = np.inf
    refused(DataError, "price of AA/USDT at 2024-01-01 02:00", price=price)
    refused(
        ShapeError, "price must have one column for each symbol of the bars; AA/USDT missing", price=price[["BB/USDT"]]
    )
    refused(ShapeError, "price must have one row a bar", price=price.to_numpy()[:3])
    refused(ShapeError, "2024-01-01 00:30:00.00:00 does not", price=MARKET.close.shift(freq="30min"))


def test_a_sale_of_an_infinite_share_is_all_that_can_be_sold():
    sizes = np.where(at(MARKET, 0), -np.inf, np.nan)
    pf = Portfolio.from_orders(MARKET, sizes, size_type="percent", init_cash=1_000, **FREE)
    assert pf.fills[:, 2].tolist() == [-10, -100]


def test_duplicated_bars_are_named():
    frame = MARKET.to_frame()
    refused(DataError, "the first is AA/USDT at 2024-01-01 02:00", market=pd.concat([frame, frame.iloc[[2]]]))


# ------------------------------------------------------------------------------------------------ signals
def test_a_time_that_comes_twice_or_is_foreign_is_named():
    refused(ShapeError, "each once; 2024-01-01 04:00:00.00:00 does not", pd.concat([ENTRIES, ENTRIES.iloc[[4]]]))
    refused(ShapeError, "2024-01-01 00:30:00.00:00 does not", ENTRIES.shift(freq="30min"))
    refused(ShapeError, "got an index of int64; use bars.index", ENTRIES.reset_index(drop=True))


def test_signals_in_another_order_are_put_in_order():
    signals = pd.DataFrame(at(MARKET, 1), MARKET.index, MARKET.close.columns)
    assert set(Portfolio.from_signals(MARKET, signals.iloc[::-1]).fills[:, 0]) == {2}
    refused(ShapeError, "5 of 6 times are missing, first 2024-01-01 00:00", signals.iloc[1:2])


def test_shapes_and_columns():
    refused(ShapeError, r"shape \(6, 2\), got \(5, 2\)", ENTRIES.to_numpy()[:5])
    refused(ShapeError, "entries is one Series, the bars have 2 symbols", ENTRIES["AA/USDT"])
    refused(ShapeError, "unknown CC/USDT", ENTRIES.set_axis(["AA/USDT", "CC/USDT"], axis=1))
    refused(ShapeError, "exits must have the columns of entries", exits=ENTRIES[["AA/USDT"]])
    refused(ShapeError, "sl_stop must be one number, one a column", sl_stop=np.ones(5))
    refused(ShapeError, "one label a column: 2, got 3", group_by=[1, 2, 3])
    refused(ConfigError, "group_by: no level 'fast'", group_by="fast")


@pytest.mark.parametrize("values", [0.5, 2, "yes", np.nan])
def test_what_is_no_bool_is_refused(values):
    refused(DataError, r"entries must hold True and False \(or 0 and 1\)", np.full(MARKET.shape, values))


def test_zeros_and_ones_are_bools():
    got = Portfolio.from_signals(MARKET, ENTRIES.astype(float), **FREE)
    assert got.fills.tolist() == Portfolio.from_signals(MARKET, ENTRIES, **FREE).fills.tolist()


def test_a_series_of_sizes_must_name_every_symbol():
    refused(ShapeError, "size must have one number for each column or symbol; BB/USDT missing",
            size=pd.Series({"AA/USDT": 1.0, "BBB/USDT": 2.0}))  # fmt: skip
    pf = Portfolio.from_signals(MARKET, ENTRIES, size=pd.Series({"BB/USDT": 2.0, "AA/USDT": 1.0}), **FREE)
    assert pf.fills[:, 2].tolist() == [1, 2]


def test_nothing_to_trade_is_refused():
    with pytest.raises(ConfigError, match="needs entries"):
        Portfolio.from_signals(MARKET)


def test_sharing_nothing_may_be_said():
    assert len(Portfolio.from_signals(MARKET, ENTRIES, group_by=False).accounts) == 2


def test_funding_must_fit():
    refused(ShapeError, "funding has rates of CC/USDT", funding=pd.DataFrame({"CC/USDT": [0.1]}, MARKET.index[:1]))
    refused(ShapeError, "one column a symbol", funding=pd.Series([0.1], MARKET.index[:1]))
    due = pd.DataFrame({"AA/USDT": [np.inf]}, MARKET.index[:1])
    refused(DataError, "funding rates must be finite", funding=due)


def test_whole_numbers_of_numpy_are_whole_numbers():
    one = Portfolio.from_signals(MARKET, ENTRIES, time_stop=np.int64(2), leverage=np.int64(2), **FREE)
    two = Portfolio.from_signals(MARKET, ENTRIES, time_stop=2, leverage=2.0, **FREE)
    assert one.fills.tolist() == two.fills.tolist()
    assert one.assumptions.rules.to_dict() == two.assumptions.rules.to_dict()


def test_another_symbols_signals_are_refused():
    alone = MARKET.select(MARKET.symbols[:1])
    other = pd.DataFrame({"ZZ/USDT": at(alone, 0)[:, 0]}, alone.index)
    refused(ShapeError, "entries is of ZZ/USDT, the bars are of AA/USDT", other, alone)
    renamed = other.set_axis(["close"], axis=1)
    assert len(Portfolio.from_signals(alone, renamed).orders) == 1


def test_a_stop_must_cover_every_bar():
    stop = pd.Series(0.05, MARKET.index[2:])
    refused(ShapeError, "sl_stop must say something at every bar: 2 of 6 times are missing", sl_stop=stop)


def test_rules_that_under_does_not_change_are_named():
    pf = Portfolio.from_signals(MARKET, ENTRIES)
    with pytest.raises(ConfigError, match=r"under\(\) changes rules .*, got fees; fees and slippage are costs="):
        pf.under(fees=0.0)


@pytest.mark.parametrize(("benchmark", "told"), [([1.0, "x"], "benchmark must hold numbers"), (None, "more than once")])
def test_benchmarks_that_are_none(benchmark, told):
    times = MARKET.index[[0, 1]] if benchmark else MARKET.index[[0, 0]]
    with pytest.raises((DataError, ShapeError), match=told):
        Portfolio.from_signals(MARKET, ENTRIES).stats(benchmark=pd.Series(benchmark or [1.0, 2.0], times))


def test_a_cutoff_is_a_fraction():
    with pytest.raises(ConfigError, match="cutoff must be a fraction from 0 to 1"):
        Portfolio.from_signals(MARKET, ENTRIES).value_at_risk(5)


@pytest.mark.parametrize("rebalance", [None, 2, 0.1])
def test_infinite_weights_and_text_are_refused(rebalance):
    weights = pd.DataFrame(0.5, MARKET.index, MARKET.close.columns)
    weights.iloc[0, 0] = np.inf
    with pytest.raises(DataError, match="weights must be numbers or NaN"):
        Portfolio.from_weights(MARKET, weights, rebalance=rebalance)
    with pytest.raises(DataError, match="weights must hold numbers"):
        Portfolio.from_weights(MARKET, weights.astype(object).replace(np.inf, "much"), rebalance=rebalance)


def test_an_endless_wait_for_rebalancing_is_refused():
    with pytest.raises(ConfigError, match="rebalance must be a whole number of bars or a drift"):
        Portfolio.from_weights(MARKET, ENTRIES.astype(float), rebalance=np.inf)


# ------------------------------------------------------------------------------------------------ labels
def test_groups_and_cash_are_read_by_their_labels():
    market = bars([100] * 6, [10] * 6, [50] * 6)
    names = market.symbols
    entries = pd.DataFrame(at(market, 0), market.index, market.close.columns)
    groups = {names[0]: "x", names[1]: "y", names[2]: "x"}
    by_dict = Portfolio.from_signals(market, entries, group_by=groups, init_cash={"y": 500.0, "x": 900.0})
    by_series = Portfolio.from_signals(
        market, entries, group_by=pd.Series(groups)[::-1], init_cash=pd.Series({"y": 500.0, "x": 900.0})
    )
    for pf in (by_dict, by_series):
        assert list(pf.accounts) == ["x", "y"]
        assert pf.simulation.init_cash.tolist() == [900, 500]
        assert "cash 500 to 900" in str(pf.assumptions)
    with pytest.raises(ShapeError, match=f"group_by must say something of each of 3; {names[2]} missing"):
        Portfolio.from_signals(market, entries, group_by=dict(list(groups.items())[:2]))
    with pytest.raises(ShapeError, match="init_cash must say something of each of 2; y missing"):
        Portfolio.from_signals(market, entries, group_by=groups, init_cash={"x": 1.0})


# ------------------------------------------------------------------------------------------------ what is kept
def test_what_the_user_changes_later_changes_nothing():
    weights = pd.DataFrame(0.5, MARKET.index, MARKET.close.columns)
    sizes, stops = np.full(MARKET.shape, 1.0), np.full(MARKET.shape, 0.05)
    of_weights = Portfolio.from_weights(MARKET, weights)
    of_orders = Portfolio.from_orders(MARKET, sizes, sl_stop=stops)
    weights.iloc[:, 0] = 0.0
    sizes[:], stops[:] = 0.0, 0.0
    fresh = Portfolio.from_weights(MARKET, pd.DataFrame(0.5, MARKET.index, MARKET.close.columns))
    assert of_weights.fills.tolist() == fresh.fills.tolist() != []
    assert of_orders.under(ambiguity="neutral").fills.tolist() == of_orders.fills.tolist() != []
    table = of_orders.orders.frame
    table["fees"] = -1.0
    assert (of_orders.orders["fees"] > 0).all()


def test_what_is_assumed_follows_the_rules_it_is_told_under():
    pf = Portfolio.from_signals(MARKET, ENTRIES, sl_stop=0.1)
    assert "stops fill at their price, beyond it at the open; a bar that holds both counts as pessimistic" in str(
        pf.assumptions
    )
    changed = pf.under(stop_exit_price="stopmarket", ambiguity="neutral")
    assert "stops fill with slippage; a bar that holds both counts as neutral" in str(changed.assumptions)


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"time_stop": 3}, "positions are closed after 3 bars"),
     ({"sl_stop": 0.1, "sl_trail": True}, "the stop loss trails the best price"),
     ({"limit": 0.01, "limit_bars": 4}, "entries rest at their limits for 4 bars"),
     ({"funding": pd.DataFrame(1e-4, MARKET.index, MARKET.symbols)}, "funding is paid at its times"),
     ({"short_entries": at(MARKET, 3)}, "no interest on shorts")],
)  # fmt: skip
def test_what_makes_a_difference_is_told(settings, told):
    assert told not in str(Portfolio.from_signals(MARKET, ENTRIES).assumptions)
    assert told in str(Portfolio.from_signals(MARKET, ENTRIES, **settings).assumptions)


def test_weights_that_never_trade_are_told():
    weights = pd.DataFrame(0.5, MARKET.index[1:2], MARKET.close.columns)
    pf = Portfolio.from_weights(MARKET, weights, rebalance=4)
    assert not len(pf.fills)
    assert "WARNING: no weight lies at a bar that trades (the first at 2024-01-01 00:00" in str(pf.assumptions)


# ------------------------------------------------------------------------------------------------ seen in trials
def test_a_stop_of_a_short_may_be_beyond_the_price():
    settings = {"direction": "shortonly", "sl_stop": 1.5, "price": "close", **FREE}
    rising = bars([100, 200, 240, 260], [10] * 4)
    pf = Portfolio.from_signals(rising, at(rising, 0, column=0), **settings)
    assert [(row, price) for row, price in pf.fills[:, [0, 3]].tolist()] == [(0, 100), (3, 260)]


def test_accounts_of_two_parameters_keep_their_names():
    market = bars([100] * 4, [10] * 4)
    labels = pd.MultiIndex.from_product([[5, 10], ["a", "b"], market.symbols], names=["fast", "kind", "symbol"])
    entries = pd.DataFrame(True, market.index, labels)
    pf = Portfolio.from_signals(market, entries, cash_sharing=True)
    expected = pd.MultiIndex.from_product([[5, 10], ["a", "b"]], names=["fast", "kind"])
    pd.testing.assert_index_equal(pf.accounts, expected)
    assert pf.total_return().index.names == ["fast", "kind"]
    assert pf[(10, "a")].n_accounts == 1


def test_labels_that_are_numbers_are_labels():
    market = bars([100] * 4)
    labels = pd.MultiIndex.from_product([[5, 20], market.symbols], names=["w", "symbol"])
    entries = pd.DataFrame(True, market.index, labels)
    pf = Portfolio.from_signals(market, entries, group_by="w", init_cash=pd.Series({20: 1e3, 5: 2e3}))
    assert dict(zip(pf.accounts, pf.simulation.init_cash, strict=True)) == {5: 2_000, 20: 1_000}
    tuples = Portfolio.from_signals(market, entries, group_by=[("a", 1), ("a", 1)])
    assert list(tuples.accounts) == [("a", 1)]


def test_a_month_below_zero_gains_when_it_gains():
    market = bars([100, 300, 350, 340], timeframe="1d", start="2024-01-29")
    pf = Portfolio.from_signals(market, at(market, 0), direction="shortonly", price="close", **FREE)
    assert pf.equity.tolist() == [10_000, -10_000, -15_000, -14_000]
    months = pf.monthly_returns().loc[2024]
    assert months[["Jan", "Feb", "Year"]].tolist() == pytest.approx([-2.5, 1 / 15, -2.4])
    assert np.isnan(pf.turnover())


def test_a_second_order_of_a_symbol_at_one_bar_is_refused():
    def twice(c):
        if c.i == 1:
            c.buy(1.0, MARKET.symbols[0], sl_stop=0.1)
            c.sell(1.0, MARKET.symbols[0])

    with pytest.raises(ConfigError, match=f"a second order of {MARKET.symbols[0]} at one bar"):
        Portfolio.from_order_func(MARKET, twice)


def test_an_entry_that_was_replaced_while_it_rested_is_not_filled():
    market = bars([(100, 101, 99.5, 100), (100, 101, 99.5, 100), (100, 101, 90, 95), 95, 95])
    entries = at(market, 0, 1)
    pf = Portfolio.from_signals(market, entries, limit=0.05, limit_bars=3, **FREE)
    assert pf.fills[:, 0].tolist() == [2]
    why = pf.why_no_trades()
    assert (why.n_decisions, why.n_filled) == (2, 1)


def test_a_short_that_cannot_be_bought_back_is_told():
    market = bars([100, 100, 400, 400, 400], [100] * 5)
    shorts, longs = at(market, 0, column=0), at(market, 1, column=1)
    pf = Portfolio.from_signals(
        market, longs, np.zeros_like(longs), short_entries=shorts, short_exits=at(market, 2, column=0),
        cash_sharing=True, price="close", **FREE,
    )  # fmt: skip
    assert pf.assets().iloc[-1, 0] < 0
    why = pf.why_no_trades()
    assert why.n_lost_exits == 1
    assert "1 exit could not be filled, and the position stayed open." in why.sentence


def test_more_mistakes_are_told(tmp_path):
    pf = Portfolio.from_signals(MARKET, ENTRIES).__getitem__(MARKET.symbols[0])
    with pytest.raises(ConfigError, match="the tear sheet cannot be written to"):
        pf.tearsheet(tmp_path / "nowhere" / "sheet.html")
    with pytest.raises(ConfigError, match="order_func must be a function of the context, got int"):
        Portfolio.from_order_func(MARKET, 5)
    with pytest.raises(UnknownNameError, match="no field 'vwap'; there are open, high, low, close, volume"):
        Portfolio.from_order_func(MARKET, lambda c: c.last(5, "vwap"))
    with pytest.raises(ConfigError, match="from_holding decides for itself: leave exits away"):
        Portfolio.from_holding(MARKET, exits=ENTRIES)


def test_nullable_numbers_are_numbers():
    weights = pd.DataFrame(0.5, MARKET.index, MARKET.close.columns)
    weights.iloc[2:, 1] = np.nan
    expected = Portfolio.from_weights(MARKET, weights)
    got = Portfolio.from_weights(MARKET, weights.astype("Float64"))
    assert got.fills.tolist() == expected.fills.tolist() != []


def test_a_symbol_in_another_spelling_is_told_its_own():
    entries = ENTRIES.set_axis(["AAUSDT", "BBUSDT"], axis=1)
    refused(ShapeError, r"got unknown AAUSDT, BBUSDT \(AAUSDT is AA/USDT here\)", entries)
