"""The audit of other people's results: how much of them is skill, how much luck, and how deep they may fall."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gwt_lab.errors import ConfigError, DataError, ShapeError, UnknownNameError
from gwt_lab.validation.audit_checks import (
    Frequency,
    check_returns,
    few_moves,
    frequency_of,
    large_returns,
)
from gwt_lab.validation.audit_sources import Source, read_source
from gwt_lab.validation.audit_trials import AuditTrials, trials_borne
from gwt_lab.validation.bootstrap import DrawdownOdds, block_length, drawdown_odds, moment_intervals
from gwt_lab.validation.ledger import DeflatedSharpe
from gwt_lab.validation.overfitting import BacktestOverfitting, probability_of_backtest_overfitting
from gwt_lab.validation.sharpe import is_number, min_track_record_length, probabilistic_sharpe_ratio
from gwt_lab.validation.statistics import Interval

__all__ = ["Audit", "audit"]

FloatArray = npt.NDArray[np.float64]

_MOST_INTERVALS = 50  # strategies whose intervals are resampled


@dataclass(frozen=True)
class Compared:
    """The best strategy beside a benchmark, per period.

    Parameters
    ----------
    sharpe, total_return, max_drawdown : float
        Of the benchmark.
    probability : float
        That the strategy's true Sharpe ratio exceeds the benchmark's, taken as known.
    difference : Interval
        Mean of the strategy's returns less the benchmark's, with its bootstrap interval.
    correlation : float
    """

    sharpe: float
    total_return: float
    max_drawdown: float
    probability: float
    difference: Interval
    correlation: float


@dataclass(frozen=True)
class Doubled:
    """The best strategy with what was paid to trade paid twice.

    Parameters
    ----------
    sharpe : float
        Per period.
    total_return : float
    break_even : float
        How many times the costs make the mean return zero, in proportion to what doubling took; infinite where
        doubling takes nothing.
    words : str
        What was doubled.
    """

    sharpe: float
    total_return: float
    break_even: float
    words: str


@dataclass(frozen=True, eq=False)
class Audit:
    """What :func:`audit` found. Ratios are per period where a name does not say annual.

    Parameters
    ----------
    kind : str
        What was audited, in words.
    best : str
        The strategy with the highest Sharpe ratio, which most numbers are of.
    table : DataFrame
        One row a strategy, best first: n_observations, total_return, annual_return, max_drawdown, mean, mean_low,
        mean_high, sharpe, sharpe_low, sharpe_high, annual_sharpe, psr, dsr, min_track_record, skew, kurtosis,
        doubled_sharpe, doubled_return. Intervals of the first 50.
    deflated : DeflatedSharpe
        Of the best, by the effective number of trials and by the number as counted.
    overfitting : BacktestOverfitting or None
        None with one strategy, or where it cannot be computed (`notes` say why).
    mean_interval, sharpe_interval : Interval
        Of the best.
    drawdown : DrawdownOdds
        Of the best, over another stretch as long.
    doubled : Doubled or None
        None where costs are not known (`costs_words` say why).
    compared : Compared or None
        None without a benchmark.
    trials_borne : float
        Independent trials that the best may have been chosen from and still be better than luck with the confidence
        asked for, if trials differ by chance alone; 0 if it is not even as the only one.
    trials_known : bool
        Whether it is known that several were tried, or was said how many.
    frequency : Frequency
    confidence : float
    returns : DataFrame
        What was audited, in order of time.
    notes : tuple of str
        What a reader of the numbers must know.
    costs_words : str
    """

    kind: str
    best: str
    table: pd.DataFrame
    deflated: DeflatedSharpe
    overfitting: BacktestOverfitting | None
    mean_interval: Interval
    sharpe_interval: Interval
    drawdown: DrawdownOdds
    doubled: Doubled | None
    compared: Compared | None
    trials_borne: float
    trials_known: bool
    frequency: Frequency
    confidence: float
    returns: pd.DataFrame = field(repr=False)
    notes: tuple[str, ...] = ()
    costs_words: str = ""

    # ------------------------------------------------------------------------------------------ of the best
    @property
    def psr(self) -> float:
        """Probability that the best strategy's true Sharpe ratio is above zero, judged alone."""
        return float(self.table["psr"].iloc[0])

    @property
    def dsr(self) -> float:
        """The same, given that it was chosen as the best of the effective number of trials."""
        return self.deflated.value

    @property
    def pbo(self) -> float:
        """Probability of backtest overfitting; NaN where it is not known."""
        return math.nan if self.overfitting is None else self.overfitting.pbo

    @property
    def min_track_record(self) -> float:
        """Observations after which the best strategy's Sharpe ratio exceeds zero with the confidence asked for."""
        return float(self.table["min_track_record"].iloc[0])

    @property
    def verdict(self) -> str:
        """Whether it `holds up`, is `not proven` or `looks like luck`."""
        from gwt_lab.validation.audit_words import verdict

        return verdict(self)

    @property
    def summary(self) -> tuple[str, ...]:
        """What a careful friend would say, a sentence each, every one made from a number."""
        from gwt_lab.validation.audit_words import sentences

        return sentences(self)

    def __str__(self) -> str:
        return f"{self.verdict}: " + " ".join(self.summary)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        from gwt_lab.validation.audit_words import document

        return document(self)

    def to_html(self, path: str | os.PathLike[str] | None = None, *, title: str | None = None) -> str:
        """Return one HTML page that needs neither network nor other files, and write it to `path` if given."""
        from gwt_lab.validation.audit_page import audit_page

        page = audit_page(self, title)
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def _repr_html_(self) -> str:
        from gwt_lab.validation.audit_page import audit_card

        return audit_card(self)


