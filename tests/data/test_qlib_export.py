"""What `export_qlib` writes is read back by qlib itself, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.qlib_export import QLIB_FIELDS, export_qlib, qlib_code, qlib_freq, qlib_vwap
from gwt_lab.errors import CatalogError, DataError
from gwt_lab.features.alpha158 import alpha158
from gwt_lab.market.bars import FIELDS, Bars
from gwt_lab.market.time import timeframe_ns

READER = Path(__file__).parents[1] / "oracles" / "qlib_reader.py"
RAW = [f"${name}" for name in QLIB_FIELDS]
EXPRESSIONS = [*RAW, "Ref($close,1)", "Mean($close,5)", "($close-$open)/$open", "Std($close,5)/$close"]
TIMEFRAMES = {"5m": "5min", "30m": "30min", "1h": "60min", "4h": "240min", "1d": "day", "3d": "3day", "1w": "1week"}
KBARS = ("KMID", "KLEN", "KMID2", "KUP", "KLOW", "KSFT", "OPEN0", "HIGH0", "LOW0", "VWAP0")
N = 90


def panel(timeframe: str) -> Bars:
    """Bars with everything that can go wrong: late listing, early delisting, gaps, an outage, no volume, no quote."""
    rng = np.random.default_rng(sum(map(ord, timeframe)))
    # 2020-01-06 is a Monday, and 18,267 days (3 × 6,089) from the epoch: every bar size opens here.
    start = pd.Timestamp("2020-01-06", tz="UTC")
    index = pd.DatetimeIndex(start.as_unit("ns").value + np.arange(N) * timeframe_ns(timeframe), tz="UTC")
    parts = []
    for number, symbol in enumerate(("BTC/USDT", "SHIB/USDT", "BTC/USDT:USDT", "AUX")):
        close = (40_000.0, 1e-5, 40_000.0, 3.0)[number] * np.exp(rng.normal(0, 0.02, N).cumsum())
        opened = close * np.exp(rng.normal(0, 0.01, N))
        high, low = np.maximum(opened, close) * 1.003, np.minimum(opened, close) * 0.996
        volume = rng.lognormal(3, 1, N) * (rng.random(N) > 0.1)
        part = pd.DataFrame({"timestamp": index, "open": opened, "high": high, "low": low, "close": close})
        part["volume"] = volume
        part["quote_volume"] = volume * close * (1 + rng.normal(0, 1e-3, N))
        part.loc[rng.random(N) > 0.9, "quote_volume"] = np.nan
        part["symbol"] = symbol
        present = np.ones(N, dtype=bool)
        present[40:42] = False  # an outage of the venue
        present[slice(*((0, 0), (0, 17), (70, N), (50, 61))[number])] = False
        parts.append(part[present])
    return Bars.from_frame(pd.concat(parts), timeframe)


def expected(bars: Bars) -> dict[str, np.ndarray]:
    """Each raw field in float64, by its definition, row by row."""
    out = {f"${name}": getattr(bars, name).to_numpy() for name in ("open", "high", "low", "close", "volume")}
    shape = bars.shape
    out |= {name: np.full(shape, np.nan) for name in ("$vwap", "$factor", "$change")}
    quote = bars.quote_volume.to_numpy()
    for t, s in np.argwhere(~np.isnan(out["$close"])):
        out["$factor"][t, s] = 1.0
        if t:
            out["$change"][t, s] = out["$close"][t, s] / out["$close"][t - 1, s] - 1
        if out["$volume"][t, s] > 0 and quote[t, s] > 0:
            out["$vwap"][t, s] = quote[t, s] / out["$volume"][t, s]
        else:
            out["$vwap"][t, s] = sum(out[name][t, s] for name in ("$open", "$high", "$low", "$close")) / 4
    return out


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export every bar size, let one process of qlib read them all, and return the folder of its answers."""
    root = tmp_path_factory.mktemp("qlib")
    jobs = []
    for timeframe, freq in TIMEFRAMES.items():
        export = export_qlib(panel(timeframe), root / "providers" / timeframe)
        assert export.freq == freq
        jobs.append(
            {"provider": str(export.folder), "freq": freq, "out": str(root / timeframe), "fields": EXPRESSIONS}
            | {"handler": timeframe == "1h"}
        )
    traded = export_qlib(panel("1h"), root / "providers" / "traded", empty_rows=False)
    jobs.append(
        {"provider": str(traded.folder), "freq": "60min", "out": str(root / "traded"), "fields": RAW, "handler": True}
    )
    (root / "jobs.json").write_text(json.dumps(jobs))
    home, cwd = root / "home", root / "cwd"
    home.mkdir()
    cwd.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(READER), str(root / "jobs.json")],
        cwd=cwd,
        env=os.environ | {"HOME": str(home), "PYTHONPATH": str(READER.parents[2])},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert not list(cwd.iterdir()), "qlib left files in its working folder"
    assert not list(home.rglob("mlruns")), "qlib left runs in the home folder"
    assert not Path("mlruns").exists(), "qlib left runs in the checkout"
    return root


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_qlib_reads_the_same_calendar(answers: Path, timeframe: str) -> None:
    calendar = json.loads((answers / timeframe / "calendar.json").read_text())
    assert pd.DatetimeIndex(calendar).equals(panel(timeframe).index.tz_localize(None))


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_qlib_reads_the_listing_dates(answers: Path, timeframe: str) -> None:
    bars = panel(timeframe)
    found = json.loads((answers / timeframe / "instruments.json").read_text())
    assert list(found) == ["BTCUSDT", "SHIBUSDT", "BTCUSDT_USDT", "AUX"]
    for symbol, spans in zip(bars.symbols, found.values(), strict=True):
        close = bars.close[symbol].dropna()
        first, last = close.index[0].tz_localize(None), close.index[-1].tz_localize(None)
        assert spans == [[str(first), str(last)]]
    assert found["SHIBUSDT"][0][0] == str(bars.index[17].tz_localize(None))
    assert found["BTCUSDT_USDT"][0][1] == str(bars.index[69].tz_localize(None))


