"""Checks of moves: redenominations, spikes that revert, wicks, and jumps that no other symbol shares.

A move counts only if it is far out of the symbol's own local scale *and* stays so after the median move of the market
is taken off: a crash that all share is no defect. Volume tells a real move from a wrong tick.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gwt_lab.data.quality.findings import Finding, finding
from gwt_lab.data.quality.panel import Panel, block_median

__all__ = ["Moves", "check_moves", "find_moves"]

# Local standard deviations. Returns of crypto have tails of index about 3: at 15, chance gives one in 10,000 bars a
# one-bar move, and a move that comes back within two bars is rarer by the square.
_SPIKE, _JUMP, _WICK = 15.0, 25.0, 40.0
# Below these a wrong tick does not matter more than a spread.
_LEAST_SPIKE, _LEAST_JUMP, _LEAST_WICK = np.log(1.02), np.log(1.25), np.log(1.20)
# What a spike may leave behind, as a share of itself.
_LEFT_BEHIND = 0.35
# Volume from which a move is taken for real.
_BUSY = 3.0
# Factors of redenominations and splits.
_ROUND = np.log(np.array([2, 3, 4, 5, 8, 10, 15, 20, 25, 30, 40, 50, 100, 200, 500, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]))
_AROUND = 24  # bars on each side that show a level


@dataclass(frozen=True)
class Moves:
    """Moves of one symbol; rows of the panel, and log sizes of the same shape.

    Parameters
    ----------
    spikes, wicks, jumps, redenominations : tuple of (ndarray of rows, ndarray of log sizes)
    """

    spikes: tuple[np.ndarray, np.ndarray]
    wicks: tuple[np.ndarray, np.ndarray]
    jumps: tuple[np.ndarray, np.ndarray]
    redenominations: tuple[np.ndarray, np.ndarray]


def check_moves(panel: Panel) -> Iterator[Finding]:
    """Look for moves that are no market moves."""
    for column, (symbol, moves) in enumerate(zip(panel.symbols, find_moves(panel), strict=True)):
        yield from _redenominations(panel, symbol, moves.redenominations)
        yield from _spikes(panel, symbol, column, moves.spikes)
        yield from _soft(panel, symbol, column, "wick", moves.wicks)
        yield from _soft(panel, symbol, column, "jump", moves.jumps)


def find_moves(panel: Panel) -> Iterator[Moves]:
    """Yield the moves of each symbol that are far out of its own scale and that the market did not make."""
    upper, lower = _wicks(panel)
    for column in range(panel.n_symbols):
        yield _moves_of(panel, column, upper[:, column], lower[:, column])


def _moves_of(panel: Panel, column: int, upper: np.ndarray, lower: np.ndarray) -> Moves:
    rows = np.flatnonzero(~np.isnan(panel.log_close[:, column]))
    price = panel.log_close[rows, column]
    # the move of the market since the symbol's last bar, however long ago that was
    own = price - np.cumsum(panel.market)[rows]
    scale = panel.scale[rows, column]
    redenominated = _level_jumps(panel, column, rows, price)
    steps = np.zeros(len(price))
    steps[redenominated[0]] = redenominated[1]
    price, own = price - np.cumsum(steps), own - np.cumsum(steps)
    spike = _reverting(price, own, scale)
    jump = _staying(price, own, scale, spike)
    wick = np.where(upper[rows] > -lower[rows], upper[rows], lower[rows])
    return Moves(
        spikes=_at(rows, spike),
        wicks=_at(rows, np.where(spike != 0, 0.0, wick)),
        jumps=_at(rows, jump),
        redenominations=(rows[redenominated[0]], redenominated[1]),
    )


def _at(rows: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = size != 0
    return rows[found], size[found]


def _reverting(price: np.ndarray, own: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the log size of excursions of one or two bars that come back, 0 elsewhere."""
    size = np.zeros(len(price))
    for length in (1, 2):
        if len(price) < length + 2:
            break
        both = [_excursion(path, length) for path in (price, own)]
        smaller = np.where(np.abs(both[0]) < np.abs(both[1]), both[0], both[1])
        wanted = np.maximum(_SPIKE * scale[1:-length], _LEAST_SPIKE)
        far = (np.abs(smaller) > wanted) & (both[0] * both[1] > 0)
        for at in np.flatnonzero(far) + 1:
            # a longer one is not also a shorter one that began beside it
            if not size[at : at + length].any():
                size[at : at + length] = smaller[at - 1]
    return size


def _excursion(path: np.ndarray, length: int) -> np.ndarray:
    """Return by how much bars t .. t+length-1 lie off the bars before and after them; 0 if those differ too."""
    n = len(path) - length
    out = path[1:n] - path[: n - 1]
    back = path[length : n + length - 1] - path[length + 1 : n + length]
    size = np.where(np.abs(out) < np.abs(back), out, back)
    left = np.abs(path[length + 1 : n + length] - path[: n - 1])
    inner = np.abs(path[length : n + length - 1] - path[1:n])
    comes_back = (out * back > 0) & (left <= _LEFT_BEHIND * np.abs(size)) & (inner <= 0.5 * np.abs(size))
    return np.where(comes_back, size, 0.0)


