"""The trial ledger: every configuration that was ever evaluated counts, so that nobody has to remember.

The best of many trials looks good by chance. How good is known if one knows how many there were, and how different they
were; the ledger does.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gwt_lab.errors import ConfigError, DataError, ShapeError, UnknownNameError
from gwt_lab.places import place
from gwt_lab.validation.effective import BUCKETS, FEWEST_BUCKETS, EffectiveTrials, SignedGroup, count_effective
from gwt_lab.validation.ledger_file import Evaluated, LedgerFile, open_ledger
from gwt_lab.validation.sharpe import expected_max_sharpe, is_number, probabilistic_sharpe_ratio
from gwt_lab.validation.trials import MOST_SIGNATURES, Trials

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DeflatedSharpe", "Study", "TrialLedger"]

FloatArray = npt.NDArray[np.float64]

_MOST_AT_ONCE = 100_000_000  # an array in the file holds a gigabyte at most
_OF_STUDY = "FROM batches JOIN settings ON settings.id = batches.setting WHERE ? IS NULL OR study = ?"


@dataclass(frozen=True)
class DeflatedSharpe:
    """A Sharpe ratio judged by how much was tried; all ratios per period.

    Parameters
    ----------
    value : float
        Deflated by the effective number of trials: the probability that the true Sharpe ratio is positive.
    raw_value : float
        Deflated by the number of trials as they were counted.
    sharpe : float
    n_observations : int
    effective_trials, effective_variance : float
        Clusters of like trials, and the variance of their Sharpe ratios: at least 1 / n_observations, which trials
        without skill show by chance.
    n_trials : int
    trial_variance : float
        Of all trials' Sharpe ratios.
    expected_max, raw_expected_max : float
        The Sharpe ratio to expect of the best trial without skill.
    note : str
        How the effective number came about.
    """

    value: float
    raw_value: float
    sharpe: float
    n_observations: int
    effective_trials: float
    effective_variance: float
    n_trials: int
    trial_variance: float
    expected_max: float
    raw_expected_max: float
    note: str = field(repr=False)

    def __str__(self) -> str:
        effective = f"{self.effective_trials:,.0f}"
        return (
            f"deflated Sharpe ratio {self.value:.3f} by {effective} effective trial{'s' if effective != '1' else ''}, "
            f"{self.raw_value:.3f} by all {self.n_trials:,} ({self.note})"
        )

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, number, table_html

        rows = [
            (title, number(trials), number(math.sqrt(variance)), number(best), f"{value:.3f}")
            for title, trials, variance, best, value in (
                ("effective", self.effective_trials, self.effective_variance, self.expected_max, self.value),
                ("as counted", self.n_trials, self.trial_variance, self.raw_expected_max, self.raw_value),
            )
        ]
        head = ("", "trials", "deviation of their Sharpe", "best to expect by chance", "deflated Sharpe ratio")
        return card(f"Sharpe ratio {number(self.sharpe)} on {self.n_observations:,} bars", table_html(head, rows))


class _Counted:
    """What is known of the trials of one study, or of all of them."""

    _name: str | None = None

    def _open(self) -> LedgerFile:
        raise NotImplementedError

    @property
    def n_trials(self) -> int:
        """Trials as they were counted, each once."""
        found = self._open().rows(f"SELECT coalesce(sum(n), 0) {_OF_STUDY}", (self._name,) * 2)
        return int(found[0][0]) if found else 0

    @property
    def effective(self) -> EffectiveTrials:
        """The effective number of trials, with the variance of their Sharpe ratios and how they came about."""
        file = self._open()
        found = file.rows(f"SELECT coalesce(max(batches.id), 0) {_OF_STUDY}", (self._name,) * 2)
        newest = found[0][0] if found else 0
        last, kept = file.kept.get(self._name, (-1, None))
        if kept is None or last != newest:
            kept = _effective(file, self._name)
            file.kept[self._name] = (newest, kept)
        assert isinstance(kept, EffectiveTrials)
        return kept

    @property
    def effective_trials(self) -> float:
        """Clusters of trials with like returns: how many independent trials there were."""
        return self.effective.number

    @property
    def trial_variance(self) -> float:
        """Variance (ddof 1) of the trials' Sharpe ratios, per period; NaN if fewer than two have one."""
        return _variance(self.sharpes())

    def sharpes(self) -> FloatArray:
        """Return every trial's Sharpe ratio, per period; NaN where returns did not vary."""
        file = self._open()
        found = file.rows(f"SELECT n, sharpes {_OF_STUDY} ORDER BY batches.id", (self._name,) * 2)
        return np.concatenate([np.empty(0), *(file.array(blob, "<f8", n) for n, blob in found)])

    def judge(self, returns: Any) -> DeflatedSharpe:
        """Return what is left of the Sharpe ratio of a path that was chosen from these trials.

        Parameters
        ----------
        returns : array_like of shape (n_times,), or a portfolio with `returns()`
            Every bar's return, as a fraction; its moments are taken from it, so that no unit can be mistaken.

        Raises
        ------
        DataError
            If there is more than one path, a value is not finite, or nothing varies.
        """
        values = np.asarray(returns.returns() if hasattr(returns, "returns") else returns, dtype=np.float64)
        if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all() or values.std() == 0:
            raise DataError(
                f"judge wants the returns of one path, finite and not all equal; got shape {values.shape}: pick one "
                "account, pf[label]"
            )
        deviations = values - values.mean()
        spread = float(values.std(ddof=1))
        skew, kurtosis = (float(np.mean((deviations / values.std()) ** power)) for power in (3, 4))
        return self.deflated_sharpe_ratio(float(values.mean()) / spread, len(values), skew, kurtosis)

    def deflated_sharpe_ratio(
        self, sharpe: float, n_observations: int, skew: float = 0.0, kurtosis: float = 3.0
    ) -> DeflatedSharpe:
        """Return what is left of a Sharpe ratio that is the best of these trials.

        Parameters
        ----------
        sharpe : float
            Per period.
        n_observations : int
        skew, kurtosis : float
            Of the returns; raw kurtosis.

        Raises
        ------
        DataError
            If no trial was recorded, fewer than two of several have a Sharpe ratio, or moments are impossible.
        """
        n_trials, variance, effective = self.n_trials, self.trial_variance, self.effective
        who = f"study {self._name!r}" if self._name else "the ledger"
        if not n_trials:
            raise DataError(f"{who} has no trials: record what was tried before judging the best of it")
        if n_trials > 1 and math.isnan(variance):
            raise DataError(f"of {who}'s {n_trials} trials fewer than two have a Sharpe ratio: nothing to compare with")
        chance = 1 / n_observations if n_observations > 0 else 0.0
        spread = max(chance, effective.variance) if effective.variance == effective.variance else chance
        best = expected_max_sharpe(effective.number, spread)
        raw_best = expected_max_sharpe(n_trials, variance) if n_trials > 1 else 0.0
        return DeflatedSharpe(
            value=probabilistic_sharpe_ratio(sharpe, n_observations, skew, kurtosis, best),
            raw_value=probabilistic_sharpe_ratio(sharpe, n_observations, skew, kurtosis, raw_best),
            sharpe=float(sharpe),
            n_observations=int(n_observations),
            effective_trials=effective.number,
            effective_variance=spread,
            n_trials=n_trials,
            trial_variance=variance,
            expected_max=best,
            raw_expected_max=raw_best,
            note=effective.note,
        )

    def _facts(self) -> list[tuple[str, str]]:
        from gwt_lab.display import number

        n_trials = self.n_trials
        if not n_trials:
            return [("trials", "none")]
        variance = self.trial_variance
        return [
            ("trials", f"{n_trials:,}"),
            ("effective trials", f"{self.effective_trials:,.0f} ({self.effective.note})"),
            ("variance of Sharpe ratios", f"{number(variance)} per period"),
        ]


