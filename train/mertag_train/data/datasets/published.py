"""What published data sets have in common: where they lie, what is said when they do not, and how songs are rated."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mertag.emotion import Target
from mertag.errors import DatasetError
from mertag_train.data.datasets.base import (
    Dataset,
    Dynamics,
    Song,
    artist_key,
    group_recordings,
    recording_key,
    targets_of_signs,
)
from mertag_train.data.datasets.tables import Row

DATA_VARIABLE = "MERTAG_DATA"
"""Environment variable: the folder that holds one folder a data set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A published data set: its name, what it is, where it can be had, whom to cite, and the files that are needed.

    `files` are the annotations, relative to the data set's folder or to one of `subfolders` in it, into which the
    published archive unpacks; `audio` says in words where the audio lies. `title`, `size` and `licence` are words, too.
    """

    name: str
    title: str
    size: str
    licence: str
    source: str
    citation: str
    subfolders: tuple[str, ...]
    files: tuple[str, ...]
    audio: str


def data_folder(name: str, data_dir: Path | str | None, *, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the data set's own folder or ``$MERTAG_DATA/<name>``; DatasetError if there is neither."""
    if data_dir is not None:
        return Path(data_dir).expanduser()
    parent = environ.get(DATA_VARIABLE)
    if not parent:
        raise DatasetError(
            f"where is the data set {name!r}? Name its folder with --data-dir, or set {DATA_VARIABLE} to the "
            f"folder that holds a folder {name!r}."
        )
    return Path(parent).expanduser() / name


def find_root(origin: Origin, data_dir: Path | str | None) -> Path:
    """Return the folder that holds the files of a published data set.

    If they are not there, DatasetError says which were looked for, which are missing, and where the data set can be
    had.
    """
    try:
        folder = data_folder(origin.name, data_dir)
    except DatasetError as error:
        raise DatasetError(
            f"{error} It must hold {_names(origin.files)}, and audio in {origin.audio}. {_obtain(origin)}"
        ) from None
    roots = _roots(origin, folder)
    best, lacking = nearest_root(origin, folder)
    if not lacking:
        return best
    if len(lacking) < len(origin.files):
        what = f"{best}: the data set {origin.name!r} is not whole: missing {_names(lacking)}."
    else:
        places = " or ".join(map(str, roots))
        what = f"the data set {origin.name!r} is not at {places}. Looked for {_names(origin.files)}."
    raise DatasetError(f"{what} The audio belongs in {origin.audio}. {_obtain(origin)}")


def nearest_root(origin: Origin, folder: Path) -> tuple[Path, list[str]]:
    """Return the folder, among those that are looked at, in which the fewest files are missing, and these files."""
    lacking = {root: [name for name in origin.files if not (root / name).is_file()] for root in _roots(origin, folder)}
    best = min(lacking, key=lambda root: len(lacking[root]))
    return best, lacking[best]


def _roots(origin: Origin, folder: Path) -> list[Path]:
    return [folder, *(folder / name for name in origin.subfolders)]


def refuse_absent(rows: Mapping[str, Row], others: Mapping[str, Row], table: str, remedy: str, why: str = "") -> None:
    """Raise DatasetError for the first song of a table that has no line in another one."""
    for song, row in rows.items():
        if song not in others:
            raise row.fault(f"song {song!r} has no line in {table}{why}", remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of a table of ratings, and of one that says whose music it is."""

    valence: str
    arousal: str
    title: str
    artist: str


def rated_songs(
    ratings: Mapping[str, Row],
    about: Mapping[str, Row],
    audio: Mapping[str, Path],
    columns: Columns,
    *,
    scale: tuple[float, float],
    positive: Callable[[float, float], tuple[bool, bool]],
    dynamics: Mapping[str, Dynamics],
) -> list[Song]:
    """Return the songs of a table of ratings; `positive` says of valence and arousal whether they are V+ and A+."""
    keys = {s: recording_key(about[s].text(columns.title), about[s].text(columns.artist)) for s in ratings}
    groups = group_recordings(keys)
    songs = []
    for name, row in ratings.items():
        valence, arousal = (row.number(c, low=scale[0], high=scale[1]) for c in (columns.valence, columns.arousal))
        valence_positive, arousal_positive = positive(valence, arousal)
        songs.append(
            Song(
                id=name,
                path=audio.get(name),
                group=groups[name],
                artist=artist_key(about[name].text(columns.artist)),
                targets=targets_of_signs(valence_positive=valence_positive, arousal_positive=arousal_positive),
                valence=valence,
                arousal=arousal,
                dynamics=dynamics.get(name),
            )
        )
    return songs


def published(origin: Origin, root: Path, songs: Sequence[Song], audio: Mapping[str, Path], **rest: Any) -> Dataset:
    """Return a published data set of songs with all three targets, and the audio that was found, by name."""
    ids = {song.id for song in songs}
    return Dataset(
        name=origin.name,
        root=root,
        songs=tuple(songs),
        missing_audio=tuple(song.id for song in songs if song.path is None),
        unlabelled=tuple(path for name, path in audio.items() if name not in ids),
        targets=(Target.VALENCE, Target.AROUSAL, Target.QUADRANT),
        citation=origin.citation,
        source=origin.source,
        **rest,
    )


def parted_above(threshold: float, scale: tuple[float, float]) -> dict[str, Any]:
    """Return what `published` is told of ratings whose classes part above one rating, the same for both axes."""
    low, high = scale
    return {
        "labelling": f"V+ = valence > {threshold:g}, A+ = arousal > {threshold:g}, of {low:g} to {high:g}",
        "scale": scale,
        "thresholds": (threshold, threshold),
    }


def mp3_files(folder: Path) -> dict[str, Path]:
    """Return the MP3 files directly in a folder, by name without suffix, sorted; none if it is not there.

    Hidden files are left out: on foreign disks macOS puts a ``._1.mp3``, which is no audio, beside ``1.mp3``.
    """
    if not folder.is_dir():
        return {}
    found = (path for path in folder.iterdir() if path.suffix.casefold() == ".mp3")
    return {path.stem: path for path in sorted(found) if not path.name.startswith(".") and path.is_file()}


def _obtain(origin: Origin) -> str:
    return f"It can be had at {origin.source} ({origin.citation})."


def _names(files: Sequence[str]) -> str:
    return ", ".join(files)
