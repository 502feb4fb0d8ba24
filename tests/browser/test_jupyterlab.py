"""The first notebook in a real JupyterLab, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.browser.conftest import ROOT, Lab, Page

pytestmark = [pytest.mark.services, pytest.mark.timeout(280)]

NOTEBOOK = ROOT / "notebooks" / "01_explore.ipynb"
FAILED = ".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']"


def without_outputs(copy: Path, folder: Path) -> int:
    """Put the notebook into a folder with its outputs taken out; return how many code cells it has."""
    notebook = nbformat.read(copy, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, folder / copy.name)
    return len(code)


def code_cells(file: Path) -> list[Any]:
    return [cell for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "code"]


def test_the_first_notebook_opens_and_its_cells_run(lab: Lab, page: Page) -> None:
    n_code = without_outputs(NOTEBOOK, lab.folder)
    page.driver.get(lab.page(NOTEBOOK.name))
    page.wait("the notebook", lambda: len(page.find(".jp-Notebook .jp-CodeCell")) == n_code)
    page.wait("an idle kernel", lambda: page.find(".jp-Notebook-ExecutionIndicator[data-status='idle']"))
    assert not page.find(".jp-OutputArea-output")

    page.click(".lm-MenuBar-itemLabel", "Run")
    page.click(".lm-Menu-itemLabel", "Run All Cells")
    prompts = ".jp-CodeCell .jp-InputArea-prompt"
    page.wait(
        f"prompt [{n_code}]",
        lambda: page.find(FAILED) or [prompt.text for prompt in page.find(prompts)][-1] == f"[{n_code}]:",
    )
    assert [error.text for error in page.find(FAILED)] == []
    # A reader sees the card, and the figures are drawn and not left as text.
    assert "Bars: 8 symbols" in page.driver.page_source
    page.wait("two figures", lambda: len(page.find(".js-plotly-plot .main-svg .xy")) >= 2)

    page.click(".lm-MenuBar-itemLabel", "File")
    page.click(".lm-Menu-itemLabel", "Save Notebook")
    saved = lab.folder / NOTEBOOK.name
    page.wait("a saved notebook", lambda: '"execution_count": null' not in saved.read_text(encoding="utf-8"))
    assert [cell.execution_count for cell in code_cells(saved)] == list(range(1, n_code + 1))
    assert all(cell.outputs for cell in code_cells(saved)), "a cell shows nothing"
