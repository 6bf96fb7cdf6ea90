"""From samples to segments, and from segments to what the song classifier sees, in integers and plain numbers.

`FrontEnd` holds the signal constants, `Segmentation` says which frames each segment takes, `WindowRule` which segments
are judged together, and `song_features` computes seven statistics a class over them. The mel spectrogram itself is
computed in one place only, `mertag_train.data.frontend`; the exported graph contains it.

Conventions: a sample index counts samples at `FrontEnd.sample_rate`; a frame index counts hops of
`FrontEnd.hop_length` samples; a frame starts where it says (``center=False``), so a signal of n samples has
``1 + (n - n_fft) // hop_length`` frames.

Source: the paper, "Audio Pre-process" and "Song-level Decisions", eq. 11 to 15. One window rule serves evaluation and
tagging: else the maximum and the minimum would drift with the number of segments, out of the classifier's range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

FEATURES_PER_CLASS = 7
MEAN = 5
"""Place of the mean (f6) among the seven statistics."""
HIGH_PROBABILITY = 0.5
"""theta of eq. 15: above it a segment counts as clearly of a class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEnd:
    """The constants of the log-mel front end.

    Attributes
    ----------
    sample_rate : int
        Hz, mono: the mean of the channels, resampled by soxr HQ (what ``librosa.load`` gives).
    n_fft, hop_length : int
        Length of the periodic Hann window and its step, in samples (paper, "Experiment Setup").
    n_mels, fmin_hz, fmax_hz : int, float, float
        Slaney mel filters, area-normalised, as ``librosa.filters.mel`` makes them.
    amin : float
        Power below which the logarithm is cut: ``10 * log10(max(S, amin))``. No ``top_db`` and no maximum of
        the segment: either would remove loudness, the main cue for arousal.
    """

    sample_rate: int = 22_050
    n_fft: int = 1_024
    hop_length: int = 512
    n_mels: int = 128
    fmin_hz: float = 0.0
    fmax_hz: float = 11_025.0
    amin: float = 1e-10

    def n_frames(self, n_samples: int) -> int:
        """Return how many full frames a signal of `n_samples` has."""
        return max(0, 1 + (n_samples - self.n_fft) // self.hop_length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """How a clip is cut into segments: only full ones, no padding (paper, "Audio Pre-process").

    Attributes
    ----------
    duration_s : float
        Segment duration in seconds.
    hop_s : float
        Step from one segment's start to the next, in seconds. The paper's overlap is ``duration_s - 1``, hence
        a hop of 1 s.
    """

    duration_s: float = 3.0
    hop_s: float = 1.0

    def segment_samples(self, front_end: FrontEnd) -> int:
        """Return the segment's duration in samples."""
        return round(self.duration_s * front_end.sample_rate)

    def hop_samples(self, front_end: FrontEnd) -> int:
        """Return the segment hop in samples."""
        return round(self.hop_s * front_end.sample_rate)

    def segment_frames(self, front_end: FrontEnd) -> int:
        """Return the frames of one segment: 128 for 3 s, 42 for 1 s."""
        return front_end.n_frames(self.segment_samples(front_end))

    def n_segments(self, n_samples: int, front_end: FrontEnd) -> int:
        """Return how many full segments a clip of `n_samples` has."""
        return max(0, (n_samples - self.segment_samples(front_end)) // self.hop_samples(front_end) + 1)

    def start_samples(self, n_samples: int, front_end: FrontEnd) -> Int64Array:
        """Return the first sample of each segment, shape (n_segments,)."""
        return np.arange(self.n_segments(n_samples, front_end), dtype=np.int64) * self.hop_samples(front_end)

    def start_frames(self, n_samples: int, front_end: FrontEnd) -> Int64Array:
        """Return the first frame of each segment, shape (n_segments,).

        ``start_samples // hop_length``: rounded down, so that the last segment never reaches past the clip.
        """
        starts: Int64Array = self.start_samples(n_samples, front_end) // front_end.hop_length
        return starts


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
    start_samples: Int64Array,
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


def song_features(probabilities: npt.ArrayLike, *, theta: float = HIGH_PROBABILITY) -> Float64Array:
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


def judged(outputs: npt.NDArray[np.floating], n_classes: int) -> Float64Array:
    """Return what the song model judges of one window: the features, and the means of the embedding if there is one.

    The network's outputs, (n_segments, n_classes + n_embedding), are the probabilities of each segment, and behind them
    its embedding (`mertag.listen.manifest.Head.embedding`).
    """
    return np.append(song_features(outputs[:, :n_classes]), outputs[:, n_classes:].mean(0, np.float64))


def _quantile(ordered: Float64Array, share: float) -> Float64Array:
    """Return what ``np.quantile`` does of sorted rows, to the last bit, without its millisecond for each window."""
    place = (len(ordered) - 1) * share
    below = int(place)
    lower, upper = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    step, rest = upper - lower, place - below
    found: Float64Array = lower + step * rest if rest < 0.5 else upper - step * (1 - rest)
    return found
