"""`sweep`: every combination of parameters through one pass over the bars, in bounded memory, counted, resumable."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.backtest.sweep import streaming
from gwt_lab.backtest.sweep.collect import SIGNATURE_EDGES, Collected, SweepLine
from gwt_lab.backtest.sweep.families import FAMILIES
from gwt_lab.backtest.sweep.grid import Axes, Grid, read_axes
from gwt_lab.backtest.sweep.memory import Plan, Sizes, memory_bytes, peak_memory_mb, plan_memory
from gwt_lab.backtest.sweep.recording import Recorder
from gwt_lab.backtest.sweep.result import Paths, SweepInfo, SweepResult
from gwt_lab.backtest.sweep.resume import ChunkStore, grid_hash, versions
from gwt_lab.backtest.sweep.rules import MAY_BE_OFF, RULE_NAMES, assumption_words, read_rules, rules_in_grid
from gwt_lab.backtest.sweep.schedulers import Scheduler, scheduler_of
from gwt_lab.backtest.sweep.search import Search
from gwt_lab.backtest.sweep.user_functions import UserStrategy, check_user_strategy, code_hash, user_strategy
from gwt_lab.backtest.sweep.work import SIGNAL_BYTES, Chunk, FamilyWork, Work, probe, sweep_market
from gwt_lab.errors import ConfigError, LedgerError, UnknownNameError
from gwt_lab.kernels import KERNELS_HASH
from gwt_lab.kinds import is_whole
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import Bars
from gwt_lab.market.time import bars_per_year
from gwt_lab.processors import available_threads
from gwt_lab.strategies.registry import strategy_class, strategy_names

__all__ = ["sweep"]

# a bar of a symbol: five prices, marks, a range, running sums
_BAR_BYTES = 140
# combinations that share an indicator which is made anew, so that making it costs a few percent
_WORTH = 4
# signals of one block of combinations; its indicators where they are not kept
_FAMILY_BYTES = 10_000_000
_MOST_ROWS_BYTES = 260_000_000
_KEPT_ROWS_BYTES = 128_000_000
# signals, or weights, positions and orders of an account that trades every bar
_USER_BAR_BYTES = 70


def sweep(
    strategy: Any,
    bars: Any,
    grid: Any = None,
    *,
    metrics: Iterable[str] = ("total_return", "sharpe_ratio", "max_drawdown"),
    price: str = "next_open",
    fees: float = 0.001,
    slippage: float = 0.0005,
    fixed_fees: float = 0.0,
    init_cash: float = 10_000.0,
    direction: str = "longonly",
    sl_stop: float | None = None,
    tp_stop: float | None = None,
    sl_trail: bool = False,
    time_stop: int | None = None,
    ambiguity: str = "pessimistic",
    n_samples: int | None = None,
    seed: int = 0,
    search: Any = None,
    max_memory: int | str = "1GB",
    n_threads: int | None = None,
    scheduler: Any = "threads",
    resume: Any = None,
    paths: bool = False,
    check: bool | None = None,
    study: str | None = None,
    ledger: Any = None,
    progress: bool | None = None,
) -> SweepResult:
    """Backtest every combination of parameters and return its metrics.

    Parameters
    ----------
    strategy : str, callable or Strategy
        The name of a built-in family (``"ma_cross"``), of a registered strategy, a function that returns signals or
        weights (see `gwt_lab.backtest.sweep.user_functions`), or a `Strategy` class or object.
    bars : Bars, or whatever `as_bars` takes
        Prices. Closes alone are taken with ``price="close"``.
    grid : dict, DataFrame, list of dict or None
        A dict of values by parameter stands for their product. A DataFrame or a list of dicts: one row a combination.
        Names of rules (`sl_stop`, `fees`, ...) vary the rule. None: the strategy's defaults alone.
    metrics : iterable of str
        Columns of the result; an unknown name lists what there is.
    price : {"next_open", "close"}
        Filled at the next bar's open, or at the close of the deciding bar (optimistic).
    fees, slippage, fixed_fees : float
        Fractions of the traded value and of the price; quote currency an order.
    init_cash : float
        Quote currency, for each symbol; shared where the strategy returns weights.
    direction : {"longonly", "shortonly", "both"}
        What signals may open.
    sl_stop, tp_stop : float, optional
        Stop loss and take profit, fractions of the entry price, seen inside the bar.
    sl_trail : bool
        The stop loss follows the best price.
    time_stop : int, optional
        Bars after which a position is closed.
    ambiguity : {"pessimistic", "neutral", "optimistic"}
        What happened first when a bar holds both stops.
    n_samples : int, optional
        Draw so many different combinations at random; the product is not written down.
    seed : int
        Of the draw.
    search : optuna.Study, optional
        Let the study choose `n_samples` combinations among the grid's values, by the first metric (the median over
        symbols).
    max_memory : int or str
        Bytes, or "500MB", "1GB": what the sweep may hold beside the bars, the result included. A grid whose result does
        not fit is refused before anything is computed.
    n_threads : int, optional
        By default every processor the process may use; one for plain Python functions, which hold the interpreter.
    scheduler : "threads", "dask", address or distributed.Client
        Who evaluates the chunks.
    resume : str or path, optional
        Name under which finished chunks are written, below ``data/sweeps`` (`GWT_SWEEPS`); the same call goes on where
        a killed one stopped.
    paths : bool
        Keep every account's worth at every bar (float32), for `SweepResult.paths`.
    check : bool, optional
        Check a function for look-ahead by truncation: by default once for every new function.
    study : str, optional
        Name under which trials are counted; made from data and strategy if not given.
    ledger : TrialLedger, bool or None
        Where trials are counted: the file named by `GWT_LEDGER` unless given; False counts nothing.
    progress : bool, optional
        Show a progress line; by default when the sweep takes more than a second.

    Returns
    -------
    SweepResult
        A DataFrame: index parameters, then symbol ("portfolio" where symbols share the cash); one column a metric.

    Raises
    ------
    UnknownNameError
        If a strategy, parameter or metric does not exist.
    ConfigError
        If a setting is out of range, the result would not fit `max_memory`, or `resume` names another sweep.
    ShapeError
        If a function returns something of another shape or type.
    CausalityError
        If a function looks ahead.
    LedgerError
        If the ledger cannot be written, before anything is evaluated where that can be known, else with the result as
        its `partial`.
    KeyboardInterrupt
        On Ctrl-C, after what was finished has been written and counted; `partial` holds its rows.
    """
    settings = {name: value for name, value in locals().items() if name in RULE_NAMES}
    started = time.perf_counter()
    ask = Request(
        chosen=_chosen(strategy),
        bars=_bars(bars, price),
        settings=settings,
        metrics=_metrics(metrics),
        budget=memory_bytes(max_memory),
        n_threads=_count("n_threads", n_threads),
        n_samples=_count("n_samples", n_samples),
        paths=paths,
        check=check,
        run_chunks=scheduler_of(scheduler),
        ledger=ledger,
        study=study,
        progress=progress,
        started=started,
    )
    axes = read_axes(grid, optional=MAY_BE_OFF)
    _refuse_names(ask.chosen, axes.names)
    if search is not None:
        return _searched(ask, axes, search, resume)
    job = _job(ask, _combinations(ask, axes, seed))
    recorder = Recorder(ledger, job, study)
    recorder.prepare(job)
    collected = Collected(job, recorder, None if resume is None else ChunkStore(resume, job.identity(), len(job.grid)))
    try:
        with SweepLine(job.work.symbols, len(job.grid), progress) as line:
            collected.run(ask.run_chunks, line)
    except BaseException as error:
        _keep_partial(error, job, collected, recorder, started)
        raise
    try:
        recorder.record(collected)
    except LedgerError as error:
        # a result that took hours is not lost with the ledger
        error.partial = _result(job, collected, recorder, started)  # type: ignore[attr-defined]
        error.add_note("the sweep itself is done: its result is `partial` of this error")
        raise
    return _result(job, collected, recorder, started)


@dataclass(frozen=True, eq=False)
class Request:
    """What the caller asked for, checked."""

    bars: Bars
    chosen: Any
    settings: dict[str, Any]
    metrics: tuple[str, ...]
    budget: int
    n_threads: int | None
    n_samples: int | None
    paths: bool
    check: bool | None
    run_chunks: Scheduler
    ledger: Any
    study: str | None
    progress: bool | None
    started: float


@dataclass(frozen=True, eq=False)
class Job:
    """A sweep before it runs.

    Parameters
    ----------
    name : str
        Of the strategy.
    code_hash : str
        Of its code.
    grid : Grid
        All parameters, the rules among them.
    rule_of : ndarray of shape (n_combinations,)
        Which of `work.rules` each combination has.
    defaults : dict
        The strategy's parameters that are not in the grid.
    work : Work
        What evaluates.
    plan : Plan
        How it is cut.
    """

    bars: Bars
    name: str
    code_hash: str
    grid: Grid
    rule_of: np.ndarray
    defaults: dict[str, Any]
    work: Work
    plan: Plan
    probed: tuple[Chunk, Any] | None = None
    paths: bool = False

    @property
    def portfolio(self) -> bool:
        """Whether all symbols share one account."""
        return self.work.shared_cash

    @property
    def varied(self) -> tuple[str, ...]:
        """Rules that are parameters of the grid."""
        return tuple(name for name in self.grid.names if name in RULE_NAMES)

    def identity(self) -> dict[str, Any]:
        """Return everything that the numbers depend on, as plain JSON."""
        base = {name: repr(getattr(self.work.rules[0], name)) for name in RULE_NAMES if name not in self.varied}
        return {
            "data": self.bars.content_hash,
            "strategy": self.name,
            "code": self.code_hash,
            "defaults": {name: repr(value) for name, value in self.defaults.items()},
            "parameters": list(self.grid.names),
            "combinations": len(self.grid),
            "grid": grid_hash(self.grid.names, self.grid.levels, self.grid.codes),
            "rules": base,
            "kernels": KERNELS_HASH,
            "metrics": list(self.work.metrics),
            "paths": self.paths,
            "versions": versions(),
        }


# ------------------------------------------------------------------------------------------------ what is asked for
def _bars(bars: Any, price: str) -> Bars:
    closes = isinstance(bars, pd.Series) or (
        isinstance(bars, pd.DataFrame)
        and not isinstance(bars.columns, pd.MultiIndex)
        and "open" not in {str(name).lower() for name in bars.columns}
    )
    return as_bars(bars, price="close" if price == "close" and closes else None)


def _metrics(metrics: Iterable[str]) -> tuple[str, ...]:
    if not isinstance(metrics, Iterable):
        raise ConfigError(f"metrics must name one or more of {', '.join(streaming.METRICS)}, got {metrics!r}")
    names = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    unknown = [str(name) for name in names if name not in streaming.METRICS]
    if unknown:
        raise UnknownNameError(f"no metric {', '.join(unknown)}; there are {', '.join(streaming.METRICS)}")
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"metrics must name one or more, each once, got {', '.join(names) or 'none'}")
    return names


def _count(name: str, value: int | None) -> int | None:
    if value is None:
        return None
    if not is_whole(value) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)


def _chosen(strategy: Any) -> Any:
    """Return the family or the callable that a strategy is."""
    if isinstance(strategy, (Bars, pd.DataFrame)):
        raise ConfigError(f"the strategy comes first, sweep(strategy, bars, grid); got {type(strategy).__name__}")
    if not isinstance(strategy, str):
        return user_strategy(strategy)
    if strategy in FAMILIES:
        return FAMILIES[strategy]
    if strategy not in strategy_names():
        there = sorted({*FAMILIES, *strategy_names()})
        raise UnknownNameError(f"no strategy {strategy!r}; there are {', '.join(there)}, and any function")
    return user_strategy(strategy_class(strategy))


def _combinations(ask: Request, axes: Axes, seed: int) -> Grid:
    """Return what is to be evaluated; nothing of the size of the grid is written down before it fits the memory."""
    n = axes.n_product if ask.n_samples is None else min(ask.n_samples, axes.n_product)
    plan_memory(_sizes(ask, n, len(axes.names)), ask.budget, 1)
    return axes.every() if n == axes.n_product else axes.sample(n, seed)


def _job(ask: Request, combinations: Grid) -> Job:
    """Return the sweep of some combinations, cut to fit the memory."""
    names = combinations.names
    rules, rule_of = rules_in_grid(read_rules(ask.settings), combinations.only(_rules(names)))
    own = combinations.only([name for name in names if name not in RULE_NAMES])
    n_edges = ask.bars.n_times if ask.paths else min(SIGNATURE_EDGES, ask.bars.n_times)
    work = Work(sweep_market(ask.bars, bars_per_year(ask.bars.timeframe)), own, rules, ask.metrics, n_edges)
    sizes = _sizes(ask, len(combinations), len(names))
    if isinstance(ask.chosen, UserStrategy):
        return _user_job(ask, work, combinations, rule_of, sizes)
    parameters, defaults = family_parameters(ask.chosen, own)
    family_work = FamilyWork(ask.chosen.name, parameters, work, min(ask.budget // 4, _KEPT_ROWS_BYTES))
    plan = plan_memory(_with_rows(sizes, family_work), ask.budget, ask.n_threads or available_threads())
    return Job(
        ask.bars, ask.chosen.name, KERNELS_HASH, combinations, rule_of, defaults, family_work, plan, paths=ask.paths
    )


def _with_rows(sizes: Sizes, work: FamilyWork) -> Sizes:
    """Return the sizes with the indicators: those of some symbols are kept, chunks make those of the others anew."""
    shared = work.shared(0)
    n_symbols = len(work.market.symbols)
    rows_bytes = 8 * (sizes.n_times + 64) * shared.pool.n_rows
    left = n_symbols - shared.n_kept
    return replace(
        sizes,
        shared_bytes=sizes.shared_bytes + shared.n_kept * rows_bytes,
        thread_bytes=sizes.thread_bytes + (min(rows_bytes, _MOST_ROWS_BYTES) if left else 0),
        # made for every chunk: let each be large enough to be worth it
        chunk_at_least=_WORTH * shared.pool.n_rows * left // n_symbols,
    )


def _rules(names: Iterable[str]) -> list[str]:
    return [name for name in names if name in RULE_NAMES]


def _refuse_names(chosen: Any, names: tuple[str, ...]) -> None:
    """Refuse parameters that neither the strategy nor the rules know."""
    own = [name for name in names if name not in RULE_NAMES]
    if isinstance(chosen, UserStrategy):
        clash = sorted(set(RULE_NAMES) & set(chosen.parameters))
        if clash:
            raise ConfigError(f"{', '.join(clash)} names a rule of the sweep: rename the parameter of {chosen.name}")
        chosen.refuse_unknown(own)
        return
    unknown = [name for name in own if name not in chosen.defaults]
    if unknown:
        raise UnknownNameError(
            f"{chosen.name} has no parameter {', '.join(unknown)}; it takes {', '.join(chosen.defaults)}, and the grid "
            f"may vary the rules {', '.join(RULE_NAMES)}"
        )


def family_parameters(family: Any, own: Grid) -> tuple[np.ndarray, dict[str, Any]]:
    """Return every combination as a row of numbers in the family's order, and the defaults that filled it up."""
    columns: dict[str, np.ndarray] = {}
    for name, default in family.defaults.items():
        values = own.values(name) if name in own.names else np.full(len(own), default)
        if values.dtype.kind not in "iufb":
            raise ConfigError(f"{name} of {family.name} must be a number, got {own.levels[own.names.index(name)][0]!r}")
        columns[name] = values.astype(np.float64)
    family.check(columns)
    matrix = np.stack(list(columns.values()), axis=1) if columns else np.empty((len(own), 0))
    return matrix, {name: value for name, value in family.defaults.items() if name not in own.names}


