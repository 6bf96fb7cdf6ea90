"""The options of tag writing, the names of the fields, and labels from a file.

Own names for the moods come from a file, TOML or JSON, told apart by content; a quadrant that is not named keeps its
name::

    Q1 = "Fröhlich"          {"Q1": "Fröhlich",
    Q2 = "Wütend"             "Q2": "Wütend"}
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mertag.emotion import QUADRANTS, Quadrant
from mertag.errors import ConfigError
from mertag.strict_json import parse

MOOD = "MOOD"
QUADRANT = "MERTAG_QUADRANT"
VALENCE = "MERTAG_VALENCE"
AROUSAL = "MERTAG_AROUSAL"
CONFIDENCE = "MERTAG_CONFIDENCE"
MODEL = "MERTAG_MODEL"
MARK = "MERTAG_MOOD"
"""Whose the mood is: the mood once more if it is mertag's, or `NOT_OURS`. Only written where the other fields
would tell the wrong thing."""
NOT_OURS = "not mertag's"
COMMENT_MARK = "MERTAG_COMMENT"
"""The mood that mertag put into the comment, so that it can be told from one that its owner put there."""
COMMENT = "COMMENT"
"""The mood in the comment, ``[MOOD: Happy]``: that alone, not the rest of the comment, is a field."""

CHOOSABLE = (MOOD, QUADRANT, VALENCE, AROUSAL, CONFIDENCE, MODEL)
"""The fields of which some can be chosen."""

OWN = (*CHOOSABLE[1:], MARK, COMMENT_MARK)
KEYS = (MOOD, *OWN)
"""Every field that has an entry of its own, in the order of writing."""

SPLIT_BY_PLAYERS = "/;,"
LONGEST_LABEL = 64
MAX_FILE_BYTES = 2**16
SCALES = (1, 100)
UNCLEAR = 0.1
"""An axis is unclear whose probability is nearer to one half than this."""

Labels = tuple[str, str, str, str]
"""The moods of Q1, Q2, Q3 and Q4."""

DEFAULT_LABELS: Labels = (Quadrant.Q1.label, Quadrant.Q2.label, Quadrant.Q3.label, Quadrant.Q4.label)


@dataclass(frozen=True, slots=True, kw_only=True)
class TagOptions:
    """How tags are written.

    Attributes
    ----------
    overwrite : bool
        Replace a mood that someone else wrote.
    min_confidence : float
        Below it no mood is written, our own fields still are. In 0..1.
    moods : int
        1, or 2 for the second most likely mood as well, if its probability is 0.25 or more.
    join : str or None
        Write several moods as one value with this between them, such as ``"; "``, for players that show only
        the first of several values.
    fields : tuple of str
        Which of `CHOOSABLE` are written; the others are taken out, so that the figures of
        two runs never stand side by side. Someone else's mood stays also where ``MOOD`` is not among them.
    labels : tuple of 4 str
        The moods of Q1..Q4, in any language; see `read_labels`.
    balanced : str or None
        The mood of a song whose valence and arousal both lie nearer to one half than `UNCLEAR`, in place of that of
        its quadrant; None: there is no such mood.
    scale : int
        1: valence, arousal and confidence from 0 to 1, with three decimals; 100: whole percentages.
    comment_field : bool
        Keep the song's mood in its comment as well, as ``[MOOD: Happy]``; the rest of the comment stays as it is.
    preserve_mtime : bool
        Give the file its old modification time back.
    break_hard_links : bool
        Write files that have several names. The name that is given gets the new file, the others keep the old
        one, and the disk holds both; so such files are refused unless this is set.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    overwrite: bool = False
    min_confidence: float = 0.0
    moods: int = 1
    join: str | None = None
    fields: tuple[str, ...] = CHOOSABLE
    labels: Labels = DEFAULT_LABELS
    balanced: str | None = None
    scale: int = 1
    comment_field: bool = False
    preserve_mtime: bool = False
    break_hard_links: bool = False

    def __post_init__(self) -> None:
        if self.moods not in (1, 2):
            raise ConfigError(f"moods is {self.moods}; give 1 or 2")
        if not 0.0 <= self.min_confidence <= 1.0:
            raise ConfigError(f"min_confidence is {self.min_confidence}; give a number from 0 to 1")
        if self.join is not None and (not self.join.isprintable() or not 0 < len(self.join) <= LONGEST_LABEL):
            raise ConfigError(f"join is {self.join!r}; give 1 to {LONGEST_LABEL} printable characters, such as '; '")
        if not self.fields or not set(self.fields) <= set(CHOOSABLE):
            raise ConfigError(f"fields is {self.fields}; give some of {', '.join(CHOOSABLE)}")
        if len(self.labels) != len(QUADRANTS):
            raise ConfigError(f"labels is {self.labels}; give one for each of {', '.join(QUADRANTS)}")
        for quadrant, label in zip(QUADRANTS, self.labels, strict=True):
            check_label(quadrant, label)
        if self.balanced is not None:
            check_label("the middle (balanced)", self.balanced)
        if self.scale not in SCALES:
            raise ConfigError(f"scale is {self.scale}; give {' or '.join(map(str, SCALES))}")


