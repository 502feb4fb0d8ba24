"""Has the world moved away from what a model was trained on? Features, accuracy, importances, age, and a rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gwt_lab.data.durations import duration
from gwt_lab.errors import ConfigError, DataError
from gwt_lab.market.time import timeframe_ns, timestamp
from gwt_lab.models.folds import Rows
from gwt_lab.models.forecasters import Forecaster
from gwt_lab.models.scores import score_forecasts
from gwt_lab.models.settings import number, whole_number

if TYPE_CHECKING:
    from gwt_lab.models.signal_generator import QlibSignalGenerator

__all__ = [
    "DRIFTED",
    "RetrainVerdict",
    "drift_reference",
    "importance_change",
    "needs_retraining",
    "population_stability",
    "rolling_accuracy",
]

DRIFTED = 0.25  # the usual mark of a population that moved
_WINDOW = 500  # times in a window of features
_MOST_BLOCKS, _MOST_ROWS = 10, 1000
_FEWEST_SCORED = 100
_BINS = 10


# ------------------------------------------------------------------------------------------ what training looked like
def drift_reference(rows: Rows, forecaster: Forecaster, forecasts: np.ndarray) -> dict[str, Any]:
    """Return what later data are compared with: deciles of each feature and how far blocks of training lie from them.

    Returns
    -------
    dict
        Plain values: window (times), features {name: {edges, shares, usual}}, importance, forecast_sizes.
    """
    used = rows.labelled
    times = np.unique(rows.index.codes[0][used])
    window = max(1, min(_WINDOW, len(times) // 4))
    sample = rows.values[used[:: max(1, len(used) // (_MOST_BLOCKS * _MOST_ROWS))]]
    blocks = [_thin(rows, used, part) for part in _blocks(times, window)]
    features: dict[str, Any] = {}
    for place, name in enumerate(rows.names):
        column = sample[:, place].astype(np.float64)
        known = column[np.isfinite(column)]
        edges = np.unique(np.quantile(known, np.arange(1, _BINS) / _BINS)) if len(known) else np.empty(0)
        shares = _shares(column, edges)
        usual = [_psi(shares, _shares(block[:, place].astype(np.float64), edges)) for block in blocks]
        features[name] = {"edges": edges.tolist(), "shares": shares.tolist(), "usual": float(max(usual, default=0.0))}
    sizes = np.abs(forecasts[np.isfinite(forecasts)])
    gain = forecaster.importance()
    return {
        "window": window,
        "features": features,
        "importance": None if gain is None else [float(value) for value in gain],
        "forecast_sizes": np.quantile(sizes, np.linspace(0, 1, 101)).tolist() if len(sizes) else [],
    }


def _blocks(times: np.ndarray, window: int) -> list[np.ndarray]:
    starts = np.unique(np.linspace(0, len(times) - window, _MOST_BLOCKS).astype(int))
    return [times[start : start + window] for start in starts]


def _thin(rows: Rows, used: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the values of the rows of some times, every few of them where there are many."""
    codes = rows.index.codes[0][used]
    inside = used[(codes >= times[0]) & (codes <= times[-1])]
    thinned: np.ndarray = rows.values[inside[:: max(1, len(inside) // _MOST_ROWS)]]
    return thinned


def _shares(column: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the share of values in each bin, and of missing ones in the last."""
    known = np.isfinite(column)
    counts = np.bincount(np.searchsorted(edges, column[known], side="left"), minlength=len(edges) + 1)
    shares: np.ndarray = np.append(counts, (~known).sum()) / max(len(column), 1)
    return shares


def _psi(expected: np.ndarray, found: np.ndarray) -> float:
    # an empty bin counts as one in ten thousand, so that the index stays finite
    a, b = np.maximum(expected, 1e-4), np.maximum(found, 1e-4)
    return float(((b - a) * np.log(b / a)).sum())


# ------------------------------------------------------------------------------------------ what later data look like
def population_stability(generator: QlibSignalGenerator, data: Any) -> pd.DataFrame:
    """Return how far each feature has moved since training.

    Parameters
    ----------
    generator : QlibSignalGenerator
        Trained or loaded.
    data : Bars, or anything `as_bars` takes
        The last `window` bars are looked at (500, less for short trainings), after the features' lookback.

    Returns
    -------
    DataFrame of shape (n_features, 3)
        psi: population stability index over the deciles of training, missing values being a bin of their own; usual:
        the largest index of blocks of `window` bars of the training data themselves, since neighbouring bars are not
        independent; drifted: psi above both 0.25 and usual. Largest psi first.

    Raises
    ------
    ConfigError
        If it is asked of something else; an ensemble's members are asked one by one.
    NotFittedError, DataError
        As `QlibSignalGenerator.predict`.
    """
    bars = _one(generator)._checked(data, None)
    reference = generator.reference_
    before = bars.head(max(bars.n_times - reference["window"] + 1, 1))
    bars = bars.tail(generator.features.newest(before).n_times + reference["window"] - 1)
    from gwt_lab.models.training import usable_rows

    features = generator._features(bars)
    values = features.to_numpy(dtype=np.float32)
    values = values[usable_rows(bars, generator.features, values)]
    if not len(values):
        raise DataError("no row of these bars has features: pass bars that reach to the present")
    rows = {}
    for place, name in enumerate(generator.feature_names_):
        stated = reference["features"][name]
        found = _shares(values[:, place].astype(np.float64), np.array(stated["edges"]))
        rows[name] = (_psi(np.array(stated["shares"]), found), stated["usual"])
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["psi", "usual"])
    table["drifted"] = table["psi"] > np.maximum(DRIFTED, table["usual"])
    return table.sort_values("psi", ascending=False)


def rolling_accuracy(
    generator: QlibSignalGenerator, data: Any, *, window: int = 250, every: int | None = None, since: Any = None
) -> pd.DataFrame:
    """Return the accuracy of forecasts over moving windows of bars, with 95 % intervals.

    Parameters
    ----------
    generator : QlibSignalGenerator
        Trained or loaded.
    data : Bars, or anything `as_bars` takes
    window : int, default 250
        Times a window.
    every : int, optional
        Times between two windows; by default a quarter of one.
    since : time-like, optional
        First time that counts; by default the first after training. Earlier ones were learnt from.

    Returns
    -------
    DataFrame
        One row a window, indexed by its last time: accuracy, low, high, base_rate, n. Empty as long as fewer times
        than a window have both a forecast and what came.

    Raises
    ------
    ConfigError
        If `window` is below 2, or `every` below 1.
    NotFittedError, DataError
        As `QlibSignalGenerator.predict`.
    """
    window = whole_number("window", window, 2)
    step = max(1, window // 4) if every is None else whole_number("every", every, 1)
    scored = _scored(_one(generator), data, since)
    times = scored.index.get_level_values(0)
    unique = times.unique()
    ends = range(len(unique), window - 1, -step)
    rows = {}
    for end in sorted(ends):
        part = scored[(times >= unique[end - window]) & (times <= unique[end - 1])]
        scores = _score(generator, part)
        rows[unique[end - 1]] = (
            scores["accuracy"], scores["accuracy_low"], scores["accuracy_high"], scores["base_rate"], len(part),
        )  # fmt: skip
    columns = ["accuracy", "low", "high", "base_rate", "n"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return frame.set_axis(pd.DatetimeIndex(list(rows), dtype=times.dtype, name="datetime"))


def _scored(generator: QlibSignalGenerator, data: Any, since: Any = None) -> pd.DataFrame:
    """Return forecasts beside what came, for rows after training whose label is known."""
    bars = generator._checked(data, None)
    frame = generator._forecast(bars)
    frame["earned"] = generator.question.earned(bars).to_numpy()
    first = timestamp(generator.report_["train_end"]) if since is None else timestamp(since)
    times = frame.index.get_level_values(0)
    later = times > first if since is None else times >= first
    return frame[later & frame["earned"].notna() & frame[generator.question.column].notna()]


def _score(generator: QlibSignalGenerator, part: pd.DataFrame) -> dict[str, Any]:
    question = generator.question
    return score_forecasts(
        part[question.column].to_numpy(),
        part["earned"].to_numpy(),
        part.index,
        probabilities=question.probabilities,
        horizon=question.horizon,
    )


def importance_change(before: pd.Series, after: pd.Series) -> float:
    """Return the rank correlation of two models' importances: 1 if features matter in the same order.

    Raises
    ------
    DataError
        If the features differ.
    """
    if set(before.index) != set(after.index):
        raise DataError(f"importances must be of the same features, got {len(before)} and {len(after)}")
    ranks = pd.DataFrame({"before": before.rank(), "after": after.reindex(before.index).rank()})
    spread = ranks.std()
    if (spread == 0).any():
        return 1.0 if (spread == 0).all() else 0.0
    return float(ranks["before"].corr(ranks["after"]))


# ------------------------------------------------------------------------------------------ the rule
@dataclass(frozen=True)
class RetrainVerdict:
    """What `needs_retraining` says: true if a model should be trained again.

    Parameters
    ----------
    needed : bool
    reasons : list of str
        Why, one sentence each; empty if not needed.
    figures : dict
        What was measured: age, drifted (share of features), worst (feature with the largest index), accuracy and its
        interval, n_scored, importance_change.
    """

    needed: bool
    reasons: list[str]
    figures: dict[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.needed


def needs_retraining(
    generator: QlibSignalGenerator,
    data: Any,
    *,
    max_age: Any = None,
    max_drifted: float = 0.25,
    window: int = _WINDOW,
    challenger: QlibSignalGenerator | None = None,
    min_importance_agreement: float = 0.5,
) -> RetrainVerdict:
    """Return whether a model should be trained again, with the reasons.

    Parameters
    ----------
    generator : QlibSignalGenerator
    data : Bars, or anything `as_bars` takes
        Bars up to now. The newest ``lookback + window`` and some more say the same as all, sooner.
    max_age : timedelta-like, optional
        Age (last bar less end of training) from which a model is too old, such as ``"24h"``; no limit by default.
    max_drifted : float, default 0.25
        Share of features that may have drifted (`population_stability`). Like accuracy, it counts once 100 rows after
        training have come: what was trained on cannot have moved away from itself.
    window : int, default 500
        Newest times whose accuracy is looked at; a reason if its whole 95 % interval lies below that of validation.
    challenger : QlibSignalGenerator, optional
        The same model trained on newer bars; importances that order features otherwise are a reason.
    min_importance_agreement : float, default 0.5
        Rank correlation below which they do.

    Returns
    -------
    RetrainVerdict
        Usable as a truth value.

    Raises
    ------
    ConfigError
        If a rule is of another kind or out of range.
    NotFittedError, DataError
        As `QlibSignalGenerator.predict`.
    """
    oldest, window = _age(max_age), whole_number("window", window, 2)
    max_drifted = number("max_drifted", max_drifted, 0, 1)
    min_importance_agreement = number("min_importance_agreement", min_importance_agreement, -1, 1)
    bars = _one(generator)._checked(data, None)
    reasons: list[str] = []
    age = bars.index[-1] - timestamp(generator.report_["train_end"])
    figures: dict[str, Any] = {"age": str(age)}
    if oldest is not None and age >= oldest:
        reasons.append(f"the model is {age} old, {oldest} is allowed")
    stability = population_stability(generator, bars)
    share = float(stability["drifted"].mean())
    figures |= {"drifted": share, "worst": str(stability.index[0]), "worst_psi": float(stability["psi"].iloc[0])}
    n_new = age // pd.Timedelta(timeframe_ns(bars.timeframe), "ns") * bars.n_symbols
    if share > max_drifted and n_new >= _FEWEST_SCORED:
        reasons.append(
            f"{share:.0%} of the features have moved since training ({max_drifted:.0%} allowed), most "
            f"{figures['worst']} with an index of {figures['worst_psi']:.2f}"
        )
    reasons += _accuracy_reasons(generator, bars, window, figures)
    if challenger is not None:
        agreement = importance_change(generator.importance(), _one(challenger, "challenger").importance())
        figures["importance_change"] = agreement
        if agreement < min_importance_agreement:
            reasons.append(f"a newly trained model orders features otherwise (rank correlation {agreement:.2f})")
    return RetrainVerdict(bool(reasons), reasons, figures)


def _one(generator: Any, name: str = "generator") -> QlibSignalGenerator:
    """Return the generator, refusing what is none."""
    from gwt_lab.models.signal_generator import QlibSignalGenerator

    if not isinstance(generator, QlibSignalGenerator):
        then = "; ask its members one by one" if hasattr(generator, "generators") else ""
        raise ConfigError(f"{name} must be a QlibSignalGenerator, got {type(generator).__name__}{then}")
    return generator


def _age(max_age: Any) -> pd.Timedelta | None:
    if max_age is None:
        return None
    try:
        age = duration(max_age, "max_age")
    except ConfigError:
        age = None
    if age is None or not age >= pd.Timedelta(0):
        raise ConfigError(f"max_age must be a span with its unit, such as '24h' or '7D', got {max_age!r}")
    return age


def _accuracy_reasons(generator: QlibSignalGenerator, bars: Any, window: int, figures: dict[str, Any]) -> list[str]:
    scored = _scored(generator, bars)
    times = scored.index.get_level_values(0)
    scored = scored[times >= times.unique()[-window:][0]] if len(scored) else scored
    figures["n_scored"] = len(scored)
    expected = generator.report_["val_accuracy_low"]
    if len(scored) < _FEWEST_SCORED or expected is None:
        return []
    scores = _score(generator, scored)
    figures |= {name: scores[name] for name in ("accuracy", "accuracy_low", "accuracy_high")}
    if scores["accuracy_high"] is not None and scores["accuracy_high"] < expected:
        return [
            f"accuracy over the last {scores['n_times']} times is {scores['accuracy']:.3f} (at most "
            f"{scores['accuracy_high']:.3f} with 95 % confidence), validation had shown at least {expected:.3f}"
        ]
    return []
