"""Your own music: one folder a class, or a table of paths with labels or ratings.

The folders' names are quadrants, moods, or the two sides of one axis, in any case; subfolders are read, too::

    my-music/Happy/one.mp3   my-music/Angry/..   my-music/Sad/..   my-music/Relaxed/..

A table is a CSV file, or a folder that holds a ``labels.csv``::

    path,label[,group][,artist]             one/song.mp3,Happy,,ABBA
    path,quadrant[,group][,artist]          one/song.mp3,Q1,,ABBA
    path,valence,arousal[,group][,artist]   one/song.mp3,6.5,3.0         with its scale, such as (1, 9)

``quadrant`` is ``label`` for tables that hold nothing but quadrants: Q1 to Q4, 1 to 4, or their moods. A table may have
ratings beside it; they are then not read. Paths are relative to the table. Songs with the same ``group`` are versions
of the same recording and never stand on both sides of a split.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mertag.emotion import CLASS_NAMES, QUADRANT_LABELS, Quadrant, Target
from mertag.errors import ConfigError, DatasetError
from mertag_train.data.datasets.base import Dataset, Song, artist_key, targets_of_quadrant, targets_of_signs, thin_class
from mertag_train.data.datasets.published import data_folder
from mertag_train.data.datasets.tables import Row, Table, fault, read_table

NAME = "folder"
TABLE = "labels.csv"
AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".ape", ".flac", ".m4a", ".m4b", ".mp2", ".mp3", ".mp4", ".mpc", ".oga", ".ogg"}
    | {".opus", ".spx", ".wav", ".wma", ".wv"}
)
ACCEPTED = "Q1 to Q4, or Happy, Angry, Sad and Relaxed, or V+ and V-, or A+ and A-"
Rating = tuple[float | None, float | None]


def read(data_dir: Path | str | None = None, *, scale: tuple[float, float] | None = None) -> Dataset:
    """Read one's own labelled music.

    It is the folder, or the table, else ``$MERTAG_DATA/folder``. All three targets follow from quadrants or ratings,
    else there is the one that the labels name. A song's id is its path from the folder. The scale (lowest, highest) is
    that of the ratings, for a table with ``valence`` and ``arousal``; a rating at its middle or above is positive.

    Raises
    ------
    ConfigError
        If the scale is missing where it is needed, given where it is not, or upside down.
    DatasetError
        If the folder is missing or holds no class, a class is unknown or has fewer than two songs, classes of
        different kinds stand side by side, or a line of the table is wrong.
    """
    place = data_folder(NAME, data_dir)
    if not place.exists():
        raise fault(place, None, "there is no such file or folder", "Name a folder with one folder a class, or a CSV.")
    table = place if place.is_file() else place / TABLE
    if table.is_file():
        place, dataset = table, _read_table(table, scale)
    elif scale is not None:
        raise ConfigError(f"a scale was given, but {place} holds no {TABLE} with ratings. Leave the scale out.")
    else:
        dataset = _read_folders(place)
    for target in dataset.targets:
        thin = thin_class(dataset.songs, target)
        if thin:
            raise fault(place, None, thin, "Add songs to it, or use fewer classes: V+ and V-, or A+ and A-.")
    return dataset


def _read_folders(root: Path) -> Dataset:
    try:
        entries = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DatasetError(f"{root}: cannot be listed ({error.strerror}). Check the folder's permissions.") from error
    songs: list[Song] = []
    classes: dict[Label, Path] = {}
    for entry in entries:
        if not entry.is_dir():
            continue
        audio = sorted(path for path in entry.rglob("*") if _is_audio(path))
        label = parse_label(entry.name)
        if label is None:
            if audio:
                raise fault(
                    entry,
                    None,
                    "holds audio, but its name is no class",
                    f"Rename it, or move it away; classes are {ACCEPTED}.",
                )
            continue
        _check_fits(entry, label, classes)
        classes[label] = entry
        for path in audio:
            name = path.relative_to(root).as_posix()
            songs.append(Song(id=name, path=path, group=name, artist=None, targets=label.targets))
    if not classes:
        tables = [path.name for path in entries if path.suffix.casefold() == ".csv"]
        hint = f" Or name a table: {', '.join(tables)} lies there." if tables else ""
        raise fault(root, None, "holds no folder named after a class", f"Classes are {ACCEPTED}.{hint}")
    return Dataset(
        name=NAME,
        root=root,
        songs=tuple(songs),
        missing_audio=(),
        unlabelled=tuple(path for path in entries if _is_audio(path)),
        targets=targets_from(next(iter(classes)).target),
        labelling="the name of the folder",
        notes=("Artists are unknown: a table can name them.",),
    )


def _check_fits(entry: Path, label: Label, classes: dict[Label, Path]) -> None:
    """Refuse a second folder of the same class, and a class of another kind."""
    if label in classes:
        raise fault(entry, None, f"names the same class as {classes[label].name!r}", "Put the songs into one folder.")
    for other, path in classes.items():
        if other.target is not label.target:
            raise fault(
                entry, None, f"is another kind of class than {path.name!r}", f"Use one kind of classes: {ACCEPTED}."
            )


def _is_audio(path: Path) -> bool:
    return path.suffix.casefold() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _read_table(path: Path, scale: tuple[float, float] | None) -> Dataset:
    table = read_table(path, ("path",))
    column = _label_column(table)
    rated = column is None
    if rated and not (table.has("valence") and table.has("arousal")):
        what = "no column 'label' or 'quadrant', nor both 'valence' and 'arousal'"
        raise fault(path, 1, what, "Add what is missing.")
    if rated and scale is None:
        raise ConfigError(f"{path} holds ratings; say on which scale, such as 1,9 (lowest, highest).")
    if not rated and scale is not None:
        raise ConfigError(f"{path} holds labels, not ratings. Leave the scale out.")
    if not table.rows:
        raise fault(path, None, "names no song", "Add a line for each song.")
    if column is not None:
        labels = _labels(table, column)
        targets = targets_from(next(iter(labels.values())).target)
        classes = {line: label.targets for line, label in labels.items()}
        ratings: dict[int, Rating] = {}
        labelling = "labels as written"
    else:
        assert scale is not None  # checked above
        targets = tuple(Target)
        classes, ratings = _ratings(table, scale)
        labelling = f"positive = at or above the middle of {scale[0]:g} to {scale[1]:g}"
    songs = _songs(table, classes, ratings)
    return Dataset(
        name=NAME,
        root=path.parent,
        songs=songs,
        missing_audio=tuple(song.id for song in songs if song.path is None),
        unlabelled=(),
        targets=targets,
        labelling=labelling,
        notes=() if table.has("artist") else ("Artists are unknown: the table has no column 'artist'.",),
        scale=scale,
    )


def _songs(
    table: Table, classes: Mapping[int, Mapping[Target, int]], ratings: Mapping[int, Rating]
) -> tuple[Song, ...]:
    songs: list[Song] = []
    lines: dict[str, int] = {}
    for row in table:
        name = os.path.normpath(row.required("path"))
        if name in lines:
            raise row.fault(f"{name!r} stands twice, first on line {lines[name]}", "Delete one of the lines.")
        lines[name] = row.line
        audio = table.path.parent / name
        group = row.optional("group")
        valence, arousal = ratings.get(row.line, (None, None))
        songs.append(
            Song(
                id=name,
                path=audio if audio.is_file() else None,
                # Prefixed, so that a song without a group never meets a group that is called as the song is.
                group=f"group {group}" if group else f"song {name}",
                artist=artist_key(row.optional("artist") or ""),
                targets=classes[row.line],
                valence=valence,
                arousal=arousal,
            )
        )
    return tuple(songs)


def _ratings(table: Table, scale: tuple[float, float]) -> tuple[dict[int, Mapping[Target, int]], dict[int, Rating]]:
    low, high = scale
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"there is no scale from {low:g} to {high:g}; write the lowest rating first.")
    middle = (low + high) / 2
    classes: dict[int, Mapping[Target, int]] = {}
    ratings: dict[int, Rating] = {}
    for row in table:
        valence, arousal = (row.number(axis, low=low, high=high) for axis in ("valence", "arousal"))
        ratings[row.line] = (valence, arousal)
        classes[row.line] = targets_of_signs(valence_positive=valence >= middle, arousal_positive=arousal >= middle)
    return classes, ratings


def _label_column(table: Table) -> str | None:
    """Return the column that holds the classes, None where there is none."""
    there = [name for name in ("label", "quadrant") if table.has(name)]
    if len(there) > 1:
        raise fault(table.path, 1, "a column 'label' and a column 'quadrant'", "Keep the one that is meant.")
    return there[0] if there else None


def _labels(table: Table, column: str) -> dict[int, Label]:
    """Return the label of each line, all of one kind."""
    found: dict[int, Label] = {}
    first: Row | None = None
    for row in table:
        word = row.required(column)
        label = parse_label(f"Q{word}" if column == "quadrant" and word in ("1", "2", "3", "4") else word)
        if label is None or (column == "quadrant" and label.target is not Target.QUADRANT):
            accepted = ACCEPTED if column == "label" else "Q1 to Q4, 1 to 4, or Happy, Angry, Sad and Relaxed"
            raise row.fault(f"unknown class {word!r}", f"Classes are {accepted}.")
        first = first or row
        found[row.line] = label
        if label.target is not found[first.line].target:
            raise row.fault(
                f"{word!r} is another kind of class than {first.text(column)!r} on line {first.line}",
                f"Use one kind of classes: {ACCEPTED}.",
            )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A class, as somebody wrote it: the target to which the word belongs, and its name in `CLASS_NAMES`."""

    target: Target
    name: str

    @property
    def targets(self) -> Mapping[Target, int]:
        """The class of each target that follows: all three from a quadrant, else its own."""
        if self.target is Target.QUADRANT:
            return targets_of_quadrant(Quadrant(self.name))
        return {self.target: CLASS_NAMES[self.target].index(self.name)}


_WORDS: Mapping[str, Label] = {
    **{name.casefold(): Label(target=target, name=name) for target in Target for name in CLASS_NAMES[target]},
    **{word.casefold(): Label(target=Target.QUADRANT, name=quadrant) for quadrant, word in QUADRANT_LABELS.items()},
}


def parse_label(word: str) -> Label | None:
    """Return the class that a word names, in any case; None if it names none."""
    return _WORDS.get(word.strip().casefold())


def targets_from(target: Target) -> tuple[Target, ...]:
    """Return every target that follows from labels of one: all three from quadrants."""
    return tuple(Target) if target is Target.QUADRANT else (target,)
