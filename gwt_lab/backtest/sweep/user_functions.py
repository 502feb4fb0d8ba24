"""Strategies that users write: functions of bars or plain arrays, NumPy or numba, and classes of `Strategy`.

A function asks for data by the names of its parameters: `open`, `high`, `low`, `close`, `volume` are arrays of shape
(n_times,) for one symbol and (n_times, n_symbols) for several, read-only; `bars` is the `Bars`. Every other parameter
is the strategy's own. It returns one of

- a pair (entries, exits) of booleans, every symbol with cash of its own: arrays, Series or DataFrames;
- a DataFrame, or an array of two dimensions, of target weights: one account, cash shared; NaN holds;
- a Series, or an array of one dimension, of positions -1, 0 or 1 of one symbol, traded where they change.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import pickle
import types
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import CausalityError, ConfigError, ShapeError, UnknownNameError
from gwt_lab.market.bars import FIELDS, Bars

__all__ = ["Output", "UserStrategy", "call_words", "check_user_strategy", "code_hash", "read_output", "user_strategy"]

DATA = ("bars", *FIELDS)
# rows that the look-ahead check works on at most; the function is called some sixty times
_CHECK_ROWS = 5_000
_CHECK_CUTS = 3
_CHECKED: set[str] = set()


@dataclass(frozen=True)
class Output:
    """What a strategy returned for one combination, in the kernels' shapes.

    Parameters
    ----------
    entries, exits : ndarray of shape (n_symbols, n_times), bool, or None
        Signals.
    weights : ndarray of shape (n_times, n_symbols), float64, or None
        Target weights.
    """

    entries: np.ndarray | None = None
    exits: np.ndarray | None = None
    weights: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class UserStrategy:
    """A callable that a sweep can evaluate.

    Parameters
    ----------
    name : str
        Its name in results and in the trial ledger.
    function : callable
        Called with data and parameters.
    data : tuple of str
        Which data it asks for.
    parameters : tuple of str
        Its own parameters.
    required : tuple of str
        Those without a default.
    open_ended : bool
        Whether it takes any other keyword (``**parameters``).
    positional : bool
        Called by position, as numba's compiled functions are.
    shipped : bool
        Whether it is one of gwt_lab's own strategies, which pass the look-ahead check in the tests.
    """

    name: str
    function: Callable[..., Any]
    data: tuple[str, ...]
    parameters: tuple[str, ...]
    required: tuple[str, ...]
    open_ended: bool = False
    positional: bool = False
    shipped: bool = False

    @property
    def free_threaded(self) -> bool:
        """Whether it lets other threads work: compiled by numba with ``nogil=True``."""
        return bool(getattr(self.function, "targetoptions", {}).get("nogil"))

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """Parameters that have a default, and their defaults."""
        if isinstance(self.function, _StrategyCall):
            return self.function.defaults()
        found = inspect.signature(getattr(self.function, "py_func", self.function)).parameters
        return {name: found[name].default for name in self.parameters if name in found and name not in self.required}

    def refuse_unknown(self, names: Iterable[str]) -> None:
        """Raise if a grid names a parameter that the strategy does not take, or lacks one that it needs."""
        given = set(names)
        unknown = sorted(given - set(self.parameters)) if not self.open_ended else []
        if unknown:
            raise UnknownNameError(
                f"{self.name} has no parameter {', '.join(unknown)}; it takes {', '.join(self.parameters) or 'none'}"
            )
        missing = [name for name in self.required if name not in given]
        if missing:
            raise ConfigError(f"{self.name} needs a value for {', '.join(missing)}: add it to the grid")
        taken = sorted(given & set(DATA))
        if taken:
            raise ConfigError(f"{', '.join(taken)} names data, not a parameter of {self.name}: rename the parameter")

    def call(self, data: dict[str, Any], parameters: dict[str, Any]) -> Any:
        """Return what the function returns, with the combination in the notes of whatever it raises."""
        try:
            if self.positional:
                wanted = data | self.defaults | parameters
                return self.function(*[wanted[name] for name in (*self._order,)])
            return self.function(**{name: data[name] for name in self.data}, **parameters)
        except Exception as error:
            error.add_note(f"while evaluating {call_words(self.name, parameters)}")
            raise

    @cached_property
    def carried(self) -> dict[str, Any]:
        """What tells it from others of its name beside its parameters: values it closes over, a lambda's code."""
        if isinstance(self.function, _StrategyCall):
            return {}
        held = {name: value for name, value in _held(self.function).items() if isinstance(value, _PLAIN)}
        return held | ({"code": code_hash(self.function)[:8]} if self.name == "<lambda>" else {})

    @cached_property
    def _order(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self.function.py_func).parameters)  # type: ignore[attr-defined]


