"""What makes a trial the same trial: configurations, and the 64 bits that each is known by.

A trial is (study, data, universe, label, strategy, parameters). Values that are equal in Python are the same value (10,
10.0 and ``np.int64(10)``; True and 1), the order of parameters and of symbols says nothing, and a missing value (None,
NaN) is a parameter that was not given. The code's hash is recorded beside it and is no part of it.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from gwt_lab.errors import ConfigError, DataError, ShapeError

__all__ = ["MOST_SIGNATURES", "Trials", "study_name"]

UIntArray = npt.NDArray[np.uint64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MOST_SIGNATURES = 1000
_EXACT = 2**53  # integers up to here are exact in float64


def study_name(data: str, strategy: str) -> str:
    """Return the name of a study that nobody named: the strategy family and the first digits of the data's hash."""
    return f"{strategy} on {data[:12]}"


class Trials:
    """Configurations of one strategy on one set of data, as the ledger knows them.

    Parameters
    ----------
    parameters : DataFrame, dict of arrays, dict of plain values, or list of dicts
        One row, one array element or one dict a configuration; a dict of plain values is one configuration. Write
        defaults out: a parameter that is not given differs from one given at its default.
    data : str or Bars
        The data, or their content hash (`Bars.content_hash`).
    universe : iterable of str
        Symbols. Their order says nothing.
    label : str
        How returns are measured: price, delay, fees.
    strategy : str
        Name of the strategy family.
    study : str, optional
        Name of the question that is asked; by default made from data and strategy (`study_name`).
    code_hash : str, default ""
        Hash of the code that evaluates. It is recorded, and no part of a trial's identity.

    Attributes
    ----------
    hashes : ndarray of uint64, shape (n_trials,)
        Equal where trials are the same.
    signature_rows : ndarray of int64
        Rows whose return signature the ledger wants: all, or the 1,000 with the smallest hashes, in order.

    Raises
    ------
    ShapeError
        If columns differ in length or share a name.
    DataError
        If a parameter's value is of a kind that has no value to compare, such as a function.
    ConfigError
        If `data`, `label` or `strategy` is no text, or `universe` is empty.
    """

    def __init__(
        self,
        parameters: Any,
        *,
        data: Any,
        universe: Iterable[str],
        label: str,
        strategy: str,
        study: str | None = None,
        code_hash: str = "",
    ) -> None:
        data = getattr(data, "content_hash", data)
        self.data, self.label, self.strategy, self.code_hash = data, label, strategy, code_hash
        self.study = study_name(str(data), strategy) if study is None else study
        self.universe = (universe,) if isinstance(universe, str) else tuple(dict.fromkeys(universe))
        for name in ("data", "label", "strategy", "study", "code_hash"):
            text = getattr(self, name)
            if not isinstance(text, str) or (not text.strip() and name in ("data", "strategy", "study")):
                raise ConfigError(f"{name} of a trial must be a text that says something, got {text!r}")
        if not self.universe or not all(isinstance(symbol, str) for symbol in self.universe):
            raise ConfigError(f"universe must name one symbol or more, got {self.universe!r}")
        self.setting = self._setting()
        columns, n_trials = _columns(parameters)
        self.parameters = tuple(sorted(columns))
        self.hashes = _row_hashes(columns, n_trials, self.setting)
        self.signature_rows = _lowest(self.hashes, MOST_SIGNATURES)

    def _setting(self) -> int:
        """Return the 64 bits of everything but the parameters."""
        identity = [self.study, self.data, sorted(self.universe), self.label, self.strategy]
        return _text_bits(json.dumps(identity))

    def part(self, start: int, stop: int) -> Trials:
        """Return the trials from row `start` to before row `stop`; the ledger's wish for signatures is the whole's."""
        if not 0 <= start <= stop <= len(self):
            raise ShapeError(f"a part of {len(self)} trials must lie within them, got rows {start} to {stop}")
        part = copy.copy(self)
        part.hashes = self.hashes[start:stop]
        first, last = np.searchsorted(self.signature_rows, [start, stop])
        part.signature_rows = self.signature_rows[first:last] - start
        return part

    def __len__(self) -> int:
        return len(self.hashes)

    def __repr__(self) -> str:
        return f"Trials({len(self):,} of {self.strategy}({', '.join(self.parameters)}), study {self.study!r})"


