"""The verbs of `gwt`, each registered by the module of its stage."""

from __future__ import annotations

import importlib
import pkgutil

import typer

from gwt_lab.cli import __path__ as package_path

__all__ = ["app"]

app = typer.Typer(
    name="gwt",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _verbs() -> None:
    """Explore crypto markets, reproduce papers, promote a strategy to the runner."""


def _register_stages() -> None:
    """Let every module here that has `register(app)` add its verbs; heavy imports happen inside the verbs."""
    for module in sorted(info.name for info in pkgutil.iter_modules(package_path) if info.name != "app"):
        stage = importlib.import_module(f"gwt_lab.cli.{module}")
        if hasattr(stage, "register"):
            stage.register(app)


_register_stages()
