"""How much was tried before a result, and what is left of its Sharpe ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gwt_lab.errors import ConfigError
from gwt_lab.validation.effective import (
    FEWEST_BUCKETS,
    EffectiveTrials,
    SignedGroup,
    count_effective,
    return_signature,
)
from gwt_lab.validation.ledger import DeflatedSharpe
from gwt_lab.validation.sharpe import expected_max_sharpe, is_number, probabilistic_sharpe_ratio
from gwt_lab.validation.trials import MOST_SIGNATURES

__all__ = ["AuditTrials", "trials_borne"]

FloatArray = npt.NDArray[np.float64]

_MOST_BORNE = 1e12


@dataclass(frozen=True)
class AuditTrials:
    """How much was tried: effective and as counted, and the best Sharpe ratio to expect of either without skill."""

    number: float
    variance: float
    n_trials: int
    raw_variance: float
    note: str
    study: Any = None

    @property
    def expected_max(self) -> float:
        """The best Sharpe ratio to expect without skill, by the effective number."""
        return expected_max_sharpe(self.number, self.variance)

    @classmethod
    def of(cls, returns: pd.DataFrame, table: pd.DataFrame, n_trials: Any, variance: float | None) -> AuditTrials:
        """Return what the strategies, a number or the ledger's study say.

        Raises
        ------
        ConfigError
            If a number is out of range.
        """
        if hasattr(n_trials, "deflated_sharpe_ratio"):
            best = table.iloc[0]
            found = n_trials.deflated_sharpe_ratio(
                best["sharpe"], int(best["n_observations"]), best["skew"], best["kurtosis"]
            )
            if found.n_trials < returns.shape[1]:
                raise ConfigError(
                    f"the study counts {found.n_trials:,} trials and the result has {returns.shape[1]:,} strategies: "
                    f"record all of them, or say n_trials"
                )
            return cls(
                found.effective_trials,
                found.effective_variance,
                found.n_trials,
                found.trial_variance,
                found.note,
                found,
            )
        n_columns = returns.shape[1]
        count = n_columns if n_trials is None else n_trials
        if not is_number(count) or count != int(count) or count < n_columns:
            raise ConfigError(
                f"n_trials must be a whole number of at least the {n_columns} strategies given, got {count!r}: what is "
                f"in the result has been tried"
            )
        if variance is not None and not (is_number(variance) and variance >= 0):
            raise ConfigError(f"trial_variance must be a number of at least 0, got {variance!r}")
        chance = 1 / len(returns)
        sharpes = table["sharpe"].reindex(returns.columns).to_numpy()
        measured = sharpes[np.isfinite(sharpes)]
        raw = float(measured.var(ddof=1)) if len(measured) > 1 else chance
        effective = _effective(returns, sharpes, int(count))
        spread = max(chance, effective.variance) if effective.variance == effective.variance else chance
        return cls(
            effective.number,
            spread if variance is None else variance,
            int(count),
            raw if variance is None else variance,
            effective.note if len(measured) > 1 else f"{count:,} trials counted in full" if count > 1 else "one trial",
        )

    def deflated(self, best: pd.Series) -> DeflatedSharpe:
        """Return the best strategy's Sharpe ratio judged by both numbers of trials."""
        if isinstance(self.study, DeflatedSharpe):
            return self.study
        facts = float(best["sharpe"]), int(best["n_observations"]), float(best["skew"]), float(best["kurtosis"])
        raw = expected_max_sharpe(self.n_trials, self.raw_variance)
        return DeflatedSharpe(
            value=probabilistic_sharpe_ratio(*facts, self.expected_max),
            raw_value=probabilistic_sharpe_ratio(*facts, raw),
            sharpe=facts[0],
            n_observations=facts[1],
            effective_trials=self.number,
            effective_variance=self.variance,
            n_trials=self.n_trials,
            trial_variance=self.raw_variance,
            expected_max=self.expected_max,
            raw_expected_max=raw,
            note=self.note,
        )


def _effective(returns: pd.DataFrame, sharpes: FloatArray, count: int) -> EffectiveTrials:
    """Return how many independent trials there were, by the strategies' signatures where they are long enough."""
    if len(returns) < FEWEST_BUCKETS:
        unsigned = np.full(count, np.nan)
        unsigned[: len(sharpes)] = sharpes
        return count_effective([], unsigned)
    chosen = np.arange(returns.shape[1])
    if len(chosen) > MOST_SIGNATURES:  # a fixed random sample, as the ledger takes
        chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:MOST_SIGNATURES])
    group = SignedGroup(count, return_signature(returns.to_numpy()[:, chosen]), sharpes[chosen])
    return count_effective([group], np.empty(0))


def trials_borne(best: pd.Series, confidence: float) -> float:
    """Return the most independent trials, differing by chance alone, that a strategy may be the best of."""

    def deflated(trials: float) -> float:
        expected = expected_max_sharpe(trials, 1 / best["n_observations"])
        return probabilistic_sharpe_ratio(
            best["sharpe"], best["n_observations"], best["skew"], best["kurtosis"], expected
        )

    if deflated(1.0) < confidence:
        return 0.0
    low, high = 0.0, math.log(_MOST_BORNE)
    if deflated(_MOST_BORNE) >= confidence:
        return math.inf
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if deflated(math.exp(middle)) >= confidence else (low, middle)
    return float(math.floor(math.exp(low) + 1e-6))
