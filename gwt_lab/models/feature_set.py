"""What a model looks at: which features, how they are computed from bars, and how many bars they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, DataError, UnknownNameError
from gwt_lab.features.alpha158 import ALPHA158_COLUMNS, ALPHA158_LOOKBACK, ALPHA158_LOOKBACKS, alpha158
from gwt_lab.features.panel import traded_rows
from gwt_lab.market.bars import Bars

__all__ = ["FeatureSet", "feature_set", "restored_feature_set"]


@dataclass(frozen=True)
class FeatureSet:
    """Features by name.

    Parameters
    ----------
    source : str
        ``alpha158``, ``alpha158 (qlib)``, or the name of an extractor.
    lookback : int
        Bars that a row needs, the current one included.
    lookbacks : dict of str to int
        The same by column, where it is known.
    compute : callable
        From bars to the long frame of float32, every time and symbol of the bars.
    columns : tuple of str
        Names; empty where only the computed frame knows them.
    across_outages : bool
        Whether the lookback counts only the times at which something traded, as qlib's windows do.
    """

    source: str
    lookback: int
    lookbacks: dict[str, int]
    compute: Callable[[Bars], pd.DataFrame]
    columns: tuple[str, ...] = ()
    across_outages: bool = False

    def whole(self, bars: Bars) -> np.ndarray:
        """Return at which times of the bars the lookback is whole, a bool for each."""
        counted = traded_rows(bars) if self.across_outages else np.ones(bars.n_times, dtype=bool)
        return np.asarray(np.cumsum(counted) >= self.lookback)

    def newest(self, bars: Bars) -> Bars:
        """Return the last bars that the features of the last one need."""
        if not self.across_outages:
            return bars.tail(self.lookback)
        since_end = np.cumsum(traded_rows(bars)[::-1])
        return bars.tail(int(np.searchsorted(since_end, self.lookback)) + 1)

    def document(self, names: list[str]) -> dict[str, Any]:
        """Return what a model file says of its features."""
        known = {name: self.lookbacks[name] for name in names if name in self.lookbacks}
        return {"source": self.source, "names": names, "lookback": self.lookback, "lookbacks": known}


def feature_set(features: Any = None, *, as_qlib: bool = False) -> FeatureSet:
    """Return the feature set that `features` stands for.

    Parameters
    ----------
    features : None, sequence of str, or an extractor
        All 158 columns of Alpha158, some of them by name, or an `AlphaFeatureExtractor`.
    as_qlib : bool
        Alpha158 as qlib computes it.

    Raises
    ------
    ConfigError
        If `features` is none of these.
    UnknownNameError
        If a name is no column of Alpha158.
    """
    if isinstance(features, (np.ndarray, pd.Index)):
        features = list(features)  # such as generator.importance().index[:20]
    if features is None or _names(features):
        return _alpha(tuple(ALPHA158_COLUMNS if features is None else features), as_qlib)
    if as_qlib:
        raise ConfigError("a qlib model is trained on Alpha158 through qlib's own loader: name columns of Alpha158")
    if isinstance(features, type):
        raise ConfigError(f"features must be an extractor and not its class: pass {features.__name__}()")
    if not hasattr(features, "extract") or not hasattr(features, "lookback"):
        raise ConfigError(
            f"features must be names of Alpha158 columns or an AlphaFeatureExtractor, got {type(features).__name__}"
        )
    lookbacks = dict(getattr(features, "lookbacks", {}))
    return FeatureSet(str(features.name), int(features.lookback), lookbacks, features.extract)


def restored_feature_set(document: dict[str, Any], features: Any) -> FeatureSet:
    """Return the feature set of a model file; an extractor must be handed in, for code is never loaded from a file.

    Raises
    ------
    DataError
        If the file wants an extractor and none, or another one, is given.
    """
    source, names = document["source"], document["names"]
    if source in ("alpha158", "alpha158 (qlib)"):
        if features is not None and (not _names(features) or list(features) != names):
            raise DataError(f"the model was trained on {len(names)} columns of Alpha158: load it without features=")
        return feature_set(names, as_qlib=source == "alpha158 (qlib)")
    if features is None or getattr(features, "name", None) != source:
        got = "none" if features is None else repr(getattr(features, "name", type(features).__name__))
        raise DataError(f"the model was trained on the extractor {source!r}, got {got}: pass features={source}(...)")
    return feature_set(features)


def _alpha(columns: tuple[str, ...], as_qlib: bool) -> FeatureSet:
    if not columns or len(set(columns)) < len(columns):
        raise ConfigError(f"features must name each column once and at least one, got {len(columns)} names")
    unknown = [name for name in columns if name not in ALPHA158_LOOKBACKS]
    if unknown:
        raise UnknownNameError(f"Alpha158 has no column {', '.join(unknown[:5])}: see ALPHA158_COLUMNS")
    lookbacks = {name: ALPHA158_LOOKBACKS[name] for name in columns}
    if not as_qlib:
        return FeatureSet("alpha158", max(lookbacks.values()), lookbacks, partial(alpha158, columns=columns), columns)
    # qlib's windows reach across any outage, so the whole lookback is asked for whatever the column
    return FeatureSet("alpha158 (qlib)", ALPHA158_LOOKBACK, {}, partial(_as_qlib, columns=columns), columns, True)


def _as_qlib(bars: Bars, columns: tuple[str, ...]) -> pd.DataFrame:
    """Return qlib's Alpha158 with a row for every time and symbol of the bars."""
    found = alpha158(bars, True, columns)
    if len(found) == bars.n_times * bars.n_symbols:
        return found
    index = pd.MultiIndex.from_product([bars.index, sorted(bars.symbols)], names=found.index.names)
    return found.reindex(index)


def _names(features: Any) -> bool:
    return (
        isinstance(features, Sequence)
        and not isinstance(features, str)
        and all(isinstance(name, str) for name in features)
    )
