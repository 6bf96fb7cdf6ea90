"""From what each rival says of a clip to a quadrant: the rules that `rivals.py` states."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mertag.emotion import QUADRANTS, Quadrant, quadrant_of

Placed = Mapping[str, Quadrant]
"""By song id, where a clip was placed."""
Said = Mapping[str, Mapping[str, Any]]
"""By song id, what was said of a clip, by name."""

SONARA_MOODS = ("mood_happy", "mood_aggressive", "mood_sad", "mood_relaxed")
TAGS = (
    ("happy", "party"),
    ("metal", "heavy metal", "hard rock", "punk"),
    ("sad",),
    ("chill", "chillout", "Mellow", "easy listening"),
)
"""MSD-musicnn's tags of Q1, Q2, Q3 and Q4."""


def by_axes(said: Said, names: tuple[str, str], *, at: tuple[float, float] = (0.5, 0.5)) -> dict[str, Quadrant]:
    """Place clips by two numbers, valence and arousal: positive above `at`."""
    return {
        clip: quadrant_of(valence_positive=float(row[names[0]]) > at[0], arousal_positive=float(row[names[1]]) > at[1])
        for clip, row in said.items()
    }


def medians(said: Said, names: tuple[str, str]) -> tuple[float, float]:
    """Return the medians of two numbers over the clips."""
    first, second = (statistics.median(float(row[name]) for row in said.values()) for name in names)
    return first, second


def by_largest(scores: Mapping[str, Sequence[float]]) -> dict[str, Quadrant]:
    """Place clips by the largest of four scores, Q1 to Q4; of equal ones, the first."""
    return {clip: QUADRANTS[max(range(4), key=four.__getitem__)] for clip, four in scores.items()}


def tag_scores(said: Said) -> dict[str, list[float]]:
    """Return the mean probability of each quadrant's tags."""
    return {clip: [statistics.fmean(row[tag] for tag in tags) for tags in TAGS] for clip, row in said.items()}


def to_medians(scores: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Return scores, each divided by its median over the clips."""
    usual = [statistics.median(column) for column in zip(*scores.values(), strict=True)]
    return {clip: [score / median for score, median in zip(four, usual, strict=True)] for clip, four in scores.items()}


def of_vibenet(said: Said) -> dict[str, Placed]:
    """Return VibeNet's rows."""
    names = ("valence", "energy")
    return {
        "VibeNet, at 0.5": by_axes(said, names),
        "VibeNet, at its medians": by_axes(said, names, at=medians(said, names)),
    }


def of_sonara(said: Said) -> dict[str, Placed]:
    """Return sonara's rows."""
    names = ("valence", "energy")
    moods = {clip: [float(row[mood]) for mood in SONARA_MOODS] for clip, row in said.items()}
    return {
        "sonara, at 0.5": by_axes(said, names),
        "sonara, at its medians": by_axes(said, names, at=medians(said, names)),
        "sonara, its own moods": by_largest(moods),
    }


def of_musicnn(said: Said) -> dict[str, Placed]:
    """Return musicnn's rows."""
    scores = tag_scores(said)
    return {
        "musicnn, zero shot": by_largest(scores),
        "musicnn, at its medians": by_largest(to_medians(scores)),
    }


def of_mertag(said: Said) -> dict[str, Placed]:
    """Return mertag's row; songs that it skipped, or that failed, have no quadrant."""
    return {"mertag": {clip: Quadrant(row["quadrant"]) for clip, row in said.items() if row["quadrant"]}}


def read_csv(text: str) -> dict[str, dict[str, str]]:
    """Return the rows of a table by the name of the file in ``path``, which is the song's id."""
    return {Path(row["path"]).stem: row for row in csv.DictReader(text.splitlines())}


def by_id(said: Said) -> dict[str, Mapping[str, Any]]:
    """Return what was said by path by song id."""
    return {Path(path).stem: row for path, row in said.items()}