@pytest.mark.parametrize("name", ["features", "listed"])
@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_qlib_reads_the_same_numbers(answers: Path, timeframe: str, name: str) -> None:
    bars = panel(timeframe)
    found = pd.read_parquet(answers / timeframe / f"{name}.parquet")
    rows = 0
    for column, symbol in enumerate(bars.symbols):
        present = np.flatnonzero(bars.close[symbol].notna().to_numpy())
        span = slice(present[0], present[-1] + 1)
        block = found.loc[qlib_code(symbol)]
        assert pd.DatetimeIndex(block.index).equals(bars.index[span].tz_localize(None))
        for field, values in expected(bars).items():
            np.testing.assert_array_equal(
                block[field].to_numpy(dtype=np.float32), values[span, column].astype(np.float32), err_msg=field
            )
        rows += len(block)
    assert rows == len(found)


def test_expressions_see_the_gaps(answers: Path) -> None:
    bars = panel("1h")
    block = pd.read_parquet(answers / "1h" / "features.parquet").loc["BTCUSDT"]
    close = bars.close["BTC/USDT"].astype(np.float32).to_numpy()
    np.testing.assert_array_equal(block["Ref($close,1)"].to_numpy(np.float32)[1:], close[:-1])
    mean = [np.nanmean(close[max(0, t - 4) : t + 1], dtype=np.float64) for t in range(N)]
    np.testing.assert_allclose(block["Mean($close,5)"], mean, rtol=1e-6)
    assert block["Ref($close,1)"].isna().to_numpy().nonzero()[0].tolist() == [0, 41, 42]


def test_the_alpha158_handler_runs_on_an_export(answers: Path) -> None:
    found = pd.read_parquet(answers / "1h" / "alpha158.parquet")
    assert found.shape[1] == 158
    bars = panel("1h")
    block = found.xs("SHIBUSDT", level="instrument")
    close, opened = bars.close["SHIB/USDT"].to_numpy()[17:], bars.open["SHIB/USDT"].to_numpy()[17:]
    np.testing.assert_allclose(block["KMID"], (close - opened) / opened, rtol=2e-4, atol=1e-7)
    middle = qlib_vwap(bars)["SHIB/USDT"].to_numpy()[17:] / close
    np.testing.assert_allclose(block["VWAP0"], middle, rtol=1e-6)


def test_empty_rows_can_be_left_out_of_the_calendar(answers: Path) -> None:
    bars = panel("1h")
    traded = bars.close.notna().any(axis=1).to_numpy()
    assert (~traded).sum() == 2
    calendar = json.loads((answers / "traded" / "calendar.json").read_text())
    assert pd.DatetimeIndex(calendar).equals(bars.index[traded].tz_localize(None))
    found = pd.read_parquet(answers / "traded" / "features.parquet").loc["BTCUSDT"]
    np.testing.assert_array_equal(found["$close"], bars.close["BTC/USDT"].to_numpy()[traded].astype(np.float32))
    # the bar after the outage has no bar right before it, whatever the calendar leaves out
    assert found["$change"].isna().to_numpy().nonzero()[0].tolist() == [0, 40]


