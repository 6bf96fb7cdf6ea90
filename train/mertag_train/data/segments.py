"""Cutting segments out of a log-mel store: the fixed grid, and random crops.

A segment is (n_frames, n_mels) in dB. Rows are indices into the store's frames; all cutting happens on the device
that holds them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mertag.listen.windows import Segmentation
from mertag_train.arrays import Ints
from mertag_train.data.store import LogMelStore


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentTable:
    """Segments: the position in the store of the clip of each (n_segments,), and its first row in the frames."""

    clip: Ints
    row: Ints

    def __len__(self) -> int:
        return len(self.clip)

    def select(self, which: Ints) -> SegmentTable:
        """Return some of the segments, by their positions in the table."""
        return SegmentTable(clip=self.clip[which], row=self.row[which])


def grid(store: LogMelStore, clips: Ints, segmentation: Segmentation) -> SegmentTable:
    """Return every full segment of the clips on the fixed grid, clip after clip; a shorter clip has none."""
    clip: list[Ints] = []
    row: list[Ints] = []
    for index in clips:
        starts = segmentation.start_frames(int(store.n_samples[index]), store.front_end)
        clip.append(np.full(len(starts), index, dtype=np.int64))
        row.append(store.offsets[index] + starts)
    empty = np.zeros(0, dtype=np.int64)
    return SegmentTable(clip=np.concatenate([empty, *clip]), row=np.concatenate([empty, *row]))


def random_crops(
    store: LogMelStore, clips: Ints, segmentation: Segmentation, *, per_clip: int, rng: np.random.Generator
) -> SegmentTable:
    """Return `per_clip` segments of each clip, starting at any frame."""
    n_frames = segmentation.segment_frames(store.front_end)
    free = store.offsets[clips + 1] - store.offsets[clips] - n_frames + 1
    long_enough = clips[free > 0]
    clip = np.repeat(long_enough, per_clip)
    start = rng.integers(0, np.repeat(free[free > 0], per_clip))
    return SegmentTable(clip=clip, row=store.offsets[clip] + start)


def some_of_each_clip(table: SegmentTable, per_clip: int, rng: np.random.Generator) -> Ints:
    """Return the positions, ascending, of `per_clip` segments of each clip, drawn by chance; all where it has fewer."""
    chance = rng.random(len(table))
    # By clip, and by chance within it; the first of each clip are taken.
    order = np.lexsort((chance, table.clip))
    clip = table.clip[order]
    first = np.searchsorted(clip, clip)
    return np.sort(order[np.arange(len(order)) - first < per_clip])


def cut(frames: Tensor, rows: Tensor, n_frames: int) -> Tensor:
    """Return the segments (batch, n_frames, n_mels) that start at `rows` (batch,) of frames (total, n_mels)."""
    return frames[rows[:, None] + torch.arange(n_frames, device=rows.device)].float()
