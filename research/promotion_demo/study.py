"""Train on the first part, judge on the rest, promote what passes, replay what was promoted."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import DataError, GateError
from gwt_lab.live.replay import ReplayReport, replay
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.promotion.bundle import Bundle
from gwt_lab.promotion.gates import Verdict, validate
from gwt_lab.promotion.promote import promote
from gwt_lab.runs import Run, store_run
from gwt_lab.strategies.forecast_rank import ForecastRank, train_forecast_rank
from gwt_lab.validation.statistics import block_bootstrap_interval
from research.claims import INDICATIVE, Claim
from research.promotion_demo.spec import Spec, planted_market

__all__ = ["Outcome", "claims", "report", "run"]

_FACTORS = (0.0, 1.0, 2.0)


class Outcome(NamedTuple):
    """What came of one walk: the stored run, and bundle and replay if the gates passed, else None."""

    run: Run
    bundle: Bundle | None
    replay: ReplayReport | None


def run(spec: Spec, bars: Any, *, figures: Path, progress: Any = None, name: str = "promotion") -> Outcome:
    """Walk the whole way once; a gate that does not pass is an outcome, not an error.

    Parameters
    ----------
    spec : Spec
    bars : Bars or what `as_bars` takes
        At least 4 symbols; how many bars, `Spec.fit` says.
    figures : Path
        Folder of the figure, made if it does not exist.
    progress : Progress, optional
    name : str
        The figure's file name.

    Returns
    -------
    Outcome
        `.run` has the gates' words, the out-of-sample paths at none, once and twice the costs (array `equity`), and
        what the replay found; `.bundle` and `.replay` are None where a gate refused.

    Raises
    ------
    DataError
        If there are too few bars or symbols.
    """
    market = as_bars(bars)
    steps = _Steps(progress)
    cut = spec.fit(market)
    steps.next("train")
    strategy = train_forecast_rank(
        market.head(cut),
        horizon=spec.every,
        params=spec.trees,
        every=spec.every,
        share=spec.share,
        graph_window=spec.graph_window,
        graph_step=spec.graph_step,
    )
    steps.next("validate")
    verdict = validate(strategy, market, costs=spec.costs, out_of_sample=market.index[cut])
    equity = _paths(spec, strategy, market, cut)
    steps.next("promote and replay")
    bundle, replayed, beside = _to_the_runner(spec, verdict, market)
    steps.next("")
    metrics = _metrics(spec, verdict, equity, _parity(replayed, beside)) | {
        "bundle": str(bundle.path) if bundle else None
    }
    from research.promotion_demo.figure import draw

    metrics["figure"] = str(draw(metrics, equity, beside, Path(figures), name))
    stored = store_run(
        "promotion",
        asdict(spec),
        metrics,
        arrays={"equity": equity, "beside": beside},
        data_hashes={"bars": market.content_hash},
        seeds=[spec.trees.seed],
    )
    return Outcome(stored, bundle, replayed)


class _Steps:
    """Say which of the four steps is being taken."""

    def __init__(self, progress: Any) -> None:
        self._line = progress
        self._done = -1
        if progress is not None:
            progress.total = 3

    def next(self, note: str) -> None:
        self._done += 1
        if self._line is not None:
            self._line.update(self._done, note)


def _paths(spec: Spec, strategy: ForecastRank, bars: Bars, cut: int) -> pd.DataFrame:
    """Return the account's worth over the judged part at none, once and twice the costs, columns "0x", "1x", "2x"."""
    start = bars.index[cut]
    part, weights = bars.select(start=start), strategy.weights(bars).loc[start:]
    found = {
        f"{factor:g}x": Portfolio.from_weights(part, weights, costs=spec.costs.times(factor)).value()
        for factor in _FACTORS
    }
    return pd.DataFrame(found)


def _to_the_runner(spec: Spec, verdict: Verdict, bars: Bars) -> tuple[Bundle | None, ReplayReport | None, pd.DataFrame]:
    """Promote and replay; where a gate refuses there is no bundle.

    The frame has the account's worth from the first decision on, columns backtest and runner; else no rows.
    """
    try:
        bundle = promote(verdict)
    except GateError:
        return None, None, pd.DataFrame({"backtest": [], "runner": []}, dtype=float)
    recent = bars.tail(bundle.document["lookback"] + spec.replay_bars)
    replayed = replay(bundle, recent)
    backtested = Portfolio.from_weights(recent, bundle.strategy().weights(recent), costs=bundle.costs).value()
    first = int(replayed.decisions.notna().any(axis=1).to_numpy().argmax())
    return bundle, replayed, pd.DataFrame({"backtest": backtested, "runner": replayed.equity}).iloc[first:]


