"""`sweep`: results, rules in the grid, memory, the trial ledger, and everything that is refused."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.backtest.sweep import SweepResult, sweep
from gwt_lab.backtest.sweep.families import FAMILIES
from gwt_lab.backtest.sweep.streaming import METRICS
from gwt_lab.backtest.sweep.work import sweep_market
from gwt_lab.errors import ConfigError, DataError, LedgerError, UnknownNameError
from gwt_lab.validation.ledger import TrialLedger
from tests.oracles.paths import bars_of, random_paths

ROOT = Path(__file__).resolve().parents[3]
GRID = {"fast": [5, 10, 20], "slow": [40, 80]}


@pytest.fixture(scope="module")
def bars():
    return random_paths(3, 1_000, 3)


# ------------------------------------------------------------------------------------------------ what comes out
def test_the_index_holds_parameters_then_symbol_and_the_columns_metrics(bars) -> None:
    result = sweep("ma_cross", bars, GRID)
    expected = pd.MultiIndex.from_product([[5, 10, 20], [40, 80], bars.symbols], names=["fast", "slow", "symbol"])
    pd.testing.assert_index_equal(result.index, expected, exact=False)
    assert list(result.columns) == ["total_return", "sharpe_ratio", "max_drawdown"]
    assert (result["max_drawdown"] <= 0).all()
    assert result["total_return"].nunique() == len(result)


@pytest.mark.parametrize("stops", [{}, {"sl_stop": 0.03, "direction": "both"}], ids=["plain", "stops, both sides"])
def test_every_metric_is_what_the_portfolio_of_the_same_signals_says(bars, stops) -> None:
    result = sweep("ma_cross", bars, {"fast": 5, "slow": 40}, metrics=METRICS, ledger=False, **stops)
    signals = FAMILIES["ma_cross"].signals(sweep_market(bars, 8760.0), fast=5, slow=40)
    entries, exits = (pd.DataFrame(found.T, bars.index, bars.close.columns) for found in signals)
    sides = {"short_entries": exits, "short_exits": entries} if stops else {}
    settings = {name: value for name, value in stops.items() if name != "direction"}
    pf = Portfolio.from_signals(bars, entries, exits, cash_sharing=False, **sides, **settings)
    theirs = {name: getattr(pf, name)() for name in METRICS if hasattr(pf, name)}
    theirs |= {"volatility": pf.annualized_volatility(), "final_value": pf.value().iloc[-1]}
    theirs |= {
        "n_trades": pf.trades.count(),
        "total_fees": pf.orders.frame.groupby("symbol")["fees"].sum()[[*bars.symbols]],
    }
    assert pf.trades.open.count().sum() > 0, "an open trade was wanted"
    assert set(theirs) == set(METRICS)
    for name, numbers in theirs.items():
        np.testing.assert_allclose(result[name], np.asarray(numbers, dtype=float), rtol=1e-9, err_msg=name)


def test_every_form_of_a_grid_gives_the_same_rows(bars) -> None:
    product = sweep("ma_cross", bars, GRID, ledger=False)
    frame = pd.DataFrame([(fast, slow) for fast in GRID["fast"] for slow in GRID["slow"]], columns=["fast", "slow"])
    for grid in (frame, frame.to_dict("records"), {"fast": np.array(GRID["fast"]), "slow": range(40, 81, 40)}):
        pd.testing.assert_frame_equal(pd.DataFrame(sweep("ma_cross", bars, grid, ledger=False)), pd.DataFrame(product))
    shuffled = sweep("ma_cross", bars, frame.sample(frac=1, random_state=1), ledger=False)
    pd.testing.assert_frame_equal(
        pd.DataFrame(shuffled).sort_index(), pd.DataFrame(product).sort_index(), check_exact=True
    )


def test_a_row_does_not_depend_on_the_rest_of_the_sweep(bars) -> None:
    whole = sweep("ma_cross", bars, GRID, n_threads=2, ledger=False)
    alone = sweep("ma_cross", bars, {"fast": 10, "slow": 80}, n_threads=1, ledger=False)
    np.testing.assert_array_equal(whole.loc[(10, 80)].to_numpy(), alone.to_numpy())
    one = sweep("ma_cross", bars.select(bars.symbols[1:2]), GRID, ledger=False)
    np.testing.assert_array_equal(whole.xs(bars.symbols[1], level="symbol").to_numpy(), one.to_numpy())
    little = sweep("ma_cross", bars, GRID, max_memory="11MB", ledger=False)
    np.testing.assert_array_equal(whole.to_numpy(), little.to_numpy())


def test_what_is_not_in_the_grid_is_the_default(bars) -> None:
    assert sweep("ma_cross", bars, ledger=False).index.names == ["symbol"]
    named = sweep("ma_cross", bars, {"fast": [10], "slow": [50]}, ledger=False)
    np.testing.assert_array_equal(sweep("ma_cross", bars, ledger=False).to_numpy(), named.to_numpy())


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_family_is_swept_by_name_and_trades_its_own_signals(bars, name) -> None:
    family = FAMILIES[name]
    found = sweep(name, bars, ledger=False)
    assert list(found.index) == (["portfolio"] if family.portfolio else bars.symbols)
    market = sweep_market(bars, 365 * 24.0)

    def same(bars):
        if family.portfolio:
            return family.weights(market).T.copy()
        entries, exits = family.signals(market)
        return entries.T.copy(), exits.T.copy()

    own = sweep(same, bars, check=False, ledger=False)
    np.testing.assert_allclose(own.to_numpy(), found.to_numpy(), rtol=1e-9)
    assert not (found["total_return"] == 0).all()


def test_rules_may_vary_in_the_grid(bars) -> None:
    varied = sweep("ma_cross", bars, {"fast": [5, 10], "fees": [0.0, 0.002], "slow": [40]}, ledger=False)
    assert varied.index.names == ["fast", "fees", "slow", "symbol"]
    for fees in (0.0, 0.002):
        fixed = sweep("ma_cross", bars, {"fast": [5, 10], "slow": [40]}, fees=fees, ledger=False)
        np.testing.assert_array_equal(varied.xs(fees, level="fees").to_numpy(), fixed.to_numpy())
    assert "fees as in the index" in varied.assumptions


def test_a_stop_that_is_off_is_a_missing_label(bars) -> None:
    varied = sweep("ma_cross", bars, {"sl_stop": [None, 0.02], "fast": [5]}, ledger=False)
    plain = sweep("ma_cross", bars, {"fast": [5]}, ledger=False)
    off = varied[varied.index.get_level_values("sl_stop").isna()]
    np.testing.assert_array_equal(off.to_numpy(), plain.to_numpy())


def test_a_sample_is_a_part_of_the_product(bars) -> None:
    whole = sweep("ma_cross", bars, {"fast": range(2, 12), "slow": range(20, 40)}, ledger=False)
    drawn = sweep("ma_cross", bars, {"fast": range(2, 12), "slow": range(20, 40)}, n_samples=15, seed=4, ledger=False)
    assert len(drawn) == 15 * 3
    np.testing.assert_array_equal(whole.loc[drawn.index].to_numpy(), drawn.to_numpy())


def test_paths_end_where_the_metrics_say(bars) -> None:
    result = sweep("ma_cross", bars, GRID, paths=True, init_cash=5_000)
    paths = result.paths()
    assert paths.shape == (bars.n_times, len(result))
    np.testing.assert_allclose(paths.iloc[-1] / 5_000 - 1, result["total_return"], rtol=0, atol=1e-6)
    with pytest.raises(ConfigError, match="paths=True"):
        sweep("ma_cross", bars, GRID).paths()


def test_closes_alone_are_taken_by_name(bars) -> None:
    close = bars.close[bars.symbols[0]]
    assert len(sweep("ma_cross", close, GRID, price="close", ledger=False)) == 6


# ------------------------------------------------------------------------------------------------ the result's class
def test_a_result_survives_pickling_and_slicing(bars) -> None:
    result = sweep("ma_cross", bars, GRID, study="mine")
    again = pickle.loads(pickle.dumps(result))
    assert isinstance(again, SweepResult)
    assert (again.study, again.n_trials, again.assumptions) == ("mine", 18, result.assumptions)
    part = result[result["sharpe_ratio"] > 0].sort_values("total_return")
    assert isinstance(part, SweepResult)
    assert part.study == "mine"
    assert type(result["total_return"]) is pd.Series
    assert result.copy().n_trials == 18


def test_words_hold_the_assumptions_and_the_trials(bars) -> None:
    result = sweep("ma_cross", bars, GRID, fees=0.0025)
    for text in (repr(result), result._repr_html_()):
        assert "fees 25 bp" in text
        assert "18 trials counted" in text
    assert len(result._repr_html_()) < 20_000
    assert "not counted" in repr(sweep("ma_cross", bars, GRID, ledger=False))


def test_the_best_row(bars) -> None:
    result = sweep("ma_cross", bars, GRID, ledger=False)
    assert result.best("sharpe_ratio").name == result["sharpe_ratio"].idxmax()
    assert list(result.best("max_drawdown", n=3)["max_drawdown"]) == sorted(result["max_drawdown"])[:-4:-1]
    with pytest.raises(UnknownNameError, match="no metric 'luck'"):
        result.best("luck")


# ------------------------------------------------------------------------------------------------ the ledger
def test_every_combination_of_every_symbol_is_a_trial_once(bars) -> None:
    first = sweep("ma_cross", bars, GRID)
    assert (first.n_trials, first.info.n_new_trials) == (18, 18)
    again = sweep("ma_cross", bars, {"fast": [5, 10, 20, 30], "slow": [40, 80]})
    assert (again.n_trials, again.info.n_new_trials) == (24, 6)
    study = TrialLedger().study(first.study)
    assert study.n_trials == 24
    assert 1 <= again.effective_trials <= 24
    expected = again["sharpe_ratio"].to_numpy() / np.sqrt(365 * 24)
    np.testing.assert_allclose(np.sort(study.sharpes()), np.sort(expected), rtol=1e-12)


def test_a_default_written_out_is_the_same_trial(bars) -> None:
    sweep("ma_cross", bars, {"fast": [10]})
    assert sweep("ma_cross", bars, {"fast": [10], "slow": [50]}).info.n_new_trials == 0


def test_other_costs_are_other_trials(bars) -> None:
    sweep("ma_cross", bars, GRID)
    assert sweep("ma_cross", bars, GRID, fees=0.0).info.n_new_trials == 18


def test_a_ledger_of_ones_own_or_none(bars, tmp_path) -> None:
    own = TrialLedger(tmp_path / "own")
    sweep("ma_cross", bars, GRID, ledger=own, study="mine")
    assert own.n_trials == 18
    assert sweep("ma_cross", bars, GRID, ledger=False).n_trials == 18
    assert TrialLedger().n_trials == 0
    with pytest.raises(ConfigError, match="ledger must be"):
        sweep("ma_cross", bars, GRID, ledger="here")


@pytest.mark.parametrize("what", ["damaged", "a folder"])
def test_a_ledger_that_cannot_be_written_is_known_before_anything_is_evaluated(bars, tmp_path, what) -> None:
    path, called = tmp_path / "ledger", []
    _ = path.mkdir() if what == "a folder" else path.write_bytes(b"no ledger at all" * 100)

    def strategy(close: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
        called.append(window)
        return close > window, close <= window

    with pytest.raises(LedgerError, match=r"is a folder|is damaged or no ledger"):
        sweep(strategy, bars, {"window": [90, 100, 110]}, ledger=TrialLedger(path), check=False)
    assert called == [90]  # the first is timed, to cut the work


def test_a_result_is_not_lost_with_the_ledger(bars, tmp_path) -> None:
    class Full(TrialLedger):
        def record(self, *args, **options):
            raise LedgerError("no space left")

    with pytest.raises(LedgerError, match="no space left") as caught:
        sweep("ma_cross", bars, GRID, ledger=Full(tmp_path / "ledger"))
    expected = sweep("ma_cross", bars, GRID, ledger=False)
    pd.testing.assert_frame_equal(pd.DataFrame(caught.value.partial), pd.DataFrame(expected))


# ------------------------------------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"metrics": ("luck",)}, UnknownNameError, "no metric luck; there are total_return"),
        ({"metrics": ()}, ConfigError, "one or more"),
        ({"metrics": ("total_return",) * 2}, ConfigError, "each once"),
        ({"grid": {"fats": [5]}}, UnknownNameError, "no parameter fats; it takes fast, slow"),
        ({"grid": {"fast": ["a"]}}, ConfigError, "must be a number"),
        ({"strategy": "luck"}, UnknownNameError, "no strategy 'luck'; there are .*ma_cross"),
        ({"strategy": 5}, ConfigError, "strategy must be"),
        ({"init_cash": 0}, ConfigError, "init_cash must be above 0"),
        ({"init_cash": float("inf")}, ConfigError, "init_cash"),
        ({"fees": -0.1}, ConfigError, "fees must be"),
        ({"grid": {"fast": [5], "fees": [0.1, -0.1]}}, ConfigError, "fees must be"),
        ({"price": "open"}, ConfigError, "price must be one of next_open, close"),
        ({"direction": "up"}, ConfigError, "direction must be"),
        ({"ambiguity": "lucky"}, ConfigError, "ambiguity must be"),
        ({"sl_stop": -0.1}, ConfigError, "sl_stop must be a fraction"),
        ({"sl_stop": 1.5}, ConfigError, "sl_stop must be a fraction"),
        ({"tp_stop": 0}, ConfigError, "tp_stop must be a fraction"),
        ({"time_stop": 1.5}, ConfigError, "time_stop must be a whole number"),
        ({"sl_trail": 1}, ConfigError, "sl_trail must be"),
        ({"sl_trail": True}, ConfigError, "trails the stop loss at the distance sl_stop, which is not given"),
        ({"n_samples": 0}, ConfigError, "n_samples must be"),
        ({"n_threads": -1}, ConfigError, "n_threads must be"),
        ({"max_memory": "much"}, ConfigError, "max_memory must be"),
        ({"scheduler": "sun"}, ConfigError, "scheduler must be"),
        ({"resume": ""}, ConfigError, "empty name"),
        ({"resume": True}, ConfigError, "resume must name the sweep, or be a path; got True"),
        ({"resume": __file__}, DataError, "holds something other than a sweep"),
        ({"metrics": None}, ConfigError, "metrics must name one or more of total_return"),
        ({"n_samples": 2, "seed": -1}, ConfigError, "seed must be a whole number from 0 on, got -1"),
        ({"n_samples": 2, "seed": "x"}, ConfigError, "seed must be a whole number from 0 on, got 'x'"),
        ({"bars": "BTC"}, DataError, "bars must be"),
    ],
)
def test_settings_that_make_no_sense_are_refused(bars, settings, error, told) -> None:
    settings = {"strategy": "ma_cross", "bars": bars, "grid": GRID} | settings
    with pytest.raises(error, match=told):
        sweep(**settings)
    assert TrialLedger().n_trials == 0


def test_prices_that_are_none_are_refused() -> None:
    close = np.full((50, 1), 100.0)
    close[20] = -1.0
    with pytest.raises(DataError, match="above 0"):
        sweep("ma_cross", bars_of(np.full((50, 1), 100.0), close), GRID)


def test_bars_that_are_out_of_order_or_double_are_told(bars) -> None:
    frame = bars.select(bars.symbols[:1]).to_frame().set_index("timestamp")
    expected = sweep("ma_cross", bars.select(bars.symbols[:1]), GRID, ledger=False)
    shuffled = sweep("ma_cross", frame.sample(frac=1, random_state=1), GRID, ledger=False)
    np.testing.assert_array_equal(shuffled.to_numpy(), expected.to_numpy())
    with pytest.raises(DataError, match="appear twice"):
        sweep("ma_cross", pd.concat([frame, frame.tail(1)]), GRID)


def test_a_combination_listed_twice_is_two_rows_and_one_trial(bars) -> None:
    grid = pd.DataFrame({"fast": [5, 5, 10], "slow": [40, 40, 40]})
    result = sweep("ma_cross", bars, grid)
    assert len(result) == 9
    np.testing.assert_array_equal(result.iloc[:3].to_numpy(), result.iloc[3:6].to_numpy())
    assert result.n_trials == 6


def test_a_billion_combinations_are_refused_and_can_be_sampled(bars) -> None:
    grid = {"fast": range(2, 1002), "slow": range(1002, 2002), "sl_stop": np.linspace(0.001, 0.5, 1000)}
    with pytest.raises(ConfigError, match=r"1,000,000,000 combinations .* n_samples="):
        sweep("ma_cross", bars, grid)
    with pytest.raises(ConfigError, match=r"for prices and indicators alone, max_memory is 1.0 MB: raise it"):
        sweep("ma_cross", bars, GRID, max_memory="1MB")
    assert len(sweep("ma_cross", bars, grid, n_samples=20)) == 60


# ------------------------------------------------------------------------------------------------ memory
MEASURE = """
    import resource, sys
    import numpy as np
    from gwt_lab.backtest.sweep import sweep
    from gwt_lab.backtest.sweep.memory import peak_memory_mb
    from tests.oracles.paths import random_paths

    bars = random_paths(1, 2_000, 1)
    pairs = {"fast": range(2, 12), "slow": range(20, 40)}
    sweep("ma_cross", bars, pairs, paths=True, ledger=False)  # what is compiled and imported comes before
    before = peak_memory_mb()
    result = sweep("ma_cross", bars, {"fast": range(2, 202), "slow": range(202, 302)}, max_memory=BUDGET, METRICS)
    print(peak_memory_mb() - before, len(result))
"""


def grown(budget: str, options: str) -> float:
    code = textwrap.dedent(MEASURE).replace("BUDGET", repr(budget)).replace("METRICS", options)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    megabytes, rows = done.stdout.split()
    assert int(rows) == 20_000
    return float(megabytes)


@pytest.mark.skipif(sys.platform == "win32", reason="wants the process's peak memory")
def test_the_peak_follows_the_budget_and_not_the_grid() -> None:
    # 20,000 paths of 2,000 bars are 160 MB; without paths the same sweep stays below a budget of 24 MB
    assert grown("1GB", "paths=True, ledger=False") > 150
    assert grown("24MB", "ledger=False") < 24
