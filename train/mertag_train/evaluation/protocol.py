"""What is measured on: the songs, their folds, and a fingerprint of both, so that only like is joined with like.

On disk, one folder for each data set and grouping::

    evaluation/4q-artist/
      protocol.json    data set, labelling, grouping, fingerprints
      folds.csv        song_id,fold: for others to use
      artists.csv      song_id,artist: songs of one artist have the same number
      results/         see `results`
      work/            networks that were trained; may be deleted when all is done
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mertag.emotion import CLASS_NAMES, Target
from mertag.errors import ConfigError, DatasetError
from mertag.files import json_digest
from mertag_train.data.datasets.base import Dataset, Song, class_counts, thin_class
from mertag_train.data.datasets.tables import read_table
from mertag_train.data.folds import (
    Folds,
    Group,
    bound_groups,
    finest_target,
    folds,
    load_folds,
    official_split,
    save_folds,
)
from mertag_train.evaluation.files import read_json, write_json, write_text

SCHEMA = 1
PROTOCOL = "protocol.json"
FOLDS = "folds.csv"
ARTISTS = "artists.csv"
OFFICIAL = "official"
"""Given for a file of folds: the split of the data set's authors."""
SHUFFLE_SEED = 0
N_FOLDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What all results in one folder have in common, as ``protocol.json`` holds it.

    Attributes
    ----------
    labelling : str
        How ratings became classes.
    group : str
        What never stands in two folds.
    shuffled : bool
        Whether the labels were shuffled among the artists, so that nothing can be learnt.
    flipped : float
        Share of the training songs of each fold that were given a wrong class on purpose.
    spliced : float
        Share of each training song of a fold that was replaced by a stretch of a song of another class.
    songs, missing_audio : int
        How many songs are judged, and how many more are labelled but have no audio.
    counts : mapping
        Songs of each class, by target.
    songs_sha, folds_sha : str
        Fingerprints: of ids, recordings, artists and classes; and of which song is in which fold.
    citation, notes : str, tuple of str
        Whom to cite, and what the reader of the data set says of it, one sentence each.
    """

    dataset: str
    labelling: str
    group: str
    shuffled: bool
    songs: int
    missing_audio: int
    counts: dict[str, dict[str, int]]
    folds: tuple[str, ...]
    songs_sha: str
    folds_sha: str
    citation: str = ""
    flipped: float = 0.0
    spliced: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def labels_in_words(self) -> str:
        """What the labels are, as a part of a sentence."""
        return f"labels: {self.labelling.removeprefix('labels ')}"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"schema": SCHEMA, **asdict(self), "folds": list(self.folds), "notes": list(self.notes)}


def folder_name(dataset: str, group: str, *, shuffled: bool, flipped: float = 0.0, spliced: float = 0.0) -> str:
    """Return the name of the folder of a data set and a grouping, such as ``"4q-artist"``."""
    return f"{dataset}-{group}{on_purpose(shuffled=shuffled, flipped=flipped, spliced=spliced)}"


def on_purpose(*, shuffled: bool, flipped: float, spliced: float) -> str:
    """Return what is wrong on purpose as the end of a name, such as ``"-spliced-0.2"``; empty if nothing is."""
    shares = "".join(f"-{what}-{share:g}" for what, share in (("flipped", flipped), ("spliced", spliced)) if share)
    return ("-shuffled" if shuffled else "") + shares


def wrong_labels(songs: Sequence[Song], target: Target, share: float, *, seed: int = SHUFFLE_SEED) -> dict[str, int]:
    """Return another class for a share of the songs of each class, by song id, any other class being as likely."""
    rng = np.random.default_rng(seed)
    n_classes = len(CLASS_NAMES[target])
    wrong: dict[str, int] = {}
    for k in range(n_classes):
        ids = sorted(song.id for song in songs if song.targets[target] == k)
        for song_id in rng.permutation(ids)[: round(share * len(ids))]:
            wrong[str(song_id)] = (k + int(rng.integers(1, n_classes))) % n_classes
    return wrong


def shuffle_labels(songs: Sequence[Song], *, seed: int = SHUFFLE_SEED) -> tuple[Song, ...]:
    """Return the songs with their classes dealt anew, artist by artist: the leak test.

    The songs, artist after artist in one random order, get the classes of all songs, artist after artist in
    another. So each class keeps its number of songs, and an artist's songs still mostly share a class, as they did:
    a method that is better than chance on these labels knows the artist, or the test songs.
    """
    groups = bound_groups(songs, "artist")
    rng = np.random.default_rng(seed)
    takers = [song for i in rng.permutation(len(groups)) for song in groups[i]]
    givers = [song for i in rng.permutation(len(groups)) for song in groups[i]]
    targets = {taker.id: giver.targets for taker, giver in zip(takers, givers, strict=True)}
    return tuple(replace(s, targets=targets[s.id], valence=None, arousal=None, dynamics=None) for s in songs)


def prepare(
    root: Path,
    dataset: Dataset,
    *,
    targets: Sequence[Target],
    group: Group,
    n_folds: int | None = None,
    folds_file: Path | None = None,
    shuffle: bool = False,
    flip: float = 0.0,
    splice: float = 0.0,
) -> tuple[Path, Protocol, Folds, tuple[Song, ...]]:
    """Fix songs and folds, or find that they are those of the folder.

    Parameters
    ----------
    root : Path
        The evaluation's folder; the data set gets a folder in it.
    dataset : Dataset
        Only with the songs that are to be judged.
    targets : sequence of Target
        What will be predicted: every fold is checked for each.
    group : {"artist", "recording"}
        What never stands in two folds.
    n_folds : int or None
        How many folds there shall be; None for those that are there, or `N_FOLDS` where there are none yet.
    folds_file : Path or None
        Folds of others, instead of new ones; `OFFICIAL` for the split of the data set's authors.
    shuffle : bool
        Deal the classes anew, artist by artist.
    flip : float
        Share of the training songs that will be given a wrong class (`wrong_labels`).
    splice : float
        Share of each training song that will be of another class (`mertag_train.evaluation.splicing`).

    Returns
    -------
    (folder, protocol, folds, songs)
        The data set's folder, what is in it, and the songs with their (perhaps shuffled) classes.

    Raises
    ------
    DatasetError
        If a class has fewer than two songs, folds cannot be made or do not fit the songs, a test fold holds one
        class only, or the folder holds an evaluation of other songs, labels or folds.
    """
    songs = shuffle_labels(dataset.songs) if shuffle else dataset.songs
    folder = root / folder_name(dataset.name, group, shuffled=shuffle, flipped=flip, spliced=splice)
    # A published file may list songs whose audio is not here: with the data set, those lines are known.
    listed = replace(dataset, songs=songs)
    for target in targets:
        thin = thin_class(songs, target)
        if thin is not None:
            error = DatasetError(f"{dataset.root}: {target}: {thin}. Add songs, or choose another --target.")
            raise dataset.because_of_audio(error)
    if folds_file == Path(OFFICIAL) and not folds_file.exists():
        dealt, source = official_split(listed, group=group), Path(OFFICIAL)
    elif folds_file is not None:
        dealt, source = load_folds(folds_file, listed, group=group), folds_file
    elif (folder / FOLDS).exists():
        dealt, source = load_folds(folder / FOLDS, listed, group=group), folder / FOLDS
    else:
        dealt, source = _new_folds(listed, n_folds or N_FOLDS, group), folder / FOLDS
    if n_folds is not None and len(dealt.names) != n_folds:
        raise DatasetError(
            f"{source}: {len(dealt.names)} folds, where --folds asks for {n_folds}. "
            f"Say --folds {len(dealt.names)}, or name another --out."
        )
    for target in targets:
        check_classes(songs, dealt, target, source)
    protocol = Protocol(
        dataset=dataset.name,
        labelling=dataset.labelling,
        group=group,
        shuffled=shuffle,
        songs=len(songs),
        missing_audio=len(dataset.missing_audio),
        counts={target.value: class_counts(songs, target) for target in dataset.targets},
        folds=dealt.names,
        songs_sha=json_digest(sorted((s.id, s.group, s.artist, sorted(s.targets.items())) for s in songs)),
        folds_sha=json_digest(sorted(dealt.fold_of.items())),
        citation=dataset.citation,
        flipped=flip,
        spliced=splice,
        notes=_notes(dataset),
    )
    _agree(folder, protocol)
    if not (folder / FOLDS).exists():
        save_folds(dealt, folder / FOLDS)
    if not (folder / ARTISTS).exists():
        _save_artists(dataset.songs, folder / ARTISTS)
    return folder, protocol, dealt, songs


def _save_artists(songs: Sequence[Song], path: Path) -> None:
    """Write which songs are of one artist; nobody's name is told. A song of an unknown artist has its own number."""
    artists = bound_groups(songs, "artist")
    lines = sorted((song.id, number) for number, group in enumerate(artists) for song in group)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("song_id", "artist"), *lines])
    write_text(path, text.getvalue())


