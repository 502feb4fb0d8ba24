"""What must hold for the house as a whole: licences, cost of importing, locks, and no trace of one machine."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = {path.stem: path for path in sorted((ROOT / "locks").glob("*.txt"))}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# ------------------------------------------------------------------------------------------------ licences
PERMISSIVE = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|ISC|NCSA|PSF|Python Software Foundation|MPL|Zlib|HPND|CC0|Unlicense)\b", re.IGNORECASE
)
# LGPL is not meant: its libraries may be used by anyone.
RESTRICTIVE = re.compile(r"\bA?GPL|Affero|(?<!Lesser )General Public License|Commons Clause", re.IGNORECASE)


def declared_licence(package: Distribution) -> str:
    """Return what a package says about itself: its expression, else its classifiers, else its licence's first line.

    A Commons Clause is looked for in the licence files as well, where vectorbt has it and nowhere else.
    """
    metadata = package.metadata
    classifiers = [name.split("::")[-1].strip() for name in metadata.get_all("Classifier", []) if "License ::" in name]
    expression = metadata.get("License-Expression")
    text = (metadata.get("License") or "").strip().splitlines()
    # A one-line text may add a clause to what the classifier says; a long one is the licence itself.
    said = [expression] if expression else classifiers + (text if len(text) == 1 else text[:1] * (not classifiers))
    files = [file for file in package.files or [] if re.match(r"(?i)(licen[cs]e|copying)", file.name)]
    texts = [text for file in files if (text := file.read_binary().decode(errors="replace").strip())]
    if not said:
        said = [text.splitlines()[0].strip() for text in texts]
    return "; ".join(said + ["Commons Clause" for text in texts if "commons clause" in text.lower()][:1])


def is_free_to_build_on(licence: str) -> bool:
    return bool(PERMISSIVE.search(licence)) and not RESTRICTIVE.search(licence)


def closure(requirements: list[str]) -> dict[str, Distribution]:
    """Return every installed package that the requirements bring, the requirements themselves included."""
    found: dict[str, Distribution] = {}
    todo = [Requirement(text) for text in requirements]
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        extras = wanted.extras or {""}
        if name in found or (wanted.marker and not any(wanted.marker.evaluate({"extra": e}) for e in extras)):
            continue
        found[name] = distribution(wanted.name)
        todo += [Requirement(text) for text in found[name].requires or []]
    return found


def test_the_core_depends_on_nothing_restrictive() -> None:
    licences = {name: declared_licence(package) for name, package in sorted(closure(PROJECT["dependencies"]).items())}
    print("\n".join(f"{name}: {licence}" for name, licence in licences.items()))
    assert len(licences) > len(PROJECT["dependencies"])
    assert {name: licence for name, licence in licences.items() if not is_free_to_build_on(licence)} == {}


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("AGPL-3.0-only", False),
        ("GNU General Public License v3 (GPLv3)", False),
        ("GNU Affero General Public License", False),
        ("Apache 2.0 with Commons Clause", False),
        ("", False),
        ("BSD License", True),
        ("MIT; GNU Lesser General Public License v3 (LGPLv3)", True),
    ],
)
def test_restrictive_licences_are_recognised(licence: str, free: bool) -> None:
    assert is_free_to_build_on(licence) is free


def test_a_package_that_may_not_be_core_is_recognised() -> None:
    try:
        licence = declared_licence(distribution("vectorbt"))
    except PackageNotFoundError:
        pytest.skip("wants vectorbt, which comes with `make test`")
    assert "Commons Clause" in licence
    assert not is_free_to_build_on(licence)


# ------------------------------------------------------------------------------------------------ cost of importing
HEAVY = ("pandas", "numpy", "numba", "plotly", "scipy", "sklearn", "lightgbm", "torch", "ccxt", "networkx", "pyarrow")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, gwt_lab; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------------ locks
PIN = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
PYTHONS = ("3.11.9", "3.12.7", "3.13.1", "3.14.0")
PLATFORMS = (
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
)


def machines() -> Iterator[dict[str, str]]:
    for python in PYTHONS:
        for platform in PLATFORMS:
            short = ".".join(python.split(".")[:2])
            yield platform | {"python_version": short, "python_full_version": python}


@cache
def pins(lock: str) -> list[tuple[str, str, Marker | None]]:
    lines = LOCKS[lock].read_text(encoding="utf-8").splitlines()
    found = [match for match in map(PIN.fullmatch, lines) if match]
    return [(canonicalize_name(m["name"]), m["version"], Marker(m["marker"]) if m["marker"] else None) for m in found]


def versions(lock: str, machine: dict[str, str]) -> dict[str, str]:
    """Return what a lock installs on a machine; a second version of a package is an error."""
    found: dict[str, str] = {}
    for name, version, marker in pins(lock):
        if marker is None or marker.evaluate(machine):
            assert name not in found, f"{lock} has {name} twice on {machine}"
            found[name] = version
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_pins_and_hashes_and_names_no_host(lock: str) -> None:
    lines = LOCKS[lock].read_text(encoding="utf-8").splitlines()
    strange = [line for line in lines if not PIN.fullmatch(line) and not HASH.fullmatch(line)]
    assert strange == []
    assert len(pins(lock)) > 20
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        assert not line.endswith("\\") or HASH.fullmatch(following), f"{lock}: nothing follows {line}"
        assert line.endswith("\\") or not HASH.fullmatch(following), f"{lock}: a hash without its package after {line}"


def test_a_package_has_one_version_across_the_locks() -> None:
    assert set(LOCKS) == {"core", "reproduce", "all", "test"}
    for machine in machines():
        widest = versions("test", machine)
        for lock in ("core", "reproduce", "all"):
            found = versions(lock, machine)
            assert found.items() <= widest.items(), (lock, machine, set(found.items()) - set(widest.items()))
        assert versions("core", machine).keys() <= versions("reproduce", machine).keys()
        assert versions("reproduce", machine).keys() <= versions("all", machine).keys()


@pytest.mark.parametrize("group", ["core", *PROJECT["optional-dependencies"]])
def test_the_locks_fulfil_what_the_project_asks_for(group: str) -> None:
    asked = PROJECT["dependencies"] if group == "core" else PROJECT["optional-dependencies"][group]
    lock = {"core": "core", "rl": "reproduce", "test": "test"}.get(group, "all")
    for machine in machines():
        found = versions(lock, machine)
        for wanted in map(Requirement, asked):
            if wanted.name == "gwt_lab":
                continue
            assert canonicalize_name(wanted.name) in found, f"{lock} lacks {wanted} on {machine}"
            assert wanted.specifier.contains(found[canonicalize_name(wanted.name)], prereleases=True), wanted


def test_conda_installs_a_lock() -> None:
    named = re.findall(r"^ +- -r (\S+)$", (ROOT / "environment.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert named == ["locks/core.txt"]
    assert (ROOT / named[0]).is_file()


# ------------------------------------------------------------------------------------------------ no trace of a machine
HOSTS = re.compile(
    r"pypi\.[a-z]|pythonhosted\.org|anaconda\.org|download\.pytorch\.org|(extra-)?index-url\s*=|trusted-host"
    r"|//[^/\s\"']*(artifactory|nexus|mirror)[^/\s\"']*",
    re.IGNORECASE,
)
MACHINES = re.compile(r"(?<![\w.~}])/(home|root|Users|work|workspace|builds|mnt)/[\w.-]|\b[A-Z]:\\+Users\\", re.ASCII)


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("wants a git checkout: clone the project instead of unpacking an archive")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_package_host_or_a_path_of_one_machine() -> None:
    found = []
    for path in tracked():
        if path == Path(__file__):
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # figures and PDF
        for number, line in enumerate(lines, 1):
            found += [
                f"{path.relative_to(ROOT)}:{number}: {m[0]}" for m in (HOSTS.search(line), MACHINES.search(line)) if m
            ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "caught"),
    [
        ("--index-url = https://pypi.org/simple", True),
        ("see /home/ada/lab", True),
        ('"/root/.cache"', True),
        ("C:\\Users\\ada", True),
        ("~/home/x", False),
        ("https://example.com/home/page", False),
        ("tests/work/x", False),
    ],
)
def test_traces_are_recognised(line: str, caught: bool) -> None:
    assert bool(HOSTS.search(line) or MACHINES.search(line)) is caught
