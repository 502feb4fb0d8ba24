"""Where things lie, and that they are whole or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from gwt_lab.places import data_folder, place, whole_file, whole_folder


def test_the_environment_names_a_place_and_the_data_folder_holds_it_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GWT_BUNDLES", str(tmp_path / "named"))
    assert place("bundles") == tmp_path / "named"
    monkeypatch.delenv("GWT_BUNDLES")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GWT_HOME", str(tmp_path / "home"))
    assert place("bundles") == tmp_path / "home" / "data" / "bundles"
    monkeypatch.delenv("GWT_HOME")
    assert place("bundles") == tmp_path / "data" / "bundles"


def test_inside_a_checkout_the_data_lie_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gwt_lab").mkdir()
    (tmp_path / "gwt_lab" / "__init__.py").touch()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert data_folder() == tmp_path / "data"


def test_a_file_that_fails_leaves_the_old_one_and_no_scratch(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail() -> None:
        with whole_file(target) as scratch:
            scratch.write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    with whole_file(target) as scratch:
        scratch.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "run"

    def interrupted() -> None:
        with whole_folder(target) as scratch:
            (scratch / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(target.parent.iterdir()) == []
    with whole_folder(target) as scratch:
        (scratch / "file").touch()
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["file"]
    assert [path.name for path in target.parent.iterdir()] == ["run"]


def test_a_home_is_written_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GWT_LEDGER", "~/mine/ledger")
    assert place("ledger") == tmp_path / "mine" / "ledger"
