"""Emotion in Music, or "1000 songs": 744 clips of 45 seconds (Soleymani et al., 2013).

Layout::

    annotations/static_annotations.csv      song_id,mean_arousal,std_arousal,mean_valence,std_valence; 1..9
    annotations/songs_info.csv              song_id,file_name,Artist,Song title,...,Mediaeval 2013 set
    annotations/arousal_cont_average.csv    song_id,sample_15000ms,sample_15500ms,..; -1..1; optional, with
    annotations/valence_cont_average.csv    its counterpart
    clips_45seconds/<song_id>.mp3

Audio without a row is one of the duplicates that the authors took out, and is not used.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from mertag.errors import ConfigError
from mertag_train.data.datasets.base import Dataset, Dynamics, repeated
from mertag_train.data.datasets.published import (
    Columns,
    Origin,
    find_root,
    mp3_files,
    parted_above,
    published,
    rated_songs,
    refuse_absent,
)
from mertag_train.data.datasets.tables import Row, Table, fault, read_table

THRESHOLD = 5.0
"""The middle of the scale: V+ and A+ are `>`."""
SCALE = (1.0, 9.0)
DYNAMIC_SCALE = (-1.0, 1.0)

STATIC = "annotations/static_annotations.csv"
INFO = "annotations/songs_info.csv"
AROUSAL = "annotations/arousal_cont_average.csv"
VALENCE = "annotations/valence_cont_average.csv"
SPLIT = "Mediaeval 2013 set"
SPLITS = ("development", "evaluation")
COLUMNS = Columns(valence="mean_valence", arousal="mean_arousal", title="Song title", artist="Artist")

ORIGIN = Origin(
    name="eim",
    title="Emotion in Music (1000 songs): 45-second clips, rated on valence and arousal",
    size="744 clips",
    licence="for research; the songs are under Creative Commons licences, many non-commercial",
    source="https://cvml.unige.ch/databases/emoMusic/",
    citation="M. Soleymani, M. N. Caro, E. M. Schmidt, C.-Y. Sha, Y.-H. Yang, 1000 songs for emotional "
    "analysis of music, CrowdMM 2013",
    subfolders=(),
    files=(STATIC, INFO),
    audio="the folder clips_45seconds, as <song_id>.mp3",
)


def read(data_dir: Path | str | None = None, *, threshold: float = THRESHOLD) -> Dataset:
    """Read Emotion in Music.

    The folder is the one that holds ``annotations`` and ``clips_45seconds``, else ``$MERTAG_DATA/eim``. A rating above
    the threshold is positive, on both axes. `Song.official_split` is ``"development"`` or ``"evaluation"``.

    Raises
    ------
    ConfigError
        If the threshold lies outside the scale.
    DatasetError
        If a rating is not a number in 1..9, a rated song has no line in ``songs_info.csv``, or only one of
        the two tables of ratings over time is there.
    """
    if not SCALE[0] <= threshold < SCALE[1]:
        raise ConfigError(f"Emotion in Music's threshold is {threshold}; choose one from 1 to below 9.")
    root = find_root(ORIGIN, data_dir)
    ratings = read_table(root / STATIC, ("song_id", "mean_arousal", "mean_valence")).by("song_id")
    info = read_table(root / INFO, ("song_id", "Artist", "Song title", SPLIT)).by("song_id")
    why = ", which says whose music it is"
    refuse_absent(ratings, info, INFO, f"Take {INFO} from the same download.", why)
    audio = mp3_files(root / "clips_45seconds")
    dynamics = _dynamics(root)
    rated = rated_songs(
        ratings,
        info,
        audio,
        COLUMNS,
        scale=SCALE,
        positive=lambda valence, arousal: (valence > threshold, arousal > threshold),
        dynamics=dynamics,
    )
    songs = [replace(song, official_split=_official_split(info[song.id])) for song in rated]
    notes = [f"{' and '.join(ids)} are one recording and stay together." for ids in repeated(songs)]
    if not dynamics:
        notes.append("There are no ratings over time.")
    return published(ORIGIN, root, songs, audio, notes=tuple(notes), **parted_above(threshold, SCALE))


def _official_split(row: Row) -> str:
    value = row.text(SPLIT).casefold()
    if value not in SPLITS:
        raise row.fault(f"unknown set {row.text(SPLIT)!r}", f"Write {' or '.join(SPLITS)}.")
    return value


def _dynamics(root: Path) -> dict[str, Dynamics]:
    there = [name for name in (VALENCE, AROUSAL) if (root / name).is_file()]
    if not there:
        return {}
    if len(there) == 1:
        absent = AROUSAL if there == [VALENCE] else VALENCE
        raise fault(
            root / absent, None, f"absent, but {there[0]} is there", "Ratings over time need both: copy it, too."
        )
    valence, arousal = (read_table(root / name, ("song_id",)) for name in (VALENCE, AROUSAL))
    columns = _times(valence)
    if _times(arousal) != columns:
        raise fault(arousal.path, 1, f"other times than in {VALENCE}", "Take both from the same download.")
    names = sorted(columns, key=columns.__getitem__)
    times_s = tuple(columns[name] for name in names)
    other = arousal.by("song_id")
    found = {}
    for song, row in valence.by("song_id").items():
        if song not in other:
            raise row.fault(f"song {song!r} has no line in {AROUSAL}", "Take both from the same download.")
        v, a = (
            tuple(side.number(name, low=DYNAMIC_SCALE[0], high=DYNAMIC_SCALE[1]) for name in names)
            for side in (row, other[song])
        )
        found[song] = Dynamics(times_s=times_s, valence=v, arousal=a, scale=DYNAMIC_SCALE)
    return found


def _times(table: Table) -> dict[str, float]:
    """Return the time in seconds of each column such as ``sample_15500ms``."""
    matches = {name: re.fullmatch(r"sample_(\d+)ms", name) for name in table.columns}
    times = {name: int(match[1]) / 1000 for name, match in matches.items() if match}
    if not times:
        raise fault(table.path, 1, "no column such as 'sample_15000ms'", "Take the table from the published data set.")
    return times
