"""Whole pipelines: every known way to let the future in is caught by name and first time; honest ones pass."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import CausalityError, ConfigError, DataError, ShapeError
from gwt_lab.market.bars import Bars
from gwt_lab.validation import causality, pipelines
from gwt_lab.validation.pipelines import LABEL, check_pipeline
from tests.oracles.markets import random_bars

BARS = random_bars(3, 160, seed=1)
HOLED = random_bars(3, 160, seed=2, holes=0.05)
FIT_UNTIL = BARS.index[89]
WARM_UP = 10


def _long(panel: pd.DataFrame, name: str) -> pd.Series:
    index = pd.MultiIndex.from_product([panel.index, panel.columns], names=["datetime", "instrument"])
    return pd.Series(panel.to_numpy().ravel(), index, name=name)


def _features(bars: Bars) -> pd.DataFrame:
    returns = bars.close.pct_change(fill_method=None)
    panels = {
        "return": returns,
        "momentum": bars.close / bars.close.shift(WARM_UP) - 1,
        "volume": bars.volume / bars.volume.rolling(5).mean(),
        "relative": returns.sub(returns.mean(axis=1), axis=0),
    }
    first = _long(returns, "return")
    return pd.DataFrame({name: panel.to_numpy().ravel() for name, panel in panels.items()}, first.index)


def _label(bars: Bars, horizon: int = 1) -> pd.Series:
    return _long(bars.close.shift(-horizon) / bars.close - 1, "y")


def _whole(inputs: pd.DataFrame, label: pd.Series) -> tuple[pd.DataFrame, pd.Series]:
    kept = inputs.notna().all(axis=1) & label.notna()
    return inputs[kept], label[kept]


def _training(inputs: pd.DataFrame, until: pd.Timestamp = FIT_UNTIL) -> pd.DataFrame:
    return inputs[inputs.index.get_level_values("datetime") <= until]


# ------------------------------------------------------------------------------------------------ honest pipelines
def _scaled_on_training(bars: Bars) -> tuple[pd.DataFrame, pd.Series]:
    inputs, label = _whole(_features(bars), _label(bars))
    fitted = _training(inputs)
    return (inputs - fitted.mean()) / fitted.std(), label


def _selected_on_training(bars: Bars) -> tuple[pd.DataFrame, pd.Series]:
    inputs, label = _whole(_features(bars), _label(bars))
    purged = FIT_UNTIL - pd.Timedelta("1h")  # the last training label is known at FIT_UNTIL
    fitted, known = _training(inputs, purged), _training(label, purged)
    strength = fitted.corrwith(known).abs()
    return inputs[strength.nlargest(2).index], label


def _with_sklearn(bars: Bars) -> tuple[pd.DataFrame, pd.Series]:
    from sklearn.feature_selection import SelectKBest, f_regression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inputs, label = _whole(_features(bars), _label(bars))
    purged = FIT_UNTIL - pd.Timedelta("1h")
    steps = make_pipeline(StandardScaler(), SelectKBest(f_regression, k=3)).set_output(transform="pandas")
    steps.fit(_training(inputs, purged), _training(label, purged))
    return steps.transform(inputs), label


HONEST = {
    "features alone": (_features, {}),
    "features and labels, unlabelled rows dropped": (lambda b: _whole(_features(b), _label(b)), {}),
    "unlabelled rows kept": (lambda b: (_features(b), _label(b)), {}),
    "direction": (lambda b: (_features(b), (_label(b) > 0).where(_label(b).notna())), {}),
    "five bars ahead": (lambda b: _whole(_features(b), _label(b, 5)), {"horizon": 5}),
    "beats the market": (
        lambda b: _whole(_features(b), _label(b) - _label(b).groupby("datetime").transform("mean")),
        {},
    ),
    "expanding scaler": (
        lambda b: (_long((b.close - b.close.expanding().mean()) / b.close.expanding().std(), "z"), _label(b)),
        {},
    ),
    "scaler fitted on training": (_scaled_on_training, {"fit_until": FIT_UNTIL}),
    "selection fitted on training": (_selected_on_training, {"fit_until": FIT_UNTIL}),
    "scikit-learn fitted on training": (_with_sklearn, {"fit_until": FIT_UNTIL}),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_pipelines_pass(name: str) -> None:
    pipeline, settings = HONEST[name]
    # half of them on bars with holes; a second pass with holes is part of every check
    report = check_pipeline(pipeline, HOLED if list(HONEST).index(name) % 2 else BARS, **settings)
    assert report.passed, str(report)
    assert report.checked["truncation"] >= 8
    assert report.checked["future"] >= 8
    assert report.checked["one symbol's future"] >= 8


def test_a_fit_may_lack_rows_whose_label_has_no_bars() -> None:
    """The bar after the fit is missing, so its last row has no label: nothing is known of the future."""
    close = BARS.close.copy()
    close.iloc[90] = np.nan
    report = check_pipeline(_scaled_on_training, replace(BARS, close=close), fit_until=FIT_UNTIL)
    assert report.passed, str(report)


def test_a_pipeline_may_start_later() -> None:
    def pipeline(bars: Bars) -> tuple[pd.DataFrame, pd.Series]:
        return _whole(_features(bars), _label(bars))

    assert check_pipeline(pipeline, BARS, lookback=WARM_UP + 1, tolerance=1e-9).passed
    short = check_pipeline(pipeline, BARS, lookback=WARM_UP, tolerance=1e-9)
    assert {(leak.column, leak.law) for leak in short.leaks} == {("(rows)", "memory")}
    lasting = check_pipeline(lambda b: (_long(b.close.ewm(5).mean(), "ewm"), _label(b)), BARS, lookback=20)
    assert {(leak.column, leak.law) for leak in lasting.leaks} == {("ewm", "memory")}


# ------------------------------------------------------------------------------------------------ leaks
def _add(name: str, values: pd.DataFrame, bars: Bars) -> tuple[pd.DataFrame, pd.Series]:
    return _features(bars).assign(**{name: _long(values, name)}), _label(bars)


def _scaled_on_everything(bars: Bars) -> tuple[pd.DataFrame, pd.Series]:
    inputs, label = _whole(_features(bars), _label(bars))
    return (inputs - inputs.mean()) / inputs.std(), label


def _selected_on_everything(bars: Bars) -> tuple[pd.DataFrame, pd.Series]:
    inputs, label = _whole(_features(bars), _label(bars))
    return inputs[inputs.corrwith(label).abs().nlargest(2).index], label


def _selected_without_a_purge(bars: Bars) -> tuple[pd.DataFrame, pd.Series]:
    inputs, label = _whole(_features(bars), _label(bars))
    weights = _training(inputs).corrwith(_training(label))  # the last label is known one bar after FIT_UNTIL
    return inputs * weights, label


def _chosen_by_label(bars: Bars) -> tuple[pd.DataFrame, pd.Series]:
    inputs, label = _whole(_features(bars), _label(bars))
    large = label.abs() > 0.002
    return inputs[large], label[large]


def _of_another_symbol(bars: Bars) -> tuple[pd.DataFrame, pd.Series]:
    later = bars.close.shift(-1) / bars.close - 1
    leading = later[["C02/USDT"]].to_numpy().repeat(3, axis=1)
    leading[:, 2] = 0  # its own rows are clean
    return _add("leader", pd.DataFrame(leading, bars.index, bars.close.columns), bars)


FIRST, AFTER_WARM_UP = BARS.index[0], BARS.index[WARM_UP]
LEAKS = {
    "canary": (lambda b: _add("canary", b.close.shift(-1) / b.close - 1, b), {}, ("canary", "future", FIRST)),
    "shift": (lambda b: _add("next", b.open.shift(-1), b), {}, ("next", "truncation", FIRST)),
    "bfill": (lambda b: _add("filled", b.close.rolling(5).mean().bfill(), b), {}, ("filled", "future", FIRST)),
    "maximum of all": (lambda b: _add("scaled", b.volume / b.volume.max(), b), {}, ("scaled", "truncation", FIRST)),
    "scaler on everything": (_scaled_on_everything, {}, ("momentum", "future", AFTER_WARM_UP)),
    "scaler on more than training": (
        _scaled_on_everything,
        {"fit_until": FIT_UNTIL},
        ("return", "truncation", AFTER_WARM_UP),
    ),
    "selection without a purge": (
        _selected_without_a_purge,
        {"fit_until": FIT_UNTIL},
        ("return", "future", AFTER_WARM_UP),
    ),
    "label's value": (_chosen_by_label, {}, ("(rows)", "future", None)),
    "another symbol": (_of_another_symbol, {}, ("leader", "future of C02/USDT", None)),
    "label five bars ahead": (
        lambda b: _whole(_features(b), _label(b, 5)),
        {"horizon": 4},
        (LABEL, "horizon", AFTER_WARM_UP),
    ),
    "label of its own bar": (
        lambda b: (_features(b), _label(b).groupby("instrument").shift(1)),
        {},
        (LABEL, "alignment", FIRST),
    ),
}


@pytest.mark.parametrize("name", LEAKS)
def test_leaks_are_caught_by_name_and_first_time(name: str) -> None:
    pipeline, settings, (column, law, first) = LEAKS[name]
    report = check_pipeline(pipeline, BARS, **settings)
    found = {(leak.column, leak.law): leak.first_timestamp for leak in report.leaks}
    assert (column, law) in found, str(report)
    if first is not None:
        assert found[column, law] == first
    innocent = {"canary", "shift", "bfill", "maximum of all", "another symbol"}
    if name in innocent:  # nothing else is accused
        assert {leak.column for leak in report.leaks} == {column}
    with pytest.raises(CausalityError, match="not causal"):
        report.raise_if_leaking()


def test_selection_on_everything_is_caught() -> None:
    report = check_pipeline(_selected_on_everything, BARS)
    assert not report.passed
    assert {leak.column for leak in report.leaks} <= {"return", "momentum", "volume", "relative"}
    assert "truncation" in {leak.law for leak in report.leaks}


def test_another_symbols_future_is_told_from_ones_own() -> None:
    own = check_pipeline(lambda b: _add("next", b.close.shift(-1), b), BARS)
    assert {leak.law for leak in own.leaks} == {"truncation", "future"}
    other = check_pipeline(_of_another_symbol, BARS)
    assert {leak.law for leak in other.leaks} == {"truncation", "future", "future of C02/USDT"}
    assert "changes with the future of C02/USDT" in str(other)
    frame = BARS.to_frame()

    def from_a_frame(df: pd.DataFrame) -> pd.Series:
        close = df.pivot(index="timestamp", columns="symbol", values="close")
        close["C00/USDT"] = close["C01/USDT"].shift(-1)
        return _long(close, "x")

    laws = {leak.law for leak in check_pipeline(from_a_frame, frame).leaks}
    assert "future of C01/USDT" in laws
    assert "future of C02/USDT" not in laws


def test_rows_without_a_label_may_go_but_not_for_its_value() -> None:
    """Where bars are missing, so are labels: that is no choice. A zero made NaN is one."""
    assert check_pipeline(lambda b: _whole(_features(b), _label(b)), HOLED).passed

    def dropped_when_falling(bars: Bars) -> tuple[pd.DataFrame, pd.Series]:
        label = _label(bars)
        return _whole(_features(bars), label.where(label > 0))

    assert "(rows)" in {leak.column for leak in check_pipeline(dropped_when_falling, HOLED).leaks}


# ------------------------------------------------------------------------------------------------ the detector itself
def _canary(bars: Bars) -> tuple[pd.DataFrame, pd.Series]:
    return _add("canary", bars.close.shift(-1) / bars.close - 1, bars)


def test_without_its_comparison_the_detector_lets_the_canary_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not check_pipeline(_canary, BARS).passed
    for module in (causality, pipelines):
        monkeypatch.setattr(module, "differences", lambda *_: iter(()))
    blind = check_pipeline(lambda b: _canary(b)[0], BARS)
    assert blind.passed
    assert blind.checked["future"] >= 8


def test_without_its_corruption_the_detector_misses_rows_chosen_by_label(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "(rows)" in {leak.column for leak in check_pipeline(_chosen_by_label, BARS).leaks}
    monkeypatch.setattr(pipelines.BarsWorld, "corrupted", lambda self, *_, **__: self.bars)
    assert "(rows)" not in {leak.column for leak in check_pipeline(_chosen_by_label, BARS).leaks}


def test_equal_seeds_equal_reports() -> None:
    assert check_pipeline(_canary, BARS, seed=3) == check_pipeline(_canary, BARS, seed=3)


def test_callers_mistakes_are_named() -> None:
    def pipeline(bars: Bars) -> tuple[pd.DataFrame, pd.Series]:
        return _features(bars), _label(bars)

    with pytest.raises(ConfigError, match="horizon must be a whole number"):
        check_pipeline(pipeline, BARS, horizon=-1)
    for settings, wanted in (
        ({"horizon": None}, "horizon must be a whole number of bars, got None"),
        ({"horizon": 1.5}, r"horizon must be a whole number of bars, got 1\.5"),
        ({"lookback": "x"}, "lookback must be a whole number of bars, got 'x'"),
        ({"tolerance": -1}, "tolerance must be a number of at least 0, got -1"),
        ({"tolerance": float("nan")}, "tolerance must be a number of at least 0, got nan"),
        ({"fit_until": "soon"}, "'soon' is not a time"),
    ):
        with pytest.raises((ConfigError, DataError), match=wanted):
            check_pipeline(pipeline, BARS, **settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="pipeline must be a function of bars, got DataFrame"):
        check_pipeline(_features(BARS), BARS)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="a horizon of 20 needs at least 42 rows"):
        check_pipeline(pipeline, BARS.head(30), horizon=20)
    with pytest.raises(ConfigError, match="exclude each other"):
        check_pipeline(pipeline, BARS, lookback=11, fit_until=FIT_UNTIL)
    with pytest.raises(ConfigError, match="fit_until must leave rows before it"):
        check_pipeline(pipeline, BARS, fit_until="2030-01-01")
    with pytest.raises(ConfigError, match="lookback must lie between 1 and 159"):
        check_pipeline(pipeline, BARS, lookback=160)
    with pytest.raises(ShapeError, match="labels must have the rows of the inputs, 480, got 477"):
        check_pipeline(lambda b: (_features(b), _label(b).dropna()), BARS)
    with pytest.raises(DataError, match="got 3 things"):
        check_pipeline(lambda b: (1, 2, 3), BARS)
    with pytest.raises(DataError, match="must return a frame"):
        check_pipeline(lambda b: np.zeros(3), BARS)

    def whole_only(bars: Bars) -> pd.DataFrame:
        if bars.n_times < 160:
            raise DataError("too few")
        return _features(bars)

    with pytest.raises(CausalityError, match="failed on every shortened input"):
        check_pipeline(whole_only, BARS)