def _staying(price: np.ndarray, own: np.ndarray, scale: np.ndarray, spike: np.ndarray) -> np.ndarray:
    """Return the log size of moves that no other symbol shares and that stay, 0 elsewhere."""
    size = np.zeros(len(price))
    if len(price) < 3:
        return size
    moves = [np.diff(path, prepend=path[0]) for path in (price, own)]
    smaller = np.where(np.abs(moves[0]) < np.abs(moves[1]), moves[0], moves[1])
    far = (np.abs(smaller) > np.maximum(_JUMP * scale, _LEAST_JUMP)) & (moves[0] * moves[1] > 0)
    beside = (spike != 0) | np.r_[False, spike[:-1] != 0]
    return np.where(far & ~beside, smaller, 0.0)


def _level_jumps(panel: Panel, column: int, rows: np.ndarray, price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the level jumps by a round factor *between* two bars while the volume jumps inversely.

    A real move of such a size is traded, so it happens inside of bars and raises the volume.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        opened = np.log(panel.open[rows, column])
        volume = panel.volume[rows, column]
    between = np.r_[0.0, opened[1:] - price[:-1]]
    at = np.flatnonzero(np.abs(between) > np.log(1.8))
    kept = []
    for row in at[np.isfinite(between[at])]:
        before, after = slice(max(row - _AROUND, 0), row), slice(row, row + _AROUND)
        level = np.median(price[after]) - np.median(price[before])
        factor = _ROUND[np.argmin(np.abs(_ROUND - np.abs(between[row])))] * np.sign(between[row])
        stays = abs(level - factor) < 0.25 * abs(factor) and abs(between[row] - factor) < 0.05 * min(abs(factor), 2)
        if stays and _volume_inverse(volume[before], volume[after], factor):
            kept.append((row, factor))
    if not kept:
        return np.array([], dtype=np.int64), np.array([])
    where, factors = zip(*kept, strict=True)
    return np.array(where), np.array(factors)


def _volume_inverse(before: np.ndarray, after: np.ndarray, factor: float) -> bool:
    """Return whether volume changed by about 1/factor; true too where volume is not known and the factor is large."""
    before, after = before[before > 0], after[after > 0]
    if len(before) < 5 or len(after) < 5:
        return bool(abs(factor) > np.log(9))
    change = np.log(np.median(after)) - np.log(np.median(before))
    return bool(abs(change + factor) < max(0.5 * abs(factor), 0.35))


def _wicks(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Return highs and lows far beyond the closes around them, as logs; 0 unless they are far out and alone."""
    n = panel.n_symbols
    price = panel.log_close[:, :n]
    before = price - panel.returns[:, :n]
    out = []
    for values, sign in ((panel.high, 1.0), (panel.low, -1.0)):
        good = np.isfinite(values) & (values > 0)
        extreme = sign * np.log(values, out=np.full(values.shape, np.nan), where=good)
        # NaN for a symbol's first bar: a venue's first trades have no price to be far from
        size = np.maximum(extreme - np.maximum(sign * price, sign * before), 0.0)
        usual = block_median(np.where(size > 0, size, np.nan))
        shared = np.sort(np.nan_to_num(size), axis=1)[:, n // 2, None] if n >= 3 else 0.0
        with np.errstate(invalid="ignore"):
            far = size - shared > np.fmax(_WICK * usual, _LEAST_WICK)
        out.append(np.where(far, sign * size, 0.0))
    return out[0], out[1]


# ------------------------------------------------------------------------------------------------ findings
def _redenominations(panel: Panel, symbol: str, found: tuple[np.ndarray, np.ndarray]) -> Iterator[Finding]:
    for row, size in zip(*found, strict=True):
        factor = np.exp(abs(size))
        text = f"times {factor:,.0f}" if size > 0 else f"to 1 in {factor:,.0f}"
        yield finding(
            "redenomination", symbol, "error", panel.times_ns(np.array([row])),
            what=f"the price goes {text} between two bars and stays there, the volume inversely",
            do="bring the bars before it to the new unit (repair rescale)",
        )  # fmt: skip


def _spikes(panel: Panel, symbol: str, column: int, found: tuple[np.ndarray, np.ndarray]) -> Iterator[Finding]:
    rows, sizes = found
    busy = panel.relative_volume[rows, column] >= _BUSY
    gross = (np.abs(sizes) > np.log(2)) & ~busy
    for severity, mask in (("error", gross), ("warning", ~gross & ~busy), ("info", busy)):
        if mask.any():
            worst = sizes[mask][np.argmax(np.abs(sizes[mask]))]
            more = "; the volume was high, so it may be real" if severity == "info" else ""
            yield finding(
                "spike", symbol, severity, panel.times_ns(rows[mask]),
                what=f"a move of {np.expm1(worst):+.0%} came back within two bars and no other symbol made it{more}",
                do="compare with another source"
                + ("" if severity == "info" else "; blank a wrong tick (repair blank-spikes)"),
            )  # fmt: skip


def _soft(
    panel: Panel, symbol: str, column: int, check: str, found: tuple[np.ndarray, np.ndarray]
) -> Iterator[Finding]:
    rows, sizes = found
    busy = panel.relative_volume[rows, column] >= _BUSY
    for severity, mask in (("warning", ~busy), ("info", busy)):
        if mask.any():
            worst = sizes[mask][np.argmax(np.abs(sizes[mask]))]
            how = "stayed" if check == "jump" else "was gone by the close"
            more = "the volume was high, so it is probably real" if severity == "info" else "the volume was usual"
            yield finding(
                check, symbol, severity, panel.times_ns(rows[mask]),
                what=f"a move of {np.expm1(worst):+.0%} {how}, no other symbol made it; {more}",
                do="compare with another source",
            )  # fmt: skip
