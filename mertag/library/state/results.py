"""An analysis as text, as the state file keeps it: an emotion, or why a song has none.

Figures are kept to the last digit, so that tags written from memory are those written after the analysis. A text that
is damaged, or that a later mertag wrote, is no result: the song is analysed again.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mertag.emotion import Quadrant, SongEmotion
from mertag.outcomes import Outcome, SkipKind, Skipped, Tagged

_REMEMBERED: dict[str, SkipKind] = {"too_short": "too_short", "silent": "silent"}
"""Not "unsupported": the next version of a decoder may read it."""

_NUMBERS = ("confidence", "valence", "arousal", "duration_s")
_COUNTS = ("n_segments", "n_windows")


def encode(outcome: Outcome) -> str | None:
    """Return the text that stands for an outcome; None if it is not to be remembered, such as a failure."""
    if isinstance(outcome, Tagged):
        e = outcome.emotion
        found: dict[str, object] = {"quadrant": e.quadrant.value, "model": e.model}
        found |= {name: getattr(e, name) for name in (*_NUMBERS, *_COUNTS)}
        found["quadrant_probabilities"] = e.quadrant_probabilities
        if e.analysed_s is not None:
            found["analysed_s"] = e.analysed_s
    elif isinstance(outcome, Skipped) and outcome.kind in _REMEMBERED:
        found = {"skipped": outcome.kind, "reason": outcome.reason}
    else:
        return None
    return json.dumps(found, separators=(",", ":"), allow_nan=False)


def decode(text: str, *, index: int, path: Path) -> Tagged | Skipped | None:
    """Return the outcome that a text stands for, as that of a song; None if it is no result."""
    try:
        found = json.loads(text)  # not `strict_json`: a hundred thousand are read at once, and each figure is checked
        if "skipped" in found:
            return Skipped(index=index, path=path, kind=_REMEMBERED[found["skipped"]], reason=_text(found["reason"]))
        return Tagged(index=index, path=path, emotion=_emotion(found))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _emotion(found: dict[str, Any]) -> SongEmotion:
    p1, p2, p3, p4 = found["quadrant_probabilities"]
    confidence, valence, arousal = found["confidence"], found["valence"], found["arousal"]
    duration_s, n_segments, n_windows = found["duration_s"], found["n_segments"], found["n_windows"]
    for p in (p1, p2, p3, p4, confidence, valence, arousal):
        if not 0 <= p <= 1:  # also for NaN
            raise ValueError("a probability must be from 0 to 1")
    analysed_s = found.get("analysed_s")
    if analysed_s is not None and not 0 <= analysed_s <= duration_s:
        raise ValueError("no more than the song can have been heard")
    if not (0 <= duration_s < math.inf and type(n_segments) is type(n_windows) is int):
        raise ValueError("a duration and two counts are wanted")
    return SongEmotion(
        quadrant=Quadrant(found["quadrant"]),
        confidence=float(confidence),
        valence=float(valence),
        arousal=float(arousal),
        quadrant_probabilities=(float(p1), float(p2), float(p3), float(p4)),
        duration_s=float(duration_s),
        n_segments=n_segments,
        n_windows=n_windows,
        model=_text(found["model"]),
        analysed_s=None if analysed_s is None else float(analysed_s),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is wanted")
    return value
