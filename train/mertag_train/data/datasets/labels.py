"""The words for classes that people write: quadrants, moods, and the two sides of an axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mertag.emotion import CLASS_NAMES, QUADRANT_LABELS, Quadrant, Target
from mertag_train.data.datasets.base import targets_of_quadrant

ACCEPTED = "Q1 to Q4, or Happy, Angry, Sad and Relaxed, or V+ and V-, or A+ and A-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A class, as somebody wrote it.

    Attributes
    ----------
    target : Target
        The target to which the word belongs.
    name : str
        The class's name in `CLASS_NAMES`.
    """

    target: Target
    name: str

    @property
    def targets(self) -> Mapping[Target, int]:
        """The class of each target that follows: all three from a quadrant, else its own."""
        if self.target is Target.QUADRANT:
            return targets_of_quadrant(Quadrant(self.name))
        return {self.target: CLASS_NAMES[self.target].index(self.name)}


_WORDS: Mapping[str, Label] = {
    **{name.casefold(): Label(target=target, name=name) for target in Target for name in CLASS_NAMES[target]},
    **{word.casefold(): Label(target=Target.QUADRANT, name=quadrant) for quadrant, word in QUADRANT_LABELS.items()},
}


def parse_label(word: str) -> Label | None:
    """Return the class that a word names, in any case; None if it names none."""
    return _WORDS.get(word.strip().casefold())


def targets_from(target: Target) -> tuple[Target, ...]:
    """Return every target that follows from labels of one: all three from quadrants."""
    return tuple(Target) if target is Target.QUADRANT else (target,)
