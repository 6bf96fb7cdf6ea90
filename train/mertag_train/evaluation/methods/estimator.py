"""Anybody's classifier as a method: an object with ``fit`` and ``predict_proba``, as scikit-learn has them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from mertag.errors import ConfigError, DatasetError
from mertag_train.data.datasets.base import Song
from mertag_train.evaluation.methods.base import Context, Fold, Method, Predictions

if TYPE_CHECKING:
    from mertag_train.learn.config import TrainConfig


@runtime_checkable
class Estimator(Protocol):
    """What learns from songs: ``fit(X, y)``, then ``predict_proba(X)`` of shape (n_songs, n_classes).

    Its columns are in the order of its ``classes_``, where it has them, else of the classes' numbers.
    """

    def fit(self, X: Any, y: Any) -> Any:
        """Learn from songs `X` and their classes `y`."""
        ...

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class for songs `X`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a method is given of each song: its path, the song itself, or a vector of one's own.

    `fingerprint` stands for the vectors.
    """

    kind: Literal["paths", "songs", "vectors"] = "paths"
    vectors: Mapping[str, Any] | None = None
    fingerprint: str = ""

    def of(self, songs: Sequence[Song]) -> Any:
        """Return what is given of these songs, in order: a list, or an array where they are vectors of one shape."""
        if self.kind == "songs":
            return list(songs)
        if self.vectors is None:
            lacking = [song.id for song in songs if song.path is None]
            if lacking:
                raise DatasetError(f"{len(lacking)} songs have no audio here, such as {lacking[0]!r}.")
            return [song.path for song in songs]
        return np.stack([np.asarray(self.vectors[song.id]) for song in songs])


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorMethod(Method):
    """An estimator that is copied, unfitted, for each fold and seed.

    Its random states, if it has any (``random_state``, also of its parts), are the seed.
    """

    estimator: Estimator
    inputs: Inputs
    hears_files: bool = True

    def settings(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return the class of the estimator, its parameters, and what it is given."""
        kind = type(self.estimator)
        return {
            "class": f"{kind.__module__}.{kind.__qualname__}",
            "parameters": {key: _plain(value) for key, value in sorted(_parameters(self.estimator).items())},
            "inputs": self.inputs.kind,
            "vectors": self.inputs.fingerprint,
        }

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Fit a copy on the training songs; what it raises passes through.

        ConfigError is raised if it gives columns of other classes than it was shown.
        """
        from sklearn.base import clone

        fresh = clone(self.estimator, safe=False)
        seeded = {key: fold.seed for key in _parameters(fresh) if key.split("__")[-1] == "random_state"}
        if seeded:
            fresh.set_params(**seeded)
        fitted = fresh.fit(self.inputs.of(fold.train), fold.train_labels) or fresh
        if not hasattr(fitted, "predict_proba"):
            fitted = fresh  # a fit that does not return the estimator
        given = self.inputs.of(fold.test)
        began = time.monotonic()
        found = np.asarray(fitted.predict_proba(given), dtype=np.float64)
        # Of vectors it would only say how fast they are classified, not how fast songs are heard.
        heard = None if self.inputs.kind == "vectors" else len(fold.test) / max(time.monotonic() - began, 1e-9)
        classes = np.asarray(getattr(fitted, "classes_", np.arange(fold.n_classes)))
        if sorted(classes.tolist()) != list(range(fold.n_classes)):
            raise ConfigError(
                f"method {self.name!r}: its classes_ are {classes.tolist()}, where it learnt from classes 0 to "
                f"{fold.n_classes - 1}. Leave classes_ as fit finds them."
            )
        if found.ndim == 2 and found.shape[1] == fold.n_classes:
            found = found[:, np.argsort(classes)]
        return Predictions(song_ids=fold.test_ids, probabilities=found, songs_per_s=heard)


def _parameters(estimator: Any) -> dict[str, Any]:
    return dict(estimator.get_params(deep=True)) if hasattr(estimator, "get_params") else {}


def _plain(value: Any) -> Any:
    """Return a parameter as it can be compared between two calls: addresses in memory are no part of it."""
    plain = value is None or isinstance(value, (bool, int, float, str))
    return value if plain else re.sub(r" at 0x[0-9a-f]+", "", " ".join(repr(value).split()))
