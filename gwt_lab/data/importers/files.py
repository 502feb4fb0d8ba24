"""Files and folders into bars: every source read, joined, repaired where a repair was named, and put on the grid."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.data.importers.names import parse_name
from gwt_lab.data.importers.sources import find_sources
from gwt_lab.data.importers.table import Ask, Part, read_part
from gwt_lab.data.importers.times import TimeReading
from gwt_lab.errors import DataError, ImportRefused, UnknownNameError
from gwt_lab.market.bars import FIELDS, Bars
from gwt_lab.market.time import check_timeframe

__all__ = ["REPAIRS", "Imported", "import_bars", "import_files"]

REPAIRS = {
    "sort": "order rows by time (harmless; done in any case)",
    "drop-duplicates": "of bars that appear twice, keep the last",
    "drop-incomplete": "leave out rows whose open, high, low or close is missing or not above zero",
}
_PRICES = list(FIELDS[:4])


@dataclass(frozen=True)
class Imported:
    """Bars with what is worth recording about their import.

    Parameters
    ----------
    bars : Bars
        What was read.
    sources : list of dict
        file, sha256 (of the unpacked content), rows.
    repairs : list of dict
        repair and rows changed, for every repair asked for.
    notes : list of str
        What was converted or left out on the way.
    """

    bars: Bars
    sources: list[dict[str, Any]]
    repairs: list[dict[str, Any]]
    notes: list[str]


def import_bars(
    path: Path | str,
    *,
    symbol: str | None = None,
    timeframe: str | None = None,
    venue: str | None = None,
    times: str | Iterable[str] = (),
    repairs: Iterable[str] = (),
    price: str | None = None,
) -> Bars:
    """Return the bars of a file, an archive or a folder of files.

    Symbol, timeframe, columns, time unit, delimiter and header are recognised from content and name; what could be read
    in two ways is refused with the reason.

    Parameters
    ----------
    path : Path or str
        CSV, TSV, JSON, Parquet or Feather (also .gz, .bz2, .xz, .zip) as ccxt, freqtrade, Binance's and Kraken's
        downloads, CryptoDataDownload and pandas write them; long, one symbol a file, or wide with two header rows.
    symbol : str, optional
        Of files that do not say; a symbol column must agree.
    timeframe : str, optional
        Of files that do not say, or which one of several.
    venue : str, optional
        Which one of several in an `exchange` column.
    times : str or list of str
        How to read times that could be read in two ways: ``"day-first"`` or ``"month-first"`` for 03/04/2021,
        ``"close"`` for close times, a time zone such as ``"Europe/Berlin"`` for local clock times.
    repairs : list of str
        Names of `REPAIRS`; nothing is repaired unasked.
    price : {"close"}, optional
        Says that a wide table holds closes by symbol.

    Raises
    ------
    ImportRefused
        If the meaning is ambiguous.
    DataError
        If a file is damaged or empty, a bar appears twice, or a column holds no numbers.
    UnknownNameError
        If the path, the venue or a repair does not exist.
    """
    ask = Ask(symbol, timeframe, venue, price, TimeReading.of(times))
    return import_files([path], ask, repairs).bars


def import_files(paths: Iterable[Path | str], ask: Ask, repairs: Iterable[str] = ()) -> Imported:
    """Return the bars of several paths as one, with what to record about them; see `import_bars`."""
    repairs = list(dict.fromkeys([repairs] if isinstance(repairs, str) else repairs))
    unknown = [name for name in repairs if name not in REPAIRS]
    if unknown:
        known = "; ".join(f"{name}: {what}" for name, what in REPAIRS.items())
        raise UnknownNameError(f"no repair {', '.join(unknown)}; there are {known}")
    if ask.price not in (None, "close"):
        raise DataError(f"price must be 'close' (wide tables of closes) or left away, got {ask.price!r}")
    if ask.timeframe is not None:
        check_timeframe(ask.timeframe)
    parts, sources, notes = [], [], []
    for path in map(Path, paths):
        for source in find_sources(path.expanduser()):
            if path.is_dir() and parse_name(source.stem).not_bars:
                notes.append(f"{source.label} was left out: it holds no bars of trades")
                continue
            part = read_part(source, ask)
            digest = hashlib.sha256(source.data).hexdigest()
            sources.append({"file": source.label, "sha256": digest, "rows": len(part.frame)})
            parts.append(part)
            notes += part.notes
    if not parts:
        raise DataError(f"no bars of trades: {'; '.join(notes) or 'no path was given'}")
    timeframe = _common_timeframe(parts)
    frame = _joined(parts)
    frame, done = _repaired(frame, repairs)
    if frame.empty:
        raise DataError(f"{parts[0].label} has no bar left; a row with prices was wanted")
    _refuse_duplicates(frame, parts)
    try:
        bars = Bars.from_frame(frame, timeframe)
    except DataError as error:
        raise type(error)(f"{_labels(parts)}: {error}") from None
    return Imported(bars, sources, done, notes)


def _labels(parts: list[Part]) -> str:
    return parts[0].label + (f" and {len(parts) - 1} more files" if len(parts) > 1 else "")


def _common_timeframe(parts: list[Part]) -> str | None:
    seen: dict[str, str] = {}
    for part in parts:
        if part.timeframe:
            seen.setdefault(part.timeframe, part.label)
    if len(seen) > 1:
        what = " and ".join(f"{timeframe} ({label})" for timeframe, label in list(seen.items())[:2])
        raise ImportRefused(f"the files hold bars of {what}; import one timeframe at a time")
    if not seen and len(parts) == 1 and len(parts[0].frame) < 2:
        raise DataError(
            f"{parts[0].label} has {len(parts[0].frame)} bar, too few to tell a timeframe: name it (`--timeframe 1h`)"
        )
    return next(iter(seen), None)


def _joined(parts: list[Part]) -> pd.DataFrame:
    if len(parts) == 1:
        return parts[0].frame
    frames = [part.frame.assign(symbol=part.frame["symbol"].astype(object)) for part in parts]
    return pd.concat(frames, ignore_index=True)


def _repaired(frame: pd.DataFrame, repairs: list[str]) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    done = []
    for name in repairs:
        before = len(frame)
        if name == "drop-duplicates":
            frame = frame.drop_duplicates(["symbol", "timestamp"], keep="last")
        elif name == "drop-incomplete":
            frame = frame[(frame[_PRICES] > 0).all(axis=1)]
        else:
            frame = frame.sort_values(["symbol", "timestamp"], kind="stable")
        done.append({"repair": name, "rows": before - len(frame)})
    return frame, done


def _refuse_duplicates(frame: pd.DataFrame, parts: list[Part]) -> None:
    """Say which bar appears twice and whether the two agree; a strictly rising column has none."""
    if len(parts) == 1 and (np.diff(pd.DatetimeIndex(frame["timestamp"]).asi8) > 0).all():
        return
    again = frame.duplicated(["symbol", "timestamp"], keep=False)
    if not again.any():
        return
    first = frame[again].iloc[0]
    pair = frame[again & (frame["symbol"] == first["symbol"]) & (frame["timestamp"] == first["timestamp"])]
    closes = pair["close"].tolist()
    same = pair[list(FIELDS)].nunique(dropna=False).max() == 1
    what = "with equal values" if same else f"with closes {closes[0]!r} and {closes[1]!r}"
    n_bars = int(frame.duplicated(["symbol", "timestamp"]).sum())
    raise DataError(
        f"{_labels(parts)}: {n_bars} bars appear twice, the first is {first['symbol']} at {first['timestamp']} {what}; "
        "to keep the last of each, name the repair (`--repair drop-duplicates`)"
    )
