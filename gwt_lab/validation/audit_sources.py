"""What other people's results say: portfolios, frames and files, read as returns and what was paid for them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gwt_lab.errors import DataError, ShapeError
from gwt_lab.market.time import utc_index
from gwt_lab.validation.audit_trades import TradesResult, is_trades, read_trades, read_trades_file

__all__ = ["Source", "read_source"]

_TIMES = ("date", "datetime", "timestamp", "time", "index", "unnamed: 0", "")
_NO_COSTS = "what was paid to trade is not known, so doubled costs could not be computed: pass costs="


@dataclass(frozen=True, eq=False)
class Source:
    """Results as they came, before they are checked.

    Parameters
    ----------
    kind : str
        What they are, in words.
    returns : DataFrame of shape (n_times, n_strategies)
        Fractions, one column a strategy.
    doubled : DataFrame, optional
        The same with what was paid to trade paid twice; None if it is not known.
    costs_words : str
        What is doubled, or why nothing is.
    notes : tuple of str
        What a reader of the numbers must know.
    """

    kind: str
    returns: pd.DataFrame
    doubled: pd.DataFrame | None = None
    costs_words: str = _NO_COSTS
    notes: tuple[str, ...] = ()


def read_source(result: Any, costs: Any = None) -> Source:
    """Return results as returns, whatever they came as.

    Parameters
    ----------
    result : portfolio, DataFrame, Series, ndarray, path, or a list or mapping of these
        See :func:`gwt_lab.validation.audit.audit`.
    costs : DataFrame or Series, optional
        What was paid to trade in each period, as a fraction of the account; overrides what the result knows.

    Raises
    ------
    DataError
        If it is nothing that has returns.
    """
    source = _read(result)
    return source if costs is None else _with_costs(source, costs)


def _read(result: Any) -> Source:
    if isinstance(result, (str, os.PathLike)):
        return _of_file(Path(result))
    if isinstance(result, pd.Series):
        return Source("a series of returns", _two_dimensional(result))
    if is_trades(result):
        return _of_trades(read_trades(result))
    if isinstance(result, pd.DataFrame):
        return Source("a table of returns", _named(result))
    if isinstance(result, np.ndarray):
        return Source("an array of returns", _array(result))
    if any(kind.__module__.partition(".")[0] == "vectorbt" for kind in type(result).__mro__):
        return _of_vectorbt(result)
    if callable(getattr(result, "returns", None)):
        return _of_portfolio(result)
    if isinstance(result, Mapping) and result:
        return _joined({str(name): _read(part) for name, part in result.items()})
    if isinstance(result, Sequence) and result:
        if all(isinstance(part, (int, float, np.number)) for part in result):
            return Source("a list of returns", _array(np.asarray(result, dtype=np.float64)))
        return _joined({str(number): _read(part) for number, part in enumerate(result)})
    raise DataError(
        f"an audit needs a portfolio, a table of returns or a file of them, got {type(result).__name__}: pass a "
        f"DataFrame with one column a strategy"
    )


def _array(values: npt.NDArray[Any]) -> pd.DataFrame:
    if values.ndim not in (1, 2):
        raise ShapeError(f"returns must have shape (n_times, n_strategies), got {values.shape}")
    return _named(pd.DataFrame(values))


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with plain names for columns."""
    names = [_label(name) for name in frame.columns]
    if isinstance(frame.columns, pd.MultiIndex) and all(frame.columns.names):
        levels = frame.columns.names
        names = [", ".join(f"{k}={v}" for k, v in zip(levels, name, strict=True)) for name in frame.columns]
    elif isinstance(frame.columns, pd.RangeIndex):
        names = [f"strategy {name}" for name in frame.columns]
    return frame.set_axis(names, axis=1)


def _label(name: Any) -> str:
    return ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _with_costs(source: Source, costs: Any) -> Source:
    if np.ndim(costs) not in (1, 2):
        raise ShapeError(
            f"costs must be a Series, or a table with one column a strategy, got {costs!r}: what was paid in each "
            f"period, as a fraction of the account"
        )
    paid = costs.to_frame() if isinstance(costs, pd.Series) else pd.DataFrame(costs)
    if len(paid) != len(source.returns) or paid.shape[1] not in (1, source.returns.shape[1]):
        raise ShapeError(
            f"costs must have the shape of the returns, {source.returns.shape}, got {paid.shape}: what was paid in "
            f"each period, as a fraction of the account"
        )
    if isinstance(paid.index, pd.DatetimeIndex) and not paid.index.equals(source.returns.index):
        raise ShapeError("costs must have the times of the returns: reindex them, with 0 where nothing was paid")
    if isinstance(costs, pd.DataFrame) and paid.shape[1] > 1:
        paid, names = _named(paid), source.returns.columns
        if not paid.columns.is_unique or set(paid.columns) != set(names):
            lacking = [*names.difference(paid.columns), *paid.columns.difference(names)]
            raise ShapeError(f"costs must have the columns of the returns, they differ in {', '.join(lacking[:5])}")
        paid = paid[names]
    if not all(pd.api.types.is_numeric_dtype(kind) for kind in paid.dtypes):
        raise DataError("costs must be numbers, got text or objects: convert them")
    values = paid.to_numpy(np.float64)
    if not np.isfinite(values).all():
        raise DataError("costs must be finite numbers, got NaN: put 0 where nothing was paid")
    if values.min() < 0:
        raise DataError(f"costs must be 0 or more, got {values.min():.6g}: what was paid counts positive")
    return replace(source, doubled=source.returns - values, costs_words="the costs that were given, paid twice")


