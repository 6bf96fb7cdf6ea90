"""Silence is no mood: which of a song's segments sound.

A level is the standard deviation of the samples under the frames of a segment or of a second of it, in dBFS (a constant
is no sound). A segment is silent if one of its seconds lies below `SILENT_DBFS`, or `SILENT_BELOW_DB` below the loudest
segment of its song: one that is half silent sounds like no music. How far real music stays from both stands in
``docs/model.md``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mertag.listen.windows import Float32Array, Float64Array, FrontEnd, Int64Array, Segmentation

SILENT_DBFS = -65.0
SILENT_BELOW_DB = 50.0
LEAST_SOUNDING = 0.5
"""A window of which less sounds says little of its song, and is left out where another one sounds longer."""

BoolArray = npt.NDArray[np.bool_]


class Loudness:
    """The power of a song, hop by hop, gathered while its audio comes: 7 MB for six hours."""

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end
        self._rest = np.zeros(0, np.float32)
        self._sums: list[Float64Array] = []

    def feed(self, chunk: Float32Array) -> None:
        """Take the next samples of the song, shape (n,)."""
        samples = np.concatenate([self._rest, chunk])
        sums = hop_sums(samples, self._front_end)
        self._sums.append(sums)
        self._rest = samples[sums.shape[1] * self._front_end.hop_length :].copy()

    def sounding(self, starts: Int64Array, segmentation: Segmentation) -> BoolArray:
        """Return which of the segments with these first frames, shape (n_segments,), sound."""
        sums = np.concatenate([np.zeros((2, 0)), *self._sums], axis=1)
        return sounding(sums, starts, segmentation, self._front_end)


def hop_sums(samples: Float32Array, front_end: FrontEnd) -> Float64Array:
    """Return the sum of the samples of each whole hop, and of their squares, shape (2, n_hops)."""
    whole = len(samples) - len(samples) % front_end.hop_length
    hops = samples[:whole].reshape(-1, front_end.hop_length)
    return np.stack([hops.sum(1, dtype=np.float64), np.square(hops, dtype=np.float64).sum(1)])


def sounding(
    sums: Float64Array,
    starts: Int64Array,
    segmentation: Segmentation,
    front_end: FrontEnd,
    *,
    among: Int64Array | None = None,
) -> BoolArray:
    """Return which segments of a song sound, shape (n_segments,); their first frames are `starts`.

    The song has the `sums` of `hop_sums`, and its loudest segment is one of `among`, if given, else of `starts`.
    """
    if not len(starts):
        return np.zeros(0, np.bool_)
    overlap = -(-front_end.n_fft // front_end.hop_length)
    n_hops = segmentation.segment_frames(front_end) - 1 + overlap
    total = np.cumsum(np.concatenate([np.zeros((2, 1)), sums], axis=1), axis=1)
    loudest_db = _levels_db(total, starts if among is None else among, n_hops, front_end).max()
    n_seconds = max(1, int(segmentation.duration_s))
    length = n_hops // n_seconds
    quietest_db = np.min([_levels_db(total, starts + i * length, length, front_end) for i in range(n_seconds)], axis=0)
    found: BoolArray = quietest_db >= max(SILENT_DBFS, loudest_db - SILENT_BELOW_DB)
    return found


def _levels_db(total: Float64Array, starts: Int64Array, n_hops: int, front_end: FrontEnd) -> Float64Array:
    """Return the levels of stretches of `n_hops` that begin at `starts`; `total` sums all hops before each."""
    first, last = starts, np.minimum(starts + n_hops, total.shape[1] - 1)
    mean, square = (total[:, last] - total[:, first]) / np.maximum(1, (last - first) * front_end.hop_length)
    levels: Float64Array = 10 * np.log10(np.maximum(square - mean**2, 1e-20))
    return levels


def heard(windows: list[slice], sounding: BoolArray) -> list[Int64Array]:
    """Return the segments of each window that sound, without the windows that are mostly silent, if not all are."""
    kept = [np.flatnonzero(sounding[window]) + window.start for window in windows]
    full = [
        segments
        for window, segments in zip(windows, kept, strict=True)
        if len(segments) >= LEAST_SOUNDING * (window.stop - window.start)
    ]
    return full or [segments for segments in kept if len(segments)]


def covered(starts: Int64Array, length: int) -> int:
    """Return how many samples the segments of `length` that begin at `starts`, ascending, cover together."""
    return int(np.minimum(np.diff(starts), length).sum()) + length if len(starts) else 0
