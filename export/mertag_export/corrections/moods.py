"""Which songs have a mood of their owner's, as the files themselves tell, and which were left as mertag wrote them.

A song whose mood is mertag's counts as agreed with if something in its folder was corrected: its owner has been there.
Of other songs nothing is known.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mertag.emotion import QUADRANTS, Quadrant
from mertag.errors import FileError
from mertag.library.overview.facts import read_facts
from mertag.library.tags import read_tags
from mertag.library.tags.fields import mood_is_ours
from mertag.library.tags.options import DEFAULT_LABELS, MOOD, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnersMoods:
    """What the files of a library say.

    Attributes
    ----------
    owned : mapping of Path to Quadrant
        Songs with a mood of their owner's that names a quadrant.
    left : sequence of Path
        Songs with mertag's mood, in folders of `owned` songs.
    other : mapping of str to int
        Moods of the owner's that name no quadrant, and how many songs have them.
    n : int
        How many songs have a mood at all.
    """

    owned: Mapping[Path, Quadrant]
    left: Sequence[Path]
    other: Mapping[str, int] = field(default_factory=dict)
    n: int = 0


def owners_moods(
    songs: Iterable[Path], *, labels: Labels = DEFAULT_LABELS, on_error: Callable[[Path, str], None]
) -> OwnersMoods:
    """Read the moods of songs.

    Parameters
    ----------
    songs : iterable of Path
        The files; one that cannot be read is told to `on_error`, with the reason.
    labels : tuple of 4 str
        What the owner calls the quadrants; the English names are known as well. Upper and lower case are alike.
    """
    names = {text.casefold(): q for words in (DEFAULT_LABELS, labels) for q, text in zip(QUADRANTS, words, strict=True)}
    owned: dict[Path, Quadrant] = {}
    left: list[Path] = []
    other: Counter[str] = Counter()
    for path in songs:
        try:
            fields = read_tags(path)
        except FileError as error:
            on_error(path, error.reason)
            continue
        mood = fields.get(MOOD, ())
        if mood_is_ours(fields):
            left.append(path)
        elif mood and mood[0].strip().casefold() in names:
            owned[path] = names[mood[0].strip().casefold()]
        elif mood:
            other[mood[0]] += 1
    folders = {path.parent for path in owned}
    n = len(owned) + len(left) + other.total()
    return OwnersMoods(owned=owned, left=[path for path in left if path.parent in folders], other=other, n=n)


def sample(songs: Sequence[Path], at_most: int, *, seed: int = 0) -> tuple[list[Path], float]:
    """Return some of the songs, drawn at random if there are too many, and for how many songs each stands."""
    if len(songs) <= at_most:
        return list(songs), 1.0
    return random.Random(seed).sample(list(songs), at_most), len(songs) / at_most


def artist_of(path: Path) -> str:
    """Return whose song it is, as its tags say; if they do not, its folder."""
    return read_facts(path).artist.casefold() or str(path.parent)