def _sizes(ask: Request, n: int, n_parameters: int) -> Sizes:
    n_times, n_symbols = ask.bars.shape
    user = isinstance(ask.chosen, UserStrategy)
    n_edges = n_times if ask.paths else min(SIGNATURE_EDGES, n_times)
    # prices and their running sums symbol by symbol, and what the ledger wants to compare
    shared = _BAR_BYTES * n_times * n_symbols + min(n, 1000) * n_symbols * SIGNATURE_EDGES * 4
    # what a function makes for itself is its own; its signals and the path of an account are the sweep's
    thread = SIGNAL_BYTES + n_times * n_symbols * _USER_BAR_BYTES if user else _FAMILY_BYTES
    return Sizes(
        n_combinations=n,
        n_symbols=1 if not user and ask.chosen.portfolio else n_symbols,
        n_times=n_times,
        n_parameters=n_parameters,
        n_metrics=len(ask.metrics),
        row_bytes=8 * streaming.N_ACC + 4 * n_edges,
        kept_bytes=4 * n_times if ask.paths else 0,
        shared_bytes=shared,
        thread_bytes=thread,
    )


def _user_job(ask: Request, work: Work, combinations: Grid, rule_of: np.ndarray, sizes: Sizes) -> Job:
    """Return the sweep of a function: checked for look-ahead on its first combination, which is evaluated and timed."""
    chosen: UserStrategy = ask.chosen
    first = work.grid.row(0)
    if ask.check is not False and ask.bars.n_times >= 4:
        check_user_strategy(chosen, ask.bars, first, always=ask.check is True)
    chunk = Chunk(int(rule_of[0]), np.zeros(1, dtype=np.int64))
    user_work, evaluated, seconds = probe(chosen, ask.bars, work, chunk)
    if user_work.portfolio:
        _refuse_stops(work)
    n_threads = ask.n_threads or (available_threads() if chosen.free_threaded else 1)
    plan = plan_memory(replace(sizes, combination_seconds=seconds), ask.budget, n_threads)
    given = set(work.grid.names)
    defaults = {name: value for name, value in (chosen.carried | chosen.defaults).items() if name not in given}
    mark = code_hash(chosen.function)
    return Job(
        ask.bars,
        chosen.name,
        mark,
        combinations,
        rule_of,
        defaults,
        user_work,
        plan,
        probed=(chunk, evaluated),
        paths=ask.paths,
    )


