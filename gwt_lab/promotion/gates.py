"""The gates that decide whether a run may be promoted; a gate that cannot be evaluated is not passed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import ConfigError
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.market.costs import CostModel
from gwt_lab.market.time import timestamp
from gwt_lab.promotion.bundle import Fixture
from gwt_lab.runs import Run, store_run
from gwt_lab.strategies.base import Strategy
from gwt_lab.strategies.stored import strategy_arrays, strategy_spec
from gwt_lab.validation.causality import check_causal

__all__ = ["REQUIRED_GATES", "Gate", "Verdict", "validate"]

REQUIRED_GATES = ("causal", "doubled_costs")
# decisions kept for the replay, within so many rows at least and at most
_FIXTURE_DECISIONS, _FIXTURE_ROWS = 12, (48, 1000)
# rows beyond the lookback on which causality is checked
_CAUSAL_ROWS = 256


@dataclass(frozen=True)
class Gate:
    """What one gate said.

    Parameters
    ----------
    name : str
        One of `REQUIRED_GATES`.
    passed : bool
        False also where it could not be evaluated.
    detail : str
        One sentence with the numbers.
    numbers : dict
        The numbers alone; None where one does not exist.
    """

    name: str
    passed: bool
    detail: str
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Verdict:
    """What all gates said, and the stored run that holds it."""

    gates: tuple[Gate, ...]
    run: Run

    @property
    def passed(self) -> bool:
        """Whether every required gate passed."""
        return {gate.name for gate in self.gates if gate.passed} >= set(REQUIRED_GATES)

    def __str__(self) -> str:
        head = "may be promoted" if self.passed else "not promoted"
        lines = [f"  {'passed' if gate.passed else 'FAILED'}  {gate.name}: {gate.detail}" for gate in self.gates]
        return "\n".join([f"{head} (run {self.run.id})", *lines])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, table_html

        rows = [(gate.name, "passed" if gate.passed else "FAILED", gate.detail) for gate in self.gates]
        title = "Verdict: may be promoted" if self.passed else "Verdict: not promoted"
        return card(title, table_html(("gate", "", "what was found"), rows))


def validate(
    strategy: Strategy,
    bars: Any,
    *,
    costs: CostModel | None = None,
    out_of_sample: Any = 0.3,
    source: str = "",
) -> Verdict:
    """Run every gate on a strategy and store what they said as a run.

    Parameters
    ----------
    strategy : Strategy
        One of the registry's, trained if it needs to be.
    bars : Bars, or whatever `as_bars` takes
        Prices; the strategy's `lookback` bars at least before the out-of-sample part.
    costs : CostModel, optional
        Fees and slippage before they are doubled.
    out_of_sample : float or time
        The share of the last bars, or the first open time, that is judged. A strategy with a model is judged on bars
        after its training alone: an earlier start fails the gate.
    source : str
        The run this one judges, if any.

    Returns
    -------
    Verdict
        `.passed`, `.gates`, `.run` (the stored run, study "validate").

    Raises
    ------
    ConfigError
        If the out-of-sample part is empty or the bars are too few.

    Notes
    -----
    *causal*: `check_causal` on the strategy's weights, decided at every bar, with its declared lookback and tolerance
    zero. *doubled_costs*: the total return of the out-of-sample part, with fees and slippage doubled, is above zero.
    """
    market = as_bars(bars)
    prices = costs or CostModel()
    start = _start(market, out_of_sample)
    gates = (
        _closed("causal", lambda: _causal(strategy, market)),
        _closed("doubled_costs", lambda: _doubled_costs(strategy, market, prices, start)),
    )
    spec = strategy_spec(strategy) | {
        "lookback": strategy.lookback,
        "symbols": market.symbols,
        "timeframe": market.timeframe,
        "costs": prices.to_dict(),
        "instruments": {name: rule.to_dict() for name, rule in market.instruments.items()},
        "out_of_sample_from": start.isoformat(),
        "source": source,
    }
    passed = all(gate.passed for gate in gates)
    # what did not pass is never replayed, and may not even run
    fixture = _fixture(strategy, market).to_text() if passed else ""
    run = store_run(
        "validate",
        spec,
        {"passed": passed, "gates": [asdict(gate) for gate in gates]},
        arrays=strategy_arrays(strategy) | {"fixture": pd.DataFrame({"text": [fixture]}, dtype=str)},
        data_hashes={"bars": market.content_hash, "fixture": hashlib.sha256(fixture.encode()).hexdigest()},
    )
    return Verdict(gates, run)


def _fixture(strategy: Strategy, bars: Bars) -> Fixture:
    """Return the last bars and decisions, as many as hold `_FIXTURE_DECISIONS` decisions that do not merely hold."""
    weights = strategy.weights(bars)
    decided = np.flatnonzero(weights.notna().any(axis=1).to_numpy())
    reach = bars.n_times - decided[-min(len(decided), _FIXTURE_DECISIONS)] if len(decided) else 0
    rows = int(np.clip(reach, _FIXTURE_ROWS[0], _FIXTURE_ROWS[1]))
    recent = bars.tail(min(strategy.lookback + rows, bars.n_times))
    rows = max(recent.n_times - strategy.lookback, 1)
    # decided anew on these bars alone, as whoever replays them will
    return Fixture(recent, strategy.weights(recent).iloc[-rows:])


def _start(bars: Bars, out_of_sample: Any) -> pd.Timestamp:
    if isinstance(out_of_sample, (float, np.floating)):
        if not 0 < out_of_sample <= 1:
            raise ConfigError(f"out_of_sample must be a share above 0 and at most 1, or a time; got {out_of_sample}")
        row = bars.n_times - max(round(out_of_sample * bars.n_times), 1)
        start: pd.Timestamp = bars.index[row]
    else:
        start = timestamp(out_of_sample)
    if not bars.index[0] <= start < bars.index[-1]:
        raise ConfigError(f"out_of_sample begins at {start}, the bars reach from {bars.index[0]} to {bars.index[-1]}")
    return start


def _closed(name: str, evaluate: Callable[[], Gate]) -> Gate:
    """Return the gate's word; an error while it is evaluated means not passed."""
    try:
        return evaluate()
    except Exception as error:
        return Gate(name, False, f"could not be evaluated: {type(error).__name__}: {error}")