def audit(
    result: Any,
    *,
    benchmark: Any = None,
    n_trials: Any = None,
    trial_variance: float | None = None,
    confidence: float = 0.95,
    costs: Any = None,
    seed: int = 0,
) -> Audit:
    """Audit results as they are: how much of them is skill, how much luck, and how deep they may fall.

    Parameters
    ----------
    result : portfolio, DataFrame, Series, ndarray, path, or a list or mapping of these
        A vectorbt portfolio of one or many columns, our own, returns as fractions (n_times, n_strategies), an export
        of trades from freqtrade (the file, the document or its list of trades), or a .parquet, .csv, .json or .zip
        file of one of these. All strategies that were tried belong in it, not the good ones.
    benchmark : Series or str, optional
        Returns of what could have been held instead, with the same times; or the column that holds them, which is
        then no strategy.
    n_trials : int or Study, optional
        How many configurations were tried, at least the number of strategies; or the ledger's study that counted
        them. By default the number of strategies.
    trial_variance : float, optional
        Variance of the trials' Sharpe ratios, per period. By default that of the strategies given, or with one
        strategy what chance alone makes, one over the number of returns.
    confidence : float, default 0.95
        Of the minimum track record and of intervals.
    costs : DataFrame or Series, optional
        What was paid to trade in each period, as a fraction of the account, where the result does not tell.
    seed : int, default 0
        Of the bootstrap.

    Returns
    -------
    Audit
        `.summary`, `.table`, `.dsr`, `.pbo`, `.to_html(path)`.

    Raises
    ------
    DataError
        If there are fewer than 20 returns, one is missing, none varies, or they are prices or percent.
    ShapeError
        If shapes do not fit.
    ConfigError
        If `n_trials`, `trial_variance` or `confidence` is out of range.
    UnknownNameError
        If there is no column of the benchmark's name.

    Notes
    -----
    Years have 365 days; the length of a period is recognised from the times. Rows that are out of order are sorted,
    and an empty first row is left out; `notes` say so.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> days = pd.date_range("2023-01-01", periods=730, freq="D", tz="UTC")
    >>> noise = pd.DataFrame(np.random.default_rng(0).normal(0, 0.02, (730, 20)), index=days)
    >>> audit(noise).verdict
    'looks like luck'
    """
    if not is_number(confidence) or not 0.5 <= confidence < 1:
        raise ConfigError(f"confidence must lie between 0.5 and 1, got {confidence!r}")
    if not is_number(seed) or seed != int(seed) or seed < 0:
        raise ConfigError(f"seed must be a whole number, 0 or more, got {seed!r}")
    source = read_source(result, costs)
    held, source = _benchmark_of(source, benchmark)
    returns, notes = check_returns(source.returns)
    frequency, odd = frequency_of(returns.index)
    table = _table(returns, frequency, confidence)
    few = few_moves(returns[table.index[0]])
    notes = (*source.notes, *notes, *odd, *large_returns(returns, frequency), *few)
    trials = AuditTrials.of(returns, table, n_trials, trial_variance)
    table["dsr"] = [
        probabilistic_sharpe_ratio(row.sharpe, row.n_observations, row.skew, row.kurtosis, trials.expected_max)
        for row in table.itertuples()
    ]
    best = returns[table.index[0]].to_numpy()
    block = block_length(best)
    intervals = _add_intervals(table, returns, confidence, seed, block)
    doubled = _add_doubled(table, returns, source)
    overfitting, pbo_notes = _overfitting(returns[table.index])
    return Audit(
        kind=source.kind,
        best=str(table.index[0]),
        table=table[[name for name in _COLUMNS if name in table.columns]],
        deflated=trials.deflated(table.iloc[0]),
        overfitting=overfitting,
        mean_interval=intervals[0],
        sharpe_interval=intervals[1],
        drawdown=drawdown_odds(best, seed=seed, block=block),
        doubled=doubled,
        compared=None if held is None else _compared(table.iloc[0], returns[table.index[0]], held, confidence, seed),
        trials_borne=trials_borne(table.iloc[0], confidence),
        trials_known=n_trials is not None or returns.shape[1] > 1,
        frequency=frequency,
        confidence=confidence,
        returns=returns,
        notes=(*notes, *pbo_notes),
        costs_words=source.costs_words,
    )