def read_artists(folder: Path) -> dict[str, int] | None:
    """Return the number of each song's artist, by song id; None where a folder of an earlier version has none."""
    path = folder / ARTISTS
    if not path.exists():
        return None
    rows = read_table(path, ("song_id", "artist")).by("song_id")
    return {song: round(row.number("artist", low=0)) for song, row in rows.items()}


def _notes(dataset: Dataset) -> tuple[str, ...]:
    """Return what is to be said of a data set: its reader's notes, and what was not used."""
    n = len(dataset.unlabelled)
    unused = "1 clip has no label and is not used." if n == 1 else f"{n} clips have no label and are not used."
    return (*dataset.notes, unused) if n else dataset.notes


def _new_folds(dataset: Dataset, n: int, group: Group) -> Folds:
    """Deal folds; where audio is missing, an error says so first."""
    try:
        return folds(dataset, finest_target(dataset), n=n, group=group)
    except DatasetError as error:
        raise dataset.because_of_audio(error) from error


def read_protocol(folder: Path) -> Protocol:
    """Read a folder's ``protocol.json``; raise DatasetError if it cannot be read, or is of another schema."""
    path = folder / PROTOCOL
    found = read_json(path, schema=SCHEMA)
    try:
        del found["schema"]
        return Protocol(**{**found, "folds": tuple(found["folds"]), "notes": tuple(found.get("notes", ()))})
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not as mertag writes it ({error}). Name another --out.") from error


