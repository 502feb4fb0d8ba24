"""One source into the long frame: which symbol, which timeframe, which columns, which times."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from gwt_lab.data.importers.columns import Roles, find_roles, plain_name
from gwt_lab.data.importers.names import FileName, parse_name, parse_symbol, parse_timeframe
from gwt_lab.data.importers.sources import Source
from gwt_lab.data.importers.structured import read_feather, read_json, read_parquet
from gwt_lab.data.importers.text import read_text
from gwt_lab.data.importers.times import TimeReading, open_labels, read_times
from gwt_lab.errors import DataError, ImportRefused, UnknownNameError
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import FIELDS
from gwt_lab.market.time import timeframe_ns, timeframe_of

__all__ = ["Ask", "Part", "read_part"]


@dataclass(frozen=True)
class Ask:
    """What the user says about the files; None means: recognise it."""

    symbol: str | None = None
    timeframe: str | None = None
    venue: str | None = None
    price: str | None = None
    reading: TimeReading = field(default_factory=TimeReading)


@dataclass(frozen=True)
class Part:
    """The bars of one source.

    Parameters
    ----------
    frame : DataFrame
        timestamp (`datetime64[ns, UTC]`, open times), open, high, low, close, volume[, quote_volume], symbol.
    timeframe : str or None
        None if a single bar does not tell.
    notes : list of str
        What was converted on the way.
    """

    frame: pd.DataFrame
    timeframe: str | None
    label: str
    notes: list[str]


def read_part(source: Source, ask: Ask) -> Part:
    """Return the bars of one source.

    Raises
    ------
    ImportRefused
        If symbol, timeframe, columns or times could be read in two ways, or contradict each other.
    DataError
        If the table is broken.
    """
    said = parse_name(source.stem)
    if said.not_bars:
        raise ImportRefused(f"{source.label} holds {said.not_bars.replace('_', ' ')} candles, not bars of trades")
    hint = ask.symbol or said.symbol or parse_name(source.folder).symbol
    table = _table(source, hint)
    if isinstance(table.columns, pd.MultiIndex) or not _has_prices(table):
        return _wide(source, table, ask, said)
    roles = find_roles(table.columns, source.label, hint)
    table = _one_venue(table, roles, ask, source.label)
    table, column_timeframe = _one_timeframe(table, roles, ask, source.label)
    symbols = _symbols(table, roles, ask, said, hint, source.label)
    times, from_close = _times(table, roles, ask, source.label)
    declared = ask.timeframe or column_timeframe or said.timeframe
    timeframe = _timeframe(times, symbols, declared, source.label)
    notes: list[str] = []
    if timeframe:
        times, note = open_labels(times, timeframe, ask.reading.label, source.label, from_close=from_close)
        notes += [note] if note else []
    frame = _long(table, roles, times, symbols, source.label)
    empty = frame[list(FIELDS[:4])].isna().all(axis=1)
    if empty.any():
        frame = frame[~empty]
        notes.append(f"{source.label}: {int(empty.sum())} rows without any price were left out as missing bars")
    return Part(frame, timeframe, source.label, notes)


def _table(source: Source, hint: str | None) -> pd.DataFrame:
    if source.kind == "text":
        table = read_text(source.data, source.label, hint)
    else:
        read = {"parquet": read_parquet, "feather": read_feather, "json": read_json}[source.kind]
        table = read(source.data, source.label)
    if table.empty:
        raise DataError(f"{source.label} has no rows; a table with a row a bar was wanted")
    return table


def _has_prices(table: pd.DataFrame) -> bool:
    return len({plain_name(name) for name in table.columns} & {"open", "high", "low", "close", "o", "h", "l", "c"}) >= 2


def _wide(source: Source, table: pd.DataFrame, ask: Ask, said: FileName) -> Part:
    """Return a wide table: fields by symbol, or closes by symbol if that was said."""
    label = source.label
    if not isinstance(table.columns, pd.MultiIndex):
        names = [
            name for name in table.columns if plain_name(name) in ("", "timestamp", "datetime", "date", "time", "unix")
        ]
        others = [str(name) for name in table.columns if name not in names]
        numeric = all(pd.api.types.is_numeric_dtype(table[name].dtype) for name in others)
        if ask.price != "close" or not numeric:
            hint = "if these are closes by symbol, say price='close' (`--price close`)" if numeric else "bars need them"
            what = ", ".join(others[:6])
            raise ImportRefused(f"{label} has no columns open, high, low, close but {what}: {hint}")
        if len(names) != 1:
            raise ImportRefused(f"{label} needs one column of times beside its closes, got {names or 'none'}")
        table = table.set_index(names[0])
        table.columns = pd.Index([parse_symbol(name) for name in others])
    index = read_times(table.index.to_series(name="timestamp").reset_index(drop=True), label, ask.reading)
    table = table.set_axis(index, axis=0)
    try:
        bars = as_bars(table.astype(np.float64), timeframe=ask.timeframe or said.timeframe, price=ask.price)
    except (ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise DataError(f"{label}: {error}") from None
        raise DataError(f"{label} holds something that is not a number ({error})") from None
    return Part(bars.to_frame(), bars.timeframe, label, [])


# ------------------------------------------------------------------------------------------------ who and how long
def _one_venue(table: pd.DataFrame, roles: Roles, ask: Ask, label: str) -> pd.DataFrame:
    if roles.venue is None:
        return table
    venues = sorted(map(str, table[roles.venue].dropna().unique()))
    if ask.venue is None and len(venues) > 1:
        raise ImportRefused(f"{label} holds bars of {', '.join(venues)}: say which (`--venue {venues[0]}`)")
    if ask.venue is None:
        return table
    if ask.venue not in venues:
        raise UnknownNameError(f"{label} has no venue {ask.venue!r}; it has {', '.join(venues)}")
    return table[(table[roles.venue] == ask.venue).to_numpy()]


def _one_timeframe(table: pd.DataFrame, roles: Roles, ask: Ask, label: str) -> tuple[pd.DataFrame, str | None]:
    if roles.timeframe is None:
        return table, None
    spelt = {str(value): parse_timeframe(str(value)) for value in table[roles.timeframe].dropna().unique()}
    known = sorted({value for value in spelt.values() if value})
    if not known:
        return table, None
    if len(known) == 1 and len(spelt) == 1:
        return table, known[0]
    if ask.timeframe is None or ask.timeframe not in known:
        raise ImportRefused(f"{label} holds bars of {', '.join(known)}: say which (`--timeframe {known[0]}`)")
    kept = [value for value, timeframe in spelt.items() if timeframe == ask.timeframe]
    return table[table[roles.timeframe].astype("str").isin(kept).to_numpy()], ask.timeframe


def _symbols(
    table: pd.DataFrame, roles: Roles, ask: Ask, said: FileName, hint: str | None, label: str
) -> pd.Categorical:
    """Return each row's unified symbol."""
    if roles.symbol is None:
        if hint is None:
            raise ImportRefused(
                f"{label} does not say which symbol it holds, nor does its name: name it (`--symbol BTC/USDT`)"
            )
        return pd.Categorical.from_codes(np.zeros(len(table), np.int8), [parse_symbol(hint)])
    codes, raw = pd.factorize(table[roles.symbol])
    if (codes < 0).any():
        raise DataError(f"{label} has no symbol in row {int(np.argmax(codes < 0)) + 1}")
    names = [parse_symbol(str(name)) for name in raw]
    said_symbol = parse_symbol(ask.symbol) if ask.symbol else said.symbol
    if ask.symbol and set(names) != {said_symbol}:
        raise ImportRefused(
            f"{label} says in its column {roles.symbol!r} that it holds {', '.join(names[:4])}, asked was "
            f"{said_symbol}; leave the symbol out"
        )
    if len(set(names)) == 1 and said_symbol and names[0] != said_symbol:
        raise ImportRefused(
            f"{label} is {said_symbol} by its name and {names[0]} by its column {roles.symbol!r}; rename the file"
        )
    categories = list(dict.fromkeys(names))
    return pd.Categorical.from_codes(np.array([categories.index(name) for name in names])[codes], categories)


