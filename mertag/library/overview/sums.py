"""A library summed up: moods with shares, by artist, album, genre, year and folder; what has no mood; what is unsure.

`Overview` is the format of ``mertag overview --json``, and stands in the report of ``mertag tag``.
"""

from __future__ import annotations

import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from mertag._version import __version__
from mertag.emotion import QUADRANT_LABELS, QUADRANTS, Quadrant
from mertag.library.overview.songs import UNSURE_BELOW, Remembered, Song
from mertag.library.records import SCHEMA, File, Probability, Struct, Version, one_of, path_and_bytes, says

Count = Annotated[int, Meta(ge=0)]
Label = Annotated[str, one_of(*QUADRANT_LABELS.values())]


class Moods(Struct):
    """How many songs have which mood: Q1 Happy, Q2 Angry, Q3 Sad, Q4 Relaxed."""

    Q1: Count
    Q2: Count
    Q3: Count
    Q4: Count


class MoodSum(Struct):
    """One mood in the library."""

    quadrant: Annotated[str, one_of(*QUADRANTS)]
    label: Label
    songs: Count
    share: Annotated[Probability, says("of the songs with an emotion")]
    confidence: Annotated[Probability | None, says("mean over its songs; null: there are none")]


class Group(Struct):
    """The songs of one artist, album, genre, year or folder."""

    name: str
    songs: Count
    moods: Moods
    confidence: Annotated[Probability, says("mean")]
    valence: Annotated[Probability, says("mean")]
    arousal: Annotated[Probability, says("mean")]


class Confidence(Struct):
    """How sure the model is."""

    mean: Probability
    median: Probability
    tenths: Annotated[list[int], says("how many songs have a confidence from 0 to 0.1, from 0.1 to 0.2, and so on")]


class Kept(Struct):
    """Songs with a mood that mertag did not write, and what it heard in them."""

    mood: Annotated[str, says("as it stands in the files; several with '; ' between them")]
    songs: Count
    heard: Moods


class Without(Struct):
    """Files that have no emotion, for the same reason."""

    reason: str
    files: list[File]


class Unsure(File, kw_only=True):
    """A song whose mood is more likely another one."""

    artist: str
    title: str
    label: Label
    second: Annotated[Label, says("the mood that is next in probability")]
    confidence: Probability


class Overview(Struct):
    """`mertag overview --json`, and `overview` in `mertag tag --report`: what is remembered of some folders."""

    schema: Literal[2]
    mertag: Version
    paths: Annotated[list[File], says("the folders and files that were asked for; empty: all that is remembered")]
    songs: Annotated[int, Meta(ge=0), says("files that have an emotion")]
    models: Annotated[dict[str, int], says("which models heard how many of them")]
    moods: list[MoodSum]
    confidence: Annotated[Confidence | None, says("null: there are no songs")]
    by_artist: list[Group]
    by_album: Annotated[list[Group], says("named 'artist - album', or 'album' where there is no artist")]
    by_genre: Annotated[list[Group], says("a song of several genres counts in each")]
    by_year: list[Group]
    by_folder: list[Group]
    kept: list[Kept]
    without: Annotated[list[Without], says("files that are remembered, and have no emotion")]
    unsure: Annotated[list[Unsure], says("songs with a confidence below 0.5, the least sure first")]
    gone: Annotated[int, Meta(ge=0), says("files that are remembered and no longer there; they count nowhere else")]
    changed: Annotated[int, Meta(ge=0), says("files that another program has changed since; they count as remembered")]


