"""The majority class: what any method must beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mertag_train.evaluation.methods.base import Context, Fold, Predictions

if TYPE_CHECKING:
    from mertag_train.learn.config import Recipe, TrainConfig


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
