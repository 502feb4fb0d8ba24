"""Search for settings of the trees: pruned fold by fold, resumable, and every trial in the ledger."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, DataError, MissingExtraError
from gwt_lab.market.bars import Bars
from gwt_lab.models.folds import Fold, fit_folds, plan_folds
from gwt_lab.models.lightgbm_model import LightGBMParams
from gwt_lab.models.scores import score_forecasts
from gwt_lab.models.settings import whole_number
from gwt_lab.models.signal_generator import ALIASES, QlibSignalGenerator, bars_of
from gwt_lab.models.training import Table, fit_lightgbm, make_table
from gwt_lab.processors import available_threads
from gwt_lab.progress import progress
from gwt_lab.validation.effective import return_signature
from gwt_lab.validation.ledger import TrialLedger
from gwt_lab.validation.trials import Trials

__all__ = ["DEFAULT_SPACE", "METRICS", "TuningOptions", "TuningResult", "optimize_parameters"]

DEFAULT_SPACE: dict[str, Any] = {
    "num_leaves": (7, 63),
    "learning_rate": (0.01, 0.2, "log"),
    "n_trees": (50, 300),
    "min_data_in_leaf": (50, 1000, "log"),
    "feature_fraction": (0.4, 1.0),
}
METRICS = {"log_loss": -1, "brier": -1, "accuracy": 1, "auc": 1, "ic": 1, "rank_ic": 1}  # 1: the larger the better
_DEFAULT_TRIALS = 30
_STARTUP = 5  # trials before any is pruned


@dataclass(frozen=True)
class TuningOptions:
    """How `optimize_parameters` searches.

    Parameters
    ----------
    seed : int
    prune : bool
        Stop a trial whose folds so far are worse than the median of the trials before it.
    n_jobs : int, optional
        Folds fitted at once; one a core by default. It changes no result.
    ledger : TrialLedger, optional
        Where trials are counted; the project's ledger by default.
    study : str, optional
        Name of the study, in the storage and in the ledger; made from label and data by default.

    Raises
    ------
    ConfigError
        If an option is of another kind or out of range.
    """

    seed: int = 0
    prune: bool = True
    n_jobs: int | None = None
    ledger: TrialLedger | None = None
    study: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", whole_number("seed", self.seed, 0, 2**31))
        if self.n_jobs is not None:
            object.__setattr__(self, "n_jobs", whole_number("n_jobs", self.n_jobs, 1))
        for name, kinds in (("prune", bool), ("ledger", (TrialLedger, type(None))), ("study", (str, type(None)))):
            if not isinstance(getattr(self, name), kinds):
                raise ConfigError(f"{name} is of another kind: got {getattr(self, name)!r}; see help(TuningOptions)")


@dataclass(frozen=True)
class TuningResult:
    """What `optimize_parameters` found.

    Parameters
    ----------
    best_params : dict
    best_value : float
        Of the metric, over all test rows.
    metric : str
    trials : DataFrame
        One row a trial: the parameters, value, sharpe (per bar, of the out-of-fold signals, each held for the horizon,
        before costs), folds, state (complete or pruned).
    study : str
        Name under which the ledger knows the trials.
    best : QlibSignalGenerator
        Not trained, with the best parameters.
    """

    best_params: dict[str, Any]
    best_value: float
    metric: str
    trials: pd.DataFrame
    study: str
    best: QlibSignalGenerator

    def __repr__(self) -> str:
        return f"TuningResult({self.metric} {self.best_value:.4f} of {len(self.trials)} trials, {self.best_params})"


def optimize_parameters(
    data: Any,
    space: Mapping[str, Any] | None = None,
    *,
    generator: QlibSignalGenerator | None = None,
    n_trials: int | None = None,
    metric: str = "log_loss",
    storage: str | os.PathLike[str] | None = None,
    options: TuningOptions | None = None,
) -> TuningResult:
    """Search for parameters of the trees by Optuna, on the generator's purged walk-forward folds.

    Parameters
    ----------
    data : Bars, or anything `as_bars` takes
    space : mapping, optional
        From a field of `LightGBMParams` other than `objective` to a list of values (range and array are lists too),
        ``(low, high)`` or ``(low, high, "log")``. By default five of them, over usual ranges.
    generator : QlibSignalGenerator, optional
        Label, horizon, features, splits and the other parameters; never changed.
    n_trials : int, optional
        Trials in all, those of earlier runs in `storage` included; 30 by default. If every value of `space` is a list
        and `n_trials` is not given, every combination is tried once: a grid.
    metric : str, default "log_loss"
        One of `METRICS`.
    storage : path-like, optional
        An sqlite file: a search that was interrupted goes on where it stopped, the trial that was running first.
    options : TuningOptions, optional

    Returns
    -------
    TuningResult

    Raises
    ------
    ConfigError
        If a parameter, metric or range is unknown or impossible.
    DataError
        If the bars are too few, or every trial was pruned.
    MissingExtraError
        If Optuna is not installed.

    Notes
    -----
    Features are computed once. The best of many trials looks good by chance: `TrialLedger().study(result.study)` knows
    how many there were, pruned ones included.
    """
    options = TuningOptions() if options is None else options
    generator = QlibSignalGenerator() if generator is None else generator
    _check(generator, options, metric, n_trials)
    space = _space(DEFAULT_SPACE if space is None else space, generator)
    grid = n_trials is None and all(isinstance(values, list) for values in space.values())
    bars = bars_of(data, None)
    search = _Search(bars, generator, space, metric, options)
    study = _study(search, storage, grid)
    total = math.prod(len(values) for values in space.values()) if grid else n_trials or _DEFAULT_TRIALS
    n_done = len(_done(study))
    with progress(f"tune by {metric}", total) as line:
        line.update(n_done)
        if total > n_done:
            _retry(study)
            with _quiet():
                study.optimize(search.objective, n_trials=total - n_done, callbacks=[lambda *_: line.advance()])
    return _result(study, search)


class _Search:
    """One search: the table, the folds, and what a trial does with them."""

    def __init__(
        self, bars: Bars, generator: QlibSignalGenerator, space: dict[str, Any], metric: str, options: TuningOptions
    ) -> None:
        self.generator, self.space, self.metric, self.options = generator, space, metric, options
        self.table: Table = make_table(bars, generator.features, generator.question)
        self.folds: list[Fold] = plan_folds(self.table.rows, generator.splits, self.table.known_ns)
        question = generator.question
        self.next_bar = replace(question, horizon=1).earned(bars).to_numpy()
        self.label = f"{question.label}, horizon {question.horizon}, next open, before costs"
        self.name = options.study or f"tune {question.label} on {bars.content_hash[:12]}"
        self.data, self.universe = bars.content_hash, bars.symbols
        self.ledger = options.ledger or TrialLedger()
        self.sign = METRICS[metric]

    @property
    def fingerprint(self) -> str:
        """What must be equal for a stored search to go on: data, question, features, folds, space and metric."""
        rows = self.table.rows
        stated = [
            self.data, str(self.generator.question), self.generator.features.source, rows.names, self.metric,
            [[len(fold.train), int(fold.test[0]), int(fold.test[-1])] for fold in self.folds],
            {name: list(values) for name, values in sorted(self.space.items())},
            {name: value for name, value in vars(self.generator.params).items() if name not in self.space},
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(stated).encode()).hexdigest()[:12]

    def objective(self, trial: Any) -> float:
        """Fit fold after fold; report each, stop where Optuna says so, and count the trial in the ledger."""
        import optuna

        chosen = {name: _suggest(trial, name, values) for name, values in self.space.items()}
        params = replace(self.generator.params, **chosen)
        done: list[np.ndarray] = []
        value, pruned = math.nan, False
        for batch in self._batches():
            for found in self._fit(params, batch):
                done.append(found)
                value = self._value(done)
                trial.report(value, len(done))
                pruned = self.options.prune and len(done) < len(self.folds) and trial.should_prune()
                if pruned:
                    break
            if pruned:
                break
        trial.set_user_attr("sharpe", self._record(params, done))
        trial.set_user_attr("folds", len(done))
        if pruned:
            raise optuna.TrialPruned
        return value

    def _batches(self) -> list[list[Fold]]:
        size = self.options.n_jobs or available_threads()
        return [self.folds[start : start + size] for start in range(0, len(self.folds), size)]

    def _fit(self, params: LightGBMParams, folds: list[Fold]) -> list[np.ndarray]:
        fit, index = fit_lightgbm(self.table, params), self.table.rows.index

        def fit_fold(train: np.ndarray) -> Any:
            model = fit(train)
            return lambda values, rows: model.predict(values, index[rows])

        numbered = [replace(fold, number=place) for place, fold in enumerate(folds)]
        return fit_folds(self.table.rows, numbered, fit_fold, n_jobs=self.options.n_jobs)

    def _tested(self, done: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([fold.test for fold in self.folds[: len(done)]])

    def _value(self, done: list[np.ndarray]) -> float:
        rows, question = self._tested(done), self.generator.question
        scores = score_forecasts(
            np.concatenate(done),
            self.table.earned[rows],
            self.table.rows.index[rows],
            probabilities=question.probabilities,
            horizon=question.horizon,
        )
        value = scores[self.metric]
        return (-math.inf * self.sign) if value is None else float(value)

    def _returns(self, done: list[np.ndarray]) -> np.ndarray:
        """Return what a bar earns, averaged over symbols, before costs, if each signal is held for the horizon.

        Returns of the horizon itself would overlap: many a bar, one observation.
        """
        question, index = self.generator.question, self.table.rows.index
        middle = 0.5 if question.probabilities else 0.0
        earned, count = np.zeros(len(index.levels[0])), np.zeros(len(index.levels[0]))
        for fold, found in zip(self.folds, done, strict=False):
            time, symbol = (codes[fold.test] for codes in index.codes)
            first, known = time.min(), np.nan_to_num(self.next_bar[fold.test])
            signals = np.zeros((time.max() - first + 1, len(index.levels[1])))
            signals[time - first, symbol] = np.sign(found - middle)
            held = _held(signals, question.horizon)
            earned += np.bincount(time, held[time - first, symbol] * known, len(earned))
            count += np.bincount(time, minlength=len(count))
        found_returns: np.ndarray = earned[count > 0] / count[count > 0]
        return found_returns

    def _record(self, params: LightGBMParams, done: list[np.ndarray]) -> float | None:
        """Count the trial by the returns of its signals."""
        returns = self._returns(done)
        spread = returns.std(ddof=1)
        sharpe = float(returns.mean() / spread) if spread > 0 else math.nan
        trials = Trials(
            {name: [value] for name, value in vars(params).items()},
            data=self.data,
            universe=self.universe,
            label=self.label,
            strategy="QlibSignalGenerator",
            study=self.name,
        )
        self.ledger.record(trials, [sharpe], len(returns), return_signature(returns[:, None]))
        return None if math.isnan(sharpe) else sharpe


def _held(signals: np.ndarray, horizon: int) -> np.ndarray:
    """Return what is held of a panel of signals (n_times, n_symbols): the mean of the last `horizon` ones."""
    held = np.zeros_like(signals)
    for lag in range(min(horizon, len(signals))):
        held[lag:] += signals[: len(signals) - lag]
    return held / horizon


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from logging what our own errors say, such as the trace of an interrupt."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _done(study: Any) -> list[Any]:
    """Return the trials that came to an end of their own: those that were interrupted are tried again."""
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _retry(study: Any) -> None:
    """Put the parameters of interrupted trials first in the queue."""
    tried = [trial.params for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED", "WAITING")]
    for trial in study.trials:
        if trial.state.name in ("FAIL", "RUNNING") and trial.params and trial.params not in tried:
            study.enqueue_trial(trial.params)
            tried.append(trial.params)


def _check(generator: Any, options: Any, metric: str, n_trials: int | None) -> None:
    if not isinstance(generator, QlibSignalGenerator):
        raise ConfigError(f"generator must be a QlibSignalGenerator, got {type(generator).__name__}")
    if not isinstance(options, TuningOptions):
        raise ConfigError(f"options must be TuningOptions(seed=1, ...), got {type(options).__name__}")
    if generator.model is not None:
        raise ConfigError("optimize_parameters tunes our own LightGBM, the generator has a qlib model")
    if metric not in METRICS:
        raise ConfigError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}")
    if metric in ("log_loss", "brier") and not generator.question.probabilities:
        raise ConfigError(f"{metric} judges probabilities, the generator forecasts returns: use metric='rank_ic'")
    if n_trials is not None:
        whole_number("n_trials", n_trials, 1)


def _space(given: Mapping[str, Any], generator: QlibSignalGenerator) -> dict[str, Any]:
    """Return the space under our own names and in Python's own numbers, each value once."""
    if not isinstance(given, Mapping):
        raise ConfigError(f"the space must be a mapping such as {{'num_leaves': [7, 15]}}, got {type(given).__name__}")
    space = {ALIASES.get(name, name): values for name, values in given.items()}
    known = [name for name in LightGBMParams.__dataclass_fields__ if name != "objective"]
    unknown = [str(name) for name in space if name not in known]
    if unknown or not space:
        listed = ", ".join(known)
        raise ConfigError(f"the space has no parameter {', '.join(unknown) or 'at all'}; there are {listed}")
    if len(space) < len(given):
        raise ConfigError(f"a parameter was given twice, under two names: {', '.join(given)}")
    return {name: _values(name, values, generator.params) for name, values in space.items()}


