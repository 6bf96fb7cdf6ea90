"""One vector a song and a support vector machine: what any network must beat; and the majority class.

What is fitted, scaling and calibration included, is fitted on the training songs of the fold, as the song classifier of
the networks is. The vectors do not depend on labels and are computed once a clip:

- hand-made features (`mertag_train.evaluation.features.features`);
- the mean and the standard deviation over time of the embeddings of a network that is not trained: the music taggers
  that come with mertag, or any ONNX file that keeps the contract of `mertag_train.data.embedding_model` (how theirs
  were put together, and with which classifier a figure was reached, the paper's table does not say).

Source of the embeddings: E. S. Koh and S. Dubnov, "Comparison and analysis of deep audio embeddings for music emotion
recognition", AffCon at AAAI, 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mertag.emotion import CLASS_NAMES
from mertag.errors import DatasetError
from mertag_train.arrays import Floats32
from mertag_train.data import embedding_model
from mertag_train.data.embeddings import EMBEDDINGS_VERSION, embeddings
from mertag_train.data.folds import bound_groups
from mertag_train.evaluation.features import kept
from mertag_train.evaluation.methods.base import Context, Fold, Method, Predictions, Stopwatch

if TYPE_CHECKING:
    from mertag_train.learn.config import TrainConfig

C = 1.0
"""Penalty of the RBF support vector machine; not searched for, so that no fold decides it."""
MIN_GROUPS = 2


def by_clip_svm(fold: Fold, vectors: Mapping[str, Floats32]) -> Predictions:
    """Fit scaler and calibrated RBF SVM on the training songs' vectors, and predict the test songs.

    Labels are taken of the training songs only; the calibration's inner folds keep together what the fold does. Each
    vector has the shape (n_features,). DatasetError is raised if a class has fewer than two groups of training songs.
    """
    from mertag_train.learn import song

    train, test = (np.stack([vectors[s.id] for s in side]) for side in (fold.train, fold.test))
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
class FeaturesSvm(Method):
    """``StandardScaler``, then an RBF ``SVC`` calibrated on inner folds that keep recordings (artists) together."""

    name: str = "features-svm"
    hears_files: bool = True
    summary: str = "hand-made features and a support vector machine"
    paper_row: str | None = "SVM"

    def settings(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return the penalty and which definition of the features is in use."""
        return {"c": C, "features": kept.made_by()}

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Fit on the songs' features; raise DatasetError for a clip that cannot be read, and as `by_clip_svm`."""
        watch = Stopwatch(lambda done, total: context.on_progress("features", done, total))
        vectors = kept.feature_table(context.dataset, cache=context.cache, workers=context.workers, on_clip=watch)
        return replace(by_clip_svm(fold, vectors), songs_per_s=watch.songs_per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSvm(Method):
    """Mean and standard deviation of the embeddings, ``StandardScaler``, calibrated RBF ``SVC``."""

    name: str = "embedding-svm"
    hears_files: bool = True
    summary: str = "embeddings of an ONNX model and a support vector machine"
    paper_row: str | None = "Audio Embedding"

    def settings(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return the penalty and which definition of the embeddings is in use."""
        return {"c": C, "version": EMBEDDINGS_VERSION}

    def model_settings(self, path: Path) -> Mapping[str, Any]:
        """Return the hash of the embedding model."""
        return {"embedding_model": embedding_model.sha256_of(path)}

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Fit on the training songs' embeddings; raise ConfigError for a model that is not there or not as it must be.

        DatasetError is raised for a clip that cannot be embedded, and as by `by_clip_svm`.
        """
        import torch

        watch = Stopwatch(lambda done, total: context.on_progress("embeddings", done, total))
        found = embeddings(
            (*fold.train, *fold.test),
            embedding_model.EmbeddingModel(context.embedding_model, threads=torch.get_num_threads()),
            cache=context.cache,
            workers=context.workers,
            on_clip=watch,
        )
        vectors = {song_id: mean_and_deviation(of_song) for song_id, of_song in found.items()}
        return replace(by_clip_svm(fold, vectors), songs_per_s=watch.songs_per_s)


def mean_and_deviation(embeddings: Floats32) -> Floats32:
    """Return the mean, then the standard deviation, over time: shape (2 * dim,) of (n_embeddings, dim)."""
    both = [embeddings.mean(0, dtype=np.float64), embeddings.std(0, dtype=np.float64)]
    return np.concatenate(both).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Majority(Method):
    """Every song gets the class shares of the training songs, hence their most frequent class.

    With grouped folds of balanced classes it does worse than chance: the class that is frequent among the
    training songs is rare among the test songs.
    """

    name: str = "majority"
    summary: str = "most frequent class of the training songs"
    uses_seed: bool = False

    def settings(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return nothing: there is nothing to choose."""
        return {}

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Return the class shares of the training songs for each test song."""
        shares = np.bincount(fold.train_labels, minlength=fold.n_classes) / len(fold.train)
        return Predictions(song_ids=fold.test_ids, probabilities=np.tile(shares, (len(fold.test), 1)))


METHODS = (Majority(), FeaturesSvm(), EmbeddingSvm())
