"""Model files: one JSON document; anything else is refused before it is opened, and one changed byte shows."""

import gzip
import hashlib
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gwt_lab.errors import DataError
from gwt_lab.models.model_file import SCHEMA, read_model_file, write_model_file
from gwt_lab.models.signal_generator import QlibSignalGenerator
from tests.models.made import COLUMNS, SMALL, persistent_bars


class Bomb:
    """Unpickling it leaves a trace."""

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return (Path.touch, (Path("unpickled"),))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    generator = QlibSignalGenerator(features=COLUMNS, **SMALL)
    generator.train(persistent_bars())
    return generator.save_model(tmp_path_factory.mktemp("model") / "m.pkl").read_bytes()


def _load(data: bytes, folder: Path) -> QlibSignalGenerator:
    (folder / "m.pkl").write_bytes(data)
    return QlibSignalGenerator.load_model(folder / "m.pkl")


def test_the_file_is_one_json_document_that_says_everything(text: bytes) -> None:
    document = json.loads(text)
    assert (document["format"], document["schema"]) == ("gwt_lab.signal_generator", SCHEMA)
    content = document["content"]
    assert content["features"]["names"] == COLUMNS
    assert content["features"]["lookbacks"]["MA10"] == 77
    assert content["label"] == {"name": "direction", "horizon": 1, "probabilities": True}
    assert content["model"]["trees"].startswith("tree\n")
    assert content["timeframe"] == "1h"
    assert len(content["data"]["hash"]) == 64
    assert {"python", "gwt_lab", "lightgbm", "numpy"} <= set(content["versions"])
    assert content["scaler"] is None


def test_one_changed_byte_is_refused(text: bytes, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    places = [*range(0, 170, 7), *rng.integers(170, len(text), 60).tolist(), len(text) - 2, len(text) - 1]
    for place in places:
        for new in (text[place] ^ 1, 0x20 if text[place] != 0x20 else 0x0A):
            broken = bytearray(text)
            broken[place] = new
            with pytest.raises(DataError, match=r"changed after|no model document|no JSON document|has schema"):
                _load(bytes(broken), tmp_path)
    for broken_text in (text[:-10], text + b" ", text.replace(b"  ", b" ")[:-1], b"{}", b""):
        with pytest.raises(DataError):
            _load(broken_text, tmp_path)
    assert _load(text, tmp_path).feature_names_ == COLUMNS


def test_another_schema_is_named(text: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has schema 99, this version of gwt_lab reads schema 1: train it again"):
        _load(text.replace(b'"schema": 1,', b'"schema": 99,', 1), tmp_path)
    document = json.loads(text)
    document["schema"] = 2
    with pytest.raises(DataError, match="has schema 2"):
        _load(json.dumps(document).encode(), tmp_path)


def test_other_files_are_refused_by_their_first_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data.pkl", pickle.dumps(Bomb()))
    others = {
        "pickle": pickle.dumps(Bomb()),
        "zip archive": archive.getvalue(),
        "gzip": gzip.compress(pickle.dumps(Bomb())),
        "no JSON document": pickle.dumps(Bomb(), protocol=0),
        "LightGBM's own text": b"tree\nversion=v4\n",
    }
    for match, data in others.items():
        with pytest.raises(DataError, match=match):
            _load(data, tmp_path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(DataError, match="write"):
            _load(pickle.dumps({"model": 1}, protocol=protocol), tmp_path)
    assert not Path("unpickled").exists()
    with pytest.raises(DataError, match="cannot be read"):
        QlibSignalGenerator.load_model(tmp_path / "nowhere.json")
    with pytest.raises(DataError, match="cannot be read"):
        QlibSignalGenerator.load_model(tmp_path)


def test_joblib_and_torch_files_are_refused(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    for compress in (0, 3, ("bz2", 3), ("xz", 3), ("lzma", 3)):
        joblib.dump({"model": np.arange(10)}, tmp_path / "m.joblib", compress=compress)
        with pytest.raises(DataError):
            QlibSignalGenerator.load_model(tmp_path / "m.joblib")
    torch = pytest.importorskip("torch")
    for zipped in (True, False):
        torch.save({"w": torch.zeros(2)}, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
        with pytest.raises(DataError):
            QlibSignalGenerator.load_model(tmp_path / "m.pt")


def test_what_json_cannot_say_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="JSON cannot say"):
        write_model_file({"a": float("nan")}, tmp_path / "m.json")
    assert list(tmp_path.iterdir()) == []
    place = write_model_file({"a": 1, "b": "\u2603"}, tmp_path / "new" / "m.json")
    assert read_model_file(place) == {"a": 1, "b": "\u2603"}
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_model_file({}, tmp_path / "file" / "m.json")


def test_a_document_that_was_written_incomplete_is_refused(text: bytes, tmp_path: Path) -> None:
    content = json.loads(text)["content"]
    for name in content:
        if name in ("scaler", "data"):
            continue
        part = {key: value for key, value in content.items() if key != name}
        with pytest.raises(DataError, match=r"incomplete|no model document|not a Qlib"):
            QlibSignalGenerator.load_model(write_model_file(part, tmp_path / "m.json"))
    for change in ({"kind": "qlib.LSTM"}, {"generator": "Other"}):
        with pytest.raises(DataError, match=r"unknown|holds a Other"):
            QlibSignalGenerator.load_model(write_model_file(content | change, tmp_path / "m.json"))


def test_a_forged_digest_makes_no_model(text: bytes, tmp_path: Path) -> None:
    """Whoever writes a file by hand, digest and all, is told what is wrong with it."""
    content = json.dumps(json.loads(text)["content"])
    reference = json.loads(content)["reference"]
    features = {name: value for name, value in reference["features"].items() if name != "MA10"}
    for forged, match in (
        (content.replace('"threshold": 0.6', '"threshold": NaN'), "NaN is no number of JSON"),
        (content.replace('"threshold": 0.6', '"threshold": 1e999'), "threshold must lie between"),
        (content[:-1], "holds no valid JSON"),
        ("[" * 100_000 + "]" * 100_000, "holds no valid JSON"),
        ("[1]", "holds no model"),
        (json.dumps(json.loads(content) | {"timeframe": "soon"}), "soon"),
        (json.dumps(json.loads(content) | {"report": None}), "incomplete"),
        (json.dumps(json.loads(content) | {"report": {}}), "incomplete"),
        (json.dumps(json.loads(content) | {"reference": reference | {"features": features}}), "other features"),
    ):
        head = f'{{"format": "gwt_lab.signal_generator", "schema": {SCHEMA}, "digest": "{"0" * 64}", "content": '
        whole = f"{head}{forged}}}\n".encode()
        signed = whole.replace(b"0" * 64, hashlib.sha256(whole).hexdigest().encode(), 1)
        with pytest.raises(DataError, match=match):
            _load(signed, tmp_path)


def test_a_huge_file_is_not_read(text: bytes, tmp_path: Path) -> None:
    with (tmp_path / "m.pkl").open("wb") as file:
        file.write(text[:200])
        file.truncate(4 << 30)
    with pytest.raises(DataError, match="larger than 512 MB"):
        QlibSignalGenerator.load_model(tmp_path / "m.pkl")


def test_a_place_that_cannot_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        write_model_file({"a": 1}, tmp_path / "folder")
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]
