"""The notebook in ``examples`` runs as it stands, and stands there without results of anybody's machine."""

from __future__ import annotations

from ast import literal_eval
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import mertag

NOTEBOOK = Path(mertag.__file__).resolve().parents[1] / "examples" / "your_method.ipynb"


def test_the_notebook_holds_no_outputs() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.command
def test_the_notebook_runs_and_the_features_beat_the_loudness(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [
        output["data"].get("text/markdown") or output["data"].get("text/plain", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    assert literal_eval(shown[1]) == {"Q1": 8, "Q2": 8, "Q3": 8, "Q4": 8}
    assert "| loudness |" in shown[2]
    assert "| random-forest-classifier |" in shown[-2]
    accuracy = literal_eval(shown[-1])
    assert accuracy["majority"] == 0.25
    assert accuracy["random-forest-classifier"] > 0.6
