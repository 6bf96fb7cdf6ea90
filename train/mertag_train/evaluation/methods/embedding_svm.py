"""Embeddings of a pretrained network and a support vector machine (Koh and Dubnov, 2021).

The network is any ONNX file that keeps the contract of `mertag_train.evaluation.features.embedding_model`; it is not
trained. A clip is the mean and the standard deviation over time of its embeddings (how theirs were put together, and
with which classifier a figure was reached, the paper's table does not say), and what is fitted is fitted as for the
hand-made features.

Source: E. S. Koh and S. Dubnov, "Comparison and analysis of deep audio embeddings for music emotion recognition",
AffCon at AAAI, 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mertag_train.arrays import Floats32
from mertag_train.evaluation.features.embedding_model import refuse_none, sha256_of
from mertag_train.evaluation.features.embedding_table import VERSION, song_embeddings
from mertag_train.evaluation.methods.base import Context, Fold, Predictions
from mertag_train.evaluation.methods.features_svm import C, by_clip_svm

if TYPE_CHECKING:
    from mertag_train.learn.config import Recipe, TrainConfig


def mean_and_deviation(embeddings: Floats32) -> Floats32:
    """Return the mean, then the standard deviation, over time: shape (2 * dim,) of (n_embeddings, dim)."""
    return np.concatenate([embeddings.mean(0, dtype=np.float64), embeddings.std(0, dtype=np.float64)]).astype(
        np.float32
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSvm:
    """Mean and standard deviation of the embeddings, ``StandardScaler``, calibrated RBF ``SVC``."""

    name: str = "embedding-svm"
    summary: str = "embeddings of an ONNX model and a support vector machine"
    uses_segments: bool = False
    uses_seed: bool = True  # of the inner folds
    paper_row: str | None = "Audio Embedding"
    recipe: Recipe | None = None

    def settings(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return the penalty and which definition of the embeddings is in use."""
        return {"c": C, "version": VERSION}

    def model_settings(self, path: Path | None) -> Mapping[str, Any]:
        """Return the hash of the embedding model."""
        return {"embedding_model": sha256_of(refuse_none(self.name, path))}

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Embed the songs, fit on the training songs, and predict the test songs.

        Raises
        ------
        ConfigError
            If there is no embedding model, or it does not keep the contract.
        DatasetError
            If a clip cannot be embedded, or a class has fewer than two groups of songs to train on.
        """
        found = song_embeddings(self.name, (*fold.train, *fold.test), context)
        pooled = [np.stack([mean_and_deviation(found[song.id]) for song in side]) for side in (fold.train, fold.test)]
        return by_clip_svm(fold, *pooled)


METHODS = (EmbeddingSvm(),)
