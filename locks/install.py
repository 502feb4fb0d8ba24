"""Install a lock into `.venv`: the one way `make` builds the environment. Standard library only.

    python3 locks/install.py core|reproduce|test|all

`uv pip sync` (uv is fetched into `.venv` by pip) installs exactly the locked files, checks their hashes and compiles
bytecode, without which every import is two to four times slower; where uv cannot be had, pip does the same, slower.
`TORCH=system` keeps the PyTorch that is already there. A level that contains the wanted one is left as it is.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(os.environ.get("GWT_VENV") or ROOT / ".venv")
# each level holds the ones before it
LEVELS = {"core": 0, "reproduce": 1, "all": 2, "test": 3}
# rough download on a machine with an empty cache, MB: (without PyTorch, PyTorch with the CUDA libraries it links)
DOWNLOAD_MB = {"core": (230, 0), "reproduce": (230, 2300), "all": (640, 2300), "test": (700, 2300)}
TORCH_PACKAGES = re.compile(r"^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z-]+)==")


def bin_path(name: str) -> Path:
    """Return the path of a program of the environment."""
    return VENV / ("Scripts" if os.name == "nt" else "bin") / (name + (".exe" if os.name == "nt" else ""))


def say(text: str) -> None:
    """Print at once, so that the line stands before the download."""
    print(text, flush=True)


def fail(text: str) -> None:
    """End with one clear line."""
    sys.exit(f"install: {text}")


def run(*command: str | Path, check: bool = True) -> int:
    """Run a command and return its exit code."""
    code = subprocess.run([str(part) for part in command], cwd=ROOT, check=False).returncode
    if code and check:
        fail(f"`{' '.join(str(part) for part in command)}` ended with {code}; its message stands above")
    return code


def fingerprint(level: str) -> str:
    """Return a hash of what an installation depends on."""
    digest = hashlib.sha256(f"{level} {sys.version_info[:3]} {os.environ.get('TORCH', '')}".encode())
    for file in (ROOT / "locks" / f"{level}.txt", ROOT / "pyproject.toml", Path(__file__)):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def installed(level: str) -> bool:
    """Return whether this level, or one that holds it, stands unchanged."""
    if not bin_path("gwt").exists():
        return False
    for name, rank in LEVELS.items():
        stamp = VENV / f".installed-{name}"
        if rank >= LEVELS[level] and stamp.exists() and stamp.read_text() == fingerprint(name):
            return True
    return False


def make_environment(system_packages: bool) -> None:
    """Create `.venv` if it is not there."""
    if bin_path("python").exists():
        return
    say(f"creating {VENV.name} with Python {platform.python_version()}")
    try:
        venv.create(VENV, with_pip=True, system_site_packages=system_packages)
    except (OSError, subprocess.CalledProcessError) as error:
        fail(f"cannot create {VENV}: {error}. On Debian: apt-get install python3-venv")


def locked(level: str) -> Path:
    """Return the lock of a level; without PyTorch's packages under TORCH=system."""
    lock = ROOT / "locks" / f"{level}.txt"
    if os.environ.get("TORCH") != "system":
        return lock
    kept, skipping = [], False
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line and not line[0].isspace():
            skipping = bool(TORCH_PACKAGES.match(line))
        if not skipping:
            kept.append(line)
    own = VENV / f"{level}-without-torch.txt"
    own.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return own


def check_system_torch() -> None:
    """End unless the environment can import a PyTorch that stable-baselines3 accepts."""
    code = "import torch, sys; sys.exit(tuple(map(int, torch.__version__.split('.')[:2])) < (2, 8))"
    if subprocess.run([bin_path("python"), "-c", code], capture_output=True, check=False).returncode:
        fail(
            f"TORCH=system wants PyTorch 2.8 or newer, importable by {bin_path('python')}: install one there "
            f"(for instance a CPU build), or leave TORCH unset"
        )


def say_download(level: str) -> None:
    """Print the size of the download before it starts."""
    base, torch = DOWNLOAD_MB[level]
    linux_x86 = sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64")
    if os.environ.get("TORCH") == "system":
        torch = 0
    elif torch and not linux_x86:
        torch = 120
    text = f"installing '{level}': about {base + torch:,} MB to download if nothing is cached"
    if torch > 1000:
        text += (
            f" ({torch:,} MB of it PyTorch with the CUDA libraries it links against;"
            " TORCH=system keeps a PyTorch that is there)"
        )
    say(text)


def install(level: str) -> None:
    """Install a lock and the project itself."""
    system_torch = os.environ.get("TORCH") == "system" and LEVELS[level] > 0
    make_environment(system_packages=system_torch)
    if system_torch:
        check_system_torch()
    say_download(level)
    lock, python = locked(level), bin_path("python")
    pinned = re.findall(r"^uv==([^ ;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE)[0]
    if not bin_path("uv").exists():
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"uv=={pinned}", check=False)
    if bin_path("uv").exists():
        # sync removes what the lock does not name; under TORCH=system that would be PyTorch itself
        verb = ["install", "--no-deps", "-r"] if system_torch else ["sync"]
        options = ["--python", python, "--require-hashes", "--compile-bytecode"]
        run(bin_path("uv"), "pip", *verb, lock, *options)
        run(bin_path("uv"), "pip", "install", "-q", "--python", python, "--no-deps", "--no-build-isolation", "-e", ".")
    else:
        say("uv is not to be had; pip installs the same lock, slower")
        run(python, "-m", "pip", "install", "--no-deps", "--require-hashes", "-r", lock)
        run(python, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "-e", ".")
    (VENV / f".installed-{level}").write_text(fingerprint(level))


def main() -> None:
    """Install the level named on the command line."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what an older Python runs first
        fail(f"Python 3.11 or newer is needed, this is {platform.python_version()}")
    if len(sys.argv) != 2 or sys.argv[1] not in LEVELS:
        fail(f"name one of {', '.join(LEVELS)}")
    level = sys.argv[1]
    if not installed(level):
        install(level)


if __name__ == "__main__":
    main()
