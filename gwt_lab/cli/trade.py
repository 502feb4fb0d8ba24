"""`gwt trade BUNDLE`: run a bundle, on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gwt_lab.cli.output import JsonFlag, emit

__all__ = ["register"]


def trade(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    paper: Annotated[bool, typer.Option("--paper", help="Trade a paper account (the default).")] = False,
    live: Annotated[bool, typer.Option("--live", help="Trade with money; not part of this version.")] = False,
    replay: Annotated[
        bool, typer.Option("--replay", help="Step through known bars instead of waiting for new ones.")
    ] = False,
    data: Annotated[str | None, typer.Option("--data", help="Bars to replay; the bundle's own if not given.")] = None,
    key: Annotated[list[str] | None, typer.Option("--key", help="Trusted public key or its file; repeatable.")] = None,
    init_cash: Annotated[float, typer.Option(help="Quote currency.")] = 10_000.0,
    journal: Annotated[Path | None, typer.Option(help="A new file for the journal.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Replay a bundle on a paper account; refused if one decision differs."""
    from gwt_lab.errors import ConfigError
    from gwt_lab.live.replay import replay as run_replay
    from gwt_lab.progress import progress
    from gwt_lab.promotion.bundle import Bundle

    if live:
        raise ConfigError("--live is refused: live trading is not part of this version; use --paper --replay")
    loaded = Bundle.load(bundle, trusted_keys=key or None)
    if not replay:
        raise ConfigError("trading on paper needs known bars in this version: add --replay (and --data for other bars)")
    bars = None
    if data is not None:
        from gwt_lab import load_bars

        bars = load_bars(data, symbols=loaded.symbols)
    with progress("replay") as line:
        report = run_replay(loaded, bars, init_cash=init_cash, journal=journal, progress=line)
    emit(report.to_dict() | {"mode": "paper"}, as_json, repr(report))


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("trade")(trade)