def call_words(name: str, parameters: dict[str, Any]) -> str:
    """Return a call as people write it."""
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in parameters.items())})"


def user_strategy(strategy: Any) -> UserStrategy:
    """Return a callable, a `Strategy` class or object, or a registered name as what a sweep evaluates.

    Raises
    ------
    ConfigError
        If it cannot be called, or its parameters cannot be told.
    UnknownNameError
        If a name is not registered.
    """
    from gwt_lab.strategies.base import Strategy

    if isinstance(strategy, Strategy) or (isinstance(strategy, type) and issubclass(strategy, Strategy)):
        return _of_strategy(strategy)
    if not callable(strategy):
        raise ConfigError(
            f"strategy must be the name of a family, a function that returns signals or weights, or a Strategy; got "
            f"{type(strategy).__name__}"
        )
    compiled = hasattr(strategy, "py_func")
    try:
        found = list(inspect.signature(strategy.py_func if compiled else strategy).parameters.values())
    except (TypeError, ValueError):
        raise ConfigError(f"the parameters of {strategy!r} cannot be told; wrap it in a plain function") from None
    named = [p for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if any(p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL) for p in found):
        raise ConfigError(f"{_name(strategy)} must name its parameters, such as f(close, fast, slow); got {found}")
    own = [p for p in named if p.name not in DATA]
    data = tuple(p.name for p in named if p.name in DATA)
    if not data:
        raise ConfigError(f"{_name(strategy)} asks for no data: name a parameter one of {', '.join(DATA)}")
    if compiled and "bars" in data:
        raise ConfigError(f"{_name(strategy)} is compiled by numba and cannot take bars: ask for {', '.join(FIELDS)}")
    return UserStrategy(
        _name(strategy),
        strategy,
        data,
        tuple(p.name for p in own),
        tuple(p.name for p in own if p.default is p.empty),
        open_ended=any(p.kind is p.VAR_KEYWORD for p in found),
        positional=compiled,
    )


def _name(function: Any) -> str:
    inner = getattr(function, "func", function)  # functools.partial
    return str(getattr(inner, "__name__", type(inner).__name__))


_PLAIN = (str, int, float, bool, tuple, type(None), np.generic)


def _held(function: Any) -> dict[str, Any]:
    """Return what a callable carries beside its parameters: a partial, an object, a bound method, a closure."""
    function = getattr(function, "py_func", function)
    if isinstance(function, functools.partial):
        return {f"_{place}": value for place, value in enumerate(function.args)} | _held(function.func)
    if isinstance(function, types.MethodType):
        return _held(function.__self__) if not isinstance(function.__self__, type) else {}
    if isinstance(function, types.FunctionType):
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        return {name: cell.cell_contents for name, cell in cells if _filled(cell)}
    return dict(getattr(function, "__dict__", {}))


def _of_strategy(strategy: Any) -> UserStrategy:
    """Return a `Strategy` class or object as a function of bars; an object's fields are its defaults."""
    kind: Any = strategy if isinstance(strategy, type) else type(strategy)
    given = {} if isinstance(strategy, type) else strategy.to_dict()
    base, texts = given.get("parameters", {}), given.get("texts", {})
    held = set(kind._text_fields().values())
    own = [field for field in fields(kind) if field.name not in held]
    without = [field.name for field in own if field.default is MISSING and field.default_factory is MISSING]
    return UserStrategy(
        kind.name,
        _StrategyCall(kind, base, texts),
        ("bars",),
        tuple(field.name for field in own),
        tuple(name for name in without if name not in base),
        shipped=kind.__module__.startswith("gwt_lab."),
    )


@dataclass(frozen=True)
class _StrategyCall:
    """The weights of a strategy's class with some parameters; a class of its own so that it can be pickled."""

    kind: Any
    base: dict[str, Any]
    texts: dict[str, str]

    def defaults(self) -> dict[str, Any]:
        """Return the parameters that need not be given."""
        held = self.kind._text_fields().values()
        own = [field for field in fields(self.kind) if field.default is not MISSING and field.name not in held]
        return {field.name: field.default for field in own} | self.base

    def __call__(self, bars: Bars, **parameters: Any) -> pd.DataFrame:
        weights: pd.DataFrame = self.kind.from_parameters(self.base | parameters, self.texts).weights(bars)
        return weights


