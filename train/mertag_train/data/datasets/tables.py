"""CSV and TSV tables that know where each value stands, so that an error can say file, line and remedy.

Conventions: the first line names the columns; columns are found by name (in any case), never by position;
every value is stripped (one data set has TAB characters inside its values); line numbers are an editor's: the
header is line 1.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mertag.errors import DatasetError


def fault(path: Path, line: int | None, what: str, remedy: str) -> DatasetError:
    """Return a `DatasetError` that names the file, the line if there is one, the fault and the remedy."""
    where = str(path) if line is None else f"{path}, line {line}"
    return DatasetError(f"{where}: {what}. {remedy}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table: the line on which it ends, from 1, and stripped values by lower-case column name."""

    path: Path
    line: int
    values: Mapping[str, str]

    def text(self, column: str) -> str:
        """Return the value, which may be empty."""
        return self.values[column.casefold()]

    def optional(self, column: str) -> str | None:
        """Return the value, or None where it is empty or the table has no such column."""
        return self.values.get(column.casefold()) or None

    def required(self, column: str) -> str:
        """Return the value; raise DatasetError if it is empty."""
        value = self.text(column)
        if not value:
            raise self.fault(f"column {column!r} is empty", "Fill it in, or delete the line.")
        return value

    def number(self, column: str, *, low: float = -math.inf, high: float = math.inf) -> float:
        """Return the value as a number; raise DatasetError if it is not a finite one within `low`..`high`."""
        value = self.text(column)
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self.fault(f"column {column!r} holds {value!r}, which is not a number", "Write a number such as 0.5.")
        if not low <= number <= high:
            raise self.fault(
                f"column {column!r} holds {value}, outside the scale {low:g} to {high:g}",
                "Correct the value, or the scale.",
            )
        return number

    def fault(self, what: str, remedy: str) -> DatasetError:
        """Return a `DatasetError` about this line."""
        return fault(self.path, self.line, what, remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A CSV file: its columns as written, and its rows in order."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def has(self, column: str) -> bool:
        """Return whether there is a column of this name, in any case."""
        return column.casefold() in {name.casefold() for name in self.columns}

    def by(self, column: str) -> dict[str, Row]:
        """Return the rows by an identifying column; raise DatasetError if a value is empty or stands twice."""
        found: dict[str, Row] = {}
        for row in self.rows:
            key = row.required(column)
            if key in found:
                raise row.fault(
                    f"{column} {key!r} stands twice, first on line {found[key].line}", "Delete one of the lines."
                )
            found[key] = row
        return found


def read_table(path: Path, columns: Sequence[str], *, delimiter: str = ",", ragged: bool = False) -> Table:
    """Read a CSV file; empty lines are left out, columns beside those that there must be are kept.

    Values are separated by `delimiter`. Lines of a `ragged` table may be shorter than the first one, or longer: what
    lies behind the last column belongs to it, joined by TAB.

    It is UTF-8 (with or without a byte order mark), UTF-16 with one, or else Windows-1252 or Latin-1, in which older
    data sets are written.

    Raises DatasetError if the file cannot be read or is empty, a column is missing or stands twice, or a line has too
    few or too many values.
    """
    text = _decode(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=not ragged, delimiter=delimiter)
    rows: list[Row] = []
    names: tuple[str, ...] = ()
    try:
        for fields in reader:
            stripped = [field.strip() for field in fields]
            if not any(stripped):
                continue
            if not names:
                names = tuple(stripped)
                _check_header(path, reader.line_num, names, columns)
                keys = [name.casefold() for name in names]
                continue
            if ragged:
                last = len(names) - 1
                stripped = [*stripped[:last], "\t".join(stripped[last:])]
                stripped += [""] * (len(names) - len(stripped))
            if len(stripped) != len(names):
                raise fault(
                    path,
                    reader.line_num,
                    f"{len(stripped)} values for {len(names)} columns",
                    "A value that holds a comma must stand in double quotes.",
                )
            rows.append(Row(path=path, line=reader.line_num, values=dict(zip(keys, stripped, strict=True))))
    except csv.Error as error:
        raise fault(path, reader.line_num, f"not valid CSV ({error})", "Check the quotation marks.") from error
    if not names:
        raise fault(path, None, "the file is empty", f"Its first line must name the columns: {', '.join(columns)}.")
    return Table(path=path, columns=names, rows=tuple(rows))


def _check_header(path: Path, line: int, names: Sequence[str], wanted: Sequence[str]) -> None:
    folded = [name.casefold() for name in names]
    missing = [name for name in wanted if name.casefold() not in folded]
    if missing:
        hint = " Columns are separated by commas." if len(names) == 1 else ""
        raise fault(
            path,
            line,
            f"no column {', '.join(map(repr, missing))}",
            f"The columns found are {', '.join(map(repr, names))}.{hint}",
        )
    twice = sorted({name for name in folded if name and folded.count(name) > 1})
    if twice:
        raise fault(path, line, f"column {twice[0]!r} stands twice", "Rename or delete one of them.")


def _decode(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise fault(
            path, None, f"cannot be read ({error.strerror or error})", "Check that it is a readable file."
        ) from error
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "cp1252", "latin-1"]  # Latin-1 takes any byte: one of these always fits
    for encoding in encodings:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise fault(path, None, "the text is damaged UTF-16", "Save it as UTF-8.")
