"""`check_bars`: every check on bars, frames or raw rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from gwt_lab.data.quality.clock_checks import check_daylight_saving, check_timezone_slips
from gwt_lab.data.quality.findings import CHECKS, SEVERITIES, Finding
from gwt_lab.data.quality.move_checks import check_moves
from gwt_lab.data.quality.panel import Panel, panel_of_bars, panel_of_rows
from gwt_lab.data.quality.report import QualityReport, coverage_of
from gwt_lab.data.quality.row_checks import check_rows, place_rows
from gwt_lab.data.quality.rows import read_rows
from gwt_lab.data.quality.value_checks import (
    check_ends,
    check_gaps,
    check_prices,
    check_stuck,
    check_unfinished,
    check_volume,
)
from gwt_lab.errors import DataError
from gwt_lab.market.as_bars import as_bars, long_frame
from gwt_lab.market.bars import Bars
from gwt_lab.market.time import check_timeframe, timestamp

__all__ = ["check_bars", "check_panel"]


def check_bars(
    data: Any,
    *,
    timeframe: str | None = None,
    now: Any = None,
    others: Any = None,
    symbol: str | None = None,
    price: str | None = None,
) -> QualityReport:
    """Look for every defect that bars are known to have; nothing is changed.

    Parameters
    ----------
    data : Bars, DataFrame, Series, mapping or polars DataFrame
        Whatever `as_bars` takes, and what it would refuse: repeated bars, times off the grid or in mixed units, rows in
        any order, text among numbers.
    timeframe : str, optional
        Recognised from the most frequent step if not given.
    now : time-like, optional
        When the data were taken, or the present. With it, every bar that had not closed is an error; without, a last
        bar with hardly any volume is reported.
    others : Bars or what `as_bars` takes, optional
        Further symbols to compare with; they are not checked. Spikes, jumps and shifted clocks of a single symbol can
        only be told from the market's own moves if there is a market.
    symbol, price
        As in `as_bars`.

    Returns
    -------
    QualityReport
        `.passed` is False if there is an error.

    Raises
    ------
    DataError
        If there is nothing to check: no rows, no readable time, columns missing, no timeframe.

    Notes
    -----
    The checks look back and forth in time, as only an offline check may; nothing here is a feature.
    """
    moment = None if now is None else timestamp(now)
    if timeframe is not None:
        check_timeframe(timeframe)
    market = None if others is None else as_bars(others)
    found: list[Finding] = []
    if isinstance(data, Bars):
        bars = as_bars(data, timeframe=timeframe)
        if not bars.n_times:
            raise DataError("the bars have no rows; a check needs at least one")
        panel = panel_of_bars(bars, market)
        n_rows = int(panel.present.sum())
    else:
        rows = read_rows(long_frame(data, symbol=symbol, price=price), timeframe)
        found += check_rows(rows)
        kept, offset, repeated = place_rows(rows)
        panel = panel_of_rows(rows, kept, repeated, offset, market)
        n_rows = len(rows.time)
    found += check_panel(panel, moment)
    return QualityReport(
        findings=tuple(sorted(found, key=_order)),
        symbols=tuple(panel.symbols),
        timeframe=panel.timeframe,
        start=panel.index[0],
        end=panel.index[-1],
        n_rows=n_rows,
        now=moment,
        coverage=coverage_of(panel),
    )


def check_panel(panel: Panel, now: Any = None) -> list[Finding]:
    """Run every check of bars on a panel."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # impossible prices are what is looked for
        return [
            *check_gaps(panel),
            *check_ends(panel),
            *check_prices(panel),
            *check_volume(panel),
            *check_moves(panel),
            *check_stuck(panel),
            *check_timezone_slips(panel),
            *check_daylight_saving(panel),
            *check_unfinished(panel, now),
        ]


_RANK = {check: position for position, check in enumerate(CHECKS)}


def _order(found: Finding) -> tuple[int, int, str, int]:
    first = -1 if found.first is None else found.first.value
    return SEVERITIES.index(found.severity), _RANK[found.check], found.symbol, first
