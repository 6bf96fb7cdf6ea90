"""Writes reports and tables: JSON, Markdown, LaTeX, and pictures; and gathers what several folders hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mertag.emotion import CLASS_NAMES, QUADRANT_LABELS, Quadrant
from mertag.files import json_digest
from mertag_train.evaluation import durations as clip_durations
from mertag_train.evaluation import partitions, report
from mertag_train.evaluation.files import write_json, write_text
from mertag_train.evaluation.protocol import PROTOCOL, Protocol, read_artists, read_protocol
from mertag_train.evaluation.results import RESULTS, read_results
from mertag_train.evaluation.sheet import Sheet, latex, markdown
from mertag_train.evaluation.summary import Summary, compare, summarise
from mertag_train.evaluation.tables import Measured
from mertag_train.plots.pictures import draw_reliability, new_figure, save_png, shows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURES = "figures"
DPI = 150
PICTURE_VERSION = 2
"""Raised whenever the same figures would be drawn otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The report of one data set; `json` holds the same as plain values, `told_apart` how wrong labels were found."""

    protocol: Protocol
    summaries: tuple[Summary, ...]
    sheets: tuple[Sheet, ...]
    json: dict[str, Any]
    told_apart: Sheet | None = None

    def __str__(self) -> str:
        """Return the main figures, and every two methods compared, as Markdown."""
        pairs = [sheet for sheet in self.sheets if sheet.title.endswith(report.COMPARED)]
        return markdown([*report.narrow(self.summaries), *pairs])

    def _repr_markdown_(self) -> str:
        return str(self)


def make_report(folder: Path) -> Report:
    """Return the report of everything that a data set's folder holds.

    DatasetError or ConfigError is raised if a result is damaged or does not belong there.
    """
    protocol = read_protocol(folder)
    results = list(read_results(folder, protocol))
    summaries = summarise(results, protocol.folds)
    comparisons = compare(summaries, read_artists(folder))
    return Report(
        protocol=protocol,
        summaries=tuple(summaries),
        told_apart=partitions.sheet(results),
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
    drawn: list[Path] = []
    if pictures:
        for done, summary in enumerate(made.summaries, start=1):
            drawn.append(draw(summary, made.protocol, folder / FIGURES))
            on_picture(done, len(made.summaries))
    remarks: list[str] = made.json["remarks"]
    head = "\n".join([f"# {report.heading(made.protocol)}", "", *(f"- {remark}" for remark in remarks), "", ""])
    # In LaTeX, where each table may stand alone, the first one says what holds for all.
    printed = [replace(made.sheets[0], remarks=tuple(remarks)), *made.sheets[1:]] if made.sheets else []
    lines = [f"![{path.stem}]({path.relative_to(folder).as_posix()})\n" for path in drawn]
    gallery = "\n".join(["", "## Confusion and calibration", "", *lines]) if lines else ""
    return [*_write(folder, "report", made.json, head + markdown(made.sheets) + gallery, latex(printed)), *drawn]


def write_table(root: Path, number: int, sheets: Sequence[Sheet], *, wrong: str = "") -> list[Path]:
    """Write ``table-<number><wrong>.json``, ``.md`` and ``.tex``; return the paths. `wrong` is as in `gather`."""
    plain = {"table": number, "sheets": [sheet.to_json() for sheet in sheets]}
    return _write(root, f"table-{number}{wrong}", plain, markdown(sheets), latex(sheets))


def _write(folder: Path, name: str, plain: dict[str, Any], md: str, tex: str) -> list[Path]:
    paths = [folder / f"{name}{suffix}" for suffix in (".json", ".md", ".tex")]
    write_json(paths[0], plain)
    write_text(paths[1], md)
    write_text(paths[2], tex)
    return paths


def other_groupings(root: Path, *, group: str) -> list[str]:
    """Return the folders in which results of another grouping than this one are, such as ``"4q-artist"``."""
    found = []
    for path in sorted(root.glob(f"*/{PROTOCOL}")):
        protocol = read_protocol(path.parent)
        if protocol.group != group and any((path.parent / RESULTS).glob("*/*/*/*.json")):
            found.append(path.parent.name)
    return found


def other_durations(root: Path, shown: Sequence[float], *, group: str, wrong: str = "") -> list[float]:
    """Return of which segment durations (s) there are results of this grouping beside those that are shown."""
    folders = root.glob(f"*-{group}{wrong}/{RESULTS}/*/*/*s")
    there = {float(path.name[:-1]) for path in folders if re.fullmatch(r"[0-9.]+s", path.name)}
    return sorted(there - set(shown))


def gather(root: Path, *, group: str, wrong: str = "") -> list[Measured]:
    """Return what the data sets' folders of one grouping hold, by name; raise as `make_report`.

    `wrong` says what was wrong on purpose (`on_purpose`): with it and without it, figures never stand in one table.
    """
    found = []
    for path in sorted(root.glob(f"*/{PROTOCOL}")):
        protocol = read_protocol(path.parent)
        if path.parent.name != f"{protocol.dataset}-{group}{wrong}":
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


def draw(summary: Summary, protocol: Protocol, folder: Path) -> Path:
    """Draw confusion matrix and reliability of one system's pooled songs, first seed; return the PNG's path.

    A picture of the same that is there already is left.
    """
    system = summary.system
    duration = f", {system.duration} segments" if system.duration else ""
    part = "" if summary.complete else f" ({len(summary.folds)} of {summary.n_folds} folds)"
    title = f"{system.method}{duration}: {system.view}; {report.heading(protocol)}{part}"
    learnt = "" if system.learnt is system.target else f"from-{system.learnt}"
    words = (system.target, learnt, system.method, system.duration.replace(" ", ""))
    path = folder / f"{'.'.join(filter(None, words))}.png"
    made_of = json_digest([PICTURE_VERSION, title, summary.labels.tolist(), summary.probabilities.tolist()])
    if shows(path, made_of):
        return path
    figure = new_figure(9.0, 4.6)
    confusion, reliability = figure.subplots(1, 2)
    _confusion(confusion, summary)
    draw_reliability(reliability, summary.probabilities, summary.labels)
    figure.suptitle(title)
    folder.mkdir(parents=True, exist_ok=True)
    save_png(figure, path, dpi=DPI, made_of=made_of)
    return path


def _confusion(axes: Axes, summary: Summary) -> None:
    counts = np.array(summary.first.confusion)
    names = CLASS_NAMES[summary.system.target]
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            text = f"{count}\n{100 * share[i, j]:.0f} %"
            axes.text(j, i, text, ha="center", va="center", color="white" if share[i, j] > 0.5 else "black")
    # As a reader knows them: a quadrant with its mood, a sign with a minus.
    moods = {quadrant.value: f"{quadrant}\n{QUADRANT_LABELS[quadrant]}" for quadrant in Quadrant}
    labels = [moods.get(name, name.replace("-", "\N{MINUS SIGN}")) for name in names]
    axes.set_xticks(range(len(names)), labels)
    axes.set_yticks(range(len(names)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"Accuracy {summary.first.accuracy:.3f}, {summary.first.n} songs")
