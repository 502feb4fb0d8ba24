"""`gwt data synth | import | list`: what they store and say, and one clear line for every mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import gwt_lab as gwt
from gwt_lab.cli import main
from gwt_lab.data.catalog import Catalog
from tests.oracles.importers_files import binance, ccxt_json, known_rows, plain_csv, write_csv

ROWS = known_rows()
Data = Callable[..., tuple[int, str, str]]


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *args: str) -> tuple[int, str, str]:
    """Run `gwt data ...` through its real entry and return exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["gwt", "data", *args])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.fixture
def data(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Data:
    monkeypatch.chdir(tmp_path)
    return lambda *args: run(capsys, monkeypatch, *args)


def test_synth_stores_what_synthetic_market_makes(data: Data) -> None:
    settings = ["--n-assets", "3", "--n-bars", "300", "--timeframe", "4h", "--seed", "5", "--spillover", "0.1"]
    code, out, err = data("synth", *settings, "--out", "demo", "--json")
    assert (code, err) == (0, "")
    market = gwt.synthetic_market(n_assets=3, n_bars=300, timeframe="4h", seed=5, spillover=0.1)
    assert json.loads(out)["hash"] == market.bars.content_hash
    assert gwt.load_bars("demo").select(market.bars.symbols).equals(market.bars)
    assert Catalog().history("demo")[0]["detail"]["source"] == {
        "kind": "synthetic", "n_assets": 3, "n_bars": 300, "timeframe": "4h", "seed": 5, "spillover": 0.1
    }  # fmt: skip
    code, out, _ = data("synth", *settings, "--out", "demo.csv")
    assert code == 0
    assert "Bars(3 symbols x 300 bars of 4h" in out
    assert gwt.load_bars("demo.csv").equals(market.bars)


def test_import_list_and_import_again(data: Data, tmp_path: Path) -> None:
    binance(tmp_path / "BTCUSDT-1h-2021-01.csv", ROWS[:30])
    binance(tmp_path / "BTCUSDT-1h-2021-02.zip", ROWS[30:])
    code, out, err = data("import", "BTCUSDT-1h-2021-01.csv", "BTCUSDT-1h-2021-02.zip", "--name", "spot", "--json")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert (answer["bars"], answer["missing"], answer["written"], answer["symbols"]) == (48, 0, 1, ["BTC/USDT"])
    assert [file["rows"] for file in answer["files"]] == [30, 18]
    code, out, err = data("import", ".", "--name", "spot")
    assert code == 0
    assert "has all of these bars already" in err
    code, out, _ = data("list", "--json")
    (row,) = json.loads(out)["bars"]
    assert (row["start"], row["end"]) == ("2021-01-20T00:00:00+00:00", "2021-01-21T23:00:00+00:00")
    assert row["hash"] == gwt.load_bars("spot").content_hash
    code, out, _ = data("list", "spot")
    assert code == 0
    for word in ("spot", "BTC/USDT", "2021-01-20 00:00", row["hash"][:16]):
        assert word in out


def test_an_empty_catalog_says_how_to_fill_it(data: Data) -> None:
    code, out, _ = data("list")
    assert code == 0
    assert "holds no bars; `gwt data synth`, `import` or `download` fill it" in out


def test_repairs_are_recorded_and_notes_are_said(data: Data, tmp_path: Path) -> None:
    lines: list[list[object]] = [[row.ms, *row.prices, row.volume] for row in ROWS]
    lines += [list(lines[3]), [ROWS[-1].ms + 3_600_000, "", "", "", "", 0]]
    write_csv(tmp_path / "BTCUSDT.csv", ["time", "open", "high", "low", "close", "volume"], lines)
    code, _, err = data("import", "BTCUSDT.csv", "--name", "spot")
    assert code == 1
    assert "1 bars appear twice" in err
    assert Catalog().names() == []
    code, _, err = data("import", "BTCUSDT.csv", "--name", "spot", "--repair", "drop-duplicates")
    assert code == 0
    assert "1 rows without any price were left out as missing bars" in err
    append, record = Catalog().history("spot")
    assert (append["action"], record["action"]) == ("append", "import")
    assert record["detail"]["repairs"] == [{"repair": "drop-duplicates", "rows": 1}]
    assert record["detail"]["files"][0]["file"] == "BTCUSDT.csv"


def test_other_values_are_refused_until_revised(data: Data, tmp_path: Path) -> None:
    ccxt_json(tmp_path / "BTC_USDT-1h.json", ROWS)
    assert data("import", "BTC_USDT-1h.json", "--name", "spot")[0] == 0
    other = known_rows(60)
    ccxt_json(tmp_path / "BTC_USDT-1h.json", [*other[:5], *other[6:], *known_rows(1, start=other[5].time)])
    code, _, err = data("import", "BTC_USDT-1h.json", "--name", "spot")
    assert code == 1
    stored = f"gwt: 'spot' holds BTC/USDT at 2021-01-20 05:00:00 UTC with open {ROWS[5].open}, the new bars say 100.0"
    assert err.startswith(stored)
    assert gwt.load_bars("spot").n_times == 48, "nothing was written"
    assert data("import", "BTC_USDT-1h.json", "--name", "spot", "--revise")[0] == 0
    assert gwt.load_bars("spot").open.iloc[5].item() == 100.0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["synth", "--out", "a/b"], "--out must be a catalog name such as 'demo', or a file that ends with"),
        (["synth", "--out", "no/a.csv"], "lies in a folder that does not exist: make 'no' first"),
        (["synth", "--out", "a b"], "a catalog name must be letters"),
        (["synth", "--out", "a", "--n-assets", "0"], "n_assets must be"),
        (["synth", "--out", "a", "--n-bars", "1"], "n_bars must be"),
        (["synth", "--out", "a", "--timeframe", "1x"], "timeframe must be a number and one of s, m, h, d, w"),
        (["import", "nowhere.csv", "--name", "a"], "no file or folder 'nowhere.csv'"),
        (["import", "good.csv", "--name", "../a"], "a catalog name must be letters"),
        (["import", "good.csv", "--name", "a", "--timeframe", "1x"], "timeframe must be"),
        (["import", "good.csv", "--name", "a", "--timeframe", "1d"], "should hold bars of 1d"),
        (["import", "good.csv", "--name", "a", "--repair", "magic"], "no repair magic; there are sort"),
        (["import", "good.csv", "--name", "a", "--times", "Mars"], "or a time zone such as Europe/Berlin, got 'Mars'"),
        (["import", "good.csv", "--name", "a", "--price", "open"], "price must be 'close'"),
        (["import", "nosymbol.csv", "--name", "a"], "does not say which symbol it holds"),
        (["import", "empty.csv", "--name", "a"], "empty.csv is empty"),
        (["import", "damaged.parquet", "--name", "a"], "is a damaged Parquet file"),
        (["import", "one.csv", "--name", "a"], "too few to tell a timeframe"),
        (["list", "nowhere"], "no catalog name 'nowhere'"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(data: Data, tmp_path: Path, args: list[str], message: str) -> None:
    for name in ("BTCUSDT", "nosymbol"):
        plain_csv(tmp_path / f"{name}.csv", ROWS)
    (tmp_path / "BTCUSDT.csv").rename(tmp_path / "good.csv")
    plain_csv(tmp_path / "good.csv", ROWS, symbol="BTCUSDT")
    plain_csv(tmp_path / "one.csv", ROWS[:1], symbol="BTCUSDT")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1PAR1")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = data(*args)
    assert code == 1
    assert out == ""
    assert err.startswith("gwt: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(tmp_path.rglob("*")) == before
    assert not Catalog().path.exists()


def test_a_damaged_partition_is_one_line_and_then_listed(data: Data, tmp_path: Path) -> None:
    ccxt_json(tmp_path / "BTC_USDT-1h.json", ROWS)
    ccxt_json(tmp_path / "ETH_USDT-1h.json", ROWS)
    data("import", ".", "--name", "spot")
    (victim,) = (Catalog().path / "spot" / "bars" / "BTC-USDT").iterdir()
    victim.write_bytes(victim.read_bytes()[:-1])
    code, _, err = data("list")
    assert code == 1
    assert err.startswith(f"gwt: {victim} is damaged")
    code, out, _ = data("list", "--json")
    assert code == 0
    assert [row["symbol"] for row in json.loads(out)["bars"]] == ["ETH/USDT"]
    assert data("import", ".", "--name", "spot")[0] == 0
    assert json.loads(data("list", "--json")[1])["bars"][0]["damaged"] == 1


SLOW_DISK = """
import sys, time
from gwt_lab.cli import main
from gwt_lab.data import catalog_files

def write_half(path, data):
    path.write_bytes(data[: len(data) // 2])
    print("writing", flush=True)
    time.sleep(60)

catalog_files.write_synced = write_half
sys.argv = ["gwt", "data", "synth", "--n-assets", "2", "--n-bars", "300", "--out", "demo"]
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_an_interrupt_in_the_middle_of_a_write_leaves_nothing(tmp_path: Path) -> None:
    env = os.environ | {"GWT_CATALOG": str(tmp_path / "catalog")}
    command = [sys.executable, "-c", SLOW_DISK]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "gwt: interrupted; nothing half-written was kept\n"
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == [".lock"]
    assert Catalog(tmp_path / "catalog").names() == []
