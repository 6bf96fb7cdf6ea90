"""From segment probabilities to what the song classifier sees: windows, and seven statistics a class.

Paper, "Song-level Decisions", eq. 11 to 15. One window rule serves evaluation and tagging: without it, the
maximum and the minimum would drift with the number of segments, and a classifier fitted on 30-second clips would
meet full tracks outside its range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FEATURES_PER_CLASS = 7
HIGH_PROBABILITY = 0.5
"""theta of eq. 15: above it a segment counts as clearly of a class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRule:
    """Which stretches of a song are judged one by one, and then averaged.

    Attributes
    ----------
    single_max_s : float
        Up to this duration, the song is one window.
    window_s, hop_s : float
        Longer songs are cut into windows of `window_s` seconds every `hop_s` seconds; the last one is aligned
        to the end of the last segment.
    """

    single_max_s: float = 45.0
    window_s: float = 30.0
    hop_s: float = 15.0


def windows(
    start_samples: npt.NDArray[np.int64],
    *,
    segment_samples: int,
    n_samples: int,
    sample_rate: int,
    rule: WindowRule,
) -> list[slice]:
    """Return the segments of each window, as slices into the segments of the song.

    Parameters
    ----------
    start_samples : int64 array, shape (n_segments,)
        First sample of each segment, ascending.
    segment_samples, n_samples : int
        Duration of a segment and of the song, in samples.
    sample_rate : int
        Hz.
    rule : WindowRule
        The rule of the bundle.

    Returns
    -------
    list of slice
        At least one; each holds at least one segment. A segment belongs to a window if it lies in it whole.

    Raises
    ------
    ValueError
        If there is no segment.
    """
    if len(start_samples) == 0:
        raise ValueError("a song without a segment has no window")
    if n_samples <= round(rule.single_max_s * sample_rate):
        return [slice(0, len(start_samples))]
    window, hop = window_samples(rule, segment_samples=segment_samples, sample_rate=sample_rate)
    end = int(start_samples[-1]) + segment_samples
    first_samples = list(range(0, end - window + 1, hop)) or [0]
    if first_samples[-1] + window < end:
        first_samples.append(end - window)
    found: list[slice] = []
    for first in first_samples:
        lo = int(np.searchsorted(start_samples, first, side="left"))
        hi = int(np.searchsorted(start_samples, first + window - segment_samples, side="right"))
        if hi > lo:
            found.append(slice(lo, hi))
    return found


def window_samples(rule: WindowRule, *, segment_samples: int, sample_rate: int) -> tuple[int, int]:
    """Return the length of a window and the step from one to the next, in samples."""
    return max(round(rule.window_s * sample_rate), segment_samples), round(rule.hop_s * sample_rate)


def song_features(probabilities: npt.ArrayLike, *, theta: float = HIGH_PROBABILITY) -> Floats:
    """Return the seven statistics of each class over the segments of one window.

    Parameters
    ----------
    probabilities : array, shape (n_segments, n_classes)
        Segment probabilities.
    theta : float
        Threshold of eq. 15.

    Returns
    -------
    float64 array, shape (7 * n_classes,)
        Statistic by statistic, each for all classes: f1 maximum, f2 minimum (eq. 11, 12), f3..f5 first, second
        and third quartile (eq. 13, linear interpolation), f6 mean (eq. 14), f7 share of segments whose
        probability is above `theta` (eq. 15).

    Raises
    ------
    ValueError
        If there is no segment, or the array is not two-dimensional.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or len(p) == 0:
        raise ValueError(f"expected segment probabilities of shape (n_segments, n_classes), got {p.shape}")
    ordered = np.sort(p, axis=0)
    quartiles = [_quantile(ordered, share) for share in (0.25, 0.5, 0.75)]
    return np.concatenate([ordered[-1], ordered[0], *quartiles, p.mean(0), (p > theta).mean(0)])


def _quantile(ordered: Floats, share: float) -> Floats:
    """Return what ``np.quantile`` does of sorted rows, to the last bit.

    ``np.quantile`` takes a millisecond for each window, more than the rest of a song's judgement, and imports
    ``numpy.ma`` first.
    """
    place = (len(ordered) - 1) * share
    below = int(place)
    lower, upper = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    step, rest = upper - lower, place - below
    found: Floats = lower + step * rest if rest < 0.5 else upper - step * (1 - rest)
    return found