def _values(name: str, values: Any, params: LightGBMParams) -> list[Any] | tuple[Any, ...]:
    """Return the candidates of one parameter, a list, or its range, a tuple."""
    listed = list(values) if isinstance(values, (list, range, np.ndarray)) else []
    if not listed and not (isinstance(values, tuple) and len(values) in (2, 3)):
        raise ConfigError(f"{name} needs a list of values, (low, high) or (low, high, 'log'), got {values!r}")
    # the settings themselves know what is allowed
    found = [getattr(replace(params, **{name: value}), name) for value in listed or values[:2]]
    if listed:
        return list(dict.fromkeys(found))
    low, high, scale = *found, values[2:]
    if low >= high:
        raise ConfigError(f"{name} needs a list of values, (low, high) or (low, high, 'log'), got {values!r}")
    if scale not in ((), ("log",)):
        raise ConfigError(f"{name}: the third entry of a range can only be 'log', got {scale[0]!r}")
    if scale and low <= 0:
        raise ConfigError(f"{name}: a range on a log scale must begin above 0, got {values!r}")
    return (low, high, *scale)


def _suggest(trial: Any, name: str, values: Any) -> Any:
    if isinstance(values, list):
        return trial.suggest_categorical(name, values)
    low, high, log = values[0], values[1], len(values) == 3
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=log)
    return trial.suggest_float(name, float(low), float(high), log=log)


