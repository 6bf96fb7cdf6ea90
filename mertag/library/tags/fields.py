"""Which fields a song gets, whatever its container.

The mood is a label such as ``Happy``; our own fields hold the figures behind it. Someone else's mood is never
replaced unless that is asked for. So the file itself must tell whose mood it has, whatever labels, separator
or choice of fields a former run had. A mood counts as ours if the file has `MODEL` and the mood is what its
`QUADRANT` (and, for a second mood, its `VALENCE`, `AROUSAL` and `CONFIDENCE`) implies with our own labels.

Where this would tell the wrong thing, `MARK` is written as well, and decides: it repeats the mood if that is
ours (other labels, joined moods, not all fields), and says `NOT_OURS` if the mood is one that its owner chose
and the model happened to agree with. A mood that its owner changes after a run is its owner's.
"""

from __future__ import annotations

from mertag.emotion import QUADRANT_LABELS, QUADRANTS, Quadrant, SongEmotion, quadrant_of
from mertag.library.tags.container import Fields
from mertag.library.tags.options import AROUSAL, CONFIDENCE, MARK, MODEL, MOOD, NOT_OURS, QUADRANT, VALENCE, TagOptions

DECIMALS = 3

SECOND_FROM = 0.25
"""From this probability on a second mood is written: that of chance. What is less likely is no mood of the song."""


def planned(emotion: SongEmotion, options: TagOptions, old: Fields) -> dict[str, tuple[str, ...]]:
    """Return the fields that a file shall have that has `old`.

    Raises `ValueError` if `emotion` holds a probability outside 0..1 or no model.
    """
    if not emotion.model.strip() or not emotion.model.isprintable():
        raise ValueError(f"the model of a SongEmotion must be a printable name, not {emotion.model!r}")
    mood = _mood(emotion, options)
    kept = old.get(MOOD, ())
    keeps = bool(kept) and not mood_is_ours(old) and not (options.overwrite and mood)
    new = {
        MOOD: () if keeps else mood,
        QUADRANT: (emotion.quadrant.value,),
        VALENCE: (_probability(emotion.valence),),
        AROUSAL: (_probability(emotion.arousal),),
        CONFIDENCE: (_probability(emotion.confidence),),
        MODEL: (emotion.model,),
    }
    new = {key: values for key, values in new.items() if values and key in options.fields}
    if keeps:
        new = {MOOD: kept, **new}
    if MOOD in new and mood_is_ours(new) is keeps:  # read again, it would tell the wrong thing
        new[MARK] = (NOT_OURS,) if keeps else mood
    return new


def _mood(emotion: SongEmotion, options: TagOptions) -> tuple[str, ...]:
    """Return the mood that is to be written, no matter what the file has; nothing if we are not sure."""
    if emotion.confidence < options.min_confidence or MOOD not in options.fields:
        return ()
    labels = dict(zip(QUADRANTS, options.labels, strict=True))
    first, second = emotion.ranking[:2]
    likely = emotion.quadrant_probabilities[QUADRANTS.index(second)] >= SECOND_FROM
    chosen = (first, second) if options.moods == 2 and likely else (first,)
    moods = tuple(dict.fromkeys(labels[quadrant] for quadrant in chosen))
    return moods if options.join is None else (options.join.join(moods),)


def without_ours(old: Fields) -> dict[str, tuple[str, ...]]:
    """Return the fields of a file from which everything we wrote is taken out."""
    kept = old.get(MOOD, ())
    return {MOOD: kept} if kept and not mood_is_ours(old) else {}


def mood_is_ours(old: Fields) -> bool:
    """Return whether the mood in `old` is one that we wrote, as far as the file's own other fields tell."""
    mood = old.get(MOOD, ())
    if not mood:
        return False
    if MARK in old:
        return old[MARK] == mood
    quadrant = old.get(QUADRANT, ())
    if MODEL not in old or len(quadrant) != 1 or quadrant[0] not in set(Quadrant):
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