def _causal(strategy: Strategy, bars: Bars) -> Gate:
    rows = strategy.lookback + _CAUSAL_ROWS
    if bars.n_times < rows:
        detail = f"needs {rows:,} bars (lookback {strategy.lookback} and {_CAUSAL_ROWS}), got {bars.n_times:,}"
        return Gate("causal", False, detail, {"rows_wanted": rows, "rows": bars.n_times})
    dense = strategy.every_bar()
    report = check_causal(dense.weights, bars.tail(rows), lookback=strategy.lookback, n_cuts=4)
    decided = int(np.count_nonzero(~np.isnan(dense.weights(bars.tail(rows)).to_numpy())))
    if not decided:
        return Gate("causal", False, f"the strategy decided nothing on the last {rows:,} bars, so nothing was checked")
    numbers = {"lookback": strategy.lookback, "cuts": report.checked, "leaks": len(report.leaks), "decided": decided}
    return Gate("causal", report.passed, str(report).removeprefix("causal: "), numbers)


def _doubled_costs(strategy: Strategy, bars: Bars, costs: CostModel, start: pd.Timestamp) -> Gate:
    trained = strategy.trained_until
    if trained is not None and start <= trained:
        detail = f"the judged part begins at {start}, inside the training, which ends at {trained}"
        return Gate("doubled_costs", False, detail, {})
    part = bars.select(start=start)
    weights = strategy.weights(bars).loc[start:]
    once = Portfolio.from_weights(part, weights, costs=costs)
    twice = Portfolio.from_weights(part, weights, costs=costs.times(2.0))
    earned = twice.total_return()
    numbers = {
        "total_return": _plain(once.total_return()),
        "total_return_doubled_costs": _plain(earned),
        "sharpe_ratio": _plain(once.sharpe_ratio()),
        "sharpe_ratio_doubled_costs": _plain(twice.sharpe_ratio()),
        "max_drawdown": _plain(once.max_drawdown()),
        "orders": len(once.fills),
        "bars": part.n_times,
    }
    detail = (
        f"{100 * earned:.2f} % over {part.n_times:,} out-of-sample bars from {start:%Y-%m-%d} at doubled costs "
        f"({costs.times(2.0).describe()}); {100 * once.total_return():.2f} % at the costs given; "
        f"{len(once.fills):,} orders"
    )
    return Gate("doubled_costs", bool(math.isfinite(earned) and earned > 0), detail, numbers)


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
