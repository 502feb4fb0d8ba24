"""Which combinations of parameters a sweep evaluates, without writing down a product that nobody asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError
from gwt_lab.kinds import is_whole

__all__ = ["Axes", "Grid", "read_axes"]

# products up to this size are numbered by one integer
_NUMBERED = 2**62
_MOST_VALUES = 10_000_000


@dataclass(frozen=True, eq=False)
class Grid:
    """Combinations of parameters: the values each parameter takes, and which of them each combination has.

    Parameters
    ----------
    names : tuple of str
        Parameters.
    levels : tuple of ndarray
        One array a parameter: the values it takes, each once.
    codes : ndarray of shape (n_combinations, n_parameters), int32
        Positions in `levels`.
    n_product : int
        Size of the product that the combinations were drawn from; their own number where there was none.
    """

    names: tuple[str, ...]
    levels: tuple[np.ndarray, ...]
    codes: np.ndarray
    n_product: int

    def __len__(self) -> int:
        return len(self.codes)

    def values(self, name: str) -> np.ndarray:
        """Return one parameter's value in every combination, shape (n_combinations,)."""
        place = self.names.index(name)
        values: np.ndarray = self.levels[place][self.codes[:, place]]
        return values

    def row(self, number: int) -> dict[str, Any]:
        """Return one combination as plain values."""
        return {name: _plain(self.levels[place][self.codes[number, place]]) for place, name in enumerate(self.names)}

    def only(self, names: Iterable[str]) -> Grid:
        """Return the same combinations with some of the parameters."""
        places = [self.names.index(name) for name in names]
        return Grid(
            tuple(self.names[place] for place in places),
            tuple(self.levels[place] for place in places),
            self.codes[:, places],
            self.n_product,
        )

    def frame(self) -> pd.DataFrame:
        """Return one row a combination, one column a parameter."""
        return pd.DataFrame({name: self.values(name) for name in self.names}, index=range(len(self)))

    def index(self, symbols: list[str]) -> pd.Index:
        """Return the result's index: the parameters, then the symbol; built from codes, without a loop over rows.

        Without parameters it is a plain index of symbols.
        """
        n, k = len(self), len(symbols)
        if not self.names:
            return pd.Index(symbols * n, name="symbol")
        levels, codes = [], []
        for place in range(len(self.names)):
            level, code = self.levels[place], self.codes[:, place]
            if level.dtype.kind == "f" and np.isnan(level).any():
                # a MultiIndex writes a missing value (no stop, say) as code -1
                kept = np.flatnonzero(~np.isnan(level))
                new = np.full(len(level), -1, dtype=np.int32)
                new[kept] = np.arange(len(kept), dtype=np.int32)
                level, code = level[kept], new[code]
            levels.append(pd.Index(level, name=self.names[place]))
            codes.append(np.repeat(code, k) if k > 1 else code)
        levels.append(pd.Index(symbols))
        codes.append(np.tile(np.arange(k, dtype=np.int32), n))
        return pd.MultiIndex(levels=levels, codes=codes, names=[*self.names, "symbol"], verify_integrity=False)


@dataclass(frozen=True, eq=False)
class Axes:
    """A grid before its combinations are written down.

    Parameters
    ----------
    names : tuple of str
        Parameters.
    levels : tuple of ndarray
        Values of each.
    rows : ndarray of shape (n_rows, n_parameters) or None
        Combinations where they were listed one by one; None for the product.
    """

    names: tuple[str, ...]
    levels: tuple[np.ndarray, ...]
    rows: np.ndarray | None = None

    @property
    def n_product(self) -> int:
        """Combinations there are: rows listed, or the size of the product."""
        return len(self.rows) if self.rows is not None else math.prod(len(level) for level in self.levels)

    def every(self) -> Grid:
        """Return all combinations, the last parameter moving fastest."""
        if self.rows is not None:
            return Grid(self.names, self.levels, self.rows, len(self.rows))
        return self._numbered(np.arange(self.n_product))

    def sample(self, n_samples: int, seed: int) -> Grid:
        """Return `n_samples` different combinations drawn at random, in the grid's order; all if there are fewer."""
        if not is_whole(seed) or seed < 0:
            raise ConfigError(f"seed must be a whole number from 0 on, got {seed!r}")
        rng = np.random.default_rng(seed)
        total = self.n_product
        if n_samples >= total:
            return self.every()
        if self.rows is not None:
            chosen = np.sort(rng.choice(total, n_samples, replace=False))
            return Grid(self.names, self.levels, self.rows[chosen], total)
        if total <= _NUMBERED:
            return self._numbered(_draw(rng, total, n_samples))
        codes = np.empty((0, len(self.levels)), dtype=np.int32)
        while len(codes) < n_samples:
            more = [rng.integers(0, len(level), n_samples, dtype=np.int32) for level in self.levels]
            codes = np.unique(np.vstack([codes, np.stack(more, axis=1)]), axis=0)
        kept = np.sort(rng.permutation(len(codes))[:n_samples])
        return Grid(self.names, self.levels, codes[kept], total)

    def _numbered(self, numbers: np.ndarray) -> Grid:
        sizes = [len(level) for level in self.levels]
        codes = np.empty((len(numbers), len(sizes)), dtype=np.int32)
        rest = numbers
        for place in range(len(sizes) - 1, -1, -1):
            rest, codes[:, place] = np.divmod(rest, sizes[place])
        return Grid(self.names, self.levels, codes, self.n_product)


