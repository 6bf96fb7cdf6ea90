"""Planted segments of other songs: as many as asked for, told apart, and of another class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_training import planted

from mertag.listen.windows import Segmentation
from mertag_train.data.heard import segment_starts
from mertag_train.data.splice import splice
from mertag_train.data.teacher import TeacherTargets

SECONDS = Segmentation(duration_s=1.0, hop_s=1.0)


def test_a_share_of_each_clip_is_of_another_class_and_the_truth_says_where() -> None:
    store, _, clips = planted(8, n_classes=4, duration_s=20.0)
    spliced = splice(store, clips.index, clips.label, share=0.25, seed=1)
    made, truth = spliced.store, spliced.truth(SECONDS)
    assert made.ids == store.ids
    n_frames = SECONDS.segment_frames(store.front_end)
    for clip in range(8):
        mine, before = made.clip(clip), store.clip(clip)
        changed = (mine != before).any(1)
        assert changed.mean() == pytest.approx(0.25, abs=0.01)
        (at,) = np.flatnonzero(np.diff(changed.astype(int), prepend=0) == 1)  # one stretch
        starts = segment_starts(store, clip, SECONDS)
        spliced = np.array([changed[s : s + n_frames].mean() for s in starts])
        assert ((truth[clip] != clips.label[clip]) == (spliced >= 0.5)).all()
        # Classes are levels: the stretch has that of the class which the truth names.
        (other,) = set(truth[clip][spliced >= 0.5].tolist())
        level = store.clip(other).mean()
        assert mine[at : at + n_frames].mean() == pytest.approx(level, abs=1.0)


def test_a_share_of_0_changes_nothing() -> None:
    store, _, clips = planted(4)
    made = splice(store, clips.index, clips.label, share=0.0, seed=0)
    assert (made.store.frames == store.frames).all()
    assert all((classes == clips.label[clip]).all() for clip, classes in made.truth(SECONDS).items())


def test_one_class_has_no_other() -> None:
    store, _, clips = planted(4, n_classes=1)
    with pytest.raises(ValueError, match="one class"):
        splice(store, clips.index, clips.label, share=0.2, seed=0)


def test_other_clips_of_the_store_are_neither_changed_nor_used() -> None:
    store, _, clips = planted(12, n_classes=4)
    some = np.array([1, 2, 3, 4, 9])
    made = splice(store, some, clips.label[some], share=0.4, seed=0)
    others = np.setdiff1d(clips.index, some)
    assert all(np.array_equal(made.store.clip(i), store.clip(i)) for i in others.tolist())
    assert {one.clip for one in made.splices} == set(some.tolist())
    assert {one.donor for one in made.splices} <= set(some.tolist())
    assert made.fingerprint == splice(store, some, clips.label[some], share=0.4, seed=0).fingerprint
    assert made.fingerprint != splice(store, some, clips.label[some], share=0.4, seed=1).fingerprint


def test_what_a_teacher_says_and_what_is_silent_goes_with_it() -> None:
    store, _, clips = planted(2, duration_s=20.0)
    hops = store.n_samples // store.front_end.hop_length
    power = np.stack([np.zeros(hops.sum()), np.repeat([1.0, 2.0], hops)])
    store = replace(store, power=power)
    said = {name: np.arange(40, dtype=np.float32)[:, None] + 100 * i for i, name in enumerate(store.ids)}
    teacher = TeacherTargets.of(said, store.ids, window_s=1.0, hop_s=0.5)
    made = splice(store, clips.index, clips.label, share=0.5, seed=3)
    found = made.taught(teacher)
    hop_s = store.front_end.hop_length / store.front_end.sample_rate
    for one in made.splices:
        rows = found.of_clip(one.clip)[:, 0]
        middle_s = np.arange(40) * 0.5 + 0.5
        inside = (middle_s >= one.at * hop_s) & (middle_s < (one.at + one.length) * hop_s)
        assert np.array_equal(rows[~inside], teacher.of_clip(one.clip)[~inside, 0])
        there_s = (rows[inside] - 100 * one.donor) * 0.5 + 0.5  # the middle of the donor's window
        assert np.abs(there_s - (middle_s[inside] + (one.since - one.at) * hop_s)).max() <= 0.25 + 1e-6
        mine = made.store.power_of(one.clip)
        assert mine is not None
        assert (mine[1] == one.donor + 1.0).sum() == one.length