def _parity(replayed: ReplayReport | None, beside: pd.DataFrame) -> dict[str, Any]:
    if replayed is None:
        return {}
    equal = int((beside["backtest"] == beside["runner"]).sum())
    return replayed.to_dict() | {"account_values": len(beside), "equal_account_values": equal}


def _metrics(spec: Spec, verdict: Verdict, equity: pd.DataFrame, parity: dict[str, Any]) -> dict[str, Any]:
    growth = equity["2x"].pct_change().dropna()
    interval = block_bootstrap_interval(growth * 1e4, n_resamples=500)
    return {
        "passed": verdict.passed,
        "gates": verdict.run.metrics["gates"],
        "validated_run": verdict.run.id,
        "costs": spec.costs.describe(),
        "total_return": {name: float(equity[name].iloc[-1] / 10_000 - 1) for name in equity},
        "mean_return_bp": {"mean": interval.mean, "low": interval.low, "high": interval.high},
        "replay": parity,
    }


def claims(outcome: Outcome, where: str) -> list[Claim]:
    """Return what one walk says, as rows: whether it was promoted, and whether the runner decides alike."""
    metrics = outcome.run.metrics
    mean, earned = metrics["mean_return_bp"], metrics["total_return"]
    refused = [f"{gate['name']} failed" for gate in metrics["gates"] if not gate["passed"]]
    verdict = "promoted" if metrics["passed"] else f"refused ({', '.join(refused)})"
    common = {"paper": "promotion", "figure": metrics["figure"], "run_id": outcome.run.id}
    rows = [
        Claim(
            claim=f"{where}: a forecast from the market graph survives doubled costs ({metrics['costs']})",
            measured=f"{verdict}: {100 * earned['2x']:.1f} % out of sample at doubled costs, "
            f"{100 * earned['1x']:.1f} % at these, {100 * earned['0x']:.1f} % without",
            interval=f"{mean['mean']:.2f} [{mean['low']:.2f}, {mean['high']:.2f}] bp a bar at doubled costs, 95 %, "
            "block bootstrap",
            verdict=INDICATIVE,
            **common,
        )
    ]
    if outcome.replay is not None:
        found = metrics["replay"]
        rows.append(
            Claim(
                claim=f"{where}: the runner decides bar by bar as the backtest did",
                measured=f"{found['decisions']} of {found['decisions']} decisions and "
                f"{found['equal_account_values']} of {found['account_values']} account values equal to the last bit",
                interval="exact, nothing is estimated",
                verdict=INDICATIVE,
                **common,
            )
        )
    return rows


def report(bars: Any, truth: Any, figures: Path, progress: Any = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Walk the way on these bars at a venue's usual costs, and on a market that is known to hold an edge.

    Returns
    -------
    claims : list of dict
        Rows of the table `gwt reproduce` prints.
    left : dict
        The verdicts, the bundle of the planted market and the command that runs it.
    """
    walks: list[tuple[str, Outcome]] = []
    left: dict[str, Any] = {}
    market = as_bars(bars)
    try:
        given = run(Spec.quick().sized(market), market, figures=figures, progress=progress)
        walks.append(("these bars", given))
    except DataError as error:
        left["verdict on these bars"] = f"not judged; {error}"
    planted = planted_market().bars
    walks.append(
        (
            "a market with a planted lead-lag",
            run(Spec.cheap(), planted, figures=figures, progress=progress, name="promotion_planted"),
        )
    )
    rows = []
    for where, outcome in walks:
        rows += claims(outcome, where)
        left[f"verdict on {where}"] = _words(outcome)
        if outcome.bundle is not None and "bundle" not in left:
            left |= {"bundle": str(outcome.bundle.path), "bundle from": where}
            left |= {"next": f"gwt trade {outcome.bundle.path} --paper --replay"}
    return [row.to_dict() for row in rows], left


def _words(outcome: Outcome) -> str:
    failed = [f"{gate['name']}: {gate['detail']}" for gate in outcome.run.metrics["gates"] if not gate["passed"]]
    return "promoted" if not failed else "refused; " + "; ".join(failed)
