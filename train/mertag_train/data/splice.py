"""Segments that do not belong to their song, planted: what a partition should find.

A stretch of each clip is replaced by one of a clip of another class, so that its segments inherit a wrong label for the
reason that the paper gives: they differ from the song. Labels that are wrong for a whole song are another matter.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mertag.listen.windows import Segmentation
from mertag_train.arrays import Ints
from mertag_train.data.heard import segment_starts
from mertag_train.data.store import LogMelStore


def splice(
    store: LogMelStore, clips: Ints, labels: Ints, segmentation: Segmentation, *, share: float, seed: int
) -> tuple[LogMelStore, dict[int, Ints]]:
    """Return a store in which a `share` of each clip's frames, one stretch, is that of a clip of another class.

    The clips (n,) are positions in the store, with their labels (n,). The other value has, by position, the real class
    of each segment of the fixed grid: that of the other clip where at least half of the segment is spliced in. Raises
    ValueError if all clips are of one class.
    """
    rng = np.random.default_rng(seed)
    frames = np.array(store.frames)
    n_frames = segmentation.segment_frames(store.front_end)
    truth: dict[int, Ints] = {}
    for clip, label in zip(clips.tolist(), labels.tolist(), strict=True):
        others = np.flatnonzero(labels != label)
        if not len(others):
            raise ValueError("all clips are of one class")
        donor = int(rng.choice(others))
        first, last = int(store.offsets[clip]), int(store.offsets[clip + 1])
        theirs = store.frames[store.offsets[clips[donor]] : store.offsets[clips[donor] + 1]]
        length = min(round(share * (last - first)), len(theirs))
        at = int(rng.integers(0, last - first - length + 1))
        since = int(rng.integers(0, len(theirs) - length + 1))
        frames[first + at : first + at + length] = theirs[since : since + length]
        starts = segment_starts(store, clip, segmentation)
        inside = np.minimum(starts + n_frames, at + length) - np.maximum(starts, at)
        truth[clip] = np.where(2 * inside >= n_frames, labels[donor], label).astype(np.int64)
    return replace(store, frames=frames), truth