def test_qlibs_alpha158_on_an_export_is_ours(answers: Path) -> None:
    narrow = panel("1h")
    narrow = replace(
        narrow, **{name: getattr(narrow, name).astype(np.float32).astype(float) for name in (*FIELDS, "quote_volume")}
    )
    ours = alpha158(narrow, qlib_compatible=True)
    theirs = pd.read_parquet(answers / "traded" / "alpha158.parquet")
    for symbol in narrow.symbols:
        block = theirs.xs(qlib_code(symbol), level="instrument")
        same = ours.xs(symbol, level="instrument")
        same = same[same.index.tz_localize(None).isin(block.index)]
        for name in (*KBARS, *(f"{kind}{d}" for kind in ("ROC", "MA", "STD", "MAX", "MIN") for d in (5, 60))):
            np.testing.assert_allclose(
                same[name], block[name], rtol=2e-4, atol=2e-6, err_msg=f"{name} of {symbol}", equal_nan=True
            )


# ------------------------------------------------------------------------------------------------ without qlib
def test_a_feature_file_starts_with_its_row(tmp_path: Path) -> None:
    bars = panel("1h")
    export_qlib(bars, tmp_path / "p")
    raw = np.frombuffer((tmp_path / "p/features/shibusdt/close.60min.bin").read_bytes(), dtype="<f4")
    assert raw[0] == 17
    np.testing.assert_array_equal(raw[1:], bars.close["SHIB/USDT"].to_numpy()[17:].astype("<f4"))


def test_a_device_name_gets_the_folder_in_which_qlib_looks(tmp_path: Path) -> None:
    export = export_qlib(panel("1h"), tmp_path / "p")
    assert export.codes["AUX"] == "AUX"
    assert sorted(path.name for path in (tmp_path / "p/features").iterdir()) == [
        "_qlib_aux", "btcusdt", "btcusdt_usdt", "shibusdt",
    ]  # fmt: skip


def one_symbol(symbol: str = "BTC/USDT", **columns: Any) -> pd.DataFrame:
    index = pd.date_range("2021-01-01", periods=5, freq="h", tz="UTC")
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), 2.0) | {"volume": 1.0}, index=index)
    return frame.assign(timestamp=index, symbol=symbol, **columns)


def test_symbols_with_one_code_are_refused(tmp_path: Path) -> None:
    both = pd.concat([one_symbol("A/BUSD"), one_symbol("AB/USD")])
    with pytest.raises(DataError, match=r"A/BUSD and AB/USD both have the qlib code ABUSD"):
        export_qlib(both, tmp_path / "p")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("symbol", ["NA", "NULL"])
def test_a_code_that_qlib_reads_as_missing_is_refused(symbol: str) -> None:
    with pytest.raises(DataError, match="as a missing value"):
        qlib_code(symbol)


def test_a_number_too_large_for_float32_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"volume of BTC/USDT at 2021-01-01 00:00:00\+00:00 is 1e\+39"):
        export_qlib(one_symbol(volume=1e39), tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_seconds_are_refused() -> None:
    with pytest.raises(DataError, match="whole minutes"):
        qlib_freq("30s")


@pytest.mark.parametrize(("timeframe", "freq"), [("1m", "1min"), ("24h", "day"), ("7d", "7day"), ("2w", "2week")])
def test_names_of_bar_sizes(timeframe: str, freq: str) -> None:
    assert qlib_freq(timeframe) == freq


def test_a_symbol_without_bars_is_left_out_and_named(tmp_path: Path) -> None:
    bars = panel("1h").select(end=panel("1h").index[10])
    export = export_qlib(bars, tmp_path / "p")
    assert export.without_bars == ("SHIB/USDT",)
    assert "SHIBUSDT" not in (tmp_path / "p/instruments/all.txt").read_text()


def test_an_earlier_provider_stays_unless_asked(tmp_path: Path) -> None:
    first = export_qlib(panel("1h"), tmp_path / "p")
    with pytest.raises(CatalogError, match="exists already"):
        export_qlib(panel("1d"), tmp_path / "p")
    assert (first.folder / "calendars/60min.txt").is_file()
    export_qlib(panel("1d"), tmp_path / "p", overwrite=True)
    assert [path.name for path in (tmp_path / "p/calendars").iterdir()] == ["day.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_folder_that_is_no_provider_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/thesis.txt").write_text("years of work")
    with pytest.raises(CatalogError, match="no qlib provider"):
        export_qlib(panel("1h"), tmp_path / "p", overwrite=True)
    assert (tmp_path / "p/thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("step", ["write", "move"])
def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    export_qlib(panel("1h"), tmp_path / "p")
    before = (tmp_path / "p/instruments/all.txt").read_bytes()
    method = "write_bytes" if step == "write" else "rename"
    original = getattr(Path, method)

    def fail(self: Path, *args: Any) -> Any:
        if self.name in ("new", "vwap.day.bin"):
            raise OSError(28, "No space left on device")
        return original(self, *args)

    monkeypatch.setattr(Path, method, fail)
    with pytest.raises(CatalogError, match=r"p' cannot be written: No space left on device; name a folder"):
        export_qlib(panel("1d"), tmp_path / "p", overwrite=True)
    assert (tmp_path / "p/instruments/all.txt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