def _lowest(hashes: UIntArray, most: int) -> IntArray:
    """Return the rows of the smallest hashes, in order."""
    if len(hashes) <= most:
        return np.arange(len(hashes), dtype=np.int64)
    rows: IntArray = np.sort(np.argpartition(hashes, most)[:most]).astype(np.int64)
    return rows


# ------------------------------------------------------------------------------------------------ columns
def _objects(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _columns(parameters: Any) -> tuple[dict[str, npt.NDArray[Any]], int]:
    """Return the parameters by name as arrays of one length, and that length."""
    if hasattr(parameters, "columns") and hasattr(parameters, "to_numpy"):
        if not parameters.columns.is_unique:
            raise ShapeError(f"parameters name a column twice: {list(parameters.columns)}; give each its own name")
        return {str(name): parameters[name].to_numpy() for name in parameters.columns}, len(parameters)
    if isinstance(parameters, Mapping):
        if all(isinstance(value, (str, bytes)) or not hasattr(value, "__len__") for value in parameters.values()):
            return {str(name): _objects([value]) for name, value in parameters.items()}, 1
        columns = {str(name): _array(str(name), value) for name, value in parameters.items()}
    elif isinstance(parameters, Sequence) and all(isinstance(row, Mapping) for row in parameters):
        names = {str(name): name for row in parameters for name in row}
        return {name: _objects([row.get(key) for row in parameters]) for name, key in names.items()}, len(parameters)
    else:
        raise DataError(
            f"parameters must be a DataFrame, a dict of arrays or a list of dicts, got a {type(parameters).__name__}"
        )
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"parameters must have one length, got {lengths}: give one value a configuration")
    return columns, next(iter(lengths.values()))


def _array(name: str, values: Any) -> npt.NDArray[Any]:
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if isinstance(values, (str, bytes)) or not isinstance(values, (np.ndarray, Sequence)):
        raise ShapeError(f"parameter {name!r} is a {type(values).__name__} where arrays are wanted: one value a trial")
    # np.asarray would turn [1, "a"] into texts
    array = values if isinstance(values, np.ndarray) else _objects(list(values))
    if array.ndim != 1:
        raise ShapeError(f"parameter {name!r} must have one value a configuration, got shape {array.shape}")
    return array


