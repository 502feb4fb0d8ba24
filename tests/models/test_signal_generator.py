"""Train, save, load, predict: honest scores, the same numbers everywhere, and every mistake named."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold

from gwt_lab.errors import CausalityError, ConfigError, DataError, NotFittedError, UnknownNameError
from gwt_lab.features.alpha158 import ALPHA158_COLUMNS, ALPHA158_LOOKBACKS, alpha158
from gwt_lab.market.bars import Bars
from gwt_lab.models.ensemble import EnsembleSignalGenerator
from gwt_lab.models.labels import direction, forward_return, relative_direction
from gwt_lab.models.lightgbm_model import LightGBMModel, LightGBMParams
from gwt_lab.models.signal_generator import QlibSignalGenerator
from gwt_lab.models.training import make_table
from gwt_lab.models.walk_forward import walk_forward
from gwt_lab.validation.causality import check_causal
from gwt_lab.validation.pipelines import check_pipeline
from gwt_lab.validation.splits import PurgedWalkForward
from gwt_lab.validation.splits_combinatorial import CombinatorialPurgedCV
from tests.models.made import COLUMNS, SMALL, one_symbol, persistent_bars
from tests.oracles.markets import random_bars

LOOKBACK = max(ALPHA158_LOOKBACKS[name] for name in COLUMNS)


@pytest.fixture(scope="module")
def bars():  # type: ignore[no-untyped-def]
    return persistent_bars()


@pytest.fixture(scope="module")
def trained(bars):  # type: ignore[no-untyped-def]
    generator = QlibSignalGenerator(features=COLUMNS, **SMALL)
    generator.train(bars)
    return generator


def test_the_roadmap_in_four_lines(bars, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    df = one_symbol(bars)
    g = QlibSignalGenerator(**SMALL)
    r = g.train(df, "BTC/USDT")
    assert 0.4 < r["val_accuracy"] < 1
    g.save_model(tmp_path / "models" / "m.pkl")
    latest = g.predict_latest(df, "BTC/USDT")
    assert latest["symbol"] == "BTC/USDT"
    assert latest["timestamp"] == df.index[-1]
    assert latest["signal"] in (-1, 0, 1)
    assert latest["confidence"] == pytest.approx(abs(2 * latest["probability"] - 1))
    assert (r["n_features"], r["symbols"]) == (158, ["BTC/USDT"])
    again = QlibSignalGenerator.load_model(tmp_path / "models" / "m.pkl")
    assert again.predict_latest(df, "BTC/USDT") == latest
    pd.testing.assert_frame_equal(again.predict(df, "BTC/USDT"), g.predict(df, "BTC/USDT"))


def test_what_can_be_forecast_is_found_and_noise_is_not() -> None:
    told = QlibSignalGenerator(features=COLUMNS, **SMALL).train(persistent_bars(n_bars=900, strength=0.8))
    assert told["val_accuracy_low"] > 0.55
    assert told["auc"] > 0.6
    assert told["rank_ic"] > 0.1
    assert told["log_loss"] < np.log(2)
    blind = QlibSignalGenerator(features=COLUMNS, **SMALL).train(random_bars(3, 900, seed=5))
    assert blind["val_accuracy_low"] < 0.5 < blind["val_accuracy_high"]


@pytest.mark.parametrize("label", ["direction", "relative"])
def test_the_folds_are_a_walk_forward_over_purged_dates(label: str) -> None:
    """The generator's forecasts equal those of a plain loop with the splitter, the features and LightGBM."""
    bars = persistent_bars(holes=0.02, seed=4)
    splits = PurgedWalkForward(3, purged_size=2, embargo_size=5)
    generator = QlibSignalGenerator(features=COLUMNS, label=label, splits=splits, **SMALL)
    report = generator.train(bars, n_jobs=2)
    features = alpha158(bars, columns=COLUMNS).iloc[(LOOKBACK - 1) * bars.n_symbols :]
    target = (direction if label == "direction" else relative_direction)(bars).loc[features.index]
    features = features.where(bars.close.stack(future_stack=True).loc[features.index].notna())
    wanted = walk_forward(features, target, splits, LightGBMParams(**SMALL), n_jobs=1)
    np.testing.assert_array_equal(generator.forecasts_["forecast"], wanted["forecast"])
    pd.testing.assert_index_equal(generator.forecasts_.index, wanted.index)
    assert [fold["fold"] for fold in report["folds"]] == [0, 1, 2]
    for fold in report["folds"]:
        gap = pd.Timestamp(fold["test_start"]) - pd.Timestamp(fold["train_end"])
        assert gap >= pd.Timedelta(hours=8)
        assert fold["n_rows"] > 0
        assert {"val_accuracy", "ic", "rank_ic", "auc", "log_loss", "calibration"} <= set(fold)
    json.dumps(report, allow_nan=False)


