"""Whether what an owner's corrections teach is better than the old song classifier, on songs that taught nothing.

The songs are dealt into folds by whole artists, and each is judged by what the others teach. What counts is the gain:
how many more of the owner's moods are met than the old classifier meets, corrected songs that come right less others
that come wrong. It must be larger than chance explains in two ways:

- McNemar's test, one-sided: the gain is more than `Z` times the root of the number of songs that change sides.
- A permutation test: where much was corrected, anything gains. The same corrections, dealt out to other songs at
  random, must gain less, or they follow nothing that the features show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mertag.emotion import CLASS_NAMES, QUADRANTS, Quadrant, Target, decide
from mertag_export.corrections.classifier import Correction, Songs, best_strength, fit, folds
from mertag_train.arrays import Floats, Ints

N_PERMUTATIONS = 19
Z = 1.64
LARGEST_P = 0.05
STRENGTH = 0.03
"""What the permutation test takes, for the corrections as for what is dealt at random."""

Corrections = Mapping[Target, Correction]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnersSongs:
    """Songs, what the model hears in them, and what their owner hears.

    Attributes
    ----------
    heads : mapping of Target to Songs
        The same songs for each head of the model.
    mood : int array (n_songs,)
        The owner's quadrant, 0 to 3.
    """

    heads: Mapping[Target, Songs]
    mood: Ints

    @property
    def weight(self) -> Floats:
        """For how many songs each stands."""
        return next(iter(self.heads.values())).weight

    @property
    def old(self) -> Ints:
        """What the old classifier decides, 0 to 3."""
        return decisions({target: _means(songs.old) for target, songs in self.heads.items()})

    def with_moods(self, mood: Ints) -> OwnersSongs:
        """Return the same songs for a listener who hears other moods."""
        heads = {t: replace(songs, label=classes_of(mood, t)) for t, songs in self.heads.items()}
        return OwnersSongs(heads=heads, mood=mood)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What cross-validation by artist found.

    Attributes
    ----------
    n, n_corrected : int
        How many songs there are, and how many of them the old classifier gets wrong.
    mended, spoilt : int
        How many corrected songs the new classifier gets right, and how many of the others it gets wrong, of artists
        that it has not learnt from.
    gain : float
        How many more moods it meets than the old one, by the songs' weights.
    chance : float
        How large a gain chance explains (McNemar's test).
    p : float
        How often corrections that are dealt out at random gain as much.
    """

    n: int
    n_corrected: int
    mended: int
    spoilt: int
    gain: float
    chance: float
    p: float

    @property
    def better(self) -> bool:
        """Whether the new classifier is better, and not by chance."""
        return self.gain > self.chance and self.p <= LARGEST_P


def classes_of(mood: Ints, target: Target) -> Ints:
    """Return the class of a head that each quadrant, 0 to 3, stands for."""
    if target is Target.QUADRANT:
        return mood
    positive = (Quadrant.Q1, Quadrant.Q4) if target is Target.VALENCE else (Quadrant.Q1, Quadrant.Q2)
    table = np.array([int(q in positive) for q in QUADRANTS])
    found: Ints = table[mood]
    return found


def decisions(probabilities: Mapping[Target, Floats]) -> Ints:
    """Return the quadrant, 0 to 3, that each song's probabilities, (n_songs, n_classes) a head, decide."""
    n = len(next(iter(probabilities.values())))
    found = (decide({target: p[i].tolist() for target, p in probabilities.items()}).quadrant for i in range(n))
    return np.array([QUADRANTS.index(quadrant) for quadrant in found], dtype=np.int64)


def judge(songs: OwnersSongs, *, seed: int = 0, on_step: Callable[[int, int], None] = lambda done, of: None) -> Verdict:
    """Return whether what the songs teach is better than the old classifier; `on_step` is told how far it is."""
    old = songs.old
    new = _left_out(songs, seed, lambda s: best_strength(s, seed=seed + 1))
    corrected, right, weight = songs.mood != old, new == songs.mood, songs.weight
    changed = right == corrected  # mended, or spoilt
    plain = OwnersSongs(heads={t: s.as_one_window for t, s in songs.heads.items()}, mood=songs.mood)
    gain = _gain(plain, old, seed)
    rng, as_good = np.random.default_rng(seed), 0
    difference = (songs.mood - old) % len(QUADRANTS)
    for i in range(N_PERMUTATIONS):
        dealt = plain.with_moods((old + rng.permutation(difference)) % len(QUADRANTS))
        as_good += _gain(dealt, old, seed) >= gain
        on_step(i + 1, N_PERMUTATIONS)
    return Verdict(
        n=len(old),
        n_corrected=int(corrected.sum()),
        mended=int((corrected & right).sum()),
        spoilt=int((~corrected & ~right).sum()),
        gain=float(weight @ right - weight @ ~corrected),
        chance=float(Z * np.sqrt(weight**2 @ changed)),
        p=(1 + as_good) / (1 + N_PERMUTATIONS),
    )


def taught(songs: OwnersSongs, *, seed: int = 0) -> Corrections:
    """Return what all the songs teach."""
    return {t: fit(s, strength=best_strength(s, seed=seed + 1)) for t, s in songs.heads.items()}


def _gain(songs: OwnersSongs, old: Ints, seed: int) -> float:
    """Return how many more moods are met than by the old classifier, with one strength."""
    met = songs.weight @ (_left_out(songs, seed, lambda _: STRENGTH) == songs.mood)
    return float(met - songs.weight @ (old == songs.mood))


def _left_out(songs: OwnersSongs, seed: int, strength: Callable[[Songs], float]) -> Ints:
    """Return what is decided of each song by what songs of other artists teach."""
    found = {t: np.zeros((len(songs.mood), len(CLASS_NAMES[t]))) for t in songs.heads}
    first = next(iter(songs.heads.values()))
    for train, test in folds(replace(first, label=songs.mood), seed=seed):
        for target, of_head in songs.heads.items():
            rest = of_head.of(train)
            found[target][test] = fit(rest, strength=strength(rest)).of_songs(of_head.of(test))
    return decisions(found)


def _means(windows: Iterable[Floats]) -> Floats:
    return np.stack([p.mean(0) for p in windows])