class Study(_Counted):
    """The trials that belong to one question. Made by `TrialLedger.study`.

    Attributes
    ----------
    name : str
    n_trials : int
    effective_trials : float
    trial_variance : float
        See the properties.
    """

    def __init__(self, ledger: TrialLedger, name: str) -> None:
        self.name = self._name = name
        self._ledger = ledger

    def _open(self) -> LedgerFile:
        return self._ledger._open()

    def table(self) -> pd.DataFrame:
        """Return one row for each strategy, data, universe and label that was tried, oldest first."""
        import pandas as pd

        file = self._open()
        query = (
            "SELECT settings.id, strategy, data, universe, label, parameters, created, n_observations, n, sharpes "
            f"{_OF_STUDY} ORDER BY batches.id"
        )
        table: dict[int, dict[str, Any]] = {}
        for number, strategy, data, universe, label, names, created, length, n, blob in file.rows(
            query, (self.name,) * 2
        ):
            new = {"strategy": strategy, "data": data, "universe": tuple(json.loads(universe)), "label": label}
            counts = {"parameters": (), "trials": 0, "best_sharpe": math.nan, "n_observations": length}
            row = table.setdefault(number, new | counts | {"first": created})
            row["parameters"] = tuple(dict.fromkeys((*row["parameters"], *json.loads(names))))
            row["trials"] += n
            row["best_sharpe"] = float(np.fmax.reduce(file.array(blob, "<f8", n), initial=row["best_sharpe"]))
            row["last"] = created
        codes = dict(file.rows("SELECT setting, count(*) FROM codes WHERE code_hash <> '' GROUP BY setting"))
        columns = ["strategy", "data", "universe", "label", "parameters", "trials", "best_sharpe", "n_observations"]
        rows = [row | {"codes": codes.get(number, 0)} for number, row in table.items()]
        frame = pd.DataFrame(rows, columns=[*columns, "codes", "first", "last"])
        return frame.astype({"first": "datetime64[ns, UTC]", "last": "datetime64[ns, UTC]"})

    def __repr__(self) -> str:
        return f"Study({self.name!r}: {'; '.join(f'{name} {value}' for name, value in self._facts())})"

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, table_html

        return card(f"Study {self.name}", table_html(("", ""), self._facts()))


