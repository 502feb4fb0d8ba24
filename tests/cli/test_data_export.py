"""`gwt data export-qlib`: from a catalog name to a provider folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from gwt_lab.cli.app import app
from gwt_lab.data.catalog import Catalog
from gwt_lab.errors import CatalogError, UnknownNameError
from gwt_lab.market.bars import Bars


@pytest.fixture
def bars() -> Bars:
    index = pd.date_range("2021-01-01", periods=48, freq="4h", tz="UTC")
    parts = []
    for number, symbol in enumerate(("BTC/USDT", "ETH/USDT"), 1):
        close = 100.0 * number + np.arange(48)
        prices = {"open": close - 0.5, "high": close + 1, "low": close - 1, "close": close, "volume": 2.0}
        parts.append(pd.DataFrame({"timestamp": index, "symbol": symbol} | prices))
    stored = Bars.from_frame(pd.concat(parts))
    Catalog().append("spot", stored, source={"kind": "test"})
    return stored


def test_a_catalog_name_becomes_a_provider(bars: Bars, tmp_path: Path) -> None:
    out = tmp_path / "provider"
    result = CliRunner().invoke(app, ["data", "export-qlib", "spot", "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["freq"] == "240min"
    assert said["codes"] == {"BTC/USDT": "BTCUSDT", "ETH/USDT": "ETHUSDT"}
    assert Path(said["folder"]) == out
    raw = np.frombuffer((out / "features/ethusdt/close.240min.bin").read_bytes(), dtype="<f4")
    np.testing.assert_array_equal(raw, np.r_[0, bars.close["ETH/USDT"]].astype("f4"))


def test_symbols_and_times_are_chosen(bars: Bars, tmp_path: Path) -> None:
    out = tmp_path / "provider"
    chosen = ["--symbols", "ETH/USDT", "--start", "2021-01-02", "--end", "2021-01-03"]
    result = CliRunner().invoke(app, ["data", "export-qlib", "spot", "--out", str(out), *chosen])
    assert result.exit_code == 0, result.output
    assert "1 instruments, 7 bars, freq '240min', 2021-01-02 00:00 to 2021-01-03 00:00 UTC" in result.stdout
    assert (out / "instruments/all.txt").read_text() == "ETHUSDT\t2021-01-02 00:00:00\t2021-01-03 00:00:00\n"


def test_an_existing_folder_is_replaced_only_if_asked(bars: Bars, tmp_path: Path) -> None:
    out = tmp_path / "provider"
    command = ["data", "export-qlib", "spot", "--out", str(out)]
    assert CliRunner().invoke(app, command).exit_code == 0
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 1
    assert isinstance(refused.exception, CatalogError)
    assert "--overwrite" in str(refused.exception)
    assert CliRunner().invoke(app, [*command, "--overwrite"]).exit_code == 0


def test_a_name_that_does_not_exist_writes_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "export-qlib", "nothing", "--out", str(tmp_path / "p")])
    assert result.exit_code == 1
    assert isinstance(result.exception, UnknownNameError)
    assert list(tmp_path.iterdir()) == []
