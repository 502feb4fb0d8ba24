"""`gwt data check`: a name, a file or a folder; exit code 0 clean, 1 errors, 2 not checkable."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from gwt_lab.cli.app import app
from gwt_lab.data.catalog import Catalog
from gwt_lab.market.bars import Bars
from tests.oracles.quality_market import SYMBOLS, clean_frame, hour, rows_of

CLEAN = clean_frame(n=300)
ETH = "ETH/USDT"


def run(*words):
    return CliRunner().invoke(app, ["data", "check", *map(str, words)])


def stored(name, frame):
    Catalog().append(name, Bars.from_frame(frame), source={"kind": "test"})
    return name


def broken():
    frame = CLEAN.copy()
    frame.loc[rows_of(frame, ETH, 50, 52), "low"] = -1.0
    return frame


def findings(result):
    return [(f["check"], f["symbol"], f["first"], f["count"]) for f in json.loads(result.stdout)["findings"]]


def iso(n):
    return hour(n).isoformat()


# ------------------------------------------------------------------------------------------------ exit codes
def test_clean_bars_pass():
    result = run(stored("spot", CLEAN))
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == (
        "passed: 0 errors, 0 warnings, 0 info; 6 symbols, 1,800 rows of 1h, 2021-03-01 00:00 to 2021-03-13 11:00 UTC"
    )


def test_errors_are_shown_and_fail():
    result = run(stored("spot", broken()))
    assert result.exit_code == 1
    assert "price-not-positive" in result.stdout
    assert "2021-03-03 02:00" in result.stdout
    assert "failed: 1 error, 0 warnings, 0 info" in result.stdout


def test_warnings_alone_pass():
    result = run(stored("spot", CLEAN.drop(index=rows_of(CLEAN, ETH, 50, 52))))
    assert result.exit_code == 0
    assert "warning" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "'nothing' is neither a catalog name nor a path; the catalog"),
        ([""], "neither a catalog name nor a path"),
        (["spot", "--now", "soon"], "'soon' is not a time"),
        (["spot", "--timeframe", "1x"], "1x"),
        (["spot", "--others", "nothing"], "'nothing' is neither"),
        (["text.csv"], "text.csv"),
        (["spot", "--html", "no/such/folder.html"], "cannot be written to no/such/folder.html"),
    ],
)
def test_what_cannot_be_checked_is_one_line_and_exit_code_2(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stored("spot", CLEAN)
    (tmp_path / "text.csv").write_text("only some words\nand more words\n", encoding="utf-8")
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith("gwt: ")


def test_the_command_itself_returns_the_code(tmp_path):
    path = tmp_path / "bars.parquet"
    broken().to_parquet(path)
    done = subprocess.run(
        [sys.executable, "-c", "from gwt_lab.cli import main; main()", "data", "check", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "price-not-positive" in done.stdout
    assert done.stderr == ""


# ------------------------------------------------------------------------------------------------ answers
def test_json():
    result = run(stored("spot", broken()), "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["data"] == "spot"
    assert document["passed"] is False
    assert document["counts"] == {"error": 1, "warning": 0, "info": 0}
    assert findings(result) == [("price-not-positive", ETH, iso(50), 2)]


def test_html(tmp_path):
    page = tmp_path / "report.html"
    result = run(stored("spot", broken()), "--html", page)
    assert result.exit_code == 1
    text = page.read_text(encoding="utf-8")
    assert "Data quality: spot" in text
    assert "price-not-positive" in text
    assert f"report: {page}" in result.stdout


def test_now_finds_unfinished_bars():
    name = stored("spot", CLEAN)
    assert run(name, "--now", iso(300)).exit_code == 0
    result = run(name, "--now", "2021-03-13T11:10", "--json")
    assert result.exit_code == 1
    assert findings(result) == [("unfinished", symbol, iso(299), 1) for symbol in sorted(SYMBOLS)]


def test_others_are_compared_with():
    alone = CLEAN[CLEAN["symbol"] == ETH].copy()
    crash = CLEAN.copy()
    for symbol in SYMBOLS:
        crash.loc[rows_of(crash, symbol, 200, 201), ["close", "low"]] *= 0.8
    alone = crash[crash["symbol"] == ETH]
    one, rest = stored("one", alone), stored("rest", crash[crash["symbol"] != ETH])
    assert [f[0] for f in findings(run(one, "--json"))] == ["spike"]
    assert findings(run(one, "--others", rest, "--json")) == []


# ------------------------------------------------------------------------------------------------ files with defects
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".feather"])
def test_files_are_checked_with_the_defects_that_an_import_refuses(suffix, tmp_path):
    frame = pd.concat([CLEAN, CLEAN.loc[rows_of(CLEAN, ETH, 30, 35)]], ignore_index=True)
    frame.loc[rows_of(frame, "SOL/USDT", 20, 21), "timestamp"] += pd.Timedelta("17min")
    path = tmp_path / f"bars{suffix}"
    {".csv": lambda: frame.to_csv(path, index=False), ".parquet": lambda: frame.to_parquet(path),
     ".feather": lambda: frame.to_feather(path)}[suffix]()  # fmt: skip
    result = run(path, "--json")
    assert result.exit_code == 1
    assert findings(result) == [
        ("off-grid", "SOL/USDT", (hour(20) + pd.Timedelta("17min")).isoformat(), 1),
        ("duplicate", ETH, iso(30), 5),
        ("unordered", ETH, iso(30), 5),
        ("gap", "SOL/USDT", iso(20), 1),
    ]


def test_mixed_units_in_a_file(tmp_path):
    times = CLEAN["timestamp"].dt.as_unit("ms").astype("int64")
    bad = rows_of(CLEAN, ETH, 100, 150)
    times[bad] //= 1000
    path = tmp_path / "bars.csv"
    CLEAN.assign(timestamp=times).to_csv(path, index=False)
    result = run(path, "--json")
    assert findings(result) == [("mixed-units", ETH, iso(100), 50)]


def test_a_folder_of_files_is_one_market(tmp_path):
    for symbol, part in broken().groupby("symbol"):
        part.drop(columns="symbol").to_csv(tmp_path / f"{symbol.replace('/', '')}-1h.csv", index=False)
    result = run(tmp_path, "--json")
    assert findings(result) == [("price-not-positive", ETH, iso(50), 2)]
    assert sorted(json.loads(result.stdout)["symbols"]) == sorted(SYMBOLS)


def test_a_file_that_does_not_say_what_it_holds(tmp_path):
    path = tmp_path / "export.csv"
    CLEAN[CLEAN["symbol"] == ETH].drop(columns="symbol").to_csv(path, index=False)
    refused = run(path)
    assert refused.exit_code == 2
    assert "--symbol" in refused.stderr
    named = run(path, "--symbol", ETH, "--timeframe", "1h", "--json")
    assert named.exit_code == 0
    assert json.loads(named.stdout)["symbols"] == [ETH]


def test_a_local_clock_in_a_file_is_found_and_not_refused(tmp_path):
    year = clean_frame(n=8000, symbols=SYMBOLS[:2])
    local = year["timestamp"].dt.tz_convert("Europe/Berlin").dt.tz_localize(None)
    path = tmp_path / "bars.csv"
    year.assign(timestamp=local).to_csv(path, index=False)
    result = run(path, "--json")
    assert result.exit_code == 1
    assert {f[:3] for f in findings(result) if f[0] == "daylight-saving"} == {
        ("daylight-saving", symbol, "2021-03-28T02:00:00+00:00") for symbol in SYMBOLS[:2]
    }


def test_one_of_several_venues(tmp_path):
    other = CLEAN.assign(close=np.nan)
    frame = pd.concat([CLEAN.assign(exchange="binance"), other.assign(exchange="ftx")])
    path = tmp_path / "bars.parquet"
    frame.to_parquet(path)
    assert "--venue" in run(path).stderr
    assert run(path, "--venue", "binance").exit_code == 0
    assert run(path, "--venue", "ftx").exit_code == 1