def overview(found: Remembered, paths: Sequence[Path] = ()) -> Overview:
    """Return what is remembered of the folders `paths`, summed up; the largest groups come first."""
    songs = found.songs
    return Overview(
        schema=SCHEMA,
        mertag=__version__,
        paths=[_file(os.fsencode(path)) for path in paths],
        songs=len(songs),
        models=dict(Counter(song.emotion.model for song in songs).most_common()),
        moods=_moods(songs),
        confidence=_confidence([song.emotion.confidence for song in songs]),
        by_artist=groups(songs, lambda song: [song.facts.artist]),
        by_album=groups(songs, lambda song: [_album(song)]),
        by_genre=groups(songs, lambda song: song.facts.genres),
        by_year=groups(songs, lambda song: [str(song.facts.year or "")]),
        by_folder=groups(songs, lambda song: [path_and_bytes(os.fsdecode(os.path.dirname(song.place)))[0]]),  # noqa: PTH120
        kept=_kept(songs),
        without=[
            Without(reason, [_file(place) for place in places])
            for reason, places in sorted(found.without.items(), key=lambda item: -len(item[1]))
        ],
        unsure=[_unsure(song) for song in least_sure(songs) if song.emotion.confidence < UNSURE_BELOW],
        gone=found.gone,
        changed=found.changed,
    )


def groups(songs: Iterable[Song], names: Callable[[Song], Iterable[str]]) -> list[Group]:
    """Return songs by name, the largest group first; a song for which there is no name is in none."""
    of_name: defaultdict[str, list[Song]] = defaultdict(list)
    for song in songs:
        for name in names(song):
            if name:
                of_name[name].append(song)
    return sorted((_group(name, of) for name, of in of_name.items()), key=lambda group: (-group.songs, group.name))


def least_sure(songs: Iterable[Song]) -> list[Song]:
    """Return songs by confidence, the least sure first."""
    return sorted(songs, key=lambda song: (song.emotion.confidence, song.place))


def _group(name: str, songs: Sequence[Song]) -> Group:
    def mean(values: Iterable[float]) -> float:
        return round(min(1.0, sum(values) / len(songs)), 4)

    return Group(
        name=name,
        songs=len(songs),
        moods=_counts(songs),
        confidence=mean(song.emotion.confidence for song in songs),
        valence=mean(song.emotion.valence for song in songs),
        arousal=mean(song.emotion.arousal for song in songs),
    )


def _counts(songs: Iterable[Song]) -> Moods:
    counts = Counter(song.emotion.quadrant for song in songs)
    return Moods(*(counts[quadrant] for quadrant in QUADRANTS))


def _moods(songs: Sequence[Song]) -> list[MoodSum]:
    sure: dict[Quadrant, list[float]] = {quadrant: [] for quadrant in QUADRANTS}
    for song in songs:
        sure[song.emotion.quadrant].append(song.emotion.confidence)
    found = [
        MoodSum(
            quadrant=quadrant.value,
            label=quadrant.label,
            songs=len(of),
            share=round(len(of) / max(1, len(songs)), 4),
            confidence=round(sum(of) / len(of), 4) if of else None,
        )
        for quadrant, of in sure.items()
    ]
    return sorted(found, key=lambda mood: -mood.songs)


def _confidence(values: Sequence[float]) -> Confidence | None:
    if not values:
        return None
    tenths = Counter(min(9, int(10 * value)) for value in values)
    return Confidence(
        mean=round(min(1.0, sum(values) / len(values)), 4),
        median=round(statistics.median(values), 4),
        tenths=[tenths[i] for i in range(10)],
    )


def _kept(songs: Iterable[Song]) -> list[Kept]:
    of_mood: defaultdict[str, list[Song]] = defaultdict(list)
    for song in songs:
        if song.facts.mood:
            of_mood["; ".join(song.facts.mood)].append(song)
    found = [Kept(mood, len(of), _counts(of)) for mood, of in of_mood.items()]
    return sorted(found, key=lambda kept: (-kept.songs, kept.mood))


def _unsure(song: Song) -> Unsure:
    emotion = song.emotion
    file = _file(song.place)
    return Unsure(
        path=file.path,
        path_base64=file.path_base64,
        artist=song.facts.artist,
        title=song.facts.title,
        label=emotion.quadrant.label,
        second=emotion.ranking[1].label,
        confidence=round(emotion.confidence, 4),
    )


def _album(song: Song) -> str:
    facts = song.facts
    return f"{facts.artist} - {facts.album}" if facts.artist and facts.album else facts.album


def _file(place: bytes) -> File:
    return File(*path_and_bytes(os.fsdecode(place)))
