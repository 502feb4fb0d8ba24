"""Pages of the documentation, cut into blocks; and a program that runs a page's Python.

python pages.py PAGE.md        runs every ```python block of the page in one namespace
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\S*)\s*$")


@dataclass(frozen=True)
class Block:
    """One fenced block: the page's line that its first line stands in, its language and text."""

    line: int
    language: str
    text: str


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    found: list[Block] = []
    opened: tuple[int, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, lines = (number + 1, fence["language"], fence["indent"]), []
        elif opened is not None and fence and not fence["language"]:
            found.append(Block(opened[0], opened[1], "\n".join(lines) + "\n"))
            opened = None
        elif opened is not None:
            lines.append(line.removeprefix(opened[2]))
    if opened is not None:
        raise ValueError(f"the block opened in line {opened[0] - 1} is never closed")
    return found


def run_page(page: Path) -> str:
    """Run a page's Python blocks in one namespace; return where and why it failed, or nothing.

    A block may `await`, as a notebook's cell may.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with asyncio.Runner() as loop:
        for block in blocks(page.read_text(encoding="utf-8")):
            if block.language != "python":
                continue
            source = "\n" * (block.line - 1) + block.text  # so that line numbers are the page's
            try:
                code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                result = eval(code, namespace)
                if inspect.iscoroutine(result):
                    loop.run(result)
            except BaseException as error:
                lines = [
                    frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(page)
                ]
                line = error.lineno if isinstance(error, SyntaxError) else (lines or [block.line])[0]
                return f"{page.name}, line {line}: {type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    failure = run_page(Path(sys.argv[1]))
    if failure:
        sys.stderr.write(f"\n{failure}\n")
        sys.exit(1)
