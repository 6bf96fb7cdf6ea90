"""An analysis as text, as the state file keeps it: an emotion, or why a song has none.

Figures are kept to the last digit, so that tags written from memory are those written after the analysis. A text that
is damaged, or that a later mertag wrote, is no result: the song is analysed again.
"""

from __future__ import annotations

import json
from pathlib import Path

from mertag import strict_json
from mertag.emotion import QUADRANTS, Quadrant, SongEmotion
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
    elif isinstance(outcome, Skipped) and outcome.kind in _REMEMBERED:
        found = {"skipped": outcome.kind, "reason": outcome.reason}
    else:
        return None
    return json.dumps(found, separators=(",", ":"), allow_nan=False)


def decode(text: str, *, index: int, path: Path) -> Tagged | Skipped | None:
    """Return the outcome that a text stands for, as that of a song; None if it is no result."""
    try:
        found = strict_json.parse(text)
        if "skipped" in found:
            kind = _REMEMBERED[strict_json.get(found, "skipped", str)]
            return Skipped(index=index, path=path, kind=kind, reason=strict_json.get(found, "reason", str))
        return Tagged(index=index, path=path, emotion=_emotion(found))
    except (ValueError, KeyError):
        return None


def _emotion(found: dict[str, object]) -> SongEmotion:
    confidence, valence, arousal, duration_s = (strict_json.get(found, name, float) for name in _NUMBERS)
    n_segments, n_windows = (strict_json.get(found, name, int) for name in _COUNTS)
    given = strict_json.get(found, "quadrant_probabilities", list)
    if len(given) != len(QUADRANTS) or not all(isinstance(p, float | int) and 0 <= p <= 1.001 for p in given):
        raise ValueError("quadrant_probabilities must be four probabilities")
    p1, p2, p3, p4 = (float(p) for p in given)
    if not all(0 <= p <= 1 for p in (confidence, valence, arousal)):
        raise ValueError("a probability must be from 0 to 1")
    return SongEmotion(
        quadrant=Quadrant(strict_json.get(found, "quadrant", str)),
        confidence=confidence,
        valence=valence,
        arousal=arousal,
        quadrant_probabilities=(p1, p2, p3, p4),
        duration_s=duration_s,
        n_segments=n_segments,
        n_windows=n_windows,
        model=strict_json.get(found, "model", str),
    )
