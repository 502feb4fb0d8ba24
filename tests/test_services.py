"""A missing service skips with a remedy, and fails where it is demanded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services import DEMANDED, require


def test_a_missing_service_skips_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DEMANDED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="wants a browser: apt-get install chromium"):
        require(None, "a browser", "apt-get install chromium")


def test_a_demanded_service_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DEMANDED, "1")
    with pytest.raises(pytest.fail.Exception, match="wants Java: apt-get install default-jre"):
        require(tmp_path / "java", "Java", "apt-get install default-jre")


def test_a_service_that_is_there_lets_the_test_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DEMANDED, "1")
    require(tmp_path, "a folder", "mkdir")
    require("/some/program", "a program", "install it")
