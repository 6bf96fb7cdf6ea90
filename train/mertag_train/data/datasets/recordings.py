"""Which entries of a data set are the same recording, and which the same artist.

A recording on both sides of a split would be tested on what was learnt by heart. Titles and artists are
compared without case, punctuation and brackets: a comparison that ignores only case misses two of PMEmo's
thirteen pairs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping


def normalised(text: str) -> str:
    """Return a name as it is compared: case, punctuation and spacing left out."""
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold()))


def recording_key(title: str, artist: str) -> tuple[str, str] | None:
    """Return what two entries of one recording have in common, None where title or artist is unknown.

    What stands in brackets is left out, for ``"Song(Remix)"`` and ``"Song (feat. X)"`` are the same music as
    far as a fair split is concerned; a title that is nothing but a bracket is kept.
    """
    whole = normalised(title)
    bare = normalised(re.sub(r"\([^()]*\)|\[[^\[\]]*\]", " ", title))
    key = (bare or whole or title.strip(), artist_key(artist) or "")
    return key if all(key) else None


def artist_key(artist: str) -> str | None:
    """Return an artist's name as it is compared, None where there is none."""
    return normalised(artist) or artist.strip() or None


def group_recordings(keys: Mapping[str, tuple[str, str] | None]) -> dict[str, str]:
    """Return the recording group of each song: the id of the first song with the same key.

    Parameters
    ----------
    keys : mapping of str to (title, artist) or None
        `recording_key` by song id. A song without a key is a group of its own.
    """
    first: dict[tuple[str, str], str] = {}
    return {song: song if key is None else first.setdefault(key, song) for song, key in keys.items()}


def repeated(groups: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the groups that hold more than one song, each as its song ids."""
    members: dict[str, list[str]] = {}
    for song, group in groups.items():
        members.setdefault(group, []).append(song)
    return [tuple(ids) for ids in members.values() if len(ids) > 1]
