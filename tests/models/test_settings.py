"""A setting of the wrong kind or out of range is named before anything is computed."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import ConfigError, DataError
from gwt_lab.features.custom import AlphaFeatureExtractor
from gwt_lab.market.bars import Bars
from gwt_lab.models.drift import needs_retraining, population_stability, rolling_accuracy
from gwt_lab.models.ensemble import EnsembleSignalGenerator
from gwt_lab.models.lightgbm_model import LightGBMParams
from gwt_lab.models.signal_generator import QlibSignalGenerator
from gwt_lab.validation.splits import PurgedWalkForward
from tests.models.made import COLUMNS, SMALL, persistent_bars


@pytest.fixture(scope="module")
def bars() -> Bars:
    return persistent_bars()


@pytest.fixture(scope="module")
def trained(bars: Bars) -> QlibSignalGenerator:
    generator = QlibSignalGenerator(features=COLUMNS, **SMALL)
    generator.train(bars)
    return generator


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_estimators": 1.5}, r"n_trees must be a whole number of at least 1, got 1\.5"),
        ({"n_estimators": "10"}, "n_trees must be a whole number"),
        ({"n_estimators": True}, "n_trees must be a whole number"),
        ({"num_leaves": 10**7}, "num_leaves must be at most 131072, got 10000000"),
        ({"seed": None}, "seed must be a whole number of at least 0, got None"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 2**40}, "seed must be at most 2147483647"),
        ({"max_depth": "deep"}, "max_depth must be a whole number of at least -1, got 'deep'"),
        ({"learning_rate": 0}, "learning_rate must be a number above 0, got 0"),
        ({"learning_rate": float("inf")}, "learning_rate must be a number above 0, got inf"),
        ({"learning_rate": "0.1"}, r"learning_rate must be a number above 0, got '0\.1'"),
        ({"feature_fraction": 1.5}, r"feature_fraction must be a number above 0 and at most 1, got 1\.5"),
        ({"lambda_l1": float("nan")}, "lambda_l1 must be a number of at least 0, got nan"),
        ({"lambda_l2": -1}, "lambda_l2 must be a number of at least 0, got -1"),
        ({"n_estimators": 5, "n_trees": 5}, "given twice, under two names: n_estimators, n_trees"),
        ({"threshold": "0.6"}, r"threshold must lie between 0\.5 and 1, got '0\.6'"),
        ({"threshold": None}, r"threshold must lie between 0\.5 and 1, got None"),
        ({"splits": 5}, "splits must be a splitter such as PurgedWalkForward"),
        ({"splits": "a b"}, "splits must be a splitter such as PurgedWalkForward"),
    ],
)
def test_settings_of_a_generator(setting: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        QlibSignalGenerator(**setting)  # type: ignore[arg-type]


def test_numbers_of_numpy_are_taken_and_saved(bars: Bars, tmp_path: Path) -> None:
    params = LightGBMParams(n_trees=np.int64(5), learning_rate=np.float32(0.5), lambda_l2=1)  # type: ignore[arg-type]
    assert [type(value) for value in (params.n_trees, params.learning_rate, params.lambda_l2)] == [int, float, float]
    generator = QlibSignalGenerator(features=COLUMNS, num_leaves=np.int32(7), n_estimators=np.int64(5))
    generator.train(bars)
    again = QlibSignalGenerator.load_model(generator.save_model(tmp_path / "m.json"))
    assert again.params == generator.params


def test_features_may_be_named_by_an_index_or_an_array(trained: QlibSignalGenerator) -> None:
    best = trained.importance().index[:2]
    for features in (best, best.to_numpy(), list(best)):
        assert QlibSignalGenerator(features=features).features.columns == tuple(best)
    with pytest.raises(ConfigError, match=r"not its class: pass AlphaFeatureExtractor\(\)"):
        QlibSignalGenerator(features=AlphaFeatureExtractor)


@pytest.mark.parametrize("features", [None, COLUMNS])
def test_generators_pass_to_other_processes(bars: Bars, features: object) -> None:
    generator = QlibSignalGenerator(features=features, **SMALL)
    generator.train(bars)
    again = pickle.loads(pickle.dumps(generator))
    pd.testing.assert_frame_equal(again.predict(bars), generator.predict(bars))


def test_a_fold_of_one_class_is_told(bars: Bars) -> None:
    one = bars.select(bars.symbols[0])
    splits = PurgedWalkForward(2, train_size=1, purged_size=2)
    generator = QlibSignalGenerator(features=["KMID"], splits=splits, **SMALL)
    with pytest.raises(DataError, match=r"fold [01] cannot be trained: every row \(1\) has label [01]: training needs"):
        generator.train(one)


@pytest.mark.parametrize("n_jobs", ["x", 1.5, -1, True])
def test_jobs_are_whole(bars: Bars, n_jobs: object) -> None:
    with pytest.raises(ConfigError, match="n_jobs must be"):
        QlibSignalGenerator(features=COLUMNS, **SMALL).train(bars, n_jobs=n_jobs)  # type: ignore[arg-type]


def test_members_and_weights_of_an_ensemble(bars: Bars, trained: QlibSignalGenerator, tmp_path: Path) -> None:
    for members in ("ab", [1, 2], None, trained, [EnsembleSignalGenerator([trained])]):
        with pytest.raises(ConfigError, match="generators must be a list of QlibSignalGenerator, got"):
            EnsembleSignalGenerator(members)  # type: ignore[arg-type]
    for weights in (["a", "b"], {"a": 1}, 0.5):
        with pytest.raises(ConfigError, match="weights must be 2 numbers, one a generator"):
            EnsembleSignalGenerator([trained, trained], weights)  # type: ignore[arg-type]
    place = EnsembleSignalGenerator([trained, trained]).save_model(tmp_path / "e.json")
    for features in ([None], "ab", 5):
        with pytest.raises(DataError, match="features must be a list of 2, the extractor of each member"):
            EnsembleSignalGenerator.load_model(place, features=features)
    with pytest.raises(ConfigError, match=r"threshold must lie between 0\.5 and 1, got 'x'"):
        EnsembleSignalGenerator([trained], threshold="x")  # type: ignore[arg-type]
    pair = EnsembleSignalGenerator([trained, trained])
    with pytest.raises(ConfigError, match="an ensemble of 2 members, got QlibSignalGenerator"):
        pair.needs_retraining(bars, challenger=trained)  # type: ignore[arg-type]
    held = pair.needs_retraining(bars, challenger=pair)
    assert [figures["importance_change"] for figures in held.figures["members"]] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"max_age": 24}, "max_age must be a span with its unit, such as '24h' or '7D', got 24"),
        ({"max_age": "24"}, "max_age must be a span with its unit"),
        ({"max_age": "soon"}, "max_age must be a span"),
        ({"max_age": "-1h"}, "max_age must be a span"),
        ({"max_age": float("nan")}, "max_age must be a span"),
        ({"max_drifted": 25}, "max_drifted must be a number of at least 0 and at most 1, got 25"),
        ({"max_drifted": float("nan")}, "max_drifted must be a number"),
        ({"window": 0}, "window must be at least 2, got 0"),
        ({"window": 1.5}, "window must be a whole number"),
        ({"challenger": 5}, "challenger must be a QlibSignalGenerator, got int"),
        ({"min_importance_agreement": 5}, "min_importance_agreement must be a number of at least -1 and at most 1"),
    ],
)
def test_rules_of_retraining(bars: Bars, trained: QlibSignalGenerator, rule: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        trained.needs_retraining(bars, **rule)


def test_drift_is_asked_of_one_generator(bars: Bars, trained: QlibSignalGenerator) -> None:
    for ask in (population_stability, rolling_accuracy, needs_retraining):
        with pytest.raises(ConfigError, match="generator must be a QlibSignalGenerator, got int"):
            ask(5, bars)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="got EnsembleSignalGenerator; ask its members one by one"):
            ask(EnsembleSignalGenerator([trained]), bars)  # type: ignore[arg-type]
    for every in (0, -3, 2.5):
        with pytest.raises(ConfigError, match="every must be"):
            rolling_accuracy(trained, bars, every=every)  # type: ignore[arg-type]
    nothing = rolling_accuracy(trained, bars)
    assert nothing.empty
    assert nothing.index.dtype == bars.index.dtype


def test_what_was_just_trained_on_has_not_moved() -> None:
    """Short blocks of slow features lie far from all of training, the last one of it too."""
    slow = persistent_bars(n_bars=500, seed=4, strength=0.97)
    generator = QlibSignalGenerator(features=["KMID", "ROC5"], **SMALL)
    generator.train(slow.head(380))
    for end in (380, 385, 400):
        verdict = generator.needs_retraining(slow.head(end))
        assert verdict.figures["drifted"] > 0.25
        assert not verdict
    assert "have moved since training" in generator.needs_retraining(slow.head(450)).reasons[0]