def check_label(quadrant: str, label: str) -> None:
    """Refuse, by `ConfigError`, what cannot be a mood in every container and every player."""
    if not label or label != label.strip():
        raise ConfigError(f"the label of {quadrant} is {label!r}; give a word, with no space at its ends")
    if not label.isprintable() or len(label) > LONGEST_LABEL:
        raise ConfigError(f"the label of {quadrant} is {label!r}; give up to {LONGEST_LABEL} printable characters")
    marks = [mark for mark in SPLIT_BY_PLAYERS if mark in label]
    if marks:
        raise ConfigError(f"the label of {quadrant} is {label!r}; players would split it at {marks[0]!r}: leave it out")


def fields_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return the fields that were named, in the order of writing.

    Parameters
    ----------
    names : iterable of str
        Such as ``"mood"`` or ``"MERTAG_MODEL"``, in any case; several may stand in one, with commas between.

    Raises
    ------
    ConfigError
        If one is unknown, or there is none.
    """
    short = {key.removeprefix("MERTAG_").lower(): key for key in CHOOSABLE}
    wanted: set[str] = set()
    for name in (part.strip() for several in names for part in several.split(",")):
        key = short.get(name.lower().removeprefix("mertag_"))
        if key is None:
            raise ConfigError(f"there is no field {name!r}; the fields are {', '.join(short)}")
        wanted.add(key)
    if not wanted:
        raise ConfigError(f"no field is left to write; name some of {', '.join(short)} (`mertag remove` takes all out)")
    return tuple(key for key in CHOOSABLE if key in wanted)


def read_labels(path: Path | str) -> Labels:
    """Return the moods of Q1..Q4 that a file names.

    Parameters
    ----------
    path : Path or str
        UTF-8, at most `MAX_FILE_BYTES` long.

    Raises
    ------
    ConfigError
        If it cannot be read, or holds anything but labels.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: the labels cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{path}: a file of labels is a few lines long, this one has more than {MAX_FILE_BYTES} bytes"
        )
    try:
        text = data.decode("utf-8-sig")
        found = parse(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, not TOML
        raise ConfigError(f"{path}: the labels are neither valid TOML nor JSON: {error}") from error
    labels = dict(zip(QUADRANTS, DEFAULT_LABELS, strict=True))
    for key, label in found.items():
        if key not in labels:
            raise ConfigError(f"{path}: {key!r} is no quadrant; those are {', '.join(QUADRANTS)}")
        if not isinstance(label, str):
            raise ConfigError(f"{path}: the label of {key} is no text; write it in quotes")
        try:
            check_label(key, label)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        labels[next(q for q in QUADRANTS if q == key)] = label
    q1, q2, q3, q4 = (labels[quadrant] for quadrant in QUADRANTS)
    return q1, q2, q3, q4
