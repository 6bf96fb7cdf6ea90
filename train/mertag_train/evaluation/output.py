"""Writes reports and tables: JSON, Markdown, LaTeX, and pictures; and gathers what several folders hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mertag_train.evaluation import durations as clip_durations
from mertag_train.evaluation import figures, report
from mertag_train.evaluation.files import write_json, write_text
from mertag_train.evaluation.protocol import PROTOCOL, Protocol, folder_name, read_protocol
from mertag_train.evaluation.results import Result, read_results
from mertag_train.evaluation.sheet import Sheet, bullets, latex, markdown
from mertag_train.evaluation.summary import Summary, compare, summarise
from mertag_train.evaluation.tables import Measured

FIGURES = "figures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The report of one data set.

    Attributes
    ----------
    protocol : Protocol
    results : tuple of Result
        What was found.
    summaries : tuple of Summary
    sheets : tuple of Sheet
    json : mapping
        The same, as plain values.
    """

    protocol: Protocol
    results: tuple[Result, ...]
    summaries: tuple[Summary, ...]
    sheets: tuple[Sheet, ...]
    json: dict[str, Any]


def make_report(folder: Path) -> Report:
    """Return the report of everything that a data set's folder holds.

    Raises
    ------
    DatasetError, ConfigError
        If a result is damaged or does not belong there.
    """
    protocol = read_protocol(folder)
    results = tuple(read_results(folder, protocol))
    summaries = summarise(results, protocol.folds)
    comparisons = compare(summaries)
    return Report(
        protocol=protocol,
        results=results,
        summaries=tuple(summaries),
        sheets=tuple(report.sheets(protocol, summaries, comparisons)),
        json=report.report_json(protocol, summaries, comparisons, results),
    )


def write_report(
    folder: Path,
    made: Report,
    *,
    pictures: bool = True,
    on_picture: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Write ``report.json``, ``report.md``, ``report.tex`` and ``figures/``; return the paths."""
    drawn: list[Path] = []
    if pictures:
        for done, summary in enumerate(made.summaries, start=1):
            drawn.append(figures.draw(summary, made.protocol, folder / FIGURES))
            on_picture(done, len(made.summaries))
    remarks = report.remarks(made.protocol, made.results)
    head = bullets(report.heading(made.protocol), remarks)
    # In LaTeX, where each table may stand alone, the first one says what holds for all.
    printed = [replace(made.sheets[0], remarks=tuple(remarks)), *made.sheets[1:]] if made.sheets else []
    paths = [folder / f"report{suffix}" for suffix in (".json", ".md", ".tex")]
    write_json(paths[0], made.json)
    write_text(paths[1], head + markdown(made.sheets) + _gallery(drawn, folder))
    write_text(paths[2], latex(printed))
    return [*paths, *drawn]


def _gallery(pictures: Sequence[Path], folder: Path) -> str:
    """Return what shows the pictures in a Markdown file of that folder."""
    lines = [f"![{path.stem}]({path.relative_to(folder).as_posix()})\n" for path in pictures]
    return "\n".join(["", "## Confusion and calibration", "", *lines]) if lines else ""


def write_table(root: Path, number: int, sheets: Sequence[Sheet]) -> list[Path]:
    """Write ``table-<number>.json``, ``.md`` and ``.tex``; return the paths."""
    paths = [root / f"table-{number}{suffix}" for suffix in (".json", ".md", ".tex")]
    write_json(paths[0], {"table": number, "sheets": [sheet.to_json() for sheet in sheets]})
    write_text(paths[1], markdown(sheets))
    write_text(paths[2], latex(sheets))
    return paths


def gather(root: Path, *, group: str, shuffled: bool) -> list[Measured]:
    """Return what the data sets' folders of one grouping hold, by name.

    Raises
    ------
    DatasetError, ConfigError
        As `make_report`.
    """
    found = []
    for path in sorted(root.glob(f"*/{PROTOCOL}")):
        protocol = read_protocol(path.parent)
        if path.parent.name != folder_name(protocol.dataset, group, shuffled=shuffled):
            continue
        measured = path.parent / clip_durations.FILE
        found.append(
            Measured(
                protocol=protocol,
                summaries=tuple(summarise(read_results(path.parent, protocol), protocol.folds)),
                durations=clip_durations.read_durations(measured) if measured.exists() else {},
            )
        )
    return found
