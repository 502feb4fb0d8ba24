"""What a backtest takes, as the arrays its kernels read: bars, signals, numbers and targets on one index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, DataError, ShapeError
from gwt_lab.kernels import kernel
from gwt_lab.market.account import Feed
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.market.instruments import unified_symbol
from gwt_lab.market.orders import FILL_PRICES
from gwt_lab.market.time import timeframe_ns, utc_index

__all__ = [
    "Layout",
    "aligned_numbers",
    "aligned_signals",
    "bars_of",
    "by_label",
    "feed_of",
    "floats",
    "layout_of",
    "panel",
]

_DAY_NS = 86_400 * 10**9


def bars_of(data: Any, price: Any) -> Bars:
    """Return data as `Bars`; closes alone are taken where orders are filled at the close.

    Raises
    ------
    DataError
        If it is no bars, signals for example.
    """
    if isinstance(data, pd.DataFrame) and data.shape[1] and all(kind == np.bool_ for kind in data.dtypes):
        raise DataError("the first argument must be bars, got a frame of True and False: from_signals(bars, entries)")
    closes = isinstance(data, pd.Series) or (
        isinstance(data, pd.DataFrame)
        and not isinstance(data.columns, pd.MultiIndex)
        and "open" not in {str(name).lower() for name in data.columns}
    )
    return as_bars(data, price="close" if closes and not (isinstance(price, str) and price == "next_open") else None)


def panel(frame: pd.DataFrame) -> np.ndarray:
    """Return a frame's values as a read-only, contiguous float64 array, without a copy where it is one already."""
    values = np.ascontiguousarray(frame.to_numpy(dtype=np.float64)).view()
    values.flags.writeable = False
    return values


# ------------------------------------------------------------------------------------------------ columns and accounts
@dataclass(frozen=True, eq=False)
class Layout:
    """Which symbol each simulated column trades and from which account.

    Parameters
    ----------
    columns : Index of length n_columns
        Labels: symbols, or (parameters..., symbol).
    symbol_of : ndarray of shape (n_columns,)
        Position of each column's symbol in the bars.
    accounts : Index of length n_accounts
        Labels: columns, or groups of them.
    first : ndarray of shape (n_accounts + 1,)
        Columns of account `a` are ``first[a]`` to ``first[a + 1] - 1``.
    """

    columns: pd.Index
    symbol_of: np.ndarray
    accounts: pd.Index
    first: np.ndarray

    @property
    def account_of(self) -> np.ndarray:
        """Account of each column, shape (n_columns,)."""
        return np.repeat(np.arange(len(self.accounts)), np.diff(self.first))


def layout_of(columns: pd.Index, bars: Bars, *, share: bool, group_by: Any = None) -> tuple[Layout, np.ndarray]:
    """Return the layout of labelled columns and the order of columns it wants.

    Parameters
    ----------
    columns : Index
        Symbols, or a MultiIndex whose last level holds symbols.
    share : bool
        Whether columns share cash: those of equal parameters, or of one group.
    group_by : level name or number, labels (a list, or a dict or Series by column or symbol), or None
        What columns share cash by.

    Raises
    ------
    ShapeError
        If a symbol is unknown or a column comes twice.
    """
    symbols = columns.get_level_values(-1)
    known = bars.close.columns
    unknown = [] if symbols.equals(known) else sorted({str(name) for name in symbols if name not in known})
    if unknown or columns.has_duplicates:
        alike = [name for name in unknown if name.isalnum() and unified_symbol(name) in known]
        what = f"unknown {', '.join(unknown)}" if unknown else "the same column twice"
        what += f" ({alike[0]} is {unified_symbol(alike[0])} here)" if alike else ""
        raise ShapeError(f"columns must be symbols of the bars ({', '.join(bars.symbols[:8])}), each once; got {what}")
    symbol_of = known.get_indexer(symbols).astype(np.int64)
    if not share:
        order = np.arange(len(columns))
        return Layout(columns, symbol_of, columns, np.arange(len(columns) + 1, dtype=np.int64)), order
    labels = _group_labels(columns, group_by)
    accounts = labels.unique()
    codes = accounts.get_indexer(labels)
    order = np.argsort(codes, kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(accounts)))]).astype(np.int64)
    return Layout(columns[order], symbol_of[order], accounts, first), order


