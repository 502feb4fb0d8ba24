"""Tables beside the bars keep the catalog's guarantees."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import gwt_lab as gwt
from gwt_lab.data.catalog import Catalog
from gwt_lab.errors import DataError, UnknownNameError

KEY = ["timestamp", "symbol"]


def funding(n: int, rate: float = 0.0001) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2021-01-01", periods=n, freq="8h", tz="UTC", unit="ns"),
            "symbol": pd.Series(["BTC/USDT:USDT"] * n, dtype="str"),
            "rate": rate * np.arange(n),
        }
    )


def test_a_table_reads_back_as_written() -> None:
    frame = funding(5)
    (path,) = Catalog().write_table("perp", "funding", frame, KEY)
    pd.testing.assert_frame_equal(Catalog().read_table("perp", "funding"), frame)
    assert path.parent == Catalog().path / "perp" / "funding"
    assert Catalog().names() == ["perp"]
    assert Catalog().history("perp")[0]["detail"] == {"kind": "funding", "files": [path.name]}


def test_only_new_rows_are_written() -> None:
    Catalog().write_table("perp", "funding", funding(5), KEY)
    assert Catalog().write_table("perp", "funding", funding(5), KEY) == []
    (path,) = Catalog().write_table("perp", "funding", funding(7), KEY)
    assert len(pd.read_parquet(path)) == 2
    pd.testing.assert_frame_equal(Catalog().read_table("perp", "funding"), funding(7))


def test_missing_values_equal_missing_values() -> None:
    frame = funding(3)
    frame.loc[1, "rate"] = np.nan
    Catalog().write_table("perp", "funding", frame, KEY)
    assert Catalog().write_table("perp", "funding", frame, KEY) == []
    with pytest.raises(DataError, match=r"rate nan, the new row says 0\.0001"):
        Catalog().write_table("perp", "funding", funding(3), KEY)


def test_other_values_are_refused_or_win_when_revised() -> None:
    Catalog().write_table("perp", "funding", funding(5), KEY)
    with pytest.raises(
        DataError,
        match=r"rate 0\.0001, the new row says 0\.5 \(3 more rows differ\); nothing was",
    ):
        Catalog().write_table("perp", "funding", funding(6, 0.5), KEY)
    pd.testing.assert_frame_equal(Catalog().read_table("perp", "funding"), funding(5))
    with pytest.raises(DataError, match=r"holds timestamp 2021-01-01 08:00:00\+00:00, symbol BTC/USDT:USDT with rate"):
        Catalog().write_table("perp", "funding", funding(2, 0.5), KEY)
    Catalog().write_table("perp", "funding", funding(6, 0.5), KEY, revise=True)
    got = Catalog().read_table("perp", "funding").sort_values("timestamp", ignore_index=True)
    pd.testing.assert_frame_equal(got, funding(6, 0.5))


@pytest.mark.parametrize(
    ("key", "message"),
    [(["time"], "key columns time"), ([], "key columns named"), (["symbol"], "2 rows twice by")],
)
def test_a_key_that_does_not_identify_rows_is_refused(key: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Catalog().write_table("perp", "funding", funding(3), key)


def test_other_columns_are_refused() -> None:
    Catalog().write_table("perp", "funding", funding(3), KEY)
    with pytest.raises(DataError, match="table 'funding' has columns"):
        Catalog().write_table("perp", "funding", funding(4).assign(extra=1), KEY)


@pytest.mark.parametrize("kind", ["bars", "damaged", "superseded"])
def test_the_catalogs_own_folders_are_no_tables(kind: str) -> None:
    with pytest.raises(DataError, match="the catalog keeps its own files there"):
        Catalog().write_table("perp", kind, funding(3), KEY)


def test_unknown_tables_list_the_known_ones() -> None:
    Catalog().write_table("perp", "funding", funding(3), KEY)
    with pytest.raises(UnknownNameError, match="'perp' has no table 'fees'; it has funding"):
        Catalog().read_table("perp", "fees")
    with pytest.raises(UnknownNameError, match="no catalog name 'x'"):
        Catalog().read_table("x", "funding")


def test_a_writer_killed_before_its_first_file_leaves_no_table() -> None:
    Catalog().write_table("perp", "funding", funding(3), KEY)
    for kind in ("instruments", "gaps", "fees"):
        (Catalog().path / "perp" / kind).mkdir()
    bars = gwt.Bars.from_frame(funding(4).assign(open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0), "8h")
    Catalog().append("perp", bars)
    assert gwt.load_bars("perp").equals(bars)
    with pytest.raises(UnknownNameError, match="no table 'fees'; it has funding"):
        Catalog().read_table("perp", "fees")
