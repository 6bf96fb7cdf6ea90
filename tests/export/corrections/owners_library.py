"""A library of songs that are features only, whose owner may have corrected them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from mertag.emotion import Target
from mertag.listen.windows import song_features

pytest.importorskip("sklearn")

from mertag_export.corrections.classifier import Songs
from mertag_export.corrections.judge import OwnersSongs

HAPPY, ANGRY, SAD, RELAXED = range(4)
Ints = npt.NDArray[np.int64]


class Library:
    """Songs of two genres: in one the mood changes from segment to segment, in the other it stays.

    With `alike`, the moods behave the same in both, and only `embedding`, of 16 numbers, tells them apart.
    """

    def __init__(self, n: int = 400, seed: int = 0, *, alike: bool = False) -> None:
        rng = np.random.default_rng(seed)
        self.mood, self.genre = rng.integers(0, 4, n), rng.integers(0, 2, n)
        self.artist = self.genre * 40 + rng.integers(0, 40, n)
        self.features, self.old = [], []
        for mood, genre in zip(self.mood, self.genre, strict=True):
            windows = []
            for _ in range(2):
                likely = rng.dirichlet((10.0 if alike else (4.0, 20.0)[genre]) * (0.08 + np.eye(4)[mood]), size=28)
                windows.append(song_features(likely))
            self.features.append(np.stack(windows))
            self.old.append(np.stack([np.clip(w[20:24], 1e-3, None) / w[20:24].sum() for w in windows]))
        self.decided = np.array([p.mean(0).argmax() for p in self.old])
        self.embedding = rng.normal(0, 0.3, (n, 16)) + np.outer(self.genre, np.linspace(-1, 1, 16))

    def table(self, mood: Ints, index: Ints | None = None) -> OwnersSongs:
        index = np.arange(len(mood)) if index is None else index
        songs = Songs(
            features=[self.features[i] for i in index],
            old=[self.old[i] for i in index],
            label=mood[index],
            artist=self.artist[index],
            weight=np.ones(len(index)),
        )
        return OwnersSongs(heads={Target.QUADRANT: songs}, mood=mood[index])
