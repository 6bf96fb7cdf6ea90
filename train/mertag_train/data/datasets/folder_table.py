"""A table of one's own music: paths with labels, or with ratings.

::

    path,label[,group][,artist]             one/song.mp3,Happy,,ABBA
    path,valence,arousal[,group][,artist]   one/song.mp3,6.5,3.0         with its scale, such as (1, 9)

Paths are relative to the table. Songs with the same ``group`` are versions of the same recording and never
stand on both sides of a split.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

from mertag.emotion import Target
from mertag.errors import ConfigError
from mertag_train.data.datasets.base import Dataset, Song, targets_of_signs
from mertag_train.data.datasets.labels import ACCEPTED, Label, parse_label, targets_from
from mertag_train.data.datasets.recordings import artist_key
from mertag_train.data.datasets.tables import Row, Table, fault, read_table

Rating = tuple[float | None, float | None]


def read_labels(path: Path, scale: tuple[float, float] | None) -> Dataset:
    """Read a table of one's own music; `folder.read` says what it raises."""
    table = read_table(path, ("path",))
    rated = not table.has("label")
    if rated and not (table.has("valence") and table.has("arousal")):
        raise fault(path, 1, "neither a column 'label' nor columns 'valence' and 'arousal'", "Add what is missing.")
    if rated and scale is None:
        raise ConfigError(f"{path} holds ratings; say on which scale, such as 1,9 (lowest, highest).")
    if not rated and scale is not None:
        raise ConfigError(f"{path} holds labels, not ratings. Leave the scale out.")
    if not len(table):
        raise fault(path, None, "names no song", "Add a line for each song.")
    if scale is None:
        labels = _labels(table)
        targets = targets_from(next(iter(labels.values())).target)
        classes = {line: label.targets for line, label in labels.items()}
        ratings: dict[int, Rating] = {}
        labelling = "labels as written"
    else:
        targets = tuple(Target)
        classes, ratings = _ratings(table, scale)
        labelling = f"positive = at or above the middle of {scale[0]:g} to {scale[1]:g}"
    songs = _songs(table, classes, ratings)
    return Dataset(
        name="folder",
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


def _labels(table: Table) -> dict[int, Label]:
    """Return the label of each line, all of one kind."""
    found: dict[int, Label] = {}
    first: Row | None = None
    for row in table:
        label = parse_label(row.required("label"))
        if label is None:
            raise row.fault(f"unknown class {row.text('label')!r}", f"Classes are {ACCEPTED}.")
        first = first or row
        found[row.line] = label
        if label.target is not found[first.line].target:
            raise row.fault(
                f"{row.text('label')!r} is another kind of class than {first.text('label')!r} on line {first.line}",
                f"Use one kind of classes: {ACCEPTED}.",
            )
    return found
