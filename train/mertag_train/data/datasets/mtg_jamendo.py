"""MTG-Jamendo's mood and theme subset: 18,486 whole songs, tagged by who uploaded them (Bogdanov et al., 2019).

Layout: a clone of the repository, with the audio in a folder of it::

    data/autotagging_moodtheme.tsv                              TRACK_ID,ARTIST_ID,ALBUM_ID,PATH,DURATION,TAGS...
    data/splits/split-0/autotagging_moodtheme-{train,validation,test}.tsv       optional
    audio/00/<id>.mp3, or <id>.low.mp3

Tags are not ratings. A tag says something of valence or arousal only where its meaning does (`TAGS`): themes (film,
sport, christmas), kinds (ballad, soundscape) and moods of either sign (emotional, epic, love) say nothing. A song is
used if its tags say both axes and none says the opposite of another; all others are left out and counted. No tag means
anger: a song is of Q2 only where one tag says V- and another A+, such as dark and energetic, so that Q2 is small.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from mertag.errors import DatasetError
from mertag_train.data.datasets.base import Dataset, Song, targets_of_signs
from mertag_train.data.datasets.published import Origin, find_root, mp3_files, published
from mertag_train.data.datasets.tables import Row, read_table

TRACKS = "data/autotagging_moodtheme.tsv"
SPLIT = "data/splits/split-0/autotagging_moodtheme-{}.tsv"
PARTS = ("train", "validation", "test")
PREFIX = "mood/theme---"
COLUMNS = ("TRACK_ID", "ARTIST_ID", "PATH", "TAGS")

ORIGIN = Origin(
    name="mtg-jamendo",
    title="MTG-Jamendo, mood and theme: whole songs, tagged by their uploaders",
    size="18,486 songs, of which those are used whose tags say valence and arousal; 152 GB of audio",
    licence="tags CC BY-NC-SA 4.0; each song its own Creative Commons licence",
    source="https://github.com/MTG/mtg-jamendo-dataset",
    citation="D. Bogdanov, M. Won, P. Tovstogan, A. Porter, X. Serra, The MTG-Jamendo dataset for automatic music "
    "tagging, ICML 2019",
    subfolders=("mtg-jamendo-dataset",),
    files=(TRACKS,),
    audio="the folder audio, as 00/<id>.mp3 or 00/<id>.low.mp3",
)

Signs = tuple[int, int]
TAGS: Mapping[str, Signs] = {
    **dict.fromkeys(("happy", "fun", "party", "upbeat"), (1, 1)),
    **dict.fromkeys(("positive", "uplifting", "hopeful"), (1, 0)),
    **dict.fromkeys(("calm", "relaxing"), (1, -1)),
    **dict.fromkeys(("sad", "melancholic"), (-1, -1)),
    **dict.fromkeys(("dark", "horror"), (-1, 0)),
    **dict.fromkeys(("energetic", "fast", "powerful", "heavy", "action"), (0, 1)),
    **dict.fromkeys(("meditative", "mellow", "soft", "slow"), (0, -1)),
}
"""What a tag says of valence and of arousal: 1 positive, -1 negative, 0 nothing. All others say nothing."""


def read(data_dir: Path | str | None = None) -> Dataset:
    """Read MTG-Jamendo's mood and theme subset.

    The folder is the clone of its repository, or one that holds it, else ``$MERTAG_DATA/mtg-jamendo``. A song's
    `official_split` is the part of the authors' first split, None for a song in none. Artists are the data set's
    numbers. Titles are not in it: every song is a recording of its own.

    Raises DatasetError if a table is not as published, or no song is left.
    """
    root = find_root(ORIGIN, data_dir)
    rows = read_table(root / TRACKS, COLUMNS, delimiter="\t", ragged=True).by("TRACK_ID")
    signs = {track: signs_of(_tags(row)) for track, row in rows.items()}
    used = {track: both for track, both in signs.items() if isinstance(both, tuple)}
    if not used:
        raise DatasetError(f"{root / TRACKS}: no song has tags that say both valence and arousal.")
    audio = _audio(root / "audio", {track: row.required("PATH") for track, row in rows.items()})
    parts = _parts(root)
    songs = [
        Song(
            id=track,
            path=audio.get(track),
            group=track,
            artist=rows[track].text("ARTIST_ID") or None,
            targets=targets_of_signs(valence_positive=valence > 0, arousal_positive=arousal > 0),
            official_split=parts.get(track),
        )
        for track, (valence, arousal) in used.items()
    ]
    left_out = Counter(why for why in signs.values() if isinstance(why, str))
    notes = [f"{len(used):,} of {len(rows):,} songs have tags that say both valence and arousal."]
    notes += [f"Left out: {n:,} songs {why}." for why, n in left_out.most_common()]
    return published(
        ORIGIN,
        root,
        songs,
        {track: path for track, path in audio.items() if track in used},
        labelling="quadrant of the uploaders' mood tags; those that say less, or contradict each other, are left out",
        notes=tuple(notes),
    )


def signs_of(tags: Iterable[str]) -> Signs | str:
    """Return what a song's tags say of valence and arousal, each 1 or -1; in words, why not, if they don't say both."""
    said = [TAGS[tag] for tag in tags if tag in TAGS]
    valences, arousals = ({pair[axis] for pair in said} - {0} for axis in (0, 1))
    if len(valences) > 1 or len(arousals) > 1:
        return "whose tags contradict each other"
    if valences and arousals:
        return valences.pop(), arousals.pop()
    if valences or arousals:
        return f"whose tags say nothing of {'arousal' if valences else 'valence'}"
    return "whose tags say nothing of either"


def _tags(row: Row) -> list[str]:
    return [tag.removeprefix(PREFIX) for tag in row.text("TAGS").split("\t") if tag.startswith(PREFIX)]


def _audio(folder: Path, wanted: Mapping[str, str]) -> dict[str, Path]:
    """Return the audio of the tracks that have any, whole or in the smaller files that the authors also give out."""
    there = {f"{sub.name}/{name}": path for sub in _subfolders(folder) for name, path in mp3_files(sub).items()}
    found = {}
    for track, path in wanted.items():
        name = path.removesuffix(".mp3")
        file = there.get(name) or there.get(f"{name}.low")
        if file is not None:
            found[track] = file
    return found


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _parts(root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in PARTS:
        path = root / SPLIT.format(part)
        if path.is_file():
            table = read_table(path, ("TRACK_ID",), delimiter="\t", ragged=True)
            found |= dict.fromkeys(table.by("TRACK_ID"), part)
    return found
