"""The verbs from a backtest to the runner: `gwt backtest`, `validate`, `promote`, `trade`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gwt_lab.cli import main
from gwt_lab.data.load import write_bars
from gwt_lab.live.journal import read_journal
from gwt_lab.promotion.keys import keys_folder, own_public_key
from gwt_lab.runs import list_runs
from gwt_lab.validation.ledger import TrialLedger
from tests.promotion.made import bundle_copy, noise, waves

RULE = ["--strategy", "ma_cross", "--param", "fast=3", "--param", "slow=12"]
CHEAP = ["--fees", "0.0001", "--slippage", "0.0001"]


def gwt(capsys, monkeypatch, *arguments: object) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of one command."""
    monkeypatch.setattr(sys, "argv", ["gwt", *map(str, arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


@pytest.fixture
def verb(capsys, monkeypatch):
    return lambda *arguments: gwt(capsys, monkeypatch, *arguments)


@pytest.fixture
def data(tmp_path) -> Path:
    return write_bars(tmp_path / "waves.parquet", waves())


def test_the_whole_way(verb, data, tmp_path):
    code, out, _ = verb("backtest", "--data", data, *RULE, *CHEAP, "--json")
    assert TrialLedger().n_trials == 1, "what is backtested is counted"
    assert code == 0
    backtest = json.loads(out)
    assert backtest["stats"]["Total Return [%]"] > 0
    assert "next bar's open" in backtest["assumptions"]
    code, out, _ = verb("validate", backtest["run"], "--json")
    verdict = json.loads(out)
    assert (code, verdict["passed"], verdict["source"]) == (0, True, backtest["run"])
    code, out, _ = verb("promote", backtest["run"], "--out", tmp_path / "bundle", "--json")
    promoted = json.loads(out)
    assert code == 0
    assert promoted["public_key"] == own_public_key()
    code, out, _ = verb("trade", tmp_path / "bundle", "--paper", "--replay", "--data", data, "--json")
    report = json.loads(out)
    assert code == 0
    assert (report["bars"], report["differences"], report["mode"]) == (500, 0, "paper")
    assert report["fills"] == sum(
        len(e["fills"]) for e in read_journal(Path(report["journal"])) if e["kind"] == "fills"
    )


def test_for_people_too(verb, data, tmp_path):
    code, out, _ = verb("backtest", "--data", data, *RULE, *CHEAP, "--symbol", "C00/USDT", "--symbol", "C02/USDT")
    assert code == 0
    assert "C00/USDT, C02/USDT" in out
    assert "assumes: decided at a bar's close" in out
    run = list_runs("backtest")[-1]
    assert f"next: gwt validate {run.id}" in out
    assert run.record["spec"]["symbols"] == ["C00/USDT", "C02/USDT"]
    code, out, _ = verb("validate", "backtest")
    assert code == 0
    assert "may be promoted" in out
    _, out, _ = verb("promote", run.id, "--out", tmp_path / "bundle")
    assert f"next: gwt trade {tmp_path / 'bundle'} --paper --replay" in out
    code, out, _ = verb("trade", tmp_path / "bundle", "--replay")
    assert code == 0
    assert "all equal to the batch form" in out


def test_a_refusal_is_one_line_and_a_failure(verb, tmp_path):
    data = write_bars(tmp_path / "noise.parquet", noise())
    _, out, _ = verb("backtest", "--data", data, *RULE, "--json")
    run = json.loads(out)["run"]
    code, out, err = verb("promote", run)
    assert (code, out) == (1, "")
    assert err == f"gwt: run {run} was never validated: run `gwt validate {run}` first\n"
    code, out, _ = verb("validate", run, "--json")
    assert code == 1
    assert [gate["passed"] for gate in json.loads(out)["gates"]] == [True, False]
    code, out, err = verb("promote", run, "--out", tmp_path / "bundle")
    assert (code, out) == (1, "")
    assert err.startswith("gwt: run ")
    assert err.count("\n") == 1
    assert "may not be promoted; doubled_costs: -" in err
    assert not (tmp_path / "bundle").exists()


def test_live_is_refused_in_one_line(verb, tmp_path):
    code, out, err = verb("trade", bundle_copy(tmp_path), "--live")
    assert (code, out) == (1, "")
    assert err == "gwt: --live is refused: live trading is not part of this version; use --paper --replay\n"


def test_a_touched_bundle_is_not_started(verb, tmp_path):
    bundle = bundle_copy(tmp_path)
    (bundle / "bundle.json").write_text((bundle / "bundle.json").read_text().replace("ma_cross", "ma_crosS"))
    code, out, err = verb("trade", bundle, "--paper", "--replay")
    assert (code, out) == (1, "")
    assert err == "gwt: bundle bundle: bundle.json was changed after signing; get the bundle again\n"


def test_a_strangers_bundle_needs_its_key(verb, tmp_path, monkeypatch):
    bundle = bundle_copy(tmp_path)
    public = (keys_folder() / "bundle_ed25519.pub").read_text().strip()
    monkeypatch.setenv("GWT_KEYS", str(tmp_path / "elsewhere"))
    code, _, err = verb("trade", bundle, "--replay")
    assert code == 1
    assert "no trusted key" in err
    assert verb("trade", bundle, "--replay", "--key", public)[0] == 0


def test_bars_that_changed_since_the_backtest_are_not_validated(verb, data):
    _, out, _ = verb("backtest", "--data", data, *RULE, "--json")
    write_bars(data, noise())
    code, _, err = verb("validate", json.loads(out)["run"])
    assert code == 1
    assert "are not those of run" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["backtest", "--data", "nowhere"], "nowhere"),
        (["backtest", "--data", "DATA", "--strategy", "astrology"], "no strategy 'astrology'; there are"),
        (["backtest", "--data", "DATA", "--strategy", "forecast_rank"], "train_forecast_rank"),
        (["backtest", "--data", "DATA", "--symbol", "DOGE/USDT"], "DOGE/USDT"),
        (["backtest", "--data", "DATA", "--param", "fast"], "name=value"),
        (["backtest", "--data", "DATA", "--param", "fast=99"], "fast < slow"),
        (["backtest", "--data", "DATA", "--fees", "2"], "fees"),
        (["validate", "nothing"], "no run 'nothing'"),
        (["promote", "nothing"], "no run 'nothing'"),
        (["trade", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line(verb, data, arguments, words):
    own_public_key()
    code, out, err = verb(*[data if word == "DATA" else word for word in arguments])
    assert (code, out) == (1, "")
    assert err.startswith("gwt: ")
    assert err.count("\n") == 1
    assert words in err


def test_a_run_without_a_strategy_is_said_so(verb):
    from gwt_lab.runs import store_run

    code, _, err = verb("validate", store_run("paper1", {"a": 1}, {}).id)
    assert code == 1
    assert "holds no strategy" in err


def test_the_runner_knows_neither_gates_nor_the_backtest(tmp_path):
    """Importing and using the runner in a fresh process loads neither."""
    bundle = bundle_copy(tmp_path)
    code = (
        "import sys\n"
        "from gwt_lab.live.replay import replay\n"
        "from gwt_lab.promotion.bundle import Bundle\n"
        f"replay(Bundle.load({str(bundle)!r}))\n"
        "print([name for name in sys.modules if name.startswith(('gwt_lab.promotion.gates', 'gwt_lab.backtest'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout.strip() == "[]"
