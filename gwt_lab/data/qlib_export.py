"""Bars -> a provider folder that qlib reads by itself.

A provider is three folders: `calendars/<freq>.txt` (every open time, naive UTC), `instruments/all.txt` (code, first and
last bar) and `features/<code>/<field>.<freq>.bin` (little-endian float32: the row of the first value, then the values).
It is written beside its place and moved there in one step, so that a provider is whole or absent. Nothing here needs
qlib.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import CatalogError, DataError
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.market.time import timeframe_ns
from gwt_lab.market.vwap import bar_vwap
from gwt_lab.progress import progress

__all__ = ["QLIB_FIELDS", "QlibExport", "export_qlib", "qlib_code", "qlib_freq", "qlib_vwap"]

QLIB_FIELDS = ("open", "high", "low", "close", "volume", "vwap", "factor", "change")

_MINUTE_NS = 60 * 10**9
_DAY_NS = 1440 * _MINUTE_NS
# A feature file states its first row as float32, which counts in ones only up to here.
_MAX_ROWS = 2**24
# qlib reads instruments/all.txt with pandas, which takes these codes for missing values.
_READ_AS_MISSING = {"NA", "NULL"}
# Names that Windows keeps for devices; qlib looks for them in a folder with this prefix.
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10))}
_DEVICE_PREFIX = "_qlib_"


@dataclass(frozen=True)
class QlibExport:
    """What was written.

    Parameters
    ----------
    folder : Path
        Give it to ``qlib.init(provider_uri=...)``.
    freq : str
        Pass it as `freq` to everything in qlib, spelt like this: ``"60min"``.
    codes : mapping of str to str
        qlib's code of each symbol written.
    without_bars : tuple of str
        Symbols left out because they hold no bar at all.
    start, end : Timestamp
        First and last open time of the calendar, UTC.
    n_times : int
        Rows of the calendar.
    """

    folder: Path
    freq: str
    codes: Mapping[str, str]
    without_bars: tuple[str, ...]
    start: pd.Timestamp
    end: pd.Timestamp
    n_times: int

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values for JSON."""
        return asdict(self) | {"folder": str(self.folder), "codes": dict(self.codes)}


def qlib_freq(timeframe: str) -> str:
    """Return qlib's name of a bar size: ``1h`` is ``60min``, ``1d`` is ``day``, ``1w`` is ``1week``.

    Raises
    ------
    DataError
        If bars are not whole minutes; qlib knows minutes, days and weeks.
    """
    step = timeframe_ns(timeframe)
    if step % _MINUTE_NS:
        raise DataError(
            f"qlib knows bars of whole minutes, days and weeks, got {timeframe}: export bars of 1m or longer"
        )
    if timeframe.endswith("w"):
        return f"{timeframe[:-1]}week"
    if step % _DAY_NS == 0:
        days = step // _DAY_NS
        return "day" if days == 1 else f"{days}day"
    return f"{step // _MINUTE_NS}min"


def qlib_code(symbol: str) -> str:
    """Return a symbol as qlib's instrument code: ``BTC/USDT`` is ``BTCUSDT``, ``BTC/USDT:USDT`` ``BTCUSDT_USDT``.

    A code is a folder's name, so every sign but letters, digits and ``_`` becomes ``_``.

    Raises
    ------
    DataError
        If qlib would read the code as a missing value.
    """
    code = re.sub(r"\W", "_", symbol.replace("/", "").upper())
    if code in _READ_AS_MISSING:
        raise DataError(f"qlib reads the code {code} of {symbol} as a missing value: rename it, or leave it out")
    return code


def qlib_vwap(bars: Bars) -> pd.DataFrame:
    """Return the volume-weighted average price of each bar.

    Returns
    -------
    DataFrame of shape (n_times, n_symbols)
        Quote volume over volume where both are known and volume is positive, else (open + high + low + close) / 4;
        NaN where there is no bar.
    """
    quote = None if bars.quote_volume is None else bars.quote_volume.to_numpy()
    ohlc = tuple(getattr(bars, name).to_numpy() for name in ("open", "high", "low", "close"))
    vwap = bar_vwap(ohlc, bars.volume.to_numpy(), quote)
    return pd.DataFrame(vwap, index=bars.index, columns=bars.close.columns, copy=False)


def export_qlib(bars: Any, folder: str | Path, *, empty_rows: bool = True, overwrite: bool = False) -> QlibExport:
    """Write bars as a provider folder for qlib.

    Parameters
    ----------
    bars : Bars, or anything `as_bars` takes
        Any bar size from one minute up.
    folder : str or Path
        The provider to write. One folder holds one bar size.
    empty_rows : bool
        Keep the times at which no symbol has a bar. False leaves them out of the calendar, as qlib's own importers do:
        windows then skip an outage, and qlib's Alpha158 equals ``alpha158(bars, qlib_compatible=True)``.
    overwrite : bool
        Replace an earlier provider in `folder`. A folder that is no provider is never replaced.

    Returns
    -------
    QlibExport
        The folder, the frequency's name and the code of each symbol.

    Raises
    ------
    DataError
        If two symbols share a code, a value does not fit in float32, or qlib has no name for the bar size.
    CatalogError
        If `folder` exists and may not be replaced, or cannot be written.

    Notes
    -----
    Fields are `open high low close volume vwap factor change`, float32: seven significant digits. `vwap` is described
    at `qlib_vwap`; `factor` is 1 (prices are never adjusted); `change` is the close over the previous row's close
    minus 1. A missing bar is NaN in every field; before a symbol's first and after its last bar there is nothing.
    """
    bars = as_bars(bars)
    freq = qlib_freq(bars.timeframe)
    listed = bars.close.notna().any().to_numpy()
    codes = _codes([name for name, has_bars in zip(bars.symbols, listed, strict=True) if has_bars])
    if not codes:
        raise DataError("there is no bar to export: every row of every symbol is missing")
    kept = np.ones(bars.n_times, dtype=bool) if empty_rows else bars.close.notna().any(axis=1).to_numpy()
    index = bars.index[kept]
    if len(index) > _MAX_ROWS:
        raise DataError(f"qlib's feature files count at most {_MAX_ROWS:,} rows, got {len(index):,}: export less time")
    target = Path(folder).expanduser().absolute()
    _refuse_existing(target, overwrite)
    fields = {name: panel[kept] for name, panel in _fields(bars).items()}
    try:
        _write_beside(target, index, fields, codes, freq)
    except OSError as error:
        raise CatalogError(
            f"'{target}' cannot be written: {error.strerror or error}; name a folder that may be written and has room"
        ) from None
    without = tuple(name for name in bars.symbols if name not in codes)
    return QlibExport(target, freq, codes, without, index[0], index[-1], len(index))