# ------------------------------------------------------------------------------------------------ what came back
def read_output(output: Any, bars: Bars, words: Callable[[], str], shape: tuple[int, int] | None = None) -> Output:
    """Return what a strategy returned in the kernels' shapes.

    Parameters
    ----------
    output : object
        See the module's text.
    bars : Bars
        What it was computed from.
    words : callable
        Returns the call for messages; not called unless something is wrong.
    shape : tuple of int, optional
        (n_times, n_symbols) of the bars, where the caller has them at hand.

    Raises
    ------
    ShapeError
        If kind, length, type or labels are not what the bars want.
    """
    shape = bars.shape if shape is None else shape
    if isinstance(output, tuple):
        if len(output) != 2:
            raise ShapeError(f"{words()} must return a pair (entries, exits), got a tuple of {len(output)}")
        if shape[1] == 1 and all(isinstance(part, np.ndarray) and _is_plain(part, shape[0]) for part in output):
            return Output(output[0][None], output[1][None])
        return Output(_signals(output[0], bars, words, "entries"), _signals(output[1], bars, words, "exits"))
    if isinstance(output, pd.Series) or (isinstance(output, np.ndarray) and output.ndim == 1):
        return Output(weights=_positions(_labelled(output, bars, words, "positions"), bars, words))
    values = _labelled(output, bars, words, "weights")
    if values.shape != shape or values.dtype.kind not in "iuf":
        raise ShapeError(
            f"{words()} must return numbers of shape {shape} as weights, got {values.dtype} of {values.shape}"
        )
    weights = np.ascontiguousarray(values, dtype=np.float64)
    if np.isinf(weights).any():
        raise ShapeError(f"{words()} must return weights that are numbers or NaN (hold), got an infinite one")
    return Output(weights=weights)


def _is_plain(part: np.ndarray, n_times: int) -> bool:
    return part.dtype == np.bool_ and part.shape == (n_times,)


def _labelled(part: Any, bars: Bars, words: Callable[[], str], what: str) -> Any:
    """Return the values of an array, Series or frame; labels that are not the bars' are refused, never aligned."""
    if isinstance(part, np.ndarray):
        return part
    if not isinstance(part, (pd.Series, pd.DataFrame)):
        raise ShapeError(
            f"{words()} must return (entries, exits), weights (DataFrame or array of two dimensions) or positions "
            f"(Series or array of one dimension), got {type(part).__name__} for {what}"
        )
    if not part.index.equals(bars.index):
        raise ShapeError(
            f"{words()}: the index of {what} must be the bars' {bars.n_times} times from {bars.index[0]} to "
            f"{bars.index[-1]}, got {len(part)} rows of {part.index.dtype}: reindex them to bars.index"
        )
    if isinstance(part, pd.DataFrame) and list(part.columns) != bars.symbols:
        raise ShapeError(
            f"{words()}: {what} must have the columns {', '.join(bars.symbols[:6])} in this order, got "
            f"{', '.join(map(str, part.columns[:6]))}"
        )
    return part.to_numpy()


def _signals(part: Any, bars: Bars, words: Callable[[], str], what: str) -> np.ndarray:
    values: np.ndarray = _labelled(part, bars, words, what)
    n_times, n_symbols = bars.shape
    if values.dtype != np.bool_:
        raise ShapeError(f"{words()}: {what} must be of type bool, got {values.dtype}; compare or .astype(bool)")
    if n_symbols == 1 and values.shape in ((n_times,), (n_times, 1)):
        return values.reshape(1, n_times)
    if values.shape != (n_times, n_symbols):
        raise ShapeError(f"{words()}: {what} must have shape {(n_times, n_symbols)}, got {values.shape}")
    return np.ascontiguousarray(values.T)


def _positions(values: np.ndarray, bars: Bars, words: Callable[[], str]) -> np.ndarray:
    """Return positions of one symbol as weights: the target where it changes, NaN (hold) elsewhere."""
    if bars.n_symbols != 1 or values.shape != (bars.n_times,):
        raise ShapeError(
            f"{words()} returned one column of {values.shape[0]} positions for {bars.n_symbols} symbols x "
            f"{bars.n_times} bars; positions stand for one symbol and every bar: return a pair (entries, exits), or "
            "weights with one column a symbol"
        )
    if values.dtype.kind not in "iufb":
        raise ShapeError(f"{words()} must return positions -1, 0 or 1, got {values.dtype}")
    positions = values.astype(np.float64)
    wrong = ~(np.isin(positions, (-1.0, 0.0, 1.0)) | np.isnan(positions))
    if wrong.any():
        raise ShapeError(
            f"{words()} must return positions -1, 0, 1 or NaN (hold), got {positions[np.argmax(wrong)]}; weights are "
            "returned as a DataFrame"
        )
    known = np.flatnonzero(~np.isnan(positions))
    weights = np.full((bars.n_times, 1), np.nan)
    changed = known[np.diff(positions[known], prepend=0.0) != 0]
    weights[changed, 0] = positions[changed]
    return weights


