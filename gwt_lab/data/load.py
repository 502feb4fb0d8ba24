"""`load_bars`: bars by catalog name, file or folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.feather
import pyarrow.parquet as pq

from gwt_lab.data.catalog import Catalog
from gwt_lab.data.catalog_tables import arrow_table
from gwt_lab.errors import CatalogError, DataError, UnknownNameError
from gwt_lab.market.bars import Bars
from gwt_lab.market.time import timeframe_ns
from gwt_lab.places import whole_file

__all__ = ["load_bars", "write_bars"]


def load_bars(
    name_or_path: str | Path,
    symbols: str | Iterable[str] | None = None,
    start: Any = None,
    end: Any = None,
    timeframe: str | None = None,
) -> Bars:
    """Return bars from the catalog, a file or a folder of files.

    Parameters
    ----------
    name_or_path : str or Path
        A catalog name; else a path, read as `import_bars` reads it.
    symbols : str or list of str, optional
        All of them if not given.
    start, end : time-like, optional
        First and last open time, both included; UTC.
    timeframe : str, optional
        What the bars must be, such as ``"1h"``; of files it is recognised if not given.

    Raises
    ------
    UnknownNameError
        If there is neither such a name nor such a path, or a symbol is unknown; the message lists what there is.
    DataError
        If the timeframe is another, or nothing lies between `start` and `end`.
    """
    catalog = Catalog()
    name = str(name_or_path)
    if not isinstance(name_or_path, Path) and name in catalog.names():
        bars = catalog.read(name, symbols, start, end)
        if timeframe is not None and timeframe_ns(timeframe) != timeframe_ns(bars.timeframe):
            raise DataError(f"{name!r} holds bars of {bars.timeframe}, asked was {timeframe}; use another name")
        return bars
    path = Path(name_or_path).expanduser()
    if not name or not path.exists():
        known = ", ".join(catalog.names()) or "nothing yet (`gwt data synth`, `import` or `download` fill it)"
        raise UnknownNameError(
            f"{name!r} is neither a catalog name nor a path; the catalog {catalog.path} holds {known}"
        )
    from gwt_lab.data.importers import import_bars

    bars = import_bars(path, timeframe=timeframe)
    if symbols is None and start is None and end is None:
        return bars
    cut = bars.select(symbols, start, end)
    if not cut.n_times:
        raise DataError(
            f"{path} has no bars in the time asked for; it holds {bars.index[0]} to {bars.index[-1]} every "
            f"{bars.timeframe}"
        )
    return cut


def write_bars(path: Path, bars: Bars) -> Path:
    """Write bars as one long file (.parquet, .csv or .feather) that `load_bars` reads back; whole or not at all."""
    frame = bars.to_frame()
    try:
        with whole_file(path) as scratch:
            if path.suffix.lower() == ".csv":
                frame.to_csv(scratch, index=False)
            elif path.suffix.lower() == ".feather":
                pyarrow.feather.write_feather(arrow_table(frame), scratch)
            else:
                pq.write_table(arrow_table(frame), scratch)
    except OSError as error:
        raise CatalogError(
            f"{path} cannot be written: {error.strerror or error}; choose a folder that exists and that you may write"
        ) from None
    return path
