"""The same fills as a portfolio of vectorbt, for its analytics."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, MissingExtraError
from gwt_lab.market.time import timeframe_ns

if TYPE_CHECKING:
    from gwt_lab.backtest.results import Results

__all__ = ["to_vectorbt"]


def to_vectorbt(result: Results) -> Any:
    """Return a `vectorbt.Portfolio` with a result's fills as its order records.

    Parameters
    ----------
    result : Portfolio
        One account or several; columns that share cash become a group.

    Returns
    -------
    vectorbt.Portfolio
        Its value, orders, trades and statistics are computed by vectorbt from the records.

    Raises
    ------
    MissingExtraError
        If vectorbt is not installed.
    ConfigError
        If funding was paid: vectorbt's cash moves with orders only.

    Notes
    -----
    The records are handed over as they are instead of running ``from_orders`` again, because vectorbt simulates at most
    one order a bar and column: an entry at the open and a stop inside the same bar are two. A bar without a price takes
    the last one known (before the first, the first), since vectorbt values by the close alone.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import vectorbt
            from vectorbt.base.array_wrapper import ArrayWrapper
            from vectorbt.portfolio.enums import order_dt
    except ImportError as error:
        raise MissingExtraError("vectorbt", "vectorbt") from error
    if result.paths.funding.any():
        raise ConfigError(
            "to_vectorbt: funding was paid, and vectorbt's cash moves with orders only, so its value would differ; "
            "run the backtest without funding= to hand it over"
        )
    layout = result.simulation.layout
    records = _records(result.fills, order_dt)
    close = pd.DataFrame(result.marks).bfill().to_numpy()[:, layout.symbol_of]
    shared = len(layout.columns) > len(layout.accounts)
    alone = len(layout.columns) == 1
    freq = pd.Timedelta(timeframe_ns(result.bars.timeframe), "ns")
    groups = layout.accounts[layout.account_of] if shared else None
    wrapper = ArrayWrapper(result.bars.index, layout.columns, 1 if alone else 2, freq=freq, group_by=groups)
    frame = pd.DataFrame(close, index=result.bars.index, columns=layout.columns)
    return vectorbt.Portfolio(
        wrapper,
        frame.iloc[:, 0] if alone else frame,
        records,
        np.empty(0, dtype=vectorbt.portfolio.enums.log_dt),
        result.simulation.init_cash.copy(),
        shared,
        call_seq=None,
        fillna_close=True,
    )


def _records(fills: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Return fills as vectorbt's order records: sorted by column, then time."""
    ordered = fills[np.argsort(fills[:, 1], kind="stable")]
    records = np.empty(len(ordered), dtype=dtype)
    records["id"] = np.arange(len(ordered))
    records["col"], records["idx"] = ordered[:, 1], ordered[:, 0]
    records["size"], records["price"], records["fees"] = np.abs(ordered[:, 2]), ordered[:, 3], ordered[:, 4]
    records["side"] = ordered[:, 2] < 0
    return records