def _refuse_stops(work: Work) -> None:
    for rules in work.rules:
        if np.isfinite(rules.sl_stop) or np.isfinite(rules.tp_stop) or rules.time_stop or rules.direction != "longonly":
            raise ConfigError(
                "stops and direction need signals, this strategy returns weights or positions: return (entries, exits)"
            )


def _searched(ask: Request, axes: Axes, study: Any, resume: Any) -> SweepResult:
    """Let an Optuna study choose the combinations."""
    if resume is not None or ask.n_samples is None:
        raise ConfigError("search needs n_samples, and its study remembers its own trials: leave resume away")
    search = Search(study, axes, ask.metrics)
    plan_memory(_sizes(ask, ask.n_samples, len(axes.names)), ask.budget, 1)
    first: list[Recorder] = []

    def build(combinations: Grid) -> Job:
        job = _job(ask, combinations)
        first[:] = first or [Recorder(ask.ledger, job, ask.study)]
        return job

    try:
        with SweepLine(ask.bars.symbols, ask.n_samples, ask.progress) as line:
            search.run(ask.n_samples, build, lambda job: _evaluated(job, ask.run_chunks, line))
    except BaseException as error:
        found = search.joined(first[0]) if first else None
        if found is not None:
            _keep_partial(error, *found, first[0], ask.started)
        raise
    found = search.joined(first[0])
    assert found is not None
    first[0].record(found[1])
    return _result(*found, first[0], ask.started)


