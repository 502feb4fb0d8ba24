"""Signal generators as documents, and back."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from gwt_lab.errors import DataError
from gwt_lab.market.time import timeframe_ns, timestamp
from gwt_lab.models.feature_set import restored_feature_set
from gwt_lab.models.forecasters import forecaster_from_document
from gwt_lab.models.lightgbm_model import LightGBMParams
from gwt_lab.models.training import Question

if TYPE_CHECKING:
    from gwt_lab.models.signal_generator import QlibSignalGenerator

__all__ = ["generator_document", "package_versions", "restore_generator"]

_PACKAGES = ("gwt_lab", "numpy", "pandas", "lightgbm", "xgboost", "pyqlib")


def package_versions() -> dict[str, str]:
    """Return the versions of what models are made with; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def generator_document(generator: QlibSignalGenerator) -> dict[str, Any]:
    """Return a trained generator as plain values for JSON.

    Raises
    ------
    ConfigError
        If its model cannot be written as text.
    """
    forecaster, question = generator.forecaster_, generator.question
    document = forecaster.document()
    params = {name: getattr(generator.params, name) for name in LightGBMParams.__dataclass_fields__}
    report = generator.report_
    return {
        "generator": "QlibSignalGenerator",
        "kind": forecaster.kind,
        "model": document,
        "params": params if generator.model is None and forecaster.kind == "lightgbm" else None,
        "features": generator.features.document(generator.feature_names_),
        "scaler": document.get("scaler"),
        "label": {
            "name": question.label,
            "horizon": question.horizon,
            "probabilities": question.probabilities,
        },
        "threshold": generator.threshold,
        "timeframe": generator.timeframe_,
        "symbols": generator.symbols_,
        "data": {
            "hash": report["data_hash"],
            "start": report["train_start"],
            "end": report["train_end"],
            "rows": report["n_train"],
        },
        "versions": generator.versions_,
        "report": report,
        "reference": generator.reference_,
    }


def restore_generator(kind: type[QlibSignalGenerator], document: dict[str, Any], features: Any) -> QlibSignalGenerator:
    """Return the generator that a document describes.

    Raises
    ------
    DataError
        If something is missing from the document.
    """
    try:
        if document["generator"] != "QlibSignalGenerator":
            raise DataError(
                f"the model file holds a {document['generator']}, not a QlibSignalGenerator: load it with its own class"
            )
        label, stated = document["label"], document["features"]
        generator = kind(label=label["name"], horizon=label["horizon"], threshold=document["threshold"])
        generator.question = Question(label["name"], label["horizon"], bool(label["probabilities"]))
        if document["params"] is not None:
            generator.params = LightGBMParams(**document["params"])
        generator.features = restored_feature_set(stated, features)
        if generator.features.lookback != stated["lookback"]:
            raise DataError(
                f"{stated['source']} needs {generator.features.lookback} bars in this version, the model was trained "
                f"on features of {stated['lookback']}: train it again"
            )
        generator.feature_names_ = [str(name) for name in stated["names"]]
        n_features = len(generator.feature_names_)
        generator.forecaster_ = forecaster_from_document(document["kind"], document["model"], n_features)
        generator.timeframe_, generator.symbols_ = str(document["timeframe"]), list(document["symbols"])
        timeframe_ns(generator.timeframe_)
        generator.report_, generator.reference_ = dict(document["report"]), dict(document["reference"])
        timestamp(generator.report_["train_end"])
        if set(generator.reference_["features"]) != set(generator.feature_names_):
            raise DataError("the model document's reference is of other features than its model: train the model again")
        generator.versions_ = dict(document["versions"])
    except DataError:
        raise
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(f"the model document is incomplete ({error!r}): train the model again") from None
    return generator
