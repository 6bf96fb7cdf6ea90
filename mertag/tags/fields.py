"""Which fields a song gets, whatever its container.

The mood is a label such as ``Happy``; our own fields hold the figures behind it. Someone else's mood is never
replaced unless that is asked for. A mood counts as ours if the file has `MODEL` and its mood is what the
file's own `QUADRANT` (and, for a second mood, its `VALENCE`, `AROUSAL` and `CONFIDENCE`) implies. So a mood
that its owner chose, and that the model happened to agree with, counts as ours from then on: nothing in the
file tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from mertag.emotion import QUADRANT_LABELS, Quadrant, SongEmotion, quadrant_of
from mertag.errors import ConfigError
from mertag.tags.container import Fields

MOOD = "MOOD"
QUADRANT = "MERTAG_QUADRANT"
VALENCE = "MERTAG_VALENCE"
AROUSAL = "MERTAG_AROUSAL"
CONFIDENCE = "MERTAG_CONFIDENCE"
MODEL = "MERTAG_MODEL"

OWN = (QUADRANT, VALENCE, AROUSAL, CONFIDENCE, MODEL)
KEYS = (MOOD, *OWN)
"""Every field that is read or written, in the order of writing."""

SPLIT_BY_PLAYERS = "/;,"
DECIMALS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TagOptions:
    """How tags are written.

    Attributes
    ----------
    overwrite : bool
        Replace a mood that someone else wrote.
    min_confidence : float
        Below it no mood is written, our own fields still are. In 0..1.
    moods : int
        1, or 2 for the second most likely mood as well.
    preserve_mtime : bool
        Give the file its old modification time back.
    break_hard_links : bool
        Write files that have several names. The name that is given gets the new file, the others keep the old
        one, and the disk holds both; so such files are refused unless this is set.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    overwrite: bool = False
    min_confidence: float = 0.0
    moods: int = 1
    preserve_mtime: bool = False
    break_hard_links: bool = False

    def __post_init__(self) -> None:
        if self.moods not in (1, 2):
            raise ConfigError(f"moods is {self.moods}; give 1 or 2")
        if not 0.0 <= self.min_confidence <= 1.0:
            raise ConfigError(f"min_confidence is {self.min_confidence}; give a number from 0 to 1")


def planned(emotion: SongEmotion, options: TagOptions, old: Fields) -> dict[str, tuple[str, ...]]:
    """Return the fields that a file shall have.

    Parameters
    ----------
    emotion : SongEmotion
        What was heard.
    options : TagOptions
        Whose mood wins, and how many.
    old : mapping
        The fields that the file has.

    Raises
    ------
    ValueError
        If `emotion` holds a probability outside 0..1 or no model.
    """
    if not emotion.model.strip() or not emotion.model.isprintable():
        raise ValueError(f"the model of a SongEmotion must be a printable name, not {emotion.model!r}")
    labels = tuple(quadrant.label for quadrant in emotion.ranking[: options.moods])
    if any(mark in label for label in labels for mark in SPLIT_BY_PLAYERS):
        raise ValueError(f"mood labels must not hold any of {SPLIT_BY_PLAYERS!r}, which players split on")
    mood = labels if emotion.confidence >= options.min_confidence else ()
    kept = old.get(MOOD, ())
    if kept and not mood_is_ours(old) and not (options.overwrite and mood):
        mood = kept
    new = {
        MOOD: mood,
        QUADRANT: (emotion.quadrant.value,),
        VALENCE: (_probability(emotion.valence),),
        AROUSAL: (_probability(emotion.arousal),),
        CONFIDENCE: (_probability(emotion.confidence),),
        MODEL: (emotion.model,),
    }
    return {key: values for key, values in new.items() if values}


def without_ours(old: Fields) -> dict[str, tuple[str, ...]]:
    """Return the fields of a file from which everything we wrote is taken out."""
    kept = old.get(MOOD, ())
    return {MOOD: kept} if kept and not mood_is_ours(old) else {}


def mood_is_ours(old: Fields) -> bool:
    """Return whether the mood in `old` is one that we wrote: what the file's own other fields imply."""
    mood = old.get(MOOD, ())
    quadrant = old.get(QUADRANT, ())
    if not mood or MODEL not in old or len(quadrant) != 1 or quadrant[0] not in set(Quadrant):
        return False
    first = Quadrant(quadrant[0])
    if mood == (first.label,):
        return True
    return mood in {(first.label, QUADRANT_LABELS[second]) for second in _seconds(first, old)}


def _seconds(first: Quadrant, old: Fields) -> set[Quadrant]:
    """Return which quadrants can have come second, given the figures of the file.

    The chosen quadrant has two neighbours, one across each axis. Of these, the one across the less certain
    axis is the more likely, for a quadrant head as for a pair of heads. The opposite quadrant can only lead
    them for a quadrant head, where P(opposite) = 1 + c - P(valence side) - P(arousal side).
    """
    try:
        valence, arousal, confidence = (float(old[key][0]) for key in (VALENCE, AROUSAL, CONFIDENCE))
    except (KeyError, ValueError):
        return set()
    valence_positive = first in (Quadrant.Q1, Quadrant.Q4)
    arousal_positive = first in (Quadrant.Q1, Quadrant.Q2)
    valence_side = valence if valence_positive else 1 - valence
    arousal_side = arousal if arousal_positive else 1 - arousal
    slack = 6 * 0.5 * 10**-DECIMALS  # three rounded figures, which enter five times below, and a little more
    found: set[Quadrant] = set()
    if valence_side >= arousal_side - slack:
        found.add(quadrant_of(valence_positive=valence_positive, arousal_positive=not arousal_positive))
    if arousal_side >= valence_side - slack:
        found.add(quadrant_of(valence_positive=not valence_positive, arousal_positive=arousal_positive))
    opposite = 1 + confidence - valence_side - arousal_side
    if opposite >= max(valence_side, arousal_side) - confidence - slack:
        found.add(quadrant_of(valence_positive=not valence_positive, arousal_positive=not arousal_positive))
    return found


def _probability(value: float) -> str:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"a probability must be from 0 to 1, not {value}")
    return f"{value + 0.0:.{DECIMALS}f}"  # + 0.0: no "-0.000"
