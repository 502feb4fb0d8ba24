"""`gwt audit`: other people's results from the command line."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from gwt_lab.cli.app import app
from gwt_lab.errors import ConfigError, DataError, UnknownNameError
from gwt_lab.validation.audit import audit
from gwt_lab.validation.ledger import TrialLedger
from gwt_lab.validation.trials import Trials
from tests.validation.exports import backtest, many


def run(*options: str):
    return CliRunner().invoke(app, ["audit", *options])


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    index = pd.date_range("2023-01-01", periods=500, freq="h", tz="UTC", name="time")
    frame = pd.DataFrame(rng.normal(0, 0.01, (500, 4)), index, ["a", "b", "c", "market"])
    frame.to_csv(tmp_path / "returns.csv")
    return tmp_path / "returns.csv"


def test_the_document_is_the_audit(table, tmp_path) -> None:
    page = tmp_path / "page.html"
    done = run(str(table), "--benchmark-column", "market", "--n-trials", "30", "--out", str(page), "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    expected = audit(table, benchmark="market", n_trials=30)
    assert said["verdict"] == expected.verdict == "looks like luck"
    assert said["summary"] == list(expected.summary)
    assert said["dsr"] == pytest.approx(expected.dsr)
    assert (said["n_trials"], said["n_strategies"], said["frequency"]) == (30, 3, "1h")
    assert said["benchmark"]["sharpe"] == pytest.approx(expected.compared.sharpe)
    assert said["page"] == str(page)
    assert "Audit of returns.csv" in page.read_text(encoding="utf-8")


def test_people_get_a_table_and_sentences(tmp_path) -> None:
    export = tmp_path / "backtest-result.json"
    export.write_text(json.dumps(backtest(Mine=many(), Other=many(seed=1))), encoding="utf-8")
    done = run(str(export))
    assert done.exit_code == 0, done.output
    assert "Mine" in done.stdout
    assert "Other" in done.stdout
    assert "It was chosen from 2 tries" in done.stdout
    assert "note: gains count on the day a trade is closed" in done.stdout


def test_a_study_of_the_ledger_counts(table) -> None:
    trials = Trials({"p": range(40)}, data="hash", universe=["X"], label="close", strategy="s", study="mine")
    TrialLedger().record(trials, np.random.default_rng(1).normal(0, 0.05, 40), n_observations=500)
    said = json.loads(run(str(table), "--study", "mine", "--json").stdout)
    assert said["n_trials"] == 40


def test_mistakes_fail_with_their_reason(table, tmp_path) -> None:
    for options, kind, match in (
        ((str(tmp_path / "no.csv"),), DataError, "there is no file"),
        ((str(table), "--benchmark-column", "BTC"), UnknownNameError, "no column 'BTC'"),
        ((str(table), "--n-trials", "2"), ConfigError, "at least the 4 strategies"),
        ((str(table), "--n-trials", "9", "--study", "x"), ConfigError, "give one of them"),
        ((str(table), "--out", str(tmp_path / "no" / "page.html")), ConfigError, "there is no folder"),
    ):
        done = run(*options)
        assert done.exit_code != 0
        assert isinstance(done.exception, kind), done.exception
        assert match in str(done.exception)
