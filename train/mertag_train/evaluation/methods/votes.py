"""From the segments of one song to its decision, without a second classifier.

Conventions: each rule takes segment probabilities, shape (n_segments, n_classes), n_segments > 0, and returns one
distribution, shape (n_classes,), whose most probable class is the rule's decision. A rule that counts leaves ties,
which go to the class of the higher mean probability; to show that in the distribution, the mean is mixed in with
the weight `TIE_WEIGHT`, too small to overturn a count. What a rule that counts says is a share of votes, not a
calibrated probability: its log-loss and its calibration error are to be read so.

Source: Sarkar et al., "Recognition of emotion in music based on deep convolutional neural network", 2020.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mertag_train.measure.metrics import predicted_classes

Floats = npt.NDArray[np.float64]

TIE_WEIGHT = 1e-6
"""Counts over n segments, as shares, are equal or differ by at least 1 / n: right for any song that fits a day."""


def mean_probability(segments: npt.ArrayLike) -> Floats:
    """Return the mean over the segments."""
    total: Floats = np.asarray(segments, dtype=np.float64).sum(0)
    mean: Floats = total / total.sum()
    return mean


def majority_vote(segments: npt.ArrayLike) -> Floats:
    """Return the share of segments whose most probable class is this one."""
    p = np.asarray(segments, dtype=np.float64)
    votes = np.bincount(predicted_classes(p), minlength=p.shape[1])
    return _with_ties(votes, p)


def maximum_run_length(segments: npt.ArrayLike) -> Floats:
    """Return, for each class, its longest run of consecutive segments, as a share of the sum of these runs."""
    p = np.asarray(segments, dtype=np.float64)
    return _with_ties(longest_runs(predicted_classes(p), p.shape[1]), p)


def longest_runs(classes: npt.NDArray[np.int64], n_classes: int) -> npt.NDArray[np.int64]:
    """Return the length of the longest run of each class, 0 where it does not occur."""
    ends = np.flatnonzero(np.diff(classes, append=-1))
    lengths = np.diff(ends, prepend=-1)
    longest = np.zeros(n_classes, dtype=np.int64)
    np.maximum.at(longest, classes[ends], lengths)
    return longest


def _with_ties(counts: npt.NDArray[np.int64], p: Floats) -> Floats:
    mixed: Floats = (1 - TIE_WEIGHT) * (counts / counts.sum()) + TIE_WEIGHT * mean_probability(p)
    return mixed
