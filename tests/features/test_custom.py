"""Features of one's own: computed as written, refused where they look ahead."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwt_lab.errors import CausalityError, ConfigError, DataError
from gwt_lab.features import custom
from gwt_lab.features.alpha158 import ALPHA158_LOOKBACK, alpha158
from gwt_lab.features.as_of import AsOfTable
from gwt_lab.features.custom import AlphaFeatureExtractor, custom_feature, price_acceleration, volume_surge
from gwt_lab.models.signal_generator import QlibSignalGenerator
from gwt_lab.validation.causality import check_causal
from tests.models.made import SMALL, persistent_bars
from tests.oracles.markets import random_bars


class Mine(AlphaFeatureExtractor):
    lookback = 21

    def extract_custom_features(self, df: pd.DataFrame) -> pd.DataFrame:
        df["price_acceleration"] = df["close"].pct_change(fill_method=None).diff()
        df["volume_surge"] = df["volume"] / df["volume"].rolling(20).mean()
        return df


def test_the_hook_adds_columns_to_alpha158() -> None:
    bars = random_bars(3, 300, seed=1, holes=0.02)
    extractor = Mine(alpha=["KMID", "MA5"])
    frame = extractor.extract(bars)
    assert list(frame.columns) == ["KMID", "MA5", "price_acceleration", "volume_surge"]
    assert (frame.dtypes == np.float32).all()
    pd.testing.assert_frame_equal(frame[["KMID", "MA5"]], alpha158(bars, columns=["KMID", "MA5"]))
    close = bars.close["C01/USDT"]
    wanted = (close / close.shift(1) - 1).diff()
    found = frame["price_acceleration"].xs("C01/USDT", level=1)
    np.testing.assert_allclose(found, wanted.astype(np.float32), rtol=1e-6)
    assert extractor.lookback == 72
    assert Mine().lookback == ALPHA158_LOOKBACK
    assert Mine(alpha=[]).lookback == 21
    report = check_causal(extractor.extract, bars, lookback=72, tolerance=custom.TOLERANCE)
    assert report.passed, str(report)


def test_functions_join_in_and_rows_without_a_bar_stay_empty() -> None:
    bars = random_bars(2, 200, seed=2, holes=0.1)
    extractor = AlphaFeatureExtractor(alpha=["KMID"], functions=[price_acceleration, volume_surge])
    frame = extractor.extract(bars)
    assert list(frame.columns) == ["KMID", "price_acceleration", "volume_surge"]
    gone = bars.close[sorted(bars.symbols)].isna().to_numpy().reshape(-1)
    assert frame[gone].isna().all().all()
    assert extractor.lookbacks["volume_surge"] == 20


@pytest.mark.parametrize("feature", [price_acceleration, volume_surge])
def test_what_we_ship_passes_its_own_check(feature: custom.CustomFeature) -> None:
    again = custom_feature(lookback=feature.lookback, name=feature.name)(feature.function)
    assert again == feature
    df = pd.DataFrame({"close": [1.0, 2.0, 3.0, 3.0], "volume": [1.0] * 4})
    assert price_acceleration(df).tolist()[2:] == [-0.5, -0.5]


def test_a_leaking_function_is_refused_with_its_name_and_first_time() -> None:
    with pytest.raises(CausalityError, match=r"tomorrow.*refused.*'tomorrow' sees later rows at 2024-01-\d\d"):

        @custom_feature(lookback=2)
        def tomorrow(df: pd.DataFrame) -> pd.Series:
            return df["close"].shift(-1) / df["close"]

    with pytest.raises(CausalityError, match="'scaled' sees later rows"):

        @custom_feature(lookback=2)
        def scaled(df: pd.DataFrame) -> pd.Series:
            return df["close"] / df["close"].max()

    with pytest.raises(CausalityError, match="'long' remembers more than lookback"):

        @custom_feature(lookback=20)
        def long(df: pd.DataFrame) -> pd.Series:
            return df["close"].rolling(50, min_periods=1).mean()


def test_one_leaking_column_of_a_hook_is_named() -> None:
    class Canary(AlphaFeatureExtractor):
        lookback = 5

        def extract_custom_features(self, df: pd.DataFrame) -> pd.DataFrame:
            return pd.DataFrame({"fine": df["close"].diff(), "canary": df["open"].shift(-1)})

    with pytest.raises(CausalityError, match="'canary' sees later rows at 2024") as caught:
        Canary().extract(random_bars(2, 200))
    assert "'fine'" not in str(caught.value)
    generator = QlibSignalGenerator(features=Canary(alpha=["KMID"]), **SMALL)
    with pytest.raises(CausalityError, match="canary"):
        generator.train(random_bars(2, 300))


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="lookback must be a whole number"):
        custom_feature(lookback=0)
    for decorate in (lambda: custom_feature(lambda df: df["close"]), custom_feature):
        with pytest.raises(ConfigError, match=r"write @custom_feature\(lookback=24\)"):
            decorate()
    with pytest.raises(ConfigError, match="registered with @custom_feature"):
        AlphaFeatureExtractor(functions=[lambda df: df["close"]])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="tables must be AsOfTable or SentimentTable, got DataFrame"):
        AlphaFeatureExtractor(tables=pd.DataFrame({"a": [1]}))  # type: ignore[arg-type]
    for wrong in (0, 2.5, "30", True):
        with pytest.raises(ConfigError, match="lookback must be a whole number of bars, at least 1"):
            AlphaFeatureExtractor(lookback=wrong)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="lookback of Odd must be a whole number of bars, at least 1"):
            type("Odd", (AlphaFeatureExtractor,), {"lookback": wrong})
    with pytest.raises(ConfigError, match="no column MA7"):
        AlphaFeatureExtractor(alpha=["MA7"])
    with pytest.raises(DataError, match="extracts nothing"):
        AlphaFeatureExtractor(alpha=[]).extract(random_bars(2, 50))
    with pytest.raises(DataError, match="price_acceleration twice"):
        Mine(alpha=[], functions=[price_acceleration]).extract(random_bars(2, 200))
    for give, match in (
        (lambda df: 7, "must give a DataFrame or a Series"),
        (lambda df: df["close"].iloc[1:], "one row a bar"),
        (lambda df: df, "new columns of numbers"),
        (lambda df: df["close"].astype(str), "new columns of numbers"),
    ):
        with pytest.raises((DataError, CausalityError), match=match):
            custom_feature(lookback=2, name="bad")(give)


def test_one_column_function_or_table_needs_no_list() -> None:
    bars = random_bars(2, 60)
    extractor = AlphaFeatureExtractor(alpha="KMID", functions=price_acceleration, tables=AsOfTable(_table()))
    assert list(extractor.extract(bars).columns) == ["KMID", "price_acceleration", "level"]


def test_a_function_that_fails_says_on_what_it_was_tried() -> None:
    with pytest.raises(KeyError, match="vwap") as caught:

        @custom_feature(lookback=2)
        def priced(df: pd.DataFrame) -> pd.Series:
            return df["close"] / df["vwap"]

    assert "priced failed while it was checked on random bars with the columns open, high" in caught.value.__notes__[0]


def test_a_model_on_an_extractor_needs_it_to_be_loaded(tmp_path: Path) -> None:
    bars = persistent_bars(n_bars=400)
    extractor = Mine(alpha=["KMID", "ROC5"])
    generator = QlibSignalGenerator(features=extractor, **SMALL)
    report = generator.train(bars)
    assert report["n_features"] == 4
    place = generator.save_model(tmp_path / "m.json")
    with pytest.raises(DataError, match=r"extractor 'Mine', got none: pass features=Mine"):
        QlibSignalGenerator.load_model(place)
    with pytest.raises(DataError, match="got 'AlphaFeatureExtractor'"):
        QlibSignalGenerator.load_model(place, features=AlphaFeatureExtractor())
    again = QlibSignalGenerator.load_model(place, features=Mine(alpha=["KMID", "ROC5"]))
    pd.testing.assert_frame_equal(again.predict(bars), generator.predict(bars))
    latest = again.predict_latest(bars, "C00/USDT")
    assert latest["probability"] == pytest.approx(generator.predict(bars, "C00/USDT")["probability"].iloc[-1])
    fewer = QlibSignalGenerator.load_model(place, features=Mine(alpha=["ROC5"]))
    with pytest.raises(DataError, match="trained on 4 features; KMID missing"):
        fewer.predict(bars)


# ------------------------------------------------------------------------------------------------ as-of tables
def _table() -> pd.DataFrame:
    times = pd.to_datetime(["2024-01-01 05:30", "2024-01-01 02:00", "2024-01-01 09:00"], utc=True)
    return pd.DataFrame({"known_at": times, "symbol": "C00/USDT", "level": [5.0, 2.0, 9.0]})


def test_values_are_joined_when_they_were_known_and_not_before() -> None:
    """A bar labelled 05:00 closes at 06:00, so it knows what became known at 05:30; 02:00 is known at 01:00's close."""
    bars = random_bars(2, 14, seed=0)
    frame = AsOfTable(_table()).join(bars)["level"]
    found = frame.xs("C00/USDT", level=1).to_numpy()
    np.testing.assert_array_equal(found, [np.nan] + [2.0] * 4 + [5.0] * 3 + [9.0] * 6)
    assert frame.xs("C01/USDT", level=1).isna().all()
    aged = AsOfTable(_table(), max_age="2h").join(bars)["level"].xs("C00/USDT", level=1).to_numpy()
    np.testing.assert_array_equal(aged[1:7], [2.0, 2.0, 2.0, np.nan, 5.0, 5.0])
    everywhere = AsOfTable(_table().drop(columns="symbol")).join(bars)["level"].unstack()
    np.testing.assert_array_equal(everywhere["C00/USDT"], everywhere["C01/USDT"])