def _evaluated(job: Job, run_chunks: Scheduler, line: SweepLine) -> Collected:
    collected = Collected(job, None)
    collected.run(run_chunks, line)
    return collected


# ------------------------------------------------------------------------------------------------ what comes out
def _keep_partial(error: BaseException, job: Job, collected: Collected, recorder: Recorder, started: float) -> None:
    """Count what was evaluated before a sweep ended early, and hand it over with the error."""
    recorder.record(collected)
    if isinstance(error, KeyboardInterrupt):
        error.partial = _result(job, collected, recorder, started)  # type: ignore[attr-defined]


def _result(job: Job, collected: Collected, recorder: Recorder, started: float) -> SweepResult:
    """Return the rows that are done."""
    done, symbols = collected.done, job.work.symbols
    grid, values = job.grid, collected.values
    if not done.all():
        grid = Grid(grid.names, grid.levels, grid.codes[done], grid.n_product)
        values = values[done]
    flat = values.reshape(-1, values.shape[-1])
    result = SweepResult(flat, index=grid.index(symbols), columns=list(job.work.metrics), copy=False)
    full, short = assumption_words(job.work.rules[0], job.varied, job.portfolio)
    kept = Paths(job.bars.index, collected.paths) if collected.paths is not None and done.all() else None
    result._info = SweepInfo(
        strategy=job.name,
        parameters=grid.names,
        assumptions=full,
        short_assumptions=short,
        study=recorder.study,
        n_trials=recorder.n_trials,
        n_new_trials=recorder.n_new,
        ledger=recorder.ledger,
        seconds=time.perf_counter() - started,
        peak_memory_mb=peak_memory_mb(),
        n_bar_combinations=int(done.sum()) * len(symbols) * job.bars.n_times,
        paths=kept,
    )
    return result
