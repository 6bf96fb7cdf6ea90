"""The names of the fields that mertag reads and writes, whatever they are called in a container."""

from __future__ import annotations

MOOD = "MOOD"
QUADRANT = "MERTAG_QUADRANT"
VALENCE = "MERTAG_VALENCE"
AROUSAL = "MERTAG_AROUSAL"
CONFIDENCE = "MERTAG_CONFIDENCE"
MODEL = "MERTAG_MODEL"
MARK = "MERTAG_MOOD"
"""Whose the mood is: the mood once more if it is mertag's, or `NOT_OURS`. Only written where the other fields
would tell the wrong thing."""
NOT_OURS = "not mertag's"

CHOOSABLE = (MOOD, QUADRANT, VALENCE, AROUSAL, CONFIDENCE, MODEL)
"""The fields of which a person chooses which are written."""

OWN = (*CHOOSABLE[1:], MARK)
KEYS = (MOOD, *OWN)
"""Every field that is read or written, in the order of writing."""