def _group_labels(columns: pd.Index, group_by: Any) -> pd.Index:
    if group_by is None or group_by is True:
        if columns.nlevels > 1:
            return columns.droplevel(-1)
        return pd.Index(["group"] * len(columns), name="group")
    if isinstance(group_by, (str, int)) and not isinstance(group_by, bool):
        try:
            return columns.get_level_values(group_by)
        except (KeyError, IndexError):
            raise ConfigError(f"group_by: no level {group_by!r}; the columns have {list(columns.names)}") from None
    labels = pd.Index(by_label(group_by, columns, "group_by"), tupleize_cols=False)
    if len(labels) != len(columns):
        raise ShapeError(f"group_by must name a level or hold one label a column: {len(columns)}, got {len(labels)}")
    if labels.hasnans:
        raise ConfigError("group_by must hold a label for every column, got a missing one (None or NaN)")
    return labels


def by_label(given: Any, labels: pd.Index, name: str) -> Any:
    """Return what a dict or Series says of each label in turn, of its symbol if not of itself; a list as it came.

    Raises
    ------
    ShapeError
        If it says nothing of one.
    """
    if not isinstance(given, (Mapping, pd.Series)):
        return given
    if isinstance(given, pd.Series) and given.index.equals(pd.RangeIndex(len(given))) and 0 not in labels:
        return given.to_numpy()  # a Series without labels
    known = dict(given.items())
    keys = [label if label in known or not isinstance(label, tuple) else label[-1] for label in labels]
    missing = [str(key) for key in keys if key not in known]
    if missing:
        raise ShapeError(f"{name} must say something of each of {len(labels)}; {', '.join(missing[:5])} missing")
    return [known[key] for key in keys]


# ------------------------------------------------------------------------------------------------ bars
def feed_of(bars: Bars, price: Any, funding: Any = None) -> Feed:
    """Return bars as the kernels read them.

    Raises
    ------
    DataError
        If a price is infinite or not positive.
    """
    arrays = _ARRAYS.get(bars)
    if arrays is None:
        arrays = _ARRAYS[bars] = _arrays(bars)
    fill = arrays[FILL_PRICES[price][1]] if isinstance(price, str) else panel(_given(price, bars))
    if not isinstance(price, str):
        _refuse_bad_prices(fill, "price", bars)
    at_open, inside = _funding_panels(funding, bars)
    return Feed(**arrays, fill=fill, funding_open=at_open, funding_inside=inside)


# what the kernels read of bars, kept as long as the bars are: bars cannot change
_ARRAYS: WeakKeyDictionary[Bars, dict[str, np.ndarray]] = WeakKeyDictionary()


