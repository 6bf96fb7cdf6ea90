"""Which songs a playlist holds, and in which order.

A song is in one playlist once: of files with the same audio, the first by path is taken. It is in that of the mood that
its file has: its owner's, if that is one of the moods, else the one that was heard.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mertag.emotion import QUADRANT_LABELS, QUADRANTS
from mertag.errors import ConfigError
from mertag.library.overview.songs import Song
from mertag.library.tags.fields import is_unclear

_NUMBER = r"(?:0|1|0?\.[0-9]+|1\.0+)"
_RANGE = re.compile(rf"({_NUMBER})?\.\.({_NUMBER})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Values from `low` to `high`, both included, in 0..1."""

    low: float = 0.0
    high: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Range:
        """Return the range that a text means, as in the queries of beets: ``0.7..``, ``..0.3``, ``0.2..0.5``.

        Raises
        ------
        ConfigError
            If it is no such text, or nothing lies in it.
        """
        match = _RANGE.fullmatch(text.strip())
        if match is None or match[0] == "..":
            raise ConfigError(f"the range {text!r} cannot be; write 0.7.. or ..0.3 or 0.2..0.5, of numbers from 0 to 1")
        found = cls(low=float(match[1] or 0), high=float(match[2] or 1))
        if found.low > found.high:
            raise ConfigError(f"nothing lies in the range {text!r}; put the smaller number first")
        return found

    @property
    def is_all(self) -> bool:
        """Whether every value lies in it."""
        return (self.low, self.high) == (0.0, 1.0)

    def holds(self, value: float) -> bool:
        """Return whether a value lies in it."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        low = "" if self.low == 0 else f"{self.low:g}"
        high = "" if self.high == 1 else f"{self.high:g}"
        return f"{low}..{high}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What songs must be to be taken.

    Attributes
    ----------
    min_confidence : float
        Least confidence, in 0..1.
    valence, arousal : Range
        P(V+) and P(A+).
    limit : int, optional
        Take so many at most.
    """

    min_confidence: float = 0.0
    valence: Range = field(default_factory=Range)
    arousal: Range = field(default_factory=Range)
    limit: int | None = None

    def takes(self, song: Song) -> bool:
        """Return whether a song is one of them, whatever the limit."""
        emotion = song.emotion
        return (
            emotion.confidence >= self.min_confidence
            and self.valence.holds(emotion.valence)
            and self.arousal.holds(emotion.arousal)
        )


def by_mood(
    songs: Iterable[Song], wanted: Wanted, labels: Sequence[str], *, balanced: str | None = None
) -> dict[str, list[Song]]:
    """Return the songs of each mood, the most certain first, which are those whose mood is their owner's.

    `labels` are the names of Q1..Q4, `balanced` that of the middle (see `mertag.library.tags.options.TagOptions`).
    """
    found: dict[str, list[Song]] = {label: [] for label in (*labels, *([balanced] if balanced else []))}
    names = dict(zip(QUADRANTS, labels, strict=True))
    known = {QUADRANT_LABELS[quadrant].casefold(): label for quadrant, label in names.items()}
    known |= {label.casefold(): label for label in found}
    owners: set[bytes] = set()
    for song in each_once(songs):
        if not wanted.takes(song):
            continue
        heard = balanced if balanced and is_unclear(song.emotion) else names[song.emotion.quadrant]
        chosen = next((known[mood.casefold()] for mood in song.facts.mood if mood.casefold() in known), None)
        if chosen is not None:
            owners.add(song.place)
        found[chosen or heard].append(song)
    for of_mood in found.values():
        of_mood.sort(key=lambda song: (song.place not in owners, -song.emotion.confidence, song.place))
        del of_mood[len(of_mood) if wanted.limit is None else wanted.limit :]
    return found


def each_once(songs: Iterable[Song]) -> list[Song]:
    """Return songs without those whose audio an earlier one has."""
    return list({song.audio: song for song in reversed(list(songs))}.values())[::-1]
