"""CSV and its relatives: delimiter, decimal sign, leading comments and headers are seen in the first rows."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from gwt_lab.data.importers.columns import HEADERLESS, Roles, find_roles, is_two_level, plain_name
from gwt_lab.errors import DataError, ImportRefused, ShapeError

__all__ = ["read_text"]

_SAMPLE = 1 << 16
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|nan|NaN|NA|null|NULL|None|")
_COMMA_NUMBER = re.compile(r"[-+]?\d+,\d+")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+\.\d+|[-+]?\d{1,3}(,\d{3}){2,}")
_NULLS = ["", "nan", "NaN", "NAN", "NA", "N/A", "n/a", "null", "NULL", "None", "#N/A", "-"]


@dataclass(frozen=True)
class _Shape:
    """What the first rows say about a text."""

    delimiter: str
    decimal: str
    skipped: int
    header: list[str] | None
    second: list[str] | None
    n_columns: int


def read_text(data: bytes, label: str, symbol: str | None) -> pd.DataFrame:
    """Return a text table, its columns named as in the file; two header rows become two column levels.

    Parameters
    ----------
    data : bytes
        UTF-8, with or without a byte order mark.
    label : str
        The file, for messages.
    symbol : str, optional
        What the file is about, if known.

    Raises
    ------
    DataError
        If it is no table, or a row or a number is broken; the message names it.
    ImportRefused
        If it can be read in two ways.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    shape = _shape(data, label)
    if shape.second is not None:
        return _two_level(data, shape, label)
    names = shape.header
    if names is None:
        if shape.n_columns not in HEADERLESS:
            raise ImportRefused(
                f"{label} has no header and {shape.n_columns} columns; without one it must have 6 (time, open, high, "
                "low, close, volume), 7 (Kraken) or 12 (Binance klines). Add a header row"
            )
        names = list(HEADERLESS[shape.n_columns])
    if not _is_ohlcv(names):
        try:
            return _frame(data, shape, label, names, None)
        except DataError as error:
            what = ", ".join(names)[:120]
            raise ImportRefused(f"{label} has no columns open, high, low, close but {what}; {error}") from None
    return _frame(data, shape, label, names, find_roles(names, label, symbol))


def _is_ohlcv(names: list[str]) -> bool:
    return len({plain_name(name) for name in names} & {"open", "high", "low", "close", "o", "h", "l", "c"}) >= 2


def _shape(data: bytes, label: str) -> _Shape:
    sample = data[:_SAMPLE]
    if b"\x00" in sample:
        raise DataError(f"{label} is neither text nor Parquet, Feather or JSON; a table of bars was wanted")
    try:
        text = sample.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 4:
            raise DataError(f"{label} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
        text = sample[: error.start].decode("utf-8")
    lines = text.splitlines()
    if len(data) > _SAMPLE:
        lines = lines[:-1]
    skipped = 0
    while skipped < len(lines) and _is_comment(lines[skipped].strip()):
        skipped += 1
    body = [line for line in lines[skipped : skipped + 40] if line.strip()]
    if len(body) < 2:
        raise DataError(f"{label} has {len(body)} rows; a table with a row a bar was wanted")
    delimiter = _delimiter(body, label)
    rows = [[cell.strip() for cell in row] for row in csv.reader(body, delimiter=delimiter)]
    decimal = _decimal(rows, delimiter, label)
    header = None if any(_is_number(cell, decimal) and cell for cell in rows[0]) else rows[0]
    second = None
    if header is not None and not any(_is_number(cell, decimal) for cell in rows[1][1:]):
        second = rows[1] if is_two_level(header, rows[1]) else None
    return _Shape(delimiter, decimal, skipped, header, second, len(rows[0]))


def _is_comment(line: str) -> bool:
    """Return whether a line above the table says nothing: comments, an address, a spreadsheet's `sep=;`."""
    return not line or line.startswith(("#", "http", "sep="))


def _is_number(cell: str, decimal: str) -> bool:
    return _NUMBER.fullmatch(cell.replace(",", ".") if decimal == "," else cell) is not None


def _delimiter(body: list[str], label: str) -> str:
    """Return the sign that cuts most rows into one and the same number of cells, at least two."""
    best, most = "", 1
    for sign in (",", ";", "\t", "|"):
        widths = [len(row) for row in csv.reader(body, delimiter=sign)]
        usual = max(set(widths), key=widths.count)
        # a decimal comma cuts every row alike too, but a sign that is no part of numbers wins
        if usual > most and (widths.count(usual) >= 0.8 * len(widths)) and (sign != "," or ";" not in body[0]):
            best, most = sign, usual
    if not best:
        raise DataError(
            f"{label} is no table: no comma, semicolon, tab or bar cuts its rows alike; it begins {body[0][:60]!r}"
        )
    return best


def _decimal(rows: list[list[str]], delimiter: str, label: str) -> str:
    """Return the decimal sign; commas that could be thousands are refused."""
    sure = [cell for row in rows[1:] for cell in row if _THOUSANDS.fullmatch(cell)]
    cells = sure or [cell for row in rows[1:] for cell in row if _COMMA_NUMBER.fullmatch(cell)]
    if not cells:
        return "."
    points = any("." in cell for row in rows[1:] for cell in row if _NUMBER.fullmatch(cell))
    if sure or points or delimiter == ",":
        raise DataError(f"{label} writes numbers with commas for thousands ({cells[0]!r}); write them without")
    if all(re.fullmatch(r"[-+]?[1-9]\d{0,2},\d{3}", cell) for cell in cells):
        raise ImportRefused(
            f"{label} writes numbers such as {cells[0]!r}: the comma could mean thousands or decimals; write them "
            "with a point, or without thousands"
        )
    return ","


def _frame(data: bytes, shape: _Shape, label: str, names: list[str], roles: Roles | None) -> pd.DataFrame:
    """Return the columns that play a part, prices as float64, texts as categories, times as they come."""
    used = roles.used if roles else names
    numbers = list(roles.fields.values()) if roles else names[1:]
    types: dict[str, pa.DataType] = dict.fromkeys(numbers, pa.float64())
    skipped = shape.skipped + (shape.header is not None)
    try:
        table = _read(data, shape, names, used, types, skipped)
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error) or any(f"column #{names.index(n)}:" in str(error) for n in numbers):
            raise _broken(error, label, names) from None
        # a time column that changes its look on the way is read as text
        texts = {name: pa.string() for name in used if name not in numbers}
        try:
            table = _read(data, shape, names, used, types | texts, skipped)
        except pa.ArrowInvalid as again:
            raise _broken(again, label, names) from None
    return _to_pandas(table)