def test_later_rows_of_a_table_change_nothing_earlier() -> None:
    bars = random_bars(2, 14, seed=0)
    whole = AsOfTable(_table()).join(bars)
    early = AsOfTable(_table().iloc[:2]).join(bars)
    before = whole.index.get_level_values(0) < pd.Timestamp("2024-01-01 08:00", tz="UTC")
    pd.testing.assert_frame_equal(whole[before], early[before])
    extractor = AlphaFeatureExtractor(alpha=["KMID"], tables=[AsOfTable(_table())])
    assert list(extractor.extract(bars).columns) == ["KMID", "level"]
    report = check_causal(extractor.extract, bars, lookback=extractor.lookback)
    assert report.passed, str(report)


def test_bad_tables_are_named() -> None:
    table = _table()
    with pytest.raises(DataError, match="needs a column known_at"):
        AsOfTable(table.drop(columns="known_at"))
    with pytest.raises(DataError, match="no numbers height"):
        AsOfTable(table, ["height"])
    with pytest.raises(DataError, match="became known at the same time"):
        AsOfTable(pd.concat([table, table]))
    with pytest.raises(DataError, match="holds no numbers"):
        AsOfTable(table[["known_at", "symbol"]])
    with pytest.raises(ConfigError, match="max_age must be positive"):
        AsOfTable(table, max_age="0h")
    with pytest.raises(ConfigError, match="max_age must be a length of time with its unit"):
        AsOfTable(table, max_age=5)
    with pytest.raises(DataError, match="column level more than once"):
        AsOfTable(pd.concat([table, table[["level"]]], axis=1))
    with pytest.raises(DataError, match="made of a DataFrame"):
        AsOfTable([1, 2])  # type: ignore[arg-type]


def test_a_tables_infinite_values_are_nan_and_one_name_is_enough() -> None:
    table = _table().assign(level=[np.inf, -1e300, 9.0], other=1.0)
    found = AsOfTable(table, "level")
    assert found.columns == ["level"]
    joined = found.join(random_bars(1, 14, seed=0))["level"].to_numpy()
    np.testing.assert_array_equal(joined, [np.nan] * 8 + [9.0] * 6)
    assert repr(found) == "AsOfTable(3 rows of C00/USDT: level)"