_COLUMNS = (
    "n_observations", "total_return", "annual_return", "max_drawdown", "mean", "mean_low", "mean_high", "sharpe",
    "sharpe_low", "sharpe_high", "annual_sharpe", "psr", "dsr", "min_track_record", "skew", "kurtosis",
    "doubled_sharpe", "doubled_return",
)  # fmt: skip


# ------------------------------------------------------------------------------------------------ numbers
def _path(values: FloatArray) -> tuple[float, float]:
    """Return total return and deepest fall of an account that compounds returns, its start counted as a peak."""
    worth = np.concatenate([[1.0], np.cumprod(1 + values)])
    return float(worth[-1] - 1), float((worth / np.maximum.accumulate(worth) - 1).min())


def _table(returns: pd.DataFrame, frequency: Frequency, confidence: float) -> pd.DataFrame:
    """Return one row for each strategy that moves, highest Sharpe ratio first."""
    moving = returns.loc[:, np.ptp(returns.to_numpy(), axis=0) > 0]
    n, rows = len(moving), []
    for name in moving.columns:
        values = moving[name].to_numpy()
        mean, deviation = values.mean(), values.std(ddof=1)
        around = values - mean
        square = (around**2).mean()
        skew, kurtosis = (around**3).mean() / square**1.5, (around**4).mean() / square**2
        sharpe = mean / deviation
        total, deepest = _path(values)
        with np.errstate(divide="ignore", over="ignore"):  # some minutes make infinity a year
            growth = float(np.expm1(np.log1p(total) * frequency.per_year / n))
        rows.append(
            {
                "n_observations": n,
                "total_return": total,
                "annual_return": growth,
                "max_drawdown": deepest,
                "mean": mean,
                "sharpe": sharpe,
                "annual_sharpe": sharpe * math.sqrt(frequency.per_year),
                "psr": probabilistic_sharpe_ratio(sharpe, n, skew, kurtosis),
                "min_track_record": min_track_record_length(sharpe, 0.0, skew, kurtosis, confidence),
                "skew": skew,
                "kurtosis": kurtosis,
            }
        )
    table = pd.DataFrame(rows, index=pd.Index(moving.columns, name="strategy"))
    return table.sort_values("sharpe", ascending=False, kind="stable")


def _add_intervals(
    table: pd.DataFrame, returns: pd.DataFrame, confidence: float, seed: int, block: float
) -> tuple[Interval, Interval]:
    """Add bootstrap intervals of the first strategies to the table and return the best one's."""
    shown = table.index[:_MOST_INTERVALS]
    found = moment_intervals(returns[shown].to_numpy(), level=confidence, seed=seed, block=block)
    for place, name in enumerate(("mean", "sharpe")):
        for end in ("low", "high"):
            table[f"{name}_{end}"] = pd.Series([getattr(pair[place], end) for pair in found], index=shown)
    return found[0]


def _add_doubled(table: pd.DataFrame, returns: pd.DataFrame, source: Source) -> Doubled | None:
    if source.doubled is None:
        return None
    doubled = _in_order(source, returns)
    values = doubled[table.index].to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        table["doubled_sharpe"] = values.mean(axis=0) / values.std(axis=0, ddof=1)
    table["doubled_return"] = [_path(np.maximum(column, -1.0))[0] for column in values.T]
    best = table.iloc[0]
    taken = best["mean"] - values[:, 0].mean()
    even = 1 + best["mean"] / taken if taken > 0 else math.inf
    return Doubled(float(best["doubled_sharpe"]), float(best["doubled_return"]), float(even), source.costs_words)


