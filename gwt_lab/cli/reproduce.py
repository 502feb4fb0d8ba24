"""`gwt reproduce`: both papers and the way to the runner, on the embedded default or on real bars."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gwt_lab.cli.output import JsonFlag, emit, print_table
from gwt_lab.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from gwt_lab.market.bars import Bars

__all__ = ["register"]

STUDIES = ("paper1", "paper2", "promotion")


@dataclass(frozen=True)
class Panel:
    """The bars a reproduction runs on, what is known of them, and why these."""

    name: str
    bars: Bars
    truth: Any
    reason: str


def find_checkout() -> Path:
    """Return the checkout that holds `research/`: upwards from here, else `GWT_HOME`, else beside the package."""
    here = Path.cwd()
    candidates = [here, *here.parents]
    if os.environ.get("GWT_HOME"):
        candidates.insert(0, Path(os.environ["GWT_HOME"]))
    candidates.append(Path(__file__).resolve().parent.parent.parent)
    for folder in candidates:
        if (folder / "research" / "claims.py").is_file():
            return folder
    raise ConfigError(
        f"the studies lie in a checkout of gwt_lab, and there is none above {here}: clone the project and run "
        "`gwt reproduce` inside it, or set GWT_HOME to its folder"
    )


def choose_panel() -> Panel:
    """Return real bars where `GWT_REAL_DATA` names a folder, else the embedded synthetic market."""
    folder = os.environ.get("GWT_REAL_DATA")
    if folder:
        from gwt_lab.data.panels import choose_panel as choose
        from gwt_lab.data.panels import find_panels

        panel, reason = choose(find_panels(Path(folder)))
        return Panel("real", panel.bars(max_symbols=12, max_bars=8_000), None, reason)
    from gwt_lab.data.synthetic import synthetic_market

    market = synthetic_market(n_assets=12, n_bars=8_000, timeframe="1h", seed=7, spillover=0.05)
    reason = (
        "the embedded synthetic market with known truth (set GWT_REAL_DATA to a folder of Parquet bars for real ones)"
    )
    return Panel("synthetic", market.bars, market.truth, reason)


def _run_study(study: str, panel: Panel, figures: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run one study and return its rows and what else it leaves behind."""
    from gwt_lab.progress import progress

    with progress(f"{study} on {panel.name} bars") as line:
        if study == "promotion":
            from research import promotion_demo

            return promotion_demo.report(panel.bars, panel.truth, figures, line)
        if study == "paper1":
            from research import paper1

            run = paper1.run(paper1.Spec.quick(), panel.bars, truth=panel.truth, figures=figures, progress=line)
            return [claim.to_dict() for claim in paper1.claims(run)], {}
        from research import paper2

        real = panel.bars if panel.name == "real" else None
        run = paper2.run(paper2.Spec.quick(), real, figures=figures, progress=line)
        return [claim.to_dict() for claim in paper2.claims(run)], {}


def _studies(what: str) -> tuple[str, ...]:
    if what == "all":
        return STUDIES
    if what not in STUDIES:
        raise UnknownNameError(f"nothing called {what!r} to reproduce; choose all, {', '.join(STUDIES)}")
    return (what,)


def _relative(path: str) -> str:
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return path


def _print(document: dict[str, Any]) -> None:
    rows = [
        [row["paper"], row["claim"], row["measured"], row["interval"], row["verdict"]] for row in document["claims"]
    ]
    print_table(
        f"Reproduced on {document['panel']} bars ({document['profile']} profile, {document['seconds']:.0f} s)",
        ["", "claim", "measured", "interval", "verdict"],
        rows,
    )
    lines = [f"bars: {document['bars']}", f"why these: {document['reason']}"]
    lines += [f"figure: {_relative(figure)}" for figure in sorted({row["figure"] for row in document["claims"]})]
    lines += [f"run: {run}" for run in sorted({row["run_id"] for row in document["claims"]})]
    lines += [f"{name}: {value}" for name, value in document["promotion"].items()]
    sys.stdout.write("\n".join(lines) + "\n")


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def reproduce(
        what: Annotated[str, typer.Argument(help="paper1, paper2, promotion or all")] = "all",
        full: Annotated[bool, typer.Option("--full/--quick", help="The long profile, or minutes.")] = False,
        as_json: JsonFlag = False,
    ) -> None:
        """Run the papers end to end and print each claim beside what we measured."""
        from gwt_lab.places import data_folder

        if full:
            raise ConfigError("the full profile is not part of this version; run `gwt reproduce --quick`")
        studies = _studies(what)
        sys.path.insert(0, str(find_checkout()))
        started = time.monotonic()
        panel = choose_panel()
        sys.stderr.write(f"bars: {panel.bars!r}\nwhy these: {panel.reason}\n")
        figures = data_folder() / "reports" / panel.name
        figures.mkdir(parents=True, exist_ok=True)
        claims: list[dict[str, Any]] = []
        promotion: dict[str, Any] = {}
        for study in studies:
            rows, extra = _run_study(study, panel, figures)
            claims += rows
            promotion |= extra
        document = {
            "panel": panel.name,
            "bars": repr(panel.bars),
            "reason": panel.reason,
            "profile": "quick",
            "seconds": time.monotonic() - started,
            "claims": claims,
            "promotion": promotion,
        }
        if as_json:
            emit(document, as_json)
        else:
            _print(document)
