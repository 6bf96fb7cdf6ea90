"""One vector a song and a support vector machine: what any network must beat; and the majority class.

Hand-made features (`mertag_train.evaluation.features.features`) do not depend on labels and are computed once a clip;
what is fitted, scaling and calibration included, is fitted on the training songs of the fold, as the song classifier of
the networks is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mertag.emotion import CLASS_NAMES
from mertag.errors import DatasetError
from mertag_train.arrays import Floats32
from mertag_train.data.folds import bound_groups
from mertag_train.evaluation.methods.base import Context, Fold, Predictions

if TYPE_CHECKING:
    from mertag_train.learn.config import Recipe, TrainConfig

C = 1.0
"""Penalty of the RBF support vector machine; not searched for, so that no fold decides it."""
MIN_GROUPS = 2


def by_clip_svm(fold: Fold, train: Floats32, test: Floats32) -> Predictions:
    """Fit scaler and calibrated RBF SVM on the training songs' features, and predict the test songs.

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
    from mertag_train.learn import song

    group_of = {s.id: i for i, bound in enumerate(bound_groups(fold.train, fold.group)) for s in bound}
    groups = np.array([group_of[s.id] for s in fold.train], dtype=np.int64)
    rows = song.SongTable(features=train, label=fold.train_labels, song=groups)
    counts = [len(set(groups[rows.label == k].tolist())) for k in range(fold.n_classes)]
    names = CLASS_NAMES[fold.target]
    few = [f"{count} of {name}" for name, count in zip(names, counts, strict=True) if count < MIN_GROUPS]
    if few:
        raise DatasetError(
            f"fold {fold.name!r}, {fold.target}: the SVM needs {MIN_GROUPS} songs of each class to train on (songs of "
            f"one {fold.group} count once), and has {', '.join(few)}. Add songs, or use more --folds, which leave more "
            "of them to train on."
        )
    classifier = song.fit(rows, n_classes=fold.n_classes, c=C, seed=fold.seed)
    return Predictions(
        song_ids=fold.test_ids,
        probabilities=classifier.predict_proba(test).astype(np.float64),
        diagnostics={"n_features": float(train.shape[1])},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesSvm:
    """``StandardScaler``, then an RBF ``SVC`` calibrated on inner folds that keep recordings (artists) together."""

    name: str = "features-svm"
    summary: str = "hand-made features and a support vector machine"
    uses_segments: bool = False
    uses_seed: bool = True  # of the inner folds
    paper_row: str | None = "SVM"
    recipe: Recipe | None = None

    def settings(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return the penalty and which definition of the features is in use."""
        from mertag_train.evaluation.features.feature_table import made_by

        return {"c": C, "features": made_by()}

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Fit on the training songs and predict the test songs.

        Raises
        ------
        DatasetError
            If a clip cannot be read, or a class has fewer than two groups of songs to train on.
        """
        from mertag_train.evaluation.features.feature_table import feature_table

        table = feature_table(
            context.dataset,
            cache=context.cache,
            workers=context.workers,
            on_clip=lambda done, total: context.on_progress("features", done, total),
        )
        return by_clip_svm(fold, table.rows([s.id for s in fold.train]), table.rows(fold.test_ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class Majority:
    """Every song gets the class shares of the training songs, hence their most frequent class.

    With grouped folds of balanced classes it does worse than chance: the class that is frequent among the
    training songs is rare among the test songs.
    """

    name: str = "majority"
    summary: str = "most frequent class of the training songs"
    uses_segments: bool = False
    uses_seed: bool = False
    paper_row: str | None = None
    recipe: Recipe | None = None

    def settings(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return nothing: there is nothing to choose."""
        return {}

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Return the class shares of the training songs for each test song."""
        shares = np.bincount(fold.train_labels, minlength=fold.n_classes) / len(fold.train)
        return Predictions(song_ids=fold.test_ids, probabilities=np.tile(shares, (len(fold.test), 1)))


METHODS = (Majority(), FeaturesSvm())