def test_equal_seeds_equal_models_however_many_fits_at_once(bars, trained) -> None:  # type: ignore[no-untyped-def]
    other = QlibSignalGenerator(features=COLUMNS, **SMALL)
    report = other.train(bars, n_jobs=1)
    assert other.document()["model"] == trained.document()["model"]
    pd.testing.assert_frame_equal(other.forecasts_, trained.forecasts_)
    assert report["data_hash"] == bars.content_hash
    seeded = QlibSignalGenerator(features=COLUMNS, seed=1, **SMALL)
    seeded.train(bars)
    assert not seeded.forecasts_.equals(trained.forecasts_)


def test_forecasts_see_nothing_later_and_no_more_than_the_lookback(bars, trained) -> None:  # type: ignore[no-untyped-def]
    report = check_causal(trained.predict, bars, n_cuts=4)
    assert report.passed, str(report)
    frame = trained.predict(bars)
    warm_up = frame.iloc[: (LOOKBACK - 1) * bars.n_symbols]
    assert warm_up["probability"].isna().all()
    assert (warm_up["signal"] == 0).all()
    assert frame["probability"].iloc[len(warm_up) :].notna().all()
    for end in (LOOKBACK, 300, 500):
        cut = bars.head(end)
        for symbol in bars.symbols:
            found = trained.predict_latest(cut.tail(LOOKBACK), symbol)
            assert found["probability"] == frame.loc[(cut.index[-1], symbol), "probability"]


def test_signals_follow_the_threshold(bars) -> None:  # type: ignore[no-untyped-def]
    generator = QlibSignalGenerator(features=COLUMNS, threshold=0.55, **SMALL)
    generator.train(bars)
    frame = generator.predict(bars).dropna()
    probability, signal = frame["probability"], frame["signal"]
    assert set(signal) == {-1, 0, 1}
    assert (probability[signal == 1] >= 0.55).all()
    assert (probability[signal == -1] <= 1 - 0.55).all()
    assert probability[signal == 0].between(0.45, 0.55).all()


