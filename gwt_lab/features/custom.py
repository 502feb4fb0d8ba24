"""Features of one's own: a subclass with a hook, plain functions by decorator; what looks ahead is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import CausalityError, ConfigError, DataError, GwtLabError
from gwt_lab.features.alpha158 import ALPHA158_COLUMNS, ALPHA158_LOOKBACK, ALPHA158_LOOKBACKS, alpha158
from gwt_lab.features.as_of import AsOfTable
from gwt_lab.features.panel import empty_frame
from gwt_lab.features.sentiment import SentimentTable
from gwt_lab.features.settings import names_of, whole
from gwt_lab.market.as_bars import as_bars
from gwt_lab.market.bars import PANELS, Bars
from gwt_lab.validation.causality import check_causal

__all__ = ["AlphaFeatureExtractor", "CustomFeature", "custom_feature", "price_acceleration", "volume_surge"]

# what pandas' running windows may differ by, depending on where they began
TOLERANCE = 1e-6
_PROBE_CUTS = 6


@dataclass(frozen=True)
class CustomFeature:
    """A function of one symbol's bars with its memory; made by :func:`custom_feature`.

    Parameters
    ----------
    name : str
        Name of the column, or of the columns' family.
    lookback : int
        Bars a row needs, the current one included.
    function : callable
        From an OHLCV frame of one symbol to a Series or a frame of the same index.
    """

    name: str
    lookback: int
    function: Callable[[pd.DataFrame], pd.Series | pd.DataFrame]

    def __post_init__(self) -> None:
        # help(feature) tells what the feature is
        object.__setattr__(self, "__doc__", self.function.__doc__ or type(self).__doc__)

    def __call__(self, df: pd.DataFrame) -> pd.Series | pd.DataFrame:
        """Return the feature of one symbol's frame."""
        return self.function(df)


def custom_feature(
    function: Any = None, /, *, lookback: int | None = None, name: str | None = None
) -> Callable[[Callable[..., Any]], CustomFeature]:
    """Register a function of bars as a feature, after checking that it looks neither ahead nor further back.

    Parameters
    ----------
    lookback : int
        Bars a row needs, the current one included; must be given.
    name : str, optional
        The function's own name by default.

    Returns
    -------
    decorator
        The function becomes a `CustomFeature`, still callable, for ``AlphaFeatureExtractor(functions=[...])``.

    Raises
    ------
    CausalityError
        If a column sees later bars or remembers more than `lookback`; names the column and its first leaking time.
    ConfigError
        If `lookback` is not given or below 1, or the decorator stands without brackets.

    Examples
    --------
    >>> @custom_feature(lookback=21)
    ... def volume_surge(df):
    ...     return df["volume"] / df["volume"].rolling(20).mean()
    """
    if function is not None or lookback is None:
        raise ConfigError("custom_feature needs the bars that a row uses: write @custom_feature(lookback=24)")
    memory = whole(lookback, "lookback")

    def register(function: Callable[..., Any]) -> CustomFeature:
        feature = CustomFeature(name or function.__name__, memory, function)
        _refuse_leaks(lambda bars: _per_symbol(bars, feature.name, feature), feature.name, feature.lookback)
        return feature

    return register


