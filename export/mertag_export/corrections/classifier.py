"""A song classifier moved from the old one by logistic regression: ``softmax(log p_old(x) + W z + b)``.

z are the features x, each less its mean and over its spread. The weights are drawn to zero, where the new classifier is
the old one: what the corrections do not speak of stays as it was. With weights w that sum to 1, what is minimised is::

    sum_i w_i * -log p_new(y_i | x_i)  +  strength / 2 * (|W|^2 + |b|^2)
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from sklearn.model_selection import StratifiedGroupKFold

from mertag_train.arrays import Floats, Ints

LEAST_PROBABILITY = 1e-6
"""Below it the old classifier's probabilities count as this: a sure mistake must be one that can be mended."""

STRENGTHS = (1.0, 0.1, 0.03, 0.01)
N_FOLDS = 5
INNER_FOLDS = 3
OPTIONS = {"maxiter": 60, "ftol": 1e-5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Songs:
    """Songs of one owner, for one head.

    Attributes
    ----------
    features : sequence of arrays, each (n_windows, n_features)
        What the song model judges, song by song.
    old : sequence of arrays, each (n_windows, n_classes)
        What the old classifier says of it.
    label : int array (n_songs,)
        The class that the owner hears.
    artist : int array (n_songs,)
        Which songs are of one artist: these never stand on two sides of a comparison.
    weight : float array (n_songs,)
        For how many songs each stands.
    """

    features: Sequence[Floats]
    old: Sequence[Floats]
    label: Ints
    artist: Ints
    weight: Floats

    def __len__(self) -> int:
        return len(self.label)

    @property
    def as_one_window(self) -> Songs:
        """The songs with the means of their windows: less to compute, and hardly less to learn."""
        features, old = ([x.mean(0, keepdims=True) for x in found] for found in (self.features, self.old))
        return replace(self, features=features, old=old)

    def of(self, index: Ints) -> Songs:
        """Return some of the songs."""
        return Songs(
            features=[self.features[i] for i in index],
            old=[self.old[i] for i in index],
            label=self.label[index],
            artist=self.artist[index],
            weight=self.weight[index],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What is added to the logarithms of the old probabilities: ``features @ weights + bias``.

    `weights` are of shape (n_features, n_classes), `bias` of (n_classes,).
    """

    weights: Floats
    bias: Floats

    def probabilities(self, features: Floats, old: Floats) -> Floats:
        """Return the new probabilities, shape (n_windows, n_classes)."""
        return _softmax(_log(old) + features @ self.weights + self.bias)

    def of_songs(self, songs: Songs) -> Floats:
        """Return the mean over each song's windows, shape (n_songs, n_classes)."""
        p = self.probabilities(np.concatenate(list(songs.features)), np.concatenate(list(songs.old)))
        lengths = np.array([len(features) for features in songs.features])
        means: Floats = np.add.reduceat(p, np.cumsum(lengths) - lengths) / lengths[:, None]
        return means


def fit(songs: Songs, *, strength: float) -> Correction:
    """Return what the songs teach, each by its weight, whatever its length; `strength` holds to the old classifier."""
    x, offset = np.concatenate(list(songs.features)), _log(np.concatenate(list(songs.old)))
    lengths = np.array([len(features) for features in songs.features])
    y, w = np.repeat(songs.label, lengths), np.repeat(songs.weight / lengths / songs.weight.sum(), lengths)
    mean, spread = x.mean(0), x.std(0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    z = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    wanted = np.eye(offset.shape[1])[y]

    def loss(flat: Floats) -> tuple[float, Floats]:
        theta = flat.reshape(z.shape[1], -1)
        p = _softmax(offset + z @ theta)
        value = float(-(w * np.log(p[np.arange(len(y)), y])).sum() + strength / 2 * (theta**2).sum())
        gradient = z.T @ (w[:, None] * (p - wanted)) + strength * theta
        return value, gradient.ravel()

    found = minimize(loss, np.zeros(z.shape[1] * offset.shape[1]), jac=True, method="L-BFGS-B", options=OPTIONS)
    theta = found.x.reshape(z.shape[1], -1)
    weights = theta[:-1] / spread[:, None]
    return Correction(weights=weights, bias=theta[-1] - mean @ weights)


def best_strength(songs: Songs, *, seed: int) -> float:
    """Return how strongly to hold to the old classifier, so that artists that are left out fare best (log-loss)."""
    losses = np.zeros(len(STRENGTHS))
    for train, test in folds(songs, seed=seed, n=INNER_FOLDS):
        rest, left_out = songs.of(train), songs.of(test)
        for i, strength in enumerate(STRENGTHS):
            p = fit(rest, strength=strength).of_songs(left_out)
            of_label = np.maximum(p[np.arange(len(left_out)), left_out.label], LEAST_PROBABILITY)
            losses[i] -= left_out.weight @ np.log(of_label)
    return STRENGTHS[int(losses.argmin())]


def folds(songs: Songs, *, seed: int, n: int = N_FOLDS) -> list[tuple[Ints, Ints]]:
    """Return which songs are learnt from and which are left out, by whole artists."""
    split = StratifiedGroupKFold(min(n, len(set(songs.artist.tolist()))), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a mood that few songs have
        return list(split.split(np.zeros((len(songs), 1)), songs.label, songs.artist))


def _log(p: Floats) -> Floats:
    found: Floats = np.log(np.maximum(p, LEAST_PROBABILITY))
    return found


def _softmax(logits: Floats) -> Floats:
    e = np.exp(logits - logits.max(1, keepdims=True))
    found: Floats = e / e.sum(1, keepdims=True)
    return found
