"""Hold each notebook's source (`NN_name.py`) and its executed copy (`NN_name.ipynb`) together.

    python notebooks/check_pairs.py            fail where they differ or break a rule
    python notebooks/check_pairs.py --write    execute the sources and write the copies

Rules: cells alike, none over 15 lines, no function or class, each calls gwt_lab or research, every cell of the copy was
executed without an error, and the copy stays below 2 MB (a figure must not carry the plotting library along).
"""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat

HERE = Path(__file__).resolve().parent
MAX_LINES, MAX_BYTES = 15, 2_000_000
OURS = ("gwt_lab", "research")
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def sources(folder: Path = HERE) -> list[Path]:
    """Return the notebooks' sources, in reading order."""
    return sorted(folder.glob("[0-9][0-9]_*.py"))


def cells(notebook: Any) -> list[tuple[str, str]]:
    """Return the type and text of each cell."""
    return [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _imported(tree: ast.AST) -> set[str]:
    """Return the names that a cell binds by importing gwt_lab or research."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            kept = [alias for alias in node.names if alias.name.split(".")[0] in OURS]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            kept = node.names
        else:
            continue
        found |= {(alias.asname or alias.name).split(".")[0] for alias in kept}
    return found


def _bound(tree: ast.Module, ours: set[str]) -> set[str]:
    """Return the names that statements using one of ours bind."""
    return {
        node.id
        for statement in tree.body
        if _names(statement) & ours
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def broken_rules(notebook: Any) -> list[str]:
    """Return what the code cells do that a notebook must not."""
    found, ours = [], set()
    for number, (kind, text) in enumerate(cells(notebook), 1):
        if kind != "code":
            continue
        lines = len(text.splitlines())
        if lines > MAX_LINES:
            found.append(f"cell {number} has {lines} lines, {MAX_LINES} allowed")
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found.append(f"cell {number} defines {node.name}: move it into gwt_lab or research")
        ours |= _imported(tree)
        if not _names(tree) & ours and not _imported(tree):
            found.append(f"cell {number} calls neither gwt_lab nor research")
        ours |= _bound(tree, ours)
    return found


def complaints(source: Path) -> list[str]:
    """Return what is wrong with one pair."""
    copy = source.with_suffix(".ipynb")
    notebook = jupytext.read(source, fmt="py:percent")
    found = broken_rules(notebook)
    if not copy.is_file():
        return [*found, f"{copy.name} is missing: run `python notebooks/check_pairs.py --write`"]
    if copy.stat().st_size > MAX_BYTES:
        found.append(f"{copy.name} has {copy.stat().st_size:,} bytes, {MAX_BYTES:,} allowed")
    executed = nbformat.read(copy, as_version=4)
    if cells(executed) != cells(notebook):
        found.append(f"the cells of {copy.name} differ from the source: run `python notebooks/check_pairs.py --write`")
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    if any(cell.execution_count is None for cell in code):
        found.append(f"{copy.name} holds cells that were not executed")
    if any(output.output_type == "error" for cell in code for output in cell.outputs):
        found.append(f"{copy.name} holds an error")
    return found


def execute(source: Path, folder: Path, timeout: int = 300) -> Any:
    """Return the notebook of a source, executed by this interpreter with `folder` as its working folder."""
    from nbclient import NotebookClient

    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],  # else it warns that loopback is not encrypted
    )
    client.execute()
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number:02d}"  # jupytext draws them at random
        cell.metadata = nbformat.from_dict({})  # nbclient's times of execution
    return notebook


def write(source: Path) -> None:
    """Execute a source in an empty folder and write its copy."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        places = {f"GWT_{name}": str(Path(folder) / name.lower()) for name in ("CATALOG", "RUNS", "LEDGER", "KEYS")}
        os.environ.update(places)
        nbformat.write(execute(source, Path(folder)), source.with_suffix(".ipynb"))


def main() -> int:
    """Check every pair, after writing the copies if asked."""
    if "--write" in sys.argv[1:]:
        for source in sources():
            write(source)
            print(f"{source.stem}.ipynb written")
    found = [f"notebooks/{source.name}: {line}" for source in sources() for line in complaints(source)]
    stray = {copy.stem for copy in HERE.glob("*.ipynb")} - {source.stem for source in sources()}
    found += [f"notebooks/{name}.ipynb has no source" for name in sorted(stray)]
    print("\n".join([*found, f"notebooks: {len(sources())} pairs, {len(found)} complaints"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