def ledger_of(given: Any) -> Any:
    """Return the ledger that `ledger=` names: None and True are the file of `GWT_LEDGER`, False is none (None).

    Raises
    ------
    ConfigError
        If it is something else.
    """
    if not (given is None or isinstance(given, bool) or hasattr(given, "record")):
        raise ConfigError(f"ledger must be a TrialLedger, True or False, got {type(given).__name__}")
    return None if given is False else TrialLedger() if given in (None, True) else given


class TrialLedger(_Counted):
    """Count every configuration that was ever evaluated.

    Parameters
    ----------
    path : path-like, optional
        The file; by default the one that `GWT_LEDGER` names, else `data/ledger`. It is made on the first
        record. Several threads and processes may write to it, on one machine.

    Raises
    ------
    LedgerError
        When it is used, if the file is damaged, read-only, full, no ledger, or held by another process for 30 s.

    Examples
    --------
    >>> ledger = TrialLedger()
    >>> trials = Trials(grid, data=bars.content_hash, universe=bars.symbols, label="next_open", strategy="ma_cross")
    >>> ledger.record(trials, sharpe, n_observations=len(bars))
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = place("ledger") if path is None else Path(path)

    def _open(self) -> LedgerFile:
        return open_ledger(self.path)

    def refuse_unwritable(self) -> None:
        """Raise a LedgerError now if the file could not be written later; makes it if there is none."""
        self._open().refuse_unwritable()

    def record(self, trials: Trials, sharpe: Any, n_observations: int, signatures: Any = None) -> int:
        """Count trials that were evaluated, each once, however often it is evaluated again.

        Parameters
        ----------
        trials : Trials
            The configurations.
        sharpe : float or array_like of shape (n_trials,)
            Sharpe ratio of each, per period; NaN where returns did not vary. A trial that is known keeps its first.
        n_observations : int
            Returns that each was measured on.
        signatures : array_like of shape (n_trials, n_buckets), optional
            Return signatures (`return_signature`) of every trial, or of `trials.signature_rows` alone. Without them,
            or with fewer than 32 buckets, every trial counts in full towards the effective number.

        Returns
        -------
        int
            Trials that were new.

        Raises
        ------
        ShapeError
            If there is not one Sharpe ratio and one signature a trial.
        DataError
            If a Sharpe ratio is infinite, a signature is not finite, or there are fewer than 2 observations.
        LedgerError
            If the file cannot be written.
        """
        if not isinstance(trials, Trials):
            raise DataError(
                f"a ledger records Trials, got a {type(trials).__name__}: make Trials(parameters, data=...)"
            )
        n_trials = len(trials)
        try:
            sharpes = np.atleast_1d(np.asarray(sharpe, dtype=np.float64))
        except (ValueError, TypeError) as error:
            raise DataError(f"Sharpe ratios must be numbers: {error}") from error
        if sharpes.shape != (n_trials,):
            raise ShapeError(f"{n_trials} trials need one Sharpe ratio each, got shape {sharpes.shape}")
        if np.isinf(sharpes).any():
            raise DataError(
                f"Sharpe ratio of trial {np.isinf(sharpes).argmax()} is infinite: give NaN if returns are constant"
            )
        if not (is_number(n_observations) and 2 <= n_observations < 2**53 and n_observations == int(n_observations)):
            raise DataError(f"n_observations must be a whole number of at least 2, got {n_observations}")
        if n_trials > _MOST_AT_ONCE:
            raise ConfigError(f"{n_trials:,} trials at once are too many: record at most {_MOST_AT_ONCE:,} a call")
        if not n_trials:
            return 0
        rows, signed = _signed(trials, signatures)
        return self._open().write(trials, Evaluated(sharpes, int(n_observations), rows, signed))

    def study(self, name: str) -> Study:
        """Return the trials of one study.

        Raises
        ------
        UnknownNameError
            If there is none of that name; the message lists those there are.
        """
        names = [row[0] for row in self._open().rows("SELECT DISTINCT study FROM settings ORDER BY study")]
        if name not in names:
            listed = ", ".join(map(repr, names[:20])) or "none"
            raise UnknownNameError(f"the trial ledger {self.path} has no study {name!r}; it has {listed}")
        return Study(self, name)

    def studies(self) -> pd.DataFrame:
        """Return the studies by name: settings, trials, and when the first and the last trial was new."""
        import pandas as pd

        query = (
            "SELECT study, count(DISTINCT setting), sum(n), min(created), max(created) FROM batches "
            "JOIN settings ON settings.id = batches.setting GROUP BY study ORDER BY study"
        )
        columns = ["study", "settings", "trials", "first", "last"]
        frame = pd.DataFrame(self._open().rows(query), columns=columns).set_index("study")
        kinds = {"settings": "int64", "trials": "int64", "first": "datetime64[ns, UTC]", "last": "datetime64[ns, UTC]"}
        return frame.astype(kinds)

    def __repr__(self) -> str:
        n_studies = len(self._open().rows("SELECT DISTINCT study FROM settings"))
        return f"TrialLedger({str(self.path)!r}: {self.n_trials:,} trials in {n_studies:,} studies)"

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, table_html

        studies = self.studies()
        rows = [
            (name, f"{row.trials:,}", f"{row.settings:,}", f"{row.last:%Y-%m-%d %H:%M} UTC")
            for name, row in studies.tail(20).iterrows()
        ]
        body = table_html(("study", "trials", "settings", "last"), rows)
        return card(f"Trial ledger: {self.n_trials:,} trials in {len(studies):,} studies", body)


# ------------------------------------------------------------------------------------------------ arrays
def _variance(sharpes: FloatArray) -> float:
    measured = sharpes[~np.isnan(sharpes)]
    return float(measured.var(ddof=1)) if len(measured) > 1 else math.nan


def _signed(trials: Trials, signatures: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the rows whose signatures are kept, and those signatures."""
    rows = trials.signature_rows
    if signatures is None:
        return rows[:0], np.empty((0, 0), dtype=np.float32)
    values = np.asarray(signatures, dtype=np.float32)
    if values.ndim != 2 or len(values) not in (len(trials), len(rows)) or values.shape[1] > BUCKETS:
        raise ShapeError(
            f"signatures must have shape ({len(trials)}, at most {BUCKETS}), or {len(rows)} rows for "
            f"trials.signature_rows, got {values.shape}: see return_signature"
        )
    if values.shape[1] < FEWEST_BUCKETS:
        return rows[:0], np.empty((0, 0), dtype=np.float32)
    kept = values if len(values) == len(rows) else values[rows]
    if not np.isfinite(kept).all():
        raise DataError("a return signature must be finite: sum returns of bars that are all there")
    return rows, kept


