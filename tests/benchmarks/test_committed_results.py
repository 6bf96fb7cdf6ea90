"""The results that the pages speak of: they can be read, and say what the pages say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mertag.cli.app import app

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the results, beside which reports and tables are written, each over its like only."""
    return Path(shutil.copytree(RESULTS / "evaluation", tmp_path_factory.mktemp("committed") / "evaluation"))


def mertag(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def rows(page: str) -> dict[str, list[str]]:
    """Return the cells of a page's Markdown tables by the first one, without marks."""
    lines = [
        line.strip("|").split("|") for line in (ROOT / page).read_text(encoding="utf-8").splitlines() if line[:1] == "|"
    ]
    return {cells[0].split(",")[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_the_committed_results_give_the_figures_of_the_page(evaluation: Path) -> None:
    printed = mertag("evaluate", "--dataset", "4q", "--group", "artist", "--no-figures", "--out", evaluation)
    found = {tuple(line.split("\t")[:2]): line.split("\t") for line in printed.splitlines()}
    page = rows("docs/evaluation.md")
    methods = [method for target, method in found if target == "quadrant"]
    assert len(methods) == 13
    for method in methods:
        cells = page[method]
        assert found["quadrant", method][5] == cells[0], method
        assert found["valence (from the quadrant)", method][5] == cells[5], method
        assert found["arousal (from the quadrant)", method][5] == cells[6], method


def test_the_committed_results_fill_the_papers_table(evaluation: Path) -> None:
    printed = mertag("evaluate", "--table", 3, "--group", "artist", "--segment", 1, "--out", evaluation)
    (row,) = [line for line in printed.splitlines() if "ours: proposed\t" in line]
    assert "76.49" in row
    assert "52.29" in row
