"""The fill rule: against its plain twin on ordinary and hostile input, and against answers computed by hand."""

import math

import numpy as np
import pytest

from gwt_lab.errors import ConfigError
from gwt_lab.market.costs import CostModel
from gwt_lab.market.fills import fill_order, plan_orders, trade_row
from gwt_lab.market.instruments import Instrument
from tests.oracles.fills import Account, Costs, Rule, orders_to, trade

NO_RULE = np.zeros(3)
NAN = math.nan


def traded(cash, held, weights, fill_prices, last, rates, rules):
    positions = np.array(held, dtype=float)
    fills = np.empty((len(held), 4))
    arrays = [np.array(x, dtype=float) for x in (weights, fill_prices, last)]
    cash, count = trade_row(cash, positions, *arrays, np.array(rates), np.array(rules, dtype=float), fills)
    return cash, positions, fills[:count]


# ------------------------------------------------------------------------------------------------ known answers
def test_a_buy_pays_slippage_and_fee():
    cash, filled, paid, fee = fill_order(1000.0, 2.0, 100.0, np.array([0.001, 0.01, 0.5]), NO_RULE)
    assert paid == pytest.approx(101.0)
    assert filled == 2.0
    assert fee == pytest.approx(202 * 0.001 + 0.5)
    assert cash == pytest.approx(1000 - 202 - 0.702)


def test_a_sale_gets_less_than_the_price():
    cash, filled, paid, fee = fill_order(10.0, -2.0, 100.0, np.array([0.001, 0.01, 0.0]), NO_RULE)
    assert (filled, paid) == (-2.0, pytest.approx(99.0))
    assert cash == pytest.approx(10 + 198 - 0.198)
    assert fee == pytest.approx(0.198)


def test_a_buy_is_cut_to_the_cash_and_leaves_nothing():
    cash, filled, paid, fee = fill_order(1000.0, 20.0, 100.0, np.array([0.001, 0.0, 0.0]), NO_RULE)
    assert cash == 0.0
    assert filled == pytest.approx(1000 / 1.001 / 100)
    assert filled * paid + fee == pytest.approx(1000.0)


def test_amounts_are_cut_to_the_lot_and_small_orders_dropped():
    lots = np.array([0.1, 0.0, 0.0])
    assert fill_order(1000.0, 0.37, 100.0, np.zeros(3), lots)[1] == pytest.approx(0.3)
    assert fill_order(1000.0, -0.3, 100.0, np.zeros(3), lots)[1] == pytest.approx(-0.3)  # 0.3 / 0.1 is below 3
    assert fill_order(1000.0, 0.05, 100.0, np.zeros(3), lots)[1] == 0.0
    assert fill_order(1000.0, 0.4, 100.0, np.zeros(3), np.array([0.0, 0.5, 0.0]))[1] == 0.0
    assert fill_order(1000.0, 0.4, 100.0, np.zeros(3), np.array([0.0, 0.0, 50.0]))[1] == 0.0


@pytest.mark.parametrize("cash", [100.0, 99.99999999999, 33.3, 0.1])
def test_lots_never_spend_more_than_there_is(cash):
    left, filled, _, _ = fill_order(cash, 5.0, 33.3, np.array([0.001, 0.0005, 0.0]), np.array([0.001, 0.0, 0.0]))
    assert left >= 0
    assert filled / 0.001 == pytest.approx(round(filled / 0.001))


def test_sales_come_first_so_that_buys_find_the_cash():
    # all cash is in A; B is bought from what A brings, though B stands first
    cash, positions, fills = traded(0, [0, 10], [1, 0], [50, 100], [50, 100], [0.0, 0.0, 0.0], np.zeros((2, 3)))
    assert [row[0] for row in fills] == [1, 0]
    assert list(positions) == [20, 0]
    assert cash == 0


def test_a_missing_price_is_valued_at_the_last_one_and_not_traded():
    cash, positions, fills = traded(100, [1, 0], [0, 0.5], [NAN, 10], [300, 10], [0.0, 0.0, 0.0], np.zeros((2, 3)))
    assert list(positions) == [1, 10]  # half of 100 + 300 would be 20, the cash buys 10
    assert len(fills) == 1
    assert cash == 0


