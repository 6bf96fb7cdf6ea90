"""Cutting segments out of a log-mel store: the fixed grid, and random crops.

A segment is (n_frames, n_mels) in dB. Rows are indices into the store's frames; all cutting happens on the device
that holds them. Silence is no mood: silent segments are left out, here as where songs are tagged, by the same rule.
Whatever enumerates the segments of a clip asks `mertag_train.data.heard.segment_starts`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mertag.listen.windows import Segmentation
from mertag_train.arrays import Bools, Ints
from mertag_train.data.heard import segment_starts, sounding_at
from mertag_train.data.store import LogMelStore


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentTable:
    """Segments: the position in the store of the clip of each (n_segments,), and its first row in the frames."""

    clip: Ints
    row: Ints

    def __len__(self) -> int:
        return len(self.clip)

    def followed_by(self, other: SegmentTable) -> SegmentTable:
        """Return these segments and then those of another table."""
        return SegmentTable(clip=np.concatenate([self.clip, other.clip]), row=np.concatenate([self.row, other.row]))

    def select(self, which: Ints) -> SegmentTable:
        """Return some of the segments, by their positions in the table."""
        return SegmentTable(clip=self.clip[which], row=self.row[which])


def grid(store: LogMelStore, clips: Ints, segmentation: Segmentation) -> SegmentTable:
    """Return every full segment of the clips that sounds, on the fixed grid, clip after clip."""
    clip: list[Ints] = []
    row: list[Ints] = []
    for index in clips:
        starts = segment_starts(store, int(index), segmentation)
        clip.append(np.full(len(starts), index, dtype=np.int64))
        row.append(store.offsets[index] + starts)
    empty = np.zeros(0, dtype=np.int64)
    return SegmentTable(clip=np.concatenate([empty, *clip]), row=np.concatenate([empty, *row]))


def random_crops(
    store: LogMelStore, clips: Ints, segmentation: Segmentation, *, per_clip: int, rng: np.random.Generator
) -> SegmentTable:
    """Return `per_clip` segments of each clip, starting at any frame where they sound."""
    sounds = [_crops_that_sound(store, index, segmentation) for index in clips.tolist()]
    n_places = np.array([np.count_nonzero(sound) for sound in sounds], dtype=np.int64)
    heard = np.flatnonzero(n_places)
    clip = np.repeat(clips[heard], per_clip)
    chosen = rng.integers(0, np.repeat(n_places[heard], per_clip)).reshape(-1, per_clip)
    starts = [np.flatnonzero(sounds[i])[of_clip] for i, of_clip in zip(heard.tolist(), chosen, strict=True)]
    return SegmentTable(clip=clip, row=store.offsets[clip] + np.concatenate([np.zeros(0, dtype=np.int64), *starts]))


def _crops_that_sound(store: LogMelStore, index: int, segmentation: Segmentation) -> Bools:
    """Return for each frame of a clip where a segment has room to begin whether that segment sounds."""
    room = int(store.offsets[index + 1] - store.offsets[index]) - segmentation.segment_frames(store.front_end) + 1
    return sounding_at(store, index, np.arange(max(0, room), dtype=np.int64), segmentation)


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
