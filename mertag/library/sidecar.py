r"""Results as text: the JSON sidecar beside a song, and the records of JSONL, CSV and the report.

A sidecar of ``song.mp3`` is ``song.mp3.mertag.json``: the name is appended, so that ``song.mp3`` and
``song.flac`` have one each. It is replaced whole or not at all, left alone when it already says the same, and
never put in the place of a file that mertag did not write.

All JSON is pure ASCII (other characters are ``\uNNNN``), so that it survives any locale. A path that is not
valid UTF-8 is given twice: ``path`` shows each undecodable byte as ``\xNN``, and ``path_base64`` holds the
exact bytes. The formats are stated in ``mertag/schemas/``.

Conventions: probabilities are rounded to 4 decimals (what batching on a GPU moves lies below that, mostly),
and durations, in seconds, to 3.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from mertag import strict_json
from mertag._version import __version__
from mertag.emotion import QUADRANTS, SongEmotion
from mertag.errors import TagWriteError
from mertag.files import BeforeReplace, path_text, printable, read_regular, write_whole

SCHEMA = 1
"""Number of the format of sidecars and records; it grows when a field changes its meaning."""

SUFFIX = ".mertag.json"
_MAX_BYTES = 1 << 20  # a sidecar has about 600

CSV_COLUMNS = (
    *("path", "status", "reason", "quadrant", "label", "confidence", "valence", "arousal"),
    *("p_q1", "p_q2", "p_q3", "p_q4", "duration_s", "analysed_s", "n_segments"),
    *("n_windows", "model"),
)


class Change(Protocol):
    """What `record` reads of a `mertag.library.tags.TagChange`."""

    @property
    def container(self) -> str: ...  # noqa: D102
    @property
    def old(self) -> Mapping[str, tuple[str, ...]]: ...  # noqa: D102
    @property
    def new(self) -> Mapping[str, tuple[str, ...]]: ...  # noqa: D102


class Done(Protocol):
    """What `record` reads of a finished file, such as `mertag.batch.FileDone`."""

    @property
    def path(self) -> Path: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102
    @property
    def emotion(self) -> SongEmotion | None: ...  # noqa: D102
    @property
    def change(self) -> Change | None: ...  # noqa: D102


def path_fields(path: Path | str) -> dict[str, str]:
    """Return ``path``, and ``path_base64`` too if the path is not valid UTF-8."""
    raw = os.fsencode(path)
    try:
        return {"path": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {"path": path_text(path), "path_base64": base64.b64encode(raw).decode("ascii")}


def emotion_fields(emotion: SongEmotion) -> dict[str, object]:
    """Return the fields of ``emotion`` in sidecars and records."""
    return {
        "quadrant": emotion.quadrant.value,
        "label": emotion.quadrant.label,
        "confidence": round(emotion.confidence, 4),
        "valence": round(emotion.valence, 4),
        "arousal": round(emotion.arousal, 4),
        "quadrant_probabilities": {
            q.value: round(p, 4) for q, p in zip(QUADRANTS, emotion.quadrant_probabilities, strict=True)
        },
        "duration_s": round(emotion.duration_s, 3),
        "analysed_s": round(_analysed_s(emotion), 3),
        "n_segments": emotion.n_segments,
        "n_windows": emotion.n_windows,
    }


def _analysed_s(emotion: SongEmotion) -> float:
    return emotion.duration_s if emotion.analysed_s is None else emotion.analysed_s


def record(done: Done) -> dict[str, object]:
    """Return one finished file as a JSON object: a line of JSONL, an entry of the report.

    Parameters
    ----------
    done : Done
        Such as a `mertag.batch.FileDone`.

    Returns
    -------
    dict
        ``schema``, ``path`` (and ``path_base64``), ``status``, ``reason``, ``emotion``, ``model``, and
        ``change`` where tags were to be written. What is not known is null.
    """
    change = done.change
    return {
        "schema": SCHEMA,
        **path_fields(done.path),
        "status": str(done.status),
        "reason": _text(done.reason) or None,
        "emotion": None if done.emotion is None else emotion_fields(done.emotion),
        "model": None if done.emotion is None else done.emotion.model,
        "change": None
        if change is None
        else {
            "container": change.container,
            "old": {name: [_text(value) for value in values] for name, values in change.old.items()},
            "new": {name: [_text(value) for value in values] for name, values in change.new.items()},
        },
    }


def _text(text: str) -> str:
    """Return `text` without lone surrogates, which are no JSON."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def csv_row(done: Done) -> list[str]:
    r"""Return one finished file as the cells of `CSV_COLUMNS`; control characters become ``\xNN``."""
    cells = [printable(path_text(done.path)), str(done.status), printable(done.reason)]
    if done.emotion is None:
        return cells + [""] * (len(CSV_COLUMNS) - len(cells))
    e = done.emotion
    numbers = (e.confidence, e.valence, e.arousal, *e.quadrant_probabilities)
    cells += [e.quadrant.value, e.quadrant.label, *(f"{n:.4f}" for n in numbers)]
    durations = (f"{e.duration_s:.3f}", f"{_analysed_s(e):.3f}")
    return [*cells, *durations, str(e.n_segments), str(e.n_windows), e.model]


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return `value` as ASCII JSON, with no NaN in it (JSON has none)."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, indent=indent)