def test_nan_holds_and_zero_sells():
    assert list(traded(0, [1, 1], [NAN, 0], [10, 10], [10, 10], [0, 0, 0], np.zeros((2, 3)))[1]) == [1, 0]


def test_an_account_worth_nothing_trades_no_more():
    columns, _ = plan_orders(10.0, np.array([-1.0]), np.array([0.5]), np.array([20.0]), np.array([20.0]), np.zeros(3))
    assert len(columns) == 0


def test_rounding_noise_is_no_order():
    held = np.array([1 / 3])
    columns, _ = plan_orders(1e-14, held, np.array([1.0]), np.array([3.0]), np.array([3.0]), np.zeros(3))
    assert len(columns) == 0


# ------------------------------------------------------------------------------------------------ the plain twin
@pytest.mark.parametrize("seed", range(40))
def test_equal_to_the_plain_twin(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    account = Account(float(rng.choice([0.0, 1.0, 1e4, 1e9])), [float(x) for x in rng.normal(0, 10, n)])
    prices = np.exp(rng.normal(3, 3, n))
    last = np.where(rng.random(n) < 0.1, np.nan, prices * np.exp(rng.normal(0, 0.01, n)))
    prices[rng.random(n) < 0.2] = np.nan
    account.held = [
        0.0 if math.isnan(p) and math.isnan(q) else h for h, p, q in zip(account.held, prices, last, strict=True)
    ]
    weights = rng.choice([NAN, 0.0, 0.5, -0.5, 1.0, 3.0, rng.normal()], n)
    costs = Costs(float(rng.choice([0, 0.001, 0.5])), float(rng.choice([0, 0.0005, 0.3])), float(rng.choice([0, 1.0])))
    rules = [Rule(float(rng.choice([0, 0.1, 1e-8])), 0.0, float(rng.choice([0, 5.0]))) for _ in range(n)]
    kernel_rules = [[rule.lot, rule.min_amount, rule.min_value] for rule in rules]
    rates = [costs.fees, costs.slippage, costs.fixed]
    planned = plan_orders(account.cash, np.array(account.held), weights, prices, last, np.array(rates))
    assert [int(c) for c in planned[0]] == [c for c, _ in orders_to(account, weights, prices, last, costs)]
    cash, positions, fills = traded(account.cash, account.held, weights, prices, last, rates, kernel_rules)
    expected = trade(account, weights, prices, last, costs, rules)
    assert cash == pytest.approx(account.cash, rel=1e-12, abs=1e-9)
    np.testing.assert_allclose(positions, account.held, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(fills, np.array(expected).reshape(-1, 4), rtol=1e-12, atol=1e-9)


# ------------------------------------------------------------------------------------------------ the cost model
@pytest.mark.parametrize(
    ("settings", "words"),
    [({"fees": -0.1}, "fees must be a fraction"), ({"slippage": 1.0}, "slippage must be"), ({"fees": NAN}, "fees"),
     ({"fixed_fees": -1}, "at least 0"), ({"fees": "0.1"}, "one number"), ({"fees": True}, "one number")],
)  # fmt: skip
def test_costs_out_of_range_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        CostModel(**settings)


def test_costs_travel_through_json_and_double():
    costs = CostModel(0.002, 0.001, 0.5)
    assert CostModel.from_dict(costs.to_dict()) == costs
    assert costs.times(2) == CostModel(0.004, 0.002, 1.0)
    with pytest.raises(ConfigError, match="unknown keys"):
        CostModel.from_dict({"fee": 0.1})


def test_lots_want_every_instrument():
    rule = Instrument("A/USDT", amount_lot=0.1, min_amount=0.2, min_notional=5.0, price_tick=0.01)
    assert CostModel(use_lots=True).rules(["A/USDT"], {"A/USDT": rule}).tolist() == [[0.1, 0.2, 5.0, 0.01]]
    assert CostModel().rules(["A/USDT"], {"A/USDT": rule}).tolist() == [[0, 0, 0, 0]]
    with pytest.raises(ConfigError, match="B/USDT missing"):
        CostModel(use_lots=True).rules(["A/USDT", "B/USDT"], {"A/USDT": rule})
