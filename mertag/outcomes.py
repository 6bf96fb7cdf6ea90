"""What became of one file: the three outcomes, and a song's emotion over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from mertag.emotion import SongEmotion, Target
from mertag.errors import FileError, MertagError, SilentError, TooShortError, UnsupportedFormatError

SkipKind = Literal["too_short", "silent", "unsupported"]

COURSE_PARTS, COURSE_STEPS, COURSE_NOTHING = 32, 250, 255
"""How a course is kept, see `Tagged`."""

SKIPS: Mapping[SkipKind, type[FileError]] = MappingProxyType(
    {"too_short": TooShortError, "silent": SilentError, "unsupported": UnsupportedFormatError}
)
"""The error that stands for each kind, where one file is asked for and an error is the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """A song with its emotion; `index` counts what was given, from 0, and `path` is a str if that was no file.

    `course` is its emotion over time: two bytes, P(V+) and P(A+) in steps of 1 / `COURSE_STEPS`, for each of at most
    `COURSE_PARTS` equal parts of it; both are `COURSE_NOTHING` for a part that is silent or was not analysed. Empty: it
    is not known. `timeline` has every segment, where that was asked for.
    """

    index: int
    path: Path | str
    emotion: SongEmotion
    course: bytes = b""
    timeline: SegmentTimeline | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file that cannot have an emotion, though nothing is wrong with it."""

    index: int
    path: Path | str
    reason: str
    kind: SkipKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A file that should have got an emotion, and did not."""

    index: int
    path: Path | str
    reason: str
    error: MertagError


Outcome = Tagged | Skipped | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentTimeline:
    """The emotion of a song over time: what a plot needs.

    Attributes
    ----------
    times_s : float64 array, shape (n_segments,)
        Where each segment starts, in seconds.
    segment_s : float
        Duration of a segment.
    probabilities : mapping of Target to float32 array, shape (n_segments, n_classes)
        Segment probabilities of each head.
    emotion : SongEmotion
        Of the whole song.
    silent_times_s : float64 array, shape (n_silent,)
        Where the segments start that are silent, and left out of the others.
    """

    times_s: npt.NDArray[np.float64]
    segment_s: float
    probabilities: Mapping[Target, npt.NDArray[np.float32]]
    emotion: SongEmotion
    silent_times_s: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @property
    def quadrant_probabilities(self) -> npt.NDArray[np.float32]:
        """P(Q1)..P(Q4) of each segment, shape (n_segments, 4); of two heads, the products of the two sides."""
        found = self.probabilities
        if Target.QUADRANT in found:
            return found[Target.QUADRANT]
        v, a = found[Target.VALENCE][:, 1], found[Target.AROUSAL][:, 1]
        return np.stack([v * a, (1 - v) * a, (1 - v) * (1 - a), v * (1 - a)], axis=1)


def outcome_of(error: MertagError, *, index: int, path: Path | str) -> Skipped | Failed:
    """Return the outcome that an error about one file means."""
    reason = error.reason if isinstance(error, FileError) else str(error)
    for kind, kind_of_error in SKIPS.items():
        if isinstance(error, kind_of_error):
            return Skipped(index=index, path=path, reason=reason, kind=kind)
    return Failed(index=index, path=path, reason=reason, error=error)
