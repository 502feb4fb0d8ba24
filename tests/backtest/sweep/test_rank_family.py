"""The cross-sectional family equals its plain twin, and its account the portfolio of its weights, to the bit."""

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.backtest.sweep import streaming
from gwt_lab.backtest.sweep.families import FAMILIES, SweepRules, edge_bars, evaluate
from gwt_lab.errors import ConfigError
from gwt_lab.market.bars import Bars
from tests.oracles.sweep import best_returns_weights
from tests.oracles.sweep_markets import HOUR_NS, sweep_market

COMBINATIONS = [(24, 2, 6, 0), (5, 1, 1, 0), (48, 3, 24, 2), (10, 2, 7, 2), (500, 1, 1, 0), (3, 5, 4, 0)]
FAMILY = FAMILIES["xs_rank"]


def bars_of(market):
    index = pd.DatetimeIndex(pd.to_datetime(market.times_ns, utc=True), name="datetime").as_unit("ns")
    columns = pd.Index(market.symbols, name="symbol")
    names = ("open", "high", "low", "close", "volume")
    frames = {name: pd.DataFrame(getattr(market, name).T, index=index, columns=columns) for name in names}
    return Bars(**frames, timeframe="1h")


@pytest.mark.parametrize("holes", [0.0, 0.1])
@pytest.mark.parametrize("price", ["close", "next_open"])
def test_equals_the_portfolio_of_its_weights(holes, price):
    market = sweep_market(3, 400, 5, holes=holes)
    rules = SweepRules(price=price, fees=0.002)
    acc, edges = evaluate(FAMILY, market, np.array(COMBINATIONS, dtype=float), rules, n_edges=9)
    assert acc.shape == (len(COMBINATIONS), 1, streaming.N_ACC)
    bars, steps = bars_of(market), market.times_ns // HOUR_NS
    for values, sums, worth in zip(COMBINATIONS, acc[:, 0], edges[:, 0], strict=True):
        weights = FAMILY.weights(market, **dict(zip(FAMILY.defaults, values, strict=True)))
        plain = np.array(best_returns_weights(market.close.T.tolist(), *values, steps.tolist()))
        np.testing.assert_array_equal(weights.T, plain)
        frame = pd.DataFrame(weights.T, index=bars.index, columns=bars.close.columns)
        pf = Portfolio.from_weights(bars, frame, fees=0.002, slippage=0.0005, price=price)
        assert sums[streaming.VALUE] == pf.equity[-1]
        assert sums[streaming.ORDERS] == len(pf.fills)
        np.testing.assert_array_equal(worth, pf.equity[edge_bars(400, 9)].astype(np.float32))
        for name, expected in {
            "total_return": pf.total_return(),
            "sharpe_ratio": pf.sharpe_ratio(),
            "max_drawdown": pf.max_drawdown(),
            "turnover": pf.turnover(),
            "total_fees": pf.fills[:, 4].sum(),
            "time_in_market": pf.time_in_market(),
        }.items():
            got = streaming.METRICS[name](sums, market.bars_per_year)
            assert float(got) == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True), (values, name)
        assert np.isnan(streaming.METRICS["win_rate"](sums, 8760.0))


def test_what_makes_no_sense_is_refused():
    market = sweep_market(1, 50, 3)
    with pytest.raises(ConfigError, match="at most the 3 symbols there are, got 4"):
        evaluate(FAMILY, market, np.array([[5.0, 2, 1, 2]]), SweepRules())
    with pytest.raises(ConfigError, match="direction and stops do not apply"):
        evaluate(FAMILY, market, np.array([[5.0, 1, 1, 0]]), SweepRules(sl_stop=0.1))
    with pytest.raises(ConfigError, match="bottom must be a whole number of symbols"):
        FAMILY.check(pd.DataFrame([(5, 1, 1, 0.5)], columns=list(FAMILY.defaults)))
