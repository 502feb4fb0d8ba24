"""The model learns what is there, the same every time, and travels as text."""

import json

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import ConfigError, DataError, NotFittedError, ShapeError
from gwt_lab.models.lightgbm_model import LightGBMModel, LightGBMParams

PARAMS = LightGBMParams(n_trees=30, min_data_in_leaf=20)


def _problem(n: int = 800, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 4)).astype(np.float32), columns=["a", "b [x], {y}", "c:d", "e"])
    y = pd.Series((X["a"] + 0.3 * rng.normal(size=n) > 0).astype(float), index=X.index)
    return X, y


def test_it_learns_and_says_what_mattered() -> None:
    X, y = _problem()
    model = LightGBMModel(PARAMS).fit(X.iloc[:600], y.iloc[:600])
    accuracy = ((model.predict(X.iloc[600:]) > 0.5) == (y.iloc[600:] > 0.5)).mean()
    assert accuracy > 0.85
    assert model.importance().index[0] == "a"
    noise = pd.Series(np.random.default_rng(1).permutation(y.to_numpy()), index=y.index)
    shuffled = LightGBMModel(PARAMS).fit(X.iloc[:600], noise.iloc[:600])
    assert abs(((shuffled.predict(X.iloc[600:]) > 0.5) == (noise.iloc[600:] > 0.5)).mean() - 0.5) < 0.15


def test_text_round_trip_is_exact_and_no_pickle() -> None:
    X, y = _problem()
    model = LightGBMModel(PARAMS).fit(X, y)
    text = model.to_text()
    document = json.loads(text)
    assert document["features"] == list(X.columns)
    again = LightGBMModel.from_text(text)
    assert again.params == PARAMS
    assert again.feature_names_ == list(X.columns)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.to_text() == text


def test_equal_seeds_equal_trees() -> None:
    X, y = _problem()
    first, second = (LightGBMModel(PARAMS).fit(X, y) for _ in range(2))
    assert first.to_text() == second.to_text()
    other = LightGBMModel(LightGBMParams(n_trees=30, min_data_in_leaf=20, seed=1)).fit(X, y)
    assert not np.array_equal(other.predict(X), first.predict(X))


def test_columns_are_found_by_name_and_missing_ones_named() -> None:
    X, y = _problem()
    model = LightGBMModel(PARAMS).fit(X, y)
    np.testing.assert_array_equal(model.predict(X[X.columns[::-1]].assign(more=1.0)), model.predict(X))
    with pytest.raises(DataError, match="c:d missing of the 3 columns"):
        model.predict(X.drop(columns="c:d"))
    assert len(model.predict(X.iloc[:0])) == 0


def test_rows_without_a_label_are_not_learnt_from() -> None:
    X, y = _problem()
    holes = y.mask(np.arange(len(y)) % 3 == 0)
    model = LightGBMModel(PARAMS).fit(X, holes)
    alone = LightGBMModel(PARAMS).fit(X[holes.notna()], y[holes.notna()])
    np.testing.assert_array_equal(model.predict(X), alone.predict(X))


def test_regression_follows_the_size() -> None:
    X, _ = _problem()
    target = 3 * X["a"]
    model = LightGBMModel(LightGBMParams(objective="regression", min_data_in_leaf=20)).fit(X, target)
    assert np.corrcoef(model.predict(X), target)[0, 1] > 0.95


def test_mistakes_are_named() -> None:
    X, y = _problem(100)
    with pytest.raises(NotFittedError, match=r"call fit\(X, y\)"):
        LightGBMModel().predict(X)
    with pytest.raises(NotFittedError):
        LightGBMModel().to_text()
    with pytest.raises(ShapeError, match="same index"):
        LightGBMModel().fit(X, y.iloc[1:])
    with pytest.raises(DataError, match="no row has a label"):
        LightGBMModel().fit(X, y * np.nan)
    with pytest.raises(DataError, match=r"every row \(100\) has label 1"):
        LightGBMModel().fit(X, y * 0 + 1)
    with pytest.raises(ConfigError, match="objective must be one of binary, regression, got 'rank'"):
        LightGBMParams(objective="rank")
    with pytest.raises(ConfigError, match="n_trees must be at least 1"):
        LightGBMParams(n_trees=0)


def test_what_is_no_frame_of_numbers_is_named() -> None:
    X, y = _problem(300)
    model = LightGBMModel(PARAMS).fit(X, y)
    for features, labels, match in (
        (X.to_numpy(), y, "X must be a DataFrame and y a Series, got ndarray and Series"),
        (X, y.to_numpy(), "got DataFrame and ndarray"),
        (X, y.to_frame(), "got DataFrame and DataFrame"),
        (X[[]], y, "names of their own, got none"),
        (X[["a", "a"]], y, "names of their own, got a, a"),
        (X.assign(a="x"), y, "must be numbers .could not convert string to float: 'x'"),
        (X, y.map({0.0: "falls", 1.0: "rises"}), "must be numbers"),
        (X, y * 2 - 1, "labels must be 0 or 1 for objective='binary', got -1 among 300"),
        (X, X["a"], "labels must be 0 or 1"),
    ):
        with pytest.raises(DataError, match=match):
            LightGBMModel(PARAMS).fit(features, labels)
    with pytest.raises(DataError, match="labels must be finite, got inf among 300"):
        LightGBMModel(LightGBMParams(objective="regression")).fit(X, y.where(y > 0, np.inf))
    with pytest.raises(ConfigError, match="params must be LightGBMParams"):
        LightGBMModel({"n_trees": 5})  # type: ignore[arg-type]
    for ask in (model.predict, model.contributions):
        with pytest.raises(DataError, match="a DataFrame of the features that were trained on, got ndarray"):
            ask(X.to_numpy())
        with pytest.raises(DataError, match="c:d missing"):
            ask(X.drop(columns="c:d"))
    with pytest.raises(NotFittedError, match=r"call fit\(X, y\)"):
        LightGBMModel().contributions(X)


def test_other_documents_are_refused() -> None:
    X, y = _problem(200)
    text = LightGBMModel(PARAMS).fit(X, y).to_text()
    document = json.loads(text)
    for broken in (
        "not json",
        "[]",
        json.dumps({**document, "version": 2}),
        json.dumps({**document, "params": {"unknown": 1}}),
        json.dumps({**document, "trees": document["trees"][:500]}),
        json.dumps({**document, "features": ["a"]}),
    ):
        with pytest.raises(DataError, match="model document"):
            LightGBMModel.from_text(broken)
