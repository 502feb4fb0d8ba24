"""The curves behind the stylised facts: tails, memory, cross-section, volume and the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from gwt_lab.errors import DataError
from gwt_lab.market.bars import Bars

__all__ = ["AGGREGATES", "LAGS", "WINDOW", "Curves", "marchenko_pastur"]

AGGREGATES = (1, 2, 4, 8, 24, 72, 168)
LAGS = (1, 2, 3, 4, 6, 8, 12, 18, 24, 36, 48, 72, 96, 120, 168, 240, 336)
# Bars of one correlation matrix: a week of hours.
WINDOW = 168
_TAIL_SHARE = 0.05

Matrix = np.ndarray


def _pair_mean(left: Matrix, right: Matrix) -> Matrix:
    """Return the mean product of each column over the rows that both have, shape (n_symbols,)."""
    both = np.isfinite(left) & np.isfinite(right)
    total = np.where(both, left, 0.0) * np.where(both, right, 0.0)
    return np.asarray(total.sum(axis=0) / np.maximum(both.sum(axis=0), 1))


def _standard(values: Matrix) -> Matrix:
    return np.asarray((values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0))


def _lagged(left: Matrix, right: Matrix, lag: int) -> Matrix:
    """Return the correlation of `left[t]` with `right[t + lag]` of each column."""
    first, second = _standard(left), _standard(right)
    return _pair_mean(first[: len(first) - lag], second[lag:])


def marchenko_pastur(ratio: float, variance: float) -> tuple[float, float, Callable[[Matrix], Matrix]]:
    """Return the edges and the density of eigenvalues of a pure-noise correlation matrix.

    Parameters
    ----------
    ratio : float
        Symbols per bar of the window, below 1.
    variance : float
        Of the noise.

    References
    ----------
    .. [1] Marchenko, Pastur, "Distribution of eigenvalues for some sets of random matrices", Mathematics of the
       USSR-Sbornik 1, 1967.
    """
    low, high = variance * (1 - np.sqrt(ratio)) ** 2, variance * (1 + np.sqrt(ratio)) ** 2

    def density(values: Matrix) -> Matrix:
        inside = np.clip((high - values) * (values - low), 0, None)
        return np.asarray(np.sqrt(inside) / (2 * np.pi * ratio * variance * np.maximum(values, 1e-12)))

    return float(low), float(high), density


@dataclass(frozen=True, eq=False)
class Curves:
    """What is drawn and summarised of a market's bars.

    Parameters
    ----------
    bars : Bars
        At least 1,000 rows and 3 symbols; missing bars stay missing.
    """

    bars: Bars

    def __post_init__(self) -> None:
        if self.bars.n_times < 1000 or self.bars.n_symbols < 3:
            raise DataError(
                f"stylised facts need at least 1,000 bars of 3 symbols, got {self.bars.n_times:,} of "
                f"{self.bars.n_symbols}: ask for a longer span or more symbols"
            )

    @cached_property
    def returns(self) -> Matrix:
        """Log returns from close to close, shape (n_times, n_symbols); NaN at gaps."""
        log = np.log(self.bars.close.to_numpy())
        return np.asarray(np.vstack([np.full((1, log.shape[1]), np.nan), np.diff(log, axis=0)]))

    @cached_property
    def sizes(self) -> Matrix:
        """Absolute returns."""
        return np.asarray(np.abs(self.returns))

    @cached_property
    def turnover(self) -> Matrix:
        """Traded value of each bar, quote currency; the close stands for the price where it is not known."""
        quote = self.bars.quote_volume
        return np.asarray((self.bars.volume * self.bars.close if quote is None else quote).to_numpy())

    # -------------------------------------------------------------------------------------------- tails
    @cached_property
    def tail_index(self) -> Matrix:
        """Hill's estimate from the largest 5 % of absolute returns, shape (n_symbols,)."""
        found = []
        for column in self.sizes.T:
            largest = np.sort(column[np.isfinite(column)])[::-1]
            count = int(_TAIL_SHARE * len(largest))
            found.append(1 / np.mean(np.log(largest[:count] / largest[count])))
        return np.array(found)

    def tail(self, points: Matrix) -> Matrix:
        """Return P(|r| > x standard deviations) over all symbols for each x."""
        scaled = np.abs(_standard(self.returns))
        scaled = np.sort(scaled[np.isfinite(scaled)])
        return np.asarray(1 - np.searchsorted(scaled, points, side="right") / len(scaled))

    @cached_property
    def kurtosis(self) -> Matrix:
        """Kurtosis of returns over each of `AGGREGATES` bars, shape (n_aggregates, n_symbols)."""
        rows = []
        for count in AGGREGATES:
            blocks = len(self.returns) // count
            summed = self.returns[: blocks * count].reshape(blocks, count, -1).sum(axis=1)
            scaled = _standard(summed)
            rows.append(np.nanmean(scaled**4, axis=0))
        return np.array(rows)

    def variance_ratio(self, count: int) -> Matrix:
        """Return Var(r over `count` bars) / (count Var(r)) of each symbol, from overlapping sums."""
        summed = np.lib.stride_tricks.sliding_window_view(self.returns, count, axis=0).sum(axis=-1)
        return np.asarray(np.nanvar(summed, axis=0) / (count * np.nanvar(self.returns, axis=0)))

    # -------------------------------------------------------------------------------------------- memory
    def autocorrelation(self, lags: tuple[int, ...] = LAGS) -> Matrix:
        """Return corr(r[t], r[t+lag]), shape (n_lags, n_symbols)."""
        return np.array([_lagged(self.returns, self.returns, lag) for lag in lags])

    def size_autocorrelation(self, lags: tuple[int, ...] = LAGS) -> Matrix:
        """Return corr(|r[t]|, |r[t+lag]|), shape (n_lags, n_symbols)."""
        return np.array([_lagged(self.sizes, self.sizes, lag) for lag in lags])

    def leverage(self, lags: tuple[int, ...]) -> Matrix:
        """Return corr(r[t], |r[t+lag]|), shape (n_lags, n_symbols); negative lags look at sizes before."""
        pairs = ((self.returns, self.sizes, lag) if lag >= 0 else (self.sizes, self.returns, -lag) for lag in lags)
        return np.array([_lagged(*pair) for pair in pairs])

    # -------------------------------------------------------------------------------------------- cross-section
    @cached_property
    def _windows(self) -> list[Matrix]:
        """Returns of each whole week, symbols that miss a bar left out; at least 3 symbols."""
        found = []
        for first in range(1, len(self.returns) - WINDOW + 1, WINDOW):
            week = self.returns[first : first + WINDOW]
            week = week[:, np.isfinite(week).all(axis=0) & (np.nan_to_num(week).std(axis=0) > 0)]
            if week.shape[1] >= 3:
                found.append(week)
        if not found:
            raise DataError(f"no {WINDOW} bars in a row are complete for 3 symbols: ask for symbols with fewer gaps")
        return found

    @cached_property
    def spectra(self) -> list[Matrix]:
        """Eigenvalues of each week's correlation matrix, largest first."""
        return [np.linalg.eigvalsh(np.corrcoef(week.T))[::-1] for week in self._windows]

    @cached_property
    def market_share(self) -> Matrix:
        """Share of the variance in the first eigenvector, shape (n_weeks,)."""
        return np.array([values[0] / len(values) for values in self.spectra])

    @cached_property
    def beyond_noise(self) -> Matrix:
        """Share of eigenvalues above the noise's upper edge once the market's is taken off, shape (n_weeks,)."""
        shares = []
        for values in self.spectra:
            n_symbols = len(values)
            edge = marchenko_pastur(n_symbols / WINDOW, 1 - values[0] / n_symbols)[1]
            shares.append(np.mean(values > edge))
        return np.array(shares)

    @cached_property
    def mean_correlation(self) -> Matrix:
        """Mean correlation between symbols, shape (n_weeks,)."""
        found = []
        for week in self._windows:
            matrix = np.corrcoef(week.T)
            found.append((matrix.sum() - len(matrix)) / (len(matrix) * (len(matrix) - 1)))
        return np.array(found)

    @cached_property
    def weekly_size(self) -> Matrix:
        """Mean absolute return of the average symbol, shape (n_weeks,)."""
        return np.array([np.abs(week.mean(axis=1)).mean() for week in self._windows])

    # -------------------------------------------------------------------------------------------- volume and clock
    @cached_property
    def volume_correlation(self) -> Matrix:
        """Correlation of |r| with the bar's traded value, shape (n_symbols,)."""
        return _lagged(self.sizes, self.turnover, 0)

    def volume_by_size(self, edges: Matrix) -> Matrix:
        """Return the median traded value, relative to the symbol's median, where |r| / median |r| lies in each bin."""
        size = self.sizes / np.nanmedian(self.sizes, axis=0)
        traded = self.turnover / np.nanmedian(self.turnover, axis=0)
        place = np.digitize(size.ravel(), edges)
        values = pd.Series(traded.ravel()[np.isfinite(size.ravel())])
        medians = values.groupby(place[np.isfinite(size.ravel())]).agg(["median", "size"])
        # a bin of a handful of bars says nothing
        medians.loc[medians["size"] < 20, "median"] = np.nan
        return np.asarray(medians["median"].reindex(range(1, len(edges))).to_numpy())

    @cached_property
    def by_hour(self) -> Matrix:
        """Mean |r| by hour of the day (UTC) over the symbol's mean, shape (24, n_symbols)."""
        return np.asarray(self._relative_size(self.bars.index.hour).reindex(range(24)))

    @cached_property
    def by_day(self) -> Matrix:
        """Mean |r| by day of the week, Monday first, over the symbol's mean, shape (7, n_symbols)."""
        return np.asarray(self._relative_size(self.bars.index.day_of_week).reindex(range(7)))

    def _relative_size(self, keys: pd.Index) -> pd.DataFrame:
        sizes = pd.DataFrame(self.sizes)
        return sizes.groupby(np.asarray(keys)).mean() / sizes.mean()

    @cached_property
    def range_ratio(self) -> Matrix:
        """Variance from high and low (Parkinson 1980) over that from open and close, shape (n_symbols,)."""
        bars = self.bars
        reach = np.log(bars.high.to_numpy() / bars.low.to_numpy()) ** 2 / (4 * np.log(2))
        move = np.log(bars.close.to_numpy() / bars.open.to_numpy()) ** 2
        return np.asarray(np.nanmean(reach, axis=0) / np.nanmean(move, axis=0))