# ------------------------------------------------------------------------------------------------ look-ahead
def arrays_of(bars: Bars, names: Iterable[str]) -> dict[str, Any]:
    """Return the data that a function asks for, arrays read-only; one dimension where there is one symbol."""
    found: dict[str, Any] = {}
    for name in names:
        if name == "bars":
            found[name] = bars
            continue
        values = np.ascontiguousarray(getattr(bars, name).to_numpy(dtype=np.float64))
        values = (values[:, 0] if bars.n_symbols == 1 else values).view()
        values.flags.writeable = False
        found[name] = values
    return found


def check_user_strategy(strategy: UserStrategy, bars: Bars, parameters: dict[str, Any], *, always: bool) -> None:
    """Check one combination of a strategy by truncation and by changing the future; once a process and code.

    Raises
    ------
    CausalityError
        If it looks ahead; the message names the combination and the first leaking time.
    """
    from gwt_lab.validation.causality import check_causal

    mark = code_hash(strategy.function)
    if not always and (strategy.shipped or mark in _CHECKED):
        return

    def decided(cut: Any) -> pd.DataFrame:
        output = strategy.call(arrays_of(cut, strategy.data), parameters)
        read = read_output(output, cut, lambda: call_words(strategy.name, parameters))
        return _decided_frame(read, cut)

    report = check_causal(decided, bars.head(_CHECK_ROWS), n_cuts=_CHECK_CUTS)
    if not report.passed:
        first = min(report.leaks, key=lambda leak: leak.first_timestamp)
        fault = "is not repeatable" if all(leak.law == "repetition" for leak in report.leaks) else "looks ahead"
        raise CausalityError(
            f"{call_words(strategy.name, parameters)} {fault}, first at {first.first_timestamp} in {first.column}: "
            f"{report}; repair it, or pass check=False to evaluate it all the same"
        )
    _CHECKED.add(mark)


def _decided_frame(read: Output, bars: Bars) -> pd.DataFrame:
    if read.weights is not None:
        return pd.DataFrame(read.weights, index=bars.index, columns=[f"weight {name}" for name in bars.symbols])
    both = np.vstack([np.asarray(read.entries), np.asarray(read.exits)]).T
    names = [f"{what} {symbol}" for what in ("entries", "exits") for symbol in bars.symbols]
    return pd.DataFrame(both, index=bars.index, columns=names)


def code_hash(function: Any) -> str:
    """Return a hash of a function's code, of the functions it calls by name, and of what it closes over."""
    digest = hashlib.sha256()
    _hash_into(digest, function, set())
    return digest.hexdigest()


def _hash_into(digest: Any, thing: Any, seen: set[int]) -> None:
    thing = getattr(thing, "py_func", thing)
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, functools.partial):
        for value in (thing.args, sorted(thing.keywords.items())):
            _hash_into(digest, value, seen)
        thing = thing.func
    if isinstance(thing, types.MethodType):
        _hash_into(digest, thing.__func__, seen)
        thing = thing.__self__
    if isinstance(thing, types.FunctionType):
        _hash_code(digest, thing.__code__)
        cells = [cell.cell_contents for cell in thing.__closure__ or () if _filled(cell)]
        called = [thing.__globals__[name] for name in thing.__code__.co_names if name in thing.__globals__]
        inner = [value for value in called if isinstance(getattr(value, "py_func", value), types.FunctionType)]
        for value in (*cells, *(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values(), *inner):
            _hash_into(digest, value, seen)
        return
    if isinstance(thing, type):
        digest.update(f"{thing.__module__}.{thing.__qualname__}".encode())
        for name in sorted(vars(thing)):
            if isinstance(vars(thing)[name], types.FunctionType):
                _hash_into(digest, vars(thing)[name], seen)
        return
    if callable(thing):
        _hash_into(digest, type(thing), seen)
    try:
        digest.update(pickle.dumps(thing, protocol=4))
    except Exception:  # what cannot be pickled is told apart by its class alone
        digest.update(repr(type(thing)).encode())


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _hash_code(digest: Any, code: types.CodeType) -> None:
    digest.update(code.co_code)
    digest.update(repr((code.co_names, code.co_varnames)).encode())
    for value in code.co_consts:
        if isinstance(value, types.CodeType):
            _hash_code(digest, value)
        else:
            # a set's order differs from one process to the next
            told = sorted(map(repr, value)) if isinstance(value, frozenset) else value
            digest.update(repr(told).encode())