# ------------------------------------------------------------------------------------------------ hashes
def _text_bits(text: str, kind: bytes = b"s") -> int:
    digest = hashlib.blake2b(kind + text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _mix(bits: UIntArray) -> None:
    """Scramble in place: the finaliser of SplitMix64, one to one."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits ^= bits >> np.uint64(shift)
        bits *= np.uint64(factor)
    bits ^= bits >> np.uint64(31)


def _row_hashes(columns: dict[str, npt.NDArray[Any]], n_trials: int, setting: int) -> UIntArray:
    """Return one hash a row. Columns are added up, so that their order and those without a value say nothing."""
    total = np.zeros(n_trials, dtype=np.uint64)
    for name, values in columns.items():
        bits, missing = _column_bits(name, values)
        bits ^= np.uint64(_text_bits(name))
        _mix(bits)
        bits += np.uint64(_text_bits(name, b"n"))
        _mix(bits)
        if missing is not None:
            bits[missing] = 0
        total += bits
    total ^= np.uint64(setting)
    _mix(total)
    return total


def _column_bits(name: str, values: npt.NDArray[Any]) -> tuple[UIntArray, BoolArray | None]:
    """Return 64 bits a value, equal where values are, and where a value is missing."""
    kind = values.dtype.kind
    if kind == "f":
        plain = values.astype(np.float64) + 0.0  # -0.0 is 0.0
        missing = np.isnan(plain)
        return plain.view(np.uint64), missing if missing.any() else None
    if kind == "b" or (kind in "iu" and (not len(values) or -_EXACT <= values.min() <= values.max() <= _EXACT)):
        return values.astype(np.float64).view(np.uint64), None
    if kind in "mM":
        values = values.astype(f"{kind}8[ns]")
        number = np.array([_text_bits(str(value), kind.encode()) for value in values.view(np.int64)], dtype=np.uint64)
        return number, np.isnat(values)
    return _object_bits(name, values)


def _object_bits(name: str, values: npt.NDArray[Any]) -> tuple[UIntArray, BoolArray]:
    """Hash each distinct value once; what cannot be told apart quickly is hashed one by one."""
    import pandas as pd

    try:
        codes, distinct = pd.factorize(values.astype(object))
    except TypeError:  # lists and dicts have no hash of their own
        codes, distinct = np.arange(len(values)), values
    table = [_value_bits(name, value) for value in distinct]
    known = np.array([0 if bits is None else bits for bits in table] + [0], dtype=np.uint64)
    gone = np.array([bits is None for bits in table] + [True])
    return known[codes], gone[codes]


def _value_bits(name: str, value: Any) -> int | None:
    """Return the bits of one value, None if it is missing."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if _missing(value):
        return None
    for kinds, bits in _KINDS:
        if isinstance(value, kinds):
            return bits(name, value)
    raise DataError(
        f"parameter {name!r} is a {type(value).__name__}, which has no value to compare: give a number, a text, a "
        f"time, or a list, set or dict of such; for a function give its name"
    )


def _missing(value: Any) -> bool:
    """Return whether a value is None, NaN, NaT or NA: those of the latter are not equal to themselves."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating, np.datetime64, np.timedelta64)) and bool(value != value)


def _number_bits(_: str, value: Any) -> int:
    if isinstance(value, (float, np.floating)):
        number = float(value) + 0.0
    elif abs(int(value)) <= 2**1023 and int(float(int(value))) == int(value):
        number = float(int(value))
    else:
        return _text_bits(str(int(value)), b"i")
    return int(np.float64(number).view(np.uint64))


def _time_bits(_: str, value: Any) -> int:
    import pandas as pd

    if isinstance(value, (timedelta, np.timedelta64)):
        return _text_bits(str(pd.Timedelta(value).as_unit("ns").value), b"m")
    moment = pd.Timestamp(value)
    moment = moment.tz_convert("UTC") if moment.tzinfo else moment
    return _text_bits(str(moment.as_unit("ns").value), b"M")


def _list_bits(name: str, value: Any) -> int:
    return _text_bits(json.dumps([_value_bits(name, element) for element in value]), b"l")


def _set_bits(name: str, value: Any) -> int:
    return _text_bits(json.dumps(sorted(_value_bits(name, element) or 0 for element in value)), b"e")


def _dict_bits(name: str, value: Any) -> int:
    pairs = sorted((str(key), _value_bits(name, element)) for key, element in value.items())
    return _text_bits(json.dumps([pair for pair in pairs if pair[1] is not None]), b"d")


_KINDS: tuple[tuple[tuple[type, ...], Callable[[str, Any], int]], ...] = (
    # times first: numpy counts its timedelta among the integers
    ((datetime, date, timedelta, np.datetime64, np.timedelta64), _time_bits),
    ((bool, int, float, np.bool_, np.integer, np.floating), _number_bits),
    ((str,), lambda _, value: _text_bits(str.__str__(value))),
    ((list, tuple), _list_bits),
    ((set, frozenset), _set_bits),
    ((Mapping,), _dict_bits),
)
