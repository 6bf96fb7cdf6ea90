"""Writes reports and tables: JSON, Markdown, LaTeX, and pictures; and gathers what several folders hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mertag_train.evaluation import durations as clip_durations
from mertag_train.evaluation import figures, report
from mertag_train.evaluation.files import write_json, write_text
from mertag_train.evaluation.protocol import PROTOCOL, Protocol, folder_name, read_protocol
from mertag_train.evaluation.results import Result, read_results
from mertag_train.evaluation.sheet import Sheet, latex, markdown
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
        sheets=tuple(report.sheets(protocol, summaries, comparisons, results)),
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
    paths = _write(folder / "report", made.json, made.sheets)
    if pictures:
        for done, summary in enumerate(made.summaries, start=1):
            paths.append(figures.draw(summary, made.protocol, folder / FIGURES))
            on_picture(done, len(made.summaries))
    return paths


def write_table(root: Path, number: int, sheets: Sequence[Sheet]) -> list[Path]:
    """Write ``table-<number>.json``, ``.md`` and ``.tex``; return the paths."""
    return _write(root / f"table-{number}", {"table": number, "sheets": [s.to_json() for s in sheets]}, sheets)


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


def _write(stem: Path, plain: dict[str, Any], sheets: Sequence[Sheet]) -> list[Path]:
    paths = [stem.with_name(stem.name + suffix) for suffix in (".json", ".md", ".tex")]
    write_json(paths[0], plain)
    write_text(paths[1], markdown(sheets))
    write_text(paths[2], latex(sheets))
    return paths