class AlphaFeatureExtractor:
    """Alpha158 and what is added to it: a subclass's hook, functions, and tables of other data.

    Parameters
    ----------
    alpha : str or sequence of str, optional
        Columns of Alpha158; all by default, none if empty.
    functions : CustomFeature or sequence of CustomFeature
        Made by :func:`custom_feature`.
    tables : AsOfTable, SentimentTable or a sequence of them
        Data that became known at times of its own: on-chain numbers, posts.
    lookback : int, optional
        Bars that `extract_custom_features` needs; by default what the class states (``lookback = 30``), else 128.

    Raises
    ------
    ConfigError
        If a function was not registered, a table is none, or a setting is out of range.

    Examples
    --------
    >>> class Mine(AlphaFeatureExtractor):
    ...     def extract_custom_features(self, df):
    ...         return pd.DataFrame({"price_acceleration": df["close"].pct_change().diff()})
    >>> QlibSignalGenerator(features=Mine())
    """

    custom_lookback = ALPHA158_LOOKBACK

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        stated = cls.__dict__.get("lookback")
        if stated is not None and not isinstance(stated, property):
            # `lookback = 30` in a class body is the hook's; the extractor's own is the longest of all parts
            del cls.lookback
            cls.custom_lookback = whole(stated, f"lookback of {cls.__name__}")

    def __init__(
        self,
        *,
        alpha: str | Sequence[str] | None = None,
        functions: CustomFeature | Sequence[CustomFeature] = (),
        tables: AsOfTable | SentimentTable | Sequence[AsOfTable | SentimentTable] = (),
        lookback: int | None = None,
    ) -> None:
        self.alpha = names_of(ALPHA158_COLUMNS if alpha is None else alpha)
        unknown = [column for column in self.alpha if column not in ALPHA158_LOOKBACKS]
        if unknown:
            raise ConfigError(f"Alpha158 has no column {', '.join(map(str, unknown[:5]))}: see ALPHA158_COLUMNS")
        self.functions: list[CustomFeature] = [functions] if callable(functions) else list(functions)
        plain = [function for function in self.functions if not isinstance(function, CustomFeature)]
        if plain:
            raise ConfigError(
                f"functions must be registered with @custom_feature(lookback=...), got {type(plain[0]).__name__} "
                f"{getattr(plain[0], '__name__', '')}"
            )
        tables = (tables,) if isinstance(tables, (AsOfTable, SentimentTable, pd.DataFrame)) else tables
        self.tables: list[AsOfTable | SentimentTable] = list(tables)
        others = [type(table).__name__ for table in self.tables if not isinstance(table, (AsOfTable, SentimentTable))]
        if others:
            raise ConfigError(
                f"tables must be AsOfTable or SentimentTable, got {others[0]}; AsOfTable(frame) makes one of a frame "
                "with a column known_at"
            )
        if lookback is not None:
            self.custom_lookback = whole(lookback, "lookback")

    @property
    def name(self) -> str:
        """Name under which a model file knows the extractor."""
        return type(self).__name__

    @property
    def lookback(self) -> int:
        """Bars a row needs: the longest of Alpha158's columns, the functions and the hook."""
        spans = [ALPHA158_LOOKBACKS[column] for column in self._settings("alpha", list(ALPHA158_COLUMNS))]
        spans += [function.lookback for function in self._settings("functions", [])]
        if self._has_hook:
            spans.append(self.custom_lookback)
        return max(spans, default=1)

    @property
    def lookbacks(self) -> dict[str, int]:
        """Lookbacks by column, where they are known by column."""
        known = {column: ALPHA158_LOOKBACKS[column] for column in self._settings("alpha", list(ALPHA158_COLUMNS))}
        return known | {function.name: function.lookback for function in self._settings("functions", [])}

    def extract_custom_features(self, df: pd.DataFrame) -> pd.DataFrame | pd.Series | None:
        """Return features of one symbol; override it.

        Parameters
        ----------
        df : DataFrame of shape (n_times, 5 or 6)
            open, high, low, close, volume and where it is known quote_volume; index of UTC open times, one row a bar,
            NaN where there is none; ``df.attrs["symbol"]``. A copy: columns may be added to it and the whole returned.

        Returns
        -------
        DataFrame
            New columns, same index. A row may use bars up to and including its own.
        """
        return None

    def extract(self, data: Any) -> pd.DataFrame:
        """Return all features of bars.

        Parameters
        ----------
        data : Bars or what `as_bars` takes

        Returns
        -------
        DataFrame of shape (n_times * n_symbols, n_features)
            float32, index (datetime, instrument): Alpha158, then functions, hook and tables. NaN where the symbol has
            no bar; infinite values are NaN.

        Raises
        ------
        CausalityError
            If a column of `extract_custom_features` sees later bars or remembers more than its lookback; checked once,
            the first time.
        DataError
            If a column comes twice, or the hook returns something else.
        """
        bars = as_bars(data)
        self.check()
        alpha = self._settings("alpha", list(ALPHA158_COLUMNS))
        parts = [alpha158(bars, columns=alpha)] if alpha else []
        parts += [_per_symbol(bars, function.name, function) for function in self._settings("functions", [])]
        if self._has_hook:
            parts.append(_per_symbol(bars, self.name, self.extract_custom_features))
        parts += [table.join(bars) for table in self._settings("tables", [])]
        if not parts:
            raise DataError(f"{self.name} extracts nothing: name Alpha158 columns, functions or tables, or override it")
        names = [column for part in parts for column in part.columns]
        twice = sorted({column for column in names if names.count(column) > 1})
        if twice:
            raise DataError(f"{self.name} gives column {', '.join(twice[:5])} twice: rename one of each")
        return parts[0] if len(parts) == 1 else pd.concat(parts, axis=1)

    def check(self) -> None:
        """Check the hook for look-ahead, once; `extract` does it by itself.

        Raises
        ------
        CausalityError
            See `extract`.
        """
        if self._has_hook and not self.__dict__.get("_hook_checked"):
            hook = self.extract_custom_features
            _refuse_leaks(lambda bars: _per_symbol(bars, self.name, hook), self.name, self.custom_lookback)
            self.__dict__["_hook_checked"] = True

    @property
    def _has_hook(self) -> bool:
        return type(self).extract_custom_features is not AlphaFeatureExtractor.extract_custom_features

    def _settings(self, name: str, default: list[Any]) -> list[Any]:
        """Return a setting, or its default in a subclass whose `__init__` did not call ours."""
        found: list[Any] = self.__dict__.get(name, default)
        return found

    def __repr__(self) -> str:
        return f"{self.name}(lookback={self.lookback})"


