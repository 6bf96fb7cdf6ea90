"""The last step of methods with one feature vector a clip: scaler and calibrated RBF SVM, fitted in the fold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mertag.emotion import CLASS_NAMES
from mertag.errors import DatasetError
from mertag_train.data.folds import bound_groups
from mertag_train.evaluation.methods.base import Fold, Predictions
from mertag_train.learn import song

C = 1.0
"""Penalty of the RBF support vector machine; not searched for, so that no fold decides it."""
MIN_GROUPS = 2


def refuse_few(fold: Fold) -> None:
    """Raise DatasetError if a class has too few songs to train on for the classifier to be calibrated."""
    groups = [{s.targets[fold.target] for s in bound} for bound in bound_groups(fold.train, fold.group)]
    of_class = {name: sum(k in found for found in groups) for k, name in enumerate(CLASS_NAMES[fold.target])}
    few = [f"{count} of {name}" for name, count in of_class.items() if count < MIN_GROUPS]
    if few:
        raise DatasetError(
            f"fold {fold.name!r}, {fold.target}: the SVM needs {MIN_GROUPS} songs of each class to train on (songs of "
            f"one {fold.group} count once), and has {', '.join(few)}. Add songs, or use more --folds, which leave more "
            "of them to train on."
        )


def by_clip_svm(fold: Fold, train: npt.NDArray[np.float32], test: npt.NDArray[np.float32]) -> Predictions:
    """Fit on the training songs' features and predict the test songs.

    Parameters
    ----------
    fold : Fold
        Labels are taken of its training songs only; the calibration's inner folds keep together what it does.
    train, test : float32 arrays, shape (n_songs, n_features)
        Of `fold.train` and of `fold.test`, in their order.

    Raises
    ------
    DatasetError
        If a class has fewer than two groups of songs to train on.
    """
    refuse_few(fold)
    group_of = {s.id: i for i, bound in enumerate(bound_groups(fold.train, fold.group)) for s in bound}
    rows = song.SongTable(
        features=train,
        label=fold.train_labels,
        song=np.array([group_of[s.id] for s in fold.train], dtype=np.int64),
    )
    classifier = song.fit(rows, n_classes=fold.n_classes, c=C, seed=fold.seed)
    return Predictions(
        song_ids=fold.test_ids,
        probabilities=classifier.predict_proba(test).astype(np.float64),
        diagnostics={"n_features": float(train.shape[1])},
    )
