r"""One file as text: the records of JSONL and CSV, and what sidecars and reports share with them.

All JSON is pure ASCII (other characters are ``\uNNNN``), so that it survives any locale. A path that is not
valid UTF-8 is given twice: ``path`` shows each undecodable byte as ``\xNN``, and ``path_base64`` holds the
exact bytes. Probabilities are rounded to 4 decimals (what batching on a GPU moves lies below that, mostly), and
durations, in seconds, to 3.

``mertag/schemas/*.json`` are made from the types here and in `mertag.library.reports` and `mertag.library.sidecar`.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mertag.emotion import QUADRANT_LABELS, QUADRANTS, SongEmotion
from mertag.files import path_text, printable
from mertag.library.accounting import FileDone

SCHEMA: Literal[2] = 2
"""Number of the format of sidecars, records and reports; it grows when a field changes its meaning."""

CSV_COLUMNS = (
    *("path", "status", "reason", "quadrant", "label", "confidence", "valence", "arousal"),
    *("p_q1", "p_q2", "p_q3", "p_q4", "duration_s", "analysed_s", "silent_s"),
    *("n_segments", "n_windows", "model", "mood", "damage"),
)


def says(description: str, **schema: object) -> Meta:
    """Return what a JSON Schema says of a value: a description, and further keywords."""
    return Meta(description=description, extra_json_schema=schema)


def one_of(*values: str) -> Meta:
    """Return what a JSON Schema says of a text that is one of `values`."""
    return Meta(extra_json_schema={"enum": list(values)})


PathText = Annotated[str, says("a byte that is not UTF-8 stands as \\xNN")]
PathBytes = Annotated[
    str, says("the exact bytes of the name, given only if they are not valid UTF-8", contentEncoding="base64")
]
ModelName = Annotated[str, says("name@version+sha8")]
Version = Annotated[str, says("the version that wrote it")]
Probability = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Tags = dict[str, list[str]]


class Struct(msgspec.Struct, forbid_unknown_fields=True):
    """A JSON object with these keys and no others."""


class QuadrantProbabilities(Struct):
    """P(Q1)..P(Q4), summing to 1."""

    Q1: Probability
    Q2: Probability
    Q3: Probability
    Q4: Probability


class Emotion(Struct):
    """The emotion of one song."""

    quadrant: Annotated[str, one_of(*QUADRANTS), says("Q1 V+ A+, Q2 V- A+, Q3 V- A-, Q4 V+ A-")]
    label: Annotated[str, one_of(*QUADRANT_LABELS.values())]
    confidence: Annotated[Probability, says("P(the chosen quadrant)")]
    valence: Annotated[Probability, says("P(V+)")]
    arousal: Annotated[Probability, says("P(A+)")]
    quadrant_probabilities: QuadrantProbabilities
    duration_s: Annotated[Seconds, says("decoded audio, in seconds")]
    analysed_s: Annotated[Seconds, says("how much of it was analysed, in seconds; less than duration_s with --windows")]
    silent_s: Annotated[Seconds, says("how much of that was silent and left out, in seconds")]
    n_segments: Positive
    n_windows: Positive
    damage: Annotated[str | None, says("what of the sound is missing or could not be decoded; null: nothing")]


class Change(Struct):
    """The tags before and after, where tags were to be written."""

    container: str
    old: Tags
    new: Tags


class Record(Struct, kw_only=True):
    """One line of `mertag tag --jsonl`: what became of one file."""

    schema: Literal[2]
    path: PathText
    path_base64: PathBytes | UnsetType = UNSET
    status: Annotated[str, one_of("tagged", "unchanged", "skipped", "failed")]
    reason: Annotated[str | None, says("why it was not tagged; for a tagged file, a note")]
    emotion: Emotion | None
    model: ModelName | None
    change: Change | None
    mood: (
        Annotated[
            str,
            one_of("kept", "unsure"),
            says("why no mood was written where tags were to be: someone else's stays, or the confidence is too low"),
        ]
        | None
    )
    as_before: Annotated[bool, says("it failed in an earlier run for the same reason, and has not changed since")]


class File(Struct):
    """A path."""

    path: PathText
    path_base64: PathBytes | UnsetType = UNSET


def record(done: FileDone) -> dict[str, Any]:
    """Return one finished file as a JSON object, a `Record`. What is not known is null."""
    path, exact = path_and_bytes(done.path)
    change = done.change
    return to_dict(
        Record(
            schema=SCHEMA,
            path=path,
            path_base64=exact,
            status=str(done.status),
            reason=_text(done.reason) or None,
            emotion=None if done.emotion is None else emotion_of(done.emotion),
            model=None if done.emotion is None else done.emotion.model,
            change=None if change is None else Change(change.container, _tags(change.old), _tags(change.new)),
            mood=done.mood,
            as_before=done.as_before,
        )
    )


def csv_row(done: FileDone) -> list[str]:
    r"""Return one finished file as the cells of `CSV_COLUMNS`; control characters become ``\xNN``."""
    cells = [printable(path_text(done.path)), str(done.status), printable(done.reason)]
    if done.emotion is None:
        return cells + [""] * (len(CSV_COLUMNS) - len(cells))
    e = done.emotion
    numbers = (e.confidence, e.valence, e.arousal, *e.quadrant_probabilities)
    cells += [e.quadrant.value, e.quadrant.label, *(f"{n:.4f}" for n in numbers)]
    durations = (f"{e.duration_s:.3f}", f"{_analysed_s(e):.3f}", f"{e.silent_s:.3f}")
    return [*cells, *durations, str(e.n_segments), str(e.n_windows), e.model, done.mood or "", e.damage]


def path_fields(path: Path | str) -> dict[str, Any]:
    """Return ``path``, and ``path_base64`` too if the path is not valid UTF-8."""
    text, exact = path_and_bytes(path)
    return to_dict(File(text, exact))


def path_and_bytes(path: Path | str) -> tuple[str, str | UnsetType]:
    """Return a path as text, and its bytes in base64 if it is not valid UTF-8."""
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8"), UNSET
    except UnicodeDecodeError:
        return path_text(path), base64.b64encode(raw).decode("ascii")


def emotion_of(emotion: SongEmotion) -> Emotion:
    """Return the emotion of a song, rounded."""
    p1, p2, p3, p4 = (round(p, 4) for p in emotion.quadrant_probabilities)
    return Emotion(
        quadrant=emotion.quadrant.value,
        label=emotion.quadrant.label,
        confidence=round(emotion.confidence, 4),
        valence=round(emotion.valence, 4),
        arousal=round(emotion.arousal, 4),
        quadrant_probabilities=QuadrantProbabilities(p1, p2, p3, p4),
        duration_s=round(emotion.duration_s, 3),
        analysed_s=round(_analysed_s(emotion), 3),
        silent_s=round(emotion.silent_s, 3),
        n_segments=emotion.n_segments,
        n_windows=emotion.n_windows,
        damage=emotion.damage or None,
    )


def to_dict(value: msgspec.Struct) -> dict[str, Any]:
    """Return a struct as plain JSON values, its fields in their order."""
    found: dict[str, Any] = msgspec.to_builtins(value)
    return found


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return plain values as ASCII JSON, with no NaN in it (JSON has none)."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, indent=indent)


def _analysed_s(emotion: SongEmotion) -> float:
    return emotion.duration_s if emotion.analysed_s is None else emotion.analysed_s


def _tags(fields: Mapping[str, tuple[str, ...]]) -> Tags:
    return {name: [_text(value) for value in values] for name, values in fields.items()}


def _text(text: str) -> str:
    """Return `text` without lone surrogates, which are no JSON."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
