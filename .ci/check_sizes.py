"""Fail where a file or a function has outgrown its room.

Files: 600 lines. Function bodies: 40 lines, docstring, comments and blank lines not counted. Parameters: 7, `self` not
counted; functions that mirror a peer's signature are exempt by name, and so is what typer reads as a command line.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

MAX_FILE, MAX_BODY, MAX_PARAMETERS = 600, 40, 7

# module:function -> whose signature it mirrors
MIRRORS = {
    "gwt_lab/backtest/portfolio.py:from_signals": "vectorbt.Portfolio.from_signals",
    "gwt_lab/backtest/portfolio.py:from_order_func": "vectorbt.Portfolio.from_order_func",
    "gwt_lab/backtest/portfolio.py:from_orders": "vectorbt.Portfolio.from_orders",
    "gwt_lab/backtest/portfolio.py:from_weights": "vectorbt.Portfolio.from_orders, size_type='targetpercent'",
    "gwt_lab/backtest/sweep/engine.py:sweep": "vectorbt's MA.run and Portfolio.from_signals in one call",
    "gwt_lab/data/synthetic.py:synthetic_market": "scikit-learn's make_classification: one keyword a property",
    "gwt_lab/execution/env.py:__init__": "the published environment's keywords",
}


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Count the code lines of a function's body, nested functions included."""
    body = function.body
    if (
        isinstance(body[0], ast.Expr)
        and isinstance(body[0].value, ast.Constant)
        and isinstance(body[0].value.value, str)
    ):
        body = body[1:]
    if not body:
        return 0
    code = lines[body[0].lineno - 1 : body[-1].end_lineno]
    return sum(1 for line in code if line.strip() and not line.strip().startswith("#"))


def complaints(path: Path) -> list[str]:
    """Return what is too large in one file."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    found = []
    if len(lines) > MAX_FILE:
        found.append(f"{path}: {len(lines)} lines, {MAX_FILE} allowed: look for the seam")
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        length = body_lines(node, lines)
        if length > MAX_BODY:
            found.append(f"{path}:{node.lineno}: {node.name} has {length} lines, {MAX_BODY} allowed")
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = len([a for a in arguments if a.arg not in ("self", "cls")])
        exempt = f"{path.as_posix()}:{node.name}" in MIRRORS or path.as_posix().startswith("gwt_lab/cli/")
        kernel = any("kernel" in ast.unparse(decorator) for decorator in node.decorator_list)
        if count > MAX_PARAMETERS and not exempt and not kernel:
            found.append(f"{path}:{node.lineno}: {node.name} takes {count} parameters, {MAX_PARAMETERS} allowed")
    return found


def main() -> int:
    """Check every Python file of the project."""
    folders = ("gwt_lab", "research", "tests", "benchmarks", "locks", ".ci")
    files = sorted(path for folder in folders for path in Path(folder).rglob("*.py"))
    found = [line for path in files for line in complaints(path)]
    for line in found:
        print(line)
    print(f"sizes: {len(files)} files, {len(found)} too large")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
