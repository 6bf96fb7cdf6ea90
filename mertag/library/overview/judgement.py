"""The songs that most need a listener's judgement.

First those whose owner chose another of the four moods than the model did, the most certain of its mistakes first; then
those between two moods, by the margin of the first over the second.

Source: B. Settles, "Active learning literature survey", 2009, section 3.1 (margin sampling).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mertag.emotion import QUADRANT_LABELS
from mertag.library.overview.songs import Song

MOST_OF_AN_ALBUM = 2
"""So that one album does not take the whole list."""


def to_judge(songs: Sequence[Song], n: int) -> list[int]:
    """Return the positions of `n` songs, or fewer, the most needy first."""
    order = sorted(range(len(songs)), key=lambda i: _need(songs[i]))
    chosen: list[int] = []
    albums: Counter[tuple[str, str, bytes]] = Counter()
    for i in order:
        facts = songs[i].facts
        album = facts.artist, facts.album, b"" if facts.album else songs[i].place
        albums[album] += 1
        if albums[album] <= MOST_OF_AN_ALBUM:
            chosen.append(i)
        if len(chosen) == n:
            break
    return chosen


def contradicts(song: Song) -> bool:
    """Return whether the owner chose one of the four moods, and another one than the model."""
    owner = {mood.casefold() for mood in song.facts.mood}
    known = {label.casefold() for label in QUADRANT_LABELS.values()}
    return bool(owner & known) and song.emotion.quadrant.label.casefold() not in owner


def _need(song: Song) -> tuple[bool, float]:
    emotion = song.emotion
    if contradicts(song):
        return False, -emotion.confidence
    first, second = sorted(emotion.quadrant_probabilities, reverse=True)[:2]
    return True, first - second