def test_regression_forecasts_returns(bars, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    generator = QlibSignalGenerator(features=COLUMNS, objective="regression", label="relative", **SMALL)
    report = generator.train(bars)
    assert "log_loss" not in report
    frame = generator.predict(bars)
    assert list(frame.columns) == ["forecast", "signal"]
    assert (np.sign(frame["forecast"].dropna()) == frame["signal"][frame["forecast"].notna()]).all()
    again = QlibSignalGenerator.load_model(generator.save_model(tmp_path / "r.json"))
    latest = again.predict_latest(bars, bars.symbols[1])
    assert latest["forecast"] == frame.loc[(bars.index[-1], bars.symbols[1]), "forecast"]
    assert 0 <= latest["confidence"] <= 1


def test_one_symbol_of_many_and_a_missing_last_bar(bars, trained) -> None:  # type: ignore[no-untyped-def]
    name = bars.symbols[1]
    alone = trained.predict(bars, name)
    assert alone.index.name == "datetime"
    pd.testing.assert_frame_equal(alone, trained.predict(bars).xs(name, level=1))
    one = QlibSignalGenerator(features=COLUMNS, **SMALL)
    assert one.train(bars, name)["symbols"] == [name]
    assert one.report_["data_hash"] == bars.select(name).content_hash
    holes = persistent_bars(holes=0.3, seed=1)
    gone = next(symbol for symbol in holes.symbols if holes.close[symbol].isna().any())
    last = holes.close.index[holes.close[gone].isna()][-1]
    latest = trained.predict_latest(holes.select(end=last), gone)
    assert np.isnan(latest["probability"])
    assert (latest["signal"], latest["confidence"]) == (0, 0.0)


def test_importance_and_contributions_are_lightgbms(bars, trained) -> None:  # type: ignore[no-untyped-def]
    importance = trained.importance()
    assert set(importance.index) == set(COLUMNS)
    assert importance.is_monotonic_decreasing
    parts = trained.contributions(bars)
    frame = trained.predict(bars).loc[parts.index]
    log_odds = np.log(frame["probability"] / (1 - frame["probability"]))
    np.testing.assert_allclose(parts.sum(axis=1), log_odds, atol=1e-9)
    assert list(parts.columns) == [*COLUMNS, "(expected)"]
    assert trained.contributions(bars, bars.symbols[0]).index.name == "datetime"


def test_the_matrix_is_never_copied_to_float64() -> None:
    import tracemalloc

    bars = random_bars(6, 3000, seed=2)
    generator = QlibSignalGenerator(splits=PurgedWalkForward(2, purged_size=2), **SMALL)
    from gwt_lab.models.folds import fit_folds, plan_folds
    from gwt_lab.models.training import fit_lightgbm, make_table

    table = make_table(bars, generator.features, generator.question)
    folds = plan_folds(table.rows, generator.splits, table.known_ns)
    fit = fit_lightgbm(table, generator.params)

    def fit_fold(train: np.ndarray):  # type: ignore[no-untyped-def]
        model = fit(train)
        return lambda values, rows: model.predict(values, table.rows.index[rows])

    tracemalloc.start()
    fit_folds(table.rows, folds, fit_fold, n_jobs=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert table.rows.values.dtype == np.float32
    # NumPy's memory is traced: a float64 copy of the largest fold's rows would be more than the float32 matrix
    assert peak < 0.3 * table.rows.values.nbytes


@pytest.mark.real
def test_real_bars_are_hard_to_forecast(real_data: Path) -> None:
    """An hour ahead nobody is right far more often than not: an accuracy beyond that would be a leak."""
    from gwt_lab.data.load import load_bars

    bars = load_bars(real_data / "binance_spot_mit_5sym/ohlcv_1h_2020-09_2022.parquet", start="2022-01-01").tail(3000)
    generator = QlibSignalGenerator(label="relative", n_trees=30)
    report = generator.train(bars)
    assert 0.46 < report["val_accuracy"] < 0.56
    assert abs(report["ic"]) < 0.1
    assert report["log_loss"] > 0.65
    latest = generator.predict_latest(bars, bars.symbols[0])
    assert latest["probability"] == generator.predict(bars, bars.symbols[0])["probability"].iloc[-1]


# ------------------------------------------------------------------------------------------------ bad input
def test_unfitted_generators_say_so(bars, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    generator = QlibSignalGenerator()
    for ask in (
        lambda: generator.predict(bars),
        lambda: generator.predict_latest(bars, bars.symbols[0]),
        lambda: generator.save_model(tmp_path / "m.json"),
        lambda: generator.needs_retraining(bars),
        generator.importance,
    ):
        with pytest.raises(NotFittedError, match=r"call train\(data\)"):
            ask()


def test_bad_frames_are_named(bars, trained) -> None:  # type: ignore[no-untyped-def]
    df = one_symbol(bars)
    with pytest.raises(DataError, match="open, high, low, close, volume"):
        trained.predict(df.drop(columns="volume"))
    daily = df.set_axis(pd.date_range("2020-01-01", periods=len(df), freq="D", tz="UTC"))
    with pytest.raises(DataError, match="trained on bars of 1h, got bars of 1d"):
        trained.predict(daily)
    with pytest.raises(DataError, match=rf"needs {LOOKBACK} bars .* got {LOOKBACK - 1}"):
        trained.predict(df.iloc[: LOOKBACK - 1])
    with pytest.raises(DataError, match="training needs more than"):
        QlibSignalGenerator(features=COLUMNS).train(df.iloc[:LOOKBACK])
    with pytest.raises(DataError, match="3 symbols: name the one"):
        trained.predict_latest(bars)
    with pytest.raises(UnknownNameError, match="no such symbol"):
        trained.predict_latest(bars, "NOPE/USDT")


def test_a_single_class_is_refused() -> None:
    rising = np.full((400, 2), 0.001)
    from tests.oracles.markets import bars_from_returns

    bars = bars_from_returns(rising, np.random.default_rng(0))
    with pytest.raises(DataError, match=r"every row has the label 1"):
        QlibSignalGenerator(features=COLUMNS, **SMALL).train(bars)
    with pytest.raises(DataError, match="compares symbols with each other"):
        QlibSignalGenerator(features=COLUMNS, label="relative", **SMALL).train(bars, bars.symbols[0])
    late = np.random.default_rng(0).normal(size=(400, 1)) * 0.01
    late[:250] = 0.001
    with pytest.raises(DataError, match="at least two different labels"):
        QlibSignalGenerator(features=COLUMNS, **SMALL).train(bars_from_returns(late, np.random.default_rng(0)))


def test_splitters_that_leak_are_refused(bars) -> None:  # type: ignore[no-untyped-def]
    for splits in (PurgedWalkForward(3, purged_size=0), KFold(3), KFold(3, shuffle=True, random_state=0)):
        generator = QlibSignalGenerator(features=COLUMNS, splits=splits, horizon=3, **SMALL)
        if isinstance(splits, PurgedWalkForward):
            generator.train(bars)  # it takes the labels' times and purges by itself
        else:
            with pytest.raises(CausalityError, match="purged_size of at least"):
                generator.train(bars)


def test_combinatorial_splits_are_taken(bars) -> None:  # type: ignore[no-untyped-def]
    splits = CombinatorialPurgedCV(4, 2, purged_size=2, embargo_size=2)
    generator = QlibSignalGenerator(features=COLUMNS, splits=splits, **SMALL)
    report = generator.train(bars)
    assert len(report["folds"]) == 6
    assert report["n_rows"] == sum(fold["n_rows"] for fold in report["folds"])
    with pytest.raises(DataError, match="test each row once"):
        EnsembleSignalGenerator([generator]).train(bars)


@pytest.mark.parametrize("label", ["direction", "relative"])
def test_the_whole_pipeline_to_the_trees_does_not_leak(label: str) -> None:
    """Features, the choice of rows and the place of labels: all that happens before LightGBM."""
    generator = QlibSignalGenerator(features=COLUMNS, label=label, horizon=2, **SMALL)

    def pipeline(bars: Bars) -> tuple[pd.DataFrame, pd.Series]:
        rows = make_table(bars, generator.features, generator.question).rows
        kept = rows.usable
        inputs = pd.DataFrame(rows.values[kept], index=rows.index[kept], columns=rows.names)
        return inputs, pd.Series(rows.target[kept], index=inputs.index)

    bars = persistent_bars(n_bars=260, holes=0.02)
    report = check_pipeline(pipeline, bars, horizon=3)
    assert report.passed, str(report)
    early = check_pipeline(pipeline, bars, horizon=2)
    assert not early.passed  # the detector can fail: the label is made of three bars, not of two


def test_settings_are_checked() -> None:
    assert QlibSignalGenerator(n_estimators=7, random_state=3).params == LightGBMParams(n_trees=7, seed=3)
    with pytest.raises(ConfigError, match="label must be one of direction, relative"):
        QlibSignalGenerator(label="up")
    with pytest.raises(ConfigError, match="horizon must be a whole number"):
        QlibSignalGenerator(horizon=0)
    with pytest.raises(ConfigError, match=r"threshold must lie between 0\.5 and 1, got 0\.4"):
        QlibSignalGenerator(threshold=0.4)
    with pytest.raises(ConfigError, match="no setting leaves"):
        QlibSignalGenerator(leaves=3)
    with pytest.raises(UnknownNameError, match="no column MA7"):
        QlibSignalGenerator(features=["MA7"])
    with pytest.raises(ConfigError, match="AlphaFeatureExtractor, got int"):
        QlibSignalGenerator(features=7)
    with pytest.raises(ConfigError, match="n_jobs must be at least 1"):
        QlibSignalGenerator(features=COLUMNS, **SMALL).train(persistent_bars(), n_jobs=0)


def test_labels_by_hand(bars) -> None:  # type: ignore[no-untyped-def]
    """Decided at the close of t, bought at the open of t + 1, sold `horizon` bars later."""
    opens = bars.open["C01/USDT"].to_numpy()
    earned = forward_return(bars, 2).xs("C01/USDT", level=1).to_numpy()
    np.testing.assert_allclose(earned[:-3], opens[3:] / opens[1:-2] - 1, atol=1e-15)
    assert np.isnan(earned[-3:]).all()
    assert set(direction(bars).dropna()) == {0.0, 1.0}
    assert len(ALPHA158_COLUMNS) == 158
    assert LightGBMModel().params.objective == "binary"


@pytest.mark.parametrize("label", ["direction", "relative"])
def test_a_symbol_asked_for_alone_is_forecast_as_among_all(label: str) -> None:
    """Features count the rows in which any symbol traded: beside others, a symbol's own holes are in its windows."""
    holes = persistent_bars(holes=0.1, seed=3)
    generator = QlibSignalGenerator(features=COLUMNS, label=label, **SMALL)
    generator.train(holes)
    ensemble = EnsembleSignalGenerator([generator, generator])
    frame = generator.predict(holes)
    for symbol in holes.symbols:
        wanted = frame.xs(symbol, level=1)
        pd.testing.assert_frame_equal(generator.predict(holes, symbol), wanted)
        pd.testing.assert_frame_equal(ensemble.predict(holes, symbol), wanted)
        for end in range(300, 400, 25):
            bars = holes.head(end)
            for found in (generator.predict_latest(bars, symbol), ensemble.predict_latest(bars, symbol)):
                np.testing.assert_equal(found["probability"], wanted["probability"].iloc[end - 1])
    contributions = generator.contributions(holes)
    pd.testing.assert_frame_equal(
        generator.contributions(holes, holes.symbols[0]), contributions.xs(holes.symbols[0], level=1)
    )
    # a model of one symbol was trained on that symbol's own rows, and is asked about them
    one = QlibSignalGenerator(features=COLUMNS, **SMALL)
    one.train(holes, holes.symbols[0])
    alone = one.predict(holes.select(holes.symbols[0]))["probability"].to_numpy()
    np.testing.assert_array_equal(one.predict(holes, holes.symbols[0])["probability"].to_numpy(), alone)
    every = one.predict(holes)
    assert every.index.equals(frame.index)
    np.testing.assert_array_equal(every.xs(holes.symbols[0], level=1)["probability"].to_numpy(), alone)
