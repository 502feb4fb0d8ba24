"""How every verb answers: a table for people, one JSON document with `--json`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

__all__ = ["JsonFlag", "emit", "print_table"]

JsonFlag = Annotated[bool, typer.Option("--json", help="Answer with one JSON document on stdout.")]


def _plain(value: Any) -> Any:
    """Return what JSON can hold: no NaN, no NumPy, ISO times."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, pd.DataFrame):
        return [_plain(row) for row in value.to_dict("records")]
    if isinstance(value, (pd.Timestamp, np.datetime64)):
        return pd.Timestamp(value).isoformat()
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def emit(document: Any, as_json: bool, human: str = "") -> None:
    """Print `document` as JSON, or `human` for people."""
    text = json.dumps(_plain(document), indent=2, allow_nan=False) if as_json else human
    if text:
        sys.stdout.write(text + "\n")


def print_table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """Print a table for people on stdout; it wraps to the terminal's width."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*[str(cell) for cell in row])
    width = None if sys.stdout.isatty() else 140
    Console(width=width).print(table)
