"""How sure a difference between two methods is where songs of one artist are alike: a paired bootstrap by artist.

McNemar's test takes songs for independent. They are not: a method that knows an artist is right on all of that artist's
songs at once. So artists are drawn, with replacement, each with all of their songs and with what both methods said of
them; over the draws, the difference in accuracy is spread as it would be over other choices of artists.

Source: C. A. Field and A. H. Welsh, "Bootstrapping clustered data", Journal of the Royal Statistical Society B, 2007.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mertag_train.arrays import Bools, Floats32

DRAWS = 10_000
DRAWS_AT_ONCE = 1_000
MOST_KEPT = 20_000_000
"""Up to so many numbers the draws are kept for the next two methods: 80 MB."""
SEED = 0
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Accuracy of the first method less that of the second, with its 95 % interval, and how many artists were drawn."""

    value: float
    interval: tuple[float, float]
    n_artists: int


def paired_bootstrap(
    first_right: Bools, second_right: Bools, artists: Sequence[int], *, draws: int = DRAWS, seed: int = SEED
) -> Difference:
    """Return the difference in accuracy of two methods on the same songs, and its percentile interval.

    Parameters
    ----------
    first_right, second_right : bool arrays, shape (n_songs,)
        Whether each method is right about each song.
    artists : sequence of int, length n_songs
        Whose the songs are; songs that must stay together have the same number.
    draws, seed : int
        How often artists are drawn, and the seed of that.
    """
    better = first_right.astype(np.int64) - second_right.astype(np.int64)
    owner = np.unique(np.asarray(artists), return_inverse=True)[1]
    if not better.shape == second_right.shape == owner.shape or better.ndim != 1 or not len(better):
        raise ValueError(
            f"expected three arrays of one length, got {better.shape}, {second_right.shape}, {owner.shape}"
        )
    gained, songs = np.bincount(owner, weights=better), np.bincount(owner)
    n = len(songs)
    both = np.stack([gained, songs], axis=1).astype(np.float32)
    times_of = _kept if n * draws <= MOST_KEPT else _times
    sums = np.concatenate([times @ both for times in times_of(n, draws, seed)]).astype(np.float64)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(value=float(better.mean()), interval=(float(low), float(high)), n_artists=n)


def _times(n: int, draws: int, seed: int) -> Iterator[Floats32]:
    """Yield how often each of n artists is drawn, (some draws, n): whole numbers, which float32 adds exactly."""
    rng = np.random.default_rng(seed)
    for start in range(0, draws, DRAWS_AT_ONCE):
        size = min(DRAWS_AT_ONCE, draws - start)
        yield rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float32)


@lru_cache(maxsize=1)
def _kept(n: int, draws: int, seed: int) -> tuple[Floats32, ...]:
    """Return the same, for the next two methods on the same songs."""
    return tuple(_times(n, draws, seed))
