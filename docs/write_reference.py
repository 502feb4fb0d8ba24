"""Write `docs/reference.md` from the docstrings of the public names and the verbs of `gwt`.

    python docs/write_reference.py

`tests/docs/test_snippets.py` fails where the page and the docstrings differ.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import typer

import gwt_lab
from gwt_lab.cli.app import app

PAGE = Path(__file__).with_name("reference.md")
# package of the owning module -> heading; the order is the data flow's
AREAS = {
    "market": "data",
    "data": "data",
    "features": "features",
    "graph": "graph",
    "models": "models",
    "allocation": "allocation",
    "strategies": "strategies",
    "backtest": "backtest",
    "execution": "execution",
    "validation": "validation",
    "promotion": "promotion, live",
    "live": "promotion, live",
    "apps": "apps",
    "runs": "runs",
    "errors": "errors",
}
HEAD = """# Reference

Every public name of `gwt_lab`, imported as `import gwt_lab as gwt`, and every verb of the command line.
`help(gwt.sweep)` shows shapes, units, errors and sources; `gwt VERB --help` every flag. This page is written by
`python docs/write_reference.py`.
"""


def first_line(thing: Any) -> str:
    """Return the first paragraph of a docstring in one line, safe inside a table."""
    text = re.sub(r":(?:class|func|meth|mod):`", "`", inspect.getdoc(thing) or "")
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|").rstrip(".")


def area_of(name: str) -> str:
    """Return the heading under which a public name stands."""
    package = gwt_lab._PUBLIC[name].split(".")[1]
    return AREAS[package]


def table(head: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    """Return a Markdown table of two columns."""
    return [f"| {head[0]} | {head[1]} |", "|---|---|", *[f"| `{name}` | {what} |" for name, what in rows], ""]


def verbs(command: Any, path: str = "gwt") -> list[tuple[str, str]]:
    """Return every verb with the first sentence of its help."""
    rows = []
    for name, sub in command.commands.items():
        if sub.hidden:
            continue
        if hasattr(sub, "commands"):
            rows += verbs(sub, f"{path} {name}")
        else:
            rows.append((f"{path} {name}", " ".join((sub.help or "").split("\n\n")[0].split()).replace("|", "\\|")))
    return sorted(rows)


def page() -> str:
    """Return the page's text."""
    lines = [*HEAD.splitlines(), ""]
    for area in dict.fromkeys(AREAS.values()):
        names = [name for name in gwt_lab._PUBLIC if area_of(name) == area]
        if names:
            rows = [(name, first_line(getattr(gwt_lab, name))) for name in sorted(names, key=str.lower)]
            lines += [f"## {area}", "", *table(("name", "what"), rows)]
    lines += ["## `gwt`", "", *table(("verb", "what"), verbs(typer.main.get_command(app)))]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
    sys.stdout.write(f"{PAGE.name}: {len(gwt_lab._PUBLIC)} names\n")
