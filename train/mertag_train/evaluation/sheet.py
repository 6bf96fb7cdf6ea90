"""A table with a title and footnotes, as data, and the same written as Markdown, LaTeX and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    "≥": r"$\geq$",
    "τ": r"$\tau$",
    "λ": r"$\lambda$",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table.

    Attributes
    ----------
    title : str
    columns : tuple of str
    rows : tuple of tuple of str
        Cells; one that was not computed is empty.
    notes : tuple of str
        Footnotes, in order; a cell or a row head refers to one as ``[1]``, ``[2]``, ...
    text_columns : int
        How many columns, the first ones, hold words; the others hold figures.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    text_columns: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values; an empty cell is None."""
        rows = [dict(zip(self.columns, (cell or None for cell in row), strict=True)) for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "rows": rows, "notes": list(self.notes)}


def markdown(sheets: Sequence[Sheet]) -> str:
    """Return sheets as Markdown (GitHub's tables)."""
    return "\n".join(_markdown(sheet) for sheet in sheets)


def _markdown(sheet: Sheet) -> str:
    ends = ["---" if i < sheet.text_columns else "---:" for i in range(len(sheet.columns))]
    lines = [f"## {sheet.title}", "", _row(sheet.columns), _row(ends)]
    lines += [_row([cell.replace("\\", "\\\\").replace("|", "\\|") for cell in row]) for row in sheet.rows]
    if sheet.notes:
        lines += ["", *(f"[{i}] {note}  " for i, note in enumerate(sheet.notes, start=1))]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def latex(sheets: Sequence[Sheet]) -> str:
    """Return sheets as LaTeX: one ``table`` each, for the packages booktabs and graphicx."""
    return "% needs \\usepackage{booktabs,graphicx}\n\n" + "\n".join(_latex(sheet) for sheet in sheets)


def _latex(sheet: Sheet) -> str:
    shape = "".join("l" if i < sheet.text_columns else "r" for i in range(len(sheet.columns)))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(sheet.title)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{shape}}}",
        r"\toprule",
        " & ".join(map(escaped, sheet.columns)) + r" \\",
        r"\midrule",
        *(" & ".join(map(escaped, row)) + r" \\" for row in sheet.rows),
        r"\bottomrule",
        r"\end{tabular}}",
    ]
    if sheet.notes:
        lines.append(r"\par\smallskip\footnotesize\raggedright")
        lines += [f"[{i}] {escaped(note)}\\par" for i, note in enumerate(sheet.notes, start=1)]
    return "\n".join([*lines, r"\end{table}", ""])


def escaped(text: str) -> str:
    """Return text as LaTeX prints it."""
    # A line that begins with [ would be taken for the optional argument of the \\ before it.
    return "".join(LATEX.get(character, character) for character in text).replace("[", "{[}")
