"""Which segments have the right label, by their losses (paper, "Training Samples Partition", eq. 3).

A network learns simple, consistent samples first: early on, a segment of which the label is right has a smaller loss.
Two Gaussians are fitted to the losses of all segments; the posterior of the one with the smaller mean is the
probability that a label is clean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture

from mertag_train.arrays import Bools, Floats, Floats32, Ints
from mertag_train.learn.config import PartitionConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Two Gaussians of losses scaled to 0..1; the clean one, with the smaller mean, first.

    The losses in nats that became 0 and 1 are `low` and `high`.
    """

    means: tuple[float, float]
    variances: tuple[float, float]
    weights: tuple[float, float]
    low: float
    high: float

    def scale(self, losses: Floats) -> Floats:
        """Return losses in nats as 0..1, what lies outside clipped."""
        return (np.clip(losses, self.low, self.high) - self.low) / (self.high - self.low)

    def posterior(self, scaled: Floats) -> Floats:
        """Return the probability of the clean Gaussian, which never rises with the loss.

        Of two Gaussians of different width the wide one wins at both ends: the smallest losses would count as
        noise, or the largest as clean. So the posterior is that of the clean mean below it and, where the clean
        Gaussian is the wider one, that of the noisy mean above it. Elsewhere it falls by itself.
        """
        clean_is_wider = self.variances[0] > self.variances[1]
        inside = np.clip(scaled, self.means[0], self.means[1] if clean_is_wider else np.inf)
        log_odds = self._log_density(0, inside) - self._log_density(1, inside)
        return 1 / (1 + np.exp(-np.clip(log_odds, -700, 700)))

    def density(self, which: int, scaled: Floats) -> Floats:
        """Return the weighted density of the clean (0) or the noisy (1) Gaussian at scaled losses."""
        return np.exp(self._log_density(which, scaled))

    def _log_density(self, which: int, x: Floats) -> Floats:
        mean, variance, weight = self.means[which], self.variances[which], self.weights[which]
        log_weight = math.log(weight) if weight > 0 else -math.inf
        density: Floats = log_weight - 0.5 * np.log(2 * np.pi * variance) - np.square(x - mean) / (2 * variance)
        return density


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Which segments were told apart; arrays are (n_segments,), times are seconds from a clip's start.

    `clip` is a position in the store, whose `ids` are here; `probabilities` (n_segments, n_classes) is what the network
    said of each; `truth` their real classes, -1 where not known, None where none is.
    """

    ids: Sequence[str]
    clip: Ints
    start_s: Floats
    segment_s: float
    probabilities: Floats32
    truth: Ints | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """The segments of one epoch, told apart; arrays are (n_segments,).

    The labels are the inherited classes, indices of `names`, and the losses, in nats, are what was looked at;
    `clean_probability` is omega, and `labelled` the set X: the others are U. Losses that do not differ have no mixture.
    `threshold` is tau; `segments` says which ones they are, where that is known.
    """

    names: tuple[str, ...]
    labels: Ints
    losses: Floats
    clean_probability: Floats
    labelled: Bools
    mixture: Mixture | None
    threshold: float = 0.5
    segments: Segments | None = None


def fit_mixture(losses: Floats, config: PartitionConfig, *, seed: int) -> Mixture | None:
    """Return the two Gaussians of some losses (n,), in nats; None if the losses do not differ.

    Losses are clipped to their 1st and 99th percentile and scaled to 0..1 first: with plain minimum and maximum, a
    few outliers press all the others together, and everything counts as clean.
    """
    low, high = (float(v) for v in np.quantile(losses, config.clip)) if len(losses) else (0.0, 0.0)
    if not high > low:
        return None
    bare = Mixture(means=(0.0, 1.0), variances=(1.0, 1.0), weights=(0.5, 0.5), low=low, high=high)
    gaussians = GaussianMixture(
        2, max_iter=config.max_iter, tol=config.tol, reg_covar=config.reg_covar, random_state=seed
    ).fit(bare.scale(losses)[:, None])
    order = np.argsort(gaussians.means_[:, 0], kind="stable")  # the clean one first
    means, variances, weights = (
        (float(values[order[0]]), float(values[order[1]]))
        for values in (gaussians.means_[:, 0], gaussians.covariances_[:, 0, 0], gaussians.weights_)
    )
    return Mixture(means=means, variances=variances, weights=weights, low=low, high=high)


def relative_to_clip(losses: Floats, clip: Ints) -> Floats:
    """Return losses (n_segments,) less the mean of their clip's, in nats; `clip` numbers each segment's clip.

    Losses differ more between clips than within them: the partition of all segments finds hard songs. A label that
    a segment inherits is wrong where the segment differs from its own song.
    """
    _, which = np.unique(clip, return_inverse=True)
    means: Floats = np.bincount(which, weights=losses) / np.bincount(which)
    return losses - means[which]


def partition(losses: Floats, labels: Ints, names: Sequence[str], config: PartitionConfig, *, seed: int) -> Partition:
    """Tell the segments whose labels are probably right from the others.

    Of each class at least the share `PartitionConfig.least_share` is in X, those with the smallest losses: a class that
    is hard to learn would vanish from it otherwise. Where losses do not differ, all are clean.

    The losses (n_segments,) are the cross-entropy of each segment with its inherited label, in evaluation mode, without
    augmentation, in nats; the labels (n_segments,) are the inherited classes, as indices of `names`. Raises ValueError
    if a loss is not finite.
    """
    if not np.isfinite(losses).all():
        raise ValueError("losses must be finite")
    mixture = fit_mixture(losses, config, seed=seed)
    clean = np.ones(len(losses)) if mixture is None else mixture.posterior(mixture.scale(losses))
    labelled = clean > config.threshold
    for k in range(len(names)):
        mine = np.flatnonzero(labels == k)
        least = math.ceil(config.least_share * len(mine))
        if labelled[mine].sum() < least:
            labelled[mine[np.argsort(losses[mine], kind="stable")[:least]]] = True
    return Partition(
        names=tuple(names),
        labels=labels,
        losses=losses,
        clean_probability=clean,
        labelled=labelled,
        mixture=mixture,
        threshold=config.threshold,
    )


def figures(found: Partition, truth: Ints | None = None, clip: Ints | None = None) -> dict[str, float]:
    """Return what an epoch's record says of a partition.

    With `truth`, the real classes (n_segments,) where they are known (-1 elsewhere), these are also the area under the
    ROC curve of the clean probability (``partition_auroc``), the share of X whose label is right (``clean_precision``),
    that share of all segments (``right_share``), and of finding the wrong labels by a clean probability of at most tau:
    how many of those found are wrong (``noisy_precision``), how many of the wrong ones are found (``noisy_recall``).
    With `clip`, which numbers each segment's clip, also the area under the curve within clips
    (``partition_auroc_in_clip``): the share of all pairs of a right and a wrong segment of one clip of which the right
    one has the higher clean probability, one half where they are equal.
    """
    labels = found.labels
    result = {"clean_share": float(found.labelled.mean()) if len(labels) else 0.0}
    for k, name in enumerate(found.names):
        mine = found.labelled[labels == k]
        if len(mine):
            result[f"clean_share_{name}"] = float(mine.mean())
    if found.mixture is not None:
        (clean_mean, noisy_mean), (clean_weight, _) = found.mixture.means, found.mixture.weights
        result |= {"clean_mean": clean_mean, "noisy_mean": noisy_mean, "clean_weight": clean_weight}
    if truth is not None and (truth >= 0).any():
        known = truth >= 0
        right = (truth == labels)[known]
        result["right_share"] = float(right.mean())
        if 0 < right.sum() < len(right):
            result["partition_auroc"] = float(roc_auc_score(right, found.clean_probability[known]))
            if clip is not None:
                result |= _within_clips(right, found.clean_probability[known], clip[known])
        if found.labelled[known].any():
            result["clean_precision"] = float(right[found.labelled[known]].mean())
        noisy = found.clean_probability[known] <= found.threshold
        if noisy.any():
            result["noisy_precision"] = float((~right)[noisy].mean())
        if not right.all():
            result["noisy_recall"] = float(noisy[~right].mean())
    return result


def _within_clips(right: Bools, clean_probability: Floats, clip: Ints) -> dict[str, float]:
    """Return the area under the ROC curve over the pairs of segments of one clip; nothing where there is no pair."""
    won = pairs = 0.0
    for of_clip in np.split(np.argsort(clip, kind="stable"), np.flatnonzero(np.diff(np.sort(clip))) + 1):
        mine = right[of_clip]
        n = float(mine.sum() * (~mine).sum())
        if n:
            won += n * float(roc_auc_score(mine, clean_probability[of_clip]))
            pairs += n
    return {"partition_auroc_in_clip": won / pairs} if pairs else {}
