"""`load_bars` finds what its argument names, and what it writes reads back."""

from __future__ import annotations

from pathlib import Path

import pytest

import gwt_lab as gwt
from gwt_lab.data.catalog import Catalog
from gwt_lab.data.load import write_bars
from gwt_lab.errors import CatalogError, DataError, UnknownNameError
from tests.data.catalog_workers import hourly
from tests.oracles.importers_files import ccxt_json, known_rows


@pytest.mark.parametrize("ending", ["parquet", "csv", "feather", "CSV"])
def test_a_written_file_reads_back_equal(tmp_path: Path, ending: str) -> None:
    bars = hourly(50)
    path = write_bars(tmp_path / f"market.{ending}", bars)
    assert gwt.load_bars(path).equals(bars)
    assert gwt.load_bars(str(path), symbols="ETH/USDT", start="2021-01-02").equals(
        bars.select("ETH/USDT", start="2021-01-02")
    )
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_catalog_name_comes_before_a_path_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ccxt_json(tmp_path / "spot", known_rows(5))
    Catalog().append("spot", hourly(7))
    assert gwt.load_bars("spot").equals(hourly(7))
    with pytest.raises(DataError, match="does not say which symbol"):
        gwt.load_bars(Path("spot"))


def test_a_folder_is_loaded_whole(tmp_path: Path) -> None:
    ccxt_json(tmp_path / "BTC_USDT-1h.json", known_rows(20))
    ccxt_json(tmp_path / "ETH_USDT-1h.json", known_rows(20))
    assert gwt.load_bars(tmp_path).symbols == ["BTC/USDT", "ETH/USDT"]
    with pytest.raises(UnknownNameError, match="no such symbol XRP/USDT; these bars have BTC/USDT, ETH/USDT"):
        gwt.load_bars(tmp_path, symbols=["XRP/USDT"])
    with pytest.raises(DataError, match="has no bars in the time asked for; it holds 2021-01-20"):
        gwt.load_bars(tmp_path, start="2022-01-01")
    with pytest.raises(DataError, match="should hold bars of 4h"):
        gwt.load_bars(tmp_path, timeframe="4h")


@pytest.mark.parametrize("name", ["", "nowhere", "nowhere/x.csv"])
def test_neither_name_nor_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UnknownNameError, match=r"is neither a catalog name nor a path; the catalog .* holds nothing yet"
    ):
        gwt.load_bars(name)


def test_writing_into_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"x\.parquet cannot be written: .*choose a folder that exists"):
        write_bars(tmp_path / "no" / "x.parquet", hourly(5))


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_bars(tmp_path / "x.csv", hourly(5))
    before = path.read_bytes()

    def interrupted(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bars(path, hourly(9))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.csv"]
