"""Which fields a song gets, whatever its container.

The mood is a label such as ``Happy``; our own fields hold the figures behind it. Someone else's mood is never
replaced unless that is asked for. So the file itself must tell whose mood it has, whatever labels, separator
or choice of fields a former run had. A mood counts as ours if the file has `MODEL` and the mood is what its
`QUADRANT` (and, for a second mood, its `VALENCE`, `AROUSAL` and `CONFIDENCE`) implies with our own labels.

Where this would tell the wrong thing, `MARK` is written as well, and decides: it repeats the mood if that is
ours (other labels, joined moods, not all fields), and says `NOT_OURS` if the mood is one that its owner chose
and the model happened to agree with. A mood that its owner changes after a run is its owner's. The mood in a comment
is ours if `COMMENT_MARK` repeats it.
"""

from __future__ import annotations

from mertag.emotion import QUADRANT_LABELS, QUADRANTS, Quadrant, SongEmotion, quadrant_of
from mertag.library.tags.comment import fits
from mertag.library.tags.container import Fields
from mertag.library.tags.options import (
    AROUSAL,
    COMMENT,
    COMMENT_MARK,
    CONFIDENCE,
    MARK,
    MODEL,
    MOOD,
    NOT_OURS,
    QUADRANT,
    UNCLEAR,
    VALENCE,
    TagOptions,
)

DECIMALS = 3

SECOND_FROM = 0.25
"""From this probability on a second mood is written: that of chance. What is less likely is no mood of the song."""


def planned(emotion: SongEmotion, options: TagOptions, old: Fields) -> dict[str, tuple[str, ...]]:
    """Return the fields that a file shall have that has `old`.

    Raises `ValueError` if `emotion` holds a probability outside 0..1 or no model.
    """
    if not emotion.model.strip() or not emotion.model.isprintable():
        raise ValueError(f"the model of a SongEmotion must be a printable name, not {emotion.model!r}")
    heard = () if emotion.confidence < options.min_confidence else _mood(emotion, options)
    mood = heard if MOOD in options.fields else ()
    kept = old.get(MOOD, ())
    keeps = bool(kept) and not mood_is_ours(old) and not (options.overwrite and mood)
    new = {
        MOOD: () if keeps else mood,
        QUADRANT: (emotion.quadrant.value,),
        VALENCE: (_probability(emotion.valence, options.scale),),
        AROUSAL: (_probability(emotion.arousal, options.scale),),
        CONFIDENCE: (_probability(emotion.confidence, options.scale),),
        MODEL: (emotion.model,),
    }
    new = {key: values for key, values in new.items() if values and key in options.fields}
    if keeps:
        new = {MOOD: kept, **new}
    if MOOD in new and mood_is_ours(new) is keeps:  # read again, it would tell the wrong thing
        new[MARK] = (NOT_OURS,) if keeps else mood
    return new | _commented(kept if keeps else heard, options, old)


def _commented(mood: tuple[str, ...], options: TagOptions, old: Fields) -> dict[str, tuple[str, ...]]:
    """Return the mood that the comment shall have, and whose it is; one that someone else put there stays."""
    text = (options.join or ", ").join(mood)
    wanted = (text,) if options.comment_field and text and fits(text) else ()
    if _others_comment(old) and not (options.overwrite and wanted):
        return {COMMENT: old[COMMENT]}
    return {COMMENT: wanted, COMMENT_MARK: wanted} if wanted else {}


def _others_comment(old: Fields) -> bool:
    """Return whether the comment has a mood that is not ours."""
    return COMMENT in old and old.get(COMMENT_MARK) != old[COMMENT]


def _mood(emotion: SongEmotion, options: TagOptions) -> tuple[str, ...]:
    """Return the mood that was heard, as it is written."""
    if options.balanced and is_unclear(emotion):
        return (options.balanced,)
    labels = dict(zip(QUADRANTS, options.labels, strict=True))
    first, second = emotion.ranking[:2]
    likely = emotion.quadrant_probabilities[QUADRANTS.index(second)] >= SECOND_FROM
    chosen = (first, second) if options.moods == 2 and likely else (first,)
    moods = tuple(dict.fromkeys(labels[quadrant] for quadrant in chosen))
    return moods if options.join is None else (options.join.join(moods),)


def is_unclear(emotion: SongEmotion) -> bool:
    """Return whether neither axis is clear: then the mood is `TagOptions.balanced`, if there is such a mood."""
    return max(abs(emotion.valence - 0.5), abs(emotion.arousal - 0.5)) < UNCLEAR


def without_ours(old: Fields) -> dict[str, tuple[str, ...]]:
    """Return the fields of a file from which everything we wrote is taken out."""
    kept = old.get(MOOD, ())
    left = {MOOD: kept} if kept and not mood_is_ours(old) else {}
    return {**left, COMMENT: old[COMMENT]} if _others_comment(old) else left


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
        (valence, step), (arousal, _), (confidence, _) = (_figure(old[k][0]) for k in (VALENCE, AROUSAL, CONFIDENCE))
    except (KeyError, ValueError):
        return set()
    valence_positive = first in (Quadrant.Q1, Quadrant.Q4)
    arousal_positive = first in (Quadrant.Q1, Quadrant.Q2)
    valence_side = valence if valence_positive else 1 - valence
    arousal_side = arousal if arousal_positive else 1 - arousal
    slack = 6 * 0.5 * step  # three rounded figures, which enter five times below, and a little more
    found: set[Quadrant] = set()
    if valence_side >= arousal_side - slack:
        found.add(quadrant_of(valence_positive=valence_positive, arousal_positive=not arousal_positive))
    if arousal_side >= valence_side - slack:
        found.add(quadrant_of(valence_positive=not valence_positive, arousal_positive=arousal_positive))
    opposite = 1 + confidence - valence_side - arousal_side
    if opposite >= max(valence_side, arousal_side) - confidence - slack:
        found.add(quadrant_of(valence_positive=not valence_positive, arousal_positive=not arousal_positive))
    return found


def _figure(text: str) -> tuple[float, float]:
    """Return a probability as it is written, and the step to the next one; a whole number is a percentage."""
    return (float(text), 10**-DECIMALS) if "." in text else (float(text) / 100, 0.01)


def _probability(value: float, scale: int) -> str:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"a probability must be from 0 to 1, not {value}")
    if scale != 1:
        return f"{value * scale + 0.0:.0f}"
    return f"{value + 0.0:.{DECIMALS}f}"  # + 0.0: no "-0.000"
