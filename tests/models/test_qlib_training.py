"""qlib's own models, trained through qlib's own dataset: they forecast as saved, and qlib is left alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import ConfigError, DataError
from gwt_lab.market.bars import Bars
from gwt_lab.models.drift import population_stability
from gwt_lab.models.ensemble import EnsembleSignalGenerator
from gwt_lab.models.signal_generator import QlibSignalGenerator
from gwt_lab.validation.splits import PurgedWalkForward
from tests.models.made import COLUMNS, persistent_bars

pytest.importorskip("qlib")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

SPLITS = PurgedWalkForward(2, purged_size=2)
CODES = {"C00USDT": "C00/USDT", "C01USDT": "C01/USDT", "C02USDT": "C02/USDT"}


def _model(name: str):  # type: ignore[no-untyped-def]
    from qlib.contrib.model.double_ensemble import DEnsembleModel
    from qlib.contrib.model.gbdt import LGBModel
    from qlib.contrib.model.linear import LinearModel

    if name == "lgb":
        return LGBModel(num_boost_round=20, num_leaves=7, learning_rate=0.1)
    if name == "lgb binary":
        return LGBModel(loss="binary", num_boost_round=20, num_leaves=7)
    if name == "linear":
        return LinearModel("ridge", alpha=1.0)
    if name == "double":
        return DEnsembleModel(num_models=2, epochs=8, decay=0.5, sub_weights=[1, 0.5], num_leaves=7)
    pytest.importorskip("xgboost")
    from qlib.contrib.model.xgboost import XGBModel

    return XGBModel(max_depth=3, eta=0.1)


@pytest.fixture(scope="module")
def bars() -> Bars:
    return persistent_bars(n_bars=500, strength=0.8, holes=0.01)


@pytest.mark.parametrize("name", ["lgb", "lgb binary", "xgb", "linear", "double"])
def test_trained_saved_and_loaded_forecasts_are_equal(
    bars: Bars, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    generator = QlibSignalGenerator(model=_model(name), features=COLUMNS, splits=SPLITS)
    report = generator.train(bars)
    assert report["val_accuracy_low"] > 0.55
    assert report["ic"] > 0.2
    again = QlibSignalGenerator.load_model(generator.save_model("m.pkl"))
    pd.testing.assert_frame_equal(again.predict(bars), generator.predict(bars))
    column = "probability" if name == "lgb binary" else "forecast"
    latest, whole = again.predict_latest(bars, "C01/USDT"), generator.predict(bars, "C01/USDT")
    assert latest[column] == whole[column].iloc[-1]
    assert again.importance().gt(0).any()
    assert [place.name for place in tmp_path.iterdir()] == ["m.pkl"]  # no mlruns
    with pytest.raises(ConfigError, match="trained again with its qlib model object"):
        again.train(bars)


def test_forecasts_are_those_of_qlib_alone(bars: Bars, tmp_path: Path) -> None:
    """The same model on qlib's own handler and label, without anything of ours, forecasts the same."""
    from gwt_lab.data.qlib_export import export_qlib
    from gwt_lab.models.qlib_session import qlib_session, quiet_recorder

    columns = ["KMID", "KSFT2", "ROC5", "MA10", "STD10", "RSV5"]
    generator = QlibSignalGenerator(model=_model("lgb"), features=columns, splits=SPLITS)
    report = generator.train(bars)
    fold = report["folds"][1]
    export = export_qlib(bars, tmp_path / "provider", empty_rows=False)
    with qlib_session(export.folder), quiet_recorder():
        from qlib.contrib.data.handler import Alpha158
        from qlib.data.dataset import DatasetH

        handler = Alpha158(
            instruments="all",
            freq=export.freq,
            infer_processors=[{"class": "FilterCol", "kwargs": {"col_list": [*columns, "LABEL0"]}}],
            learn_processors=[{"class": "DropnaLabel"}],
            label=(["Ref($open, -2) / Ref($open, -1) - 1 + 0 * $close"], ["LABEL0"]),
        )
        start, end = (pd.Timestamp(fold[name]).tz_localize(None) for name in ("train_start", "train_end"))
        dates = bars.index[(bars.index >= fold["train_start"]) & (bars.index <= fold["train_end"])].tz_localize(None)
        cut = dates[int(len(dates) * 0.8)]
        test = tuple(pd.Timestamp(fold[name]).tz_localize(None) for name in ("test_start", "test_end"))
        segments = {"train": (start, cut - pd.Timedelta(hours=3)), "valid": (cut, end), "test": test}
        model = _model("lgb")
        model.params |= {"num_threads": 1, "seed": 0, "deterministic": True}
        dataset = DatasetH(handler, segments)
        model.fit(dataset, verbose_eval=0)
        theirs = model.predict(dataset, "test")
    ours = generator.forecasts_[generator.forecasts_["fold"] == 1]["forecast"]
    codes = {symbol: code for code, symbol in CODES.items()}
    place = pd.MultiIndex.from_arrays(
        [ours.index.get_level_values(0).tz_localize(None), ours.index.get_level_values(1).map(codes)]
    )
    found = theirs.reindex(place).to_numpy()
    assert np.isfinite(found).all()
    # their labels are float32 prices, ours float64; a last digit may fall on the other side of a split
    assert np.isclose(found, ours.to_numpy(), rtol=1e-4, atol=1e-7).mean() > 0.99


