"""What a classifier on a teacher's outputs says of segments of songs that it was not fitted on: softer labels.

A label that is inherited says the same of every segment, and is sure of it. The classifier has seen other songs only,
so that it says where a segment differs from its song, and which songs are between two classes.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mertag_train.arrays import Floats32, Ints
from mertag_train.data.teacher import TeacherTargets

FOLDS = 5
PENALTY = 0.25
"""Of the squared weights beside the mean loss of a window: 1 / (C * n) of scikit-learn's C and n windows."""


def guide(
    teacher: TeacherTargets, clips: Ints, labels: Ints, groups: Ints, *, n_classes: int, seed: int
) -> list[Floats32]:
    """Return the probabilities (n_windows, n_classes) of each window of some clips, by classifiers without the clip.

    The clips (n,) are positions in the store; their labels and groups are (n,): no group stands on both sides.
    """
    found: dict[int, Floats32] = {}
    features = {clip: _features(teacher.of_clip(clip)) for clip in clips.tolist()}
    smallest = int(np.bincount(labels, minlength=n_classes).min())
    folds = StratifiedGroupKFold(max(2, min(FOLDS, smallest)), shuffle=True, random_state=seed)
    for fitted, judged in folds.split(labels, labels, groups):
        classifier = _fitted([features[clip] for clip in clips[fitted].tolist()], labels[fitted])
        for clip in clips[judged].tolist():
            said = np.zeros((len(features[clip]), n_classes), dtype=np.float32)
            said[:, classifier.classes_] = classifier.predict_proba(features[clip])
            found[clip] = said
    return [found[clip] for clip in clips.tolist()]


def _features(values: Floats32) -> Floats32:
    """Return what is known of each window of a clip: its outputs (n_windows, dim), and the mean of the clip's."""
    return np.hstack([values, np.broadcast_to(values.mean(0), values.shape)])


def _fitted(rows: list[Floats32], labels: Ints) -> Pipeline:
    label = np.repeat(labels, [len(r) for r in rows])
    model = LogisticRegression(C=1 / (PENALTY * len(label)), max_iter=200)
    return make_pipeline(StandardScaler(), model).fit(np.concatenate(rows), label)
