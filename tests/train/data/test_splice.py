"""Planted segments of other songs: as many as asked for, told apart, and of another class."""

from __future__ import annotations

import numpy as np
import pytest

from mertag.listen.windows import Segmentation
from mertag_train.data.heard import segment_starts
from mertag_train.data.splice import splice
from tests.train.toy_training import planted

SECONDS = Segmentation(duration_s=1.0, hop_s=1.0)


def test_a_share_of_each_clip_is_of_another_class_and_the_truth_says_where() -> None:
    store, _, clips = planted(8, n_classes=4, duration_s=20.0)
    made, truth = splice(store, clips.index, clips.label, SECONDS, share=0.25, seed=1)
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
    made, truth = splice(store, clips.index, clips.label, SECONDS, share=0.0, seed=0)
    assert (made.frames == store.frames).all()
    assert all((classes == clips.label[clip]).all() for clip, classes in truth.items())


def test_one_class_has_no_other() -> None:
    store, _, clips = planted(4, n_classes=1)
    with pytest.raises(ValueError, match="one class"):
        splice(store, clips.index, clips.label, SECONDS, share=0.2, seed=0)
