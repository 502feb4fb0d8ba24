"""Signed bundles: what is written comes back, and nothing that was touched is read."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from gwt_lab.errors import BundleError
from gwt_lab.promotion import folder as signed
from gwt_lab.promotion.bundle import Bundle, Fixture
from gwt_lab.promotion.keys import key_id, keys_folder, own_public_key, resolve_keys, sign, verify
from gwt_lab.promotion.promote import promote
from gwt_lab.runs import store_run
from tests.oracles.paths import random_paths, random_weights
from tests.promotion.made import COSTS, STRATEGY, bundle_copy, passed, waves


@pytest.fixture
def made(tmp_path) -> Path:
    return bundle_copy(tmp_path)


def rewrite(folder: Path, **changes: str) -> None:
    """Change files and sign again, as an attacker with the trusted key could."""
    files = {p.name: p.read_text() for p in folder.iterdir() if p.name not in ("manifest.json", "manifest.sig")}
    shutil.rmtree(folder)
    signed.write_signed(files | {name.replace("__", "."): text for name, text in changes.items()}, folder)


# ------------------------------------------------------------------------------------------------ there and back
def test_what_was_promoted_comes_back(made):
    bundle = Bundle.load(made, trusted_keys=[own_public_key()])
    assert bundle.strategy() == STRATEGY
    assert bundle.costs == COSTS
    assert (bundle.symbols, bundle.timeframe) == (waves().symbols, "1h")
    assert [gate["passed"] for gate in bundle.gates] == [True, True]
    assert bundle.document["data_hashes"]["bars"] == waves().content_hash
    assert bundle.id == Bundle.load(made).id


def test_it_is_text_and_json_only(made):
    assert sorted(p.name for p in made.iterdir()) == ["bundle.json", "fixture.json", "manifest.json", "manifest.sig"]
    for file in made.iterdir():
        assert b"\x00" not in file.read_bytes()
    json.loads((made / "bundle.json").read_text())


def test_the_fixture_keeps_every_bit_and_every_gap():
    bars = random_paths(1, 40, 3, holes=0.3)
    fixture = Fixture(bars, random_weights(2, bars, holds=0.5).iloc[-7:])
    again = Fixture.from_text(fixture.to_text())
    assert again.bars.equals(bars)
    np.testing.assert_array_equal(again.decisions.to_numpy(), fixture.decisions.to_numpy())
    assert again.decisions.index.equals(fixture.decisions.index)


def test_a_bundle_is_never_overwritten(made):
    with pytest.raises(BundleError, match="never overwritten"):
        promote(passed(), made)


# ------------------------------------------------------------------------------------------------ touched
@pytest.mark.parametrize("name", ["bundle.json", "fixture.json", "manifest.json", "manifest.sig"])
def test_any_changed_byte_is_found_and_named(made, name):
    content = (made / name).read_bytes()
    for place in sorted({0, 1, len(content) // 3, len(content) // 2, len(content) - 2, len(content) - 1}):
        changed = bytearray(content)
        changed[place] ^= 0x01
        (made / name).write_bytes(bytes(changed))
        with pytest.raises(BundleError, match=name if name != "manifest.sig" else r"manifest\.(sig|json)|not trusted"):
            Bundle.load(made)
    (made / name).write_bytes(content)
    Bundle.load(made)


@pytest.mark.parametrize("change", [lambda b: b + b"\n", lambda b: b[:-1], lambda b: b""])
@pytest.mark.parametrize("name", ["bundle.json", "fixture.json", "manifest.json", "manifest.sig"])
def test_longer_and_shorter_files_are_found(made, name, change):
    (made / name).write_bytes(change((made / name).read_bytes()))
    with pytest.raises(BundleError, match="manifest" if "manifest" in name else name):
        Bundle.load(made)


@pytest.mark.parametrize("name", ["bundle.json", "fixture.json", "manifest.json", "manifest.sig"])
def test_a_missing_file_is_named(made, name):
    (made / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        Bundle.load(made)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("extra.txt", b"hello", "extra.txt is not in"), ("model.pkl", b"anything", "model.pkl .a pickle"),
     ("notes.txt", b"\x80\x04\x95K\x00.", "notes.txt .a pickle"), ("m.txt", b"PK\x03\x04..", "zip archive .torch"),
     ("w.joblib", b"x", "joblib"), ("w.txt", b"\x78\x9c..", "zlib .joblib"), (".hidden", b"", ".hidden")],
)  # fmt: skip
def test_an_extra_file_is_named_with_its_kind(made, name, content, words):
    (made / name).write_bytes(content)
    with pytest.raises(BundleError, match=words):
        Bundle.load(made)


@pytest.mark.skipif(os.name != "posix", reason="links, devices and file modes are POSIX")
def test_links_folders_and_devices_are_refused(made, tmp_path):
    copy = tmp_path / "copy.json"
    shutil.copy(made / "bundle.json", copy)
    (made / "bundle.json").unlink()
    (made / "bundle.json").symlink_to(copy)
    with pytest.raises(BundleError, match=r"bundle\.json is a symbolic link"):
        Bundle.load(made)
    (made / "bundle.json").unlink()
    (made / "bundle.json").mkdir()
    with pytest.raises(BundleError, match="not a plain file"):
        Bundle.load(made)
    (made / "bundle.json").rmdir()
    os.mkfifo(made / "bundle.json")
    with pytest.raises(BundleError, match="not a plain file"):
        Bundle.load(made)
    link = tmp_path / "link"
    link.symlink_to(made)
    with pytest.raises(BundleError, match="a link"):
        Bundle.load(link)


def test_what_is_no_bundle_is_said_so(tmp_path):
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(BundleError, match="bundle"):
            Bundle.load(place, trusted_keys=["0" * 64])


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/etc/evil.txt", "a/b.txt", "..", "Model.txt", "x.pkl", "x.py", "manifest.json", ""]
)
def test_a_signed_manifest_with_a_path_is_refused_too(made, name):
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["files"][0]["path"] = name
    resign(made, signed.canonical(manifest))
    with pytest.raises(BundleError, match="must be named like"):
        Bundle.load(made)


def resign(folder: Path, manifest: bytes) -> None:
    public, signature = sign(manifest)
    (folder / "manifest.json").write_bytes(manifest)
    (folder / "manifest.sig").write_text(f"ed25519 {key_id(public)} {signature}\n")


@pytest.mark.parametrize(
    "manifest",
    [b"[]\n", b"{}\n", b"not json", b'{"files":[],"schema":2}\n', b'{"schema":1, "files":[]}\n', b"\xff",
     b'{"files":[{"path":"a.txt","sha256":"","size":0},{"path":"a.txt","sha256":"","size":0}],"schema":1}\n'],
)  # fmt: skip
def test_a_signed_manifest_that_is_none_is_refused(made, manifest):
    resign(made, manifest)
    with pytest.raises(BundleError, match="manifest"):
        Bundle.load(made)


def test_binary_contents_are_refused_when_written_and_when_read(made, tmp_path):
    with pytest.raises(BundleError, match=r"a\.txt holds gzip|a\.txt holds binary"):
        signed.write_signed({"a.txt": "a\x00b"}, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    manifest = json.loads((made / "manifest.json").read_text())
    content = b"\x80\x04\x95pickle."
    (made / "fixture.json").write_bytes(content)
    import hashlib

    for entry in manifest["files"]:
        if entry["path"] == "fixture.json":
            entry |= {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    resign(made, signed.canonical(manifest))
    with pytest.raises(BundleError, match=r"fixture\.json holds a pickle"):
        Bundle.load(made)


# ------------------------------------------------------------------------------------------------ who signed
def test_a_strangers_key_is_not_trusted_until_it_is_given(made, monkeypatch, tmp_path):
    signer = own_public_key()
    monkeypatch.setenv("GWT_KEYS", str(tmp_path / "another machine"))
    with pytest.raises(BundleError, match="no trusted key"):
        Bundle.load(made)
    other = own_public_key()
    assert other != signer
    with pytest.raises(BundleError, match="not trusted"):
        Bundle.load(made)
    assert Bundle.load(made, trusted_keys=[other, signer]).signer == key_id(signer)


def test_a_signature_moved_to_another_bundle_does_not_hold(made, tmp_path):
    second = promote(passed(waves(480)), tmp_path / "second").path
    shutil.copy(made / "manifest.sig", second / "manifest.sig")
    with pytest.raises(BundleError, match="does not match its signature"):
        Bundle.load(second)


def test_nothing_is_parsed_before_the_signature_holds(made, monkeypatch):
    (made / "manifest.json").write_bytes((made / "manifest.json").read_bytes() + b" ")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("parsed before verified")

    monkeypatch.setattr(json, "loads", refuse)
    with pytest.raises(BundleError, match="does not match"):
        Bundle.load(made)


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_the_private_key_is_its_owners_alone(made):
    private = keys_folder() / "bundle_ed25519"
    assert private.stat().st_mode & 0o777 == 0o600
    private.chmod(0o644)
    with pytest.raises(BundleError, match="chmod 600"):
        own_public_key()


def test_the_key_pair_is_made_once_and_read_from_files(tmp_path):
    first = own_public_key()
    assert own_public_key() == first
    public = keys_folder() / "bundle_ed25519.pub"
    assert resolve_keys([public, str(public), first]) == [first] * 3
    message = b"what is signed"
    assert verify(message, sign(message)[1], first)
    assert not verify(message + b" ", sign(message)[1], first)
    assert not verify(message, "zz", first)
    for wrong in ("abc", str(tmp_path / "absent")):
        with pytest.raises(BundleError, match="64 hexadecimal digits"):
            resolve_keys([wrong])
    with pytest.raises(BundleError, match="no trusted key"):
        resolve_keys([])


def test_two_processes_agree_on_one_new_key():
    code = "from gwt_lab.promotion.keys import own_public_key; print(own_public_key())"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert len({process.communicate()[0] for process in running}) == 1


# ------------------------------------------------------------------------------------------------ what it says
def test_an_expired_bundle_is_refused(made):
    expires = datetime.fromisoformat(Bundle.load(made).document["expires"])
    assert timedelta(days=29) < expires - datetime.now(UTC) <= timedelta(days=30)
    Bundle.load(made, now=expires - timedelta(seconds=1))
    with pytest.raises(BundleError, match="expired on"):
        Bundle.load(made, now=expires)


def change_document(folder: Path, **changes: object) -> None:
    document = json.loads((folder / "bundle.json").read_text())
    rewrite(folder, bundle__json=json.dumps(document | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"schema": 2}, "schema 2"), ({"surprise": 1}, "schema"), ({"expires": "soon"}, "cannot be used")],
)
def test_a_signed_document_of_another_schema_is_refused(made, changes, words):
    change_document(made, **changes)
    with pytest.raises(BundleError, match=words):
        Bundle.load(made)


@pytest.mark.parametrize(
    "strategy",
    [{"name": "os.system", "parameters": {}}, {"name": "ma_cross", "parameters": {"fast": 9, "slow": 3}},
     {"name": "ma_cross", "parameters": {"module": "x"}}, {"name": ["ma_cross"], "parameters": {}}, {}],
)  # fmt: skip
def test_only_registered_strategies_are_rebuilt(made, strategy):
    change_document(made, strategy=strategy)
    with pytest.raises(BundleError, match="cannot be rebuilt"):
        Bundle.load(made).strategy()


def test_a_strategy_whose_memory_changed_is_refused(made):
    change_document(made, lookback=7)
    with pytest.raises(BundleError, match="looked back 7 bars"):
        Bundle.load(made).strategy()


def test_a_run_that_holds_no_strategy_is_refused(tmp_path):
    run = store_run(
        "validate",
        {"a": 1},
        {"gates": [{"name": n, "passed": True, "detail": ""} for n in ("causal", "doubled_costs")]},
    )
    with pytest.raises(Exception, match="no array"):
        promote(run, tmp_path / "b")
