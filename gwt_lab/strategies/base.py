"""What a strategy is: logic without dates, with two clocks that decide alike bit for bit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

import numpy as np
import pandas as pd

from gwt_lab.errors import ConfigError, DataError
from gwt_lab.market.bars import Bars
from gwt_lab.strategies.clock import Bar, BarState

__all__ = ["Strategy"]

_Class = TypeVar("_Class", bound="Strategy")


@dataclass(frozen=True)
class Strategy(ABC):
    """Logic that turns bars into target weights.

    A subclass is a frozen dataclass whose fields are plain JSON values. It says `weights` and `lookback`; `decide` runs
    the same function on the last `lookback` bars, so both clocks agree wherever the two laws of `check_causal` hold.

    Notes
    -----
    Weights are decided at a bar's close and filled at the next open. NaN holds what is there.
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def lookback(self) -> int:
        """Bars that one decision needs, the deciding bar included."""

    @abstractmethod
    def weights(self, bars: Bars) -> pd.DataFrame:
        """Return target weights of shape (n_times, n_symbols), row t from bars up to and including t; NaN holds."""

    def start(self, bars: Bars) -> BarState:
        """Return the empty state for the symbols and timeframe of `bars`; none of their rows are in it."""
        return BarState(bars.timeframe, tuple(bars.symbols), self.lookback, bars.quote_volume is not None)

    def decide(self, state: BarState, bar: Bar) -> tuple[BarState, np.ndarray]:
        """Return the state after `bar` and the target weights decided at its close, shape (n_symbols,).

        Raises
        ------
        DataError
            If the state was made for another strategy, or the bar is late or repeated.
        """
        if state.lookback != self.lookback:
            raise DataError(
                f"the state keeps {state.lookback} bars, {self.name} needs {self.lookback}: use start(bars)"
            )
        state = state.push(bar)
        if not self.decides_at(bar, state.timeframe):
            return state, np.full(len(state.symbols), np.nan)
        return state, self.last_weights(state)

    def last_weights(self, state: BarState) -> np.ndarray:
        """Return the last row of `weights` on the bars in `state`, shape (n_symbols,)."""
        decided: np.ndarray = self.weights(state.bars()).to_numpy(dtype=np.float64)[-1].copy()
        return decided

    def decides_at(self, bar: Bar, timeframe: str) -> bool:
        """Return whether a weight can be other than NaN at this bar; spares the work where it cannot."""
        return True

    def every_bar(self) -> Strategy:
        """Return the same logic deciding at every bar, on which the two laws are checked."""
        return self

    @property
    def trained_until(self) -> pd.Timestamp | None:
        """Last bar the strategy's model has seen; None without a model."""
        return None

    def texts(self) -> dict[str, str]:
        """Return the fields too large for a parameter list, such as a model, by file name."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Return the strategy as plain JSON: name, parameters, texts."""
        held = self._text_fields()
        parameters = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in held.values()}
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in parameters.items()}
        return {"name": self.name, "parameters": plain, "texts": self.texts()}

    @classmethod
    def from_parameters(cls: type[_Class], parameters: Mapping[str, Any], texts: Mapping[str, str]) -> _Class:
        """Return the strategy that `to_dict` described; unknown or missing parameters are refused."""
        named = cls._text_fields()
        known = {f.name for f in fields(cls)} - set(named.values())
        unknown = sorted(set(parameters) - known)
        if unknown:
            raise ConfigError(f"strategy {cls.name} takes {', '.join(sorted(known))}; unknown: {', '.join(unknown)}")
        if set(texts) != set(named):
            raise ConfigError(
                f"strategy {cls.name} needs the texts {', '.join(sorted(named)) or 'none'}, got "
                f"{', '.join(sorted(texts)) or 'none'}: a strategy with a model is trained "
                f"(`train_{cls.name}`) or read from its run or bundle"
            )
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in parameters.items()}
        return cls(**values, **{named[file]: text for file, text in texts.items()})

    @classmethod
    def _text_fields(cls) -> dict[str, str]:
        """Return file name -> field of every text."""
        return {}