def _draw(rng: np.random.Generator, total: int, n: int) -> np.ndarray:
    """Return `n` different numbers below `total`, sorted; the memory follows `n`."""
    if n * 50 >= total:
        return np.sort(rng.permutation(total)[:n])
    drawn = np.unique(rng.integers(0, total, n))
    while len(drawn) < n:
        drawn = np.union1d(drawn, rng.integers(0, total, n - len(drawn)))
    return drawn


def read_axes(grid: Any, *, optional: Iterable[str] = ()) -> Axes:
    """Return a user's grid as axes.

    Parameters
    ----------
    grid : mapping, DataFrame, list of dict, or None
        A mapping from parameter to its values (list, range, array; a single value stands for itself): the product. A
        DataFrame or a list of dicts: one row a combination. None: one combination without parameters.
    optional : iterable of str
        Parameters that may be None or NaN, which means that they are off.

    Raises
    ------
    ConfigError
        If a parameter has no values, the same value twice, or one that is missing or cannot be compared.
    """
    off = set(optional)
    if grid is None:
        return Axes((), (), np.empty((1, 0), dtype=np.int32))
    if isinstance(grid, list):
        grid = _frame_of_rows(grid)
    if isinstance(grid, pd.DataFrame):
        return _from_frame(grid, off)
    if not isinstance(grid, Mapping):
        raise ConfigError(
            "grid must be a dict of values by parameter (their product), a DataFrame or a list of dicts (one "
            f"combination a row), got {type(grid).__name__}"
        )
    names = _names(grid)
    levels = tuple(_level(name, _listed(grid[name]), name in off) for name in names)
    for name, level in zip(names, levels, strict=True):
        if len(pd.unique(level)) < len(level):
            raise ConfigError(f"grid: {name} holds a value more than once ({_short(level)}); name each once")
    return Axes(names, levels, None if names else np.empty((1, 0), dtype=np.int32))


def _frame_of_rows(rows: list[Any]) -> pd.DataFrame:
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        raise ConfigError("a grid given as a list must hold dicts, one a combination; a dict of lists is a product")
    keys = set(rows[0])
    for number, row in enumerate(rows):
        if set(row) != keys:
            raise ConfigError(
                f"every combination must name the same parameters: row 0 has {', '.join(map(str, rows[0]))}, row "
                f"{number} has {', '.join(map(str, row)) or 'none'}"
            )
    return pd.DataFrame({key: pd.Series([row[key] for row in rows]) for key in rows[0]})


def _from_frame(frame: pd.DataFrame, off: set[str]) -> Axes:
    if frame.empty or not frame.columns.is_unique:
        raise ConfigError(
            f"a grid given as a DataFrame needs one row or more and each parameter once, got {frame.shape[0]} rows and "
            f"columns {', '.join(map(str, frame.columns[:8])) or 'none'}"
        )
    names = _names(frame.columns)
    levels, codes = [], []
    for name in names:
        column = frame[name].to_numpy()
        if not (column.dtype.kind in "iuf" and np.isfinite(column).all()):
            column = _level(name, frame[name].tolist(), name in off)
        code, level = pd.factorize(column, sort=column.dtype.kind != "O", use_na_sentinel=False)
        levels.append(np.asarray(level))
        codes.append(code.astype(np.int32))
    return Axes(names, tuple(levels), np.stack(codes, axis=1))


def _names(names: Iterable[Any]) -> tuple[str, ...]:
    found = tuple(names)
    wrong = [name for name in found if not isinstance(name, str) or not name or name == "symbol"]
    if wrong:
        raise ConfigError(f"grid: parameters are named by text other than 'symbol', got {wrong[0]!r}")
    return found


def _listed(values: Any) -> Any:
    """Return the values of one parameter as a list or, where they are whole numbers already, as an array."""
    if isinstance(values, (str, bytes)) or np.isscalar(values) or not isinstance(values, Iterable):
        return [values]
    if isinstance(values, np.ndarray) and values.ndim == 0:
        return [values.item()]
    if isinstance(values, Sized) and len(values) > _MOST_VALUES:
        raise ConfigError(
            f"grid: a parameter has {len(values):,} values, at most {_MOST_VALUES:,} are taken: coarsen it"
        )
    if isinstance(values, range):
        return np.arange(values.start, values.stop, values.step)
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iu":
        return values
    return list(values)


def _level(name: str, values: Any, may_be_off: bool) -> np.ndarray:
    if isinstance(values, np.ndarray) and len(values):
        return values.copy()
    if not len(values):
        raise ConfigError(f"grid: {name} has no values; give it at least one or leave it away")
    plain = [_plain(value) for value in values]
    missing = [value is None or value != value for value in plain]
    if any(missing):
        if not may_be_off:
            raise ConfigError(f"grid: {name} holds a missing value ({_short(plain)}); leave it out")
        plain = [math.nan if gone else float(value) for gone, value in zip(missing, plain, strict=True)]
    kinds = {type(value) for value in plain}
    if kinds <= {int, float} or kinds == {bool}:
        array = np.asarray(plain)
        if array.dtype.kind in "iufb":
            if array.dtype.kind == "f" and np.isinf(array).any():
                raise ConfigError(f"grid: {name} holds an infinite value; leave it out")
            return array
    out = np.empty(len(plain), dtype=object)
    out[:] = plain
    try:
        set(plain)
    except TypeError:
        raise ConfigError(f"grid: values of {name} must be numbers, text or hashable, got {_short(plain)}") from None
    return out


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, (np.generic, np.ndarray)) and np.ndim(value) == 0 else value


def _short(values: Iterable[Any]) -> str:
    listed = [str(_plain(value)) for value in values]
    return ", ".join(listed[:6]) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")
