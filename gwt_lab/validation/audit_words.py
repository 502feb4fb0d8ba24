"""An audit in words: every sentence is made from a number, and says which."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gwt_lab.display import percent
from gwt_lab.validation.audit_checks import few_moves

if TYPE_CHECKING:
    from gwt_lab.validation.audit import Audit

__all__ = ["DEPTHS", "document", "sentences", "span_of", "verdict"]

DEPTHS = (0.2, 0.3, 0.5)
_MOST_OVERFIT = 0.5  # choosing by the past is no better than drawing lots


def verdict(audit: Audit) -> str:
    """Return `looks like luck`, `not proven` or `holds up`.

    It looks like luck if the deflated Sharpe ratio or the chance that choosing by the past helps is below one half. It
    holds up if the deflated Sharpe ratio reaches the confidence asked for, the bootstrap interval of the Sharpe ratio
    lies above zero, doubled costs, where known, leave a gain, and 20 returns or more are not 0.
    """
    if audit.dsr < 0.5 or audit.pbo >= _MOST_OVERFIT:
        return "looks like luck"
    paid = audit.doubled is None or audit.doubled.sharpe > 0
    moves = not few_moves(audit.returns[audit.best])
    sure = audit.dsr >= audit.confidence and audit.sharpe_interval.low > 0
    return "holds up" if sure and paid and moves else "not proven"


def span_of(audit: Audit, n_observations: float) -> str:
    """Return a number of observations as years, days or rows."""
    if not math.isfinite(n_observations):
        return "forever"
    per_year = audit.frequency.per_year
    if not math.isfinite(per_year):
        return f"{n_observations:,.0f} periods"
    years = n_observations / per_year
    if years >= 1000:
        return "over 1,000 years"
    return f"{years:.1f} years" if years >= 0.95 else f"{max(365 * years, 1):.0f} days"


def _ratio(audit: Audit, sharpe: float) -> str:
    """Return a Sharpe ratio a year, or per period where rows have no dates."""
    per_year = audit.frequency.per_year
    if math.isfinite(per_year):
        return f"{sharpe * math.sqrt(per_year):.2f} a year"
    return f"{sharpe:.3f} a period"


def _part(fraction: float) -> str:
    """Return a gain in percent, or how often over where that is hard to read."""
    return percent(fraction, 1) if fraction < 10 else f"{fraction + 1:,.0f} times the stake"


def _chance(share: float) -> str:
    """Return a probability in words that never claim certainty."""
    if share > 0.999:
        return "over 99.9 %"
    if share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.1f} %" if share > 0.99 or share < 0.01 else f"{100 * share:.0f} %"


def sentences(audit: Audit) -> tuple[str, ...]:
    """Return four to six sentences, the plainest first."""
    parts = (_what, _alone, _chosen, _choosing, _costs, _falls)
    return tuple(text for part in parts if (text := part(audit)))


def _what(audit: Audit) -> str:
    best, n = audit.table.iloc[0], len(audit.table)
    who = (
        f"The best of {audit.returns.shape[1]:,} strategies, {audit.best!r},"
        if n > 1
        else f"The strategy {audit.best!r}"
    )
    gained = "lost" if best["total_return"] < 0 else "gained" if best["total_return"] < 10 else "made"
    said = (
        f"{who} {gained} {_part(abs(best['total_return']))} in {span_of(audit, best['n_observations'])}, with a "
        f"Sharpe ratio of {_ratio(audit, best['sharpe'])} and a deepest fall of {percent(-best['max_drawdown'], 1)}"
    )
    if audit.compared is None:
        return said + "."
    gap = audit.compared.difference
    clear = "more" if gap.low > 0 else "less" if gap.high < 0 else "not clearly more or less"
    return (
        f"{said}; the benchmark made {_part(audit.compared.total_return)} at "
        f"{_ratio(audit, audit.compared.sharpe)}, and the strategy earned {clear} than that."
    )


def _alone(audit: Audit) -> str:
    interval, have = audit.sharpe_interval, audit.table["n_observations"].iloc[0]
    low = _ratio(audit, interval.low).partition(" ")[0]
    where = f"between {low} and {_ratio(audit, interval.high)}"
    sure = f"{100 * audit.confidence:.4g} %"
    told = f"Resampled, its true Sharpe ratio lies {where} ({sure} interval)"
    need = audit.min_track_record
    if not math.isfinite(need):
        return f"{told}; no length of record would show that a ratio of zero or less is above zero."
    if need <= have:
        return f"{told}; {span_of(audit, need)} would have been enough to tell it from zero, were it the only try."
    return (
        f"{told}; to tell it from zero with {sure} takes {span_of(audit, need)}, and there are {span_of(audit, have)}."
    )


def _chosen(audit: Audit) -> str:
    found = audit.deflated
    if not audit.trials_known:
        borne = audit.trials_borne
        if borne < 1:
            return f"Even as the only try it would be better than luck with {_chance(audit.psr)} only."
        most = "any number of" if math.isinf(borne) else f"up to {borne:,.0f}"
        return (
            f"How many versions were tried is not known: alone it is better than luck with {_chance(audit.psr)}, and "
            f"it stays above {100 * audit.confidence:.4g} % as the best of {most} independent tries."
        )
    if found.n_trials == 1:
        return f"As the only try, it is better than luck with {_chance(found.value)}."
    alike = f"as different as {found.effective_trials:,.0f} independent ones"
    return (
        f"It was chosen from {found.n_trials:,} tries, {alike}, and the best of so many without any skill would be "
        f"expected to show {_ratio(audit, found.expected_max)}: that leaves {_chance(found.value)} that it is better "
        f"than luck."
    )


def _choosing(audit: Audit) -> str:
    found = audit.overfitting
    if found is None:
        return ""
    helps = "no better than drawing lots" if found.pbo >= _MOST_OVERFIT else "better than drawing lots"
    return (
        f"When the winner was chosen in one half of the time, it came out in the lower half of the field in the other "
        f"{_chance(found.pbo)} of the time and lost money {_chance(found.loss_probability)} of the time: choosing "
        f"this way is {helps}."
    )


def _costs(audit: Audit) -> str:
    found = audit.doubled
    if found is None:
        reason = audit.costs_words
        return f"{reason[0].upper()}{reason[1:]}."
    even = (
        f"costs {found.break_even:.1f} times as high would leave nothing"
        if 1 < found.break_even < 100
        else "costs hardly matter to it"
        if found.break_even >= 100
        else "it does not earn its costs as they are"
    )
    left = f"a Sharpe ratio of {_ratio(audit, found.sharpe)} and {_part(found.total_return)} in all"
    return f"With costs doubled, {left} would be left; {even}."


def _falls(audit: Audit) -> str:
    odds = audit.drawdown
    chances = [odds.probability(depth) for depth in DEPTHS]
    told = f"{_chance(chances[0])}, {_chance(chances[1])} and {_chance(chances[2])}"
    usual, bad = -odds.quantile(0.5), -odds.quantile(0.95)
    length = span_of(audit, audit.table["n_observations"].iloc[0])
    return (
        f"In another {length} like these, expect a fall of {percent(usual, 0)} and be ready for {percent(bad, 0)}; "
        f"the chance of more than 20, 30 and 50 % is {told}."
    )


def document(audit: Audit) -> dict[str, Any]:
    """Return an audit as plain values for JSON."""
    found, best = audit.deflated, audit.table.iloc[0]
    return {
        "kind": audit.kind,
        "verdict": audit.verdict,
        "summary": list(audit.summary),
        "best": audit.best,
        "n_strategies": int(audit.returns.shape[1]),
        "n_observations": int(best["n_observations"]),
        "frequency": audit.frequency.words or None,
        "periods_per_year": audit.frequency.per_year,
        "confidence": audit.confidence,
        "psr": audit.psr,
        "dsr": audit.dsr,
        "dsr_by_all_trials": found.raw_value,
        "n_trials": found.n_trials,
        "effective_trials": found.effective_trials,
        "trial_variance": found.trial_variance,
        "trials_known": audit.trials_known,
        "trials_borne": audit.trials_borne,
        "pbo": audit.pbo,
        "loss_probability": math.nan if audit.overfitting is None else audit.overfitting.loss_probability,
        "min_track_record": audit.min_track_record,
        "sharpe": _span(audit.sharpe_interval),
        "annual_sharpe": float(best["annual_sharpe"]),
        "mean": _span(audit.mean_interval),
        "total_return": float(best["total_return"]),
        "max_drawdown": float(best["max_drawdown"]),
        "drawdown_odds": {f"{100 * depth:.0f} %": audit.drawdown.probability(depth) for depth in DEPTHS},
        "drawdown_median": audit.drawdown.quantile(0.5),
        "drawdown_95": audit.drawdown.quantile(0.95),
        "doubled_costs": _doubled(audit),
        "benchmark": _benchmark(audit),
        "strategies": [
            {"strategy": str(name), **row}
            for name, row in zip(audit.table.index, audit.table.to_dict("records"), strict=True)
        ],
        "notes": list(audit.notes),
    }


def _doubled(audit: Audit) -> dict[str, Any] | None:
    found = audit.doubled
    if found is None:
        return None
    return {
        "sharpe": found.sharpe,
        "total_return": found.total_return,
        "break_even": found.break_even,
        "what": found.words,
    }


def _benchmark(audit: Audit) -> dict[str, Any] | None:
    found = audit.compared
    if found is None:
        return None
    return {
        "sharpe": found.sharpe,
        "total_return": found.total_return,
        "probability": found.probability,
        "difference": _span(found.difference),
        "correlation": found.correlation,
    }


def _span(interval: Any) -> dict[str, float]:
    return {"value": interval.mean, "low": interval.low, "high": interval.high, "block": interval.block}
