"""Write the figure and the table: `python -m research.stylised_facts`.

Real bars are drawn beside the synthetic ones where `GWT_REAL_DATA` names a folder of Parquet files of hourly bars.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from gwt_lab.data.synthetic import synthetic_market
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.places import data_folder
from research.stylised_facts.curves import Curves
from research.stylised_facts.facts import facts
from research.stylised_facts.figure import draw

__all__ = ["main", "real_hours"]


def real_hours(folder: Path) -> Bars | None:
    """Return the first hourly spot bars of at least 3 symbols below `folder`, or nothing."""
    for file in sorted(folder.glob("*spot*/*1h*.parquet")):
        frame = pd.read_parquet(file)
        if "symbol" in frame and frame["symbol"].nunique() >= 3:
            return Bars.from_frame(frame, "1h")
    return None


def main(folder: Path | None = None, real: Any = None) -> pd.DataFrame:
    """Measure the facts, write `stylised_facts.png`, `.pdf` and `.csv` into `folder` and return the table.

    Parameters
    ----------
    folder : Path, optional
        `data/figures` if not given.
    real : Bars or anything `as_bars` takes, optional
        Drawn beside the default synthetic market.
    """
    place = data_folder() / "figures" if folder is None else Path(folder)
    markets = {"synthetic": synthetic_market().bars}
    if real is not None:
        markets["real"] = as_bars(real)
    tables = {name: facts(bars) for name, bars in markets.items()}
    draw({name: Curves(bars) for name, bars in markets.items()}, place)
    table = pd.concat(tables, names=["market"])
    table.to_csv(place / "stylised_facts.csv", float_format="%.4g")
    return table


if __name__ == "__main__":
    where = os.environ.get("GWT_REAL_DATA")
    result = main(real=real_hours(Path(where)) if where else None)
    shown = result[["value", "low", "high", "inside"]].round(3)
    print(shown.to_string())  # noqa: T201 - a study says its numbers
    print(f"figure and table: {data_folder() / 'figures'}")  # noqa: T201
