"""Replay: run a bundle bar by bar over known bars and demand the decisions it was promoted with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import BundleError, DataError
from gwt_lab.live.journal import Journal
from gwt_lab.live.paper import PaperBroker
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.places import place
from gwt_lab.promotion.bundle import Bundle
from gwt_lab.strategies.base import Strategy
from gwt_lab.strategies.clock import iterate_bars

__all__ = ["ReplayReport", "check_fixture", "live_folder", "replay"]


def live_folder() -> Path:
    """Return where journals lie: `GWT_LIVE`, else `data/live`."""
    return place("live")


@dataclass(frozen=True, eq=False, repr=False)
class ReplayReport:
    """What a replay did; it exists only if every decision was equal.

    Parameters
    ----------
    bundle_id : str
        The bundle.
    n_bars : int
        Bars stepped through.
    n_fixture : int
        Decisions compared with the bundle's fixture.
    decisions : DataFrame of shape (n_bars, n_symbols)
        Target weights, decided bar by bar; NaN holds. Equal to the batch form bit for bit.
    equity : Series of shape (n_bars,)
        The paper account's worth at each close, quote currency.
    fills : DataFrame
        timestamp, symbol, side, amount, price, fees, id.
    journal : Path
        Where the intents and fills were written.
    init_cash : float
        Quote currency.
    """

    bundle_id: str
    n_bars: int
    n_fixture: int
    decisions: pd.DataFrame
    equity: pd.Series
    fills: pd.DataFrame
    journal: Path
    init_cash: float = field(default=10_000.0)

    @property
    def n_decisions(self) -> int:
        """Bars at which at least one weight was decided."""
        return int(self.decisions.notna().any(axis=1).sum())

    def total_return(self) -> float:
        """Return the paper account's gain as a fraction."""
        return float(self.equity.iloc[-1] / self.init_cash - 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain values."""
        return {
            "bundle": self.bundle_id,
            "bars": self.n_bars,
            "decisions": self.n_decisions,
            "fixture_decisions": self.n_fixture,
            "differences": 0,
            "fills": len(self.fills),
            "final_value": float(self.equity.iloc[-1]),
            "total_return": self.total_return(),
            "journal": str(self.journal),
        }

    def __repr__(self) -> str:
        return (
            f"ReplayReport(bundle {self.bundle_id}: {self.n_bars:,} bars, {self.n_decisions:,} decisions, all equal to "
            f"the batch form and to {self.n_fixture} in the bundle; {len(self.fills):,} fills, "
            f"return {100 * self.total_return():.2f} %; journal {self.journal})"
        )

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, percent, table_html

        rows = [
            ("bars", f"{self.n_bars:,}, {self.n_decisions:,} with a decision"),
            ("equal to the bundle's fixture", f"{self.n_fixture} of {self.n_fixture} rows"),
            ("equal to the batch form", f"{self.n_bars:,} of {self.n_bars:,} rows"),
            ("paper account", f"{percent(self.total_return())}, {len(self.fills):,} fills"),
            ("journal", self.journal.name),
        ]
        return card(f"Replay of bundle {self.bundle_id}", table_html(("", ""), rows))


def check_fixture(bundle: Bundle) -> int:
    """Step through the bundle's own bars and demand its own decisions; return how many rows were compared.

    Raises
    ------
    BundleError
        If one weight differs in one bit, or NaN stands where a number stood.
    """
    wanted = bundle.fixture.decisions
    bars = bundle.fixture.bars
    decided = _step(bundle.strategy(), bars, first=bars.n_times - len(wanted))
    _demand_equal(bundle, decided, wanted, "the bundle's fixture")
    return len(wanted)


def replay(
    bundle: Bundle,
    bars: Any = None,
    *,
    init_cash: float = 10_000.0,
    journal: str | Path | None = None,
    progress: Any = None,
) -> ReplayReport:
    """Run a bundle bar by bar on a paper account.

    Parameters
    ----------
    bundle : Bundle
        A loaded bundle.
    bars : Bars, or whatever `as_bars` takes, optional
        What to replay; the bundle's own fixture if not given.
    init_cash : float
        Quote currency.
    journal : str or Path, optional
        A file that does not exist; a new one in `live_folder()` if not given.
    progress : Progress, optional
        Shows the bars stepped through.

    Returns
    -------
    ReplayReport

    Raises
    ------
    BundleError
        If a decision differs from the bundle's fixture or from the batch form; nothing is traded then.
    DataError
        If the bars have another timeframe or lack a symbol.
    """
    n_fixture = check_fixture(bundle)
    given = bundle.fixture.bars if bars is None else _matching(bundle, as_bars(bars))
    # the rules under which it was validated
    market = replace(given, instruments=bundle.instruments)
    strategy = bundle.strategy()
    decisions = _step(strategy, market, progress=progress)
    _demand_equal(bundle, decisions, strategy.weights(market), "the batch form on these bars")
    file = Path(journal) if journal is not None else _new_journal(bundle)
    equity = np.empty(market.n_times)
    with Journal(file) as book:
        book.write("start", {"bundle": bundle.id, "mode": "paper replay", "data": market.content_hash}, durable=True)
        broker = PaperBroker(market, init_cash, costs=bundle.costs, journal=book, run=bundle.id)
        chosen = decisions.to_numpy(dtype=np.float64)
        for row, bar in enumerate(broker):
            equity[row] = broker.value()
            if not np.isnan(chosen[row]).all():
                weights = {s: float(w) for s, w in zip(market.symbols, chosen[row], strict=True) if w == w}
                book.write("decision", {"time": bar.time.isoformat(), "weights": weights})
                broker.submit(chosen[row])
        book.write("stop", {"value": broker.value(), "cash": broker.cash}, durable=True)
    return ReplayReport(
        bundle.id,
        market.n_times,
        n_fixture,
        decisions,
        pd.Series(equity, index=market.index, name="value"),
        broker.fills,
        file,
        init_cash,
    )


def _step(strategy: Strategy, bars: Bars, *, first: int = 0, progress: Any = None) -> pd.DataFrame:
    """Return the decisions taken bar by bar from row `first` on, shape (n_times - first, n_symbols)."""
    state = strategy.start(bars)
    decided = np.empty(bars.shape)
    if progress is not None:
        progress.total = bars.n_times
    for row, bar in enumerate(iterate_bars(bars)):
        if row < first:
            state = state.push(bar)
        else:
            state, decided[row] = strategy.decide(state, bar)
        if progress is not None:
            progress.update(row + 1)
    return pd.DataFrame(decided[first:], index=bars.index[first:], columns=bars.close.columns)


def _demand_equal(bundle: Bundle, got: pd.DataFrame, wanted: pd.DataFrame, where: str) -> None:
    left, right = got.to_numpy(dtype=np.float64), wanted.to_numpy(dtype=np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    if same.all():
        return
    row, column = np.argwhere(~same)[0]
    count = int((~same).any(axis=1).sum())
    raise BundleError(
        f"bundle {bundle.path.name} does not replay: {count} of {len(same)} decisions differ from {where}, the first "
        f"is {got.columns[column]} at {got.index[row]}: decided {left[row, column]!r}, wanted "
        f"{right[row, column]!r}; it is not started"
    )


def _matching(bundle: Bundle, bars: Bars) -> Bars:
    if bars.timeframe != bundle.timeframe:
        raise DataError(f"the bundle was promoted on bars of {bundle.timeframe}, these are of {bars.timeframe}")
    return bars.select(bundle.symbols)


def _new_journal(bundle: Bundle) -> Path:
    return live_folder() / bundle.id / f"replay-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.jsonl"
