"""Calibration: whether a class that is given 80 % is right in 80 % of the songs.

Conventions: the confidence of a song is the probability of its predicted class; bins are of equal mass (as
many songs in each), not of equal width, most of which would be almost empty; songs of the same confidence
share a bin, so that the figure does not depend on the order of the songs.

A finite sample never shows 0, even of a perfectly calibrated model, and shows the more the smaller it is. So
the figure stands beside what perfect calibration would show for the same confidences.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mertag_train.arrays import Bools, Floats, Ints

N_BINS = 10
N_SIMULATIONS = 1_000
THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def equal_mass_bins(confidence: Floats, n_bins: int = N_BINS) -> Ints:
    """Return the bin of each song, from 0 and without gaps, of confidences (n_songs,).

    There are at most `n_bins`; fewer where songs are few or confidences equal.
    """
    ordered = np.sort(confidence)
    cuts = ordered[[len(ordered) * k // n_bins for k in range(1, n_bins)]]
    bins = np.searchsorted(np.unique(cuts), confidence, side="right")
    dense: Ints = np.unique(bins, return_inverse=True)[1].astype(np.int64)
    return dense


def calibration_error(confidence: Floats, correct: Bools, *, n_bins: int = N_BINS) -> float:
    """Return the expected calibration error: the mean over songs of their bin's |accuracy - confidence|.

    Both arrays are (n_songs,): the probability of the predicted class, and whether that class is the true one.
    """
    bins = equal_mass_bins(confidence, n_bins)
    gap = np.bincount(bins, weights=correct) - np.bincount(bins, weights=confidence)
    return float(np.abs(gap).sum() / len(confidence))


def calibration_error_if_perfect(
    confidence: Floats,
    *,
    n_bins: int = N_BINS,
    n_simulations: int = N_SIMULATIONS,
    seed: int = 0,
) -> float:
    """Return the calibration error that a perfectly calibrated model would show on average.

    In each of `n_simulations`, a song is right with just its probability in `confidence` (n_songs,).
    """
    n = len(confidence)
    bins = equal_mass_bins(confidence, n_bins)
    expected = np.bincount(bins, weights=confidence)
    order = np.argsort(bins, kind="stable")
    starts = np.searchsorted(bins[order], np.arange(len(expected)))
    rng = np.random.default_rng(seed)
    total = 0.0
    for _ in range(n_simulations):
        correct = (rng.random(n) < confidence)[order]
        total += float(np.abs(np.add.reduceat(correct, starts, dtype=np.int64) - expected).sum())
    return total / (n_simulations * n)


def calibration_interval(
    confidence: Floats,
    correct: Bools,
    *,
    n_bins: int = N_BINS,
    n_resamples: int = N_SIMULATIONS,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the calibration error, by the percentiles of resampled songs.

    A resample holds some songs twice, which raises its error: the interval lies rather high. The arrays are as for
    `calibration_error`.
    """
    rng = np.random.default_rng(seed)
    n = len(confidence)
    found = []
    for _ in range(n_resamples):
        drawn = rng.integers(0, n, n)
        found.append(calibration_error(confidence[drawn], correct[drawn], n_bins=n_bins))
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)


def coverage(
    confidence: Floats, correct: Bools, thresholds: Sequence[float] = THRESHOLDS
) -> list[dict[str, float | None]]:
    """Return what is left, and how much of it is right, when only confident predictions count.

    For each threshold of the confidence ``at_least``, the ``share`` of the songs that count, and their ``accuracy``;
    None where none counts. The arrays are as for `calibration_error`.
    """
    found: list[dict[str, float | None]] = []
    for threshold in thresholds:
        kept = confidence >= threshold
        accuracy = float(correct[kept].mean()) if kept.any() else None
        found.append({"at_least": threshold, "share": float(kept.mean()), "accuracy": accuracy})
    return found
