"""A table with a title and footnotes, as data, and the same written as Markdown, LaTeX and JSON.

A table that is wider than a page or a terminal is cut into panels, one under the other, each with the columns that
name the row: shrunk or folded, its figures could not be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LATEX_ROOM = 96
"""Characters of a row, with two between columns, that a column of print still shows in a legible size."""

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "≥": r"$\geq$",
    "τ": r"$\tau$",
    "λ": r"$\lambda$",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table.

    Attributes
    ----------
    rows : tuple of tuple of str
        Cells; one that was not computed is empty.
    notes : tuple of str
        Footnotes, in order; a cell or a row head refers to one as ``[1]``, ``[2]``, ...
    text_columns : int
        How many columns, the first ones, hold words; the others hold figures.
    remarks : tuple of str
        Sentences about the whole table, to which nothing in it refers.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    text_columns: int = 1
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values; an empty cell is None."""
        rows = [dict(zip(self.columns, (cell or None for cell in row), strict=True)) for row in self.rows]
        return {
            "title": self.title,
            "columns": list(self.columns),
            "rows": rows,
            "notes": list(self.notes),
            "remarks": list(self.remarks),
        }


def panels(sheet: Sheet, room: int, *, between: int, fold_heads: bool = False) -> list[Sheet]:
    """Cut a table that is too wide into panels, each of which fits.

    Parameters
    ----------
    room : int
        Characters of a row. A panel that cannot be narrower, of one column of figures, may still be wider.
    between : int
        Characters that a column takes beside its cells.
    fold_heads : bool
        Whether the heads of a table that is too wide may stand in several lines, broken between words.

    Returns
    -------
    list of Sheet
        As few as need be, of about equal size. Each has the columns of words, some of the columns of figures, in
        order, and neither title nor notes; one, with all columns, if they fit.
    """
    columns = sheet.columns
    widths = [width + between for width in _widths(columns, sheet.rows)]
    if fold_heads and sum(widths) > room:
        columns = tuple(head.replace(" ", "\n") for head in columns)
        widths = [width + between for width in _widths(columns, sheet.rows)]
    first = sheet.text_columns
    spans = _cuts(widths, first, room - sum(widths[:first]))
    return [
        Sheet(
            title="",
            columns=columns[:first] + columns[start:stop],
            rows=tuple(row[:first] + row[start:stop] for row in sheet.rows),
            text_columns=first,
        )
        for start, stop in spans
    ]


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    cells = zip(columns, *rows, strict=True)
    return [max(len(line) for cell in column for line in cell.split("\n")) for column in cells]


def _cuts(widths: Sequence[int], first: int, room: int) -> list[tuple[int, int]]:
    """Return start and stop of each panel's columns of figures: of equal number if they fit, else as many as fit."""
    greedy = [first]
    for i in range(first + 1, len(widths)):
        if sum(widths[greedy[-1] : i + 1]) > room:
            greedy.append(i)
    size = max(1, -(-(len(widths) - first) // len(greedy)))
    for starts in (list(range(first, len(widths), size)), greedy):
        spans = list(zip(starts, [*starts[1:], len(widths)], strict=True))
        if all(sum(widths[start:stop]) <= room for start, stop in spans):
            return spans
    return spans


def markdown(sheets: Sequence[Sheet]) -> str:
    """Return sheets as Markdown (GitHub's tables)."""
    return "\n".join(_markdown(sheet) for sheet in sheets)


def _markdown(sheet: Sheet) -> str:
    ends = ["---" if i < sheet.text_columns else "---:" for i in range(len(sheet.columns))]
    lines = [f"## {sheet.title}", "", _row(sheet.columns), _row(ends)]
    lines += [_row([cell.replace("\\", "\\\\").replace("|", "\\|") for cell in row]) for row in sheet.rows]
    if sheet.notes:
        lines += ["", *(f"[{i}] {note}  " for i, note in enumerate(sheet.notes, start=1))]
    if sheet.remarks:
        lines += ["", " ".join(sheet.remarks)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def latex(sheets: Sequence[Sheet]) -> str:
    """Return sheets as LaTeX: one ``table`` each, for the packages booktabs and graphicx."""
    return "% needs \\usepackage{booktabs,graphicx}\n\n" + "\n".join(_latex(sheet) for sheet in sheets)


def _latex(sheet: Sheet) -> str:
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{escaped(sheet.title)}}}"]
    for i, panel in enumerate(panels(sheet, LATEX_ROOM, between=2)):
        shape = "".join("l" if k < panel.text_columns else "r" for k in range(len(panel.columns)))
        lines += [
            *([r"\par\smallskip"] if i else []),
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{shape}}}",
            r"\toprule",
            " & ".join(map(escaped, panel.columns)) + r" \\",
            r"\midrule",
            *(" & ".join(map(escaped, row)) + r" \\" for row in panel.rows),
            r"\bottomrule",
            r"\end{tabular}}",
        ]
    if sheet.notes or sheet.remarks:
        lines.append(r"\par\smallskip\footnotesize\raggedright")
        lines += [f"[{i}] {escaped(note)}\\par" for i, note in enumerate(sheet.notes, start=1)]
        lines += [f"{escaped(remark)}\\par" for remark in sheet.remarks]
    return "\n".join([*lines, r"\end{table}", ""])


def escaped(text: str) -> str:
    """Return text as LaTeX prints it."""
    # A line that begins with [ would be taken for the optional argument of the \\ before it.
    return "".join(LATEX.get(character, character) for character in text).replace("[", "{[}")
