"""DEAM: 1,802 excerpts and songs under Creative Commons licences (Aljanaki, Yang and Soleymani, 2017).

Layout, as its three archives unpack::

    annotations/annotations averaged per song/song_level/
        static_annotations_averaged_songs_1_2000.csv        song_id, valence_mean, valence_std, arousal_mean, ...; 1..9
        static_annotations_averaged_songs_2000_2058.csv     the same, and highest and lowest ratings
    metadata/metadata_2013.csv                              song_id,file_name,Artist,Song title,...
    metadata/metadata_2014.csv                              Id,Artist,Album,Track,...; lines of any length
    metadata/metadata_2015.csv                              id,Filename,title,artist,...
    MEMD_audio/<song_id>.mp3

Songs up to id 1000 are those of Emotion in Music. In the published table their two axes are swapped: the columns named
valence hold what Emotion in Music has as arousal (its song 5: arousal 4.4, valence 5.3; here valence_mean 4.4). They
are put right, unless the songs of `KNOWN` show a copy in which somebody has done so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mertag.errors import ConfigError
from mertag_train.data.datasets.base import Dataset, repeated
from mertag_train.data.datasets.published import (
    Columns,
    Origin,
    find_root,
    mp3_files,
    parted_above,
    published,
    rated_songs,
)
from mertag_train.data.datasets.tables import Row, read_table

THRESHOLD = 5.0
"""The middle of the scale: V+ and A+ are `>`, as for Emotion in Music."""
SCALE = (1.0, 9.0)
LAST_SWAPPED = 1000
"""The highest id of the songs whose columns are swapped."""
KNOWN: Mapping[str, tuple[float, float]] = {"2": (3.0, 3.1), "3": (3.3, 3.5), "4": (5.5, 5.7), "5": (5.3, 4.4)}
"""Mean valence and arousal of some of these songs, as Emotion in Music has them."""
ROUNDING = 0.05

SONG_LEVEL = "annotations/annotations averaged per song/song_level"
STATIC = tuple(f"{SONG_LEVEL}/static_annotations_averaged_songs_{ids}.csv" for ids in ("1_2000", "2000_2058"))
METADATA = {
    "metadata/metadata_2013.csv": ("song_id", "Song title", "Artist"),
    "metadata/metadata_2014.csv": ("Id", "Track", "Artist"),
    "metadata/metadata_2015.csv": ("id", "title", "artist"),
}
"""The tables that say whose music it is: their columns for id, title and artist."""
COLUMNS = Columns(valence="valence_mean", arousal="arousal_mean", title="title", artist="artist")

ORIGIN = Origin(
    name="deam",
    title="DEAM: 45-second excerpts and 58 whole songs, rated on valence and arousal",
    size="1,802 songs; those up to id 1000 are Emotion in Music's",
    licence="for research; the songs are under Creative Commons licences, many non-commercial",
    source="https://cvml.unige.ch/databases/DEAM/",
    citation="A. Aljanaki, Y.-H. Yang, M. Soleymani, Developing a benchmark for emotional analysis of music, "
    "PLOS ONE 12(3), 2017",
    subfolders=("DEAM",),
    files=(*STATIC, *METADATA),
    audio="the folder MEMD_audio, as <song_id>.mp3",
)


def read(data_dir: Path | str | None = None, *, threshold: float = THRESHOLD) -> Dataset:
    """Read DEAM.

    The folder is the one that holds ``annotations``, ``metadata`` and ``MEMD_audio``, else ``$MERTAG_DATA/deam``. A
    rating above the threshold is positive, on both axes. Ratings over time are not read.

    Raises
    ------
    ConfigError
        If the threshold lies outside the scale.
    DatasetError
        If a table is missing, an id stands twice or is no number, or a rating is not a number in 1..9.
    """
    if not SCALE[0] <= threshold < SCALE[1]:
        raise ConfigError(f"DEAM's threshold is {threshold:g}; choose one from 1 to below 9.")
    root = find_root(ORIGIN, data_dir)
    ratings: dict[str, Row] = {}
    for name in STATIC:
        for song, row in read_table(root / name, ("song_id", "valence_mean", "arousal_mean")).by("song_id").items():
            if song in ratings:
                raise row.fault(f"song {song!r} stands in {ratings[song].path.name}, too", "Delete one of the lines.")
            ratings[song] = row
    early = [song for song, row in ratings.items() if row.number("song_id", low=1) <= LAST_SWAPPED]
    swapped = not _mended(ratings)
    if swapped:
        ratings |= {song: _exchanged(ratings[song]) for song in early}
    about = _whose(root, ratings)
    audio = mp3_files(root / "MEMD_audio")
    songs = rated_songs(
        ratings,
        about,
        audio,
        COLUMNS,
        scale=SCALE,
        positive=lambda valence, arousal: (valence > threshold, arousal > threshold),
        dynamics={},
    )
    notes = [f"{' and '.join(ids)} are one recording and stay together." for ids in repeated(songs)]
    if early:
        how = "are swapped in the published table and were put right" if swapped else "were put right in this copy"
        notes.append(
            f"Valence and arousal of the {len(early)} songs with ids up to {LAST_SWAPPED} {how}. These songs are those "
            "of Emotion in Music: do not train on the one and measure on the other."
        )
    nameless = sum(song.artist is None for song in songs)
    if nameless:
        notes.append(f"No artist is known for {nameless} of {len(songs)} songs: each is a group of its own.")
    return published(ORIGIN, root, songs, audio, notes=tuple(notes), **parted_above(threshold, SCALE))


def _mended(ratings: Mapping[str, Row]) -> bool:
    """Return whether the songs that are known stand in the right columns; not so if none of them is there."""
    here = [
        (ratings[song].number("valence_mean"), ratings[song].number("arousal_mean"), known)
        for song, known in KNOWN.items()
        if song in ratings
    ]
    return bool(here) and all(
        abs(valence - known[0]) < ROUNDING and abs(arousal - known[1]) < ROUNDING for valence, arousal, known in here
    )


def _exchanged(row: Row) -> Row:
    return replace(
        row,
        values={
            **row.values,
            "valence_mean": row.text("arousal_mean"),
            "arousal_mean": row.text("valence_mean"),
        },
    )


def _whose(root: Path, ratings: Mapping[str, Row]) -> dict[str, Row]:
    """Return title and artist of every rated song, empty where no table has it."""
    found = {song: replace(row, values={"title": "", "artist": ""}) for song, row in ratings.items()}
    for name, columns in METADATA.items():
        for row in read_table(root / name, columns, ragged=True):
            song, title, artist = map(row.text, columns)
            if song in found:
                found[song] = replace(row, values={"title": _unquoted(title), "artist": _unquoted(artist)})
    return found


def _unquoted(text: str) -> str:
    return text.strip('" ')