def _effective(file: LedgerFile, name: str | None) -> EffectiveTrials:
    query = (
        "SELECT data, n_observations, n_buckets, n, sharpes, CASE WHEN n_buckets THEN hashes END, signed, signatures "
        f"{_OF_STUDY} ORDER BY batches.id"
    )
    unsigned: list[FloatArray] = [np.empty(0)]
    groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for data, length, n_buckets, n, stored, hashes, signed, signatures in file.rows(query, (name, name)):
        sharpes = file.array(stored, "<f8", n)
        if not n_buckets:
            unsigned.append(sharpes)
            continue
        rows = file.array(signed, "<u4", len(signed) // 4)
        values = file.array(signatures, "<f4", len(rows) * n_buckets).reshape(len(rows), n_buckets)
        found = (n, file.array(hashes, "<u8", n)[rows], values, sharpes[rows])
        groups.setdefault((data, length, n_buckets), []).append(found)
    return count_effective([_sample(batches) for batches in groups.values()], np.concatenate(unsigned))


def _sample(batches: list[tuple[Any, ...]]) -> SignedGroup:
    """Return the trials of a group with the smallest hashes: a random sample, and the same one every time."""
    hashes, values, sharpes = (np.concatenate([batch[column] for batch in batches]) for column in (1, 2, 3))
    chosen = np.argsort(hashes)[:MOST_SIGNATURES]
    return SignedGroup(sum(batch[0] for batch in batches), values[chosen], sharpes[chosen])
