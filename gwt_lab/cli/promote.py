"""`gwt promote RUN`: a signed bundle from a run that passed every gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gwt_lab.cli.output import JsonFlag, emit

__all__ = ["register"]


def promote(
    run: Annotated[str, typer.Argument(help="A validated run: its id, folder, or the id of the run that was judged.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The bundle's folder; data/bundles/RUN if not given.")
    ] = None,
    days: Annotated[int, typer.Option(help="How long the bundle may be used.")] = 30,
    as_json: JsonFlag = False,
) -> None:
    """Write and sign a bundle; refused unless every gate passed."""
    from gwt_lab.promotion.keys import own_public_key
    from gwt_lab.promotion.promote import promote as write

    bundle = write(run, out, days=days)
    document = {
        "bundle": str(bundle.path),
        "id": bundle.id,
        "expires": bundle.document["expires"],
        "signer": bundle.signer,
        "public_key": own_public_key(),
    }
    emit(document, as_json, f"{bundle!r}\nwritten to {bundle.path}\nnext: gwt trade {bundle.path} --paper --replay")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("promote")(promote)
