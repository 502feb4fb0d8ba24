"""The crossing of averages: its kernels against plain twins, its rule by hand, and against vectorbt."""

import warnings

import numpy as np
import pytest

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import ConfigError
from gwt_lab.strategies.ma_cross import MovingAverageCross, crossings, window_mean
from tests.oracles.paths import bars_of, random_paths
from tests.strategies.plain import plain_crossings, plain_mean

NAN = np.nan


def hostile(seed: int, n: int = 80) -> np.ndarray:
    """Return columns of few distinct values with holes and infinities, so that averages are often equal."""
    rng = np.random.default_rng(seed)
    values = rng.choice([1.0, 2.0, 3.0], (n, 3))
    values[rng.random(values.shape) < 0.05] = np.nan
    values[n // 2, 2] = np.inf
    return values


@pytest.mark.parametrize("seed", range(8))
def test_kernels_equal_their_plain_twins(seed):
    for values in (hostile(seed), np.random.default_rng(seed).normal(size=(80, 3))):
        fast, slow = window_mean(values, 2), window_mean(values, 5)
        for j in range(3):
            np.testing.assert_array_equal(fast[:, j], plain_mean(values[:, j].tolist(), 2))
            for patience in (0, 1, 4):
                expected = plain_crossings(fast[:, j].tolist(), slow[:, j].tolist(), patience)
                np.testing.assert_array_equal(crossings(fast, slow, patience)[:, j], expected)


def test_the_rule_by_hand():
    fast = np.array([1, 3, 3, 2, 1, 2, 3, NAN, 3, 1])[:, None]
    slow = np.full((10, 1), 2.0)
    # below, above: entry; equal, below: exit; equal, above: entry; after a hole nothing is known, then an exit
    assert crossings(fast, slow, 9)[:, 0].tolist() == [0, 1, 0, 0, -1, 0, 1, 0, 0, -1]
    assert crossings(fast, slow, 0)[:, 0].tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0, -1]


def test_entries_take_an_equal_share_and_exits_everything():
    bars = random_paths(1, 300, 4)
    weights = MovingAverageCross(5, 20).weights(bars)
    assert set(np.unique(weights.to_numpy()[~np.isnan(weights.to_numpy())])) == {0.0, 0.25}
    assert weights.iloc[:20].isna().all().all()


@pytest.mark.parametrize("pair", [(0, 5), (5, 5), (6, 5), (1.5, 5), (True, 5), ("1", 5)])
def test_windows_must_make_sense(pair):
    with pytest.raises(ConfigError, match="fast < slow"):
        MovingAverageCross(*pair)


@pytest.mark.slow  # vectorbt compiles for 20 to 60 s where it finds no cache
@pytest.mark.filterwarnings("ignore")  # vectorbt's own
@pytest.mark.parametrize("seed", [1, 2])
def test_one_symbol_equals_vectorbt_signals(seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vectorbt = pytest.importorskip("vectorbt")
    bars = random_paths(seed, 800, 1)
    close = bars.close.iloc[:, 0]
    fast, slow = vectorbt.MA.run(close, 5), vectorbt.MA.run(close, 20)
    theirs = vectorbt.Portfolio.from_signals(
        close,
        fast.ma_crossed_above(slow).shift(1).fillna(False).astype(bool),
        fast.ma_crossed_below(slow).shift(1).fillna(False).astype(bool),
        price=bars.open.iloc[:, 0],
        fees=0.001,
        slippage=0.0005,
        init_cash=10_000,
        freq="1h",
    )
    pf = Portfolio.from_weights(bars, MovingAverageCross(5, 20).weights(bars))
    assert len(pf.orders) == len(theirs.orders.records) > 20
    np.testing.assert_allclose(pf.value(), theirs.value(), rtol=1e-9)


def test_equality_longer_than_the_slow_window_is_forgotten():
    """The declared memory: a side seen more than `slow` bars ago no longer counts."""
    values = [3.0, 2.0, 1.0] + [1.0] * 30 + [5.0]
    flat = np.array(values)[:, None]
    strategy = MovingAverageCross(1, 3)
    weights = strategy.weights(bars_of(flat, flat))
    assert weights.isna().all().all()
    short = np.array([3.0, 2.0, 1.0, 5.0])[:, None]
    assert strategy.weights(bars_of(short, short)).iloc[-1, 0] == 1.0
