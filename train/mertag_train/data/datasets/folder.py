"""Your own music: one folder a class, or a table of paths and labels (see `folder_table`).

The folders' names are quadrants, moods, or the two sides of one axis, in any case; subfolders are read, too::

    my-music/Happy/one.mp3   my-music/Angry/..   my-music/Sad/..   my-music/Relaxed/..

A table is a CSV file, or a folder that holds a ``labels.csv``.
"""

from __future__ import annotations

from pathlib import Path

from mertag.errors import ConfigError, DatasetError
from mertag_train.data.datasets.base import Dataset, Song, thin_class
from mertag_train.data.datasets.folder_table import read_labels
from mertag_train.data.datasets.labels import ACCEPTED, Label, parse_label, targets_from
from mertag_train.data.datasets.locate import data_folder
from mertag_train.data.datasets.tables import fault

NAME = "folder"
TABLE = "labels.csv"
AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".ape", ".flac", ".m4a", ".m4b", ".mp2", ".mp3", ".mp4", ".mpc", ".oga", ".ogg"}
    | {".opus", ".spx", ".wav", ".wma", ".wv"}
)


def read(data_dir: Path | str | None = None, *, scale: tuple[float, float] | None = None) -> Dataset:
    """Read one's own labelled music.

    Parameters
    ----------
    data_dir : path, optional
        The folder, or the table; else ``$MERTAG_DATA/folder``.
    scale : (lowest, highest), optional
        Scale of the ratings, for a table with ``valence`` and ``arousal``; a rating at its middle or above is
        positive.

    Returns
    -------
    Dataset
        All three targets from quadrants or ratings, else the one that the labels name. A song's id is its
        path from the folder.

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
        place, dataset = table, read_labels(table, scale)
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
                entry,
                None,
                f"is another kind of class than {path.name!r}",
                f"Use one kind of classes: {ACCEPTED}.",
            )


def _is_audio(path: Path) -> bool:
    return path.suffix.casefold() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file()
