"""`gwt features`: stored bars in, the same frame as in Python out of the file."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from gwt_lab.cli.app import app
from gwt_lab.data.catalog import Catalog
from gwt_lab.errors import CatalogError, ConfigError, UnknownNameError
from gwt_lab.features.alpha158 import alpha158
from gwt_lab.features.alpha360 import alpha360
from gwt_lab.market.bars import Bars
from tests.oracles.markets import random_bars


@pytest.fixture
def bars() -> Bars:
    made = random_bars(2, 150, seed=3, holes=0.05)
    Catalog().append("spot", made, source={"kind": "test"})
    return made


def run(*options: str):
    return CliRunner().invoke(app, ["features", "--data", "spot", *options])


def test_the_file_holds_the_frame(bars: Bars, tmp_path: Path) -> None:
    out = tmp_path / "f.parquet"
    done = run("--out", str(out), "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    pd.testing.assert_frame_equal(pd.read_parquet(out), alpha158(bars))
    assert (said["rows"], len(said["columns"]), said["bars_hash"]) == (300, 158, bars.content_hash)
    done = run("--out", str(out), "--set", "alpha360", "--qlib-compatible")
    assert done.exit_code == 0, done.output
    pd.testing.assert_frame_equal(pd.read_parquet(out), alpha360(bars, True))
    assert "300 rows x 360 columns" in done.stdout
    assert list(tmp_path.iterdir()) == [out]


def test_columns_symbols_and_times_are_chosen(bars: Bars, tmp_path: Path) -> None:
    out = tmp_path / "f.parquet"
    chosen = ["--column", "MA5", "--column", "KMID", "--symbol", "C01/USDT", "--start", "2024-01-02"]
    done = run("--out", str(out), *chosen, "--end", "2024-01-03")
    assert done.exit_code == 0, done.output
    part = bars.select("C01/USDT", start="2024-01-02", end="2024-01-03")
    pd.testing.assert_frame_equal(pd.read_parquet(out), alpha158(part, columns=["MA5", "KMID"]), check_freq=False)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (["--out", "f.csv"], ConfigError, r"must end in \.parquet"),
        (["--out", "nowhere/f.parquet"], ConfigError, "a folder that exists"),
        (["--out", "f.parquet", "--set", "alpha101"], ConfigError, "--set must be alpha158, or alpha360"),
        (["--out", "f.parquet", "--set", "alpha360", "--column", "CLOSE0"], ConfigError, "without --column"),
        (["--out", "f.parquet", "--column", "MA7"], UnknownNameError, "no feature MA7"),
        (["--out", "f.parquet", "--symbol", "X/Y"], UnknownNameError, "has no symbol X/Y"),
        (["--out", "taken.parquet"], CatalogError, "taken.parquet cannot be written"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(
    bars: Bars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], error: type, match: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.parquet").mkdir()
    done = run(*options)
    assert done.exit_code != 0
    with pytest.raises(error, match=match):
        raise done.exception
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".parquet", ".csv")] == ["taken.parquet"]
