"""What corrections teach: systematic ones help songs that were not corrected, random ones are refused."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from mertag.emotion import Target
from mertag.listen.windows import song_features

pytest.importorskip("sklearn")

from mertag_export.corrections.classifier import Songs, fit
from mertag_export.corrections.judge import OwnersSongs, classes_of, decisions, judge, taught

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


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(300)


def test_systematic_corrections_raise_agreement_on_songs_that_were_not_corrected(library: Library) -> None:
    truth = library.decided.copy()
    disagree = np.flatnonzero((library.decided == RELAXED) & (library.genre == 1))
    truth[disagree] = SAD
    corrected = np.random.default_rng(1).permutation(disagree)[: min(100, 2 * len(disagree) // 3)]
    in_files = library.decided.copy()
    in_files[corrected] = SAD
    table = library.table(in_files)

    verdict = judge(table)
    assert verdict.better
    assert verdict.mended > 0.8 * len(corrected)
    new = taught(table)[Target.QUADRANT]
    others = np.setdiff1d(np.arange(len(truth)), corrected)
    agreed = new.of_songs(library.table(truth, others).heads[Target.QUADRANT]).argmax(1) == truth[others]
    before = library.decided[others] == truth[others]
    assert agreed.mean() > before.mean() + 0.01
    assert agreed[~before].mean() > 0.8


@pytest.mark.parametrize("n", [60, 200])
def test_random_corrections_are_refused(library: Library, n: int) -> None:
    rng = np.random.default_rng(n)
    in_files = library.decided.copy()
    corrected = rng.permutation(len(in_files))[:n]
    in_files[corrected] = (in_files[corrected] + rng.integers(1, 4, n)) % 4
    assert not judge(library.table(in_files)).better


def test_no_corrections_are_no_reason_for_another_classifier(library: Library) -> None:
    verdict = judge(library.table(library.decided))
    assert (verdict.n_corrected, verdict.mended) == (0, 0)
    assert not verdict.better


def test_held_strongly_the_classifier_is_the_old_one(library: Library) -> None:
    songs = library.table((library.decided + 1) % 4).heads[Target.QUADRANT]
    old = np.stack([p.mean(0) for p in songs.old])
    assert np.abs(fit(songs, strength=1e6).of_songs(songs) - old).max() < 1e-3
    assert (fit(songs, strength=1e-3).of_songs(songs).argmax(1) == songs.label).mean() > 0.9


def test_a_song_counts_by_its_weight_and_not_by_its_length(library: Library) -> None:
    songs = library.table(library.decided).heads[Target.QUADRANT]
    twice = Songs(
        features=[np.concatenate([f, f]) for f in songs.features],
        old=[np.concatenate([p, p]) for p in songs.old],
        label=songs.label,
        artist=songs.artist,
        weight=3 * songs.weight,
    )
    a, b = fit(songs, strength=0.1), fit(twice, strength=0.1)
    assert np.abs(a.weights - b.weights).max() < 1e-2


def test_a_pair_of_heads_learns_both_sides_of_a_mood() -> None:
    mood = np.array([HAPPY, ANGRY, SAD, RELAXED])
    assert classes_of(mood, Target.VALENCE).tolist() == [1, 0, 0, 1]
    assert classes_of(mood, Target.AROUSAL).tolist() == [1, 1, 0, 0]
    sides = {t: np.eye(2)[classes_of(mood, t)] for t in (Target.VALENCE, Target.AROUSAL)}
    assert decisions(sides).tolist() == mood.tolist()