def test_qlib_is_left_as_it_was(bars: Bars, tmp_path: Path) -> None:
    from qlib.config import C
    from qlib.workflow import R

    registered, provider, recorder = C.registered, copy_of(C), R.__dict__.get("_provider")
    QlibSignalGenerator(model=_model("linear"), features=COLUMNS, splits=SPLITS).train(bars)
    assert (C.registered, copy_of(C), R.__dict__.get("_provider")) == (registered, provider, recorder)


def copy_of(config) -> str:  # type: ignore[no-untyped-def]
    return str(config.__dict__["_config"].get("provider_uri"))


def test_other_models_can_be_studied_not_saved(bars: Bars, tmp_path: Path) -> None:
    from qlib.data.dataset.handler import DataHandlerLP
    from qlib.model.base import Model

    class Mean(Model):
        """The mean of the last close's move, by hand: a model that nobody has heard of."""

        def fit(self, dataset, reweighter=None):  # type: ignore[no-untyped-def]
            frame = dataset.prepare("train", col_set=["feature", "label"], data_key=DataHandlerLP.DK_L)
            x, y = frame["feature"]["KMID"], frame["label"]["LABEL0"]
            self.slope = float((x * y).sum() / (x * x).sum())

        def predict(self, dataset, segment="test"):  # type: ignore[no-untyped-def]
            return dataset.prepare(segment, col_set="feature", data_key=DataHandlerLP.DK_I)["KMID"] * self.slope

    generator = QlibSignalGenerator(model=Mean(), features=COLUMNS, splits=SPLITS)
    report = generator.train(bars)
    assert report["ic"] > 0.2
    assert generator.predict(bars)["forecast"].notna().sum() > 500
    assert generator.predict_latest(bars, "C00/USDT")["signal"] in (-1, 0, 1)
    with pytest.raises(ConfigError, match=r"of kind qlib.Mean can be studied, not promoted"):
        generator.save_model(tmp_path / "m.json")
    with pytest.raises(ConfigError, match="has no importances"):
        generator.importance()


def test_mistakes_are_named(bars: Bars) -> None:
    from sklearn.model_selection import TimeSeriesSplit

    with pytest.raises(ConfigError, match="must be a qlib model object"):
        QlibSignalGenerator(model="lightgbm")
    with pytest.raises(ConfigError, match="belong to the model itself, got num_leaves"):
        QlibSignalGenerator(model=_model("lgb"), num_leaves=3)

    class Extractor:
        name, lookback = "mine", 5

        def extract(self, bars):  # type: ignore[no-untyped-def]
            raise AssertionError

    with pytest.raises(ConfigError, match="Alpha158 through qlib's own loader"):
        QlibSignalGenerator(model=_model("lgb"), features=Extractor())

    class Holes:
        def split(self, X, y=None, groups=None):  # type: ignore[no-untyped-def]
            for train, test in TimeSeriesSplit(2, gap=30).split(X):
                yield np.delete(train, slice(100, 150)), test

    with pytest.raises(ConfigError, match="trains on all rows between two dates"):
        QlibSignalGenerator(model=_model("lgb"), features=COLUMNS, splits=Holes()).train(bars)
    few = PurgedWalkForward(2, purged_size=2, min_train=3)
    with pytest.raises(DataError):
        QlibSignalGenerator(model=_model("lgb"), features=COLUMNS, splits=few).train(bars)


def test_what_qlib_cannot_train_is_told(bars: Bars) -> None:
    """qlib's own default of DoubleEnsemble lacks a setting that its fit wants."""
    from qlib.contrib.model.double_ensemble import DEnsembleModel

    model = DEnsembleModel(num_models=2, epochs=3, sub_weights=[1, 1], sample_ratios=[0.8, 0.7, 0.6, 0.5, 0.4])
    with pytest.raises(DataError, match="qlib's DEnsembleModel could not be trained, by its settings or data: TypeE"):
        QlibSignalGenerator(model=model, features=COLUMNS).train(bars)


def test_after_a_long_outage_the_latest_forecast_is_that_of_all_bars_or_none(bars: Bars) -> None:
    """qlib's windows reach across outages: 128 rows of the time grid would not hold sixty that traded."""
    long = bars.to_frame()
    out = long["timestamp"].isin(bars.index[250:350])
    broken = Bars.from_frame(long[~out], timeframe=bars.timeframe)
    generator = QlibSignalGenerator(model=_model("linear"), features=["MA60", "STD60"], splits=SPLITS)
    generator.train(broken)
    ensemble = EnsembleSignalGenerator([generator, generator])
    whole = generator.predict(broken, "C00/USDT")["forecast"]
    for end in range(351, 480, 16):
        cut = broken.head(end)
        for found in (generator.predict_latest(cut, "C00/USDT"), ensemble.predict_latest(cut, "C00/USDT")):
            np.testing.assert_equal(found["forecast"], whole.iloc[end - 1])
        short = generator.predict_latest(cut.tail(128), "C00/USDT")["forecast"]
        assert np.isnan(short) or short == whole.iloc[end - 1]
    assert whole.iloc[350:].notna().all()
    assert len(population_stability(generator, broken)) == 2