def _codes(symbols: list[str]) -> dict[str, str]:
    codes: dict[str, str] = {}
    owner: dict[str, str] = {}
    for symbol in symbols:
        code = qlib_code(symbol)
        other = owner.setdefault(code.lower(), symbol)
        if other != symbol:
            raise DataError(f"{other} and {symbol} both have the qlib code {code}: export them to folders of their own")
        codes[symbol] = code
    return codes


def _fields(bars: Bars) -> dict[str, np.ndarray]:
    """Return each field as float32 of shape (n_times, n_symbols)."""
    present = bars.close.notna()
    panels = {name: getattr(bars, name) for name in QLIB_FIELDS[:5]}
    panels["vwap"] = qlib_vwap(bars)
    panels["factor"] = present.astype(np.float64).where(present)
    panels["change"] = bars.close / bars.close.shift(1) - 1
    return {name: _float32(panel, name) for name, panel in panels.items()}


def _float32(panel: pd.DataFrame, name: str) -> np.ndarray:
    values = panel.to_numpy(dtype=np.float64)
    with np.errstate(over="ignore"):
        narrow: np.ndarray = values.astype("<f4")
    lost = np.isinf(narrow)
    if lost.any():
        row, column = np.argwhere(lost)[0]
        raise DataError(
            f"{name} of {panel.columns[column]} at {panel.index[row]} is {values[row, column]:g}, which float32 cannot "
            f"hold: check it with `gwt data check`"
        )
    return narrow


def _write_beside(
    target: Path, index: pd.DatetimeIndex, fields: dict[str, np.ndarray], codes: dict[str, str], freq: str
) -> None:
    """Write the provider into a folder beside its place, then move it there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        _write_provider(work / "new", index, fields, codes, freq)
        _move_into_place(work, target)
    finally:
        # An old provider still in there could not be moved back: better a stray folder than lost data.
        if not (work / "old").exists():
            shutil.rmtree(work, ignore_errors=True)


def _write_provider(
    root: Path, index: pd.DatetimeIndex, fields: dict[str, np.ndarray], codes: dict[str, str], freq: str
) -> None:
    for name in ("calendars", "instruments", "features"):
        (root / name).mkdir(parents=True)
    pattern = "%Y-%m-%d" if freq.endswith(("day", "week")) else "%Y-%m-%d %H:%M:%S"
    times = index.strftime(pattern).to_numpy()
    (root / "calendars" / f"{freq}.txt").write_text("\n".join(times) + "\n", encoding="utf-8", newline="\n")
    present = ~np.isnan(fields["close"])
    listing: list[str] = []
    with progress("qlib export", len(codes)) as line:
        for column in np.flatnonzero(present.any(axis=0)):
            symbol, code = list(codes.items())[len(listing)]
            rows = np.flatnonzero(present[:, column])
            first, stop = int(rows[0]), int(rows[-1]) + 1
            listing.append(f"{code}\t{times[first]}\t{times[stop - 1]}\n")
            place = root / "features" / _feature_folder(code)
            place.mkdir()
            for name, panel in fields.items():
                values = np.concatenate([np.array([first], dtype="<f4"), panel[first:stop, column]])
                (place / f"{name}.{freq}.bin").write_bytes(values.tobytes())
            line.advance(note=symbol)
    (root / "instruments" / "all.txt").write_text("".join(listing), encoding="utf-8", newline="\n")


def _feature_folder(code: str) -> str:
    return (_DEVICE_PREFIX + code if code in _DEVICES else code).lower()


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if not target.exists() and not target.is_symlink():
        return
    if not overwrite:
        raise CatalogError(f"'{target}' exists already: name a new folder, or ask to overwrite it (--overwrite)")
    if target.is_symlink() or not _is_provider(target):
        raise CatalogError(f"'{target}' is no qlib provider, so it is not overwritten: name another folder")


def _is_provider(folder: Path) -> bool:
    """Return whether a folder holds what an export writes, and nothing else."""
    return folder.is_dir() and {item.name for item in folder.iterdir()} == {"calendars", "instruments", "features"}


def _move_into_place(work: Path, target: Path) -> None:
    """Move `work/new` to `target`; a folder cannot be replaced in one step, so an old one steps aside first."""
    old = work / "old"
    if target.exists():
        target.rename(old)
    try:
        (work / "new").rename(target)
    except BaseException:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
