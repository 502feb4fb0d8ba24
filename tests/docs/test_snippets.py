"""The documentation is true: its Python runs, its verbs, flags, targets, links and names exist."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import gwt_lab
from gwt_lab.cli.app import app
from tests.docs.pages import ROOT, blocks, run_page

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# These tell people what to type as well, and hold no Python.
ALL_PAGES = [*PAGES, *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"))]
WITH_PYTHON = [page for page in PAGES if any(b.language == "python" for b in blocks(page.read_text(encoding="utf-8")))]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_every_python_block_runs(page: Path, tmp_path: Path) -> None:
    work = tmp_path / "empty"
    work.mkdir()
    places = {f"GWT_{place}": str(tmp_path / place.lower()) for place in ("CATALOG", "RUNS", "LEDGER", "KEYS")}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/docs/pages.py"), str(page)],
        cwd=work,
        env=os.environ | places | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.strip()[-2000:]
    ours = [line for line in done.stderr.splitlines() if re.search(r"(gwt_lab|docs)/\S+:\d+: \w*Warning", line)]
    assert ours == []


# ------------------------------------------------------------------------------------------------ what people type
def typed(page: Path, program: str) -> list[tuple[str, str]]:
    """Return (place, command) for each command line of a program in a page's console blocks and code spans."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in blocks(text):
        if block.language in ("console", "shell", "bash", "sh"):
            for offset, line in enumerate(block.text.splitlines()):
                found.append((f"{name(page)}:{block.line + offset}", line.removeprefix("$ ")))
    for number, line in enumerate(text.splitlines(), 1):
        found += [(f"{name(page)}:{number}", span) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", line)]
    commands = []
    for place, line in found:
        for part in re.split(r"&&|\|\||;| \| ", line):
            words = re.sub(r"^(\s*\w+=\S+\s+)*(\S*/)?", "", part.strip())
            if words.split(" ")[0] == program:
                commands.append((place, words))
    return commands


def unknown_part(command: str) -> str:
    """Return the first word of a `gwt` command line that does not exist, or nothing."""
    node: Any = typer.main.get_command(app)
    words = shlex.split(command, comments=True)[1:]
    for word in words:
        if word.startswith("-") and len(word) > 1:
            flags = {flag for parameter in node.params for flag in (*parameter.opts, *parameter.secondary_opts)}
            if word.split("=")[0] not in flags | {"--help"}:
                return word
        elif hasattr(node, "commands") and not word.isupper() and word != "...":
            if word.strip("()") == "" or "|" in word:
                continue
            if word not in node.commands:
                return word
            node = node.commands[word]
    return ""


GWT = [command for page in ALL_PAGES for command in typed(page, "gwt")]
MAKE = [command for page in ALL_PAGES for command in typed(page, "make")]


def test_every_gwt_command_in_the_pages_exists() -> None:
    assert len(GWT) > 5
    assert [f"{place}: `{command}`: no {bad}" for place, command in GWT if (bad := unknown_part(command))] == []


def test_every_make_target_in_the_pages_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {target for line in re.findall(r"^([a-z%-]+):", makefile, re.MULTILINE) for target in [line]}
    assert len(MAKE) > 3
    missing = []
    for place, command in MAKE:
        for word in shlex.split(command, comments=True)[1:]:
            if "=" in word or word.isupper():
                continue
            if word not in targets and not any("%" in t and word.startswith(t.rstrip("%")) for t in targets):
                missing.append(f"{place}: make {word}")
    assert missing == []


def test_links_between_pages_lead_somewhere() -> None:
    dead = []
    for page in ALL_PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists():
                dead.append(f"{name(page)}: {target}")
    assert dead == []


# ------------------------------------------------------------------------------------------------ public names
@pytest.mark.parametrize("public", [name for name in gwt_lab.__all__ if name != "__version__"])
def test_a_public_name_is_there_and_says_what_it_is(public: str) -> None:
    thing = getattr(gwt_lab, public)
    assert (thing.__doc__ or "").strip()


def test_the_reference_lists_every_name_and_verb() -> None:
    page = runpy.run_path(str(ROOT / "docs/write_reference.py"))["page"]()
    assert (ROOT / "docs/reference.md").read_text(encoding="utf-8") == page, "run `python docs/write_reference.py`"


# ------------------------------------------------------------------------------------------------ the checks themselves
def test_a_failing_block_is_named_by_page_and_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nx = 1\n```\n\nand\n\n```python\nx += 1\n\nassert x == 3, x\n```\n")
    assert run_page(page) == "page.md, line 12: AssertionError: 2"
    page.write_text("```python\nx = (\n```\n")
    assert "page.md, line 2: SyntaxError" in run_page(page)
    page.write_text("```python\nimport asyncio\nawait asyncio.sleep(0)\n```\n```text\nnot python (\n```\n")
    assert run_page(page) == ""


@pytest.mark.parametrize(
    ("command", "bad"),
    [
        ("gwt doctor --json", ""),
        ("gwt reproduce all --quick # minutes", ""),
        ("gwt frobnicate", "frobnicate"),
        ("gwt doctor --frobnicate", "--frobnicate"),
        ("gwt VERB --help", ""),
    ],
)
def test_unknown_verbs_and_flags_are_recognised(command: str, bad: str) -> None:
    assert unknown_part(command) == bad