def sidecar_path(path: Path) -> Path:
    """Return where the sidecar of a song lies: its whole name with `SUFFIX` appended."""
    return path.with_name(path.name + SUFFIX)


def plan_sidecar(path: Path, emotion: SongEmotion) -> bool:
    """Return whether `write_sidecar` would write; reads only.

    Raises
    ------
    TagWriteError
        If what lies there was not written by mertag, comes from a later version, or cannot be read.
    """
    old = _read_own(path)
    new = _content(path, emotion)
    return old is None or any(old.get(key) != new[key] for key in new if key != "mertag")


def write_sidecar(path: Path, emotion: SongEmotion, *, before_replace: BeforeReplace | None = None) -> bool:
    """Write the sidecar of a song, whole or not at all.

    Parameters
    ----------
    path : Path
        The song.
    emotion : SongEmotion
        Its emotion.
    before_replace : callable, optional
        Gets the paths of the sidecar, which may not be there yet, and of the new file just before the one becomes
        the other. If it raises, nothing is replaced.

    Returns
    -------
    bool
        Whether anything was written. A sidecar that already says the same is left alone.

    Raises
    ------
    TagWriteError
        As `plan_sidecar`, or if the folder cannot be written to.
    """
    if not plan_sidecar(path, emotion):
        return False
    text = to_json(_content(path, emotion), indent=2) + "\n"
    try:
        write_whole(sidecar_path(path), text, before_replace=before_replace)
    except OSError as error:
        raise TagWriteError(path, f"its sidecar could not be written: {error.strerror or error}") from error
    return True


def _content(path: Path, emotion: SongEmotion) -> dict[str, object]:
    file = path_fields(path.name)
    return {
        "schema": SCHEMA,
        "mertag": __version__,
        **{key.replace("path", "file"): value for key, value in file.items()},
        "emotion": emotion_fields(emotion),
        "model": emotion.model,
    }


def _read_own(path: Path) -> dict[str, Any] | None:
    """Return the sidecar of a song, None if there is none; refuse what mertag did not write."""
    target = sidecar_path(path)
    name = path_text(target.name)
    try:
        data = read_regular(target, _MAX_BYTES)
        content = strict_json.parse(data)
        writer, schema = strict_json.get(content, "mertag", str), strict_json.get(content, "schema", int)
    except FileNotFoundError:
        if target.is_symlink():  # what it points to would be made, wherever that is
            raise TagWriteError(path, f"{name} is a link to nothing; remove it to have a sidecar") from None
        return None
    except OSError as error:
        raise TagWriteError(path, f"its sidecar could not be read: {error.strerror or error}") from error
    except ValueError as error:
        raise TagWriteError(path, f"{name} was not written by mertag; move it away to have a sidecar") from error
    if schema > SCHEMA:
        raise TagWriteError(path, f"{name} was written by a later mertag ({writer}); upgrade mertag")
    return content