def _read(
    data: bytes, shape: _Shape, names: list[str], used: list[str], types: dict[str, pa.DataType], skipped: int
) -> pa.Table:
    def read(threads: bool) -> pa.Table:
        return pacsv.read_csv(
            pa.BufferReader(data),
            pacsv.ReadOptions(column_names=names, skip_rows=skipped, use_threads=threads),
            pacsv.ParseOptions(delimiter=shape.delimiter),
            pacsv.ConvertOptions(
                column_types=types,
                include_columns=used,
                null_values=_NULLS,
                strings_can_be_null=True,
                decimal_point=shape.decimal,
                auto_dict_encode=True,
            ),
        )

    try:
        return read(threads=True)
    except pa.ArrowInvalid:
        # of several threads any may fail first; one alone names the first broken cell and its row
        return read(threads=False)


def _broken(error: Exception, label: str, names: list[str]) -> DataError:
    """Return the error with the column's name and the row's number in the file."""
    text = str(error).replace("\n", " ")
    match = re.search(r"column #(\d+)", text)
    column = f" in column {names[int(match[1])]!r}" if match and int(match[1]) < len(names) else ""
    value = re.search(r"invalid value '(.*?)'", text)
    row = re.search(r"Row #(\d+): (.*)", text)
    if value:
        line = f" in line {row[1]}" if row else ""
        return DataError(
            f"{label}{column} holds {value[1]!r}{line} where a number was wanted; correct or remove that row"
        )
    if row:
        return ShapeError(f"{label}: line {row[1]}: {row[2][:120]}; the file may be cut off or mixed")
    return ShapeError(f"{label}: {text[:160]}; the file may be cut off or mixed")


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return a pandas frame; dates become times, because pandas would make objects of them."""
    for position, column in enumerate(table.columns):
        if pa.types.is_date(column.type):
            table = table.set_column(position, table.column_names[position], column.cast(pa.timestamp("ms")))
    return table.to_pandas()


def _two_level(data: bytes, shape: _Shape, label: str) -> pd.DataFrame:
    assert shape.header is not None
    assert shape.second is not None
    names = [str(position) for position in range(len(shape.header))]
    lines = data.split(b"\n", shape.skipped + 3)[shape.skipped + 2 : shape.skipped + 3]
    cells = next(csv.reader([lines[0].decode()], delimiter=shape.delimiter), [""]) if lines else [""]
    # pandas writes the index's name into a third row of its own
    skipped = shape.skipped + 2 + (len(cells) > 1 and not any(cell.strip() for cell in cells[1:]))
    try:
        table = _read(data, shape, names, names, dict.fromkeys(names[1:], pa.float64()), skipped)
    except pa.ArrowInvalid as error:
        raise _broken(error, label, names) from None
    frame = _to_pandas(table)
    columns = pd.MultiIndex.from_arrays([shape.header[1:], shape.second[1:]])
    values = pd.DataFrame(frame.iloc[:, 1:].to_numpy(np.float64), columns=columns)
    return values.set_index(pd.Index(frame["0"], name="timestamp"))