# ------------------------------------------------------------------------------------------ running and checking
def _per_symbol(bars: Bars, name: str, function: Callable[[pd.DataFrame], Any]) -> pd.DataFrame:
    """Return what a function gives for each symbol, as one long frame of float32."""
    panels = {field: getattr(bars, field) for field in PANELS if getattr(bars, field) is not None}
    out: np.ndarray | None = None
    for place, symbol in enumerate(sorted(bars.symbols)):
        df = pd.DataFrame({field: panel[symbol] for field, panel in panels.items()})
        df.attrs["symbol"] = symbol
        there = df["close"].notna().to_numpy()
        found = _columns(function(df.copy()), df, name)
        if out is None:
            columns = list(found.columns)
            frame, out = empty_frame(bars.index, bars.symbols, columns)
        elif list(found.columns) != columns:
            raise DataError(f"{name} gives other columns for {symbol} than for the first symbol: {list(found.columns)}")
        with np.errstate(over="ignore", invalid="ignore"):
            values = found.to_numpy(dtype=np.float32, copy=True)
        values[~np.isfinite(values)] = np.nan
        values[~there] = np.nan
        out[:, place] = values
    return frame


def _columns(found: Any, df: pd.DataFrame, name: str) -> pd.DataFrame:
    if isinstance(found, pd.Series):
        found = found.to_frame(name)
    if not isinstance(found, pd.DataFrame):
        raise DataError(
            f"{name} must give a DataFrame or a Series with the index of its bars, got {type(found).__name__}"
        )
    if not found.index.equals(df.index):
        raise DataError(f"{name} must give one row a bar, {len(df)} rows with the same index, got {len(found)}")
    new = [column for column in found.columns if column not in df.columns]
    kinds = [str(found[column].dtype) for column in new if not pd.api.types.is_numeric_dtype(found[column])]
    if not new or kinds:
        raise DataError(f"{name} must give new columns of numbers, got {kinds or list(found.columns)}")
    return found[new].set_axis([str(column) for column in new], axis=1)


def _refuse_leaks(function: Callable[[Bars], pd.DataFrame], name: str, lookback: int) -> None:
    probe = _probe(max(2 * lookback, lookback + 60))
    try:
        report = check_causal(function, probe, lookback=lookback, n_cuts=_PROBE_CUTS, tolerance=TOLERANCE)
    except GwtLabError:
        raise
    except Exception as error:
        error.add_note(f"{name} failed while it was checked on random bars with the columns {', '.join(PANELS)}")
        raise
    if not report.passed:
        raise CausalityError(f"{name} is refused as a feature with lookback={lookback}: {report}")


@cache
def _probe(n_bars: int) -> Bars:
    """Return random bars with missing ones, on which functions are tried."""
    rng = np.random.default_rng(1)
    shape = (n_bars, 2)
    close = 100 * np.exp(np.cumsum(rng.normal(size=shape) * 0.01, axis=0))
    open_ = np.vstack([np.full((1, 2), 100.0), close[:-1]])
    wick = 1 + np.abs(rng.normal(size=(2, *shape))) * 0.003
    volume = np.exp(rng.normal(size=shape))
    high, low = np.maximum(open_, close) * wick[0], np.minimum(open_, close) / wick[1]
    values = [open_, high, low, close, volume, volume * close]
    index = pd.date_range("2024-01-01", periods=n_bars, freq="h", tz="UTC", unit="ns", name="datetime")
    frames = [pd.DataFrame(panel, index=index, columns=["A/USDT", "B/USDT"]) for panel in values]
    return Bars(**dict(zip(PANELS, frames, strict=True)), timeframe="1h")


def _price_acceleration(df: pd.DataFrame) -> pd.Series:
    """Return the change of the close's return from the bar before: a feature for `AlphaFeatureExtractor`."""
    return (df["close"] / df["close"].shift(1) - 1).diff()


def _volume_surge(df: pd.DataFrame) -> pd.Series:
    """Return the volume over its mean of the last 20 bars: a feature for `AlphaFeatureExtractor`."""
    return df["volume"] / df["volume"].rolling(20).mean()


# made without the decorator's check, which would cost every import; the tests run it
price_acceleration = CustomFeature("price_acceleration", 3, _price_acceleration)
volume_surge = CustomFeature("volume_surge", 20, _volume_surge)
