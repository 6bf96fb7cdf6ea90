"""A way over the map, from one mood to another: songs along the straight line, no artist twice in a row.

The ends lie within what the library has: a corner of the map is the 2nd or the 98th percentile of valence and of
arousal, so that a library without very calm songs has a calmest place all the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mertag.emotion import QUADRANT_LABELS, Quadrant
from mertag.errors import ConfigError
from mertag.library.overview.songs import Song
from mertag.library.playlists.choose import Wanted, each_once

USUAL_LENGTH = 25
"""Songs on a way, where no limit is given."""

OUTERMOST = 0.02, 0.98
"""The quantiles that are the corners of the map."""

_PLACES = {"calm": (0.5, 0.0), "lively": (0.5, 1.0), "pleasant": (1.0, 0.5), "unpleasant": (0.0, 0.5)}
_CORNERS = {Quadrant.Q1: (1.0, 1.0), Quadrant.Q2: (0.0, 1.0), Quadrant.Q3: (0.0, 0.0), Quadrant.Q4: (1.0, 0.0)}
_POINT = re.compile(r"([01]?\.?[0-9]+),([01]?\.?[0-9]+)")

Place = tuple[float, float]
"""Valence and arousal, from the one end of what the library has (0) to the other (1)."""


def place_of(name: str, labels: Sequence[str] = tuple(QUADRANT_LABELS.values())) -> Place:
    """Return the place that a name means: a mood, calm, lively, pleasant, unpleasant, or two numbers (``0.2,0.9``).

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    moods = {label.casefold(): corner for label, corner in zip(labels, _CORNERS.values(), strict=True)}
    key = name.strip().casefold()
    found = (moods | _PLACES).get(key)
    point = _POINT.fullmatch(key)
    if point is not None and max(float(point[1]), float(point[2])) <= 1:
        found = float(point[1]), float(point[2])
    if found is None:
        names = ", ".join((*labels, *_PLACES))
        raise ConfigError(f"there is no place {name!r} on the map; name one of {names}, or two numbers such as 0.2,0.9")
    return found


def journey(songs: Sequence[Song], start: Place, end: Place, wanted: Wanted) -> list[Song]:
    """Return songs along the way from one place to another, the nearest to each of equal steps.

    Parameters
    ----------
    songs : sequence of Song
        Those to choose from.
    start, end : tuple of 2 floats
        See `place_of`.
    wanted : Wanted
        Its `limit` is the number of steps; `USUAL_LENGTH` where there is none.

    Returns
    -------
    list of Song
        Fewer than there are steps where no song is left, or only one by the artist of the song before. Songs whose
        artist is not known may follow each other.
    """
    chosen = [song for song in each_once(songs) if wanted.takes(song)]
    if not chosen:
        return []
    places = np.array([(song.emotion.valence, song.emotion.arousal) for song in chosen])  # (n_songs, 2)
    numbers: dict[str, int] = {}
    artists = np.array([numbers.setdefault(song.facts.artist.casefold(), len(numbers)) for song in chosen])
    low, high = np.quantile(places, OUTERMOST, axis=0)
    n_steps = min(wanted.limit or USUAL_LENGTH, len(chosen))
    way: list[Song] = []
    free = np.ones(len(chosen), np.bool_)
    before = -1
    for step in np.linspace(0.0, 1.0, n_steps):
        at = low + (high - low) * ((1 - step) * np.array(start) + step * np.array(end))
        may = free & (artists != before)
        if not may.any():
            break
        far = np.where(may, ((places - at) ** 2).sum(axis=1), np.inf)
        best = int(far.argmin())
        way.append(chosen[best])
        free[best] = False
        before = int(artists[best]) if chosen[best].facts.artist else -1
    return way
