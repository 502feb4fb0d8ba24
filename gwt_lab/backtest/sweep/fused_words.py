"""Signals as bits: 64 bars in a word, eight comparisons at a time.

A row of signals is a row of 64-bit words; bit k of word j is bar 64 j + k. Rows of numbers that are compared are padded
to whole words with NaN, whose comparisons are false. Flat stretches and stretches without a signal then cost a test per
64 bars, and a sweep's signals need a quarter of a byte a bar.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gwt_lab.kernels import kernel
from gwt_lab.strategies.ma_cross import TIE

__all__ = [
    "LANES",
    "TIE",
    "above_and_below",
    "cross_rows",
    "crossing_words",
    "level_words",
    "lowest_and_highest",
    "missing_words",
    "n_words",
    "pack",
    "trailing_zeros",
]

# Rows are compared in tiles of this many words, so that all rows of a tile stay in the processor's cache.
_TILE = 32
LANES = 8
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_BITS = np.uint64(63)


def n_words(n_times: int) -> int:
    """Return how many words hold a bit for each of `n_times` bars."""
    return (n_times + 63) // 64


@intrinsic
def trailing_zeros(typing_context: Any, word: Any) -> Any:
    """Return the place of the lowest set bit of a 64-bit word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


def _load(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    """Return eight neighbouring numbers of an array as one vector."""
    vector = ir.VectorType(ir.DoubleType(), LANES)
    data = context.make_array(kind)(context, builder, array).data
    value = builder.load(builder.bitcast(builder.gep(data, [place]), vector.as_pointer()))
    value.align = 8
    return value


def _many(value: float) -> Any:
    return ir.Constant(ir.VectorType(ir.DoubleType(), LANES), [value] * LANES)


def _all_lanes(builder: Any, number: Any) -> Any:
    """Return a vector whose lanes are all `number`."""
    empty = ir.Constant(ir.VectorType(ir.DoubleType(), LANES), ir.Undefined)
    one = builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, empty, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def _sides(builder: Any, left: Any, right: Any, size: Any) -> list[Any]:
    """Return two bytes: where `left` lies above `right` by more than a tie of numbers of this size, where below."""
    gap = builder.fsub(left, right)
    above = builder.fcmp_ordered(">", gap, builder.fmul(size, _many(TIE)))
    below = builder.fcmp_ordered("<", gap, builder.fmul(size, _many(-TIE)))
    return [builder.bitcast(side, ir.IntType(8)) for side in (above, below)]


@intrinsic
def _compare(typing_context: Any, left: Any, right: Any, place: Any) -> Any:
    """Return two bytes: where eight numbers lie above their partners, where below; ties and NaN in neither."""
    signature = types.UniTuple(types.uint8, 2)(left, right, place)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a = _load(context, builder, signature.args[0], arguments[0], arguments[2])
        b = _load(context, builder, signature.args[1], arguments[1], arguments[2])
        return context.make_tuple(builder, signature.return_type, _sides(builder, a, b, b))

    return signature, generate


@intrinsic
def _nan(typing_context: Any, row: Any, place: Any) -> Any:
    """Return a byte: which of eight numbers are NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a = _load(context, builder, signature.args[0], *arguments)
        return builder.bitcast(builder.fcmp_unordered("uno", a, a), ir.IntType(8))

    return types.uint8(row, place), generate


@intrinsic
def _compare_level(typing_context: Any, row: Any, base: Any, spread: Any, factor: Any, width: Any, place: Any) -> Any:
    """Return `_compare` of eight numbers with a factor of a second row plus a factor of a third."""
    signature = types.UniTuple(types.uint8, 2)(row, base, spread, factor, width, place)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b, c = (_load(context, builder, signature.args[k], arguments[k], arguments[5]) for k in range(3))
        factors = [_all_lanes(builder, number) for number in arguments[3:5]]
        level = builder.fadd(builder.fmul(b, factors[0]), builder.fmul(c, factors[1]))
        size = builder.select(builder.fcmp_ordered("<", level, _many(0.0)), builder.fsub(_many(0.0), level), level)
        return context.make_tuple(builder, signature.return_type, _sides(builder, a, level, size))

    return signature, generate


def _extreme(builder: Any, sign: str, a: Any, b: Any) -> Any:
    """Return the lane-wise smaller ("<") or larger (">") of two vectors."""
    return builder.select(builder.fcmp_ordered(sign, a, b), a, b)


def _over_lanes(builder: Any, sign: str, vector: Any) -> Any:
    """Return the smallest or largest lane of a vector, halving it three times."""
    width = LANES
    while width > 1:
        width //= 2
        halves = [
            builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(ir.IntType(32), width), [*lanes]))
            for lanes in (range(width), range(width, 2 * width))
        ]
        vector = _extreme(builder, sign, *halves)
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


@intrinsic
def lowest_and_highest(typing_context: Any, row: Any, start: Any, stop: Any) -> Any:
    """Return the extremes of `row[start:stop]`, eight or more numbers without NaN; the last eight may overlap."""
    signature = types.UniTuple(types.float64, 2)(row, types.intp, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, first, last = arguments
        lanes = ir.Constant(first.type, LANES)
        ends = [_load(context, builder, signature.args[0], array, place) for place in (first, builder.sub(last, lanes))]
        kept = {sign: cgutils.alloca_once_value(builder, _extreme(builder, sign, *ends)) for sign in "<>"}
        inner = (builder.add(first, lanes), builder.sub(last, lanes), lanes)
        with cgutils.for_range_slice(builder, *inner, intp=first.type) as (place, _):
            eight = _load(context, builder, signature.args[0], array, place)
            for sign, pointer in kept.items():
                builder.store(_extreme(builder, sign, builder.load(pointer), eight), pointer)
        found = [_over_lanes(builder, sign, builder.load(pointer)) for sign, pointer in kept.items()]
        return context.make_tuple(builder, signature.return_type, found)

    return signature, generate


@kernel
def above_and_below(
    left_rows: np.ndarray,
    left: np.ndarray,
    right_rows: np.ndarray,
    right: np.ndarray,
    above: np.ndarray,
    below: np.ndarray,
) -> None:
    """Compare pairs of rows and write where the first lies above and where below the second.

    Parameters
    ----------
    left_rows, right_rows : ndarray of shape (n_rows, 64 * n_words)
        Positive numbers, padded with NaN.
    left, right : ndarray of shape (n_pairs,), int64
        Which rows.
    above, below : ndarray of shape (n_pairs, 8 * n_words), uint8
        Written; the bytes of words.
    """
    n_bytes = above.shape[1]
    for start in range(0, n_bytes, 8 * _TILE):
        stop = min(start + 8 * _TILE, n_bytes)
        for p in range(len(left)):
            a, b = left_rows[left[p]], right_rows[right[p]]
            up, down = above[p], below[p]
            for k in range(start, stop):
                up[k], down[k] = _compare(a, b, 8 * k)


@kernel
def level_words(
    rows: np.ndarray,
    row: np.ndarray,
    base_rows: np.ndarray,
    base: np.ndarray,
    spread_rows: np.ndarray,
    spread: np.ndarray,
    base_factor: np.ndarray,
    spread_factor: np.ndarray,
    above: bool,
    words: np.ndarray,
) -> None:
    """Write where rows lie above (else below) levels: a factor of a second row plus a factor of a third.

    Parameters
    ----------
    rows, base_rows, spread_rows : ndarray of shape (n_rows, 64 * n_words)
        Numbers, padded with NaN.
    row, base, spread : ndarray of shape (n_combos,), int64
        Which rows each combination compares.
    base_factor, spread_factor : ndarray of shape (n_combos,)
    words : ndarray of shape (n_combos, 8 * n_words), uint8
        Written; the bytes of words.
    """
    for c in range(len(row)):
        a, b, d = rows[row[c]], base_rows[base[c]], spread_rows[spread[c]]
        for k in range(words.shape[1]):
            high, low = _compare_level(a, b, d, base_factor[c], spread_factor[c], 8 * k)
            words[c, k] = high if above else low


@kernel
def missing_words(rows: np.ndarray, words: np.ndarray) -> None:
    """Write where padded rows, (n_rows, 64 * n_words), are NaN: bytes of words, (n_rows, 8 * n_words)."""
    for r in range(len(rows)):
        row, out = rows[r], words[r]
        for k in range(len(out)):
            out[k] = _nan(row, 8 * k)


@kernel
def crossing_words(above: np.ndarray, below: np.ndarray, missing: np.ndarray, patience: int) -> None:
    """Turn "above" and "below" into "crossed to above" and "crossed to below", in place.

    A crossing is the first bar on one side after the other side was seen. Bars of equality in between do not count, up
    to `patience` of them; a missing bar forgets the side.
    """
    side, age = 0, 0
    for j in range(len(above)):
        up, down = above[j], below[j]
        if (up | down) == _ALL and side != 0:
            # no tie, nothing missing: a bar crosses where the bar before lies on the other side
            before = (up << _ONE) | np.uint64(side == 1)
            above[j] = up & ~before
            below[j] = down & before
            side, age = (1 if up >> _BITS else -1), 0
            continue
        if missing[j] == _ALL:
            above[j], below[j], side, age = np.uint64(0), np.uint64(0), 0, 0
            continue
        crossed_up, crossed_down = np.uint64(0), np.uint64(0)
        for k in range(64):
            bit = _ONE << np.uint64(k)
            if missing[j] & bit:
                side, age = 0, 0
            elif up & bit:
                if side == -1:
                    crossed_up |= bit
                side, age = 1, 0
            elif down & bit:
                if side == 1:
                    crossed_down |= bit
                side, age = -1, 0
            else:
                age += 1
                if age > patience:
                    side = 0
        above[j], below[j] = crossed_up, crossed_down


@kernel
def cross_rows(
    above: np.ndarray, below: np.ndarray, missing: np.ndarray, which: np.ndarray, patience: np.ndarray
) -> None:
    """Run `crossing_words` over every pair; `which` says which row of `missing` is a pair's."""
    for p in range(len(above)):
        crossing_words(above[p], below[p], missing[which[p]], patience[p])


@kernel
def pack(flags: np.ndarray, words: np.ndarray) -> None:
    """Write rows of booleans, (n_rows, n_times), as rows of words."""
    n_times = flags.shape[1]
    for r in range(len(flags)):
        for j in range(words.shape[1]):
            word = np.uint64(0)
            start = 64 * j
            for k in range(min(64, n_times - start)):
                word |= np.uint64(flags[r, start + k]) << np.uint64(k)
            words[r, j] = word
