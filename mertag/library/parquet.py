"""Results as Parquet: one row a song, figures to the last digit, so that they can be taken into a memory elsewhere.

The file says that mertag wrote it, and the number of this format, in its metadata (`SCHEMA_KEY`); the columns are in
`columns`, and `docs/scale.md` says what they mean. What is not known is null. A file has `SEGMENTS`, lists of float32
with one value a segment, only if that was asked for; rows have them as arrays.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from mertag._version import __version__
from mertag.emotion import QUADRANTS, Quadrant, SongEmotion
from mertag.errors import ConfigError, MissingExtraError, reason_of
from mertag.files import path_text
from mertag.library.accounting import FileDone, Mood, Status
from mertag.library.records import path_and_bytes

SCHEMA, SCHEMA_KEY = 1, b"mertag.schema"
"""Number of the format, which grows when a column changes its meaning."""

ROWS_A_GROUP = 10_000
"""Rows are written, and read, so many at a time."""

Row: TypeAlias = dict[str, Any]
_P = tuple(f"p_{quadrant.lower()}" for quadrant in QUADRANTS)
_FIGURES = ("confidence", "valence", "arousal", *_P, "duration_s", "analysed_s", "silent_s")
_COUNTS = ("n_segments", "n_windows")
_FIRST = ("id", "path", "path_base64", "status", "reason", "quadrant", "label")
_LAST = ("damage", "mood", "model", "model_key", "audio")
_SONG = (*_FIRST, *_FIGURES, *_COUNTS, *_LAST)
SEGMENTS = ("segment_start_s", *(f"segment_{name}" for name in _P))


def pyarrow(command: str) -> Any:
    """Return the package pyarrow; raise `MissingExtraError`, for a command of mertag's, if it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError(command, "parquet", "pyarrow") from error
    return pyarrow


def columns(*, segments: bool = False) -> Any:
    """Return the columns, as a `pyarrow.Schema`; with `segments`, those of segments too."""
    pa = pyarrow("tag")
    return pa.schema(
        [
            *((name, pa.string()) for name in _FIRST),
            *((name, pa.float64()) for name in _FIGURES),
            *((name, pa.int32()) for name in _COUNTS),
            *((name, pa.string()) for name in _LAST),
            *((name, pa.list_(pa.float32())) for name in SEGMENTS if segments),
        ],
        metadata={SCHEMA_KEY: str(SCHEMA).encode(), b"mertag.version": __version__.encode()},
    )


def row(done: FileDone, *, model_key: str, id: str | None = None) -> Row:  # noqa: A002  the column's name
    """Return a finished file as a row; its `id` is its path unless another one is given."""
    path, exact = path_and_bytes(done.path)
    found: Row = dict.fromkeys(_SONG) | {
        "id": path if id is None else id,
        "path": path,
        "path_base64": exact if isinstance(exact, str) else None,
        "status": str(done.status),
        "reason": _text(done.reason),
        "mood": done.mood,
        "model_key": model_key,
        "audio": done.audio.hex() or None,
    }
    e = done.emotion
    if e is None:
        return found
    if done.timeline is not None:
        each = np.column_stack([done.timeline.times_s, done.timeline.quadrant_probabilities]).astype(np.float32)
        found |= dict(zip(SEGMENTS, np.ascontiguousarray(each.T), strict=True))
    figures = (e.confidence, e.valence, e.arousal, *e.quadrant_probabilities, e.duration_s, e.analysed_s, e.silent_s)
    return found | {
        "quadrant": e.quadrant.value,
        "label": e.quadrant.label,
        **dict(zip(_FIGURES, figures, strict=True)),
        "n_segments": e.n_segments,
        "n_windows": e.n_windows,
        "damage": _text(e.damage),
        "model": e.model,
    }


