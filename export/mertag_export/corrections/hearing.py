"""An owner's songs, heard again: what the network says of each, and whose mood it has, as a table to learn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mertag.emotion import QUADRANTS, Quadrant
from mertag.listen.windows import FEATURES_PER_CLASS
from mertag.outcomes import Tagged
from mertag_export.corrections.classifier import Songs
from mertag_export.corrections.embedding import Projections, principal
from mertag_export.corrections.judge import OwnersSongs, classes_of
from mertag_export.corrections.moods import OwnersMoods, artist_of, sample
from mertag_train.arrays import Floats, Floats32, Ints

if TYPE_CHECKING:
    from mertag.listen.manifest import Head
    from mertag.listen.tagger import Tagger

SAID_EVERY = 100
N_DIRECTIONS = 32
"""How wide an owner's embedding is: the directions in which their songs differ most."""

ONE_FOR_SONGS = 8
"""An embedding has at most one direction for so many songs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was heard.

    Attributes
    ----------
    decided : mapping of Path to Quadrant
        What the model decides of each song that has an emotion.
    table : OwnersSongs or None
        These songs, to learn from; None if there is none.
    projections : mapping of Target to array
        For each head, what of its embedding the table has; see `mertag_export.corrections.embedding`.
    """

    decided: Mapping[Path, Quadrant]
    table: OwnersSongs | None
    projections: Projections


def hear(found: OwnersMoods, tagger: Tagger, at_most: int, *, say: Callable[[str], None]) -> Heard:
    """Hear songs again: those with a mood of their owner's, and at most so many of those that were left.

    The tagger's bundle is one of `bundle_with_embedding`. Of its embedding, the directions are kept in which the songs
    differ most, whatever their moods.
    """
    left, stands_for = sample(found.left, at_most)
    decided: dict[Path, Quadrant] = {}
    features, probabilities, mood, weight, artist = [], [], [], [], []
    for outcome, of_song in tagger.features_many([*found.owned, *left]):
        if not isinstance(outcome, Tagged):
            continue
        path, quadrant = Path(outcome.path), outcome.emotion.quadrant
        decided[path] = quadrant
        mood.append(QUADRANTS.index(found.owned.get(path, quadrant)))
        weight.append(1.0 if path in found.owned else stands_for)
        artist.append(artist_of(path))
        probabilities.append({target: tagger.models.song(target, x) for target, x in of_song.items()})
        features.append({target: x.astype(np.float32) for target, x in of_song.items()})  # an embedding is wide
        if len(mood) % SAID_EVERY == 0:
            say(f"{len(mood)} of {len(found.owned) + len(left)} heard")
    if not mood:
        return Heard(decided=decided, table=None, projections={})
    moods = np.array(mood, dtype=np.int64)
    artists: Ints = np.unique(artist, return_inverse=True)[1].astype(np.int64)
    heads, projections = {}, {}
    for head in tagger.bundle.manifest.heads:
        of_head = [of_song[head.target] for of_song in features]
        kept, projections[head.target] = _narrowed(of_head, head)
        heads[head.target] = Songs(
            features=kept,
            old=[p[head.target] for p in probabilities],
            label=classes_of(moods, head.target),
            artist=artists,
            weight=np.array(weight),
        )
    return Heard(decided=decided, table=OwnersSongs(heads=heads, mood=moods), projections=projections)


def _narrowed(features: list[Floats32], head: Head) -> tuple[list[Floats], Floats]:
    """Return features with the main directions of the embedding behind them, in place of all of it; and these."""
    n = FEATURES_PER_CLASS * len(head.classes)
    projection = principal([x[:, n:].mean(0) for x in features], min(N_DIRECTIONS, len(features) // ONE_FOR_SONGS))
    return [np.concatenate([x[:, :n], x[:, n:] @ projection], axis=1).astype(np.float64) for x in features], projection