def check_classes(songs: Sequence[Song], dealt: Folds, target: Target, source: Path) -> None:
    """Raise DatasetError for a fold on which nothing can be measured, or for which a class cannot be learnt."""
    class_of = {song.id: song.targets[target] for song in songs}
    names = CLASS_NAMES[target]
    remedy = "Use fewer folds, other folds, or another target."
    for name, train, test in dealt.pairs():
        tested = sorted({class_of[i] for i in test})
        if len(tested) < 2:
            what = f"holds {names[tested[0]]} songs only" if tested else "is empty"
            raise DatasetError(f"{source}: fold {name!r} {what}: nothing can be measured on it. {remedy}")
        absent = [c for i, c in enumerate(names) if i not in {class_of[i] for i in train}]
        if absent:
            raise DatasetError(f"{source}: no {absent[0]} song is left to learn from for fold {name!r}. {remedy}")


def _agree(folder: Path, protocol: Protocol) -> None:
    """Write the protocol into the folder, or find that it is the one that lies there."""
    path = folder / PROTOCOL
    if path.exists():
        old = read_protocol(folder)
        differing = [
            f"{what} ({before} there, {now} here)"
            for what, before, now in (
                ("labelling", old.labelling, protocol.labelling),
                ("number of songs", old.songs, protocol.songs),
                ("songs or classes", old.songs_sha[:8], protocol.songs_sha[:8]),
                ("folds", old.folds_sha[:8], protocol.folds_sha[:8]),
            )
            if before != now
        ]
        if differing:
            raise DatasetError(
                f"{path}: an evaluation with another {', another '.join(differing)}. "
                "Use the same data and options, or name another --out."
            )
        return
    if (folder / "results").exists():
        raise ConfigError(f"{folder}: holds results but no {PROTOCOL}; copy it and {FOLDS} beside them.")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, protocol.to_json())