def _timeframe(times: pd.DatetimeIndex, symbols: pd.Categorical, declared: str | None, label: str) -> str | None:
    """Return the timeframe; what the steps show must agree with what was declared, and symbols with each other."""
    found: dict[str, str] = {}
    for code, symbol in enumerate(symbols.categories):
        own = times if len(symbols.categories) == 1 else times[symbols.codes == code]
        steps = np.diff(np.sort(own.asi8))
        steps = steps[steps > 0]
        if not len(steps):
            continue
        mode = timeframe_of(own)
        step = timeframe_ns(declared or mode)
        if declared and timeframe_ns(mode) != step and not (len(steps) < 3 or (steps == step).any()):
            raise ImportRefused(
                f"{label} should hold bars of {declared}, but most bars of {symbol} are {mode} apart; correct the "
                "name or the timeframe"
            )
        if declared and timeframe_ns(mode) < step:
            raise ImportRefused(f"{label} should hold bars of {declared}, but {symbol} has bars {mode} apart")
        found[symbol] = declared or mode
    distinct = sorted(set(found.values()), key=timeframe_ns)
    if len(distinct) > 1:
        who = {timeframe: symbol for symbol, timeframe in found.items()}
        what = " and ".join(f"{each} ({who[each]})" for each in distinct)
        raise ImportRefused(f"{label} holds bars of {what}: import them one by one")
    return distinct[0] if distinct else declared


