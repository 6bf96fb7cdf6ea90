"""How likely it is that an owner hears a song on the other side of valence, of arousal or of both than the model does.

The classes of a head are sides of one axis or of two. For each reflection k (none, one axis, both), r_k says which
class lies opposite each. Where the old classifier decides a, its probabilities become::

    p_new = sum_k g_k p_old[r_k]        g = softmax over k of (W[a, k] x + c[a, k])

so that a song changes sides where g says that this is likelier than not. W and c are a logistic regression over the
songs that are decided a; x are their features. Where nothing was corrected, g is 1 for no reflection: there the new
classifier is the old one.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from mertag_train.arrays import Floats, Ints

SIDES: dict[int, Ints] = {2: np.array([[-1], [1]]), 4: np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])}
"""By a head's number of classes, on which sides each lies, (n_classes, n_axes): V- and V+, A- and A+, or Q1 to Q4."""

POSITIVE_FROM = -0.001
"""From which difference of its sides' probabilities an axis is positive: 0.5 to three decimals, as `decide` has it."""

LEAST_OF_A_KIND = 5
"""So few corrections of one kind, from one class to another, teach nothing."""

NEVER = -1e9
"""A logit that comes out as no probability at all, in single precision as well."""

VALUES_OF_C = (0.01, 0.03, 0.1, 0.3)
LEAST_PROBABILITY = 1e-6
N_FOLDS = 5
INNER_FOLDS = 3


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

    @property
    def windows(self) -> tuple[Floats, Floats]:
        """The features and the old probabilities of all windows, song after song."""
        return np.concatenate(list(self.features)), np.concatenate(list(self.old))

    @property
    def n_windows(self) -> Ints:
        """How many windows each has."""
        return np.array([len(features) for features in self.features])

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
    """How likely each reflection is, by what is decided and by the features.

    `weights` are of shape (n_classes, n_reflections, n_features), `bias` of (n_classes, n_reflections); the classes are
    those that the old classifier decides, and the first reflection is none.
    """

    weights: Floats
    bias: Floats

    def likely(self, features: Floats, old: Floats) -> Floats:
        """Return how likely each reflection is, shape (n_windows, n_reflections)."""
        a = sides_decided(old)
        logits = np.einsum("nf,nkf->nk", features, self.weights[a]) + self.bias[a]
        e = np.exp(logits - logits.max(1, keepdims=True))
        found: Floats = e / e.sum(1, keepdims=True)
        return found

    def probabilities(self, features: Floats, old: Floats) -> Floats:
        """Return the new probabilities, shape (n_windows, n_classes)."""
        found: Floats = np.einsum("nk,nkc->nc", self.likely(features, old), old[:, reflections(old.shape[1])])
        return found

    def of_songs(self, songs: Songs) -> Floats:
        """Return the new probabilities, the mean over each song's windows, shape (n_songs, n_classes)."""
        return _means(songs, self.probabilities(*songs.windows))

    def doubt(self, songs: Songs) -> Floats:
        """Return how likely the owner hears something else than the old classifier, shape (n_songs,)."""
        return _means(songs, 1 - self.likely(*songs.windows)[:, :1])[:, 0]


def reflections(n_classes: int) -> Ints:
    """Return the class opposite each class, (n_reflections, n_classes): none first, then by every set of axes."""
    sides = SIDES[n_classes]
    signs = itertools.product((1, -1), repeat=sides.shape[1])
    return np.array([[int((sides == side * sign).all(1).argmax()) for side in sides] for sign in map(np.array, signs)])


def sides_decided(p: Floats) -> Ints:
    """Return the class, (n,), whose sides probabilities, (n, n_classes), are on."""
    sides = SIDES[p.shape[1]]
    found: Ints = (np.where(p @ sides >= POSITIVE_FROM, 1, -1) @ sides.T).argmax(1)
    return found


def fit(songs: Songs, *, c: float) -> Correction:
    """Return what the songs teach, each by its weight, whatever its length; `c` is scikit-learn's C."""
    n_windows = songs.n_windows
    x, p = songs.windows
    n_classes, old = p.shape[1], sides_decided(_means(songs, p))
    opposite = reflections(n_classes)
    weights, bias = np.zeros((n_classes, *opposite.shape[:1], x.shape[1])), np.full((n_classes, len(opposite)), NEVER)
    bias[:, 0] = 0
    for a in range(n_classes):
        kind = np.where(old == a, opposite[:, a].argsort()[songs.label], -1)
        kinds = [k for k in range(len(opposite)) if (kind == k).sum() >= (LEAST_OF_A_KIND if k else 1)]
        if len(kinds) < 2 or kinds[0] != 0:
            continue
        kept = np.isin(kind, kinds)
        of_a, w = x[np.repeat(kept, n_windows)], songs.weight[kept] / songs.weight[kept].mean()
        mean, spread = of_a.mean(0), of_a.std(0)
        spread = np.where(spread > 1e-9, spread, 1.0)
        regression = LogisticRegression(C=c, max_iter=500).fit(
            (of_a - mean) / spread,
            np.repeat(kind[kept], n_windows[kept]),
            sample_weight=np.repeat(w / n_windows[kept], n_windows[kept]),
        )
        found = regression.coef_ / spread
        bias[a, kinds[-len(found) :]] = regression.intercept_ - found @ mean
        weights[a, kinds[-len(found) :]] = found  # of two kinds, it is the second's against the first
    return Correction(weights=weights, bias=bias)


def best_c(songs: Songs, *, seed: int) -> float:
    """Return the C with which artists that are left out fare best (log-loss)."""
    losses = np.zeros(len(VALUES_OF_C))
    for train, test in folds(songs, seed=seed, n=INNER_FOLDS):
        rest, left_out = songs.of(train), songs.of(test)
        for i, c in enumerate(VALUES_OF_C):
            p = fit(rest, c=c).of_songs(left_out)
            of_label = np.maximum(p[np.arange(len(left_out)), left_out.label], LEAST_PROBABILITY)
            losses[i] -= left_out.weight @ np.log(of_label)
    return VALUES_OF_C[int(losses.argmin())]


def folds(songs: Songs, *, seed: int, n: int = N_FOLDS) -> list[tuple[Ints, Ints]]:
    """Return which songs are learnt from and which are left out, by whole artists."""
    split = StratifiedGroupKFold(min(n, len(set(songs.artist.tolist()))), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a mood that few songs have
        return list(split.split(np.zeros((len(songs), 1)), songs.label, songs.artist))


def _means(songs: Songs, of_windows: Floats) -> Floats:
    """Return the mean over each song's windows of numbers, (n_windows, n)."""
    n = songs.n_windows
    found: Floats = np.add.reduceat(of_windows, np.cumsum(n) - n) / n[:, None]
    return found
