"""What the page knows of each song, as columns: numbers in base64, names once and then by number.

File names are text with a lone surrogate for each byte that is not UTF-8 (`os.fsdecode`), which the page turns back.
"""

from __future__ import annotations

import base64
import os
import sys
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from mertag._version import __version__
from mertag.emotion import QUADRANT_LABELS, QUADRANTS
from mertag.files import path_text
from mertag.library.overview.judgement import contradicts, to_judge
from mertag.library.overview.songs import UNSURE_BELOW, Remembered, Song

STEPS = 10_000
"""Probabilities are integers from 0 to this."""

TO_JUDGE = 30


def page_data(found: Remembered, paths: Sequence[Path]) -> dict[str, Any]:
    """Return all that the page shows, as plain JSON values."""
    songs = found.songs
    emotions = [song.emotion for song in songs]
    judged = to_judge(songs, TO_JUDGE)
    return {
        "mertag": __version__,
        "paths": [path_text(path) for path in paths],
        "models": sorted({emotion.model for emotion in emotions}),
        "n": len(songs),
        "without": sum(map(len, found.without.values())),
        "labels": list(QUADRANT_LABELS.values()),
        "unsureBelow": UNSURE_BELOW,
        "steps": STEPS,
        "mood": _numbers("B", (QUADRANTS.index(emotion.quadrant) for emotion in emotions)),
        "valence": _probabilities(emotion.valence for emotion in emotions),
        "arousal": _probabilities(emotion.arousal for emotion in emotions),
        "confidence": _probabilities(emotion.confidence for emotion in emotions),
        "seconds": _numbers("H", (min(65_535, round(emotion.duration_s)) for emotion in emotions)),
        "year": _numbers("H", (song.facts.year or 0 for song in songs)),
        "folder": _names(_folder_and_name(song)[0] for song in songs),
        "file": [_folder_and_name(song)[1] for song in songs],
        "title": [song.facts.title for song in songs],
        "artist": _names(song.facts.artist for song in songs),
        "album": _names(song.facts.album for song in songs),
        "genre": _names("; ".join(song.facts.genres) for song in songs),
        "ownMood": {str(i): "; ".join(song.facts.mood) for i, song in enumerate(songs) if song.facts.mood},
        "courseLength": _numbers("B", (len(song.course) for song in songs)),
        "course": base64.b64encode(b"".join(song.course for song in songs)).decode("ascii"),
        "judge": [[i, _why(songs[i])] for i in judged],
    }


def _why(song: Song) -> str:
    """Return why a listener should judge a song."""
    emotion = song.emotion
    if contradicts(song):
        return f"you chose {'; '.join(song.facts.mood)}, mertag heard {emotion.quadrant.label}"
    second = emotion.ranking[1]
    first_p, second_p = (emotion.quadrant_probabilities[QUADRANTS.index(q)] for q in (emotion.quadrant, second))
    return f"{emotion.quadrant.label} {first_p:.0%} or {second.label} {second_p:.0%}"


def _folder_and_name(song: Song) -> tuple[str, str]:
    folder, slash, name = os.fsdecode(song.place).rpartition(os.sep)
    return folder + slash, name


def _names(values: Iterable[str]) -> dict[str, Any]:
    """Return texts, each once, and for each song the number of its text."""
    numbers: dict[str, int] = {}
    found = [numbers.setdefault(value, len(numbers)) for value in values]
    return {"names": list(numbers), "of": _numbers("I", found)}


def _probabilities(values: Iterable[float]) -> str:
    return _numbers("H", (round(STEPS * min(1.0, value)) for value in values))


def _numbers(kind: Literal["B", "H", "I"], values: Iterable[int]) -> str:
    """Return unsigned integers of 1, 2 or 4 bytes, little-endian, in base64."""
    found = array(kind, values)
    if sys.byteorder == "big":  # pragma: no cover
        found.byteswap()
    return base64.b64encode(found.tobytes()).decode("ascii")
