"""Whether what an owner's corrections teach is better than the old song classifier, on songs that taught nothing.

The songs are dealt into folds by whole artists, and each is judged by what the others teach. What counts is the gain:
how many more of the owner's moods are met than the old classifier meets, corrected songs that come right less others
that come wrong. It must be larger than chance explains in two ways:

- McNemar's test, one-sided: the gain is more than `Z` times the root of the number of songs that change sides.
- A permutation test: where much was corrected, anything gains. The same corrections, dealt out to other songs at
  random, must gain less, or they follow nothing that the features show.

An owner who corrected only some of what they disagree with has left songs that teach the contrary. If they say so, each
corrected song counts for more (Elkan and Noto, 2008): of the songs that sound most like the corrected ones, a share s
is corrected; if those are all disagreed with, 1/s - 1 songs that were left are so for each that was corrected, and a
classifier that changes them gains these as well, and does not lose them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mertag.emotion import CLASS_NAMES, QUADRANTS, Quadrant, Target, decide
from mertag_export.corrections.classifier import Correction, Songs, best_c, fit, folds
from mertag_train.arrays import Floats, Ints

N_PERMUTATIONS = 19
Z = 1.64
LARGEST_P = 0.05
C = 0.1
"""What the permutation test takes, for the corrections as for what is dealt at random."""

LEAST_ALIKE = 20
"""Among how many songs it is counted, at least, how many of those that sound like corrected ones are corrected."""

LEAST_SHARE = 0.2
"""A smaller share of them counts as this: corrected songs do not outweigh the library."""

ALL = 0.9
"""From which share on all songs count as corrected that sound alike."""

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

    def with_corrected_for(self, n: float) -> OwnersSongs:
        """Return the same songs, of which each corrected one stands for `n` as many."""
        weight = np.where(self.mood == self.old, self.weight, n * self.weight)
        return OwnersSongs(heads={t: replace(s, weight=weight) for t, s in self.heads.items()}, mood=self.mood)


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
    share : float
        How many of the songs that sound most like the corrected ones are corrected.
    partly : bool
        Whether those that were left there counted as not gone through.
    """

    n: int
    n_corrected: int
    mended: int
    spoilt: int
    gain: float
    chance: float
    p: float
    share: float
    partly: bool

    @property
    def better(self) -> bool:
        """Whether the new classifier is better, and not by chance."""
        return self.gain > self.chance and self.p <= LARGEST_P

    @property
    def some_were_left(self) -> bool:
        """Whether songs that sound like corrected ones are corrected more often than by chance, and yet not all."""
        of_all = self.n_corrected / self.n
        spread = np.sqrt(of_all * (1 - of_all) / _n_alike(self.n_corrected))
        return bool(of_all + Z * spread < self.share < ALL)


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


def judge(songs: OwnersSongs, *, partly: bool = False, seed: int = 0) -> Verdict:
    """Return whether what the songs teach is better than the old classifier.

    `partly` says that the owner corrected only some of what they disagree with.
    """
    old, share = songs.old, share_corrected(songs, seed=seed)
    stands_for = _stands_for(share) if partly else 1.0
    counted = songs.with_corrected_for(stands_for)
    new = _decided(counted, seed, lambda s: best_c(s, seed=seed + 1))
    corrected, right, weight = songs.mood != old, new == songs.mood, counted.weight
    changed = right == corrected  # mended, or spoilt
    plain = OwnersSongs(heads={t: s.as_one_window for t, s in songs.heads.items()}, mood=songs.mood)
    gain = _gain(plain.with_corrected_for(stands_for), old, seed)
    rng, as_good = np.random.default_rng(seed), 0
    difference = (songs.mood - old) % len(QUADRANTS)
    for _ in range(N_PERMUTATIONS):
        dealt = plain.with_moods((old + rng.permutation(difference)) % len(QUADRANTS))
        as_good += _gain(dealt.with_corrected_for(stands_for), old, seed) >= gain
    return Verdict(
        n=len(old),
        n_corrected=int(corrected.sum()),
        mended=int((corrected & right).sum()),
        spoilt=int((~corrected & ~right).sum()),
        gain=float(weight @ right - weight @ ~corrected),
        chance=float(Z * np.sqrt(weight**2 @ changed)),
        p=(1 + as_good) / (1 + N_PERMUTATIONS),
        share=share,
        partly=partly,
    )


def taught(songs: OwnersSongs, verdict: Verdict, *, seed: int = 0) -> Corrections:
    """Return what all the songs teach, each corrected one counted as the verdict on them counted it."""
    counted = songs.with_corrected_for(_stands_for(verdict.share) if verdict.partly else 1.0)
    return {t: fit(s, c=best_c(s, seed=seed + 1)) for t, s in counted.heads.items()}


def share_corrected(songs: OwnersSongs, *, seed: int = 0) -> float:
    """Return how many of the songs that sound most like the corrected ones are corrected, 0 to 1.

    They are half as many as were corrected, those of which the other artists' songs let it be expected most.
    """
    doubt = np.zeros(len(songs.mood))
    for test, learnt in _left_out(songs, seed, lambda _: C):
        doubt[test] = np.max([learnt[t].doubt(s.of(test)) for t, s in songs.heads.items()], axis=0)
    corrected = songs.mood != songs.old
    alike = np.argsort(-doubt, kind="stable")[: _n_alike(int(corrected.sum()))]
    return float(np.average(corrected[alike], weights=songs.weight[alike]))


def _n_alike(n_corrected: int) -> int:
    return max(LEAST_ALIKE, n_corrected // 2)


def _stands_for(share: float) -> float:
    """Return for how many songs a corrected one stands: itself, and twice each that is disagreed with beside it.

    Twice, because such a song counts as gained and no longer as lost.
    """
    return 2 / max(share, LEAST_SHARE) - 1


def _gain(songs: OwnersSongs, old: Ints, seed: int) -> float:
    """Return how many more moods are met than by the old classifier, with one C."""
    met = songs.weight @ (_decided(songs, seed, lambda _: C) == songs.mood)
    return float(met - songs.weight @ (old == songs.mood))


def _decided(songs: OwnersSongs, seed: int, c: Callable[[Songs], float]) -> Ints:
    """Return what is decided of each song by what songs of other artists teach."""
    found = {t: np.zeros((len(songs.mood), len(CLASS_NAMES[t]))) for t in songs.heads}
    for test, learnt in _left_out(songs, seed, c):
        for target, of_head in songs.heads.items():
            found[target][test] = learnt[target].of_songs(of_head.of(test))
    return decisions(found)


def _left_out(songs: OwnersSongs, seed: int, c: Callable[[Songs], float]) -> Iterator[tuple[Ints, Corrections]]:
    """Yield some songs, and what those of other artists teach."""
    first = next(iter(songs.heads.values()))
    for train, test in folds(replace(first, label=songs.mood), seed=seed):
        rest = {target: of_head.of(train) for target, of_head in songs.heads.items()}
        yield test, {target: fit(s, c=c(s)) for target, s in rest.items()}


def _means(windows: Iterable[Floats]) -> Floats:
    return np.stack([p.mean(0) for p in windows])
