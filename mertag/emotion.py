"""What the emotion of a song is: targets, class names and their order, the result types.

Russell's plane has two axes, valence (unpleasant to pleasant) and arousal (calm to excited), and its four
quadrants are numbered counter-clockwise from the upper right::

                 A+
       Q2 Angry  |  Q1 Happy
     V- ---------+--------- V+
       Q3 Sad    |  Q4 Relaxed
                 A-

A model has either one quadrant head, from which valence and arousal follow as sums (P(V+) = Q1 + Q4,
P(A+) = Q1 + Q2), or a valence and an arousal head. The quadrant is the pair of their signs in both, so that the three
never contradict each other. (With a quadrant head it is nearly always the most probable one; where it is not, as many
songs are right either way: docs/model.md.)

Source: J. A. Russell, "A circumplex model of affect", 1980; quadrant numbering as in the 4Q data set
(Panda et al., 2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Target(StrEnum):
    """What a head predicts."""

    VALENCE = "valence"
    AROUSAL = "arousal"
    QUADRANT = "quadrant"


class Quadrant(StrEnum):
    """A quadrant of Russell's plane."""

    Q1 = "Q1"
    Q2 = "Q2"
    Q3 = "Q3"
    Q4 = "Q4"

    @property
    def label(self) -> str:
        """The mood that is written into tags, such as ``"Happy"``."""
        return QUADRANT_LABELS[self]


CLASS_NAMES: Mapping[Target, tuple[str, ...]] = MappingProxyType(
    {
        Target.VALENCE: ("V-", "V+"),
        Target.AROUSAL: ("A-", "A+"),
        Target.QUADRANT: ("Q1", "Q2", "Q3", "Q4"),
    }
)
"""Class names of each target in the order of the network's outputs. The positive class comes last."""

QUADRANTS: tuple[Quadrant, ...] = tuple(Quadrant)
"""The quadrants in the order of the network's outputs."""

QUADRANT_LABELS: Mapping[Quadrant, str] = MappingProxyType(
    {Quadrant.Q1: "Happy", Quadrant.Q2: "Angry", Quadrant.Q3: "Sad", Quadrant.Q4: "Relaxed"}
)
"""The mood of each quadrant. Labels hold no ``/``, ``;`` or ``,``: players split on them."""


def quadrant_of(*, valence_positive: bool, arousal_positive: bool) -> Quadrant:
    """Return the quadrant of a pair of signs."""
    if arousal_positive:
        return Quadrant.Q1 if valence_positive else Quadrant.Q2
    return Quadrant.Q4 if valence_positive else Quadrant.Q3


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from the heads' song probabilities alone.

    Attributes
    ----------
    quadrant : Quadrant
        The pair of the signs of valence and arousal.
    confidence : float
        With a quadrant head, P(quadrant); with a valence and an arousal head, the smaller of the two sides'
        probabilities. In 0..1.
    valence, arousal : float
        P(V+) and P(A+), in 0..1.
    quadrant_probabilities : tuple of 4 floats
        P(Q1)..P(Q4), summing to 1. With a valence and an arousal head, the products of the two sides.
    """

    quadrant: Quadrant
    confidence: float
    valence: float
    arousal: float
    quadrant_probabilities: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SongEmotion(Decision):
    """The emotion of one song: the `Decision`, and what it rests on.

    Attributes
    ----------
    duration_s : float
        Duration of the audio that was decoded, in seconds.
    n_segments, n_windows : int
        How many segments were classified, and over how many windows their decisions were averaged.
    model : str
        Which bundle decided: ``name@version+sha8``.
    analysed_s : float or None
        How much of the audio was analysed, in seconds, if only a few windows of it were; None: all.
    silent_s : float
        How much of that was silent and left out, in seconds.
    damage : str
        What of the sound is missing or could not be decoded, in words; empty: nothing.
    """

    duration_s: float
    n_segments: int
    n_windows: int
    model: str
    analysed_s: float | None = None
    silent_s: float = 0.0
    damage: str = ""

    @property
    def ranking(self) -> tuple[Quadrant, ...]:
        """The quadrants, most probable first; the chosen one always leads."""
        rest = [q for q in QUADRANTS if q is not self.quadrant]
        rest.sort(key=lambda q: -self.quadrant_probabilities[QUADRANTS.index(q)])
        return (self.quadrant, *rest)


def _pair_of_signs(valence: float, arousal: float) -> Quadrant:
    """Return the quadrant of P(V+) and P(A+), rounded as they are written."""
    return quadrant_of(valence_positive=round(valence, 3) >= 0.5, arousal_positive=round(arousal, 3) >= 0.5)


def decide(probabilities: Mapping[Target, Sequence[float]]) -> Decision:
    """Turn the song probabilities of a bundle's heads into one decision.

    Parameters
    ----------
    probabilities : mapping
        Either ``{QUADRANT: (p1, p2, p3, p4)}``, or ``{VALENCE: (V-, V+), AROUSAL: (A-, A+)}``.

    Returns
    -------
    Decision
        An axis is positive from 0.5 on, to three decimals, as it is written into tags.

    Raises
    ------
    ValueError
        If the heads are neither of the two sets, or one has the wrong number of classes.
    """
    for target, values in probabilities.items():
        if len(values) != len(CLASS_NAMES[target]):
            raise ValueError(f"{target}: {len(values)} probabilities for {len(CLASS_NAMES[target])} classes")
    if set(probabilities) == {Target.QUADRANT}:
        p1, p2, p3, p4 = (float(p) for p in probabilities[Target.QUADRANT])
        quadrants = (p1, p2, p3, p4)
        valence, arousal = min(1.0, p1 + p4), min(1.0, p1 + p2)
        quadrant = _pair_of_signs(valence, arousal)
        return Decision(
            quadrant=quadrant,
            confidence=quadrants[QUADRANTS.index(quadrant)],
            valence=valence,
            arousal=arousal,
            quadrant_probabilities=quadrants,
        )
    if set(probabilities) == {Target.VALENCE, Target.AROUSAL}:
        valence = float(probabilities[Target.VALENCE][1])
        arousal = float(probabilities[Target.AROUSAL][1])
        return Decision(
            quadrant=_pair_of_signs(valence, arousal),
            confidence=min(max(valence, 1 - valence), max(arousal, 1 - arousal)),
            valence=valence,
            arousal=arousal,
            quadrant_probabilities=(
                valence * arousal,
                (1 - valence) * arousal,
                (1 - valence) * (1 - arousal),
                valence * (1 - arousal),
            ),
        )
    raise ValueError(f"heads must be quadrant, or valence and arousal, not {sorted(probabilities)}")
