"""What corrections teach: systematic ones help songs that were not corrected, random ones are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mertag.emotion import Target

pytest.importorskip("sklearn")

from owners_library import ANGRY, HAPPY, RELAXED, SAD, Library

from mertag_export.corrections.classifier import NEVER, Correction, Songs, fit, reflections, sides_decided
from mertag_export.corrections.judge import classes_of, decisions, judge, taught


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
    new = taught(table, verdict)[Target.QUADRANT]
    others = np.setdiff1d(np.arange(len(truth)), corrected)
    agreed = new.of_songs(library.table(truth, others).heads[Target.QUADRANT]).argmax(1) == truth[others]
    before = library.decided[others] == truth[others]
    assert agreed.mean() > before.mean() + 0.01
    assert agreed[~before].mean() > 0.8


@pytest.mark.parametrize("n", [60, pytest.param(200, marks=pytest.mark.slow)])
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


def test_of_corrections_of_some_songs_the_others_are_no_proof_of_the_contrary_if_the_owner_says_so(
    library: Library,
) -> None:
    truth = library.decided.copy()
    disagree = np.flatnonzero((library.decided == RELAXED) & (library.genre == 1))
    truth[disagree] = SAD
    in_files = library.decided.copy()
    corrected = np.random.default_rng(2).permutation(disagree)[: len(disagree) // 2]
    in_files[corrected] = SAD
    table = library.table(in_files)
    all_agreed, some = judge(table), judge(table, partly=True)
    assert not all_agreed.better
    assert all_agreed.some_were_left
    assert 0.3 < some.share < 0.8
    assert some.better
    new = taught(table, some)[Target.QUADRANT].of_songs(table.heads[Target.QUADRANT]).argmax(1)
    left = np.setdiff1d(disagree, corrected)
    assert (new[left] == SAD).mean() > 0.8
    assert (new == truth).mean() > (library.decided == truth).mean() + 0.02


@pytest.mark.parametrize("n", [pytest.param(60, marks=pytest.mark.slow), 200])
def test_random_corrections_are_refused_of_an_owner_who_left_some_too(library: Library, n: int) -> None:
    rng = np.random.default_rng(n)
    in_files = library.decided.copy()
    corrected = rng.permutation(len(in_files))[:n]
    in_files[corrected] = (in_files[corrected] + rng.integers(1, 4, n)) % 4
    verdict = judge(library.table(in_files), partly=True)
    assert not verdict.better
    assert not verdict.some_were_left


def test_what_follows_a_classifier_that_was_not_corrected_is_the_classifier(library: Library) -> None:
    songs = library.table(library.decided).heads[Target.QUADRANT]
    few = songs.label.copy()
    few[:4] = (few[:4] + 1) % 4  # too few of a kind
    for label in (songs.label, few):
        new = fit(replace(songs, label=label), c=1.0)
        assert np.array_equal(new.of_songs(songs), np.stack([p.mean(0) for p in songs.old]))
        assert not new.doubt(songs).any()


def test_a_song_counts_by_its_weight_and_not_by_its_length(library: Library) -> None:
    songs = library.table((library.decided + (library.genre == 1)) % 4).heads[Target.QUADRANT]
    twice = Songs(
        features=[np.concatenate([f, f]) for f in songs.features],
        old=[np.concatenate([p, p]) for p in songs.old],
        label=songs.label,
        artist=songs.artist,
        weight=3 * songs.weight,
    )
    a, b = fit(songs, c=0.1), fit(twice, c=0.1)
    assert np.abs(a.of_songs(songs) - b.of_songs(songs)).max() < 1e-3
    assert np.abs(a.weights).max() > 0


def test_the_classes_opposite_each_are_those_of_the_circumplex() -> None:
    happy_angry_sad_relaxed = [0, 1, 2, 3]
    other_arousal, other_valence, both = [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]
    assert reflections(4).tolist() == [happy_angry_sad_relaxed, other_arousal, other_valence, both]
    assert reflections(2).tolist() == [[0, 1], [1, 0]]


def test_a_song_changes_sides_where_that_is_likelier_than_not() -> None:
    p = np.array([[0.4, 0.1, 0.2, 0.3]])  # happy: valence 0.7, arousal 0.5
    assert sides_decided(p).tolist() == [0]
    assert sides_decided(np.array([[0.3, 0.1, 0.2, 0.4], [0.3, 0.1997, 0.1, 0.4003]])).tolist() == [3, 0]
    bias = np.zeros((4, 4))
    bias[:, 1:] = NEVER
    for likely, valence in ((0.25, 0.6), (0.5, 0.5), (0.75, 0.4)):  # 0.7 less likely * (0.7 - 0.3)
        bias[0, 2] = np.log(likely / (1 - likely))
        correction = Correction(weights=np.zeros((4, 4, 3)), bias=bias)
        new = correction.probabilities(np.zeros((1, 3)), p)
        assert new[0, 0] + new[0, 3] == pytest.approx(valence)
        assert new[0, 0] + new[0, 1] == pytest.approx(0.5)
        assert new.sum() == pytest.approx(1)
        assert np.array_equal(correction.probabilities(np.zeros((1, 3)), p[:, [2, 1, 0, 3]]), p[:, [2, 1, 0, 3]])


def test_a_pair_of_heads_learns_both_sides_of_a_mood() -> None:
    mood = np.array([HAPPY, ANGRY, SAD, RELAXED])
    assert classes_of(mood, Target.VALENCE).tolist() == [1, 0, 0, 1]
    assert classes_of(mood, Target.AROUSAL).tolist() == [1, 1, 0, 0]
    sides = {t: np.eye(2)[classes_of(mood, t)] for t in (Target.VALENCE, Target.AROUSAL)}
    assert decisions(sides).tolist() == mood.tolist()
