"""Results as other programs leave them: portfolios, exports of trades, files."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import DataError, ShapeError
from gwt_lab.validation.audit import audit
from gwt_lab.validation.audit_sources import read_source
from gwt_lab.validation.audit_trades import read_trades
from tests.oracles.markets import random_bars
from tests.validation.exports import BALANCE, backtest, many, trade

DAYS = pd.date_range("2024-01-01", periods=121, freq="D", tz="UTC")


def _signals(shape: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random(shape) < 0.1, rng.random(shape) < 0.1


# ------------------------------------------------------------------------------------------------ portfolios
def test_our_portfolio_is_run_again_at_doubled_costs() -> None:
    from gwt_lab.backtest.portfolio import Portfolio

    bars = random_bars(2, 400, seed=1)
    entries, exits = (pd.DataFrame(s, bars.index, bars.symbols) for s in _signals((400, 2)))
    settings = {"fees": 0.002, "slippage": 0.001}
    found = read_source(Portfolio.from_signals(bars, entries, exits, **settings))
    dear = Portfolio.from_signals(bars, entries, exits, fees=0.004, slippage=0.002)
    pd.testing.assert_frame_equal(found.doubled, dear.returns(), check_names=False, check_column_type=False)
    result = audit(Portfolio.from_signals(bars, entries, exits, **settings))
    assert result.table.index.tolist() == sorted(bars.symbols, key=lambda s: -result.table.loc[s, "sharpe"])
    assert result.doubled.total_return == pytest.approx(dear.total_return()[result.best])
    assert "run again" in result.costs_words
    one = audit(Portfolio.from_signals(bars, entries, exits, **settings)[bars.symbols[0]])
    assert len(one.table) == 1
    shared = audit(Portfolio.from_weights(bars, pd.DataFrame(0.5, bars.index, bars.symbols), **settings))
    assert shared.best == "portfolio"
    assert shared.doubled.total_return < shared.table["total_return"].iloc[0]


@pytest.fixture
def vbt():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("vectorbt")


@pytest.mark.slow  # vectorbt compiles where it finds no cache
@pytest.mark.filterwarnings("ignore")
def test_a_vectorbt_portfolio_tells_its_fees(vbt) -> None:
    close = random_bars(3, 400, seed=2).close
    close.columns = pd.MultiIndex.from_product([[10, 20, 30], ["BTC/USDT"]], names=["window", "symbol"])
    entries, exits = (pd.DataFrame(s, close.index, close.columns) for s in _signals((400, 3)))
    settings = {"init_cash": 500.0, "freq": "1h"}
    portfolio = vbt.Portfolio.from_signals(close, entries, exits, fees=0.001, **settings)
    found = audit(portfolio)
    np.testing.assert_allclose(found.returns.to_numpy(), portfolio.returns().to_numpy(), rtol=1e-12, atol=1e-15)
    assert found.returns.columns.tolist() == [f"window={w}, symbol=BTC/USDT" for w in (10, 20, 30)]
    dear = vbt.Portfolio.from_signals(close, entries, exits, fees=0.002, **settings).total_return()
    place = found.returns.columns.get_loc(found.best)
    # fees compound with the account, to second order
    assert found.doubled.total_return == pytest.approx(dear.iloc[place], abs=0.003)
    assert found.doubled.total_return < found.table["total_return"].iloc[0] - 0.01
    free = audit(vbt.Portfolio.from_signals(close, entries, exits, **settings))
    assert free.doubled is None
    assert "paid no fees" in free.costs_words


@pytest.mark.slow  # vectorbt compiles where it finds no cache
@pytest.mark.filterwarnings("ignore")
def test_vectorbt_groups_and_lists_of_portfolios(vbt) -> None:
    close = random_bars(2, 400, seed=3).close
    entries, exits = (pd.DataFrame(s, close.index, close.columns) for s in _signals((400, 2)))
    settings = {"fees": 0.001, "freq": "1h"}
    shared = vbt.Portfolio.from_signals(close, entries, exits, cash_sharing=True, group_by=True, **settings)
    found = read_source(shared)
    assert found.returns.shape == (400, 1)
    value, paid = shared.value().to_numpy(), np.zeros(400)
    for order in shared.orders.records.itertuples():
        paid[order.idx] += order.fees
    before = np.r_[shared.get_init_cash(), value[:-1]]
    np.testing.assert_allclose((found.returns - found.doubled).to_numpy()[:, 0], paid / before, rtol=1e-9, atol=1e-15)
    column = close.columns[0]
    alone = vbt.Portfolio.from_signals(close[column], entries[column], exits[column], **settings)
    both = audit({"shared": shared, "alone": alone})
    assert set(both.table.index) == {"shared", "alone"}
    assert both.doubled is not None
    assert audit([shared, alone]).overfitting is not None
    with pytest.raises(ShapeError, match="'late' differs from the first"):
        audit({"shared": shared, "late": alone.returns()[10:]})


# ------------------------------------------------------------------------------------------------ trades
def test_trades_become_daily_returns_of_the_account() -> None:
    trades = [
        trade("2024-01-02 01:00:00", "2024-01-03 02:00:00", 500.0, 0.10),
        trade("2024-01-03 01:00:00", "2024-01-03 09:00:00", 500.0, -0.02),
        trade("2024-01-10 01:00:00", "2024-01-20 09:00:00", 500.0, 0.04),
    ]
    found = read_trades(backtest(Mine=trades))
    returns = found.returns["Mine"]
    assert returns.index.equals(DAYS.rename("datetime"))
    gained = returns[returns != 0]
    assert gained.to_dict() == pytest.approx({DAYS[2]: (50 - 10) / BALANCE, DAYS[19]: 20 / (BALANCE + 40)})
    # 5 coins bought at 100, sold at the close rate; 0.1 % of each
    fees = [0.001 * 5 * (100 + row["close_rate"]) for row in trades]
    assert found.paid["Mine"][DAYS[2]] == pytest.approx((fees[0] + fees[1]) / BALANCE)
    assert found.paid["Mine"][DAYS[19]] == pytest.approx(fees[2] / (BALANCE + 40))
    assert "not seen" in found.notes[0]


def test_an_export_is_audited_in_every_form(tmp_path) -> None:
    document = backtest(Mine=many(), Other=many(seed=1, drift=-0.002))
    plain = tmp_path / "backtest-result.json"
    plain.write_text(json.dumps(document), encoding="utf-8")
    packed = tmp_path / "backtest-result.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("backtest-result.json", json.dumps(document))
        archive.writestr("backtest-result_config.json", json.dumps({"strategy": "x" * 100_000}))
    found = [audit(form).to_dict() for form in (document, plain, str(packed))]
    assert found[0] == found[1] == found[2]
    assert found[0]["n_strategies"] == 2
    assert found[0]["best"] == "Mine"
    assert found[0]["n_observations"] == 121
    assert found[0]["doubled_costs"]["sharpe"] < found[0]["sharpe"]["value"]
    assert found[0]["pbo"] == found[0]["pbo"]


def test_archives_and_files_as_they_come(tmp_path) -> None:
    document = json.dumps(backtest(Mine=many()))
    (tmp_path / "marked.json").write_bytes(b"\xef\xbb\xbf" + document.encode())
    with zipfile.ZipFile(tmp_path / "parameters.zip", "w") as archive:
        archive.writestr("backtest-result.json", document)
        archive.writestr("backtest-result_Mine.json", json.dumps({"params": {"note": "x" * 100_000}}))
    expected = audit(json.loads(document)).table
    for name in ("marked.json", "parameters.zip"):
        pd.testing.assert_frame_equal(audit(tmp_path / name).table, expected)
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.json", document)
        archive.writestr("b.json", document)
    with pytest.raises(DataError, match=r"two\.zip holds 2 exports, a\.json, b\.json"):
        audit(tmp_path / "two.zip")
    (tmp_path / ".last_result.json").write_text('{"latest_backtest": "backtest-result-1.zip"}', encoding="utf-8")
    with pytest.raises(DataError, match=r"only names the latest backtest: pass backtest-result-1\.zip"):
        audit(tmp_path / ".last_result.json")


def test_a_list_of_trades_says_what_was_assumed() -> None:
    document = backtest(Mine=many())
    listed = audit(many())
    assert any("taken as the largest stakes held at once, 500" in note for note in listed.notes)
    # half the account, twice the returns, but for compounding
    assert listed.table["sharpe"].iloc[0] == pytest.approx(
        audit(document).table["sharpe"].iloc[0] * np.sqrt(121 / 90), rel=0.1
    )
    frame = pd.DataFrame(many())
    assert audit(frame).table.equals(listed.table)
    named = [row | {"strategy": name} for name, seed in (("A", 0), ("B", 1)) for row in many(seed=seed)]
    assert set(audit(named).table.index) == {"A", "B"}
    bare = [{key: row[key] for key in ("open_date", "close_date", "profit_ratio")} for row in many()]
    found = audit(bare)
    assert "stakes are not given" in " ".join(found.notes)
    assert found.doubled is None
    assert "do not say their fees" in found.summary[-2]
    still_open = [*many(), many()[0] | {"close_date": None, "profit_abs": None}]
    assert "open trades of trades are left out: 1" in " ".join(audit(still_open).notes)


def test_leverage_pays_fees_on_what_was_borrowed() -> None:
    lent = [row | {"leverage": 3.0, "amount": None} for row in many()]
    plain = [row | {"amount": None} for row in many()]
    paid = [read_trades(backtest(Mine=rows)).paid["Mine"].sum() for rows in (lent, plain)]
    assert paid[0] == pytest.approx(3 * paid[1])


@pytest.mark.parametrize(
    ("document", "match"),
    [
        (backtest(Mine=[]), "'Mine' has no closed trade"),
        ({"strategy": {"Mine": {"profit": 1}}}, "'Mine' has no list `trades`"),
        (backtest(Mine=[{"open_date": "2024-01-01", "profit_ratio": 0.1}]), "lack close_date"),
        ([{**many()[0], "profit_abs": None, "profit_ratio": None}], "neither profit_abs nor profit_ratio"),
        (
            backtest(Mine=[trade("2024-01-01 01:00:00", "2024-01-02 01:00:00", 5000.0, -0.5)]),
            "lost all of its 1,000 by 2024-01-02",
        ),
        ([many()[0] | {"close_date": "yesterday"}], "close_date of 'trades' holds no times"),
        ({"strategy": {}}, "no strategy in it"),
        ([row | {"open_date": "2030-01-01"} for row in many()], "closed before it is opened, at 2030-01-01"),
        (
            [*many(), many()[0] | {"stake_amount": "much"}],
            "1 trades of 'trades' have no stake_amount above 0, the first much",
        ),
        ([*many(), many()[0] | {"stake_amount": 0.0}], "no stake_amount above 0, the first 0.0"),
        ([*many(), many()[0] | {"profit_abs": float("inf")}], "1 trades of 'trades' have an infinite profit"),
        (backtest(Mine=[["BTC/USDT", 0.1]]), "lists of values were written before 2020"),
        (many(5), "at least 20 returns, got 5"),
    ],
)
def test_exports_that_cannot_be_read_are_refused(document, match: str) -> None:
    with pytest.raises(DataError, match=match):
        audit(document)


# ------------------------------------------------------------------------------------------------ files
def test_tables_in_files(tmp_path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(0, 0.01, (121, 3)), DAYS.rename("date"), ["a", "b", "c"])
    frame.to_csv(tmp_path / "dated.csv")
    frame.to_parquet(tmp_path / "dated.parquet")
    frame.reset_index().to_parquet(tmp_path / "column.parquet")
    seconds = frame.reset_index().assign(date=(DAYS.as_unit("s").asi8)).rename(columns={"date": "timestamp"})
    seconds.to_csv(tmp_path / "epoch.csv", index=False)
    frame.set_axis(DAYS.strftime("%Y-%m-%d"), axis=0).to_csv(tmp_path / "unnamed.csv", index_label="when")
    for name in ("dated.csv", "dated.parquet", "column.parquet", "epoch.csv", "unnamed.csv"):
        found = audit(tmp_path / name)
        assert found.frequency.words == "1d", name
        np.testing.assert_allclose(found.returns.to_numpy(), frame.to_numpy())
        assert found.returns.index.equals(DAYS), name
    frame.reset_index(drop=True).to_csv(tmp_path / "numbered.csv")
    numbered = audit(tmp_path / "numbered.csv")
    assert set(numbered.table.index) == {"a", "b", "c"}
    assert numbered.frequency.words == ""
    pd.DataFrame(many()).to_csv(tmp_path / "trades.csv", index=False)
    assert audit(tmp_path / "trades.csv").kind == "freqtrade trades"


def test_files_that_are_something_else_are_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        audit(tmp_path / "nothing.csv")
    for name, text, match in (
        ("notes.txt", "x", "reads .parquet, .csv, .json and .zip, got notes.txt"),
        ("list.json", "[1, 2]", "holds no trades"),
        ("half.json", '{"strategy": ', "could not be read as an export of trades"),
        ("no.zip", "x", "could not be read as an export of trades"),
        ("no.parquet", "x", "could not be read as parquet"),
        ("columns.csv", "date;a;b\n2024-01-01;0,1;0,2\n", "columns apart by semicolons"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=match):
            audit(tmp_path / name)
    with pytest.raises(DataError, match="is a folder: pass one file in it"):
        audit(tmp_path)
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(DataError, match="holds no JSON file"):
        audit(tmp_path / "empty.zip")