# ------------------------------------------------------------------------------------------------ times and values
def _times(table: pd.DataFrame, roles: Roles, ask: Ask, label: str) -> tuple[pd.DatetimeIndex, bool]:
    """Return the times and whether they come from a column called close time; two columns must agree."""
    if not roles.times:
        assert roles.close_time is not None
        return read_times(table[roles.close_time], label, ask.reading), True
    columns = sorted(roles.times, key=lambda name: not pd.api.types.is_numeric_dtype(table[name].dtype))
    times = read_times(table[columns[0]], label, ask.reading)
    for other in columns[1:]:
        try:
            second = read_times(table[other], label, ask.reading)
        except DataError:
            continue
        differs = (
            times.floor("D") != second if (second == second.floor("D")).all() else times.floor("s") != second.floor("s")
        )
        if differs.any():
            row = int(np.argmax(differs))
            raise ImportRefused(
                f"{label}: columns {columns[0]!r} and {other!r} disagree in row {row + 1}: {times[row]} and "
                f"{second[row]}; remove the wrong one"
            )
    return times, False


def _long(
    table: pd.DataFrame, roles: Roles, times: pd.DatetimeIndex, symbols: pd.Categorical, label: str
) -> pd.DataFrame:
    columns: dict[str, object] = {"timestamp": times}
    for name in [*FIELDS, *(["quote_volume"] if "quote_volume" in roles.fields else [])]:
        columns[name] = _values(table[roles.fields[name]], label, required=name in FIELDS)
    return pd.DataFrame(columns | {"symbol": symbols}, copy=False)


def _values(column: pd.Series, label: str, *, required: bool) -> np.ndarray:
    where = f"{label}, column {column.name!r}"
    try:
        values: np.ndarray = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError):
        numbers = pd.to_numeric(column, errors="coerce")
        bad = (numbers.isna() & column.notna()).to_numpy()
        if not bad.any():
            raise DataError(f"{where} holds {column.dtype}, not numbers") from None
        row = int(np.argmax(bad))
        raise DataError(
            f"{where} holds {column.iloc[row]!r} in row {row + 1} where a number was wanted; correct or remove that row"
        ) from None
    if required and np.isnan(values).all():
        raise DataError(f"{where} holds no number at all; bars need open, high, low, close and volume")
    if np.isinf(values).any():
        raise DataError(
            f"{where} is infinite in row {int(np.argmax(np.isinf(values))) + 1}; correct or remove that row"
        )
    return values