def _study(search: _Search, storage: str | os.PathLike[str] | None, grid: bool) -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("optuna", "tune") from None
    with _quiet():
        study = optuna.create_study(
            storage=None if storage is None else _storage(storage),
            study_name=f"{search.name} {search.fingerprint}",
            direction="maximize" if search.sign > 0 else "minimize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(_STARTUP, n_warmup_steps=1) if search.options.prune else None,
        )
    # a search that goes on must not draw again what it drew before
    seed = search.options.seed + len(study.trials)
    if grid:
        study.sampler = optuna.samplers.GridSampler(search.space, seed=search.options.seed)
    else:
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(_STARTUP, 10))
    return study


def _storage(storage: str | os.PathLike[str]) -> Any:
    """Return Optuna's storage in an sqlite file."""
    from optuna.storages import RDBStorage
    from sqlalchemy import URL
    from sqlalchemy.exc import SQLAlchemyError

    if not isinstance(storage, (str, os.PathLike)) or "://" in os.fspath(storage):
        raise ConfigError(f"storage must be the path of an sqlite file such as 'tune.db', got {storage!r}")
    file = Path(storage).expanduser().absolute()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # a name may hold what means something in an address
        address = URL.create("sqlite", database=str(file)).render_as_string(hide_password=False)
        return RDBStorage(address)
    except (OSError, SQLAlchemyError) as error:
        why = str(getattr(error, "orig", None) or error)
        raise DataError(f"'{file}' cannot hold a search ({why}): name a new file in a folder with room") from None


def _result(study: Any, search: _Search) -> TuningResult:
    rows = []
    for trial in study.trials:
        if not trial.state.is_finished() or "folds" not in trial.user_attrs:
            continue
        stated = {"sharpe": trial.user_attrs["sharpe"], "folds": trial.user_attrs["folds"]}
        last = trial.intermediate_values[stated["folds"]]
        state = "pruned" if trial.state.name == "PRUNED" else "complete"
        rows.append(trial.params | {"value": last} | stated | {"state": state})
    trials = pd.DataFrame(rows).rename_axis("trial")
    complete = trials[trials["state"] == "complete"] if len(trials) else trials
    if not len(complete):
        raise DataError(f"none of {len(trials)} trials was complete: raise n_trials, or prune=False")
    best = (complete["value"] * search.sign).idxmax()
    chosen = {name: rows[int(best)][name] for name in search.space}
    generator = search.generator
    tuned = QlibSignalGenerator(
        label=generator.question.label,
        horizon=generator.question.horizon,
        splits=generator.splits,
        threshold=generator.threshold,
        **(vars(generator.params) | chosen),
    )
    tuned.features = generator.features
    return TuningResult(chosen, float(complete["value"][best]), search.metric, trials, search.name, tuned)