def _arrays(bars: Bars) -> dict[str, np.ndarray]:
    arrays = {name: panel(getattr(bars, name)) for name in ("open", "high", "low", "close", "volume")}
    for name in ("open", "high", "low", "close"):
        _refuse_bad_prices(arrays[name], name, bars)
    return arrays | {"last_row": _last_rows(arrays["close"]), "day": bars.index.asi8 // _DAY_NS}


def _given(price: Any, bars: Bars) -> pd.DataFrame:
    frame = _on_index(_labelled(price, bars, "price"), bars, "price")
    missing = [name for name in bars.symbols if name not in frame.columns]
    if missing:
        raise ShapeError(f"price must have one column for each symbol of the bars; {', '.join(missing[:5])} missing")
    return frame[bars.symbols].astype(np.float64)


@kernel
def _all_tradable(values: np.ndarray) -> bool:
    for row in values:
        for price in row:
            if price <= 0.0 or price == np.inf:
                return False
    return True


def _refuse_bad_prices(values: np.ndarray, name: str, bars: Bars) -> None:
    if _all_tradable(values):
        return
    row, column = np.argwhere((values <= 0) | np.isinf(values))[0]
    raise DataError(
        f"prices must be above 0 and finite to be traded: {name} of {bars.symbols[column]} at {bars.index[row]} is "
        f"{values[row, column]}; run check_bars to find the bad ones and repair_bars to mend them"
    )


def _last_rows(close: np.ndarray) -> np.ndarray:
    """Return the row after which a symbol has no price any more, -1 where it has one to the end."""
    n_times, n_symbols = close.shape
    rows = np.full(n_symbols, -1, dtype=np.int64)
    for j in np.flatnonzero(np.isnan(close[-1])) if n_times else []:
        known = np.flatnonzero(~np.isnan(close[:, j]))
        rows[j] = known[-1] if len(known) else -1
    return rows


def _funding_panels(funding: Any, bars: Bars) -> tuple[np.ndarray, np.ndarray]:
    """Return funding rates due at each bar's open and later inside it, summed by bar."""
    nothing = np.zeros((1, 1))
    if funding is None:
        return nothing, nothing
    if isinstance(funding, pd.Series):
        if bars.n_symbols != 1:
            raise ShapeError("funding must be a DataFrame with one column a symbol: the bars have several")
        funding = funding.to_frame(bars.symbols[0])
    if not isinstance(funding, pd.DataFrame):
        raise ShapeError(f"funding must be a DataFrame of rates (times x symbols), got {type(funding).__name__}")
    unknown = [str(name) for name in funding.columns if name not in bars.symbols]
    if unknown:
        raise ShapeError(f"funding has rates of {', '.join(unknown)}, which the bars do not have; drop the columns")
    times = utc_index(funding.index, name="the funding's index")
    rates = funding.reindex(columns=bars.symbols).to_numpy(dtype=np.float64)
    if np.isinf(rates).any():
        raise DataError("funding rates must be finite fractions such as 0.0001; got an infinite one")
    step = timeframe_ns(bars.timeframe)
    rows = (times.asi8 - bars.index.asi8[0]) // step
    at_open = (times.asi8 - bars.index.asi8[0]) % step == 0
    within = (rows >= 0) & (rows < bars.n_times)
    found = []
    for chosen in (within & at_open, within & ~at_open):
        out = np.zeros(bars.shape)
        np.add.at(out, rows[chosen], np.nan_to_num(rates[chosen]))
        found.append(out if chosen.any() else nothing)
    return found[0], found[1]


# ------------------------------------------------------------------------------------------------ decisions
def _on_index(frame: pd.DataFrame, bars: Bars, name: str) -> pd.DataFrame:
    """Return a frame on the bars' times; times it does not have become NaN.

    Raises
    ------
    ShapeError
        If it has times that the bars do not have, or one twice.
    """
    if frame.index.equals(bars.index):
        return frame
    if not isinstance(frame.index, pd.DatetimeIndex):
        raise ShapeError(
            f"{name} must lie at the bars' open times, got an index of {frame.index.dtype}; use bars.index"
        )
    frame = frame.set_axis(utc_index(frame.index, name=f"the index of {name}"))
    foreign = frame.index.difference(bars.index)
    if len(foreign) or frame.index.has_duplicates:
        first = foreign[0] if len(foreign) else frame.index[frame.index.duplicated()][0]
        raise ShapeError(f"{name} must lie at the bars' open times, each once; {first} does not")
    return frame.reindex(bars.index)


def _labelled(data: Any, bars: Bars, name: str) -> pd.DataFrame:
    """Return what came as a frame whose columns say their symbols."""
    if isinstance(data, pd.Series):
        if bars.n_symbols != 1:
            raise ShapeError(f"{name} is one Series, the bars have {bars.n_symbols} symbols: give one column a symbol")
        return data.to_frame(bars.symbols[0])
    if isinstance(data, pd.DataFrame):
        if bars.n_symbols == 1 and data.shape[1] == 1 and data.columns.nlevels == 1:
            label = data.columns[0]
            if isinstance(label, str) and "/" in label and label != bars.symbols[0]:
                raise ShapeError(f"{name} is of {label}, the bars are of {bars.symbols[0]}")
            return data.set_axis(bars.close.columns, axis=1)
        return data
    values = np.asarray(data)
    if values.ndim == 1:
        values = values[:, None]
    if values.shape != bars.shape:
        raise ShapeError(
            f"{name} must have one row a bar and one column a symbol, shape {bars.shape}, got {np.shape(data)}"
        )
    return pd.DataFrame(values, index=bars.index, columns=bars.close.columns)


def aligned_signals(data: Any, bars: Bars, name: str) -> tuple[np.ndarray, pd.Index]:
    """Return signals as bool, shape (n_times, n_columns), and their labels; a missing value is no signal.

    Raises
    ------
    ShapeError
        If times or shape do not match the bars; times without a bar may be left out.
    DataError
        If values are neither bools nor 0 and 1.
    """
    frame = _labelled(data, bars, name)
    if not frame.index.equals(bars.index):
        given = frame.index
        frame = _on_index(frame, bars, name)
        _refuse_missing_times(given, bars, name)
    values = frame.to_numpy()
    if values.dtype != np.bool_:
        if values.dtype == object:
            values = np.where(pd.isna(values), False, values)
        try:
            numbers = values.astype(np.float64)
        except (TypeError, ValueError):
            numbers = np.array([np.inf])
        if not np.isin(numbers, (0.0, 1.0)).all():
            raise DataError(f"{name} must hold True and False (or 0 and 1), got {frame.dtypes.iloc[0]}: compare first")
        values = numbers.astype(np.bool_)
    return np.ascontiguousarray(values), frame.columns


def _refuse_missing_times(given: pd.Index, bars: Bars, name: str) -> None:
    """Refuse an index that lacks times at which there is a bar."""
    missing = ~bars.index.isin(utc_index(given, name=f"the index of {name}")) & bars.close.notna().to_numpy().any(
        axis=1
    )
    if missing.any():
        raise ShapeError(
            f"{name} must say something at every bar: {int(missing.sum()):,} of {bars.n_times:,} times are missing, "
            f"first {bars.index[np.argmax(missing)]}; reindex it to bars.index, or cut the bars"
        )


def aligned_numbers(data: Any, bars: Bars, columns: pd.Index, name: str) -> np.ndarray:
    """Return a number, one a column, one a bar or a whole frame as shape (n_times or 1, n_columns or 1).

    Raises
    ------
    ShapeError
        If it fits neither.
    """
    if data is None:
        return np.full((1, 1), np.nan)
    if name != "size" and isinstance(data, (pd.Series, pd.DataFrame)) and isinstance(data.index, pd.DatetimeIndex):
        # a missing size is no order, but a missing stop would be no protection
        _refuse_missing_times(data.index, bars, name)
    if np.ndim(data) == 0:
        return np.full((1, 1), float(floats(data, name)))
    if isinstance(data, pd.Series) and not isinstance(data.index, pd.DatetimeIndex):
        data = _one_a_column(data, columns, name).to_numpy()[None, :]
    elif isinstance(data, pd.Series):
        data = _on_index(data.to_frame(), bars, name).to_numpy()
    elif isinstance(data, pd.DataFrame):
        frame = _on_index(data, bars, name)
        data = (frame if frame.columns.equals(columns) else _by_columns(frame, columns, name)).to_numpy()
    values = np.atleast_2d(floats(data, name))
    if values.shape == (1, bars.n_times) and len(columns) != bars.n_times:
        values = values.T
    if values.shape[0] not in (1, bars.n_times) or values.shape[1] not in (1, len(columns)):
        raise ShapeError(
            f"{name} must be one number, one a column ({len(columns)}), one a bar ({bars.n_times}) or both, got shape "
            f"{np.shape(data)}"
        )
    values = np.ascontiguousarray(values)
    # what the user changes later must not change the backtest, which may run once more
    return values.copy() if np.may_share_memory(values, np.asarray(data)) else values


def floats(data: Any, name: str) -> np.ndarray:
    """Return numbers as float64.

    Raises
    ------
    DataError
        If they are no numbers.
    """
    try:
        if isinstance(data, (pd.Series, pd.DataFrame)) and not np.iscomplexobj(data):
            kinds = data.dtypes if isinstance(data, pd.DataFrame) else [data.dtype]
            if any(isinstance(kind, pd.api.extensions.ExtensionDtype) for kind in kinds):
                return np.asarray(data.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan))
        return np.asarray(data, dtype=np.float64)
    except (TypeError, ValueError):
        told = repr(data) if np.ndim(data) == 0 else type(data).__name__
        raise DataError(f"{name} must hold numbers (2 % is 0.02), got {told}") from None


def _one_a_column(data: pd.Series, columns: pd.Index, name: str) -> pd.Series:
    """Return a Series that holds a number a column, or one a symbol, in the order of the columns."""
    labels = columns if data.index.nlevels == columns.nlevels else columns.get_level_values(-1)
    missing = [str(label) for label in labels if label not in data.index]
    if missing or data.index.has_duplicates:
        raise ShapeError(
            f"{name} must have one number for each column or symbol; {', '.join(missing[:5]) or 'one twice'} missing"
        )
    return data.reindex(labels)


def _by_columns(frame: pd.DataFrame, columns: pd.Index, name: str) -> pd.DataFrame:
    if frame.shape[1] == 1:
        return frame
    symbols = columns.get_level_values(-1)
    missing = [str(label) for label in symbols if label not in frame.columns]
    if missing or frame.columns.has_duplicates:
        raise ShapeError(
            f"{name} must have one column for each symbol; {', '.join(missing[:5]) or 'one twice'} missing"
        )
    return frame[list(symbols)]