def _in_order(source: Source, returns: pd.DataFrame) -> pd.DataFrame:
    """Return the returns at doubled costs in the order that the checked returns have."""
    assert source.doubled is not None
    order = np.arange(len(source.returns))
    if isinstance(returns.index, pd.DatetimeIndex):
        order = np.argsort(pd.DatetimeIndex(source.returns.index).asi8, kind="stable")
    doubled = source.doubled.iloc[order[len(order) - len(returns) :]]
    if not np.isfinite(doubled[returns.columns].to_numpy(np.float64)).all():
        raise DataError("returns at doubled costs are not finite: the costs wipe out the account")
    return doubled.set_axis(returns.index, axis=0).astype(np.float64)


def _overfitting(returns: pd.DataFrame) -> tuple[BacktestOverfitting | None, tuple[str, ...]]:
    if returns.shape[1] < 2:
        return None, ()
    # a block of fewer than five rows says nothing
    n_blocks = min(16, len(returns) // 5 // 2 * 2)
    try:
        return probability_of_backtest_overfitting(returns, n_blocks), ()
    except (DataError, ConfigError) as error:
        return None, (f"the probability of overfitting could not be computed: {error}",)


# ------------------------------------------------------------------------------------------------ benchmark
def _benchmark_of(source: Source, benchmark: Any) -> tuple[pd.Series | None, Source]:
    """Return the benchmark's returns and the source without its column."""
    if benchmark is None:
        return None, source
    if not isinstance(benchmark, str):
        held = benchmark.squeeze() if isinstance(benchmark, pd.DataFrame) else pd.Series(benchmark)
        if not isinstance(held, pd.Series):
            raise ShapeError(f"a benchmark must be one series of returns, got shape {np.shape(benchmark)}")
        return _begun(held, source)
    if benchmark not in source.returns.columns:
        raise UnknownNameError(
            f"there is no column {benchmark!r} to compare with; there are {', '.join(source.returns.columns[:20])}"
        )
    if source.returns.shape[1] == 1:
        raise ShapeError(f"{benchmark!r} is the only column: there is nothing to compare with it")
    kept = source.returns.columns != benchmark
    doubled = None if source.doubled is None else source.doubled.loc[:, kept]
    rest = replace(source, returns=source.returns.loc[:, kept], doubled=doubled)
    return _begun(source.returns[benchmark], rest)


def _begun(held: pd.Series, source: Source) -> tuple[pd.Series, Source]:
    """Return a benchmark whose first row, empty as a change from nothing is, is no move where the result has one."""
    if not len(held) or pd.notna(held.iloc[0]) or not source.returns.iloc[:1].notna().any(axis=None):
        return held, source
    note = "the first row of the benchmark is empty, as a change from nothing is, and counts as 0"
    return pd.Series([0.0, *held.iloc[1:]], held.index, name=held.name), replace(source, notes=(*source.notes, note))


def _compared(best: pd.Series, returns: pd.Series, held: pd.Series, confidence: float, seed: int) -> Compared:
    if held.nunique(dropna=False) < 2:
        raise DataError("the benchmark never moves and has no Sharpe ratio: leave it out")
    frame, _ = check_returns(held.to_frame("benchmark"))
    other = frame["benchmark"]
    if isinstance(returns.index, pd.DatetimeIndex) and isinstance(other.index, pd.DatetimeIndex):
        missing = returns.index.difference(other.index)
        if len(missing):
            raise DataError(
                f"the benchmark lacks {len(missing):,} of {len(returns):,} times, the first {missing[0]}: give its "
                f"returns at the times of the result"
            )
        other = other.reindex(returns.index)
    if len(other) != len(returns):
        raise ShapeError(f"the benchmark must have the rows of the result, {len(returns):,}, got {len(other):,}")
    values, base = returns.to_numpy(), other.to_numpy()
    sharpe = float(base.mean() / base.std(ddof=1))
    total, deepest = _path(base)
    difference = values - base
    if np.ptp(difference) == 0:
        raise DataError(f"{returns.name!r} is the benchmark itself: there is nothing to compare")
    return Compared(
        sharpe,
        total,
        deepest,
        probabilistic_sharpe_ratio(best["sharpe"], len(values), best["skew"], best["kurtosis"], sharpe),
        moment_intervals(difference[:, None], level=confidence, seed=seed)[0][0],
        float(np.corrcoef(values, base)[0, 1]),
    )
