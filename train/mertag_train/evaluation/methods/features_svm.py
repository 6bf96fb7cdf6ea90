"""Hand-made features and a support vector machine: what any network must beat.

The features (`mertag_train.evaluation.features.features`) do not depend on labels and are computed once a clip; what is
fitted, scaling and calibration included, is fitted on the training songs of the fold, as the song classifier of the
networks is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mertag_train.evaluation.features.feature_table import feature_table, made_by
from mertag_train.evaluation.methods.base import Context, Fold, Predictions
from mertag_train.evaluation.methods.clip_svm import C, by_clip_svm

if TYPE_CHECKING:
    from mertag_train.learn.config import Recipe, TrainConfig


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
        return {"c": C, "features": made_by()}

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Fit on the training songs and predict the test songs.

        Raises
        ------
        DatasetError
            If a clip cannot be read, or a class has fewer than two groups of songs to train on.
        """
        table = feature_table(
            context.dataset,
            cache=context.cache,
            workers=context.workers,
            on_clip=lambda done, total: context.on_progress("features", done, total),
        )
        return by_clip_svm(fold, table.rows([s.id for s in fold.train]), table.rows(fold.test_ids))