def _joined(parts: dict[str, Source]) -> Source:
    """Return several results side by side; a result of one column is named by its key."""
    named = {}
    for key, part in parts.items():
        alone = part.returns.shape[1] == 1
        columns = [key if alone else f"{key}: {name}" for name in part.returns.columns]
        doubled = None if part.doubled is None else part.doubled.set_axis(columns, axis=1)
        named[key] = replace(part, returns=part.returns.set_axis(columns, axis=1), doubled=doubled)
    first = next(iter(named.values()))
    for key, part in named.items():
        if not part.returns.index.equals(first.returns.index):
            raise ShapeError(f"results must share their times, {key!r} differs from the first: cut them to one span")
    known = [part.doubled for part in named.values() if part.doubled is not None]
    return Source(
        f"{len(parts)} results",
        pd.concat([part.returns for part in named.values()], axis=1),
        pd.concat(known, axis=1) if len(known) == len(named) else None,
        first.costs_words if len(known) == len(named) else _NO_COSTS,
        tuple(dict.fromkeys(note for part in named.values() for note in part.notes)),
    )


# ------------------------------------------------------------------------------------------------ portfolios
def _two_dimensional(found: Any) -> pd.DataFrame:
    if not isinstance(found, pd.Series):
        return found
    return found.to_frame("strategy" if found.name is None else _label(found.name))


def _of_portfolio(result: Any) -> Source:
    """Return what our own portfolio says; it can be run again at doubled costs."""
    returns = _two_dimensional(result.returns()).rename(columns={"returns": "portfolio"})
    kind = f"a {type(result).__name__}"
    costs = getattr(getattr(result, "assumptions", None), "costs", None)
    if costs is None or not hasattr(result, "under"):
        return Source(kind, _named(returns))
    doubled = _two_dimensional(result.under(costs=costs.times(2.0)).returns()).set_axis(returns.columns, axis=1)
    words = f"run again at {costs.times(2.0).describe()}"
    return Source(kind, _named(returns), _named(doubled), words)


def _of_vectorbt(result: Any) -> Source:
    """Return what a vectorbt portfolio says; its orders tell the fees, not the slippage inside their prices."""
    returns = _two_dimensional(result.returns())
    value = _two_dimensional(result.value()).to_numpy(np.float64)
    orders = result.orders.records
    column = orders["col"].to_numpy()
    groups = result.wrapper.grouper.get_groups() if result.wrapper.grouper.is_grouped() else None
    paid = np.zeros(value.shape)
    np.add.at(paid, (orders["idx"].to_numpy(), column if groups is None else groups[column]), orders["fees"].to_numpy())
    before = np.vstack(
        [np.broadcast_to(np.asarray(result.get_init_cash(), dtype=np.float64), (1, value.shape[1])), value[:-1]]
    )
    if not paid.any():
        return Source(
            "a vectorbt portfolio", _named(returns), None, "its orders paid no fees, so there is nothing to double"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(before > 0, paid / before, 0.0)
    words = "fees of its orders, paid twice; slippage is inside their prices and stays single"
    return Source("a vectorbt portfolio", _named(returns), _named(returns - part), words)


def _of_trades(found: TradesResult) -> Source:
    if found.paid is None:
        return Source(found.kind, found.returns, None, "the trades do not say their fees", found.notes)
    words = "fees of the trades, paid twice; funding and slippage stay single"
    return Source(found.kind, found.returns, found.returns - found.paid, words, found.notes)


# ------------------------------------------------------------------------------------------------ files
def _of_file(path: Path) -> Source:
    if path.is_dir():
        raise DataError(f"{path} is a folder: pass one file in it, .parquet, .csv, .json or .zip")
    if not path.is_file():
        raise DataError(f"there is no file {path}: an audit reads .parquet, .csv, .json and .zip")
    kind = path.suffix.lower()
    if kind in (".json", ".zip"):
        return _of_trades(read_trades_file(path))
    if kind not in (".parquet", ".csv"):
        raise DataError(f"an audit reads .parquet, .csv, .json and .zip, got {path.name}")
    try:
        frame = pd.read_parquet(path) if kind == ".parquet" else pd.read_csv(path)
    except Exception as error:  # each reader has its own
        raise DataError(f"{path.name} could not be read as {kind[1:]}: {error}") from error
    if is_trades(frame):
        return _of_trades(read_trades(frame))
    if frame.shape[1] == 1 and ";" in str(frame.columns[0]):
        raise DataError(f"{path.name} has its columns apart by semicolons: write it with commas, and points in numbers")
    return Source(f"returns in {path.name}", _named(_dated(frame)))


def _dated(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table from a file with its times as index, if it has any."""
    if isinstance(frame.index, pd.DatetimeIndex):
        return frame
    names = [name for name in frame.columns if str(name).strip().lower() in _TIMES]
    first = frame.columns[:1].tolist()
    for name in [*names, *first]:
        column = frame[name]
        counted = pd.api.types.is_numeric_dtype(column) and np.array_equal(column, np.arange(len(column)))
        if counted and name in names:
            return frame.drop(columns=name)  # a row number
        if name in names or not pd.api.types.is_numeric_dtype(column):
            return frame.drop(columns=name).set_index(utc_index(column.to_numpy(), name=str(name)))
    return frame