def emotion_of(row: Mapping[str, Any]) -> SongEmotion | None:
    """Return the emotion in a row, None if there is none; raise `ValueError` if it cannot be one."""
    if row["quadrant"] is None:
        return None
    try:
        return SongEmotion(
            quadrant=Quadrant(row["quadrant"]),
            quadrant_probabilities=tuple(float(row[name]) for name in _P),  # type: ignore[arg-type]
            **{name: float(row[name]) for name in ("confidence", "valence", "arousal", "duration_s", "silent_s")},
            analysed_s=row["analysed_s"],
            n_segments=row["n_segments"],
            n_windows=row["n_windows"],
            damage=row["damage"] or "",
            model=row["model"],
        )
    except TypeError as error:  # null where a figure has to be
        raise ValueError(str(error)) from error


def done_of(row: Mapping[str, Any], *, index: int) -> FileDone:
    """Return the finished file that a row tells of."""
    exact = row["path_base64"]
    return FileDone(
        index=index,
        path=row["path"] if exact is None else os.fsdecode(base64.b64decode(exact)),
        status=Status(row["status"]),
        reason=row["reason"] or "",
        emotion=emotion_of(row),
        mood=None if row["mood"] is None else Mood(row["mood"]),
        audio=bytes.fromhex(row["audio"] or ""),
    )


@contextmanager
def written(file: IO[bytes], *, segments: bool = False) -> Iterator[Callable[[Row], None]]:
    """Yield what takes rows one by one; the file is a whole one when the block ends."""
    pa = pyarrow("tag")
    schema, waiting = columns(segments=segments), list[Row]()
    rows_a_group = ROWS_A_GROUP // 10 if segments else ROWS_A_GROUP
    with pa.parquet.ParquetWriter(file, schema, compression="zstd") as writer:

        def write() -> None:
            writer.write_table(pa.Table.from_pylist(waiting, schema))
            waiting.clear()

        def add(row: Row) -> None:
            waiting.append(row)
            if len(waiting) >= rows_a_group:
                write()

        yield add
        if waiting:
            write()


def read(file: IO[bytes] | Path, *, names: Sequence[str] = _SONG, command: str) -> Iterator[Row]:
    """Yield the rows of a file that mertag wrote, with the columns that are named; if none are, all but the segments'.

    Raises
    ------
    ConfigError
        If it cannot be read, is no Parquet, or is not mertag's.
    """
    pa = pyarrow(command)
    name = path_text(file) if isinstance(file, Path) else str(getattr(file, "name", "the object"))
    try:
        with pa.parquet.ParquetFile(file) as parquet:
            _check(parquet.schema_arrow.metadata, name)
            for batch in parquet.iter_batches(ROWS_A_GROUP, columns=names):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        reason = "it is no Parquet file" if isinstance(error, pa.ArrowInvalid) else reason_of(error)
        raise ConfigError(f"{name}: {reason}") from error


def rows_of(table: Any) -> list[Row]:
    """Return the rows of a `pyarrow.Table`, in which `SEGMENTS` may be."""
    lists = [name for name in table.column_names if name in SEGMENTS]
    rows: list[Row] = table.drop_columns(lists).to_pylist()
    for name in lists:
        for row, values in zip(rows, table.column(name).to_numpy(), strict=True):
            row[name] = values
    return rows


def is_ours(path: Path, command: str) -> bool:
    """Return whether mertag wrote a file; raise `OSError` if it cannot be read."""
    pa = pyarrow(command)
    try:
        with path.open("rb") as file:
            return SCHEMA_KEY in (pa.parquet.read_schema(file).metadata or {})
    except pa.ArrowInvalid:
        return False


def _check(metadata: Mapping[bytes, bytes] | None, name: str) -> None:
    number = (metadata or {}).get(SCHEMA_KEY)
    if number is None:
        raise ConfigError(f"{name}: mertag did not write it")
    if number != str(SCHEMA).encode():
        raise ConfigError(f"{name}: it was written by a newer mertag (schema {number.decode()}); update mertag")


def _text(text: str) -> str | None:
    """Return `text` without lone surrogates, which Parquet refuses; None if it is empty."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8") or None
