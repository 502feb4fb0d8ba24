"""The installer's decisions, without a download."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("GWT_VENV", str(tmp_path / "venv"))
    monkeypatch.delenv("TORCH", raising=False)
    specification = importlib.util.spec_from_file_location("installer", ROOT / "locks" / "install.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def stamp(installer: ModuleType, level: str) -> None:
    program = installer.bin_path("gwt")
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("")
    (installer.VENV / f".installed-{level}").write_text(installer.fingerprint(level))


def test_a_wider_installation_serves_a_narrower_wish_and_not_the_reverse(installer: ModuleType) -> None:
    assert not installer.installed("core")
    stamp(installer, "reproduce")
    assert installer.installed("core")
    assert installer.installed("reproduce")
    assert not installer.installed("test")


def test_a_changed_lock_is_installed_again(installer: ModuleType) -> None:
    stamp(installer, "core")
    (installer.VENV / ".installed-core").write_text("another")
    assert not installer.installed("core")


def test_system_torch_leaves_out_pytorch_and_its_cuda_libraries_alone(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = installer.locked("reproduce").read_text()
    assert "\ntorch==" in plain
    monkeypatch.setenv("TORCH", "system")
    installer.VENV.mkdir(parents=True)
    kept = installer.locked("reproduce").read_text()
    gone = {line.split("==")[0] for line in plain.splitlines() if "==" in line} - {
        line.split("==")[0] for line in kept.splitlines() if "==" in line
    }
    assert "torch" in gone
    assert all(name.startswith(("torch", "nvidia-", "cuda-", "triton")) for name in gone)
    assert "stable-baselines3==" in kept
    assert "numpy==" in kept


def test_the_download_is_named_before_it_starts(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installer.sys, "platform", "linux")
    monkeypatch.setattr(installer.platform, "machine", lambda: "x86_64")
    installer.say_download("reproduce")
    assert "2,300 MB of it PyTorch" in capsys.readouterr().out
    monkeypatch.setenv("TORCH", "system")
    installer.say_download("reproduce")
    assert "PyTorch" not in capsys.readouterr().out


def test_a_wrong_level_ends_with_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "locks/install.py", "everything"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip() == "install: name one of core, reproduce, all, test"


def test_every_extra_of_the_project_is_in_the_widest_lock() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    lock = (ROOT / "locks" / "test.txt").read_text().lower()
    wanted = {part.split(" ")[0].split("[")[0].lower() for parts in extras.values() for part in parts} - {"gwt_lab"}
    missing = {name for name in wanted if f"\n{name}==" not in "\n" + lock}
    assert not missing


@pytest.mark.slow
def test_plain_pip_accepts_the_lock_that_conda_is_given(tmp_path: Path) -> None:
    """conda's pip resolves dependencies and checks hashes together; so does this one."""
    environment = (ROOT / "environment.yml").read_text()
    assert "- -r locks/core.txt" in environment
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    pip = [tmp_path / "venv" / "bin" / "python", "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-r", ROOT / "locks" / "core.txt"], check=True, timeout=280)
    subprocess.run([*pip, "check"], check=True)
