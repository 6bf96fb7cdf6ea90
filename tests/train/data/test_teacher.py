"""What a teacher says, laid beside the clips of a store: which window belongs to which segment."""

from __future__ import annotations

import numpy as np
import pytest

from mertag_train.data.teacher import FARTHEST, TeacherTargets


def targets() -> TeacherTargets:
    said = {"a": [[0.0, 5.0], [2.0, 5.0], [4.0, 5.0]], "b": [[10.0, 5.0]]}
    arrays = {clip: np.array(rows, np.float32) for clip, rows in said.items()}
    return TeacherTargets.of(arrays, ["a", "b"], window_s=3.0, hop_s=1.5)


def test_a_segment_has_the_nearest_window_of_its_own_clip() -> None:
    # The windows of a are centred on 1.5, 3 and 4.5 s; b has one.
    rows = targets().rows(np.array([0, 0, 0, 0, 1, 1]), np.array([0.0, 2.3, 2.2, 99.0, 0.0, 50.0]))
    assert rows.tolist() == [0, 1, 0, 2, 3, 3]


def test_targets_are_standardised_over_the_training_clips() -> None:
    made = targets().standardised(np.array([0]))
    spread = np.std([0.0, 2.0, 4.0])
    assert made.of_clip(0)[:, 0] == pytest.approx([-2 / spread, 0, 2 / spread])
    assert made.of_clip(1)[0, 0] == pytest.approx(8 / spread)
    assert (made.values[:, 1] == 0).all()  # an output that never changes teaches nothing
    far = TeacherTargets.of({"a": np.array([[0.0], [1e-3], [1e6]], np.float32)}, ["a"], window_s=1.0, hop_s=1.0)
    assert far.standardised(np.array([0])).values.max() <= FARTHEST
