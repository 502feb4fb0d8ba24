"""Resolve the locks again with uv: `python locks/resolve.py [PACKAGE ...]`.

Each PACKAGE named is upgraded, all of them with `--upgrade`, none without either.

One universal resolution with hashes, naming no host. The widest lock is resolved first and constrains the narrower
ones, so that a package has one version everywhere.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

LOCKS = Path(__file__).resolve().parent
OPTIONS = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header"]
OPTIONS += ["--no-annotate", "-q"]
NARROWER = {"core": [], "reproduce": ["--extra", "rl"], "all": ["--extra", "all"]}


def compile_lock(name: str, options: list[str]) -> None:
    """Write one lock from pyproject.toml and build.in."""
    uv = Path(sys.executable).with_name("uv")
    sources = ["pyproject.toml", "locks/build.in"]
    command = [str(uv), "pip", "compile", *sources, *OPTIONS, *options, "-o", f"locks/{name}.txt"]
    subprocess.run(command, cwd=LOCKS.parent, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Resolve the widest lock, then the narrower ones within it."""
    asked = sys.argv[1:]
    upgrades = asked if asked == ["--upgrade"] else [part for name in asked for part in ("--upgrade-package", name)]
    compile_lock("test", ["--all-extras", *upgrades])
    pins = re.findall(r"^[A-Za-z0-9_.-]+==[^ ]+(?: ; [^\\\n]*)?", (LOCKS / "test.txt").read_text(), re.MULTILINE)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(pins) + "\n")
        constraints.flush()
        for name, extras in NARROWER.items():
            compile_lock(name, [*extras, "-c", constraints.name])


if __name__ == "__main__":
    main()
