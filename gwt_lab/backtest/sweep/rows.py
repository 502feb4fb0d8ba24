"""Which rows of indicators a sweep needs: each once, however many combinations share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gwt_lab.backtest.sweep.fused_words import missing_words, n_words

if TYPE_CHECKING:
    from gwt_lab.backtest.sweep.families import SweepMarket

__all__ = ["RowKind", "RowPool", "Rows", "Uses"]


@dataclass(frozen=True)
class RowKind:
    """A kind of indicator.

    Parameters
    ----------
    name : str
    write : callable
        ``write(market, symbol, keys, rows)`` writes the rows, (n_keys, n_times or more), of keys (n_keys, n_columns).
    """

    name: str
    write: Callable[[SweepMarket, int, np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class Rows:
    """Rows of one kind of one symbol.

    Parameters
    ----------
    values : ndarray of shape (n_keys, 64 * n_words)
        Padded with NaN.
    missing : ndarray of shape (n_keys, n_words), uint64
        Where they are NaN.
    """

    values: np.ndarray
    missing: np.ndarray

    @classmethod
    def empty(cls, n_rows: int, n_times: int) -> Rows:
        """Return rows that are not written yet, but for the padding."""
        values = np.empty((n_rows, 64 * n_words(n_times)))
        values[:, n_times:] = np.nan
        return cls(values, np.empty((n_rows, n_words(n_times)), dtype=np.uint64))


# kind of row -> names of the parameters that make one, once for each row that a combination needs
Uses = tuple[tuple[RowKind, tuple[str, ...]], ...]
Placed = tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True)
class RowPool:
    """The rows that combinations need.

    Parameters
    ----------
    kinds : tuple of RowKind
        Each once.
    keys : list of ndarray of shape (n_keys, n_columns)
        Of each kind, what makes its rows, sorted.
    uses : tuple of (int, tuple of int)
        For each row that a combination needs: which kind, and which columns of the parameters.
    index : list of ndarray of shape (n_combos,), int64
        For each use, which row each combination needs.
    """

    kinds: tuple[RowKind, ...]
    keys: list[np.ndarray]
    uses: Placed
    index: list[np.ndarray]

    @classmethod
    def of(cls, uses: Uses, names: tuple[str, ...], params: np.ndarray) -> RowPool:
        """Return the pool of combinations `params` (n_combos, n_params), whose columns have `names`."""
        kinds = tuple(dict.fromkeys(kind for kind, _ in uses))
        placed = tuple((kinds.index(kind), tuple(names.index(name) for name in columns)) for kind, columns in uses)
        return cls._of(kinds, placed, params)

    @classmethod
    def _of(cls, kinds: tuple[RowKind, ...], uses: Placed, params: np.ndarray) -> RowPool:
        keys: list[np.ndarray] = []
        index: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(uses)
        for place in range(len(kinds)):
            mine = [use for use, (kind, _) in enumerate(uses) if kind == place]
            found, which = _distinct(np.concatenate([params[:, list(uses[use][1])] for use in mine]))
            keys.append(found)
            for use, part in zip(mine, np.split(which, len(mine)), strict=True):
                index[use] = part
        return cls(kinds, keys, uses, index)

    @property
    def n_rows(self) -> int:
        """Rows of all kinds, of one symbol."""
        return sum(len(keys) for keys in self.keys)

    def part(self, params: np.ndarray) -> RowPool:
        """Return the pool of some combinations alone."""
        return self._of(self.kinds, self.uses, params)

    def look_up(self, part: RowPool) -> RowPool:
        """Return this pool with the combinations of a part of it: all rows stay where they are."""
        moved = [_places(kept, asked) for kept, asked in zip(self.keys, part.keys, strict=True)]
        index = [moved[kind][rows] for (kind, _), rows in zip(self.uses, part.index, strict=True)]
        return RowPool(self.kinds, self.keys, self.uses, index)

    def make(self, market: SweepMarket, symbol: int, into: list[Rows] | None = None) -> list[Rows]:
        """Return the rows of one symbol, by kind; written over those of another symbol if they are given."""
        n_times = market.close.shape[1]
        made = into if into is not None else [Rows.empty(len(keys), n_times) for keys in self.keys]
        for kind, keys, rows in zip(self.kinds, self.keys, made, strict=True):
            kind.write(market, symbol, keys, rows.values)
            missing_words(rows.values, rows.missing.view(np.uint8))
        return made


def _distinct(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct rows of a table, sorted, and which of them each row is."""
    codes = np.zeros(len(columns), dtype=np.int64)
    for column in columns.T:
        levels, which = np.unique(column, return_inverse=True)
        codes = codes * len(levels) + which
    _, first, which = np.unique(codes, return_index=True, return_inverse=True)
    return columns[first], which


def _places(kept: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return which rows of `kept` the rows of `asked` are."""
    there = {tuple(row): place for place, row in enumerate(kept.tolist())}
    return np.array([there[tuple(row)] for row in asked.tolist()], dtype=np.int64)
