"""Every notebook runs in a real kernel, and its executed copy is the source's."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jupytext
import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
# What a reader must find in the outputs, by notebook: a MIME type and a pattern.
FIGURE = "application/vnd.plotly.v1+json"
EXPECTED = {
    "01_explore": [
        ("text/html", r"Bars: 8 symbols"),
        ("text/html", r"Data quality.*warning.*gap"),
        ("stdout", r"causal: no leak"),
        ("text/html", r"BTC/USDT.*truncation"),
        (FIGURE, r"Market graph known at the close of"),
        ("stdout", r"arrows were planted\n +by chance"),
        (FIGURE, r"filled at the next bar's open; fees 0 bp.*Total return"),
        ("text/html", r"Portfolio: 8 symbols.*fees 5 bp"),
        ("text/html", r"best possible.*accuracy"),
    ],
    "02_sweep": [
        ("text/html", r"Portfolio: 1 symbols.*fees 10 bp, slippage 5 bp"),
        (FIGURE, r"filled at the next bar's open; fees 10 bp.*Total return"),
        (FIGURE, r"Returns by month"),
        ("stdout", r"the tear sheet has \d"),
        ("text/html", r"Band: \d+ bars? leaves? open what happened inside"),
        (FIGURE, r"optimistic"),
        ("text/html", r"0 of \d+ entries and orders were filled.*the limit was never reached"),
        ("text/html", r"Sweep of ma_cross: 1,000 rows.*1,000 trials counted in study"),
        (FIGURE, r"sharpe ratio of ma_cross.*plateau|plateau.*sharpe ratio of ma_cross"),
        (FIGURE, r"sharpe ratio of volume_surge|volume_surge"),
        ("text/html", r"Study ma_cross on .*effective trials"),
        ("stdout", r"the best \(\d+, \d+\): deflated Sharpe ratio .*the plateau's .*by all 1,000"),
        ("stdout", r"of shuffled moves .*as good as here in \d+% of 60"),
        ("text/html", r"unseen.*Benchmark Return"),
        ("text/html", r"vectorbt.*total return"),
    ],
    "07_promote_and_run": [
        (FIGURE, r"Total return"),
        ("text/plain", r"may be promoted.*passed  causal.*passed  doubled_costs"),
        ("stdout", r"GateError: .* may not be promoted; doubled_costs"),
        ("stdout", r"BundleError: .*was changed after signing"),
        ("text/plain", r"ReplayReport\(bundle .*all equal to the batch form"),
        ("stdout", r"(\d+) of \1 account values equal to the last bit"),
    ],
}


@pytest.fixture(scope="module")
def pairs() -> ModuleType:
    """Return `notebooks/check_pairs.py` as a module."""
    spec = importlib.util.spec_from_file_location("check_pairs", NOTEBOOKS / "check_pairs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outputs(notebook: Any) -> list[tuple[str, str]]:
    """Return (MIME type or stream, text) of everything a notebook shows."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                found.append((output.name, output.text))
            else:
                found += [(kind, str(text)) for kind, text in output.get("data", {}).items()]
    return found


def test_every_notebook_says_what_its_reader_must_find() -> None:
    found = {path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.py")}
    assert found == set(EXPECTED), "add what the notebook shows to EXPECTED"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", EXPECTED)
def test_a_notebook_runs_at_smoke_scale(
    name: str, pairs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.setenv("GWT_SCALE", "smoke")
    executed = pairs.execute(NOTEBOOKS / f"{name}.py", work, timeout=60)
    shown = outputs(executed)
    assert [text for kind, text in shown if kind == "stderr" and "Warning" in text] == []
    for kind, pattern in EXPECTED[name]:
        assert any(re.search(pattern, text, re.DOTALL) for what, text in shown if what == kind), (kind, pattern)
    assert list(work.iterdir()) == [], "a notebook writes nothing into its folder"


def test_the_committed_copies_belong_to_their_sources(pairs: ModuleType) -> None:
    assert [line for source in pairs.sources() for line in pairs.complaints(source)] == []


@pytest.mark.parametrize("name", EXPECTED)
def test_the_committed_copy_shows_the_same_things(name: str) -> None:
    shown = outputs(nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4))
    for kind, pattern in EXPECTED[name]:
        assert any(re.search(pattern, text, re.DOTALL) for what, text in shown if what == kind), (kind, pattern)


# ------------------------------------------------------------------------------------------------ the rules themselves
SOUND = "# %%\nimport gwt_lab as gwt\n\nbars = gwt.synthetic_market().bars\n\n# %%\nbars.close\n"


def pair_in(folder: Path, text: str) -> Path:
    """Write a source and an executed copy that agrees with it."""
    source = folder / "01_made.py"
    source.write_text(text)
    notebook = jupytext.read(source, fmt="py:percent")
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"c{number}"
        if cell.cell_type == "code":
            cell.execution_count = number
    nbformat.write(notebook, source.with_suffix(".ipynb"))
    return source


def test_a_sound_pair_has_no_complaint(pairs: ModuleType, tmp_path: Path) -> None:
    assert pairs.complaints(pair_in(tmp_path, SOUND)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SOUND + "\n# %%\ndef f():\n    return bars\n", "cell 3 defines f"),
        (SOUND + "\n# %%\nclass F:\n    x = bars\n", "cell 3 defines F"),
        (SOUND + "\n# %%\n" + "bars.close\n" * 16, "cell 3 has 16 lines, 15 allowed"),
        (SOUND + "\n# %%\nprint(1)\n", "cell 3 calls neither gwt_lab nor research"),
    ],
)
def test_a_broken_rule_is_named(pairs: ModuleType, tmp_path: Path, text: str, said: str) -> None:
    found = pairs.complaints(pair_in(tmp_path, text))
    assert len(found) == 1
    assert found[0].startswith(said)


def test_a_copy_that_differs_or_was_not_run_is_named(pairs: ModuleType, tmp_path: Path) -> None:
    source = pair_in(tmp_path, SOUND)
    source.write_text(SOUND.replace("bars.close", "bars.open"))
    assert "differ from the source" in pairs.complaints(source)[0]
    source = pair_in(tmp_path, SOUND)
    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    notebook.cells[1].execution_count = None
    nbformat.write(notebook, source.with_suffix(".ipynb"))
    assert "not executed" in pairs.complaints(source)[0]
    notebook.cells[1].execution_count = 2
    notebook.cells[1].outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    nbformat.write(notebook, source.with_suffix(".ipynb"))
    assert "holds an error" in pairs.complaints(source)[0]
    source.with_suffix(".ipynb").unlink()
    assert "is missing" in pairs.complaints(source)[0]
